/* SPDX-License-Identifier: Apache-2.0
 * tessera roundtrip: what went in, the tokens, what came out, and how good it is. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/cropping.h"
#include "cli/preview.h"
#include "pipeline/onefile.h"
#include "pipeline/outname.h"
#include "pipeline/toolbox.h"

#include <math.h>
#include <string.h>

typedef struct settings {
    int json, colour, show;
    long long threads;
    const char *tokenizer, *modality, *output, *from, *crop;
    tsr_option_list with;
    const tsr_cropping *cropping; /* no option */
} settings;

static const tsr_option options[] = {
    {"tokenizer", 't', TSR_OPT_STRING, offsetof(settings, tokenizer), NULL, 0, 0, "FILE",
     "tokenizer to go through"},
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "modality of a published 4M tokenizer, whose file does not say it"},
    {"output", 'o', TSR_OPT_STRING, offsetof(settings, output), NULL, 0, 0, "FOLDER",
     "write what the decoder should give and what it gave there"},
    {"with", 'w', TSR_OPT_LIST, offsetof(settings, with), NULL, 0, 0, "FILE",
     "another file of the same sample, such as the record beside a picture"},
    TSR_OPTION_FROM(settings),
    TSR_OPTION_CROP(settings),
    {"show", 0, TSR_OPT_FLAG, offsetof(settings, show), NULL, 0, 0, NULL,
     "show input, tokens and result in the terminal"},
    TSR_OPTION_COLOUR(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
};

/* One file on its way. */
typedef struct trip {
    const char *path;
    tsr_media media[4], target, result;
    size_t n_media;
    tsr_tokens tokens;
    json_t *quality;
    double bits;
} trip;

static void trip_clear(trip *t)
{
    for (size_t i = 0; i < t->n_media; i++)
        tsr_media_clear(&t->media[i]);
    tsr_media_clear(&t->target);
    tsr_media_clear(&t->result);
    tsr_tokens_clear(&t->tokens);
    json_decref(t->quality);
}

static tsr_status travel(const settings *s, const tsr_tool *tool, trip *t)
{
    const tsr_token_space *space = tsr_tokenizer_space(tool->tokenizer);
    const char *paths[4] = {t->path};
    size_t n = 1;
    for (; n <= s->with.count; n++)
        paths[n] = s->with.items[n - 1];
    TSR_TRY(tsr_onefile_read(tool->tokenizer, paths, n, t->media));
    t->n_media = n;
    tsr_inputs in = tsr_cropping_inputs(s->cropping, 0, s->from);
    in.count = n;
    for (size_t i = 0; i < n; i++)
        in.media[i] = &t->media[i];
    tsr_status st = tsr_tokenizer_encode(tool->tokenizer, tool->work, &in, &t->tokens);
    if (st != TSR_OK)
        return tsr_context(st, "%s", t->path);
    TSR_TRY(tsr_tokenizer_decode(tool->tokenizer, tool->work, &t->tokens, &t->result));
    TSR_TRY(tsr_tokenizer_target(tool->tokenizer, tool->work, &in, &t->target));
    TSR_TRY(tsr_tokenizer_quality(tool->tokenizer, &t->target, &t->result, &t->quality));
    t->bits = (double)t->tokens.count * log2((double)space->codebook_size);
    return TSR_OK;
}

static tsr_status write_media(const char *folder, const char *key, const char *modality,
                              const char *role, const tsr_media *m, json_t *into)
{
    char middle[TSR_NAME_CHARS + 16], *path;
    snprintf(middle, sizeof middle, "%s.%s", modality, role);
    TSR_TRY(tsr_out_name(folder, key, middle, tsr_onefile_extension(m), &path));
    tsr_status st = tsr_onefile_write(m, path);
    if (st == TSR_OK)
        st = tsr_json_set(into, role, json_string(path));
    tsr_free(path);
    return st;
}

static tsr_status report_json(const settings *s, const tsr_tool *tool, const trip *t, json_t **out)
{
    const tsr_token_space *space = tsr_tokenizer_space(tool->tokenizer);
    json_t *v = json_pack("{s:s, s:s, s:s, s:I, s:f, s:O}", "key", t->path, "modality",
                          space->modality, "kind", tsr_tokenizer_kind_name(tool->tokenizer),
                          tsr_space_has_codes(space) ? "tokens" : "values",
                          (json_int_t)t->tokens.count, "bits", t->bits, "quality", t->quality);
    tsr_status st = TSR_OK;
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "%s: the name is not UTF-8", t->path);
    if (s->output) {
        TSR_GO(write_media(s->output, t->path, space->modality, "target", &t->target, v));
        TSR_GO(write_media(s->output, t->path, space->modality, "decoded", &t->result, v));
    }
    *out = v;
    v = NULL;
out:
    json_decref(v);
    return st;
}

static void print_line(const json_t *v, const trip *t)
{
    const char *name;
    json_t *x;
    tsr_put_text(stdout, t->path);
    printf("  %zu %s  %.0f bits", t->tokens.count,
           json_object_get(v, "values") ? "values" : "tokens", t->bits);
    json_object_foreach(json_object_get(v, "quality"), name, x) if (json_is_number(x))
        printf("  %s %.4g", name, json_number_value(x));
    else printf("  %s %s", name, json_is_true(x) ? "yes" : "no");
    putchar('\n');
    json_object_foreach((json_t *)v, name,
                        x) if (strcmp(name, "target") == 0 || strcmp(name, "decoded") == 0)
        printf("  %s: %s\n", name, json_string_value(x));
}

static tsr_status show_trip(const tsr_screen *screen, const tsr_tool *tool, const trip *t)
{
    const char *kind = tsr_tokenizer_kind_name(tool->tokenizer);
    const tsr_token_space *space = tsr_tokenizer_space(tool->tokenizer);
    puts("target");
    TSR_TRY(tsr_show_media(screen, &t->target, kind));
    puts("tokens");
    TSR_TRY(tsr_show_tokens(screen, &t->tokens, space));
    puts("decoded");
    return tsr_show_media(screen, &t->result, kind);
}

static tsr_status roundtrip(const settings *s, const tsr_tool *tool, const tsr_screen *screen,
                            const char *path)
{
    trip t = {.path = path};
    json_t *v = NULL;
    tsr_status st;
    TSR_GO(travel(s, tool, &t));
    TSR_GO(report_json(s, tool, &t, &v));
    if (s->json) {
        TSR_GO(tsr_print_json(v, 0));
        goto out;
    }
    print_line(v, &t);
    if (s->show)
        TSR_GO(show_trip(screen, tool, &t));
out:
    json_decref(v);
    trip_clear(&t);
    return st;
}

static tsr_status check(const settings *s, int n)
{
    if (!s->tokenizer)
        TSR_FAIL(TSR_EARG, "roundtrip: name a tokenizer with -t FILE");
    if (s->with.count > 3 || (s->with.count && n != 1))
        TSR_FAIL(TSR_EARG, "--with: at most 3 further files, for one file; %d were given", n);
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    settings with = *(const settings *)settings_;
    const settings *s = &with;
    tsr_toolbox tools = {0};
    tsr_cropping cropping;
    tsr_screen screen;
    size_t failed = 0;
    tsr_status st;
    tsr_screen_init(&screen, (tsr_colour_mode)s->colour);
    tsr_par_set_threads((int)s->threads);
    TSR_GO(check(s, n_operands));
    TSR_GO(tsr_cropping_read(s->crop, &cropping));
    if (cropping.count > 1)
        TSR_GOFAIL(TSR_EARG, "--crop %s: holds %zu crops; roundtrip takes one", s->crop,
                   cropping.count);
    with.cropping = &cropping;
    TSR_GO(tsr_toolbox_add(&tools, s->tokenizer, s->modality));
    if (s->output)
        TSR_GO(tsr_make_folders(s->output));
    if (tools.count != 1)
        TSR_GOFAIL(TSR_EARG, "%s: holds %zu tokenizers, expected one", s->tokenizer, tools.count);
    for (int i = 0; i < n_operands && tsr_output_open(); i++) {
        if (roundtrip(s, &tools.tools[0], &screen, operands[i]) == TSR_OK)
            continue;
        tsr_say("%s", tsr_error());
        failed++;
    }
out:
    tsr_toolbox_clear(&tools);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_roundtrip = {
    .name = "roundtrip",
    .operands = "FILE...",
    .summary = "encode and decode files, and measure what was lost",
    .details =
        "For each file the number of tokens, the bits they cost, and the quality of the decoded "
        "result in the units of its field, against the input after crop, resize and conversion: "
        "PSNR and SSIM of pictures, AbsRel and delta1 of depth, angular error of normals, mIoU of "
        "label maps, mel distance of sound, colour difference of palettes, exact match of metadata "
        "and text.",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

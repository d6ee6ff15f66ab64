/* SPDX-License-Identifier: Apache-2.0
 * tessera decode: lines of tokens back to pictures, sounds, texts. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "cli/tokenline.h"
#include "pipeline/onefile.h"
#include "pipeline/outname.h"
#include "pipeline/toolbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    int json, progress, sampler, compatible;
    const char *output, *modality;
    tsr_option_list tokenizers;
    long long steps, seed;
    double eta, guidance;
    const tsr_job *job; /* these two are no options */
    tsr_meter *meter;
} settings;

static const tsr_option options[] = {
    TSR_OPTION_TOKENIZERS(settings),
    {"output", 'o', TSR_OPT_STRING, offsetof(settings, output), ".", 0, 0, "FOLDER",
     "where the decoded files go"},
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "modality of a published 4M tokenizer, whose file does not say it; \"rgb@224\": of this size"},
    {"steps", 0, TSR_OPT_INT, offsetof(settings, steps), NULL, 1, 100000, "N",
     "steps of a diffusion decoder; without it 25, or 10 for edges"},
    {"seed", 0, TSR_OPT_INT, offsetof(settings, seed), "0", 0, 9e15, "N",
     "noise of a diffusion decoder; the same seed, key and tokens give the same file"},
    {"sampler", 0, TSR_OPT_CHOICE, offsetof(settings, sampler), "ddim", 0, 0, "ddim|ddpm|pndm|plms",
     "how a diffusion decoder goes from step to step"},
    {"eta", 0, TSR_OPT_NUMBER, offsetof(settings, eta), "0", 0, 1, "X",
     "noise that ddim adds on the way: 0 none, 1 as much as ddpm"},
    {"guidance", 0, TSR_OPT_NUMBER, offsetof(settings, guidance), "1", 0, 1000, "X",
     "how far a diffusion decoder moves from what it would do without the tokens; 1 does without, "
     "and others take twice the time"},
    {"compatible", 0, TSR_OPT_FLAG, offsetof(settings, compatible), NULL, 0, 0, NULL,
     "visit the steps that the 4M reference visits also where it miscounts them: more than asked for "
     "with ddim when they do not divide those of training, none at full noise with ddpm"},
    TSR_OPTION_PROGRESS(settings),
    TSR_OPTION_JSON(settings),
};

/* The noise of a line depends on its key, so that files do not depend on the order of lines. */
static tsr_decoding decoding_of(const settings *s, const tsr_token_line *line)
{
    static const char *const samplers[] = {"ddim", "ddpm", "pndm", "plms"};
    return (tsr_decoding){.steps = (size_t)s->steps, .seed = (uint64_t)s->seed,
                          .sample = tsr_hash_name(line->key), .sampler = samplers[s->sampler],
                          .eta = (float)s->eta, .guidance = (float)s->guidance,
                          .compatible = s->compatible, .job = s->job};
}

static tsr_status write_decoded(const settings *s, const tsr_tool *tool, const tsr_token_line *line)
{
    tsr_media media = {0};
    char *path = NULL;
    json_t *v = NULL;
    tsr_status st;
    const tsr_decoding how = decoding_of(s, line);
    st = tsr_tokenizer_decode_with(tool->tokenizer, tool->work, &line->tokens, &how, &media);
    tsr_meter_finish(s->meter);
    TSR_GO(st);
    TSR_GO(tsr_out_name(s->output, line->key, line->space.modality, tsr_onefile_extension(&media),
                        &path));
    TSR_GO(tsr_onefile_write(&media, path));
    if (!s->json) {
        printf("%s\n", path);
        goto out;
    }
    v = json_pack("{s:s, s:s, s:s}", "key", line->key, "modality", line->space.modality, "path",
                  path);
    st = v ? tsr_print_json(v, 0) : TSR_ENOMEM;
out:
    json_decref(v);
    tsr_free(path);
    tsr_media_clear(&media);
    return st;
}

static tsr_status decode_line(const settings *s, const tsr_toolbox *tools, const char *text,
                              size_t bytes, const char *origin)
{
    tsr_token_line line = {0};
    TSR_TRY(tsr_token_line_parse(text, bytes, origin, &line));
    const tsr_tool *tool = tsr_toolbox_find(tools, &line.space);
    tsr_status st;
    if (tool)
        st = write_decoded(s, tool, &line);
    else
        st = tsr_fail_at(TSR_EMISMATCH, __FILE__, __LINE__,
                         "%s: none of the tokenizers given made these %s tokens", origin,
                         line.space.modality);
    tsr_token_line_clear(&line);
    return st;
}

/* A line that cannot be decoded is named and the rest go on, but a wrong tokenizer ends it all. */
static tsr_status decode_stream(const settings *s, const tsr_toolbox *tools, FILE *in,
                                const char *name, size_t *failed)
{
    char *text = NULL, origin[512];
    size_t cap = 0, number = 0;
    ssize_t n;
    tsr_status st = TSR_OK;
    while (tsr_output_open() && (n = getline(&text, &cap, in)) >= 0) {
        snprintf(origin, sizeof origin, "%s, line %zu", name, ++number);
        if (!text[strspn(text, " \t\r\n")])
            continue;
        if ((st = tsr_job_check(s->job)) == TSR_OK)
            st = decode_line(s, tools, text, (size_t)n, origin);
        if (st == TSR_EMISMATCH || st == TSR_ENOMEM || st == TSR_EIO || st == TSR_ECANCEL ||
            st == TSR_EARG)
            break;
        if (st != TSR_OK) {
            tsr_say("%s", tsr_error());
            ++*failed;
        }
        st = TSR_OK;
    }
    free(text); /* getline's own storage */
    return st;
}

static tsr_status decode_operand(const settings *s, const tsr_toolbox *tools, const char *path,
                                 size_t *failed)
{
    if (strcmp(path, "-") == 0)
        return decode_stream(s, tools, stdin, "standard input", failed);
    FILE *f = fopen(path, "r");
    if (!f)
        TSR_FAIL(TSR_ENOENT, "%s: cannot be opened: %s", path, strerror(errno));
    tsr_status st = decode_stream(s, tools, f, path, failed);
    fclose(f);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    settings with = *(const settings *)settings_;
    const settings *s = &with;
    tsr_toolbox tools = {0};
    size_t failed = 0;
    tsr_meter meter;
    tsr_job job;
    tsr_status st;
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    with.job = &job;
    with.meter = &meter;
    if (s->tokenizers.count == 0)
        TSR_GOFAIL(TSR_EARG, "decode: name a tokenizer with -t FILE");
    for (size_t i = 0; i < s->tokenizers.count; i++)
        TSR_GO(tsr_toolbox_add(&tools, s->tokenizers.items[i], s->modality));
    TSR_GO(tsr_make_folders(s->output));
    for (int i = 0; i < n_operands; i++)
        TSR_GO(decode_operand(s, &tools, operands[i], &failed));
    if (n_operands == 0)
        TSR_GO(decode_operand(s, &tools, "-", &failed));
out:
    tsr_meter_finish(&meter);
    tsr_toolbox_clear(&tools);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_decode = {
    .name = "decode",
    .operands = "[TOKENS...]",
    .summary = "turn lines of tokens back into pictures, sounds and texts",
    .details =
        "Reads lines written by tessera encode from files or standard input (-, or no operand), "
        "decodes each with the tokenizer that made it, and writes KEY.MODALITY.EXT into the output "
        "folder, slashes of the key replaced. The names of the files go to standard output. Tokenizers "
        "with a diffusion decoder (published RGB, depth, normals, edges) draw noise and remove it step "
        "by step: --steps, --seed, --sampler, --eta, --guidance and --compatible are for them.",
    .min_operands = 0,
    .max_operands = -1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

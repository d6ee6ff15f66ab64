/* SPDX-License-Identifier: Apache-2.0
 * tessera inspect: what a corpus, a shard or a stream of tokens holds. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/inspect.h"
#include "cli/tokenline.h"
#include "tasks/usage.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOP 1000

typedef struct settings {
    int json, colour;
    long long threads, top, samples;
    const char *sample, *png, *source, *modality;
    tsr_option_list tokenizers;
} settings;

static const tsr_option options[] = {
    {"sample", 0, TSR_OPT_STRING, offsetof(settings, sample), NULL, 0, 0, "KEY",
     "show the sample with this key or number instead of the whole corpus"},
    {"png", 0, TSR_OPT_STRING, offsetof(settings, png), NULL, 0, 0, "FOLDER",
     "write contact sheets there: original, reconstruction, token map"},
    {"samples", 0, TSR_OPT_INT, offsetof(settings, samples), "16", 1, 1000, "N",
     "samples on a contact sheet"},
    {"source", 0, TSR_OPT_STRING, offsetof(settings, source), NULL, 0, 0, "ROOT",
     "folder tree the corpus was made from, for the originals on contact sheets"},
    TSR_OPTION_TOKENIZERS(settings),
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "streams: modality of a published 4M tokenizer, whose file does not say it"},
    {"top", 0, TSR_OPT_INT, offsetof(settings, top), "5", 0, MAX_TOP, "N",
     "most frequent codes to list"},
    TSR_OPTION_COLOUR(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
};

static void print_usage_line(const tsr_usage *u)
{
    const tsr_token_space *s = &u->space;
    char grid[48] = "sequence";
    if (s->layout == TSR_LAYOUT_GRID)
        snprintf(grid, sizeof grid, s->levels > 1 ? "%ux%u x%u" : "%ux%u", s->height, s->width,
                 s->levels);
    if (s->layout == TSR_LAYOUT_PATCHES)
        snprintf(grid, sizeof grid, "%ux%u px%u", s->height, s->width, tsr_space_patch(s));
    printf("%-14s %-10s %8llu %7llu %6llu", s->modality, grid, (unsigned long long)u->present,
           (unsigned long long)u->missing, (unsigned long long)u->failed);
    if (u->codes)
        printf(" %7u/%-7u %6.1f%% %10.1f %6.2f\n", u->used, u->codes, 100.0 * u->used / u->codes,
               u->perplexity, u->entropy_bits);
    else
        printf("  pixels of %u x %u, no codes\n", s->height * tsr_space_patch(s),
               s->width * tsr_space_patch(s));
}

static tsr_status print_details(const tsr_usage *u, const tsr_screen *screen, size_t n)
{
    tsr_code_count top[MAX_TOP];
    size_t have = tsr_usage_top(u, top, n);
    if (!have)
        return TSR_OK;
    printf("\n%s: %u codes never used; most frequent:", u->space.modality,
           u->codes - u->used);
    for (size_t i = 0; i < have; i++)
        printf("  %u (%.2f%%)", top[i].code, 100.0 * (double)top[i].count / (double)u->tokens);
    putchar('\n');
    if (u->space.layout == TSR_LAYOUT_GRID)
        return TSR_OK;
    printf("  lengths: shortest %llu, mean %.1f, longest %llu\n", (unsigned long long)u->shortest,
           (double)u->tokens / (double)u->rows, (unsigned long long)u->longest);
    for (int i = 0; i < TSR_USAGE_LENGTHS; i++) {
        int bar = (int)((double)u->lengths[i] * (screen->columns - 30) / (double)u->rows + 0.5);
        if (u->lengths[i])
            printf("  %s %5d %9llu %.*s\n", i < TSR_USAGE_LENGTHS - 1 ? "<=" : "> ",
                   i < TSR_USAGE_LENGTHS - 1 ? 1 << i : 1 << (i - 1),
                   (unsigned long long)u->lengths[i], bar,
                   "################################################################");
    }
    return TSR_OK;
}

static void print_heading(void)
{
    printf("\n%-14s %-10s %8s %7s %6s %15s %7s %10s %6s\n", "modality", "grid", "present",
           "missing", "failed", "codes used   ", "", "perplexity", "bits");
}

/* Samples by split, in the order the splits first appear. */
static tsr_status split_counts(const tsr_manifest *m, json_t *splits)
{
    for (size_t i = 0; i < m->n_shards; i++) {
        const char *split = m->shards[i].split[0] ? m->shards[i].split : "all";
        json_int_t had = json_integer_value(json_object_get(splits, split));
        TSR_TRY(tsr_json_set(splits, split, json_integer(had + (json_int_t)m->shards[i].samples)));
    }
    return TSR_OK;
}

static tsr_status corpus_json(tsr_corpus *c, json_t **out)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    char digest[TSR_DIGEST_CHARS];
    json_t *splits = json_object(), *ranges = json_array();
    tsr_digest_text(m->corpus, digest);
    json_t *v =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "kind", "corpus", "path",
                  tsr_corpus_path(c), "id", digest, "samples", (json_int_t)tsr_corpus_samples(c),
                  "shards", (json_int_t)m->n_shards, "vocabulary",
                  (json_int_t)tsr_manifest_vocabulary(m), "splits", splits, "ranges", ranges);
    tsr_status st = v ? split_counts(m, splits) : TSR_ENOMEM;
    for (size_t i = 0; i < m->n_ranges && st == TSR_OK; i++)
        st = tsr_json_append(ranges, json_pack("{s:s, s:I, s:I}", "name", m->ranges[i].name, "base",
                                               (json_int_t)m->ranges[i].base, "size",
                                               (json_int_t)m->ranges[i].size));
    if (st != TSR_OK) {
        json_decref(v);
        return st;
    }
    *out = v;
    return TSR_OK;
}

static void print_corpus(const json_t *v, const tsr_manifest *m)
{
    const char *split;
    json_t *count, *range;
    size_t i;
    printf("corpus  %s  (%s)\n", json_string_value(json_object_get(v, "path")),
           json_string_value(json_object_get(v, "id")));
    printf("samples %lld in %zu shard%s:",
           (long long)json_integer_value(json_object_get(v, "samples")), m->n_shards,
           m->n_shards == 1 ? "" : "s");
    json_object_foreach(json_object_get(v, "splits"), split, count)
        printf(" %s %lld", split, (long long)json_integer_value(count));
    printf("\nvocabulary of %u ids:\n", tsr_manifest_vocabulary(m));
    json_array_foreach(json_object_get(v, "ranges"), i, range)
    {
        long long base = json_integer_value(json_object_get(range, "base"));
        long long size = json_integer_value(json_object_get(range, "size"));
        printf("  %9lld .. %-9lld %s:", base, base + size - 1, m->ranges[i].name);
        for (size_t k = 0; k < m->n_modalities; k++)
            if (strcmp(m->modalities[k].space.vocabulary, m->ranges[i].name) == 0)
                printf(" %s", m->modalities[k].space.modality);
        putchar('\n');
    }
}

static void tell(const char *what)
{
    tsr_say("%s", what);
}

/* Usage of all modalities: to the screen, or appended to a list. */
static tsr_status all_usage(tsr_corpus *c, const settings *s, const tsr_screen *screen,
                            json_t *list, uint64_t *damaged)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    tsr_usage *all = NULL;
    tsr_status st;
    TSR_GO(tsr_alloc(&all, m->n_modalities, sizeof *all));
    for (size_t i = 0; i < m->n_modalities; i++) {
        json_t *v;
        TSR_GO(tsr_usage_corpus(c, &m->modalities[i], tell, &all[i]));
        *damaged += all[i].damaged;
        if (!list)
            continue;
        TSR_GO(tsr_usage_json(&all[i], (size_t)s->top, &v));
        TSR_GO(tsr_json_append(list, v));
    }
    if (list)
        goto out;
    print_heading();
    for (size_t i = 0; i < m->n_modalities; i++)
        print_usage_line(&all[i]);
    for (size_t i = 0; i < m->n_modalities; i++)
        TSR_GO(print_details(&all[i], screen, (size_t)s->top));
out:
    for (size_t i = 0; all && i < m->n_modalities; i++)
        tsr_usage_clear(&all[i]);
    tsr_free(all);
    return st;
}

static tsr_status show_corpus(tsr_corpus *c, const settings *s, const tsr_screen *screen)
{
    json_t *v, *list = NULL;
    uint64_t damaged = 0;
    TSR_TRY(corpus_json(c, &v));
    tsr_status st = TSR_OK;
    if (s->json) {
        list = json_array();
        TSR_GO(tsr_json_set(v, "modalities", list));
    } else {
        print_corpus(v, tsr_corpus_manifest(c));
    }
    TSR_GO(all_usage(c, s, screen, list, &damaged));
    if (s->json)
        TSR_GO(tsr_print_json(v, 1));
    if (damaged)
        TSR_GOFAIL(TSR_EMISMATCH,
                   "%s: %llu shard file%s could not be read and %s left out of the counts; "
                   "\"tessera verify\" lists what is wrong",
                   tsr_corpus_path(c), (unsigned long long)damaged, damaged == 1 ? "" : "s",
                   damaged == 1 ? "is" : "are");
out:
    json_decref(v);
    return st;
}

static tsr_status show_sample(tsr_corpus *c, const settings *s, const tsr_toolbox *tools,
                              const tsr_screen *screen)
{
    json_t *v = NULL;
    TSR_TRY(tsr_inspect_sample(c, tools, s->sample, screen, s->json ? &v : NULL));
    tsr_status st = v ? tsr_print_json(v, 1) : TSR_OK;
    json_decref(v);
    return st;
}

static tsr_status write_sheets(tsr_corpus *c, const settings *s, const tsr_toolbox *tools)
{
    json_t *written = json_array(), *path, *v = NULL;
    size_t i;
    tsr_status st = tsr_inspect_sheets(c, tools, s->source, s->png, (size_t)s->samples, written);
    if (st == TSR_OK && s->json) {
        v = json_pack("{s:O}", "sheets", written);
        st = v ? tsr_print_json(v, 1) : TSR_ENOMEM;
    } else if (st == TSR_OK) {
        json_array_foreach(written, i, path) puts(json_string_value(path));
    }
    json_decref(v);
    json_decref(written);
    return st;
}

/* What was named with -t, else the folder "tokenizers" of the corpus where there is one. */
static tsr_status corpus_tools(const settings *s, const tsr_corpus *c, tsr_toolbox *tools)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    for (size_t i = 0; i < s->tokenizers.count; i++)
        TSR_TRY(tsr_toolbox_add_for(tools, s->tokenizers.items[i], m));
    if (s->tokenizers.count)
        return TSR_OK;
    char *folder;
    TSR_TRY(tsr_path_join(&folder, tsr_corpus_path(c), "tokenizers"));
    tsr_status st = tsr_is_folder(folder) ? tsr_toolbox_add_for(tools, folder, m) : TSR_OK;
    tsr_free(folder);
    return st;
}

static tsr_status named_tools(const settings *s, const char *modality, tsr_toolbox *tools)
{
    for (size_t i = 0; i < s->tokenizers.count; i++)
        TSR_TRY(tsr_toolbox_add(tools, s->tokenizers.items[i], modality));
    return TSR_OK;
}

static tsr_status inspect_corpus(const char *path, const settings *s, const tsr_screen *screen)
{
    tsr_corpus *c = NULL;
    tsr_toolbox tools = {0};
    tsr_status st;
    TSR_GO(tsr_corpus_open(path, &c));
    if (s->sample || s->png)
        TSR_GO(corpus_tools(s, c, &tools));
    if (s->png)
        st = write_sheets(c, s, &tools);
    else if (s->sample)
        st = show_sample(c, s, &tools, screen);
    else
        st = show_corpus(c, s, screen);
out:
    tsr_toolbox_clear(&tools);
    tsr_corpus_close(c);
    return st;
}

static tsr_status show_absent(const tsr_shard *shard, unsigned long long row)
{
    printf("row %llu: %s\n", row,
           tsr_shard_present(shard, row) == TSR_FAILED ? "failed" : "missing");
    return TSR_OK;
}

static tsr_status shard_row(const tsr_shard *shard, const settings *s, const tsr_toolbox *tools,
                            const tsr_screen *screen)
{
    const tsr_shard_info *info = tsr_shard_get_info(shard);
    char *end;
    tsr_tokens tokens = {0};
    unsigned long long row = strtoull(s->sample, &end, 10);
    if (*end || end == s->sample || row >= info->samples)
        TSR_FAIL(TSR_ENOENT, "--sample=%s: a shard file has no keys, only rows 0 to %llu",
                 s->sample, (unsigned long long)info->samples - 1);
    TSR_TRY(tsr_shard_take(shard, row, 0, &tokens));
    json_t *v = NULL;
    tsr_status st;
    if (s->json)
        st = tsr_token_line_json(s->sample, &info->space, &tokens, &v);
    else if (tsr_shard_present(shard, row) != TSR_REAL)
        st = show_absent(shard, row);
    else
        st = tsr_inspect_tokens(screen, tools, &info->space, &tokens);
    if (v)
        st = tsr_print_json(v, 0);
    json_decref(v);
    tsr_tokens_clear(&tokens);
    return st;
}

static tsr_status shard_usage(const tsr_shard *shard, const settings *s, const tsr_screen *screen)
{
    const tsr_shard_info *info = tsr_shard_get_info(shard);
    tsr_usage u = {0};
    json_t *v = NULL;
    tsr_status st;
    TSR_GO(tsr_usage_shard(shard, &u));
    if (s->json) {
        TSR_GO(tsr_usage_json(&u, (size_t)s->top, &v));
        TSR_GO(tsr_json_set(v, "kind", json_string("shard")));
        TSR_GO(tsr_json_set(v, "shard", json_integer(info->shard)));
        TSR_GO(tsr_json_set(v, "samples", json_integer((json_int_t)info->samples)));
        TSR_GO(tsr_print_json(v, 1));
        goto out;
    }
    printf("shard %u of %s: %llu samples", info->shard, info->space.modality,
           (unsigned long long)info->samples);
    if (tsr_space_has_codes(&info->space))
        printf(", ids %u .. %u", info->space.base,
               info->space.base + info->space.codebook_size - 1);
    putchar('\n');
    print_heading();
    print_usage_line(&u);
    TSR_GO(print_details(&u, screen, (size_t)s->top));
out:
    json_decref(v);
    tsr_usage_clear(&u);
    return st;
}

static tsr_status inspect_shard(const char *path, const settings *s, const tsr_screen *screen)
{
    tsr_shard *shard = NULL;
    tsr_toolbox tools = {0};
    tsr_status st;
    if (s->png)
        TSR_FAIL(TSR_EARG, "--png: needs a corpus, %s is a file", path);
    TSR_GO(tsr_shard_open(path, &shard));
    if (s->sample)
        TSR_GO(named_tools(s, tsr_shard_get_info(shard)->space.modality, &tools));
    st = s->sample ? shard_row(shard, s, &tools, screen) : shard_usage(shard, s, screen);
out:
    tsr_toolbox_clear(&tools);
    tsr_shard_close(shard);
    return st;
}

static tsr_status inspect_stream(const settings *s, const tsr_screen *screen)
{
    tsr_toolbox tools = {0};
    if (s->json || s->png || s->sample)
        TSR_FAIL(TSR_EARG, "--json, --png and --sample need a corpus or shard; a stream is shown");
    tsr_status st = named_tools(s, s->modality, &tools);
    if (st == TSR_OK)
        st = tsr_inspect_stream(stdin, &tools, screen);
    tsr_toolbox_clear(&tools);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    tsr_screen screen;
    (void)n_operands;
    tsr_screen_init(&screen, (tsr_colour_mode)s->colour);
    tsr_par_set_threads((int)s->threads);
    if (strcmp(operands[0], "-") == 0)
        return tsr_finish(inspect_stream(s, &screen));
    if (tsr_is_folder(operands[0]))
        return tsr_finish(inspect_corpus(operands[0], s, &screen));
    return tsr_finish(inspect_shard(operands[0], s, &screen));
}

const tsr_command tsr_cmd_inspect = {
    .name = "inspect",
    .operands = "CORPUS|SHARD|-",
    .summary = "look into a corpus, a shard or a stream of tokens",
    .details =
        "Of a corpus: contents and vocabulary ranges, and for each modality the codes used and "
        "never "
        "used, perplexity, entropy in bits, most frequent codes and lengths.\n"
        "\n"
        "With --sample one sample: each modality's ids, coloured by a hash so that equal ids look "
        "equal everywhere, and what they decode to where the tokenizer is at hand (-t, or the "
        "folder "
        "tokenizers of the corpus). Patches of pixels, which have no codes, are shown as the "
        "picture "
        "they are.\n"
        "\n"
        "The operand - reads the lines of tessera encode from standard input and shows them as "
        "they "
        "arrive.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

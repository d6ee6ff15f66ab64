/* SPDX-License-Identifier: Apache-2.0
 * tessera encode: files to tokens, one line of JSON each. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/cropping.h"
#include "cli/tokenline.h"
#include "pipeline/onefile.h"
#include "pipeline/toolbox.h"
#include "shards/manifest.h"

#include <string.h>

typedef struct settings {
    long long threads;
    const char *modality, *corpus, *from, *crop;
    tsr_option_list tokenizers, with;
} settings;

static const tsr_option options[] = {
    {"tokenizer", 't', TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "FILE",
     "tokenizer to encode with; repeat for more, each file goes through all of them"},
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "modality of a published 4M tokenizer, whose file does not say it"},
    {"with", 'w', TSR_OPT_LIST, offsetof(settings, with), NULL, 0, 0, "FILE",
     "another file of the same sample, such as the record beside a picture"},
    TSR_OPTION_FROM(settings),
    TSR_OPTION_CROP(settings),
    {"corpus", 0, TSR_OPT_STRING, offsetof(settings, corpus), NULL, 0, 0, "FOLDER",
     "corpus whose vocabulary gives the global ids; without it they equal the local ones"},
    TSR_OPTION_THREADS(settings),
};

/* Files in flight, each as often as there are crops: their tokens, or the sentence of their failure. */
typedef struct batch {
    const settings *set;
    const tsr_cropping *cropping;
    const tsr_tokenizer *tokenizer;
    tsr_token_space space;
    tsr_tokenizer_work **works; /* [threads] */
    char *const *files;
    size_t first, crops; /* item i is file (first + i) / crops */
    tsr_tokens *tokens;
    char **failures;
} batch;

/* A failed file is kept for the report; the loop goes on unless memory is short. */
static tsr_status encode_file(void *ctx, size_t i, int lane)
{
    const batch *b = ctx;
    const char *paths[4] = {b->files[(b->first + i) / b->crops]};
    const tsr_inputs as =
        tsr_cropping_inputs(b->cropping, (b->first + i) % b->crops, b->set->from);
    size_t n = 1;
    for (; n <= b->set->with.count; n++)
        paths[n] = b->set->with.items[n - 1];
    tsr_status st = tsr_onefile_encode(b->tokenizer, b->works[lane], paths, n, &as, &b->tokens[i]);
    if (st == TSR_OK || st == TSR_ENOMEM)
        return st;
    return tsr_strdup(&b->failures[i], tsr_error());
}

/* The file's name; with rows of stored crops also which: a.crop1.png. */
static tsr_status print_tokens(const batch *b, size_t i)
{
    const char *file = b->files[(b->first + i) / b->crops], *end = tsr_path_extension(file);
    int stem = (int)(*end ? end - 1 - file : (ptrdiff_t)strlen(file));
    char *key = NULL;
    json_t *v = NULL;
    tsr_status st = TSR_OK;
    if (b->cropping->stored)
        TSR_GO(tsr_format(&key, "%.*s.crop%zu%s", stem, file, (b->first + i) % b->crops,
                          file + stem));
    TSR_GO(tsr_token_line_json(key ? key : file, &b->space, &b->tokens[i], &v));
    TSR_GO(tsr_print_json(v, 0));
out:
    json_decref(v);
    tsr_free(key);
    return st;
}

static tsr_status print_batch(const batch *b, size_t n, size_t *failed)
{
    for (size_t i = 0; i < n && tsr_output_open(); i++) {
        if (b->failures[i]) {
            tsr_say("%s", b->failures[i]);
            ++*failed;
            continue;
        }
        TSR_TRY(print_tokens(b, i));
    }
    return TSR_OK;
}

static tsr_status encode_batch(batch *b, size_t n, size_t *failed)
{
    tsr_status st;
    TSR_GO(tsr_alloc(&b->tokens, n, sizeof *b->tokens));
    TSR_GO(tsr_alloc(&b->failures, n, sizeof *b->failures));
    TSR_GO(tsr_par_for(n, encode_file, b));
    TSR_GO(print_batch(b, n, failed));
out:
    for (size_t i = 0; b->tokens && i < n; i++)
        tsr_tokens_clear(&b->tokens[i]);
    for (size_t i = 0; b->failures && i < n; i++)
        tsr_free(b->failures[i]);
    tsr_free(b->tokens);
    tsr_free(b->failures);
    b->tokens = NULL;
    b->failures = NULL;
    return st;
}

/* The tokenizer's space, with the base it has in a corpus. */
static tsr_status find_space(const settings *s, const tsr_tokenizer *t, tsr_token_space *out)
{
    const tsr_token_space *own = tsr_tokenizer_space(t);
    tsr_manifest m = {0};
    *out = *own;
    if (!s->corpus)
        return TSR_OK;
    TSR_TRY(tsr_manifest_read(s->corpus, &m));
    const tsr_modality *found = tsr_manifest_modality(&m, own->modality);
    int same = found && tsr_digest_equal(found->space.tokenizer, own->tokenizer);
    if (same)
        out->base = found->space.base;
    tsr_manifest_clear(&m);
    if (!same)
        TSR_FAIL(TSR_EMISMATCH, "%s: its %s tokens were not made by this tokenizer", s->corpus,
                 own->modality);
    return TSR_OK;
}

/* Batches are small, so that a reader of the pipe sees lines soon. */
static tsr_status encode_all(const settings *s, const tsr_tokenizer *t, const tsr_cropping *cropping,
                             int n_files, char *const *files, size_t *failed)
{
    size_t threads = (size_t)tsr_par_threads(), step = threads * 2;
    size_t crops = cropping->count ? cropping->count : 1, n = (size_t)n_files * crops;
    batch b = {.set = s, .tokenizer = t, .cropping = cropping, .files = files, .crops = crops};
    tsr_status st;
    TSR_GO(find_space(s, t, &b.space));
    TSR_GO(tsr_alloc(&b.works, threads, sizeof *b.works));
    for (size_t i = 0; i < threads; i++)
        TSR_GO(tsr_tokenizer_work_create(t, &b.works[i]));
    for (size_t i = 0; i < n && tsr_output_open(); i += step) {
        b.first = i;
        TSR_GO(encode_batch(&b, n - i < step ? n - i : step, failed));
    }
out:
    for (size_t i = 0; b.works && i < threads; i++)
        tsr_tokenizer_work_destroy(b.works[i]);
    tsr_free(b.works);
    return st;
}

static tsr_status check(const settings *s, int n)
{
    if (s->tokenizers.count == 0)
        TSR_FAIL(TSR_EARG, "encode: name a tokenizer with -t FILE");
    if (s->with.count && n != 1)
        TSR_FAIL(TSR_EARG, "--with belongs to one file, %d were given", n);
    if (s->with.count > 3)
        TSR_FAIL(TSR_EARG, "--with: at most 3 further files");
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    size_t failed = 0;
    tsr_cropping cropping;
    tsr_par_set_threads((int)s->threads);
    tsr_status st = check(s, n_operands);
    if (st == TSR_OK)
        st = tsr_cropping_read(s->crop, &cropping);
    for (size_t i = 0; i < s->tokenizers.count && st == TSR_OK; i++) {
        tsr_tokenizer *t = NULL;
        st = tsr_tokenizer_open(s->tokenizers.items[i], s->modality, &t);
        if (st == TSR_OK)
            st = encode_all(s, t, &cropping, n_operands, operands, &failed);
        tsr_tokenizer_destroy(t);
    }
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_encode = {
    .name = "encode",
    .operands = "FILE...",
    .summary = "turn files into tokens, one line of JSON each",
    .details = "Each line holds the file's name, the modality, the grid, the local ids and the "
               "global ids. "
               "tessera decode and tessera inspect - read such lines.\n"
               "\n"
               "Tokenizers of Canny edges (published ones of modality canny_edge, and those with the "
               "setting derive: canny) read edge maps; with --from rgb they find the edges of "
               "pictures first, at the size the file has. --crop with a .npy of several rows gives a line "
               "for each, with keys like photo.crop0.png.\n"
               "\n"
               "A file that cannot be encoded is named on standard error and the rest go on; the "
               "exit code "
               "is then 4.",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

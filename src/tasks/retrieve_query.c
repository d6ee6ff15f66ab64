/* SPDX-License-Identifier: Apache-2.0
 * Vectors of queries: a row's own, that of tokens, or the mean of predictions. */
#include "base/mem.h"
#include "base/par.h"
#include "codecs/codec.h"
#include "pipeline/onefile.h"
#include "tasks/retrieve_work.h"

#include <math.h>
#include <string.h>

/* ---- the index's own modality -----------------------------------------------------------------*/

/* Numbers as they are, for an index of features. */
static tsr_status read_feature(const tsr_retrieve_work *w, float *out)
{
    const tsr_read_options options = {.as_vector = 1};
    size_t width = tsr_index_width(w->index);
    tsr_media m = {0};
    tsr_status st;
    if (!w->value || w->literal)
        TSR_FAIL(TSR_EARG, "%s holds features: ask with %s=FILE.npy or row=KEY",
                 tsr_index_path(w->index), w->modality);
    TSR_GO(tsr_media_read(w->value, &options, &m));
    if (m.kind != TSR_MEDIA_VECTOR || m.as.vector.count != width)
        TSR_GOFAIL(TSR_EFORMAT, "%s: expected a .npy of %zu numbers", w->value, width);
    for (size_t i = 0; i < width; i++)
        if (!isfinite(m.as.vector.data[i]))
            TSR_GOFAIL(TSR_ENUMERIC, "%s: number %zu is not finite", w->value, i);
    memcpy(out, m.as.vector.data, width * sizeof *out);
out:
    tsr_media_clear(&m);
    return st;
}

/* Tokens of a file or of text. */
static tsr_status encode(const tsr_retrieve_work *w, tsr_tokens *out)
{
    if (!w->tool)
        TSR_FAIL(TSR_ENOENT, "no tokenizer encodes %s for %s; name it with --tokenizers",
                 w->modality, tsr_index_path(w->index));
    if (w->literal)
        return tsr_gen_literal(w->tool, w->modality, w->value, out);
    tsr_status st = tsr_onefile_encode(w->tool->tokenizer, w->tool->work, &w->value, 1, NULL, out);
    if (st == TSR_ENOENT && w->space.layout == TSR_LAYOUT_SEQUENCE)
        TSR_FAIL(TSR_ENOENT, "%s: no such file; for words as they stand write %s:=WORDS", w->value,
                 w->modality);
    return st;
}

/* Tokens of a sample of the corpus. */
static tsr_status read_sample(tsr_retrieve_work *w, uint64_t sample, tsr_tokens *out)
{
    const tsr_modality *there = tsr_manifest_modality(tsr_corpus_manifest(w->corpus), w->modality);
    tsr_present present;
    if (!there || !tsr_digest_equal(there->space.tokenizer, w->space.tokenizer))
        TSR_FAIL(TSR_EMISMATCH, "%s does not have the %s that %s was made of", w->corpus_path,
                 w->modality, tsr_index_path(w->index));
    TSR_TRY(tsr_corpus_read(w->corpus, w->modality, sample, 0, out, &present));
    if (present == TSR_REAL)
        return TSR_OK;
    tsr_tokens_clear(out);
    TSR_FAIL(TSR_ENOENT, "%s: the sample has no %s", w->corpus_path, w->modality);
}

static tsr_status direct(tsr_retrieve_work *w, const uint64_t *sample, float *out)
{
    tsr_tokens t = {0};
    if (w->kind == TSR_VECTORS_FEATURES) {
        TSR_TRY(read_feature(w, out));
    } else {
        TSR_TRY(w->value ? encode(w, &t) : read_sample(w, *sample, &t));
        tsr_status st = tsr_vectors_make(w->maker, 0, t.ids, t.count, out);
        tsr_tokens_clear(&t);
        TSR_TRY(st);
    }
    tsr_index_adapt(w->index, out);
    return TSR_OK;
}

/* ---- predictions ------------------------------------------------------------------------------*/

typedef struct means {
    tsr_retrieve_work *w;
    const tsr_tokens *tokens; /* [n, variants] */
    size_t variants;
    float **scratch, *out;
} means;

static tsr_status mean_of(void *ctx, size_t i, int lane)
{
    const means *c = ctx;
    float *out = c->out + i * tsr_index_width(c->w->index);
    TSR_TRY(tsr_index_mean(c->w->maker, lane, c->tokens + i * c->variants, c->variants,
                           c->scratch[lane], out));
    tsr_index_adapt(c->w->index, out);
    return TSR_OK;
}

static tsr_status predicted(tsr_retrieve_work *w, const tsr_gen_item *items, size_t n, float *out)
{
    size_t variants = w->predictor.generation.variants, all, lanes = (size_t)tsr_par_team();
    tsr_tokens *tokens = NULL;
    float **scratch = NULL;
    tsr_status st;
    TSR_TRY(tsr_mul_size(n, variants, &all));
    TSR_GO(tsr_alloc(&tokens, all, sizeof *tokens));
    TSR_GO(tsr_alloc(&scratch, lanes, sizeof *scratch));
    for (size_t i = 0; i < lanes; i++)
        TSR_GO(tsr_alloc(&scratch[i], tsr_index_width(w->index), sizeof **scratch));
    TSR_GO(tsr_predictor_run(&w->predictor, items, n, tokens));
    means c = {.w = w, .tokens = tokens, .variants = variants, .scratch = scratch, .out = out};
    st = tsr_par_for(n, mean_of, &c);
out:
    for (size_t i = 0; scratch && i < lanes; i++)
        tsr_free(scratch[i]);
    for (size_t i = 0; tokens && i < all; i++)
        tsr_tokens_clear(&tokens[i]);
    tsr_free(scratch);
    tsr_free(tokens);
    return st;
}

/* ---- all --------------------------------------------------------------------------------------*/

tsr_status tsr_retrieve_vector(tsr_retrieve_work *w, const uint64_t *sample, tsr_gen_item *item,
                               float *out)
{
    size_t row;
    if (w->way == TSR_QUERY_ROW) {
        TSR_TRY(tsr_index_find(w->index, w->row, &row));
        return tsr_index_vector(w->index, row, out);
    }
    if (w->predictor.work)
        TSR_TRY(tsr_gen_fill(w->predictor.work, sample, NULL, item));
    return w->way == TSR_QUERY_DIRECT ? direct(w, sample, out) : predicted(w, item, 1, out);
}

tsr_status tsr_retrieve_vectors(tsr_retrieve_work *w, const uint64_t *samples, size_t n,
                                tsr_gen_item *items, float *out)
{
    for (size_t i = 0; i < n && w->predictor.work; i++)
        TSR_TRY(tsr_gen_fill(w->predictor.work, &samples[i], NULL, &items[i]));
    for (size_t i = 0; i < n && w->way == TSR_QUERY_DIRECT; i++)
        TSR_TRY(direct(w, &samples[i], out + i * tsr_index_width(w->index)));
    return w->way == TSR_QUERY_DIRECT ? TSR_OK : predicted(w, items, n, out);
}

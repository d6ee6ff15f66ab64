/* SPDX-License-Identifier: Apache-2.0
 * The vectors of an index: from stored tokens, from predictions, from files. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "codecs/codec.h"
#include "tasks/index_work.h"

#include <math.h>
#include <string.h>

#define CHUNK 1024 /* samples between reports */

static void report(const tsr_index_work *w, size_t done)
{
    tsr_job_report(w->spec->job, &(tsr_progress){.phase = "index",
                                                 .done = (int64_t)done,
                                                 .total = (int64_t)w->rows,
                                                 .unit = "samples"});
}

static tsr_status alloc_rows(tsr_index_work *w)
{
    size_t values;
    TSR_TRY(tsr_mul_size(w->rows, w->width, &values));
    TSR_TRY(tsr_alloc(&w->present, w->rows, 1));
    return tsr_alloc(&w->vectors, values, sizeof *w->vectors);
}

tsr_status tsr_index_mean(tsr_vectors *maker, int lane, const tsr_tokens *variants, size_t n,
                          float *scratch, float *out)
{
    size_t width = tsr_vectors_width(maker);
    TSR_TRY(tsr_vectors_make(maker, lane, variants[0].ids, variants[0].count, out));
    for (size_t k = 1; k < n; k++) {
        TSR_TRY(tsr_vectors_make(maker, lane, variants[k].ids, variants[k].count, scratch));
        for (size_t i = 0; i < width; i++)
            out[i] += scratch[i];
    }
    for (size_t i = 0; n > 1 && i < width; i++)
        out[i] /= (float)n;
    return TSR_OK;
}

/* ---- stored -----------------------------------------------------------------------------------*/

typedef struct chunk {
    tsr_index_work *w;
    size_t first;
    /* of predictions */
    const size_t *rows;       /* [n] */
    const tsr_tokens *tokens; /* [n, variants] */
    size_t variants;
    float **scratch; /* [lanes] */
} chunk;

static tsr_status store_row(void *ctx, size_t i, int lane)
{
    const chunk *c = ctx;
    tsr_index_work *w = c->w;
    size_t row = c->first + i;
    tsr_tokens t = {0};
    tsr_present present;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_corpus_read(w->corpus, w->space.modality, w->samples[row], 0, &t, &present));
    w->present[row] = present == TSR_REAL;
    if (present == TSR_REAL)
        st = tsr_vectors_make(w->maker, lane, t.ids, t.count, w->vectors + row * w->width);
    tsr_tokens_clear(&t);
    return st == TSR_OK ? st : tsr_context(st, "sample %s", w->keys[row]);
}

tsr_status tsr_index_stored(tsr_index_work *w)
{
    TSR_TRY(alloc_rows(w));
    for (size_t i = 0; i < w->rows; i += CHUNK) {
        chunk c = {.w = w, .first = i};
        TSR_TRY(tsr_job_check(w->spec->job));
        TSR_TRY(tsr_par_for(w->rows - i < CHUNK ? w->rows - i : CHUNK, store_row, &c));
        report(w, i + CHUNK < w->rows ? i + CHUNK : w->rows);
    }
    return TSR_OK;
}

/* ---- predicted --------------------------------------------------------------------------------*/

static tsr_status predicted_row(void *ctx, size_t i, int lane)
{
    const chunk *c = ctx;
    float *out = c->w->vectors + c->rows[i] * c->w->width;
    return tsr_index_mean(c->w->maker, lane, c->tokens + i * c->variants, c->variants,
                          c->scratch[lane], out);
}

/* Samples [first, first + n): those that have all conditions. items [n] zeroed, tokens [n,
 * variants] zeroed, rows [n]. */
static tsr_status predict(tsr_index_work *w, size_t first, size_t n, tsr_gen_item *items,
                          tsr_tokens *tokens, size_t *rows, float **scratch)
{
    chunk c = {.w = w,
               .rows = rows,
               .tokens = tokens,
               .variants = w->predictor.generation.variants,
               .scratch = scratch};
    size_t have = 0;
    for (size_t i = 0; i < n; i++) {
        tsr_status st = tsr_gen_fill(w->predictor.work, &w->samples[first + i], NULL, &items[have]);
        if (st == TSR_ENOENT) {
            tsr_gen_item_clear(&items[have]);
            continue;
        }
        TSR_TRY(st);
        w->present[first + i] = 1;
        rows[have++] = first + i;
    }
    TSR_TRY(tsr_predictor_run(&w->predictor, items, have, tokens));
    return tsr_par_for(have, predicted_row, &c);
}

tsr_status tsr_index_predicted(tsr_index_work *w)
{
    size_t group = w->predictor.generation.batch, variants = w->predictor.generation.variants;
    size_t lanes = (size_t)tsr_par_team(), *rows = NULL;
    tsr_gen_item *items = NULL;
    tsr_tokens *tokens = NULL;
    float **scratch = NULL;
    tsr_status st;
    TSR_GO(alloc_rows(w));
    TSR_GO(tsr_alloc(&items, group, sizeof *items));
    TSR_GO(tsr_alloc(&tokens, group * variants, sizeof *tokens));
    TSR_GO(tsr_alloc(&rows, group, sizeof *rows));
    TSR_GO(tsr_alloc(&scratch, lanes, sizeof *scratch));
    for (size_t i = 0; i < lanes; i++)
        TSR_GO(tsr_alloc(&scratch[i], w->width, sizeof **scratch));
    for (size_t i = 0; i < w->rows && st == TSR_OK; i += group) {
        size_t n = w->rows - i < group ? w->rows - i : group;
        st = predict(w, i, n, items, tokens, rows, scratch);
        for (size_t k = 0; k < n; k++)
            tsr_gen_item_clear(&items[k]);
        for (size_t k = 0; k < n * variants; k++)
            tsr_tokens_clear(&tokens[k]);
        report(w, i + n);
    }
out:
    for (size_t i = 0; scratch && i < lanes; i++)
        tsr_free(scratch[i]);
    tsr_free(scratch);
    tsr_free(rows);
    tsr_free(tokens);
    tsr_free(items);
    return st;
}

/* ---- features ---------------------------------------------------------------------------------*/

static tsr_status check_finite(const float *v, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            TSR_FAIL(TSR_ENUMERIC, "%s: number %zu is not finite", path, i);
    return TSR_OK;
}

static tsr_status read_numbers(const char *path, tsr_media *out)
{
    const tsr_read_options all = {
        .as_vector = 1, .max_bytes = (size_t)1 << 40, .max_samples = (size_t)1 << 38};
    TSR_TRY(tsr_media_read(path, &all, out));
    if (out->kind != TSR_MEDIA_VECTOR || out->as.vector.count == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: features are numbers in a .npy", path);
    return check_finite(out->as.vector.data, out->as.vector.count, path);
}

/* One array: a row for each sample. */
static tsr_status features_of_file(tsr_index_work *w)
{
    const char *path = w->spec->features;
    tsr_media m = {0};
    tsr_status st;
    TSR_GO(read_numbers(path, &m));
    if (m.as.vector.dims != 2 || m.as.vector.shape[0] != w->rows)
        TSR_GOFAIL(TSR_EFORMAT,
                   "%s: expected an array of two dimensions with one row for each of the %zu "
                   "samples",
                   path, w->rows);
    w->width = m.as.vector.shape[1];
    TSR_GO(alloc_rows(w));
    memcpy(w->vectors, m.as.vector.data, m.as.vector.count * sizeof *w->vectors);
    memset(w->present, 1, w->rows);
out:
    tsr_media_clear(&m);
    return st;
}

/* The file of one sample, which may lack; the first decides how many numbers there are. */
static tsr_status feature_of_sample(tsr_index_work *w, size_t row)
{
    char *path = NULL;
    tsr_media m = {0};
    tsr_status st;
    TSR_GO(tsr_format(&path, "%s/%s.npy", w->spec->features, w->keys[row]));
    if (!tsr_file_exists(path))
        goto out;
    TSR_GO(read_numbers(path, &m));
    if (w->width == 0) {
        w->width = m.as.vector.count;
        TSR_GO(alloc_rows(w));
    }
    if (m.as.vector.count != w->width)
        TSR_GOFAIL(TSR_EFORMAT, "%s: %zu numbers, the files before it have %zu", path,
                   m.as.vector.count, w->width);
    memcpy(w->vectors + row * w->width, m.as.vector.data, w->width * sizeof *w->vectors);
    w->present[row] = 1;
out:
    tsr_media_clear(&m);
    tsr_free(path);
    return st;
}

tsr_status tsr_index_features(tsr_index_work *w)
{
    if (!tsr_is_folder(w->spec->features))
        return features_of_file(w);
    for (size_t i = 0; i < w->rows; i++) {
        TSR_TRY(tsr_job_check(w->spec->job));
        TSR_TRY(feature_of_sample(w, i));
        if (i % CHUNK == 0 || i + 1 == w->rows)
            report(w, i + 1);
    }
    if (w->width == 0)
        TSR_FAIL(TSR_ENOENT, "%s: holds KEY.npy of no sample (such as %s.npy)", w->spec->features,
                 w->keys[0]);
    return TSR_OK;
}

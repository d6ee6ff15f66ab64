/* SPDX-License-Identifier: Apache-2.0
 * A file of vectors to search in: one row a sample, with its key, and all that is needed to make
 * the vector of a query in the same way. Format: tessera-index(1), section FILE FORMAT. */
#ifndef TSR_TASKS_VECTORINDEX_H
#define TSR_TASKS_VECTORINDEX_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/safetensors.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_INDEX_VERSION 1
#define TSR_INDEX_TILE    16 /* queries that are compared at once */

/* What is written. All borrowed. */
typedef struct tsr_index_content {
    const json_t *about;     /* object: how the vectors were made; what is in it is the caller's */
    size_t rows, width;      /* N >= 1, D >= 1 */
    const float *vectors;    /* [N, D] of length 1, or 0 where a sample has no direction */
    const uint64_t *samples; /* [N] numbers in the corpus */
    char *const *keys;       /* [N] */
    const float *centre;     /* [D] what was subtracted before the length was made 1; or NULL */
    const uint32_t *terms;   /* [D] ids that are counted, ascending, with their weights; or NULL */
    const float *weights;    /* [D] */
} tsr_index_content;

/* Write by rename. The same content gives the same bytes. Errors: TSR_EARG for a key that cannot be
 * one, TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_index_write(const char *path, const tsr_index_content *c);

typedef struct tsr_index tsr_index;

/* 1 when the open file looks like an index. */
int tsr_index_is_file(const tsr_safetensors *f);

/* Map a file and check everything but the vectors, which are checked block by block when they are
 * searched.
 * Errors   TSR_ENOENT, TSR_EIO; TSR_EFORMAT no index, or parts that do not fit together;
 *          TSR_EMISMATCH what was changed since it was written; TSR_EUNSUPPORTED a later version.
 */
TSR_USE tsr_status tsr_index_open(const char *path, tsr_index **out);
void tsr_index_close(tsr_index *x);

/* All borrowed until close. row < rows. */
const char *tsr_index_path(const tsr_index *x);
const json_t *tsr_index_about(const tsr_index *x);
size_t tsr_index_rows(const tsr_index *x);
size_t tsr_index_width(const tsr_index *x);
const char *tsr_index_key(const tsr_index *x, size_t row);
uint64_t tsr_index_sample(const tsr_index *x, size_t row);
const float *tsr_index_centre(const tsr_index *x);   /* or NULL */
const uint32_t *tsr_index_terms(const tsr_index *x); /* or NULL, then no weights either */
const float *tsr_index_weights(const tsr_index *x);

/* The first row of a key, or of the number of a row when no key reads so. TSR_ENOENT. */
TSR_USE tsr_status tsr_index_find(const tsr_index *x, const char *name, size_t *row);

/* Vector [D] of a row, checked. Errors: TSR_EMISMATCH when it was changed. */
TSR_USE tsr_status tsr_index_vector(const tsr_index *x, size_t row, float *out);

/* Length 1 for v [D]; a vector without a direction, or one that is not finite, becomes 0. */
void tsr_index_unit(float *v, size_t width);

/* Subtract the centre, if there is one, and make the length 1: a query like the rows. */
void tsr_index_adapt(const tsr_index *x, float *v);

/* One block of rows and at most TSR_INDEX_TILE queries: scores[i * TSR_INDEX_TILE + j] is the
 * cosine of row first + i and query tile + j. Called from any thread, once for each block and tile;
 * lane as in tsr_par_for. */
typedef void (*tsr_index_visit)(void *ctx, size_t first, size_t rows, size_t tile, size_t queries,
                                const float *scores, int lane);

/* Compare queries [n, D] of length 1 with every row. A score is a function of its row and its
 * query: not of other queries, nor of threads; sums are float32. Errors   TSR_EMISMATCH rows that
 * were changed since they were written, TSR_ECANCEL, TSR_ENOMEM. */
TSR_USE tsr_status tsr_index_scan(const tsr_index *x, const float *queries, size_t n,
                                  tsr_index_visit visit, void *ctx, const tsr_job *job);

/* One result. */
typedef struct tsr_hit {
    size_t row;
    float score;
} tsr_hit;

/* The k best rows of each query, best first, ties by row: hits [n, k], k <= rows. Errors: as
 * tsr_index_scan. */
TSR_USE tsr_status tsr_index_best(const tsr_index *x, const float *queries, size_t n, size_t k,
                                  tsr_hit *hits, const tsr_job *job);

/* Rank of row targets[i] for query i, best 1: one more than the rows that score higher, and half a
 * rank for each other row that scores the same. Errors: as tsr_index_scan. */
TSR_USE tsr_status tsr_index_ranks(const tsr_index *x, const float *queries, size_t n,
                                   const size_t *targets, double *ranks, const tsr_job *job);

#endif

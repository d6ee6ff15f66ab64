/* SPDX-License-Identifier: Apache-2.0
 * The search in an index: exact, by blocks of rows and tiles of queries, each a product of one
 * fixed shape, so that a score does not depend on what else is computed. */
#include "base/mem.h"
#include "base/par.h"
#include "nn/gemm.h"
#include "tasks/vectorindex_file.h"

#include <math.h>
#include <string.h>

typedef struct scan {
    const tsr_index *x;
    const tsr_gemm *product;
    tsr_pack **tiles; /* [n_tiles] */
    size_t n, n_tiles;
    float **rows, **scores; /* [lanes] a last block that is not full; and results */
    void **scratch;         /* [lanes] */
    int lanes;
    tsr_index_visit visit;
    void *ctx;
    const tsr_job *job;
} scan;

static void clear(scan *s)
{
    for (size_t t = 0; s->tiles && t < s->n_tiles; t++)
        tsr_pack_destroy(s->tiles[t]);
    for (int i = 0; i < s->lanes; i++) {
        tsr_free(s->rows ? s->rows[i] : NULL);
        tsr_free(s->scores ? s->scores[i] : NULL);
        tsr_free(s->scratch ? s->scratch[i] : NULL);
    }
    tsr_free(s->tiles);
    tsr_free(s->rows);
    tsr_free(s->scores);
    tsr_free(s->scratch);
}

/* Queries as columns, those that are missing in the last tile zero. */
static tsr_status pack(scan *s, const float *queries)
{
    size_t width = s->x->width;
    float *tile = NULL;
    tsr_status st;
    TSR_GO(tsr_alloc(&tile, TSR_INDEX_TILE * width, sizeof *tile));
    for (size_t t = 0; t < s->n_tiles; t++) {
        size_t first = t * TSR_INDEX_TILE, n = s->n - first;
        n = n < TSR_INDEX_TILE ? n : TSR_INDEX_TILE;
        memset(tile, 0, TSR_INDEX_TILE * width * sizeof *tile);
        memcpy(tile, queries + first * width, n * width * sizeof *tile);
        TSR_GO(tsr_pack_create(s->product, &s->tiles[t]));
        TSR_GO(tsr_pack_fill(s->tiles[t], tile, 1, width));
    }
out:
    tsr_free(tile);
    return st;
}

static tsr_status prepare(scan *s, const float *queries)
{
    size_t width = s->x->width, lanes = (size_t)s->lanes;
    const tsr_gemm_spec spec = {.m = TSR_INDEX_BLOCK,
                                .n = TSR_INDEX_TILE,
                                .k = width,
                                .ab = TSR_F32,
                                .c = TSR_F32,
                                .a_row = width,
                                .a_col = 1,
                                .c_row = TSR_INDEX_TILE};
    TSR_TRY(tsr_gemm_get(&spec, &s->product));
    TSR_TRY(tsr_alloc(&s->tiles, s->n_tiles, sizeof *s->tiles));
    TSR_TRY(tsr_alloc(&s->rows, lanes, sizeof *s->rows));
    TSR_TRY(tsr_alloc(&s->scores, lanes, sizeof *s->scores));
    TSR_TRY(tsr_alloc(&s->scratch, lanes, sizeof *s->scratch));
    for (size_t i = 0; i < lanes; i++) {
        TSR_TRY(tsr_alloc(&s->rows[i], TSR_INDEX_BLOCK * width, sizeof **s->rows));
        TSR_TRY(tsr_alloc(&s->scores[i], TSR_INDEX_BLOCK * TSR_INDEX_TILE, sizeof **s->scores));
        TSR_TRY(tsr_alloc(&s->scratch[i], tsr_gemm_scratch(s->product) + 1, 1));
    }
    return pack(s, queries);
}

static tsr_status scan_block(void *ctx, size_t block, int lane)
{
    scan *s = ctx;
    const tsr_index *x = s->x;
    size_t first = block * TSR_INDEX_BLOCK, rows = x->rows - first;
    const float *a = x->vectors + first * x->width;
    rows = rows < TSR_INDEX_BLOCK ? rows : TSR_INDEX_BLOCK;
    TSR_TRY(tsr_job_check(s->job));
    TSR_TRY(tsr_index_check_block(x, block));
    if (rows < TSR_INDEX_BLOCK) {
        memcpy(s->rows[lane], a, rows * x->width * sizeof *a);
        a = s->rows[lane];
    }
    for (size_t t = 0; t < s->n_tiles; t++) {
        size_t n = s->n - t * TSR_INDEX_TILE;
        tsr_gemm_run(s->product, a, NULL, s->tiles[t], NULL, s->scores[lane], s->scratch[lane]);
        s->visit(s->ctx, first, rows, t * TSR_INDEX_TILE, n < TSR_INDEX_TILE ? n : TSR_INDEX_TILE,
                 s->scores[lane], lane);
    }
    return TSR_OK;
}

tsr_status tsr_index_scan(const tsr_index *x, const float *queries, size_t n, tsr_index_visit visit,
                          void *ctx, const tsr_job *job)
{
    scan s = {.x = x,
              .n = n,
              .n_tiles = (n + TSR_INDEX_TILE - 1) / TSR_INDEX_TILE,
              .lanes = tsr_par_team(),
              .visit = visit,
              .ctx = ctx,
              .job = job};
    tsr_status st;
    TSR_GO(prepare(&s, queries));
    TSR_GO(tsr_par_for((x->rows + TSR_INDEX_BLOCK - 1) / TSR_INDEX_BLOCK, scan_block, &s));
out:
    clear(&s);
    return st;
}

/* ---- the best ---------------------------------------------------------------------------------*/

typedef struct best {
    size_t n, k;
    tsr_hit *heaps; /* [lanes, n, k] worst first */
    size_t *counts; /* [lanes, n] */
} best;

/* 1 when a comes after b in a list of results. */
static int worse(const tsr_hit *a, const tsr_hit *b)
{
    return a->score < b->score || (a->score == b->score && a->row > b->row);
}

/* Restore the order of a heap of n below `at`: a parent is worse than its children. */
static void sink(tsr_hit *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && worse(&heap[child + 1], &heap[child]);
        if (!worse(&heap[child], &heap[at]))
            return;
        tsr_hit swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
    }
}

static void offer(tsr_hit *heap, size_t *n, size_t k, tsr_hit hit)
{
    if (*n < k) {
        size_t at = (*n)++;
        heap[at] = hit;
        for (; at > 0 && worse(&heap[at], &heap[(at - 1) / 2]); at = (at - 1) / 2) {
            tsr_hit swap = heap[at];
            heap[at] = heap[(at - 1) / 2];
            heap[(at - 1) / 2] = swap;
        }
    } else if (worse(&heap[0], &hit)) {
        heap[0] = hit;
        sink(heap, k, 0);
    }
}

static void visit_best(void *ctx, size_t first, size_t rows, size_t tile, size_t queries,
                       const float *scores, int lane)
{
    best *b = ctx;
    for (size_t j = 0; j < queries; j++) {
        size_t at = (size_t)lane * b->n + tile + j;
        for (size_t i = 0; i < rows; i++) {
            float score = scores[i * TSR_INDEX_TILE + j];
            tsr_hit hit = {first + i, isnan(score) ? -INFINITY : score};
            offer(b->heaps + at * b->k, &b->counts[at], b->k, hit);
        }
    }
}

/* The heaps of all lanes into that of the first, and that in order. */
static void merge(best *b, size_t lanes, size_t query, tsr_hit *out)
{
    tsr_hit *heap = b->heaps + query * b->k;
    size_t n = b->counts[query];
    for (size_t lane = 1; lane < lanes; lane++) {
        size_t at = lane * b->n + query;
        for (size_t i = 0; i < b->counts[at]; i++)
            offer(heap, &n, b->k, b->heaps[at * b->k + i]);
    }
    while (n > 0) {
        out[--n] = heap[0];
        heap[0] = heap[n];
        sink(heap, n, 0);
    }
}

tsr_status tsr_index_best(const tsr_index *x, const float *queries, size_t n, size_t k,
                          tsr_hit *hits, const tsr_job *job)
{
    best b = {.n = n, .k = k};
    size_t lanes = (size_t)tsr_par_team(), cells;
    tsr_status st;
    if (k > x->rows)
        TSR_FAIL(TSR_EARG, "%s: %zu results are asked for; it has %zu rows", tsr_index_path(x), k,
                 x->rows);
    TSR_TRY(tsr_mul_size(lanes * n, k, &cells));
    TSR_GO(tsr_alloc(&b.heaps, cells, sizeof *b.heaps));
    TSR_GO(tsr_alloc(&b.counts, lanes * n, sizeof *b.counts));
    TSR_GO(tsr_index_scan(x, queries, n, visit_best, &b, job));
    for (size_t q = 0; q < n; q++)
        merge(&b, lanes, q, hits + q * k);
out:
    tsr_free(b.heaps);
    tsr_free(b.counts);
    return st;
}

/* ---- ranks ------------------------------------------------------------------------------------*/

typedef struct ranking {
    size_t n;
    const size_t *targets;
    float *wanted;          /* [n] score of the target */
    size_t *higher, *equal; /* [lanes, n] */
} ranking;

static void visit_targets(void *ctx, size_t first, size_t rows, size_t tile, size_t queries,
                          const float *scores, int lane)
{
    ranking *r = ctx;
    (void)lane;
    for (size_t j = 0; j < queries; j++) {
        size_t target = r->targets[tile + j];
        if (target >= first && target - first < rows)
            r->wanted[tile + j] = scores[(target - first) * TSR_INDEX_TILE + j];
    }
}

static void visit_ranks(void *ctx, size_t first, size_t rows, size_t tile, size_t queries,
                        const float *scores, int lane)
{
    ranking *r = ctx;
    (void)first;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < queries; j++) {
            float score = scores[i * TSR_INDEX_TILE + j], wanted = r->wanted[tile + j];
            r->higher[(size_t)lane * r->n + tile + j] += score > wanted;
            r->equal[(size_t)lane * r->n + tile + j] += score == wanted;
        }
}

tsr_status tsr_index_ranks(const tsr_index *x, const float *queries, size_t n,
                           const size_t *targets, double *ranks, const tsr_job *job)
{
    ranking r = {.n = n, .targets = targets};
    size_t lanes = (size_t)tsr_par_team();
    tsr_status st;
    for (size_t q = 0; q < n; q++)
        if (targets[q] >= x->rows)
            TSR_FAIL(TSR_EARG, "%s: row %zu of %zu", tsr_index_path(x), targets[q], x->rows);
    TSR_GO(tsr_alloc(&r.wanted, n, sizeof *r.wanted));
    TSR_GO(tsr_alloc(&r.higher, lanes * n, sizeof *r.higher));
    TSR_GO(tsr_alloc(&r.equal, lanes * n, sizeof *r.equal));
    TSR_GO(tsr_index_scan(x, queries, n, visit_targets, &r, job));
    TSR_GO(tsr_index_scan(x, queries, n, visit_ranks, &r, job));
    for (size_t q = 0; q < n; q++) {
        size_t higher = 0, equal = 0;
        for (size_t lane = 0; lane < lanes; lane++) {
            higher += r.higher[lane * n + q];
            equal += r.equal[lane * n + q];
        }
        ranks[q] = 1.0 + (double)higher + (equal > 1 ? 0.5 * (double)(equal - 1) : 0.0);
    }
out:
    tsr_free(r.wanted);
    tsr_free(r.higher);
    tsr_free(r.equal);
    return st;
}

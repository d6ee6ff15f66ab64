/* SPDX-License-Identifier: Apache-2.0
 * Nearest code of each row, in a graph and outside. */
#include "base/mem.h"
#include "base/par.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <stdint.h>
#include <string.h>

typedef struct nearest_attr {
    tsr_metric metric;
} nearest_attr;

/* Rows an item: a code panel is turned once for all of them, so many are better, but small inputs
 * should still feed several threads. Does not touch results. */
static size_t rows_each(size_t rows)
{
    size_t each = (rows / 8 + 7) / 8 * 8;
    return each < 32 ? 32 : each > 256 ? 256 : each;
}

static tsr_status nearest_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 2, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, 1, "codes", TSR_F32, 2, 2));
    if (c->in[1].shape[1] != tsr_width(&c->in[0]))
        return tsr_op_bad(c, "codes are %zu wide, rows of x %zu", c->in[1].shape[1],
                          tsr_width(&c->in[0]));
    if (c->in[1].shape[0] > INT32_MAX)
        return tsr_op_bad(c, "%zu codes are too many for 32-bit indices", c->in[1].shape[0]);
    tsr_op_out(c, 0, TSR_I32, c->in[0].ndim - 1, c->in[0].shape);
    return TSR_OK;
}

static double nearest_flops(const tsr_op_call *c)
{
    return 2.0 * (double)c->in[0].count * (double)c->in[1].shape[0];
}

static size_t nearest_items(const tsr_op_call *c)
{
    size_t rows = tsr_rows(&c->in[0]);
    return tsr_pieces(rows, rows_each(rows));
}

static size_t nearest_scratch(const tsr_op_call *c)
{
    return tsr_kernels_get()->nearest_scratch(rows_each(tsr_rows(&c->in[0])),
                                              tsr_width(&c->in[0]));
}

/* Item i of all rows of b. */
static void search(const tsr_nearest_block *b, size_t item, void *scratch)
{
    size_t each = rows_each(b->rows), first = item * each;
    tsr_nearest_block part = *b;
    part.rows = b->rows - first < each ? b->rows - first : each;
    part.x = b->x + first * b->width;
    part.ids = b->ids + first;
    part.score = b->score ? b->score + first : NULL;
    tsr_kernels_get()->nearest(&part, scratch);
}

static void nearest_item(const tsr_op_call *c, size_t item, void *scratch)
{
    const nearest_attr *a = c->attr;
    tsr_nearest_block b = {.x = c->in[0].data, .codes = c->in[1].data, .rows = tsr_rows(&c->in[0]),
                           .width = tsr_width(&c->in[0]), .k = c->in[1].shape[0],
                           .metric = a->metric, .ids = c->out[0].data};
    search(&b, item, scratch);
}

const tsr_op tsr_op_nearest = {
    .name = "nearest",
    .shape = nearest_shape,
    .flops = nearest_flops,
    .items = nearest_items,
    .scratch = nearest_scratch,
    .run = nearest_item,
};

tsr_value tsr_nearest(tsr_graph *g, tsr_value x, tsr_value codes, tsr_metric metric)
{
    nearest_attr a = {metric};
    return tsr_node2(g, &tsr_op_nearest, x, codes, &a, sizeof a);
}

/* --- outside a graph --- */

typedef struct search_job {
    const tsr_nearest_block *block;
    char *scratch;
    size_t scratch_bytes; /* of a thread */
} search_job;

static void search_kernel(void *ctx, size_t i, int lane)
{
    const search_job *j = ctx;
    search(j->block, i, j->scratch + (size_t)lane * j->scratch_bytes);
}

tsr_status tsr_nearest_codes(const tsr_nearest_block *b)
{
    size_t each = rows_each(b->rows), bytes = tsr_kernels_get()->nearest_scratch(each, b->width);
    search_job job = {.block = b, .scratch_bytes = (bytes + 63) / 64 * 64};
    if (b->k < 1 || b->k > INT32_MAX || b->width < 1)
        TSR_FAIL(TSR_EARG, "nearest of %zu codes, %zu values each; 1 to %d codes of at least 1 value "
                           "are possible", b->k, b->width, INT32_MAX);
    TSR_TRY(tsr_alloc(&job.scratch, (size_t)tsr_par_threads(), job.scratch_bytes));
    tsr_par_kernels(tsr_pieces(b->rows, each), search_kernel, &job);
    tsr_free(job.scratch);
    return TSR_OK;
}

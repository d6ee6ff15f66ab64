/* SPDX-License-Identifier: Apache-2.0
 * Rows of a table by index, and the sums of gradients back into the table. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

#define ROWS 64    /* positions an item */
#define COLUMNS 64 /* columns an item of the gradient, which walks all positions in order */

typedef struct embedding_attr {
    int padding; /* id without gradient, or -1 */
} embedding_attr;

static tsr_status embedding_shape(tsr_op_call *c)
{
    size_t shape[TSR_MAX_DIMS];
    TSR_TRY(tsr_op_expect_dims(c, 0, "table", TSR_F32, 2, 2));
    TSR_TRY(tsr_op_expect_dims(c, 1, "ids", TSR_I32, 1, TSR_MAX_DIMS - 1));
    int n = c->in[1].ndim;
    memcpy(shape, c->in[1].shape, (size_t)n * sizeof *shape);
    shape[n] = c->in[0].shape[1];
    tsr_op_out(c, 0, TSR_F32, n + 1, shape);
    return TSR_OK;
}

static size_t embedding_items(const tsr_op_call *c)
{
    return tsr_pieces(c->in[1].count, ROWS);
}

static void embedding_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t d = c->in[0].shape[1], end = (item + 1) * ROWS;
    const int32_t *ids = c->in[1].data;
    float *out = c->out[0].data;
    end = end < c->in[1].count ? end : c->in[1].count;
    for (size_t i = item * ROWS; i < end; i++)
        tsr_op_row(&c->in[0], ids[i], out + i * d);
}

static void embedding_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                               tsr_value *din)
{
    tsr_value in[3] = {n->in[1], dout[0], n->in[0]}, out;
    if (n->need[0])
        din[0] = tsr_node(g, &tsr_op_embedding_grad, 3, in, n->attr, sizeof(embedding_attr), 1, &out);
}

const tsr_op tsr_op_embedding = {
    .name = "embedding",
    .rows_in = 1,
    .shape = embedding_shape,
    .items = embedding_items,
    .run = embedding_item,
    .backward = embedding_backward,
};

/* ids, d rows, table (its shape) -> d table */
static tsr_status embedding_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "ids", TSR_I32, 1, TSR_MAX_DIMS - 1));
    TSR_TRY(tsr_op_expect_dims(c, 1, "gradient", TSR_F32, 2, TSR_MAX_DIMS));
    tsr_op_like(c, 0, &c->in[2]);
    return TSR_OK;
}

static double embedding_grad_flops(const tsr_op_call *c)
{
    return (double)c->in[1].count;
}

static size_t embedding_grad_items(const tsr_op_call *c)
{
    return tsr_pieces(tsr_width(&c->in[1]), COLUMNS);
}

static void embedding_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const embedding_attr *a = c->attr;
    const int32_t *ids = c->in[0].data;
    size_t d = tsr_width(&c->in[1]), rows = c->out[0].shape[0], first = item * COLUMNS;
    size_t n = d - first < COLUMNS ? d - first : COLUMNS;
    const float *dy = (const float *)c->in[1].data + first;
    float *table = (float *)c->out[0].data + first;
    for (size_t r = 0; !c->accumulate && r < rows; r++)
        memset(table + r * d, 0, n * sizeof *table);
    for (size_t i = 0; i < c->in[0].count; i++)
        if (ids[i] >= 0 && (size_t)ids[i] < rows && ids[i] != a->padding)
            tsr_kernels_get()->axpy(table + (size_t)ids[i] * d, dy + i * d, n, 1.0f);
}

const tsr_op tsr_op_embedding_grad = {
    .name = "embedding_grad",
    .shape_in = 4,
    .flags = TSR_OP_ACCUMULATES,
    .shape = embedding_grad_shape,
    .flops = embedding_grad_flops,
    .items = embedding_grad_items,
    .run = embedding_grad_item,
};

/* --- cache, rows, ids -> the cache, changed --- */

static tsr_status put_rows_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "cache", TSR_F32, 2, 2));
    TSR_TRY(tsr_op_expect_dims(c, 2, "ids", TSR_I32, 1, 1));
    TSR_TRY(tsr_op_expect_shape(c, 1, "rows", 2, (size_t[]){c->in[2].count, c->in[0].shape[1]}));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

/* One item, so that of equal ids the last row stays. */
static void put_rows_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)item;
    (void)scratch;
    size_t d = c->in[0].shape[1];
    const int32_t *ids = c->in[2].data;
    const float *rows = c->in[1].data;
    float *cache = c->out[0].data;
    for (size_t i = 0; i < c->in[2].count; i++)
        if (ids[i] >= 0 && (size_t)ids[i] < c->in[0].shape[0])
            memcpy(cache + (size_t)ids[i] * d, rows + i * d, d * sizeof *cache);
}

const tsr_op tsr_op_put_rows = {
    .name = "put_rows",
    .flags = TSR_OP_UPDATES,
    .shape = put_rows_shape,
    .run = put_rows_item,
};

tsr_value tsr_put_rows(tsr_graph *g, tsr_value cache, tsr_value rows, tsr_value ids)
{
    tsr_value in[3] = {cache, rows, ids}, out;
    return tsr_node(g, &tsr_op_put_rows, 3, in, NULL, 0, 1, &out);
}

tsr_value tsr_embedding_padded(tsr_graph *g, tsr_value table, tsr_value ids, int padding)
{
    embedding_attr a = {.padding = padding};
    return tsr_node2(g, &tsr_op_embedding, table, ids, &a, sizeof a);
}

tsr_value tsr_embedding(tsr_graph *g, tsr_value table, tsr_value ids)
{
    return tsr_embedding_padded(g, table, ids, -1);
}

/* SPDX-License-Identifier: Apache-2.0
 * Rows out of several tables, each row from its own, and the sums of gradients back into them. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

#define ROWS    64 /* rows an item */
#define COLUMNS 64 /* columns an item of the gradient, which walks all rows in order */

/* Inputs by position; tables follow. */
enum { IN_WHICH, IN_IDS, IN_TABLES };

typedef struct lookup_attr {
    int32_t first; /* what `which` says of the first table */
    int32_t padding[TSR_LOOKUP_TABLES];
} lookup_attr;

typedef struct lookup_grad_attr {
    int32_t table, padding;
} lookup_grad_attr;

static tsr_status lookup_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, IN_WHICH, "which", TSR_I32, 1, 1));
    TSR_TRY(tsr_op_expect_dims(c, IN_IDS, "ids", TSR_I32, 1, 1));
    TSR_TRY(tsr_op_expect_shape(c, IN_IDS, "ids", 1, c->in[IN_WHICH].shape));
    for (int i = IN_TABLES; i < c->n_in; i++) {
        TSR_TRY(tsr_op_expect_dims(c, i, "table", TSR_F32, 2, 2));
        if (c->in[i].shape[1] != c->in[IN_TABLES].shape[1])
            return tsr_op_bad(c, "tables are %zu and %zu wide", c->in[IN_TABLES].shape[1],
                              c->in[i].shape[1]);
    }
    tsr_op_out(c, 0, TSR_F32, 2, (size_t[]){c->in[IN_IDS].count, c->in[IN_TABLES].shape[1]});
    return TSR_OK;
}

static size_t lookup_items(const tsr_op_call *c)
{
    return tsr_pieces(c->in[IN_IDS].count, ROWS);
}

/* The table row i is meant to come from, or NULL. */
static const tsr_operand *table_of(const tsr_op_call *c, size_t i)
{
    const lookup_attr *a = c->attr;
    int64_t table = (int64_t)((const int32_t *)c->in[IN_WHICH].data)[i] - a->first;
    return table < 0 || table >= c->n_in - IN_TABLES ? NULL : &c->in[IN_TABLES + table];
}

static void lookup_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t d = c->out[0].shape[1], end = (item + 1) * ROWS;
    const int32_t *ids = c->in[IN_IDS].data;
    float *out = c->out[0].data;
    end = end < c->in[IN_IDS].count ? end : c->in[IN_IDS].count;
    for (size_t i = item * ROWS; i < end; i++) {
        const tsr_operand *table = table_of(c, i);
        if (table)
            tsr_op_row(table, ids[i], out + i * d);
        else
            memset(out + i * d, 0, d * sizeof *out);
    }
}

static void lookup_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                            tsr_value *din)
{
    const lookup_attr *a = n->attr;
    for (int i = IN_TABLES; i < n->n_in; i++) {
        const lookup_grad_attr b = {a->first + i - IN_TABLES, a->padding[i - IN_TABLES]};
        tsr_value in[4] = {n->in[IN_WHICH], n->in[IN_IDS], dout[0], n->in[i]}, out;
        if (n->need[i])
            din[i] = tsr_node(g, &tsr_op_lookup_grad, 4, in, &b, sizeof b, 1, &out);
    }
}

const tsr_op tsr_op_lookup = {
    .name = "lookup",
    .rows_in = ~3u, /* the tables */
    .shape = lookup_shape,
    .items = lookup_items,
    .run = lookup_item,
    .backward = lookup_backward,
};

/* --- which, ids, d rows, one table (its shape) -> d table --- */

static tsr_status lookup_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 2, "gradient", TSR_F32, 2, 2));
    tsr_op_like(c, 0, &c->in[3]);
    return TSR_OK;
}

static double lookup_grad_flops(const tsr_op_call *c)
{
    return (double)c->in[2].count;
}

static size_t lookup_grad_items(const tsr_op_call *c)
{
    return tsr_pieces(c->out[0].shape[1], COLUMNS);
}

static void lookup_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const lookup_grad_attr *a = c->attr;
    const int32_t *which = c->in[0].data, *ids = c->in[1].data;
    size_t d = c->out[0].shape[1], rows = c->out[0].shape[0], first = item * COLUMNS;
    size_t n = d - first < COLUMNS ? d - first : COLUMNS;
    const float *dy = (const float *)c->in[2].data + first;
    float *table = (float *)c->out[0].data + first;
    for (size_t r = 0; !c->accumulate && r < rows; r++)
        memset(table + r * d, 0, n * sizeof *table);
    for (size_t i = 0; i < c->in[1].count; i++)
        if (which[i] == a->table && ids[i] >= 0 && (size_t)ids[i] < rows && ids[i] != a->padding)
            tsr_kernels_get()->axpy(table + (size_t)ids[i] * d, dy + i * d, n, 1.0f);
}

const tsr_op tsr_op_lookup_grad = {
    .name = "lookup_grad",
    .shape_in = 8,
    .flags = TSR_OP_ACCUMULATES,
    .shape = lookup_grad_shape,
    .flops = lookup_grad_flops,
    .items = lookup_grad_items,
    .run = lookup_grad_item,
};

tsr_value tsr_lookup(tsr_graph *g, const tsr_tables *t, tsr_value which, tsr_value ids)
{
    lookup_attr a = {.first = t->first};
    tsr_value in[IN_TABLES + TSR_LOOKUP_TABLES] = {which, ids}, out;
    if (t->count < 1 || t->count > TSR_LOOKUP_TABLES)
        return tsr_graph_fail(g, TSR_EARG, "%d tables to look up in, expected 1 to %d", t->count,
                              TSR_LOOKUP_TABLES);
    for (int i = 0; i < t->count; i++) {
        in[IN_TABLES + i] = t->tables[i];
        a.padding[i] = t->padding[i];
    }
    return tsr_node(g, &tsr_op_lookup, IN_TABLES + t->count, in, &a, sizeof a, 1, &out);
}

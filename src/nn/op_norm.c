/* SPDX-License-Identifier: Apache-2.0
 * Layer norm, and scaling rows to length 1. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"
#include "nn/ops.h"

#include <math.h>
#include <string.h>

#define ROWS 16    /* rows an item */
#define COLUMNS 64 /* columns an item, where sums run over rows */

typedef struct norm_attr {
    float eps;
} norm_attr;

static size_t row_items(const tsr_op_call *c)
{
    return tsr_pieces(tsr_rows(&c->in[0]), ROWS);
}

static size_t rows_of_item(const tsr_op_call *c, size_t item)
{
    size_t left = tsr_rows(&c->in[0]) - item * ROWS;
    return left < ROWS ? left : ROWS;
}

static double norm_flops(const tsr_op_call *c)
{
    return 8.0 * (double)c->in[0].count;
}

/* --- layer norm: x, w, b -> y, stats [rows, 2] --- */

static tsr_status norm_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    size_t d = tsr_width(&c->in[0]), stats[2] = {tsr_rows(&c->in[0]), 2};
    if (c->in[1].ndim)
        TSR_TRY(tsr_op_expect_shape(c, 1, "weight", 1, &d));
    if (c->in[2].ndim)
        TSR_TRY(tsr_op_expect_shape(c, 2, "bias", 1, &d));
    tsr_op_like(c, 0, &c->in[0]);
    tsr_op_out(c, 1, TSR_F32, 2, stats);
    return TSR_OK;
}

static void norm_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const norm_attr *a = c->attr;
    size_t d = tsr_width(&c->in[0]), first = item * ROWS;
    float *stats = c->out[1].data;
    tsr_kernels_get()->norm((float *)c->out[0].data + first * d, stats ? stats + 2 * first : NULL,
                            (const float *)c->in[0].data + first * d, c->in[1].data, c->in[2].data,
                            rows_of_item(c, item), d, a->eps);
}

static void norm_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                          tsr_value *din)
{
    tsr_value x = n->in[0], stats = n->out[1], w = n->in[1], out;
    if (dout[0] < 0)
        return;
    if (n->need[0])
        din[0] = tsr_node(g, &tsr_op_layer_norm_grad, 4, (tsr_value[]){x, stats, w, dout[0]}, NULL,
                          0, 1, &out);
    if (w >= 0 && n->need[1])
        din[1] = tsr_node(g, &tsr_op_layer_norm_grad_w, 3, (tsr_value[]){x, stats, dout[0]}, NULL, 0,
                          1, &out);
    if (n->in[2] >= 0 && n->need[2])
        din[2] = tsr_sum_leading(g, dout[0], 1, tsr_value_shape(g, n->in[2]));
}

const tsr_op tsr_op_layer_norm = {
    .name = "layer_norm",
    .shape = norm_shape,
    .flops = norm_flops,
    .items = row_items,
    .run = norm_item,
    .backward = norm_backward,
};

/* x, stats, w, dy -> dx */
static tsr_status norm_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, 3, "gradient", c->in[0].ndim, c->in[0].shape));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static void norm_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t d = tsr_width(&c->in[0]), first = item * ROWS;
    tsr_kernels_get()->norm_grad((float *)c->out[0].data + first * d,
                                 (const float *)c->in[0].data + first * d,
                                 (const float *)c->in[1].data + 2 * first, c->in[2].data,
                                 (const float *)c->in[3].data + first * d, rows_of_item(c, item), d);
}

const tsr_op tsr_op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .shape = norm_grad_shape,
    .flops = norm_flops,
    .items = row_items,
    .run = norm_grad_item,
};

/* x, stats, dy -> dw */
static tsr_status norm_grad_w_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, 2, "gradient", c->in[0].ndim, c->in[0].shape));
    size_t d = tsr_width(&c->in[0]);
    tsr_op_out(c, 0, TSR_F32, 1, &d);
    return TSR_OK;
}

static size_t column_items(const tsr_op_call *c)
{
    return tsr_pieces(tsr_width(&c->in[0]), COLUMNS);
}

static void norm_grad_w_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t d = tsr_width(&c->in[0]), first = item * COLUMNS;
    size_t n = d - first < COLUMNS ? d - first : COLUMNS;
    float sum[COLUMNS], *dw = (float *)c->out[0].data + first;
    tsr_kernels_get()->norm_grad_w(sum, c->in[0].data, c->in[1].data, c->in[2].data,
                                   tsr_rows(&c->in[0]), d, first, n);
    for (size_t i = 0; i < n; i++)
        dw[i] = c->accumulate ? dw[i] + sum[i] : sum[i];
}

const tsr_op tsr_op_layer_norm_grad_w = {
    .name = "layer_norm_grad_w",
    .flags = TSR_OP_ACCUMULATES,
    .shape = norm_grad_w_shape,
    .flops = norm_flops,
    .items = column_items,
    .run = norm_grad_w_item,
};

tsr_value tsr_layer_norm(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, float eps)
{
    norm_attr a = {eps};
    tsr_value in[3] = {x, w, b}, out[2];
    return tsr_node(g, &tsr_op_layer_norm, 3, in, &a, sizeof a, 2, out);
}

/* --- rows of length 1: x -> y --- */

static tsr_status normalize_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    if (c->n_in > 1)
        TSR_TRY(tsr_op_expect_shape(c, 1, "gradient", c->in[0].ndim, c->in[0].shape));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static void normalize_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_kernels *k = tsr_kernels_get();
    const norm_attr *a = c->attr;
    size_t d = tsr_width(&c->in[0]), first = item * ROWS, n = rows_of_item(c, item);
    const float *x = (const float *)c->in[0].data + first * d;
    float *y = (float *)c->out[0].data + first * d;
    for (size_t r = 0; r < n; r++, x += d, y += d) {
        float length = sqrtf(k->dot(x, x, d));
        length = length < a->eps ? a->eps : length;
        for (size_t i = 0; i < d; i++)
            y[i] = x[i] / length;
    }
}

/* dx = (dy - y (y.dy)) / |x|; dy / eps where the length was cut. */
static void normalize_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_kernels *k = tsr_kernels_get();
    const norm_attr *a = c->attr;
    size_t d = tsr_width(&c->in[0]), first = item * ROWS, n = rows_of_item(c, item);
    const float *x = (const float *)c->in[0].data + first * d;
    const float *dy = (const float *)c->in[1].data + first * d;
    float *dx = (float *)c->out[0].data + first * d;
    for (size_t r = 0; r < n; r++, x += d, dy += d, dx += d) {
        float square = k->dot(x, x, d), length = sqrtf(square);
        float along = length < a->eps ? 0.0f : k->dot(x, dy, d) / square;
        length = length < a->eps ? a->eps : length;
        for (size_t i = 0; i < d; i++)
            dx[i] = (dy[i] - along * x[i]) / length;
    }
}

static void normalize_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                               tsr_value *din)
{
    din[0] = tsr_node2(g, &tsr_op_normalize_grad, n->in[0], dout[0], n->attr, sizeof(norm_attr));
}

const tsr_op tsr_op_normalize = {
    .name = "normalize",
    .shape = normalize_shape,
    .flops = norm_flops,
    .items = row_items,
    .run = normalize_item,
    .backward = normalize_backward,
};

const tsr_op tsr_op_normalize_grad = {
    .name = "normalize_grad",
    .shape = normalize_shape,
    .flops = norm_flops,
    .items = row_items,
    .run = normalize_grad_item,
};

tsr_value tsr_normalize(tsr_graph *g, tsr_value x, float eps)
{
    norm_attr a = {eps};
    return tsr_node1(g, &tsr_op_normalize, x, &a, sizeof a);
}

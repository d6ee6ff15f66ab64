/* SPDX-License-Identifier: Apache-2.0
 * Layer norm, and scaling rows to length 1. */
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"
#include "nn/ops.h"

#include <math.h>
#include <string.h>

#define ROWS 16       /* rows an item */
#define GRAD_ROWS 64  /* the same where columns are summed */
#define COLUMNS 1024  /* columns an item, where those sums are added */

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

static const tsr_kernels *kernels_of(const tsr_op_call *c)
{
    return c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
}

static void *element(const tsr_operand *o, size_t i)
{
    return (char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

static void norm_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const norm_attr *a = c->attr;
    size_t d = tsr_width(&c->in[0]), first = item * ROWS;
    float *stats = c->out[1].data;
    kernels_of(c)->norm(&(tsr_norm_rows){
        rows_of_item(c, item), d, a->eps, (const float *)c->in[0].data + first * d, c->in[1].data,
        c->in[2].data, element(&c->out[0], first * d), c->out[0].dtype,
        stats ? stats + 2 * first : NULL});
}

static void norm_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                          tsr_value *din)
{
    tsr_value in[5] = {n->in[0], n->out[1], n->in[1], dout[0], TSR_NONE}, out[3];
    if (dout[0] < 0)
        return;
    tsr_node(g, &tsr_op_layer_norm_grad, 5, in, NULL, 0, 3, out);
    for (int i = 0; i < 3; i++)
        din[i] = n->in[i] >= 0 && n->need[i] ? out[i] : TSR_NONE;
}

const tsr_op tsr_op_layer_norm = {
    .name = "layer_norm",
    .bf16_out = 1,
    .shape = norm_shape,
    .flops = norm_flops,
    .items = row_items,
    .run = norm_item,
    .backward = norm_backward,
};

/* --- x, stats, w, dy, a gradient of x to add -> dx, dw, db --- */

static tsr_status norm_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, 3, "gradient", c->in[0].ndim, c->in[0].shape));
    size_t d = tsr_width(&c->in[0]);
    tsr_op_like(c, 0, &c->in[0]);
    tsr_op_out(c, 1, TSR_F32, 1, &d);
    tsr_op_out(c, 2, TSR_F32, 1, &d);
    return TSR_OK;
}

static size_t norm_grad_blocks(const tsr_op_call *c)
{
    return tsr_pieces(tsr_rows(&c->in[0]), GRAD_ROWS);
}

static int norm_grad_sums(const tsr_op_call *c)
{
    return c->out[1].data || c->out[2].data;
}

static size_t norm_grad_items(const tsr_op_call *c)
{
    if (c->phase == 0)
        return norm_grad_blocks(c);
    return norm_grad_sums(c) ? tsr_pieces(tsr_width(&c->in[0]), COLUMNS) : 0;
}

/* Sums of dw and db of each block of rows. */
static size_t norm_grad_work(const tsr_op_call *c)
{
    return norm_grad_blocks(c) * 2 * tsr_width(&c->in[0]) * sizeof(float);
}

/* out [n] = sum over blocks of sums[2 d block + i], in order. */
static void add_blocks(const tsr_op_call *c, const tsr_operand *out, size_t first, size_t n)
{
    size_t d = tsr_width(&c->in[0]), blocks = norm_grad_blocks(c);
    const float *sums = (const float *)c->work + first + (out == &c->out[2] ? d : 0);
    if (out->data)
        tsr_elementwise_now()->column_sums((float *)out->data + first, sums, blocks, n, 2 * d);
}

static void norm_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t d = tsr_width(&c->in[0]), first = item * GRAD_ROWS, left = tsr_rows(&c->in[0]) - first;
    if (c->phase == 1) {
        first = item * COLUMNS;
        left = d - first < COLUMNS ? d - first : COLUMNS;
        add_blocks(c, &c->out[1], first, left);
        add_blocks(c, &c->out[2], first, left);
        return;
    }
    float *sums = norm_grad_sums(c) ? (float *)c->work + item * 2 * d : NULL;
    const float *add = c->in[4].data;
    float *dx = c->out[0].data;
    if (sums)
        memset(sums, 0, 2 * d * sizeof *sums);
    kernels_of(c)->norm_grad(&(tsr_norm_grad_rows){
        left < GRAD_ROWS ? left : GRAD_ROWS, d, (const float *)c->in[0].data + first * d,
        (const float *)c->in[1].data + 2 * first, c->in[2].data, element(&c->in[3], first * d),
        c->in[3].dtype, add ? add + first * d : NULL, dx ? dx + first * d : NULL, sums,
        sums ? sums + d : NULL});
}

const tsr_op tsr_op_layer_norm_grad = {
    .name = "layer_norm_grad",
    .flags = TSR_OP_ADDS,
    .bf16_in = 1 << 3,
    .shape = norm_grad_shape,
    .flops = norm_flops,
    .items = norm_grad_items,
    .phases = 2,
    .work = norm_grad_work,
    .run = norm_grad_item,
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

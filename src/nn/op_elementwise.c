/* SPDX-License-Identifier: Apache-2.0
 * Sums and products element by element, constants, and sums over leading dimensions. */
#include "nn/elementwise.h"
#include "nn/op.h"
#include "nn/ops.h"

#include <string.h>

#define PIECE 16384    /* values an item */
#define SUM_ROWS 256   /* rows a partial sum */

/* --- a + b, a * b: b is a's shape or its last dimensions, repeated --- */

static tsr_status broadcast_shape(tsr_op_call *c)
{
    const tsr_operand *a = &c->in[0], *b = &c->in[1];
    TSR_TRY(tsr_op_expect_dims(c, 0, "a", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, 1, "b", TSR_F32, 1, TSR_MAX_DIMS));
    if (b->ndim > a->ndim || memcmp(b->shape, a->shape + a->ndim - b->ndim,
                                    (size_t)b->ndim * sizeof *b->shape) != 0)
        return tsr_op_bad(c, "b is neither of a's shape nor its last dimensions");
    tsr_op_like(c, 0, a);
    return TSR_OK;
}

/* Values an item: a whole number of b's when b is short, else part of one. */
static size_t broadcast_piece(const tsr_op_call *c)
{
    size_t period = c->in[1].count;
    return period >= PIECE ? PIECE : PIECE / period * period;
}

/* With a long b, items are pieces of it, for each repetition. */
static size_t broadcast_items(const tsr_op_call *c)
{
    size_t period = c->in[1].count;
    if (period < PIECE)
        return tsr_pieces(c->out[0].count, broadcast_piece(c));
    return c->out[0].count / period * tsr_pieces(period, PIECE);
}

typedef struct span {
    size_t at, b_at, n; /* n values of a and out from `at`, of b from b_at */
} span;

static span broadcast_span(const tsr_op_call *c, size_t item)
{
    size_t period = c->in[1].count, piece = broadcast_piece(c);
    if (period < PIECE) {
        size_t at = item * piece, left = c->out[0].count - at;
        return (span){at, 0, left < piece ? left : piece};
    }
    size_t pieces = tsr_pieces(period, PIECE), b_at = item % pieces * PIECE, left = period - b_at;
    return (span){item / pieces * period + b_at, b_at, left < PIECE ? left : PIECE};
}

static const void *at(const tsr_operand *o, size_t i)
{
    return (const char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

/* out = a + b for the four combinations of types. */
static void add_run(const tsr_operand *a, size_t ai, const tsr_operand *b, size_t bi, float *out,
                    size_t n)
{
    const tsr_elementwise *e = tsr_elementwise_now();
    if (a->dtype == TSR_F32 && b->dtype == TSR_F32) {
        e->add(out, at(a, ai), at(b, bi), n);
    } else if (a->dtype == TSR_F32) {
        e->add_half(out, at(a, ai), at(b, bi), n);
    } else if (b->dtype == TSR_F32) {
        e->add_half(out, at(b, bi), at(a, ai), n);
    } else {
        e->to_float(out, at(a, ai), n);
        e->add_half(out, out, at(b, bi), n);
    }
}

static void add_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    span s = broadcast_span(c, item);
    size_t step = c->in[1].count < s.n ? c->in[1].count : s.n;
    for (size_t i = 0; i < s.n; i += step)
        add_run(&c->in[0], s.at + i, &c->in[1], s.b_at, (float *)c->out[0].data + s.at + i, step);
}

static void mul_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_elementwise *e = tsr_elementwise_now();
    span s = broadcast_span(c, item);
    size_t step = c->in[1].count < s.n ? c->in[1].count : s.n;
    for (size_t i = 0; i < s.n; i += step)
        e->mul((float *)c->out[0].data + s.at + i, at(&c->in[0], s.at + i), at(&c->in[1], s.b_at),
               step);
}

static void add_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                         tsr_value *din)
{
    din[0] = dout[0];
    if (n->need[1])
        din[1] = tsr_sum_leading(g, dout[0], tsr_value_ndim(g, n->in[1]),
                                 tsr_value_shape(g, n->in[1]));
}

static void mul_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                         tsr_value *din)
{
    if (n->need[0])
        din[0] = tsr_mul(g, dout[0], n->in[1]);
    if (n->need[1])
        din[1] = tsr_sum_leading(g, tsr_mul(g, dout[0], n->in[0]), tsr_value_ndim(g, n->in[1]),
                                 tsr_value_shape(g, n->in[1]));
}

const tsr_op tsr_op_add = {
    .name = "add",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 3,
    .shape = broadcast_shape,
    .items = broadcast_items,
    .run = add_item,
    .backward = add_backward,
};

const tsr_op tsr_op_mul = {
    .name = "mul",
    .flags = TSR_OP_INPLACE,
    .shape = broadcast_shape,
    .items = broadcast_items,
    .run = mul_item,
    .backward = mul_backward,
};

tsr_value tsr_add(tsr_graph *g, tsr_value a, tsr_value b)
{
    return tsr_node2(g, &tsr_op_add, a, b, NULL, 0);
}

tsr_value tsr_mul(tsr_graph *g, tsr_value a, tsr_value b)
{
    return tsr_node2(g, &tsr_op_mul, a, b, NULL, 0);
}

/* --- s x --- */

static tsr_status scale_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static size_t piece_items(const tsr_op_call *c)
{
    return tsr_pieces(c->out[0].count, PIECE);
}

static size_t piece_count(const tsr_op_call *c, size_t item)
{
    size_t left = c->out[0].count - item * PIECE;
    return left < PIECE ? left : PIECE;
}

static void scale_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const float *s = c->attr;
    tsr_elementwise_now()->scale((float *)c->out[0].data + item * PIECE,
                                 at(&c->in[0], item * PIECE), *s, piece_count(c, item));
}

static void scale_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                           tsr_value *din)
{
    const float *s = n->attr;
    din[0] = tsr_scale(g, dout[0], *s);
}

const tsr_op tsr_op_scale = {
    .name = "scale",
    .flags = TSR_OP_INPLACE,
    .shape = scale_shape,
    .items = piece_items,
    .run = scale_item,
    .backward = scale_backward,
};

tsr_value tsr_scale(tsr_graph *g, tsr_value x, float s)
{
    return tsr_node1(g, &tsr_op_scale, x, &s, sizeof s);
}

/* --- a tensor of one value, and sums over leading dimensions --- */

/* Both are told the shape of their result. */
typedef struct shape_attr {
    int ndim;
    float value; /* of fill */
    size_t shape[TSR_MAX_DIMS];
} shape_attr;

static int shape_settings(tsr_graph *g, const char *what, int ndim, const size_t *shape,
                          shape_attr *a)
{
    *a = (shape_attr){.ndim = ndim};
    if (ndim < 1 || ndim > TSR_MAX_DIMS || !shape) {
        tsr_graph_fail(g, TSR_EARG, "%s to %d dimensions; 1 to %d are possible", what, ndim,
                       TSR_MAX_DIMS);
        return 0;
    }
    memcpy(a->shape, shape, (size_t)ndim * sizeof *shape);
    return 1;
}

static tsr_status fill_shape(tsr_op_call *c)
{
    const shape_attr *a = c->attr;
    if (c->n_in > 0 && c->in[0].ndim == 0)
        return tsr_op_bad(c, "the tensor whose shape is meant is missing");
    if (c->n_in > 0)
        tsr_op_out(c, 0, TSR_F32, c->in[0].ndim, c->in[0].shape);
    else
        tsr_op_out(c, 0, TSR_F32, a->ndim, a->shape);
    return TSR_OK;
}

static void fill_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const shape_attr *a = c->attr;
    float *out = (float *)c->out[0].data + item * PIECE;
    for (size_t i = 0, n = piece_count(c, item); i < n; i++)
        out[i] = a->value;
}

const tsr_op tsr_op_fill = {
    .name = "fill",
    .shape_in = 1,
    .shape = fill_shape,
    .items = piece_items,
    .run = fill_item,
};

tsr_value tsr_fill(tsr_graph *g, float value, int ndim, const size_t *shape)
{
    shape_attr a;
    tsr_value out;
    if (!shape_settings(g, "fill", ndim, shape, &a))
        return TSR_NONE;
    a.value = value;
    return tsr_node(g, &tsr_op_fill, 0, NULL, &a, sizeof a, 1, &out);
}

tsr_value tsr_fill_like(tsr_graph *g, float value, tsr_value like)
{
    shape_attr a = {.value = value};
    return tsr_node1(g, &tsr_op_fill, like, &a, sizeof a);
}

static tsr_status sum_shape(tsr_op_call *c)
{
    const shape_attr *a = c->attr;
    const tsr_operand *x = &c->in[0];
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    if (a->ndim > x->ndim || memcmp(a->shape, x->shape + x->ndim - a->ndim,
                                    (size_t)a->ndim * sizeof *a->shape) != 0)
        return tsr_op_bad(c, "the result's shape is not that of x's last dimensions");
    tsr_op_out(c, 0, TSR_F32, a->ndim, a->shape);
    return TSR_OK;
}

static size_t sum_blocks(const tsr_op_call *c)
{
    return tsr_pieces(c->in[0].count / c->out[0].count, SUM_ROWS);
}

static size_t sum_columns(const tsr_op_call *c)
{
    return tsr_pieces(c->out[0].count, PIECE);
}

static size_t sum_items(const tsr_op_call *c)
{
    return c->phase == 0 ? sum_blocks(c) * sum_columns(c) : sum_columns(c);
}

static size_t sum_work(const tsr_op_call *c)
{
    return sum_blocks(c) * c->out[0].count * sizeof(float);
}

/* Phase 0: partial sums of SUM_ROWS rows; phase 1: the sum of those. */
static void sum_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_elementwise *e = tsr_elementwise_now();
    size_t width = c->out[0].count, rows = c->in[0].count / width, columns = sum_columns(c);
    size_t block = item / columns, j = item % columns * PIECE;
    size_t n = width - j < PIECE ? width - j : PIECE;
    float *partial = c->work, *out = (float *)c->out[0].data + j;
    if (c->phase == 0) {
        size_t first = block * SUM_ROWS, left = rows - first;
        size_t take = left < SUM_ROWS ? left : SUM_ROWS;
        const void *x = at(&c->in[0], first * width + j);
        if (c->in[0].dtype == TSR_BF16)
            e->column_sums_half(partial + block * width + j, x, take, n, width);
        else
            e->column_sums(partial + block * width + j, x, take, n, width);
        return;
    }
    if (!c->accumulate) {
        e->column_sums(out, partial + j, sum_blocks(c), n, width);
        return;
    }
    for (size_t i = 1; i < sum_blocks(c); i++)
        e->add(partial + j, partial + j, partial + i * width + j, n);
    if (sum_blocks(c) > 0)
        e->add(out, out, partial + j, n);
}

static void sum_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                         tsr_value *din)
{
    din[0] = tsr_add(g, tsr_fill_like(g, 0.0f, n->in[0]), dout[0]);
}

const tsr_op tsr_op_sum_leading = {
    .name = "sum_leading",
    .flags = TSR_OP_ACCUMULATES,
    .bf16_in = 1,
    .shape = sum_shape,
    .items = sum_items,
    .phases = 2,
    .work = sum_work,
    .run = sum_item,
    .backward = sum_backward,
};

tsr_value tsr_sum_leading(tsr_graph *g, tsr_value x, int ndim, const size_t *shape)
{
    shape_attr a;
    const size_t *have = tsr_value_shape(g, x);
    if (!shape_settings(g, "sum", ndim, shape, &a))
        return TSR_NONE;
    if (have && tsr_value_ndim(g, x) == ndim &&
        memcmp(have, a.shape, (size_t)ndim * sizeof *have) == 0)
        return x;
    return tsr_node1(g, &tsr_op_sum_leading, x, &a, sizeof a);
}

/* --- into the home of a weight's gradient --- */

static void grad_add_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    float *out = (float *)c->out[0].data + item * PIECE;
    tsr_elementwise_now()->add(out, out, at(&c->in[0], item * PIECE), piece_count(c, item));
}

const tsr_op tsr_op_grad_add = {
    .name = "grad_add",
    .flags = TSR_OP_ACCUMULATES,
    .shape = scale_shape,
    .items = piece_items,
    .run = grad_add_item,
};

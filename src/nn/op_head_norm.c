/* SPDX-License-Identifier: Apache-2.0
 * Layer norm of each head of q and k, inside rows of q, k, v side by side. */
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

#define ROWS 16     /* rows an item */
#define WIDTH_MAX 128 /* of a head */

typedef struct head_norm_attr {
    size_t parts, normed, heads;
    float eps;
} head_norm_attr;

/* Inputs of the forward pass: x, weights and biases of the first and second part; those of the
 * gradient: x, statistics, weights, what arrives. */
enum { IN_X, IN_W, IN_B = 3, INPUTS = 5 };
enum { GRAD_X, GRAD_STATS, GRAD_W, GRAD_DY = 4, GRAD_INPUTS };

/* Values of a head, of a part, of a row. */
typedef struct head_sizes {
    size_t d, part, row, rows;
} head_sizes;

static head_sizes sizes_of(const tsr_op_call *c)
{
    const head_norm_attr *a = c->attr;
    head_sizes s = {.row = tsr_width(&c->in[0]), .rows = tsr_rows(&c->in[0])};
    s.part = s.row / a->parts;
    s.d = s.part / a->heads;
    return s;
}

static tsr_status head_norm_shape(tsr_op_call *c)
{
    const head_norm_attr *a = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, IN_X, "x", TSR_F32, 2, TSR_MAX_DIMS));
    size_t width = tsr_width(&c->in[IN_X]);
    if (a->heads < 1 || a->parts < 1 || width % (a->parts * a->heads) != 0)
        return tsr_op_bad(c, "a width of %zu is not %zu times %zu heads", width, a->parts, a->heads);
    head_sizes s = sizes_of(c);
    if (a->normed < 1 || a->normed > 2 || a->normed > a->parts)
        return tsr_op_bad(c, "%zu of %zu parts cannot be normed", a->normed, a->parts);
    if (s.d > WIDTH_MAX)
        return tsr_op_bad(c, "heads are %zu wide, at most %d is possible", s.d, WIDTH_MAX);
    for (int i = IN_W; i < INPUTS; i++)
        if (c->in[i].ndim)
            TSR_TRY(tsr_op_expect_shape(c, i, i < IN_B ? "weight" : "bias", 1, &s.d));
    tsr_op_like(c, 0, &c->in[IN_X]);
    tsr_op_out(c, 1, TSR_F32, 2, (size_t[]){s.rows, a->normed * a->heads * 2});
    return TSR_OK;
}

static double head_norm_flops(const tsr_op_call *c)
{
    return 8.0 * (double)c->in[0].count;
}

static size_t head_norm_items(const tsr_op_call *c)
{
    return tsr_pieces(sizes_of(c).rows, ROWS);
}

/* A part as float32, twice: read and written. */
static size_t head_norm_scratch(const tsr_op_call *c)
{
    return 2 * sizes_of(c).part * sizeof(float);
}

static char *element(const tsr_operand *o, size_t i)
{
    return (char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

static void to_floats(float *to, const tsr_operand *o, size_t at, size_t n)
{
    if (o->dtype == TSR_F32)
        memcpy(to, element(o, at), n * sizeof *to);
    else
        tsr_bf16_to_floats(to, (const tsr_bf16 *)(const void *)element(o, at), n);
}

static void from_floats(const tsr_operand *o, size_t at, const float *x, size_t n)
{
    if (o->dtype == TSR_F32)
        memcpy(element(o, at), x, n * sizeof *x);
    else
        tsr_bf16_from_floats((tsr_bf16 *)(void *)element(o, at), x, n);
}

/* Parts that stay as they are. */
static void copy_rest(const tsr_operand *to, const tsr_operand *from, size_t at, size_t n, float *room)
{
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < WIDTH_MAX ? n - i : WIDTH_MAX;
        to_floats(room, from, at + i, m);
        from_floats(to, at + i, room, m);
    }
}

static void head_norm_row(const tsr_op_call *c, const head_sizes *s, size_t row, float *room)
{
    const head_norm_attr *a = c->attr;
    float *x = room, *y = room + s->part, *stats = c->out[1].data, rest[WIDTH_MAX];
    for (size_t p = 0; p < a->normed; p++) {
        size_t at = row * s->row + p * s->part;
        to_floats(x, &c->in[IN_X], at, s->part);
        tsr_kernels_get()->norm(&(tsr_norm_rows){
            a->heads, s->d, a->eps, x, c->in[IN_W + p].data, c->in[IN_B + p].data, y, TSR_F32,
            stats ? stats + (row * a->normed + p) * a->heads * 2 : NULL});
        from_floats(&c->out[0], at, y, s->part);
    }
    copy_rest(&c->out[0], &c->in[IN_X], row * s->row + a->normed * s->part,
              s->row - a->normed * s->part, rest);
}

static void head_norm_item(const tsr_op_call *c, size_t item, void *scratch)
{
    head_sizes s = sizes_of(c);
    size_t end = (item + 1) * ROWS < s.rows ? (item + 1) * ROWS : s.rows;
    for (size_t r = item * ROWS; r < end; r++)
        head_norm_row(c, &s, r, scratch);
}

static void head_norm_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                               tsr_value *din)
{
    tsr_value in[GRAD_INPUTS] = {n->in[IN_X], n->out[1], n->in[IN_W], n->in[IN_W + 1], dout[0]};
    tsr_value out[INPUTS];
    if (dout[0] < 0)
        return;
    tsr_node(g, &tsr_op_head_norm_grad, GRAD_INPUTS, in, n->attr, sizeof(head_norm_attr), 2, out);
    din[IN_X] = out[0];
    for (int i = IN_W; i < INPUTS; i++)
        if (n->in[i] >= 0 && n->need[i])
            din[i] = tsr_reshape(
                g, tsr_slice(g, out[1], 0, (size_t)(i - IN_W), 1), 1, tsr_value_shape(g, n->in[i]));
}

const tsr_op tsr_op_head_norm = {
    .name = "head_norm",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 1,
    .bf16_out = 1,
    .shape = head_norm_shape,
    .flops = head_norm_flops,
    .items = head_norm_items,
    .scratch = head_norm_scratch,
    .run = head_norm_item,
    .backward = head_norm_backward,
};

/* --- x, stats, weights, dy -> dx, sums [4, d]: of both weights, of both biases --- */

static tsr_status head_norm_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, GRAD_X, "x", TSR_F32, 2, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, GRAD_DY, "gradient", c->in[GRAD_X].ndim, c->in[GRAD_X].shape));
    tsr_op_like(c, 0, &c->in[GRAD_X]);
    tsr_op_out(c, 1, TSR_F32, 2, (size_t[]){4, sizes_of(c).d});
    return TSR_OK;
}

static size_t head_norm_grad_items(const tsr_op_call *c)
{
    return c->phase == 0 ? head_norm_items(c) : 1;
}

/* Sums of each item. */
static size_t head_norm_grad_work(const tsr_op_call *c)
{
    return head_norm_items(c) * 4 * sizes_of(c).d * sizeof(float);
}

/* dx, dy and x of a part. */
static size_t head_norm_grad_scratch(const tsr_op_call *c)
{
    return 3 * sizes_of(c).part * sizeof(float);
}

static void head_norm_grad_row(const tsr_op_call *c, const head_sizes *s, size_t row, float *sums,
                               float *room)
{
    const head_norm_attr *a = c->attr;
    const float *stats = c->in[GRAD_STATS].data;
    float *x = room, *dy = x + s->part, *dx = dy + s->part, rest[WIDTH_MAX];
    for (size_t p = 0; p < a->normed; p++) {
        size_t at = row * s->row + p * s->part;
        to_floats(x, &c->in[GRAD_X], at, s->part);
        to_floats(dy, &c->in[GRAD_DY], at, s->part);
        tsr_kernels_get()->norm_grad(&(tsr_norm_grad_rows){
            a->heads, s->d, x, stats + (row * a->normed + p) * a->heads * 2, c->in[GRAD_W + p].data,
            dy, TSR_F32, NULL, dx, sums + p * s->d, sums + (2 + p) * s->d});
        if (c->out[0].data)
            from_floats(&c->out[0], at, dx, s->part);
    }
    if (c->out[0].data)
        copy_rest(&c->out[0], &c->in[GRAD_DY], row * s->row + a->normed * s->part,
                  s->row - a->normed * s->part, rest);
}

static void head_norm_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    head_sizes s = sizes_of(c);
    size_t end = (item + 1) * ROWS < s.rows ? (item + 1) * ROWS : s.rows;
    float *sums = (float *)c->work + item * 4 * s.d;
    if (c->phase == 1) {
        if (c->out[1].data)
            tsr_elementwise_now()->column_sums(c->out[1].data, c->work, head_norm_items(c), 4 * s.d,
                                               4 * s.d);
        return;
    }
    memset(sums, 0, 4 * s.d * sizeof *sums);
    for (size_t r = item * ROWS; r < end; r++)
        head_norm_grad_row(c, &s, r, sums, scratch);
}

const tsr_op tsr_op_head_norm_grad = {
    .name = "head_norm_grad",
    .bf16_in = 1 << GRAD_X | 1 << GRAD_DY,
    .bf16_out = 1,
    .shape = head_norm_grad_shape,
    .flops = head_norm_flops,
    .items = head_norm_grad_items,
    .phases = 2,
    .scratch = head_norm_grad_scratch,
    .work = head_norm_grad_work,
    .run = head_norm_grad_item,
};

tsr_value tsr_head_norm(tsr_graph *g, tsr_value x, const tsr_head_norm_spec *spec)
{
    head_norm_attr a = {spec->parts > 0 ? (size_t)spec->parts : 0,
                        spec->normed > 0 ? (size_t)spec->normed : 0,
                        spec->heads > 0 ? (size_t)spec->heads : 0, spec->eps};
    tsr_value in[INPUTS] = {x, spec->weight[0], spec->weight[1], spec->bias[0], spec->bias[1]}, out[2];
    return tsr_node(g, &tsr_op_head_norm, INPUTS, in, &a, sizeof a, 2, out);
}

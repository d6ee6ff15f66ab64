/* SPDX-License-Identifier: Apache-2.0
 * Parts of a tensor along one axis, and tensors joined along one axis. */
#include "nn/op.h"
#include "nn/ops.h"

#include <string.h>

#define VALUES 16384 /* values an item, about */
#define CONCAT_MOST (TSR_OP_INPUTS - 1)

typedef struct slice_attr {
    int axis;
    size_t start, count;
} slice_attr;

/* A tensor seen as [outer, axis, inner]. */
typedef struct view3 {
    size_t outer, axis, inner;
} view3;

static view3 seen(const tsr_operand *o, int axis)
{
    view3 v = {1, o->shape[axis], 1};
    for (int i = 0; i < o->ndim; i++)
        *(i < axis ? &v.outer : &v.inner) *= i == axis ? 1 : o->shape[i];
    return v;
}

static tsr_status check_axis(const tsr_op_call *c, int axis)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    if (axis < 0 || axis >= c->in[0].ndim)
        return tsr_op_bad(c, "there is no axis %d in %d dimensions", axis, c->in[0].ndim);
    return TSR_OK;
}

typedef struct range {
    size_t start, count;
} range;

/* As set; or the places of the last of the further operands, which lie side by side in x. */
static range range_of(const tsr_op_call *c)
{
    const slice_attr *a = c->attr;
    range r = {a->start, a->count};
    if (c->n_in > 1)
        r = (range){0, c->in[c->n_in - 1].shape[a->axis]};
    for (int i = 1; i < c->n_in - 1; i++)
        r.start += c->in[i].shape[a->axis];
    return r;
}

static tsr_status slice_shape(tsr_op_call *c)
{
    const slice_attr *a = c->attr;
    TSR_TRY(check_axis(c, a->axis));
    size_t have = c->in[0].shape[a->axis];
    range r = range_of(c);
    if ((r.count == 0 && !c->resized) || r.start > have || r.count > have - r.start)
        return tsr_op_bad(c, "%zu places from %zu are not within the %zu of axis %d", r.count,
                          r.start, have, a->axis);
    tsr_op_like(c, 0, &c->in[0]);
    c->out[0].shape[a->axis] = r.count;
    return TSR_OK;
}

static tsr_status slice_grad_shape(tsr_op_call *c)
{
    const slice_attr *a = c->attr;
    TSR_TRY(check_axis(c, a->axis));
    tsr_op_like(c, 0, &c->in[1]);
    return TSR_OK;
}

/* Items are runs of outer indices. */
static size_t outer_per_item(const tsr_op_call *c, int axis)
{
    view3 v = seen(&c->out[0], axis);
    size_t n = VALUES / (v.axis * v.inner);
    return n ? n : 1;
}

static size_t slice_items(const tsr_op_call *c)
{
    const slice_attr *a = c->attr;
    return tsr_pieces(seen(&c->out[0], a->axis).outer, outer_per_item(c, a->axis));
}

static size_t last_outer(const tsr_op_call *c, int axis, size_t item)
{
    size_t outer = seen(&c->out[0], axis).outer, end = (item + 1) * outer_per_item(c, axis);
    return end < outer ? end : outer;
}

static void slice_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const slice_attr *a = c->attr;
    view3 from = seen(&c->in[0], a->axis), to = seen(&c->out[0], a->axis);
    const float *x = (const float *)c->in[0].data + range_of(c).start * from.inner;
    float *y = c->out[0].data;
    size_t n = to.axis * to.inner;
    for (size_t i = item * outer_per_item(c, a->axis); i < last_outer(c, a->axis, item); i++)
        memcpy(y + i * n, x + i * from.axis * from.inner, n * sizeof *y);
}

static void slice_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const slice_attr *a = c->attr;
    view3 from = seen(&c->in[0], a->axis), to = seen(&c->out[0], a->axis);
    const float *dy = c->in[0].data;
    size_t n = from.axis * from.inner, all = to.axis * to.inner, before = a->start * to.inner;
    for (size_t i = item * outer_per_item(c, a->axis); i < last_outer(c, a->axis, item); i++) {
        float *dx = (float *)c->out[0].data + i * all;
        memset(dx, 0, before * sizeof *dx);
        memcpy(dx + before, dy + i * n, n * sizeof *dx);
        memset(dx + before + n, 0, (all - before - n) * sizeof *dx);
    }
}

static void slice_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                           tsr_value *din)
{
    din[0] = tsr_node2(g, &tsr_op_slice_grad, dout[0], n->in[0], n->attr, sizeof(slice_attr));
}

const tsr_op tsr_op_slice = {
    .name = "slice",
    .shape_in = ~1u,
    .shape = slice_shape,
    .items = slice_items,
    .run = slice_item,
    .backward = slice_backward,
};

const tsr_op tsr_op_slice_grad = {
    .name = "slice_grad", /* dy, x -> dx */
    .shape_in = 2,
    .shape = slice_grad_shape,
    .items = slice_items,
    .run = slice_grad_item,
};

tsr_value tsr_slice(tsr_graph *g, tsr_value x, int axis, size_t start, size_t count)
{
    slice_attr a = {axis, start, count};
    return tsr_node1(g, &tsr_op_slice, x, &a, sizeof a);
}

/* --- joining --- */

static tsr_status concat_shape(tsr_op_call *c)
{
    const slice_attr *a = c->attr;
    size_t shape[TSR_MAX_DIMS], total = 0;
    TSR_TRY(check_axis(c, a->axis));
    memcpy(shape, c->in[0].shape, sizeof shape);
    for (int i = 0; i < c->n_in; i++) {
        TSR_TRY(tsr_op_expect_dims(c, i, "every operand", TSR_F32, c->in[0].ndim, c->in[0].ndim));
        shape[a->axis] = c->in[i].shape[a->axis];
        TSR_TRY(tsr_op_expect_shape(c, i, "operand", c->in[0].ndim, shape));
        total += shape[a->axis];
    }
    shape[a->axis] = total;
    tsr_op_out(c, 0, TSR_F32, c->in[0].ndim, shape);
    return TSR_OK;
}

static void concat_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const slice_attr *a = c->attr;
    view3 to = seen(&c->out[0], a->axis);
    for (size_t i = item * outer_per_item(c, a->axis); i < last_outer(c, a->axis, item); i++) {
        float *y = (float *)c->out[0].data + i * to.axis * to.inner;
        for (int j = 0; j < c->n_in; j++) {
            size_t n = c->in[j].shape[a->axis] * to.inner;
            memcpy(y, (const float *)c->in[j].data + i * n, n * sizeof *y);
            y += n;
        }
    }
}

static void concat_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                            tsr_value *din)
{
    tsr_value in[TSR_OP_INPUTS] = {dout[0]}, out;
    for (int i = 0; i < n->n_in; i++) {
        in[i + 1] = n->in[i];
        if (n->need[i])
            din[i] = tsr_node(g, &tsr_op_slice, i + 2, in, n->attr, sizeof(slice_attr), 1, &out);
    }
}

const tsr_op tsr_op_concat = {
    .name = "concat",
    .shape = concat_shape,
    .items = slice_items,
    .run = concat_item,
    .backward = concat_backward,
};

tsr_value tsr_concat(tsr_graph *g, int n, const tsr_value *x, int axis)
{
    slice_attr a = {.axis = axis};
    tsr_value out;
    if (n < 1 || n > CONCAT_MOST)
        return tsr_graph_fail(g, TSR_EARG, "concat of %d values; 1 to %d are possible", n,
                              CONCAT_MOST);
    return tsr_node(g, &tsr_op_concat, n, x, &a, sizeof a, 1, &out);
}

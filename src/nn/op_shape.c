/* SPDX-License-Identifier: Apache-2.0
 * Operations that move no number: other shapes of the same values, and gradients cut or led around. */
#include "nn/op.h"
#include "nn/ops.h"

#include <string.h>

typedef struct reshape_attr {
    int ndim;
    size_t shape[TSR_MAX_DIMS];
} reshape_attr;

static tsr_status reshape_shape(tsr_op_call *c)
{
    const reshape_attr *a = c->attr;
    char text[160];
    size_t rest, have = c->in[0].count;
    if (c->in[0].ndim == 0)
        return tsr_op_bad(c, "x is missing");
    TSR_TRY(tsr_shape_count(a->ndim - 1, a->shape + 1, &rest));
    int fits = rest > 0 && have % rest == 0;
    if (fits && a->shape[0] != 0 && !c->resized)
        fits = have / rest == a->shape[0];
    if (!fits)
        return tsr_op_bad(c, "%zu values do not fill %s", have,
                          tsr_shape_text(a->ndim, a->shape, text, sizeof text));
    tsr_op_out(c, 0, c->in[0].dtype, a->ndim, a->shape);
    c->out[0].shape[0] = have / rest;
    return TSR_OK;
}

static void reshape_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                             tsr_value *din)
{
    din[0] = tsr_reshape(g, dout[0], tsr_value_ndim(g, n->in[0]), tsr_value_shape(g, n->in[0]));
}

const tsr_op tsr_op_reshape = {
    .name = "reshape",
    .flags = TSR_OP_ALIAS,
    .shape = reshape_shape,
    .backward = reshape_backward,
};

tsr_value tsr_reshape(tsr_graph *g, tsr_value x, int ndim, const size_t *shape)
{
    reshape_attr a = {.ndim = ndim};
    if (ndim < 1 || ndim > TSR_MAX_DIMS || !shape)
        return tsr_graph_fail(g, TSR_EARG, "reshape to %d dimensions; 1 to %d are possible", ndim,
                              TSR_MAX_DIMS);
    memcpy(a.shape, shape, (size_t)ndim * sizeof *shape);
    return tsr_node1(g, &tsr_op_reshape, x, &a, sizeof a);
}

static tsr_status same_shape(tsr_op_call *c)
{
    if (c->in[0].ndim == 0)
        return tsr_op_bad(c, "x is missing");
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

const tsr_op tsr_op_stop_gradient = {
    .name = "stop_gradient",
    .flags = TSR_OP_ALIAS,
    .shape = same_shape,
};

tsr_value tsr_stop_gradient(tsr_graph *g, tsr_value x)
{
    return tsr_node1(g, &tsr_op_stop_gradient, x, NULL, 0);
}

/* Operands: q, whose storage the result shows, and x, who gets the gradient. */
static tsr_status straight_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 1, "x", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, 0, "q", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, 0, "q", c->in[1].ndim, c->in[1].shape));
    return same_shape(c);
}

static void straight_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                              tsr_value *din)
{
    (void)g;
    (void)n;
    din[1] = dout[0];
}

const tsr_op tsr_op_straight_through = {
    .name = "straight_through",
    .flags = TSR_OP_ALIAS,
    .shape = straight_shape,
    .backward = straight_backward,
};

tsr_value tsr_straight_through(tsr_graph *g, tsr_value x, tsr_value q)
{
    return tsr_node2(g, &tsr_op_straight_through, q, x, NULL, 0);
}

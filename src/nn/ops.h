/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary of models: functions that append one operation each to a graph.
 *
 * Shapes are checked when a node is appended; a mistake sticks in the graph (tsr_graph_check).
 * Unless said otherwise operands are float32, results are new values, and gradients flow to every
 * float operand. "..." stands for any leading dimensions, six in all at most. */
#ifndef TSR_NN_OPS_H
#define TSR_NN_OPS_H

#include "nn/graph.h"

/* --- products ------------------------------------------------------------------------------------ */

typedef enum tsr_act {
    TSR_ACT_NONE,
    TSR_ACT_GELU, /* x/2 (1 + erf(x / sqrt 2)), the exact form */
    TSR_ACT_TANH,
    TSR_ACT_SILU, /* x / (1 + exp(-x)) */
} tsr_act;

/* y = act(x w^T + b)
 *
 * x  [..., K]
 * w  [N, K]      a weight
 * b  [N]         or TSR_NONE
 * y  [..., N]
 *
 * In bf16 precision x and w are rounded to bf16 (to nearest, ties to even), products accumulate in
 * float32, bias and activation are float32.
 * Rows are computed in tiles of a fixed size, so that a row's value depends on the row, w and b
 * only: neither on the number of threads nor on what else is in x. */
tsr_value tsr_linear(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, tsr_act act);

/* --- element-wise -------------------------------------------------------------------------------- */

/* a + b. b has a's shape, or a's last dimensions only and is repeated over the leading ones ([D] or
 * [N, D] with [B, N, D]). */
tsr_value tsr_add(tsr_graph *g, tsr_value a, tsr_value b);

/* a * b, element by element; b as in tsr_add. */
tsr_value tsr_mul(tsr_graph *g, tsr_value a, tsr_value b);

/* s * x. */
tsr_value tsr_scale(tsr_graph *g, tsr_value x, float s);

/* A constant tensor; tsr_fill_like takes the shape of `like`, also when its rows change. */
tsr_value tsr_fill(tsr_graph *g, float value, int ndim, const size_t *shape);
tsr_value tsr_fill_like(tsr_graph *g, float value, tsr_value like);

/* Sum over leading dimensions: x [..., shape] -> [shape], terms added in order of their index in
 * blocks of fixed size. The gradient of a broadcast. */
tsr_value tsr_sum_leading(tsr_graph *g, tsr_value x, int ndim, const size_t *shape);

/* --- shape --------------------------------------------------------------------------------------- */

/* The same values in order under another shape of equal count. Costs nothing. shape[0] may be 0: the
 * leading dimension is what the others leave (and is always so when rows change). */
tsr_value tsr_reshape(tsr_graph *g, tsr_value x, int ndim, const size_t *shape);

/* Places [start, start + count) of an axis (0 is the first); count >= 1. Of the first axis they must
 * be there also when rows change. */
tsr_value tsr_slice(tsr_graph *g, tsr_value x, int axis, size_t start, size_t count);

/* n tensors (at most 24) side by side along an axis; all other dimensions agree. */
tsr_value tsr_concat(tsr_graph *g, int n, const tsr_value *x, int axis);

/* --- gradients ----------------------------------------------------------------------------------- */

/* x, without gradient. Costs nothing. */
tsr_value tsr_stop_gradient(tsr_graph *g, tsr_value x);

/* The value of q with the gradient of x: q goes forward, d/dx is what arrives, d/dq is zero. x and q
 * have one shape. Costs nothing.
 * Source   Bengio et al. 2013, arXiv:1308.3432, straight-through estimator. */
tsr_value tsr_straight_through(tsr_graph *g, tsr_value x, tsr_value q);

#endif

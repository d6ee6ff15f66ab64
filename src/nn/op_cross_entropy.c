/* SPDX-License-Identifier: Apache-2.0
 * Softmax cross-entropy of rows of logits. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

#define ROWS 8 /* rows an item */

/* Inputs by position; the gradient has two more. out[1] is [R + 1]: log sum exp of each row, then the
 * sum of weights. */
enum { IN_LOGITS, IN_IDS, IN_WEIGHTS, IN_STATS, IN_GRAD };

static tsr_status entropy_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_classes(c));
    tsr_op_out(c, 0, TSR_F32, 1, (size_t[]){1});
    tsr_op_out(c, 1, TSR_F32, 1, (size_t[]){c->in[IN_LOGITS].shape[0] + 1});
    return TSR_OK;
}

static size_t entropy_items(const tsr_op_call *c)
{
    size_t items = tsr_pieces(c->in[IN_LOGITS].shape[0], ROWS);
    return items ? items : 1; /* the mean over no rows is 0, and must be written */
}

static size_t entropy_work(const tsr_op_call *c)
{
    return c->in[IN_LOGITS].shape[0] * sizeof(float);
}

static double entropy_flops(const tsr_op_call *c)
{
    return 12.0 * (double)c->in[IN_LOGITS].count;
}

/* Weight of a row; 0 when its id is outside the vocabulary. */
static float weight_of(const tsr_op_call *c, size_t r)
{
    int32_t id = ((const int32_t *)c->in[IN_IDS].data)[r];
    const float *w = c->in[IN_WEIGHTS].data;
    if (id < 0 || (size_t)id >= c->in[IN_LOGITS].shape[1])
        return 0.0f;
    return w ? w[r] : 1.0f;
}

/* Weighted mean of the rows' losses, in order of rows. */
static void entropy_sum(const tsr_op_call *c)
{
    const float *lse = c->work, *logits = c->in[IN_LOGITS].data;
    const int32_t *ids = c->in[IN_IDS].data;
    size_t rows = c->in[IN_LOGITS].shape[0], v = c->in[IN_LOGITS].shape[1];
    double loss = 0.0, weight = 0.0;
    for (size_t r = 0; r < rows; r++) {
        float w = weight_of(c, r);
        if (w > 0.0f)
            loss += (double)w * ((double)lse[r] - (double)logits[r * v + (size_t)ids[r]]);
        weight += (double)w;
    }
    if (c->out[0].data)
        *(float *)c->out[0].data = weight > 0.0 ? (float)(loss / weight) : 0.0f;
    if (c->out[1].data) {
        float *stats = c->out[1].data;
        memcpy(stats, lse, rows * sizeof *stats);
        stats[rows] = (float)weight;
    }
}

static void entropy_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t rows = c->in[IN_LOGITS].shape[0], v = c->in[IN_LOGITS].shape[1];
    size_t end = (item + 1) * ROWS < rows ? (item + 1) * ROWS : rows;
    float *lse = c->work;
    if (c->phase == 0)
        for (size_t r = item * ROWS; r < end; r++)
            lse[r] = tsr_kernels_get()->log_sum_exp((const float *)c->in[IN_LOGITS].data + r * v, v);
    if (c->phase == 1 && item == 0)
        entropy_sum(c);
}

static void entropy_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                             tsr_value *din)
{
    tsr_value in[5] = {n->in[IN_LOGITS], n->in[IN_IDS], n->in[IN_WEIGHTS], n->out[1], dout[0]}, out;
    if (n->need[IN_LOGITS] && dout[0] >= 0)
        din[IN_LOGITS] = tsr_node(g, &tsr_op_cross_entropy_grad, 5, in, NULL, 0, 1, &out);
}

const tsr_op tsr_op_cross_entropy = {
    .name = "cross_entropy",
    .shape = entropy_shape,
    .flops = entropy_flops,
    .items = entropy_items,
    .phases = 2,
    .work = entropy_work,
    .run = entropy_item,
    .backward = entropy_backward,
};

/* --- gradient: (softmax - one at id) weight / sum of weights --- */

static tsr_status entropy_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_classes(c));
    tsr_op_like(c, 0, &c->in[IN_LOGITS]);
    return TSR_OK;
}

static void entropy_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t rows = c->in[IN_LOGITS].shape[0], v = c->in[IN_LOGITS].shape[1];
    size_t end = (item + 1) * ROWS < rows ? (item + 1) * ROWS : rows;
    const float *stats = c->in[IN_STATS].data;
    float dy = *(const float *)c->in[IN_GRAD].data;
    for (size_t r = item * ROWS; r < end; r++) {
        const float *x = (const float *)c->in[IN_LOGITS].data + r * v;
        float *dx = (float *)c->out[0].data + r * v, w = weight_of(c, r);
        float factor = w > 0.0f ? dy * w / stats[rows] : 0.0f;
        if (w > 0.0f) {
            tsr_kernels_get()->exp_shift(dx, x, v, stats[r], factor);
            dx[((const int32_t *)c->in[IN_IDS].data)[r]] -= factor;
        } else {
            memset(dx, 0, v * sizeof *dx);
        }
    }
}

const tsr_op tsr_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .flags = TSR_OP_INPLACE,
    .shape = entropy_grad_shape,
    .flops = entropy_flops,
    .items = entropy_items,
    .run = entropy_grad_item,
};

tsr_value tsr_softmax_cross_entropy(tsr_graph *g, tsr_value logits, tsr_value ids,
                                    tsr_value weights)
{
    tsr_value in[3] = {logits, ids, weights}, out[2];
    return tsr_node(g, &tsr_op_cross_entropy, 3, in, NULL, 0, 2, out);
}

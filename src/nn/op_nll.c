/* SPDX-License-Identifier: Apache-2.0
 * Sum of weighted -log softmax of rows of logits, and the same of each row. */
#include "nn/bf16.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
#include <string.h>

#define ROWS 4 /* rows an item */

/* Inputs by position; the gradient has two more. out: the sum [1], nll of each row [R], and log sum
 * exp of each row [R] for the gradient. */
enum { IN_LOGITS, IN_IDS, IN_WEIGHTS, IN_LSE, IN_GRAD };

static tsr_status nll_check(const tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, IN_LOGITS, "logits", TSR_F32, 2, 2));
    TSR_TRY(tsr_op_expect_dims(c, IN_IDS, "ids", TSR_I32, 1, 1));
    TSR_TRY(tsr_op_expect_shape(c, IN_IDS, "ids", 1, c->in[IN_LOGITS].shape));
    if (!c->in[IN_WEIGHTS].ndim)
        return TSR_OK;
    TSR_TRY(tsr_op_expect_dims(c, IN_WEIGHTS, "weights", TSR_F32, 1, 1));
    return tsr_op_expect_shape(c, IN_WEIGHTS, "weights", 1, c->in[IN_LOGITS].shape);
}

static tsr_status nll_shape(tsr_op_call *c)
{
    TSR_TRY(nll_check(c));
    tsr_op_out(c, 0, TSR_F32, 1, (size_t[]){1});
    tsr_op_out(c, 1, TSR_F32, 1, c->in[IN_LOGITS].shape);
    tsr_op_out(c, 2, TSR_F32, 1, c->in[IN_LOGITS].shape);
    return TSR_OK;
}

static size_t nll_items(const tsr_op_call *c)
{
    size_t items = tsr_pieces(c->in[IN_LOGITS].shape[0], ROWS);
    return items && c->phase == 0 ? items : 1;
}

static size_t nll_work(const tsr_op_call *c)
{
    return c->in[IN_LOGITS].shape[0] * sizeof(float);
}

static double nll_flops(const tsr_op_call *c)
{
    return 12.0 * (double)c->in[IN_LOGITS].count;
}

static const void *logits_of(const tsr_op_call *c, size_t r)
{
    const tsr_operand *x = &c->in[IN_LOGITS];
    return (const char *)x->data + r * x->shape[1] * tsr_dtype_bytes(x->dtype);
}

static float logit(const tsr_op_call *c, size_t r, int32_t id)
{
    const void *x = logits_of(c, r);
    return c->in[IN_LOGITS].dtype == TSR_BF16 ? tsr_bf16_float(((const tsr_bf16 *)x)[id])
                                              : ((const float *)x)[id];
}

/* The row's id, or -1 when it is outside the vocabulary. */
static int32_t id_of(const tsr_op_call *c, size_t r)
{
    int32_t id = ((const int32_t *)c->in[IN_IDS].data)[r];
    return id >= 0 && (size_t)id < c->in[IN_LOGITS].shape[1] ? id : -1;
}

static float weight_of(const tsr_op_call *c, size_t r)
{
    const float *w = c->in[IN_WEIGHTS].data;
    return id_of(c, r) < 0 ? 0.0f : w ? w[r] : 1.0f;
}

static void nll_row(const tsr_op_call *c, size_t r)
{
    const tsr_kernels *k = tsr_kernels_get();
    size_t v = c->in[IN_LOGITS].shape[1];
    int32_t id = id_of(c, r);
    float lse = c->in[IN_LOGITS].dtype == TSR_BF16 ? k->log_sum_exp_half(logits_of(c, r), v)
                                                   : k->log_sum_exp(logits_of(c, r), v);
    ((float *)c->work)[r] = id < 0 ? 0.0f : lse - logit(c, r, id);
    if (c->out[2].data)
        ((float *)c->out[2].data)[r] = lse;
}

/* Phase 0: rows; phase 1: their sum, in order of rows. */
static void nll_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t rows = c->in[IN_LOGITS].shape[0], end = (item + 1) * ROWS < rows ? (item + 1) * ROWS : rows;
    const float *nll = c->work;
    double sum = 0.0;
    for (size_t r = item * ROWS; c->phase == 0 && r < end; r++)
        nll_row(c, r);
    if (c->phase == 0)
        return;
    for (size_t r = 0; r < rows; r++) {
        float w = weight_of(c, r);
        sum += w > 0.0f ? (double)w * (double)nll[r] : 0.0;
    }
    if (c->out[0].data)
        *(float *)c->out[0].data = (float)sum;
    if (c->out[1].data)
        memcpy(c->out[1].data, nll, rows * sizeof *nll);
}

static void nll_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout, tsr_value *din)
{
    tsr_value in[5] = {n->in[IN_LOGITS], n->in[IN_IDS], n->in[IN_WEIGHTS], n->out[2], dout[0]}, out;
    if (n->need[IN_LOGITS] && dout[0] >= 0)
        din[IN_LOGITS] = tsr_node(g, &tsr_op_softmax_nll_grad, 5, in, NULL, 0, 1, &out);
}

const tsr_op tsr_op_softmax_nll = {
    .name = "softmax_nll",
    .bf16_in = 1 << IN_LOGITS,
    .shape = nll_shape,
    .flops = nll_flops,
    .items = nll_items,
    .phases = 2,
    .work = nll_work,
    .run = nll_item,
    .backward = nll_backward,
};

/* --- gradient: (softmax - one at id) times weight --- */

static tsr_status nll_grad_shape(tsr_op_call *c)
{
    TSR_TRY(nll_check(c));
    tsr_op_like(c, 0, &c->in[IN_LOGITS]);
    return TSR_OK;
}

/* y = factor softmax(x), both float32 or bf16. */
static void grad_row(const tsr_op_call *c, size_t r, void *y, float factor)
{
    const tsr_kernels *k = tsr_kernels_get();
    size_t v = c->in[IN_LOGITS].shape[1];
    float lse = ((const float *)c->in[IN_LSE].data)[r];
    if (c->in[IN_LOGITS].dtype == TSR_BF16)
        k->exp_shift_half(y, c->out[0].dtype, logits_of(c, r), v, lse, factor);
    else if (c->out[0].dtype == TSR_BF16)
        k->exp_shift_to_half(y, logits_of(c, r), v, lse, factor);
    else
        k->exp_shift(y, logits_of(c, r), v, lse, factor);
}

static void nll_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_operand *y = &c->out[0];
    size_t rows = y->shape[0], row_bytes = y->shape[1] * tsr_dtype_bytes(y->dtype);
    size_t end = (item + 1) * ROWS < rows ? (item + 1) * ROWS : rows;
    float dy = *(const float *)c->in[IN_GRAD].data;
    for (size_t r = item * ROWS; r < end; r++) {
        char *to = (char *)y->data + r * row_bytes;
        float w = weight_of(c, r), factor = dy * w;
        int32_t id = id_of(c, r);
        if (!(w > 0.0f)) {
            memset(to, 0, row_bytes);
            continue;
        }
        float at = factor * (expf(logit(c, r, id) - ((const float *)c->in[IN_LSE].data)[r]) - 1.0f);
        grad_row(c, r, to, factor);
        if (y->dtype == TSR_BF16)
            ((tsr_bf16 *)(void *)to)[id] = tsr_float_bf16(at);
        else
            ((float *)(void *)to)[id] = at;
    }
}

const tsr_op tsr_op_softmax_nll_grad = {
    .name = "softmax_nll_grad",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 1 << IN_LOGITS,
    .bf16_out = 1,
    .shape = nll_grad_shape,
    .flops = nll_flops,
    .items = nll_items,
    .run = nll_grad_item,
};

tsr_value tsr_softmax_nll(tsr_graph *g, tsr_value logits, tsr_value ids, tsr_value weights,
                          tsr_value *row_nll)
{
    tsr_value in[3] = {logits, ids, weights}, out[3];
    tsr_node(g, &tsr_op_softmax_nll, 3, in, NULL, 0, 3, out);
    if (row_nll)
        *row_nll = tsr_stop_gradient(g, out[1]);
    return out[0];
}

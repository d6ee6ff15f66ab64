/* SPDX-License-Identifier: Apache-2.0
 * Sum of weighted -log softmax of rows of logits, and the same of each row. */
#include "nn/bf16.h"
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
#include <string.h>

#define ROWS 4 /* rows an item */

/* Inputs by position. out: the sum [1], nll of each row [R], and, when it is asked for, the gradient of
 * the sum by the logits: made while a row is in cache, in place of the logits where they end here. */
enum { IN_LOGITS, IN_IDS, IN_WEIGHTS };
enum { OUT_SUM, OUT_ROWS, OUT_GRAD };

static tsr_status nll_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_classes(c));
    tsr_op_out(c, 0, TSR_F32, 1, (size_t[]){1});
    tsr_op_out(c, 1, TSR_F32, 1, c->in[IN_LOGITS].shape);
    tsr_op_like(c, OUT_GRAD, &c->in[IN_LOGITS]);
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

/* y = factor softmax(x), both float32 or bf16. */
static void softmax_to(const tsr_op_call *c, size_t r, void *y, float lse, float factor)
{
    const tsr_kernels *k = tsr_kernels_get();
    size_t v = c->in[IN_LOGITS].shape[1];
    if (c->in[IN_LOGITS].dtype == TSR_BF16)
        k->exp_shift_half(y, c->out[OUT_GRAD].dtype, logits_of(c, r), v, lse, factor);
    else if (c->out[OUT_GRAD].dtype == TSR_BF16)
        k->exp_shift_to_half(y, logits_of(c, r), v, lse, factor);
    else
        k->exp_shift(y, logits_of(c, r), v, lse, factor);
}

/* (softmax - one at id) times weight. Logits and result may be one storage. */
static void grad_row(const tsr_op_call *c, size_t r, float lse)
{
    const tsr_operand *y = &c->out[OUT_GRAD];
    size_t row_bytes = y->shape[1] * tsr_dtype_bytes(y->dtype);
    char *to = (char *)y->data + r * row_bytes;
    float w = weight_of(c, r);
    int32_t id = id_of(c, r);
    if (!(w > 0.0f)) {
        memset(to, 0, row_bytes);
        return;
    }
    float at = w * (expf(logit(c, r, id) - lse) - 1.0f);
    softmax_to(c, r, to, lse, w);
    if (y->dtype == TSR_BF16)
        ((tsr_bf16 *)(void *)to)[id] = tsr_float_bf16(at);
    else
        ((float *)(void *)to)[id] = at;
}

static void nll_row(const tsr_op_call *c, size_t r)
{
    const tsr_kernels *k = tsr_kernels_get();
    size_t v = c->in[IN_LOGITS].shape[1];
    int32_t id = id_of(c, r);
    float lse = c->in[IN_LOGITS].dtype == TSR_BF16 ? k->log_sum_exp_half(logits_of(c, r), v)
                                                   : k->log_sum_exp(logits_of(c, r), v);
    ((float *)c->work)[r] = id < 0 ? 0.0f : lse - logit(c, r, id);
    if (c->out[OUT_GRAD].data)
        grad_row(c, r, lse);
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
    if (c->out[OUT_SUM].data)
        *(float *)c->out[OUT_SUM].data = (float)sum;
    if (c->out[OUT_ROWS].data)
        memcpy(c->out[OUT_ROWS].data, nll, rows * sizeof *nll);
}

static void nll_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout, tsr_value *din)
{
    if (n->need[IN_LOGITS] && dout[OUT_SUM] >= 0)
        din[IN_LOGITS] =
            tsr_node2(g, &tsr_op_softmax_nll_grad, n->out[OUT_GRAD], dout[OUT_SUM], NULL, 0);
}

const tsr_op tsr_op_softmax_nll = {
    .name = "softmax_nll",
    .flags = TSR_OP_INPLACE,
    .inplace_out = OUT_GRAD,
    .bf16_in = 1 << IN_LOGITS,
    .bf16_out = 1 << OUT_GRAD,
    .shape = nll_shape,
    .flops = nll_flops,
    .items = nll_items,
    .phases = 2,
    .work = nll_work,
    .run = nll_item,
    .backward = nll_backward,
};

/* --- that gradient, what arrives -> their product --- */

#define PIECE 32768 /* values an item */
#define STRIP 1024  /* values at a time when they are bf16 */

static tsr_status nll_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "gradient of the sum", TSR_F32, 2, 2));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static size_t nll_grad_items(const tsr_op_call *c)
{
    return tsr_pieces(c->in[0].count, PIECE);
}

static void scale_half(tsr_bf16 *to, const tsr_bf16 *from, size_t n, float s)
{
    float strip[STRIP];
    for (size_t i = 0, m; i < n; i += m) {
        m = n - i < STRIP ? n - i : STRIP;
        tsr_bf16_to_floats(strip, from + i, m);
        tsr_elementwise_now()->scale(strip, strip, s, m);
        tsr_bf16_from_floats(to + i, strip, m);
    }
}

/* Mostly the loss is the sum itself, or adds it: then what arrives is 1. */
static void nll_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_operand *x = &c->in[0], *y = &c->out[0];
    size_t at = item * PIECE, n = x->count - at < PIECE ? x->count - at : PIECE;
    float s = *(const float *)c->in[1].data;
    if (s == 1.0f && x->data == y->data)
        return;
    if (x->dtype == TSR_BF16 && y->dtype == TSR_BF16)
        scale_half((tsr_bf16 *)y->data + at, (const tsr_bf16 *)x->data + at, n, s);
    else if (x->dtype == TSR_F32 && y->dtype == TSR_F32)
        tsr_elementwise_now()->scale((float *)y->data + at, (const float *)x->data + at, s, n);
    else if (x->dtype == TSR_F32)
        for (size_t i = at; i < at + n; i++)
            ((tsr_bf16 *)y->data)[i] = tsr_float_bf16(s * ((const float *)x->data)[i]);
    else
        for (size_t i = at; i < at + n; i++)
            ((float *)y->data)[i] = s * tsr_bf16_float(((const tsr_bf16 *)x->data)[i]);
}

const tsr_op tsr_op_softmax_nll_grad = {
    .name = "softmax_nll_grad",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 1,
    .bf16_out = 1,
    .shape = nll_grad_shape,
    .items = nll_grad_items,
    .run = nll_grad_item,
};

tsr_value tsr_softmax_nll(tsr_graph *g, tsr_value logits, tsr_value ids, tsr_value weights,
                          tsr_value *row_nll)
{
    tsr_value in[3] = {logits, ids, weights}, out[3];
    tsr_node(g, &tsr_op_softmax_nll, 3, in, NULL, 0, 3, out);
    if (row_nll)
        *row_nll = tsr_stop_gradient(g, out[OUT_ROWS]);
    return out[OUT_SUM];
}

/* SPDX-License-Identifier: Apache-2.0
 * Losses between two tensors: squared, absolute, smooth absolute, cosine; masked means. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
#include <string.h>

#define PIECE 16384 /* values an item, about */

typedef enum loss_kind {
    LOSS_MSE,
    LOSS_L1,
    LOSS_SMOOTH_L1,
    LOSS_COSINE,
} loss_kind;

typedef struct loss_attr {
    loss_kind kind;
    float beta; /* of smooth l1 */
} loss_attr;

/* Inputs by position; the gradient has two more. */
enum { IN_PRED, IN_TARGET, IN_MASK, IN_WEIGHT, IN_GRAD };

/* Sums of an item. */
typedef struct loss_sums {
    double loss, weight;
} loss_sums;

#define COSINE_EPS 1e-8f

/* --- how the mask lies on the prediction ---------------------------------------------------------- */

/* The mask of row r: its value, and the step from one value of the row to the next (0 or 1). */
static const float *mask_row(const tsr_op_call *c, size_t r, size_t *step)
{
    static const float one = 1.0f;
    const tsr_operand *p = &c->in[IN_PRED], *m = &c->in[IN_MASK];
    const loss_attr *a = c->attr;
    size_t at = 0, scale = 1;
    *step = 0;
    if (!m->ndim)
        return &one;
    if (a->kind == LOSS_COSINE)
        return (const float *)m->data + r;
    int last = p->ndim - 1;
    *step = m->shape[last] == 1 ? 0 : 1;
    scale = m->shape[last];
    for (int i = last - 1; i >= 0; i--) {
        size_t index = r % p->shape[i];
        r /= p->shape[i];
        at += m->shape[i] == 1 ? 0 : index * scale;
        scale *= m->shape[i];
    }
    return (const float *)m->data + at;
}

static tsr_status mask_check(const tsr_op_call *c)
{
    const tsr_operand *p = &c->in[IN_PRED], *m = &c->in[IN_MASK];
    const loss_attr *a = c->attr;
    if (!m->ndim)
        return TSR_OK;
    if (a->kind == LOSS_COSINE) {
        TSR_TRY(tsr_op_expect_dims(c, IN_MASK, "mask", TSR_F32, 1, TSR_MAX_DIMS));
        if (p->ndim == 1 && m->count == 1)
            return TSR_OK;
        return tsr_op_expect_shape(c, IN_MASK, "mask", p->ndim - 1, p->shape);
    }
    TSR_TRY(tsr_op_expect_dims(c, IN_MASK, "mask", TSR_F32, p->ndim, p->ndim));
    for (int i = 0; i < p->ndim; i++)
        if (m->shape[i] != p->shape[i] && m->shape[i] != 1)
            return tsr_op_bad(c, "the mask's dimension %d is neither 1 nor that of pred", i);
    return TSR_OK;
}

static tsr_status loss_check(const tsr_op_call *c)
{
    const loss_attr *a = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, IN_PRED, "pred", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, IN_TARGET, "target", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, IN_TARGET, "target", c->in[IN_PRED].ndim, c->in[IN_PRED].shape));
    if (a->kind == LOSS_SMOOTH_L1 && !(a->beta > 0.0f))
        return tsr_op_bad(c, "beta is %g, expected more than 0", (double)a->beta);
    return mask_check(c);
}

static tsr_status loss_shape(tsr_op_call *c)
{
    TSR_TRY(loss_check(c));
    tsr_op_out(c, 0, TSR_F32, 1, (size_t[]){1});
    tsr_op_out(c, 1, TSR_F32, 1, (size_t[]){1});
    return TSR_OK;
}

/* Items are runs of whole rows. */
static size_t rows_each(const tsr_op_call *c)
{
    size_t d = tsr_width(&c->in[IN_PRED]);
    return d >= PIECE || d == 0 ? 1 : PIECE / d;
}

static size_t loss_items(const tsr_op_call *c)
{
    size_t items = tsr_pieces(tsr_rows(&c->in[IN_PRED]), rows_each(c));
    return items ? items : 1; /* a mean over nothing is 0, and must be written */
}

static double loss_flops(const tsr_op_call *c)
{
    return 5.0 * (double)c->in[IN_PRED].count;
}

/* --- values -------------------------------------------------------------------------------------- */

static float value_of(const loss_attr *a, float d)
{
    float size = fabsf(d);
    switch (a->kind) {
    case LOSS_MSE: return d * d;
    case LOSS_L1: return size;
    default: return size < a->beta ? 0.5f * d * d / a->beta : size - 0.5f * a->beta;
    }
}

static float slope_of(const loss_attr *a, float d)
{
    float sign = d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d; /* NaN stays */
    switch (a->kind) {
    case LOSS_MSE: return 2.0f * d;
    case LOSS_L1: return sign;
    default: return fabsf(d) < a->beta ? d / a->beta : sign;
    }
}

/* Lengths and product of two rows. */
typedef struct angle {
    float p, t, cosine; /* lengths, at least COSINE_EPS */
    int cut;            /* p was below it */
} angle;

static angle angle_of(const float *p, const float *t, size_t d)
{
    const tsr_kernels *k = tsr_kernels_get();
    angle a = {.p = sqrtf(k->dot(p, p, d)), .t = sqrtf(k->dot(t, t, d))};
    a.cut = a.p < COSINE_EPS;
    a.p = a.p < COSINE_EPS ? COSINE_EPS : a.p;
    a.t = a.t < COSINE_EPS ? COSINE_EPS : a.t;
    a.cosine = k->dot(p, t, d) / a.p / a.t;
    return a;
}

static void sum_row(const tsr_op_call *c, size_t r, loss_sums *s)
{
    const loss_attr *a = c->attr;
    size_t d = tsr_width(&c->in[IN_PRED]), step;
    const float *m = mask_row(c, r, &step);
    const float *p = (const float *)c->in[IN_PRED].data + r * d;
    const float *t = (const float *)c->in[IN_TARGET].data + r * d;
    if (a->kind == LOSS_COSINE) {
        if (*m > 0.0f)
            s->loss += (double)*m * (1.0 - (double)angle_of(p, t, d).cosine);
        s->weight += (double)*m;
        return;
    }
    for (size_t i = 0; i < d; i++, m += step) {
        if (*m > 0.0f)
            s->loss += (double)*m * (double)value_of(a, p[i] - t[i]);
        s->weight += (double)*m;
    }
}

/* Phase 0: sums of items; phase 1: their sum, in order. */
static void loss_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    loss_sums *sums = c->work, all = {0};
    size_t rows = tsr_rows(&c->in[IN_PRED]), each = rows_each(c), end = (item + 1) * each;
    if (c->phase == 0) {
        sums[item] = all;
        for (size_t r = item * each; r < (end < rows ? end : rows); r++)
            sum_row(c, r, &sums[item]);
        return;
    }
    if (item != 0)
        return;
    for (size_t i = 0; i < loss_items(c); i++)
        all.loss += sums[i].loss, all.weight += sums[i].weight;
    if (c->out[0].data)
        *(float *)c->out[0].data = all.weight > 0.0 ? (float)(all.loss / all.weight) : 0.0f;
    if (c->out[1].data)
        *(float *)c->out[1].data = (float)all.weight;
}

static size_t loss_work(const tsr_op_call *c)
{
    return loss_items(c) * sizeof(loss_sums);
}

static void loss_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                          tsr_value *din)
{
    tsr_value in[5] = {n->in[IN_PRED], n->in[IN_TARGET], n->in[IN_MASK], n->out[1], dout[0]}, out;
    if (n->need[IN_PRED] && dout[0] >= 0)
        din[IN_PRED] = tsr_node(g, &tsr_op_loss_grad, 5, in, n->attr, sizeof(loss_attr), 1, &out);
}

const tsr_op tsr_op_loss = {
    .name = "loss",
    .shape = loss_shape,
    .flops = loss_flops,
    .items = loss_items,
    .phases = 2,
    .work = loss_work,
    .run = loss_item,
    .backward = loss_backward,
};

/* --- gradient ------------------------------------------------------------------------------------ */

static tsr_status loss_grad_shape(tsr_op_call *c)
{
    TSR_TRY(loss_check(c));
    tsr_op_like(c, 0, &c->in[IN_PRED]);
    return TSR_OK;
}

/* d(1 - cos)/dp = -(t / |t| - cos p / |p|) / |p| */
static void cosine_grad_row(float *out, const float *p, const float *t, size_t d, float factor)
{
    angle a = angle_of(p, t, d);
    float along = a.cut ? 0.0f : a.cosine / a.p;
    for (size_t i = 0; i < d; i++)
        out[i] = -factor * (t[i] / a.t - along * p[i]) / a.p;
}

static void grad_row(const tsr_op_call *c, size_t r, float factor)
{
    const loss_attr *a = c->attr;
    size_t d = tsr_width(&c->in[IN_PRED]), step;
    const float *m = mask_row(c, r, &step);
    const float *p = (const float *)c->in[IN_PRED].data + r * d;
    const float *t = (const float *)c->in[IN_TARGET].data + r * d;
    float *out = (float *)c->out[0].data + r * d;
    if (a->kind == LOSS_COSINE && *m > 0.0f) {
        cosine_grad_row(out, p, t, d, factor * *m);
        return;
    }
    for (size_t i = 0; i < d; i++, m += step)
        out[i] = *m > 0.0f ? factor * *m * slope_of(a, p[i] - t[i]) : 0.0f;
}

static void loss_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    size_t rows = tsr_rows(&c->in[IN_PRED]), each = rows_each(c), end = (item + 1) * each;
    float weight = *(const float *)c->in[IN_WEIGHT].data;
    float factor = weight > 0.0f ? *(const float *)c->in[IN_GRAD].data / weight : 0.0f;
    for (size_t r = item * each; r < (end < rows ? end : rows); r++)
        grad_row(c, r, factor);
}

const tsr_op tsr_op_loss_grad = {
    .name = "loss_grad",
    .shape = loss_grad_shape,
    .flops = loss_flops,
    .items = loss_items,
    .run = loss_grad_item,
};

static tsr_value loss(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask, loss_attr a)
{
    tsr_value in[3] = {pred, target, mask}, out[2];
    return tsr_node(g, &tsr_op_loss, 3, in, &a, sizeof a, 2, out);
}

tsr_value tsr_mse(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask)
{
    return loss(g, pred, target, mask, (loss_attr){LOSS_MSE, 0.0f});
}

tsr_value tsr_l1(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask)
{
    return loss(g, pred, target, mask, (loss_attr){LOSS_L1, 0.0f});
}

tsr_value tsr_smooth_l1(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask, float beta)
{
    return loss(g, pred, target, mask, (loss_attr){LOSS_SMOOTH_L1, beta});
}

tsr_value tsr_cosine_loss(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask)
{
    return loss(g, pred, target, mask, (loss_attr){LOSS_COSINE, 0.0f});
}

/* SPDX-License-Identifier: Apache-2.0
 * Bicubic resampling of the last two dimensions, for positional tables. */
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
#include <string.h>

#define PLANES 16  /* planes an item */
#define CUBIC_A -0.75f

/* Both directions: from h by w (the input of the forward direction) to rows by columns. */
typedef struct resample_attr {
    size_t h, w, rows, columns;
} resample_attr;

/* Four clamped taps of one output position. */
typedef struct taps {
    size_t at[4];
    float weight[4];
} taps;

/* Weight at distance 0 <= d <= 1, and 1 < d <= 2. */
static float near_weight(float d)
{
    return ((CUBIC_A + 2.0f) * d - (CUBIC_A + 3.0f)) * d * d + 1.0f;
}

static float far_weight(float d)
{
    return ((CUBIC_A * d - 5.0f * CUBIC_A) * d + 8.0f * CUBIC_A) * d - 4.0f * CUBIC_A;
}

static taps taps_of(size_t o, size_t in, size_t out)
{
    float r = ((float)o + 0.5f) * ((float)in / (float)out) - 0.5f;
    float low = floorf(r), t = r - low;
    taps k = {.weight = {far_weight(t + 1.0f), near_weight(t), near_weight(1.0f - t),
                         far_weight(2.0f - t)}};
    for (int i = 0; i < 4; i++) {
        float at = low + (float)(i - 1);
        at = at < 0.0f ? 0.0f : at;
        k.at[i] = (size_t)at < in ? (size_t)at : in - 1;
    }
    return k;
}

static size_t planes_of(const tsr_operand *o)
{
    return o->count / (o->shape[o->ndim - 1] * o->shape[o->ndim - 2]);
}

static size_t resample_items(const tsr_op_call *c)
{
    return tsr_pieces(planes_of(&c->in[0]), PLANES);
}

static double resample_flops(const tsr_op_call *c)
{
    const resample_attr *a = c->attr;
    return 40.0 * (double)planes_of(&c->in[0]) * (double)(a->rows * a->columns);
}

static size_t resample_scratch(const tsr_op_call *c)
{
    const resample_attr *a = c->attr;
    return (a->rows + a->columns) * sizeof(taps);
}

/* Calls with the planes of an item. */
typedef void (*plane_job)(const resample_attr *a, const taps *y, const taps *x, const float *in,
                          float *out);

static void each_plane(const tsr_op_call *c, size_t item, void *scratch, plane_job job)
{
    const resample_attr *a = c->attr;
    size_t planes = planes_of(&c->in[0]), end = (item + 1) * PLANES;
    size_t in = c->in[0].count / planes, out = c->out[0].count / planes;
    taps *y = scratch, *x = y + a->rows;
    for (size_t i = 0; i < a->rows; i++)
        y[i] = taps_of(i, a->h, a->rows);
    for (size_t i = 0; i < a->columns; i++)
        x[i] = taps_of(i, a->w, a->columns);
    for (size_t i = item * PLANES; i < (end < planes ? end : planes); i++)
        job(a, y, x, (const float *)c->in[0].data + i * in, (float *)c->out[0].data + i * out);
}

static void resample_plane(const resample_attr *a, const taps *y, const taps *x, const float *in,
                           float *out)
{
    for (size_t r = 0; r < a->rows; r++)
        for (size_t q = 0; q < a->columns; q++) {
            float sum = 0.0f;
            for (int i = 0; i < 4; i++) {
                const float *line = in + y[r].at[i] * a->w;
                float along = 0.0f;
                for (int j = 0; j < 4; j++)
                    along += x[q].weight[j] * line[x[q].at[j]];
                sum += y[r].weight[i] * along;
            }
            out[r * a->columns + q] = sum;
        }
}

static void resample_grad_plane(const resample_attr *a, const taps *y, const taps *x,
                                const float *dy, float *dx)
{
    memset(dx, 0, a->h * a->w * sizeof *dx);
    for (size_t r = 0; r < a->rows; r++)
        for (size_t q = 0; q < a->columns; q++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    dx[y[r].at[i] * a->w + x[q].at[j]] +=
                        y[r].weight[i] * x[q].weight[j] * dy[r * a->columns + q];
}

/* --- [..., H, W] -> [..., rows, columns] --- */

static tsr_status resample_shape(tsr_op_call *c)
{
    const resample_attr *a = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 2, TSR_MAX_DIMS));
    if (a->rows < 1 || a->columns < 1)
        return tsr_op_bad(c, "a result of %zu by %zu", a->rows, a->columns);
    tsr_op_like(c, 0, &c->in[0]);
    c->out[0].shape[c->out[0].ndim - 2] = a->rows;
    c->out[0].shape[c->out[0].ndim - 1] = a->columns;
    return TSR_OK;
}

static void resample_item(const tsr_op_call *c, size_t item, void *scratch)
{
    each_plane(c, item, scratch, resample_plane);
}

static void resample_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                              tsr_value *din)
{
    din[0] = tsr_node1(g, &tsr_op_resample_grad, dout[0], n->attr, sizeof(resample_attr));
}

const tsr_op tsr_op_resample = {
    .name = "resample",
    .shape = resample_shape,
    .flops = resample_flops,
    .items = resample_items,
    .scratch = resample_scratch,
    .run = resample_item,
    .backward = resample_backward,
};

/* --- the gradient: [..., rows, columns] -> [..., H, W] --- */

static tsr_status resample_grad_shape(tsr_op_call *c)
{
    const resample_attr *a = c->attr;
    tsr_op_like(c, 0, &c->in[0]);
    c->out[0].shape[c->out[0].ndim - 2] = a->h;
    c->out[0].shape[c->out[0].ndim - 1] = a->w;
    return TSR_OK;
}

static void resample_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    each_plane(c, item, scratch, resample_grad_plane);
}

const tsr_op tsr_op_resample_grad = {
    .name = "resample_grad",
    .shape = resample_grad_shape,
    .flops = resample_flops,
    .items = resample_items,
    .scratch = resample_scratch,
    .run = resample_grad_item,
};

tsr_value tsr_resample(tsr_graph *g, tsr_value x, int h, int w)
{
    int n = tsr_value_ndim(g, x);
    const size_t *s = tsr_value_shape(g, x);
    resample_attr a = {.rows = h > 0 ? (size_t)h : 0, .columns = w > 0 ? (size_t)w : 0};
    if (n >= 2)
        a.h = s[n - 2], a.w = s[n - 1];
    if (n >= 2 && a.h == a.rows && a.w == a.columns)
        return x;
    return tsr_node1(g, &tsr_op_resample, x, &a, sizeof a);
}

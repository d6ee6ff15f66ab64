/* SPDX-License-Identifier: Apache-2.0
 * Attention of one wide head over the rows of an image. */
#include "nn/kernels.h"
#include "nn/op.h"
#include "nn/rowimage.h"

#include <math.h>
#include <string.h>

#define QUERIES 16 /* an item */
#define KEYS 64    /* transposed by an item of phase 0 */

static size_t up16(size_t n)
{
    return (n + 15) / 16 * 16;
}

static tsr_status wide_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "qkv", TSR_F32, 3, 3));
    const size_t *s = c->in[0].shape;
    if (s[2] % 48)
        return tsr_op_bad(c, "rows of %zu values are no q, k, v of a multiple of 16 each", s[2]);
    tsr_op_out(c, 0, TSR_F32, 3, (size_t[]){s[0], s[1], s[2] / 3});
    return TSR_OK;
}

static double wide_flops(const tsr_op_call *c)
{
    return 4.0 * (double)c->out[0].count * (double)c->in[0].shape[1];
}

static size_t wide_items(const tsr_op_call *c)
{
    return c->in[0].shape[0] * tsr_pieces(c->in[0].shape[1], c->phase == 0 ? KEYS : QUERIES);
}

/* Keys of all images as [D, N rounded up]. */
static size_t wide_work(const tsr_op_call *c)
{
    return c->out[0].shape[0] * c->out[0].shape[2] * up16(c->out[0].shape[1]) * sizeof(float);
}

static size_t wide_scratch(const tsr_op_call *c)
{
    return QUERIES * up16(c->in[0].shape[1]) * sizeof(float);
}

static void transpose_keys(const tsr_op_call *c, size_t item)
{
    size_t n = c->in[0].shape[1], d = c->out[0].shape[2], pieces = tsr_pieces(n, KEYS), np = up16(n);
    size_t b = item / pieces, first = item % pieces * KEYS;
    size_t end = first + KEYS < n ? first + KEYS : np;
    const float *k = (const float *)c->in[0].data + b * n * 3 * d + d;
    float *to = (float *)c->work + b * d * np;
    for (size_t j = first; j < end; j++)
        for (size_t p = 0; p < d; p++)
            to[p * np + j] = j < n ? k[j * 3 * d + p] : 0.0f;
}

static void attend(const tsr_op_call *c, size_t item, float *p)
{
    const tsr_kernels *k = tsr_kernels_get();
    size_t n = c->in[0].shape[1], d = c->out[0].shape[2], pieces = tsr_pieces(n, QUERIES);
    size_t np = up16(n), b = item / pieces, first = item % pieces * QUERIES;
    size_t m = n - first < QUERIES ? n - first : QUERIES;
    const float *qkv = (const float *)c->in[0].data + b * n * 3 * d;
    k->product(&(tsr_product){.m = m, .n = n, .k = d, .a = qkv + first * 3 * d, .a_row = 3 * d,
                              .a_col = 1, .b = (const float *)c->work + b * d * np, .b_row = np,
                              .c = p, .c_row = np});
    float scale = 1.0f / sqrtf((float)d);
    for (size_t i = 0; i < m; i++) {
        float *row = p + i * np;
        for (size_t j = 0; j < n; j++)
            row[j] *= scale;
        k->exp_shift(row, row, n, k->log_sum_exp(row, n), 1.0f);
    }
    k->product(&(tsr_product){.m = m, .n = d, .k = n, .a = p, .a_row = np, .a_col = 1,
                              .b = qkv + 2 * d, .b_row = 3 * d,
                              .c = (float *)c->out[0].data + (b * n + first) * d, .c_row = d});
}

static void wide_item(const tsr_op_call *c, size_t item, void *scratch)
{
    if (c->phase == 0)
        transpose_keys(c, item);
    else
        attend(c, item, scratch);
}

const tsr_op tsr_op_wide_attention = {
    .name = "wide_attention",
    .shape = wide_shape,
    .flops = wide_flops,
    .items = wide_items,
    .phases = 2,
    .scratch = wide_scratch,
    .work = wide_work,
    .run = wide_item,
};

tsr_value tsr_wide_attention(tsr_graph *g, tsr_value qkv)
{
    return tsr_node1(g, &tsr_op_wide_attention, qkv, NULL, 0);
}

/* SPDX-License-Identifier: Apache-2.0
 * Two-dimensional convolution, float32: patches of a few output rows as a matrix, then a product. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

/* The published tokenizers convolve only at the end of a decoder (depthwise 7x7); patch projections
 * are linear layers. Products of own kernels keep each image's result independent of its batch. */

#define BLOCK_FLOATS ((size_t)1 << 18) /* size of the patch matrix, about: half a level-2 cache */
#define WEIGHT_ROWS 16                 /* output channels an item of the weights' gradient */

/* Everything shapes say. Inputs by position: x, w, b; x, w, dy; x, dy. */
typedef struct conv_plan {
    size_t batch, c, h, w;   /* of x */
    size_t o, kh, kw;        /* of the weights */
    size_t ho, wo;           /* of y */
    size_t groups, cg, og;   /* channels of a group */
    size_t k, rows, n, np;   /* patch length; output rows a block, their positions, rounded to 16 */
    size_t stride, pad;
} conv_plan;

static size_t up16(size_t n)
{
    return (n + 15) / 16 * 16;
}

static conv_plan plan_of(const tsr_conv_spec *s, const size_t x[4], const size_t w[4])
{
    conv_plan p = {.batch = x[0], .c = x[1], .h = x[2], .w = x[3], .o = w[0], .kh = w[2], .kw = w[3],
                   .groups = (size_t)s->groups, .stride = (size_t)s->stride, .pad = (size_t)s->pad};
    p.cg = p.c / p.groups;
    p.og = p.o / p.groups;
    p.ho = (p.h + 2 * p.pad - p.kh) / p.stride + 1;
    p.wo = (p.w + 2 * p.pad - p.kw) / p.stride + 1;
    p.k = p.cg * p.kh * p.kw;
    p.rows = BLOCK_FLOATS / (p.k * p.wo);
    p.rows = p.rows < 1 ? 1 : p.rows > p.ho ? p.ho : p.rows;
    p.n = p.rows * p.wo;
    p.np = up16(p.n);
    return p;
}

static tsr_status conv_check(const tsr_op_call *c)
{
    const tsr_conv_spec *s = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 4, 4));
    TSR_TRY(tsr_op_expect_dims(c, 1, "weight", TSR_F32, 4, 4));
    const size_t *x = c->in[0].shape, *w = c->in[1].shape;
    if (s->stride < 1 || s->groups < 1 || s->pad < 0 || s->pad > 1 << 20)
        return tsr_op_bad(c, "stride %d, padding %d, %d groups", s->stride, s->pad, s->groups);
    size_t groups = (size_t)s->groups, pad = (size_t)s->pad;
    if (x[1] % groups || w[0] % groups || w[1] != x[1] / groups)
        return tsr_op_bad(c, "%zu and %zu channels in %zu groups do not fit the weight", x[1], w[0],
                          groups);
    if (x[2] + 2 * pad < w[2] || x[3] + 2 * pad < w[3])
        return tsr_op_bad(c, "the weight is larger than the image with padding %zu", pad);
    return TSR_OK;
}

static conv_plan plan_call(const tsr_op_call *c)
{
    return plan_of(c->attr, c->in[0].shape, c->in[1].shape);
}

/* A matrix of patches: element (t, j), t the place in a patch, j the output position, at
 * at[t*t_step + j*j_step]. */
typedef struct patch_matrix {
    float *at;
    size_t t_step, j_step;
} patch_matrix;

/* Patches of output rows [row, row + count) of the channels at x. back: gradients of patches
 * are added to x; else patches are copied, zero outside the image. */
static void patches(const conv_plan *p, float *x, size_t row, size_t count, patch_matrix m, int back)
{
    size_t t = 0;
    for (size_t ch = 0; ch < p->cg; ch++)
        for (size_t ky = 0; ky < p->kh; ky++)
            for (size_t kx = 0; kx < p->kw; kx++, t++)
                for (size_t j = 0; j < count * p->wo; j++) {
                    size_t y = (row + j / p->wo) * p->stride + ky, q = j % p->wo * p->stride + kx;
                    int inside = y >= p->pad && y - p->pad < p->h && q >= p->pad && q - p->pad < p->w;
                    float *e = m.at + t * m.t_step + j * m.j_step;
                    size_t at = inside ? (ch * p->h + y - p->pad) * p->w + q - p->pad : 0;
                    if (back && inside)
                        x[at] += *e;
                    if (!back)
                        *e = inside ? x[at] : 0.0f;
                }
}

/* First value of the group's channels in image b. */
static float *input_of(const conv_plan *p, const tsr_operand *x, size_t b, size_t group)
{
    return (float *)x->data + (b * p->c + group * p->cg) * p->h * p->w;
}

static float *output_of(const conv_plan *p, const tsr_operand *y, size_t b, size_t group)
{
    return (float *)y->data + (b * p->o + group * p->og) * p->ho * p->wo;
}

/* --- forward: an item is a block of output rows of one group of one image --- */

static tsr_status conv_shape(tsr_op_call *c)
{
    TSR_TRY(conv_check(c));
    conv_plan p = plan_call(c);
    if (c->in[2].ndim)
        TSR_TRY(tsr_op_expect_shape(c, 2, "bias", 1, &p.o));
    tsr_op_out(c, 0, TSR_F32, 4, (size_t[]){p.batch, p.o, p.ho, p.wo});
    return TSR_OK;
}

static double conv_flops(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return 2.0 * (double)(p.batch * p.o) * (double)(p.ho * p.wo) * (double)p.k;
}

static size_t conv_items(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return p.batch * p.groups * tsr_pieces(p.ho, p.rows);
}

static size_t conv_scratch(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return (p.k + p.og) * p.np * sizeof(float);
}

static void conv_item(const tsr_op_call *c, size_t item, void *scratch)
{
    conv_plan p = plan_call(c);
    size_t blocks = tsr_pieces(p.ho, p.rows), row = item % blocks * p.rows;
    size_t group = item / blocks % p.groups, b = item / blocks / p.groups;
    size_t count = p.ho - row < p.rows ? p.ho - row : p.rows, n = count * p.wo;
    float *patch = scratch, *sum = patch + p.k * p.np;
    const float *bias = c->in[2].data;
    float *y = output_of(&p, &c->out[0], b, group) + row * p.wo;
    patches(&p, input_of(&p, &c->in[0], b, group), row, count, (patch_matrix){patch, p.np, 1}, 0);
    tsr_kernels_get()->product(&(tsr_product){
        .m = p.og, .n = n, .k = p.k, .a = (const float *)c->in[1].data + group * p.og * p.k,
        .a_row = p.k, .a_col = 1, .b = patch, .b_row = p.np, .c = sum, .c_row = p.np});
    for (size_t i = 0; i < p.og; i++)
        for (size_t j = 0; j < n; j++)
            y[i * p.ho * p.wo + j] = sum[i * p.np + j] + (bias ? bias[group * p.og + i] : 0.0f);
}

static void conv_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                          tsr_value *din)
{
    tsr_value in[3] = {n->in[0], n->in[1], dout[0]}, out;
    size_t bytes = sizeof(tsr_conv_spec);
    if (dout[0] < 0)
        return;
    if (n->need[0])
        din[0] = tsr_node(g, &tsr_op_conv2d_grad_x, 3, in, n->attr, bytes, 1, &out);
    if (n->need[1])
        din[1] = tsr_node(g, &tsr_op_conv2d_grad_w, 3, in, n->attr, bytes, 1, &out);
    if (n->in[2] >= 0 && n->need[2])
        din[2] = tsr_node1(g, &tsr_op_conv2d_grad_b, dout[0], NULL, 0);
}

const tsr_op tsr_op_conv2d = {
    .name = "conv2d",
    .shape = conv_shape,
    .flops = conv_flops,
    .items = conv_items,
    .scratch = conv_scratch,
    .run = conv_item,
    .backward = conv_backward,
};

/* --- gradient of x: an item is one group of one image --- */

static tsr_status grad_x_shape(tsr_op_call *c)
{
    TSR_TRY(conv_check(c));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static size_t grad_x_items(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return p.batch * p.groups;
}

static void grad_x_item(const tsr_op_call *c, size_t item, void *scratch)
{
    conv_plan p = plan_call(c);
    size_t group = item % p.groups, b = item / p.groups;
    float *patch = scratch, *dy = patch + p.k * p.np;
    float *dx = input_of(&p, &c->out[0], b, group);
    memset(dx, 0, p.cg * p.h * p.w * sizeof *dx);
    for (size_t row = 0; row < p.ho; row += p.rows) {
        size_t count = p.ho - row < p.rows ? p.ho - row : p.rows, n = count * p.wo;
        const float *from = output_of(&p, &c->in[2], b, group) + row * p.wo;
        memset(dy, 0, p.og * p.np * sizeof *dy);
        for (size_t i = 0; i < p.og; i++)
            memcpy(dy + i * p.np, from + i * p.ho * p.wo, n * sizeof *dy);
        tsr_kernels_get()->product(&(tsr_product){
            .m = p.k, .n = n, .k = p.og, .a = (const float *)c->in[1].data + group * p.og * p.k,
            .a_row = 1, .a_col = p.k, .b = dy, .b_row = p.np, .c = patch, .c_row = p.np});
        patches(&p, dx, row, count, (patch_matrix){patch, p.np, 1}, 1);
    }
}

const tsr_op tsr_op_conv2d_grad_x = {
    .name = "conv2d_grad_x",
    .shape = grad_x_shape,
    .flops = conv_flops,
    .items = grad_x_items,
    .scratch = conv_scratch,
    .run = grad_x_item,
};

/* --- gradient of the weights: an item is a few output channels of one group, over all images --- */

static tsr_status grad_w_shape(tsr_op_call *c)
{
    TSR_TRY(conv_check(c));
    tsr_op_like(c, 0, &c->in[1]);
    return TSR_OK;
}

static size_t grad_w_items(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return p.groups * tsr_pieces(p.og, WEIGHT_ROWS);
}

static size_t grad_w_scratch(const tsr_op_call *c)
{
    conv_plan p = plan_call(c);
    return (p.n + WEIGHT_ROWS) * up16(p.k) * sizeof(float);
}

static void grad_w_item(const tsr_op_call *c, size_t item, void *scratch)
{
    conv_plan p = plan_call(c);
    size_t pieces = tsr_pieces(p.og, WEIGHT_ROWS), first = item % pieces * WEIGHT_ROWS;
    size_t group = item / pieces, m = p.og - first < WEIGHT_ROWS ? p.og - first : WEIGHT_ROWS;
    size_t kp = up16(p.k);
    float *sum = scratch, *patch = sum + WEIGHT_ROWS * kp;
    float *dw = (float *)c->out[0].data + (group * p.og + first) * p.k;
    memset(scratch, 0, grad_w_scratch(c));
    for (size_t b = 0; b < p.batch; b++)
        for (size_t row = 0; row < p.ho; row += p.rows) {
            size_t count = p.ho - row < p.rows ? p.ho - row : p.rows;
            patches(&p, input_of(&p, &c->in[0], b, group), row, count, (patch_matrix){patch, 1, kp},
                    0);
            tsr_kernels_get()->product(&(tsr_product){
                .m = m, .n = p.k, .k = count * p.wo,
                .a = output_of(&p, &c->in[2], b, group) + first * p.ho * p.wo + row * p.wo,
                .a_row = p.ho * p.wo, .a_col = 1, .b = patch, .b_row = kp, .c = sum, .c_row = kp,
                .accumulate = 1});
        }
    for (size_t i = 0; i < m; i++)
        for (size_t t = 0; t < p.k; t++)
            dw[i * p.k + t] = sum[i * kp + t] + (c->accumulate ? dw[i * p.k + t] : 0.0f);
}

const tsr_op tsr_op_conv2d_grad_w = {
    .name = "conv2d_grad_w",
    .flags = TSR_OP_ACCUMULATES,
    .shape = grad_w_shape,
    .flops = conv_flops,
    .items = grad_w_items,
    .scratch = grad_w_scratch,
    .run = grad_w_item,
};

/* --- gradient of the bias: sums over images and positions --- */

static tsr_status grad_b_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "gradient", TSR_F32, 4, 4));
    tsr_op_out(c, 0, TSR_F32, 1, &c->in[0].shape[1]);
    return TSR_OK;
}

static double grad_b_flops(const tsr_op_call *c)
{
    return (double)c->in[0].count;
}

static size_t grad_b_items(const tsr_op_call *c)
{
    return c->in[0].shape[1];
}

static void grad_b_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const size_t *s = c->in[0].shape;
    size_t plane = s[2] * s[3];
    float *db = (float *)c->out[0].data + item;
    double sum = 0.0;
    for (size_t b = 0; b < s[0]; b++) {
        const float *dy = (const float *)c->in[0].data + (b * s[1] + item) * plane;
        for (size_t i = 0; i < plane; i++)
            sum += (double)dy[i];
    }
    *db = (float)sum + (c->accumulate ? *db : 0.0f);
}

const tsr_op tsr_op_conv2d_grad_b = {
    .name = "conv2d_grad_b",
    .flags = TSR_OP_ACCUMULATES,
    .shape = grad_b_shape,
    .flops = grad_b_flops,
    .items = grad_b_items,
    .run = grad_b_item,
};

tsr_value tsr_conv2d(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, tsr_conv_spec spec)
{
    tsr_value in[3] = {x, w, b}, out;
    return tsr_node(g, &tsr_op_conv2d, 3, in, &spec, sizeof spec, 1, &out);
}

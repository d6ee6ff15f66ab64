/* SPDX-License-Identifier: Apache-2.0
 * Images to rows of patches and back. */
#include "base/mem.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <string.h>

/* Patch side; for the way back also the number of patches. */
typedef struct patch_attr {
    size_t patch, rows, columns;
} patch_attr;

/* One strip of patches (all of one patch row of one image) as both operations see it. */
typedef struct patch_strip {
    float *image;  /* channel 0, first line of the strip */
    float *tokens; /* first patch of the strip */
    size_t channels, plane, columns, patch;
} patch_strip;

static patch_strip strip_of(const tsr_operand *image, const tsr_operand *tokens, size_t patch,
                            size_t item)
{
    size_t channels = image->shape[1], h = image->shape[2], w = image->shape[3], rows = h / patch;
    size_t b = item / rows, row = item % rows, columns = w / patch;
    size_t token = channels * patch * patch;
    return (patch_strip){(float *)image->data + b * channels * h * w + row * patch * w,
                         (float *)tokens->data + (b * rows + row) * columns * token, channels,
                         h * w, columns, patch};
}

static size_t strips_of(const tsr_operand *image, size_t patch)
{
    return image->shape[0] * (image->shape[2] / patch);
}

/* --- patchify: [B, C, H, W] -> [B, N, C*P*P] --- */

static tsr_status patchify_shape(tsr_op_call *c)
{
    const patch_attr *a = c->attr;
    const size_t *s = c->in[0].shape;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 4, 4));
    if (a->patch < 1 || s[2] % a->patch || s[3] % a->patch)
        return tsr_op_bad(c, "an image of %zu by %zu does not divide into patches of %zu", s[2], s[3],
                          a->patch);
    tsr_op_out(c, 0, TSR_F32, 3, (size_t[]){s[0], s[2] / a->patch * (s[3] / a->patch),
                                            s[1] * a->patch * a->patch});
    return TSR_OK;
}

static size_t patchify_items(const tsr_op_call *c)
{
    return strips_of(&c->in[0], ((const patch_attr *)c->attr)->patch);
}

static void patchify_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const patch_attr *a = c->attr;
    patch_strip s = strip_of(&c->in[0], &c->out[0], a->patch, item);
    size_t p = s.patch, token = s.channels * p * p;
    for (size_t ch = 0; ch < s.channels; ch++)
        for (size_t py = 0; py < p; py++) {
            const float *line = s.image + ch * s.plane + py * s.columns * p;
            float *to = s.tokens + (ch * p + py) * p;
            for (size_t j = 0; j < s.columns; j++)
                for (size_t px = 0; px < p; px++)
                    to[j * token + px] = line[j * p + px];
        }
}

static void patchify_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                              tsr_value *din)
{
    const patch_attr *a = n->attr;
    const size_t *s = tsr_value_shape(g, n->in[0]);
    din[0] = tsr_unpatchify(g, dout[0], (int)(s[2] / a->patch), (int)(s[3] / a->patch),
                            (int)a->patch);
}

const tsr_op tsr_op_patchify = {
    .name = "patchify",
    .shape = patchify_shape,
    .items = patchify_items,
    .run = patchify_item,
    .backward = patchify_backward,
};

tsr_value tsr_patchify(tsr_graph *g, tsr_value x, int patch)
{
    patch_attr a = {.patch = patch > 0 ? (size_t)patch : 0};
    return tsr_node1(g, &tsr_op_patchify, x, &a, sizeof a);
}

/* --- unpatchify: [B, N, C*P*P] -> [B, C, rows*P, columns*P] --- */

static tsr_status unpatchify_shape(tsr_op_call *c)
{
    const patch_attr *a = c->attr;
    const size_t *s = c->in[0].shape;
    size_t tokens = 0, square = 0;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 3, 3));
    TSR_TRY(tsr_mul_size(a->rows, a->columns, &tokens));
    TSR_TRY(tsr_mul_size(a->patch, a->patch, &square));
    if (tokens == 0 || s[1] != tokens)
        return tsr_op_bad(c, "%zu tokens do not make %zu rows of %zu", s[1], a->rows, a->columns);
    if (square == 0 || s[2] % square)
        return tsr_op_bad(c, "%zu features do not make patches of %zu by %zu", s[2], a->patch,
                          a->patch);
    tsr_op_out(c, 0, TSR_F32, 4, (size_t[]){s[0], s[2] / square, a->rows * a->patch,
                                            a->columns * a->patch});
    return TSR_OK;
}

static size_t unpatchify_items(const tsr_op_call *c)
{
    return strips_of(&c->out[0], ((const patch_attr *)c->attr)->patch);
}

static void unpatchify_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const patch_attr *a = c->attr;
    patch_strip s = strip_of(&c->out[0], &c->in[0], a->patch, item);
    size_t p = s.patch, token = s.channels * p * p;
    for (size_t ch = 0; ch < s.channels; ch++)
        for (size_t py = 0; py < p; py++) {
            float *line = s.image + ch * s.plane + py * s.columns * p;
            const float *from = s.tokens + (ch * p + py) * p;
            for (size_t j = 0; j < s.columns; j++)
                for (size_t px = 0; px < p; px++)
                    line[j * p + px] = from[j * token + px];
        }
}

static void unpatchify_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                                tsr_value *din)
{
    din[0] = tsr_patchify(g, dout[0], (int)((const patch_attr *)n->attr)->patch);
}

const tsr_op tsr_op_unpatchify = {
    .name = "unpatchify",
    .shape = unpatchify_shape,
    .items = unpatchify_items,
    .run = unpatchify_item,
    .backward = unpatchify_backward,
};

tsr_value tsr_unpatchify(tsr_graph *g, tsr_value x, int rows, int columns, int patch)
{
    patch_attr a = {patch > 0 ? (size_t)patch : 0, rows > 0 ? (size_t)rows : 0,
                    columns > 0 ? (size_t)columns : 0};
    return tsr_node1(g, &tsr_op_unpatchify, x, &a, sizeof a);
}

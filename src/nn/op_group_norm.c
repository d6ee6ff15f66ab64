/* SPDX-License-Identifier: Apache-2.0
 * Group norm of images whose pixels are rows of channels, with an activation behind it. */
#include "base/mem.h"
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/op.h"
#include "nn/rowimage.h"

#include <math.h>
#include <string.h>

#define ROWS 16    /* summed in float32 before they are added in double */
#define PIECE 256  /* rows an item */

/* Work space, for each image: sums of pieces [pieces, 2, C] in double, of x - x0 and its square, x0
 * the first pixel (so that a large mean costs no digits); then scale and shift [2, C] in float. */

static tsr_status norm_shape(tsr_op_call *c)
{
    const tsr_group_norm_spec *s = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 3, 3));
    size_t width = tsr_width(&c->in[0]);
    TSR_TRY(tsr_op_expect_shape(c, 1, "weight", 1, &width));
    TSR_TRY(tsr_op_expect_shape(c, 2, "bias", 1, &width));
    if (s->groups < 1 || width % s->groups)
        return tsr_op_bad(c, "%zu channels in %zu groups", width, s->groups);
    if (s->act != TSR_ACT_NONE && s->act != TSR_ACT_SILU)
        return tsr_op_bad(c, "of activations only SiLU may follow");
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static double norm_flops(const tsr_op_call *c)
{
    return 10.0 * (double)c->in[0].count;
}

static size_t pieces_of(const tsr_op_call *c)
{
    return tsr_pieces(c->in[0].shape[1], PIECE);
}

static size_t norm_items(const tsr_op_call *c)
{
    return c->in[0].shape[0] * (c->phase == 1 ? 1 : pieces_of(c));
}

static size_t image_bytes(const tsr_op_call *c)
{
    size_t width = tsr_width(&c->in[0]);
    return 2 * pieces_of(c) * width * sizeof(double) + 2 * width * sizeof(float);
}

static size_t norm_work(const tsr_op_call *c)
{
    return c->in[0].shape[0] * image_bytes(c);
}

static size_t norm_scratch(const tsr_op_call *c)
{
    return (ROWS + 3) * tsr_width(&c->in[0]) * sizeof(float);
}

static double *sums_of(const tsr_op_call *c, size_t image)
{
    return (double *)((char *)c->work + image * image_bytes(c));
}

/* scale [C], shift [C] */
static float *map_of(const tsr_op_call *c, size_t image)
{
    return (float *)(sums_of(c, image) + 2 * pieces_of(c) * tsr_width(&c->in[0]));
}

static void sum_piece(const tsr_op_call *c, size_t item, float *room)
{
    const tsr_elementwise *e = tsr_elementwise_now();
    size_t rows = c->in[0].shape[1], width = tsr_width(&c->in[0]), pieces = pieces_of(c);
    size_t image = item / pieces, first = item % pieces * PIECE;
    size_t end = first + PIECE < rows ? first + PIECE : rows;
    const float *x = (const float *)c->in[0].data + image * rows * width;
    float *minus = room, *sum = minus + width, *square = sum + width, *d = square + width;
    double *to = sums_of(c, image) + 2 * (item % pieces) * width;
    memset(to, 0, 2 * width * sizeof *to);
    e->scale(minus, x, -1.0f, width);
    for (size_t row = first; row < end; row += ROWS) {
        size_t n = end - row < ROWS ? end - row : ROWS;
        for (size_t i = 0; i < n; i++)
            e->add(d + i * width, x + (row + i) * width, minus, width);
        e->column_sums(sum, d, n, width, width);
        e->mul(d, d, d, n * width);
        e->column_sums(square, d, n, width, width);
        for (size_t j = 0; j < width; j++) {
            to[j] += (double)sum[j];
            to[width + j] += (double)square[j];
        }
    }
}

/* Sums of all pieces of one channel. */
static void channel_sums(const double *sums, size_t pieces, size_t width, double out[2])
{
    out[0] = out[1] = 0;
    for (size_t i = 0; i < pieces; i++) {
        out[0] += sums[2 * i * width];
        out[1] += sums[(2 * i + 1) * width];
    }
}

static void find_map(const tsr_op_call *c, size_t image)
{
    const tsr_group_norm_spec *s = c->attr;
    size_t rows = c->in[0].shape[1], width = tsr_width(&c->in[0]), each = width / s->groups;
    const float *x0 = (const float *)c->in[0].data + image * rows * width;
    const float *w = c->in[1].data, *b = c->in[2].data;
    float *scale = map_of(c, image), *shift = scale + width;
    double n = (double)rows, of[2];
    for (size_t first = 0; first < width; first += each) {
        double total = 0, spread = 0;
        for (size_t j = first; j < first + each; j++) {
            channel_sums(sums_of(c, image) + j, pieces_of(c), width, of);
            total += of[0] + n * (double)x0[j];
        }
        double mean = total / (n * (double)each);
        for (size_t j = first; j < first + each; j++) {
            double off = (double)x0[j] - mean;
            channel_sums(sums_of(c, image) + j, pieces_of(c), width, of);
            spread += of[1] + 2 * off * of[0] + n * off * off;
        }
        double rstd = 1 / sqrt(spread / (n * (double)each) + (double)s->eps);
        for (size_t j = first; j < first + each; j++) {
            scale[j] = (float)(rstd * (double)w[j]);
            shift[j] = (float)((double)b[j] - mean * rstd * (double)w[j]);
        }
    }
}

static void apply_piece(const tsr_op_call *c, size_t item, float *room)
{
    const tsr_group_norm_spec *s = c->attr;
    const tsr_elementwise *e = tsr_elementwise_now();
    const tsr_kernels *k =
        c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
    size_t rows = c->in[0].shape[1], width = tsr_width(&c->in[0]), pieces = pieces_of(c);
    size_t image = item / pieces, first = item % pieces * PIECE;
    size_t end = first + PIECE < rows ? first + PIECE : rows;
    const float *scale = map_of(c, image), *shift = scale + width;
    for (size_t row = first; row < end; row++) {
        size_t at = (image * rows + row) * width;
        void *y = (char *)c->out[0].data + at * tsr_dtype_bytes(c->out[0].dtype);
        e->mul(room, (const float *)c->in[0].data + at, scale, width);
        if (s->act == TSR_ACT_SILU)
            k->map_sums(&(tsr_map_sums){TSR_MAP_SILU, width, room, shift, NULL, y, TSR_F32,
                                        c->out[0].dtype});
        else if (c->out[0].dtype == TSR_BF16)
            e->add_to_half(y, room, shift, width);
        else
            e->add(y, room, shift, width);
    }
}

static void norm_item(const tsr_op_call *c, size_t item, void *scratch)
{
    if (c->phase == 0)
        sum_piece(c, item, scratch);
    else if (c->phase == 1)
        find_map(c, item);
    else
        apply_piece(c, item, scratch);
}

const tsr_op tsr_op_group_norm = {
    .name = "group_norm",
    .bf16_out = 1,
    .shape = norm_shape,
    .flops = norm_flops,
    .items = norm_items,
    .phases = 3,
    .scratch = norm_scratch,
    .work = norm_work,
    .run = norm_item,
};

tsr_value tsr_group_norm(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b,
                         tsr_group_norm_spec spec)
{
    tsr_value in[3] = {x, w, b}, out;
    return tsr_node(g, &tsr_op_group_norm, 3, in, &spec, sizeof spec, 1, &out);
}

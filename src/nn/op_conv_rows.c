/* SPDX-License-Identifier: Apache-2.0
 * Convolution of images whose pixels are rows of channels: for each tap of the kernel one product of
 * fixed size, on images with a border of zeros. */
#include "nn/elementwise.h"
#include "nn/op.h"
#include "nn/rowimage.h"

#include <string.h>

/* The image is copied once, in the type of the products, with its border. With a stride, pixels of
 * one parity lie together (stride^2 planes), so that the pixels a tap meets are always neighbours:
 * row i of a product is one output position, its terms the channels of one pixel. Lines of planes are
 * a little longer than those of the result; what falls on the rest is computed and dropped. */

#define TILE 256  /* positions of a product, about */
#define BLOCK 128 /* output channels of a product */

typedef struct conv_cut {
    size_t batch, c, o, kh, kw, taps;
    size_t h, w, ho, wo;
    size_t stride, pad;
    size_t wq;          /* pixels in a line of a plane */
    size_t rows, tiles; /* output lines of a product, and how many of those */
    size_t lines;       /* of a plane, with room for products that begin on its last line */
    size_t planes;      /* of an image: [planes, lines, wq, c] */
    size_t blocks, rest;
    tsr_dtype type;
} conv_cut;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static conv_cut cut_call(const tsr_op_call *c)
{
    const tsr_row_conv *s = c->attr;
    const size_t *k = c->in[1].shape;
    conv_cut q = {.batch = c->in[0].shape[0], .c = k[1], .o = k[0], .kh = k[2], .kw = k[3],
                  .taps = k[2] * k[3], .h = s->height, .w = s->width, .stride = s->stride,
                  .pad = s->pad};
    q.ho = (q.h + 2 * q.pad - q.kh) / q.stride + 1;
    q.wo = (q.w + 2 * q.pad - q.kw) / q.stride + 1;
    q.wq = q.wo + (q.kw - 1) / q.stride;
    q.rows = TILE / q.wq < 1 ? 1 : least(TILE / q.wq, q.ho);
    q.tiles = tsr_pieces(q.ho, q.rows);
    q.lines = q.tiles * q.rows + (q.kh - 1) / q.stride + 1;
    q.planes = least(q.stride, q.kh) * least(q.stride, q.kw);
    q.blocks = q.o / BLOCK;
    q.rest = q.o % BLOCK;
    q.type = c->precision == TSR_PRECISION_BF16 ? TSR_BF16 : TSR_F32;
    return q;
}

static tsr_status conv_shape(tsr_op_call *c)
{
    const tsr_row_conv *s = c->attr;
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 3, 3));
    TSR_TRY(tsr_op_expect_dims(c, 1, "weight", TSR_F32, 4, 4));
    const size_t *x = c->in[0].shape, *k = c->in[1].shape;
    if (!c->in[1].param)
        return tsr_op_bad(c, "weight is no parameter of the store");
    if (s->stride < 1 || s->stride > 64 || s->pad > 64 || s->height < 1 || s->width < 1 ||
        s->height > 65536 || s->width > 65536)
        return tsr_op_bad(c, "stride %zu, padding %zu of %zu by %zu pixels", s->stride, s->pad,
                          s->height, s->width);
    if (x[1] != s->height * s->width)
        return tsr_op_bad(c, "x is no image of %zu by %zu pixels", s->height, s->width);
    if (x[2] != k[1])
        return tsr_op_bad(c, "x has %zu channels, the weight takes %zu", x[2], k[1]);
    if (k[0] < 1 || k[2] < 1 || k[3] < 1 || s->height + 2 * s->pad < k[2] ||
        s->width + 2 * s->pad < k[3])
        return tsr_op_bad(c, "the weight is larger than the image with padding %zu", s->pad);
    conv_cut q = cut_call(c);
    const size_t shape[] = {x[0], q.ho * q.wo, q.o};
    if (c->in[2].ndim)
        TSR_TRY(tsr_op_expect_shape(c, 2, "bias", 1, &q.o));
    if (c->in[3].ndim)
        TSR_TRY(tsr_op_expect_shape(c, 3, "what is added", 3, shape));
    tsr_op_out(c, 0, TSR_F32, 3, shape);
    return TSR_OK;
}

static double conv_flops(const tsr_op_call *c)
{
    conv_cut q = cut_call(c);
    return 2.0 * (double)c->out[0].count * (double)(q.taps * q.c);
}

/* --- preparing --- */

static tsr_status get_product(const conv_cut *q, size_t columns, const tsr_gemm **out)
{
    const tsr_gemm_spec s = {.m = q->rows * q->wq, .n = columns, .k = q->c, .ab = q->type,
                             .c = TSR_F32, .a_row = q->c, .a_col = 1, .c_row = columns,
                             .accumulate = 1};
    return tsr_gemm_get(&s, out);
}

/* Taps of the first block of output channels, then those of the next. */
static tsr_status conv_prepare(const tsr_op_call *c, tsr_pack_request *req, int *n)
{
    conv_cut q = cut_call(c);
    tsr_pack_request r = {.param = c->in[1].param, .row = q.taps, .col = q.c * q.taps,
                          .blocks = q.blocks * q.taps, .step = 1, .group = q.taps,
                          .group_step = BLOCK * q.c * q.taps};
    *n = 0;
    if (q.blocks > 0) {
        TSR_TRY(get_product(&q, BLOCK, &r.gemm));
        req[(*n)++] = r;
    }
    if (q.rest == 0)
        return TSR_OK;
    r.offset = q.blocks * r.group_step;
    r.blocks = q.taps;
    TSR_TRY(get_product(&q, q.rest, &r.gemm));
    req[(*n)++] = r;
    return TSR_OK;
}

static size_t conv_items(const tsr_op_call *c)
{
    conv_cut q = cut_call(c);
    if (c->phase == 0)
        return q.batch * q.planes * q.lines;
    return q.batch * q.tiles * (q.blocks + (q.rest > 0));
}

static size_t conv_work(const tsr_op_call *c)
{
    conv_cut q = cut_call(c);
    return q.batch * q.planes * q.lines * q.wq * q.c * tsr_dtype_bytes(q.type);
}

/* Sums of a product, then the library's work space. */
static size_t sum_bytes(const conv_cut *q)
{
    size_t bytes = q->rows * q->wq * (q->blocks ? BLOCK : q->rest) * sizeof(float);
    return (bytes + 63) / 64 * 64;
}

static size_t conv_scratch(const tsr_op_call *c)
{
    const tsr_gemm *p;
    conv_cut q = cut_call(c);
    size_t library = 0;
    if (q.blocks && get_product(&q, BLOCK, &p) == TSR_OK)
        library = tsr_gemm_scratch(p);
    if (q.rest && get_product(&q, q.rest, &p) == TSR_OK && tsr_gemm_scratch(p) > library)
        library = tsr_gemm_scratch(p);
    return sum_bytes(&q) + library;
}

/* --- phase 0: a line of a plane --- */

static void copy_values(const conv_cut *q, void *to, const tsr_operand *x, size_t at, size_t n)
{
    const char *from = (const char *)x->data + at * tsr_dtype_bytes(x->dtype);
    if (x->dtype == q->type)
        memcpy(to, from, n * tsr_dtype_bytes(q->type));
    else if (q->type == TSR_BF16)
        tsr_elementwise_now()->to_half(to, (const void *)from, n);
    else
        tsr_elementwise_now()->to_float(to, (const void *)from, n);
}

/* Pixels of the image in a line of a plane are the j with `first` <= j < `end`; in the image the
 * first of them is column `from`. */
typedef struct line_span {
    size_t first, end, from;
} line_span;

static line_span span_of(const conv_cut *q, size_t px)
{
    line_span s;
    s.first = px >= q->pad ? 0 : tsr_pieces(q->pad - px, q->stride);
    s.from = s.first * q->stride + px - q->pad;
    s.end = s.from < q->w ? s.first + tsr_pieces(q->w - s.from, q->stride) : s.first;
    s.end = least(s.end, q->wq);
    return s;
}

static void line_item(const tsr_op_call *c, const conv_cut *q, size_t item)
{
    size_t i = item % q->lines, plane = item / q->lines % q->planes, across = least(q->stride, q->kw);
    size_t b = item / q->lines / q->planes, y = i * q->stride + plane / across;
    size_t bytes = q->c * tsr_dtype_bytes(q->type);
    char *line = (char *)c->work + item * q->wq * bytes;
    line_span s = span_of(q, plane % across);
    if (y < q->pad || y - q->pad >= q->h || s.first >= s.end) {
        memset(line, 0, q->wq * bytes);
        return;
    }
    size_t at = ((b * q->h + y - q->pad) * q->w + s.from) * q->c;
    memset(line, 0, s.first * bytes);
    memset(line + s.end * bytes, 0, (q->wq - s.end) * bytes);
    if (q->stride == 1) {
        copy_values(q, line + s.first * bytes, &c->in[0], at, (s.end - s.first) * q->c);
        return;
    }
    for (size_t j = s.first; j < s.end; j++, at += q->stride * q->c)
        copy_values(q, line + j * bytes, &c->in[0], at, q->c);
}

/* --- phase 1: a block of output channels of some output lines --- */

static void start_sums(float *sums, size_t rows, size_t n, const float *bias)
{
    if (!bias) {
        memset(sums, 0, rows * n * sizeof *sums);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        memcpy(sums + i * n, bias, n * sizeof *sums);
}

static void product_item(const tsr_op_call *c, const conv_cut *q, size_t item, char *scratch)
{
    size_t per_tile = q->blocks + (q->rest > 0), j = item % per_tile, tile = item / per_tile % q->tiles;
    size_t b = item / per_tile / q->tiles, row0 = tile * q->rows, n = j < q->blocks ? BLOCK : q->rest;
    size_t pixel = q->c * tsr_dtype_bytes(q->type), across = least(q->stride, q->kw);
    tsr_pack *const *packs = j < q->blocks ? c->packs[0] + j * q->taps : c->packs[q->blocks > 0];
    const float *bias = c->in[2].data ? (const float *)c->in[2].data + j * BLOCK : NULL;
    float *sums = (float *)scratch, *out = c->out[0].data;
    start_sums(sums, q->rows * q->wq, n, bias);
    for (size_t t = 0; t < q->taps; t++) {
        size_t ky = t / q->kw, kx = t % q->kw;
        size_t plane = ky % q->stride * across + kx % q->stride;
        size_t line = (b * q->planes + plane) * q->lines + row0 + ky / q->stride;
        const char *a = (const char *)c->work + (line * q->wq + kx / q->stride) * pixel;
        tsr_gemm_run(tsr_pack_gemm(packs[t]), a, NULL, packs[t], NULL, sums, scratch + sum_bytes(q));
    }
    size_t end = least(row0 + q->rows, q->ho);
    for (size_t y = row0; y < end; y++)
        for (size_t x = 0; x < q->wo; x++) {
            const float *sum = sums + ((y - row0) * q->wq + x) * n;
            size_t at = ((b * q->ho + y) * q->wo + x) * q->o + j * BLOCK;
            if (c->in[3].data)
                tsr_elementwise_now()->add(out + at, sum, (const float *)c->in[3].data + at, n);
            else
                memcpy(out + at, sum, n * sizeof *sum);
        }
}

static void conv_item(const tsr_op_call *c, size_t item, void *scratch)
{
    conv_cut q = cut_call(c);
    if (c->phase == 0)
        line_item(c, &q, item);
    else
        product_item(c, &q, item, scratch);
}

const tsr_op tsr_op_conv_rows = {
    .name = "conv_rows",
    .rows_in = 2,
    .bf16_in = 1,
    .shape = conv_shape,
    .flops = conv_flops,
    .items = conv_items,
    .phases = 2,
    .scratch = conv_scratch,
    .work = conv_work,
    .prepare = conv_prepare,
    .run = conv_item,
};

tsr_value tsr_conv_rows(tsr_graph *g, tsr_value x, tsr_value w, tsr_value bias, tsr_value add,
                        tsr_row_conv spec)
{
    tsr_value in[4] = {x, w, bias, add}, out;
    return tsr_node(g, &tsr_op_conv_rows, 4, in, &spec, sizeof spec, 1, &out);
}

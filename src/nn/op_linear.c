/* SPDX-License-Identifier: Apache-2.0
 * y = act(x w^T + b), and the gradient to x, which is the same product with w the other way round.
 *
 * Rows are cut into tiles of a size that depends on the shape of one sample only, columns into blocks
 * that keep a block of w and a tile of x in the second-level cache; one item computes one block of
 * one tile. The last tile is filled up with zero rows, so that every row goes through the same code.
 * Where sums are long and rows few (gradients that come from a large vocabulary) the sums are cut
 * into parts of fixed length instead, so that w is read once. */
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/op.h"
#include "nn/ops.h"
#include "nn/rowimage.h"

#include <string.h>

#define TILE_MAX 256       /* rows */
#define TILE_FLAT 128      /* rows of a tile when samples are short or unknown, and with own kernels */
#define BLOCK_MAX 256      /* columns */
#define BLOCK_VALUES 400000 /* of w in a block: 0.8 MB of bf16 */
#define CONVERT 32768      /* values an item of phase 0 */
#define LONG 8192          /* terms from which sums are cut into parts, on tiles */
#define PART 4096          /* terms of a part */
#define PART_ROWS 256      /* rows an item of those */
#define SUM_ROWS 32        /* rows an item, where parts are added */

typedef struct linear_attr {
    tsr_act act;
    int transposed; /* the inner dimension is w's first: gradient to x */
} linear_attr;

/* How a call is cut. */
typedef struct cut {
    size_t rows, inner, outer;
    size_t tile, tiles;
    size_t block, blocks, rest; /* columns: `blocks` full ones and one of `rest` */
    tsr_dtype type;             /* of the product's operands */
    int convert;                /* x is float32 and goes in as bf16 */
    int direct;                 /* products write the result themselves, bias added */
    int bias;                   /* they add it */
    tsr_dtype out;              /* type of what they write */
    int own;                    /* by tsr_kernels.layer, which does it all, instead of products */
    size_t parts;               /* sums are made in parts, by tsr_kernels.layer_part; or 0 */
    size_t sums_row;            /* and lie in rows of this */
} cut;

/* Rows of a tile: those of one sample where that is a good size, or equal parts of them. */
static size_t tile_rows(const tsr_operand *x)
{
    size_t sample = 1;
    for (int i = 1; i < x->ndim - 1; i++)
        sample *= x->shape[i];
    if (sample < 48)
        return TILE_FLAT;
    size_t parts = tsr_pieces(sample, TILE_MAX);
    return parts == 1 ? sample : tsr_pieces(tsr_pieces(sample, parts), 16) * 16;
}

/* Columns of a block: the largest multiple of 16 that divides the whole, near the best size. */
static size_t block_columns(size_t inner, size_t outer)
{
    size_t most = BLOCK_VALUES / inner / 16 * 16;
    most = most > BLOCK_MAX ? BLOCK_MAX : most < 64 ? 64 : most;
    if (outer <= most)
        return outer;
    for (size_t n = most; n > most / 2; n -= 16)
        if (outer % n == 0)
            return n;
    return most;
}

static cut cut_call(const tsr_op_call *c)
{
    const tsr_operand *x = &c->in[0], *w = &c->in[1];
    cut q = {.rows = tsr_rows(x), .inner = tsr_width(x)};
    q.outer = w->count / q.inner;
    q.tile = tile_rows(x);
    q.block = block_columns(q.inner, q.outer);
    q.type = c->precision == TSR_PRECISION_BF16 ? TSR_BF16 : TSR_F32;
    q.convert = q.type == TSR_BF16 && x->dtype == TSR_F32;
    q.direct = ((const linear_attr *)c->attr)->act == TSR_ACT_NONE;
    q.bias = q.direct && c->n_in > 2 && c->in[2].ndim > 0;
    q.out = q.direct ? c->out[0].dtype : TSR_F32;
    q.own = q.type == TSR_BF16 && tsr_kernels_get_bf16()->layer;
    if (q.own) { /* rows depend on themselves alone, whatever the tile */
        q.tile = TILE_FLAT;
        q.block = BLOCK_MAX;
    }
    if (q.own && q.direct && !q.bias && q.inner >= LONG) {
        q.parts = tsr_pieces(q.inner, PART);
        q.sums_row = (q.outer + 31) / 32 * 32;
    }
    q.tiles = tsr_pieces(q.rows, q.tile);
    q.blocks = q.outer / q.block;
    q.rest = q.outer % q.block;
    return q;
}

static tsr_status linear_shape(tsr_op_call *c)
{
    const linear_attr *a = c->attr;
    const tsr_operand *x = &c->in[0], *w = &c->in[1], *b = &c->in[2];
    size_t shape[TSR_MAX_DIMS];
    TSR_TRY(tsr_op_expect_dims(c, 0, "x", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, 1, "weight", TSR_F32, 2, 2));
    if (!w->param)
        return tsr_op_bad(c, "weight is no parameter of the store");
    size_t inner = w->shape[a->transposed ? 0 : 1], outer = w->shape[a->transposed ? 1 : 0];
    if (tsr_width(x) != inner)
        return tsr_op_bad(c, "x ends in %zu values, the weight takes %zu", tsr_width(x), inner);
    if (c->n_in > 2 && b->ndim > 0)
        TSR_TRY(tsr_op_expect_shape(c, 2, "bias", 1, &outer));
    memcpy(shape, x->shape, sizeof shape);
    shape[x->ndim - 1] = outer;
    for (int i = 0; i < c->n_out; i++)
        tsr_op_out(c, i, TSR_F32, x->ndim, shape);
    return TSR_OK;
}

static double linear_flops(const tsr_op_call *c)
{
    return 2.0 * (double)tsr_rows(&c->in[0]) * (double)c->in[1].count;
}

/* --- preparing --- */

static tsr_status get_product(const cut *q, size_t columns, const tsr_gemm **out)
{
    tsr_gemm_spec s = {.m = q->tile, .n = columns, .k = q->inner, .ab = q->type, .c = q->out,
                       .a_row = q->inner, .a_col = 1, .c_row = q->direct ? q->outer : columns,
                       .bias = q->bias};
    if (q->own)
        s = (tsr_gemm_spec){.m = 1, .n = columns, .k = q->inner, .ab = TSR_BF16, .c = TSR_F32,
                            .a_row = q->inner, .a_col = 1, .c_row = columns, .tiles = 1};
    return tsr_gemm_get(&s, out);
}

static tsr_status linear_prepare(const tsr_op_call *c, tsr_pack_request *req, int *n)
{
    const linear_attr *a = c->attr;
    cut q = cut_call(c);
    tsr_pack_request r = {.param = c->in[1].param, .row = 1, .col = q.inner, .blocks = q.blocks};
    if (a->transposed) {
        r.row = q.outer;
        r.col = 1;
    }
    r.step = q.block * r.col;
    *n = 0;
    if (q.blocks > 0) {
        TSR_TRY(get_product(&q, q.block, &r.gemm));
        req[(*n)++] = r;
    }
    if (q.rest == 0)
        return TSR_OK;
    r.offset = q.blocks * r.step;
    r.blocks = 1;
    r.step = 0;
    TSR_TRY(get_product(&q, q.rest, &r.gemm));
    req[(*n)++] = r;
    return TSR_OK;
}

static size_t linear_items(const tsr_op_call *c)
{
    cut q = cut_call(c);
    if (c->phase == 0)
        return q.convert ? tsr_pieces(c->in[0].count, CONVERT) : 0;
    if (c->phase == 2)
        return q.parts ? tsr_pieces(q.rows, SUM_ROWS) : 0;
    if (q.parts)
        return q.parts * tsr_pieces(q.rows, PART_ROWS);
    return q.tiles * (q.blocks + (q.rest > 0));
}

static size_t up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* x in bf16, then the sums of parts. */
static size_t linear_work(const tsr_op_call *c)
{
    cut q = cut_call(c);
    size_t x = q.convert ? up(c->in[0].count * sizeof(tsr_bf16)) : 0;
    return x + q.parts * ((q.rows + 31) / 32 * 32) * q.sums_row * sizeof(float);
}

/* Sums of a part, from a row on. */
static float *part_sums(const tsr_op_call *c, const cut *q, size_t part, size_t row)
{
    size_t x = q->convert ? up(c->in[0].count * sizeof(tsr_bf16)) : 0;
    float *sums = (float *)(void *)((char *)c->work + x);
    return sums + (part * ((q->rows + 31) / 32 * 32) + row) * q->sums_row;
}

/* Scratch of a lane: the block of results (of the last tile only, where products write results
 * themselves), a tile of x for the rows at the end, the library's. The same for any number of rows. */
static size_t result_bytes(const cut *q)
{
    if (q->own)
        return 0;
    if (q->direct)
        return up(q->tile * q->outer * tsr_dtype_bytes(q->out));
    return up(q->tile * q->block * sizeof(float));
}

static size_t tile_bytes(const cut *q)
{
    return up(q->tile * q->inner * tsr_dtype_bytes(q->type));
}

static size_t linear_scratch(const tsr_op_call *c)
{
    const tsr_gemm *p;
    cut q = cut_call(c);
    size_t library = 0;
    /* Compiled by linear_prepare already, which reported any failure. */
    if (q.blocks && get_product(&q, q.block, &p) == TSR_OK)
        library = tsr_gemm_scratch(p);
    if (q.rest && get_product(&q, q.rest, &p) == TSR_OK && tsr_gemm_scratch(p) > library)
        library = tsr_gemm_scratch(p);
    return result_bytes(&q) + tile_bytes(&q) + library;
}

/* --- running --- */

static tsr_map map_of(tsr_act act)
{
    return act == TSR_ACT_GELU ? TSR_MAP_GELU : act == TSR_ACT_TANH ? TSR_MAP_TANH : TSR_MAP_SILU;
}

static void *element(const tsr_operand *o, size_t i)
{
    return o->data ? (char *)o->data + i * tsr_dtype_bytes(o->dtype) : NULL;
}

/* Bias, activation and storage of a block of `rows` x n sums, in one pass. */
static void finish(const tsr_op_call *c, const float *sums, const float *bias, size_t rows, size_t at,
                   size_t n)
{
    const linear_attr *a = c->attr;
    const tsr_kernels *k =
        c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
    size_t outer = tsr_width(&c->out[0]);
    for (size_t i = 0; i < rows; i++, at += outer, sums += n)
        k->map_sums(&(tsr_map_sums){map_of(a->act), n, sums, bias, element(&c->out[1], at),
                                    element(&c->out[0], at), c->out[1].dtype, c->out[0].dtype});
}

/* The tile's rows of x: in place, or copied and filled up with zeros at the end. */
static const void *tile_of(const tsr_op_call *c, const cut *q, size_t row0, size_t rows, void *room)
{
    size_t bytes = tsr_dtype_bytes(q->type) * q->inner;
    const char *x = (const char *)(q->convert ? c->work : c->in[0].data) + row0 * bytes;
    if (rows == q->tile)
        return x;
    memcpy(room, x, rows * bytes);
    memset((char *)room + rows * bytes, 0, (q->tile - rows) * bytes);
    return room;
}

/* n columns from values `at` of the results, from the rows x. */
static void own_block(const tsr_op_call *c, const cut *q, const void *x, size_t rows, size_t at,
                      size_t n, const tsr_pack *pack)
{
    const linear_attr *a = c->attr;
    const float *bias = c->in[2].data ? (const float *)c->in[2].data + at % q->outer : NULL;
    tsr_kernels_get_bf16()->layer(&(tsr_layer_rows){
        rows, q->inner, n, x, tsr_pack_data(pack), bias, a->act != TSR_ACT_NONE, map_of(a->act),
        element(&c->out[1], at), element(&c->out[0], at), c->out[1].dtype, c->out[0].dtype,
        q->outer});
}

static void product_item(const tsr_op_call *c, const cut *q, size_t item, char *scratch)
{
    size_t per_tile = q->blocks + (q->rest > 0);
    size_t j = q->outer > q->rows ? item / q->tiles : item % per_tile; /* the smaller is read again */
    size_t row0 = (q->outer > q->rows ? item % q->tiles : item / per_tile) * q->tile;
    size_t at = row0 * q->outer + j * q->block;
    size_t rows = q->rows - row0 < q->tile ? q->rows - row0 : q->tile;
    size_t n = j < q->blocks ? q->block : q->rest, bytes = tsr_dtype_bytes(q->out);
    const tsr_pack *pack = j < q->blocks ? c->packs[0][j] : c->packs[q->blocks > 0][0];
    char *room = scratch + result_bytes(q);
    const void *x = tile_of(c, q, row0, rows, room);
    if (q->own) {
        own_block(c, q, x, rows, at, n, pack);
        return;
    }
    const float *bias = c->in[2].data ? (const float *)c->in[2].data + j * q->block : NULL;
    void *to = q->direct && rows == q->tile ? element(&c->out[0], at) : scratch;
    tsr_gemm_run(tsr_pack_gemm(pack), x, NULL, pack, q->bias ? bias : NULL, to,
                 room + tile_bytes(q));
    if (!q->direct)
        finish(c, to, bias, rows, at, n);
    for (size_t i = 0; q->direct && rows < q->tile && i < rows; i++)
        memcpy(element(&c->out[0], at + i * q->outer), scratch + i * q->outer * bytes, n * bytes);
}

/* Phase 1 in parts: some rows of one part, block by block. */
static void part_item(const tsr_op_call *c, const cut *q, size_t item)
{
    size_t part = item % q->parts, row = item / q->parts * PART_ROWS;
    const tsr_bf16 *x = q->convert ? c->work : c->in[0].data;
    tsr_layer_part l = {.rows = q->rows - row < PART_ROWS ? q->rows - row : PART_ROWS,
                        .inner = q->inner, .x = x + row * q->inner, .row = q->sums_row,
                        .first = part * (PART / 32)};
    l.end = part + 1 < q->parts ? l.first + PART / 32 : (q->inner + 31) / 32;
    for (size_t j = 0; j < q->blocks + (q->rest > 0); j++) {
        const tsr_pack *pack = j < q->blocks ? c->packs[0][j] : c->packs[q->blocks > 0][0];
        l.outer = j < q->blocks ? q->block : q->rest;
        l.w = tsr_pack_data(pack);
        l.sums = part_sums(c, q, part, row) + j * q->block;
        tsr_kernels_get_bf16()->layer_part(&l);
    }
}

/* Phase 2: parts are added in order, and stored. */
static void sum_item(const tsr_op_call *c, const cut *q, size_t item)
{
    const tsr_elementwise *e = tsr_elementwise_now();
    size_t end = (item + 1) * SUM_ROWS < q->rows ? (item + 1) * SUM_ROWS : q->rows;
    for (size_t r = item * SUM_ROWS; r < end; r++) {
        float *sum = part_sums(c, q, 0, r);
        for (size_t p = 1; p < q->parts; p++)
            e->add(sum, sum, part_sums(c, q, p, r), q->outer);
        if (c->out[0].dtype == TSR_BF16)
            e->to_half(element(&c->out[0], r * q->outer), sum, q->outer);
        else
            memcpy(element(&c->out[0], r * q->outer), sum, q->outer * sizeof *sum);
    }
}

static void linear_item(const tsr_op_call *c, size_t item, void *scratch)
{
    cut q = cut_call(c);
    if (c->phase == 0) {
        size_t at = item * CONVERT, left = c->in[0].count - at;
        tsr_elementwise_now()->to_half((tsr_bf16 *)c->work + at, (const float *)c->in[0].data + at,
                                       left < CONVERT ? left : CONVERT);
        return;
    }
    if (c->phase == 2)
        sum_item(c, &q, item);
    else if (q.parts)
        part_item(c, &q, item);
    else
        product_item(c, &q, item, scratch);
}

static void linear_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                            tsr_value *din)
{
    const linear_attr *a = n->attr;
    tsr_value d = dout[0], x = n->in[0], w = n->in[1];
    tsr_value dy[2] = {TSR_NONE, TSR_NONE};
    if (a->act != TSR_ACT_NONE)
        d = tsr_node2(g, &tsr_op_linear_act_grad, d, n->out[1], &a->act, sizeof a->act);
    else if (tsr_graph_precision(g) == TSR_PRECISION_BF16 && !tsr_may_be_half(g, d))
        d = tsr_node(g, &tsr_op_linear_dy, 1, &d, NULL, 0, 2, dy);
    linear_attr back = {.act = TSR_ACT_NONE, .transposed = 1};
    if (n->need[0])
        din[0] = tsr_node2(g, &tsr_op_linear_dx, d, w, &back, sizeof back);
    if (n->need[1])
        din[1] = tsr_node2(g, &tsr_op_linear_dw, d, x, NULL, 0);
    if (n->need[2])
        din[2] = dy[1] >= 0 ? dy[1] : tsr_sum_leading(g, d, 1, tsr_value_shape(g, n->in[2]));
}

const tsr_op tsr_op_linear = {
    .name = "linear",
    .rows_in = 2,
    .bf16_in = 1,
    .bf16_out = 3,
    .shape = linear_shape,
    .flops = linear_flops,
    .items = linear_items,
    .phases = 3,
    .scratch = linear_scratch,
    .work = linear_work,
    .prepare = linear_prepare,
    .run = linear_item,
    .backward = linear_backward,
};

const tsr_op tsr_op_linear_dx = {
    .name = "linear_dx",
    .rows_in = 2,
    .bf16_in = 1,
    .bf16_out = 1,
    .shape = linear_shape,
    .flops = linear_flops,
    .items = linear_items,
    .phases = 3,
    .scratch = linear_scratch,
    .work = linear_work,
    .prepare = linear_prepare,
    .run = linear_item,
};

tsr_value tsr_linear(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, tsr_act act)
{
    linear_attr a = {.act = act};
    tsr_value in[3] = {x, w, b}, out[2];
    int acts = act != TSR_ACT_NONE; /* then the sum before it is a second result, for backward */
    return tsr_node(g, &tsr_op_linear, 3, in, &a, sizeof a, 1 + acts, out);
}

tsr_value tsr_linear_transposed(tsr_graph *g, tsr_value x, tsr_value w)
{
    linear_attr a = {.act = TSR_ACT_NONE, .transposed = 1};
    return tsr_node2(g, &tsr_op_linear_dx, x, w, &a, sizeof a);
}

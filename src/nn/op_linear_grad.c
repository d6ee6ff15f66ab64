/* SPDX-License-Identifier: Apache-2.0
 * Gradients of a linear layer: to its weight, and through its activation.
 *
 *   dw[n,k] = sum_r dy[r,n] x[r,k]
 *
 * The result is cut into blocks; the rows are added in chunks of fixed size, one after the other,
 * inside one item. On tiles x is packed once for all of them. Where that would give few items the rows are first cut into a fixed number of
 * parts, whose sums are added in order. Both depend on shapes alone. */
#include "nn/elementwise.h"
#include "nn/kernels.h"
#include "nn/op.h"
#include "nn/ops.h"

#include <string.h>

#define CHUNK 512     /* rows a product */
#define BLOCK_N 192   /* rows of dw in a block of the library */
#define BLOCK_K 768   /* columns */
#define ITEMS 6       /* wanted at least */
#define TILES_N 128   /* rows of dw in a block on tiles; half of it where there are few */
#define TILES_K 1024  /* columns */
#define PACK_K 128    /* columns of x an item of phase 1 */
#define CONVERT 32768 /* values an item of phase 0 and 2 */

typedef struct dw_cut {
    size_t rows, n, k;
    size_t block_n, block_k, blocks_n, blocks_k;
    size_t parts, part_rows;
    size_t room; /* parts there is work space for: never less with more rows, as `parts` may be */
    tsr_dtype type;
    size_t dy_convert, x_convert; /* values to convert: all or none */
    int tiles;                    /* by tsr_kernels.weight_grad instead of products */
} dw_cut;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static dw_cut cut_call(const tsr_op_call *c)
{
    const tsr_operand *dy = &c->in[0], *x = &c->in[1];
    dw_cut q = {.rows = tsr_rows(x), .n = tsr_width(dy), .k = tsr_width(x)};
    q.type = c->precision == TSR_PRECISION_BF16 ? TSR_BF16 : TSR_F32;
    q.tiles = q.type == TSR_BF16 && tsr_kernels_get_bf16()->weight_grad;
    q.block_n = !q.tiles ? BLOCK_N : q.n >= ITEMS * TILES_N ? TILES_N : TILES_N / 2;
    q.block_k = q.tiles ? TILES_K : BLOCK_K;
    q.blocks_n = tsr_pieces(q.n, q.block_n);
    q.blocks_k = tsr_pieces(q.k, q.block_k);
    size_t chunks = tsr_pieces(q.rows, CHUNK);
    q.parts = tsr_pieces(ITEMS, q.blocks_n * q.blocks_k);
    q.parts = q.parts > chunks ? chunks : q.parts;
    q.room = q.parts;
    q.part_rows = q.parts ? tsr_pieces(chunks, q.parts) * CHUNK : CHUNK;
    q.parts = q.rows ? tsr_pieces(q.rows, q.part_rows) : 1;
    q.dy_convert = q.type == TSR_BF16 && dy->dtype == TSR_F32 ? dy->count : 0;
    q.x_convert = q.type == TSR_BF16 && x->dtype == TSR_F32 ? x->count : 0;
    return q;
}

static tsr_status dw_shape(tsr_op_call *c)
{
    const tsr_operand *dy = &c->in[0], *x = &c->in[1];
    TSR_TRY(tsr_op_expect_dims(c, 0, "dy", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_dims(c, 1, "x", TSR_F32, 1, TSR_MAX_DIMS));
    if (tsr_rows(dy) != tsr_rows(x))
        return tsr_op_bad(c, "dy has %zu rows, x has %zu", tsr_rows(dy), tsr_rows(x));
    tsr_op_out(c, 0, TSR_F32, 2, (size_t[]){tsr_width(dy), tsr_width(x)});
    return TSR_OK;
}

static double dw_flops(const tsr_op_call *c)
{
    return 2.0 * (double)tsr_rows(&c->in[0]) * (double)c->out[0].count;
}

/* Rows of the product that takes the last r < CHUNK rows: filled up with zeros to one of few sizes,
 * because each needs a product of its own. */
static size_t padded_rows(size_t r)
{
    size_t n = 32;
    while (n < r)
        n *= 2;
    return n;
}

/* The product of r rows into a block of n x k results, on rows in place or on a padded copy. */
static tsr_status get_product(const dw_cut *q, size_t r, size_t n, size_t k, const tsr_gemm **out)
{
    tsr_gemm_spec s = {.m = n, .n = k, .k = r, .ab = q->type, .c = TSR_F32, .a_row = 1,
                       .a_col = q->n, .b_row = q->k, .b_col = 1, .c_row = q->k, .accumulate = 1};
    if (r < CHUNK) {
        s.k = padded_rows(r);
        s.a_col = n;
        s.b_row = k;
    }
    return tsr_gemm_get(&s, out);
}

/* Every size that occurs: full and last, of rows, n and k. Largest work space to *scratch. */
static tsr_status all_products(const dw_cut *q, size_t *scratch)
{
    const tsr_gemm *p;
    *scratch = 0;
    for (int i = 0; i < 8; i++) {
        size_t r = i & 1 ? q->rows % CHUNK : CHUNK, n = i & 2 ? q->n % BLOCK_N : BLOCK_N;
        size_t k = i & 4 ? q->k % BLOCK_K : BLOCK_K;
        if (r == 0 || n == 0 || k == 0 || r > q->rows || n > q->n || k > q->k)
            continue;
        TSR_TRY(get_product(q, r, n, k, &p));
        if (tsr_gemm_scratch(p) > *scratch)
            *scratch = tsr_gemm_scratch(p);
    }
    return TSR_OK;
}

static size_t up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Bytes of the padded copies of the last rows of dy and x. */
static size_t copy_bytes(const dw_cut *q, size_t columns, size_t most)
{
    size_t rows = q->rows < CHUNK ? padded_rows(q->rows) : CHUNK;
    return up(rows * smaller(columns, most) * tsr_dtype_bytes(q->type));
}

static tsr_status dw_prepare(const tsr_op_call *c, tsr_pack_request *req, int *n)
{
    dw_cut q = cut_call(c);
    size_t scratch;
    (void)req;
    *n = 0;
    return q.tiles ? TSR_OK : all_products(&q, &scratch);
}

static size_t dw_scratch(const tsr_op_call *c)
{
    dw_cut q = cut_call(c);
    size_t scratch;
    if (q.tiles)
        return tsr_kernels_get_bf16()->weight_grad_scratch(CHUNK, smaller(q.n, q.block_n));
    /* Compiled by dw_prepare already, which reported any failure. */
    if (all_products(&q, &scratch) != TSR_OK)
        return 0;
    return copy_bytes(&q, q.n, BLOCK_N) + copy_bytes(&q, q.k, BLOCK_K) + scratch;
}

static size_t dw_items(const tsr_op_call *c)
{
    dw_cut q = cut_call(c);
    if (c->phase == 0)
        return tsr_pieces(q.dy_convert, CONVERT) + tsr_pieces(q.x_convert, CONVERT);
    if (c->phase == 1)
        return q.tiles ? tsr_pieces(q.rows, CHUNK) * tsr_pieces(q.k, PACK_K) : 0;
    if (c->phase == 2)
        return q.parts * q.blocks_n * q.blocks_k;
    return q.parts > 1 ? tsr_pieces(q.n * q.k, CONVERT) : 0;
}

/* Bytes of x as right operands: CHUNK rows after the other, each [columns / 16][rows / 32] tiles. */
static size_t packed_bytes(const dw_cut *q)
{
    size_t rows = (q->rows + 31) / 32 * 32, columns = (q->k + 31) / 32 * 32;
    return q->tiles ? rows * columns * sizeof(tsr_bf16) : 0;
}

/* Work space: dy and x in bf16, x packed, then the parts' sums. */
static size_t dw_work(const tsr_op_call *c)
{
    dw_cut q = cut_call(c);
    return up(q.dy_convert * 2) + up(q.x_convert * 2) + packed_bytes(&q) +
           (q.room > 1 ? q.room * q.n * q.k * sizeof(float) : 0);
}

static tsr_bf16 *packed_x(const tsr_op_call *c, const dw_cut *q, size_t row)
{
    char *at = (char *)c->work + up(q->dy_convert * 2) + up(q->x_convert * 2);
    return (tsr_bf16 *)(void *)at + row * ((q->k + 31) / 32 * 32);
}

static float *part_sums(const tsr_op_call *c, const dw_cut *q)
{
    return (float *)(void *)((char *)packed_x(c, q, 0) + packed_bytes(q));
}

static const char *bf16_x(const tsr_op_call *c, const dw_cut *q)
{
    return q->x_convert ? (char *)c->work + up(q->dy_convert * 2) : c->in[1].data;
}

static void pack_item(const tsr_op_call *c, const dw_cut *q, size_t item)
{
    size_t pieces = tsr_pieces(q->k, PACK_K), row = item / pieces * CHUNK, k = item % pieces * PACK_K;
    const tsr_bf16 *x = (const tsr_bf16 *)(const void *)bf16_x(c, q);
    size_t rows = smaller(q->rows - row, CHUNK);
    tsr_kernels_get_bf16()->weight_grad_pack(
        &(tsr_weight_grad_rows){rows, smaller(q->k - k, PACK_K), x + row * q->k + k, q->k},
        packed_x(c, q, row) + k * ((rows + 31) / 32 * 32));
}

static void convert_item(const tsr_op_call *c, const dw_cut *q, size_t item)
{
    size_t dy_items = tsr_pieces(q->dy_convert, CONVERT);
    int of_x = item >= dy_items;
    const tsr_operand *from = &c->in[of_x];
    tsr_bf16 *to = (tsr_bf16 *)((char *)c->work + (of_x ? up(q->dy_convert * 2) : 0));
    size_t at = (of_x ? item - dy_items : item) * CONVERT, left = from->count - at;
    tsr_elementwise_now()->to_half(to + at, (const float *)from->data + at,
                                   left < CONVERT ? left : CONVERT);
}

/* r rows of n values, `row` apart, side by side, and zero rows up to `all`. */
static void copy_rows(char *to, const char *from, size_t r, size_t all, size_t n, size_t row)
{
    for (size_t i = 0; i < r; i++)
        memcpy(to + i * n, from + i * row, n);
    memset(to + r * n, 0, (all - r) * n);
}

/* A block of dw, its rows and columns. */
typedef struct dw_block {
    size_t n, k;
    float *out;
    int add;
} dw_block;

/* b += dy^T x of r rows. */
static void library_rows(const dw_cut *q, const dw_block *b, const char *dy, const char *x, size_t r,
                         void *scratch)
{
    const tsr_gemm *p;
    size_t bytes = tsr_dtype_bytes(q->type);
    char *dy_copy = scratch, *x_copy = dy_copy + copy_bytes(q, q->n, BLOCK_N);
    char *room = x_copy + copy_bytes(q, q->k, BLOCK_K);
    /* Compiled by dw_prepare: this finds it. */
    if (get_product(q, r, b->n, b->k, &p) != TSR_OK)
        return;
    if (r < CHUNK) {
        copy_rows(dy_copy, dy, r, padded_rows(r), b->n * bytes, q->n * bytes);
        copy_rows(x_copy, x, r, padded_rows(r), b->k * bytes, q->k * bytes);
        dy = dy_copy;
        x = x_copy;
    }
    tsr_gemm_run(p, dy, x, NULL, NULL, b->out, room);
}

/* Phase 2: the block of dw of an item, from the rows of its part. */
static void product_item(const tsr_op_call *c, const dw_cut *q, size_t item, void *scratch)
{
    size_t blocks = q->blocks_n * q->blocks_k, part = item / blocks, bytes = tsr_dtype_bytes(q->type);
    size_t n0 = item % blocks / q->blocks_k * q->block_n, k0 = item % q->blocks_k * q->block_k;
    const char *dy = q->dy_convert ? c->work : c->in[0].data, *x = bf16_x(c, q);
    float *out = q->parts > 1 ? part_sums(c, q) + part * q->n * q->k : (float *)c->out[0].data;
    dw_block b = {smaller(q->n - n0, q->block_n), smaller(q->k - k0, q->block_k), out + n0 * q->k + k0,
                  q->parts == 1 && c->accumulate};
    for (size_t i = 0; !b.add && (!q->tiles || q->rows == 0) && i < b.n; i++)
        memset(b.out + i * q->k, 0, b.k * sizeof *b.out);
    size_t end = smaller(q->rows, (part + 1) * q->part_rows);
    for (size_t r0 = part * q->part_rows; r0 < end; r0 += CHUNK, b.add = 1) {
        size_t rows = smaller(end - r0, CHUNK);
        const char *from = dy + (r0 * q->n + n0) * bytes;
        if (!q->tiles) {
            library_rows(q, &b, from, x + (r0 * q->k + k0) * bytes, rows, scratch);
            continue;
        }
        tsr_kernels_get_bf16()->weight_grad(
            &(tsr_weight_grad_block){rows, b.n, b.k, (const tsr_bf16 *)(const void *)from, q->n,
                                     packed_x(c, q, r0) + k0 * ((rows + 31) / 32 * 32), b.out, q->k,
                                     b.add},
            scratch);
    }
}

static void combine_item(const tsr_op_call *c, const dw_cut *q, size_t item)
{
    const tsr_elementwise *e = tsr_elementwise_now();
    size_t at = item * CONVERT, size = q->n * q->k, n = smaller(size - at, CONVERT);
    float *out = (float *)c->out[0].data + at;
    float *sums = part_sums(c, q) + at;
    for (size_t i = c->accumulate ? 0 : 1; i < q->parts; i++)
        e->add(out, i == 1 && !c->accumulate ? sums : out, sums + i * size, n);
}

static void dw_item(const tsr_op_call *c, size_t item, void *scratch)
{
    dw_cut q = cut_call(c);
    if (c->phase == 0)
        convert_item(c, &q, item);
    else if (c->phase == 1)
        pack_item(c, &q, item);
    else if (c->phase == 2)
        product_item(c, &q, item, scratch);
    else
        combine_item(c, &q, item);
}

const tsr_op tsr_op_linear_dw = {
    .name = "linear_dw",
    .flags = TSR_OP_ACCUMULATES,
    .bf16_in = 3,
    .shape = dw_shape,
    .flops = dw_flops,
    .items = dw_items,
    .phases = 4,
    .scratch = dw_scratch,
    .work = dw_work,
    .prepare = dw_prepare,
    .run = dw_item,
};

/* --- d(act): in: dy, the sum before the activation --- */

#define PIECE 16384 /* values an item */

static tsr_status act_grad_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "dy", TSR_F32, 1, TSR_MAX_DIMS));
    TSR_TRY(tsr_op_expect_shape(c, 1, "sum", c->in[0].ndim, c->in[0].shape));
    tsr_op_like(c, 0, &c->in[0]);
    return TSR_OK;
}

static size_t act_grad_items(const tsr_op_call *c)
{
    return tsr_pieces(c->out[0].count, PIECE);
}

static void *element(const tsr_operand *o, size_t i)
{
    return (char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

static const tsr_kernels *kernels_of(const tsr_op_call *c)
{
    return c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
}

static void act_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_act *act = c->attr;
    tsr_map f = *act == TSR_ACT_GELU   ? TSR_MAP_GELU
                : *act == TSR_ACT_TANH ? TSR_MAP_TANH
                                       : TSR_MAP_SILU;
    size_t at = item * PIECE;
    kernels_of(c)->map_slopes(&(tsr_map_slopes){
        f, smaller(c->out[0].count - at, PIECE), element(&c->in[1], at), element(&c->in[0], at),
        element(&c->out[0], at), c->in[1].dtype, c->in[0].dtype, c->out[0].dtype});
}

const tsr_op tsr_op_linear_act_grad = {
    .name = "linear_act_grad",
    .bf16_in = 3,
    .bf16_out = 1,
    .shape = act_grad_shape,
    .items = act_grad_items,
    .run = act_grad_item,
};

/* --- dy as products take it: dy -> dy (stored as bf16), its sum over rows --- */

#define DY_ROWS 64   /* rows an item */
#define COLUMNS 1024 /* columns an item, where sums are added */

static tsr_status dy_shape(tsr_op_call *c)
{
    TSR_TRY(tsr_op_expect_dims(c, 0, "dy", TSR_F32, 1, TSR_MAX_DIMS));
    size_t n = tsr_width(&c->in[0]);
    tsr_op_like(c, 0, &c->in[0]);
    tsr_op_out(c, 1, TSR_F32, 1, &n);
    return TSR_OK;
}

static size_t dy_items(const tsr_op_call *c)
{
    if (c->phase == 0)
        return tsr_pieces(tsr_rows(&c->in[0]), DY_ROWS);
    return c->out[1].data ? tsr_pieces(tsr_width(&c->in[0]), COLUMNS) : 0;
}

static size_t dy_work(const tsr_op_call *c)
{
    return tsr_pieces(tsr_rows(&c->in[0]), DY_ROWS) * tsr_width(&c->in[0]) * sizeof(float);
}

/* Phase 0: rows, and sums of blocks of them; phase 1: the sums of those. */
static void dy_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_elementwise *e = tsr_elementwise_now();
    size_t n = tsr_width(&c->in[0]), rows = tsr_rows(&c->in[0]), first = item * DY_ROWS;
    float *sums = c->work;
    if (c->phase == 1) {
        first = item * COLUMNS;
        e->column_sums((float *)c->out[1].data + first, sums + first, tsr_pieces(rows, DY_ROWS),
                       smaller(n - first, COLUMNS), n);
        return;
    }
    const float *dy = (const float *)c->in[0].data + first * n;
    rows = smaller(rows - first, DY_ROWS);
    if (c->out[1].data)
        e->column_sums(sums + item * n, dy, rows, n, n);
    if (c->out[0].data && c->out[0].dtype == TSR_BF16)
        e->to_half((tsr_bf16 *)c->out[0].data + first * n, dy, rows * n);
    else if (c->out[0].data)
        memcpy((float *)c->out[0].data + first * n, dy, rows * n * sizeof *dy);
}

const tsr_op tsr_op_linear_dy = {
    .name = "linear_dy",
    .bf16_out = 1,
    .shape = dy_shape,
    .items = dy_items,
    .phases = 2,
    .work = dy_work,
    .run = dy_item,
};

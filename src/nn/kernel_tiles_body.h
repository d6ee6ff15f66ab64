/* SPDX-License-Identifier: Apache-2.0
 * Attention of one head on bf16 matrix tiles: q, k, v and the probabilities are rounded to bf16,
 * products accumulate in float32, softmax is float32. Included by kernel_body.h only. */
#include <stdatomic.h>

/* A tile is 16 rows of 64 bytes. Left operands are plain rows of 32 bf16. Right operands hold pairs
 * of rows side by side: 16 rows of 16 (column) pairs, so a tile covers 32 terms of the sum. */
#define TILE_TERMS 32
#define TILE_PAIRS 512 /* bf16 values of a tile */

static size_t up32(size_t n)
{
    return (n + 31) / 32 * 32;
}

static uint16_t *take_bf16(char **scratch, size_t n)
{
    return (uint16_t *)(void *)take(scratch, (n + 1) / 2);
}

/* All eight tiles 16 rows of 64 bytes. */
static void tiles_begin(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } set = {.palette = 1};
    for (int i = 0; i < 8; i++)
        set.row_bytes[i] = 64, set.rows[i] = 16;
    atomic_signal_fence(memory_order_seq_cst);
    _tile_loadconfig(&set);
}

/* A left operand: rows `row` values apart, 32 terms on after `step` values, 16 rows after `next`. */
typedef struct tile_left {
    const uint16_t *x;
    size_t row, step, next;
    const uint16_t *tail; /* the last terms of 32 rows, side by side, when they are not read from x */
} tile_left;

/* C[32, 32] (+)= A[32, 32*terms] B[32*terms, 32]. b: tiles, those of the second 16 columns b_next
 * values on; c: rows of c_row floats. */
V16_INLINE void tile_square(tile_left a, const uint16_t *b, size_t b_next, size_t terms, float *c,
                            size_t c_row, int add)
{
    size_t ab = a.row * sizeof *a.x, cb = c_row * sizeof *c;
    if (add) {
        _tile_loadd(0, c, cb);
        _tile_loadd(1, c + 16, cb);
        _tile_loadd(2, c + 16 * c_row, cb);
        _tile_loadd(3, c + 16 * c_row + 16, cb);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    size_t whole = a.tail ? terms - 1 : terms;
    for (size_t t = 0; t < whole; t++) {
        _tile_loadd(4, a.x + t * a.step, ab);
        _tile_loadd(5, a.x + a.next + t * a.step, ab);
        _tile_loadd(6, b + t * TILE_PAIRS, 64);
        _tile_loadd(7, b + b_next + t * TILE_PAIRS, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    if (a.tail) {
        _tile_loadd(4, a.tail, 64);
        _tile_loadd(5, a.tail + TILE_PAIRS, 64);
        _tile_loadd(6, b + whole * TILE_PAIRS, 64);
        _tile_loadd(7, b + b_next + whole * TILE_PAIRS, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, cb);
    _tile_stored(1, c + 16, cb);
    _tile_stored(2, c + 16 * c_row, cb);
    _tile_stored(3, c + 16 * c_row + 16, cb);
}

/* C[m, n] = A B, or += with `add`, for m, n multiples of 32. */
static void tile_product(size_t m, size_t n, size_t terms, const uint16_t *a, const uint16_t *b,
                         float *c, int add)
{
    atomic_signal_fence(memory_order_seq_cst); /* the compiler does not see what tiles read */
    for (size_t j = 0; j < n; j += 32)
        for (size_t i = 0; i < m; i += 32)
            tile_square((tile_left){a + i * terms * TILE_TERMS, terms * TILE_TERMS, TILE_TERMS,
                                    16 * terms * TILE_TERMS, NULL},
                        b + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms, c + i * n + j, n,
                        add);
    atomic_signal_fence(memory_order_seq_cst);
}

/* 16 x 16 32-bit values, turned. */
V16_INLINE void turn16(__m512i r[16])
{
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* The same in memory, rows `*_row` 32-bit values apart. */
static void turn_square(const void *from, size_t from_row, void *to, size_t to_row)
{
    __m512i r[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        r[i] = _mm512_loadu_si512((const uint32_t *)from + i * from_row);
    turn16(r);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512((uint32_t *)to + i * to_row, r[i]);
}

/* A matrix of one head: `rows` rows, from row `first`. */
typedef struct head_rows {
    const void *x;
    tsr_dtype type;
    size_t row, first, rows, width;
} head_rows;

/* As rows of `pad` bf16, zeros around, `all` rows (pad a multiple of 32). */
static void rows_bf16(const head_rows *h, uint16_t *to, size_t all, size_t pad)
{
    float row[TSR_HEAD_WIDTH];
    for (size_t i = 0; i < h->rows; i++, to += pad) {
        size_t at = (h->first + i) * h->row;
        const uint16_t *from = (const uint16_t *)h->x + (h->type == TSR_BF16 ? at : 0);
        if (h->type == TSR_BF16 && h->width == pad) {
            for (size_t c = 0; c < pad; c += 32)
                _mm512_storeu_si512(to + c, _mm512_loadu_si512(from + c));
            continue;
        }
        if (h->type == TSR_BF16) {
            memcpy(to, from, h->width * sizeof *to);
            memset(to + h->width, 0, (pad - h->width) * sizeof *to);
            continue;
        }
        row_get(row, h->x, h->type, at, h->width, pad);
        for (size_t c = 0; c < pad; c += 16)
            v16_store_bf16(to + c, v16_load(row + c));
    }
    memset(to, 0, (all - h->rows) * pad * sizeof *to);
}

/* Rows [all, pad] as right operand whose terms run over the width and whose columns are the rows. */
static void turn_rows(const uint16_t *rows, uint16_t *to, size_t all, size_t pad)
{
    for (size_t j = 0; j < all; j += 16)
        for (size_t p = 0; p < pad / 2; p += 16)
            turn_square(rows + j * pad + 2 * p, pad / 2, to + j * pad + 32 * p, 16);
}

/* Rows [all, pad] as right operand whose terms run over the rows and whose columns are the width. */
static void pair_rows(const uint16_t *rows, uint16_t *to, size_t all, size_t pad)
{
    for (size_t j = 0; j < all; j += 2)
        for (size_t c = 0; c < pad; c += 16) {
            const uint16_t *x = rows + j * pad + c;
            __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
            __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(x + pad)));
            _mm512_storeu_si512(to + c * all + j * 16,
                                _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
}

/* Scores to bf16 exponentials, zero for hidden keys; returns 1 / sum, 0 when none is seen. */
static float softmax_row_bf16(uint16_t *p, const float *s, size_t seen, size_t padded, float scale)
{
    float top = row_max(s, seen);
    v16 sum = v16_set(0.0f), k = v16_set(scale), m = v16_set(-top * scale);
    size_t i = 0;
    for (; i + 16 <= seen; i += 16) {
        v16 e = v_exp(v16_fma(v16_load(s + i), k, m));
        sum = v16_add(sum, e);
        v16_store_bf16(p + i, e);
    }
    if (i < seen) {
        v16 e = v16_fill_from(v_exp(v16_fma(v16_load(s + i), k, m)), seen - i, 0.0f);
        sum = v16_add(sum, e);
        v16_store_bf16(p + i, e);
        i += 16;
    }
    if (i < padded)
        memset(p + i, 0, (padded - i) * sizeof *p);
    return seen ? 1.0f / v16_sum(sum) : 0.0f;
}

/* The same where the first key that is seen is `from`. */
static float softmax_from_bf16(uint16_t *p, float *s, size_t from, size_t seen, size_t padded,
                               float scale)
{
    if (from == 0)
        return softmax_row_bf16(p, s, seen, padded, scale);
    memmove(s, s + from, seen * sizeof *s);
    float inverse = softmax_row_bf16(p, s, seen, padded, scale);
    memmove(p + from, p, seen * sizeof *p);
    memset(p, 0, from * sizeof *p);
    return inverse;
}

static size_t attend_scratch(size_t nk, size_t width)
{
    size_t np = up32(nk), pad = up32(width);
    return 3 * 2 * np * pad + QUERY_BLOCK * (2 * pad + 2 * np + 4 * pad + 4 * np) + 64 * 8;
}

/* What the blocks of one head share; np, pad: keys and width, rounded up to 32. */
typedef struct attend_room {
    size_t np, pad;
    uint16_t *k, *v, *rows, *q, *p;
    float *s, *o;
} attend_room;

/* Queries [i0, i0 + n) of a span. */
static void attend_block(const tsr_head *h, const tsr_head_span *x, const attend_room *r, size_t i0,
                         size_t n)
{
    size_t np = r->np, pad = r->pad, m = up32(n);
    float inverse[QUERY_BLOCK];
    rows_bf16(&(head_rows){h->q, h->q_type, h->q_row, x->q + i0, n, h->width}, r->q, m, pad);
    tile_product(m, np, pad / TILE_TERMS, r->q, r->k, r->s, 0);
    for (size_t i = 0; i < n; i++)
        inverse[i] = softmax_from_bf16(r->p + i * np, r->s + i * np, x->k, visible(x, i0 + i), np,
                                       h->scale);
    tile_product(m, pad, np / TILE_TERMS, r->p, r->v, r->o, 0);
    for (size_t i = 0; i < n; i++) {
        scale_row(r->o + i * pad, pad, inverse[i]);
        row_put(h->o, h->o_type, (x->q + i0 + i) * h->o_row, r->o + i * pad, h->width);
    }
}

static void attend(const tsr_head *h, void *scratch)
{
    char *at = scratch;
    attend_room r = {.np = up32(h->nk), .pad = up32(h->width)};
    size_t keys = r.np * r.pad;
    r.k = take_bf16(&at, keys), r.v = take_bf16(&at, keys), r.rows = take_bf16(&at, keys);
    r.q = take_bf16(&at, QUERY_BLOCK * r.pad), r.p = take_bf16(&at, QUERY_BLOCK * r.np);
    r.s = take(&at, QUERY_BLOCK * r.np), r.o = take(&at, QUERY_BLOCK * r.pad);
    rows_bf16(&(head_rows){h->k, h->k_type, h->k_row, 0, h->nk, h->width}, r.rows, r.np, r.pad);
    turn_rows(r.rows, r.k, r.np, r.pad);
    rows_bf16(&(head_rows){h->v, h->v_type, h->v_row, 0, h->nk, h->width}, r.rows, r.np, r.pad);
    pair_rows(r.rows, r.v, r.np, r.pad);
    tiles_begin();
    memset(r.p, 0, QUERY_BLOCK * r.np * sizeof *r.p);
    for (size_t j = 0; j < h->n_spans; j++)
        for (size_t i = 0, n = h->spans[j].nq; i < n; i += QUERY_BLOCK)
            attend_block(h, &h->spans[j], &r, i, n - i < QUERY_BLOCK ? n - i : QUERY_BLOCK);
    _tile_release();
}

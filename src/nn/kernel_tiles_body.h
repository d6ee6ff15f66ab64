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

/* C[32, 32] = A[32, 32*terms] B[32*terms, 32]. a: rows of a_row bf16; b: tiles, those of the second 16
 * columns b_next values on; c: rows of c_row floats. */
static void tile_square(const uint16_t *a, size_t a_row, const uint16_t *b, size_t b_next,
                        size_t terms, float *c, size_t c_row)
{
    size_t ab = a_row * sizeof *a, cb = c_row * sizeof *c;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t t = 0; t < terms; t++) {
        _tile_loadd(4, a + t * TILE_TERMS, ab);
        _tile_loadd(5, a + 16 * a_row + t * TILE_TERMS, ab);
        _tile_loadd(6, b + t * TILE_PAIRS, 64);
        _tile_loadd(7, b + b_next + t * TILE_PAIRS, 64);
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

/* C[m, n] = A B for m, n multiples of 32. */
static void tile_product(size_t m, size_t n, size_t terms, const uint16_t *a, const uint16_t *b,
                         float *c)
{
    atomic_signal_fence(memory_order_seq_cst); /* the compiler does not see what tiles read */
    for (size_t j = 0; j < n; j += 32)
        for (size_t i = 0; i < m; i += 32)
            tile_square(a + i * terms * TILE_TERMS, terms * TILE_TERMS,
                        b + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms, c + i * n + j,
                        n);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Row r as bf16, padded with zeros to `pad`, a multiple of 16. */
static void row_get_bf16(uint16_t *y, const void *x, tsr_dtype type, size_t at, size_t n, size_t pad)
{
    float row[TSR_HEAD_WIDTH];
    if (type == TSR_BF16) {
        memcpy(y, (const uint16_t *)x + at, n * sizeof *y);
        memset(y + n, 0, (pad - n) * sizeof *y);
        return;
    }
    row_get(row, x, type, at, n, pad);
    for (size_t i = 0; i < pad; i += 16)
        v16_store_bf16(y + i, v16_load(row + i));
}

/* Keys as right operand of q k^T: terms run over the width, columns are keys. */
static void keys_load(const tsr_head *h, uint16_t *to, size_t np, size_t pad)
{
    uint32_t *pairs = (uint32_t *)(void *)to;
    uint32_t row[TSR_HEAD_WIDTH / 2] = {0};
    for (size_t j = 0; j < np; j++) {
        if (j < h->nk)
            row_get_bf16((uint16_t *)(void *)row, h->k, h->k_type, j * h->k_row, h->width, pad);
        else
            memset(row, 0, sizeof row);
        uint32_t *column = pairs + j / 16 * (pad / 2) * 16 + j % 16;
        for (size_t p = 0; p < pad / 2; p++)
            column[p * 16] = row[p];
    }
}

/* Values as right operand of p v: terms run over the keys, columns are the width. */
static void values_load(const tsr_head *h, uint16_t *to, size_t np, size_t pad)
{
    uint16_t even[TSR_HEAD_WIDTH] = {0}, odd[TSR_HEAD_WIDTH] = {0};
    for (size_t j = 0; j < np; j += 2) {
        if (j < h->nk)
            row_get_bf16(even, h->v, h->v_type, j * h->v_row, h->width, pad);
        else
            memset(even, 0, sizeof even);
        if (j + 1 < h->nk)
            row_get_bf16(odd, h->v, h->v_type, (j + 1) * h->v_row, h->width, pad);
        else
            memset(odd, 0, sizeof odd);
        for (size_t c = 0; c < pad; c += 16) {
            __m512i lo = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(even + c)));
            __m512i hi = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(odd + c)));
            _mm512_storeu_si512(to + c / 16 * np * 16 + j * 16,
                                _mm512_or_si512(lo, _mm512_slli_epi32(hi, 16)));
        }
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

static size_t attend_scratch(size_t nq, size_t nk, size_t width)
{
    size_t np = up32(nk), pad = up32(width);
    (void)nq;
    return 2 * 2 * np * pad + QUERY_BLOCK * (2 * pad + 2 * np + 4 * pad + 4 * np) + 64 * 8;
}

static void attend(const tsr_head *h, void *scratch)
{
    char *at = scratch;
    size_t np = up32(h->nk), pad = up32(h->width);
    uint16_t *k = take_bf16(&at, np * pad), *v = take_bf16(&at, np * pad);
    uint16_t *q = take_bf16(&at, QUERY_BLOCK * pad), *p = take_bf16(&at, QUERY_BLOCK * np);
    float *s = take(&at, QUERY_BLOCK * np), *o = take(&at, QUERY_BLOCK * pad), inverse[QUERY_BLOCK];
    keys_load(h, k, np, pad);
    values_load(h, v, np, pad);
    tiles_begin();
    memset(p, 0, QUERY_BLOCK * np * sizeof *p);
    memset(q, 0, QUERY_BLOCK * pad * sizeof *q);
    for (size_t first = 0; first < h->q_count; first += QUERY_BLOCK) {
        size_t n = h->q_count - first < QUERY_BLOCK ? h->q_count - first : QUERY_BLOCK;
        size_t i0 = h->q_first + first;
        for (size_t i = 0; i < n; i++)
            row_get_bf16(q + i * pad, h->q, h->q_type, (i0 + i) * h->q_row, h->width, pad);
        tile_product(up32(n), np, pad / TILE_TERMS, q, k, s);
        for (size_t i = 0; i < n; i++)
            inverse[i] = softmax_row_bf16(p + i * np, s + i * np, visible(h, i0 + i), np, h->scale);
        tile_product(up32(n), pad, np / TILE_TERMS, p, v, o);
        for (size_t i = 0; i < n; i++) {
            scale_row(o + i * pad, pad, inverse[i]);
            row_put(h->o, h->o_type, (i0 + i) * h->o_row, o + i * pad, h->width);
        }
    }
    _tile_release();
}

/* SPDX-License-Identifier: Apache-2.0
 * Linear layers on bf16 matrix tiles: y = act(x w^T + b), and gradients of weights. Included by
 * kernel_body.h only. */

/* --- weights as right operands: [columns / 16][terms] tiles ---------------------------------------- */

/* 32 values of row r, or zeros: bf16, in pairs. */
V16_INLINE __m512i row_pairs(const float *w, size_t row, size_t r, size_t rows)
{
    if (r >= rows)
        return _mm512_setzero_si512();
    return (__m512i)_mm512_cvtne2ps_pbh(v16_load(w + r * row + 16), v16_load(w + r * row));
}

/* The tile of terms [0, 32) and columns [0, 16) of B[k, n] = w[k + n * col]. */
static void pack_turned(uint16_t *to, const float *w, size_t col, size_t columns)
{
    __m512i r[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        r[i] = row_pairs(w, col, i, columns);
    turn16(r);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512(to + 32 * i, r[i]);
}

/* The same of B[k, n] = w[k * row + n]. */
static void pack_straight(uint16_t *to, const float *w, size_t row, size_t columns)
{
    const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    size_t m = columns < 16 ? columns : 16;
    for (size_t i = 0; i < 16; i++) {
        v16 even = v16_load_n(w + 2 * i * row, m), odd = v16_load_n(w + (2 * i + 1) * row, m);
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
        _mm512_storeu_si512(to + 32 * i, _mm512_permutexvar_epi16(mix, both));
    }
}

static void layer_pack(const tsr_layer_weight *w, uint16_t *to)
{
    size_t terms = w->inner / TILE_TERMS;
    for (size_t n = 0; n < up32(w->outer); n += 16) {
        size_t columns = n < w->outer ? w->outer - n : 0;
        for (size_t t = 0; t < terms; t++, to += TILE_PAIRS) {
            if (columns == 0)
                memset(to, 0, TILE_PAIRS * sizeof *to);
            else if (w->row == 1)
                pack_turned(to, w->w + n * w->col + t * TILE_TERMS, w->col, columns);
            else
                pack_straight(to, w->w + n + t * TILE_TERMS * w->row, w->row, columns);
        }
    }
}

/* --- y = act(x w^T + b) ----------------------------------------------------------------------------- */

typedef enum layer_act { ACT_NONE, ACT_GELU, ACT_GELU_SHORT, ACT_TANH, ACT_SILU } layer_act;

V16_INLINE v16 v_act(layer_act act, v16 x)
{
    switch (act) {
    case ACT_GELU: return v_gelu(x);
    case ACT_GELU_SHORT: return v_gelu_short(x);
    case ACT_TANH: return v_tanh(x);
    case ACT_SILU: return v_silu(x);
    default: return x;
    }
}

/* 32 values, or m of them, of a row. past: not read again soon, so past the caches if that can be. */
V16_INLINE void put_32(void *y, tsr_dtype type, size_t at, const v16 v[2], size_t m, int past)
{
    uint16_t *home = (uint16_t *)y + at;
    if (past && m == 32 && type == TSR_BF16 && (uintptr_t)home % 64 == 0) {
        _mm512_stream_si512((void *)home, (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
        return;
    }
    if (m == 32 && type == TSR_BF16) {
        _mm512_storeu_si512(home, (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
        return;
    }
    value_put(y, type, at, v[0], m < 16 ? m : 16);
    if (m > 16)
        value_put(y, type, at + 16, v[1], m - 16);
}

/* Rows of a 32 x 32 square of sums, from column j. */
V16_INLINE void finish_square(const tsr_layer_rows *l, layer_act act, const float *c, size_t i,
                              size_t j)
{
    size_t m = l->outer - j < 32 ? l->outer - j : 32, n = l->rows - i < 32 ? l->rows - i : 32;
    v16 bias[2] = {v16_set(0.0f), v16_set(0.0f)};
    if (l->bias) {
        bias[0] = v16_load_n(l->bias + j, m < 16 ? m : 16);
        bias[1] = m > 16 ? v16_load_n(l->bias + j + 16, m - 16) : bias[1];
    }
    for (size_t r = 0, at = i * l->y_row + j; r < n; r++, at += l->y_row, c += 32) {
        v16 v[2] = {v16_add(v16_load(c), bias[0]), v16_add(v16_load(c + 16), bias[1])};
        if (l->sums)
            put_32(l->sums, l->sums_type, at, v, m, 1);
        v[0] = v_act(act, v[0]);
        v[1] = v_act(act, v[1]);
        put_32(l->y, l->y_type, at, v, m, 0);
    }
}

V16_INLINE void layer_with(const tsr_layer_rows *l, layer_act act)
{
    _Alignas(64) float c[2][32 * 32];
    size_t terms = l->inner / TILE_TERMS, turn = 0;
    for (size_t j = 0; j < l->outer; j += 32)
        for (size_t i = 0; i < l->rows; i += 32, turn ^= 1) {
            atomic_signal_fence(memory_order_seq_cst);
            tile_square((tile_left){l->x + i * l->inner, l->inner, TILE_TERMS, 16 * l->inner},
                        l->w + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms, c[turn], 32, 0);
            atomic_signal_fence(memory_order_seq_cst);
            finish_square(l, act, c[turn], i, j);
        }
}

static void layer(const tsr_layer_rows *l)
{
    tiles_begin();
    if (!l->mapped)
        layer_with(l, ACT_NONE);
    else if (l->f == TSR_MAP_GELU && l->y_type == TSR_BF16)
        layer_with(l, ACT_GELU_SHORT);
    else if (l->f == TSR_MAP_GELU)
        layer_with(l, ACT_GELU);
    else if (l->f == TSR_MAP_TANH)
        layer_with(l, ACT_TANH);
    else
        layer_with(l, ACT_SILU);
    _tile_release();
    _mm_sfence();
}

/* --- dw += dy^T x ----------------------------------------------------------------------------------- */

/* Rows r, r + 1 of 32 columns as pairs: columns 0-15 and 16-31. Rows from `rows` on are zero. */
V16_INLINE void pair_32(const uint16_t *x, size_t row, size_t r, size_t rows, __m512i pairs[2])
{
    const __m512i apart = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    __m512i even = _mm512_setzero_si512(), odd = even;
    if (r < rows)
        even = _mm512_permutexvar_epi64(apart, _mm512_loadu_si512(x + r * row));
    if (r + 1 < rows)
        odd = _mm512_permutexvar_epi64(apart, _mm512_loadu_si512(x + (r + 1) * row));
    pairs[0] = _mm512_unpacklo_epi16(even, odd);
    pairs[1] = _mm512_unpackhi_epi16(even, odd);
}

/* 32 rows (or what there is of them) of 32 columns as two tiles, `next` values apart. */
V16_INLINE void pack_tiles(const uint16_t *x, size_t row, size_t rows, int turned, uint16_t *to,
                           size_t next)
{
    __m512i half[2][16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++) {
        __m512i pairs[2];
        pair_32(x, row, 2 * i, rows, pairs);
        half[0][i] = pairs[0];
        half[1][i] = pairs[1];
    }
#pragma GCC unroll 2
    for (size_t h = 0; h < 2; h++) {
        if (turned)
            turn16(half[h]);
#pragma GCC unroll 16
        for (size_t i = 0; i < 16; i++)
            _mm512_storeu_si512(to + h * next + 32 * i, half[h][i]);
    }
}

/* x [rows, columns] as tiles [columns / 16][terms] whose terms are the rows: right operand, or turned
 * the left one. */
V16_INLINE void pack_rows(const uint16_t *x, size_t row, size_t rows, size_t columns, int turned,
                          uint16_t *to)
{
    size_t terms = up32(rows) / TILE_TERMS, next = terms * TILE_PAIRS;
    for (size_t t = 0; t < terms; t++, x += TILE_TERMS * row, to += TILE_PAIRS, rows -= 32) {
        for (size_t c = 0; c < columns && rows >= 32; c += 32)
            pack_tiles(x + c, row, 32, turned, to + c / 16 * next, next);
        if (rows >= 32)
            continue;
        for (size_t c = 0; c < columns; c += 32)
            pack_tiles(x + c, row, rows, turned, to + c / 16 * next, next);
        break;
    }
}

static size_t weight_grad_scratch(size_t rows, size_t n, size_t k)
{
    return up32(rows) * (n + k) * sizeof(uint16_t) + 2 * 64;
}

static void weight_grad(const tsr_weight_grad_block *b, void *scratch)
{
    char *at = scratch;
    size_t m = up32(b->rows), terms = m / TILE_TERMS;
    uint16_t *dy = take_bf16(&at, m * b->n), *x = take_bf16(&at, m * b->k);
    pack_rows(b->dy, b->dy_row, b->rows, b->n, 1, dy);
    pack_rows(b->x, b->x_row, b->rows, b->k, 0, x);
    tiles_begin();
    for (size_t j = 0; j < b->k; j += 32)
        for (size_t i = 0; i < b->n; i += 32)
            tile_square((tile_left){dy + i / 16 * terms * TILE_PAIRS, TILE_TERMS, TILE_PAIRS,
                                    terms * TILE_PAIRS},
                        x + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms,
                        b->dw + i * b->dw_row + j, b->dw_row, b->add);
    _tile_release();
    atomic_signal_fence(memory_order_seq_cst);
}

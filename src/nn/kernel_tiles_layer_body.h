/* SPDX-License-Identifier: Apache-2.0
 * Linear layers on bf16 matrix tiles: y = act(x w^T + b), and gradients of weights. Included by
 * kernel_body.h only. */

/* --- weights as right operands: [columns / 16][terms] tiles ---------------------------------------- */

/* 32 values of row r (or what there is of them), or zeros: bf16, in pairs. */
V16_INLINE __m512i row_pairs(const float *w, size_t row, size_t r, size_t rows, size_t terms)
{
    if (r >= rows)
        return _mm512_setzero_si512();
    w += r * row;
    if (terms >= 32)
        return (__m512i)_mm512_cvtne2ps_pbh(v16_load(w + 16), v16_load(w));
    v16 high = terms > 16 ? v16_load_n(w + 16, terms - 16) : v16_set(0.0f);
    return (__m512i)_mm512_cvtne2ps_pbh(high, v16_load_n(w, terms < 16 ? terms : 16));
}

/* The tile of terms [0, 32) and columns [0, 16) of B[k, n] = w[k + n * col]; zeros outside of terms
 * and columns. */
static void pack_turned(uint16_t *to, const float *w, size_t col, size_t columns, size_t terms)
{
    __m512i r[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        r[i] = row_pairs(w, col, i, columns, terms);
    turn16(r);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512(to + 32 * i, r[i]);
}

/* The same of B[k, n] = w[k * row + n]. */
static void pack_straight(uint16_t *to, const float *w, size_t row, size_t columns, size_t terms)
{
    const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    size_t m = columns < 16 ? columns : 16;
    for (size_t i = 0; i < 16; i++) {
        v16 even = v16_set(0.0f), odd = even;
        if (2 * i < terms)
            even = v16_load_n(w + 2 * i * row, m);
        if (2 * i + 1 < terms)
            odd = v16_load_n(w + (2 * i + 1) * row, m);
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
        _mm512_storeu_si512(to + 32 * i, _mm512_permutexvar_epi16(mix, both));
    }
}

/* In the order of the weight's memory, whichever way it is turned. */
static void layer_pack(const tsr_layer_weight *w, uint16_t *to)
{
    size_t terms = up32(w->inner) / TILE_TERMS, columns = up32(w->outer) / 16;
    size_t outer = w->row == 1 ? columns : terms, inner = w->row == 1 ? terms : columns;
    for (size_t i = 0; i < outer; i++)
        for (size_t j = 0; j < inner; j++) {
            size_t n = w->row == 1 ? i : j, t = w->row == 1 ? j : i;
            size_t left = 16 * n < w->outer ? w->outer - 16 * n : 0, k = w->inner - t * TILE_TERMS;
            uint16_t *tile = to + (n * terms + t) * TILE_PAIRS;
            if (left == 0)
                memset(tile, 0, TILE_PAIRS * sizeof *tile);
            else if (w->row == 1)
                pack_turned(tile, w->w + 16 * n * w->col + t * TILE_TERMS, w->col, left, k);
            else
                pack_straight(tile, w->w + 16 * n + t * TILE_TERMS * w->row, w->row, left, k);
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

/* Ask for the memory that the sums of the next square will go to. */
V16_INLINE void want_rows(const char *at, size_t rows, size_t row_bytes, size_t bytes)
{
    for (size_t r = 0; r < rows; r++, at += row_bytes)
        for (size_t b = 0; b < bytes; b += 64)
            __builtin_prefetch(at + b, 1);
}

/* The last inner % 32 values of rows, filled up with zeros. */
static void layer_tails(const tsr_layer_rows *l, uint16_t *tails)
{
    size_t n = l->inner % TILE_TERMS, at = l->inner - n;
    memset(tails, 0, up32(l->rows) * TILE_TERMS * sizeof *tails);
    for (size_t i = 0; i < l->rows; i++)
        memcpy(tails + i * TILE_TERMS, l->x + i * l->inner + at, n * sizeof *tails);
}

V16_INLINE void layer_with(const tsr_layer_rows *l, const uint16_t *tails, layer_act act)
{
    _Alignas(64) float c[2][32 * 32];
    size_t terms = up32(l->inner) / TILE_TERMS, turn = 0;
    for (size_t j = 0; j < l->outer; j += 32)
        for (size_t i = 0; i < l->rows; i += 32, turn ^= 1) {
            size_t bytes = l->y_type == TSR_BF16 ? 2 : 4, n = l->rows - i < 32 ? l->rows - i : 32;
            want_rows((const char *)l->y + (i * l->y_row + j) * bytes, n, l->y_row * bytes, 32 * bytes);
            atomic_signal_fence(memory_order_seq_cst);
            tile_square((tile_left){l->x + i * l->inner, l->inner, TILE_TERMS, 16 * l->inner,
                                    tails ? tails + i * TILE_TERMS : NULL},
                        l->w + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms, c[turn], 32, 0);
            atomic_signal_fence(memory_order_seq_cst);
            finish_square(l, act, c[turn], i, j);
        }
}

#define TAIL_ROWS 256

static void layer_rows(const tsr_layer_rows *l, const uint16_t *tails)
{
    if (!l->mapped)
        layer_with(l, tails, ACT_NONE);
    else if (l->f == TSR_MAP_GELU && l->y_type == TSR_BF16)
        layer_with(l, tails, ACT_GELU_SHORT);
    else if (l->f == TSR_MAP_GELU)
        layer_with(l, tails, ACT_GELU);
    else if (l->f == TSR_MAP_TANH)
        layer_with(l, tails, ACT_TANH);
    else
        layer_with(l, tails, ACT_SILU);
}

/* With a width that is no multiple of 32: a few rows at a time, whose ends are copied. */
static void layer_odd(const tsr_layer_rows *l)
{
    _Alignas(64) uint16_t tails[TAIL_ROWS * TILE_TERMS];
    for (size_t i = 0; i < l->rows; i += TAIL_ROWS) {
        tsr_layer_rows part = *l;
        size_t at = i * l->y_row;
        part.rows = l->rows - i < TAIL_ROWS ? l->rows - i : TAIL_ROWS;
        part.x = l->x + i * l->inner;
        part.y = (char *)l->y + at * (l->y_type == TSR_BF16 ? 2 : 4);
        part.sums = l->sums ? (char *)l->sums + at * (l->sums_type == TSR_BF16 ? 2 : 4) : NULL;
        layer_tails(&part, tails);
        layer_rows(&part, tails);
    }
}

static void layer(const tsr_layer_rows *l)
{
    tiles_begin();
    if (l->inner % TILE_TERMS)
        layer_odd(l);
    else
        layer_rows(l, NULL);
    _tile_release();
    _mm_sfence();
}

#define PART_TERMS 16 /* terms (of 32) at a time: a strip of x and of w, and the sums, stay in cache */

/* Terms [t, t + n) of up to 32 rows from row i on, side by side, zeros around. */
static void part_rows(const tsr_layer_part *l, size_t i, size_t t, size_t n, uint16_t *to)
{
    size_t at = t * TILE_TERMS, width = n * TILE_TERMS;
    size_t have = l->inner - at < width ? l->inner - at : width;
    for (size_t r = 0; r < 32; r++, to += PART_TERMS * TILE_TERMS) {
        if (i + r >= l->rows) {
            memset(to, 0, width * sizeof *to);
            continue;
        }
        memcpy(to, l->x + (i + r) * l->inner + at, have * sizeof *to);
        memset(to + have, 0, (width - have) * sizeof *to);
    }
}

static void layer_part(const tsr_layer_part *l)
{
    _Alignas(64) uint16_t x[32 * PART_TERMS * TILE_TERMS];
    const tile_left left = {x, PART_TERMS * TILE_TERMS, TILE_TERMS, 16 * PART_TERMS * TILE_TERMS, NULL};
    size_t next = up32(l->inner) / TILE_TERMS * TILE_PAIRS;
    tiles_begin();
    for (size_t t = l->first; t < l->end; t += PART_TERMS) {
        size_t n = l->end - t < PART_TERMS ? l->end - t : PART_TERMS;
        for (size_t i = 0; i < l->rows; i += 32) {
            part_rows(l, i, t, n, x);
            atomic_signal_fence(memory_order_seq_cst);
            for (size_t j = 0; j < l->outer; j += 32)
                tile_square(left, l->w + j / 16 * next + t * TILE_PAIRS, next, n,
                            l->sums + i * l->row + j, l->row, t > l->first);
            atomic_signal_fence(memory_order_seq_cst);
        }
    }
    _tile_release();
}

/* --- dw += dy^T x ----------------------------------------------------------------------------------- */

/* Rows r, r + 1 of 32 columns (those of the mask) as pairs: columns 0-15 and 16-31. Rows from `rows` on
 * are zero. */
V16_INLINE void pair_32(const uint16_t *x, size_t row, size_t r, size_t rows, __mmask32 mask,
                        __m512i pairs[2])
{
    const __m512i apart = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    __m512i even = _mm512_setzero_si512(), odd = even;
    if (r < rows)
        even = _mm512_permutexvar_epi64(apart, _mm512_maskz_loadu_epi16(mask, x + r * row));
    if (r + 1 < rows)
        odd = _mm512_permutexvar_epi64(apart, _mm512_maskz_loadu_epi16(mask, x + (r + 1) * row));
    pairs[0] = _mm512_unpacklo_epi16(even, odd);
    pairs[1] = _mm512_unpackhi_epi16(even, odd);
}

/* 32 rows of 32 columns (or what there is of them) as two tiles, `next` values apart. */
V16_INLINE void pack_tiles(const uint16_t *x, size_t row, size_t rows, size_t columns, int turned,
                           uint16_t *to, size_t next)
{
    __m512i half[2][16];
    __mmask32 mask = columns < 32 ? (__mmask32)((1u << columns) - 1u) : ~(__mmask32)0;
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++) {
        __m512i pairs[2];
        pair_32(x, row, 2 * i, rows, mask, pairs);
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
static void pack_rows(const uint16_t *x, size_t row, size_t rows, size_t columns, int turned,
                      uint16_t *to)
{
    size_t terms = up32(rows) / TILE_TERMS, next = terms * TILE_PAIRS;
    for (size_t t = 0; t < terms; t++, x += TILE_TERMS * row, to += TILE_PAIRS) {
        size_t left = rows - t * TILE_TERMS;
        size_t c = 0;
        for (; left >= 32 && c + 32 <= columns; c += 32)
            pack_tiles(x + c, row, 32, 32, turned, to + c / 16 * next, next);
        for (; c < columns; c += 32)
            pack_tiles(x + c, row, left < 32 ? left : 32, columns - c, turned, to + c / 16 * next,
                       next);
    }
}

static size_t weight_grad_scratch(size_t rows, size_t n)
{
    return up32(rows) * up32(n) * sizeof(uint16_t) + 64;
}

static void weight_grad_pack(const tsr_weight_grad_rows *x, uint16_t *to)
{
    pack_rows(x->x, x->row, x->rows, x->columns, 0, to);
}

/* Sums [m, n] out of a 32 x 32 square, where it reaches over the edge. */
static void put_edge(const tsr_weight_grad_block *b, const float *square, size_t i0, size_t j0)
{
    size_t m = b->n - i0 < 32 ? b->n - i0 : 32, n = b->k - j0 < 32 ? b->k - j0 : 32;
    for (size_t i = 0; i < m; i++) {
        float *to = b->dw + (i0 + i) * b->dw_row + j0;
        for (size_t j = 0; j < n; j++)
            to[j] = b->add ? to[j] + square[32 * i + j] : square[32 * i + j];
    }
}

static void weight_grad(const tsr_weight_grad_block *b, void *scratch)
{
    _Alignas(64) float square[32 * 32];
    char *at = scratch;
    size_t m = up32(b->rows), terms = m / TILE_TERMS;
    uint16_t *dy = take_bf16(&at, m * up32(b->n));
    pack_rows(b->dy, b->dy_row, b->rows, b->n, 1, dy);
    tiles_begin();
    for (size_t j = 0; j < b->k; j += 32)
        for (size_t i = 0; i < b->n; i += 32) {
            int whole = i + 32 <= b->n && j + 32 <= b->k;
            if (i + 64 <= b->n)
                want_rows((const char *)(b->dw + (i + 32) * b->dw_row + j), 32,
                          b->dw_row * sizeof *b->dw, 32 * sizeof *b->dw);
            else if (j + 64 <= b->k)
                want_rows((const char *)(b->dw + j + 32), b->n < 32 ? b->n : 32,
                          b->dw_row * sizeof *b->dw, 32 * sizeof *b->dw);
            tile_left left = {dy + i / 16 * terms * TILE_PAIRS, TILE_TERMS, TILE_PAIRS,
                              terms * TILE_PAIRS, NULL};
            atomic_signal_fence(memory_order_seq_cst);
            tile_square(left, b->x + j / 16 * terms * TILE_PAIRS, terms * TILE_PAIRS, terms,
                        whole ? b->dw + i * b->dw_row + j : square, whole ? b->dw_row : 32,
                        whole && b->add);
            atomic_signal_fence(memory_order_seq_cst);
            if (!whole)
                put_edge(b, square, i, j);
        }
    _tile_release();
    atomic_signal_fence(memory_order_seq_cst);
}

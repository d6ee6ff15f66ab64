/* SPDX-License-Identifier: Apache-2.0
 * Gradient of attention of one head on bf16 matrix tiles. Included by kernel_body.h only. */

/* With P = softmax(s Q K^T), dP = dO V^T and dS = s P (dP - rowsum(P dP)), the gradients are
 * dQ = dS K, dK^T = Q^T dS and dV^T = dO^T P. P and dS are rounded to bf16 as operands; sums, softmax
 * and what is made of it are float32. dK and dV add up over blocks of queries, turned, because then
 * P and dS are right operands, which two rows at a time make without turning them. */
#define GRAD_BLOCK 128 /* queries */

/* What the blocks of one head share; np, pad: keys and width, rounded up to 32. */
typedef struct tiles_room {
    size_t np, pad;
    uint16_t *kt, *vt, *k;            /* right operands of QK^T, dO V^T and dS K */
    uint16_t *rows, *pairs, *qt, *ot; /* of a block: rows and pairs; Q^T and dO^T */
    uint16_t *ds, *p_pairs, *ds_pairs;
    float *s, *dp, *gq, *gkt, *gvt;
} tiles_room;

static size_t attend_grad_scratch(size_t nk, size_t width)
{
    size_t np = up32(nk), pad = up32(width);
    return 3 * 2 * np * pad + 2 * (np > GRAD_BLOCK ? np : GRAD_BLOCK) * pad + 2 * 4 * np * pad +
           GRAD_BLOCK * (3 * 2 * pad + 3 * 2 * np + 2 * 4 * np + 4 * pad) + 16 * 64;
}

static tiles_room room_of(size_t np, size_t pad, void *scratch)
{
    char *at = scratch;
    tiles_room r;
    r.np = np, r.pad = pad;
    r.kt = take_bf16(&at, np * pad), r.vt = take_bf16(&at, np * pad);
    r.k = take_bf16(&at, np * pad);
    r.rows = take_bf16(&at, (np > GRAD_BLOCK ? np : GRAD_BLOCK) * pad);
    r.pairs = take_bf16(&at, GRAD_BLOCK * pad);
    r.qt = take_bf16(&at, GRAD_BLOCK * pad), r.ot = take_bf16(&at, GRAD_BLOCK * pad);
    r.ds = take_bf16(&at, GRAD_BLOCK * np);
    r.p_pairs = take_bf16(&at, GRAD_BLOCK * np), r.ds_pairs = take_bf16(&at, GRAD_BLOCK * np);
    r.s = take(&at, GRAD_BLOCK * np), r.dp = take(&at, GRAD_BLOCK * np);
    r.gq = take(&at, GRAD_BLOCK * pad);
    r.gkt = take(&at, np * pad), r.gvt = take(&at, np * pad);
    return r;
}

/* The block's rows (m, a multiple of 32) to r->rows, and turned to t [pad, m]. */
static void block_load(const head_rows *h, const tiles_room *r, size_t m, uint16_t *t)
{
    rows_bf16(h, r->rows, m, r->pad);
    pair_rows(r->rows, r->pairs, m, r->pad);
    for (size_t c = 0; c < r->pad; c += 16)
        for (size_t j = 0; j < m; j += 32)
            turn_square(r->pairs + c * m + j * 16, 16, t + c * m + j, m / 2);
}

/* Keys that two rows see, from the same one on. */
typedef struct seen_keys {
    size_t from, seen[2];
    float scale;
} seen_keys;

/* Two rows of P and dS: p holds scores, dp what arrives. at: the first of the two in the block. */
static void grad_two_rows(const tiles_room *r, const seen_keys *k, size_t at, size_t m)
{
    const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                         23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    v16 inverse[2], mean[2], factor = v16_set(k->scale);
    for (size_t j = 0; j < 2; j++) {
        float *p = r->s + (at + j) * r->np, *dp = r->dp + (at + j) * r->np;
        float over = softmax_from(p, k->from, k->seen[j], r->np, k->scale);
        inverse[j] = v16_set(over);
        mean[j] = v16_set(over * dot(p, dp, r->np));
    }
    const float *p = r->s + at * r->np, *dp = r->dp + at * r->np;
    for (size_t c = 0; c < r->np; c += 16, p += 16, dp += 16) {
        v16 p0 = v16_mul(v16_load(p), inverse[0]), p1 = v16_mul(v16_load(p + r->np), inverse[1]);
        v16 s0 = v16_mul(v16_mul(p0, factor), v16_sub(v16_load(dp), mean[0]));
        v16 s1 = v16_mul(v16_mul(p1, factor), v16_sub(v16_load(dp + r->np), mean[1]));
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(s1, s0);
        size_t pair = c * m + at * 16;
        _mm256_storeu_si256((void *)(r->ds + at * r->np + c), _mm512_castsi512_si256(both));
        _mm256_storeu_si256((void *)(r->ds + (at + 1) * r->np + c),
                            _mm512_extracti64x4_epi64(both, 1));
        _mm512_storeu_si512(r->ds_pairs + pair, _mm512_permutexvar_epi16(mix, both));
        both = (__m512i)_mm512_cvtne2ps_pbh(p1, p0);
        _mm512_storeu_si512(r->p_pairs + pair, _mm512_permutexvar_epi16(mix, both));
    }
}

static void tiles_grad_block(const tsr_head *h, const tsr_head_span *x, const tiles_room *r, size_t i0,
                             size_t n)
{
    size_t m = up32(n), np = r->np, pad = r->pad, row = x->q + i0;
    block_load(&(head_rows){h->q, h->q_type, h->q_row, row, n, h->width}, r, m, r->qt);
    tile_product(m, np, pad / TILE_TERMS, r->rows, r->kt, r->s, 0);
    block_load(&(head_rows){h->go, h->go_type, h->go_row, row, n, h->width}, r, m, r->ot);
    tile_product(m, np, pad / TILE_TERMS, r->rows, r->vt, r->dp, 0);
    for (size_t i = 0; i < m; i += 2)
        grad_two_rows(r, &(seen_keys){x->k, {i < n ? visible(x, i0 + i) : 0,
                                             i + 1 < n ? visible(x, i0 + i + 1) : 0}, h->scale}, i, m);
    tile_product(pad, np, m / TILE_TERMS, r->ot, r->p_pairs, r->gvt, 1);
    tile_product(pad, np, m / TILE_TERMS, r->qt, r->ds_pairs, r->gkt, 1);
    if (!h->gq)
        return;
    tile_product(m, pad, np / TILE_TERMS, r->ds, r->k, r->gq, 0);
    for (size_t i = 0; i < n; i++)
        row_put(h->gq, h->gq_type, (row + i) * h->gq_row, r->gq + i * pad, h->width);
}

/* Turned sums [pad, np] to the rows `to` (its x unused) of a gradient, if it is wanted. */
static void put_turned(const tiles_room *r, const float *t, const head_rows *to, void *g)
{
    float rows[16 * TSR_HEAD_WIDTH];
    for (size_t j = 0; g && j < to->rows; j += 16) {
        for (size_t c = 0; c < r->pad; c += 16)
            turn_square(t + c * r->np + j, r->np, rows + c, TSR_HEAD_WIDTH);
        for (size_t i = j; i < to->rows && i < j + 16; i++)
            row_put(g, to->type, i * to->row, rows + (i - j) * TSR_HEAD_WIDTH, to->width);
    }
}

static void attend_grad(const tsr_head *h, void *scratch)
{
    size_t np = up32(h->nk), pad = up32(h->width);
    tiles_room r = room_of(np, pad, scratch);
    rows_bf16(&(head_rows){h->v, h->v_type, h->v_row, 0, h->nk, h->width}, r.rows, np, pad);
    turn_rows(r.rows, r.vt, np, pad);
    rows_bf16(&(head_rows){h->k, h->k_type, h->k_row, 0, h->nk, h->width}, r.rows, np, pad);
    turn_rows(r.rows, r.kt, np, pad);
    pair_rows(r.rows, r.k, np, pad);
    memset(r.gkt, 0, np * pad * sizeof *r.gkt);
    memset(r.gvt, 0, np * pad * sizeof *r.gvt);
    tiles_begin();
    for (size_t j = 0; j < h->n_spans; j++)
        for (size_t i = 0, n = h->spans[j].nq; i < n; i += GRAD_BLOCK)
            tiles_grad_block(h, &h->spans[j], &r, i, n - i < GRAD_BLOCK ? n - i : GRAD_BLOCK);
    _tile_release();
    put_turned(&r, r.gkt, &(head_rows){NULL, h->gk_type, h->gk_row, 0, h->nk, h->width}, h->gk);
    put_turned(&r, r.gvt, &(head_rows){NULL, h->gv_type, h->gv_row, 0, h->nk, h->width}, h->gv);
}

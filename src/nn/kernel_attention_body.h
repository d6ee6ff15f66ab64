/* SPDX-License-Identifier: Apache-2.0
 * Attention of one head, a block of queries at a time, so that the matrix of probabilities is never
 * larger than the second-level cache. Included by kernel_body.h only. */

#define QUERY_BLOCK 64

static size_t up16(size_t n)
{
    return (n + 15) / 16 * 16;
}

static float *take(char **scratch, size_t floats)
{
    float *p = (float *)(void *)*scratch;
    *scratch += up16(floats) * sizeof *p;
    return p;
}

/* Row r of a float32 or bf16 matrix as float32, padded with zeros to `pad`. */
static void row_get(float *y, const void *x, tsr_dtype type, size_t at, size_t n, size_t pad)
{
    size_t i = 0;
    const float *f = (const float *)x + (type == TSR_F32 ? at : 0);
    const uint16_t *h = (const uint16_t *)x + (type == TSR_F32 ? 0 : at);
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, type == TSR_F32 ? v16_load(f + i) : v16_load_bf16(h + i));
    uint16_t last[16] = {0};
    if (i < n && type != TSR_F32)
        memcpy(last, h + i, (n - i) * sizeof *h);
    if (i < n)
        v16_store(y + i, type == TSR_F32 ? v16_load_n(f + i, n - i) : v16_load_bf16(last));
    for (i = up16(n); i < pad; i += 16)
        v16_store(y + i, v16_set(0.0f));
}

static void row_put(void *y, tsr_dtype type, size_t at, const float *x, size_t n)
{
    size_t i = 0;
    float *f = (float *)y + (type == TSR_F32 ? at : 0);
    uint16_t *h = (uint16_t *)y + (type == TSR_F32 ? 0 : at), last[16];
    for (; i + 16 <= n; i += 16)
        type == TSR_F32 ? v16_store(f + i, v16_load(x + i)) : v16_store_bf16(h + i, v16_load(x + i));
    if (i == n)
        return;
    if (type == TSR_F32) {
        v16_store_n(f + i, v16_load_n(x + i, n - i), n - i);
        return;
    }
    v16_store_bf16(last, v16_load_n(x + i, n - i));
    memcpy(h + i, last, (n - i) * sizeof *h);
}

/* Number of keys query i of the span sees, from s->k on. */
static size_t visible(const tsr_head_span *s, size_t i)
{
    if (!s->causal)
        return s->nk;
    size_t last = s->at + i + 1 + s->nk;
    return last <= s->of ? 0 : last - s->of < s->nk ? last - s->of : s->nk;
}

/* Scores to exponentials in place, zero for hidden keys; returns 1 / sum (0 when none is seen). */
static float softmax_row(float *s, size_t seen, size_t padded, float scale)
{
    float top = row_max(s, seen);
    v16 sum = v16_set(0.0f), k = v16_set(scale), m = v16_set(-top * scale);
    size_t i = 0;
    for (; i + 16 <= seen; i += 16) {
        v16 e = v_exp(v16_fma(v16_load(s + i), k, m));
        sum = v16_add(sum, e);
        v16_store(s + i, e);
    }
    if (i < seen) {
        v16 e = v16_fill_from(v_exp(v16_fma(v16_load(s + i), k, m)), seen - i, 0.0f);
        sum = v16_add(sum, e);
        v16_store(s + i, e);
        i += 16;
    }
    for (; i < padded; i += 16)
        v16_store(s + i, v16_set(0.0f));
    return seen ? 1.0f / v16_sum(sum) : 0.0f;
}

/* The same where the first key that is seen is `from`. */
static float softmax_from(float *s, size_t from, size_t seen, size_t padded, float scale)
{
    if (from == 0)
        return softmax_row(s, seen, padded, scale);
    memmove(s, s + from, seen * sizeof *s);
    float inverse = softmax_row(s, seen, padded, scale);
    memmove(s + from, s, seen * sizeof *s);
    memset(s, 0, from * sizeof *s);
    return inverse;
}

static void scale_row(float *x, size_t n, float c)
{
    v16 k = v16_set(c);
    for (size_t i = 0; i < n; i += 16)
        v16_store(x + i, v16_mul(v16_load(x + i), k));
}

#ifndef TSR_KERNELS_TILES /* else kernel_tiles_body.h and kernel_tiles_grad_body.h have their own */
/* x [nk, width] as rows of `pad` floats, and turned: t [width, nk padded]. Either may be NULL. */
static void head_load(const tsr_head *h, const void *x, tsr_dtype type, size_t x_row, float *rows,
                      float *t)
{
    size_t n = h->nk, pad = up16(h->width), np = up16(n);
    float row[TSR_HEAD_WIDTH];
    for (size_t j = 0; j < n; j++) {
        float *r = rows ? rows + j * pad : row;
        row_get(r, x, type, j * x_row, h->width, pad);
        for (size_t c = 0; t && c < h->width; c++)
            t[c * np + j] = r[c];
    }
    for (size_t c = 0; t && c < h->width; c++)
        for (size_t j = n; j < np; j++)
            t[c * np + j] = 0.0f;
}

static size_t attend_scratch(size_t nk, size_t width)
{
    size_t np = up16(nk), pad = up16(width);
    return (width * np + nk * pad + QUERY_BLOCK * (2 * pad + np) + 16 * 8) * sizeof(float);
}

/* What the blocks of one head share. */
typedef struct attend_room {
    float *kt, *v, *q, *o, *s;
} attend_room;

/* Queries [i0, i0 + n) of a span. */
static void attend_block(const tsr_head *h, const tsr_head_span *x, const attend_room *r, size_t i0,
                         size_t n)
{
    size_t np = up16(h->nk), pad = up16(h->width), keys = x->k + visible(x, i0 + n - 1);
    float inverse[QUERY_BLOCK];
    for (size_t i = 0; i < n; i++)
        row_get(r->q + i * pad, h->q, h->q_type, (x->q + i0 + i) * h->q_row, h->width, pad);
    product(&(tsr_product){.m = n, .n = keys, .k = h->width, .a = r->q, .a_row = pad, .a_col = 1,
                           .b = r->kt, .b_row = np, .c = r->s, .c_row = np});
    for (size_t i = 0; i < n; i++)
        inverse[i] = softmax_from(r->s + i * np, x->k, visible(x, i0 + i), up16(keys), h->scale);
    product(&(tsr_product){.m = n, .n = h->width, .k = keys, .a = r->s, .a_row = np, .a_col = 1,
                           .b = r->v, .b_row = pad, .c = r->o, .c_row = pad});
    for (size_t i = 0; i < n; i++) {
        scale_row(r->o + i * pad, pad, inverse[i]);
        row_put(h->o, h->o_type, (x->q + i0 + i) * h->o_row, r->o + i * pad, h->width);
    }
}

#if defined(__FMA__)
#define ONE_TERM(a, b, sum) __builtin_fmaf(a, b, sum)
#else
#define ONE_TERM(a, b, sum) ((a) * (b) + (sum))
#endif

/* s[j] = q k_j of n <= 16 keys side by side: the terms of each in order, as in `product`, so that a
 * query gives the same bytes alone and among others. */
V16_INLINE void one_scores(float *s, const float *q, const float *k, size_t row, size_t width, size_t n)
{
    float sum[16] = {0};
    for (size_t c = 0; c < width; c++)
        for (size_t j = 0; j < n; j++)
            sum[j] = ONE_TERM(q[c], k[j * row + c], sum[j]);
    memcpy(s, sum, n * sizeof *s);
}

/* One query alone (a growing sequence): keys and values are read where they lie. */
static void attend_one(const tsr_head *h, float *s)
{
    const tsr_head_span *x = h->spans;
    const float *k = (const float *)h->k + x->k * h->k_row;
    const float *v = (const float *)h->v + x->k * h->v_row;
    size_t pad = up16(h->width), seen = visible(x, 0);
    float q[TSR_HEAD_WIDTH], o[TSR_HEAD_WIDTH] = {0};
    row_get(q, h->q, h->q_type, x->q * h->q_row, h->width, pad);
    size_t j0 = 0;
    for (; j0 + 16 <= seen; j0 += 16)
        one_scores(s + j0, q, k + j0 * h->k_row, h->k_row, h->width, 16);
    if (j0 < seen)
        one_scores(s + j0, q, k + j0 * h->k_row, h->k_row, h->width, seen - j0);
    float inverse = softmax_row(s, seen, up16(seen), h->scale);
    for (size_t j = 0; j < seen; j++)
        axpy(o, v + j * h->v_row, h->width, s[j]);
    scale_row(o, pad, inverse);
    row_put(h->o, h->o_type, x->q * h->o_row, o, h->width);
}

static void attend(const tsr_head *h, void *scratch)
{
    char *at = scratch;
    size_t np = up16(h->nk), pad = up16(h->width);
    attend_room r;
    if (h->n_spans == 1 && h->spans[0].nq == 1 && h->k_type == TSR_F32 && h->v_type == TSR_F32) {
        attend_one(h, scratch);
        return;
    }
    r.kt = take(&at, h->width * np), r.v = take(&at, h->nk * pad);
    r.q = take(&at, QUERY_BLOCK * pad), r.o = take(&at, QUERY_BLOCK * pad);
    r.s = take(&at, QUERY_BLOCK * np);
    head_load(h, h->k, h->k_type, h->k_row, NULL, r.kt);
    head_load(h, h->v, h->v_type, h->v_row, r.v, NULL);
    for (size_t j = 0; j < h->n_spans; j++)
        for (size_t i = 0, n = h->spans[j].nq; i < n; i += QUERY_BLOCK)
            attend_block(h, &h->spans[j], &r, i, n - i < QUERY_BLOCK ? n - i : QUERY_BLOCK);
}

static size_t attend_grad_scratch(size_t nk, size_t width)
{
    size_t np = up16(nk), pad = up16(width);
    return (2 * width * np + 3 * nk * pad + QUERY_BLOCK * (3 * pad + 2 * np) + 16 * 16) *
           sizeof(float);
}

/* What the blocks of one head share. */
typedef struct grad_room {
    float *kt, *vt, *k, *gk, *gv, *q, *go, *gq, *p, *gp;
} grad_room;

/* p: probabilities, gp: d loss / d probabilities -> gp: d loss / d (q.k). */
static void softmax_grad_row(float *gp, const float *p, size_t padded, float scale)
{
    v16 sum = v16_set(0.0f), k = v16_set(scale);
    for (size_t i = 0; i < padded; i += 16)
        sum = v16_fma(v16_load(p + i), v16_load(gp + i), sum);
    v16 mean = v16_set(v16_sum(sum));
    for (size_t i = 0; i < padded; i += 16) {
        v16 g = v16_mul(v16_load(p + i), v16_sub(v16_load(gp + i), mean));
        v16_store(gp + i, v16_mul(g, k));
    }
}

static void grad_block(const tsr_head *h, const tsr_head_span *x, const grad_room *r, size_t i0,
                       size_t n)
{
    size_t np = up16(h->nk), pad = up16(h->width), keys = x->k + visible(x, i0 + n - 1);
    size_t row = x->q + i0;
    for (size_t i = 0; i < n; i++) {
        row_get(r->q + i * pad, h->q, h->q_type, (row + i) * h->q_row, h->width, pad);
        row_get(r->go + i * pad, h->go, h->go_type, (row + i) * h->go_row, h->width, pad);
    }
    tsr_product s = {.m = n, .n = keys, .k = h->width, .a = r->q, .a_row = pad, .a_col = 1,
                     .b = r->kt, .b_row = np, .c = r->p, .c_row = np};
    product(&s);
    s.a = r->go, s.b = r->vt, s.c = r->gp;
    product(&s);
    for (size_t i = 0; i < n; i++) {
        float *p = r->p + i * np;
        float inverse = softmax_from(p, x->k, visible(x, i0 + i), up16(keys), h->scale);
        scale_row(p, up16(keys), inverse);
        softmax_grad_row(r->gp + i * np, p, up16(keys), h->scale);
    }
    product(&(tsr_product){.m = n, .n = h->width, .k = keys, .a = r->gp, .a_row = np, .a_col = 1,
                           .b = r->k, .b_row = pad, .c = r->gq, .c_row = pad});
    tsr_product t = {.m = keys, .n = h->width, .k = n, .a = r->gp, .a_row = 1, .a_col = np,
                     .b = r->q, .b_row = pad, .c = r->gk, .c_row = pad, .accumulate = 1};
    product(&t);
    t.a = r->p, t.b = r->go, t.c = r->gv;
    product(&t);
    for (size_t i = 0; h->gq && i < n; i++)
        row_put(h->gq, h->gq_type, (row + i) * h->gq_row, r->gq + i * pad, h->width);
}

static void attend_grad(const tsr_head *h, void *scratch)
{
    char *at = scratch;
    size_t np = up16(h->nk), pad = up16(h->width);
    grad_room r;
    r.kt = take(&at, h->width * np), r.vt = take(&at, h->width * np);
    r.k = take(&at, h->nk * pad), r.gk = take(&at, h->nk * pad), r.gv = take(&at, h->nk * pad);
    r.q = take(&at, QUERY_BLOCK * pad), r.go = take(&at, QUERY_BLOCK * pad);
    r.gq = take(&at, QUERY_BLOCK * pad);
    r.p = take(&at, QUERY_BLOCK * np), r.gp = take(&at, QUERY_BLOCK * np);
    head_load(h, h->k, h->k_type, h->k_row, r.k, r.kt);
    head_load(h, h->v, h->v_type, h->v_row, NULL, r.vt);
    memset(r.gk, 0, h->nk * pad * sizeof *r.gk);
    memset(r.gv, 0, h->nk * pad * sizeof *r.gv);
    for (size_t j = 0; j < h->n_spans; j++)
        for (size_t i = 0, n = h->spans[j].nq; i < n; i += QUERY_BLOCK)
            grad_block(h, &h->spans[j], &r, i, n - i < QUERY_BLOCK ? n - i : QUERY_BLOCK);
    for (size_t j = 0; j < h->nk; j++) {
        if (h->gk)
            row_put(h->gk, h->gk_type, j * h->gk_row, r.gk + j * pad, h->width);
        if (h->gv)
            row_put(h->gv, h->gv_type, j * h->gv_row, r.gv + j * pad, h->width);
    }
}
#endif

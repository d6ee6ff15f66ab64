/* SPDX-License-Identifier: Apache-2.0
 * Nearest code of each row: a product with panels of 32 codes and a running maximum, so that the
 * matrix of scores is never stored. Included by kernel_body.h only. */

#define CODE_PANEL 32

/* Running maximum of one row, by lane. */
typedef struct champion {
    float best[CODE_PANEL];
    float at[CODE_PANEL]; /* panel number: exact in float up to 2^24 panels */
} champion;

static size_t nearest_scratch(size_t rows, size_t width)
{
    size_t floats = rows * (up16(width) + CODE_PANEL + 2) + width * CODE_PANEL + 2 * CODE_PANEL;
    return (floats + 16 * 8) * sizeof(float) + rows * sizeof(champion);
}

/* Codes [first, first + n) turned to [width, 32]; cosine: normalised; euclid: norms kept apart. */
static void panel_load(const tsr_nearest_block *b, size_t first, size_t n, float *t, float *norms)
{
    memset(t, 0, b->width * CODE_PANEL * sizeof *t);
    for (size_t j = 0; j < n; j++) {
        const float *e = b->codes + (first + j) * b->width;
        norms[j] = b->metric == TSR_METRIC_DOT ? 0.0f : dot(e, e, b->width);
        float length = b->metric == TSR_METRIC_COSINE ? sqrtf(norms[j]) : 1.0f;
        length = length < 1e-12f ? 1e-12f : length;
        for (size_t c = 0; c < b->width; c++)
            t[c * CODE_PANEL + j] = e[c] / length;
    }
}

static float score_of(const tsr_nearest_block *b, float product_xe, float xx, float ee)
{
    return b->metric == TSR_METRIC_EUCLID ? -((xx - 2.0f * product_xe) + ee) : product_xe;
}

/* Scores of one row against one panel; returns 1 when one of them is NaN. */
static int panel_max(const tsr_nearest_block *b, champion *c, float *s, float xx, const float *ee,
                     size_t n, size_t number)
{
    v16 two = v16_set(-2.0f), minus = v16_set(-1.0f), at = v16_set((float)number);
    int nan = 0;
    for (size_t i = 0; i < CODE_PANEL; i += 16) {
        v16 v = v16_load(s + i);
        if (b->metric == TSR_METRIC_EUCLID)
            v = v16_mul(minus, v16_add(v16_add(v16_set(xx), v16_mul(two, v)), v16_load(ee + i)));
        if (n < i + 16)
            v = v16_fill_from(v, n > i ? n - i : 0, -INFINITY);
        nan |= v16_any(v16_isnan(v));
        v16 best = v16_load(c->best + i);
        v16_mask m = v16_gt(v, best);
        v16_store(c->best + i, v16_pick(m, v, best));
        v16_store(c->at + i, v16_pick(m, at, v16_load(c->at + i)));
    }
    return nan;
}

/* The lowest code whose score is NaN; sums in order, one code at a time. */
static size_t first_nan(const tsr_nearest_block *b, const float *x, float xx)
{
    for (size_t k = 0; k < b->k; k++) {
        const float *e = b->codes + k * b->width;
        float ee = b->metric == TSR_METRIC_DOT ? 0.0f : dot(e, e, b->width), s = 0.0f;
        float length = b->metric == TSR_METRIC_COSINE ? sqrtf(ee) : 1.0f;
        length = length < 1e-12f ? 1e-12f : length;
        for (size_t c = 0; c < b->width; c++)
            s += x[c] * (e[c] / length);
        s = score_of(b, s, xx, ee);
        if (s != s)
            return k;
    }
    return 0;
}

static void champion_read(const champion *c, int32_t *id, float *score)
{
    float best = c->best[0];
    size_t k = (size_t)c->at[0] * CODE_PANEL;
    for (size_t i = 1; i < CODE_PANEL; i++) {
        size_t code = (size_t)c->at[i] * CODE_PANEL + i;
        if (c->best[i] > best || (c->best[i] == best && code < k))
            best = c->best[i], k = code;
    }
    *id = (int32_t)k;
    *score = best;
}

/* Rows of x as the products want them, and |x|^2. */
static void rows_load(const tsr_nearest_block *b, float *x, float *xx)
{
    size_t pad = up16(b->width);
    for (size_t i = 0; i < b->rows; i++) {
        const float *from = b->x + i * b->width;
        xx[i] = b->metric == TSR_METRIC_DOT ? 0.0f : dot(from, from, b->width);
        float length = b->metric == TSR_METRIC_COSINE ? sqrtf(xx[i]) : 1.0f;
        length = length < 1e-12f ? 1e-12f : length;
        for (size_t c = 0; c < b->width; c++)
            x[i * pad + c] = from[c] / length;
    }
}

static void nearest(const tsr_nearest_block *b, void *scratch)
{
    char *at = scratch;
    size_t pad = up16(b->width);
    float *x = take(&at, b->rows * pad), *xx = take(&at, b->rows), *nan = take(&at, b->rows);
    float *t = take(&at, b->width * CODE_PANEL), *s = take(&at, b->rows * CODE_PANEL);
    champion *c = (champion *)(void *)at;
    float ee[CODE_PANEL] = {0};
    rows_load(b, x, xx);
    memset(nan, 0, b->rows * sizeof *nan);
    for (size_t i = 0; i < b->rows; i++)
        for (size_t j = 0; j < CODE_PANEL; j++)
            c[i].best[j] = -INFINITY, c[i].at[j] = 0.0f;
    for (size_t k = 0; k < b->k; k += CODE_PANEL) {
        size_t n = b->k - k < CODE_PANEL ? b->k - k : CODE_PANEL;
        panel_load(b, k, n, t, ee);
        product(&(tsr_product){.m = b->rows, .n = CODE_PANEL, .k = b->width, .a = x, .a_row = pad,
                               .a_col = 1, .b = t, .b_row = CODE_PANEL, .c = s,
                               .c_row = CODE_PANEL});
        for (size_t i = 0; i < b->rows; i++)
            if (panel_max(b, &c[i], s + i * CODE_PANEL, xx[i], ee, n, k / CODE_PANEL))
                nan[i] = 1.0f;
    }
    for (size_t i = 0; i < b->rows; i++) {
        float score;
        champion_read(&c[i], &b->ids[i], &score);
        if (nan[i] > 0.0f) {
            b->ids[i] = (int32_t)first_nan(b, x + i * pad, xx[i]);
            score = NAN;
        }
        if (b->score)
            b->score[i] = score;
    }
}

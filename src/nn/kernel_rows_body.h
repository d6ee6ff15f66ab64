/* SPDX-License-Identifier: Apache-2.0
 * Kernels over rows: sums, layer norm, softmax. Included by kernel_body.h only. */

static float dot(const float *x, const float *y, size_t n)
{
    v16 s = v16_set(0.0f), t = s;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s = v16_fma(v16_load(x + i), v16_load(y + i), s);
        t = v16_fma(v16_load(x + i + 16), v16_load(y + i + 16), t);
    }
    for (; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        s = v16_fma(v16_load_n(x + i, m), v16_load_n(y + i, m), s);
    }
    return v16_sum(v16_add(s, t));
}

static void axpy(float *y, const float *x, size_t n, float c)
{
    v16 k = v16_set(c);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_fma(k, v16_load(x + i), v16_load(y + i)));
    if (i < n)
        v16_store_n(y + i, v16_fma(k, v16_load_n(x + i, n - i), v16_load_n(y + i, n - i)), n - i);
}

static float row_sum(const float *x, size_t n)
{
    v16 s = v16_set(0.0f), t = s;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s = v16_add(s, v16_load(x + i));
        t = v16_add(t, v16_load(x + i + 16));
    }
    for (; i < n; i += 16)
        s = v16_add(s, v16_load_n(x + i, n - i < 16 ? n - i : 16));
    return v16_sum(v16_add(s, t));
}

/* Sum of (x - mean)^2: two passes, because the short form cancels. */
static float row_spread(const float *x, size_t n, float mean)
{
    v16 s = v16_set(0.0f), t = s, m = v16_set(mean);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        v16 a = v16_sub(v16_load(x + i), m), b = v16_sub(v16_load(x + i + 16), m);
        s = v16_fma(a, a, s);
        t = v16_fma(b, b, t);
    }
    for (; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 a = v16_fill_from(v16_sub(v16_load_n(x + i, left), m), left, 0.0f);
        s = v16_fma(a, a, s);
    }
    return v16_sum(v16_add(s, t));
}

/* m values at x + i (float32 or bf16); y + i likewise. m is 16 but at the end of a row. */
V16_INLINE v16 value_get(const void *x, tsr_dtype type, size_t i, size_t m)
{
    uint16_t last[16] = {0};
    if (type == TSR_F32)
        return m < 16 ? v16_load_n((const float *)x + i, m) : v16_load((const float *)x + i);
    if (m == 16)
        return v16_load_bf16((const uint16_t *)x + i);
    memcpy(last, (const uint16_t *)x + i, m * sizeof *last);
    return v16_load_bf16(last);
}

V16_INLINE void value_put(void *y, tsr_dtype type, size_t i, v16 v, size_t m)
{
    uint16_t last[16];
    if (type == TSR_F32 && m == 16) {
        v16_store((float *)y + i, v);
    } else if (type == TSR_F32) {
        v16_store_n((float *)y + i, v, m);
    } else if (m == 16) {
        v16_store_bf16((uint16_t *)y + i, v);
    } else {
        v16_store_bf16(last, v);
        memcpy((uint16_t *)y + i, last, m * sizeof *last);
    }
}

/* For every 16 values of a row of d, and what is left of it: BODY(i, m) with m = 16 or less. */
#define EACH_16(d, BODY)                                                                           \
    do {                                                                                           \
        size_t i_ = 0;                                                                             \
        for (; i_ + 16 <= (d); i_ += 16)                                                           \
            BODY(i_, 16);                                                                          \
        if (i_ < (d))                                                                              \
            BODY(i_, (d) - i_);                                                                    \
    } while (0)

V16_INLINE void norm_16(const tsr_norm_rows *n, size_t row, v16 mean, v16 rstd, size_t i, size_t m)
{
    size_t at = row * n->d;
    v16 h = v16_mul(v16_sub(v16_load_n(n->x + at + i, m), mean), rstd);
    v16 gain = n->w ? v16_load_n(n->w + i, m) : v16_set(1.0f);
    v16 bias = n->b ? v16_load_n(n->b + i, m) : v16_set(0.0f);
    value_put(n->y, n->y_type, at + i, v16_fma(h, gain, bias), m);
}

static void norm(const tsr_norm_rows *n)
{
    size_t d = n->d;
    for (size_t r = 0; r < n->rows; r++) {
        float stat[2];
        stat[0] = row_sum(n->x + r * d, d) / (float)d;
        stat[1] = 1.0f / sqrtf(row_spread(n->x + r * d, d, stat[0]) / (float)d + n->eps);
        v16 mean = v16_set(stat[0]), rstd = v16_set(stat[1]);
#define NORM_16(i, m) norm_16(n, r, mean, rstd, i, m)
        EACH_16(d, NORM_16);
#undef NORM_16
        if (n->stats)
            memcpy(n->stats + 2 * r, stat, sizeof stat);
    }
}

/* g = dy w of m values; h = (x - mean) rstd; and dw += dy h, db += dy. */
V16_INLINE void norm_sums_16(const tsr_norm_grad_rows *n, size_t at, const v16 stat[2], v16 sums[2],
                             size_t i, size_t m)
{
    v16 dy = value_get(n->dy, n->dy_type, at + i, m);
    v16 h = v16_mul(v16_sub(v16_load_n(n->x + at + i, m), stat[0]), stat[1]);
    v16 g = n->w ? v16_mul(dy, v16_load_n(n->w + i, m)) : dy;
    sums[0] = v16_add(sums[0], g);
    sums[1] = v16_fma(g, h, sums[1]);
    if (n->dw)
        v16_store_n(n->dw + i, v16_fma(dy, h, v16_load_n(n->dw + i, m)), m);
    if (n->db)
        v16_store_n(n->db + i, v16_add(dy, v16_load_n(n->db + i, m)), m);
}

/* dx = rstd (g - mean(g) - h mean(g h)) + add */
V16_INLINE void norm_dx_16(const tsr_norm_grad_rows *n, size_t at, const v16 stat[2],
                           const v16 mean[2], size_t i, size_t m)
{
    v16 dy = value_get(n->dy, n->dy_type, at + i, m);
    v16 h = v16_mul(v16_sub(v16_load_n(n->x + at + i, m), stat[0]), stat[1]);
    v16 g = n->w ? v16_mul(dy, v16_load_n(n->w + i, m)) : dy;
    v16 dx = v16_mul(stat[1], v16_fma(h, mean[1], v16_sub(g, mean[0])));
    dx = n->add ? v16_add(v16_load_n(n->add + at + i, m), dx) : dx;
    v16_store_n(n->dx + at + i, dx, m);
}

static void norm_grad(const tsr_norm_grad_rows *n)
{
    for (size_t r = 0; r < n->rows; r++) {
        size_t at = r * n->d;
        v16 stat[2] = {v16_set(n->stats[2 * r]), v16_set(n->stats[2 * r + 1])};
        v16 sums[2] = {v16_set(0.0f), v16_set(0.0f)};
#define SUMS_16(i, m) norm_sums_16(n, at, stat, sums, i, m)
        EACH_16(n->d, SUMS_16);
#undef SUMS_16
        if (!n->dx)
            continue;
        v16 mean[2] = {v16_set(v16_sum(sums[0]) / (float)n->d),
                       v16_set(-(v16_sum(sums[1]) / (float)n->d))};
#define DX_16(i, m) norm_dx_16(n, at, stat, mean, i, m)
        EACH_16(n->d, DX_16);
#undef DX_16
    }
}

static float row_max(const float *x, size_t n)
{
    v16 s = v16_set(-INFINITY);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v16_max(s, v16_load(x + i));
    if (i < n)
        s = v16_max(s, v16_fill_from(v16_load_n(x + i, n - i), n - i, -INFINITY));
    return v16_top(s);
}

/* y = c exp(x - shift); returns the sum of exp(x - shift). */
static float exp_row(float *y, const float *x, size_t n, float shift, float c)
{
    v16 s = v16_set(0.0f), k = v16_set(c), m = v16_set(shift);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 e = v_exp(v16_sub(v16_load(x + i), m));
        s = v16_add(s, e);
        v16_store(y + i, v16_mul(k, e));
    }
    if (i < n) {
        v16 e = v_exp(v16_sub(v16_load_n(x + i, n - i), m));
        e = v16_fill_from(e, n - i, 0.0f);
        s = v16_add(s, e);
        v16_store_n(y + i, v16_mul(k, e), n - i);
    }
    return v16_sum(s);
}

static void exp_shift(float *y, const float *x, size_t n, float shift, float c)
{
    (void)exp_row(y, x, n, shift, c);
}

/* A NaN among x gives NaN: the largest may miss it, the sum does not. */
static float log_sum_exp(const float *x, size_t n)
{
    float top = row_max(x, n);
    if (top == -INFINITY || top == INFINITY)
        return row_sum(x, n) == row_sum(x, n) ? top : NAN;
    v16 s = v16_set(0.0f), m = v16_set(top);
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 e = v_exp(v16_sub(v16_load_n(x + i, left), m));
        s = v16_add(s, left < 16 ? v16_fill_from(e, left, 0.0f) : e);
    }
    return top + logf(v16_sum(s));
}

V16_INLINE void exp_shift_with(void *y, tsr_dtype y_type, const void *x, tsr_dtype x_type, size_t n,
                               float shift, float c)
{
    v16 k = v16_set(c), m = v16_set(shift);
#define EXP_16(i, w)                                                                               \
    value_put(y, y_type, i, v16_mul(k, v_exp(v16_sub(value_get(x, x_type, i, w), m))), w)
    EACH_16(n, EXP_16);
#undef EXP_16
}

static void exp_shift_to_half(uint16_t *y, const float *x, size_t n, float shift, float c)
{
    exp_shift_with(y, TSR_BF16, x, TSR_F32, n, shift, c);
}

static void exp_shift_half(void *y, tsr_dtype y_type, const uint16_t *x, size_t n, float shift,
                           float c)
{
    if (y_type == TSR_BF16)
        exp_shift_with(y, TSR_BF16, x, TSR_BF16, n, shift, c);
    else
        exp_shift_with(y, TSR_F32, x, TSR_BF16, n, shift, c);
}

static float log_sum_exp_half(const uint16_t *x, size_t n)
{
    v16 top = v16_set(-INFINITY), bad = v16_set(0.0f);
#define TOP_16(i, w)                                                                               \
    do {                                                                                           \
        v16 t_ = value_get(x, TSR_BF16, i, w);                                                     \
        top = v16_max(top, (w) < 16 ? v16_fill_from(t_, w, -INFINITY) : t_);                       \
    } while (0)
    EACH_16(n, TOP_16);
#undef TOP_16
    float most = v16_top(top);
    if (most == -INFINITY || most == INFINITY) { /* a NaN among them must be seen */
        for (size_t i = 0; i < n; i += 16)
            bad = v16_add(bad, value_get(x, TSR_BF16, i, n - i < 16 ? n - i : 16));
        return v16_sum(bad) == v16_sum(bad) ? most : NAN;
    }
    v16 s = v16_set(0.0f), m = v16_set(most);
#define SUM_16(i, w)                                                                               \
    do {                                                                                           \
        v16 e_ = v_exp(v16_sub(value_get(x, TSR_BF16, i, w), m));                                  \
        s = v16_add(s, (w) < 16 ? v16_fill_from(e_, w, 0.0f) : e_);                                \
    } while (0)
    EACH_16(n, SUM_16);
#undef SUM_16
    return most + logf(v16_sum(s));
}

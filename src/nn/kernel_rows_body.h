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

static void norm_row(float *y, const float *x, const float *w, const float *b, size_t d,
                     const float stat[2])
{
    v16 mean = v16_set(stat[0]), rstd = v16_set(stat[1]);
    for (size_t i = 0; i < d; i += 16) {
        size_t m = d - i < 16 ? d - i : 16;
        v16 h = v16_mul(v16_sub(v16_load_n(x + i, m), mean), rstd);
        v16 gain = w ? v16_load_n(w + i, m) : v16_set(1.0f);
        v16 bias = b ? v16_load_n(b + i, m) : v16_set(0.0f);
        v16_store_n(y + i, v16_fma(h, gain, bias), m);
    }
}

static void norm(float *y, float *stats, const float *x, const float *w, const float *b, size_t rows,
                 size_t d, float eps)
{
    for (size_t r = 0; r < rows; r++, x += d, y += d) {
        float stat[2];
        stat[0] = row_sum(x, d) / (float)d;
        stat[1] = 1.0f / sqrtf(row_spread(x, d, stat[0]) / (float)d + eps);
        norm_row(y, x, w, b, d, stat);
        if (stats)
            memcpy(stats + 2 * r, stat, sizeof stat);
    }
}

/* dx = rstd (g - mean(g) - h mean(g h)), g = dy w, h = (x - mean) rstd */
static void norm_grad(float *dx, const float *x, const float *stats, const float *w,
                      const float *dy, size_t rows, size_t d)
{
    for (size_t r = 0; r < rows; r++, x += d, dy += d, dx += d) {
        v16 mean = v16_set(stats[2 * r]), rstd = v16_set(stats[2 * r + 1]);
        v16 sg = v16_set(0.0f), sgh = sg;
        for (size_t i = 0; i < d; i += 16) {
            size_t m = d - i < 16 ? d - i : 16;
            v16 g = v16_load_n(dy + i, m);
            g = w ? v16_mul(g, v16_load_n(w + i, m)) : g;
            sg = v16_add(sg, g);
            sgh = v16_fma(g, v16_mul(v16_sub(v16_load_n(x + i, m), mean), rstd), sgh);
        }
        v16 mg = v16_set(v16_sum(sg) / (float)d), mgh = v16_set(-(v16_sum(sgh) / (float)d));
        for (size_t i = 0; i < d; i += 16) {
            size_t m = d - i < 16 ? d - i : 16;
            v16 g = v16_load_n(dy + i, m);
            g = w ? v16_mul(g, v16_load_n(w + i, m)) : g;
            v16 h = v16_mul(v16_sub(v16_load_n(x + i, m), mean), rstd);
            v16_store_n(dx + i, v16_mul(rstd, v16_fma(h, mgh, v16_sub(g, mg))), m);
        }
    }
}

static void norm_grad_w(float *dw, const float *x, const float *stats, const float *dy, size_t rows,
                        size_t d, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16, at = first + i;
        v16 sum = v16_set(0.0f);
        for (size_t r = 0; r < rows; r++) {
            v16 h = v16_sub(v16_load_n(x + r * d + at, m), v16_set(stats[2 * r]));
            h = v16_mul(h, v16_set(stats[2 * r + 1]));
            sum = v16_fma(v16_load_n(dy + r * d + at, m), h, sum);
        }
        v16_store_n(dw + i, sum, m);
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

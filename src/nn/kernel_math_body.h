/* SPDX-License-Identifier: Apache-2.0
 * exp, tanh, the normal distribution and what is made of them, 16 at a time. */

/* Included by kernel_body.h only. Polynomials are minimax fits made for this file
 * (tests/scripts/fit_kernels.py); errors below are the largest seen by tests/unit/test_kernels.c. */

/* exp(x): x = n ln2 + r, |r| <= ln2 / 2; within 2 ulp, denormal results included; NaN stays. */
V16_INLINE v16 v_exp(v16 x)
{
    x = v16_max(v16_set(-110.0f), v16_min(v16_set(89.5f), x));
    v16 n = v16_round(v16_mul(x, v16_set(1.44269504f)));
    v16 r = v16_fma(n, v16_set(-0.693359375f), x);
    r = v16_fma(n, v16_set(2.12194440e-4f), r);
    v16 p = v16_set(1.99077025e-4f);
    p = v16_fma(p, r, v16_set(1.39337324e-3f));
    p = v16_fma(p, r, v16_set(8.33328627e-3f));
    p = v16_fma(p, r, v16_set(4.16664630e-2f));
    p = v16_fma(p, r, v16_set(1.66666672e-1f));
    p = v16_fma(p, r, v16_set(0.5f));
    p = v16_fma(v16_mul(r, r), p, r);
    return v16_scale2(v16_add(p, v16_set(1.0f)), n);
}

/* 1 / (1 + exp(-x)), within 3 ulp. */
V16_INLINE v16 v_sigmoid(v16 x)
{
    v16 one = v16_set(1.0f);
    return v16_div(one, v16_add(one, v_exp(v16_sub(v16_set(0.0f), x))));
}

/* Odd polynomial near 0, 1 - 2 / (exp(2 |x|) + 1) elsewhere; within 3 ulp. */
V16_INLINE v16 v_tanh(v16 x)
{
    v16 t = v16_abs(x), s = v16_mul(x, x), one = v16_set(1.0f);
    v16 p = v16_set(2.06466718e-3f);
    p = v16_fma(p, s, v16_set(-8.09197128e-3f));
    p = v16_fma(p, s, v16_set(2.16663480e-2f));
    p = v16_fma(p, s, v16_set(-5.39405644e-2f));
    p = v16_fma(p, s, v16_set(1.33331582e-1f));
    p = v16_fma(p, s, v16_set(-3.33333284e-1f));
    v16 small = v16_fma(v16_mul(x, s), p, x);
    v16 e = v_exp(v16_add(t, t));
    v16 large = v16_sub(one, v16_div(v16_set(2.0f), v16_add(e, one)));
    return v16_pick(v16_gt(t, v16_set(0.625f)), v16_copysign(large, x), small);
}

/* Phi(x) of the normal distribution: exp of a polynomial for log Phi(-|x|), 0 and 1 beyond |x| = 6
 * (1e-9). Absolute error below 1.2e-7, relative error of the small side below 4e-6. */
V16_INLINE v16 v_phi(v16 x)
{
    v16 t = v16_abs(x);
    v16 u = v16_min(v16_set(6.0f), t);
    v16 p = v16_set(-1.82820408e-8f);
    p = v16_fma(p, u, v16_set(5.50966553e-7f));
    p = v16_fma(p, u, v16_set(-7.11028360e-6f));
    p = v16_fma(p, u, v16_set(4.99775197e-5f));
    p = v16_fma(p, u, v16_set(-1.82732387e-4f));
    p = v16_fma(p, u, v16_set(-2.48706037e-5f));
    p = v16_fma(p, u, v16_set(4.84806113e-3f));
    p = v16_fma(p, u, v16_set(-3.63734365e-2f));
    p = v16_fma(p, u, v16_set(-3.18299204e-1f));
    p = v16_fma(p, u, v16_set(-7.97885716e-1f));
    p = v16_fma(p, u, v16_set(-6.93147182e-1f));
    v16 q = v16_pick(v16_gt(t, v16_set(6.0f)), v16_set(0.0f), v_exp(p));
    return v16_pick(v16_gt(x, v16_set(0.0f)), v16_sub(v16_set(1.0f), q), q);
}

V16_INLINE v16 v_gelu(v16 x)
{
    return v16_mul(x, v_phi(x));
}

V16_INLINE v16 v_silu(v16 x)
{
    return v16_mul(x, v_sigmoid(x));
}

V16_INLINE v16 v_gelu_grad(v16 x)
{
    v16 density = v16_mul(v16_set(0.398942280f), v_exp(v16_mul(v16_mul(x, x), v16_set(-0.5f))));
    return v16_fma(x, density, v_phi(x));
}

/* s + x s (1 - s) */
V16_INLINE v16 v_silu_grad(v16 x)
{
    v16 s = v_sigmoid(x);
    return v16_fma(v16_mul(x, s), v16_sub(v16_set(1.0f), s), s);
}

V16_INLINE v16 v_sigmoid_grad(v16 x)
{
    v16 s = v_sigmoid(x);
    return v16_mul(s, v16_sub(v16_set(1.0f), s));
}

V16_INLINE v16 v_tanh_grad(v16 x)
{
    v16 y = v_tanh(x);
    return v16_sub(v16_set(1.0f), v16_mul(y, y));
}

#define MAP_LOOP(f)                                                                                \
    do {                                                                                           \
        size_t i = 0;                                                                              \
        for (; i + 16 <= n; i += 16)                                                               \
            v16_store(y + i, f(v16_load(x + i)));                                                  \
        if (i < n)                                                                                 \
            v16_store_n(y + i, f(v16_load_n(x + i, n - i)), n - i);                                \
    } while (0)

static void map(tsr_map f, float *y, const float *x, size_t n)
{
    switch (f) {
    case TSR_MAP_GELU: MAP_LOOP(v_gelu); break;
    case TSR_MAP_TANH: MAP_LOOP(v_tanh); break;
    case TSR_MAP_SILU: MAP_LOOP(v_silu); break;
    case TSR_MAP_SIGMOID: MAP_LOOP(v_sigmoid); break;
    case TSR_MAP_EXP: MAP_LOOP(v_exp); break;
    }
}

#define GRAD_LOOP(f)                                                                               \
    do {                                                                                           \
        size_t i = 0;                                                                              \
        for (; i + 16 <= n; i += 16)                                                               \
            v16_store(dx + i, v16_mul(v16_load(dy + i), f(v16_load(x + i))));                      \
        if (i < n)                                                                                 \
            v16_store_n(dx + i, v16_mul(v16_load_n(dy + i, n - i), f(v16_load_n(x + i, n - i))),   \
                        n - i);                                                                    \
    } while (0)

static void map_grad(tsr_map f, float *dx, const float *x, const float *dy, size_t n)
{
    switch (f) {
    case TSR_MAP_GELU: GRAD_LOOP(v_gelu_grad); break;
    case TSR_MAP_TANH: GRAD_LOOP(v_tanh_grad); break;
    case TSR_MAP_SILU: GRAD_LOOP(v_silu_grad); break;
    case TSR_MAP_SIGMOID: GRAD_LOOP(v_sigmoid_grad); break;
    case TSR_MAP_EXP: GRAD_LOOP(v_exp); break;
    }
}

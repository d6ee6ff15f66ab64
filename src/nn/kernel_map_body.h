/* SPDX-License-Identifier: Apache-2.0
 * Activations as parts of a layer: after adding a bias, and backward, on float32 or bf16. Included by
 * kernel_body.h only. */

/* x Phi(x) and its derivative where the result is stored as bf16: odd polynomials about 1/2 for
 * |x| <= 4.4, constant beyond. Absolute errors below 1e-4 (up to |x| = 12) and 2e-4; a bf16 near 1 is
 * known to 4e-3. NaN stays. */
V16_INLINE v16 v_gelu_short(v16 x)
{
    v16 t = v16_max(v16_set(-4.4f), v16_min(v16_set(4.4f), x)), s = v16_mul(t, t);
    v16 p = v16_set(-1.73089050e-12f);
    p = v16_fma(p, s, v16_set(2.00841732e-10f));
    p = v16_fma(p, s, v16_set(-1.04348183e-08f));
    p = v16_fma(p, s, v16_set(3.23245132e-07f));
    p = v16_fma(p, s, v16_set(-6.72890292e-06f));
    p = v16_fma(p, s, v16_set(1.00857382e-04f));
    p = v16_fma(p, s, v16_set(-1.13757409e-03f));
    p = v16_fma(p, s, v16_set(9.87572689e-03f));
    p = v16_fma(p, s, v16_set(-6.63981214e-02f));
    p = v16_fma(p, s, v16_set(3.98915708e-01f));
    return v16_mul(x, v16_fma(t, p, v16_set(0.5f)));
}

V16_INLINE v16 v_gelu_grad_short(v16 x)
{
    v16 t = v16_max(v16_set(-4.4f), v16_min(v16_set(4.4f), x)), s = v16_mul(t, t);
    v16 p = v16_set(-2.63790725e-11f);
    p = v16_fma(p, s, v16_set(2.89702462e-09f));
    p = v16_fma(p, s, v16_set(-1.40657875e-07f));
    p = v16_fma(p, s, v16_set(3.99979035e-06f));
    p = v16_fma(p, s, v16_set(-7.45138241e-05f));
    p = v16_fma(p, s, v16_set(9.63943021e-04f));
    p = v16_fma(p, s, v16_set(-8.91273096e-03f));
    p = v16_fma(p, s, v16_set(5.88242337e-02f));
    p = v16_fma(p, s, v16_set(-2.65139610e-01f));
    p = v16_fma(p, s, v16_set(7.97687590e-01f));
    return v16_fma(t, p, v16_set(0.5f));
}

#define SUMS_LOOP(f)                                                                               \
    do {                                                                                           \
        for (size_t i = 0; i < m->n; i += 16) {                                                    \
            size_t k = m->n - i < 16 ? m->n - i : 16;                                              \
            v16 x = value_get(m->x, TSR_F32, i, k);                                                \
            x = m->bias ? v16_add(x, value_get(m->bias, TSR_F32, i, k)) : x;                       \
            if (m->sums)                                                                           \
                value_put(m->sums, m->sums_type, i, x, k);                                         \
            value_put(m->y, m->y_type, i, f(x), k);                                                \
        }                                                                                          \
    } while (0)

static void map_sums(const tsr_map_sums *m)
{
    switch (m->f) {
    case TSR_MAP_GELU:
        if (m->y_type == TSR_BF16)
            SUMS_LOOP(v_gelu_short);
        else
            SUMS_LOOP(v_gelu);
        break;
    case TSR_MAP_TANH: SUMS_LOOP(v_tanh); break;
    case TSR_MAP_SILU: SUMS_LOOP(v_silu); break;
    case TSR_MAP_SIGMOID: SUMS_LOOP(v_sigmoid); break;
    case TSR_MAP_EXP: SUMS_LOOP(v_exp); break;
    }
}

#define SLOPES_LOOP(f)                                                                             \
    do {                                                                                           \
        for (size_t i = 0; i < m->n; i += 16) {                                                    \
            size_t k = m->n - i < 16 ? m->n - i : 16;                                              \
            v16 slope = f(value_get(m->x, m->x_type, i, k));                                       \
            value_put(m->dx, m->dx_type, i, v16_mul(value_get(m->dy, m->dy_type, i, k), slope), k); \
        }                                                                                          \
    } while (0)

static void map_slopes(const tsr_map_slopes *m)
{
    switch (m->f) {
    case TSR_MAP_GELU:
        if (m->dx_type == TSR_BF16)
            SLOPES_LOOP(v_gelu_grad_short);
        else
            SLOPES_LOOP(v_gelu_grad);
        break;
    case TSR_MAP_TANH: SLOPES_LOOP(v_tanh_grad); break;
    case TSR_MAP_SILU: SLOPES_LOOP(v_silu_grad); break;
    case TSR_MAP_SIGMOID: SLOPES_LOOP(v_sigmoid_grad); break;
    case TSR_MAP_EXP: SLOPES_LOOP(v_exp); break;
    }
}

V16_INLINE void gate_with(const tsr_gate *t, tsr_dtype a, tsr_dtype b, tsr_dtype y)
{
#define GATE_16(i, m)                                                                              \
    value_put(t->y, y, i, v16_mul(v_silu(value_get(t->a, a, i, m)), value_get(t->b, b, i, m)), m)
    EACH_16(t->n, GATE_16);
#undef GATE_16
}

static void gate(const tsr_gate *t)
{
    if (t->a_type == TSR_BF16 && t->b_type == TSR_BF16 && t->y_type == TSR_BF16)
        gate_with(t, TSR_BF16, TSR_BF16, TSR_BF16);
    else
        gate_with(t, t->a_type, t->b_type, t->y_type);
}

/* da = dy b silu'(a), db = dy silu(a) */
V16_INLINE void gate_slopes_16(const tsr_gate_slopes *t, const tsr_dtype types[5], size_t i, size_t m)
{
    v16 a = value_get(t->a, types[0], i, m), b = value_get(t->b, types[1], i, m);
    v16 g = value_get(t->dy, types[2], i, m), s = v_sigmoid(a), silu = v16_mul(a, s);
    v16 slope = v16_fma(silu, v16_sub(v16_set(1.0f), s), s);
    if (t->da)
        value_put(t->da, types[3], i, v16_mul(g, v16_mul(b, slope)), m);
    if (t->db)
        value_put(t->db, types[4], i, v16_mul(g, silu), m);
}

static void gate_grad(const tsr_gate_slopes *t)
{
    const tsr_dtype half[5] = {TSR_BF16, TSR_BF16, TSR_BF16, TSR_BF16, TSR_BF16};
    const tsr_dtype types[5] = {t->a_type, t->b_type, t->dy_type, t->da_type, t->db_type};
    if (memcmp(half, types, sizeof half) == 0) {
#define SLOPES_16(i, m) gate_slopes_16(t, half, i, m)
        EACH_16(t->n, SLOPES_16);
#undef SLOPES_16
        return;
    }
#define SLOPES_16(i, m) gate_slopes_16(t, types, i, m)
    EACH_16(t->n, SLOPES_16);
#undef SLOPES_16
}

/* SPDX-License-Identifier: Apache-2.0
 * Activations as parts of a layer: after adding a bias, and backward, on float32 or bf16. Included by
 * kernel_body.h only. */

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
    case TSR_MAP_GELU: SUMS_LOOP(v_gelu); break;
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
    case TSR_MAP_GELU: SLOPES_LOOP(v_gelu_grad); break;
    case TSR_MAP_TANH: SLOPES_LOOP(v_tanh_grad); break;
    case TSR_MAP_SILU: SLOPES_LOOP(v_silu_grad); break;
    case TSR_MAP_SIGMOID: SLOPES_LOOP(v_sigmoid_grad); break;
    case TSR_MAP_EXP: SLOPES_LOOP(v_exp); break;
    }
}

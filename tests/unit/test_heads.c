/* SPDX-License-Identifier: Apache-2.0
 * Operations of the masked model: losses of rows, norms of heads, attention of segments that share
 * keys, caches. */
#include "gradcheck.h"

#include "nn/bf16.h"
#include "nn/layers.h"

/* --- sums of losses --- */

static tsr_value build_nll(tsr_graph *g, const tsr_value *in)
{
    tsr_value rows, a = tsr_softmax_nll(g, in[0], in[1], in[2], &rows);
    tsr_graph_output(g, rows);
    return tsr_add(g, a, tsr_scale(g, tsr_softmax_nll(g, in[0], in[1], TSR_NONE, NULL), 0.1f));
}

static void nll_gradients(void **state)
{
    (void)state;
    static const int32_t ids[] = {3, 0, 36, 40, -1, 3, 7};
    static const float weights[] = {1, 0.5f, 2, 1, 1, 0, 0.25f};
    gradcheck_input in[] = {{.ndim = 2, .shape = {7, 37}}, {.ndim = 1, .shape = {7}, .ints = ids},
                            {.ndim = 1, .shape = {7}, .floats = weights, .fixed = 1}};
    gradcheck(3, in, build_nll, 0.02f, 1e-4);
}

/* logits = x w^T in this precision: the sum, the rows' losses and the gradient of x. */
typedef struct nll_run {
    double sum, rows[40], exact;
    float gx[40 * 32];
} nll_run;

static void run_nll(tsr_params *ps, tsr_precision precision, size_t rows, nll_run *out)
{
    tsr_graph *g;
    tsr_exec *x;
    tsr_value row_nll;
    size_t vocabulary = tsr_params_at(ps, 0)->shape[0];
    assert_ok(tsr_graph_create(ps, precision, &g));
    tsr_value in = tsr_input(g, "x", TSR_F32, 2, (size_t[]){40, 32});
    tsr_value ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){40});
    tsr_graph_want_grad(g, in);
    tsr_value logits = tsr_linear(g, in, tsr_weight(g, "w"), TSR_NONE, TSR_ACT_NONE);
    tsr_value sum = tsr_softmax_nll(g, logits, ids, TSR_NONE, &row_nll);
    tsr_graph_output(g, sum);
    tsr_graph_output(g, row_nll);
    tsr_graph_backward(g, sum);
    tsr_graph_output(g, tsr_graph_grad(g, in));
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &x));
    tsr_exec_poison(x, 1);
    gradcheck_random(tsr_exec_input(x, in), 40 * 32, 5);
    for (size_t i = 0; i < 40; i++)
        ((int32_t *)tsr_exec_input(x, ids))[i] = (int32_t)(i * 7919 % vocabulary);
    assert_ok(tsr_exec_set_rows(x, in, rows));
    assert_ok(tsr_exec_set_rows(x, ids, rows));
    tsr_params_zero_grads(ps);
    assert_ok(tsr_exec_run(x));
    out->sum = *(const float *)tsr_exec_value(x, sum);
    out->exact = 0;
    const float *w = tsr_params_at(ps, 0)->value, *h = tsr_exec_input(x, in);
    for (size_t r = 0; r < rows; r++) {
        double total = 0, at = 0;
        for (size_t v = 0; v < vocabulary; v++) {
            double l = 0;
            for (size_t k = 0; k < 32; k++)
                l += (double)h[r * 32 + k] * (double)w[v * 32 + k];
            total += exp(l);
            at = v == r * 7919 % vocabulary ? l : at;
        }
        out->exact += log(total) - at;
        out->rows[r] = ((const float *)tsr_exec_value(x, row_nll))[r] - (log(total) - at);
    }
    memcpy(out->gx, tsr_exec_value(x, tsr_graph_grad(g, in)), rows * 32 * sizeof(float));
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
}

/* Against sums in double: float32 to rounding; with bf16 logits the mean stays within 1e-3 nats, a
 * row within the rounding of its logits. */
static void nll_values(void **state)
{
    (void)state;
    static nll_run full, half;
    static const size_t sizes[] = {33, 1000};
    for (size_t k = 0; k < 2; k++) {
        tsr_params *ps;
        tsr_param *w;
        assert_ok(tsr_params_create(&ps));
        assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN, 2, (size_t[]){sizes[k], 32}, &w));
        tsr_param_init(w, TSR_INIT_NORMAL, 0.5f, 3);
        run_nll(ps, TSR_PRECISION_FP32, 40, &full);
        run_nll(ps, TSR_PRECISION_BF16, 40, &half);
        assert_true(fabs(full.sum - full.exact) < 1e-5 * full.exact);
        assert_true(fabs(half.sum - half.exact) < 5e-3 * 40);
        double far = 0, top = 0;
        for (size_t r = 0; r < 40; r++) {
            assert_true(fabs(full.rows[r]) < 2e-5);
            assert_true(fabs(half.rows[r]) < 0.06);
        }
        for (size_t i = 0; i < 40 * 32; i++) {
            far = fmax(far, fabs((double)full.gx[i] - (double)half.gx[i]));
            top = fmax(top, fabs((double)full.gx[i]));
        }
        assert_true(far < 0.02 * top);
        run_nll(ps, TSR_PRECISION_BF16, 0, &half);
        assert_true(half.sum == 0);
        for (size_t i = 0; i < w->count; i++)
            assert_true(w->grad[i] == 0);
        tsr_params_destroy(ps);
    }
}

/* --- norms of heads --- */

static tsr_value build_qkv_norm(tsr_graph *g, const tsr_value *in)
{
    return tsr_head_norm(g, in[0], &(tsr_head_norm_spec){.parts = 3, .normed = 2, .heads = 2, .eps = 1e-6f,
                                                         .weight = {in[1], in[2]}, .bias = {in[3], in[4]}});
}

static tsr_value build_kv_norm(tsr_graph *g, const tsr_value *in)
{
    return tsr_head_norm(g, in[0], &(tsr_head_norm_spec){.parts = 2, .normed = 1, .heads = 3, .eps = 1e-6f,
                                                         .weight = {in[1], TSR_NONE},
                                                         .bias = {TSR_NONE, TSR_NONE}});
}

/* The same from parts: each head a row. */
static tsr_value build_kv_parts(tsr_graph *g, const tsr_value *in)
{
    tsr_value k = tsr_slice(g, in[0], 1, 0, 24), v = tsr_slice(g, in[0], 1, 24, 24);
    k = tsr_reshape(g, k, 2, (size_t[]){0, 8});
    k = tsr_reshape(g, tsr_layer_norm(g, k, in[1], TSR_NONE, 1e-6f), 2, (size_t[]){0, 24});
    return tsr_concat(g, 2, (tsr_value[]){k, v}, 1);
}

static void norms_of_heads(void **state)
{
    (void)state;
    gradcheck_input qkv[] = {{.ndim = 2, .shape = {21, 3 * 2 * 8}}, {.ndim = 1, .shape = {8}, .weight = 1},
                             {.ndim = 1, .shape = {8}, .weight = 1}, {.ndim = 1, .shape = {8}},
                             {.ndim = 1, .shape = {8}, .weight = 1}};
    gradcheck_input kv[] = {{.ndim = 2, .shape = {37, 48}}, {.ndim = 1, .shape = {8}, .weight = 1}};
    gradcheck(5, qkv, build_qkv_norm, 0.01f, 5e-4);
    gradcheck(2, kv, build_kv_norm, 0.01f, 5e-4);
    gradcheck_run a, b;
    gradcheck_open(&a, 2, kv, build_kv_norm);
    gradcheck_open(&b, 2, kv, build_kv_parts);
    gradcheck_forward(&a);
    gradcheck_forward(&b);
    assert_memory_equal(tsr_exec_value(a.x, a.y), tsr_exec_value(b.x, b.y), 37 * 48 * sizeof(float));
    const float *ga = gradcheck_grad(&a, 0), *gb = gradcheck_grad(&b, 0);
    for (size_t i = 0; i < 37 * 48; i++)
        assert_true(fabsf(ga[i] - gb[i]) < 1e-5f);
    gradcheck_close(&a);
    gradcheck_close(&b);
}

static void norms_refused(void **state)
{
    (void)state;
    const tsr_head_norm_spec good = {.parts = 3, .normed = 2, .heads = 2, .eps = 1e-6f,
                                     .weight = {TSR_NONE, TSR_NONE}, .bias = {TSR_NONE, TSR_NONE}};
    for (int i = 0; i < 5; i++) {
        tsr_graph *g;
        tsr_head_norm_spec s = good;
        assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
        tsr_value x = tsr_input(g, "x", TSR_F32, 2, (size_t[]){4, i == 4 ? 6 * 129 : 48});
        s.parts = i == 1 ? 5 : s.parts;
        s.normed = i == 2 ? 3 : s.normed;
        s.heads = i == 3 ? 0 : s.heads;
        (void)tsr_head_norm(g, x, &s);
        if (i == 0)
            assert_ok(tsr_graph_check(g));
        else
            assert_fails(TSR_EMISMATCH, tsr_graph_check(g));
        tsr_graph_destroy(g);
    }
}

/* --- caches --- */

static void rows_put(void **state)
{
    (void)state;
    tsr_graph *g;
    tsr_exec *x;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value cache = tsr_input(g, "cache", TSR_F32, 2, (size_t[]){4, 2});
    tsr_value rows = tsr_input(g, "rows", TSR_F32, 2, (size_t[]){5, 2});
    tsr_value ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){5});
    tsr_value before = tsr_scale(g, cache, 2.0f), after = tsr_put_rows(g, cache, tsr_scale(g, rows, 3.0f), ids);
    tsr_value now = tsr_scale(g, after, 1.0f);
    tsr_graph_output(g, before);
    tsr_graph_output(g, now);
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &x));
    tsr_exec_poison(x, 1);
    memcpy(tsr_exec_input(x, cache), (float[]){1, 1, 2, 2, 3, 3, 4, 4}, 32);
    memcpy(tsr_exec_input(x, rows), (float[]){5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, 40);
    memcpy(tsr_exec_input(x, ids), (int32_t[]){2, -1, 0, 4, 2}, 20);
    assert_ok(tsr_exec_run(x));
    assert_memory_equal(tsr_exec_value(x, before), ((float[]){2, 2, 4, 4, 6, 6, 8, 8}), 32);
    assert_memory_equal(tsr_exec_value(x, now), ((float[]){27, 30, 2, 2, 39, 42, 4, 4}), 32);
    assert_memory_equal(tsr_exec_input(x, cache), tsr_exec_value(x, now), 32);
    assert_ok(tsr_exec_set_rows(x, rows, 1)); /* the cache keeps what was put */
    assert_ok(tsr_exec_set_rows(x, ids, 1));
    ((int32_t *)tsr_exec_input(x, ids))[0] = 3;
    assert_ok(tsr_exec_run(x));
    assert_memory_equal(tsr_exec_value(x, now), ((float[]){27, 30, 2, 2, 39, 42, 15, 18}), 32);
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    rows = tsr_input(g, "rows", TSR_F32, 2, (size_t[]){5, 2});
    ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){5});
    assert_int_equal(tsr_put_rows(g, tsr_scale(g, rows, 1.0f), rows, ids), TSR_NONE);
    assert_fails(TSR_EMISMATCH, tsr_graph_check(g));
    tsr_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nll_gradients),
        cmocka_unit_test(nll_values),
        cmocka_unit_test(norms_of_heads),
        cmocka_unit_test(norms_refused),
        cmocka_unit_test(rows_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

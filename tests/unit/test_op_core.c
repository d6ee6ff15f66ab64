/* SPDX-License-Identifier: Apache-2.0
 * Linear, element-wise and shape operations: values, gradients, messages, sameness of bytes. */
#include "opcheck.h"

#include "nn/bench.h"
#include "nn/bf16.h"
#include "nn/gemm.h"
#include "nn/op.h"

/* --- gradients --- */

static tsr_value build_linear(tsr_graph *g, opcheck *c)
{
    const tsr_act *act = c->ctx;
    return tsr_linear(g, tsr_weight(g, "x"), tsr_weight(g, "w"), tsr_weight_or_none(g, "b"), *act);
}

static void check_linear(tsr_act act, size_t rows, size_t k, size_t n, int bias)
{
    opcheck c;
    opcheck_init(&c, build_linear, 7 + rows + k + n);
    c.ctx = &act;
    opcheck_param(&c, "x", -1, 1, 3, (size_t[]){1, rows, k});
    opcheck_param(&c, "w", -0.5f, 0.5f, 2, (size_t[]){n, k});
    if (bias)
        opcheck_param(&c, "b", -1, 1, 1, &n);
    opcheck_all(&c, 2e-3);
    opcheck_clear(&c);
}

static void test_linear_gradients(void **state)
{
    (void)state;
    check_linear(TSR_ACT_NONE, 5, 7, 3, 1);
    check_linear(TSR_ACT_GELU, 60, 33, 17, 1);
    check_linear(TSR_ACT_TANH, 1, 16, 40, 0);
    check_linear(TSR_ACT_SILU, 3, 1, 1, 1);
}

static tsr_value build_elementwise(tsr_graph *g, opcheck *c)
{
    (void)c;
    tsr_value a = tsr_weight(g, "a"), b = tsr_weight(g, "b"), s = tsr_weight(g, "s");
    tsr_value sum = tsr_add(g, tsr_mul(g, tsr_add(g, a, b), a), tsr_scale(g, tsr_mul(g, a, s), 3));
    tsr_value flat = tsr_reshape(g, sum, 2, (size_t[]){2 * 3, 5});
    return tsr_mul(g, flat, tsr_sum_leading(g, flat, 1, (size_t[]){5}));
}

static void test_elementwise_gradients(void **state)
{
    (void)state;
    opcheck c;
    opcheck_init(&c, build_elementwise, 3);
    opcheck_param(&c, "a", -1, 1, 3, (size_t[]){2, 3, 5});
    opcheck_param(&c, "b", -1, 1, 1, (size_t[]){5});
    opcheck_param(&c, "s", -1, 1, 2, (size_t[]){3, 5});
    opcheck_all(&c, 2e-3);
    opcheck_clear(&c);
}

static tsr_value build_slices(tsr_graph *g, opcheck *c)
{
    (void)c;
    tsr_value a = tsr_weight(g, "a"), b = tsr_weight(g, "b");
    tsr_value all = tsr_concat(g, 3, (tsr_value[]){a, b, a}, 1);
    tsr_value part = tsr_slice(g, all, 1, 2, 4), last = tsr_slice(g, all, 2, 1, 1);
    tsr_value flat = tsr_reshape(g, last, 1, (size_t[]){2 * 7});
    tsr_value other = tsr_reshape(g, tsr_mul(g, part, part), 1, (size_t[]){2 * 4 * 5});
    return tsr_concat(g, 2, (tsr_value[]){flat, other}, 0);
}

static void test_slice_gradients(void **state)
{
    (void)state;
    opcheck c;
    opcheck_init(&c, build_slices, 3);
    float *a = opcheck_param(&c, "a", -1, 1, 3, (size_t[]){2, 3, 5});
    float *b = opcheck_param(&c, "b", -1, 1, 3, (size_t[]){2, 1, 5});
    opcheck_all(&c, 2e-3);
    opcheck_result r = opcheck_run(&c, TSR_PRECISION_FP32);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 7; j++)
            assert_true(r.values[i * 7 + j] ==
                        (j == 3 ? b[i * 5 + 1] : a[(i * 3 + (j < 3 ? j : j - 4)) * 5 + 1]));
    tsr_free(r.values);
    opcheck_clear(&c);
}

static tsr_value build_wrong(tsr_graph *g, opcheck *c)
{
    (void)c;
    tsr_value x = tsr_weight(g, "x");
    return tsr_straight_through(g, x, tsr_scale(g, x, 2.0f));
}

/* A gradient known to be half of the truth must be found out. */
static void test_harness_can_fail(void **state)
{
    (void)state;
    opcheck c;
    opcheck_init(&c, build_wrong, 3);
    opcheck_param(&c, "x", -1, 1, 2, (size_t[]){4, 4});
    double error = opcheck_error(&c);
    assert_true(error > 0.5 && error < 2);
    opcheck_clear(&c);
}

/* --- broadcasting over sizes around the pieces of the loops --- */

static void check_broadcast(size_t repeat, size_t period)
{
    tsr_graph *g;
    tsr_exec *run;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value a = tsr_input(g, "a", TSR_F32, 2, (size_t[]){repeat, period});
    tsr_value b = tsr_input(g, "b", TSR_F32, 1, &period);
    tsr_value y = tsr_add(g, a, b), z = tsr_mul(g, a, b);
    tsr_value s = tsr_sum_leading(g, a, 1, &period);
    tsr_graph_output(g, y);
    tsr_graph_output(g, z);
    tsr_graph_output(g, s);
    assert_ok(tsr_exec_create(g, &run));
    float *pa = tsr_exec_input(run, a), *pb = tsr_exec_input(run, b);
    for (size_t i = 0; i < repeat * period; i++)
        pa[i] = (float)(i % 1000);
    for (size_t i = 0; i < period; i++)
        pb[i] = (float)(i % 77);
    assert_ok(tsr_exec_run(run));
    const float *py = tsr_exec_value(run, y), *pz = tsr_exec_value(run, z);
    const float *ps = tsr_exec_value(run, s);
    for (size_t i = 0; i < repeat * period; i++)
        assert_true(py[i] == pa[i] + pb[i % period] && pz[i] == pa[i] * pb[i % period]);
    for (size_t j = 0; j < period; j++) {
        double sum = 0;
        for (size_t i = 0; i < repeat; i++)
            sum += pa[i * period + j];
        assert_true(fabs(sum - ps[j]) <= 1e-5 * (1 + sum));
    }
    tsr_exec_destroy(run);
    tsr_graph_destroy(g);
}

static void test_broadcast(void **state)
{
    (void)state;
    check_broadcast(1, 1);
    check_broadcast(700, 3);
    check_broadcast(5, 16384);
    check_broadcast(3, 16385);
    check_broadcast(2, 50000);
    check_broadcast(30000, 2);
}

/* --- linear: against doubles, and row by row --- */

typedef struct product {
    size_t batch, rows, k, n;
    tsr_precision precision;
    int threads;
} product;

/* First `keep` rows of y for a batch whose sample i holds pattern i. Release with tsr_free. */
static float *run_linear(product p)
{
    tsr_params *ps;
    tsr_param *w, *b;
    tsr_graph *g;
    tsr_exec *run;
    tsr_rng r;
    tsr_par_set_threads(p.threads);
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN, 2, (size_t[]){p.n, p.k}, &w));
    assert_ok(tsr_params_add(ps, "b", TSR_PARAM_TRAIN, 1, &p.n, &b));
    tsr_param_init(w, TSR_INIT_NORMAL, 0.1f, 1);
    tsr_param_init(b, TSR_INIT_NORMAL, 0.1f, 1);
    assert_ok(tsr_graph_create(ps, p.precision, &g));
    tsr_value x = tsr_input(g, "x", TSR_F32, 3, (size_t[]){p.batch, p.rows, p.k});
    tsr_value y = tsr_linear(g, x, tsr_weight(g, "w"), tsr_weight(g, "b"), TSR_ACT_NONE);
    tsr_graph_output(g, y);
    assert_ok(tsr_exec_create(g, &run));
    float *px = tsr_exec_input(run, x), *copy;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, 0);
    for (size_t i = 0; i < p.batch * p.rows * p.k; i++)
        px[i] = tsr_rng_normal(&r);
    assert_ok(tsr_exec_run(run));
    size_t count = p.batch * p.rows * p.n;
    assert_ok(tsr_alloc(&copy, count, sizeof *copy));
    memcpy(copy, tsr_exec_value(run, y), count * sizeof *copy);
    tsr_exec_destroy(run);
    tsr_graph_destroy(g);
    tsr_params_destroy(ps);
    tsr_par_set_threads(0);
    return copy;
}

static void check_same_rows(size_t rows, size_t k, size_t n, tsr_precision precision)
{
    product p = {1, rows, k, n, precision, 1};
    float *one = run_linear(p);
    for (size_t batch = 2; batch <= 5; batch++) {
        p.batch = batch;
        p.threads = (int)batch - 1;
        float *many = run_linear(p);
        assert_memory_equal(one, many, rows * n * sizeof *one);
        tsr_free(many);
    }
    tsr_free(one);
}

/* Rows of the first sample are the same bytes whatever the batch and the threads. */
static void test_batch_does_not_matter(void **state)
{
    (void)state;
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        check_same_rows(196, 768, 768, (tsr_precision)p);
        check_same_rows(196, 3072, 768, (tsr_precision)p);
        check_same_rows(64, 384, 1152, (tsr_precision)p);
        check_same_rows(300, 1024, 384, (tsr_precision)p);
        check_same_rows(1, 192, 576, (tsr_precision)p);
        check_same_rows(7, 100, 1009, (tsr_precision)p);
    }
}

static void test_linear_values(void **state)
{
    (void)state;
    product p = {2, 70, 96, 530, TSR_PRECISION_FP32, 2};
    float *y = run_linear(p);
    tsr_params *ps;
    tsr_param *w, *b;
    tsr_rng r;
    float x[96];
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN, 2, (size_t[]){p.n, p.k}, &w));
    assert_ok(tsr_params_add(ps, "b", TSR_PARAM_TRAIN, 1, &p.n, &b));
    tsr_param_init(w, TSR_INIT_NORMAL, 0.1f, 1);
    tsr_param_init(b, TSR_INIT_NORMAL, 0.1f, 1);
    tsr_rng_init(&r, 5, TSR_RNG_TEST, 0);
    for (size_t i = 0; i < p.batch * p.rows; i++) {
        for (size_t k = 0; k < p.k; k++)
            x[k] = tsr_rng_normal(&r);
        for (size_t n = 0; n < p.n; n++) {
            double sum = b->value[n];
            for (size_t k = 0; k < p.k; k++)
                sum += (double)x[k] * w->value[n * p.k + k];
            assert_true(fabs(sum - y[i * p.n + n]) < 1e-5);
        }
    }
    tsr_params_destroy(ps);
    tsr_free(y);
}

/* Gradients of larger layers: several tiles, chunks and parts. */
static void test_training_bytes(void **state)
{
    (void)state;
    tsr_act act = TSR_ACT_GELU;
    opcheck c;
    opcheck_init(&c, build_linear, 11);
    c.ctx = &act;
    opcheck_param(&c, "x", -1, 1, 3, (size_t[]){23, 64, 200});
    opcheck_param(&c, "w", -0.1f, 0.1f, 2, (size_t[]){250, 200});
    opcheck_param(&c, "b", -1, 1, 1, (size_t[]){250});
    opcheck_threads(&c, TSR_PRECISION_FP32);
    opcheck_threads(&c, TSR_PRECISION_BF16);
    opcheck_below(opcheck_half(&c), 2e-2);
    opcheck_clear(&c);
}

/* --- bf16 --- */

static void test_half_rounding(void **state)
{
    (void)state;
    float x[1025], back[1025];
    tsr_bf16 h[1025];
    for (unsigned top = 0; top < 65536; top++)
        if ((top & 0x7f80) != 0x7f80)
            assert_int_equal(tsr_float_bf16(tsr_bf16_float((tsr_bf16)top)), top);
    assert_int_equal(tsr_float_bf16(1.00390625f), 0x3f80); /* tie to even: 1 + 2^-8 */
    assert_int_equal(tsr_float_bf16(1.01171875f), 0x3f82); /* tie to even: 1 + 3 2^-8 */
    assert_int_equal(tsr_float_bf16(INFINITY), 0x7f80);
    assert_int_equal(tsr_float_bf16(-INFINITY), 0xff80);
    assert_int_equal(tsr_float_bf16(3.4028235e38f), 0x7f80);
    assert_true(isnan(tsr_bf16_float(tsr_float_bf16(NAN))));
    tsr_rng r;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, 0);
    for (size_t i = 0; i < 1025; i++) {
        uint32_t u = tsr_rng_u32(&r);
        memcpy(&x[i], &u, sizeof u);
    }
    for (int level = TSR_CPU_REF; level <= TSR_CPU_AVX512; level++) {
        tsr_cpu_limit((tsr_cpu_level)level);
        tsr_bf16_from_floats(h, x, 1025);
        tsr_bf16_to_floats(back, h, 1025);
        for (size_t i = 0; i < 1025; i++) {
            float expected = tsr_bf16_float(tsr_float_bf16(x[i]));
            assert_int_equal(h[i], tsr_float_bf16(x[i]));
            assert_true(isnan(x[i]) ? isnan(back[i]) : back[i] == expected);
        }
    }
}

static void test_every_operation_is_listed_once(void **state)
{
    (void)state;
    size_t n;
    const tsr_op *const *ops = tsr_ops(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(ops[i]->shape);
        assert_true(ops[i]->run || (ops[i]->flags & TSR_OP_ALIAS));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ops[i]->name, ops[j]->name);
    }
}

static void test_bench(void **state)
{
    (void)state;
    tsr_bench_product *b;
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        assert_ok(tsr_bench_product_create(32, 48, 64, (tsr_precision)p, &b));
        assert_true(tsr_bench_product_run(b, 1e-4) > 1e6);
        tsr_bench_product_destroy(b);
    }
    assert_fails(TSR_EARG, tsr_bench_product_create(0, 48, 64, TSR_PRECISION_FP32, &b));
    assert_true(strncmp(tsr_gemm_library(), "oneDNN ", 7) == 0);
    tsr_graph *g;
    tsr_exec *x;
    tsr_bench_row *rows;
    tsr_str table = {0};
    size_t n;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value v = tsr_fill(g, 1, 1, (size_t[]){100});
    tsr_graph_output(g, tsr_add(g, tsr_scale(g, v, 2), tsr_scale(g, v, 3)));
    assert_ok(tsr_exec_create(g, &x));
    assert_ok(tsr_exec_run(x));
    assert_ok(tsr_bench_rows(x, &rows, &n));
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || rows[i - 1].seconds >= rows[i].seconds);
        assert_int_equal(rows[i].nodes, strcmp(rows[i].op, "scale") == 0 ? 2 : 1);
        assert_true(rows[i].flops == 100.0 * (double)rows[i].nodes);
    }
    assert_ok(tsr_bench_table(x, &table));
    assert_non_null(strstr(table.s, "scale"));
    tsr_free(rows);
    tsr_str_clear(&table);
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
}

/* --- messages --- */

static const char *message_of(tsr_graph *g, tsr_status code)
{
    assert_fails(code, tsr_graph_check(g));
    return tsr_error();
}

#define expect_message(code, expr, text)                                                           \
    do {                                                                                           \
        tsr_graph *g;                                                                              \
        assert_ok(tsr_graph_create(ps, TSR_PRECISION_FP32, &g));                                   \
        tsr_value x = tsr_input(g, "x", TSR_F32, 3, (size_t[]){2, 4, 8});                          \
        tsr_value ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){8});                            \
        (void)x;                                                                                   \
        (void)ids;                                                                                 \
        tsr_graph_label(g, "blocks.%d", 3);                                                        \
        expr;                                                                                      \
        const char *said = message_of(g, code);                                                    \
        if (strcmp(said, text) != 0)                                                               \
            fail_msg("said \"%s\", expected \"%s\"", said, text);                                  \
        tsr_graph_destroy(g);                                                                      \
    } while (0)

static void test_messages(void **state)
{
    (void)state;
    tsr_params *ps;
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", 0, 2, (size_t[]){5, 9}, NULL));
    assert_ok(tsr_params_add(ps, "w8", 0, 2, (size_t[]){5, 8}, NULL));
    assert_ok(tsr_params_add(ps, "b", 0, 1, (size_t[]){9}, NULL));
    expect_message(TSR_EMISMATCH, tsr_linear(g, x, tsr_weight(g, "w"), TSR_NONE, TSR_ACT_NONE),
                   "node 0 linear (blocks.3): x ends in 8 values, the weight takes 9; operands: "
                   "[2, 4, 8], [5, 9], none");
    expect_message(TSR_EMISMATCH,
                   tsr_linear(g, x, tsr_weight(g, "w8"), tsr_weight(g, "b"), TSR_ACT_NONE),
                   "node 0 linear (blocks.3): bias is [9], expected [5]; operands: [2, 4, 8], "
                   "[5, 8], [9]");
    expect_message(TSR_EMISMATCH, tsr_linear(g, x, tsr_weight(g, "b"), TSR_NONE, TSR_ACT_NONE),
                   "node 0 linear (blocks.3): weight has 1 dimensions, expected 2 to 2; operands: "
                   "[2, 4, 8], [9], none");
    expect_message(TSR_EMISMATCH,
                   tsr_linear(g, x, tsr_reshape(g, x, 2, (size_t[]){8, 8}), TSR_NONE, TSR_ACT_NONE),
                   "node 1 linear (blocks.3): weight is no parameter of the store; operands: "
                   "[2, 4, 8], [8, 8], none");
    expect_message(TSR_EMISMATCH, tsr_linear(g, ids, tsr_weight(g, "w8"), TSR_NONE, TSR_ACT_NONE),
                   "node 0 linear (blocks.3): x is of type I32, expected F32; operands: [8], "
                   "[5, 8], none");
    expect_message(TSR_EMISMATCH, tsr_add(g, x, tsr_weight(g, "b")),
                   "node 0 add (blocks.3): b is neither of a's shape nor its last dimensions; "
                   "operands: [2, 4, 8], [9]");
    expect_message(TSR_EMISMATCH, tsr_mul(g, x, TSR_NONE),
                   "node 0 mul (blocks.3): b is missing; operands: [2, 4, 8], none");
    expect_message(TSR_EMISMATCH, tsr_scale(g, ids, 2),
                   "node 0 scale (blocks.3): x is of type I32, expected F32; operands: [8]");
    expect_message(TSR_EMISMATCH, tsr_reshape(g, x, 2, (size_t[]){9, 9}),
                   "node 0 reshape (blocks.3): 64 values do not fill [9, 9]; operands: [2, 4, 8]");
    expect_message(TSR_EARG, tsr_reshape(g, x, 7, (size_t[]){1, 1, 1, 1, 1, 8, 8}),
                   "reshape to 7 dimensions; 1 to 6 are possible");
    expect_message(TSR_EMISMATCH, tsr_sum_leading(g, x, 1, (size_t[]){4}),
                   "node 0 sum_leading (blocks.3): the result's shape is not that of x's last "
                   "dimensions; operands: [2, 4, 8]");
    expect_message(TSR_EMISMATCH, tsr_straight_through(g, x, tsr_weight(g, "w")),
                   "node 0 straight_through (blocks.3): q is [5, 9], expected [2, 4, 8]; operands: "
                   "[5, 9], [2, 4, 8]");
    expect_message(TSR_EMISMATCH, tsr_slice(g, x, 1, 2, 3),
                   "node 0 slice (blocks.3): 3 places from 2 are not within the 4 of axis 1; "
                   "operands: [2, 4, 8]");
    expect_message(TSR_EMISMATCH, tsr_slice(g, x, 3, 0, 1),
                   "node 0 slice (blocks.3): there is no axis 3 in 3 dimensions; operands: "
                   "[2, 4, 8]");
    expect_message(TSR_EMISMATCH,
                   tsr_concat(g, 2, (tsr_value[]){tsr_weight(g, "w"), tsr_weight(g, "w8")}, 0),
                   "node 0 concat (blocks.3): operand is [5, 8], expected [5, 9]; operands: "
                   "[5, 9], [5, 8]");
    expect_message(TSR_EARG, tsr_concat(g, 0, NULL, 0),
                   "concat of 0 values; 1 to 24 are possible");
    expect_message(TSR_EMISMATCH, tsr_stop_gradient(g, TSR_NONE),
                   "node 0 stop_gradient (blocks.3): x is missing; operands: none");
    expect_message(TSR_EARG, tsr_fill(g, 1, 1, (size_t[]){0}),
                   "the result of node 0 fill (blocks.3) is [0]: no dimension may be 0");
    expect_message(TSR_EARG, tsr_input(g, "y", TSR_BF16, 1, (size_t[]){2}),
                   "input y is of type BF16; F32 and I32 are possible");
    expect_message(TSR_EARG, tsr_input(g, "y", TSR_F32, 0, NULL),
                   "input y has 0 dimensions; 1 to 6 are possible");
    expect_message(TSR_EARG, tsr_graph_backward(g, x), "the loss must be one number");
    expect_message(TSR_EARG, tsr_graph_backward(g, tsr_fill(g, 1, 1, (size_t[]){1})),
                   "the loss depends on no trained weight");
    expect_message(TSR_EARG, tsr_graph_output(g, TSR_NONE),
                   "an output of the graph is no value of it");
    tsr_params_destroy(ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_gradients),
        cmocka_unit_test(test_elementwise_gradients),
        cmocka_unit_test(test_slice_gradients),
        cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_every_operation_is_listed_once),
        cmocka_unit_test(test_bench),
        cmocka_unit_test(test_harness_can_fail),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_batch_does_not_matter),
        cmocka_unit_test(test_linear_values),
        cmocka_unit_test(test_training_bytes),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

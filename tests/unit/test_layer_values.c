/* SPDX-License-Identifier: Apache-2.0
 * Operations of nn/layers.h against values of PyTorch, wrong shapes, and independence of batches. */
#include "testing.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/par.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "tests/data/nn/layer_values.h"

#include <math.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The numbers of make_layer_values.py. */
static void numbers(float *x, uint64_t seed, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)((i + 1) * 2654435761u + seed * 40503u * 65537u);
        x[i] = scale * (float)((double)u / 2147483648.0 - 1.0);
    }
}

/* A graph with a few inputs, run at one CPU level. */
typedef struct bench {
    tsr_graph *g;
    tsr_exec *x;
} bench;

static tsr_value input(bench *b, int ndim, const size_t *shape)
{
    tsr_value v = tsr_input(b->g, "x", TSR_F32, ndim, shape);
    tsr_graph_want_grad(b->g, v);
    return v;
}

#define INPUT(b, ...)                                                                              \
    input(b, (int)(sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t)), (size_t[]){__VA_ARGS__})

/* sum(y r) and its gradients; r is numbers(seed). */
static tsr_value weighted(bench *b, tsr_value y, tsr_value *r)
{
    size_t n = tsr_value_count(b->g, y);
    *r = tsr_input(b->g, "r", TSR_F32, 2, (size_t[]){n, 1});
    tsr_value s = tsr_mul(b->g, tsr_reshape(b->g, y, 2, (size_t[]){n, 1}), *r);
    return tsr_sum_leading(b->g, s, 1, (size_t[]){1});
}

static void start(bench *b, tsr_precision p)
{
    assert_ok(tsr_graph_create(NULL, p, &b->g));
}

static void ready(bench *b, const tsr_value *outputs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tsr_graph_output(b->g, outputs[i]);
    assert_ok(tsr_graph_check(b->g));
    assert_ok(tsr_exec_create(b->g, &b->x));
}

static void feed(bench *b, tsr_value v, uint64_t seed, float scale)
{
    numbers(tsr_exec_input(b->x, v), seed, tsr_value_count(b->g, v), scale);
}

static void expect(const bench *b, tsr_value v, const float *want, size_t n, double bound)
{
    const float *got = tsr_exec_value(b->x, v);
    assert_int_equal(tsr_value_count(b->g, v), n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= bound * fmax(1.0, fabs((double)want[i]))))
            fail_msg("%s: value %zu is %.8g, expected %.8g", tsr_cpu_name(tsr_cpu()), i, got[i],
                     want[i]);
}

static void stop(bench *b)
{
    tsr_exec_destroy(b->x);
    tsr_graph_destroy(b->g);
}

static void check_attention(void)
{
    bench b;
    tsr_value r;
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.causal = 1;
    start(&b, TSR_PRECISION_FP32);
    tsr_value qkv = INPUT(&b, 2, 6, 24), o = tsr_self_attention(b.g, qkv, &s);
    tsr_graph_backward(b.g, weighted(&b, o, &r));
    tsr_value grad = tsr_graph_grad(b.g, qkv);
    ready(&b, (tsr_value[]){o, grad}, 2);
    feed(&b, qkv, 1, 3.0f);
    feed(&b, r, 2, 1.0f);
    assert_ok(tsr_exec_run(b.x));
    expect(&b, o, attention_out, COUNT(attention_out), 1e-6);
    expect(&b, grad, attention_grad, COUNT(attention_grad), 2e-6);
    stop(&b);
}

static void check_conv(void)
{
    bench b;
    tsr_value r;
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = INPUT(&b, 2, 4, 6, 7), w = INPUT(&b, 6, 2, 3, 2), bias = INPUT(&b, 6);
    tsr_value y = tsr_conv2d(b.g, x, w, bias, (tsr_conv_spec){2, 1, 2});
    tsr_value dx = INPUT(&b, 1, 2, 9, 8), dw = INPUT(&b, 2, 1, 7, 7);
    tsr_value depthwise = tsr_conv2d(b.g, dx, dw, TSR_NONE, (tsr_conv_spec){1, 3, 2});
    tsr_graph_backward(b.g, weighted(&b, y, &r));
    tsr_value gx = tsr_graph_grad(b.g, x), gw = tsr_graph_grad(b.g, w);
    tsr_value gb = tsr_graph_grad(b.g, bias);
    ready(&b, (tsr_value[]){y, gx, gw, gb, depthwise}, 5);
    feed(&b, x, 3, 1.0f);
    feed(&b, w, 4, 1.0f);
    feed(&b, bias, 5, 1.0f);
    feed(&b, r, 6, 1.0f);
    feed(&b, dx, 7, 1.0f);
    feed(&b, dw, 8, 1.0f);
    assert_ok(tsr_exec_run(b.x));
    expect(&b, y, conv_out, COUNT(conv_out), 2e-6);
    expect(&b, gx, conv_grad_x, COUNT(conv_grad_x), 2e-6);
    expect(&b, gw, conv_grad_w, COUNT(conv_grad_w), 4e-6);
    expect(&b, gb, conv_grad_b, COUNT(conv_grad_b), 2e-6);
    expect(&b, depthwise, depthwise_out, COUNT(depthwise_out), 4e-6);
    stop(&b);
}

static void check_bicubic(void)
{
    bench b;
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = INPUT(&b, 1, 2, 7, 5), y = tsr_resample(b.g, x, 3, 8);
    tsr_value z = INPUT(&b, 1, 1, 8, 8), half = tsr_resample(b.g, z, 4, 4);
    assert_int_equal(tsr_resample(b.g, z, 8, 8), z);
    ready(&b, (tsr_value[]){y, half}, 2);
    feed(&b, x, 9, 1.0f);
    feed(&b, z, 10, 1.0f);
    assert_ok(tsr_exec_run(b.x));
    expect(&b, y, bicubic_out, COUNT(bicubic_out), 1e-6);
    expect(&b, half, bicubic_half, COUNT(bicubic_half), 5e-7);
    stop(&b);
}

static void check_rows(void)
{
    static const int32_t ids[] = {3, 0, -100, 6, 3};
    bench b;
    start(&b, TSR_PRECISION_FP32);
    tsr_value p = INPUT(&b, 5, 7), w = INPUT(&b, 7), c = INPUT(&b, 7), t = INPUT(&b, 5, 7);
    tsr_value i = tsr_input(b.g, "ids", TSR_I32, 1, (size_t[]){5});
    tsr_value norm = tsr_layer_norm(b.g, p, w, c, 1e-6f), gelu = tsr_gelu(b.g, tsr_scale(b.g, p, 4.0f));
    tsr_value loss = tsr_smooth_l1(b.g, p, t, TSR_NONE, 0.7f);
    loss = tsr_add(b.g, loss, tsr_mse(b.g, p, t, TSR_NONE));
    loss = tsr_add(b.g, loss, tsr_l1(b.g, p, t, TSR_NONE));
    loss = tsr_add(b.g, loss, tsr_cosine_loss(b.g, p, t, TSR_NONE));
    loss = tsr_add(b.g, loss, tsr_softmax_cross_entropy(b.g, tsr_scale(b.g, p, 8.0f), i, TSR_NONE));
    tsr_graph_backward(b.g, loss);
    tsr_value grad = tsr_graph_grad(b.g, p);
    ready(&b, (tsr_value[]){norm, gelu, loss, grad}, 4);
    feed(&b, p, 11, 1.0f);
    feed(&b, w, 12, 1.0f);
    feed(&b, c, 13, 1.0f);
    feed(&b, t, 14, 1.0f);
    memcpy(tsr_exec_input(b.x, i), ids, sizeof ids);
    assert_ok(tsr_exec_run(b.x));
    expect(&b, norm, norm_out, COUNT(norm_out), 1e-6);
    expect(&b, gelu, gelu_out, COUNT(gelu_out), 5e-7);
    expect(&b, loss, losses, COUNT(losses), 1e-6);
    expect(&b, grad, losses_grad, COUNT(losses_grad), 1e-6);
    stop(&b);
}

static void values_are_those_of_pytorch(void **state)
{
    (void)state;
    for (int level = 0; level <= TSR_CPU_AVX512; level++) {
        tsr_cpu_limit((tsr_cpu_level)level);
        check_attention();
        check_conv();
        check_bicubic();
        check_rows();
    }
    tsr_cpu_limit(TSR_CPU_AVX512);
}

/* A result of sample 2 of many must be the bytes of the sample alone, for any number of threads. */
static void run_samples(size_t batch, size_t first, tsr_precision p, float *out, size_t *count)
{
    enum { N = 70, D = 96 };
    bench b;
    tsr_attention_spec s = TSR_ATTENTION(3);
    start(&b, p);
    tsr_value x = INPUT(&b, batch, N, 3 * D);
    tsr_value o = tsr_self_attention(b.g, tsr_scale(b.g, x, 1.0f), &s);
    o = tsr_gelu(b.g, tsr_layer_norm(b.g, o, TSR_NONE, TSR_NONE, 1e-6f));
    tsr_value image = tsr_unpatchify(b.g, o, 7, 10, 1), w = INPUT(&b, D, 1, 3, 3);
    o = tsr_conv2d(b.g, image, w, TSR_NONE, (tsr_conv_spec){1, 1, D});
    tsr_value codes = INPUT(&b, 300, D);
    tsr_value ids = tsr_nearest(b.g, tsr_patchify(b.g, o, 1), codes, TSR_METRIC_COSINE);
    ready(&b, (tsr_value[]){o, ids}, 2);
    float *all;
    assert_ok(tsr_alloc(&all, (first + batch) * N * 3 * D, sizeof *all));
    numbers(all, 21, (first + batch) * N * 3 * D, 2.0f);
    memcpy(tsr_exec_input(b.x, x), all + first * N * 3 * D, batch * N * 3 * D * sizeof *all);
    feed(&b, w, 22, 1.0f);
    feed(&b, codes, 23, 1.0f);
    assert_ok(tsr_exec_run(b.x));
    size_t at = (2 - first) * N;
    memcpy(out, (const float *)tsr_exec_value(b.x, o) + at * D, N * D * sizeof *out);
    memcpy(out + N * D, (const int32_t *)tsr_exec_value(b.x, ids) + at, N * sizeof *out);
    *count = N * D + N;
    tsr_free(all);
    stop(&b);
}

static void samples_do_not_see_their_batch(void **state)
{
    static float want[70 * 97], got[70 * 97];
    size_t n;
    (void)state;
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        tsr_par_set_threads(1);
        run_samples(1, 2, (tsr_precision)p, want, &n);
        for (int threads = 1; threads <= 4; threads *= 2) {
            tsr_par_set_threads(threads);
            run_samples(5, 0, (tsr_precision)p, got, &n);
            assert_memory_equal(got, want, n * sizeof *got);
        }
    }
    tsr_par_set_threads(0);
}

/* The graph must refuse, and its sentence must contain `word`. */
#define REFUSES(word, expr)                                                                        \
    do {                                                                                           \
        bench b;                                                                                   \
        start(&b, TSR_PRECISION_FP32);                                                             \
        tsr_graph *g = b.g;                                                                        \
        tsr_value x3 = INPUT(&b, 2, 6, 12), x2 = INPUT(&b, 4, 5), x4 = INPUT(&b, 1, 2, 6, 6);       \
        tsr_value i = tsr_input(g, "i", TSR_I32, 1, (size_t[]){4});                                \
        tsr_attention_spec s = TSR_ATTENTION(5);                                                   \
        (void)x3, (void)x2, (void)x4, (void)i, (void)s;                                            \
        assert_int_equal((expr), TSR_NONE);                                                        \
        assert_int_not_equal(tsr_graph_check(g), TSR_OK);                                          \
        if (!strstr(tsr_error(), word))                                                            \
            fail_msg("\"%s\" does not say \"%s\"", tsr_error(), word);                             \
        tsr_graph_destroy(g);                                                                      \
    } while (0)

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    REFUSES("I32", tsr_gelu(g, i));
    REFUSES("[2, 6, 12]", tsr_silu_gate(g, x2, x3));
    REFUSES("weight", tsr_layer_norm(g, x3, x2, TSR_NONE, 1e-6f));
    REFUSES("missing", tsr_normalize(g, TSR_NONE, 1e-6f));
    REFUSES("heads", tsr_self_attention(g, x3, &s));
    REFUSES("dimensions", tsr_self_attention(g, x2, &TSR_ATTENTION(1)));
    REFUSES("kv", tsr_cross_attention(g, x3, x3, &TSR_ATTENTION(2)));
    REFUSES("ids", tsr_embedding(g, x2, x2));
    REFUSES("table", tsr_embedding(g, x3, i));
    REFUSES("patches of 4", tsr_patchify(g, x4, 4));
    REFUSES("patches of 0", tsr_patchify(g, x4, 0));
    REFUSES("tokens", tsr_unpatchify(g, x3, 2, 2, 1));
    REFUSES("features", tsr_unpatchify(g, x3, 2, 3, 5));
    REFUSES("result of 0", tsr_resample(g, x4, 0, 3));
    REFUSES("channels", tsr_conv2d(g, x4, x4, TSR_NONE, (tsr_conv_spec){1, 0, 2}));
    REFUSES("larger", tsr_conv2d(g, INPUT(&b, 1, 2, 3, 3), x4, TSR_NONE, (tsr_conv_spec){1, 0, 1}));
    REFUSES("stride 0", tsr_conv2d(g, x4, x4, TSR_NONE, (tsr_conv_spec){0, 0, 1}));
    REFUSES("target", tsr_mse(g, x2, x3, TSR_NONE));
    REFUSES("mask", tsr_l1(g, x2, x2, INPUT(&b, 4, 4)));
    REFUSES("beta", tsr_smooth_l1(g, x2, x2, TSR_NONE, 0.0f));
    REFUSES("mask", tsr_cosine_loss(g, x2, x2, x2));
    REFUSES("ids", tsr_softmax_cross_entropy(g, INPUT(&b, 3, 5), i, TSR_NONE));
    REFUSES("codes", tsr_nearest(g, x3, x2, TSR_METRIC_DOT));
}

static void nearest_codes_outside_a_graph(void **state)
{
    static float x[500 * 6], e[40 * 6], score[500];
    int32_t ids[500];
    tsr_nearest_block b = {x, e, 500, 6, 40, TSR_METRIC_EUCLID, ids, score};
    (void)state;
    numbers(x, 31, COUNT(x), 1.0f);
    numbers(e, 32, COUNT(e), 1.0f);
    assert_ok(tsr_nearest_codes(&b));
    for (size_t r = 0; r < 500; r++) {
        double best = 1e30;
        int at = -1;
        for (int k = 0; k < 40; k++) {
            double d = 0;
            for (int c = 0; c < 6; c++)
                d += pow((double)x[r * 6 + (size_t)c] - (double)e[k * 6 + c], 2);
            if (d < best)
                best = d, at = k;
        }
        assert_int_equal(ids[r], at);
    }
    b.k = 0;
    assert_fails(TSR_EARG, tsr_nearest_codes(&b));
    b.k = 40, b.rows = 0;
    assert_ok(tsr_nearest_codes(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_pytorch),
        cmocka_unit_test(samples_do_not_see_their_batch),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(nearest_codes_outside_a_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

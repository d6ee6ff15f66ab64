/* SPDX-License-Identifier: Apache-2.0
 * Operations on images whose pixels are rows of channels, against other ways to the same numbers. */
#include "testing.h"

#include "base/mem.h"
#include "base/par.h"
#include "nn/layers.h"
#include "nn/rowimage.h"

#include <math.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void numbers(float *x, uint64_t seed, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)((i + 1) * 2654435761u + seed * 40503u * 65537u);
        u ^= u >> 15;
        u *= 2246822519u;
        x[i] = scale * (float)((double)(u ^ u >> 13) / 2147483648.0 - 1.0);
    }
}

/* A graph of one or two results, run once. */
typedef struct bench {
    tsr_params *ps;
    tsr_graph *g;
    tsr_exec *x;
} bench;

static tsr_value weight(bench *b, const char *name, int ndim, const size_t *shape, float scale)
{
    tsr_param *p;
    assert_ok(tsr_params_add(b->ps, name, TSR_PARAM_TRAIN, ndim, shape, &p));
    numbers(p->value, tsr_params_count(b->ps), p->count, scale);
    return tsr_weight(b->g, name);
}

static void start(bench *b, tsr_precision precision)
{
    assert_ok(tsr_params_create(&b->ps));
    assert_ok(tsr_graph_create(b->ps, precision, &b->g));
}

static void ready(bench *b)
{
    assert_ok(tsr_graph_check(b->g));
    assert_ok(tsr_exec_create(b->g, &b->x));
    tsr_exec_poison(b->x, 1);
}

static void finish(bench *b)
{
    tsr_exec_destroy(b->x);
    tsr_graph_destroy(b->g);
    tsr_params_destroy(b->ps);
}

/* Largest difference, relative to the largest value. */
static double difference(const float *a, const float *b, size_t n)
{
    double worst = 0, size = 1e-6;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        size = fmax(size, fabs((double)b[i]));
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst / size;
}

/* --- convolution --- */

typedef struct conv_case {
    size_t b, c, o, kh, kw;
    tsr_row_conv spec;
    int bias, add;
} conv_case;

static const conv_case conv_cases[] = {
    {1, 1, 1, 1, 1, {1, 1, 1, 0}, 0, 0},
    {2, 16, 24, 3, 3, {9, 7, 1, 1}, 1, 0},
    {1, 32, 160, 3, 3, {14, 14, 1, 1}, 1, 1},
    {2, 8, 128, 3, 3, {10, 12, 2, 1}, 1, 1},
    {1, 20, 40, 3, 3, {7, 5, 2, 1}, 0, 1},
    {3, 6, 17, 4, 4, {16, 8, 4, 0}, 1, 0},
    {1, 5, 3, 5, 3, {6, 40, 1, 2}, 1, 0},
    {1, 4, 4, 1, 1, {6, 6, 2, 0}, 1, 0},
    {1, 64, 32, 3, 3, {40, 48, 1, 1}, 1, 1},
    {1, 3, 5, 2, 2, {5, 300, 3, 3}, 0, 0},
};

/* The result by tsr_conv_rows and by tsr_conv2d, both as rows. [2][n] */
static size_t run_conv(const conv_case *t, tsr_precision precision, float **out)
{
    bench b;
    size_t h = t->spec.height, w = t->spec.width;
    start(&b, precision);
    const size_t kernel[] = {t->o, t->c, t->kh, t->kw};
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){t->b, h * w, t->c});
    tsr_value k = weight(&b, "w", 4, kernel, 0.3f), bias = TSR_NONE, add = TSR_NONE;
    size_t n = ((h + 2 * t->spec.pad - t->kh) / t->spec.stride + 1) *
               ((w + 2 * t->spec.pad - t->kw) / t->spec.stride + 1);
    if (t->bias)
        bias = weight(&b, "b", 1, &t->o, 1);
    if (t->add)
        add = tsr_input(b.g, "add", TSR_F32, 3, (size_t[]){t->b, n, t->o});
    tsr_value y = tsr_conv_rows(b.g, x, k, bias, add, t->spec);
    tsr_value planes = tsr_unpatchify(b.g, x, (int)h, (int)w, 1);
    const tsr_conv_spec spec = {(int)t->spec.stride, (int)t->spec.pad, 1};
    tsr_value r = tsr_patchify(b.g, tsr_conv2d(b.g, planes, k, bias, spec), 1);
    if (t->add)
        r = tsr_add(b.g, r, add);
    tsr_graph_output(b.g, y);
    tsr_graph_output(b.g, r);
    ready(&b);
    numbers(tsr_exec_input(b.x, x), 7, t->b * h * w * t->c, 1);
    if (t->add)
        numbers(tsr_exec_input(b.x, add), 8, t->b * n * t->o, 1);
    assert_ok(tsr_exec_run(b.x));
    n *= t->b * t->o;
    assert_int_equal(n, tsr_value_count(b.g, y));
    assert_ok(tsr_alloc(out, 2 * n, sizeof **out));
    memcpy(*out, tsr_exec_value(b.x, y), n * sizeof **out);
    memcpy(*out + n, tsr_exec_value(b.x, r), n * sizeof **out);
    finish(&b);
    return n;
}

static void convolutions_agree_with_planes(void **state)
{
    (void)state;
    double worst[2] = {0, 0};
    for (size_t i = 0; i < COUNT(conv_cases); i++)
        for (int p = 0; p < 2; p++) {
            float *y;
            size_t n = run_conv(&conv_cases[i], p ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32, &y);
            double d = difference(y, y + n, n);
            if (!(d < (p ? 2e-2 : 2e-6)))
                fail_msg("case %zu in %s: %g", i, p ? "bf16" : "fp32", d);
            worst[p] = fmax(worst[p], d);
            tsr_free(y);
        }
    print_message("conv_rows: fp32 within %.1e, bf16 within %.1e of the largest value\n", worst[0],
                  worst[1]);
}

static void convolutions_do_not_depend_on_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(conv_cases); i++)
        for (int p = 0; p < 2; p++) {
            float *y[3];
            size_t n = 0;
            for (int t = 0; t < 3; t++) {
                tsr_par_set_threads(1 << t);
                n = run_conv(&conv_cases[i], p ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32, &y[t]);
            }
            tsr_par_set_threads(0);
            assert_memory_equal(y[0], y[1], n * sizeof **y);
            assert_memory_equal(y[0], y[2], n * sizeof **y);
            for (int t = 0; t < 3; t++)
                tsr_free(y[t]);
        }
}

/* The second image of a batch is what it is alone. */
static void convolutions_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        float got[2][6 * 6 * 40];
        for (size_t batch = 1; batch <= 2; batch++) {
            bench b;
            float pixels[2 * 36 * 24];
            start(&b, p ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32);
            tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){batch, 36, 24});
            tsr_value y = tsr_conv_rows(b.g, x, weight(&b, "w", 4, (size_t[]){40, 24, 3, 3}, 1),
                                        TSR_NONE, TSR_NONE, (tsr_row_conv){6, 6, 1, 1});
            tsr_graph_output(b.g, y);
            ready(&b);
            numbers(pixels, 3, COUNT(pixels), 1);
            memcpy(tsr_exec_input(b.x, x), pixels + (2 - batch) * 36 * 24,
                   batch * 36 * 24 * sizeof *pixels);
            assert_ok(tsr_exec_run(b.x));
            memcpy(got[batch - 1], (const float *)tsr_exec_value(b.x, y) + (batch - 1) * 36 * 40,
                   sizeof got[0]);
            finish(&b);
        }
        assert_memory_equal(got[0], got[1], sizeof got[0]);
    }
}

/* --- group norm --- */

static void check_norm(size_t batch, size_t n, size_t c, size_t groups, tsr_act act, float offset)
{
    bench b;
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){batch, n, c});
    tsr_value scale = weight(&b, "w", 1, &c, 1), shift = weight(&b, "b", 1, &c, 1);
    tsr_value y = tsr_group_norm(b.g, x, scale, shift, (tsr_group_norm_spec){groups, 1e-5f, act});
    tsr_graph_output(b.g, y);
    ready(&b);
    float *in = tsr_exec_input(b.x, x), *want;
    numbers(in, 5, batch * n * c, 1);
    for (size_t i = 0; i < batch * n * c; i++)
        in[i] += offset;
    assert_ok(tsr_exec_run(b.x));
    assert_ok(tsr_alloc(&want, batch * n * c, sizeof *want));
    const float *w = tsr_params_at(b.ps, 0)->value, *bias = tsr_params_at(b.ps, 1)->value;
    size_t each = c / groups;
    for (size_t i = 0; i < batch * groups; i++) {
        double mean = 0, var = 0;
        size_t first = i / groups * n * c + i % groups * each;
        for (int pass = 0; pass < 3; pass++)
            for (size_t r = 0; r < n; r++)
                for (size_t j = 0; j < each; j++) {
                    size_t at = first + r * c + j, channel = i % groups * each + j;
                    double v = (double)in[at];
                    if (pass == 0)
                        mean += v / (double)(n * each);
                    if (pass == 1)
                        var += (v - mean) * (v - mean) / (double)(n * each);
                    v = (v - mean) / sqrt(var + 1e-5) * (double)w[channel] + (double)bias[channel];
                    if (pass == 2)
                        want[at] = (float)(act == TSR_ACT_SILU ? v / (1 + exp(-v)) : v);
                }
    }
    double d = difference(tsr_exec_value(b.x, y), want, batch * n * c);
    if (!(d < 3e-5))
        fail_msg("[%zu, %zu, %zu] in %zu groups: %g", batch, n, c, groups, d);
    tsr_free(want);
    finish(&b);
}

static void group_norm_is_that_of_the_formula(void **state)
{
    (void)state;
    check_norm(1, 1, 32, 1, TSR_ACT_NONE, 0);
    check_norm(2, 49, 64, 32, TSR_ACT_SILU, 0);
    check_norm(1, 700, 96, 32, TSR_ACT_NONE, 0);
    check_norm(3, 300, 30, 5, TSR_ACT_SILU, 0.5f);
    check_norm(1, 784, 32, 32, TSR_ACT_NONE, 50); /* a mean 90 times the deviation */
}

/* --- the others --- */

static void nearest_pixels(void **state)
{
    (void)state;
    bench b;
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){2, 3 * 5, 4});
    tsr_value up = tsr_nearest_rows(b.g, x, (tsr_row_resize){3, 5, 6, 10});
    tsr_value odd = tsr_nearest_rows(b.g, x, (tsr_row_resize){3, 5, 4, 3});
    tsr_graph_output(b.g, up);
    tsr_graph_output(b.g, odd);
    ready(&b);
    float *in = tsr_exec_input(b.x, x);
    numbers(in, 5, 2 * 15 * 4, 1);
    assert_ok(tsr_exec_run(b.x));
    const float *a = tsr_exec_value(b.x, up), *c = tsr_exec_value(b.x, odd);
    for (size_t i = 0; i < 2; i++) {
        for (size_t p = 0; p < 60; p++)
            assert_memory_equal(a + (i * 60 + p) * 4,
                                in + (i * 15 + p / 10 / 2 * 5 + p % 10 / 2) * 4, 16);
        static const size_t row[] = {0, 0, 1, 2}, column[] = {0, 1, 3};
        for (size_t p = 0; p < 12; p++)
            assert_memory_equal(c + (i * 12 + p) * 4, in + (i * 15 + row[p / 3] * 5 + column[p % 3]) * 4,
                                16);
    }
    finish(&b);
}

static void wide_heads_attend_like_narrow_ones(void **state)
{
    (void)state;
    bench b;
    start(&b, TSR_PRECISION_FP32);
    const tsr_attention_spec spec = TSR_ATTENTION(1);
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){2, 77, 3 * 64});
    tsr_value y = tsr_wide_attention(b.g, x), r = tsr_self_attention(b.g, x, &spec);
    tsr_graph_output(b.g, y);
    tsr_graph_output(b.g, r);
    ready(&b);
    numbers(tsr_exec_input(b.x, x), 5, 2 * 77 * 192, 2);
    assert_ok(tsr_exec_run(b.x));
    assert_true(difference(tsr_exec_value(b.x, y), tsr_exec_value(b.x, r), 2 * 77 * 64) < 2e-6);
    finish(&b);
}

/* With equal keys the result is the mean of the values. */
static void heads_of_any_width(void **state)
{
    (void)state;
    bench b;
    enum { N = 50, D = 512 };
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){1, N, 3 * D});
    tsr_value y = tsr_wide_attention(b.g, x);
    tsr_graph_output(b.g, y);
    ready(&b);
    float *in = tsr_exec_input(b.x, x);
    numbers(in, 5, N * 3 * D, 1);
    double mean[D] = {0};
    for (size_t i = 0; i < N; i++) {
        memcpy(in + i * 3 * D + D, in + D, D * sizeof *in);
        for (size_t j = 0; j < D; j++)
            mean[j] += (double)in[i * 3 * D + 2 * D + j] / N;
    }
    assert_ok(tsr_exec_run(b.x));
    const float *out = tsr_exec_value(b.x, y);
    for (size_t i = 0; i < N * D; i++)
        assert_true(fabs((double)out[i] - mean[i % D]) < 1e-6);
    finish(&b);
}

static void linear_maps_the_other_way_round(void **state)
{
    (void)state;
    bench b;
    enum { R = 30, K = 20, N = 48 };
    start(&b, TSR_PRECISION_FP32);
    tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){1, R, K});
    tsr_value y = tsr_linear_transposed(b.g, x, weight(&b, "w", 2, (size_t[]){K, N}, 1));
    tsr_graph_output(b.g, y);
    ready(&b);
    const float *in = tsr_exec_input(b.x, x), *w = tsr_params_at(b.ps, 0)->value;
    numbers(tsr_exec_input(b.x, x), 5, R * K, 1);
    assert_ok(tsr_exec_run(b.x));
    const float *out = tsr_exec_value(b.x, y);
    for (size_t i = 0; i < R * N; i++) {
        double sum = 0;
        for (size_t k = 0; k < K; k++)
            sum += (double)in[i / N * K + k] * (double)w[k * N + i % N];
        assert_true(fabs(sum - (double)out[i]) < 1e-5);
    }
    finish(&b);
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    static const tsr_row_conv bad[] = {
        {4, 5, 1, 1}, {5, 5, 0, 1}, {5, 5, 1, 65}, {25, 1, 1, 0}, {0, 25, 1, 1}};
    for (size_t i = 0; i < COUNT(bad) + 6; i++) {
        bench b;
        start(&b, TSR_PRECISION_FP32);
        tsr_value x = tsr_input(b.g, "x", TSR_F32, 3, (size_t[]){1, 25, 8});
        tsr_value w = weight(&b, "w", 4, (size_t[]){4, 8, 3, 3}, 1);
        tsr_value v = weight(&b, "v", 1, (size_t[]){8}, 1);
        const tsr_row_conv ok = {5, 5, 1, 1};
        if (i < COUNT(bad))
            tsr_conv_rows(b.g, x, w, TSR_NONE, TSR_NONE, bad[i]);
        else if (i == COUNT(bad))
            tsr_conv_rows(b.g, x, w, v, TSR_NONE, ok);
        else if (i == COUNT(bad) + 1)
            tsr_conv_rows(b.g, x, w, TSR_NONE, x, ok);
        else if (i == COUNT(bad) + 2)
            tsr_group_norm(b.g, x, v, v, (tsr_group_norm_spec){3, 1e-5f, TSR_ACT_NONE});
        else if (i == COUNT(bad) + 3)
            tsr_nearest_rows(b.g, x, (tsr_row_resize){5, 4, 10, 8});
        else if (i == COUNT(bad) + 4)
            tsr_wide_attention(b.g, x);
        else
            tsr_group_norm(b.g, x, v, v, (tsr_group_norm_spec){4, 1e-5f, TSR_ACT_GELU});
        assert_fails(TSR_EMISMATCH, tsr_graph_check(b.g));
        tsr_graph_destroy(b.g);
        tsr_params_destroy(b.ps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree_with_planes),
        cmocka_unit_test(convolutions_do_not_depend_on_threads),
        cmocka_unit_test(convolutions_do_not_depend_on_the_batch),
        cmocka_unit_test(group_norm_is_that_of_the_formula),
        cmocka_unit_test(nearest_pixels),
        cmocka_unit_test(wide_heads_attend_like_narrow_ones),
        cmocka_unit_test(heads_of_any_width),
        cmocka_unit_test(linear_maps_the_other_way_round),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

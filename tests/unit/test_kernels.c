/* SPDX-License-Identifier: Apache-2.0
 * Kernels at every CPU level against formulas in double precision. */
#include "testing.h"

#include "base/mem.h"
#include "base/rng.h"
#include "nn/bf16.h"
#include "nn/kernels.h"

#include <math.h>

#define EACH_LEVEL(k)                                                                              \
    for (int level_ = 0; level_ < 3; level_++)                                                     \
        for (const tsr_kernels *k = tsr_kernels_at(level_); k; k = NULL)

static void fill(float *x, size_t n, uint64_t index, float spread)
{
    tsr_rng r;
    tsr_rng_init(&r, 7, TSR_RNG_TEST, index);
    for (size_t i = 0; i < n; i++)
        x[i] = spread * tsr_rng_normal(&r);
}

static float *floats(size_t n)
{
    float *p;
    assert_ok(tsr_alloc(&p, n, sizeof *p));
    return p;
}

/* Distance of y from the exact value in units of the last place of the exact value. */
static double ulps(float y, double exact)
{
    float f = (float)exact;
    double step = (double)nextafterf(fabsf(f), INFINITY) - (double)fabsf(f);
    return fabs((double)y - exact) / step;
}

static double exact_map(tsr_map f, double x)
{
    switch (f) {
    case TSR_MAP_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    case TSR_MAP_TANH: return tanh(x);
    case TSR_MAP_SILU: return x / (1.0 + exp(-x));
    case TSR_MAP_SIGMOID: return 1.0 / (1.0 + exp(-x));
    case TSR_MAP_EXP: return exp(x);
    }
    return NAN;
}

static void maps_are_accurate(void **state)
{
    /* ulp where the result is normal; GELU: absolute error in units of 6e-8 (its tail is tiny). */
    static const double bound[] = {2.5, 3.0, 4.0, 3.0, 2.0};
    enum { N = 40001 };
    float *x = floats(N), *y = floats(N);
    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = -20.0f + 0.001f * (float)i;
    EACH_LEVEL(k)
    for (int f = TSR_MAP_GELU; f <= TSR_MAP_EXP; f++) {
        double worst = 0.0;
        k->map((tsr_map)f, y, x, N);
        for (size_t i = 0; i < N; i++) {
            double exact = exact_map((tsr_map)f, x[i]);
            double e = f == TSR_MAP_GELU ? fabs(y[i] - exact) / 6e-8 / fmax(1.0, fabs(exact))
                                         : ulps(y[i], exact);
            worst = fmax(worst, e);
        }
        print_message("%s map %d: %.2f\n", k->name, f, worst);
        assert_true(worst <= bound[f]);
    }
    tsr_free(x);
    tsr_free(y);
}

static void maps_at_the_edges(void **state)
{
    static const float x[] = {-INFINITY, INFINITY, 0.0f, -0.0f, 88.8f, -104.0f, 1e30f, NAN, -100.0f};
    enum { N = 9 };
    float y[N];
    (void)state;
    EACH_LEVEL(k)
    {
        k->map(TSR_MAP_EXP, y, x, N);
        assert_true(y[0] == 0.0f && y[1] == INFINITY && y[2] == 1.0f && y[3] == 1.0f);
        assert_true(y[4] == INFINITY && y[6] == INFINITY && isnan(y[7]));
        assert_true(y[8] > 0.0f && y[8] < 1e-43f);
        k->map(TSR_MAP_TANH, y, x, N);
        assert_true(y[0] == -1.0f && y[1] == 1.0f && y[2] == 0.0f && isnan(y[7]));
        k->map(TSR_MAP_SIGMOID, y, x, N);
        assert_true(y[0] == 0.0f && y[1] == 1.0f && y[2] == 0.5f && isnan(y[7]));
        k->map(TSR_MAP_GELU, y, x, N);
        assert_true(y[4] == 88.8f && y[5] == 0.0f && y[6] == 1e30f && isnan(y[7]));
        k->map(TSR_MAP_GELU, y, x, 0);
    }
}

static void map_gradients_match_differences(void **state)
{
    enum { N = 203 };
    float x[N], dy[N], dx[N];
    (void)state;
    fill(x, N, 1, 2.0f);
    fill(dy, N, 2, 1.0f);
    EACH_LEVEL(k)
    for (int f = TSR_MAP_GELU; f <= TSR_MAP_EXP; f++) {
        k->map_grad((tsr_map)f, dx, x, dy, N);
        for (size_t i = 0; i < N; i++) {
            double h = 1e-5, slope = (exact_map((tsr_map)f, x[i] + h) -
                                      exact_map((tsr_map)f, x[i] - h)) / (2.0 * h);
            assert_true(fabs(dx[i] - slope * dy[i]) < 2e-6 * (1.0 + fabs(slope)));
        }
    }
}

static void gate_and_its_gradient(void **state)
{
    enum { N = 37 };
    float a[N], b[N], y[N], dy[N], da[N], db[N];
    (void)state;
    fill(a, N, 3, 2.0f);
    fill(b, N, 4, 2.0f);
    fill(dy, N, 5, 1.0f);
    EACH_LEVEL(k)
    {
        k->gate(&(tsr_gate){N, a, b, y, TSR_F32, TSR_F32, TSR_F32});
        k->gate_grad(&(tsr_gate_slopes){N, a, b, dy, da, db, TSR_F32, TSR_F32, TSR_F32, TSR_F32,
                                        TSR_F32});
        for (size_t i = 0; i < N; i++) {
            double s = 1.0 / (1.0 + exp(-(double)a[i]));
            assert_true(fabs(y[i] - a[i] * s * b[i]) < 2e-6);
            assert_true(fabs(db[i] - dy[i] * a[i] * s) < 2e-6);
            assert_true(fabs(da[i] - dy[i] * b[i] * (s + a[i] * s * (1.0 - s))) < 4e-6);
        }
    }
}

/* Maps as parts of a layer: with a bias, the sums kept, stored as float32 or bf16. */
static void maps_of_layers(void **state)
{
    enum { N = 1003 };
    float x[N], b[N], dy[N], sums[N], y[N], want[N], dx[N];
    tsr_bf16 half_sums[N], half[N];
    (void)state;
    fill(x, N, 21, 3.0f);
    fill(b, N, 22, 1.0f);
    fill(dy, N, 23, 1.0f);
    x[0] = -40.0f, x[1] = 12.0f, x[2] = NAN;
    EACH_LEVEL(k)
    for (int f = TSR_MAP_GELU; f <= TSR_MAP_SIGMOID; f++) {
        double near = f == TSR_MAP_GELU ? 2e-4 : 0.0;
        k->map_sums(&(tsr_map_sums){(tsr_map)f, N, x, b, sums, y, TSR_F32, TSR_F32});
        k->map_sums(&(tsr_map_sums){(tsr_map)f, N, x, b, half_sums, half, TSR_BF16, TSR_BF16});
        for (size_t i = 0; i < N; i++) {
            want[i] = x[i] + b[i];
            assert_true(isnan(x[i]) ? isnan(sums[i]) : sums[i] == want[i]);
            assert_int_equal(half_sums[i], tsr_float_bf16(sums[i]));
        }
        k->map((tsr_map)f, want, want, N);
        for (size_t i = 0; i < N; i++) {
            double bf16 = fabs(want[i]) / 256 + (fabs(sums[i]) > 12 ? 4e-4 : near);
            assert_true(isnan(x[i]) ? isnan(y[i]) && isnan(tsr_bf16_float(half[i]))
                                    : y[i] == want[i] &&
                                          fabs(tsr_bf16_float(half[i]) - want[i]) <= bf16);
        }
        k->map_slopes(&(tsr_map_slopes){(tsr_map)f, N, x, dy, dx, TSR_F32, TSR_F32, TSR_F32});
        k->map_slopes(&(tsr_map_slopes){(tsr_map)f, N, x, dy, half, TSR_F32, TSR_F32, TSR_BF16});
        k->map_grad((tsr_map)f, want, x, dy, N);
        for (size_t i = 0; i < N; i++)
            assert_true(isnan(x[i]) ? isnan(dx[i]) && isnan(tsr_bf16_float(half[i]))
                                    : dx[i] == want[i] &&
                                          fabs(tsr_bf16_float(half[i]) - want[i]) <=
                                              fabs(want[i]) / 256 + near * fabs(dy[i]));
    }
}

static void norm_and_its_gradients(void **state)
{
    enum { R = 5, D = 83 };
    float x[R * D], w[D], b[D], y[R * D], stats[2 * R], dy[R * D], dx[R * D], dw[D], db[D];
    float add[R * D];
    tsr_bf16 half[R * D];
    (void)state;
    fill(x, R * D, 6, 3.0f);
    fill(add, R * D, 20, 1.0f);
    fill(w, D, 7, 1.0f);
    fill(b, D, 8, 1.0f);
    fill(dy, R * D, 9, 1.0f);
    EACH_LEVEL(k)
    {
        double gw[D] = {0}, gb[D] = {0};
        tsr_norm_rows n = {R, D, 1e-6f, x, w, b, y, TSR_F32, stats};
        k->norm(&n);
        n.y = half, n.y_type = TSR_BF16;
        k->norm(&n);
        memset(dw, 0, sizeof dw);
        memset(db, 0, sizeof db);
        k->norm_grad(&(tsr_norm_grad_rows){R, D, x, stats, w, dy, TSR_F32, add, dx, dw, db});
        for (size_t r = 0; r < R; r++) {
            double mean = 0, var = 0, mg = 0, mgh = 0;
            for (size_t i = 0; i < D; i++)
                mean += x[r * D + i] / (double)D;
            for (size_t i = 0; i < D; i++)
                var += pow(x[r * D + i] - mean, 2) / D;
            double rstd = 1.0 / sqrt(var + 1e-6);
            for (size_t i = 0; i < D; i++) {
                double h = (x[r * D + i] - mean) * rstd, g = (double)dy[r * D + i] * w[i];
                assert_true(fabs(y[r * D + i] - (h * w[i] + b[i])) < 3e-6);
                mg += g / D, mgh += g * h / D;
                assert_int_equal(half[r * D + i], tsr_float_bf16(y[r * D + i]));
                gw[i] += dy[r * D + i] * h;
                gb[i] += dy[r * D + i];
            }
            for (size_t i = 0; i < D; i++) {
                double h = (x[r * D + i] - mean) * rstd, g = (double)dy[r * D + i] * w[i];
                assert_true(fabs(dx[r * D + i] - add[r * D + i] - rstd * (g - mg - h * mgh)) < 3e-6);
            }
        }
        for (size_t i = 0; i < D; i++)
            assert_true(fabs(dw[i] - gw[i]) < 1e-5 && fabs(db[i] - gb[i]) < 1e-5);
        /* the same from dy stored as bf16, alone: no add, no dx */
        float exact[R * D], dw2[D] = {0};
        tsr_bf16 dy_half[R * D];
        for (size_t i = 0; i < R * D; i++)
            exact[i] = tsr_bf16_float(dy_half[i] = tsr_float_bf16(dy[i]));
        memset(dw, 0, sizeof dw);
        k->norm_grad(&(tsr_norm_grad_rows){R, D, x, stats, w, dy_half, TSR_BF16, .dw = dw});
        k->norm_grad(&(tsr_norm_grad_rows){R, D, x, stats, w, exact, TSR_F32, .dw = dw2});
        assert_memory_equal(dw, dw2, sizeof dw);
    }
}

static void log_sum_exp_of_anything(void **state)
{
    float x[77], odd[3] = {1.0f, NAN, 0.0f}, low[2] = {-INFINITY, -INFINITY};
    double s = 0;
    (void)state;
    fill(x, 77, 10, 30.0f);
    for (size_t i = 0; i < 77; i++)
        s += exp((double)x[i]);
    EACH_LEVEL(k)
    {
        assert_true(fabs(k->log_sum_exp(x, 77) - log(s)) < 1e-5 * fabs(log(s)));
        assert_true(isnan(k->log_sum_exp(odd, 3)));
        assert_true(k->log_sum_exp(low, 2) == -INFINITY && k->log_sum_exp(x, 0) == -INFINITY);
    }
}

static void products_of_odd_sizes(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {13, 50, 7}, {8, 32, 16}, {21, 65, 3}, {2, 16, 0}};
    float *a = floats(64 * 64), *b = floats(64 * 96), *c = floats(64 * 96);
    (void)state;
    fill(a, 64 * 64, 11, 1.0f);
    fill(b, 64 * 96, 12, 1.0f);
    EACH_LEVEL(k)
    for (size_t t = 0; t < 5; t++)
        for (int turned = 0; turned < 2; turned++) {
            tsr_product p = {.m = sizes[t][0], .n = sizes[t][1], .k = sizes[t][2], .a = a, .b = b,
                             .c = c, .a_row = turned ? 1 : 64, .a_col = turned ? 64 : 1,
                             .b_row = 96, .c_row = 96};
            k->product(&p);
            p.accumulate = 1;
            k->product(&p);
            for (size_t i = 0; i < p.m; i++)
                for (size_t j = 0; j < p.n; j++) {
                    double s = 0;
                    for (size_t q = 0; q < p.k; q++)
                        s += (double)a[i * p.a_row + q * p.a_col] * b[q * 96 + j];
                    assert_true(fabs(c[i * 96 + j] - 2 * s) < 1e-5);
                }
        }
    tsr_free(a);
    tsr_free(b);
    tsr_free(c);
}

/* Attention of one query by the formula, in double; adds its gradients of sum(go * o). */
static void exact_query(const tsr_head *h, const tsr_head_span *x, size_t at, double *const out[4])
{
    size_t i = x->q + at, w = h->width;
    const float *q = (const float *)h->q + i * h->q_row, *go = (const float *)h->go + i * h->go_row;
    const float *k = h->k, *v = h->v;
    double *p, *gp, sum = 0, mean = 0;
    assert_ok(tsr_alloc(&p, h->nk, sizeof *p));
    assert_ok(tsr_alloc(&gp, h->nk, sizeof *gp));
    for (size_t j = 0; j < h->nk; j++) {
        double s = 0;
        int seen = j >= x->k && j < x->k + x->nk &&
                   (!x->causal ||
                    (long)(j - x->k) <= (long)(x->at + at) + (long)x->nk - (long)x->of);
        for (size_t c = 0; c < w; c++)
            s += (double)q[c] * k[j * h->k_row + c];
        p[j] = seen ? exp(s * h->scale) : 0.0;
        sum += p[j];
    }
    for (size_t j = 0; j < h->nk; j++) {
        p[j] = sum > 0 ? p[j] / sum : 0.0;
        for (size_t c = 0; c < w; c++) {
            out[0][i * w + c] += p[j] * v[j * h->v_row + c];
            gp[j] += (double)go[c] * v[j * h->v_row + c];
            out[3][j * w + c] += p[j] * go[c];
        }
        mean += p[j] * gp[j];
    }
    for (size_t j = 0; j < h->nk; j++)
        for (size_t c = 0; c < w; c++) {
            double g = p[j] * (gp[j] - mean) * h->scale;
            out[1][i * w + c] += g * k[j * h->k_row + c];
            out[2][j * w + c] += g * q[c];
        }
    tsr_free(p);
    tsr_free(gp);
}

static void expect_close(const float *got, const double *want, size_t n, double bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) < bound))
            fail_msg("value %zu is %g, expected %g", i, got[i], want[i]);
}

/* Bounds of the result and of gradients: by table, a float32 or a bf16 one. */
static void check_spans(const tsr_kernels *k, size_t nq, size_t nk, size_t w,
                        const tsr_head_span *spans, size_t n_spans)
{
    int tiles = strcmp(k->name, "amx") == 0;
    double bound = tiles ? 0.04 : 3e-6, grad_bound = tiles ? 0.04 : 1e-5;
    float *x = floats((nq + 2 * nk) * w + 1), *y = floats((3 * nq + 2 * nk) * w + 1);
    float *gk = y + 3 * nq * w, *gv = gk + nk * w;
    double *want;
    void *scratch;
    assert_ok(tsr_alloc(&want, (2 * nq + 2 * nk) * w + 1, sizeof *want));
    fill(x, (nq + 2 * nk) * w, 13, 1.0f);
    fill(y + nq * w, nq * w, 14, 1.0f);
    tsr_head h = {.spans = spans, .n_spans = n_spans, .nk = nk, .width = w,
                  .scale = 1.0f / sqrtf((float)w), .q = x, .k = x + nq * w,
                  .v = x + (nq + nk) * w, .q_row = w, .k_row = w, .v_row = w, .o = y,
                  .o_row = w, .go = y + nq * w, .go_row = w, .gq = y + 2 * nq * w, .gq_row = w,
                  .gk = gk, .gk_row = w, .gv = gv, .gv_row = w};
    assert_ok(tsr_alloc(&scratch, k->attend_scratch(nk, w), 1));
    k->attend(&h, scratch);
    tsr_free(scratch);
    assert_ok(tsr_alloc(&scratch, k->attend_grad_scratch(nk, w), 1));
    k->attend_grad(&h, scratch);
    for (size_t j = 0; j < n_spans; j++)
        for (size_t i = 0; i < spans[j].nq; i++)
            exact_query(&h, &spans[j], i, (double *[]){want, want + nq * w, want + 2 * nq * w,
                                                       want + (2 * nq + nk) * w});
    expect_close(y, want, nq * w, bound);
    expect_close(h.gq, want + nq * w, nq * w, grad_bound);
    expect_close(gk, want + 2 * nq * w, nk * w, 2 * grad_bound);
    expect_close(gv, want + (2 * nq + nk) * w, nk * w, 2 * grad_bound);
    tsr_free(scratch);
    tsr_free(want);
    tsr_free(x);
    tsr_free(y);
}

static void check_attention(const tsr_kernels *k, size_t nq, size_t nk, size_t w, int causal)
{
    check_spans(k, nq, nk, w,
                &(tsr_head_span){.nq = nq, .nk = nk, .of = nq, .causal = causal}, 1);
}

/* Sequences that share keys, wholly and in part, and one that sees none. */
static void check_shared(const tsr_kernels *k)
{
    const tsr_head_span spans[] = {{.nq = 30, .nk = 100, .of = 30},
                                   {.q = 30, .nq = 5, .k = 7, .nk = 13, .of = 5, .causal = 1},
                                   {.q = 35, .nq = 70, .k = 40, .nk = 60, .of = 80, .causal = 1},
                                   {.q = 105, .nq = 2, .k = 99, .nk = 1, .of = 2},
                                   {.q = 107, .nq = 3, .k = 50, .nk = 0, .of = 3}};
    check_spans(k, 110, 100, 64, spans, 5);
    check_spans(k, 110, 100, 24, spans, 5);
}

static void attention_forward_and_backward(void **state)
{
    (void)state;
    EACH_LEVEL(k)
    {
        check_attention(k, 1, 1, 1, 0);
        check_attention(k, 70, 37, 64, 0);
        check_attention(k, 70, 70, 20, 1);
        check_attention(k, 3, 66, 128, 1);
        check_attention(k, 66, 3, 16, 1);
        check_attention(k, 2, 0, 8, 0);
        check_shared(k);
    }
}

static void attention_in_bf16(void **state)
{
    const tsr_kernels *k = tsr_kernels_get_bf16();
    (void)state;
    check_attention(k, 1, 1, 1, 0);
    check_attention(k, 70, 37, 64, 0);
    check_attention(k, 150, 150, 20, 1);
    check_attention(k, 300, 256, 64, 0);
    check_attention(k, 3, 66, 128, 1);
    check_attention(k, 66, 3, 33, 1);
    check_attention(k, 2, 0, 8, 0);
    check_shared(k);
}

/* Inputs and outputs stored as bf16 give the result of the rounded inputs, rounded. */
static void attention_of_bf16_storage(void **state)
{
    enum { N = 21, W = 23, ROW = 71 };
    float x[N * ROW], y[N * W];
    tsr_bf16 hx[N * ROW], hy[N * W];
    void *scratch;
    (void)state;
    fill(x, N * ROW, 19, 1.0f);
    for (size_t i = 0; i < N * ROW; i++) {
        hx[i] = tsr_float_bf16(x[i]);
        x[i] = tsr_bf16_float(hx[i]);
    }
    for (int level = 0; level < 4; level++) {
        const tsr_kernels *k = level < 3 ? tsr_kernels_at(level) : tsr_kernels_get_bf16();
        if (!k)
            continue;
        tsr_head_span span = {.nq = N, .nk = N, .of = N};
        tsr_head h = {.spans = &span, .n_spans = 1, .nk = N, .width = W, .scale = 0.2f, .q = x,
                      .k = x + W, .v = x + 2 * W, .q_row = ROW, .k_row = ROW, .v_row = ROW, .o = y, .o_row = W};
        assert_ok(tsr_alloc(&scratch, k->attend_scratch(N, W), 1));
        k->attend(&h, scratch);
        h.q = hx, h.k = hx + W, h.v = hx + 2 * W, h.o = hy;
        h.q_type = h.k_type = h.v_type = h.o_type = TSR_BF16;
        k->attend(&h, scratch);
        tsr_free(scratch);
        for (size_t i = 0; i < N * W; i++)
            assert_int_equal(hy[i], tsr_float_bf16(y[i]));
    }
}

/* Layers on tiles against sums in double of the same bf16 values. */
static void check_layer(const tsr_kernels *k, size_t rows, size_t inner, size_t outer, int turned)
{
    size_t all = (rows + 31) / 32 * 32, padded = (outer + 31) / 32 * 32;
    float *w = floats(inner * outer), *b = floats(outer), *y = floats(rows * outer);
    float *x = floats(all * inner), *sums = floats(rows * outer);
    tsr_bf16 *hx, *pack, *half;
    assert_ok(tsr_alloc(&hx, all * inner, sizeof *hx));
    assert_ok(tsr_alloc(&pack, (inner + 31) / 32 * 32 * padded, sizeof *pack));
    assert_ok(tsr_alloc(&half, rows * outer, sizeof *half));
    fill(w, inner * outer, 31, 1.0f);
    fill(b, outer, 32, 1.0f);
    fill(x, rows * inner, 33, 1.0f);
    tsr_bf16_from_floats(hx, x, all * inner);
    k->layer_pack(&(tsr_layer_weight){w, turned ? 1 : outer, turned ? inner : 1, inner, outer}, pack);
    tsr_layer_rows l = {rows, inner, outer, hx, pack, b, 0, TSR_MAP_TANH, NULL, y, TSR_F32, TSR_F32,
                        outer};
    k->layer(&l);
    l.y = half, l.y_type = TSR_BF16;
    k->layer(&l);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < outer; j++) {
            double s = b[j];
            for (size_t p = 0; p < inner; p++) {
                float v = w[turned ? j * inner + p : p * outer + j];
                s += (double)tsr_bf16_float(hx[i * inner + p]) *
                     (double)tsr_bf16_float(tsr_float_bf16(v));
            }
            assert_true(fabs(y[i * outer + j] - s) < 1e-5 * (double)inner);
            assert_int_equal(half[i * outer + j], tsr_float_bf16(y[i * outer + j]));
        }
    for (int f = TSR_MAP_GELU; f <= TSR_MAP_SILU; f++) {
        float *want = x; /* rows * outer values fit */
        assert_true(outer <= inner);
        l = (tsr_layer_rows){rows, inner, outer, hx, pack, b, 1, (tsr_map)f, sums, half, TSR_F32,
                             TSR_BF16, outer};
        k->layer(&l);
        assert_memory_equal(sums, y, rows * outer * sizeof *y);
        for (size_t i = 0; i < rows; i++) {
            tsr_bf16 row[64];
            k->map_sums(&(tsr_map_sums){(tsr_map)f, outer, y + i * outer, NULL, NULL, row, TSR_F32,
                                        TSR_BF16});
            assert_memory_equal(half + i * outer, row, outer * sizeof *row);
        }
        l.y = want, l.y_type = TSR_F32, l.sums = NULL;
        k->layer(&l);
        k->map((tsr_map)f, sums, y, rows * outer);
        for (size_t i = 0; i < rows * outer; i++)
            assert_true(fabs(want[i] - sums[i]) < 1e-6 * (1 + fabs(sums[i])));
    }
    tsr_free(w), tsr_free(b), tsr_free(y), tsr_free(x), tsr_free(sums);
    tsr_free(hx), tsr_free(pack), tsr_free(half);
}

static void check_weight_grad(const tsr_kernels *k, size_t rows, size_t n, size_t cols)
{
    enum { BEYOND = 32 }; /* columns beside the block */
    size_t n_row = n + BEYOND, x_row = cols + BEYOND;
    float *dy = floats(rows * n_row), *x = floats(rows * x_row), *dw = floats(n * cols);
    tsr_bf16 *hdy, *hx, *pack;
    void *scratch;
    assert_ok(tsr_alloc(&pack, (rows + 31) / 32 * 32 * ((cols + 31) / 32 * 32), sizeof *pack));
    assert_ok(tsr_alloc(&hdy, rows * n_row, sizeof *hdy));
    assert_ok(tsr_alloc(&hx, rows * x_row, sizeof *hx));
    assert_ok(tsr_alloc(&scratch, k->weight_grad_scratch(rows, n), 1));
    fill(dy, rows * n_row, 34, 1.0f);
    fill(x, rows * x_row, 35, 1.0f);
    tsr_bf16_from_floats(hdy, dy, rows * n_row);
    tsr_bf16_from_floats(hx, x, rows * x_row);
    for (size_t i = 0; i < n * cols; i++)
        dw[i] = 3.0f;
    k->weight_grad_pack(&(tsr_weight_grad_rows){rows, cols, hx, x_row}, pack);
    k->weight_grad(&(tsr_weight_grad_block){rows, n, cols, hdy, n_row, pack, dw, cols, 1}, scratch);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < cols; j++) {
            double s = 3.0;
            for (size_t r = 0; r < rows; r++)
                s += (double)tsr_bf16_float(hdy[r * n_row + i]) *
                     (double)tsr_bf16_float(hx[r * x_row + j]);
            assert_true(fabs(dw[i * cols + j] - s) < 1e-5 * (double)(rows + 1));
        }
    tsr_free(dy), tsr_free(x), tsr_free(dw);
    tsr_free(hdy), tsr_free(hx), tsr_free(pack), tsr_free(scratch);
}

static void layers_on_tiles(void **state)
{
    const tsr_kernels *k = tsr_kernels_get_bf16();
    (void)state;
    if (!k->layer)
        skip();
    check_layer(k, 1, 32, 1, 1);
    check_layer(k, 40, 64, 48, 0);
    check_layer(k, 40, 64, 48, 1);
    check_layer(k, 64, 96, 64, 0);
    check_layer(k, 33, 96, 19, 1);
    check_layer(k, 5, 21, 13, 0);
    check_layer(k, 300, 47, 33, 1);
    check_layer(k, 33, 113, 64, 0);
    check_weight_grad(k, 37, 19, 1);
    check_weight_grad(k, 64, 33, 85);
    check_weight_grad(k, 1, 32, 64);
    check_weight_grad(k, 64, 64, 32);
    check_weight_grad(k, 75, 32, 96);
}

/* The gate on bf16 is the float32 one on rounded values, rounded. */
static void gate_of_bf16_storage(void **state)
{
    enum { N = 53 };
    float x[3 * N], y[3 * N];
    tsr_bf16 hx[3 * N], hy[3 * N], want[3 * N];
    (void)state;
    fill(x, 3 * N, 51, 2.0f);
    tsr_bf16_from_floats(hx, x, 3 * N);
    tsr_bf16_to_floats(x, hx, 3 * N);
    EACH_LEVEL(k)
    {
        k->gate(&(tsr_gate){N, x, x + N, y, TSR_F32, TSR_F32, TSR_F32});
        k->gate_grad(&(tsr_gate_slopes){N, x, x + N, x + 2 * N, y + N, y + 2 * N, TSR_F32, TSR_F32,
                                        TSR_F32, TSR_F32, TSR_F32});
        k->gate(&(tsr_gate){N, hx, hx + N, hy, TSR_BF16, TSR_BF16, TSR_BF16});
        k->gate_grad(&(tsr_gate_slopes){N, hx, hx + N, hx + 2 * N, hy + N, hy + 2 * N, TSR_BF16,
                                        TSR_BF16, TSR_BF16, TSR_BF16, TSR_BF16});
        tsr_bf16_from_floats(want, y, 3 * N);
        assert_memory_equal(hy, want, sizeof want);
        k->gate(&(tsr_gate){N, hx, x + N, hy, TSR_BF16, TSR_F32, TSR_BF16});
        assert_memory_equal(hy, want, N * sizeof *want);
    }
}

/* Sums in parts: the terms of each part, and together those of the whole. */
static void layers_in_parts(void **state)
{
    enum { ROWS = 45, INNER = 32 * 40 + 5, OUTER = 70, PADDED = 96 };
    const tsr_kernels *k = tsr_kernels_get_bf16();
    (void)state;
    if (!k->layer_part)
        skip();
    float *w = floats(INNER * OUTER), *x = floats(64 * INNER), *all = floats(64 * PADDED);
    float *sums = floats(2 * 64 * PADDED);
    tsr_bf16 *hx, *pack;
    assert_ok(tsr_alloc(&hx, 64 * INNER, sizeof *hx));
    assert_ok(tsr_alloc(&pack, (INNER + 31) / 32 * 32 * PADDED, sizeof *pack));
    fill(w, INNER * OUTER, 61, 1.0f);
    fill(x, ROWS * INNER, 62, 1.0f);
    tsr_bf16_from_floats(hx, x, 64 * INNER);
    k->layer_pack(&(tsr_layer_weight){w, OUTER, 1, INNER, OUTER}, pack);
    k->layer(&(tsr_layer_rows){ROWS, INNER, OUTER, hx, pack, NULL, 0, TSR_MAP_TANH, NULL, all, TSR_F32,
                               TSR_F32, PADDED});
    k->layer_part(&(tsr_layer_part){ROWS, INNER, OUTER, hx, pack, 0, 41, sums, PADDED});
    for (size_t i = 0; i < ROWS; i++)
        assert_memory_equal(sums + i * PADDED, all + i * PADDED, OUTER * sizeof *all);
    k->layer_part(&(tsr_layer_part){ROWS, INNER, OUTER, hx, pack, 0, 23, sums, PADDED});
    k->layer_part(&(tsr_layer_part){ROWS, INNER, OUTER, hx, pack, 23, 41, sums + 64 * PADDED, PADDED});
    for (size_t i = 0; i < ROWS * PADDED; i++)
        assert_true(i % PADDED >= OUTER || fabsf(sums[i] + sums[64 * PADDED + i] - all[i]) < 1e-3f);
    tsr_free(w), tsr_free(x), tsr_free(all), tsr_free(sums), tsr_free(hx), tsr_free(pack);
}

static void nearest_codes(void **state)
{
    enum { R = 9, W = 21, K = 101 };
    float x[R * W], e[K * W], score[R];
    int32_t ids[R];
    (void)state;
    fill(x, R * W, 15, 1.0f);
    fill(e, K * W, 16, 1.0f);
    memcpy(e + 70 * W, e + 5 * W, W * sizeof *e);
    memcpy(x, e + 70 * W, W * sizeof *x);
    EACH_LEVEL(k)
    for (int m = TSR_METRIC_DOT; m <= TSR_METRIC_EUCLID; m++) {
        void *scratch;
        tsr_nearest_block b = {x, e, R, W, K, (tsr_metric)m, ids, score};
        assert_ok(tsr_alloc(&scratch, k->nearest_scratch(R, W), 1));
        k->nearest(&b, scratch);
        tsr_free(scratch);
        for (size_t i = 0; i < R; i++) {
            double best = -1e30, at = 0, xx = 0;
            for (size_t c = 0; c < W; c++)
                xx += (double)x[i * W + c] * x[i * W + c];
            for (size_t j = 0; j < K; j++) {
                double s = 0, ee = 0;
                for (size_t c = 0; c < W; c++)
                    s += (double)x[i * W + c] * e[j * W + c], ee += (double)e[j * W + c] * e[j * W + c];
                s = m == TSR_METRIC_EUCLID ? -(xx - 2 * s + ee)
                                           : m == TSR_METRIC_COSINE ? s / sqrt(xx * ee) : s;
                if (s > best)
                    best = s, at = (double)j;
            }
            assert_int_equal(ids[i], (int)at);
            assert_true(fabs(score[i] - best) < 1e-5 * (1 + xx));
        }
        if (m != TSR_METRIC_DOT)
            assert_int_equal(ids[0], 5);
    }
}

static void nearest_takes_the_first_nan(void **state)
{
    enum { R = 3, W = 4, K = 67 };
    float x[R * W], e[K * W];
    int32_t ids[R];
    (void)state;
    fill(x, R * W, 17, 1.0f);
    fill(e, K * W, 18, 1.0f);
    x[W] = NAN;
    e[41 * W + 2] = NAN;
    e[66 * W] = NAN;
    EACH_LEVEL(k)
    for (int m = TSR_METRIC_DOT; m <= TSR_METRIC_EUCLID; m++) {
        void *scratch;
        assert_ok(tsr_alloc(&scratch, k->nearest_scratch(R, W), 1));
        k->nearest(&(tsr_nearest_block){x, e, R, W, K, (tsr_metric)m, ids, NULL}, scratch);
        tsr_free(scratch);
        assert_int_equal(ids[0], 41);
        assert_int_equal(ids[1], 0);
        assert_int_equal(ids[2], 41);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_accurate),
        cmocka_unit_test(maps_at_the_edges),
        cmocka_unit_test(map_gradients_match_differences),
        cmocka_unit_test(gate_and_its_gradient),
        cmocka_unit_test(gate_of_bf16_storage),
        cmocka_unit_test(layers_in_parts),
        cmocka_unit_test(maps_of_layers),
        cmocka_unit_test(norm_and_its_gradients),
        cmocka_unit_test(log_sum_exp_of_anything),
        cmocka_unit_test(products_of_odd_sizes),
        cmocka_unit_test(attention_forward_and_backward),
        cmocka_unit_test(attention_in_bf16),
        cmocka_unit_test(attention_of_bf16_storage),
        cmocka_unit_test(layers_on_tiles),
        cmocka_unit_test(nearest_codes),
        cmocka_unit_test(nearest_takes_the_first_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

/* --- segments that share keys --- */

static tsr_value build_ranges(tsr_graph *g, const tsr_value *in)
{
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.q_offsets = in[2], s.k_begin = in[3], s.k_end = in[4], s.causal_segments = in[5];
    return tsr_cross_attention(g, in[0], in[1], &s);
}

static tsr_value build_self_ranges(tsr_graph *g, const tsr_value *in)
{
    tsr_attention_spec s = TSR_ATTENTION(2);
    s.q_offsets = in[1], s.k_begin = in[2], s.k_end = in[3], s.causal_segments = in[4];
    return tsr_self_attention(g, in[0], &s);
}

/* Shared, in part, in disorder, empty, alone, and rows of keys that nobody sees. */
#define SEGMENTS 7
static const int32_t at[SEGMENTS + 1] = {1, 4, 6, 6, 9, 10, 12, 13};
static const int32_t begin[SEGMENTS] = {4, 4, 0, 0, 9, 2, 6}, end[SEGMENTS] = {8, 8, 3, 3, 12, 5, 6};
static const int32_t causal[SEGMENTS] = {0, 0, 0, 1, 0, 1, 0};

static void segments_share_keys(void **state)
{
    (void)state;
    gradcheck_input cross[] = {{.ndim = 2, .shape = {15, 12}}, {.ndim = 2, .shape = {13, 24}},
                               {.ndim = 1, .shape = {SEGMENTS + 1}, .ints = at},
                               {.ndim = 1, .shape = {SEGMENTS}, .ints = begin},
                               {.ndim = 1, .shape = {SEGMENTS}, .ints = end},
                               {.ndim = 1, .shape = {SEGMENTS}, .ints = causal}};
    gradcheck_input self[] = {{.ndim = 2, .shape = {15, 36}}, cross[2], cross[3], cross[4], cross[5]};
    gradcheck(6, cross, build_ranges, 0.02f, 2e-4);
    gradcheck(5, self, build_self_ranges, 0.02f, 2e-4);
}

/* Each segment gives the bytes it gives alone. */
static void segments_alone(void **state)
{
    (void)state;
    gradcheck_input in[] = {{.ndim = 2, .shape = {15, 12}}, {.ndim = 2, .shape = {13, 24}},
                            {.ndim = 1, .shape = {SEGMENTS + 1}, .ints = at},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = begin},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = end},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = causal}};
    gradcheck_run all, one;
    gradcheck_open(&all, 6, in, build_ranges);
    gradcheck_forward(&all);
    for (int s = 0; s < SEGMENTS; s++) {
        int32_t rows[] = {at[s], at[s + 1]};
        gradcheck_input only[] = {in[0], in[1], {.ndim = 1, .shape = {2}, .ints = rows},
                                  {.ndim = 1, .shape = {1}, .ints = begin + s},
                                  {.ndim = 1, .shape = {1}, .ints = end + s},
                                  {.ndim = 1, .shape = {1}, .ints = causal + s}};
        gradcheck_open(&one, 6, only, build_ranges);
        gradcheck_forward(&one);
        const float *a = tsr_exec_value(all.x, all.y), *b = tsr_exec_value(one.x, one.y);
        for (int i = 0; i < 15 * 12; i++)
            assert_true(i / 12 >= rows[0] && i / 12 < rows[1] ? a[i] == b[i] : b[i] == 0);
        gradcheck_close(&one);
    }
    gradcheck_close(&all);
}

/* Any offsets at all stay inside and give finite numbers; the arena is full of NaN around. */
static void hostile_offsets(void **state)
{
    (void)state;
    tsr_rng r;
    tsr_rng_init(&r, 17, TSR_RNG_TEST, 0);
    const int32_t odd[] = {INT32_MIN, -1, 0, 1, 5, 12, 13, 14, 15, 16, 1000, INT32_MAX};
    gradcheck_input in[] = {{.ndim = 2, .shape = {15, 12}}, {.ndim = 2, .shape = {13, 24}},
                            {.ndim = 1, .shape = {SEGMENTS + 1}, .ints = at},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = begin},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = end},
                            {.ndim = 1, .shape = {SEGMENTS}, .ints = causal}};
    gradcheck_run c;
    gradcheck_open(&c, 6, in, build_ranges);
    for (int round = 0; round < 300; round++) {
        for (int i = 2; i < 6; i++)
            for (size_t k = 0; k < c.count[i]; k++)
                ((int32_t *)tsr_exec_input(c.x, c.in[i]))[k] = odd[tsr_rng_below(&r, 12)];
        gradcheck_forward(&c);
        for (size_t i = 0; i < c.outputs; i++)
            assert_true(isfinite(((const float *)tsr_exec_value(c.x, c.y))[i]));
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < c.count[k]; i++)
                assert_true(isfinite(gradcheck_grad(&c, k)[i]));
    }
    gradcheck_close(&c);
}

static void ranges_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        tsr_graph *g;
        tsr_attention_spec s = TSR_ATTENTION(2);
        assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
        tsr_value q = tsr_input(g, "q", TSR_F32, 2, (size_t[]){4, 8});
        tsr_value kv = tsr_input(g, "kv", TSR_F32, 2, (size_t[]){4, 16});
        tsr_value three = tsr_input(g, "three", TSR_I32, 1, (size_t[]){3});
        tsr_value two = tsr_input(g, "two", TSR_I32, 1, (size_t[]){2});
        s.q_offsets = i == 1 ? TSR_NONE : three;
        s.k_offsets = i == 2 ? three : TSR_NONE;
        s.k_begin = two;
        s.k_end = i == 3 ? TSR_NONE : two;
        (void)tsr_cross_attention(g, q, kv, &s);
        if (i == 0)
            assert_ok(tsr_graph_check(g));
        else
            assert_fails(TSR_EMISMATCH, tsr_graph_check(g));
        tsr_graph_destroy(g);
    }
}

/* --- caches --- */

/* Two sequences of a causal layer: qkv [rows, 48], of a cache that grows or of all rows at once. */
#define STEPS 37
typedef struct decoder {
    tsr_graph *g;
    tsr_exec *x;
    tsr_value in, out, ids, begin, end;
} decoder;

static decoder open_decoder(tsr_params *ps, tsr_precision precision, int cached)
{
    decoder d;
    tsr_attention_spec s = TSR_ATTENTION(2);
    assert_ok(tsr_graph_create(ps, precision, &d.g));
    d.in = tsr_input(d.g, "x", TSR_F32, 2, (size_t[]){cached ? 2 : 2 * STEPS, 32});
    s.q_offsets = d.end = tsr_input(d.g, "offsets", TSR_I32, 1, (size_t[]){3});
    tsr_value q = tsr_linear(d.g, d.in, tsr_weight(d.g, "q"), TSR_NONE, TSR_ACT_NONE);
    tsr_value kv = tsr_linear(d.g, d.in, tsr_weight(d.g, "kv"), TSR_NONE, TSR_ACT_NONE);
    s.causal = !cached;
    if (cached) {
        tsr_value cache = tsr_input(d.g, "cache", TSR_F32, 2, (size_t[]){2 * STEPS, 64});
        d.ids = tsr_input(d.g, "ids", TSR_I32, 1, (size_t[]){2});
        s.k_begin = d.begin = tsr_input(d.g, "begin", TSR_I32, 1, (size_t[]){2});
        s.k_end = d.end = tsr_input(d.g, "end", TSR_I32, 1, (size_t[]){2});
        kv = tsr_put_rows(d.g, cache, kv, d.ids);
    }
    d.out = tsr_cross_attention(d.g, q, kv, &s);
    tsr_graph_output(d.g, d.out);
    assert_ok(tsr_graph_check(d.g));
    assert_ok(tsr_exec_create(d.g, &d.x));
    tsr_exec_poison(d.x, 1);
    memcpy(tsr_exec_input(d.x, s.q_offsets), cached ? (int32_t[]){0, 1, 2} : (int32_t[]){0, STEPS, 2 * STEPS},
           12);
    if (cached)
        memcpy(tsr_exec_input(d.x, d.begin), (int32_t[]){0, STEPS}, 8);
    return d;
}

/* One row of each sequence at a time gives the bytes of all rows at once. */
static void growing_sequences(void **state)
{
    (void)state;
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        tsr_params *ps;
        tsr_param *w;
        assert_ok(tsr_params_create(&ps));
        assert_ok(tsr_params_add(ps, "q", 0, 2, (size_t[]){32, 32}, &w));
        tsr_param_init(w, TSR_INIT_NORMAL, 0.3f, 1);
        assert_ok(tsr_params_add(ps, "kv", 0, 2, (size_t[]){64, 32}, &w));
        tsr_param_init(w, TSR_INIT_NORMAL, 0.3f, 2);
        decoder all = open_decoder(ps, (tsr_precision)p, 0), step = open_decoder(ps, (tsr_precision)p, 1);
        float *x = tsr_exec_input(all.x, all.in);
        gradcheck_random(x, 2 * STEPS * 32, 3);
        assert_ok(tsr_exec_run(all.x));
        const float *want = tsr_exec_value(all.x, all.out);
        for (int32_t i = 0; i < STEPS; i++) {
            for (int s = 0; s < 2; s++) {
                memcpy((float *)tsr_exec_input(step.x, step.in) + s * 32, x + (s * STEPS + i) * 32,
                       32 * sizeof *x);
                ((int32_t *)tsr_exec_input(step.x, step.ids))[s] = s * STEPS + i;
                ((int32_t *)tsr_exec_input(step.x, step.end))[s] = s * STEPS + i + 1;
            }
            assert_ok(tsr_exec_run(step.x));
            const float *have = tsr_exec_value(step.x, step.out);
            for (int s = 0; s < 2; s++)
                assert_memory_equal(have + s * 32, want + (s * STEPS + i) * 32, 32 * sizeof *x);
        }
        tsr_exec_destroy(all.x);
        tsr_exec_destroy(step.x);
        tsr_graph_destroy(all.g);
        tsr_graph_destroy(step.g);
        tsr_params_destroy(ps);
    }
}

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

/* --- rows out of several tables --- */

/* Two groups of tables, the second begins at 2; each leaves zeros where the other has rows. */
static tsr_value build_lookup(tsr_graph *g, const tsr_value *in)
{
    const tsr_tables a = {.count = 2, .tables = {in[0], in[1]}, .padding = {-1, 1}};
    const tsr_tables b = {.count = 1, .first = 2, .tables = {in[2]}, .padding = {-1}};
    return tsr_add(g, tsr_lookup(g, &a, in[3], in[4]), tsr_lookup(g, &b, in[3], in[4]));
}

static void lookup_gradients(void **state)
{
    (void)state;
    static const int32_t which[] = {0, 2, 1, 0, -1, 2, 3, 1, 2, 0, 1};
    static const int32_t ids[] = {4, 0, 2, 4, 0, 2, 0, 0, 3, -1, 0};
    gradcheck_input in[] = {{.ndim = 2, .shape = {5, 70}, .weight = 1},
                            {.ndim = 2, .shape = {4, 70}, .weight = 1},
                            {.ndim = 2, .shape = {3, 70}},
                            {.ndim = 1, .shape = {11}, .ints = which},
                            {.ndim = 1, .shape = {11}, .ints = ids}};
    gradcheck(5, in, build_lookup, 0.02f, 1e-4);
}

/* Rows as given, zeros where there are none, no gradient to padding; also with fewer rows. */
static void lookup_values(void **state)
{
    (void)state;
    enum { N = 90, D = 8 };
    tsr_params *ps;
    tsr_param *p[2];
    tsr_graph *g;
    tsr_exec *x;
    assert_ok(tsr_params_create(&ps));
    for (int t = 0; t < 2; t++) {
        const size_t shape[] = {(size_t)(3 + t), D};
        assert_ok(tsr_params_add(ps, t ? "b" : "a", TSR_PARAM_TRAIN, 2, shape, &p[t]));
        tsr_param_init(p[t], TSR_INIT_NORMAL, 1.0f, 3);
    }
    assert_ok(tsr_graph_create(ps, TSR_PRECISION_FP32, &g));
    tsr_value which = tsr_input(g, "which", TSR_I32, 1, (size_t[]){N});
    tsr_value ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){N});
    const tsr_tables t = {.count = 2, .tables = {tsr_weight(g, "a"), tsr_weight(g, "b")},
                          .padding = {0, -1}};
    tsr_value y = tsr_lookup(g, &t, which, ids);
    tsr_graph_output(g, y);
    tsr_graph_backward(g, tsr_sum_leading(g, tsr_reshape(g, y, 2, (size_t[]){0, 1}), 1,
                                          (size_t[]){1}));
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &x));
    tsr_exec_poison(x, 1);
    for (size_t rows = N + 10; rows >= 10;) {
        rows -= 10;
        double counts[2][4] = {{0}};
        for (size_t i = 0; i < rows; i++) {
            int32_t table = (int32_t)(i * 7 % 4) - 1, id = (int32_t)(i * 5 % 6) - 1;
            ((int32_t *)tsr_exec_input(x, which))[i] = table;
            ((int32_t *)tsr_exec_input(x, ids))[i] = id;
            if (table >= 0 && table < 2 && id >= 0 && id < 3 + table && (table || id))
                counts[table][id]++;
        }
        assert_ok(tsr_exec_set_rows(x, which, rows));
        assert_ok(tsr_exec_set_rows(x, ids, rows));
        tsr_params_zero_grads(ps);
        assert_ok(tsr_exec_run(x));
        const float *out = tsr_exec_value(x, y);
        for (size_t i = 0; i < rows; i++) {
            int table = (int)(i * 7 % 4) - 1, id = (int)(i * 5 % 6) - 1;
            int there = table >= 0 && table < 2 && id >= 0 && id < 3 + table;
            for (int k = 0; k < D; k++)
                assert_true(out[i * D + (size_t)k] == (there ? p[table]->value[id * D + k] : 0.0f));
        }
        for (int k = 0; k < 2; k++)
            for (int r = 0; r < 3 + k; r++)
                assert_true((double)p[k]->grad[r * D + 5] == counts[k][r]);
    }
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
    tsr_params_destroy(ps);
}

static void lookup_refuses(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++) {
        tsr_graph *g;
        assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
        tsr_value a = tsr_input(g, "a", TSR_F32, 2, (size_t[]){3, 8});
        tsr_value b = tsr_input(g, "b", TSR_F32, 2, (size_t[]){3, 9});
        tsr_value ids = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){4});
        tsr_value which = tsr_input(g, "which", TSR_I32, 1, (size_t[]){form == 1 ? 5u : 4u});
        const tsr_tables t = {.count = form == 0 ? 2 : form == 1 ? 1 : 0, .tables = {a, b}};
        assert_true(tsr_lookup(g, &t, which, ids) < 0);
        assert_true(tsr_graph_check(g) != TSR_OK);
        tsr_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup_gradients),
        cmocka_unit_test(lookup_values),
        cmocka_unit_test(lookup_refuses),
        cmocka_unit_test(nll_gradients),
        cmocka_unit_test(nll_values),
        cmocka_unit_test(norms_of_heads),
        cmocka_unit_test(norms_refused),
        cmocka_unit_test(segments_share_keys),
        cmocka_unit_test(segments_alone),
        cmocka_unit_test(hostile_offsets),
        cmocka_unit_test(ranges_refused),
        cmocka_unit_test(rows_put),
        cmocka_unit_test(growing_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

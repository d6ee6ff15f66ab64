/* SPDX-License-Identifier: Apache-2.0
 * Executors with fewer rows than planned: the bytes of a graph built at exactly that size. */
#include "testing.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "nn/graph.h"
#include "nn/layers.h"
#include "nn/ops.h"

#include <math.h>

#define WIDTH 64
#define HEADS 2
#define WORDS 50
#define PARTS 4 /* sequences */

/* Rows of one batch: encoder, decoder, and of the decoder's the ones of each of two heads. */
typedef struct sizes {
    size_t enc, dec, head[2];
} sizes;

/* Inputs of the network by position, in net.in. */
enum { ENC_IDS, ENC_AT, DEC_IDS, DEC_AT, PICK_A, IDS_A, PICK_B, IDS_B, WEIGHTS_B, NOISE, INPUTS };

typedef struct net {
    tsr_graph *g;
    tsr_exec *x;
    tsr_value in[INPUTS], states, loss, square;
} net;

static void add_weight(tsr_params *ps, const char *name, size_t rows, size_t columns)
{
    tsr_param *p;
    size_t shape[2] = {rows, columns};
    assert_ok(tsr_params_add(ps, name, TSR_PARAM_TRAIN, columns ? 2 : 1, shape, &p));
    tsr_param_init(p, TSR_INIT_NORMAL, columns ? 0.2f : 1.0f, 3);
}

static tsr_params *make_params(void)
{
    tsr_params *ps;
    assert_ok(tsr_params_create(&ps));
    add_weight(ps, "words", WORDS, WIDTH);
    add_weight(ps, "norm", WIDTH, 0);
    add_weight(ps, "norm.b", WIDTH, 0);
    add_weight(ps, "qkv", 3 * WIDTH, WIDTH);
    add_weight(ps, "q", WIDTH, WIDTH);
    add_weight(ps, "kv", 2 * WIDTH, WIDTH);
    add_weight(ps, "proj", WIDTH, WIDTH);
    add_weight(ps, "fc1", 96, WIDTH);
    add_weight(ps, "fc1.b", 96, 0);
    add_weight(ps, "fc3", 96, WIDTH);
    add_weight(ps, "fc2", WIDTH, 96);
    add_weight(ps, "odd", 43, WIDTH);
    add_weight(ps, "even", WIDTH, 43);
    add_weight(ps, "a", WORDS, WIDTH);
    add_weight(ps, "b", 8200, WIDTH); /* so many that sums over them are made in parts */
    add_weight(ps, "mask", WIDTH, 0);
    add_weight(ps, "head", WIDTH / HEADS, 0);
    assert_ok(tsr_params_need_grads(ps));
    return ps;
}

static tsr_value weight(tsr_graph *g, const char *name)
{
    return tsr_weight(g, name);
}

static tsr_value norm(tsr_graph *g, tsr_value x)
{
    return tsr_layer_norm(g, x, weight(g, "norm"), weight(g, "norm.b"), 1e-6f);
}

static tsr_value linear(tsr_graph *g, tsr_value x, const char *name)
{
    return tsr_linear(g, x, weight(g, name), TSR_NONE, TSR_ACT_NONE);
}

static tsr_value mlp(tsr_graph *g, tsr_value x)
{
    tsr_value n = norm(g, x);
    tsr_value a = linear(g, n, "fc1"), b = linear(g, n, "fc3");
    tsr_value y = tsr_add(g, x, linear(g, tsr_silu_gate(g, a, b), "fc2"));
    tsr_value c = tsr_linear(g, n, weight(g, "fc1"), weight(g, "fc1.b"), TSR_ACT_GELU);
    tsr_value odd = linear(g, n, "odd"); /* of a width that is no multiple of anything */
    y = tsr_add(g, y, linear(g, tsr_tanh(g, odd), "even"));
    return tsr_add(g, y, linear(g, c, "fc2"));
}

static void add_inputs(net *n, const sizes *s, int heads)
{
    static const char *const names[] = {"enc", "enc at", "dec", "dec at", "pick a", "ids a",
                                        "pick b", "ids b", "weights b", "noise"};
    const size_t rows[INPUTS] = {s->enc,     PARTS + 1,  s->dec,     PARTS + 1,  s->head[0],
                                 s->head[0], s->head[1], s->head[1], s->head[1], s->dec};
    for (int i = 0; i < INPUTS; i++) {
        size_t shape[2] = {rows[i], WIDTH};
        n->in[i] = TSR_NONE;
        if (heads > 1 || i < PICK_B || i == NOISE)
            n->in[i] = tsr_input(n->g, names[i], i >= WEIGHTS_B ? TSR_F32 : TSR_I32,
                                 i == NOISE ? 2 : 1, shape);
    }
}

/* Encoder rows, and decoder rows that see those of their sequence. */
static tsr_value decoder_rows(net *n)
{
    tsr_graph *g = n->g;
    tsr_attention_spec self = TSR_ATTENTION(HEADS), cross = TSR_ATTENTION(HEADS);
    self.q_offsets = n->in[ENC_AT];
    tsr_value x = tsr_embedding_padded(g, weight(g, "words"), n->in[ENC_IDS], 0);
    x = tsr_add(g, x, linear(g, tsr_self_attention(g, linear(g, norm(g, x), "qkv"), &self), "proj"));
    x = mlp(g, x);
    tsr_value y = tsr_embedding(g, weight(g, "words"), n->in[DEC_IDS]);
    y = tsr_add(g, tsr_add(g, y, n->in[NOISE]),
                tsr_add(g, tsr_fill_like(g, 0.0f, n->in[NOISE]), weight(g, "mask")));
    self.q_offsets = n->in[DEC_AT];
    self.causal = 1;
    tsr_value qkv = tsr_head_norm(
        g, linear(g, norm(g, y), "qkv"),
        &(tsr_head_norm_spec){.parts = 3, .normed = 2, .heads = HEADS, .eps = 1e-6f,
                              .weight = {weight(g, "head"), TSR_NONE}, .bias = {TSR_NONE, weight(g, "head")}});
    y = tsr_add(g, y, linear(g, tsr_self_attention(g, qkv, &self), "proj"));
    cross.q_offsets = n->in[DEC_AT];
    cross.k_offsets = n->in[ENC_AT];
    y = tsr_add(g, y, linear(g, tsr_cross_attention(g, linear(g, norm(g, y), "q"),
                                                    linear(g, x, "kv"), &cross), "proj"));
    /* Both kinds of rows in one tensor and back, and by halves of the width. */
    tsr_value all = tsr_concat(g, 2, (tsr_value[]){x, y}, 0);
    tsr_value left = tsr_slice(g, all, 1, 0, WIDTH / 2);
    tsr_value right = tsr_slice(g, all, 1, WIDTH / 2, WIDTH / 2);
    all = tsr_concat(g, 2, (tsr_value[]){right, left}, 1);
    tsr_value whole = tsr_reshape(g, all, 3, (size_t[]){0, 2, WIDTH / 2});
    whole = tsr_normalize(g, whole, 1e-6f);
    whole = tsr_reshape(g, tsr_mul(g, whole, whole), 2, (size_t[]){0, WIDTH});
    n->square = tsr_sum_leading(g, tsr_mul(g, whole, all), 1, (size_t[]){WIDTH});
    return mlp(g, y);
}

/* With one head there is none for the second kind of rows. */
static net make_net(tsr_params *ps, const sizes *s, int heads, tsr_precision precision)
{
    net n;
    assert_ok(tsr_graph_create(ps, precision, &n.g));
    tsr_graph *g = n.g;
    add_inputs(&n, s, heads);
    n.states = decoder_rows(&n);
    tsr_value a = linear(g, tsr_embedding(g, n.states, n.in[PICK_A]), "a");
    n.loss = tsr_softmax_cross_entropy(g, a, n.in[IDS_A], TSR_NONE);
    if (heads > 1) {
        tsr_value b = linear(g, tsr_embedding(g, n.states, n.in[PICK_B]), "b");
        tsr_value w = tsr_softmax_nll(g, b, n.in[IDS_B], n.in[WEIGHTS_B], NULL);
        n.loss = tsr_add(g, n.loss, tsr_scale(g, w, 0.01f));
    }
    n.loss = tsr_add(g, n.loss, tsr_scale(g, tsr_mse(g, n.states, n.in[NOISE], TSR_NONE), 0.1f));
    tsr_value sum = tsr_reshape(g, n.square, 2, (size_t[]){WIDTH, 1});
    n.loss = tsr_add(g, n.loss, tsr_scale(g, tsr_sum_leading(g, sum, 1, (size_t[]){1}), 0.01f));
    tsr_graph_output(g, n.states);
    tsr_graph_output(g, n.loss);
    tsr_graph_backward(g, n.loss);
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &n.x));
    tsr_exec_poison(n.x, 1);
    return n;
}

static void close_net(net *n)
{
    tsr_exec_destroy(n->x);
    tsr_graph_destroy(n->g);
}

/* --- inputs of a batch, from its sizes alone --- */

static void fill_ints(int32_t *p, size_t n, size_t below, uint64_t seed)
{
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_TEST, n);
    for (size_t i = 0; p && i < n; i++)
        p[i] = below ? (int32_t)tsr_rng_below(&r, (uint32_t)below) : -1;
}

static void fill_floats(float *p, size_t n, uint64_t seed)
{
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_TEST, n);
    for (size_t i = 0; p && i < n; i++)
        p[i] = tsr_rng_normal(&r);
}

/* PARTS sequences of unequal length, the third without a row. */
static void fill_offsets(int32_t *o, size_t rows)
{
    const size_t cut[PARTS + 1] = {0, rows / 5, rows / 2, rows / 2, rows};
    for (int i = 0; i <= PARTS; i++)
        o[i] = (int32_t)cut[i];
}

static void *input(const net *n, int i)
{
    return n->in[i] < 0 ? NULL : tsr_exec_input(n->x, n->in[i]);
}

static void run(net *n, tsr_params *ps, const sizes *s)
{
    fill_ints(input(n, ENC_IDS), s->enc, WORDS, 1);
    fill_offsets(input(n, ENC_AT), s->enc);
    fill_ints(input(n, DEC_IDS), s->dec, WORDS, 2);
    fill_offsets(input(n, DEC_AT), s->dec);
    fill_ints(input(n, PICK_A), s->head[0], s->dec, 3);
    fill_ints(input(n, IDS_A), s->head[0], WORDS, 4);
    fill_ints(input(n, PICK_B), s->head[1], s->dec, 5);
    fill_ints(input(n, IDS_B), s->head[1], 8200, 6);
    fill_floats(input(n, NOISE), s->dec * WIDTH, 7);
    float *w = input(n, WEIGHTS_B);
    for (size_t i = 0; w && i < s->head[1]; i++)
        w[i] = (float)(i % 3);
    tsr_params_zero_grads(ps);
    assert_ok(tsr_exec_run(n->x));
}

static void set_rows(net *n, const sizes *s)
{
    const size_t rows[INPUTS] = {s->enc,     PARTS + 1,  s->dec,     PARTS + 1,  s->head[0],
                                 s->head[0], s->head[1], s->head[1], s->head[1], s->dec};
    for (int i = 0; i < INPUTS; i++)
        assert_ok(tsr_exec_set_rows(n->x, n->in[i], rows[i]));
}

/* Everything a run left: loss, states, gradients. */
static float *results(const net *n, const tsr_params *ps, size_t dec, size_t *count)
{
    float *all;
    *count = 1 + dec * WIDTH + tsr_params_values(ps, 0);
    assert_ok(tsr_alloc(&all, *count, sizeof *all));
    float *at = all;
    *at++ = *(const float *)tsr_exec_value(n->x, n->loss);
    memcpy(at, tsr_exec_value(n->x, n->states), dec * WIDTH * sizeof *at);
    at += dec * WIDTH;
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        memcpy(at, p->grad, p->count * sizeof *at);
        at += p->count;
    }
    return all;
}

static void expect_same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(a[i] == b[i]))
            fail_msg("value %zu: %.9g instead of %.9g", i, (double)a[i], (double)b[i]);
    }
}

/* The resized network against one built at this size. */
static void check_size(net *big, tsr_params *ps, const sizes *s, tsr_precision precision, int threads)
{
    size_t n, m;
    net exact = make_net(ps, s, s->head[1] ? 2 : 1, precision);
    tsr_par_set_threads(1);
    run(&exact, ps, s);
    float *want = results(&exact, ps, s->dec, &n);
    tsr_par_set_threads(threads);
    set_rows(big, s);
    run(big, ps, s);
    float *have = results(big, ps, s->dec, &m);
    assert_int_equal(n, m);
    assert_true(isfinite(want[0]) && want[0] > 0.0f);
    expect_same(have, want, n);
    assert_int_equal(tsr_exec_rows(big->x, big->states), s->dec);
    assert_int_equal(tsr_exec_rows(big->x, big->loss), 1);
    tsr_free(want);
    tsr_free(have);
    close_net(&exact);
}

static const sizes most = {700, 600, {400, 300}};

static void check_sizes(tsr_precision precision)
{
    const sizes list[] = {{650, 555, {301, 299}}, {17, 9, {5, 3}},      {1, 1, {1, 1}},
                          {700, 600, {400, 300}}, {512, 128, {128, 0}}, {31, 600, {2, 300}},
                          {129, 257, {400, 0}},   {700, 600, {400, 300}}};
    tsr_params *ps = make_params();
    net big = make_net(ps, &most, 2, precision);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        check_size(&big, ps, &list[i], precision, 1 + (int)(i % 3));
    tsr_par_set_threads(0);
    close_net(&big);
    tsr_params_destroy(ps);
}

static void test_sizes_fp32(void **state)
{
    (void)state;
    check_sizes(TSR_PRECISION_FP32);
}

static void test_sizes_bf16(void **state)
{
    (void)state;
    check_sizes(TSR_PRECISION_BF16);
}

/* No decoder rows, no encoder rows, nothing at all. */
static void test_nothing(void **state)
{
    (void)state;
    const sizes list[] = {{300, 0, {0, 0}}, {0, 200, {100, 50}}, {0, 0, {0, 0}}};
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        tsr_params *ps = make_params();
        net big = make_net(ps, &most, 2, (tsr_precision)p);
        for (size_t k = 0; k < 3; k++) {
            size_t n;
            set_rows(&big, &list[k]);
            run(&big, ps, &list[k]);
            float *all = results(&big, ps, list[k].dec, &n);
            for (size_t i = 0; i < n; i++)
                assert_true(isfinite(all[i]) && (k < 2 || all[i] == 0.0f));
            const tsr_param *kv = tsr_params_find(ps, "kv"), *a = tsr_params_find(ps, "a");
            for (size_t i = 0; i < kv->count; i++) /* without keys or queries nothing flows */
                assert_true(kv->grad[i] == 0.0f);
            assert_true((a->grad[0] == 0.0f) == (k != 1));
            tsr_free(all);
        }
        /* The work of a run is that of its rows. */
        tsr_node_report r;
        for (size_t i = 0; i < tsr_exec_nodes(big.x); i++) {
            tsr_exec_report(big.x, i, &r);
            assert_true(strcmp(r.op, "linear") != 0 || r.flops == 0.0);
        }
        close_net(&big);
        tsr_params_destroy(ps);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    tsr_params *ps = make_params();
    tsr_graph *g;
    tsr_exec *x;
    assert_ok(tsr_graph_create(ps, TSR_PRECISION_FP32, &g));
    tsr_value a = tsr_input(g, "a", TSR_F32, 2, (size_t[]){6, WIDTH});
    tsr_value b = tsr_input(g, "b", TSR_F32, 2, (size_t[]){6, WIDTH});
    tsr_value w = weight(g, "fc1");
    tsr_value y = tsr_linear(g, tsr_add(g, a, b), w, TSR_NONE, TSR_ACT_NONE);
    tsr_value part = tsr_slice(g, y, 0, 2, 3), pairs = tsr_reshape(g, y, 3, (size_t[]){3, 2, 96});
    tsr_graph_output(g, part);
    tsr_graph_output(g, pairs);
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &x));
    memset(tsr_exec_input(x, a), 0, 6 * WIDTH * sizeof(float));
    memset(tsr_exec_input(x, b), 0, 6 * WIDTH * sizeof(float));
    assert_fails(TSR_EARG, tsr_exec_set_rows(x, y, 3));
    assert_fails(TSR_EARG, tsr_exec_set_rows(x, w, 3));
    assert_fails(TSR_EARG, tsr_exec_set_rows(x, TSR_NONE, 3));
    assert_fails(TSR_EARG, tsr_exec_set_rows(x, a, 7));
    assert_ok(tsr_exec_set_rows(x, a, 4));
    assert_fails(TSR_EMISMATCH, tsr_exec_run(x));
    assert_non_null(strstr(tsr_error(), "node 0 add"));
    assert_ok(tsr_exec_set_rows(x, b, 4));
    assert_fails(TSR_EMISMATCH, tsr_exec_fit(x)); /* rows 2 to 4 of 4 */
    assert_non_null(strstr(tsr_error(), "slice"));
    assert_ok(tsr_exec_set_rows(x, a, 5));
    assert_ok(tsr_exec_set_rows(x, b, 5));
    assert_fails(TSR_EMISMATCH, tsr_exec_run(x)); /* 5 rows are not pairs */
    assert_non_null(strstr(tsr_error(), "reshape"));
    assert_ok(tsr_exec_set_rows(x, a, 6));
    assert_ok(tsr_exec_set_rows(x, b, 6));
    assert_int_equal(tsr_exec_rows(x, a), 6);
    assert_int_equal(tsr_exec_rows(x, TSR_NONE), 0);
    assert_ok(tsr_exec_run(x));
    assert_int_equal(tsr_exec_rows(x, pairs), 3);
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
    tsr_params_destroy(ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_fp32),
        cmocka_unit_test(test_sizes_bf16),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

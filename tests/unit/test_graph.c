/* SPDX-License-Identifier: Apache-2.0
 * Graphs: running, planning, sharing of storage, several executors, halves, failures. */
#include "testing.h"

#include "base/cpu.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/par.h"
#include "nn/graph_priv.h"
#include "nn/ops.h"

#include <math.h>

static void test_trivial(void **state)
{
    (void)state;
    tsr_graph *g;
    tsr_exec *run;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value x = tsr_input(g, "x", TSR_F32, 2, (size_t[]){2, 3});
    tsr_value b = tsr_input(g, "b", TSR_F32, 1, (size_t[]){3});
    tsr_value y = tsr_scale(g, tsr_add(g, x, b), 2.0f);
    tsr_graph_output(g, y);
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &run));
    memcpy(tsr_exec_input(run, x), (float[]){1, 2, 3, 4, 5, 6}, 24);
    memcpy(tsr_exec_input(run, b), (float[]){10, 20, 30}, 12);
    assert_ok(tsr_exec_run(run));
    assert_memory_equal(tsr_exec_value(run, y), ((float[]){22, 44, 66, 28, 50, 72}), 24);
    assert_null(tsr_exec_input(run, y));
    assert_null(tsr_exec_value(run, TSR_NONE));
    tsr_exec_destroy(run);
    tsr_graph_destroy(g);
}

/* Blocks of a small residual network of width D on [B, N, D]. */
#define D 48
static void make_params(tsr_params **ps, int blocks)
{
    char name[40];
    assert_ok(tsr_params_create(ps));
    for (int i = 0; i < blocks; i++) {
        tsr_param *p;
        snprintf(name, sizeof name, "%d.w1", i);
        assert_ok(tsr_params_add(*ps, name, TSR_PARAM_TRAIN, 2, (size_t[]){4 * D, D}, &p));
        tsr_param_init(p, TSR_INIT_XAVIER, 0, 1);
        snprintf(name, sizeof name, "%d.w2", i);
        assert_ok(tsr_params_add(*ps, name, TSR_PARAM_TRAIN, 2, (size_t[]){D, 4 * D}, &p));
        tsr_param_init(p, TSR_INIT_XAVIER, 0, 1);
        snprintf(name, sizeof name, "%d.b1", i);
        assert_ok(tsr_params_add(*ps, name, TSR_PARAM_TRAIN, 1, (size_t[]){4 * D}, &p));
        tsr_param_init(p, TSR_INIT_NORMAL, 0.1f, 1);
    }
}

static tsr_value weight(tsr_graph *g, int block, const char *name)
{
    char full[40];
    snprintf(full, sizeof full, "%d.%s", block, name);
    return tsr_weight(g, full);
}

typedef struct net {
    tsr_graph *g;
    tsr_value x, y, loss;
} net;

static net make_net(tsr_params *ps, size_t batch, int blocks, int train, tsr_precision precision)
{
    net n;
    assert_ok(tsr_graph_create(ps, precision, &n.g));
    n.x = tsr_input(n.g, "x", TSR_F32, 3, (size_t[]){batch, 64, D});
    tsr_value h = n.x;
    for (int i = 0; i < blocks; i++) {
        tsr_graph_label(n.g, "blocks.%d", i);
        tsr_value m = tsr_linear(n.g, h, weight(n.g, i, "w1"), weight(n.g, i, "b1"), TSR_ACT_GELU);
        h = tsr_add(n.g, h, tsr_linear(n.g, m, weight(n.g, i, "w2"), TSR_NONE, TSR_ACT_NONE));
    }
    n.y = h;
    n.loss = TSR_NONE;
    tsr_graph_output(n.g, n.y);
    if (train) {
        tsr_value squares = tsr_mul(n.g, h, h);
        squares = tsr_reshape(n.g, squares, 2, (size_t[]){batch * 64 * D, 1});
        n.loss = tsr_sum_leading(n.g, squares, 1, (size_t[]){1});
        tsr_graph_output(n.g, n.loss);
        tsr_graph_backward(n.g, n.loss);
    }
    assert_ok(tsr_graph_check(n.g));
    return n;
}

static void fill(tsr_exec *x, tsr_value v, size_t n, unsigned seed)
{
    float *p = tsr_exec_input(x, v);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((i * 2654435761u + seed) % 2001) / 1000.0f - 1.0f;
}

/* Storage that lives at the same time does not overlap, everything lies in the arena, and the plan
 * counts exactly what is used. */
static void check_storage(const tsr_graph *g, const tsr_plan *plan)
{
    size_t top = g->inputs_bytes;
    for (size_t v = 0; v < g->n_values; v++) {
        const tsr_vertex *a = &g->values[v];
        if (a->home != TSR_HOME_ARENA || a->root != (tsr_value)v || a->store != (tsr_value)v ||
            !g->nodes[a->node].live || !a->used)
            continue;
        assert_true(a->offset >= g->inputs_bytes);
        assert_true(a->bytes >= a->count * tsr_dtype_bytes(a->stored));
        if (a->offset + a->bytes > top)
            top = a->offset + a->bytes;
        for (size_t w = 0; w < v; w++) {
            const tsr_vertex *b = &g->values[w];
            if (b->home != TSR_HOME_ARENA || b->root != (tsr_value)w ||
                b->store != (tsr_value)w || !g->nodes[b->node].live || !b->used)
                continue;
            int together = a->first <= b->last && b->first <= a->last;
            int overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            assert_false(together && overlap);
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].work_bytes && g->nodes[i].work_offset + g->nodes[i].work_bytes > top)
            top = g->nodes[i].work_offset + g->nodes[i].work_bytes;
    assert_true(plan->values_bytes - top < 64);
}

static void test_plan(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_plan plan, again;
    tsr_exec *x;
    make_params(&ps, 6);
    for (int train = 0; train < 2; train++) {
        net n = make_net(ps, 4, 6, train, TSR_PRECISION_BF16);
        assert_ok(tsr_graph_plan(n.g, &plan));
        assert_ok(tsr_graph_plan(n.g, &again));
        assert_memory_equal(&plan, &again, sizeof plan);
        check_storage(n.g, &plan);
        assert_true(plan.values_bytes < plan.unshared_bytes);
        assert_true(train || plan.values_bytes < plan.unshared_bytes / 3);
        double flops = 6.0 * 2 * 2 * 4 * 64 * D * 4 * D;
        assert_true(plan.forward_flops >= flops && plan.forward_flops < flops * 1.02);
        assert_true(train ? plan.backward_flops > 1.8 * flops && plan.backward_flops < 2.1 * flops
                          : plan.backward_flops == 0);
        tsr_par_set_threads(3);
        assert_ok(tsr_exec_create(n.g, &x));
        assert_int_equal(tsr_exec_bytes(x), plan.values_bytes + 3 * plan.scratch_bytes);
        assert_int_equal(tsr_exec_nodes(x), plan.nodes);
        tsr_par_set_threads(0);
        tsr_exec_destroy(x);
        tsr_graph_destroy(n.g);
    }
    tsr_params_destroy(ps);
}

/* A step in an arena full of NaN gives the bytes of one in clean storage, in both precisions. */
static void test_poison(void **state)
{
    (void)state;
    tsr_params *ps;
    make_params(&ps, 3);
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        net n = make_net(ps, 3, 3, 1, (tsr_precision)p);
        size_t count = 3 * 64 * D;
        float *first = NULL, *grads = NULL;
        tsr_exec *x;
        assert_ok(tsr_exec_create(n.g, &x));
        fill(x, n.x, count, 1);
        assert_ok(tsr_alloc(&first, count, sizeof *first));
        assert_ok(tsr_alloc(&grads, 4 * D * D, sizeof *grads));
        for (int round = 0; round < 3; round++) {
            tsr_exec_poison(x, round > 0);
            tsr_params_zero_grads(ps);
            assert_ok(tsr_exec_run(x));
            const tsr_param *w = tsr_params_at(ps, 0);
            if (round == 0) {
                memcpy(first, tsr_exec_value(x, n.y), count * sizeof *first);
                memcpy(grads, w->grad, w->count * sizeof *grads);
            }
            assert_memory_equal(first, tsr_exec_value(x, n.y), count * sizeof *first);
            assert_memory_equal(grads, w->grad, w->count * sizeof *grads);
        }
        /* Gradients add up until they are cleared. */
        assert_ok(tsr_exec_run(x));
        for (size_t i = 0; i < 4 * D * D; i++)
            assert_true(fabsf(tsr_params_at(ps, 0)->grad[i] - 2 * grads[i]) <=
                        1e-4f * (1 + fabsf(grads[i])));
        tsr_free(first);
        tsr_free(grads);
        tsr_exec_destroy(x);
        tsr_graph_destroy(n.g);
    }
    tsr_params_destroy(ps);
}

/* The two halves do what the whole does, and outputs can be read between them. */
static void test_halves(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_exec *x;
    make_params(&ps, 2);
    net n = make_net(ps, 2, 2, 1, TSR_PRECISION_FP32);
    assert_ok(tsr_exec_create(n.g, &x));
    fill(x, n.x, 2 * 64 * D, 9);
    tsr_params_zero_grads(ps);
    assert_ok(tsr_exec_run(x));
    float loss = *(const float *)tsr_exec_value(x, n.loss), g0 = tsr_params_at(ps, 0)->grad[5];
    tsr_params_zero_grads(ps);
    assert_ok(tsr_exec_forward(x));
    assert_true(loss == *(const float *)tsr_exec_value(x, n.loss));
    assert_true(tsr_params_at(ps, 0)->grad[5] == 0);
    assert_ok(tsr_exec_backward(x));
    assert_true(tsr_params_at(ps, 0)->grad[5] == g0);
    tsr_exec_destroy(x);
    tsr_graph_destroy(n.g);
    tsr_params_destroy(ps);
}

/* --- several executors of one graph at once --- */

typedef struct crowd {
    net n;
    float *results; /* [8][64 * D] */
} crowd;

static tsr_status one_of_many(void *ctx, size_t i, int lane)
{
    crowd *c = ctx;
    tsr_exec *x;
    (void)lane;
    TSR_TRY(tsr_exec_create(c->n.g, &x));
    fill(x, c->n.x, 64 * D, (unsigned)i);
    tsr_status st = tsr_exec_run(x);
    memcpy(c->results + i * 64 * D, tsr_exec_value(x, c->n.y), 64 * D * sizeof(float));
    tsr_exec_destroy(x);
    return st;
}

static void test_executors_in_threads(void **state)
{
    (void)state;
    tsr_params *ps;
    make_params(&ps, 3);
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        crowd a = {make_net(ps, 1, 3, 0, (tsr_precision)p), NULL};
        crowd b = {make_net(ps, 1, 3, 0, (tsr_precision)p), NULL};
        assert_ok(tsr_alloc(&a.results, 8 * 64 * D, sizeof(float)));
        assert_ok(tsr_alloc(&b.results, 8 * 64 * D, sizeof(float)));
        tsr_par_set_threads(4);
        assert_ok(tsr_par_for(8, one_of_many, &a));
        tsr_par_set_threads(1);
        assert_ok(tsr_par_for(8, one_of_many, &b));
        tsr_par_set_threads(0);
        assert_memory_equal(a.results, b.results, 8 * 64 * D * sizeof(float));
        tsr_free(a.results);
        tsr_free(b.results);
        tsr_graph_destroy(a.n.g);
        tsr_graph_destroy(b.n.g);
    }
    tsr_params_destroy(ps);
}

/* A sample gives the same bytes alone and in any batch, through several layers. */
static void test_batches(void **state)
{
    (void)state;
    tsr_params *ps;
    float first[64 * D];
    make_params(&ps, 3);
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        for (size_t batch = 1; batch <= 7; batch += 2) {
            net n = make_net(ps, batch, 3, 0, (tsr_precision)p);
            tsr_exec *x;
            tsr_par_set_threads((int)batch);
            assert_ok(tsr_exec_create(n.g, &x));
            fill(x, n.x, batch * 64 * D, 4);
            assert_ok(tsr_exec_run(x));
            if (batch == 1)
                memcpy(first, tsr_exec_value(x, n.y), sizeof first);
            assert_memory_equal(first, tsr_exec_value(x, n.y), sizeof first);
            tsr_exec_destroy(x);
            tsr_graph_destroy(n.g);
        }
    }
    tsr_par_set_threads(0);
    tsr_params_destroy(ps);
}

/* A changed weight is seen by the next run once its version says so. */
static void test_changed_weights(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_exec *x;
    make_params(&ps, 1);
    net n = make_net(ps, 1, 1, 0, TSR_PRECISION_BF16);
    assert_ok(tsr_exec_create(n.g, &x));
    fill(x, n.x, 64 * D, 4);
    assert_ok(tsr_exec_run(x));
    float before = *(const float *)tsr_exec_value(x, n.y);
    tsr_param *w = tsr_params_find(ps, "0.w2");
    for (size_t i = 0; i < w->count; i++)
        w->value[i] = 0;
    tsr_param_touch(w);
    assert_ok(tsr_exec_run(x));
    float after = *(const float *)tsr_exec_value(x, n.y);
    assert_true(before != after);
    assert_true(after == *(float *)tsr_exec_input(x, n.x));
    tsr_exec_destroy(x);
    tsr_graph_destroy(n.g);
    tsr_params_destroy(ps);
}

static void test_nan_goes_through(void **state)
{
    (void)state;
    tsr_params *ps;
    make_params(&ps, 2);
    for (int p = TSR_PRECISION_FP32; p <= TSR_PRECISION_BF16; p++) {
        net n = make_net(ps, 2, 2, 1, (tsr_precision)p);
        tsr_exec *x;
        assert_ok(tsr_exec_create(n.g, &x));
        fill(x, n.x, 2 * 64 * D, 4);
        ((float *)tsr_exec_input(x, n.x))[70 * D + 3] = NAN;
        tsr_params_zero_grads(ps);
        assert_ok(tsr_exec_run(x));
        const float *y = tsr_exec_value(x, n.y);
        for (size_t i = 0; i < 128; i++)
            assert_int_equal(isnan(y[i * D]) != 0, i == 70);
        assert_true(isnan(*(const float *)tsr_exec_value(x, n.loss)));
        assert_true(isnan(tsr_params_at(ps, 0)->grad[0]));
        tsr_exec_destroy(x);
        tsr_graph_destroy(n.g);
    }
    tsr_params_destroy(ps);
}

static void test_precision(void **state)
{
    (void)state;
    tsr_graph *g;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_BF16, &g));
    assert_int_equal(tsr_graph_precision(g), tsr_precision_default());
    tsr_graph_set_precision(g, TSR_PRECISION_FP32);
    assert_int_equal(tsr_graph_precision(g), TSR_PRECISION_FP32);
    tsr_graph_destroy(g);
    if (!tsr_cpu_bf16())
        assert_int_equal(tsr_precision_default(), TSR_PRECISION_FP32);
    tsr_cpu_limit(TSR_CPU_AVX2);
    assert_int_equal(tsr_precision_default(), TSR_PRECISION_FP32);
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_BF16, &g));
    assert_int_equal(tsr_graph_precision(g), TSR_PRECISION_FP32);
    tsr_graph_destroy(g);
    tsr_cpu_limit(TSR_CPU_AVX512);
    assert_string_equal(tsr_precision_name(TSR_PRECISION_BF16), "bf16");
    assert_string_equal(tsr_precision_name(TSR_PRECISION_FP32), "fp32");
}

/* What a recipe says is what an option with these words says. */
static void test_precision_words(void **state)
{
    (void)state;
    static const tsr_field fields[] = {{"p", TSR_FIELD_STRING, NULL, 0, 0, "precision"}};
    static const char *const texts[] = {"{}", "p: auto", "p: fp32", "p: bf16", "p: fp16"};
    static const int chosen[] = {0, 0, 1, 2};
    for (size_t i = 0; i < 5; i++) {
        tsr_recipe *r;
        tsr_precision p = (tsr_precision)9;
        assert_ok(tsr_recipe_parse(texts[i], strlen(texts[i]), "test.yaml", NULL, 0, fields, 1,
                                   &r));
        tsr_status st = tsr_precision_of_recipe(r, "p", &p);
        assert_int_equal(st, i < 4 ? TSR_OK : TSR_ECONFIG);
        assert_int_equal(p, i < 4 ? tsr_precision_chosen(chosen[i]) : (tsr_precision)9);
        tsr_recipe_close(r);
    }
    assert_non_null(strstr(tsr_error(), "\"fp16\" is none of auto, fp32, bf16"));
    assert_int_equal(tsr_precision_chosen(0), tsr_precision_default());
    assert_int_equal(tsr_precision_chosen(1), TSR_PRECISION_FP32);
    assert_int_equal(tsr_precision_chosen(2), TSR_PRECISION_BF16);
}

static void test_first_mistake_sticks(void **state)
{
    (void)state;
    tsr_graph *g;
    tsr_exec *x;
    tsr_plan plan;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value a = tsr_input(g, "a", TSR_F32, 1, (size_t[]){3});
    assert_int_equal(tsr_weight(g, "nothing"), TSR_NONE);
    assert_int_equal(tsr_add(g, a, a), TSR_NONE);
    assert_int_equal(tsr_graph_fail(g, TSR_EARG, "second"), TSR_NONE);
    assert_fails(TSR_ENOENT, tsr_graph_check(g));
    assert_string_equal(tsr_error(), "weight nothing: the graph has no parameters");
    assert_fails(TSR_ENOENT, tsr_graph_plan(g, &plan));
    assert_fails(TSR_ENOENT, tsr_exec_create(g, &x));
    tsr_graph_destroy(g);
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    a = tsr_input(g, "a", TSR_F32, 1, (size_t[]){3});
    tsr_graph_output(g, a);
    assert_ok(tsr_graph_plan(g, &plan));
    assert_int_equal(tsr_scale(g, a, 2), TSR_NONE);
    assert_fails(TSR_EARG, tsr_graph_check(g));
    tsr_graph_destroy(g);
    tsr_graph_destroy(NULL);
    tsr_exec_destroy(NULL);
}

/* Every allocation fails once; nothing leaks, nothing crashes, and the last attempt works. */
static void test_no_memory(void **state)
{
    (void)state;
    tsr_params *ps;
    make_params(&ps, 1);
    assert_ok(tsr_params_need_grads(ps));
    long n = 1;
    for (int done = 0; !done; n++) {
        tsr_graph *g = NULL;
        tsr_exec *x = NULL;
        tsr_par_set_threads(1);
        tsr_mem_fail_after(n);
        if (tsr_graph_create(ps, TSR_PRECISION_FP32, &g) == TSR_OK) {
            tsr_value v = tsr_input(g, "x", TSR_F32, 2, (size_t[]){70, D});
            v = tsr_linear(g, v, weight(g, 0, "w1"), TSR_NONE, TSR_ACT_SILU);
            tsr_graph_output(g, v);
            tsr_value one = tsr_reshape(g, tsr_mul(g, v, v), 2, (size_t[]){70 * 4 * D, 1});
            tsr_graph_backward(g, tsr_sum_leading(g, one, 1, (size_t[]){1}));
            done = tsr_exec_create(g, &x) == TSR_OK && tsr_exec_run(x) == TSR_OK;
        }
        tsr_mem_fail_after(0);
        assert_true(done || tsr_error()[0]);
        tsr_exec_destroy(x);
        tsr_graph_destroy(g);
    }
    tsr_par_set_threads(0);
    assert_true(n > 10);
    tsr_params_destroy(ps);
}

static void test_report(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_exec *x;
    tsr_node_report r;
    make_params(&ps, 2);
    net n = make_net(ps, 2, 2, 1, TSR_PRECISION_FP32);
    assert_ok(tsr_exec_create(n.g, &x));
    assert_ok(tsr_exec_run(x));
    assert_ok(tsr_exec_run(x));
    tsr_exec_report(x, 0, &r);
    assert_string_equal(r.op, "linear");
    assert_string_equal(r.label, "blocks.0");
    assert_int_equal(r.runs, 2);
    assert_int_equal(r.backward, 0);
    assert_true(r.seconds > 0 && r.flops == 2.0 * 128 * D * 4 * D);
    tsr_exec_report(x, tsr_exec_nodes(x) - 1, &r);
    assert_int_equal(r.backward, 1);
    tsr_exec_destroy(x);
    tsr_graph_destroy(n.g);
    tsr_params_destroy(ps);
}

static void test_input_gradient(void **state)
{
    (void)state;
    tsr_graph *g;
    tsr_exec *run;
    assert_ok(tsr_graph_create(NULL, TSR_PRECISION_FP32, &g));
    tsr_value x = tsr_input(g, "x", TSR_F32, 2, (size_t[]){3, 1});
    tsr_graph_want_grad(g, x);
    tsr_value loss = tsr_sum_leading(g, tsr_mul(g, x, x), 1, (size_t[]){1});
    assert_int_equal(tsr_graph_grad(g, x), TSR_NONE);
    tsr_graph_backward(g, loss);
    tsr_value dx = tsr_graph_grad(g, x);
    tsr_graph_output(g, dx);
    assert_ok(tsr_exec_create(g, &run));
    memcpy(tsr_exec_input(run, x), (float[]){1, -2, 3}, 12);
    assert_ok(tsr_exec_run(run));
    assert_memory_equal(tsr_exec_value(run, dx), ((float[]){2, -4, 6}), 12);
    tsr_exec_destroy(run);
    tsr_graph_destroy(g);
}

/* A run that is asked to stop ends between nodes; the next one is as if nothing had been. */
static void runs_stop_when_asked(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_plan plan;
    tsr_exec *x;
    make_params(&ps, 2);
    net n = make_net(ps, 1, 2, 0, TSR_PRECISION_FP32);
    volatile sig_atomic_t stop = 0;
    const tsr_job job = {.stop = &stop};
    float want[64 * D];
    assert_ok(tsr_graph_plan(n.g, &plan));
    assert_ok(tsr_exec_create(n.g, &x));
    tsr_exec_watch(x, &job);
    fill(x, n.x, 64 * D, 1);
    assert_ok(tsr_exec_run(x));
    memcpy(want, tsr_exec_value(x, n.y), sizeof want);
    stop = 1;
    assert_int_equal(tsr_exec_run(x), TSR_ECANCEL);
    tsr_exec_watch(x, NULL);
    fill(x, n.x, 64 * D, 1);
    assert_ok(tsr_exec_run(x));
    assert_memory_equal(want, tsr_exec_value(x, n.y), sizeof want);
    tsr_exec_destroy(x);
    tsr_graph_destroy(n.g);
    tsr_params_destroy(ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_stop_when_asked),
        cmocka_unit_test(test_trivial),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_executors_in_threads),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_changed_weights),
        cmocka_unit_test(test_nan_goes_through),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_precision_words),
        cmocka_unit_test(test_first_mistake_sticks),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_input_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

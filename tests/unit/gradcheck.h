/* SPDX-License-Identifier: Apache-2.0
 * Checks an operation's gradients against finite differences, at every CPU level, and its bytes
 * against other numbers of threads. */
#ifndef TSR_TESTS_GRADCHECK_H
#define TSR_TESTS_GRADCHECK_H

#include "testing.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "nn/graph.h"
#include "nn/ops.h"

#include <math.h>

#define GRADCHECK_INPUTS 8

/* One operand of the function under test. */
typedef struct gradcheck_input {
    int ndim;
    size_t shape[TSR_MAX_DIMS];
    const int32_t *ints;  /* an int32 operand with these values */
    const float *floats;  /* values of a float operand; NULL: random normal */
    int weight;           /* a trained parameter instead of an input */
    int fixed;            /* no gradient is expected */
} gradcheck_input;

/* Appends the function under test to g and returns its result. */
typedef tsr_value (*gradcheck_build)(tsr_graph *g, const tsr_value *in);

typedef struct gradcheck_run {
    tsr_params *params;
    tsr_graph *g;
    tsr_exec *x;
    tsr_value in[GRADCHECK_INPUTS], y, r, grad[GRADCHECK_INPUTS];
    tsr_param *param[GRADCHECK_INPUTS];
    size_t count[GRADCHECK_INPUTS], outputs;
    int n;
} gradcheck_run;

static inline void gradcheck_random(float *x, size_t n, uint64_t index)
{
    tsr_rng r;
    tsr_rng_init(&r, 11, TSR_RNG_TEST, index);
    for (size_t i = 0; i < n; i++)
        x[i] = tsr_rng_normal(&r);
}

static inline float *gradcheck_values(const gradcheck_run *c, int i)
{
    return c->param[i] ? c->param[i]->value : tsr_exec_input(c->x, c->in[i]);
}

static inline const float *gradcheck_grad(const gradcheck_run *c, int i)
{
    if (c->param[i])
        return c->param[i]->grad;
    return c->grad[i] < 0 ? NULL : tsr_exec_value(c->x, c->grad[i]);
}

static inline void gradcheck_operands(gradcheck_run *c, const gradcheck_input *in)
{
    for (int i = 0; i < c->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        if (in[i].weight)
            assert_ok(tsr_params_add(c->params, name, TSR_PARAM_TRAIN, in[i].ndim, in[i].shape,
                                     &c->param[i]));
    }
    assert_ok(tsr_params_need_grads(c->params));
    assert_ok(tsr_graph_create(c->params, TSR_PRECISION_FP32, &c->g));
    for (int i = 0; i < c->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        c->in[i] = in[i].weight ? tsr_weight(c->g, name)
                                : tsr_input(c->g, name, in[i].ints ? TSR_I32 : TSR_F32, in[i].ndim,
                                            in[i].shape);
        c->count[i] = tsr_value_count(c->g, c->in[i]);
        if (!in[i].weight && !in[i].ints && !in[i].fixed)
            tsr_graph_want_grad(c->g, c->in[i]);
    }
}

/* Graph of y and of the gradients of sum(r y), r random. */
static inline void gradcheck_open(gradcheck_run *c, int n, const gradcheck_input *in,
                                  gradcheck_build build)
{
    memset(c, 0, sizeof *c);
    c->n = n;
    assert_ok(tsr_params_create(&c->params));
    gradcheck_operands(c, in);
    c->y = build(c->g, c->in);
    assert_ok(tsr_graph_check(c->g));
    c->outputs = tsr_value_count(c->g, c->y);
    c->r = tsr_input(c->g, "r", TSR_F32, tsr_value_ndim(c->g, c->y), tsr_value_shape(c->g, c->y));
    tsr_graph_output(c->g, c->y);
    tsr_value loss = tsr_sum_leading(
        c->g, tsr_reshape(c->g, tsr_mul(c->g, c->y, c->r), 2, (size_t[]){c->outputs, 1}), 1,
        (size_t[]){1});
    tsr_graph_backward(c->g, loss);
    for (int i = 0; i < n; i++) {
        c->grad[i] = c->param[i] ? TSR_NONE : tsr_graph_grad(c->g, c->in[i]);
        if (c->grad[i] >= 0)
            tsr_graph_output(c->g, c->grad[i]);
    }
    assert_ok(tsr_graph_check(c->g));
    assert_ok(tsr_exec_create(c->g, &c->x));
    tsr_exec_poison(c->x, 1);
    gradcheck_random(tsr_exec_input(c->x, c->r), c->outputs, 99);
    for (int i = 0; i < n; i++) {
        if (in[i].ints)
            memcpy(gradcheck_values(c, i), in[i].ints, c->count[i] * sizeof(int32_t));
        else if (in[i].floats)
            memcpy(gradcheck_values(c, i), in[i].floats, c->count[i] * sizeof(float));
        else
            gradcheck_random(gradcheck_values(c, i), c->count[i], (uint64_t)i);
        if (c->param[i])
            tsr_param_touch(c->param[i]);
    }
}

static inline void gradcheck_close(gradcheck_run *c)
{
    tsr_exec_destroy(c->x);
    tsr_graph_destroy(c->g);
    tsr_params_destroy(c->params);
}

static inline void gradcheck_forward(gradcheck_run *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->param[i])
            tsr_param_touch(c->param[i]);
    tsr_params_zero_grads(c->params);
    assert_ok(tsr_exec_run(c->x));
}

/* sum(r y) in double, after moving one value. */
static inline double gradcheck_moved(gradcheck_run *c, int i, size_t at, float step, double *moved)
{
    float *x = gradcheck_values(c, i), old = x[at];
    double s = 0.0;
    x[at] = old + step;
    *moved = (double)x[at] - (double)old;
    if (c->param[i])
        tsr_param_touch(c->param[i]);
    assert_ok(tsr_exec_forward(c->x));
    const float *y = tsr_exec_value(c->x, c->y), *r = tsr_exec_input(c->x, c->r);
    for (size_t k = 0; k < c->outputs; k++)
        s += (double)y[k] * (double)r[k];
    x[at] = old;
    return s;
}

/* Fourth-order difference: exact to h^4. */
static inline double gradcheck_slope(gradcheck_run *c, int i, size_t at, float h)
{
    double a, b, near_, far_;
    near_ = gradcheck_moved(c, i, at, h, &a);
    near_ -= gradcheck_moved(c, i, at, -h, &b);
    near_ /= a - b;
    far_ = gradcheck_moved(c, i, at, 2 * h, &a);
    far_ -= gradcheck_moved(c, i, at, -2 * h, &b);
    far_ /= a - b;
    return (4.0 * near_ - far_) / 3.0;
}

/* Every gradient within `bound` of the difference, relative to the largest of its operand (at least
 * 1e-2); at most about 60 values of each operand are tried. */
static inline void gradcheck_compare(gradcheck_run *c, const gradcheck_input *in, float h,
                                     double bound)
{
    for (int i = 0; i < c->n; i++) {
        if (in[i].ints || in[i].fixed)
            continue;
        float *copy, top = 1e-2f;
        assert_ok(tsr_alloc(&copy, c->count[i], sizeof *copy));
        gradcheck_forward(c);
        const float *grad = gradcheck_grad(c, i);
        if (!grad)
            fail_msg("operand %d has no gradient %d", i, c->grad[i]);
        memcpy(copy, grad, c->count[i] * sizeof *copy);
        for (size_t k = 0; k < c->count[i]; k++)
            top = fabsf(copy[k]) > top ? fabsf(copy[k]) : top;
        for (size_t k = 0; k < c->count[i]; k += c->count[i] / 60 + 1) {
            double slope = gradcheck_slope(c, i, k, h);
            if (!(fabs(slope - copy[k]) <= bound * top))
                fail_msg("%s: operand %d, value %zu: gradient %g, difference %g (largest %g)",
                         tsr_cpu_name(tsr_cpu()), i, k, copy[k], slope, top);
        }
        tsr_free(copy);
    }
}

/* FNV of the result and all gradients. */
static inline uint64_t gradcheck_bytes(gradcheck_run *c)
{
    uint64_t hash = 1469598103934665603u;
    gradcheck_forward(c);
    for (int i = -1; i < c->n; i++) {
        const unsigned char *p = (const void *)(i < 0 ? tsr_exec_value(c->x, c->y)
                                                      : gradcheck_grad(c, i));
        size_t bytes = p ? (i < 0 ? c->outputs : c->count[i]) * sizeof(float) : 0;
        for (size_t k = 0; k < bytes; k++)
            hash = (hash ^ p[k]) * 1099511628211u;
    }
    return hash;
}

/* The whole check, at each CPU level; leaves the level and threads as they were by default. */
static inline void gradcheck(int n, const gradcheck_input *in, gradcheck_build build, float h,
                             double bound)
{
    for (int level = 0; level <= TSR_CPU_AVX512; level++) {
        gradcheck_run c;
        tsr_cpu_limit((tsr_cpu_level)level);
        if ((int)tsr_cpu() != level)
            continue;
        gradcheck_open(&c, n, in, build);
        gradcheck_compare(&c, in, h, bound);
        tsr_par_set_threads(1);
        uint64_t one = gradcheck_bytes(&c);
        tsr_par_set_threads(2);
        assert_true(gradcheck_bytes(&c) == one);
        tsr_par_set_threads(4);
        assert_true(gradcheck_bytes(&c) == one);
        tsr_par_set_threads(0);
        gradcheck_close(&c);
    }
    tsr_cpu_limit(TSR_CPU_AVX512);
}

#endif

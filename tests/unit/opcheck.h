/* SPDX-License-Identifier: Apache-2.0
 * Checks any operation can use: its gradient against finite differences, its bytes for any number of
 * threads, its kernels of all CPU levels against the reference, its bf16 form against fp32. Where
 * gradcheck.h looks at gradients at each CPU level, this compares levels and precisions.
 *
 *   static tsr_value build(tsr_graph *g, opcheck *c)
 *   {
 *       tsr_value ids = opcheck_ints(g, c, "ids", 1, (size_t[]){3}, (int32_t[]){0, 2, 1});
 *       return tsr_embedding(g, tsr_weight(g, "table"), ids);
 *   }
 *   ...
 *   opcheck c;
 *   opcheck_init(&c, build, 1);
 *   opcheck_param(&c, "table", -1.0f, 1.0f, 2, (size_t[]){4, 8});
 *   opcheck_all(&c, 2e-3);
 *   opcheck_clear(&c);
 *
 * Float operands are parameters, so that each of them gets a gradient. The scalar that is
 * differentiated is sum_i r_i y_i with fixed random r, summed in double from the float32 result y. */
#ifndef TSR_TESTS_OPCHECK_H
#define TSR_TESTS_OPCHECK_H

#include "testing.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "nn/graph.h"
#include "nn/ops.h"

#include <math.h>

#define OPCHECK_INPUTS 8
#define OPCHECK_SAMPLES 40 /* values of each parameter that are shifted */

typedef struct opcheck opcheck;
typedef tsr_value (*opcheck_build)(tsr_graph *g, opcheck *c);

struct opcheck {
    opcheck_build build;
    void *ctx; /* for build */
    uint64_t seed;
    tsr_params *params;
    struct {
        tsr_value v;
        const void *data;
        size_t bytes;
    } inputs[OPCHECK_INPUTS];
    int n_inputs;
    float step; /* of the differences */
};

/* What one run gives: the result, then the gradient of every parameter in order. */
typedef struct opcheck_result {
    float *values;
    size_t n_y, n;
    double loss;
} opcheck_result;

static inline void opcheck_init(opcheck *c, opcheck_build build, uint64_t seed)
{
    *c = (opcheck){.build = build, .seed = seed, .step = 1.0f / 128};
    assert_ok(tsr_params_create(&c->params));
}

static inline void opcheck_clear(opcheck *c)
{
    tsr_params_destroy(c->params);
    *c = (opcheck){0};
}

/* A float operand, uniform in [lo, hi). */
static inline float *opcheck_param(opcheck *c, const char *name, float lo, float hi, int ndim,
                                     const size_t *shape)
{
    tsr_param *p;
    tsr_rng r;
    assert_ok(tsr_params_add(c->params, name, TSR_PARAM_TRAIN, ndim, shape, &p));
    tsr_rng_init(&r, c->seed, TSR_RNG_TEST, tsr_params_count(c->params));
    for (size_t i = 0; i < p->count; i++)
        p->value[i] = tsr_rng_range(&r, lo, hi);
    return p->value;
}

/* An input with fixed data (borrowed), to be called by build. */
static inline tsr_value opcheck_input(tsr_graph *g, opcheck *c, const char *name,
                                        tsr_dtype type, int ndim, const size_t *shape,
                                        const void *data)
{
    tsr_value v = tsr_input(g, name, type, ndim, shape);
    assert_true(c->n_inputs < OPCHECK_INPUTS);
    c->inputs[c->n_inputs].v = v;
    c->inputs[c->n_inputs].data = data;
    c->inputs[c->n_inputs++].bytes = tsr_value_count(g, v) * 4;
    return v;
}

static inline tsr_value opcheck_ints(tsr_graph *g, opcheck *c, const char *name, int ndim,
                                       const size_t *shape, const int32_t *data)
{
    return opcheck_input(g, c, name, TSR_I32, ndim, shape, data);
}

/* One run in an arena full of NaN. Release values with tsr_free. */
static inline opcheck_result opcheck_run(opcheck *c, tsr_precision precision)
{
    tsr_graph *g;
    tsr_exec *x;
    opcheck_result r = {0};
    tsr_rng rng;
    c->n_inputs = 0;
    assert_ok(tsr_graph_create(c->params, precision, &g));
    tsr_value y = c->build(g, c);
    assert_ok(tsr_graph_check(g));
    r.n_y = tsr_value_count(g, y);
    float *mix;
    assert_ok(tsr_alloc(&mix, r.n_y, sizeof *mix));
    tsr_rng_init(&rng, c->seed, TSR_RNG_TEST, 999);
    for (size_t i = 0; i < r.n_y; i++)
        mix[i] = tsr_rng_range(&rng, 0.5f, 1.5f) * (tsr_rng_below(&rng, 2) ? 1.0f : -1.0f);
    tsr_value m = tsr_input(g, "mix", TSR_F32, tsr_value_ndim(g, y), tsr_value_shape(g, y));
    tsr_value all = tsr_reshape(g, tsr_mul(g, y, m), 2, (size_t[]){r.n_y, 1});
    tsr_graph_output(g, y);
    tsr_graph_backward(g, tsr_sum_leading(g, all, 1, (size_t[]){1}));
    assert_ok(tsr_graph_check(g));
    assert_ok(tsr_exec_create(g, &x));
    tsr_exec_poison(x, 1);
    for (int i = 0; i < c->n_inputs; i++)
        memcpy(tsr_exec_input(x, c->inputs[i].v), c->inputs[i].data, c->inputs[i].bytes);
    memcpy(tsr_exec_input(x, m), mix, r.n_y * sizeof *mix);
    tsr_params_zero_grads(c->params);
    assert_ok(tsr_exec_run(x));
    const float *got = tsr_exec_value(x, y);
    r.n = r.n_y;
    for (size_t i = 0; i < tsr_params_count(c->params); i++)
        r.n += tsr_params_at(c->params, i)->grad ? tsr_params_at(c->params, i)->count : 0;
    assert_ok(tsr_alloc(&r.values, r.n, sizeof *r.values));
    memcpy(r.values, got, r.n_y * sizeof *got);
    for (size_t i = 0; i < r.n_y; i++)
        r.loss += (double)mix[i] * got[i];
    size_t at = r.n_y;
    for (size_t i = 0; i < tsr_params_count(c->params); i++) {
        const tsr_param *p = tsr_params_at(c->params, i);
        if (!p->grad)
            continue;
        memcpy(r.values + at, p->grad, p->count * sizeof(float));
        at += p->count;
    }
    tsr_free(mix);
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
    return r;
}

static inline double opcheck_loss_at(opcheck *c, tsr_param *p, size_t i, float value)
{
    float kept = p->value[i];
    p->value[i] = value;
    tsr_param_touch(p);
    opcheck_result r = opcheck_run(c, TSR_PRECISION_FP32);
    p->value[i] = kept;
    tsr_param_touch(p);
    tsr_free(r.values);
    return r.loss;
}

/* Error of the gradients against central differences in fp32: the largest |a_i - n_i| / max(1e-3,
 * max_j |a_j|) of any parameter, a analytic, n = (f(x+h) - f(x-h)) / 2h. Up to OPCHECK_SAMPLES
 * values of each parameter are shifted. Noise of about 1e-4 is normal. */
static inline double opcheck_error(opcheck *c)
{
    opcheck_result base = opcheck_run(c, TSR_PRECISION_FP32);
    double worst = 0;
    size_t at = base.n_y;
    for (size_t k = 0; k < tsr_params_count(c->params); k++) {
        tsr_param *p = tsr_params_at(c->params, k);
        double size = 1e-3;
        if (!(p->flags & TSR_PARAM_TRAIN))
            continue;
        for (size_t i = 0; i < p->count; i++)
            size = fmax(size, fabs((double)base.values[at + i]));
        size_t stride = p->count / OPCHECK_SAMPLES + 1;
        for (size_t i = 0; i < p->count; i += stride) {
            float up = p->value[i] + c->step, down = p->value[i] - c->step;
            double numeric = (opcheck_loss_at(c, p, i, up) - opcheck_loss_at(c, p, i, down)) /
                             ((double)up - (double)down);
            double error = fabs(numeric - (double)base.values[at + i]) / size;
            worst = error > worst || isnan(error) ? error : worst;
        }
        at += p->count;
    }
    tsr_free(base.values);
    return worst;
}

/* Largest |a - b| / max(1e-3, max |b|) over the result and over each gradient apart. */
static inline double opcheck_difference(const opcheck *c, const opcheck_result *a,
                                          const opcheck_result *b)
{
    double worst = 0;
    size_t at = 0, n = a->n_y;
    assert_int_equal(a->n, b->n);
    for (size_t k = 0; at < a->n; k++) {
        double size = 1e-3, error = 0;
        for (size_t i = at; i < at + n; i++) {
            size = fmax(size, fabs((double)b->values[i]));
            double d = fabs((double)a->values[i] - (double)b->values[i]);
            error = d > error || isnan(d) ? d : error;
        }
        worst = error / size > worst || isnan(error) ? error / size : worst;
        at += n;
        while (k < tsr_params_count(c->params) && !tsr_params_at(c->params, k)->grad)
            k++;
        n = k < tsr_params_count(c->params) ? tsr_params_at(c->params, k)->count : 0;
    }
    return worst;
}

/* Results and gradients have the same bytes for 1, 2 and 4 threads. */
static inline void opcheck_threads(opcheck *c, tsr_precision precision)
{
    tsr_par_set_threads(1);
    opcheck_result one = opcheck_run(c, precision);
    for (int threads = 2; threads <= 4; threads *= 2) {
        tsr_par_set_threads(threads);
        opcheck_result r = opcheck_run(c, precision);
        assert_int_equal(r.n, one.n);
        assert_memory_equal(r.values, one.values, r.n * sizeof *r.values);
        tsr_free(r.values);
    }
    tsr_par_set_threads(0);
    tsr_free(one.values);
}

/* The kernels of this machine's best level against the plain ones. */
static inline double opcheck_levels(opcheck *c)
{
    tsr_cpu_limit(TSR_CPU_REF);
    opcheck_result plain = opcheck_run(c, TSR_PRECISION_FP32);
    double worst = 0;
    for (int level = TSR_CPU_AVX2; level <= TSR_CPU_AVX512; level++) {
        tsr_cpu_limit((tsr_cpu_level)level);
        opcheck_result r = opcheck_run(c, TSR_PRECISION_FP32);
        worst = fmax(worst, opcheck_difference(c, &r, &plain));
        tsr_free(r.values);
    }
    tsr_free(plain.values);
    return worst;
}

/* bf16 against fp32; 0 where bf16 is not fast and the graph falls back. */
static inline double opcheck_half(opcheck *c)
{
    opcheck_result a = opcheck_run(c, TSR_PRECISION_BF16);
    opcheck_result b = opcheck_run(c, TSR_PRECISION_FP32);
    double worst = opcheck_difference(c, &a, &b);
    tsr_free(a.values);
    tsr_free(b.values);
    return worst;
}

#define opcheck_below(error, bound)                                                              \
    do {                                                                                           \
        double e_ = (error);                                                                       \
        if (!(e_ <= (bound)))                                                                      \
            fail_msg("%s = %.3g exceeds %.3g", #error, e_, (double)(bound));                       \
    } while (0)

/* Everything: differences below `bound`, levels within 1e-4, bf16 within 4e-2, any threads. */
static inline void opcheck_all(opcheck *c, double bound)
{
    opcheck_below(opcheck_error(c), bound);
    opcheck_below(opcheck_levels(c), 1e-4);
    opcheck_below(opcheck_half(c), 4e-2);
    opcheck_threads(c, TSR_PRECISION_FP32);
    opcheck_threads(c, TSR_PRECISION_BF16);
}

#endif

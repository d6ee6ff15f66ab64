/* SPDX-License-Identifier: Apache-2.0
 * Draws from logits. Weights of all ids are kept in one array of floats, dropped ids at 0. */
#include "trainer/sampling.h"

#include "base/hash.h"
#include "base/rng.h"
#include "nn/kernels.h"

#include <math.h>
#include <string.h>

double tsr_sample_uniform(uint64_t seed, uint64_t key, size_t target, size_t step, size_t place)
{
    uint64_t at[4] = {key, target, step, place};
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_SAMPLE, tsr_hash(at, sizeof at).lo);
    return tsr_rng_double(&r);
}

size_t tsr_sample_bytes(size_t v)
{
    return v * (sizeof(float) + sizeof(uint32_t));
}

static uint32_t arg_max(const float *x, size_t v)
{
    size_t best = 0;
    for (size_t i = 0; i < v; i++) {
        if (isnan(x[i]))
            return UINT32_MAX;
        if (x[i] > x[best])
            best = i;
    }
    return isfinite(x[best]) ? (uint32_t)best : UINT32_MAX;
}

/* The k-th largest of n values (k >= 1), which are put out of order. */
static float kth_largest(float *x, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        float pivot = x[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        while (i <= j) {
            while (x[i] > pivot)
                i++;
            while (x[j] < pivot)
                j--;
            if (i > j)
                break;
            float keep = x[i];
            x[i++] = x[j];
            x[j] = keep;
            if (j == 0)
                break;
            j--;
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
    return x[k - 1];
}

static size_t count_of(double top_k, size_t v)
{
    double k = top_k < 1.0 ? floor(top_k * (double)v) : floor(top_k);
    return k < 1.0 ? 1 : k > (double)v ? v : (size_t)k;
}

/* 1 when id a comes before b: heavier, or as heavy with a lower number. */
static int before(const float *w, uint32_t a, uint32_t b)
{
    return w[a] > w[b] || (w[a] == w[b] && a < b);
}

static void sift(const float *w, uint32_t *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(w, heap[child + 1], heap[child]))
            child++;
        if (!before(w, heap[child], heap[at]))
            return;
        uint32_t keep = heap[at];
        heap[at] = heap[child];
        heap[child] = keep;
    }
}

/* Set to 0 every weight after the shortest prefix, by falling weight, whose share exceeds p. The
 * heap gives ids in that order and is left with those that fall out. */
static void cut_tail(float *w, size_t v, double p, uint32_t *heap)
{
    double all = 0.0, sum = 0.0;
    size_t n = 0;
    for (size_t i = 0; i < v; i++) {
        all += w[i];
        if (w[i] > 0.0f)
            heap[n++] = (uint32_t)i;
    }
    for (size_t i = n / 2; i-- > 0;)
        sift(w, heap, n, i);
    while (n > 0 && sum <= p * all) {
        sum += w[heap[0]];
        heap[0] = heap[--n];
        sift(w, heap, n, 0);
    }
    for (size_t i = 0; i < n; i++)
        w[heap[i]] = 0.0f;
}

/* Weights before the temperature: 1 or exp(logit - max), 0 for what the filters drop. */
static void filter(const float *logits, size_t v, float max, const tsr_sampling *rule, float *w,
                   uint32_t *heap)
{
    float least = -INFINITY;
    if (rule->top_k > 0.0 && count_of(rule->top_k, v) < v) {
        memcpy(w, logits, v * sizeof *w);
        least = kth_largest(w, v, count_of(rule->top_k, v));
    }
    int cut = rule->top_p > 0.0 && rule->top_p < 1.0;
    if (cut)
        tsr_kernels_get()->exp_shift(w, logits, v, max, 1.0f);
    for (size_t i = 0; i < v; i++)
        w[i] = logits[i] < least ? 0.0f : cut ? w[i] : 1.0f;
    if (cut)
        cut_tail(w, v, rule->top_p, heap);
}

/* The largest logit is always kept by filters, and weighs 1. */
tsr_drawn tsr_sample(const float *logits, size_t v, const tsr_sampling *rule, double u, void *work)
{
    const tsr_kernels *k = tsr_kernels_get();
    uint32_t best = arg_max(logits, v), last = best;
    uint32_t *heap = work;
    float *w = (float *)(heap + v);
    double all = 0.0, sum = 0.0, cold = 1.0 / rule->temperature;
    if (best == UINT32_MAX)
        return (tsr_drawn){UINT32_MAX, 0.0f};
    float max = logits[best];
    if (!(rule->temperature >= TSR_GREEDY))
        return (tsr_drawn){best, expf(max - k->log_sum_exp(logits, v))};
    filter(logits, v, max, rule, w, heap);
    for (size_t i = 0; i < v; i++)
        w[i] = w[i] > 0.0f ? (float)((double)(logits[i] - max) * cold) : -INFINITY;
    k->exp_shift(w, w, v, 0.0f, 1.0f);
    for (size_t i = 0; i < v; i++)
        all += w[i];
    for (size_t i = 0; i < v; i++) {
        if (!(w[i] > 0.0f))
            continue;
        sum += w[i];
        last = (uint32_t)i;
        if (sum > u * all)
            break;
    }
    return (tsr_drawn){last, (float)(w[last] / all)};
}

void tsr_sample_guide(float *u, const float *const *c, const double *w, size_t n, size_t v)
{
    if (n == 1 && w[0] == 1.0) {
        memcpy(u, c[0], v * sizeof *u);
        return;
    }
    for (size_t i = 0; i < v; i++) {
        double sum = u[i];
        for (size_t j = 0; j < n; j++)
            if (w[j] != 0.0)
                sum += w[j] * ((double)c[j][i] - (double)u[i]);
        u[i] = (float)sum;
    }
}

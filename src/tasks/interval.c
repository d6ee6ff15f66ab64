/* SPDX-License-Identifier: Apache-2.0
 * Percentile bootstrap of a weighted mean, of a median, and of a ratio of two means. */
#include "tasks/interval.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES 2000

static tsr_status check(const double *v, const double *w, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double weight = w ? w[i] : 1.0;
        if (!isfinite(weight) || weight < 0.0 || (weight > 0.0 && !isfinite(v[i])))
            TSR_FAIL(TSR_ENUMERIC, "figure %zu of %zu is not finite", i, n);
        sum += weight;
    }
    if (!(sum > 0.0) || n > UINT32_MAX)
        TSR_FAIL(TSR_EARG, "no mean of %zu samples", n);
    return TSR_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Mean over a resampling; that of all samples when only samples of weight 0 were drawn. */
static double resampled(const double *v, const double *w, size_t n, tsr_rng *r, double whole)
{
    double sum = 0.0, weight = 0.0;
    for (size_t j = 0; j < n; j++) {
        size_t i = tsr_rng_below(r, (uint32_t)n);
        double one = w ? w[i] : 1.0;
        if (one > 0.0)
            sum += one * v[i];
        weight += one;
    }
    return weight > 0.0 ? sum / weight : whole;
}

tsr_status tsr_interval_mean(const double *v, const double *w, size_t n, uint64_t seed,
                             tsr_interval *out)
{
    double *means = NULL, sum = 0.0, weight = 0.0;
    tsr_rng r;
    TSR_TRY(check(v, w, n));
    TSR_TRY(tsr_alloc(&means, RESAMPLES, sizeof *means));
    *out = (tsr_interval){0};
    for (size_t i = 0; i < n; i++) {
        double one = w ? w[i] : 1.0;
        if (one > 0.0) {
            sum += one * v[i];
            out->samples++;
        }
        weight += one;
    }
    out->value = sum / weight;
    tsr_rng_init(&r, seed, TSR_RNG_BOOTSTRAP, n);
    for (size_t k = 0; k < RESAMPLES; k++)
        means[k] = resampled(v, w, n, &r, out->value);
    qsort(means, RESAMPLES, sizeof *means, ascending);
    out->low = means[(size_t)(0.025 * RESAMPLES)];
    out->high = means[(size_t)(0.975 * RESAMPLES) - 1];
    tsr_free(means);
    return TSR_OK;
}

/* Sorts v. */
static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return 0.5 * (v[(n - 1) / 2] + v[n / 2]);
}

tsr_status tsr_interval_median(const double *v, size_t n, uint64_t seed, tsr_interval *out)
{
    double *all = NULL, *drawn = NULL;
    tsr_rng r;
    tsr_status st;
    TSR_GO(check(v, NULL, n));
    TSR_GO(tsr_alloc(&all, RESAMPLES, sizeof *all));
    TSR_GO(tsr_alloc(&drawn, n, sizeof *drawn));
    memcpy(drawn, v, n * sizeof *v);
    *out = (tsr_interval){.value = median(drawn, n), .samples = n};
    tsr_rng_init(&r, seed, TSR_RNG_BOOTSTRAP, n);
    for (size_t k = 0; k < RESAMPLES; k++) {
        for (size_t i = 0; i < n; i++)
            drawn[i] = v[tsr_rng_below(&r, (uint32_t)n)];
        all[k] = median(drawn, n);
    }
    qsort(all, RESAMPLES, sizeof *all, ascending);
    out->low = all[(size_t)(0.025 * RESAMPLES)];
    out->high = all[(size_t)(0.975 * RESAMPLES) - 1];
out:
    tsr_free(all);
    tsr_free(drawn);
    return st;
}

static double ratio(double a, double b)
{
    return b > 0.0 ? a / b : a > 0.0 ? INFINITY : NAN;
}

/* NAN last. */
static int ascending_or_nan(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return ascending(a, b);
}

/* Sums of both over a resampling, or over the samples themselves when r is NULL. */
static double ratio_of(const double *a, const double *b, const double *w, size_t n, tsr_rng *r)
{
    double p = 0.0, q = 0.0;
    for (size_t j = 0; j < n; j++) {
        size_t i = r ? tsr_rng_below(r, (uint32_t)n) : j;
        double one = w ? w[i] : 1.0;
        if (one > 0.0) {
            p += one * a[i];
            q += one * b[i];
        }
    }
    return ratio(p, q);
}

tsr_status tsr_interval_ratio(const double *a, const double *b, const double *w, size_t n,
                              uint64_t seed, tsr_interval *out)
{
    double *all = NULL;
    tsr_rng r;
    TSR_TRY(check(a, w, n));
    TSR_TRY(check(b, w, n));
    TSR_TRY(tsr_alloc(&all, RESAMPLES, sizeof *all));
    *out = (tsr_interval){.value = ratio_of(a, b, w, n, NULL)};
    for (size_t i = 0; i < n; i++)
        out->samples += !w || w[i] > 0.0;
    tsr_rng_init(&r, seed, TSR_RNG_BOOTSTRAP, n);
    for (size_t k = 0; k < RESAMPLES; k++)
        all[k] = ratio_of(a, b, w, n, &r);
    qsort(all, RESAMPLES, sizeof *all, ascending_or_nan);
    out->low = all[(size_t)(0.025 * RESAMPLES)];
    out->high = all[(size_t)(0.975 * RESAMPLES) - 1];
    tsr_free(all);
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Confidence intervals of means over samples, by the bootstrap. */
#ifndef TSR_TASKS_INTERVAL_H
#define TSR_TASKS_INTERVAL_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_interval {
    double value;     /* mean */
    double low, high; /* 95 % percentile interval of resampled means */
    size_t samples;
} tsr_interval;

/* Mean of v[0..n) and its interval from 2,000 resamplings of the n samples; a function of (v,
 * seed). With weights w [n] (NULL: 1) the mean is sum(w v) / sum(w), resampled in pairs; samples of
 * weight 0 do not count. Errors   TSR_EARG when n is 0 or no weight is positive, TSR_ENUMERIC for
 * values not finite. Source   Efron 1979, "Bootstrap methods: another look at the jackknife";
 * percentile method. */
TSR_USE tsr_status tsr_interval_mean(const double *v, const double *w, size_t n, uint64_t seed,
                                     tsr_interval *out);

/* The same for the median of v[0..n), the mean of the middle two for even n. Cost: sorts n values
 * for each resampling. */
TSR_USE tsr_status tsr_interval_median(const double *v, size_t n, uint64_t seed, tsr_interval *out);

/* Ratio of two means over the same samples, mean(a) / mean(b), and its interval, resampled in
 * pairs. A mean of b that is not positive gives INFINITY, or NAN when a's is 0 too; the bounds
 * likewise. Weights and errors as above. */
TSR_USE tsr_status tsr_interval_ratio(const double *a, const double *b, const double *w, size_t n,
                                      uint64_t seed, tsr_interval *out);

#endif

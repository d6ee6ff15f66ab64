/* SPDX-License-Identifier: Apache-2.0
 * Budgets: how many tokens of each modality, from Dirichlet shares of a total.
 *
 * Gamma variates are kept as logarithms, so that concentrations down to 1e-9, whose variates are
 * far below the smallest double, still have proportions:
 *
 *   log G(a) = log G(a + 1) + log(U) / a
 *
 * Source   Marsaglia and Tsang 2000, "A simple method for generating gamma variables" (a >= 1, and
 * the identity above); Mizrahi et al. 2023, arXiv:2312.06647, section 2.2 (budgets). */
#ifndef TSR_TRAINER_BUDGET_H
#define TSR_TRAINER_BUDGET_H

#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_ALPHA_LEAST 1e-9 /* smallest concentration; 0 means: never */
#define TSR_ALPHA_MOST  1e6

/* Logarithm of one gamma variate of shape alpha (scale 1), alpha in [TSR_ALPHA_LEAST,
 * TSR_ALPHA_MOST]. Always finite. */
double tsr_log_gamma(double alpha, tsr_rng *rng);

/* Log gamma variates of n shapes; -infinity where alpha is 0 (no random number is used there). */
void tsr_log_gammas(const double *alpha, size_t n, tsr_rng *rng, double *log_g);

/* Proportions of log gammas, a draw of a Dirichlet distribution: p[i] = exp(log_g[i]) / sum; all 0
 * when every log_g is -infinity. */
void tsr_proportions(const double *log_g, size_t n, double *p);

/* Whole numbers b[i] in the proportions of log_g, with low[i] <= b[i] <= high[i] and sum exactly
 * min(total, sum of high), where i with log_g -infinity get 0.
 *
 * Floors are given first (low NULL: none; floors that exceed the total are given in order), the
 * rest is shared. Whoever's share reaches its room is filled, and what it leaves is shared among
 * the others in the same proportions: given that some are full, the proportions of the others are
 * still those of a Dirichlet distribution of their own concentrations and independent of the full
 * ones' (its neutrality: Connor and Mosimann 1969), so no new draw is needed, and what is handed on
 * has means in proportion to the concentrations. Shares become whole by one uniform offset u: b[i]
 * = floor(C[i] + u) - floor(C[i-1] + u) with C the running sum. Unlike largest remainders or extra
 * draws this leaves every mean exactly at its share, and it costs one random number.
 *
 * n <= 64. Returns the sum. */
uint32_t tsr_budget_share(const double *log_g, const uint32_t *low, const uint32_t *high, size_t n,
                          uint32_t total, tsr_rng *rng, uint32_t *b);

/* The published rule: b[i] = floor(p[i] total) in float32, each missing one to the largest of a
 * fresh draw, then b[i] = min(b[i], cap[i]), and what the caps cut is lost. Concentrations below
 * TSR_ALPHA_LEAST count as that. n <= 64. Returns the sum. */
uint32_t tsr_budget_published(const double *alpha, const uint32_t *cap, size_t n, uint32_t total,
                              tsr_rng *rng, uint32_t *b);

#endif

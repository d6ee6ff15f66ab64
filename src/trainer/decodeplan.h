/* SPDX-License-Identifier: Apache-2.0
 * Plans of decoding: how many places each step fills, at which temperature, in which order.
 * Source   Mizrahi et al. 2023, arXiv:2312.06647, appendix; Chang et al. 2022, arXiv:2202.04200. */
#ifndef TSR_TRAINER_DECODEPLAN_H
#define TSR_TRAINER_DECODEPLAN_H

#include "base/status.h"
#include "trainer/generate.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_DECODE_STEPS 65536 /* at most */

/* Tokens of each step; they sum to n exactly.
 *
 *   cosine  s_i = (1 + cos(pi i / S)) / 2; round(n (s_i - s_{i+1})), halves to even; the last step
 * takes what is left. Few, many, few; steps may be empty when S is large against n. A step never
 * takes more than is left. linear  differences of floor(i n / S), in descending order; empty steps
 * are left out.
 *
 * counts  [steps], the first *used are set
 * Errors  TSR_EARG for 0 steps or more than TSR_DECODE_STEPS. */
TSR_USE tsr_status tsr_decode_counts(tsr_token_schedule schedule, size_t n, size_t steps,
                                     uint32_t *counts, size_t *used);

/* Temperature of each of the `used` steps of counts (at least 1e-9 unless T is 0, which is arg max
 * throughout).
 *
 *   constant  T
 *   linear    T (tokens left before the step) / n
 *   onex      y_k = x_k^-power over n points x from 1 to 100, shifted and scaled to [0, 1];
 *             step j: cool_to + (T - cool_to) y_j (1 - share decoded after step j) */
void tsr_decode_temperatures(const tsr_target *t, size_t n, const uint32_t *counts, size_t used,
                             double *temperatures);

/* The order in which places are decoded at random: a permutation of [0, n), a function of
 * (seed, key, target) alone. */
void tsr_decode_order(uint64_t seed, uint64_t key, size_t target, uint32_t *places, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * From logits to tokens: guidance, filters, temperature, the draw. */
#ifndef TSR_TRAINER_SAMPLING_H
#define TSR_TRAINER_SAMPLING_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_GREEDY 1e-10 /* temperatures below it mean arg max */

/* How one token is drawn. Filters act on the logits before the temperature. */
typedef struct tsr_sampling {
    double temperature;
    double top_k; /* >= 1: count; in (0, 1): share of the vocabulary, rounded down, at least 1; 0:
                     off */
    double top_p; /* 0 or >= 1: off */
} tsr_sampling;

typedef struct tsr_drawn {
    uint32_t id;      /* UINT32_MAX: the logits hold NaN or no finite maximum */
    float confidence; /* probability of id as it was drawn; arg max: at temperature 1, unfiltered */
} tsr_drawn;

/* Uniform in [0, 1) for one draw: a function of these numbers alone. */
double tsr_sample_uniform(uint64_t seed, uint64_t key, size_t target, size_t step, size_t place);

/* Bytes of work space of a draw from v logits. */
size_t tsr_sample_bytes(size_t v);

/* Draw from softmax(filtered logits / temperature) with the uniform number u.
 *
 * top-k  keeps the k largest logits; those that tie with the k-th stay
 * top-p  keeps, by falling probability (ties: the lower id first), the shortest prefix whose sum
 *        exceeds p; the first always stays
 * arg max: the lowest id of the largest logits.
 *
 * logits  [v], v >= 1
 * work    tsr_sample_bytes(v), aligned to 8
 * Source  Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751. */
tsr_drawn tsr_sample(const float *logits, size_t v, const tsr_sampling *rule, double u, void *work);

/* Guided logits, u + sum_i w[i] (c[i] - u), in place of u.
 * u [v]; c [n] rows of v. Exactly c[0] when n is 1 and w[0] is 1; exactly u when every weight is 0.
 * Source  Ho and Salimans 2022, arXiv:2207.12598; Liu et al. 2022, arXiv:2206.01714 (several). */
void tsr_sample_guide(float *u, const float *const *c, const double *w, size_t n, size_t v);

#endif

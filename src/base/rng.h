/* SPDX-License-Identifier: Apache-2.0
 * Random numbers that depend on (seed, purpose, index) alone, never on threads or on order.
 * Source   Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". */
#ifndef TSR_BASE_RNG_H
#define TSR_BASE_RNG_H

#include <stdint.h>

/* What a stream is used for. Two purposes with the same seed and index share nothing.
 * Append only: a number changes results of every recipe that was ever run. */
typedef enum tsr_purpose {
    TSR_RNG_TEST = 0,
    TSR_RNG_INIT = 1,       /* initial weights; index = hash of the parameter's name */
    TSR_RNG_ORDER = 2,      /* order of samples; index = epoch */
    TSR_RNG_AUGMENT = 3,    /* crops, flips; index = epoch << 40 | sample */
    TSR_RNG_CODEBOOK = 4,   /* dead-code replacement, k-means seeds; index = step */
    TSR_RNG_DROPOUT = 5,
    TSR_RNG_MASK = 6,       /* budgets and masks of the masked model */
    TSR_RNG_SAMPLE = 7,     /* generation */
    TSR_RNG_SCENE = 8,      /* synthetic scenes; index = scene */
    TSR_RNG_CROP = 9,       /* crops of a corpus; index = hash of the sample's key */
    TSR_RNG_PHASE = 10,     /* start phases of Griffin-Lim; index = hash of the tokens */
    TSR_RNG_BOOTSTRAP = 11, /* confidence intervals */
    TSR_RNG_EVAL = 12,
    TSR_RNG_KMEANS = 13,    /* the k-means baseline and palettes */
    TSR_RNG_DIFFUSION = 14, /* noise of diffusion decoders; index = sample */
    TSR_RNG_WORDS = 15,     /* order within records, query points; index = hash of the record + crop */
} tsr_purpose;

typedef struct tsr_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    unsigned next; /* unread word of block; 4 = none */
} tsr_rng;

/* A stream of its own for (seed, purpose, index). */
void tsr_rng_init(tsr_rng *r, uint64_t seed, tsr_purpose purpose, uint64_t index);

/* Uniform over all values of the type. */
uint32_t tsr_rng_u32(tsr_rng *r);
uint64_t tsr_rng_u64(tsr_rng *r);

/* Uniform integer in [0, n), without bias; n >= 1. */
uint32_t tsr_rng_below(tsr_rng *r, uint32_t n);

/* Uniform in [0, 1), 24 bits. */
float tsr_rng_float(tsr_rng *r);

/* Uniform in [0, 1), 53 bits. */
double tsr_rng_double(tsr_rng *r);

/* Uniform in [lo, hi). */
float tsr_rng_range(tsr_rng *r, float lo, float hi);

/* Standard normal (Box-Muller, the cosine branch only, so that one call is one draw). */
float tsr_rng_normal(tsr_rng *r);

/* One Philox4x32-10 block, for tests against the published vectors. */
void tsr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A bijection of [0, n) chosen by (seed, purpose, index): position i of the shuffled order.
 * Cycle-walking Feistel network, O(1) memory; expected under 4 rounds of walking.
 * n >= 1, i < n. */
uint64_t tsr_rng_permute(uint64_t i, uint64_t n, uint64_t seed, tsr_purpose purpose,
                         uint64_t index);

#endif

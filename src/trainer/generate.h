/* SPDX-License-Identifier: Apache-2.0
 * Generation: any given modalities to a chain of targets.
 *
 * State: for each of several samples, what is known of each modality. Conditions are known wholly
 * or in part; each target of the chain is predicted in turn and then counts as known. Of a target,
 * too, something may be given: only what is missing is predicted then. Grids are filled in steps
 * (MaskGIT: all missing places are predicted and the surest kept; random order: places drawn at
 * random are predicted together); sequences are written token by token with cached keys and values.
 * Source   Mizrahi et al. 2023, arXiv:2312.06647, section 3.3 and appendix; Chang et al. 2022,
 * arXiv:2202.04200 (MaskGIT); Ho and Salimans 2022, arXiv:2207.12598 (guidance). */
#ifndef TSR_TRAINER_GENERATE_H
#define TSR_TRAINER_GENERATE_H

#include "base/job.h"
#include "base/status.h"
#include "nn/graph.h"
#include "trainer/example.h"
#include "trainer/fm.h"

typedef enum tsr_scheme {
    TSR_SCHEME_MASKGIT,
    TSR_SCHEME_ROAR,           /* random order, autoregressive over steps */
    TSR_SCHEME_AUTOREGRESSIVE, /* sequences */
} tsr_scheme;

typedef enum tsr_token_schedule {
    TSR_TOKENS_COSINE,
    TSR_TOKENS_LINEAR,
} tsr_token_schedule;

typedef enum tsr_temperature_schedule {
    TSR_TEMPERATURE_CONSTANT,
    TSR_TEMPERATURE_LINEAR,
    TSR_TEMPERATURE_ONEX, /* 1 / x^power, from T to the minimum */
} tsr_temperature_schedule;

/* One target of a chain. */
typedef struct tsr_target {
    size_t m; /* modality */
    tsr_scheme scheme;
    size_t steps;
    tsr_token_schedule tokens;
    double temperature;
    tsr_temperature_schedule cooling;
    double cool_to, power; /* onex: minimum and exponent, published 0.5 and 0.5 */
    double top_k, top_p;   /* see tsr_sampling; 0: off */
    double guidance;       /* logits = u + g (c - u); exactly c at 1 and u at 0, in one pass */
    size_t max_tokens;     /* sequences: at most so many; 0: the modality's */
} tsr_target;

/* Defaults that suit the modality: grids random order 8 steps, linear, temperature 1, top-p 0.9;
 * sequences autoregressive at 0.3, top-p 0.9; guidance 1. */
tsr_target tsr_target_defaults(const tsr_mods *mods, size_t m);

typedef struct tsr_generator tsr_generator;

typedef struct tsr_generator_spec {
    size_t samples; /* generated side by side at most; 0: 16 */
    tsr_precision precision;
    const tsr_target *chain; /* copied */
    size_t n_chain;
    /* Finished grids join the guided conditions: they are hidden from u as well. Otherwise they
     * stay visible to both. Finished sequences never join, as published. */
    int grow;
    /* NULL: one joint condition, weighed by each target's guidance. Else [mods], copied: every
     * given modality, and every finished target, is a condition of its own; logits = u + sum w_i
     * (c_i - u), c_i sees modality i alone, u none of them; those of weight 0 are not looked at,
     * and guidance is not used. */
    const double *weights;
    /* A sequence that is still to be generated shows one [S_1] to the encoder, and a sequence
     * hidden from u leaves one behind: the published models were trained and sampled so. 1: they
     * show nothing, for models trained without. */
    int no_sentinel;
    uint64_t seed;
} tsr_generator_spec;

/* The model is borrowed. Errors: TSR_ECONFIG for a chain that cannot be (a target that is no
 * output, a scheme that does not fit the modality), TSR_ENOMEM. */
TSR_USE tsr_status tsr_generator_create(tsr_fm *m, const tsr_generator_spec *spec,
                                        tsr_generator **out);
void tsr_generator_destroy(tsr_generator *g);

/* Generate for n samples (any number: done in groups of spec.samples).
 *
 * given  [n][mods] what each sample has as condition (present 0: nothing). Borrowed during the
 * call. Sequences count up to and including [EOS], or up to the modality's longest. A target may be
 * given in part: a grid with some places unknown (tsr_held.known), a sequence with sentinels [S_1],
 * [S_2] ... where something is missing. What is given is shown in every pass, guided or not, and
 * comes out unchanged; schedules count what is missing, and max_tokens what is written. key    [n]
 * identifies a sample and variant: its randomness is a function of (seed, key) and the target's
 * place in the chain. A sample's result does not depend on its neighbours, on spec.samples or on
 * threads. The chain's results are read with tsr_generator_result. Errors   TSR_EARG a condition
 * that is no input of the model, or a target without anything missing; TSR_EFORMAT a grid with a
 * wrong number of tokens, an id outside its vocabulary, sentinels out of order; TSR_ENUMERIC logits
 * that are not finite; TSR_ECANCEL. */
TSR_USE tsr_status tsr_generator_run(tsr_generator *g, const tsr_held *const *given,
                                     const uint64_t *key, size_t n, const tsr_job *job);

/* Tokens of target m of sample i after a run. Borrowed until the next run. Sequences end before
 * [EOS], also when it was not reached. NULL and 0 when m is no target. */
const uint32_t *tsr_generator_result(const tsr_generator *g, size_t i, size_t m, size_t *count);

/* The same as a condition of a further generation: with the [EOS] that was reached. Left alone when m
 * is no target. Borrowed until the next run. */
void tsr_generator_held(const tsr_generator *g, size_t i, size_t m, tsr_held *out);

/* What the last run cost, over all targets. */
typedef struct tsr_generator_cost {
    double seconds, flops;
    double of_target[TSR_MODALITIES]; /* seconds of each in the chain, first use of weights included */
    uint64_t tokens; /* written, over all samples */
    uint64_t passes; /* encoder passes of one stream (a guided sample has two or more) */
} tsr_generator_cost;
tsr_generator_cost tsr_generator_get_cost(const tsr_generator *g);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * How likely are given tokens: log p(candidate | given) by the chain rule, for choosing among
 * candidates and for the information that modalities have about each other.
 *
 * Sequences: the exact sum over their tokens in order, terminator included, each given all before.
 * Grids: the places are split into K groups of a fixed order; log p = sum over groups of the sum of
 * log p(token | given, tokens of earlier groups). K = 1 takes the places as independent given the
 * input; K = places is the exact chain rule of that order. Candidates of one modality share the
 * order, so that their scores compare. No sampling, no temperature, no guidance.
 * Source   Mizrahi et al. 2023, arXiv:2312.06647, section 3.3 (the chain rule over masks). */
#ifndef TSR_TRAINER_SCORE_H
#define TSR_TRAINER_SCORE_H

#include "base/job.h"
#include "base/status.h"
#include "nn/graph.h"
#include "trainer/example.h"
#include "trainer/fm.h"

typedef struct tsr_scorer_spec {
    tsr_precision precision;
    size_t samples;    /* passes computed side by side at most; 0: 16 */
    size_t grid_steps; /* K, cut to the places there are; 0: 8 */
    uint64_t seed;     /* of the order of places */
    int no_sentinel; /* 1: do not show [S_1] for the sequence that is scored (tsr_generator_spec) */
} tsr_scorer_spec;

typedef struct tsr_scorer tsr_scorer;

/* The model is borrowed. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_scorer_create(tsr_fm *m, const tsr_scorer_spec *spec, tsr_scorer **out);
void tsr_scorer_destroy(tsr_scorer *s);

/* One question. */
typedef struct tsr_query {
    const tsr_held *given;     /* [mods] conditions; what is there of modality m is not looked at */
    size_t m;                  /* modality of the candidate, an output of the model */
    const tsr_held *candidate; /* grids: all places; sequences: ids with or without [EOS] */
} tsr_query;

/* log_p   [n] in nats; <= 0
 * tokens  [n] tokens that were predicted (grids: places; sequences: [EOS] and terminator
 *         included), to make means; or NULL
 * A sequence longer than the modality's longest is cut there, as in training. A result depends on
 * its query alone, not on its neighbours or on threads. Errors   TSR_EARG a modality that is no
 * output, no candidate; TSR_EFORMAT a grid with a wrong number of tokens or an id outside its
 * vocabulary; TSR_ECANCEL. */
TSR_USE tsr_status tsr_score(tsr_scorer *s, const tsr_query *queries, size_t n, double *log_p,
                             size_t *tokens, const tsr_job *job);

#endif

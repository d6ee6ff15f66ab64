/* SPDX-License-Identifier: Apache-2.0
 * Sequences written token by token: the encoder runs once, keys and values of its context and of
 * the tokens so far are kept, and a step computes one new row for each pass.
 *
 * The logits are those that a net in LOGITS mode gives for the whole sequence so far, to rounding:
 * everything in the decoder of a sequence is causal and the context does not change. */
#ifndef TSR_TRAINER_FMCACHE_H
#define TSR_TRAINER_FMCACHE_H

#include "nn/graph.h"
#include "trainer/example.h"
#include "trainer/fm.h"

/* What a cache can hold at most. */
typedef struct tsr_fmcache_spec {
    tsr_precision precision;
    size_t passes;                /* sequences side by side */
    size_t in_rows;               /* input rows over all of them */
    size_t in_of[TSR_MODALITIES]; /* of each modality */
    size_t longest;               /* tokens of one sequence, the first [S_1] included */
} tsr_fmcache_spec;

typedef struct tsr_fmcache tsr_fmcache;

/* The model is borrowed and must outlive the cache. Errors: TSR_EARG, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fmcache_create(tsr_fm *m, const tsr_fmcache_spec *spec, tsr_fmcache **out);
void tsr_fmcache_destroy(tsr_fmcache *c);

/* Begin n sequences of modality m: encode the input sides of the examples (their target sides are
 * not looked at), and forget what was written. Errors   TSR_EARG m is no sequence among the
 * outputs, a capacity is exceeded, an id is out of range. */
TSR_USE tsr_status tsr_fmcache_start(tsr_fmcache *c, size_t m, const tsr_example *const *examples,
                                     size_t n);

/* Append one token to each of `count` sequences and compute the logits after it.
 * passes  [count] ascending indices of the sequences started; the rest stand still
 * ids     [count] tokens; the first is [S_1]
 * *logits [count, V], borrowed until the next call
 * Errors   TSR_EARG beyond `longest`, or an id out of range. */
TSR_USE tsr_status tsr_fmcache_step(tsr_fmcache *c, const size_t *passes, const int32_t *ids,
                                    size_t count, const float **logits);

/* Floating-point operations since the cache was made. */
double tsr_fmcache_flops(const tsr_fmcache *c);

#endif

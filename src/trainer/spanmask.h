/* SPDX-License-Identifier: Apache-2.0
 * Sentinel span masking of sequences, and putting a prediction back into its input.
 *
 * Each token is kept with probability `keep`. A run of dropped tokens is replaced in the input by
 * one sentinel and listed in the target behind that sentinel; one more sentinel ends the target:
 *
 *   a b c d e with b, c, e dropped:  input a [S_1] d [S_2]   target [S_1] b c [S_2] e [S_3]
 *
 * Source   Raffel et al. 2020, arXiv:1910.10683, section 3.1.4; Mizrahi et al. 2023,
 * arXiv:2312.06647. */
#ifndef TSR_TRAINER_SPANMASK_H
#define TSR_TRAINER_SPANMASK_H

#include "base/rng.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_span_spec {
    const uint32_t *ids;   /* [count], no sentinels among them */
    const uint8_t *starts; /* [count] 1 where a chunk begins, which is kept or dropped as one; NULL:
                              every token is a chunk */
    uint32_t count;
    double keep;        /* probability in [0, 1] */
    uint32_t most;      /* input tokens at most; 0: no input, not even a sentinel */
    uint32_t sentinels; /* the vocabulary has [S_0] .. [S_(sentinels - 1)]; >= 3 */
} tsr_span_spec;

/* Tokens a target of `count` tokens can have at most: count + 2. */
#define TSR_SPAN_TARGET(count) ((count) + 2)

typedef struct tsr_span {
    uint32_t *input;        /* [max(count, 1)] caller's storage */
    uint32_t *target;       /* [TSR_SPAN_TARGET(count)] caller's storage */
    uint8_t *target_starts; /* [TSR_SPAN_TARGET(count)] caller's storage for the marks of chunks in
                               the target (sentinels are chunks), or NULL: not wanted */
    uint32_t n_input, n_target;
} tsr_span;

/* Mask once with probability s->keep, then, while the input is longer than s->most, again with
 * 0.9 times the probability before. Runs are numbered from 1; the vocabulary's last sentinel is
 * kept for the end, and when it runs out of numbers the last run goes on to the end of the
 * sequence. */
void tsr_span_mask(const tsr_span_spec *s, tsr_rng *rng, tsr_span *out);

/* Shorten the target to at most `most` tokens, as published: a sentinel is drawn (never the last,
 * unless there is no other); if `most` tokens follow from there on, these are kept, else all from
 * the earliest sentinel with at most `most` tokens up to the end. With target_starts the piece ends
 * before a chunk that would be cut. The piece is moved to the front; its length is stored and
 * returned. A target that fits stays as it is and uses no random number. */
uint32_t tsr_span_truncate(const tsr_span_spec *s, uint32_t most, tsr_rng *rng, tsr_span *span);

/* The sequence from an input with sentinels and a (predicted) target: each sentinel of the input is
 * replaced by the tokens that follow the same sentinel in the target, up to the next one; a
 * sentinel that the target lacks is left out. Tokens before the first sentinel of the target belong
 * to none, and those of a sentinel that the input lacks are dropped; if a sentinel comes twice in
 * the target, its first run counts (a repeated one is surplus of a prediction that went on after
 * its end).
 *
 * An input of no tokens stands for one whose only token is [S_1]: it is what is shown of a sequence
 * that is predicted from nothing.
 *
 * out    [cap] tokens                                  out
 * Errors TSR_ELIMIT when there are more than cap. */
TSR_USE tsr_status tsr_span_rebuild(const uint32_t *input, uint32_t n_input, const uint32_t *target,
                                    uint32_t n_target, uint32_t sentinels, uint32_t *out,
                                    uint32_t cap, uint32_t *n_out);

#endif

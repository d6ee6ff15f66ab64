/* SPDX-License-Identifier: Apache-2.0
 * The honest baseline of a network tokenizer: k-means on raw patches, as many centres as the
 * tokenizer has codes, hence the same number of bits. */
#ifndef TSR_TOKENIZERS_PATCHMEANS_H
#define TSR_TOKENIZERS_PATCHMEANS_H

#include "base/job.h"
#include "base/rng.h"
#include "tokenizers/trainable.h"

#include <stddef.h>

typedef struct tsr_patchmeans tsr_patchmeans;

/* For tokenizer t, which must outlive it. TSR_EUNSUPPORTED for kinds without a network. */
TSR_USE tsr_status tsr_patchmeans_create(const tsr_tokenizer *t, tsr_patchmeans **out);
void tsr_patchmeans_destroy(tsr_patchmeans *b);

/* Numbers in a patch (classes count as one-hot planes), and patches in an item. */
size_t tsr_patchmeans_dim(const tsr_patchmeans *b);
size_t tsr_patchmeans_per_item(const tsr_patchmeans *b);

/* n patches of a sample, item and places drawn from rng, into points [n, dim]. Thread-safe. */
TSR_USE tsr_status tsr_patchmeans_draw(const tsr_patchmeans *b, const tsr_inputs *in, size_t n,
                                       tsr_rng *rng, float *points);

/* Centres from points [n, dim]; seed and rounds as in dsp/kmeans.h. */
TSR_USE tsr_status tsr_patchmeans_fit(tsr_patchmeans *b, const float *points, size_t n, int rounds,
                                      uint64_t seed, const tsr_job *job);

/* The sample as the centres give it back, every patch replaced by the nearest. Thread-safe. */
TSR_USE tsr_status tsr_patchmeans_rebuild(const tsr_patchmeans *b, const tsr_inputs *in,
                                          tsr_media *out);

#endif

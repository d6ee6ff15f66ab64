/* SPDX-License-Identifier: Apache-2.0
 * How good a tokenizer is on samples it was not trained on: quality, use of codes, speed. */
#ifndef TSR_PIPELINE_TOKEVAL_H
#define TSR_PIPELINE_TOKEVAL_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "pipeline/dataset.h"
#include "tokenizers/patchmeans.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/trainable.h"

/* Encode, decode and judge the first `limit` samples (0: all), in parallel; the figures do not depend
 * on the number of threads. A sample that fails is counted and left out.
 *
 * *out: {metric, value, higher_is_better, quality: {name: mean}, samples, samples_bad, tokens,
 *        codes_used, codebook_size, perplexity, bits_per_sample, samples_per_second}
 * samples_per_second is the rate of encoding alone, media already decoded, over all threads.
 * Errors   TSR_EFORMAT when no sample could be judged, TSR_ECANCEL, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokeval_run(const tsr_tokenizer *t, tsr_dataset *d, size_t limit,
                                   const tsr_job *job, json_t **out);

/* 1 when more of this figure is better ("psnr_db"), 0 when less is ("absrel"). */
int tsr_metric_higher_is_better(const char *metric);

/* out.quality = mean of each figure over the samples that have one (NULL: it failed), added in order;
 * *judged is their number, maybe 0. */
TSR_USE tsr_status tsr_quality_means(json_t *const *quality, size_t n, json_t *out, size_t *judged);

/* The honest baseline at the same number of bits: k-means on raw patches, as many centres as the
 * tokenizer has codes. Fitted on patches of the training samples, judged like the tokenizer. */
typedef struct tsr_baseline_spec {
    size_t points; /* patches to fit on, at most */
    int rounds;    /* of Lloyd's iteration */
    size_t limit;  /* samples judged; 0: all */
    uint64_t seed;
} tsr_baseline_spec;

/* About `want` patches of a data set, the same number from each sample, as rows of fresh storage
 * *points [*n, tsr_patchmeans_dim()]; release with tsr_free. Samples that fail are left out.
 * Errors   TSR_EFORMAT when all fail, TSR_ENOMEM. */
TSR_USE tsr_status tsr_patches_gather(const tsr_patchmeans *b, tsr_dataset *d, size_t want,
                                      uint64_t seed, float **points, size_t *n);

/* *out: {quality: {name: mean}, samples, seconds}. */
TSR_USE tsr_status tsr_baseline_run(const tsr_tokenizer *t, tsr_dataset *train, tsr_dataset *val,
                                    const tsr_baseline_spec *spec, const tsr_job *job,
                                    json_t **out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * What the parts of making an index share, and what a search needs of them. Private to tasks. */
#ifndef TSR_TASKS_INDEX_WORK_H
#define TSR_TASKS_INDEX_WORK_H

#include "shards/corpus.h"
#include "tasks/index.h"
#include "tasks/predict.h"
#include "tasks/vectorindex.h"
#include "tasks/vectorspace.h"

typedef struct tsr_index_work {
    const tsr_index_spec *spec;
    tsr_corpus *corpus;
    tsr_toolbox tools;
    tsr_predictor predictor; /* of predictions */
    tsr_token_space space;   /* of the modality */
    tsr_vector_kind kind;
    tsr_vectors *maker; /* NULL: features */
    uint32_t *terms;    /* of counts */
    float *weights, *centre;
    size_t n_terms;
    size_t rows, width; /* rows: samples asked for, then those there are */
    uint64_t *samples;  /* [rows] */
    char **keys;        /* [rows] */
    float *vectors;     /* [rows, width] */
    char *present;      /* [rows] */
    size_t left_out;
} tsr_index_work;

/* Ids of the modality that count, with their weights, from its tokens of all samples
 * (index_terms.c). Errors: TSR_ECONFIG when the corpus does not have it, TSR_ENOMEM. */
TSR_USE tsr_status tsr_index_fit_terms(tsr_index_work *w);

/* Vectors of all samples and which there are, in one of three ways (index_rows.c). */
TSR_USE tsr_status tsr_index_stored(tsr_index_work *w);
TSR_USE tsr_status tsr_index_predicted(tsr_index_work *w);
TSR_USE tsr_status tsr_index_features(tsr_index_work *w);

/* The mean of the vectors of n tokenised variants: out [width]; scratch [width]. */
TSR_USE tsr_status tsr_index_mean(tsr_vectors *maker, int lane, const tsr_tokens *variants,
                                  size_t n, float *scratch, float *out);

/* Digest of the keys of the first `shards` shards: what the numbers of samples mean. Errors:
 * TSR_EMISMATCH when there are fewer. */
TSR_USE tsr_status tsr_index_corpus_digest(const tsr_corpus *c, size_t shards, tsr_digest *out);

#endif

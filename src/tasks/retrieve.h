/* SPDX-License-Identifier: Apache-2.0
 * Search in an index: the job behind `tessera retrieve`. */
#ifndef TSR_TASKS_RETRIEVE_H
#define TSR_TASKS_RETRIEVE_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/graph.h"
#include "tasks/generation.h"
#include "types/media.h"

#include <stddef.h>
#include <stdint.h>

/* What candidates are ordered by once they are scored. */
typedef enum tsr_rerank_by {
    TSR_RERANK_GAIN,       /* log p(candidate | query) - log p(candidate): what the query tells */
    TSR_RERANK_LIKELIHOOD, /* log p(candidate | query) */
} tsr_rerank_by;

typedef struct tsr_retrieval {
    const char *index;
    const char *model;    /* NULL: the one the index was predicted with */
    const char *corpus;   /* NULL: where the index says it is */
    tsr_words tokenizers; /* besides those of corpus and model */
    /* The query: row=KEY (a row of the index); or conditions as in tsr_generation, of the index's
     * own modality (which are then compared as they are) or of others, from which the model
     * predicts it. */
    tsr_words from;
    const char *sample; /* conditions that are names: of this sample of the corpus */
    tsr_words set;
    size_t variants; /* 0: as tsr_predictor_spec */
    uint64_t seed;
    size_t batch;
    tsr_precision precision;
    size_t top;            /* results; cut to the rows there are */
    size_t rerank;         /* score so many of the best with the model; 0: none */
    const char *candidate; /* modality of a candidate that is scored; NULL: the index's */
    tsr_rerank_by by;
    size_t score_steps; /* of grids (tsr_scorer_spec) */
    /* Instead of one query: conditions (names only) of the first so many rows that have them, each
     * looking for its own row. 0: one query. */
    size_t evaluate;
    const char *sheet; /* picture of the results to write, or NULL */
    const char *show;  /* modality that is shown; NULL: pixels, a picture, or the index's own */
    const char *files; /* folder the corpus was made from: originals instead of tokens; or NULL */
    void (*picture)(void *ctx, const tsr_image *sheet); /* is given the sheet; or NULL */
    void *ctx;
    const tsr_job *job;
} tsr_retrieval;

/* *record: {index, modality, vectors, rows, width, query, seconds, rows_per_second} and
 * results: [{rank, key, sample, row, score, gain, likelihood}] or
 * evaluation: {queries, recall: {"1": {value, low, high, samples, chance}, ...},
 *              median_rank: {..., chance}}, with rerank also reranked: the same.
 * Errors   TSR_EARG a malformed query, TSR_ECONFIG what model or corpus has not, TSR_EMISMATCH an
 * index that was changed, of another corpus, or of another tokenizer than the model's; TSR_ENOENT,
 * TSR_EFORMAT, those of reading files, TSR_ECANCEL. */
TSR_USE tsr_status tsr_retrieve(const tsr_retrieval *spec, json_t **record);

#endif

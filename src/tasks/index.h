/* SPDX-License-Identifier: Apache-2.0
 * An index of a corpus: the job behind `tessera index`. */
#ifndef TSR_TASKS_INDEX_H
#define TSR_TASKS_INDEX_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/graph.h"
#include "tasks/generation.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_index_spec {
    const char *corpus;
    const char *split;    /* NULL: all samples */
    const char *modality; /* whose vectors; of the corpus, or with `model` one it predicts */
    /* Predict the modality from these of the corpus, with this model; none: stored tokens. */
    const char *model;
    tsr_words from, set;
    size_t variants; /* 0: as tsr_predictor_spec */
    uint64_t seed;
    size_t batch;
    tsr_precision precision;
    /* Vectors from elsewhere instead: a .npy of one row a sample, in the order of the samples, or a
     * folder of KEY.npy; NULL: none. */
    const char *features;
    const char *vectors; /* a name of vectorspace.h, or NULL: what suits the modality */
    size_t cells;        /* of codes, a side */
    tsr_words tokenizers;
    const char *out;
    const tsr_job *job;
} tsr_index_spec;

/* Write the index. *about: what is kept in it (tessera-index(1), FILE FORMAT) and "rows", "width",
 * "left_out" (samples without the modality, or without what it is predicted from), "seconds".
 * A row is a function of corpus, model, settings, seed and key, not of threads or batch.
 * Errors   TSR_ECONFIG what cannot be asked for, TSR_EMISMATCH a model of other tokenizers than the
 *          corpus, TSR_ENOENT, TSR_EFORMAT features of another size, TSR_ENUMERIC features that are
 * not finite, TSR_EIO, TSR_ECANCEL. */
TSR_USE tsr_status tsr_index_build(const tsr_index_spec *spec, json_t **about);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * One modality predicted from others, for any samples: what an index of predictions and a query
 * share. */
#ifndef TSR_TASKS_PREDICT_H
#define TSR_TASKS_PREDICT_H

#include "tasks/genwork.h"

/* All borrowed for the life of the predictor. */
typedef struct tsr_predictor_spec {
    const char *model, *corpus; /* corpus: NULL when no sample of one is asked for */
    tsr_words tokenizers;       /* files or folders, as in tsr_generation */
    tsr_words from;             /* conditions, as in tsr_generation */
    const char *to;             /* the modality that is predicted */
    tsr_words set;              /* settings over those named below */
    size_t variants; /* predictions of each sample, whose vectors are averaged; 0: 1 of global
                        features, else 4 */
    uint64_t seed;
    size_t batch;
    tsr_precision precision;
    const tsr_job *job; /* warnings and stop; progress is the caller's */
} tsr_predictor_spec;

typedef struct tsr_predictor {
    tsr_generation generation; /* what `work` borrows */
    const char *to[1];
    tsr_job job;
    tsr_gen_work *work;
    size_t m; /* of spec.to */
} tsr_predictor;

/* Open the model and find the tokenizers. Clear in either case; `p` is zeroed storage that must not
 * move. Without settings of the user's global features are predicted as in the preset "retrieval";
 * other grids in one step, sequences token by token, both at temperature 1: an average over
 * variants is then that over what the model believes. Errors: those of tsr_generation_run. */
TSR_USE tsr_status tsr_predictor_init(tsr_predictor *p, const tsr_predictor_spec *spec);
void tsr_predictor_clear(tsr_predictor *p);

/* Predict for items [n] whose conditions tsr_gen_fill made: tokens [n, variants], owned by the
 * caller, also after a failure (zeroed storage before). */
TSR_USE tsr_status tsr_predictor_run(tsr_predictor *p, const tsr_gen_item *items, size_t n,
                                     tsr_tokens *tokens);

/* The settings as they are reported. */
TSR_USE tsr_status tsr_predictor_json(const tsr_predictor *p, json_t **out);

#endif

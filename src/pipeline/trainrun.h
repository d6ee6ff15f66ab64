/* SPDX-License-Identifier: Apache-2.0
 * What the parts of a tokenizer's training share. Private to traintok.c and trainnet.c. */
#ifndef TSR_PIPELINE_TRAINRUN_H
#define TSR_PIPELINE_TRAINRUN_H

#include "base/hash.h"
#include "base/job.h"
#include "base/recipe.h"
#include "pipeline/dataset.h"
#include "pipeline/traintok.h"

/* Names of everything a run writes. */
typedef struct tsr_trainrun {
    const tsr_recipe *recipe;
    const tsr_traintok_options *options;
    const tsr_job *job;
    const char *kind, *modality; /* borrowed from the recipe */
    const char *output;
    char *recipe_path, *metrics_path, *report_path, *checkpoint_path;
    tsr_digest digest; /* of the merged recipe */
    tsr_dataset *train, *val;
} tsr_trainrun;

/* Keep the merged recipe beside the output; called once training is sure to begin. */
TSR_USE tsr_status tsr_trainrun_begin(const tsr_trainrun *run);

/* The two ways of training; *report is an object with what each knows. */
TSR_USE tsr_status tsr_train_network(tsr_trainrun *run, json_t **report);
TSR_USE tsr_status tsr_train_text(tsr_trainrun *run, json_t **report);

#endif

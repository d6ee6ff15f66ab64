/* SPDX-License-Identifier: Apache-2.0
 * The job behind `tessera train-tokenizer`: from a recipe and a folder of files to a tokenizer file. */
#ifndef TSR_PIPELINE_TRAINTOK_H
#define TSR_PIPELINE_TRAINTOK_H

#include "base/job.h"
#include "base/json.h"
#include "base/recipe.h"
#include "base/status.h"

#include <stddef.h>

/* Keys of a recipe for a tokenizer. */
extern const tsr_field tsr_traintok_fields[];
extern const size_t tsr_traintok_n_fields;

typedef struct tsr_traintok_options {
    int dry_run; /* say what would be done, do nothing */
    int restart; /* forget the checkpoint of an earlier run of the same recipe */
} tsr_traintok_options;

/* Train what the recipe says and write, for `output: DIR/NAME.safetensors` (text: NAME.json),
 *   the tokenizer file,
 *   NAME.recipe.yaml     the merged recipe,
 *   NAME.metrics.jsonl   one object per logged step,
 *   NAME.report.json     what *report holds,
 *   NAME.checkpoint      while the run is not finished.
 *
 * A run that was stopped or killed goes on from its checkpoint when the recipe is the same; the
 * finished file then has the same bytes as that of an undisturbed run. A finished run is not
 * repeated: *report is read back.
 *
 * report: {kind, modality, metric, value, higher_is_better, baseline?, quality: {..}, codes_used,
 *          codebook_size, perplexity, bits_per_sample, train_seconds, samples_per_second, steps,
 *          samples_bad, ...}; with dry_run: {parameters, values_bytes, steps, samples, ...}.
 *
 * Errors   TSR_ECONFIG; TSR_ECANCEL after a checkpoint was written; TSR_ENUMERIC when the loss stops
 *          being a number (the last checkpoint stays); TSR_EIO. */
TSR_USE tsr_status tsr_traintok_run(const tsr_recipe *recipe, const tsr_traintok_options *options,
                                    const tsr_job *job, json_t **report);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * The job behind `tessera train`: from a recipe and corpora to a model.
 *
 *   OUTPUT/
 *     recipe.yaml          the merged recipe
 *     metrics.jsonl        one object per logged step or validation; the same bytes for every run
 * of the recipe, however often it was stopped or killed timing.jsonl         seconds and rates at
 * the same steps: differ from run to run unigrams.json        entropies of the training tokens, for
 * comparison checkpoints/         step-NNNNNNNNN.safetensors, the last ones events/ TensorBoard's
 * files, on request model.safetensors    at the end report.json          at the end
 */
#ifndef TSR_TRAINER_FMRUN_H
#define TSR_TRAINER_FMRUN_H

#include "base/job.h"
#include "base/json.h"
#include "base/recipe.h"
#include "base/status.h"

#include <stddef.h>

/* Keys of a recipe for the masked model. */
extern const tsr_field tsr_fmrun_fields[];
extern const size_t tsr_fmrun_n_fields;

typedef struct tsr_fmrun_options {
    int dry_run;     /* say what would be done, do nothing */
    int restart;     /* forget the checkpoints and the result of an earlier run */
    int tensorboard; /* write event files, as `tensorboard: true` does */
} tsr_fmrun_options;

/* Train what the recipe says. A run that was stopped or killed goes on from its last checkpoint
 * when the recipe is the same; the finished model then has the same bytes as that of an undisturbed
 * run. A finished run is not repeated: *report is read back.
 *
 * *report, also in report.json: {model, recipe, steps, parameters, tokens: {inputs, targets},
 *   samples_bad, loss, validation: {NAME: {samples, loss, nll: {..}, bits_below_unigram: {..}}},
 *   train_seconds, tokens_per_second, ...}. With dry_run: {parameters, blocks, embeddings,
 * flops_per_step, flops_per_token, memory_bytes, steps, batch, modalities, seconds_per_step,
 * seconds, ...}.
 *
 * Errors   TSR_ECONFIG; TSR_EMISMATCH for a corpus that does not fit the model, an output that
 *          belongs to another recipe, a corpus that changed since the checkpoint, a damaged
 *          checkpoint or report; TSR_ECANCEL after a checkpoint was written; TSR_ENUMERIC when the
 *          loss stops being a number or explodes (the last checkpoint stays); TSR_EIO when a file
 *          cannot be written (the last checkpoint stays). */
TSR_USE tsr_status tsr_fmrun(const tsr_recipe *recipe, const tsr_fmrun_options *options,
                             const tsr_job *job, json_t **report);

#endif

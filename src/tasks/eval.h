/* SPDX-License-Identifier: Apache-2.0
 * Judging a masked model on samples it was not trained on: the job behind `tessera eval`.
 *
 * A task is a set of input modalities and a target. For each of the first samples of a split that
 * have them all, the target is generated four times over: from the inputs (model), from nothing
 * (no_input), from another sample's inputs (wrong_input), and not at all (ceiling: the decode of
 * the true tokens). Each is compared with the truth in the target's own units. */
#ifndef TSR_TASKS_EVAL_H
#define TSR_TASKS_EVAL_H

#include "base/job.h"
#include "base/json.h"
#include "base/recipe.h"
#include "base/status.h"
#include "nn/graph.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_EVAL_METRICS 8 /* of one task at most */

/* One task, by name. */
typedef struct tsr_eval_task {
    char **from; /* [n_from] input modalities */
    size_t n_from;
    char *to;
    char **metrics; /* [n_metrics]; none: those that suit the target */
    size_t n_metrics;
    size_t samples;   /* at most; 0: those of the evaluation */
    json_t *settings; /* generation, as in a recipe's task; NULL: all default */
} tsr_eval_task;

typedef struct tsr_eval_tasks {
    tsr_eval_task *items;
    size_t count, cap;
} tsr_eval_tasks;

/* Append "rgb+caption:label" or "audio:caption:caption_material,caption_count" (inputs, target,
 * metrics). Errors: TSR_EARG with the form expected, TSR_ENOMEM. */
TSR_USE tsr_status tsr_eval_tasks_add(tsr_eval_tasks *t, const char *text);

/* Append those of a recipe of this schema:
 *
 *   tasks:
 *     - {from: rgb, to: depth}
 *     - {from: [rgb, caption], to: label, metric: [miou, accuracy], steps: 4, samples: 64}
 *
 * Errors: TSR_ECONFIG. */
extern const tsr_field tsr_eval_fields[];
extern const size_t tsr_n_eval_fields;
TSR_USE tsr_status tsr_eval_tasks_read(tsr_eval_tasks *t, const tsr_recipe *r);
void tsr_eval_tasks_clear(tsr_eval_tasks *t);

typedef struct tsr_eval_spec {
    const char *model, *corpus, *split;
    const char *files; /* folder the corpus was tokenized from, or NULL: the truth is the
                          decode of the true tokens */
    const char *const *tokenizers; /* files or folders besides CORPUS/tokenizers */
    size_t n_tokenizers;
    const tsr_eval_tasks *tasks;
    size_t samples;    /* of each task at most; >= 2 */
    size_t candidates; /* K >= 2: also rank the truth among K candidates; 0: do not */
    size_t matrix;     /* also the matrix of information between modalities, over so many samples */
    size_t score_steps;   /* likelihoods of grids: groups of places (tsr_scorer_spec); 0: 4 */
    const char *examples; /* folder for pictures of the first samples, or NULL */
    size_t n_examples;
    size_t batch; /* samples side by side */
    tsr_precision precision;
    uint64_t seed;
    const tsr_job *job;
} tsr_eval_spec;

/* *out: {"eval": {"model", "corpus", "split", "seed", "failed"}, "tasks": [..], "candidates": [..],
 * "matrix": {..}}, the last three as asked for; the members of each are described in
 * tessera-eval(1). A sample whose files cannot be read is left out, named and counted ("failed").
 * The figures are a function of model, corpus, files and spec, not of threads or batch. Errors
 * TSR_EARG, TSR_ECONFIG (a modality the model has not, no such metric, no samples), TSR_EMISMATCH
 * (a corpus of other tokenizers than the model's), TSR_ECANCEL. */
TSR_USE tsr_status tsr_eval_run(const tsr_eval_spec *spec, json_t **out);

/* Put the members of a report into the JSON file `path`, beside those it has; a new file when there
 * is none. Errors: TSR_EFORMAT when the file holds no object, TSR_EIO. */
TSR_USE tsr_status tsr_eval_merge(const char *path, const json_t *report);

/* What a metric is: 1 when more of it is better, and what a prediction counts that is no valid
 * target at all (a palette with half a colour): the worst of the scale. TSR_EARG naming those
 * known. */
TSR_USE tsr_status tsr_eval_metric(const char *name, int *higher_is_better, double *worst);

/* A derangement of [0, n): whose inputs sample i gets as wrong ones. A function of (seed, n); never
 * i. n >= 2. */
size_t tsr_eval_wrong(size_t i, size_t n, uint64_t seed);

#endif

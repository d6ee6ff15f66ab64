/* SPDX-License-Identifier: Apache-2.0
 * What the parts of a training run share. Private to fmrun.c, fmrecipe.c, fmlog.c, fmplan.c. */
#ifndef TSR_TRAINER_FMJOB_H
#define TSR_TRAINER_FMJOB_H

#include "base/hash.h"
#include "trainer/eventfile.h"
#include "trainer/fmrun.h"
#include "trainer/fmtrain.h"
#include "trainer/trainset.h"
#include "trainer/unigram.h"

#include <stdio.h>

/* Sums since the last line of metrics. */
typedef struct tsr_fmwindow {
    uint64_t steps, skipped;
    double loss, grad_norm;
    tsr_fmtrain_report sum;
} tsr_fmwindow;

typedef struct tsr_fmjob {
    const tsr_recipe *recipe;
    const tsr_fmrun_options *options;
    const tsr_job *job;
    const char *output;
    char *recipe_path, *metrics_path, *timing_path, *unigrams_path, *checkpoints, *events_path,
        *model_path, *report_path;
    tsr_digest digest; /* of the merged recipe */
    int lock;          /* -1: not held */
    tsr_fm *model;
    const tsr_mods *mods; /* of the model */
    tsr_trainset set;
    int has_set;
    tsr_loader *loader, **vals; /* vals: [set.n_vals] */
    tsr_fmtrain_options train;
    tsr_fmtrain *trainer;
    uint64_t steps, seed;
    size_t samples; /* of a step */
    tsr_unigrams unigrams;
    /* the run so far; what a checkpoint keeps: */
    tsr_fmwindow window;
    uint64_t inputs, targets, bad; /* rows seen; samples that could not be used */
    /* this process: */
    FILE *metrics, *timing;
    tsr_eventfile *events;
    double matrix_rate;             /* FLOP/s of plain products */
    double spent_s;                 /* training seconds of earlier processes */
    double started_s, logged_s;     /* now; the last line of timing */
    double flops, logged_flops;     /* of this process */
    uint64_t tokens, logged_tokens; /* rows of this process */
    double last_loss, last_val;     /* NAN: none yet */
    uint64_t kept_step;             /* of the last checkpoint; 0: none */
    uint64_t counted_bad;           /* of the loader's count */
} tsr_fmjob;

/* --- fmrecipe.c --- */

/* The model: read from start_from, or new. */
TSR_USE tsr_status tsr_fmjob_model(tsr_fmjob *j);

/* Options of the steps, number of steps, seed; needs model and masks. */
TSR_USE tsr_status tsr_fmjob_options(tsr_fmjob *j);

/* --- fmlog.c --- */

/* Open metrics, cut to `keep` bytes, timing and event files. */
TSR_USE tsr_status tsr_fmjob_open_logs(tsr_fmjob *j, long long keep);

/* Add a step to the window; write a line when `flush`. */
TSR_USE tsr_status tsr_fmjob_log(tsr_fmjob *j, const tsr_fmtrain_report *r, int flush);

/* Judge all validation sets, and write a line for each. *results (NULL: not wanted): object by
 * name. */
TSR_USE tsr_status tsr_fmjob_validate(tsr_fmjob *j, json_t **results);

/* What a checkpoint keeps of the log, and back. */
TSR_USE tsr_status tsr_fmwindow_to_json(const tsr_fmjob *j, json_t **out);
TSR_USE tsr_status tsr_fmwindow_from_json(tsr_fmjob *j, const json_t *v, const char *path);

/* Progress for whoever looks. */
void tsr_fmjob_progress(tsr_fmjob *j);

/* FLOP/s of plain matrix products on all threads, measured for a moment; 0: unknown. */
double tsr_fmjob_matrix_rate(const tsr_fmjob *j);

/* --- fmplan.c --- */

TSR_USE tsr_status tsr_fmjob_plan(tsr_fmjob *j, json_t **out);

/* Trained values in blocks and in embeddings, heads and the rest. */
void tsr_fmjob_parameters(const tsr_fm *m, uint64_t *blocks, uint64_t *embeddings);

#endif

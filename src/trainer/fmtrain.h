/* SPDX-License-Identifier: Apache-2.0
 * Training the masked model: one object that takes batches of examples and reports what it learned.
 *
 * Step: forward and backward over one or more micro-batches, clipping, AdamW, averages of weights.
 * The same examples give the same bytes for any number of threads; a run that is saved, killed and
 * restored gives the same bytes as one that was not. */
#ifndef TSR_TRAINER_FMTRAIN_H
#define TSR_TRAINER_FMTRAIN_H

#include "base/json.h"
#include "base/status.h"
#include "nn/adamw.h"
#include "nn/schedule.h"
#include "trainer/fmnet.h"

typedef struct tsr_fmtrain_options {
    size_t batch;      /* examples of a micro-batch, at most */
    size_t accumulate; /* micro-batches of a step, at most */
    tsr_fm_loss loss;
    tsr_precision precision;
    tsr_schedule rate; /* learning rate over steps; step 0 may have rate 0 (schedule.h) */
    tsr_adamw adamw;   /* its lr is taken from `rate` */
    double clip;       /* largest global norm of gradients; 0: no clipping */
    double skip_above; /* no update when the norm is larger; 0: off */
    int skip_bad;      /* no update when loss or gradients are not finite, instead of an error; 100
                          in a row are an error all the same */
    double average;    /* decay of averaged weights; 0: none are kept */
    /* The loss explodes: a step whose mean over target tokens is so many times that of guessing
     * evenly, ln V. 0: never. */
    double explode;
    /* Capacity of a micro-batch: rows of one example, in all and of each modality. */
    size_t in_rows, out_rows, in_of[TSR_MODALITIES], out_of[TSR_MODALITIES];
    float weights[TSR_MODALITIES]; /* factor of each modality's loss */
} tsr_fmtrain_options;

/* Batch 16, 1 micro-batch, loss by modality, cosine from 1e-3 over 1,000 steps with 50 warm-up,
 * betas 0.9 and 0.95, weight decay 0.05, no clipping, explode 4, weights 1; capacities 0. Source
 * 4M: arXiv:2312.06647, table of training settings. */
tsr_fmtrain_options tsr_fmtrain_defaults(void);

typedef struct tsr_fmtrain tsr_fmtrain;

/* The model is borrowed and changed by the steps; it must outlive the trainer.
 * Errors   TSR_ECONFIG for options out of range, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fmtrain_create(tsr_fm *m, const tsr_fmtrain_options *o, tsr_fmtrain **out);
void tsr_fmtrain_destroy(tsr_fmtrain *t);

typedef struct tsr_fmtrain_report {
    uint64_t step; /* counts from 0; this step's */
    double rate;
    double loss;      /* as the options define it, over the whole step */
    double grad_norm; /* before clipping; NAN where it was not finite and the update skipped */
    int skipped;      /* 1: no update was made */
    uint64_t inputs, targets;       /* rows shown and predicted */
    double nll[TSR_MODALITIES];     /* sum of negative log-likelihoods of the targets, nats */
    uint64_t count[TSR_MODALITIES]; /* target tokens */
    double flops;
} tsr_fmtrain_report;

/* One step on count <= batch * accumulate examples, taken in micro-batches of `batch`.
 *
 * Loss by token: the mean over all targets of the step, however it is cut into micro-batches. Loss
 * by modality: the mean over micro-batches (weighted by their examples) of each one's loss, as in
 * the published runs: there the cut matters where a modality has few targets.
 *
 * Errors   TSR_EARG for a malformed batch; TSR_ENUMERIC when the loss is not finite or explodes,
 * naming the step and the modality, or when gradients are not finite: weights are then as before.
 */
TSR_USE tsr_status tsr_fmtrain_step(tsr_fmtrain *t, const tsr_example *const *examples,
                                    size_t count, tsr_fmtrain_report *r);

/* The same in pieces, for steps whose examples need not be there at once: micro-batches of 1 to
 * `batch` examples, at most `accumulate` of them, then the update. A failure, or drop, forgets the
 * micro-batches since the last update. Errors: those of tsr_fmtrain_step; may be delayed to the
 * update. */
TSR_USE tsr_status tsr_fmtrain_micro(tsr_fmtrain *t, const tsr_example *const *examples,
                                     size_t count);
TSR_USE tsr_status tsr_fmtrain_update(tsr_fmtrain *t, tsr_fmtrain_report *r);
void tsr_fmtrain_drop(tsr_fmtrain *t);

/* Losses of count <= batch examples, changing nothing (grad_norm, rate 0). With averaged weights
 * the plain ones are judged, see tsr_fmtrain_swap. */
TSR_USE tsr_status tsr_fmtrain_evaluate(tsr_fmtrain *t, const tsr_example *const *examples,
                                        size_t count, tsr_fmtrain_report *r);

/* Exchange weights and averaged weights (a second call exchanges them back): to judge the averages.
 * Does nothing where none are kept. */
void tsr_fmtrain_swap(tsr_fmtrain *t);

/* Add the sums and counts of `b` to `a`; its loss stays. */
void tsr_fmtrain_add(tsr_fmtrain_report *a, const tsr_fmtrain_report *b);

/* Mean negative log-likelihood of a report: over the targets of modality m, and over all targets; 0
 * where there are none. */
double tsr_fmtrain_mean(const tsr_fmtrain_report *r, size_t m);
double tsr_fmtrain_mean_token(const tsr_fmtrain_report *r);

/* Steps done. */
uint64_t tsr_fmtrain_steps(const tsr_fmtrain *t);

/* Everything needed to go on: weights, moments, averages, step, `state` (any JSON of the caller, or
 * NULL). Written by rename: a failure leaves the earlier file as it is.
 * restore: *state (NULL: not wanted) is a new reference. Errors: those of nn/checkpoint.h. */
TSR_USE tsr_status tsr_fmtrain_save(const tsr_fmtrain *t, const char *path, const json_t *state);
TSR_USE tsr_status tsr_fmtrain_restore(tsr_fmtrain *t, const char *path, json_t **state);

/* What a full step costs, before its network is allocated (the first step does that). */
typedef struct tsr_fmtrain_cost {
    size_t weight_bytes; /* weights, gradients, moments, averages */
    size_t net_bytes;    /* activations, scratch, packed weights of a micro-batch */
    double flops;        /* of a step with full micro-batches */
} tsr_fmtrain_cost;
TSR_USE tsr_status tsr_fmtrain_plan(tsr_fmtrain *t, tsr_fmtrain_cost *out);

#endif

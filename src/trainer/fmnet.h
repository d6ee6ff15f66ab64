/* SPDX-License-Identifier: Apache-2.0
 * The model as a graph for batches of examples: packs rows without padding, runs, gives losses or
 * logits. Cost follows the rows there are, not the capacity. */
#ifndef TSR_TRAINER_FMNET_H
#define TSR_TRAINER_FMNET_H

#include "nn/graph.h"
#include "trainer/example.h"
#include "trainer/fm.h"

typedef enum tsr_fmnet_mode {
    TSR_FMNET_TRAIN,  /* losses and gradients */
    TSR_FMNET_LOSS,   /* losses only */
    TSR_FMNET_LOGITS, /* logits of the target rows */
    TSR_FMNET_CONTEXT, /* encoder alone: keys and values of the context for each decoder block;
                          target sides are not looked at, and out_rows is 0 */
} tsr_fmnet_mode;

typedef enum tsr_fm_loss {
    TSR_FM_LOSS_MODALITY, /* sum over modalities of mean cross-entropy, over the number of output
                             modalities: the published runs */
    TSR_FM_LOSS_TOKEN,    /* mean over all target tokens */
} tsr_fm_loss;

/* What a net can hold at most. Zeros in in_of / out_of: no rows of that modality ever. */
typedef struct tsr_fmnet_spec {
    tsr_fmnet_mode mode;
    tsr_fm_loss loss;
    tsr_precision precision;
    size_t samples;                                       /* B */
    size_t in_rows, out_rows;                             /* over the batch and all modalities */
    size_t in_of[TSR_MODALITIES], out_of[TSR_MODALITIES]; /* over the batch, each modality */
    const float *weights; /* [modalities] factor of each modality's loss, or NULL: 1; copied */
    int keep_states;      /* 1: tsr_fmnet_encoder and tsr_fmnet_decoder can be asked */
} tsr_fmnet_spec;

typedef struct tsr_fmnet tsr_fmnet;

/* The model is borrowed and must outlive the net. Errors: TSR_EARG, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fmnet_create(tsr_fm *m, const tsr_fmnet_spec *spec, tsr_fmnet **out);
void tsr_fmnet_destroy(tsr_fmnet *n);

/* Memory and work of a full batch; the storage itself is allocated by the first run. */
TSR_USE tsr_status tsr_fmnet_plan(tsr_fmnet *n, tsr_plan *out);

/* Run on count <= samples examples; in TRAIN mode gradients are added to the parameters', times
 * `scale`. Results of a sample depend neither on the other samples nor on the number of threads.
 * A sample without inputs (and a model without registers): its cross-attention gives 0.
 * Errors   TSR_EARG when a capacity is exceeded or an id, label or position is out of range;
 *          TSR_ENOMEM. */
TSR_USE tsr_status tsr_fmnet_run(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                                 double scale);

/* The loss of the last run, as the spec defines it. */
double tsr_fmnet_loss(const tsr_fmnet *n);

/* Negative log-likelihood in nats of each target row of modality m in the last run, examples in
 * order. Borrowed until the next run. *rows: their number. TRAIN and LOSS modes. */
const float *tsr_fmnet_nll(const tsr_fmnet *n, size_t m, size_t *rows);

/* Logits [rows, V] of modality m in the last run, examples in order. LOGITS mode. Borrowed. With a
 * shared vocabulary these are the columns of the modality's own ids. */
const float *tsr_fmnet_logits(const tsr_fmnet *n, size_t m, size_t *rows);

/* Keys and values [input rows, 2D] of the context for cross-attention of decoder block i in the last
 * run; rows as tsr_fmnet_encoder. CONTEXT mode. Borrowed. */
const float *tsr_fmnet_context(const tsr_fmnet *n, size_t i, size_t *rows);

/* Encoder rows after encoder_norm, [input rows, D], and decoder rows after decoder_norm, [target
 * rows, D], both sample by sample, registers first, modalities in order. Only with keep_states;
 * else NULL and 0 rows. Borrowed until the next run. */
const float *tsr_fmnet_encoder(const tsr_fmnet *n, size_t *rows);
const float *tsr_fmnet_decoder(const tsr_fmnet *n, size_t *rows);

/* Floating-point operations of the last run (a multiply-add counts two). */
double tsr_fmnet_flops(const tsr_fmnet *n);

#endif

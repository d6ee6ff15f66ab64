/* SPDX-License-Identifier: Apache-2.0
 * Training a VQ-VAE: one object that takes batches and reports what it learned.
 *
 * Step: encoder forward, quantize, decoder forward and backward, straight-through and commitment
 * gradient, encoder backward, codebook update (EMA, revival of dead codes), clipping, AdamW,
 * averages of weights. The same batches and seed give the same bytes for any number of threads; a
 * run that is saved, killed and restored gives the same bytes as one that was not. */
#ifndef TSR_VQVAE_VQTRAIN_H
#define TSR_VQVAE_VQTRAIN_H

#include "base/status.h"
#include "nn/adamw.h"
#include "nn/schedule.h"
#include "vqvae/vqvae.h"

typedef enum tsr_vq_loss {
    TSR_VQ_MSE,
    TSR_VQ_L1,
    TSR_VQ_SMOOTH_L1,     /* 0.5 d^2 for |d| < 1, else |d| - 0.5 */
    TSR_VQ_CROSS_ENTROPY, /* label models: classes per pixel */
} tsr_vq_loss;

/* "mse", "l1", "smooth_l1", "cross_entropy"; TSR_ECONFIG for another word. */
TSR_USE tsr_status tsr_vq_loss_parse(const char *name, tsr_vq_loss *out);

typedef struct tsr_vqtrain_options {
    size_t batch;         /* samples of a full batch */
    size_t height, width; /* 0: the model's own size */
    tsr_vq_loss loss;
    tsr_precision precision;
    uint64_t seed;     /* of the codebook's random choices */
    tsr_schedule rate; /* learning rate over steps; step 0 may have rate 0 (schedule.h) */
    tsr_adamw adamw;   /* its lr is taken from `rate` */
    double clip;       /* largest global norm of gradients; 0: no clipping */
    double average;    /* decay of averaged weights; 0: none are kept */
    double
        dead_code_coef; /* threshold = batch latents / K / coef, 4M's 32; 0: the settings' value */
    /* First steps that train encoder and decoder as a plain autoencoder: the latents go to the
     * decoder unquantized. With kmeans_init the codebook then starts from what the encoder has
     * learnt, and no code is lost in the first steps. EMA codebooks only. */
    uint64_t quantize_after;
    int freeze_encoder; /* train the decoder only: encoder and codebook stay as they are */
} tsr_vqtrain_options;

/* Batch 16, mse, cosine from 1e-4 over 1,000 steps with 50 warm-up, clip 1, coef 32, no average. */
tsr_vqtrain_options tsr_vqtrain_defaults(void);

typedef struct tsr_vqtrain tsr_vqtrain;

/* The model is borrowed and changed by the steps; it must outlive the trainer.
 * Errors   TSR_ECONFIG for options out of range or a loss that does not fit the model. */
TSR_USE tsr_status tsr_vqtrain_create(tsr_vqvae *m, const tsr_vqtrain_options *o,
                                      tsr_vqtrain **out);
void tsr_vqtrain_destroy(tsr_vqtrain *t);

/* One batch, B = count <= options.batch samples. Give pixels or labels as the model wants. */
typedef struct tsr_vqtrain_batch {
    size_t count;
    const float *pixels;   /* [B, C, H, W] */
    const int32_t *labels; /* [B, H, W] */
    const float *targets;  /* [B, Cout, H, W]; NULL: pixels (not for cross-entropy) */
    const uint8_t *valid;  /* [B, H, W] 1 where a pixel counts, 0 where not; NULL: all count. Grid
                            * positions without a valid pixel stay out of the codebook statistics. */
} tsr_vqtrain_batch;

typedef struct tsr_vqtrain_report {
    uint64_t step; /* counts from 0; this step's */
    double rate;
    double loss; /* reconstruction + commitment */
    double reconstruction;
    double commitment; /* weighted */
    double grad_norm;  /* before clipping */
    size_t codes_used; /* distinct codes in this batch, of heads * codes */
    double perplexity; /* exp of the entropy of this batch's code use, mean over heads */
    size_t revived;    /* dead codes replaced in this step */
} tsr_vqtrain_report;

/* One step. Errors: TSR_EARG for a malformed batch; TSR_ENUMERIC when loss or gradients are not
 * finite: weights and codebook are then as before the step (but for a codebook that k-means had
 * to make first). */
TSR_USE tsr_status tsr_vqtrain_step(tsr_vqtrain *t, const tsr_vqtrain_batch *b,
                                    tsr_vqtrain_report *r);

/* Reconstruction loss and code use of a batch, changing nothing; commitment is left out (0). */
TSR_USE tsr_status tsr_vqtrain_evaluate(tsr_vqtrain *t, const tsr_vqtrain_batch *b,
                                        tsr_vqtrain_report *r);

/* Steps done. */
uint64_t tsr_vqtrain_steps(const tsr_vqtrain *t);

/* How often each code was used in training steps since the last call with reset, [heads * codes]:
 * "codes used over the epoch". Borrowed until the next step. */
const uint64_t *tsr_vqtrain_usage(tsr_vqtrain *t, int reset);

/* Everything needed to go on: weights, moments, averages, codebook state, step, `state` (any JSON
 * of the caller, or NULL). */
TSR_USE tsr_status tsr_vqtrain_save(const tsr_vqtrain *t, const char *path, const json_t *state);
TSR_USE tsr_status tsr_vqtrain_restore(tsr_vqtrain *t, const char *path, json_t **state);

/* Memory of weights, optimizer and networks, before the networks' part is allocated (the first step
 * does that). */
TSR_USE tsr_status tsr_vqtrain_bytes(const tsr_vqtrain *t, size_t *bytes);

#endif

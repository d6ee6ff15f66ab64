/* SPDX-License-Identifier: Apache-2.0
 * Inside of the EMA quantizer: its tensors, shared by use and learning. */
#ifndef TSR_VQVAE_QUANT_EMA_H
#define TSR_VQVAE_QUANT_EMA_H

#include "vqvae/quantizer.h"

typedef struct ema_state {
    tsr_param *initted;      /* [1] 1: the codebook holds codes; 0: k-means comes first */
    tsr_param *cluster_size; /* [K] moving average of the rows each code got in a step */
    tsr_param *embed_avg;    /* [K, Z] moving average of their sums; euclidean only, else NULL */
    tsr_param *embed;        /* [K, Z] the codes, used as they are */
    int cosine;
    /* Several heads: [nZ, Z] and [nZ] before, [Z, nZ] and [Z] behind the codes; else NULL. */
    tsr_param *in_weight, *in_bias, *out_weight, *out_bias;
} ema_state;

/* x / max(|x|, 1e-12), row by row; into may be x. */
void tsr_ema_normalize(const float *x, size_t rows, size_t width, float *into);

/* Ids by the quantizer's own measure, from latents that are normalised already where they must be.
 */
TSR_USE tsr_status tsr_ema_assign(const tsr_quantizer *q, const float *x, size_t rows,
                                  int32_t *ids);

/* Replace the codebook by k-means over the valid rows of x, and set cluster sizes and sums with it,
 * so that the next update continues from there instead of undoing it. */
TSR_USE tsr_status tsr_ema_kmeans(tsr_quantizer *q, const tsr_quant_step *s, const float *x);

/* One update from the ids of this step, then revival of dead codes. */
TSR_USE tsr_status tsr_ema_update(tsr_quantizer *q, tsr_quant_step *s);

#endif

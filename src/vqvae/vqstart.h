/* SPDX-License-Identifier: Apache-2.0
 * A better place to start from than random weights: where linear methods end. */
#ifndef TSR_VQVAE_VQSTART_H
#define TSR_VQVAE_VQSTART_H

#include "base/job.h"
#include "base/status.h"
#include "vqvae/vqvae.h"

#include <stddef.h>
#include <stdint.h>

/* Set the weights of a new ViT model so that, before any step,
 *
 *   latents = s P (patch - mean)       output = mean + P^T q / s       codes = k-means of latents
 *
 * with P the first Z principal components of the patches and s such that latents have variance 1 on
 * average. The network then is k-means on principal components, and training begins at its quality.
 * The maps run through directions of the residual stream that are orthogonal to the positional table;
 * the last layer of every block starts at zero; the other directions keep their random weights.
 *
 * patches   [n, dim] what the decoder should give for one patch, dim = planes * P * P in the order
 *           (plane * P + y) * P + x; label models: one plane a class, 1 where the class is
 *           n >= Z; with fewer patches than codes some codes repeat, and training revives them
 * latents_per_step  rows the codebook sees in a training step, for its moving averages
 *
 * Logits of label models are 6 where the class is certain and 0 where it is excluded.
 * Errors   TSR_ECONFIG when the model cannot be started so: no ViT, no EMA codebook, a width too
 *          small for table and latents, fewer embedding channels than classes;
 *          TSR_EARG, TSR_ECANCEL, TSR_ENOMEM. */
TSR_USE tsr_status tsr_vqvae_start(tsr_vqvae *m, const float *patches, size_t n,
                                   size_t latents_per_step, uint64_t seed, const tsr_job *job);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * The quantizers there are, for the table in quantizer.c. */
#ifndef TSR_VQVAE_QUANT_KINDS_H
#define TSR_VQVAE_QUANT_KINDS_H

#include "vqvae/quantizer.h"

/* Codebook [K, Z] that follows its latents by moving averages; search by cosine (norm_codes) or
 * Euclidean distance. 4M's "lucid". */
extern const tsr_quantizer_kind tsr_quant_ema;

/* Product codes: the latent is cut into heads, each with K codes that pass through learned maps.
 * Trained by gradients through a Gumbel softmax. 4M's "memcodes". */
extern const tsr_quantizer_kind tsr_quant_memcodes;

/* Finite scalar quantization: each latent dimension is rounded to one of its levels; no codebook.
 */
extern const tsr_quantizer_kind tsr_quant_fsq;

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Inside of a VQ-VAE, shared by opening, running and training. */
#ifndef TSR_VQVAE_VQVAE_MODEL_H
#define TSR_VQVAE_VQVAE_MODEL_H

#include "vqvae/diffnet.h"
#include "vqvae/net.h"
#include "vqvae/quantizer.h"
#include "vqvae/vqvae.h"

#include <pthread.h>

struct tsr_vqvae {
    tsr_vqvae_config config;
    tsr_vqvae_info info;
    tsr_net enc, dec;
    tsr_diffnet diff; /* instead of dec, unless its kind is TSR_DIFFNET_NONE */
    tsr_params *ps;
    tsr_quantizer *q;
    json_t *metadata; /* strings of the file; empty for a new model */
};

/* x: [B, C, H, W] float, or for label models [B, H * W] int32 -> what the encoder's network gives,
 * [B, N, D]. */
tsr_value tsr_vqvae_features_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t height,
                                   size_t width);

/* The same, projected to latents [B, N, Z], float32. */
tsr_value tsr_vqvae_encoder_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t height,
                                  size_t width);

/* Code vectors [B, N, Z] -> [B, Cout, rows * P, columns * P]. */
tsr_value tsr_vqvae_decoder_graph(tsr_graph *g, const tsr_vqvae *m, tsr_value x, size_t rows,
                                  size_t columns);

/* The model's input of one size: [batch, C, H, W] float or [batch, H * W] int32. */
tsr_value tsr_vqvae_graph_input(tsr_graph *g, const tsr_vqvae *m, size_t batch, size_t height,
                                size_t width);

/* TSR_EARG unless every label is in [0, labels). */
TSR_USE tsr_status tsr_vqvae_check_labels(const tsr_vqvae *m, const int32_t *labels, size_t n);

/* A size of 0 x 0 becomes the model's own; TSR_EARG unless a multiple of the patch. */
TSR_USE tsr_status tsr_vqvae_settle_size(const tsr_vqvae *m, size_t *height, size_t *width);

#endif

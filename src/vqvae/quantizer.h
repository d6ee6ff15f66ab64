/* SPDX-License-Identifier: Apache-2.0
 * What a quantizer is: rows of numbers to code ids and back, and how its codebook learns.
 *
 * Kinds live one in a file (quant_<kind>.c) and are listed in quantizer.c; a new one is one file
 * and one line there. Everything is float32. Latents are rows [rows, width]; ids are [heads, rows].
 * A row is coded by itself, and the same function gives ids in training and in use (memcodes train
 * on noisy scores, and say so). Equal scores: the lowest id wins. */
#ifndef TSR_VQVAE_QUANTIZER_H
#define TSR_VQVAE_QUANTIZER_H

#include "base/status.h"
#include "nn/params.h"
#include "vqvae/vqvae_config.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_quantizer tsr_quantizer;

/* What one training step hands from hook to hook. The caller owns all arrays. */
typedef struct tsr_quant_step {
    size_t rows;
    const float *z; /* [rows, width] latents */
    const uint8_t
        *valid;     /* [rows] 0: stays out of loss, gradient and statistics; NULL: all count */
    float *scratch; /* [rows, width] */
    uint64_t seed, step;
    double dead_below; /* cluster sizes under this are revived; 0: never */
    int bypass; /* 1: out is what would be compared with codes, codes stay as they are; kinds with
                 * `can_bypass` only */

    int32_t *ids; /* [heads, rows], forward writes */
    float *out;   /* [rows, width] code vectors, forward writes */

    const float *dout; /* [rows, width] d loss / d out, backward reads */
    float *dz;         /* [rows, width] backward writes */

    double commitment; /* weighted loss of this step, forward writes */
    size_t revived;    /* update writes */
} tsr_quant_step;

typedef struct tsr_quantizer_kind {
    const char *name; /* quant_type */
    int can_bypass;   /* its latents can go to the decoder as they are */

    /* Codes and heads that follow from the settings (config is normalised in place). */
    tsr_status (*settle)(tsr_vqvae_config *c);

    /* Add its tensors to the store, zeroed; then fill new ones from the seed. */
    tsr_status (*declare)(const tsr_vqvae_config *c, tsr_params *ps);
    tsr_status (*init)(const tsr_vqvae_config *c, tsr_params *ps, uint64_t seed);

    /* Make and release q->state; recompute what depends on the tensors. */
    tsr_status (*bind)(tsr_quantizer *q, const tsr_params *ps);
    void (*unbind)(tsr_quantizer *q);
    tsr_status (*refresh)(tsr_quantizer *q);

    /* scratch [rows, width]. */
    tsr_status (*encode)(const tsr_quantizer *q, const float *z, size_t rows, float *scratch,
                         int32_t *ids);
    void (*decode)(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out);

    /* Training: ids, vectors and loss; gradient of latents (and of own parameters, added to their
     * grad); change of the codebook by other means than gradients. */
    tsr_status (*forward)(tsr_quantizer *q, tsr_quant_step *s);
    tsr_status (*backward)(tsr_quantizer *q, tsr_quant_step *s);
    tsr_status (*update)(tsr_quantizer *q, tsr_quant_step *s);
} tsr_quantizer_kind;

struct tsr_quantizer {
    const tsr_quantizer_kind *kind;
    tsr_vqvae_config config;
    size_t heads, codes, width;
    void *state; /* the kind's */
};

/* The kind of this name; TSR_EUNSUPPORTED names those there are. */
TSR_USE tsr_status tsr_quantizer_find(const char *quant_type, const tsr_quantizer_kind **out);

/* Bind to the tensors of `ps`, which must outlive it. */
TSR_USE tsr_status tsr_quantizer_create(const tsr_vqvae_config *c, const tsr_params *ps,
                                        tsr_quantizer **out);
void tsr_quantizer_destroy(tsr_quantizer *q);

/* TSR_EFORMAT when an id is outside [0, codes). ids [n]. */
TSR_USE tsr_status tsr_quantizer_check_ids(const tsr_quantizer *q, const int32_t *ids, size_t n);

#endif

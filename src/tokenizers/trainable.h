/* SPDX-License-Identifier: Apache-2.0
 * What a trainer needs of a tokenizer with a network: a fresh model, the arrays the network reads,
 * and media from the arrays it answers with. Kinds without a network refuse with TSR_EUNSUPPORTED.
 *
 * A sample gives one item (pictures) or several (sound: one for each window). */
#ifndef TSR_TOKENIZERS_TRAINABLE_H
#define TSR_TOKENIZERS_TRAINABLE_H

#include "base/rng.h"
#include "base/status.h"
#include "tokenizers/tokenizer.h"
#include "vqvae/vqtrain.h"

#include <stddef.h>
#include <stdint.h>

/* Of one item. classes > 0: label maps; x is then one plane of class indices and the decoder answers
 * with `classes` planes of logits. */
typedef struct tsr_train_shape {
    size_t channels, height, width;
    size_t classes;
    size_t patch; /* pixels a side of one token's patch */
} tsr_train_shape;

/* A new tokenizer with random weights from its recipe section: kind, modality, the kind's settings,
 * and "model", the settings of the VQ-VAE (vqvae_config.def). It can be used, and written, at any
 * time; the caller trains tsr_trainable_model() and then calls tsr_trainable_refresh(). */
TSR_USE tsr_status tsr_trainable_create(const json_t *config, const char *origin, uint64_t seed,
                                        tsr_tokenizer **out);

/* Shape of an item. Errors: TSR_EUNSUPPORTED. */
TSR_USE tsr_status tsr_trainable_shape(const tsr_tokenizer *t, tsr_train_shape *out);

/* The model behind it, borrowed; NULL for kinds without. */
tsr_vqvae *tsr_trainable_model(tsr_tokenizer *t);

/* After the weights changed, before the next encode or decode; no work object may be in use. */
TSR_USE tsr_status tsr_trainable_refresh(tsr_tokenizer *t);

/* What training minimises unless told otherwise. */
tsr_vq_loss tsr_trainable_loss(const tsr_tokenizer *t);

/* How many items the sample gives: at least 1. */
TSR_USE tsr_status tsr_trainable_items(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items);

/* Item `item` of a sample: x [channels, height, width] and valid [height, width] (1 where a pixel
 * counts). The view in `in` is the crop. `augment` (may be NULL) is the stream for what a crop cannot
 * say, such as a shift in time. Thread-safe.
 * Errors   as tsr_tokenizer_encode. */
TSR_USE tsr_status tsr_trainable_prepare(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                                         tsr_rng *augment, float *x, uint8_t *valid);

/* Media from a decoder's answers y [items, C, height, width]. */
TSR_USE tsr_status tsr_trainable_finish(const tsr_tokenizer *t, const float *y, size_t items,
                                        tsr_media *out);

/* The kind's side of it. */
typedef struct tsr_trainable {
    tsr_status (*create)(tsr_tokenizer *t, const json_t *config, const char *origin, uint64_t seed);
    void (*shape)(const tsr_tokenizer *t, tsr_train_shape *out);
    tsr_vqvae *(*model)(tsr_tokenizer *t);
    tsr_vq_loss (*loss)(const tsr_tokenizer *t);
    tsr_status (*items)(const tsr_tokenizer *t, const tsr_inputs *in, size_t *items);
    tsr_status (*prepare)(const tsr_tokenizer *t, const tsr_inputs *in, size_t item,
                          tsr_rng *augment, float *x, uint8_t *valid);
    tsr_status (*finish)(const tsr_tokenizer *t, const float *y, size_t items, tsr_media *out);
} tsr_trainable;

#endif

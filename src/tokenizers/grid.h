/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers with a network over a fixed grid of patches: what images, depth, normals and label maps
 * share (grid.c), and the rules in which they differ (kind_image.c, ...). */
#ifndef TSR_TOKENIZERS_GRID_H
#define TSR_TOKENIZERS_GRID_H

#include "dsp/resize.h"
#include "tokenizers/derive.h"
#include "tokenizers/kind.h"
#include "tokenizers/setting.h"
#include "tokenizers/trainable.h"
#include "vqvae/vqtrain.h"
#include "vqvae/vqvae.h"

typedef struct tsr_grid tsr_grid;

/* How one kind reads and writes its pixels. Planes are [channels, height, width] float32. */
typedef struct tsr_grid_rules {
    const char *range;     /* one sentence for describe: input range and normalisation */
    tsr_vq_loss loss;      /* what training minimises unless the recipe says otherwise */
    const char *size_key;  /* setting that is the planes' size; NULL: "image_size" */

    /* Read the kind's settings into g (channels, classes, its own part). */
    tsr_status (*configure)(tsr_grid *g, const tsr_settings *s);

    /* The planes the network reads. `view` NULL: the centred square. valid [height, width] gets 1
     * where the pixel counts in losses and figures. Labels: one plane of class indices.
     * Errors   TSR_EFORMAT, TSR_ENUMERIC: this sample is bad. */
    tsr_status (*prepare)(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid);

    /* The same from an array (a vector with its shape), instead of prepare. NULL: pictures go in. */
    tsr_status (*prepare_array)(const tsr_grid *g, const tsr_media *m, const tsr_inputs *in, float *x,
                                uint8_t *valid);

    /* Media from what the decoder gave (labels: [classes, height, width] logits). */
    tsr_status (*finish)(const tsr_grid *g, const float *y, tsr_media *out);

    /* Media from prepared planes: what a perfect decoder would have returned. */
    tsr_status (*restore)(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out);

    tsr_status (*quality)(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into);
} tsr_grid_rules;

/* What every tokenizer with a network has: the first member of its state. */
typedef struct tsr_grid_net {
    json_t *settings; /* kept in the file's metadata key "tessera" */
    tsr_vqvae *model;
    tsr_vqvae_plan *plan;
    tsr_precision precision;
} tsr_grid_net;

struct tsr_grid {
    tsr_grid_net net;
    const tsr_grid_rules *rules;
    size_t channels, height, width; /* of prepared planes */
    size_t classes;                 /* label maps: logits per pixel; else 0 */
    tsr_filter filter;
    tsr_background background;
    tsr_derive derive; /* from pictures of another modality */
    struct {
        int standardize; /* 4M: trimmed mean and deviation per picture; else the range below */
        int ints; /* how 16-bit values are resized, enum of kind_depth.c */
        double near_m, far_m, scale_m;
    } depth;
    struct {
        int raw; /* 4M: vectors as stored, of any length */
    } normal;
    struct {
        int logits;
    } mask;
    struct {
        int shift, binary;
        long long ignore; /* stored value that counts nowhere; -1: none */
    } label;
};

extern const tsr_grid_rules tsr_image_rules, tsr_depth_rules, tsr_normal_rules, tsr_label_rules,
    tsr_mask_rules, tsr_features_rules;
extern const tsr_kind tsr_kind_image, tsr_kind_depth, tsr_kind_normal, tsr_kind_label,
    tsr_kind_mask, tsr_kind_features, tsr_kind_audio;

/* What kinds with windows of their own (sound) share with grids. */

/* Keys of a network tokenizer's section that are not settings; ended by NULL. */
extern const char *const tsr_grid_recipe_keys[];

/* The precision setting as the engine's. */
TSR_USE tsr_status tsr_grid_precision(const tsr_settings *s, tsr_precision *out);

/* A new model from the recipe's section "model", for items of `shape` (patch is not looked at). */
TSR_USE tsr_status tsr_grid_model(const json_t *config, const char *origin, uint64_t seed,
                                  const tsr_train_shape *shape, tsr_vqvae **out);

/* t->state: `bytes` of zeros but for the tsr_grid_net in front, whose settings get kind, modality
 * and vocabulary. */
TSR_USE tsr_status tsr_grid_start(tsr_tokenizer *t, size_t bytes);

/* Name the modality as the file says, or, for published files, as the hint does. */
TSR_USE tsr_status tsr_grid_name(tsr_tokenizer *t, const tsr_kind_file *file);

/* The members write, destroy and (of training) model of kinds with a network. Written are the
 * model, and the settings as metadata key "tessera". */
TSR_USE tsr_status tsr_grid_write(const tsr_tokenizer *t, const char *path);
void tsr_grid_destroy(tsr_tokenizer *t);
tsr_vqvae *tsr_grid_model_of(tsr_tokenizer *t);

/* Members of describe that every network has: precision, quantizer, patch, parameters, ... */
TSR_USE tsr_status tsr_grid_describe(const tsr_tokenizer *t, const char *range, json_t *into);

#endif

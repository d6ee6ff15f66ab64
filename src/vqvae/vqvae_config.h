/* SPDX-License-Identifier: Apache-2.0
 * Settings of a VQ-VAE, from a recipe or a file's metadata, and back. */
#ifndef TSR_VQVAE_VQVAE_CONFIG_H
#define TSR_VQVAE_VQVAE_CONFIG_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>

#define TSR_VQ_WORD_MAX 64

/* One field per line of vqvae_config.def. Sizes are 0 where ml-4m says None. */
typedef struct tsr_vqvae_config {
#define TSR_VQ_SIZE(key, preset, least, most) size_t key;
#define TSR_VQ_FLAG(key, preset)              int key;
#define TSR_VQ_REAL(key, preset, least, most) double key;
#define TSR_VQ_WORD(key, preset)              char key[TSR_VQ_WORD_MAX];
#define TSR_VQ_DIFFUSION
#define TSR_VQ_OWN
#include "vqvae/vqvae_config.def"
} tsr_vqvae_config;

/* ml-4m's defaults. */
tsr_vqvae_config tsr_vqvae_config_defaults(void);

/* Settings of a recipe section: an object whose keys are those of the .def (ours without prefix);
 * what is absent keeps its default. `origin` names the recipe in messages.
 * Errors   TSR_ECONFIG for an unknown key (with a suggestion), a wrong type or a value out of
 *          range, and for what tsr_vqvae_config_check refuses. */
TSR_USE tsr_status tsr_vqvae_config_read(const json_t *section, const char *origin,
                                         tsr_vqvae_config *out);

/* Settings of a file: metadata strings as published; unknown keys are passed over.
 * Errors   TSR_EFORMAT for values of a wrong type or out of range. */
TSR_USE tsr_status tsr_vqvae_config_from_metadata(const json_t *metadata, const char *origin,
                                                  tsr_vqvae_config *out);

/* The metadata of a file: an object of strings; ours with "tessera." in front. json_decref. */
TSR_USE tsr_status tsr_vqvae_config_to_metadata(const tsr_vqvae_config *c, json_t **out);

/* Whether the settings make sense together. TSR_ECONFIG. */
TSR_USE tsr_status tsr_vqvae_config_check(const tsr_vqvae_config *c, const char *origin);

/* 1 when dec_type names a diffusion decoder, "unet_..." or "uvit_...". */
int tsr_vqvae_config_diffuses(const tsr_vqvae_config *c);

/* "8x8x5" -> levels[], *n; at most TSR_FSQ_MAX of 2 .. 65535. TSR_ECONFIG. */
#define TSR_FSQ_MAX 16
TSR_USE tsr_status tsr_vqvae_levels(const char *text, size_t levels[TSR_FSQ_MAX], size_t *n);

#endif

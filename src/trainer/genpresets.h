/* SPDX-License-Identifier: Apache-2.0
 * Settings of generation as they were published with 4M, by name: which targets in which order, and
 * how each is generated. */
#ifndef TSR_TRAINER_GENPRESETS_H
#define TSR_TRAINER_GENPRESETS_H

#include "trainer/generate.h"

/* Their names as the choices of an option (base/options.h). */
#define TSR_PRESET_CHOICES "none|any|t2i|sr|script|retrieval"

typedef struct tsr_preset tsr_preset;

/* *out borrowed, static. Errors: TSR_ECONFIG naming those there are. */
TSR_USE tsr_status tsr_preset_find(const char *name, const tsr_preset **out);

/* Name of preset i, or NULL from the last on. */
const char *tsr_preset_name(size_t i);

/* 1 when both names say the same besides where it was published and at which size: "tok_rgb@224" is
 * "rgb", "color_palette" is "palette". */
int tsr_modality_same(const char *a, const char *b);

/* The modality of which m is the same with more places (tok_rgb@224 for tok_rgb@448), of those the
 * model reads the largest; -1: there is none. */
int tsr_mods_smaller(const tsr_mods *mods, size_t m);

/* How modality m is generated: *out is the preset's rule for it, or tsr_target_defaults where it
 * has none (returns 0). `given` [mods]: 1 for what is given (a picture decides which rules of "any"
 * hold); places of a modality that has a smaller one are those of super-resolution. */
int tsr_preset_target(const tsr_preset *p, const tsr_mods *mods, const char *given, size_t m,
                      tsr_target *out);

#define TSR_STAGE_BASE   1
#define TSR_STAGE_LARGER 2

/* The preset's targets of these stages among the model's outputs, in its order, into chain
 * [TSR_MODALITIES]. What is given, at any size and as pixels or tokens, is left out; the larger are
 * those whose smaller ones are given or targets. Returns their number. */
size_t tsr_preset_chain(const tsr_preset *p, const tsr_mods *mods, const char *given, int stages,
                        tsr_target *chain);

/* Whether finished grids join the guided conditions (tsr_generator_spec), and steps of a diffusion
 * decoder (0: the tokenizer's own). */
int tsr_preset_grows(const tsr_preset *p);
size_t tsr_preset_decoder_steps(const tsr_preset *p);

#endif

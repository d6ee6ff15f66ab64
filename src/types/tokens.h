/* SPDX-License-Identifier: Apache-2.0
 * Tokens of one modality of one sample, and the vocabulary that gives each modality its range. */
#ifndef TSR_TYPES_TOKENS_H
#define TSR_TYPES_TOKENS_H

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_NAME_CHARS 64 /* modality names: [a-z0-9_@-], at most 63 characters */

/* How a modality's tokens are laid out. */
typedef enum tsr_layout {
    TSR_LAYOUT_GRID,     /* fixed count: height x width, row-major, `levels` codes a place */
    TSR_LAYOUT_SEQUENCE, /* any count, order matters */
    TSR_LAYOUT_PATCHES,  /* fixed count: height x width square patches of an 8-bit sRGB picture,
                          * row-major. Values, not codes: they have no place in the vocabulary, and
                          * a model reads them but never predicts them. */
} tsr_layout;

#define TSR_PATCH_CHANNELS 3u   /* red, green, blue */
#define TSR_PATCH_VALUES   256u /* of each: 0..255 */

/* Name of a layout, as stored: "grid", "sequence", "patches". Never NULL. */
const char *tsr_layout_name(tsr_layout l);

/* The layout of that name. TSR_EFORMAT naming `origin`, the name and those that are known. */
TSR_USE tsr_status tsr_layout_parse(const char *name, const char *origin, tsr_layout *out);

/* Local ids (below codebook_size). Owned by whoever holds the struct: tsr_tokens_clear. */
typedef struct tsr_tokens {
    uint32_t *ids; /* [count], levels fastest; patches: one value of 0..255 each */
    size_t count;  /* height * width * levels for grids and patches */
} tsr_tokens;

/* Zeroed ids. Errors: TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokens_init(tsr_tokens *t, size_t count);
void tsr_tokens_clear(tsr_tokens *t);

/* What everybody must know about a modality's tokens, and all the border (shards) stores of it. */
typedef struct tsr_token_space {
    char modality[TSR_NAME_CHARS];
    tsr_layout layout;
    uint32_t height, width, levels; /* grids: all >= 1; sequences: 1, 1, 1 (length is free);
                                     * patches: levels = P * P * 3 bytes of a patch of P x P pixels,
                                     * in the order row in patch, column in patch, channel */
    uint32_t codebook_size;         /* local ids are in [0, codebook_size); patches: 256 */
    uint32_t base;                  /* global id = base + local id; patches: 0, without meaning */
    tsr_digest tokenizer;           /* hash of the tokenizer that makes them */
    char vocabulary[TSR_NAME_CHARS]; /* range shared with others ("text"), or the modality's name;
                                      * patches: "", they have none */
} tsr_token_space;

/* 1 when the tokens are codes, with a range of the vocabulary; 0 for patches. */
int tsr_space_has_codes(const tsr_token_space *s);

/* Side P of the patches in pixels; 0 when the layout is another one or `levels` is not P * P * 3. */
uint32_t tsr_space_patch(const tsr_token_space *s);

/* Make the space one of height x width patches of `patch` x `patch` pixels: sets layout, sizes,
 * vocabulary and base; modality and tokenizer stay. patch 1..4096 (else levels is 0). */
void tsr_space_set_patches(tsr_token_space *s, uint32_t height, uint32_t width, uint32_t patch);

/* The members that say what a space is: modality, layout, grid (not of sequences), levels (grids),
 * patch_size (patches), codebook_size, base and vocabulary (where there are codes), tokenizer.
 * Errors   TSR_ENOMEM. */
TSR_USE tsr_status tsr_space_json(const tsr_token_space *s, json_t *into);

/* Give each space its base: spaces of vocabulary "text" first, at 0, all sharing one range (their
 * codebook sizes must agree); then the rest in the order given. Patches get none (base 0).
 * *total is the size of it all.
 * Errors   TSR_EARG two modalities of one name, TSR_EMISMATCH shared ranges of unequal size,
 *          TSR_ELIMIT beyond 2^32 - 1. */
TSR_USE tsr_status tsr_vocabulary_assign(tsr_token_space *spaces, size_t n, uint32_t *total);

/* 1 when the name may be a modality: [a-z0-9_@-]+, 1..63 characters, starts with a letter. */
int tsr_modality_name_ok(const char *name);

#endif

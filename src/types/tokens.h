/* SPDX-License-Identifier: Apache-2.0
 * Tokens of one modality of one sample, and the vocabulary that gives each modality its range. */
#ifndef TSR_TYPES_TOKENS_H
#define TSR_TYPES_TOKENS_H

#include "base/hash.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_NAME_CHARS 64 /* modality names: [a-z0-9_@-], at most 63 characters */

/* How a modality's tokens are laid out. */
typedef enum tsr_layout {
    TSR_LAYOUT_GRID,     /* fixed count: height x width, row-major, `levels` codes a place */
    TSR_LAYOUT_SEQUENCE, /* any count, order matters */
} tsr_layout;

/* Local ids (below codebook_size). Owned by whoever holds the struct: tsr_tokens_clear. */
typedef struct tsr_tokens {
    uint32_t *ids; /* [count], levels fastest */
    size_t count;  /* height * width * levels for grids */
} tsr_tokens;

/* Zeroed ids. Errors: TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokens_init(tsr_tokens *t, size_t count);
void tsr_tokens_clear(tsr_tokens *t);

/* What everybody must know about a modality's tokens, and all the border (shards) stores of it. */
typedef struct tsr_token_space {
    char modality[TSR_NAME_CHARS];
    tsr_layout layout;
    uint32_t height, width, levels; /* grids: all >= 1; sequences: 1, 1, 1 (length is free) */
    uint32_t codebook_size;         /* local ids are in [0, codebook_size) */
    uint32_t base;                  /* global id = base + local id */
    tsr_digest tokenizer;           /* hash of the tokenizer that makes them */
    char vocabulary[TSR_NAME_CHARS]; /* range shared with others ("text"), or the modality's name */
} tsr_token_space;

/* Give each space its base: spaces of vocabulary "text" first, at 0, all sharing one range (their
 * codebook sizes must agree); then the rest in the order given. *total is the size of it all.
 * Errors   TSR_EARG two modalities of one name, TSR_EMISMATCH shared ranges of unequal size,
 *          TSR_ELIMIT beyond 2^32 - 1. */
TSR_USE tsr_status tsr_vocabulary_assign(tsr_token_space *spaces, size_t n, uint32_t *total);

/* 1 when the name may be a modality: [a-z0-9_@-]+, 1..63 characters, starts with a letter. */
int tsr_modality_name_ok(const char *name);

#endif

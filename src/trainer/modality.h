/* SPDX-License-Identifier: Apache-2.0
 * What the masked model knows of its modalities: class, vocabulary, places, part played. */
#ifndef TSR_TRAINER_MODALITY_H
#define TSR_TRAINER_MODALITY_H

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "types/tokens.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_MODALITIES 64 /* at most in one model */
#define TSR_SEQUENCE_POSITIONS 512 /* rows of the positional table of sequences, as published */

/* Special ids of the text range; the layout of the published 4M vocabulary (tessera-shard(5)). */
#define TSR_ID_PAD 0
#define TSR_ID_EOS 3
#define TSR_ID_SENTINEL 4 /* [S_0]; [S_n] is TSR_ID_SENTINEL + n; masking uses n >= 1 */
#define TSR_ID_SENTINELS 200 /* [S_0] .. [S_199] */
#define TSR_ID_VALUE 204 /* v0=0; vK=N is TSR_ID_VALUE + K * TSR_ID_VALUES + N */
#define TSR_ID_VALUES 1000

/* How tokens enter the model. The names of the embedding classes are those of the 4M paper. */
typedef enum tsr_modality_class {
    TSR_CLASS_PIXELS,   /* raw patches through a projection; input only */
    TSR_CLASS_IMAGE,    /* ids on a grid, fixed 2-D sine-cosine positions */
    TSR_CLASS_VECTOR,   /* ids of product codes or residual levels, learned positions */
    TSR_CLASS_SEQUENCE, /* text-like: fixed 1-D positions by rank, causal in the decoder */
} tsr_modality_class;

/* "pixels", "image", "vector", "sequence". */
const char *tsr_modality_class_name(tsr_modality_class c);

/* One modality of a model. */
typedef struct tsr_mod {
    char name[TSR_NAME_CHARS];
    tsr_modality_class cls;
    int input, output;      /* 1 when the encoder (decoder) knows it */
    uint32_t vocabulary;    /* V: ids are in [0, V); 0 for pixels */
    uint32_t base;          /* first global id in the shared vocabulary */
    uint32_t height, width; /* grid; 1, 1 for sequences */
    uint32_t places;        /* positions of a grid times levels; 0 for sequences */
    uint32_t max_tokens;    /* places; sequences: longest text, [EOS] included */
    uint32_t positions;     /* rows of the positional table */
    uint32_t patch_values;  /* pixels: P * P * 3 */
    uint32_t wrap; /* target rows from this rank on have position 0; 0: none (human_poses of the
                      published models, whose table was cut short of its texts) */
    char range[TSR_NAME_CHARS]; /* name of the shared vocabulary's range ("text") */
    tsr_digest tokenizer;   /* of the tokenizer that makes the tokens; zero: unknown */
} tsr_mod;

/* All modalities of a model, sorted by name (bytewise): the order of everything indexed by m. */
typedef struct tsr_mods {
    tsr_mod items[TSR_MODALITIES];
    size_t count;
} tsr_mods;

/* Index of a name, or -1. */
int tsr_mods_find(const tsr_mods *m, const char *name);

/* Keep the items sorted: insert one. Errors: TSR_EARG a name that is there or no name,
 * TSR_ELIMIT. */
TSR_USE tsr_status tsr_mods_add(tsr_mods *m, const tsr_mod *mod);

/* The modality of a corpus's token space: grids with one level are images, with more levels (or a
 * vector tokenizer's 1 x T grid) vectors, patches pixels. Input and output are set (pixels: input
 * only). `max_tokens` of sequences: 256 unless changed by the caller; up to 512, the rows of their
 * positional table. */
void tsr_mod_of_space(const tsr_token_space *space, tsr_mod *out);

/* To and from the JSON kept in model files. Errors: TSR_EFORMAT naming the member. */
TSR_USE tsr_status tsr_mods_to_json(const tsr_mods *m, json_t **out);
TSR_USE tsr_status tsr_mods_from_json(const json_t *value, const char *origin, tsr_mods *out);

#endif

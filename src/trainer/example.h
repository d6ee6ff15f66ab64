/* SPDX-License-Identifier: Apache-2.0
 * One sample for the masked model: what is shown to it and what it has to predict.
 *
 * Nothing is padded: a modality that is absent or has no budget has no rows. */
#ifndef TSR_TRAINER_EXAMPLE_H
#define TSR_TRAINER_EXAMPLE_H

#include "base/status.h"
#include "trainer/modality.h"

#include <stddef.h>
#include <stdint.h>

/* What a sample holds of one modality, as stored. Absent: count 0 and present 0; a text without
 * words is present with count 0 or 1 ([EOS]). */
typedef struct tsr_held {
    int present;
    uint32_t count;         /* ids, or places of pixels */
    const uint32_t *ids;    /* [count] local ids; NULL for pixels */
    const uint8_t *patches; /* [count, patch_values] pixels only: 0..255, row, column, channel */
    const uint8_t *known;   /* [count] grids only: 1 where the place counts, 0 where it is unknown,
                               and patches holds those that count; NULL: all count. What is stored
                               has none: for generation */
} tsr_held;

/* Rows of one modality on one side. A target sequence of n tokens ([S_1] ... terminator) is n - 1
 * rows: row i is given token i and has token i + 1 as its label. A modality that is absent has rows
 * on neither side; one that is present and hidden may have target rows. */
typedef struct tsr_rows {
    uint32_t count;
    int32_t *ids;           /* input: local ids. Target sequences: what the decoder is given at this
                               row (the token before the label). Target grids, pixels: NULL */
    int32_t *positions;     /* grids: place in [0, places); sequences: rank among the rows */
    int32_t *labels;        /* targets: the local id to predict; NULL: only logits are wanted */
    const uint8_t *patches; /* input pixels [count, patch_values] */
} tsr_rows;

/* All rows of one sample. in, out: [modalities], in the order of tsr_mods. */
typedef struct tsr_example {
    uint64_t sample; /* index in its corpus, for messages */
    uint32_t corpus; /* which corpus of the loader */
    size_t modalities;
    tsr_rows *in, *out;
    int32_t *pool; /* storage behind ids, positions and labels */
    size_t pool_used, pool_cap;
    uint8_t *bytes; /* storage behind patches */
    size_t bytes_used, bytes_cap;
} tsr_example;

/* Storage for at most `rows` rows of both sides together and `patch_bytes` bytes of pixels; reset
 * and filled many times. Errors: TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_example_init(tsr_example *e, const tsr_mods *mods, size_t rows,
                                    size_t patch_bytes);
void tsr_example_clear(tsr_example *e);

/* Forget all rows; storage stays. */
void tsr_example_reset(tsr_example *e);

/* Give rows storage from the pool: ids, positions and labels [count] each (also those that stay
 * unused). Errors: TSR_ELIMIT when the pool is too small. */
TSR_USE tsr_status tsr_example_rows(tsr_example *e, tsr_rows *r, uint32_t count);

/* Rows of the input (target) side over all modalities. */
size_t tsr_example_inputs(const tsr_example *e);
size_t tsr_example_targets(const tsr_example *e);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * A better place to start a short run from than random weights alone. The model keeps its tensors,
 * names and shapes; only values differ, so files stay those of the published layout. */
#ifndef TSR_TRAINER_FMSTART_H
#define TSR_TRAINER_FMSTART_H

#include "base/status.h"
#include "trainer/fm.h"

typedef struct tsr_fm_start {
    /* Positions of all grids on one scale, so that the same place of two grids of different size
     * has nearly the same address. (Published: each grid counts its own places.) */
    int places;
    /* Keys begin as copies of queries in all attention: what is alike, the same place above all,
     * attends to each other before anything was learnt.
     * Source   Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention Layers",
     *          arXiv:2305.09828. */
    int attention;
    /* Standard deviation of the encoder's token embeddings; 0: 0.02 as published, where addresses
     * are thirty times as large and contents take hundreds of steps to be heard. */
    double tokens;
    /* Folder of the corpus's tokenizers: embeddings and heads begin as random projections of what a
     * token stands for, so that tokens that are alike start alike. Grids: the code vectors of
     * MODALITY.safetensors. Sequences: the numbers of the value tokens v0=0 .. v3=999 of RANGE.json.
     * NULL: none. What has no such file, or one of another size, starts as it is. */
    const char *codes;
} tsr_fm_start;

/* Set the values of a new model. *from_codes (may be NULL): modalities that began from code
 * vectors. Errors   TSR_ECONFIG for a deviation out of range; those of reading a tokenizer file
 * that is there; TSR_ENOMEM. */
TSR_USE tsr_status tsr_fm_begin(tsr_fm *m, const tsr_fm_start *s, uint64_t seed,
                                size_t *from_codes);

#endif

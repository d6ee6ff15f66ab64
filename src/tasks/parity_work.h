/* SPDX-License-Identifier: Apache-2.0
 * Inside of parity: what the comparisons of tokenizers and of masked models share, and the stored
 * batch of a masked model. */
#ifndef TSR_TASKS_PARITY_WORK_H
#define TSR_TASKS_PARITY_WORK_H

#include "nn/safetensors.h"
#include "tasks/parity.h"
#include "trainer/example.h"

#include <stdint.h>

/* Values of ours beside those stored. */
typedef struct tsr_parity_pair {
    const char *name;
    const float *ours, *want; /* [count] */
    size_t count;
    double tolerance;
    double scale;     /* relative to this; 0: the largest |want| */
    const char *note; /* copied; may be NULL */
} tsr_parity_pair;

/* Each adds one line. Whole numbers: `clear` counts those that may not differ, `share` of them may
 * all the same. Missing: the note is the formatted text. */
TSR_USE tsr_status tsr_parity_add_floats(tsr_parity *p, const tsr_parity_pair *pair);
TSR_USE tsr_status tsr_parity_add_whole(tsr_parity *p, const tsr_parity_line *line, double share);
TSR_USE tsr_status tsr_parity_add_missing(tsr_parity *p, const char *name, const char *fmt, ...)
    TSR_PRINTF(3, 4);

/* Element i < count of a tensor of whole numbers or truths, and whether it is one. */
int64_t tsr_parity_whole_at(const tsr_stored *t, size_t i);
int tsr_parity_is_whole(const tsr_stored *t);

/* The same as an id; -1, which no model takes, for what is no int32. */
int32_t tsr_parity_id_at(const tsr_stored *t, size_t i);

/* All values of a float tensor; tsr_free. Errors   TSR_EUNSUPPORTED, TSR_ENOMEM. */
TSR_USE tsr_status tsr_parity_values(const tsr_stored *t, float **out);

/* Largest |x|. */
double tsr_parity_largest(const float *x, size_t n);

/* The two kinds. Errors: those of tsr_parity_run(). */
TSR_USE tsr_status tsr_parity_tokenizer(const char *checkpoint, const tsr_safetensors *io,
                                        const tsr_parity_spec *spec, tsr_parity *p);
TSR_USE tsr_status tsr_parity_masked(const char *checkpoint, const tsr_safetensors *io,
                                     const tsr_parity_spec *spec, tsr_parity *p);

/* The stored batch as examples. `order`: modalities as they follow each other in packed slots. */
typedef struct tsr_parity_batch {
    const tsr_safetensors *io;
    const tsr_mods *mods;
    size_t samples;
    tsr_example *items;       /* [samples] */
    const tsr_example **list; /* [samples] */
    size_t n_order, order[TSR_MODALITIES];
    int64_t ids[TSR_MODALITIES];   /* in packed.*_mod; -1: the file does not say */
    float *pixels[TSR_MODALITIES]; /* [pixel_rows, patch_values] as the encoder gets them */
    size_t pixel_rows[TSR_MODALITIES];
} tsr_parity_batch;

/* Errors   TSR_ENOENT, TSR_EFORMAT, TSR_EMISMATCH, TSR_ENOMEM. `b` is zeroed storage; clear it in
 * either case. The modalities are borrowed. */
TSR_USE tsr_status tsr_parity_batch_init(tsr_parity_batch *b, const tsr_safetensors *io,
                                         const tsr_mods *mods);
void tsr_parity_batch_clear(tsr_parity_batch *b);

/* Tensor "<before><name><after>" of the batch's file, or NULL. */
const tsr_stored *tsr_parity_stored(const tsr_safetensors *io, const char *before, const char *name,
                                    const char *after);

/* Rows of one sample on one side. */
size_t tsr_parity_rows(const tsr_parity_batch *b, size_t sample, int target);

/* What is in a slot: modality and row in it; 0 for padding. */
int tsr_parity_slot(const tsr_parity_batch *b, size_t sample, int target, size_t slot, size_t *m,
                    size_t *row);

#endif

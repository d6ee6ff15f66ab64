/* SPDX-License-Identifier: Apache-2.0
 * Colour palettes outside the tokenizer: from a picture, and as a picture. */
#ifndef TSR_TOKENIZERS_PALETTE_H
#define TSR_TOKENIZERS_PALETTE_H

#include "types/media.h"

#define TSR_PALETTE_MAX 7

/* Colours, commonest first (ties: by R, G, B), each with its share of the pixels. */
typedef struct tsr_palette {
    size_t count;
    uint8_t rgb[TSR_PALETTE_MAX][3];
    double share[TSR_PALETTE_MAX]; /* sums to 1 */
} tsr_palette;

/* The palette of a U8 or U16 picture (alpha: weight of the pixel): weighted k-means in Oklab over
 * the colours present, with the smallest k in [least, most] whose root-mean-square distance in Oklab
 * is at most `tolerance` (0.05 is a good figure), else `most`. Colours that round to the same RGB
 * are joined, so fewer than `least` may come back from a plain picture.
 * 1 <= least <= most <= 7. Errors: TSR_EARG, TSR_EFORMAT when nothing is visible, TSR_ENOMEM. */
TSR_USE tsr_status tsr_palette_measure(const tsr_image *im, size_t least, size_t most,
                                       double tolerance, tsr_palette *out);

/* The record {"colors": [[r, g, b], ...]}, and back. Reading also takes 4M's form: a list whose
 * first element maps "1".."7" to lists of that many triples (the longest within `most` is used),
 * fractions rounded half to even. Shares come back equal.
 * Errors   TSR_EFORMAT naming what is wrong. */
TSR_USE tsr_status tsr_palette_to_record(const tsr_palette *p, json_t **out);
TSR_USE tsr_status tsr_palette_from_record(const json_t *record, size_t most, tsr_palette *out);

/* Swatches side by side, [height, width, 3]; each as wide as its share, at least one column. */
TSR_USE tsr_status tsr_palette_picture(const tsr_palette *p, size_t height, size_t width,
                                       tsr_image *out);

#endif

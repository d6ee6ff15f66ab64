/* SPDX-License-Identifier: Apache-2.0
 * Where what a record says of a whole picture lies in the sample's crop. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_PLACE_H
#define TSR_TOKENIZERS_PLACE_H

#include "tokenizers/tokenizer.h"

/* The crop, and the size of the picture it is cut from. */
typedef struct tsr_place {
    tsr_crop crop;
    double height, width;
    int sized; /* 0: nobody knows the size; the crop is the whole, 1 x 1 */
} tsr_place;

/* The size comes from the view, else from the picture among the inputs, else from "width" and
 * "height" of the record. `in` NULL: the whole of the record's size.
 * Errors   those of tsr_view_crop. */
TSR_USE tsr_status tsr_place_find(const tsr_inputs *in, const json_t *record, tsr_place *out);

/* xmin, ymin, xmax, ymax as shares of the picture to shares of the crop: not clipped, not mirrored.
 * Source   apple/ml-4m, boxes and poses: (x W - left) / w. */
void tsr_place_box(const tsr_place *p, const double box[4], double out[4]);

/* v within 0..1. */
double tsr_place_clip(double v);

#endif

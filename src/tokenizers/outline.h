/* SPDX-License-Identifier: Apache-2.0
 * Outlines of things in a picture: from JSON, into a crop, as masks. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_OUTLINE_H
#define TSR_TOKENIZERS_OUTLINE_H

#include "base/json.h"
#include "dsp/polygon.h"

/* Corners [n]; the box that holds them. Zeroed: empty. */
typedef struct tsr_outline {
    tsr_point *p;
    size_t n;
    tsr_point low, high;
} tsr_outline;

#define TSR_OUTLINE_MAX 20000 /* corners */

/* Read [[x, y], ...], also as OpenCV nests it ([[[x, y]], ...]), or a list whose first member is
 * one. Fractions are dropped.
 * Errors   TSR_EFORMAT for anything else, TSR_ELIMIT for too many corners. */
TSR_USE tsr_status tsr_outline_read(const json_t *v, tsr_outline *out);
void tsr_outline_clear(tsr_outline *o);

/* Cut to a crop, resize to `side` x `side` pixels, mirror when the crop says so. *kept 0: nothing
 * of it is in the crop, or its box has less than `smallest` of the area; it is then empty.
 * Source   apple/ml-4m, instance transform: coordinates rounded half to even, mirrored
 *          x = side - x. */
TSR_USE tsr_status tsr_outline_place(tsr_outline *o, const tsr_crop *crop, int32_t side,
                                     double smallest, int *kept);

/* The box's inside as `side` x `side` pixels: 1 on the thing, else 0. *out is fresh. The box has an
 * area. */
TSR_USE tsr_status tsr_outline_mask(const tsr_outline *o, int32_t side, tsr_image *out);

#endif

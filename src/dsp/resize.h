/* SPDX-License-Identifier: Apache-2.0
 * Picture resizing that agrees with Pillow to the last bit, because published tokens depend on it. */
#ifndef TSR_DSP_RESIZE_H
#define TSR_DSP_RESIZE_H

#include "types/media.h"

typedef enum tsr_filter {
    TSR_FILTER_NEAREST = 0,
    TSR_FILTER_BOX,
    TSR_FILTER_BILINEAR,
    TSR_FILTER_BICUBIC, /* a = -0.5 */
    TSR_FILTER_LANCZOS, /* three lobes */
} tsr_filter;

/* What happens to 16-bit grey values; 8-bit and float pixels have one way only. */
typedef enum tsr_resize16 {
    /* Pillow < 10.3, which opens 16-bit PNGs as 32-bit integers: sums in double, rounded half away
     * from zero after each pass. Pillow keeps overshoot; see tsr_resize_i32. */
    TSR_RESIZE16_I32 = 0,
    TSR_RESIZE16_NEAREST, /* Pillow 10.3 - 10.4, whatever filter is asked for */
    /* Pillow >= 11: as I32, but each pass is stored bytewise: below 0 gives 0, and an overshoot v
     * above 65535 gives 0xFF00 | (v & 255). */
    TSR_RESIZE16_BYTES,
} tsr_resize16;

/* "nearest", "box", "bilinear", "bicubic", "lanczos", and back (TSR_ECONFIG with a suggestion). */
const char *tsr_filter_name(tsr_filter f);
TSR_USE tsr_status tsr_filter_parse(const char *name, tsr_filter *out);

/* Resize to [height, width]; channels and pixel type stay.
 *
 * Separable, horizontal pass first; a pass whose size does not change is skipped. When shrinking,
 * the filter widens (antialiasing). U8: 22-bit fixed-point coefficients, rounding between passes.
 * U16: `mode`; results outside 0..65535 of TSR_RESIZE16_I32 are clamped at the end (a 16-bit image
 * cannot hold them). F32: double sums, float between passes; NaN and infinity spread to what they
 * touch.
 *
 * src     any image; not changed
 * height, width  1..65535
 * out     fresh image, released by tsr_image_clear; may not be src
 *
 * Errors   TSR_EARG for a zero size, TSR_ELIMIT beyond 65535, TSR_ENOMEM.
 * Accuracy bit-exact with Pillow 9.4 Image.resize(reducing_gap=None) per channel (modes L, LA without
 *          premultiplication, RGB, I, F).
 * Source   Pillow 9.4, src/libImaging/Resample.c and Geometry.c, behaviour only. */
TSR_USE tsr_status tsr_image_resize(const tsr_image *src, size_t height, size_t width,
                                    tsr_filter filter, tsr_resize16 mode, tsr_image *out);

/* Resize one plane of 32-bit integers (Pillow's mode "I"): nothing is clamped but to int32, so
 * depth maps keep the over- and undershoot that 4M's statistics saw.
 * src [src_height, src_width] in, dst [height, width] out, no overlap. Errors as above. */
TSR_USE tsr_status tsr_resize_i32(const int32_t *src, size_t src_height, size_t src_width,
                                  int32_t *dst, size_t height, size_t width, tsr_filter filter);

#endif

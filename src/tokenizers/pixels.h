/* SPDX-License-Identifier: Apache-2.0
 * From a picture as the file held it to the planes a network reads, and back. */
#ifndef TSR_TOKENIZERS_PIXELS_H
#define TSR_TOKENIZERS_PIXELS_H

#include "base/status.h"
#include "dsp/resize.h"
#include "types/media.h"

#include <stddef.h>

/* What transparent pixels stand before. */
typedef struct tsr_background {
    unsigned char rgb[3];
    int none; /* 1: alpha is dropped, as Pillow's conversions do */
} tsr_background;

/* The 8-bit picture of 1 or 3 channels: 16-bit values are divided by 257 (rounded), grey becomes
 * three equal channels and colour becomes grey by ITU-R 601 luma as Pillow rounds it, alpha is
 * composited over `background`. *out is fresh.
 * Errors   TSR_EFORMAT for floating-point pixels (they have no stated range). */
TSR_USE tsr_status tsr_pixels_8bit(const tsr_image *src, size_t channels,
                                   const tsr_background *background, tsr_image *out);

/* Cut the view out, resize to [height, width], mirror if the view says so. *out is fresh. */
TSR_USE tsr_status tsr_pixels_cut(const tsr_image *src, const tsr_view *view, size_t height,
                                  size_t width, tsr_filter filter, tsr_image *out);

/* u8 [H, W, C] to planes x [C, H, W]: x = (v / 255 - 0.5) / 0.5, and back, rounded and clamped. */
void tsr_pixels_to_planes(const tsr_image *im, float *x);
TSR_USE tsr_status tsr_pixels_from_planes(const float *x, size_t channels, size_t height,
                                          size_t width, tsr_image *out);

#endif

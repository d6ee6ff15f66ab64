/* SPDX-License-Identifier: Apache-2.0
 * A picture as square patches of its pixels, in the order of 4M's raw-pixel modalities, and back. */
#ifndef TSR_DSP_PATCHES_H
#define TSR_DSP_PATCHES_H

#include "types/media.h"

/* Cut into patches of `patch` x `patch` pixels, row-major; the values of a patch in the order row in
 * patch, column in patch, channel (fastest).
 *
 * im      [H, W, 3] of TSR_PIXEL_U8; H and W multiples of `patch` >= 1           in
 * values  [H / patch, W / patch, patch, patch, 3] of 0..255                      out
 *
 * Errors   TSR_EARG for another pixel type, channel count or size.
 * Source   4M (Mizrahi et al. 2023), patch projection of raw RGB: "b d (nh ph) (nw pw) -> b (nh nw)
 *          (ph pw d)". */
TSR_USE tsr_status tsr_patches_from_image(const tsr_image *im, size_t patch, uint32_t *values);

/* The picture of height x width patches. *out is fresh (tsr_image_clear).
 * Errors   TSR_EARG for a zero size, TSR_EFORMAT for a value above 255, those of tsr_image_init. */
TSR_USE tsr_status tsr_patches_to_image(const uint32_t *values, size_t height, size_t width,
                                        size_t patch, tsr_image *out);

#endif

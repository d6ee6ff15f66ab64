/* SPDX-License-Identifier: Apache-2.0
 * Cutting a rectangle out of a picture, mirroring, and the shared crop of a sample's modalities. */
#ifndef TSR_DSP_CROP_H
#define TSR_DSP_CROP_H

#include "types/media.h"

/* Pixels of the rectangle (top, left, height, width); those outside the picture are 0. `flip` of
 * the crop is not applied here (4M mirrors after the resize).
 * Errors   TSR_EARG for an empty rectangle, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_image_crop(const tsr_image *src, const tsr_crop *crop, tsr_image *out);

/* Mirror left to right in place. */
void tsr_image_flip(tsr_image *im);

/* The rectangle `view` means for a picture of this size: scaled (round half to even) when it was
 * drawn for another size, the centred square when view is NULL. At least 1x1.
 * Errors   TSR_EARG when the view's rectangle or size is not positive. */
TSR_USE tsr_status tsr_view_crop(const tsr_view *view, size_t height, size_t width, tsr_crop *out);

#endif

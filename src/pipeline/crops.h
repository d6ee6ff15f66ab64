/* SPDX-License-Identifier: Apache-2.0
 * The crop rule of 4M: one rectangle for all modalities of a sample. */
#ifndef TSR_PIPELINE_CROPS_H
#define TSR_PIPELINE_CROPS_H

#include "base/rng.h"
#include "types/media.h"

#include <stddef.h>

/* A random-resized crop of a picture of height x width pixels (both >= 1): area in
 * [min_scale, 1] of the picture, width/height in [3/4, 4/3] drawn evenly in the logarithm, ten
 * tries, then the largest centred rectangle of an allowed shape. `flips` 1: mirrored with
 * probability 1/2.
 * Source   torchvision RandomResizedCrop.get_params, as apple/ml-4m uses it; the random numbers are
 *          ours (Philox), in the order area, shape, top, left, flip. */
tsr_crop tsr_crop_random(size_t height, size_t width, double min_scale, int flips, tsr_rng *rng);

/* Rows of a crop_settings array of 4M, [k, 5]: top, left, height, width, mirrored.
 * crops  at most TSR_MAX_CROPS; *n is set. `origin` names the file in messages.
 * Errors   TSR_EFORMAT another shape, an empty rectangle, no whole number, a fifth value that is
 *          neither 0 nor 1; TSR_ELIMIT too many rows. */
#define TSR_MAX_CROPS 256
TSR_USE tsr_status tsr_crops_of_array(const tsr_media *m, const char *origin, tsr_crop *crops,
                                      size_t *n);

/* The same from a .npy file. */
TSR_USE tsr_status tsr_crops_read(const char *path, tsr_crop *crops, size_t *n);

#endif

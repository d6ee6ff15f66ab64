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

#endif

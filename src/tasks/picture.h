/* SPDX-License-Identifier: Apache-2.0
 * Anything as an 8-bit RGB picture, for terminals and contact sheets. */
#ifndef TSR_TASKS_PICTURE_H
#define TSR_TASKS_PICTURE_H

#include "base/status.h"
#include "types/media.h"
#include "types/tokens.h"

/* How the values of an image are to be read. */
typedef enum tsr_look {
    TSR_LOOK_PLAIN,  /* a photograph, normals: as they are; alpha over a grey checkerboard */
    TSR_LOOK_DEPTH,  /* metres or any scale: perceptual ramp between the extremes */
    TSR_LOOK_LABELS, /* class numbers: palette colours */
} tsr_look;

/* The look that fits a tokenizer kind's name ("depth", "label", ...). */
tsr_look tsr_look_of(const char *kind);

/* RGB of an image. Pixels that are not finite are black. `low` and `high` (may be NULL) receive the
 * extremes of the ramp. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_picture_of_image(const tsr_image *in, tsr_look look, tsr_image *out,
                                        double *low, double *high);

/* Spectrogram of the mono mix: time to the right, frequency (mel) upwards, 80 dB of range.
 * height: bands, 4..80. Errors: TSR_EARG, TSR_ENOMEM. */
TSR_USE tsr_status tsr_picture_of_sound(const tsr_sound *in, size_t height, tsr_image *out);

/* Token map: each id a square of `cell` pixels in the colour of its hash; levels of a place are
 * columns of its square. Sequences (height 1) wrap to a square. Patches give the picture they are
 * and `cell` does not matter. */
TSR_USE tsr_status tsr_picture_of_tokens(const tsr_tokens *t, const tsr_token_space *space,
                                         size_t cell, tsr_image *out);

/* Whatever a picture can be made of: images, sounds, palettes. TSR_EUNSUPPORTED for the rest. */
TSR_USE tsr_status tsr_picture_of_media(const tsr_media *m, const char *kind, tsr_image *out);

/* Lay pictures out in rows on a dark ground, each fitted into side x side pixels.
 * pictures  [rows, columns]; a zeroed image leaves its place empty */
TSR_USE tsr_status tsr_picture_sheet(const tsr_image *pictures, size_t rows, size_t columns,
                                     size_t side, tsr_image *out);

#endif

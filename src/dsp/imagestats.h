/* SPDX-License-Identifier: Apache-2.0
 * Numbers about a whole picture: the measured metadata fields. */
#ifndef TSR_DSP_IMAGESTATS_H
#define TSR_DSP_IMAGESTATS_H

#include "types/media.h"

/* Of an 8-bit picture in sRGB; grey counts as R = G = B, alpha is ignored, 16-bit uses the high
 * byte. Y is ITU-R 601 luma 0.299 R + 0.587 G + 0.114 B rounded to 8 bits as Pillow's mode "L".
 *
 * brightness    mean of Y                                                         0..255
 * contrast      standard deviation of Y                                           0..127.5
 * saturation    mean of HSV saturation, 255 (max - min) / max, 0 for black        0..255
 * colorfulness  sqrt(sd_rg^2 + sd_yb^2) + 0.3 sqrt(mean_rg^2 + mean_yb^2),
 *               rg = R - G, yb = (R + G)/2 - B; Hasler & Suesstrunk 2003, eq. 3     0..about 200
 * entropy       of the 256-bin histogram of Y, in bits                             0..8 */
typedef struct tsr_imagestats {
    double brightness, contrast, saturation, colorfulness, entropy;
} tsr_imagestats;

/* Errors   TSR_EARG for float pixels. */
TSR_USE tsr_status tsr_image_measure(const tsr_image *im, tsr_imagestats *out);

#endif

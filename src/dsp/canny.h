/* SPDX-License-Identifier: Apache-2.0
 * Canny's edges as OpenCV finds them, to the last pixel: integers all the way. */
#ifndef TSR_DSP_CANNY_H
#define TSR_DSP_CANNY_H

#include "types/media.h"

typedef struct tsr_canny_rule {
    double low, high; /* of the gradient's length, >= 0: an edge begins above `high` and goes on
                       * above `low`; swapped when they are the other way round */
    int aperture;     /* side of the Sobel kernels: 3 or 5 pixels */
    int l2;           /* 1: sqrt(gx^2 + gy^2); 0: |gx| + |gy| */
} tsr_canny_rule;

/* 255 on edges, 0 elsewhere.
 *
 * src   U8; 1 channel, or 3: then each pixel has the gradient of the channel where it is longest
 * out   U8, 1 channel, as large as src; fresh, released by tsr_image_clear
 *
 * Pixels outside repeat the border. A pixel may be an edge when its gradient is not shorter than
 * those beside it in the gradient's direction, rounded to 0, 45, 90 or 135 degrees.
 *
 * Errors   TSR_EARG for other pixels, an aperture that is neither 3 nor 5, thresholds below 0 or
 *          not finite; TSR_ENOMEM.
 * Accuracy the same pixels as cv2.Canny of OpenCV 4.6.
 * Source   Canny 1986, IEEE PAMI 8(6); rounding of directions and ties by OpenCV 4.6's
 *          behaviour. */
TSR_USE tsr_status tsr_canny(const tsr_image *src, const tsr_canny_rule *rule, tsr_image *out);

/* Grey of an RGB picture as OpenCV rounds it: (9798 R + 19235 G + 3735 B + 2^14) / 2^15, ITU-R 601.
 * Pillow's grey (tokenizers/pixels.h) differs by 1 in places.
 * src U8, 3 channels; *out fresh. Errors: TSR_EARG, TSR_ENOMEM. */
TSR_USE tsr_status tsr_grey_opencv(const tsr_image *src, tsr_image *out);

#endif

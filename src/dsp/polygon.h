/* SPDX-License-Identifier: Apache-2.0
 * Outlines with whole-number corners: filling them, which side of one a point is on, and cutting
 * one to a rectangle, each as the tools behind 4M's instances do it. */
#ifndef TSR_DSP_POLYGON_H
#define TSR_DSP_POLYGON_H

#include "types/media.h"

typedef struct tsr_point {
    int32_t x, y; /* within +-TSR_POINT_MAX */
} tsr_point;

#define TSR_POINT_MAX 1000000

/* Fill a closed outline: its inside by the even-odd rule, its edges as 8-connected lines. Corners
 * may lie beyond the mask.
 *
 * p     [n], n >= 1, the last joined to the first
 * mask  U8, 1 channel; pixels of the outline become `value`, others stay
 *
 * Errors   TSR_EARG for another mask or n = 0, TSR_ENOMEM.
 * Accuracy the same pixels as cv2.drawContours (filled) of OpenCV 4.6.
 * Source   OpenCV 4.6, filling of contours: behaviour, with its 16-bit fractions and clipping. */
TSR_USE tsr_status tsr_polygon_fill(const tsr_point *p, size_t n, uint8_t value, tsr_image *mask);

/* 1 inside by the even-odd rule, 0 on an edge or corner, -1 outside. The sign of
 * cv2.pointPolygonTest. */
int tsr_polygon_side(const tsr_point *p, size_t n, tsr_point at);

/* Cut to a rectangle as 4M does: each edge gets corners where it meets the borders of the rectangle
 * (top, right, bottom, left; fractions dropped), all corners are moved to the nearest place in the
 * rectangle, and those that then lie outside the outline are dropped. Coordinates are relative to
 * the rectangle.
 *
 * out  *m corners; released with tsr_free. *m = 0 and NULL when no corner was strictly inside
 *
 * Errors   TSR_EARG for n = 0 or corners beyond TSR_POINT_MAX, TSR_ENOMEM.
 * Source   apple/ml-4m, instance transform. */
TSR_USE tsr_status tsr_polygon_crop(const tsr_point *p, size_t n, const tsr_crop *crop,
                                    tsr_point **out, size_t *m);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Crops and mirrors. */
#include "dsp/crop.h"

#include <math.h>
#include <string.h>

tsr_status tsr_image_crop(const tsr_image *src, const tsr_crop *crop, tsr_image *out)
{
    if (crop->height <= 0 || crop->width <= 0)
        TSR_FAIL(TSR_EARG, "cannot crop to %dx%d: empty", crop->width, crop->height);
    tsr_image fresh;
    TSR_TRY(tsr_image_init(&fresh, (size_t)crop->height, (size_t)crop->width, src->channels,
                           src->pixel));
    size_t bytes = src->channels * (size_t)src->pixel;
    int64_t left = crop->left, top = crop->top;
    int64_t x0 = left < 0 ? 0 : left;
    int64_t x1 = left + crop->width;
    x1 = x1 > (int64_t)src->width ? (int64_t)src->width : x1;
    for (int64_t y = 0; y < crop->height && x0 < x1; y++) {
        int64_t from = top + y;
        if (from < 0 || from >= (int64_t)src->height)
            continue;
        memcpy((char *)tsr_image_row(&fresh, (size_t)y) + (size_t)(x0 - left) * bytes,
               (const char *)tsr_image_row(src, (size_t)from) + (size_t)x0 * bytes,
               (size_t)(x1 - x0) * bytes);
    }
    *out = fresh;
    return TSR_OK;
}

void tsr_image_flip(tsr_image *im)
{
    size_t bytes = im->channels * (size_t)im->pixel;
    char keep[16]; /* four components of four bytes */
    for (size_t y = 0; y < im->height; y++) {
        char *row = tsr_image_row(im, y);
        for (size_t a = 0, b = im->width - 1; a < b; a++, b--) {
            memcpy(keep, row + a * bytes, bytes);
            memcpy(row + a * bytes, row + b * bytes, bytes);
            memcpy(row + b * bytes, keep, bytes);
        }
    }
}

tsr_status tsr_view_crop(const tsr_view *view, size_t height, size_t width, tsr_crop *out)
{
    if (!view) {
        *out = tsr_crop_centre(height, width);
        return TSR_OK;
    }
    tsr_crop c = view->crop;
    if (c.height <= 0 || c.width <= 0)
        TSR_FAIL(TSR_EARG, "the crop is %dx%d", c.width, c.height);
    if (view->height == 0) {
        *out = c;
        return TSR_OK;
    }
    if (view->width == 0)
        TSR_FAIL(TSR_EARG, "the crop was drawn for a picture of width 0");
    double down = (double)height / view->height, across = (double)width / view->width;
    double top = rint(c.top * down), tall = rint(c.height * down);
    double left = rint(c.left * across), wide = rint(c.width * across);
    if (fabs(top) > 1e9 || fabs(left) > 1e9 || tall > 1e9 || wide > 1e9)
        TSR_FAIL(TSR_EARG, "the crop (%d, %d, %d, %d) is out of range", c.top, c.left, c.height,
                 c.width);
    *out = (tsr_crop){(int32_t)top, (int32_t)left, tall < 1 ? 1 : (int32_t)tall,
                      wide < 1 ? 1 : (int32_t)wide, c.flip};
    return TSR_OK;
}

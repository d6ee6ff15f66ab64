/* SPDX-License-Identifier: Apache-2.0
 * Pictures to planes. */
#include "tokenizers/pixels.h"

#include "dsp/crop.h"

#include <math.h>
#include <string.h>

/* Component c of pixel p as 0..255. */
static unsigned component(const tsr_image *im, size_t p, size_t c)
{
    size_t i = p * im->channels + c;
    if (im->pixel == TSR_PIXEL_U8)
        return ((const uint8_t *)im->data)[i];
    return (((const uint16_t *)im->data)[i] + 128u) / 257u;
}

static void over_background(unsigned rgb[3], unsigned alpha, const tsr_background *background)
{
    for (int c = 0; c < 3; c++)
        rgb[c] = (rgb[c] * alpha + background->rgb[c] * (255 - alpha) + 127) / 255;
}

tsr_status tsr_pixels_8bit(const tsr_image *src, size_t channels, const tsr_background *background,
                           tsr_image *out)
{
    if (src->pixel == TSR_PIXEL_F32)
        TSR_FAIL(TSR_EFORMAT, "floating-point pixels where a picture of 8 or 16 bits is expected");
    TSR_TRY(tsr_image_init(out, src->height, src->width, channels, TSR_PIXEL_U8));
    int colour = src->channels >= 3, alpha = !background->none && src->channels % 2 == 0;
    uint8_t *to = out->data;
    for (size_t p = 0; p < src->height * src->width; p++) {
        unsigned rgb[3];
        for (size_t c = 0; c < 3; c++)
            rgb[c] = component(src, p, colour ? c : 0);
        if (alpha)
            over_background(rgb, component(src, p, src->channels - 1), background);
        if (channels == 1 && (colour || alpha))
            rgb[0] = (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
        for (size_t c = 0; c < channels; c++)
            *to++ = (uint8_t)rgb[c];
    }
    return TSR_OK;
}

tsr_status tsr_pixels_cut(const tsr_image *src, const tsr_view *view, size_t height, size_t width,
                          tsr_filter filter, tsr_image *out)
{
    tsr_crop crop;
    tsr_image cut = {0};
    TSR_TRY(tsr_view_crop(view, src->height, src->width, &crop));
    TSR_TRY(tsr_image_crop(src, &crop, &cut));
    tsr_status st = tsr_image_resize(&cut, height, width, filter, TSR_RESIZE16_I32, out);
    tsr_image_clear(&cut);
    if (st == TSR_OK && view && view->crop.flip)
        tsr_image_flip(out);
    return st;
}

void tsr_pixels_to_planes(const tsr_image *im, float *x)
{
    const uint8_t *v = im->data;
    size_t n = im->height * im->width;
    for (size_t c = 0; c < im->channels; c++)
        for (size_t p = 0; p < n; p++)
            x[c * n + p] = ((float)v[p * im->channels + c] / 255.0f - 0.5f) / 0.5f;
}

tsr_status tsr_pixels_from_planes(const float *x, size_t channels, size_t height, size_t width,
                                  tsr_image *out)
{
    TSR_TRY(tsr_image_init(out, height, width, channels, TSR_PIXEL_U8));
    uint8_t *v = out->data;
    size_t n = height * width;
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < n; p++) {
            float y = (0.5f * x[c * n + p] + 0.5f) * 255.0f;
            v[p * channels + c] = (uint8_t)(y > 0.0f ? y < 255.0f ? lrintf(y) : 255 : 0);
        }
    }
    return TSR_OK;
}

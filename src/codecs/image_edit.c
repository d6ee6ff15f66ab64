/* SPDX-License-Identifier: Apache-2.0
 * Alpha: compositing over a background, and dropping it where it says nothing. */
#include "codecs/still.h"

static uint32_t component(const tsr_image *im, size_t i)
{
    return im->pixel == TSR_PIXEL_U8 ? ((const uint8_t *)im->data)[i]
                                     : ((const uint16_t *)im->data)[i];
}

static void set_component(tsr_image *im, size_t i, uint32_t v)
{
    if (im->pixel == TSR_PIXEL_U8)
        ((uint8_t *)im->data)[i] = (uint8_t)v;
    else
        ((uint16_t *)im->data)[i] = (uint16_t)v;
}

static int has_alpha(const tsr_image *im)
{
    return im->pixel != TSR_PIXEL_F32 && (im->channels == 2 || im->channels == 4);
}

tsr_status tsr_image_flatten(tsr_image *im, const unsigned char background[3])
{
    if (!has_alpha(im))
        return TSR_OK;
    const unsigned char *b = background;
    int grey = im->channels == 2 && b[0] == b[1] && b[1] == b[2];
    uint64_t full = im->pixel == TSR_PIXEL_U8 ? 255 : 65535;
    tsr_image flat;
    TSR_TRY(tsr_image_init(&flat, im->height, im->width, grey ? 1 : 3, im->pixel));
    for (size_t i = 0; i < im->height * im->width; i++) {
        uint64_t a = component(im, i * im->channels + im->channels - 1);
        for (size_t c = 0; c < flat.channels; c++) {
            uint64_t v = component(im, i * im->channels + (im->channels == 2 ? 0 : c));
            uint64_t under = b[c] * (full / 255);
            uint64_t mixed = (v * a + under * (full - a) + full / 2) / full;
            set_component(&flat, i * flat.channels + c, (uint32_t)mixed);
        }
    }
    tsr_image_clear(im);
    *im = flat;
    return TSR_OK;
}

tsr_status tsr_image_drop_opaque(tsr_image *im)
{
    if (!has_alpha(im))
        return TSR_OK;
    size_t n = im->height * im->width, channels = im->channels;
    uint32_t full = im->pixel == TSR_PIXEL_U8 ? 255 : 65535;
    for (size_t i = 0; i < n; i++)
        if (component(im, i * channels + channels - 1) != full)
            return TSR_OK;
    /* Packing towards the front never overwrites what is still to be read. */
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c + 1 < channels; c++)
            set_component(im, i * (channels - 1) + c, component(im, i * channels + c));
    im->channels--;
    return TSR_OK;
}

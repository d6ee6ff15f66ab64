/* SPDX-License-Identifier: Apache-2.0
 * Patches of pixels. */
#include "dsp/patches.h"

#include "base/mem.h"

/* Where byte b of pixel row y of patch x stands in a row of patches. */
static size_t place(size_t x, size_t y, size_t b, size_t patch)
{
    return (x * patch + y) * patch * 3 + b;
}

tsr_status tsr_patches_from_image(const tsr_image *im, size_t patch, uint32_t *values)
{
    if (im->pixel != TSR_PIXEL_U8 || im->channels != 3 || patch == 0 || im->height % patch ||
        im->width % patch)
        TSR_FAIL(TSR_EARG,
                 "a picture of %zu x %zu x %zu cannot be cut into 8-bit RGB patches of %zu", im->height,
                 im->width, im->channels, patch);
    size_t across = im->width / patch, row = across * patch * patch * 3;
    for (size_t y = 0; y < im->height; y++) {
        const uint8_t *from = tsr_image_row(im, y);
        uint32_t *to = values + y / patch * row;
        for (size_t x = 0; x < across; x++)
            for (size_t b = 0; b < patch * 3; b++)
                to[place(x, y % patch, b, patch)] = *from++;
    }
    return TSR_OK;
}

tsr_status tsr_patches_to_image(const uint32_t *values, size_t height, size_t width, size_t patch,
                                tsr_image *out)
{
    tsr_image im = {0};
    size_t rows, columns;
    TSR_TRY(tsr_mul_size(height, patch, &rows));
    TSR_TRY(tsr_mul_size(width, patch, &columns));
    TSR_TRY(tsr_image_init(&im, rows, columns, 3, TSR_PIXEL_U8));
    uint32_t highest = 0;
    for (size_t y = 0; y < rows; y++) {
        const uint32_t *from = values + y / patch * width * patch * patch * 3;
        uint8_t *to = tsr_image_row(&im, y);
        for (size_t x = 0; x < width; x++)
            for (size_t b = 0; b < patch * 3; b++) {
                uint32_t v = from[place(x, y % patch, b, patch)];
                highest = v > highest ? v : highest;
                *to++ = (uint8_t)v;
            }
    }
    if (highest > 255) {
        tsr_image_clear(&im);
        TSR_FAIL(TSR_EFORMAT, "a patch has the value %u, pixels have 0 to 255", highest);
    }
    *out = im;
    return TSR_OK;
}

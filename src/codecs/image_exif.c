/* SPDX-License-Identifier: Apache-2.0
 * EXIF orientation: finding it, and turning the picture.
 * Source   Exif 2.32 (CIPA DC-008), 4.6.2 and 4.6.4; TIFF 6.0, section 2. */
#include "codecs/still.h"

#include "base/mem.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3

int tsr_exif_orientation(const uint8_t *tiff, size_t bytes)
{
    if (bytes < 14)
        return 1;
    int little = memcmp(tiff, "II*\0", 4) == 0;
    if (!little && memcmp(tiff, "MM\0*", 4) != 0)
        return 1;
    uint32_t (*u16)(const uint8_t *) = little ? tsr_le16 : tsr_be16;
    uint32_t (*u32)(const uint8_t *) = little ? tsr_le32 : tsr_be32;
    size_t at = u32(tiff + 4);
    if (at > bytes - 2)
        return 1;
    size_t entries = u16(tiff + at);
    at += 2;
    for (size_t i = 0; i < entries && at + 12 <= bytes; i++, at += 12) {
        if (u16(tiff + at) != TAG_ORIENTATION)
            continue;
        uint32_t v = u16(tiff + at + 8);
        return u16(tiff + at + 2) == TYPE_SHORT && v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}

/* How to find the source of an upright pixel: first swap row and column, then mirror. */
static const struct {
    int transpose, mirror_y, mirror_x;
} turns[9] = {
    [1] = {0, 0, 0}, [2] = {0, 0, 1}, [3] = {0, 1, 1}, [4] = {0, 1, 0},
    [5] = {1, 0, 0}, [6] = {1, 1, 0}, [7] = {1, 1, 1}, [8] = {1, 0, 1},
};

tsr_status tsr_image_orient(tsr_image *im, int orientation)
{
    if (orientation < 2 || orientation > 8)
        return TSR_OK;
    int transpose = turns[orientation].transpose;
    tsr_image up;
    TSR_TRY(tsr_image_init(&up, transpose ? im->width : im->height,
                           transpose ? im->height : im->width, im->channels, im->pixel));
    size_t step = im->channels * (size_t)im->pixel;
    for (size_t y = 0; y < up.height; y++) {
        char *to = tsr_image_row(&up, y);
        for (size_t x = 0; x < up.width; x++, to += step) {
            size_t sy = transpose ? x : y, sx = transpose ? y : x;
            if (turns[orientation].mirror_y)
                sy = im->height - 1 - sy;
            if (turns[orientation].mirror_x)
                sx = im->width - 1 - sx;
            memcpy(to, (char *)tsr_image_row(im, sy) + sx * step, step);
        }
    }
    tsr_image_clear(im);
    *im = up;
    return TSR_OK;
}

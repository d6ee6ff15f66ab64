/* SPDX-License-Identifier: Apache-2.0
 * Media structs. */
#include "types/media.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static const char *const names[] = {"none", "image", "sound",  "text", "record",
                                    "vector", "integers"};

const char *tsr_media_name(tsr_media_kind kind)
{
    return names[kind];
}

void tsr_media_clear(tsr_media *m)
{
    switch (m->kind) {
    case TSR_MEDIA_NONE:
        break;
    case TSR_MEDIA_IMAGE:
        tsr_image_clear(&m->as.image);
        break;
    case TSR_MEDIA_SOUND:
        tsr_sound_clear(&m->as.sound);
        break;
    case TSR_MEDIA_TEXT:
        tsr_free(m->as.text.s);
        break;
    case TSR_MEDIA_RECORD:
        json_decref(m->as.record);
        break;
    case TSR_MEDIA_VECTOR:
        tsr_free(m->as.vector.data);
        break;
    case TSR_MEDIA_INTEGERS:
        tsr_free(m->as.integers.data);
        break;
    }
    *m = (tsr_media){0};
}

tsr_status tsr_image_init(tsr_image *im, size_t height, size_t width, size_t channels,
                          tsr_pixel pixel)
{
    if (height == 0 || width == 0 || channels == 0 || channels > 4)
        TSR_FAIL(TSR_EARG, "an image of %zu x %zu pixels and %zu channels", width, height, channels);
    size_t count;
    TSR_TRY(tsr_mul_size(height, width, &count));
    TSR_TRY(tsr_mul_size(count, channels, &count));
    tsr_image fresh = {height, width, channels, pixel, NULL};
    TSR_TRY(tsr_alloc(&fresh.data, count, (size_t)pixel));
    *im = fresh;
    return TSR_OK;
}

void tsr_image_clear(tsr_image *im)
{
    tsr_free(im->data);
    *im = (tsr_image){0};
}

tsr_status tsr_sound_init(tsr_sound *s, double rate_hz, size_t channels, size_t frames)
{
    if (!(rate_hz > 0) || channels == 0)
        TSR_FAIL(TSR_EARG, "a sound of %zu channels at %g Hz", channels, rate_hz);
    size_t count;
    TSR_TRY(tsr_mul_size(channels, frames, &count));
    tsr_sound fresh = {rate_hz, channels, frames, NULL};
    TSR_TRY(tsr_alloc(&fresh.data, count, sizeof *fresh.data));
    *s = fresh;
    return TSR_OK;
}

void tsr_sound_clear(tsr_sound *s)
{
    tsr_free(s->data);
    *s = (tsr_sound){0};
}

tsr_status tsr_text_init(tsr_media *m, const char *text, size_t bytes)
{
    size_t valid = tsr_utf8_valid(text, bytes);
    if (valid != bytes)
        TSR_FAIL(TSR_EFORMAT, "text is not UTF-8: byte 0x%02x at offset %zu",
                 (unsigned char)text[valid], valid);
    if (memchr(text, 0, bytes))
        TSR_FAIL(TSR_EFORMAT, "text holds a NUL byte");
    tsr_media fresh = {.kind = TSR_MEDIA_TEXT};
    TSR_TRY(tsr_strndup(&fresh.as.text.s, text, bytes));
    fresh.as.text.bytes = bytes;
    *m = fresh;
    return TSR_OK;
}

tsr_crop tsr_crop_centre(size_t height, size_t width)
{
    size_t side = height < width ? height : width;
    return (tsr_crop){(int32_t)((height - side) / 2), (int32_t)((width - side) / 2), (int32_t)side,
                      (int32_t)side, 0};
}

/* SPDX-License-Identifier: Apache-2.0
 * What a file held, before any tokenizer looks at it. codecs/ makes these, tokenizers/ read them,
 * and neither knows the other. */
#ifndef TSR_TYPES_MEDIA_H
#define TSR_TYPES_MEDIA_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef enum tsr_media_kind {
    TSR_MEDIA_NONE = 0,
    TSR_MEDIA_IMAGE,  /* pixels: pictures, depth, normals, label maps, edges */
    TSR_MEDIA_SOUND,  /* samples over time */
    TSR_MEDIA_TEXT,   /* UTF-8 */
    TSR_MEDIA_RECORD, /* a JSON value: metadata, boxes, palettes, rows of CSV or JSONL */
    TSR_MEDIA_VECTOR, /* numbers without a place, or an array of them: embeddings, feature maps */
    TSR_MEDIA_INTEGERS, /* whole numbers in an array: tokens made elsewhere, crops */
} tsr_media_kind;

typedef enum tsr_pixel {
    TSR_PIXEL_U8 = 1,
    TSR_PIXEL_U16 = 2,
    TSR_PIXEL_F32 = 4,
} tsr_pixel; /* the value is the size of one component in bytes */

/* [height, width, channels], packed rows, top row first; a component of U8/U16 is 0..255 / 0..65535
 * as stored in the file. Channels: 1 grey or index, 2 grey+alpha, 3 RGB, 4 RGBA (straight alpha).
 * Both sides are at least 1. */
typedef struct tsr_image {
    size_t height, width, channels;
    tsr_pixel pixel;
    void *data;
} tsr_image;

/* [frames, channels] interleaved float32, full scale +-1. */
typedef struct tsr_sound {
    double rate_hz;
    size_t channels, frames;
    float *data;
} tsr_sound;

#define TSR_VECTOR_DIMS 6

/* C order; count is the product of shape[0..dims), dims 0: one number. */
typedef struct tsr_integers {
    int64_t *data;
    size_t count, dims, shape[TSR_VECTOR_DIMS];
} tsr_integers;

typedef struct tsr_media {
    tsr_media_kind kind;
    union {
        tsr_image image;
        tsr_sound sound;
        struct {
            char *s; /* valid UTF-8, NUL-terminated, no NUL inside */
            size_t bytes;
        } text;
        json_t *record;
        struct {
            float *data;
            size_t count;
            size_t dims, shape[TSR_VECTOR_DIMS]; /* C order; dims 0: a plain row of `count` */
        } vector;
        tsr_integers integers;
    } as;
} tsr_media;

/* Name of a kind ("image"). Never NULL. */
const char *tsr_media_name(tsr_media_kind kind);

/* Releases whatever the kind owns; a zeroed struct is fine. */
void tsr_media_clear(tsr_media *m);

/* Zeroed pixels. Errors: TSR_EARG for a side or channel count of 0 or over 4 channels, TSR_ELIMIT. */
TSR_USE tsr_status tsr_image_init(tsr_image *im, size_t height, size_t width, size_t channels,
                                  tsr_pixel pixel);
void tsr_image_clear(tsr_image *im);

/* Zeroed samples. */
TSR_USE tsr_status tsr_sound_init(tsr_sound *s, double rate_hz, size_t channels, size_t frames);
void tsr_sound_clear(tsr_sound *s);

/* A copy of text[0..bytes) as text media. TSR_EFORMAT when it is not UTF-8 or holds a NUL. */
TSR_USE tsr_status tsr_text_init(tsr_media *m, const char *text, size_t bytes);

/* Pixel row y, typed by the caller. */
static inline void *tsr_image_row(const tsr_image *im, size_t y)
{
    return (char *)im->data + y * im->width * im->channels * (size_t)im->pixel;
}

/* Component i, counted over the whole image, in its stored unit. */
static inline double tsr_image_component(const tsr_image *im, size_t i)
{
    switch (im->pixel) {
    case TSR_PIXEL_U8:
        return ((const uint8_t *)im->data)[i];
    case TSR_PIXEL_U16:
        return ((const uint16_t *)im->data)[i];
    case TSR_PIXEL_F32:
        break;
    }
    return (double)((const float *)im->data)[i];
}

/* A rectangle of the original picture, and whether it is mirrored left to right after cutting.
 * Shared by all modalities of a sample (4M's crop_settings row: top, left, height, width, flip). */
typedef struct tsr_crop {
    int32_t top, left, height, width;
    int32_t flip; /* 0 or 1 */
} tsr_crop;

/* A crop and the size of the picture it was drawn for. A modality stored at another size scales the
 * rectangle (round half to even). height 0: the crop refers to whatever picture is at hand. */
typedef struct tsr_view {
    tsr_crop crop;
    uint32_t height, width;
} tsr_view;

/* The centred square: side = min(h, w), top = (h - side) / 2, left = (w - side) / 2. */
tsr_crop tsr_crop_centre(size_t height, size_t width);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Still pictures before and after the decoder: what the header says, the bytes the decoder needs,
 * and the way from its frame to our image. Inside codecs/ only. */
#ifndef TSR_CODECS_STILL_H
#define TSR_CODECS_STILL_H

#include "codecs/blob.h"
#include "codecs/codec.h"
#include "codecs/format.h"

#include <libavutil/frame.h>

/* What the four planes of a JPEG hold. All writers invert (255: no ink), as Adobe began. */
typedef enum tsr_ink {
    TSR_INK_NONE = 0, /* not four planes */
    TSR_INK_CMYK,     /* C M Y K */
    TSR_INK_YCCK,     /* luma and chroma of 255 - (C M Y), and K */
} tsr_ink;

/* A picture about to be decoded. `data` ends in AV_INPUT_BUFFER_PADDING_SIZE zeros. */
typedef struct tsr_still {
    uint8_t *data; /* owned: tsr_free */
    size_t bytes;
    int orientation; /* EXIF 1..8; 1: upright */
    tsr_ink ink;     /* of JPEGs of four planes */
    int loose;       /* the frame may have more channels than the picture needs: an alpha that is
                      * opaque everywhere, a palette that is the ramp of greys; drop them */
} tsr_still;

/* Each walks the structure of a format, refuses what is truncated or beyond the limits, and copies
 * what the decoder needs: no metadata, nothing after the first picture.
 * Errors   TSR_EFORMAT, TSR_ELIMIT, TSR_EUNSUPPORTED, TSR_ENOMEM. */
TSR_USE tsr_status tsr_png_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_jpeg_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_gif_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_webp_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_bmp_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_tiff_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
TSR_USE tsr_status tsr_pnm_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);

/* Room for `bytes` of packet and its padding; st->bytes starts at 0. */
TSR_USE tsr_status tsr_still_room(tsr_still *st, size_t bytes);

/* Append; the room must have been made. */
void tsr_still_add(tsr_still *st, const uint8_t *data, size_t bytes);

/* Orientation (1..8) in EXIF data (a TIFF structure); 1 when there is none or it is malformed. */
int tsr_exif_orientation(const uint8_t *tiff, size_t bytes);

/* Turn and mirror a picture as EXIF orientation 2..8 asks; 1 does nothing. */
TSR_USE tsr_status tsr_image_orient(tsr_image *im, int orientation);

/* Decode the prepared bytes, which move out of `still`. Errors: TSR_EFORMAT, TSR_ELIMIT,
 * TSR_EUNSUPPORTED, TSR_ENOMEM. */
TSR_USE tsr_status tsr_still_decode(const tsr_codec *f, tsr_still *still, const char *name,
                                    const tsr_read_options *o, AVFrame *frame);

/* A decoded frame as an image; channels and depth as stored. */
TSR_USE tsr_status tsr_frame_image(const AVFrame *f, const tsr_still *st, const char *name,
                                   const tsr_read_options *o, tsr_image *out);

/* The same for 8-bit frames of luma and chroma planes: triangle filter upwards, then RGB(A). */
TSR_USE tsr_status tsr_frame_ycc(const AVFrame *f, const char *name, tsr_image *out);

/* Four planes of ink at full size as RGB: K - ink * K / 255, with ink not inverted, as Pillow. */
TSR_USE tsr_status tsr_frame_cmyk(const AVFrame *f, tsr_ink ink, tsr_image *out);

/* Whether a frame's pixel format is one for tsr_frame_ycc. */
int tsr_frame_is_ycc(const AVFrame *f);

/* Remove alpha: value = (c * a + background * (1 - a)), rounded. Grey on a coloured background
 * becomes RGB. No alpha: unchanged. */
TSR_USE tsr_status tsr_image_flatten(tsr_image *im, const unsigned char background[3]);

/* Drop an alpha channel that is opaque everywhere. */
TSR_USE tsr_status tsr_image_drop_opaque(tsr_image *im);

#endif

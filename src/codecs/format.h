/* SPDX-License-Identifier: Apache-2.0
 * What one file format is, and the readers and writers the table in codec.c lists. Inside codecs/
 * only. Readers get a loaded source (sounds: an open one) and options whose limits are filled in.
 */
#ifndef TSR_CODECS_FORMAT_H
#define TSR_CODECS_FORMAT_H

#include "codecs/codec.h"
#include "codecs/blob.h"

#define TSR_HEAD_BYTES 64 /* enough of a file to know its format */

typedef struct tsr_codec tsr_codec;
struct tsr_codec {
    const char *name;       /* in messages: "PNG" */
    const char *extensions; /* "jpg jpeg" */
    tsr_media_kind kind;
    int (*is)(const uint8_t *head, size_t n); /* do the first bytes say so? NULL: they cannot */
    tsr_status (*read)(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o, tsr_media *out);
    tsr_status (*write)(const char *name, const tsr_media *m, const tsr_write_options *o,
                        char **data, size_t *bytes); /* NULL: not written */
    int av_codec;                                    /* images: AVCodecID */
};

/* image_read.c: any still picture libavcodec decodes. */
TSR_USE tsr_status tsr_image_read_av(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                                     tsr_media *out);
/* pfm.c */
TSR_USE tsr_status tsr_pfm_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                                tsr_media *out);
TSR_USE tsr_status tsr_pfm_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                 char **data, size_t *bytes);
/* npy.c */
TSR_USE tsr_status tsr_npy_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                                tsr_media *out);
TSR_USE tsr_status tsr_npy_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                 char **data, size_t *bytes);
/* image_write.c */
TSR_USE tsr_status tsr_png_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                 char **data, size_t *bytes);
TSR_USE tsr_status tsr_jpeg_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                  char **data, size_t *bytes);
/* sound_read.c: libsndfile first, FFmpeg for what it does not know. */
TSR_USE tsr_status tsr_sound_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                                  tsr_media *out);
/* sound_check.c: is the file whole? TSR_EFORMAT. */
TSR_USE tsr_status tsr_sound_check(const tsr_codec *f, const tsr_blob *s);
/* sound_av.c */
TSR_USE tsr_status tsr_sound_read_av(tsr_blob *s, const tsr_read_options *o, tsr_sound *out);
/* resample.c: in place. */
TSR_USE tsr_status tsr_sound_as_asked(tsr_sound *s, const char *name, const tsr_read_options *o);
/* sound_write.c */
TSR_USE tsr_status tsr_wav_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                 char **data, size_t *bytes);
TSR_USE tsr_status tsr_flac_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                                  char **data, size_t *bytes);
/* records.c */
TSR_USE tsr_status tsr_record_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                                   tsr_media *out);
/* gunzip.c: whether a name ends in .gz; and what such a file holds, loaded, named without the .gz.
 * Close both sources. */
int tsr_is_gz(const char *name);
TSR_USE tsr_status tsr_gunzip(tsr_blob *s, size_t max_bytes, tsr_blob *out);

/* image_other.c: height and width within the limits and not 0. */
TSR_USE tsr_status tsr_image_limits(const char *name, uint64_t height, uint64_t width,
                                    const tsr_read_options *o);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * From a file's bytes to media and back: the door of this layer.
 *
 * Which codec reads a file: the extension says what kind of media is expected (a .png is an image,
 * a .wav is a sound), the first bytes say which format of that kind it really is, so a JPEG named
 * x.png is read and a text named x.png is refused. Without a known extension the bytes decide.
 *
 *   images   png jpg jpeg webp gif(first frame) bmp tif tiff ppm pgm pbm pam pfm npy
 *   sounds   wav flac ogg opus mp3 aif aiff au m4a mp4 mkv webm mov avi ... (sound track of a
 * video) texts    txt text caption records  json; jsonl csv tsv (one record of many; records.h
 * walks through all) records also npy of objects; vectors  npy of one dimension, or of any with `as_vector` x.gz     whatever x
 * is
 *
 * Every function may be called from many threads at once; each call runs on its own thread only.
 * FFmpeg's log callback is replaced at first use: its lines become part of our error sentences. */
#ifndef TSR_CODECS_CODEC_H
#define TSR_CODECS_CODEC_H

#include "base/status.h"
#include "types/media.h"

#include <stddef.h>

/* What a pixel without a measurement becomes. */
typedef enum tsr_invalid_form {
    TSR_INVALID_NAN = 0,
    TSR_INVALID_ZERO,
} tsr_invalid_form;

/* How stored numbers become metres. scale_m 0 leaves pixels as stored. */
typedef struct tsr_depth_form {
    double scale_m;        /* metres per stored unit (0.001 for millimetres); > 0 turns it on */
    double invalid;        /* stored value that means "not measured"; NAN: all that is not finite */
    int all_valid;         /* 1: no stored value is invalid, `invalid` is not looked at */
    tsr_invalid_form form; /* of invalid pixels in the result */
} tsr_depth_form;

#define TSR_MAX_PIXELS  ((size_t)256 << 20) /* default of max_pixels */
#define TSR_MAX_SIDE    ((size_t)32767)     /* default of max_side, pixels */
#define TSR_MAX_SAMPLES ((size_t)256 << 20) /* default of max_samples: frames x channels */
#define TSR_MAX_BYTES   ((size_t)1 << 30)   /* default of max_bytes */

/* All zero is the default. Fields of other kinds of media are ignored. */
typedef struct tsr_read_options {
    /* limits; 0: the defaults above */
    size_t max_pixels, max_side, max_samples;
    size_t max_bytes; /* of a file that is loaded whole: everything but sounds; also after gunzip */
    /* images */
    int ignore_orientation; /* 1: leave EXIF orientation unapplied, as 4M's reader does */
    int palette_indices;    /* 1: palette images give indices (label maps, one channel) */
    int flatten;            /* 1: composite alpha over `background`, the result has none */
    unsigned char background[3];
    tsr_depth_form depth;
    int as_vector; /* 1: .npy of any shape becomes a vector, C order, that keeps the shape */
    int as_integers; /* 1: .npy of whole numbers becomes integers; floating types are refused */
    /* sounds */
    double rate_hz; /* resample to this rate; 0: as stored */
    int mono;       /* 1: arithmetic mean of the channels */
    /* records */
    size_t record; /* which of a .jsonl, .csv or .tsv, from 0 */
} tsr_read_options;

/* Kind of media the extension of `name` announces; TSR_MEDIA_NONE when it is not known. */
tsr_media_kind tsr_codec_kind(const char *name);

/* 1 when tsr_media_write can write the extension of `name`. */
int tsr_codec_writes(const char *name);

/* Read a file. opt NULL: defaults. *out is set on success; release with tsr_media_clear.
 *
 * Images   U8 or U16 exactly as stored (bit depths below 8 are scaled to 0..255), 1..4 channels;
 *          F32 for PFM, .npy (f8 rounded; i4 and wider only when exact) and for depth.
 *          JPEG: full range, triangle-filtered chroma as libjpeg does; CMYK and YCCK become RGB.
 *          The magnitude of a PFM's scale line is not applied; its sign is the byte order.
 * Sounds   float32, +-1 is full scale.
 * Text     a leading byte order mark is dropped, nothing else changed.
 * CSV      object from header to value: a quoted field is a string, an empty one null, one that is
 *          a JSON number a number, anything else a string.
 *
 * Errors   TSR_ENOENT, TSR_EIO; TSR_EFORMAT empty, truncated, malformed, not a regular file, or not
 *          of the kind its name says; TSR_EUNSUPPORTED; TSR_ELIMIT beyond a limit; TSR_ENUMERIC a
 *          depth that is not finite though `invalid` does not say so, or a number that float32
 *          cannot hold; TSR_EARG options out of range. The sentence starts with the path. */
TSR_USE tsr_status tsr_media_read(const char *path, const tsr_read_options *opt, tsr_media *out);

/* The same from memory (a tar member); `name` stands for the path. */
TSR_USE tsr_status tsr_media_read_memory(const char *name, const void *data, size_t bytes,
                                         const tsr_read_options *opt, tsr_media *out);

/* All zero is the default. */
typedef struct tsr_write_options {
    int quality;          /* JPEG 1..100; 0: 92 */
    int compression;      /* PNG 1 (fast) .. 9 (small); 0: 6 */
    int wav_float;        /* 1: float32 samples in WAV; 0: 16 bit, rounded, clipped at full scale */
    int indent;           /* JSON: spaces; 0: one line */
    int integer_bytes;    /* npy of integers: 2, 4 or 8 (0) bytes each, signed */
    tsr_depth_form depth; /* PNG from F32: stored = round(metres / scale_m), clipped at 65535; NaN,
                             infinity and values <= 0 become `invalid` (must be 0..65535) */
} tsr_write_options;

/* Write a file in one step (temporary file, rename), the format chosen by the extension:
 * png (U8, U16; F32 with depth), jpg jpeg (U8 grey or RGB), pfm (F32, 1 or 3 channels), npy
 * (images [H,W] or [H,W,C], vectors [N] or of their shape, integers), wav flac (FLAC is 16 bit), txt,
 * json.
 * Errors   TSR_EUNSUPPORTED naming what the format cannot hold, TSR_EARG, TSR_EIO. */
TSR_USE tsr_status tsr_media_write(const char *path, const tsr_media *m,
                                   const tsr_write_options *opt);

/* The same into memory; `name` gives the extension. Release *data with tsr_free. */
TSR_USE tsr_status tsr_media_write_memory(const char *name, const tsr_media *m,
                                          const tsr_write_options *opt, char **data, size_t *bytes);

#endif

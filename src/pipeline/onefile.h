/* SPDX-License-Identifier: Apache-2.0
 * One file and one tokenizer: reading as the tokenizer wants it, and writing what it gives back. */
#ifndef TSR_PIPELINE_ONEFILE_H
#define TSR_PIPELINE_ONEFILE_H

#include "base/status.h"
#include "codecs/codec.h"
#include "tokenizers/tokenizer.h"

/* How files are read for a kind of tokenizer ("label": palette pictures give indices, not colours;
 * "vector", "features": .npy files of any shape are arrays, no pictures). */
tsr_read_options tsr_kind_options(const char *kind);

/* The same for a tokenizer. */
tsr_read_options tsr_onefile_options(const tsr_tokenizer *t);

/* Read the files of one sample (at most 4: the picture, the record, ...). On success the caller
 * clears media[0..n). Errors: those of tsr_media_read, TSR_EARG for n over 4. */
TSR_USE tsr_status tsr_onefile_read(const tsr_tokenizer *t, const char *const *paths, size_t n,
                                    tsr_media media[4]);

/* Read and encode; *out as tsr_tokenizer_encode. `as` says what else goes in (view, from, crop; its
 * media are not looked at); NULL: nothing. Messages name the first file. */
TSR_USE tsr_status tsr_onefile_encode(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                      const char *const *paths, size_t n, const tsr_inputs *as,
                                      tsr_tokens *out);

/* Extension (without dot) in which media of this kind are written without loss beyond rounding:
 * png, wav, txt, json, npy. */
const char *tsr_onefile_extension(const tsr_media *m);

/* Write media to `path`; depth goes to PNG in millimetres, pixels without a value as 0. */
TSR_USE tsr_status tsr_onefile_write(const tsr_media *m, const char *path);

#endif

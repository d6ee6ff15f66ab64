/* SPDX-License-Identifier: Apache-2.0
 * Tokens of sound that arrives in pieces. They equal those of the whole file, for any pieces. */
#ifndef TSR_TOKENIZERS_AUDIO_H
#define TSR_TOKENIZERS_AUDIO_H

#include "base/status.h"
#include "tokenizers/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_audio_stream tsr_audio_stream;

/* One sound through tokenizer t of kind "audio", which must outlive the stream. TSR_EARG for another
 * kind. */
TSR_USE tsr_status tsr_audio_stream_create(const tsr_tokenizer *t, tsr_audio_stream **out);
void tsr_audio_stream_destroy(tsr_audio_stream *s);

/* More mono samples at the tokenizer's rate. */
TSR_USE tsr_status tsr_audio_stream_push(tsr_audio_stream *s, const float *samples, size_t n);

/* Tokens of the next finished window into ids[tsr_audio_stream_window()]; *count is 0 when there is
 * none yet: push more. finish 1: no more samples will come, the last window is filled with silence;
 * call until *count is 0. */
TSR_USE tsr_status tsr_audio_stream_pull(tsr_audio_stream *s, int finish, uint32_t *ids,
                                         size_t *count);

/* Tokens of one window of a tokenizer of kind "audio". */
size_t tsr_audio_stream_window(const tsr_tokenizer *t);

#endif

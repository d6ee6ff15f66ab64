/* SPDX-License-Identifier: Apache-2.0
 * The sound front end: log-mel frames at absolute times, whole or as a stream of chunks. */
#ifndef TSR_DSP_LOGMEL_H
#define TSR_DSP_LOGMEL_H

#include "dsp/mel.h"
#include "dsp/stft.h"

/* value = ln(max(power, floor)), power = mel bands of |STFT|^2 with the window scaled to sum 1 (a
 * full-scale sine has power 1/4 at its peak bin, whatever the window). Frame f is centred at sample
 * f*hop of the file; the file is zero outside. */
typedef struct tsr_logmel_spec {
    tsr_stft_spec stft;
    tsr_mel_scale scale;
    double rate_hz;
    size_t bands;
    double low_hz, high_hz;
    float floor; /* > 0 */
} tsr_logmel_spec;

/* 16 kHz, window 1024, fft 1024, hop 256, 80 Slaney bands of 0..8000 Hz, floor 1e-10. */
void tsr_logmel_defaults(tsr_logmel_spec *spec);

/* Plan, filters and the tail of the stream: one user at a time. */
typedef struct tsr_logmel tsr_logmel;

/* Errors   as tsr_stft_create and tsr_mel_create. */
TSR_USE tsr_status tsr_logmel_create(const tsr_logmel_spec *spec, tsr_logmel **out);
void tsr_logmel_destroy(tsr_logmel *m);

/* Whole sound: x[n] mono at rate_hz in, [tsr_stft_frames(n), bands] out. */
void tsr_logmel_whole(tsr_logmel *m, const float *x, size_t n, float *frames);

/* As a stream. Frames are bit-identical to those of the whole sound for any chunking.
 *   push    more samples (any number, 0 too)
 *   finish  the sound is over: what is missing beyond its end is zero
 *   pull    up to `max` finished frames into frames [max, bands]; returns how many; 0: push more
 *   reset   start a new sound
 * A frame is ready once fft/2 samples after its centre are known; memory is bounded by what was
 * pushed and not yet pulled plus fft samples. */
TSR_USE tsr_status tsr_logmel_push(tsr_logmel *m, const float *x, size_t n);
void tsr_logmel_finish(tsr_logmel *m);
size_t tsr_logmel_pull(tsr_logmel *m, float *frames, size_t max);
void tsr_logmel_reset(tsr_logmel *m);

#endif

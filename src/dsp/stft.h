/* SPDX-License-Identifier: Apache-2.0
 * Short-time Fourier transform at absolute times, and its inverse. */
#ifndef TSR_DSP_STFT_H
#define TSR_DSP_STFT_H

#include "base/status.h"

#include <complex.h>
#include <stddef.h>

/* window: samples the Hann window covers (periodic form); fft >= window: transform length, the
 * window in its middle; hop: samples between frames. All >= 1, hop <= window, fft <= 2^20. */
typedef struct tsr_stft_spec {
    size_t window, fft, hop;
} tsr_stft_spec;

/* Plan, window and scratch: one user at a time. */
typedef struct tsr_stft tsr_stft;

/* Errors   TSR_EARG naming the field that is out of range, TSR_ENOMEM. */
TSR_USE tsr_status tsr_stft_create(const tsr_stft_spec *spec, tsr_stft **out);
void tsr_stft_destroy(tsr_stft *s);

/* Frames of n samples: frame f is centred at sample f*hop; the sound is zero outside [0, n).
 * 1 + (n - 1) / hop frames, 0 for n = 0: every sample has a frame within hop of it. */
size_t tsr_stft_frames(const tsr_stft_spec *spec, size_t n);

/* Bins of a frame: fft/2 + 1. */
size_t tsr_stft_bins(const tsr_stft_spec *spec);

/* One frame.
 * x    [fft] samples of the frame, x[fft/2] is its centre              in
 * bins [fft/2 + 1]                                                    out */
void tsr_stft_frame(tsr_stft *s, const float *x, float complex *bins);

/* All frames of x[n] into bins [frames, fft/2 + 1].
 * Accuracy librosa.stft(center=True, pad_mode="constant") to 1e-5 of the largest bin; librosa has
 *          1 + n/hop frames, one more when hop divides n. */
void tsr_stft_forward(tsr_stft *s, const float *x, size_t n, float complex *bins);

/* Least-squares inverse (windowed overlap-add divided by the sum of squared windows) of `frames`
 * frames into x[n]; samples that no window reaches are 0.
 * Source   Griffin & Lim 1984, "Signal estimation from modified short-time Fourier transform",
 *          eq. 6. */
void tsr_stft_inverse(tsr_stft *s, const float complex *bins, size_t frames, float *x, size_t n);

/* The window, [fft] with zeros around it; borrowed until destroy. */
const float *tsr_stft_window(const tsr_stft *s);

#endif

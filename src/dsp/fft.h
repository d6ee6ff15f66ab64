/* SPDX-License-Identifier: Apache-2.0
 * Real Fourier transforms of one length (FFTW, single precision, estimated plans: the same build and
 * machine give the same bytes). The one file of the project that names FFTW. */
#ifndef TSR_DSP_FFT_H
#define TSR_DSP_FFT_H

#include "base/status.h"

#include <complex.h>
#include <stddef.h>

/* A plan with its own aligned buffers: one user at a time, one per thread. */
typedef struct tsr_fft tsr_fft;

/* n >= 1 samples. Planning takes a lock, running does not.
 * Errors   TSR_EARG, TSR_ELIMIT beyond 2^26, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fft_create(size_t n, tsr_fft **out);
void tsr_fft_destroy(tsr_fft *f);

/* Buffers, borrowed until destroy: [n] samples and [n/2 + 1] bins. */
float *tsr_fft_time(tsr_fft *f);
float complex *tsr_fft_bins(tsr_fft *f);

/* bins[k] = sum_t time[t] exp(-2 pi i k t / n), not scaled; time is kept. */
void tsr_fft_forward(tsr_fft *f);

/* time[t] = sum over all n bins (the upper half by symmetry) of bins exp(+...), not scaled: a round
 * trip multiplies by n. Destroys bins. */
void tsr_fft_inverse(tsr_fft *f);

#endif

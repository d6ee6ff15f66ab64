/* SPDX-License-Identifier: Apache-2.0
 * Mel filter banks: triangles over the bins of a power or magnitude spectrum. */
#ifndef TSR_DSP_MEL_H
#define TSR_DSP_MEL_H

#include "base/status.h"

#include <stddef.h>

/* HTK: 2595 log10(1 + f/700), triangles of height 1. Slaney: linear below 1 kHz, logarithmic above,
 * triangles of equal area (2 / bandwidth in Hz). Source: HTK Book 3.4, eq. 5.13; Slaney 1998,
 * Auditory Toolbox 2. */
typedef enum tsr_mel_scale {
    TSR_MEL_HTK = 0,
    TSR_MEL_SLANEY,
} tsr_mel_scale;

typedef struct tsr_mel_spec {
    tsr_mel_scale scale;
    double rate_hz;
    size_t fft;          /* transform length; fft/2 + 1 bins come in */
    size_t bands;        /* >= 1 */
    double low_hz, high_hz; /* edges of the lowest and highest triangle; high_hz <= rate/2 */
} tsr_mel_spec;

/* Rows are kept sparse: only the bins a triangle covers. Immutable, shared by threads. */
typedef struct tsr_mel tsr_mel;

/* Errors   TSR_EARG (range of a field; a triangle that covers no bin: more bands than the transform
 *          can tell apart), TSR_ENOMEM. */
TSR_USE tsr_status tsr_mel_create(const tsr_mel_spec *spec, tsr_mel **out);
void tsr_mel_destroy(tsr_mel *m);

/* Hz to mel and back. */
double tsr_mel_from_hz(tsr_mel_scale scale, double hz);
double tsr_mel_to_hz(tsr_mel_scale scale, double mel);

/* Dense row of band b into row[fft/2 + 1]. */
void tsr_mel_row(const tsr_mel *m, size_t b, float *row);

/* spectrum [fft/2 + 1] in, bands [bands] out: one matrix-vector product, sums in double. */
void tsr_mel_apply(const tsr_mel *m, const float *spectrum, float *bands);

/* Non-negative spectrum whose bands come close to `bands`: multiplicative updates for least squares,
 * `rounds` of them, from the transpose; a fixed number, so deterministic.
 * bands [bands] >= 0 in, spectrum [fft/2 + 1] out.  Errors: TSR_ENOMEM.
 * Source   Lee & Seung 2001, "Algorithms for non-negative matrix factorization", theorem 1. */
TSR_USE tsr_status tsr_mel_invert(const tsr_mel *m, const float *bands, int rounds,
                                  float *spectrum);

#endif

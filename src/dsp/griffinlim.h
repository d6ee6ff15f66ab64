/* SPDX-License-Identifier: Apache-2.0
 * Sound from magnitudes: the fast Griffin-Lim algorithm. */
#ifndef TSR_DSP_GRIFFINLIM_H
#define TSR_DSP_GRIFFINLIM_H

#include "dsp/logmel.h"
#include "dsp/stft.h"

#include <stdint.h>

typedef struct tsr_griffinlim_spec {
    tsr_stft_spec stft;
    int rounds;      /* >= 0; 32 is usual */
    double momentum; /* 0: plain Griffin-Lim; 0.99 is usual; below 1 */
    uint64_t seed;   /* of the start phases: stream (seed, TSR_RNG_PHASE, index) */
    uint64_t index;
} tsr_griffinlim_spec;

/* magnitude [frames, fft/2 + 1] >= 0 in; x [n] out.
 * Errors   TSR_EARG, TSR_ENUMERIC (a magnitude that is negative or not finite), TSR_ENOMEM.
 * Source   Perraudin, Balazs & Soendergaard 2013, "A fast Griffin-Lim algorithm", algorithm 2. */
TSR_USE tsr_status tsr_griffinlim(const tsr_griffinlim_spec *spec, const float *magnitude,
                                  size_t frames, float *x, size_t n);

/* Sound from log-mel frames [frames, bands] made with `spec`: bands to a spectrum
 * (tsr_mel_invert), then phases. x [n]; n = frames * hop covers it all. */
TSR_USE tsr_status tsr_logmel_invert(const tsr_logmel_spec *spec,
                                     const tsr_griffinlim_spec *phases, const float *logmel,
                                     size_t frames, float *x, size_t n);

#endif

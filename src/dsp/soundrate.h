/* SPDX-License-Identifier: Apache-2.0
 * Sound: mixing down and changing the sampling rate. */
#ifndef TSR_DSP_SOUNDRATE_H
#define TSR_DSP_SOUNDRATE_H

#include "types/media.h"

/* Mean of the channels, [frames] out. Sums in double, so silence in both is silence. */
void tsr_sound_mono(const tsr_sound *s, float *out);

/* Samples that n become at another rate: ceil(n * to / from); rates are whole numbers of Hz.
 * Errors   TSR_EARG for a rate outside 1..768000 or with a fraction, TSR_ELIMIT. */
TSR_USE tsr_status tsr_soundrate_frames(size_t n, double from_hz, double to_hz, size_t *out);

/* Change the rate of x[n] (mono) into y[tsr_soundrate_frames()]. Sample i of y is the sound at time
 * i / to_hz. Polyphase Kaiser-windowed sinc, 64 zero crossings a side, in double; pass band to 0.88 of
 * the lower Nyquist frequency, beyond which it falls to below -115 dB at Nyquist. Equal rates
 * copy.
 * Accuracy signal to noise and alias above 100 dB for sines in the pass band.
 * Source   Smith & Gossett 1984, "A flexible sampling-rate conversion method". */
TSR_USE tsr_status tsr_soundrate(const float *x, size_t n, double from_hz, double to_hz, float *y);

/* Mono at rate_hz: both of the above. *out is fresh. */
TSR_USE tsr_status tsr_sound_convert(const tsr_sound *s, double rate_hz, tsr_sound *out);

#endif

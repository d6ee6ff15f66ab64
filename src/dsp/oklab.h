/* SPDX-License-Identifier: Apache-2.0
 * Colour: sRGB, linear light, Oklab, and the distance eyes see.
 * Source   IEC 61966-2-1 (sRGB); Ottosson 2020, "A perceptual color space for image processing". */
#ifndef TSR_DSP_OKLAB_H
#define TSR_DSP_OKLAB_H

#include <stddef.h>
#include <stdint.h>

/* One component, 0..1 each way; outside values are extended by symmetry. */
double tsr_srgb_to_linear(double v);
double tsr_linear_to_srgb(double v);

/* Linear RGB to Oklab (L in 0..1, a and b about +-0.4) and back; rgb[3], lab[3] may be the same. */
void tsr_linear_to_oklab(const double rgb[3], double lab[3]);
void tsr_oklab_to_linear(const double lab[3], double rgb[3]);

/* 8-bit sRGB to Oklab and back (clamped to the gamut per component, rounded half up). */
void tsr_rgb8_to_oklab(const uint8_t rgb[3], double lab[3]);
void tsr_oklab_to_rgb8(const double lab[3], uint8_t rgb[3]);

/* CIE L*a*b* (D65) of 8-bit sRGB, and the CIE76 distance dE = |Lab1 - Lab2|. dE of 2.3 is about a
 * just noticeable difference. */
void tsr_rgb8_to_cielab(const uint8_t rgb[3], double lab[3]);
double tsr_delta_e(const uint8_t a[3], const uint8_t b[3]);

#endif

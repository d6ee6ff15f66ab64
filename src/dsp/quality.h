/* SPDX-License-Identifier: Apache-2.0
 * How close a reconstruction is, in the units of each field. Every function checks that the shapes
 * agree (TSR_EARG) and that numbers are finite (TSR_ENUMERIC). */
#ifndef TSR_DSP_QUALITY_H
#define TSR_DSP_QUALITY_H

#include "types/media.h"

/* Peak signal to noise ratio in dB over all components; peak 255, 65535 or 1 (F32). Equal pictures
 * give 100, which also is the ceiling. */
TSR_USE tsr_status tsr_psnr(const tsr_image *target, const tsr_image *got, double *db);

/* Structural similarity: 11x11 Gaussian of sigma 1.5, K1 0.01, K2 0.03, mean over channels and over
 * the places where the window fits (pictures narrower than 11 use the largest odd window that
 * fits). Source: Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment", eq. 13. */
TSR_USE tsr_status tsr_ssim(const tsr_image *target, const tsr_image *got, double *ssim);

/* Depth, over the places where valid (NULL: target > 0): mean |d - t| / t, and the share with
 * max(d/t, t/d) < 1.25. TSR_ENUMERIC when no place is valid. Source: Eigen et al. 2014. */
TSR_USE tsr_status tsr_depth_error(const float *target, const float *got, const uint8_t *valid,
                                   size_t n, double *absrel, double *delta1);

/* Mean angle in degrees between vectors [n, 3]; zero vectors of the target are left out, a zero
 * vector in `got` counts 90 degrees. TSR_ENUMERIC when none is left. */
TSR_USE tsr_status tsr_angle_error(const float *target, const float *got, size_t n, double *degrees);

/* Mean intersection over union of the classes present in the target or the result, in 0..1, and
 * the share of equal labels. `classes` >= 1; labels at or above it are TSR_EARG. */
TSR_USE tsr_status tsr_miou(const uint32_t *target, const uint32_t *got, size_t n, uint32_t classes,
                            double *miou, double *accuracy);

/* Mean absolute difference in dB of log-mel frames [n] (natural logarithms of power): 10/ln 10
 * times the mean of |a - b|. */
TSR_USE tsr_status tsr_mel_distance(const float *target, const float *got, size_t n, double *db);

/* Mean CIE76 colour difference of two 8-bit RGB(A) or grey pictures. */
TSR_USE tsr_status tsr_mean_delta_e(const tsr_image *target, const tsr_image *got, double *delta_e);

/* Signal to noise ratio in dB of samples [n]; ceiling 200. */
TSR_USE tsr_status tsr_snr(const float *target, const float *got, size_t n, double *db);

#endif

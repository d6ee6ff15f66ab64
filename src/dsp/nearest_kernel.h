/* SPDX-License-Identifier: Apache-2.0
 * The inner loop of a nearest-centre search, one body for every CPU level. Private to dsp.
 * All levels add in the same order, so all give the same bytes. */
#ifndef TSR_DSP_NEAREST_KERNEL_H
#define TSR_DSP_NEAREST_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define TSR_PANEL 16 /* centres side by side in a panel */

/* Best centre of each of `rows` points.
 *
 * points [rows, dim]; panels [n_panels, dim, 16]: centres, 16 at a time, component by component;
 * squares [n_panels, 16]: |c|^2, +infinity where a panel is padded. All in.
 * best [rows] lowest |c|^2 - 2xc, index [rows] its centre (ties: the lowest). Out. */
typedef void tsr_nearest_kernel(const float *points, size_t rows, size_t dim, const float *panels,
                                const float *squares, size_t n_panels, float *best,
                                uint32_t *index);

tsr_nearest_kernel tsr_nearest_ref, tsr_nearest_avx2, tsr_nearest_avx512;

#endif

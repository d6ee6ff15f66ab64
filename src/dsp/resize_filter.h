/* SPDX-License-Identifier: Apache-2.0
 * Filter taps of one resize pass. Private to dsp. */
#ifndef TSR_DSP_RESIZE_FILTER_H
#define TSR_DSP_RESIZE_FILTER_H

#include "dsp/resize.h"

#include <stdint.h>

#define TSR_TAP_BITS 22 /* fixed point of 8-bit taps: 32 - 8 bits of pixel - 2 of headroom */

/* Output i is the sum over j < count[i] of weight[i * width + j] * input[first[i] + j]. */
typedef struct tsr_taps {
    size_t outputs, width;
    size_t *first, *count;
    double *weight;  /* normalised to sum 1 */
    int32_t *fixed;  /* the same times 2^22, rounded half away from zero */
} tsr_taps;

/* Taps of an antialiasing filter (not NEAREST) from `in` to `out` samples. */
TSR_USE tsr_status tsr_taps_init(tsr_taps *t, size_t in, size_t out, tsr_filter filter);
void tsr_taps_clear(tsr_taps *t);

/* Source index of each output for NEAREST, into index[out]. */
void tsr_nearest_index(size_t in, size_t out, size_t *index);

#endif

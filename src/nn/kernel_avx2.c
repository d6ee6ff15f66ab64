/* SPDX-License-Identifier: Apache-2.0
 * Kernels for AVX2 and FMA. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "this file needs AVX2_CFLAGS"
#endif
#define TSR_KERNELS tsr_kernels_avx2
#define TSR_KERNELS_NAME "avx2"
#include "nn/kernel_body.h"

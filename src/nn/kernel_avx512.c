/* SPDX-License-Identifier: Apache-2.0
 * Kernels for AVX-512 F, BW, DQ, VL. */
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__)
#error "this file needs AVX512_CFLAGS"
#endif
#define TSR_KERNELS tsr_kernels_avx512
#define TSR_KERNELS_NAME "avx512"
#include "nn/kernel_body.h"

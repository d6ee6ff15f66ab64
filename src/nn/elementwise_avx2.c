/* SPDX-License-Identifier: Apache-2.0
 * elementwise.h for AVX2. */
#if !defined(__AVX2__)
#error "compile this file with AVX2_CFLAGS"
#endif
#define TSR_TABLE tsr_elementwise_avx2
#include "nn/elementwise_body.h"

/* SPDX-License-Identifier: Apache-2.0
 * elementwise.h for AVX-512. */
#if !defined(__AVX512F__)
#error "compile this file with AVX512_CFLAGS"
#endif
#define TSR_TABLE tsr_elementwise_avx512
#include "nn/elementwise_body.h"

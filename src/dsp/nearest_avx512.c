/* SPDX-License-Identifier: Apache-2.0
 * Nearest-centre search, AVX-512. */
#ifndef __AVX512F__
#error "this file must be compiled for AVX-512"
#endif
#define NEAREST tsr_nearest_avx512
#define ROWS    8
#include "dsp/nearest_body.h"

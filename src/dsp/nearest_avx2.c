/* SPDX-License-Identifier: Apache-2.0
 * Nearest-centre search, AVX2. */
#ifndef __AVX2__
#error "this file must be compiled for AVX2"
#endif
#define NEAREST tsr_nearest_avx2
#define ROWS    4
#include "dsp/nearest_body.h"

/* SPDX-License-Identifier: Apache-2.0
 * Kernels for AVX-512 with bf16 matrix tiles (AMX). */
#if !defined(__AMX_TILE__) || !defined(__AMX_BF16__) || !defined(__AVX512BF16__)
#error "this file needs AMX_CFLAGS"
#endif
#define TSR_KERNELS tsr_kernels_amx
#define TSR_KERNELS_NAME "amx"
#define TSR_KERNELS_TILES
#include "nn/kernel_body.h"

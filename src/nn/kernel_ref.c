/* SPDX-License-Identifier: Apache-2.0
 * Kernels for plain C. */
#define TSR_KERNELS tsr_kernels_ref
#define TSR_KERNELS_NAME "ref"
#include "nn/kernel_body.h"

/* SPDX-License-Identifier: Apache-2.0
 * bfloat16: the upper half of a float32, rounded to nearest, ties to even. */
#ifndef TSR_NN_BF16_H
#define TSR_NN_BF16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t tsr_bf16;

static inline float tsr_bf16_float(tsr_bf16 h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* NaN stays NaN (quiet); infinities and signed zeros are kept; overflow gives infinity. */
static inline tsr_bf16 tsr_float_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    uint32_t chosen = f == f ? rounded : u | 0x400000u; /* a form that loops turn into vectors */
    return (tsr_bf16)(chosen >> 16);
}

/* Arrays, at the CPU level in force; no overlap. */
void tsr_bf16_from_floats(tsr_bf16 *restrict dst, const float *restrict src, size_t n);
void tsr_bf16_to_floats(float *restrict dst, const tsr_bf16 *restrict src, size_t n);

#endif

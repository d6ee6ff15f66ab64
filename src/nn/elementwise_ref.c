/* SPDX-License-Identifier: Apache-2.0
 * elementwise.h as the baseline compiler makes it, and the choice of the table. */
#define TSR_TABLE tsr_elementwise_ref
#include "nn/elementwise_body.h"

#include "base/cpu.h"

#if defined(TSR_X86_KERNELS)
static const tsr_elementwise *const tables[] = {
    [TSR_CPU_REF] = &tsr_elementwise_ref,
    [TSR_CPU_AVX2] = &tsr_elementwise_avx2,
    [TSR_CPU_AVX512] = &tsr_elementwise_avx512,
};
#else
static const tsr_elementwise *const tables[] = {
    [TSR_CPU_REF] = &tsr_elementwise_ref,
    [TSR_CPU_AVX2] = &tsr_elementwise_ref,
    [TSR_CPU_AVX512] = &tsr_elementwise_ref,
};
#endif

const tsr_elementwise *tsr_elementwise_now(void)
{
    return tables[tsr_cpu()];
}

void tsr_bf16_from_floats(tsr_bf16 *restrict dst, const float *restrict src, size_t n)
{
    tsr_elementwise_now()->to_half(dst, src, n);
}

void tsr_bf16_to_floats(float *restrict dst, const tsr_bf16 *restrict src, size_t n)
{
    tsr_elementwise_now()->to_float(dst, src, n);
}

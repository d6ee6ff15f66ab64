/* SPDX-License-Identifier: Apache-2.0
 * Which table of kernels is in force. */
#include "nn/kernels.h"

#include "base/cpu.h"

static const tsr_kernels *const tables[] = {
    [TSR_CPU_REF] = &tsr_kernels_ref,
#ifdef TSR_X86_KERNELS
    [TSR_CPU_AVX2] = &tsr_kernels_avx2,
    [TSR_CPU_AVX512] = &tsr_kernels_avx512,
#endif
};

const tsr_kernels *tsr_kernels_get(void)
{
    return tsr_kernels_at((int)tsr_cpu());
}

const tsr_kernels *tsr_kernels_at(int level)
{
    if (level < 0 || level > (int)tsr_cpu() || (size_t)level >= sizeof tables / sizeof *tables)
        return NULL;
    return tables[level];
}

#ifdef TSR_AMX_KERNELS
const tsr_kernels *tsr_kernels_get_bf16(void)
{
    return tsr_cpu_tiles() ? &tsr_kernels_amx : tsr_kernels_get();
}
#else
const tsr_kernels *tsr_kernels_get_bf16(void)
{
    return tsr_kernels_get();
}
#endif

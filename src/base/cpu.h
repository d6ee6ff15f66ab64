/* SPDX-License-Identifier: Apache-2.0
 * Which kernels this machine may run, and a mask to run lower ones for tests. */
#ifndef TSR_BASE_CPU_H
#define TSR_BASE_CPU_H

typedef enum tsr_cpu_level {
    TSR_CPU_REF = 0,    /* plain C, as compiled for the baseline */
    TSR_CPU_AVX2 = 1,   /* AVX2 + FMA */
    TSR_CPU_AVX512 = 2, /* F, BW, DQ, VL */
} tsr_cpu_level;

/* The level in force: the machine's best, lowered by TESSERA_CPU=ref|avx2|avx512 in the
 * environment or by tsr_cpu_limit(). */
tsr_cpu_level tsr_cpu(void);

/* Never use more than `level` from now on. */
void tsr_cpu_limit(tsr_cpu_level level);

/* 1 when bf16 products are fast here (AVX512-BF16 or AMX-BF16) and the level allows them. */
int tsr_cpu_bf16(void);

/* 1 when bf16 matrix tiles (AMX) may be used here: the processor has them, the operating system
 * grants them to this process, and the level allows them. Asks for the grant at the first call. */
int tsr_cpu_tiles(void);

/* "ref", "avx2", "avx512". Never NULL. */
const char *tsr_cpu_name(tsr_cpu_level level);

/* Model name of the processor as /proc/cpuinfo tells it, for provenance. Borrowed, never NULL. */
const char *tsr_cpu_model(void);

#endif

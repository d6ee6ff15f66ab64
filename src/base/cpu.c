/* SPDX-License-Identifier: Apache-2.0
 * CPU levels. */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The level in force + 1; 0: not found out yet. Kernels ask often, so it is kept. */
static atomic_int current;

static const char *const names[] = {"ref", "avx2", "avx512"};

static tsr_cpu_level machine_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return TSR_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return TSR_CPU_AVX2;
#endif
    return TSR_CPU_REF;
}

static int level_named(const char *name)
{
    for (int i = 0; name && i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return TSR_CPU_AVX512;
}

/* The machine's best, lowered by the environment. */
static int allowed_level(void)
{
    int level = (int)machine_level(), asked = level_named(getenv("TESSERA_CPU"));
    return asked < level ? asked : level;
}

tsr_cpu_level tsr_cpu(void)
{
    int level = atomic_load_explicit(&current, memory_order_relaxed);
    if (level == 0) {
        level = allowed_level() + 1;
        atomic_store_explicit(&current, level, memory_order_relaxed);
    }
    return (tsr_cpu_level)(level - 1);
}

void tsr_cpu_limit(tsr_cpu_level level)
{
    int most = allowed_level();
    atomic_store_explicit(&current, ((int)level < most ? (int)level : most) + 1,
                          memory_order_relaxed);
}

int tsr_cpu_bf16(void)
{
#if defined(__x86_64__)
    return tsr_cpu() == TSR_CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}

#if defined(__x86_64__) && defined(__linux__)
/* Source   Linux, Documentation/x86/xstate.rst; Intel SDM, CPUID leaf 7: EDX bits 22 (AMX-BF16) and
 * 24 (AMX-TILE). */
static int machine_tiles(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, BF16_AND_TILE = 1 << 22 | 1 << 24 };
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & BF16_AND_TILE) != BF16_AND_TILE)
        return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#else
static int machine_tiles(void)
{
    return 0;
}
#endif

int tsr_cpu_tiles(void)
{
    static int known = -1; /* the machine's answer does not change; racing threads agree */
    int have;
    if (!tsr_cpu_bf16())
        return 0;
#pragma omp atomic read
    have = known;
    if (have < 0) {
        have = machine_tiles();
#pragma omp atomic write
        known = have;
    }
    return have;
}

const char *tsr_cpu_name(tsr_cpu_level level)
{
    return names[level];
}

const char *tsr_cpu_model(void)
{
    static _Thread_local char model[96];
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    snprintf(model, sizeof model, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(model, sizeof model, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f)
        fclose(f);
    return model;
}

/* SPDX-License-Identifier: Apache-2.0
 * CPU levels. */
#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int limit = -1;

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

tsr_cpu_level tsr_cpu(void)
{
    int level = (int)machine_level(), asked = level_named(getenv("TESSERA_CPU"));
    level = asked < level ? asked : level;
    return (tsr_cpu_level)(limit >= 0 && limit < level ? limit : level);
}

void tsr_cpu_limit(tsr_cpu_level level)
{
    limit = (int)level;
}

int tsr_cpu_bf16(void)
{
#if defined(__x86_64__)
    return tsr_cpu() == TSR_CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
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

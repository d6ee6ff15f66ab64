/* SPDX-License-Identifier: Apache-2.0
 * Made-up data shared by the tests of dsp and by tests/data/dsp/make_expected.py. */
#ifndef TSR_TESTS_DSP_TESTING_H
#define TSR_TESTS_DSP_TESTING_H

#include <stddef.h>
#include <stdint.h>

/* Linear congruence; the next 32 bits. */
static inline uint32_t noise(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x;
}

/* FNV-1a, 64 bits. */
static inline uint64_t fnv(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

#endif

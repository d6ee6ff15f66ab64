/* SPDX-License-Identifier: Apache-2.0
 * Philox streams and the keyed permutation. */
#include "base/rng.h"

#include <math.h>

void tsr_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void tsr_rng_init(tsr_rng *r, uint64_t seed, tsr_purpose purpose, uint64_t index)
{
    /* Key: the seed with the purpose folded in by one Philox block; counter: low word runs, the
     * upper two hold the index, so that streams of different index never meet. */
    uint32_t mix[4];
    const uint32_t at[4] = {(uint32_t)purpose, 0x54657373u, 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    tsr_philox(at, key, mix);
    r->key[0] = mix[0];
    r->key[1] = mix[1];
    r->counter[0] = 0;
    r->counter[1] = 0;
    r->counter[2] = (uint32_t)index;
    r->counter[3] = (uint32_t)(index >> 32);
    r->next = 4;
}

uint32_t tsr_rng_u32(tsr_rng *r)
{
    if (r->next == 4) {
        tsr_philox(r->counter, r->key, r->block);
        r->next = 0;
        if (++r->counter[0] == 0)
            r->counter[1]++;
    }
    return r->block[r->next++];
}

uint64_t tsr_rng_u64(tsr_rng *r)
{
    uint64_t hi = tsr_rng_u32(r);
    return hi << 32 | tsr_rng_u32(r);
}

uint32_t tsr_rng_below(tsr_rng *r, uint32_t n)
{
    /* Lemire 2019: multiply, reject the few values that would bias. */
    uint64_t m = (uint64_t)tsr_rng_u32(r) * n;
    if ((uint32_t)m < n) {
        uint32_t floor = (0u - n) % n;
        while ((uint32_t)m < floor)
            m = (uint64_t)tsr_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

float tsr_rng_float(tsr_rng *r)
{
    return (float)(tsr_rng_u32(r) >> 8) * 0x1p-24f;
}

double tsr_rng_double(tsr_rng *r)
{
    return (double)(tsr_rng_u64(r) >> 11) * 0x1p-53;
}

float tsr_rng_range(tsr_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * tsr_rng_float(r);
}

float tsr_rng_normal(tsr_rng *r)
{
    double u = 1.0 - tsr_rng_double(r);
    double v = tsr_rng_double(r);
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static uint64_t feistel(uint64_t x, unsigned half_bits, const uint32_t key[2])
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t l = x >> half_bits, r = x & mask;
    for (uint32_t round = 0; round < 6; round++) {
        const uint32_t at[4] = {(uint32_t)r, (uint32_t)(r >> 32), round, 0x5065726du};
        uint32_t f[4];
        tsr_philox(at, key, f);
        uint64_t t = l ^ (((uint64_t)f[1] << 32 | f[0]) & mask);
        l = r;
        r = t;
    }
    return l << half_bits | r;
}

uint64_t tsr_rng_permute(uint64_t i, uint64_t n, uint64_t seed, tsr_purpose purpose, uint64_t index)
{
    tsr_rng stream;
    tsr_rng_init(&stream, seed, purpose, index);
    const uint32_t key[2] = {tsr_rng_u32(&stream), tsr_rng_u32(&stream)};
    unsigned half_bits = 1;
    while (half_bits < 32 && ((uint64_t)1 << (2 * half_bits)) < n)
        half_bits++;
    do
        i = feistel(i, half_bits, key);
    while (i >= n);
    return i;
}

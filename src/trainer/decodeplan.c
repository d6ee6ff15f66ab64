/* SPDX-License-Identifier: Apache-2.0
 * Schedules of tokens and temperatures; orders of places. */
#include "trainer/decodeplan.h"

#include "base/rng.h"
#include "trainer/sampling.h"

#include <math.h>
#include <stdlib.h>

#define PI        3.14159265358979323846
#define COLDEST   1e-9  /* the lowest temperature of a schedule that cools */
#define ONEX_LAST 100.0 /* onex: x runs from 1 to here */

static void cosine(size_t n, size_t steps, uint32_t *counts)
{
    size_t left = n;
    for (size_t i = 0; i + 1 < steps; i++) {
        double here = 0.5 * (1.0 + cos(PI * (double)i / (double)steps));
        double next = 0.5 * (1.0 + cos(PI * (double)(i + 1) / (double)steps));
        size_t take = (size_t)nearbyint((double)n * (here - next));
        counts[i] = (uint32_t)(take < left ? take : left);
        left -= counts[i];
    }
    counts[steps - 1] = (uint32_t)left;
}

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static size_t linear(size_t n, size_t steps, uint32_t *counts)
{
    for (size_t i = 0; i < steps; i++)
        counts[i] = (uint32_t)((uint64_t)n * (i + 1) / steps - (uint64_t)n * i / steps);
    qsort(counts, steps, sizeof *counts, descending);
    while (steps > 0 && counts[steps - 1] == 0)
        steps--;
    return steps;
}

tsr_status tsr_decode_counts(tsr_token_schedule schedule, size_t n, size_t steps, uint32_t *counts,
                             size_t *used)
{
    if (steps == 0 || steps > TSR_DECODE_STEPS)
        TSR_FAIL(TSR_EARG, "%zu decoding steps: 1 to %d are possible", steps, TSR_DECODE_STEPS);
    if (n > UINT32_MAX)
        TSR_FAIL(TSR_EARG, "%zu places are too many to decode", n);
    if (schedule == TSR_TOKENS_LINEAR) {
        *used = linear(n, steps, counts);
        return TSR_OK;
    }
    cosine(n, steps, counts);
    *used = steps;
    return TSR_OK;
}

/* Point j of the curve x^-power, shifted and scaled to [0, 1]. */
static double onex(size_t j, size_t n, double power)
{
    double last = pow(ONEX_LAST, -power);
    if (n < 2 || last >= 1.0)
        return 1.0;
    double x = 1.0 + (ONEX_LAST - 1.0) * (double)(j < n ? j : n - 1) / (double)(n - 1);
    return (pow(x, -power) - last) / (1.0 - last);
}

void tsr_decode_temperatures(const tsr_target *t, size_t n, const uint32_t *counts, size_t used,
                             double *temperatures)
{
    size_t done = 0;
    for (size_t j = 0; j < used; j++) {
        double v = t->temperature, all = n ? (double)n : 1.0;
        if (t->cooling == TSR_TEMPERATURE_LINEAR)
            v *= (double)(n - done) / all;
        done += counts[j];
        if (t->cooling == TSR_TEMPERATURE_ONEX)
            v = t->cool_to + (v - t->cool_to) * onex(j, n, t->power) * (1.0 - (double)done / all);
        temperatures[j] = t->temperature < TSR_GREEDY ? 0.0 : v > COLDEST ? v : COLDEST;
    }
}

void tsr_decode_order(uint64_t seed, uint64_t key, size_t target, uint32_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++)
        places[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        double u = tsr_sample_uniform(seed, key, target, SIZE_MAX, i);
        size_t j = (size_t)(u * (double)i);
        uint32_t keep = places[i - 1];
        places[i - 1] = places[j];
        places[j] = keep;
    }
}

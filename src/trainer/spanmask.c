/* SPDX-License-Identifier: Apache-2.0
 * Runs of dropped tokens, sentinels, and the way back. */
#include "trainer/spanmask.h"

#include "trainer/modality.h"

#include <string.h>

#define SHRINK     0.9     /* of the keep probability after an input that was too long */
#define LEAST_KEEP 0x1p-24 /* below this nothing is kept */

/* Number of a sentinel, or -1. */
static int64_t sentinel_of(uint32_t id, uint32_t sentinels)
{
    uint32_t n = id - TSR_ID_SENTINEL;
    return n < sentinels ? (int64_t)n : -1;
}

static int starts_chunk(const tsr_span_spec *s, uint32_t i)
{
    return !s->starts || s->starts[i] || i == 0;
}

static void add_target(tsr_span *out, uint32_t id, int start)
{
    if (out->target_starts)
        out->target_starts[out->n_target] = (uint8_t)start;
    out->target[out->n_target++] = id;
}

/* One masking. 0 as soon as the input is longer than `most`: what comes after could only lengthen
 * it. */
static int mask_once(const tsr_span_spec *s, uint32_t most, double keep, tsr_rng *rng,
                     tsr_span *out)
{
    uint64_t threshold = (uint64_t)(keep * 4294967296.0);
    uint32_t last_run = s->sentinels - 2, runs = 0;
    int kept = 1, in_run = 0;
    out->n_input = out->n_target = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (starts_chunk(s, i))
            kept = threshold >> 32 || (threshold && tsr_rng_u32(rng) < threshold);
        if (kept && !(in_run && runs == last_run)) {
            if (out->n_input == most)
                return 0;
            out->input[out->n_input++] = s->ids[i];
            in_run = 0;
            continue;
        }
        if (!in_run) {
            if (out->n_input == most)
                return 0;
            runs++;
            out->input[out->n_input++] = TSR_ID_SENTINEL + runs;
            add_target(out, TSR_ID_SENTINEL + runs, 1);
            in_run = 1;
        }
        add_target(out, s->ids[i], starts_chunk(s, i));
    }
    add_target(out, TSR_ID_SENTINEL + runs + 1, 1);
    return 1;
}

void tsr_span_mask(const tsr_span_spec *s, tsr_rng *rng, tsr_span *out)
{
    double keep = s->most ? s->keep : 0;
    uint32_t most = s->most ? s->most : 1;
    while (!mask_once(s, most, keep, rng, out))
        keep = keep > LEAST_KEEP ? SHRINK * keep : 0;
    if (!s->most)
        out->n_input = 0;
}

uint32_t tsr_span_truncate(const tsr_span_spec *s, uint32_t most, tsr_rng *rng, tsr_span *span)
{
    uint32_t *target = span->target, n = span->n_target, marks = 0, from = 0, nth = 0;
    if (n <= most)
        return n;
    span->n_target = 0;
    if (!most)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        marks += sentinel_of(target[i], s->sentinels) >= 0;
    uint32_t chosen = tsr_rng_below(rng, marks > 2 ? marks - 1 : 1);
    for (uint32_t i = 0; i < n; i++) {
        if (sentinel_of(target[i], s->sentinels) < 0)
            continue;
        from = i;
        /* The chosen one; or an earlier one from which all fits, which then is the earliest such
         * one, while less than `most` follows the chosen. */
        if (nth++ == chosen || n - i <= most)
            break;
    }
    uint32_t left = n - from < most ? n - from : most;
    while (span->target_starts && left < n - from && left && !span->target_starts[from + left])
        left--;
    memmove(target, target + from, left * sizeof *target);
    if (span->target_starts)
        memmove(span->target_starts, span->target_starts + from, left);
    return span->n_target = left;
}

/* Where in the target the run of a sentinel starts: the first one of that id; n if there is none.
 */
static uint32_t find_run(const uint32_t *target, uint32_t n, uint32_t id)
{
    uint32_t i = 0;
    while (i < n && target[i] != id)
        i++;
    return i < n ? i + 1 : n;
}

tsr_status tsr_span_rebuild(const uint32_t *input, uint32_t n_input, const uint32_t *target,
                            uint32_t n_target, uint32_t sentinels, uint32_t *out, uint32_t cap,
                            uint32_t *n_out)
{
    const uint32_t first = TSR_ID_SENTINEL + 1;
    uint32_t used = 0;
    if (!n_input) {
        input = &first;
        n_input = 1;
    }
    for (uint32_t i = 0; i < n_input; i++) {
        const uint32_t *run = input + i;
        uint32_t length = 1;
        if (sentinel_of(input[i], sentinels) >= 0) {
            uint32_t at = find_run(target, n_target, input[i]), end = at;
            while (end < n_target && sentinel_of(target[end], sentinels) < 0)
                end++;
            run = target + at;
            length = end - at;
        }
        if (length > cap - used)
            TSR_FAIL(TSR_ELIMIT, "the sequence has more than %u tokens", cap);
        if (length)
            memcpy(out + used, run, length * sizeof *out);
        used += length;
    }
    *n_out = used;
    return TSR_OK;
}

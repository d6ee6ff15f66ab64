/* SPDX-License-Identifier: Apache-2.0
 * Entropy of single tokens. */
#include "trainer/unigram.h"

#include "base/mem.h"

#include <math.h>

#define LN2 0.69314718055994530942

static void count_sample(const tsr_sample_held *h, const tsr_mods *mods, uint64_t **counts)
{
    for (size_t m = 0; m < mods->count; m++)
        for (uint32_t i = 0; h->held[m].ids && i < h->held[m].count; i++)
            counts[m][h->held[m].ids[i]]++;
}

static void count_feed(tsr_loader *l, size_t feed, const tsr_mods *mods, uint64_t most,
                       uint64_t **counts)
{
    uint64_t n = tsr_loader_feed_samples(l, feed), used = most && most < n ? most : n;
    for (uint64_t i = 0; i < used; i++) {
        tsr_sample_held h;
        if (tsr_loader_held(l, feed, (uint64_t)((double)i * (double)n / (double)used), &h) !=
            TSR_OK)
            continue;
        count_sample(&h, mods, counts);
        tsr_held_clear(&h);
    }
}

static void entropy_of(const uint64_t *counts, uint32_t vocabulary, tsr_unigrams *u, size_t m)
{
    for (uint32_t k = 0; k < vocabulary; k++) {
        u->tokens[m] += counts[k];
        u->codes[m] += counts[k] > 0;
    }
    for (uint32_t k = 0; k < vocabulary; k++) {
        double p = u->tokens[m] ? (double)counts[k] / (double)u->tokens[m] : 0;
        u->entropy[m] -= p > 0 ? p * log(p) : 0;
    }
}

tsr_status tsr_unigrams_count(tsr_loader *l, const tsr_mods *mods, uint64_t most, tsr_unigrams *out)
{
    uint64_t *counts[TSR_MODALITIES] = {0};
    tsr_unigrams u = {.entropy = {0}};
    tsr_status st = TSR_OK;
    for (size_t m = 0; m < mods->count; m++)
        TSR_GO(tsr_alloc(&counts[m], mods->items[m].vocabulary, sizeof **counts));
    for (size_t f = 0; tsr_loader_feed_samples(l, f); f++)
        count_feed(l, f, mods, most, counts);
    for (size_t m = 0; m < mods->count; m++)
        if (counts[m])
            entropy_of(counts[m], mods->items[m].vocabulary, &u, m);
    *out = u;
out:
    for (size_t m = 0; m < mods->count; m++)
        tsr_free(counts[m]);
    return st;
}

tsr_status tsr_unigrams_to_json(const tsr_unigrams *u, const tsr_mods *mods, json_t **out)
{
    json_t *all = json_object();
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t m = 0; m < mods->count && st == TSR_OK; m++)
        if (mods->items[m].vocabulary)
            st =
                tsr_json_set(all, mods->items[m].name,
                             json_pack("{sf sf sI sI}", "entropy_nats", u->entropy[m],
                                       "entropy_bits", u->entropy[m] / LN2, "tokens",
                                       (json_int_t)u->tokens[m], "codes", (json_int_t)u->codes[m]));
    if (st != TSR_OK)
        json_decref(all);
    else
        *out = all;
    return st;
}

tsr_status tsr_unigrams_from_json(const json_t *v, const char *origin, const tsr_mods *mods,
                                  tsr_unigrams *out)
{
    tsr_unigrams u = {.entropy = {0}};
    for (size_t m = 0; m < mods->count; m++) {
        const json_t *one;
        long long tokens, codes;
        if (!mods->items[m].vocabulary)
            continue;
        TSR_TRY(tsr_json_member(v, mods->items[m].name, origin, JSON_OBJECT, &one));
        TSR_TRY(tsr_json_number(one, "entropy_nats", origin, &u.entropy[m]));
        TSR_TRY(tsr_json_int(one, "tokens", origin, &tokens));
        TSR_TRY(tsr_json_int(one, "codes", origin, &codes));
        u.tokens[m] = (uint64_t)tokens;
        u.codes[m] = (uint64_t)codes;
    }
    *out = u;
    return TSR_OK;
}

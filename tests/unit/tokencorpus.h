/* SPDX-License-Identifier: Apache-2.0
 * Makes small corpora of made-up tokens for the tests of the trainer: what a sample holds follows
 * from its number, and its modalities from each other, so that there is something to learn. */
#ifndef TSR_TESTS_TOKENCORPUS_H
#define TSR_TESTS_TOKENCORPUS_H

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "shards/corpus.h"

#include <stdio.h>
#include <string.h>

enum { TC_SIDE = 4, TC_CODES = 32, TC_TEXT = 400, TC_WORDS = 300, TC_EOS = 3, TC_PATCH = 4 };
enum { TC_RGB, TC_DEPTH, TC_CAPTION, TC_PIXELS, TC_MODALITIES };

typedef struct tc_spec {
    const char *folder;
    uint64_t first;      /* number of the first sample: other numbers, other content */
    uint32_t train, val; /* samples of the splits */
    uint32_t shard;      /* samples of a shard */
    uint32_t crops;
    uint64_t tokenizer; /* of all modalities, plus their index */
    unsigned without;   /* bit m: the corpus has no modality m */
    int holes;          /* 1: every seventh sample lacks its depth */
} tc_spec;

static inline tsr_modality tc_modality(const tc_spec *s, int m)
{
    static const char *const names[] = {"rgb", "depth", "caption", "rgb@16"};
    tsr_modality out = {.crops = m == TC_CAPTION ? 1 : s->crops};
    snprintf(out.space.modality, sizeof out.space.modality, "%s", names[m]);
    out.space.tokenizer = (tsr_digest){s->tokenizer, (uint64_t)m};
    out.space.layout = m == TC_CAPTION ? TSR_LAYOUT_SEQUENCE : TSR_LAYOUT_GRID;
    out.space.height = out.space.width = m == TC_CAPTION ? 1 : TC_SIDE;
    out.space.levels = 1;
    out.space.codebook_size = m == TC_CAPTION ? TC_TEXT : TC_CODES;
    snprintf(out.space.vocabulary, sizeof out.space.vocabulary, "%s",
             m == TC_CAPTION ? "text" : names[m]);
    if (m == TC_PIXELS)
        tsr_space_set_patches(&out.space, TC_SIDE, TC_SIDE, TC_PATCH);
    return out;
}

/* What modality m of sample n holds: [<= 1024] ids; returns their number. */
static inline size_t tc_ids(int m, uint64_t n, uint32_t crop, uint32_t *ids)
{
    tsr_rng r;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, n);
    uint32_t a = tsr_rng_below(&r, TC_CODES), b = tsr_rng_below(&r, TC_CODES);
    size_t count = TC_SIDE * TC_SIDE;
    if (m == TC_CAPTION) {
        ids[0] = TC_WORDS + a;
        ids[1] = TC_WORDS + TC_CODES + b;
        ids[2] = TC_EOS;
        return 3;
    }
    if (m == TC_PIXELS)
        count *= TC_PATCH * TC_PATCH * 3;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t v = (a + (i + crop) * b) % TC_CODES;
        ids[i] = m == TC_DEPTH ? v / 2 : m == TC_PIXELS ? (v * 7 + i) % 256 : v;
    }
    return count;
}

static inline tsr_present tc_state(const tc_spec *s, int m, uint64_t n)
{
    return s->holes && m == TC_DEPTH && n % 7 == 3 ? TSR_MISSING : TSR_REAL;
}

static inline tsr_status tc_row(const tc_spec *s, tsr_shard_writer *w, int m, uint64_t row,
                                uint64_t n)
{
    static uint32_t ids[4][1024];
    tsr_tokens t[4];
    for (uint32_t c = 0; c < s->crops && c < 4; c++) {
        t[c].ids = ids[c];
        t[c].count = tc_ids(m, n, c, ids[c]);
    }
    return tc_state(s, m, n) == TSR_REAL ? tsr_shard_writer_put(w, row, t) : TSR_OK;
}

static inline tsr_status tc_file(const tc_spec *s, tsr_manifest *man, int m, const tsr_keys *k,
                                 uint64_t first)
{
    const tsr_modality of = tc_modality(s, m);
    const tsr_modality *mod = tsr_manifest_modality(man, of.space.modality);
    tsr_shard_info info = {mod->space, k->shard, k->samples, mod->crops,
                           man->shards[k->shard].keys};
    tsr_file_entry e = {.tokenizer = mod->space.tokenizer, .inputs = {9, k->shard}};
    tsr_shard_writer *w = NULL;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    memcpy(e.modality, mod->space.modality, sizeof e.modality);
    TSR_GO(tsr_shard_name(e.modality, k->shard, &name));
    TSR_GO(tsr_path_join(&path, s->folder, name));
    TSR_GO(tsr_shard_writer_create(&info, &w));
    for (uint64_t row = 0; row < k->samples; row++)
        TSR_GO(tc_row(s, w, m, row, first + row));
    TSR_GO(tsr_shard_writer_seal(w, path, &e.stats));
    TSR_GO(tsr_manifest_seal(man, k->shard, &e));
out:
    tsr_shard_writer_destroy(w);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static inline tsr_status tc_shard(const tc_spec *s, tsr_manifest *man, uint32_t shard,
                                  uint64_t first, uint32_t samples, const char *split)
{
    tsr_keys k = {0};
    tsr_shard_stats stats;
    char *name = NULL, *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_keys_init(&k, samples, s->crops));
    k.shard = shard;
    snprintf(k.split, sizeof k.split, "%s", split);
    snprintf(k.source, sizeof k.source, "test");
    for (uint64_t i = 0; i < samples; i++) {
        TSR_GO(tsr_format(&k.key[i], "%06llu", (unsigned long long)(first + i)));
        k.size[2 * i] = k.size[2 * i + 1] = 64;
        for (uint32_t c = 0; c < s->crops; c++)
            k.crop[s->crops * i + c] = tsr_crop_centre(64, 64);
    }
    TSR_GO(tsr_shard_name(TSR_KEYS_NAME, shard, &name));
    TSR_GO(tsr_path_join(&path, s->folder, name));
    TSR_GO(tsr_keys_write(&k, path, &stats));
    TSR_GO(tsr_manifest_add_shard(man, &k, &stats));
    for (int m = 0; m < TC_MODALITIES; m++)
        if (!(s->without >> m & 1))
            TSR_GO(tc_file(s, man, m, &k, first));
out:
    tsr_keys_clear(&k);
    tsr_free(name);
    tsr_free(path);
    return st;
}

static inline tsr_status tc_write(const tc_spec *s)
{
    tsr_manifest man = {.corpus = {s->tokenizer, s->first + 1},
                        .shard_samples = s->shard,
                        .crops = {s->crops, 0.8, 1, 7, "rgb"}};
    tsr_modality mods[TC_MODALITIES];
    size_t n = 0;
    uint32_t shard = 0, all = s->train + s->val;
    tsr_status st = TSR_OK;
    for (int m = 0; m < TC_MODALITIES; m++)
        if (!(s->without >> m & 1))
            mods[n++] = tc_modality(s, m);
    TSR_GO(tsr_make_folders(s->folder));
    TSR_GO(tsr_manifest_set_modalities(&man, mods, n));
    for (uint32_t at = 0; at < all; shard++) {
        uint32_t end = at < s->train ? s->train : all;
        uint32_t count = end - at < s->shard ? end - at : s->shard;
        TSR_GO(tc_shard(s, &man, shard, s->first + at, count, at < s->train ? "train" : "val"));
        at += count;
    }
    TSR_GO(tsr_manifest_write(&man, s->folder));
out:
    tsr_manifest_clear(&man);
    return st;
}

#endif

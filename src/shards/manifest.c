/* SPDX-License-Identifier: Apache-2.0
 * The manifest in memory: ranges that never move, modalities, sealed files. */
#include "shards/manifest.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static void clear_file(tsr_file_entry *f)
{
    json_decref(f->failures);
    *f = (tsr_file_entry){0};
}

static void clear_shard(tsr_shard_entry *s)
{
    for (size_t i = 0; i < s->n_files; i++)
        clear_file(&s->files[i]);
    tsr_free(s->files);
    *s = (tsr_shard_entry){0};
}

void tsr_manifest_clear(tsr_manifest *m)
{
    for (size_t i = 0; i < m->n_shards; i++)
        clear_shard(&m->shards[i]);
    for (size_t i = 0; i < m->n_modalities; i++)
        json_decref(m->modalities[i].description);
    tsr_free(m->shards);
    tsr_free(m->modalities);
    tsr_free(m->ranges);
    *m = (tsr_manifest){0};
}

uint32_t tsr_manifest_vocabulary(const tsr_manifest *m)
{
    uint32_t end = 0;
    for (size_t i = 0; i < m->n_ranges; i++) {
        uint32_t e = m->ranges[i].base + m->ranges[i].size;
        end = e > end ? e : end;
    }
    return end;
}

static tsr_modality *find(const tsr_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->n_modalities; i++)
        if (strcmp(m->modalities[i].space.modality, name) == 0)
            return &m->modalities[i];
    return NULL;
}

const tsr_modality *tsr_manifest_modality(const tsr_manifest *m, const char *name)
{
    return find(m, name);
}

static tsr_file_entry *find_file(const tsr_shard_entry *s, const char *modality)
{
    for (size_t i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i].modality, modality) == 0)
            return &s->files[i];
    return NULL;
}

const tsr_file_entry *tsr_manifest_file(const tsr_shard_entry *s, const char *modality)
{
    return find_file(s, modality);
}

static tsr_range *find_range(const tsr_manifest *m, const char *name)
{
    for (size_t i = 0; i < m->n_ranges; i++)
        if (strcmp(m->ranges[i].name, name) == 0)
            return &m->ranges[i];
    return NULL;
}

static int wants(const tsr_token_space *s, const tsr_range *r)
{
    return tsr_space_has_codes(s) && s->codebook_size == r->size && strcmp(s->vocabulary, r->name) == 0;
}

/* Give up ranges that neither a modality nor one of the `n` to come uses; the hole stays. */
static void drop_unused_ranges(tsr_manifest *m, const tsr_modality *fresh, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_ranges; i++) {
        int used = 0;
        for (size_t j = 0; j < m->n_modalities; j++)
            used |= wants(&m->modalities[j].space, &m->ranges[i]);
        for (size_t j = 0; j < n; j++)
            used |= wants(&fresh[j].space, &m->ranges[i]);
        if (used)
            m->ranges[kept++] = m->ranges[i];
    }
    m->n_ranges = kept;
}

static int same_space(const tsr_token_space *a, const tsr_token_space *b)
{
    return a->layout == b->layout && a->height == b->height && a->width == b->width &&
           a->levels == b->levels && a->codebook_size == b->codebook_size &&
           tsr_digest_equal(a->tokenizer, b->tokenizer) &&
           strcmp(a->vocabulary, b->vocabulary) == 0;
}

/* Take a modality and its entries out. */
static void remove_modality(tsr_manifest *m, tsr_modality *old)
{
    char name[TSR_NAME_CHARS];
    memcpy(name, old->space.modality, sizeof name);
    for (size_t i = 0; i < m->n_shards; i++) {
        tsr_shard_entry *s = &m->shards[i];
        tsr_file_entry *f = find_file(s, name);
        if (!f)
            continue;
        clear_file(f);
        memmove(f, f + 1, (size_t)(s->files + s->n_files - (f + 1)) * sizeof *f);
        s->n_files--;
    }
    json_decref(old->description);
    memmove(old, old + 1, (size_t)(m->modalities + m->n_modalities - (old + 1)) * sizeof *old);
    m->n_modalities--;
}

static tsr_status add_range(tsr_manifest *m, const tsr_token_space *s, uint32_t base)
{
    if (base > UINT32_MAX - s->codebook_size)
        TSR_FAIL(TSR_ELIMIT, "the vocabulary does not fit in 32-bit ids at modality %s",
                 s->modality);
    TSR_TRY(tsr_room(&m->ranges, m->n_ranges, &m->cap_ranges, sizeof *m->ranges));
    tsr_range *r = &m->ranges[m->n_ranges++];
    memcpy(r->name, s->vocabulary, sizeof r->name);
    r->base = base;
    r->size = s->codebook_size;
    return TSR_OK;
}

/* `end`: where the vocabulary ended before anything was given up. */
static tsr_status add_modality(tsr_manifest *m, const tsr_modality *fresh, uint32_t end)
{
    tsr_token_space s = fresh->space;
    int coded = tsr_space_has_codes(&s);
    const tsr_range *r = coded ? find_range(m, s.vocabulary) : NULL;
    if (r && r->size != s.codebook_size)
        TSR_FAIL(TSR_EMISMATCH,
                 "modality %s has %u codes, but the range \"%s\" of this corpus has "
                 "%u",
                 s.modality, s.codebook_size, s.vocabulary, r->size);
    if (coded && !r) {
        uint32_t now = tsr_manifest_vocabulary(m);
        TSR_TRY(add_range(m, &s, now > end ? now : end));
    }
    s.base = coded ? find_range(m, s.vocabulary)->base : 0;
    TSR_TRY(tsr_room(&m->modalities, m->n_modalities, &m->cap_modalities, sizeof *m->modalities));
    m->modalities[m->n_modalities++] =
        (tsr_modality){s, fresh->crops, json_incref(fresh->description)};
    return TSR_OK;
}

tsr_status tsr_manifest_set_modalities(tsr_manifest *m, const tsr_modality *modalities, size_t n)
{
    uint32_t end = tsr_manifest_vocabulary(m);
    int first = m->n_ranges == 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = modalities[i].space.modality;
        tsr_modality *old = find(m, name);
        if (!tsr_modality_name_ok(name) || strcmp(name, TSR_KEYS_NAME) == 0)
            TSR_FAIL(TSR_EARG, "\"%s\" cannot be the name of a modality", name);
        if (old &&
            (!same_space(&old->space, &modalities[i].space) || old->crops != modalities[i].crops))
            remove_modality(m, old);
    }
    drop_unused_ranges(m, modalities, n);
    /* In a new corpus the text range goes first, at 0. */
    for (int text = first; text >= 0; text--)
        for (size_t i = 0; i < n; i++)
            if (!find(m, modalities[i].space.modality) &&
                (!text || strcmp(modalities[i].space.vocabulary, "text") == 0))
                TSR_TRY(add_modality(m, &modalities[i], end));
    return TSR_OK;
}

tsr_status tsr_manifest_add_shard(tsr_manifest *m, const tsr_keys *keys,
                                  const tsr_shard_stats *stats)
{
    tsr_shard_entry s = {.shard = keys->shard, .samples = keys->samples};
    if (keys->shard != m->n_shards)
        TSR_FAIL(TSR_EARG, "shard %u is added where %zu comes next", keys->shard, m->n_shards);
    memcpy(s.split, keys->split, sizeof s.split);
    memcpy(s.source, keys->source, sizeof s.source);
    TSR_TRY(tsr_keys_digest(keys, &s.keys));
    TSR_TRY(tsr_room(&m->shards, m->n_shards, &m->cap_shards, sizeof *m->shards));
    TSR_TRY(tsr_room(&s.files, 0, &s.cap_files, sizeof *s.files));
    tsr_file_entry *f = &s.files[s.n_files++];
    snprintf(f->modality, sizeof f->modality, "%s", TSR_KEYS_NAME);
    f->stats = *stats;
    m->shards[m->n_shards++] = s;
    return TSR_OK;
}

tsr_status tsr_manifest_seal(tsr_manifest *m, uint32_t shard, tsr_file_entry *entry)
{
    if (shard >= m->n_shards)
        TSR_FAIL(TSR_EARG, "shard %u of %zu", shard, m->n_shards);
    tsr_shard_entry *s = &m->shards[shard];
    tsr_file_entry *f = find_file(s, entry->modality);
    if (!f) {
        TSR_TRY(tsr_room(&s->files, s->n_files, &s->cap_files, sizeof *s->files));
        f = &s->files[s->n_files++];
    } else {
        clear_file(f);
    }
    *f = *entry;
    entry->failures = NULL;
    return TSR_OK;
}

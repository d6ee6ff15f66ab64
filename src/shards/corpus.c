/* SPDX-License-Identifier: Apache-2.0
 * A corpus opened for reading. Files are opened when needed, and stay open while the process may have
 * more: opening one takes as long as reading hundreds of rows. */
#include "shards/corpus.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "shards/layout.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Files kept open: a quarter of what the process may open, within these. */
#define OPEN_LEAST 256
#define OPEN_MOST  65536

/* One file of the corpus that is open, or was. */
typedef struct slot {
    tsr_shard *shard; /* NULL: closed */
    unsigned users;
    uint64_t last_use;
} slot;

struct tsr_corpus {
    char *path;
    tsr_manifest manifest;
    uint64_t *first; /* [n_shards + 1]: first sample of each shard */
    size_t max_open;
    /* guarded by lock: */
    pthread_mutex_t lock;
    slot *slots; /* [n_shards, n_modalities] */
    size_t n_open;
    uint64_t clock;
    tsr_keys keys; /* the keys file used last */
    int has_keys;
};

static size_t files_kept(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur / 4 < OPEN_LEAST)
        return OPEN_LEAST;
    return r.rlim_cur / 4 < OPEN_MOST ? (size_t)(r.rlim_cur / 4) : OPEN_MOST;
}

tsr_status tsr_corpus_open(const char *path, tsr_corpus **out)
{
    tsr_corpus *c;
    size_t n;
    TSR_TRY(tsr_alloc(&c, 1, sizeof *c));
    pthread_mutex_init(&c->lock, NULL);
    c->max_open = files_kept();
    tsr_status st = TSR_OK;
    TSR_GO(tsr_strdup(&c->path, path));
    TSR_GO(tsr_manifest_read(path, &c->manifest));
    const tsr_manifest *m = &c->manifest;
    TSR_GO(tsr_alloc(&c->first, m->n_shards + 1, sizeof *c->first));
    for (size_t i = 0; i < m->n_shards; i++)
        c->first[i + 1] = c->first[i] + m->shards[i].samples;
    TSR_GO(tsr_mul_size(m->n_shards, m->n_modalities, &n));
    TSR_GO(tsr_alloc(&c->slots, n, sizeof *c->slots));
    *out = c;
    c = NULL;
out:
    tsr_corpus_close(c);
    return st;
}

void tsr_corpus_close(tsr_corpus *c)
{
    if (!c)
        return;
    size_t n = c->slots ? c->manifest.n_shards * c->manifest.n_modalities : 0;
    for (size_t i = 0; i < n; i++)
        tsr_shard_close(c->slots[i].shard);
    tsr_keys_clear(&c->keys);
    tsr_free(c->slots);
    tsr_free(c->first);
    tsr_manifest_clear(&c->manifest);
    tsr_free(c->path);
    pthread_mutex_destroy(&c->lock);
    tsr_free(c);
}

const tsr_manifest *tsr_corpus_manifest(const tsr_corpus *c)
{
    return &c->manifest;
}

const char *tsr_corpus_path(const tsr_corpus *c)
{
    return c->path;
}

uint64_t tsr_corpus_samples(const tsr_corpus *c)
{
    return c->first[c->manifest.n_shards];
}

uint64_t tsr_corpus_split_count(const tsr_corpus *c, const char *split)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->manifest.n_shards; i++)
        if (strcmp(c->manifest.shards[i].split, split) == 0)
            n += c->manifest.shards[i].samples;
    return n;
}

tsr_status tsr_corpus_split_sample(const tsr_corpus *c, const char *split, uint64_t n,
                                   uint64_t *sample)
{
    uint64_t left = n;
    for (size_t i = 0; i < c->manifest.n_shards; i++) {
        const tsr_shard_entry *s = &c->manifest.shards[i];
        if (strcmp(s->split, split) != 0)
            continue;
        if (left < s->samples) {
            *sample = c->first[i] + left;
            return TSR_OK;
        }
        left -= s->samples;
    }
    TSR_FAIL(TSR_ENOENT, "%s: split \"%s\" has no sample %llu", c->path, split,
             (unsigned long long)n);
}

/* The shard that holds a sample, and its row there. */
static tsr_status locate(const tsr_corpus *c, uint64_t sample, uint32_t *shard, uint64_t *row)
{
    size_t lo = 0, hi = c->manifest.n_shards;
    if (sample >= c->first[hi])
        TSR_FAIL(TSR_EARG, "%s: sample %llu of %llu", c->path, (unsigned long long)sample,
                 (unsigned long long)c->first[hi]);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->first[mid] <= sample)
            lo = mid;
        else
            hi = mid;
    }
    *shard = (uint32_t)lo;
    *row = sample - c->first[lo];
    return TSR_OK;
}

static tsr_status check_belongs(const tsr_corpus *c, const tsr_shard *s, const tsr_modality *m,
                                uint32_t number, const char *path)
{
    const tsr_shard_info *i = tsr_shard_get_info(s);
    const tsr_shard_entry *e = &c->manifest.shards[number];
    char a[TSR_DIGEST_CHARS], b[TSR_DIGEST_CHARS];
    tsr_digest_text(i->space.tokenizer, a);
    tsr_digest_text(m->space.tokenizer, b);
    if (strcmp(a, b) != 0)
        TSR_FAIL(TSR_EMISMATCH, "%s: was made by tokenizer %s, the corpus has %s", path, a, b);
    tsr_digest_text(i->keys, a);
    tsr_digest_text(e->keys, b);
    if (strcmp(a, b) != 0)
        TSR_FAIL(TSR_EMISMATCH, "%s: belongs to keys %s, the corpus has %s", path, a, b);
    if (i->samples != e->samples || i->shard != number || i->crops != m->crops ||
        i->space.codebook_size != m->space.codebook_size || i->space.base != m->space.base ||
        i->space.layout != m->space.layout || i->space.height != m->space.height ||
        i->space.width != m->space.width || i->space.levels != m->space.levels ||
        strcmp(i->space.modality, m->space.modality) != 0)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: its samples, crops, grid, codes or vocabulary are not those "
                 "of the manifest",
                 path);
    return TSR_OK;
}

/* A truncated file is told from its size, before HDF5 has to make sense of it. */
static tsr_status check_size(const tsr_file_entry *f, const char *path)
{
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    if (bytes != f->stats.bytes)
        TSR_FAIL(TSR_EMISMATCH, "%s: has %llu bytes, the manifest says %llu", path,
                 (unsigned long long)bytes, (unsigned long long)f->stats.bytes);
    return TSR_OK;
}

static tsr_status open_slot(tsr_corpus *c, const tsr_modality *m, uint32_t number, slot *s)
{
    char *name = NULL, *path = NULL;
    tsr_shard *shard = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_shard_name(m->space.modality, number, &name));
    TSR_GO(tsr_path_join(&path, c->path, name));
    TSR_GO(check_size(tsr_manifest_file(&c->manifest.shards[number], m->space.modality), path));
    TSR_GO(tsr_shard_open(path, &shard));
    TSR_GO(check_belongs(c, shard, m, number, path));
    s->shard = shard;
    shard = NULL;
    c->n_open++;
out:
    tsr_shard_close(shard);
    tsr_free(name);
    tsr_free(path);
    return st;
}

/* Close the file that was not used for the longest time. */
static void evict(tsr_corpus *c)
{
    slot *oldest = NULL;
    size_t n = c->manifest.n_shards * c->manifest.n_modalities;
    for (size_t i = 0; i < n; i++) {
        slot *s = &c->slots[i];
        if (s->shard && s->users == 0 && (!oldest || s->last_use < oldest->last_use))
            oldest = s;
    }
    if (!oldest)
        return;
    tsr_shard_close(oldest->shard);
    oldest->shard = NULL;
    c->n_open--;
}

tsr_status tsr_corpus_get_shard(tsr_corpus *c, const char *modality, uint32_t shard,
                                const tsr_shard **out)
{
    const tsr_modality *m = tsr_manifest_modality(&c->manifest, modality);
    if (!m)
        TSR_FAIL(TSR_ENOENT, "%s: has no modality \"%s\"", c->path, modality);
    if (shard >= c->manifest.n_shards)
        TSR_FAIL(TSR_EARG, "%s: shard %u of %zu", c->path, shard, c->manifest.n_shards);
    if (!tsr_manifest_file(&c->manifest.shards[shard], modality)) {
        *out = NULL;
        return TSR_OK;
    }
    slot *s = &c->slots[shard * c->manifest.n_modalities + (size_t)(m - c->manifest.modalities)];
    tsr_status st = TSR_OK;
    pthread_mutex_lock(&c->lock);
    if (!s->shard) {
        if (c->n_open >= c->max_open)
            evict(c);
        st = open_slot(c, m, shard, s);
    }
    if (st == TSR_OK) {
        s->users++;
        s->last_use = ++c->clock;
        *out = s->shard;
    }
    pthread_mutex_unlock(&c->lock);
    return st;
}

void tsr_corpus_put_shard(tsr_corpus *c, const tsr_shard *shard)
{
    if (!shard)
        return;
    const tsr_shard_info *i = tsr_shard_get_info(shard);
    const tsr_modality *m = tsr_manifest_modality(&c->manifest, i->space.modality);
    pthread_mutex_lock(&c->lock);
    c->slots[i->shard * c->manifest.n_modalities + (size_t)(m - c->manifest.modalities)].users--;
    pthread_mutex_unlock(&c->lock);
}

tsr_status tsr_corpus_read(tsr_corpus *c, const char *modality, uint64_t sample, uint32_t crop,
                           tsr_tokens *out, tsr_present *present)
{
    const tsr_shard *s;
    uint32_t number;
    uint64_t row;
    tsr_tokens t = {0};
    tsr_present p = TSR_MISSING;
    TSR_TRY(locate(c, sample, &number, &row));
    TSR_TRY(tsr_corpus_get_shard(c, modality, number, &s));
    if (s) {
        p = tsr_shard_present(s, row);
        tsr_status st = tsr_shard_take(s, row, crop, &t);
        tsr_corpus_put_shard(c, s);
        TSR_TRY(st);
    }
    *out = t;
    *present = p;
    return TSR_OK;
}

tsr_status tsr_corpus_read_patches(tsr_corpus *c, const char *modality, uint64_t sample,
                                   uint32_t crop, uint8_t *bytes, size_t size, tsr_present *present)
{
    const tsr_modality *m = tsr_manifest_modality(&c->manifest, modality);
    const tsr_shard *s;
    uint32_t number;
    uint64_t row;
    tsr_present p = TSR_MISSING;
    if (m && (m->space.layout != TSR_LAYOUT_PATCHES || size != tsr_grid_ids(&m->space)))
        TSR_FAIL(TSR_EARG, "%s: %zu bytes of patches asked of %s, which has %s of %u x %u x %u",
                 c->path, size, modality, tsr_layout_name(m->space.layout), m->space.height,
                 m->space.width, m->space.levels);
    TSR_TRY(locate(c, sample, &number, &row));
    TSR_TRY(tsr_corpus_get_shard(c, modality, number, &s));
    if (s) {
        p = tsr_shard_present(s, row);
        tsr_status st = tsr_shard_read_bytes(s, row, crop, bytes);
        tsr_corpus_put_shard(c, s);
        TSR_TRY(st);
    }
    *present = p;
    return TSR_OK;
}

/* The keys of a shard, kept until another is asked for; c->lock is held. */
static tsr_status use_keys(tsr_corpus *c, uint32_t number)
{
    char *name = NULL, *path = NULL;
    tsr_keys k = {0};
    tsr_digest digest;
    tsr_status st = TSR_OK;
    if (c->has_keys && c->keys.shard == number)
        return TSR_OK;
    TSR_GO(tsr_shard_name(TSR_KEYS_NAME, number, &name));
    TSR_GO(tsr_path_join(&path, c->path, name));
    TSR_GO(tsr_keys_read(path, &k));
    TSR_GO(tsr_keys_digest(&k, &digest));
    const tsr_shard_entry *e = &c->manifest.shards[number];
    if (!tsr_digest_equal(digest, e->keys) || k.samples != e->samples || k.shard != number)
        TSR_GOFAIL(TSR_EMISMATCH, "%s: holds other samples than the manifest says", path);
    tsr_keys_clear(&c->keys);
    c->keys = k;
    c->has_keys = 1;
    k = (tsr_keys){0};
out:
    tsr_keys_clear(&k);
    tsr_free(name);
    tsr_free(path);
    return st;
}

tsr_status tsr_corpus_key(tsr_corpus *c, uint64_t sample, char **key)
{
    uint32_t number;
    uint64_t row;
    TSR_TRY(locate(c, sample, &number, &row));
    pthread_mutex_lock(&c->lock);
    tsr_status st = use_keys(c, number);
    if (st == TSR_OK)
        st = tsr_strdup(key, c->keys.key[row]);
    pthread_mutex_unlock(&c->lock);
    return st;
}

tsr_status tsr_corpus_view(tsr_corpus *c, uint64_t sample, uint32_t crop, tsr_view *view)
{
    uint32_t number;
    uint64_t row;
    TSR_TRY(locate(c, sample, &number, &row));
    pthread_mutex_lock(&c->lock);
    tsr_status st = use_keys(c, number);
    if (st == TSR_OK && crop >= c->keys.crops)
        st = tsr_fail_at(TSR_EARG, __FILE__, __LINE__, "%s: crop %u of %u", c->path, crop,
                         c->keys.crops);
    if (st == TSR_OK)
        *view = tsr_keys_view(&c->keys, row, crop);
    pthread_mutex_unlock(&c->lock);
    return st;
}

tsr_status tsr_corpus_find(tsr_corpus *c, const char *key, uint64_t *sample)
{
    tsr_status st = TSR_OK;
    int found = 0;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; st == TSR_OK && !found && i < c->manifest.n_shards; i++) {
        st = use_keys(c, i);
        for (uint64_t row = 0; st == TSR_OK && !found && row < c->keys.samples; row++) {
            found = strcmp(c->keys.key[row], key) == 0;
            if (found)
                *sample = c->first[i] + row;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (st == TSR_OK && !found)
        TSR_FAIL(TSR_ENOENT, "%s: has no sample \"%s\"", c->path, key);
    return st;
}

tsr_status tsr_corpus_find_named(tsr_corpus *c, const char *name, uint64_t *sample)
{
    tsr_status st = tsr_corpus_find(c, name, sample);
    if (st != TSR_ENOENT || !*name || name[strspn(name, "0123456789")])
        return st;
    unsigned long long number = strtoull(name, NULL, 10);
    if (number >= tsr_corpus_samples(c))
        TSR_FAIL(TSR_ENOENT, "%s: no sample has the key or number %s; there are %llu", c->path,
                 name, (unsigned long long)tsr_corpus_samples(c));
    *sample = number;
    return TSR_OK;
}

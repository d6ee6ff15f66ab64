/* SPDX-License-Identifier: Apache-2.0
 * One corpus of a mixture: matching with the model, and reading samples without allocation. */
#include "trainer/feed.h"

#include "base/mem.h"

#include <string.h>

/* A shard of the split: samples [first, first + count) of the split are its rows. */
typedef struct piece {
    uint32_t shard;
    uint64_t first, sample; /* number in the split; in the corpus */
} piece;

struct tsr_feed_source {
    tsr_corpus *corpus;
    size_t modalities;
    const char *names[TSR_MODALITIES]; /* in the corpus; NULL: it has none */
    tsr_modality_class cls[TSR_MODALITIES];
    uint32_t places[TSR_MODALITIES];
    uint64_t count; /* in use */
    uint32_t crops;
    piece *pieces;
    size_t n_pieces;
};

void tsr_feed_buffer_clear(tsr_feed_buffer *b)
{
    for (size_t m = 0; m < TSR_MODALITIES; m++) {
        tsr_free(b->ids[m]);
        tsr_free(b->bytes[m]);
    }
    *b = (tsr_feed_buffer){0};
}

/* --- matching ----------------------------------------------------------------------------------
 */

static tsr_layout layout_of(tsr_modality_class c)
{
    return c == TSR_CLASS_SEQUENCE ? TSR_LAYOUT_SEQUENCE
           : c == TSR_CLASS_PIXELS ? TSR_LAYOUT_PATCHES
                                   : TSR_LAYOUT_GRID;
}

static tsr_status check_space(const tsr_mod *m, const tsr_token_space *s, const char *path)
{
    static const tsr_digest none;
    char mine[TSR_DIGEST_CHARS], theirs[TSR_DIGEST_CHARS];
    uint32_t levels = m->cls == TSR_CLASS_PIXELS     ? m->patch_values
                      : m->cls == TSR_CLASS_SEQUENCE ? 1
                      : m->height && m->width        ? m->places / (m->height * m->width)
                                                     : 0;
    if (s->layout != layout_of(m->cls))
        TSR_FAIL(TSR_EMISMATCH, "modality %s: the model takes %s, corpus %s has %s", m->name,
                 tsr_layout_name(layout_of(m->cls)), path, tsr_layout_name(s->layout));
    if (s->layout != TSR_LAYOUT_SEQUENCE &&
        (s->height != m->height || s->width != m->width || s->levels != levels))
        TSR_FAIL(TSR_EMISMATCH,
                 "modality %s: the model's grid is %u x %u with %u values a place, that of corpus "
                 "%s is %u x %u with %u",
                 m->name, m->height, m->width, levels, path, s->height, s->width, s->levels);
    if (s->layout != TSR_LAYOUT_PATCHES && s->codebook_size != m->vocabulary)
        TSR_FAIL(TSR_EMISMATCH, "modality %s: the model knows %u ids, corpus %s has %u", m->name,
                 m->vocabulary, path, s->codebook_size);
    if (tsr_digest_equal(m->tokenizer, none) || tsr_digest_equal(s->tokenizer, none) ||
        tsr_digest_equal(m->tokenizer, s->tokenizer))
        return TSR_OK;
    tsr_digest_text(m->tokenizer, mine);
    tsr_digest_text(s->tokenizer, theirs);
    TSR_FAIL(TSR_EMISMATCH,
             "modality %s: the model was made for tokens of tokenizer %s, corpus %s was tokenized "
             "by %s",
             m->name, mine, path, theirs);
}

static tsr_status match(tsr_feed_source *s, const tsr_mods *mods, const tsr_feed *feed,
                        int has[TSR_MODALITIES])
{
    const tsr_manifest *manifest = tsr_corpus_manifest(s->corpus);
    for (size_t m = 0; m < mods->count; m++) {
        const tsr_mod *mod = &mods->items[m];
        const char *mapped = feed->names ? feed->names[m] : NULL;
        const tsr_modality *theirs = tsr_manifest_modality(manifest, mapped ? mapped : mod->name);
        s->cls[m] = mod->cls;
        s->places[m] = mod->places;
        if (mapped && !mapped[0]) /* it is there under another name */
            continue;
        if (!theirs && mapped)
            TSR_FAIL(TSR_ECONFIG, "corpus %s has no modality \"%s\" to stand for %s", feed->path,
                     mapped, mod->name);
        if (!theirs)
            continue;
        TSR_TRY(check_space(mod, &theirs->space, feed->path));
        s->names[m] = theirs->space.modality;
        has[m] = 1;
    }
    return TSR_OK;
}

static tsr_status find_split(tsr_feed_source *s, const tsr_feed *feed, uint64_t limit)
{
    const tsr_manifest *m = tsr_corpus_manifest(s->corpus);
    uint64_t sample = 0;
    TSR_TRY(tsr_alloc(&s->pieces, m->n_shards, sizeof *s->pieces));
    for (size_t i = 0; i < m->n_shards; i++) {
        if (strcmp(m->shards[i].split, feed->split) == 0 && m->shards[i].samples) {
            s->pieces[s->n_pieces++] = (piece){(uint32_t)i, s->count, sample};
            s->count += m->shards[i].samples;
        }
        sample += m->shards[i].samples;
    }
    if (!s->count)
        TSR_FAIL(TSR_ECONFIG, "corpus %s has no samples of split \"%s\"", feed->path, feed->split);
    if (limit && limit < s->count)
        s->count = limit;
    return TSR_OK;
}

tsr_status tsr_feed_source_open(const tsr_mods *mods, const tsr_feed *feed, uint64_t limit,
                                int has[TSR_MODALITIES], tsr_feed_source **out)
{
    tsr_feed_source *s;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    s->modalities = mods->count;
    TSR_GO(tsr_corpus_open(feed->path, &s->corpus));
    s->crops = tsr_corpus_manifest(s->corpus)->crops.count;
    TSR_GO(match(s, mods, feed, has));
    TSR_GO(find_split(s, feed, limit));
    *out = s;
    s = NULL;
out:
    tsr_feed_source_close(s);
    return st;
}

void tsr_feed_source_close(tsr_feed_source *s)
{
    if (!s)
        return;
    tsr_corpus_close(s->corpus);
    tsr_free(s->pieces);
    tsr_free(s);
}

uint64_t tsr_feed_source_count(const tsr_feed_source *s)
{
    return s->count;
}

uint32_t tsr_feed_source_crops(const tsr_feed_source *s)
{
    return s->crops ? s->crops : 1;
}

tsr_corpus *tsr_feed_source_corpus(const tsr_feed_source *s)
{
    return s->corpus;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static const piece *piece_of(const tsr_feed_source *s, uint64_t n)
{
    size_t lo = 0, hi = s->n_pieces;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->pieces[mid].first <= n)
            lo = mid;
        else
            hi = mid;
    }
    return &s->pieces[lo];
}

/* One modality of one row. A shard that was not tokenized yet has none. */
static tsr_status read_modality(const tsr_feed_source *s, size_t m, const tsr_shard *shard,
                                uint64_t row, uint32_t crop, tsr_feed_buffer *b, tsr_held *h)
{
    if (!shard || tsr_shard_present(shard, row) != TSR_REAL)
        return TSR_OK;
    if (tsr_shard_get_info(shard)->crops == 1)
        crop = 0;
    size_t n = tsr_shard_count(shard, row, crop);
    h->present = 1;
    if (s->cls[m] == TSR_CLASS_PIXELS) {
        if (n > b->bytes_cap[m]) {
            TSR_TRY(tsr_grow(&b->bytes[m], 0, n, 1));
            b->bytes_cap[m] = n;
        }
        TSR_TRY(tsr_shard_read_bytes(shard, row, crop, b->bytes[m]));
        h->count = s->places[m];
        h->patches = b->bytes[m];
        return TSR_OK;
    }
    if (n > b->ids_cap[m]) {
        TSR_TRY(tsr_grow(&b->ids[m], 0, n, sizeof **b->ids));
        b->ids_cap[m] = n;
    }
    if (n)
        TSR_TRY(tsr_shard_read(shard, row, crop, b->ids[m]));
    h->count = (uint32_t)n;
    h->ids = b->ids[m];
    return TSR_OK;
}

tsr_status tsr_feed_source_read(tsr_feed_source *s, uint64_t n, uint32_t crop, tsr_feed_buffer *b,
                                tsr_held *held, uint64_t *sample)
{
    const piece *p = piece_of(s, n);
    memset(held, 0, s->modalities * sizeof *held);
    *sample = p->sample + (n - p->first);
    for (size_t m = 0; m < s->modalities; m++) {
        const tsr_shard *shard;
        if (!s->names[m])
            continue;
        TSR_TRY(tsr_corpus_get_shard(s->corpus, s->names[m], p->shard, &shard));
        tsr_status st = read_modality(s, m, shard, n - p->first, crop, b, &held[m]);
        tsr_corpus_put_shard(s->corpus, shard);
        TSR_TRY(st);
    }
    return TSR_OK;
}

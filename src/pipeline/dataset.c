/* SPDX-License-Identifier: Apache-2.0
 * Samples with a memory. */
#include "pipeline/dataset.h"

#include "base/mem.h"
#include "pipeline/source.h"

#include <pthread.h>
#include <string.h>

/* A decoded file that stays until the dataset is closed; kind NONE: not there (yet). */
typedef struct slot {
    tsr_media media;
} slot;

struct tsr_dataset {
    tsr_source *source;
    tsr_read_options read;
    size_t n_folders;
    size_t *rows; /* [count] into the source */
    size_t count;
    slot *slots; /* [count, n_folders] */
    pthread_mutex_t lock;
    size_t cached_bytes, cache_bytes;
};

static tsr_status choose_rows(tsr_dataset *d, size_t limit)
{
    size_t n = tsr_source_count(d->source), cells;
    TSR_TRY(tsr_alloc(&d->rows, n, sizeof *d->rows));
    for (size_t i = 0; i < n && (limit == 0 || d->count < limit); i++)
        if (tsr_source_path(d->source, i, 0))
            d->rows[d->count++] = i;
    TSR_TRY(tsr_mul_size(d->count, d->n_folders, &cells));
    return tsr_alloc(&d->slots, cells, sizeof *d->slots);
}

tsr_status tsr_dataset_open(const tsr_dataset_spec *spec, tsr_dataset **out)
{
    tsr_dataset *d;
    tsr_status st = TSR_OK;
    if (spec->n_folders == 0 || spec->n_folders > TSR_DATASET_FOLDERS)
        TSR_FAIL(TSR_ECONFIG, "a tokenizer reads 1 to %d folders, not %zu", TSR_DATASET_FOLDERS,
                 spec->n_folders);
    TSR_TRY(tsr_alloc(&d, 1, sizeof *d));
    pthread_mutex_init(&d->lock, NULL);
    d->n_folders = spec->n_folders;
    d->cache_bytes = spec->cache_bytes;
    d->read = spec->read;
    TSR_GO(tsr_source_open(spec->root, spec->split, spec->folders, spec->n_folders, &d->source));
    TSR_GO(choose_rows(d, spec->limit));
    if (d->count == 0)
        TSR_GOFAIL(TSR_ECONFIG, "%s%s%s: no sample has %s", spec->root,
                   spec->split && spec->split[0] ? "/" : "", spec->split ? spec->split : "",
                   spec->folders[0]);
    *out = d;
    d = NULL;
out:
    tsr_dataset_close(d);
    return st;
}

void tsr_dataset_close(tsr_dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->slots && i < d->count * d->n_folders; i++)
        tsr_media_clear(&d->slots[i].media);
    pthread_mutex_destroy(&d->lock);
    tsr_source_close(d->source);
    tsr_free(d->slots);
    tsr_free(d->rows);
    tsr_free(d);
}

size_t tsr_dataset_count(const tsr_dataset *d)
{
    return d->count;
}

const char *tsr_dataset_key(const tsr_dataset *d, size_t i)
{
    return tsr_source_key(d->source, d->rows[i]);
}

static size_t media_bytes(const tsr_media *m)
{
    switch (m->kind) {
    case TSR_MEDIA_IMAGE:
        return m->as.image.height * m->as.image.width * m->as.image.channels *
               (size_t)m->as.image.pixel;
    case TSR_MEDIA_SOUND:
        return m->as.sound.frames * m->as.sound.channels * sizeof(float);
    case TSR_MEDIA_TEXT:
        return m->as.text.bytes + 1;
    case TSR_MEDIA_VECTOR:
        return m->as.vector.count * sizeof(float);
    case TSR_MEDIA_INTEGERS:
        return m->as.integers.count * sizeof(int64_t);
    case TSR_MEDIA_RECORD: /* its size cannot be told; reference counts are not for threads */
    case TSR_MEDIA_NONE:
        break;
    }
    return SIZE_MAX;
}

/* The remembered media, or NULL. Once there it does not change, so it may be read without the
 * lock. */
static const tsr_media *remembered(tsr_dataset *d, const slot *s)
{
    pthread_mutex_lock(&d->lock);
    const tsr_media *m = s->media.kind ? &s->media : NULL;
    pthread_mutex_unlock(&d->lock);
    return m;
}

/* Keep what was read when there is room: *m is then empty and the kept one is returned. Another
 * thread may have been faster. */
static const tsr_media *remember(tsr_dataset *d, slot *s, tsr_media *m)
{
    const tsr_media *kept = NULL;
    size_t bytes = media_bytes(m);
    pthread_mutex_lock(&d->lock);
    if (s->media.kind) {
        kept = &s->media;
    } else if (bytes <= d->cache_bytes - d->cached_bytes) {
        d->cached_bytes += bytes;
        s->media = *m;
        *m = (tsr_media){0};
        kept = &s->media;
    }
    pthread_mutex_unlock(&d->lock);
    return kept;
}

static tsr_status get_folder(tsr_dataset *d, size_t i, size_t f, tsr_sample *s)
{
    slot *place = &d->slots[i * d->n_folders + f];
    const tsr_media *m = remembered(d, place);
    if (!m && !tsr_source_path(d->source, d->rows[i], f))
        return TSR_OK;
    if (!m) {
        TSR_TRY(tsr_source_read(d->source, d->rows[i], f, &d->read, &s->owned[f]));
        m = remember(d, place, &s->owned[f]);
    }
    s->in.media[s->in.count++] = m ? m : &s->owned[f];
    return TSR_OK;
}

tsr_status tsr_dataset_get(tsr_dataset *d, size_t i, tsr_sample *out)
{
    *out = (tsr_sample){.in.from = tsr_source_folder(d->source, 0)};
    for (size_t f = 0; f < d->n_folders; f++) {
        tsr_status st = get_folder(d, i, f, out);
        if (st != TSR_OK) {
            tsr_sample_clear(out);
            return st;
        }
    }
    return TSR_OK;
}

void tsr_sample_clear(tsr_sample *s)
{
    for (size_t f = 0; f < TSR_DATASET_FOLDERS; f++)
        tsr_media_clear(&s->owned[f]);
    *s = (tsr_sample){0};
}

/* SPDX-License-Identifier: Apache-2.0
 * Several tars as one table of samples: headers are read once, data at their place when asked for.
 */
#include "codecs/tar.h"

#include "base/mem.h"
#include "base/str.h"
#include "codecs/blob.h"
#include "codecs/tar_stream.h"

#include <stdlib.h>
#include <string.h>

#define MEMBER_BYTES ((size_t)1 << 30)

typedef struct member {
    char *name;
    size_t key_chars;
    const char *modality; /* borrowed from the set's sources, or points into name */
    size_t modality_chars;
    uint64_t offset, bytes;
    size_t source;
} member;

typedef struct sample {
    char *key;
    size_t first, count; /* of members */
} sample;

typedef struct own_source {
    char *path, *modality; /* modality NULL: the members' suffixes tell */
} own_source;

struct tsr_tar_set {
    own_source *sources;
    size_t n_sources;
    member *members; /* sorted by key, then modality */
    size_t n_members, cap_members;
    sample *samples;
    size_t n_samples, cap_samples;
};

/* The modality of "key.modality.ext" or "key.modality.ext.gz". */
static tsr_status suffix_modality(member *m, const char *path)
{
    const char *from = m->name + m->key_chars;
    size_t n = strlen(from);
    if (n > 3 && tsr_ends_with(from, ".gz"))
        n -= 3;
    while (n > 0 && from[n - 1] != '.')
        n--;
    /* from[0] is the dot behind the key, from[n - 1] the one before the extension */
    if (n < 3)
        TSR_FAIL(TSR_EFORMAT, "%s: member %s names no modality, expected KEY.MODALITY.EXTENSION",
                 path, m->name);
    m->modality = from + 1;
    m->modality_chars = n - 2;
    return TSR_OK;
}

static tsr_status add_member(tsr_tar_set *s, size_t source, const char *name, uint64_t offset,
                             uint64_t bytes)
{
    const own_source *from = &s->sources[source];
    TSR_TRY(tsr_room(&s->members, s->n_members, &s->cap_members, sizeof *s->members));
    member *m = &s->members[s->n_members];
    *m = (member){
        .key_chars = tsr_tar_key_chars(name), .offset = offset, .bytes = bytes, .source = source};
    TSR_TRY(tsr_strdup(&m->name, name));
    s->n_members++;
    if (!from->modality)
        return suffix_modality(m, from->path);
    m->modality = from->modality;
    m->modality_chars = strlen(from->modality);
    return TSR_OK;
}

static tsr_status index_tar(tsr_tar_set *s, size_t source)
{
    tsr_tar_stream t;
    const char *name, *path = s->sources[source].path;
    uint64_t bytes;
    int more = 1;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_tar_stream_open(path, &t));
    for (;;) {
        TSR_GO(tsr_tar_stream_next(&t, &name, &bytes, &more));
        if (archive_filter_code(t.a, 0) != ARCHIVE_FILTER_NONE)
            TSR_GOFAIL(TSR_EUNSUPPORTED,
                       "%s: is compressed; samples are read in any order from "
                       "plain tars only",
                       path);
        if (!more)
            break;
        uint64_t offset = (uint64_t)archive_filter_bytes(t.a, 0);
        if (offset > t.source.bytes || bytes > t.source.bytes - offset)
            TSR_GOFAIL(TSR_EFORMAT, "%s: tar is truncated: member %s has %llu bytes, %llu are left",
                       path, name, (unsigned long long)bytes,
                       (unsigned long long)(t.source.bytes - offset));
        TSR_GO(add_member(s, source, name, offset, bytes));
    }
out:
    tsr_tar_stream_close(&t);
    return st;
}

static int compare_text(const char *a, size_t na, const char *b, size_t nb)
{
    int c = memcmp(a, b, na < nb ? na : nb);
    return c ? c : (na > nb) - (na < nb);
}

static int by_key(const void *x, const void *y)
{
    const member *a = x, *b = y;
    int c = compare_text(a->name, a->key_chars, b->name, b->key_chars);
    return c ? c : compare_text(a->modality, a->modality_chars, b->modality, b->modality_chars);
}

static tsr_status group(tsr_tar_set *s)
{
    if (s->n_members)
        qsort(s->members, s->n_members, sizeof *s->members, by_key);
    for (size_t i = 0; i < s->n_members; i++) {
        const member *m = &s->members[i], *before = i ? m - 1 : NULL;
        if (before && by_key(before, m) == 0)
            TSR_FAIL(TSR_EFORMAT, "%s: sample %.*s has modality %.*s twice: %s and %s",
                     s->sources[m->source].path, (int)m->key_chars, m->name, (int)m->modality_chars,
                     m->modality, before->name, m->name);
        if (before && compare_text(before->name, before->key_chars, m->name, m->key_chars) == 0) {
            s->samples[s->n_samples - 1].count++;
            continue;
        }
        TSR_TRY(tsr_room(&s->samples, s->n_samples, &s->cap_samples, sizeof *s->samples));
        sample *fresh = &s->samples[s->n_samples];
        TSR_TRY(tsr_strndup(&fresh->key, m->name, m->key_chars));
        fresh->first = i;
        fresh->count = 1;
        s->n_samples++;
    }
    return TSR_OK;
}

static tsr_status copy_source(const tsr_tar_source *from, own_source *to)
{
    TSR_TRY(tsr_strdup(&to->path, from->path));
    return from->modality ? tsr_strdup(&to->modality, from->modality) : TSR_OK;
}

tsr_status tsr_tar_set_open(const tsr_tar_source *sources, size_t n, tsr_tar_set **out)
{
    tsr_tar_set *s;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    TSR_GO(tsr_alloc(&s->sources, n, sizeof *s->sources));
    s->n_sources = n; /* zeroed: closing after half of them is fine */
    for (size_t i = 0; i < n; i++)
        TSR_GO(copy_source(&sources[i], &s->sources[i]));
    for (size_t i = 0; i < n; i++)
        TSR_GO(index_tar(s, i));
    TSR_GO(group(s));
    *out = s;
    return TSR_OK;
out:
    tsr_tar_set_close(s);
    return st;
}

size_t tsr_tar_set_count(const tsr_tar_set *s)
{
    return s->n_samples;
}

const char *tsr_tar_set_key(const tsr_tar_set *s, size_t i)
{
    return s->samples[i].key;
}

static const member *find(const tsr_tar_set *s, size_t i, const char *modality)
{
    const sample *p = &s->samples[i];
    size_t n = strlen(modality);
    for (size_t k = p->first; k < p->first + p->count; k++)
        if (compare_text(s->members[k].modality, s->members[k].modality_chars, modality, n) == 0)
            return &s->members[k];
    return NULL;
}

const char *tsr_tar_set_name(const tsr_tar_set *s, size_t i, const char *modality)
{
    const member *m = find(s, i, modality);
    return m ? m->name : NULL;
}

tsr_status tsr_tar_set_read(const tsr_tar_set *s, size_t i, const char *modality, size_t max_bytes,
                            char **data, size_t *bytes)
{
    const member *m = find(s, i, modality);
    if (!m)
        TSR_FAIL(TSR_ENOENT, "sample %s has no modality %s", s->samples[i].key, modality);
    size_t limit = max_bytes ? max_bytes : MEMBER_BYTES, got = 0;
    const char *path = s->sources[m->source].path;
    if (m->bytes > limit)
        TSR_FAIL(TSR_ELIMIT, "%s: member %s has %llu bytes, more than the limit of %zu", path,
                 m->name, (unsigned long long)m->bytes, limit);
    char *text = NULL;
    tsr_blob file;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_blob_open(path, &file));
    TSR_GO(tsr_alloc(&text, (size_t)m->bytes + 1, 1));
    TSR_GO(tsr_blob_read(&file, m->offset, text, (size_t)m->bytes, &got));
    if (got != m->bytes)
        TSR_GOFAIL(TSR_EIO, "%s: became shorter since it was opened", path);
    *data = text;
    *bytes = got;
    text = NULL;
out:
    tsr_free(text);
    tsr_blob_close(&file);
    return st;
}

void tsr_tar_set_close(tsr_tar_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_members; i++)
        tsr_free(s->members[i].name);
    for (size_t i = 0; i < s->n_samples; i++)
        tsr_free(s->samples[i].key);
    for (size_t i = 0; s->sources && i < s->n_sources; i++) {
        tsr_free(s->sources[i].path);
        tsr_free(s->sources[i].modality);
    }
    tsr_free(s->members);
    tsr_free(s->samples);
    tsr_free(s->sources);
    tsr_free(s);
}

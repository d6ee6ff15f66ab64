/* SPDX-License-Identifier: Apache-2.0
 * Samples of a folder tree, aligned by name. */
#include "pipeline/source.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16

/* One file: which sample it belongs to and which modality folder holds it. */
typedef struct entry {
    char *key;
    char *path;    /* of the file, or "shard.tar:member" */
    size_t folder;
    const tsr_tar_set *set; /* NULL: a file of its own */
    size_t row;             /* of the set */
    size_t tar_chars;       /* of path: the tar's own path */
} entry;

struct tsr_source {
    char *base; /* ROOT/SPLIT */
    char **folders;
    size_t n_folders;
    tsr_tar_set **sets; /* one for each tar name, over all modalities that have it */
    size_t n_sets, cap_sets;
    entry *entries; /* sorted by key, then folder, then path; conflicts moved to the end */
    size_t n_entries, cap_entries, n_used;
    const entry **files; /* [count, n_folders], NULL where absent */
    const char **keys;   /* [count], borrowed from entries */
    size_t count;
};

static size_t key_length(const char *path)
{
    static const char *const doubles[] = {".json.gz", ".nii.gz", ".tar.gz"};
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++)
        if (tsr_ends_with(path, doubles[i]))
            return strlen(path) - strlen(doubles[i]);
    const char *extension = tsr_path_extension(path);
    return strlen(path) - (extension[0] ? strlen(extension) + 1 : 0);
}

static tsr_status new_entry(tsr_source *s, size_t folder, entry **out)
{
    TSR_TRY(tsr_room(&s->entries, s->n_entries, &s->cap_entries, sizeof *s->entries));
    *out = &s->entries[s->n_entries++];
    **out = (entry){.folder = folder};
    return TSR_OK;
}

static tsr_status add_file(tsr_source *s, const char *folder_path, const char *name, size_t folder)
{
    entry *e;
    TSR_TRY(new_entry(s, folder, &e));
    TSR_TRY(tsr_strndup(&e->key, name, key_length(name)));
    return tsr_path_join(&e->path, folder_path, name);
}

/* All members of the tars called `tar` ("00000.tar") in any of the modality folders. */
static tsr_status add_tar_set(tsr_source *s, const char *tar)
{
    tsr_status st = TSR_OK;
    tsr_tar_source of[TSR_SOURCE_FOLDERS];
    char *paths[TSR_SOURCE_FOLDERS] = {0};
    size_t n = 0;
    for (size_t f = 0; f < s->n_folders; f++) {
        TSR_GO(tsr_format(&paths[f], "%s/%s/%s", s->base, s->folders[f], tar));
        if (tsr_file_exists(paths[f]))
            of[n++] = (tsr_tar_source){paths[f], s->folders[f]};
    }
    TSR_GO(tsr_room(&s->sets, s->n_sets, &s->cap_sets, sizeof *s->sets));
    TSR_GO(tsr_tar_set_open(of, n, &s->sets[s->n_sets]));
    const tsr_tar_set *set = s->sets[s->n_sets++];
    for (size_t row = 0; row < tsr_tar_set_count(set); row++) {
        for (size_t f = 0; f < s->n_folders; f++) {
            const char *member = tsr_tar_set_name(set, row, s->folders[f]);
            entry *e;
            if (!member)
                continue;
            TSR_GO(new_entry(s, f, &e));
            e->set = set;
            e->row = row;
            e->tar_chars = strlen(paths[f]);
            TSR_GO(tsr_format(&e->path, "%s:%s", paths[f], member));
            TSR_GO(tsr_format(&e->key, "%.*s/%s", (int)(strlen(tar) - strlen(".tar")), tar,
                              tsr_tar_set_key(set, row)));
        }
    }
out:
    for (size_t f = 0; f < s->n_folders; f++)
        tsr_free(paths[f]);
    return st;
}

/* 1 when an earlier modality folder has this tar too, so that its set is open already. */
static int tar_is_known(const tsr_source *s, size_t folder, const char *tar)
{
    for (size_t f = 0; f < folder; f++) {
        char *path;
        if (tsr_format(&path, "%s/%s/%s", s->base, s->folders[f], tar) != TSR_OK)
            return 0;
        int known = tsr_file_exists(path);
        tsr_free(path);
        if (known)
            return 1;
    }
    return 0;
}

/* A folder named x.png is a broken sample, not a folder of samples. */
static int looks_like_file(const char *name)
{
    return tsr_codec_kind(name) != TSR_MEDIA_NONE;
}

static tsr_status list_modality(tsr_source *s, size_t folder)
{
    tsr_status st = TSR_OK;
    tsr_names names = {0};
    char *path = NULL;
    TSR_GO(tsr_path_join(&path, s->base, s->folders[folder]));
    if (!tsr_is_folder(path))
        TSR_GOFAIL(TSR_ENOENT, "%s: no such folder (a source has one folder per modality)", path);
    TSR_GO(tsr_walk_leaves(path, MAX_DEPTH, looks_like_file, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i];
        if (!tsr_ends_with(name, ".tar"))
            TSR_GO(add_file(s, path, name, folder));
        else if (!tar_is_known(s, folder, name))
            TSR_GO(add_tar_set(s, name));
    }
out:
    tsr_names_clear(&names);
    tsr_free(path);
    return st;
}

static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    if (order == 0)
        order = (x->folder > y->folder) - (x->folder < y->folder);
    return order ? order : strcmp(x->path, y->path);
}

/* Of several files for one key and folder keep the first; the others go to the end. */
static tsr_status set_conflicts_aside(tsr_source *s)
{
    entry *kept;
    size_t n = 0, aside = s->n_entries;
    TSR_TRY(tsr_alloc(&kept, s->n_entries, sizeof *kept));
    for (size_t i = 0; i < s->n_entries; i++) {
        const entry *e = &s->entries[i];
        int again = n > 0 && kept[n - 1].folder == e->folder && strcmp(kept[n - 1].key, e->key) == 0;
        kept[again ? --aside : n++] = *e;
    }
    tsr_free(s->entries);
    s->entries = kept;
    s->n_used = n;
    return TSR_OK;
}

static tsr_status align(tsr_source *s)
{
    if (s->n_entries == 0)
        return TSR_OK;
    qsort(s->entries, s->n_entries, sizeof *s->entries, by_key);
    TSR_TRY(set_conflicts_aside(s));
    size_t cells, samples = 0;
    for (size_t i = 0; i < s->n_used; i++)
        samples += i == 0 || strcmp(s->entries[i].key, s->entries[i - 1].key) != 0;
    TSR_TRY(tsr_mul_size(samples, s->n_folders, &cells));
    TSR_TRY(tsr_alloc(&s->files, cells, sizeof *s->files));
    TSR_TRY(tsr_alloc(&s->keys, samples, sizeof *s->keys));
    for (size_t i = 0; i < s->n_used; i++) {
        const entry *e = &s->entries[i];
        if (i == 0 || strcmp(e->key, e[-1].key) != 0)
            s->keys[s->count++] = e->key;
        s->files[(s->count - 1) * s->n_folders + e->folder] = e;
    }
    return TSR_OK;
}

tsr_status tsr_source_open(const char *root, const char *split, const char *const *folders,
                           size_t n_folders, tsr_source **out)
{
    tsr_status st = TSR_OK;
    tsr_source *s = NULL;
    if (n_folders == 0 || n_folders > TSR_SOURCE_FOLDERS)
        TSR_FAIL(TSR_ECONFIG, "%s: a source needs 1 to %d modality folders, not %zu", root,
                 TSR_SOURCE_FOLDERS, n_folders);
    TSR_GO(tsr_alloc(&s, 1, sizeof *s));
    TSR_GO(split && split[0] ? tsr_path_join(&s->base, root, split) : tsr_strdup(&s->base, root));
    TSR_GO(tsr_alloc(&s->folders, n_folders, sizeof *s->folders));
    for (size_t f = 0; f < n_folders; f++) {
        TSR_GO(tsr_strdup(&s->folders[f], folders[f]));
        s->n_folders++;
    }
    for (size_t f = 0; f < n_folders; f++)
        TSR_GO(list_modality(s, f));
    TSR_GO(align(s));
    *out = s;
    s = NULL;
out:
    tsr_source_close(s);
    return st;
}

void tsr_source_close(tsr_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_entries; i++) {
        tsr_free(s->entries[i].key);
        tsr_free(s->entries[i].path);
    }
    for (size_t i = 0; i < s->n_sets; i++)
        tsr_tar_set_close(s->sets[i]);
    for (size_t f = 0; f < s->n_folders; f++)
        tsr_free(s->folders[f]);
    tsr_free(s->sets);
    tsr_free(s->folders);
    tsr_free(s->base);
    tsr_free(s->entries);
    tsr_free(s->files);
    tsr_free(s->keys);
    tsr_free(s);
}

size_t tsr_source_count(const tsr_source *s)
{
    return s->count;
}

const char *tsr_source_folder(const tsr_source *s, size_t f)
{
    return s->folders[f];
}

const char *tsr_source_key(const tsr_source *s, size_t i)
{
    return s->keys[i];
}

int tsr_source_find(const tsr_source *s, const char *key, size_t *row)
{
    size_t lo = 0, hi = s ? tsr_source_count(s) : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(tsr_source_key(s, mid), key);
        if (order == 0) {
            *row = mid;
            return 1;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

const char *tsr_source_path(const tsr_source *s, size_t i, size_t f)
{
    const entry *e = s->files[i * s->n_folders + f];
    return e ? e->path : NULL;
}

size_t tsr_source_conflicts(const tsr_source *s)
{
    return s->n_entries - s->n_used;
}

const char *tsr_source_conflict(const tsr_source *s, size_t i)
{
    return s->entries[s->n_used + i].path;
}

tsr_status tsr_source_read(const tsr_source *s, size_t i, size_t f,
                           const tsr_read_options *options, tsr_media *out)
{
    const entry *e = s->files[i * s->n_folders + f];
    if (!e)
        TSR_FAIL(TSR_ENOENT, "sample %s has no %s", s->keys[i], s->folders[f]);
    if (!e->set)
        return tsr_media_read(e->path, options, out);
    char *data;
    size_t bytes;
    TSR_TRY(tsr_tar_set_read(e->set, e->row, s->folders[f], 0, &data, &bytes));
    tsr_status st = tsr_media_read_memory(e->path, data, bytes, options, out);
    tsr_free(data);
    return st;
}

/* The name without its folders: a corpus that was moved is still the same corpus. */
static tsr_status digest_file(tsr_hasher *h, const entry *e)
{
    const char *path = e ? e->path : NULL;
    uint64_t bytes = 0;
    int64_t mtime_ns = 0;
    char text[64], *file = NULL;
    if (path)
        TSR_TRY(tsr_strndup(&file, path, e->set ? e->tar_chars : strlen(path)));
    /* What cannot be examined still has a digest: reading it will fail and be recorded. */
    if (path && tsr_file_stat(file, &bytes, &mtime_ns) != TSR_OK)
        bytes = UINT64_MAX;
    tsr_free(file);
    int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRId64, bytes, mtime_ns);
    const char *name = path ? tsr_path_name(path) : "";
    tsr_hasher_add(h, name, strlen(name) + 1);
    tsr_hasher_add(h, text, (size_t)n + 1);
    return TSR_OK;
}

tsr_status tsr_source_mark(const tsr_source *s, size_t i, size_t f, tsr_hasher *h)
{
    return digest_file(h, s->files[i * s->n_folders + f]);
}

tsr_status tsr_source_digest(const tsr_source *s, size_t first, size_t count, tsr_digest *out)
{
    tsr_status st = TSR_OK;
    tsr_hasher *h = NULL;
    if (first > s->count || count > s->count - first)
        TSR_FAIL(TSR_EARG, "samples %zu..%zu of %zu", first, first + count, s->count);
    TSR_GO(tsr_hasher_create(&h));
    for (size_t i = first; i < first + count; i++) {
        tsr_hasher_add(h, s->keys[i], strlen(s->keys[i]) + 1);
        for (size_t f = 0; f < s->n_folders; f++)
            TSR_GO(digest_file(h, s->files[i * s->n_folders + f]));
    }
    *out = tsr_hasher_finish(h);
out:
    tsr_hasher_destroy(h);
    return st;
}

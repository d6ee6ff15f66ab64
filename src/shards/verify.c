/* SPDX-License-Identifier: Apache-2.0
 * Verification: every check that can be made, every problem listed. */
#include "shards/verify.h"

#include "base/mem.h"
#include "base/str.h"
#include "shards/corpus.h"
#include "shards/h5.h"
#include "shards/layout.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct verifier {
    const char *path;
    int quick;
    const tsr_job *job;
    tsr_verify_report *report;
    int64_t done, total;
} verifier;

void tsr_verify_clear(tsr_verify_report *r)
{
    tsr_names_clear(&r->problems);
    tsr_names_clear(&r->remarks);
    *r = (tsr_verify_report){0};
}

static tsr_status TSR_PRINTF(2, 3) add(tsr_names *list, const char *fmt, ...)
{
    char line[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return tsr_names_add(list, line);
}

/* A failure becomes a problem, unless it is one of the machine's. */
static tsr_status keep(verifier *v, tsr_status st)
{
    if (st == TSR_OK || st == TSR_ENOMEM || st == TSR_ECANCEL)
        return st;
    return add(&v->report->problems, "%s", tsr_error());
}

static tsr_status check_file(verifier *v, const char *path, const tsr_shard_stats *expected,
                             int *sound)
{
    uint64_t bytes;
    int64_t mtime;
    tsr_digest digest;
    *sound = 0;
    tsr_status st = tsr_file_stat(path, &bytes, &mtime);
    if (st == TSR_ENOENT)
        return add(&v->report->problems, "%s: is listed in the manifest and does not exist", path);
    if (st != TSR_OK)
        return keep(v, st);
    v->report->files++;
    v->report->bytes += bytes;
    if (bytes != expected->bytes)
        return add(&v->report->problems, "%s: has %llu bytes, the manifest says %llu", path,
                   (unsigned long long)bytes, (unsigned long long)expected->bytes);
    *sound = 1;
    if (v->quick)
        return TSR_OK;
    st = tsr_hash_file(path, &digest);
    if (st != TSR_OK) {
        *sound = 0;
        return keep(v, st);
    }
    if (tsr_digest_equal(digest, expected->digest))
        return TSR_OK;
    *sound = 0;
    char found[TSR_DIGEST_CHARS], said[TSR_DIGEST_CHARS];
    tsr_digest_text(digest, found);
    tsr_digest_text(expected->digest, said);
    return add(&v->report->problems,
               "%s: its digest is %s, the manifest says %s: the file was "
               "changed or damaged",
               path, found, said);
}

static tsr_status check_ids(const tsr_shard *s, uint64_t row, uint32_t crop)
{
    tsr_tokens t;
    TSR_TRY(tsr_shard_take(s, row, crop, &t));
    tsr_tokens_clear(&t);
    return TSR_OK;
}

/* All ids of all rows are readable and below the codebook size (any byte is a value of
 * patches, which only have to be readable); *tokens counts them. */
static tsr_status check_rows(verifier *v, const tsr_shard *s, uint64_t *tokens)
{
    const tsr_shard_info *i = tsr_shard_get_info(s);
    int patches = i->space.layout == TSR_LAYOUT_PATCHES;
    uint8_t *bytes = NULL;
    tsr_status st = TSR_OK;
    if (patches)
        TSR_TRY(tsr_alloc(&bytes, tsr_grid_ids(&i->space), 1));
    for (uint64_t row = 0; row < i->samples; row++)
        for (uint32_t c = 0; c < i->crops; c++) {
            *tokens += tsr_shard_count(s, row, c);
            if (!v->quick)
                TSR_GO(patches ? tsr_shard_read_bytes(s, row, c, bytes) : check_ids(s, row, c));
        }
out:
    tsr_free(bytes);
    return st;
}

static tsr_status check_counts(verifier *v, const char *path, const tsr_shard *s,
                               const tsr_shard_stats *said, uint64_t tokens)
{
    uint64_t n[3] = {0};
    tsr_failures f;
    for (uint64_t row = 0; row < tsr_shard_get_info(s)->samples; row++)
        n[tsr_shard_present(s, row)]++;
    if (tsr_space_has_codes(&tsr_shard_get_info(s)->space))
        v->report->tokens += tokens;
    v->report->failed += n[TSR_FAILED];
    TSR_TRY(tsr_shard_failures(s, &f));
    tsr_failures_clear(&f);
    if (!said || (n[TSR_REAL] == said->present && n[TSR_MISSING] == said->missing &&
                  n[TSR_FAILED] == said->failed && tokens == said->tokens))
        return TSR_OK;
    return add(&v->report->problems,
               "%s: holds %llu real, %llu missing and %llu failed samples "
               "with %llu ids; the manifest says %llu, %llu, %llu and %llu",
               path, (unsigned long long)n[TSR_REAL], (unsigned long long)n[TSR_MISSING],
               (unsigned long long)n[TSR_FAILED], (unsigned long long)tokens,
               (unsigned long long)said->present, (unsigned long long)said->missing,
               (unsigned long long)said->failed, (unsigned long long)said->tokens);
}

static tsr_status check_shard(verifier *v, const char *path, const tsr_shard *s,
                              const tsr_shard_stats *said)
{
    uint64_t tokens = 0;
    TSR_TRY(check_rows(v, s, &tokens));
    return check_counts(v, path, s, said, tokens);
}

static tsr_status check_modality(verifier *v, tsr_corpus *c, const tsr_shard_entry *e,
                                 const tsr_file_entry *f, const char *path)
{
    const tsr_modality *m = tsr_manifest_modality(tsr_corpus_manifest(c), f->modality);
    const tsr_shard *s;
    int sound;
    TSR_TRY(check_file(v, path, &f->stats, &sound));
    if (!tsr_digest_equal(f->tokenizer, m->space.tokenizer))
        TSR_TRY(add(&v->report->problems,
                    "%s: the manifest lists it with another tokenizer than "
                    "its modality",
                    path));
    /* HDF5 is not let loose on a file that is known to be damaged. */
    if (!sound)
        return TSR_OK;
    tsr_status st = tsr_corpus_get_shard(c, f->modality, e->shard, &s);
    if (st != TSR_OK)
        return keep(v, st);
    st = keep(v, check_shard(v, path, s, &f->stats));
    tsr_corpus_put_shard(c, s);
    return st;
}

static tsr_status check_keys(verifier *v, const tsr_shard_entry *e, const tsr_file_entry *f,
                             const char *path, uint32_t crops)
{
    tsr_keys k;
    int sound;
    TSR_TRY(check_file(v, path, &f->stats, &sound));
    if (!sound)
        return TSR_OK;
    tsr_status st = tsr_keys_read(path, &k);
    if (st != TSR_OK)
        return keep(v, st);
    tsr_digest digest;
    st = tsr_keys_digest(&k, &digest);
    int same = st == TSR_OK && tsr_digest_equal(digest, e->keys) && k.samples == e->samples &&
               k.shard == e->shard && k.crops == crops && strcmp(k.split, e->split) == 0 &&
               strcmp(k.source, e->source) == 0;
    v->report->samples += k.samples;
    tsr_keys_clear(&k);
    TSR_TRY(st);
    return same ? TSR_OK
                : add(&v->report->problems,
                      "%s: its keys, crops, number or split are not those of "
                      "the manifest",
                      path);
}

static tsr_status check_entry(verifier *v, tsr_corpus *c, const tsr_shard_entry *e,
                              const tsr_file_entry *f)
{
    char *name, *path;
    TSR_TRY(tsr_job_check(v->job));
    TSR_TRY(tsr_shard_name(f->modality, e->shard, &name));
    tsr_status st = tsr_path_join(&path, v->path, name);
    tsr_free(name);
    TSR_TRY(st);
    st = strcmp(f->modality, TSR_KEYS_NAME) == 0
             ? check_keys(v, e, f, path, tsr_corpus_manifest(c)->crops.count)
             : check_modality(v, c, e, f, path);
    tsr_free(path);
    tsr_progress p = {.phase = "verify", .done = ++v->done, .total = v->total, .unit = "files"};
    tsr_job_report(v->job, &p);
    return st;
}

/* Keys are unique within a split of a source: sort all of them and look at neighbours. */
typedef struct named {
    char *key;
    const char *source, *split;
} named;

static int by_place_and_key(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int c = strcmp(x->source, y->source);
    c = c ? c : strcmp(x->split, y->split);
    return c ? c : strcmp(x->key, y->key);
}

static tsr_status find_repeats(verifier *v, const named *all, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (by_place_and_key(&all[i - 1], &all[i]) == 0)
            TSR_TRY(add(&v->report->problems, "%s: sample \"%s\" is in split \"%s\" twice", v->path,
                        all[i].key, all[i].split));
    return TSR_OK;
}

static tsr_status check_unique(verifier *v, tsr_corpus *c)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    named *all;
    size_t n = 0;
    tsr_status st = TSR_OK;
    uint64_t at = 0;
    TSR_TRY(tsr_alloc(&all, tsr_corpus_samples(c), sizeof *all));
    for (size_t i = 0; i < m->n_shards; i++)
        for (uint64_t row = 0; row < m->shards[i].samples; row++) {
            /* Unreadable keys files were reported already. */
            if (tsr_corpus_key(c, at++, &all[n].key) != TSR_OK) {
                at += m->shards[i].samples - row - 1;
                break;
            }
            all[n].source = m->shards[i].source;
            all[n++].split = m->shards[i].split;
        }
    if (n)
        qsort(all, n, sizeof *all, by_place_and_key);
    st = find_repeats(v, all, n);
    for (size_t i = 0; i < n; i++)
        tsr_free(all[i].key);
    tsr_free(all);
    return st;
}

/* Does the manifest list a file of this name? */
static int listed(const tsr_manifest *m, const char *name)
{
    const char *dash = strrchr(name, '-');
    char modality[TSR_NAME_CHARS], number[16];
    if (!dash || (size_t)(dash - name) >= sizeof modality)
        return 0;
    snprintf(modality, sizeof modality, "%.*s", (int)(dash - name), name);
    for (size_t i = 0; i < m->n_shards; i++) {
        snprintf(number, sizeof number, "-%05u.h5", m->shards[i].shard);
        if (strcmp(dash, number) == 0)
            return tsr_manifest_file(&m->shards[i], modality) != NULL;
    }
    return 0;
}

static tsr_status check_orphans(verifier *v, const tsr_manifest *m)
{
    tsr_names names = {0};
    tsr_status st = keep(v, tsr_list_folder(v->path, &names));
    for (size_t i = 0; st == TSR_OK && i < names.count; i++) {
        const char *n = names.names[i];
        if (tsr_file_is_temp(n))
            st = add(&v->report->remarks, "%s/%s: left by a writer that was killed", v->path, n);
        else if (tsr_ends_with(n, ".h5") && strcmp(n, "corpus.h5") != 0 && !listed(m, n))
            st = add(&v->report->remarks, "%s/%s: is not listed in the manifest", v->path, n);
    }
    tsr_names_clear(&names);
    return st;
}

static tsr_status check_complete(verifier *v, const tsr_manifest *m)
{
    for (size_t i = 0; i < m->n_modalities; i++) {
        size_t missing = 0;
        for (size_t j = 0; j < m->n_shards; j++)
            missing += !tsr_manifest_file(&m->shards[j], m->modalities[i].space.modality);
        if (missing)
            TSR_TRY(add(&v->report->remarks,
                        "%s: %s is not tokenized in %zu of %zu shards: run "
                        "tokenize again",
                        v->path, m->modalities[i].space.modality, missing, m->n_shards));
    }
    return TSR_OK;
}

/* corpus.h5 has a row for each sample. */
static tsr_status count_linked(const char *path, uint64_t *samples)
{
    hid_t file;
    tsr_h5_enter();
    tsr_status st = tsr_h5_open(path, &file);
    if (st == TSR_OK) {
        hsize_t n = 0;
        hid_t set = H5Dopen2(file, "shard", H5P_DEFAULT);
        hid_t space = set >= 0 ? H5Dget_space(set) : -1;
        if (space < 0 || H5Sget_simple_extent_ndims(space) != 1 ||
            H5Sget_simple_extent_dims(space, &n, NULL) < 0)
            st = tsr_h5_fail(TSR_EFORMAT, path, "has no dataset \"shard\"");
        if (space >= 0)
            H5Sclose(space);
        H5Fclose(file);
        *samples = n;
    }
    tsr_h5_leave();
    return st;
}

static tsr_status check_linked(verifier *v, uint64_t samples)
{
    char *path;
    uint64_t n = 0;
    TSR_TRY(tsr_path_join(&path, v->path, "corpus.h5"));
    tsr_status st = TSR_OK;
    if (!tsr_file_exists(path))
        goto out;
    st = count_linked(path, &n);
    if (st == TSR_OK && n != samples)
        st = add(&v->report->remarks, "%s: is older than the manifest (%llu of %llu samples)", path,
                 (unsigned long long)n, (unsigned long long)samples);
    else
        st = keep(v, st);
out:
    tsr_free(path);
    return st;
}

static tsr_status check_corpus(verifier *v, tsr_corpus *c)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    for (size_t i = 0; i < m->n_shards; i++)
        v->total += (int64_t)m->shards[i].n_files;
    for (size_t i = 0; i < m->n_shards; i++)
        for (size_t j = 0; j < m->shards[i].n_files; j++)
            TSR_TRY(check_entry(v, c, &m->shards[i], &m->shards[i].files[j]));
    TSR_TRY(check_unique(v, c));
    TSR_TRY(check_complete(v, m));
    TSR_TRY(check_orphans(v, m));
    return check_linked(v, tsr_corpus_samples(c));
}

static tsr_status check_single(verifier *v)
{
    tsr_shard *s;
    tsr_status st = tsr_shard_open(v->path, &s);
    if (st == TSR_OK) {
        v->report->samples = tsr_shard_get_info(s)->samples;
        st = check_shard(v, v->path, s, NULL);
        tsr_shard_close(s);
    }
    v->report->files = 1;
    return keep(v, st);
}

tsr_status tsr_verify(const char *path, int quick, const tsr_job *job, tsr_verify_report *out)
{
    tsr_verify_report r = {0};
    verifier v = {path, quick, job, &r, 0, 0};
    tsr_corpus *c = NULL;
    tsr_status st = TSR_OK;
    if (tsr_is_folder(path)) {
        TSR_GO(tsr_corpus_open(path, &c));
        TSR_GO(check_corpus(&v, c));
    } else {
        uint64_t bytes;
        int64_t mtime;
        TSR_GO(tsr_file_stat(path, &bytes, &mtime));
        r.bytes = bytes;
        TSR_GO(check_single(&v));
    }
    *out = r;
    r = (tsr_verify_report){0};
out:
    tsr_corpus_close(c);
    tsr_verify_clear(&r);
    return st;
}

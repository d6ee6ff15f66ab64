/* SPDX-License-Identifier: Apache-2.0
 * corpus.h5: virtual datasets and external links over all shards, for users of h5py. */
#include "shards/corpus.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "shards/h5.h"
#include "shards/layout.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What has to be known before HDF5 writes anything. */
typedef struct plan {
    const tsr_manifest *m;
    uint64_t samples;
    size_t longest_key;
    uint32_t *shard_of; /* [samples] */
    uint64_t **offsets; /* [n_modalities]: sequences [samples * crops + 1], else NULL */
    const char *path;   /* of the file being written */
    char manifest[TSR_DIGEST_CHARS]; /* digest of the manifest it is made from */
} plan;

static void clear_plan(plan *p)
{
    for (size_t i = 0; p->offsets && i < p->m->n_modalities; i++)
        tsr_free(p->offsets[i]);
    tsr_free(p->offsets);
    tsr_free(p->shard_of);
}

static tsr_status collect_keys(const char *folder, plan *p)
{
    TSR_TRY(tsr_alloc(&p->shard_of, p->samples, sizeof *p->shard_of));
    p->longest_key = 1;
    uint64_t at = 0;
    for (uint32_t i = 0; i < p->m->n_shards; i++) {
        char *name, *path;
        tsr_keys k;
        TSR_TRY(tsr_shard_name(TSR_KEYS_NAME, i, &name));
        tsr_status st = tsr_path_join(&path, folder, name);
        tsr_free(name);
        TSR_TRY(st);
        st = tsr_keys_read(path, &k);
        tsr_free(path);
        TSR_TRY(st);
        for (uint64_t row = 0; row < k.samples && at < p->samples; row++) {
            size_t n = strlen(k.key[row]);
            p->longest_key = n > p->longest_key ? n : p->longest_key;
            p->shard_of[at++] = i;
        }
        tsr_keys_clear(&k);
    }
    return TSR_OK;
}

static tsr_status collect_offsets(tsr_corpus *c, const tsr_modality *m, plan *p, uint64_t **out)
{
    uint64_t *o, at = 0;
    size_t rows;
    TSR_TRY(tsr_mul_size(p->samples, m->crops, &rows));
    TSR_TRY(tsr_alloc(&o, rows + 1, sizeof *o));
    *out = o;
    for (uint32_t i = 0; i < p->m->n_shards; i++) {
        const tsr_shard *s;
        TSR_TRY(tsr_corpus_get_shard(c, m->space.modality, i, &s));
        for (uint64_t row = 0; row < p->m->shards[i].samples; row++)
            for (uint32_t crop = 0; crop < m->crops; crop++, at++)
                o[at + 1] = o[at] + (s ? tsr_shard_count(s, row, crop) : 0);
        tsr_corpus_put_shard(c, s);
    }
    return TSR_OK;
}

static tsr_status collect(tsr_corpus *c, plan *p)
{
    p->samples = tsr_corpus_samples(c);
    TSR_TRY(collect_keys(tsr_corpus_path(c), p));
    TSR_TRY(tsr_alloc(&p->offsets, p->m->n_modalities, sizeof *p->offsets));
    for (size_t i = 0; i < p->m->n_modalities; i++)
        if (p->m->modalities[i].space.layout == TSR_LAYOUT_SEQUENCE)
            TSR_TRY(collect_offsets(c, &p->m->modalities[i], p, &p->offsets[i]));
    return TSR_OK;
}

/* --- virtual datasets --- */

/* One virtual dataset: where its pieces come from. */
typedef struct piece_list {
    const char *modality; /* or TSR_KEYS_NAME */
    const char *dataset;  /* in the shard files */
    hid_t type;
    int ndim;
    uint64_t dims[TSR_H5_DIMS]; /* of the whole; pieces differ in the first only */
    const uint64_t *lengths;    /* [n_shards]: first dimension of each piece; 0: no piece */
} piece_list;

static tsr_status map_piece(hid_t layout, hid_t whole, const piece_list *v, uint32_t shard,
                            uint64_t first, const char *path)
{
    hsize_t from[TSR_H5_DIMS] = {first}, size[TSR_H5_DIMS];
    char *file;
    for (int i = 0; i < v->ndim; i++)
        size[i] = v->dims[i];
    size[0] = v->lengths[shard];
    TSR_TRY(tsr_shard_name(v->modality, shard, &file));
    hid_t piece = H5Screate_simple(v->ndim, size, NULL);
    int bad = piece < 0 || H5Sselect_hyperslab(whole, H5S_SELECT_SET, from, NULL, size, NULL) < 0 ||
              H5Pset_virtual(layout, whole, file, v->dataset, piece) < 0;
    tsr_free(file);
    if (piece >= 0)
        H5Sclose(piece);
    return bad ? tsr_h5_fail(TSR_EIO, path, "a virtual dataset could not be described") : TSR_OK;
}

/* *set stays open when asked for. */
static tsr_status put_virtual(hid_t file, const char *name, const piece_list *v, const plan *p,
                              hid_t *set)
{
    hsize_t size[TSR_H5_DIMS];
    hid_t layout = -1, made = -1;
    tsr_status st = TSR_OK;
    for (int i = 0; i < v->ndim; i++)
        size[i] = v->dims[i];
    hid_t whole = H5Screate_simple(v->ndim, size, NULL);
    if (whole < 0)
        return tsr_h5_fail(TSR_EIO, p->path, "a dataspace could not be made");
    TSR_GO(tsr_h5_plan(p->path, &layout));
    uint64_t first = 0;
    for (uint32_t i = 0; i < p->m->n_shards; first += v->lengths[i++])
        if (v->lengths[i])
            TSR_GO(map_piece(layout, whole, v, i, first, p->path));
    H5Sselect_all(whole);
    made = H5Dcreate2(file, name, v->type, whole, H5P_DEFAULT, layout, H5P_DEFAULT);
    if (made < 0)
        st = tsr_h5_fail(TSR_EIO, p->path, "a virtual dataset could not be made");
    else if (set)
        *set = made;
    else
        H5Dclose(made);
out:
    H5Sclose(whole);
    if (layout >= 0)
        H5Pclose(layout);
    return st;
}

/* Lengths of the pieces of one modality: rows (`rows` of each sample), or ids. A shard that has not
 * been tokenized leaves a gap of its rows, which read as 0. */
static tsr_status put_rows(hid_t file, const char *name, piece_list *v, const plan *p, hid_t *set)
{
    uint64_t *lengths;
    TSR_TRY(tsr_alloc(&lengths, p->m->n_shards, sizeof *lengths));
    for (size_t i = 0; i < p->m->n_shards; i++)
        lengths[i] = p->m->shards[i].samples;
    v->lengths = lengths;
    tsr_status st = put_virtual(file, name, v, p, set);
    tsr_free(lengths);
    return st;
}

static tsr_status put_keys(hid_t file, const plan *p)
{
    hid_t text = H5Tcopy(H5T_C_S1);
    if (text < 0 || H5Tset_size(text, p->longest_key) < 0 ||
        H5Tset_strpad(text, H5T_STR_NULLPAD) < 0 || H5Tset_cset(text, H5T_CSET_UTF8) < 0)
        return tsr_h5_fail(TSR_ENOMEM, p->path, "a text type could not be made");
    piece_list keys = {TSR_KEYS_NAME, "/keys", text, 1, {p->samples}, NULL};
    piece_list sizes = {TSR_KEYS_NAME, "/sizes", H5T_STD_U32LE, 2, {p->samples, 2}, NULL};
    piece_list crops = {
        TSR_KEYS_NAME, "/crops", H5T_STD_I32LE, 3, {p->samples, p->m->crops.count, 5}, NULL};
    tsr_status st = put_rows(file, "keys", &keys, p, NULL);
    H5Tclose(text);
    TSR_TRY(st);
    TSR_TRY(put_rows(file, "sizes", &sizes, p, NULL));
    TSR_TRY(put_rows(file, "crops", &crops, p, NULL));
    return tsr_h5_put(file, "shard", H5T_STD_U32LE, 1, &p->samples, p->shard_of, p->path, NULL);
}

static tsr_status put_sequence(hid_t file, const char *name, const tsr_modality *m,
                               const uint64_t *offsets, const plan *p, hid_t *set)
{
    char where[TSR_NAME_CHARS + 16];
    uint64_t rows = p->samples * m->crops + 1, *lengths;
    piece_list v = {m->space.modality, "/tokens", tsr_h5_token_type(&m->space), 1,
                    {offsets[rows - 1]}, NULL};
    TSR_TRY(tsr_alloc(&lengths, p->m->n_shards, sizeof *lengths));
    uint64_t at = 0;
    for (size_t i = 0; i < p->m->n_shards; i++) {
        uint64_t end = at + p->m->shards[i].samples * m->crops;
        lengths[i] = offsets[end] - offsets[at];
        at = end;
    }
    v.lengths = lengths;
    tsr_status st = put_virtual(file, name, &v, p, set);
    tsr_free(lengths);
    TSR_TRY(st);
    snprintf(where, sizeof where, "%s/offsets", m->space.modality);
    return tsr_h5_put(file, where, H5T_STD_U64LE, 1, &rows, offsets, p->path, NULL);
}

static tsr_status put_grid(hid_t file, const char *name, const tsr_modality *m, const plan *p,
                           hid_t *set)
{
    tsr_shard_info whole = {.space = m->space, .samples = p->samples, .crops = m->crops};
    piece_list v = {m->space.modality, "/tokens", tsr_h5_token_type(&m->space), 0, {0}, NULL};
    v.ndim = tsr_grid_shape(&whole, v.dims);
    return put_rows(file, name, &v, p, set);
}

static tsr_status put_modality(hid_t file, size_t i, const plan *p)
{
    const tsr_modality *m = &p->m->modalities[i];
    char name[TSR_NAME_CHARS + 16];
    hid_t set = -1;
    piece_list present = {m->space.modality, "/present", H5T_STD_U8LE, 1, {p->samples}, NULL};
    TSR_TRY(tsr_h5_group(file, m->space.modality, p->path));
    snprintf(name, sizeof name, "%s/present", m->space.modality);
    TSR_TRY(put_rows(file, name, &present, p, NULL));
    snprintf(name, sizeof name, "%s/tokens", m->space.modality);
    TSR_TRY(p->offsets[i] ? put_sequence(file, name, m, p->offsets[i], p, &set)
                          : put_grid(file, name, m, p, &set));
    tsr_status st = tsr_h5_put_space(set, &m->space, p->path);
    if (st == TSR_OK)
        st = tsr_h5_put_u32(set, "crops", m->crops, p->path);
    H5Dclose(set);
    return st;
}

static tsr_status put_links(hid_t file, const plan *p)
{
    char group[32], place[TSR_NAME_CHARS + 40];
    TSR_TRY(tsr_h5_group(file, "shards", p->path));
    for (size_t i = 0; i < p->m->n_shards; i++) {
        const tsr_shard_entry *s = &p->m->shards[i];
        snprintf(group, sizeof group, "shards/%05u", s->shard);
        TSR_TRY(tsr_h5_group(file, group, p->path));
        for (size_t j = 0; j < s->n_files; j++) {
            char *target;
            TSR_TRY(tsr_shard_name(s->files[j].modality, s->shard, &target));
            snprintf(place, sizeof place, "%s/%s", group, s->files[j].modality);
            herr_t made = H5Lcreate_external(target, "/", file, place, H5P_DEFAULT, H5P_DEFAULT);
            tsr_free(target);
            if (made < 0)
                return tsr_h5_fail(TSR_EIO, p->path, "an external link could not be made");
        }
    }
    return TSR_OK;
}

static tsr_status put_all(const plan *p)
{
    hid_t file;
    TSR_TRY(tsr_h5_create(p->path, 1, &file));
    tsr_status st = tsr_h5_put_text(file, "format", "tessera-corpus", p->path);
    if (st == TSR_OK)
        st = tsr_h5_put_u32(file, "format_version", TSR_SHARD_VERSION, p->path);
    if (st == TSR_OK)
        st = tsr_h5_put_text(file, "manifest", p->manifest, p->path);
    if (st == TSR_OK)
        st = put_keys(file, p);
    for (size_t i = 0; st == TSR_OK && i < p->m->n_modalities; i++)
        st = put_modality(file, i, p);
    if (st == TSR_OK)
        st = put_links(file, p);
    if (st != TSR_OK) {
        H5Fclose(file);
        return st;
    }
    return tsr_h5_close(file, p->path);
}

/* 1 when the file was made from the manifest of this digest. One that cannot be read was not. */
static int made_from(const char *path, const char *manifest)
{
    char text[TSR_DIGEST_CHARS] = "";
    hid_t file;
    tsr_h5_enter();
    tsr_status st = tsr_h5_open(path, &file);
    if (st == TSR_OK) {
        st = tsr_h5_get_text(file, "manifest", path, text, sizeof text);
        H5Fclose(file);
    }
    tsr_h5_leave();
    return st == TSR_OK && strcmp(text, manifest) == 0;
}

static tsr_status hash_manifest(const char *folder, plan *p)
{
    char *path;
    tsr_digest d;
    TSR_TRY(tsr_path_join(&path, folder, "manifest.json"));
    tsr_status st = tsr_hash_file(path, &d);
    tsr_free(path);
    TSR_TRY(st);
    tsr_digest_text(d, p->manifest);
    return TSR_OK;
}

tsr_status tsr_corpus_link(const char *path)
{
    tsr_corpus *c;
    plan p = {0};
    char *target = NULL, *temp = NULL;
    TSR_TRY(tsr_corpus_open(path, &c));
    tsr_status st = TSR_OK;
    p.m = tsr_corpus_manifest(c);
    TSR_GO(tsr_path_join(&target, path, "corpus.h5"));
    TSR_GO(tsr_file_temp_name(target, &temp));
    p.path = temp;
    TSR_GO(hash_manifest(path, &p));
    if (tsr_corpus_samples(c) == 0 || made_from(target, p.manifest))
        goto out;
    TSR_GO(collect(c, &p));
    tsr_h5_enter();
    st = put_all(&p);
    tsr_h5_leave();
    if (st == TSR_OK)
        st = tsr_file_publish(temp, target);
    if (st != TSR_OK)
        unlink(temp);
out:
    clear_plan(&p);
    tsr_corpus_close(c);
    tsr_free(target);
    tsr_free(temp);
    return st;
}

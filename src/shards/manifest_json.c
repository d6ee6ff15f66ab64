/* SPDX-License-Identifier: Apache-2.0
 * The manifest as JSON, both ways. What is read is checked: it may come from a stranger. */
#include "shards/manifest.h"

#include "base/file.h"
#include "base/mem.h"
#include "shards/layout.h"

#include <stdio.h>
#include <string.h>

#include "config.h"

#define FORMAT         "tessera-corpus"
#define CORPUS_VERSION 1
#define MAX_BYTES      ((size_t)1 << 30)

/* --- writing --- */

static tsr_status set_digest(json_t *o, const char *key, tsr_digest d)
{
    char text[TSR_DIGEST_CHARS];
    tsr_digest_text(d, text);
    return tsr_json_set(o, key, json_string(text));
}

static tsr_status set_number(json_t *o, const char *key, uint64_t v)
{
    return tsr_json_set(o, key, json_integer((json_int_t)v));
}

static tsr_status crops_to_json(const tsr_crop_rule *c, json_t *root)
{
    json_t *o = json_object();
    TSR_TRY(tsr_json_set(root, "crops", o));
    TSR_TRY(set_number(o, "count", c->count));
    TSR_TRY(tsr_json_set(o, "min_scale", json_real(c->min_scale)));
    TSR_TRY(tsr_json_set(o, "flips", json_boolean(c->flips)));
    TSR_TRY(set_number(o, "seed", c->seed));
    TSR_TRY(tsr_json_set(o, "reference", json_string(c->reference)));
    return c->from[0] ? tsr_json_set(o, "from", json_string(c->from)) : TSR_OK;
}

static tsr_status ranges_to_json(const tsr_manifest *m, json_t *root)
{
    json_t *o = json_object(), *list = json_array();
    TSR_TRY(tsr_json_set(root, "vocabulary", o));
    TSR_TRY(set_number(o, "size", tsr_manifest_vocabulary(m)));
    TSR_TRY(tsr_json_set(o, "ranges", list));
    for (size_t i = 0; i < m->n_ranges; i++) {
        json_t *r = json_object();
        TSR_TRY(tsr_json_append(list, r));
        TSR_TRY(tsr_json_set(r, "name", json_string(m->ranges[i].name)));
        TSR_TRY(set_number(r, "base", m->ranges[i].base));
        TSR_TRY(set_number(r, "size", m->ranges[i].size));
    }
    return TSR_OK;
}

static tsr_status modality_to_json(const tsr_modality *m, json_t *all)
{
    const tsr_token_space *s = &m->space;
    json_t *o = json_object();
    TSR_TRY(tsr_json_set(all, s->modality, o));
    TSR_TRY(tsr_json_set(o, "layout", json_string(tsr_layout_name(s->layout))));
    TSR_TRY(
        tsr_json_set(o, "grid", json_pack("[I,I]", (json_int_t)s->height, (json_int_t)s->width)));
    TSR_TRY(set_number(o, "levels", s->levels));
    if (s->layout == TSR_LAYOUT_PATCHES)
        TSR_TRY(set_number(o, "patch_size", tsr_space_patch(s)));
    TSR_TRY(set_number(o, "crops", m->crops));
    TSR_TRY(set_number(o, "codebook_size", s->codebook_size));
    TSR_TRY(tsr_json_set(o, "vocabulary", json_string(s->vocabulary)));
    TSR_TRY(set_digest(o, "tokenizer", s->tokenizer));
    return m->description ? tsr_json_set(o, "description", json_incref(m->description)) : TSR_OK;
}

static tsr_status file_to_json(const tsr_file_entry *f, uint32_t shard, json_t *files)
{
    json_t *o = json_object();
    char *name;
    TSR_TRY(tsr_json_set(files, f->modality, o));
    TSR_TRY(tsr_shard_name(f->modality, shard, &name));
    tsr_status st = tsr_json_set(o, "file", json_string(name));
    tsr_free(name);
    TSR_TRY(st);
    TSR_TRY(set_number(o, "bytes", f->stats.bytes));
    TSR_TRY(set_digest(o, "digest", f->stats.digest));
    if (strcmp(f->modality, TSR_KEYS_NAME) == 0)
        return TSR_OK;
    TSR_TRY(set_digest(o, "tokenizer", f->tokenizer));
    TSR_TRY(set_digest(o, "inputs", f->inputs));
    TSR_TRY(set_number(o, "present", f->stats.present));
    TSR_TRY(set_number(o, "missing", f->stats.missing));
    TSR_TRY(set_number(o, "failed", f->stats.failed));
    TSR_TRY(set_number(o, "tokens", f->stats.tokens));
    return f->failures ? tsr_json_set(o, "failures", json_incref(f->failures)) : TSR_OK;
}

static tsr_status shard_to_json(const tsr_shard_entry *s, json_t *list)
{
    json_t *o = json_object(), *files = json_object();
    TSR_TRY(tsr_json_append(list, o));
    TSR_TRY(set_number(o, "shard", s->shard));
    TSR_TRY(tsr_json_set(o, "split", json_string(s->split)));
    TSR_TRY(tsr_json_set(o, "source", json_string(s->source)));
    TSR_TRY(set_number(o, "samples", s->samples));
    TSR_TRY(set_digest(o, "keys_digest", s->keys));
    TSR_TRY(tsr_json_set(o, "files", files));
    for (size_t i = 0; i < s->n_files; i++)
        TSR_TRY(file_to_json(&s->files[i], s->shard, files));
    return TSR_OK;
}

tsr_status tsr_manifest_to_json(const tsr_manifest *m, json_t **out)
{
    json_t *root = json_object(), *modalities = json_object(), *shards = json_array();
    tsr_status st = TSR_OK;
    TSR_GO(tsr_json_set(root, "format", json_string(FORMAT)));
    TSR_GO(set_number(root, "format_version", CORPUS_VERSION));
    TSR_GO(set_digest(root, "corpus", m->corpus));
    TSR_GO(tsr_json_set(root, "created_by", json_string("tessera " PACKAGE_VERSION)));
    TSR_GO(set_number(root, "shard_samples", m->shard_samples));
    TSR_GO(crops_to_json(&m->crops, root));
    TSR_GO(ranges_to_json(m, root));
    TSR_GO(tsr_json_set(root, "modalities", json_incref(modalities)));
    for (size_t i = 0; i < m->n_modalities; i++)
        TSR_GO(modality_to_json(&m->modalities[i], modalities));
    TSR_GO(tsr_json_set(root, "shards", json_incref(shards)));
    for (size_t i = 0; i < m->n_shards; i++)
        TSR_GO(shard_to_json(&m->shards[i], shards));
    *out = json_incref(root);
out:
    json_decref(root);
    json_decref(modalities);
    json_decref(shards);
    return st;
}

tsr_status tsr_manifest_write(const tsr_manifest *m, const char *folder)
{
    json_t *root = NULL;
    char *path = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_path_join(&path, folder, "manifest.json"));
    TSR_GO(tsr_manifest_to_json(m, &root));
    TSR_GO(tsr_json_write(path, root, 1));
out:
    json_decref(root);
    tsr_free(path);
    return st;
}

/* --- reading --- */

static tsr_status get_u64(const json_t *o, const char *key, const char *origin, uint64_t *out)
{
    long long v;
    TSR_TRY(tsr_json_int(o, key, origin, &v));
    if (v < 0)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is negative", origin, key);
    *out = (uint64_t)v;
    return TSR_OK;
}

static tsr_status get_u32(const json_t *o, const char *key, const char *origin, uint32_t *out)
{
    uint64_t v;
    TSR_TRY(get_u64(o, key, origin, &v));
    if (v > UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is %llu, beyond 32 bits", origin, key,
                 (unsigned long long)v);
    *out = (uint32_t)v;
    return TSR_OK;
}

static tsr_status get_digest(const json_t *o, const char *key, const char *origin, tsr_digest *out)
{
    const char *text;
    TSR_TRY(tsr_json_string(o, key, origin, &text));
    tsr_status st = tsr_digest_parse(text, out);
    return st == TSR_OK ? st : tsr_context(st, "%s: \"%s\"", origin, key);
}

static tsr_status get_name(const json_t *o, const char *key, const char *origin,
                           char out[TSR_NAME_CHARS])
{
    const char *text;
    TSR_TRY(tsr_json_string(o, key, origin, &text));
    if (strlen(text) >= TSR_NAME_CHARS)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is longer than %d bytes", origin, key,
                 TSR_NAME_CHARS - 1);
    snprintf(out, TSR_NAME_CHARS, "%s", text);
    return TSR_OK;
}

static tsr_status crops_from_json(const json_t *root, const char *origin, tsr_crop_rule *c)
{
    const json_t *o;
    TSR_TRY(tsr_json_member(root, "crops", origin, JSON_OBJECT, &o));
    TSR_TRY(get_u32(o, "count", origin, &c->count));
    TSR_TRY(tsr_json_number(o, "min_scale", origin, &c->min_scale));
    c->flips = json_is_true(json_object_get(o, "flips"));
    TSR_TRY(get_u64(o, "seed", origin, &c->seed));
    TSR_TRY(get_name(o, "reference", origin, c->reference));
    if (json_object_get(o, "from"))
        TSR_TRY(get_name(o, "from", origin, c->from));
    if (c->count < 1 || c->count > TSR_SHARD_MAX_CROPS)
        TSR_FAIL(TSR_EFORMAT, "%s: %u crops; 1 to %u are allowed", origin, c->count,
                 TSR_SHARD_MAX_CROPS);
    return TSR_OK;
}

static tsr_status ranges_from_json(const json_t *root, const char *origin, tsr_manifest *m)
{
    const json_t *o, *list;
    json_t *item;
    size_t i;
    TSR_TRY(tsr_json_member(root, "vocabulary", origin, JSON_OBJECT, &o));
    TSR_TRY(tsr_json_member(o, "ranges", origin, JSON_ARRAY, &list));
    json_array_foreach((json_t *)list, i, item)
    {
        tsr_range r = {0};
        TSR_TRY(get_name(item, "name", origin, r.name));
        TSR_TRY(get_u32(item, "base", origin, &r.base));
        TSR_TRY(get_u32(item, "size", origin, &r.size));
        if (r.base > UINT32_MAX - r.size)
            TSR_FAIL(TSR_EFORMAT, "%s: range \"%s\" does not fit in 32 bits", origin, r.name);
        for (size_t j = 0; j < m->n_ranges; j++) {
            const tsr_range *q = &m->ranges[j];
            if (strcmp(q->name, r.name) == 0 ||
                (r.base < q->base + q->size && q->base < r.base + r.size))
                TSR_FAIL(TSR_EFORMAT, "%s: ranges \"%s\" and \"%s\" overlap", origin, q->name,
                         r.name);
        }
        TSR_TRY(tsr_room(&m->ranges, m->n_ranges, &m->cap_ranges, sizeof *m->ranges));
        m->ranges[m->n_ranges++] = r;
    }
    return TSR_OK;
}

/* Base and size of the modality's range; patches have none. */
static tsr_status place(const tsr_manifest *m, tsr_token_space *s, const char *origin)
{
    if (!tsr_space_has_codes(s))
        return TSR_OK;
    for (size_t i = 0; i < m->n_ranges; i++) {
        if (strcmp(m->ranges[i].name, s->vocabulary) != 0)
            continue;
        s->base = m->ranges[i].base;
        if (m->ranges[i].size != s->codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: modality %s has %u codes, its range \"%s\" has %u", origin,
                     s->modality, s->codebook_size, s->vocabulary, m->ranges[i].size);
        return TSR_OK;
    }
    TSR_FAIL(TSR_EFORMAT, "%s: modality %s belongs to range \"%s\", which is not listed", origin,
             s->modality, s->vocabulary);
}

/* The member that repeats what levels say has to agree with them. */
static tsr_status get_patch_size(const json_t *o, const tsr_token_space *s, const char *origin)
{
    uint32_t patch;
    TSR_TRY(get_u32(o, "patch_size", origin, &patch));
    if (patch != tsr_space_patch(s))
        TSR_FAIL(TSR_EFORMAT, "%s: modality %s: \"patch_size\" %u does not fit %u levels", origin,
                 s->modality, patch, s->levels);
    return TSR_OK;
}

static tsr_status modality_from_json(const char *name, const json_t *o, const char *origin,
                                     tsr_manifest *m)
{
    tsr_modality fresh = {0};
    tsr_token_space *s = &fresh.space;
    const char *layout;
    const json_t *grid;
    snprintf(s->modality, sizeof s->modality, "%.63s", name);
    TSR_TRY(tsr_json_string(o, "layout", origin, &layout));
    TSR_TRY(tsr_layout_parse(layout, origin, &s->layout));
    TSR_TRY(tsr_json_member(o, "grid", origin, JSON_ARRAY, &grid));
    json_int_t h = json_integer_value(json_array_get(grid, 0));
    json_int_t w = json_integer_value(json_array_get(grid, 1));
    if (h < 1 || w < 1 || h > UINT32_MAX || w > UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: modality %s: \"grid\" should be two positive integers", origin,
                 name);
    s->height = (uint32_t)h;
    s->width = (uint32_t)w;
    TSR_TRY(get_u32(o, "levels", origin, &s->levels));
    TSR_TRY(get_u32(o, "crops", origin, &fresh.crops));
    TSR_TRY(get_u32(o, "codebook_size", origin, &s->codebook_size));
    TSR_TRY(get_name(o, "vocabulary", origin, s->vocabulary));
    TSR_TRY(get_digest(o, "tokenizer", origin, &s->tokenizer));
    if (s->layout == TSR_LAYOUT_PATCHES)
        TSR_TRY(get_patch_size(o, s, origin));
    TSR_TRY(place(m, s, origin));
    tsr_shard_info probe = {.space = *s, .samples = 1, .crops = fresh.crops};
    TSR_TRY(tsr_shard_info_check(&probe, origin));
    TSR_TRY(tsr_room(&m->modalities, m->n_modalities, &m->cap_modalities, sizeof *m->modalities));
    fresh.description = json_incref(json_object_get(o, "description"));
    m->modalities[m->n_modalities++] = fresh;
    return TSR_OK;
}

static tsr_status file_from_json(const char *name, const json_t *o, const char *origin,
                                 tsr_shard_entry *s)
{
    tsr_file_entry f = {0};
    const char *file;
    char *expected;
    snprintf(f.modality, sizeof f.modality, "%.63s", name);
    TSR_TRY(tsr_json_string(o, "file", origin, &file));
    TSR_TRY(tsr_shard_name(name, s->shard, &expected));
    int same = strcmp(file, expected) == 0;
    tsr_free(expected);
    if (!same)
        TSR_FAIL(TSR_EFORMAT, "%s: shard %u keeps %s in \"%s\", which is not its name", origin,
                 s->shard, name, file);
    TSR_TRY(get_u64(o, "bytes", origin, &f.stats.bytes));
    TSR_TRY(get_digest(o, "digest", origin, &f.stats.digest));
    if (strcmp(name, TSR_KEYS_NAME) != 0) {
        TSR_TRY(get_digest(o, "tokenizer", origin, &f.tokenizer));
        TSR_TRY(get_digest(o, "inputs", origin, &f.inputs));
        TSR_TRY(get_u64(o, "present", origin, &f.stats.present));
        TSR_TRY(get_u64(o, "missing", origin, &f.stats.missing));
        TSR_TRY(get_u64(o, "failed", origin, &f.stats.failed));
        TSR_TRY(get_u64(o, "tokens", origin, &f.stats.tokens));
    }
    TSR_TRY(tsr_room(&s->files, s->n_files, &s->cap_files, sizeof *s->files));
    f.failures = json_incref(json_object_get(o, "failures"));
    s->files[s->n_files++] = f;
    return TSR_OK;
}

static tsr_status shard_from_json(const json_t *o, const char *origin, tsr_manifest *m)
{
    const json_t *files;
    const char *name;
    json_t *file;
    TSR_TRY(tsr_room(&m->shards, m->n_shards, &m->cap_shards, sizeof *m->shards));
    tsr_shard_entry *s = &m->shards[m->n_shards];
    TSR_TRY(get_u32(o, "shard", origin, &s->shard));
    if (s->shard != m->n_shards)
        TSR_FAIL(TSR_EFORMAT, "%s: shard %u is listed where %zu comes next", origin, s->shard,
                 m->n_shards);
    TSR_TRY(get_name(o, "split", origin, s->split));
    TSR_TRY(get_name(o, "source", origin, s->source));
    TSR_TRY(get_u64(o, "samples", origin, &s->samples));
    if (s->samples < 1 || s->samples > TSR_SHARD_MAX_ROWS)
        TSR_FAIL(TSR_EFORMAT, "%s: shard %u has %llu samples; 1 to %u are allowed", origin,
                 s->shard, (unsigned long long)s->samples, TSR_SHARD_MAX_ROWS);
    TSR_TRY(get_digest(o, "keys_digest", origin, &s->keys));
    TSR_TRY(tsr_json_member(o, "files", origin, JSON_OBJECT, &files));
    m->n_shards++;
    json_object_foreach((json_t *)files, name, file) TSR_TRY(file_from_json(name, file, origin, s));
    if (!tsr_manifest_file(s, TSR_KEYS_NAME))
        TSR_FAIL(TSR_EFORMAT, "%s: shard %u has no keys file", origin, s->shard);
    for (size_t i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i].modality, TSR_KEYS_NAME) != 0 &&
            !tsr_manifest_modality(m, s->files[i].modality))
            TSR_FAIL(TSR_EFORMAT, "%s: shard %u has a file of modality %s, which is not listed",
                     origin, s->shard, s->files[i].modality);
    return TSR_OK;
}

static tsr_status check_format(const json_t *root, const char *origin)
{
    const char *format;
    long long version;
    TSR_TRY(tsr_json_string(root, "format", origin, &format));
    if (strcmp(format, FORMAT) != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: has format \"%.60s\", expected \"%s\"", origin, format, FORMAT);
    TSR_TRY(tsr_json_int(root, "format_version", origin, &version));
    if (version < 1 || version > CORPUS_VERSION)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: has format version %lld, this program reads up to %d",
                 origin, version, CORPUS_VERSION);
    return TSR_OK;
}

static tsr_status from_json(const json_t *root, const char *origin, tsr_manifest *m)
{
    const json_t *modalities, *shards;
    const char *name;
    json_t *item;
    size_t i;
    TSR_TRY(check_format(root, origin));
    TSR_TRY(get_digest(root, "corpus", origin, &m->corpus));
    TSR_TRY(get_u64(root, "shard_samples", origin, &m->shard_samples));
    TSR_TRY(crops_from_json(root, origin, &m->crops));
    TSR_TRY(ranges_from_json(root, origin, m));
    TSR_TRY(tsr_json_member(root, "modalities", origin, JSON_OBJECT, &modalities));
    json_object_foreach((json_t *)modalities, name, item)
        TSR_TRY(modality_from_json(name, item, origin, m));
    TSR_TRY(tsr_json_member(root, "shards", origin, JSON_ARRAY, &shards));
    json_array_foreach((json_t *)shards, i, item) TSR_TRY(shard_from_json(item, origin, m));
    return TSR_OK;
}

tsr_status tsr_manifest_from_json(const json_t *root, const char *origin, tsr_manifest *out)
{
    tsr_manifest m = {0};
    tsr_status st = from_json(root, origin, &m);
    if (st != TSR_OK) {
        tsr_manifest_clear(&m);
        return st;
    }
    *out = m;
    return TSR_OK;
}

tsr_status tsr_manifest_read(const char *folder, tsr_manifest *out)
{
    char *path;
    json_t *root = NULL;
    TSR_TRY(tsr_path_join(&path, folder, "manifest.json"));
    tsr_status st = TSR_OK;
    if (tsr_is_folder(folder) && !tsr_file_exists(path))
        TSR_GOFAIL(TSR_ENOENT, "%s: is no corpus: it has no manifest.json", folder);
    TSR_GO(tsr_json_read(path, MAX_BYTES, &root));
    TSR_GO(tsr_manifest_from_json(root, path, out));
out:
    json_decref(root);
    tsr_free(path);
    return st;
}

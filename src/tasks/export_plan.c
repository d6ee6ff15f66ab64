/* SPDX-License-Identifier: Apache-2.0
 * Which modalities and samples of a corpus are exported. */
#include "tasks/exportwork.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define CROPS "crop_settings"

/* --- modalities ------------------------------------------------------------------------------ */

static int asked_for(const tsr_export_spec *s, const char *name)
{
    for (size_t i = 0; i < s->n_modalities; i++)
        if (strcmp(s->modalities[i], name) == 0)
            return 1;
    return s->n_modalities == 0;
}

static tsr_status check_names(const tsr_export_work *w)
{
    const tsr_export_spec *s = w->spec;
    for (size_t i = 0; i < s->n_modalities; i++)
        if (!tsr_manifest_modality(w->manifest, s->modalities[i]))
            TSR_FAIL(TSR_EARG, "%s: has no modality \"%s\"", s->corpus, s->modalities[i]);
    for (size_t i = 0; i < s->names.count; i++)
        if (!tsr_manifest_modality(w->manifest, s->names.items[i].from))
            TSR_FAIL(TSR_EARG, "%s: has no modality \"%s\" to be renamed", s->corpus,
                     s->names.items[i].from);
    return TSR_OK;
}

/* The tokenizers of texts: those kept in the corpus, and those given. */
static tsr_status find_tools(tsr_export_work *w)
{
    for (size_t i = 0; i < w->manifest->n_modalities; i++) {
        const tsr_token_space *space = &w->manifest->modalities[i].space;
        char *path;
        if (space->layout != TSR_LAYOUT_SEQUENCE || !asked_for(w->spec, space->modality))
            continue;
        TSR_TRY(tsr_format(&path, "%s/tokenizers/%s.json", w->spec->corpus, space->modality));
        tsr_status st = TSR_OK;
        if (tsr_file_exists(path))
            st = tsr_toolbox_add(&w->tools, path, space->modality);
        tsr_free(path);
        TSR_TRY(st);
    }
    for (size_t i = 0; i < w->spec->n_tokenizers; i++)
        TSR_TRY(tsr_toolbox_add_for(&w->tools, w->spec->tokenizers[i], w->manifest));
    return TSR_OK;
}

/* Why 4M cannot read files of a modality, or NULL. */
static const char *obstacle(const tsr_token_space *space, const tsr_tool *tool)
{
    if (space->layout == TSR_LAYOUT_PATCHES)
        return "pixels: ml-4m reads them from the pictures";
    if (space->layout != TSR_LAYOUT_SEQUENCE)
        return NULL;
    if (!tool)
        return "its tokenizer, which turns its ids into text, was not found (--tokenizers)";
    static const char *const known[] = {"text", "boxes", "palette", "metadata"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(tsr_tokenizer_kind_name(tool->tokenizer), known[i]) == 0)
            return NULL;
    return "sequences of this kind do not go back into ml-4m's files";
}

static tsr_status add_mod(tsr_export_work *w, const tsr_modality *mod)
{
    const tsr_tool *tool = tsr_toolbox_find(&w->tools, &mod->space);
    const char *name = mod->space.modality, *why = obstacle(&mod->space, tool);
    tsr_export_mod *m = &w->mods[w->n_mods];
    if (why && w->spec->n_modalities)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: modality %s: %s", w->spec->corpus, name, why);
    if (why)
        return tsr_json_set(w->left_out, name, json_string(why));
    int text = mod->space.layout == TSR_LAYOUT_SEQUENCE;
    *m = (tsr_export_mod){.mod = mod,
                          .folder = tsr_renamed(&w->spec->names, name),
                          .tokenizer = text ? tool->tokenizer : NULL,
                          .bytes = mod->space.codebook_size > 32768 ? 4 : 2};
    for (size_t i = 0; i < w->n_mods; i++)
        if (strcmp(w->mods[i].folder, m->folder) == 0)
            TSR_FAIL(TSR_EARG, "--rename: two modalities would be called %s", m->folder);
    if (strcmp(m->folder, CROPS) == 0)
        TSR_FAIL(TSR_EARG, "--rename: %s is the name of the crops", CROPS);
    w->n_mods++;
    return TSR_OK;
}

static tsr_status choose_modalities(tsr_export_work *w)
{
    const tsr_manifest *m = w->manifest;
    TSR_TRY(check_names(w));
    TSR_TRY(find_tools(w));
    TSR_TRY(tsr_alloc(&w->mods, m->n_modalities, sizeof *w->mods));
    for (size_t i = 0; i < m->n_modalities; i++)
        if (asked_for(w->spec, m->modalities[i].space.modality))
            TSR_TRY(add_mod(w, &m->modalities[i]));
    if (!w->n_mods)
        TSR_FAIL(TSR_EARG, "%s: has no modality that 4M can read", w->spec->corpus);
    return TSR_OK;
}

/* --- samples --------------------------------------------------------------------------------- */

static tsr_status split_named(tsr_export_work *w, const char *name, tsr_export_split **out)
{
    size_t i = 0;
    while (i < w->n_splits && strcmp(w->splits[i].name, name) != 0)
        i++;
    if (i == w->n_splits) {
        TSR_TRY(tsr_grow(&w->splits, i, i + 1, sizeof *w->splits));
        w->splits[i] = (tsr_export_split){.name = name};
        w->n_splits++;
    }
    *out = &w->splits[i];
    return TSR_OK;
}

/* A split is a folder outside. */
static tsr_status check_split(const tsr_export_work *w, const char *name)
{
    int bad = name[0] == '/' || strcmp(name, ".") == 0 || strstr(name, "..") || strchr(name, '\\');
    for (const char *p = name; *p && !bad; p++)
        bad = (unsigned char)*p < ' ';
    if (bad)
        TSR_FAIL(TSR_EFORMAT, "%s: its split \"%s\" cannot be the name of a folder",
                 w->spec->corpus, name);
    return TSR_OK;
}

/* Samples of one shard: those that have everything, or anything. */
static tsr_status choose_samples(tsr_export_work *w, const tsr_shard_entry *e, uint64_t first)
{
    tsr_export_split *split;
    uint32_t *have;
    tsr_status st = TSR_OK;
    TSR_TRY(check_split(w, e->split));
    TSR_TRY(split_named(w, e->split, &split));
    TSR_TRY(tsr_alloc(&have, e->samples, sizeof *have));
    for (size_t m = 0; m < w->n_mods; m++) {
        const tsr_shard *shard;
        TSR_GO(tsr_corpus_get_shard(w->corpus, w->mods[m].mod->space.modality, e->shard, &shard));
        for (uint64_t i = 0; shard && i < e->samples; i++)
            have[i] += tsr_shard_present(shard, i) == TSR_REAL;
        if (shard)
            tsr_corpus_put_shard(w->corpus, shard);
    }
    for (uint64_t i = 0; i < e->samples; i++) {
        if (have[i] == w->n_mods || (w->spec->partial && have[i])) {
            TSR_GO(tsr_room(&split->samples, split->count, &split->cap, sizeof *split->samples));
            split->samples[split->count++] = first + i;
        } else {
            w->incomplete++;
        }
    }
out:
    tsr_free(have);
    return st;
}

static tsr_status choose_all(tsr_export_work *w)
{
    uint64_t first = 0;
    for (size_t i = 0; i < w->manifest->n_shards; i++) {
        TSR_TRY(tsr_job_check(w->spec->job));
        TSR_TRY(choose_samples(w, &w->manifest->shards[i], first));
        first += w->manifest->shards[i].samples;
    }
    for (size_t i = 0; i < w->n_splits; i++) {
        w->samples += w->splits[i].count;
        w->units += (w->splits[i].count + w->spec->unit - 1) / w->spec->unit;
    }
    return TSR_OK;
}

tsr_status tsr_export_open(const tsr_export_spec *spec, tsr_export_work *w)
{
    *w = (tsr_export_work){.spec = spec, .left_out = json_object(), .failures = json_array()};
    TSR_TRY(tsr_corpus_open(spec->corpus, &w->corpus));
    w->manifest = tsr_corpus_manifest(w->corpus);
    TSR_TRY(choose_modalities(w));
    return choose_all(w);
}

void tsr_export_close(tsr_export_work *w)
{
    for (size_t i = 0; i < w->n_splits; i++)
        tsr_free(w->splits[i].samples);
    tsr_free(w->splits);
    tsr_free(w->mods);
    tsr_toolbox_clear(&w->tools);
    tsr_corpus_close(w->corpus);
    json_decref(w->left_out);
    json_decref(w->failures);
}

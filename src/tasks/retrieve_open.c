/* SPDX-License-Identifier: Apache-2.0
 * What a search needs: the index, what its query is, corpus, model and tokenizers, all of which
 * must be those the index was made with. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "tasks/retrieve_work.h"

#include <string.h>

/* ---- the description --------------------------------------------------------------------------*/

static tsr_status read_size(const json_t *o, const char *key, const char *path, uint32_t *out)
{
    long long v;
    TSR_TRY(tsr_json_int(o, key, path, &v));
    if (v < 1 || v > UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is %lld", path, key, v);
    *out = (uint32_t)v;
    return TSR_OK;
}

static tsr_status read_space(const json_t *o, const char *path, tsr_token_space *s)
{
    const char *layout, *digest, *name;
    const json_t *grid;
    TSR_TRY(tsr_json_string(o, "modality", path, &name));
    TSR_TRY(tsr_json_string(o, "layout", path, &layout));
    TSR_TRY(tsr_json_string(o, "tokenizer", path, &digest));
    if (!tsr_modality_name_ok(name))
        TSR_FAIL(TSR_EFORMAT, "%s: \"modality\" is no name of one", path);
    *s = (tsr_token_space){.height = 1, .width = 1, .levels = 1};
    strcpy(s->modality, name);
    TSR_TRY(tsr_layout_parse(layout, path, &s->layout));
    TSR_TRY(tsr_digest_parse(digest, &s->tokenizer));
    TSR_TRY(read_size(o, "codebook_size", path, &s->codebook_size));
    if (s->layout == TSR_LAYOUT_SEQUENCE)
        return TSR_OK;
    TSR_TRY(read_size(o, "levels", path, &s->levels));
    TSR_TRY(tsr_json_member(o, "grid", path, JSON_ARRAY, &grid));
    json_int_t h = json_integer_value(json_array_get(grid, 0));
    json_int_t v = json_integer_value(json_array_get(grid, 1));
    if (h < 1 || v < 1 || h > UINT16_MAX || v > UINT16_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: \"grid\" should be two positive numbers", path);
    s->height = (uint32_t)h;
    s->width = (uint32_t)v;
    return TSR_OK;
}

static tsr_status read_about(tsr_retrieve_work *w)
{
    const json_t *about = tsr_index_about(w->index), *tokens;
    const char *path = tsr_index_path(w->index), *kind;
    uint32_t cells = 1;
    TSR_TRY(tsr_json_string(about, "modality", path, &w->modality));
    TSR_TRY(tsr_json_string(about, "vectors", path, &kind));
    TSR_TRY(tsr_vector_kind_parse(kind, path, &w->kind));
    if (w->kind == TSR_VECTORS_CODES)
        TSR_TRY(read_size(about, "cells", path, &cells));
    w->cells = cells;
    if (w->kind == TSR_VECTORS_FEATURES)
        return TSR_OK;
    TSR_TRY(tsr_json_member(about, "tokens", path, JSON_OBJECT, &tokens));
    return read_space(tokens, path, &w->space);
}

/* ---- the query --------------------------------------------------------------------------------*/

/* Names alone, and the one name there is, or NULL. */
static const char *only_name(const tsr_words *from)
{
    return from->count == 1 && !strchr(from->items[0], ',') && !strchr(from->items[0], '=')
               ? from->items[0]
               : NULL;
}

static tsr_status read_query(tsr_retrieve_work *w)
{
    const tsr_retrieval *s = w->spec;
    const char *first = s->from.count ? s->from.items[0] : NULL, *name = only_name(&s->from);
    size_t n = strlen(w->modality);
    if (!first)
        TSR_FAIL(TSR_EARG,
                 "say what to look for: --from MODALITY=FILE, MODALITY:=TEXT, row=KEY, or "
                 "names of modalities with --sample KEY or --evaluate N");
    w->way = TSR_QUERY_PREDICTED;
    for (size_t i = 0; i < s->from.count; i++) {
        int valued = strchr(s->from.items[i], '=') != NULL;
        if (s->evaluate && valued)
            TSR_FAIL(TSR_EARG, "--evaluate asks with the samples of the index: name modalities, "
                               "without \"=\"");
        if (!s->evaluate && !s->sample && !valued)
            TSR_FAIL(TSR_EARG, "--from %s: of which sample? Give --sample KEY, or %s=FILE",
                     s->from.items[i], s->from.items[i]);
    }
    if (s->from.count == 1 && strncmp(first, "row=", 4) == 0) {
        w->way = TSR_QUERY_ROW;
        w->row = first + 4;
    } else if (name && strcmp(name, w->modality) == 0) {
        w->way = TSR_QUERY_DIRECT;
    } else if (s->from.count == 1 && strncmp(first, w->modality, n) == 0 &&
               (first[n] == '=' || (first[n] == ':' && first[n + 1] == '='))) {
        w->way = TSR_QUERY_DIRECT;
        w->literal = first[n] == ':';
        w->value = first + n + 1 + w->literal;
    }
    if (w->way == TSR_QUERY_ROW && s->rerank)
        TSR_FAIL(TSR_EARG,
                 "--rerank needs conditions for the model, which row=KEY has not; name the "
                 "sample instead: --sample KEY --from MODALITY");
    return TSR_OK;
}

/* ---- corpus, model, tokenizers ----------------------------------------------------------------*/

static tsr_status take_path(const char *given, const json_t *object, const char *key, char **out)
{
    const char *kept = json_string_value(json_object_get(object, key));
    return given || kept ? tsr_strdup(out, given ? given : kept) : TSR_OK;
}

/* The corpus is the one whose samples the rows are. */
static tsr_status open_corpus(tsr_retrieve_work *w)
{
    const char *path = tsr_index_path(w->index);
    const json_t *kept;
    const char *id, *keys;
    tsr_digest want_id, want_keys, got;
    long long shards;
    if (!w->corpus_path)
        TSR_FAIL(TSR_EARG, "%s does not say where its corpus is: name it with --corpus", path);
    TSR_TRY(tsr_json_member(tsr_index_about(w->index), "corpus", path, JSON_OBJECT, &kept));
    TSR_TRY(tsr_json_string(kept, "id", path, &id));
    TSR_TRY(tsr_json_string(kept, "keys", path, &keys));
    TSR_TRY(tsr_json_int(kept, "shards", path, &shards));
    TSR_TRY(tsr_digest_parse(id, &want_id));
    TSR_TRY(tsr_digest_parse(keys, &want_keys));
    TSR_TRY(tsr_corpus_open(w->corpus_path, &w->corpus));
    if (!tsr_digest_equal(tsr_corpus_manifest(w->corpus)->corpus, want_id))
        TSR_FAIL(TSR_EMISMATCH, "%s is not the corpus that %s was made of (that had the id %s)",
                 w->corpus_path, path, id);
    TSR_TRY(tsr_index_corpus_digest(w->corpus, shards < 0 ? SIZE_MAX : (size_t)shards, &got));
    if (!tsr_digest_equal(got, want_keys))
        TSR_FAIL(TSR_EMISMATCH,
                 "%s has other samples than when %s was made of it; make the index again",
                 w->corpus_path, path);
    for (size_t i = 0; i < tsr_index_rows(w->index); i++)
        if (tsr_index_sample(w->index, i) >= tsr_corpus_samples(w->corpus))
            TSR_FAIL(TSR_EFORMAT, "%s: row %zu is of a sample that its corpus does not have", path,
                     i);
    return TSR_OK;
}

tsr_status tsr_retrieve_excuse(tsr_retrieve_work *w, tsr_status st)
{
    if (st == TSR_OK || st == TSR_ENOMEM)
        return st;
    tsr_job_warn(w->spec->job, "no pictures of the results: %s", tsr_error());
    tsr_corpus_close(w->corpus);
    w->corpus = NULL;
    return TSR_OK;
}

/* The model's tokens mean what those of the index mean. */
static tsr_status check_model(const tsr_retrieve_work *w)
{
    const tsr_gen_work *g = w->predictor.work;
    const tsr_mod *mod = &g->mods->items[w->predictor.m];
    tsr_digest ours = mod->tokenizer;
    char a[TSR_DIGEST_CHARS], b[TSR_DIGEST_CHARS];
    if (w->way == TSR_QUERY_DIRECT || w->kind == TSR_VECTORS_FEATURES)
        return TSR_OK;
    if (tsr_digest_equal(ours, (tsr_digest){0, 0}) && g->tool[w->predictor.m])
        ours = tsr_tokenizer_space(g->tool[w->predictor.m]->tokenizer)->tokenizer;
    tsr_digest_text(ours, a);
    tsr_digest_text(w->space.tokenizer, b);
    if (!tsr_digest_equal(ours, w->space.tokenizer))
        TSR_FAIL(TSR_EMISMATCH,
                 "%s predicts %s of tokenizer %s; the vectors of %s are made of those of %s",
                 w->model_path, w->modality, a, tsr_index_path(w->index), b);
    if (mod->vocabulary < w->space.codebook_size)
        TSR_FAIL(TSR_EMISMATCH, "%s knows %u codes of %s; %s has %u", w->model_path,
                 mod->vocabulary, w->modality, tsr_index_path(w->index), w->space.codebook_size);
    return TSR_OK;
}

static tsr_status open_predictor(tsr_retrieve_work *w)
{
    const tsr_retrieval *s = w->spec;
    const tsr_predictor_spec spec = {
        .model = w->model_path,
        .corpus = s->sample || s->evaluate || s->rerank ? w->corpus_path : NULL,
        .tokenizers = s->tokenizers,
        .from = s->from,
        .to = w->way == TSR_QUERY_DIRECT ? s->candidate : w->modality,
        .set = s->set,
        .variants = s->variants,
        .seed = s->seed,
        .batch = s->batch,
        .precision = s->precision,
        .job = s->job};
    if (!w->model_path)
        TSR_FAIL(TSR_EARG,
                 "%s holds no predictions of a model; name with --model the one that "
                 "predicts %s from the query",
                 tsr_index_path(w->index), w->modality);
    if (!spec.to)
        TSR_FAIL(TSR_EARG, "--candidate: name the modality that is scored given %s", w->modality);
    TSR_TRY(tsr_predictor_init(&w->predictor, &spec));
    return check_model(w);
}

static tsr_status look_in(tsr_retrieve_work *w, const char *folder, const char *below)
{
    char *path;
    TSR_TRY(tsr_path_join(&path, folder, below));
    tsr_status st = tsr_is_folder(path) ? tsr_toolbox_add(&w->tools, path, w->modality) : TSR_OK;
    tsr_free(path);
    return st == TSR_ENOMEM ? st : TSR_OK;
}

/* The tokenizer of the index's modality: it is known by its digest. */
static tsr_status find_tokenizer(tsr_retrieve_work *w)
{
    const tsr_words *named = &w->spec->tokenizers;
    for (size_t i = 0; i < named->count; i++)
        TSR_TRY(tsr_toolbox_add(&w->tools, named->items[i], w->modality));
    if (w->corpus_path)
        TSR_TRY(look_in(w, w->corpus_path, "tokenizers"));
    if (w->kind != TSR_VECTORS_FEATURES)
        w->tool = tsr_toolbox_find(&w->tools, &w->space);
    if (!w->tool && w->predictor.work && w->way == TSR_QUERY_PREDICTED)
        w->tool = w->predictor.work->tool[w->predictor.m];
    return TSR_OK;
}

static tsr_status open_maker(tsr_retrieve_work *w)
{
    const char *path = tsr_index_path(w->index);
    int features = w->kind == TSR_VECTORS_FEATURES;
    const tsr_vectors_spec spec = {
        .kind = features ? TSR_VECTORS_DECODED : w->kind,
        .space = features && w->tool ? tsr_tokenizer_space(w->tool->tokenizer) : &w->space,
        .tokenizer = w->tool ? w->tool->tokenizer : NULL,
        .cells = w->cells,
        .terms = tsr_index_terms(w->index),
        .weights = tsr_index_weights(w->index),
        .n_terms = tsr_index_width(w->index),
        .lanes = tsr_par_team()};
    if (spec.kind == TSR_VECTORS_COUNTS && !spec.terms)
        TSR_FAIL(TSR_EFORMAT, "%s: counts without terms", path);
    if (spec.kind != TSR_VECTORS_COUNTS && !w->tool)
        TSR_FAIL(TSR_ENOENT, "no tokenizer gives the vectors of %s; name it with --tokenizers",
                 path);
    TSR_TRY(tsr_vectors_create(&spec, &w->maker));
    if (tsr_vectors_width(w->maker) != tsr_index_width(w->index))
        TSR_FAIL(TSR_EMISMATCH, "%s has vectors of %zu numbers, those of the query have %zu", path,
                 tsr_index_width(w->index), tsr_vectors_width(w->maker));
    return TSR_OK;
}

tsr_status tsr_retrieve_open(tsr_retrieve_work *w)
{
    const tsr_retrieval *s = w->spec;
    const json_t *about;
    TSR_TRY(tsr_index_open(s->index, &w->index));
    about = tsr_index_about(w->index);
    TSR_TRY(read_about(w));
    TSR_TRY(read_query(w));
    TSR_TRY(take_path(s->corpus, json_object_get(about, "corpus"), "path", &w->corpus_path));
    TSR_TRY(take_path(s->model, json_object_get(about, "predicted"), "model", &w->model_path));
    if (s->sample || s->evaluate || s->rerank || s->sheet || s->corpus)
        TSR_TRY(open_corpus(w));
    else if (s->picture)
        TSR_TRY(tsr_retrieve_excuse(w, open_corpus(w)));
    if (w->way == TSR_QUERY_PREDICTED || s->rerank)
        TSR_TRY(open_predictor(w));
    TSR_TRY(find_tokenizer(w));
    int numbers = w->kind == TSR_VECTORS_FEATURES && w->way == TSR_QUERY_DIRECT;
    return w->way == TSR_QUERY_ROW || numbers ? TSR_OK : open_maker(w);
}

void tsr_retrieve_close(tsr_retrieve_work *w)
{
    tsr_vectors_destroy(w->maker);
    tsr_predictor_clear(&w->predictor);
    tsr_toolbox_clear(&w->tools);
    tsr_corpus_close(w->corpus);
    tsr_index_close(w->index);
    tsr_free(w->corpus_path);
    tsr_free(w->model_path);
}

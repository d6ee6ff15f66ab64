/* SPDX-License-Identifier: Apache-2.0
 * An index from beginning to end. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "tasks/index_work.h"

#include <stdlib.h>
#include <string.h>

/* ---- samples ----------------------------------------------------------------------------------*/

static tsr_status list_samples(tsr_index_work *w)
{
    const char *split = w->spec->split;
    uint64_t n = split ? tsr_corpus_split_count(w->corpus, split) : tsr_corpus_samples(w->corpus);
    if (n == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: no samples%s%s%s", w->spec->corpus, split ? " in split \"" : "",
                 split ? split : "", split ? "\"" : "");
    if (n > SIZE_MAX)
        TSR_FAIL(TSR_ELIMIT, "%s: too many samples", w->spec->corpus);
    w->rows = (size_t)n;
    TSR_TRY(tsr_alloc(&w->samples, w->rows, sizeof *w->samples));
    TSR_TRY(tsr_alloc(&w->keys, w->rows, sizeof *w->keys));
    for (size_t i = 0; i < w->rows; i++) {
        w->samples[i] = i;
        if (split)
            TSR_TRY(tsr_corpus_split_sample(w->corpus, split, i, &w->samples[i]));
        TSR_TRY(tsr_corpus_key(w->corpus, w->samples[i], &w->keys[i]));
    }
    return TSR_OK;
}

tsr_status tsr_index_corpus_digest(const tsr_corpus *c, size_t shards, tsr_digest *out)
{
    const tsr_manifest *m = tsr_corpus_manifest(c);
    tsr_hasher *h;
    if (shards > m->n_shards)
        TSR_FAIL(TSR_EMISMATCH, "%s: %zu shards, the index was made of %zu", tsr_corpus_path(c),
                 m->n_shards, shards);
    TSR_TRY(tsr_hasher_create(&h));
    for (size_t i = 0; i < shards; i++) {
        const uint64_t words[3] = {m->shards[i].keys.hi, m->shards[i].keys.lo,
                                   m->shards[i].samples};
        tsr_hasher_add(h, words, sizeof words);
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    return TSR_OK;
}

/* ---- what is asked ----------------------------------------------------------------------------*/

static tsr_status check_spec(const tsr_index_spec *s)
{
    if (s->features && (s->model || s->from.count))
        TSR_FAIL(TSR_EARG, "vectors are read (--features) or predicted (--model): which?");
    if (s->from.count && !s->model)
        TSR_FAIL(TSR_EARG, "--from: name the model that predicts %s from it with --model",
                 s->modality);
    if (s->model && !s->from.count)
        TSR_FAIL(TSR_EARG,
                 "--model: say which modalities of the corpus it predicts %s from with "
                 "--from",
                 s->modality);
    return TSR_OK;
}

static tsr_status open_predictor(tsr_index_work *w)
{
    const tsr_index_spec *s = w->spec;
    const tsr_predictor_spec spec = {.model = s->model,
                                     .corpus = s->corpus,
                                     .tokenizers = s->tokenizers,
                                     .from = s->from,
                                     .to = s->modality,
                                     .set = s->set,
                                     .variants = s->variants,
                                     .seed = s->seed,
                                     .batch = s->batch,
                                     .precision = s->precision,
                                     .job = s->job};
    TSR_TRY(tsr_predictor_init(&w->predictor, &spec));
    w->space = w->predictor.work->spaces[w->predictor.m];
    return TSR_OK;
}

static tsr_status open_stored(tsr_index_work *w)
{
    const tsr_index_spec *s = w->spec;
    const tsr_manifest *manifest = tsr_corpus_manifest(w->corpus);
    const tsr_modality *there = tsr_manifest_modality(manifest, s->modality);
    char *folder;
    if (!there)
        TSR_FAIL(TSR_ECONFIG,
                 "%s has no modality %s; predict it with --model and --from, or read --features",
                 s->corpus, s->modality);
    w->space = there->space;
    for (size_t i = 0; i < s->tokenizers.count; i++)
        TSR_TRY(tsr_toolbox_add_for(&w->tools, s->tokenizers.items[i], manifest));
    TSR_TRY(tsr_path_join(&folder, s->corpus, "tokenizers"));
    tsr_status st =
        tsr_is_folder(folder) ? tsr_toolbox_add_for(&w->tools, folder, manifest) : TSR_OK;
    tsr_free(folder);
    return st;
}

/* How tokens become vectors. */
static tsr_status open_maker(tsr_index_work *w)
{
    const tsr_tool *tool = w->spec->model ? w->predictor.work->tool[w->predictor.m]
                                          : tsr_toolbox_find(&w->tools, &w->space);
    tsr_tokenizer *t = tool ? tool->tokenizer : NULL;
    w->kind = tsr_vector_kind_of(&w->space, t);
    if (w->spec->vectors)
        TSR_TRY(tsr_vector_kind_parse(w->spec->vectors, "--vectors", &w->kind));
    if (w->kind == TSR_VECTORS_COUNTS)
        TSR_TRY(tsr_index_fit_terms(w));
    const tsr_vectors_spec spec = {.kind = w->kind,
                                   .space = &w->space,
                                   .tokenizer = t,
                                   .cells = w->spec->cells,
                                   .terms = w->terms,
                                   .weights = w->weights,
                                   .n_terms = w->n_terms,
                                   .lanes = tsr_par_team()};
    TSR_TRY(tsr_vectors_create(&spec, &w->maker));
    w->width = tsr_vectors_width(w->maker);
    return TSR_OK;
}

/* ---- rows that are there ----------------------------------------------------------------------*/

static tsr_status compact(tsr_index_work *w)
{
    size_t have = 0, width = w->width;
    for (size_t i = 0; i < w->rows; i++) {
        if (!w->present[i])
            continue;
        if (have < i) {
            char *key = w->keys[have];
            w->keys[have] = w->keys[i];
            w->keys[i] = key; /* released with the others */
            w->samples[have] = w->samples[i];
            memcpy(w->vectors + have * width, w->vectors + i * width, width * sizeof(float));
        }
        have++;
    }
    w->left_out = w->rows - have;
    if (have == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: none of %zu samples has what a vector of %s is made of",
                 w->spec->corpus, w->rows, w->spec->modality);
    return TSR_OK;
}

static void centre_value(void *ctx, size_t i, int lane)
{
    tsr_index_work *w = ctx;
    size_t rows = w->rows - w->left_out;
    double sum = 0.0;
    (void)lane;
    for (size_t r = 0; r < rows; r++)
        sum += w->vectors[r * w->width + i];
    w->centre[i] = (float)(sum / (double)rows);
    for (size_t r = 0; r < rows; r++)
        w->vectors[r * w->width + i] -= w->centre[i];
}

static void unit_row(void *ctx, size_t i, int lane)
{
    tsr_index_work *w = ctx;
    (void)lane;
    tsr_index_unit(w->vectors + i * w->width, w->width);
}

/* Means of codes have most in common: only what differs from the mean tells samples apart. */
static tsr_status finish_rows(tsr_index_work *w)
{
    TSR_TRY(compact(w));
    if (w->kind == TSR_VECTORS_CODES) {
        TSR_TRY(tsr_alloc(&w->centre, w->width, sizeof *w->centre));
        tsr_par_kernels(w->width, centre_value, w);
    }
    tsr_par_kernels(w->rows - w->left_out, unit_row, w);
    return TSR_OK;
}

/* ---- what is kept about it --------------------------------------------------------------------*/

static tsr_status set_path(json_t *o, const char *key, const char *path)
{
    char *full = realpath(path, NULL); /* so that it is found from other folders */
    tsr_status st = tsr_json_set(o, key, json_string(full ? full : path));
    free(full);
    return st;
}

static tsr_status set_digest(json_t *o, const char *key, tsr_digest d)
{
    char text[TSR_DIGEST_CHARS];
    tsr_digest_text(d, text);
    return tsr_json_set(o, key, json_string(text));
}

static tsr_status about_corpus(const tsr_index_work *w, json_t *about)
{
    const tsr_manifest *m = tsr_corpus_manifest(w->corpus);
    json_t *o = json_object();
    tsr_digest keys;
    TSR_TRY(tsr_json_set(about, "corpus", o));
    TSR_TRY(set_path(o, "path", w->spec->corpus));
    TSR_TRY(set_digest(o, "id", m->corpus));
    TSR_TRY(tsr_json_set(o, "shards", json_integer((json_int_t)m->n_shards)));
    TSR_TRY(tsr_index_corpus_digest(w->corpus, m->n_shards, &keys));
    TSR_TRY(set_digest(o, "keys", keys));
    if (w->spec->split)
        TSR_TRY(tsr_json_set(o, "split", json_string(w->spec->split)));
    return TSR_OK;
}

static tsr_status about_prediction(const tsr_index_work *w, json_t *about)
{
    json_t *o;
    tsr_digest digest;
    TSR_TRY(tsr_predictor_json(&w->predictor, &o));
    TSR_TRY(tsr_json_set(about, "predicted", o));
    TSR_TRY(set_path(o, "model", w->spec->model));
    TSR_TRY(tsr_hash_file(w->spec->model, &digest));
    return set_digest(o, "digest", digest);
}

static tsr_status describe(const tsr_index_work *w, json_t **out)
{
    json_t *o = json_object(), *space = json_object();
    tsr_status st;
    TSR_GO(tsr_json_set(o, "version", json_integer(TSR_INDEX_VERSION)));
    TSR_GO(tsr_json_set(o, "modality", json_string(w->spec->modality)));
    TSR_GO(tsr_json_set(o, "vectors", json_string(tsr_vector_kind_name(w->kind))));
    if (w->kind == TSR_VECTORS_CODES)
        TSR_GO(tsr_json_set(o, "cells", json_integer((json_int_t)w->spec->cells)));
    if (w->kind != TSR_VECTORS_FEATURES) {
        TSR_GO(tsr_space_json(&w->space, space));
        TSR_GO(tsr_json_set(o, "tokens", json_incref(space)));
    }
    TSR_GO(about_corpus(w, o));
    if (w->spec->model)
        TSR_GO(about_prediction(w, o));
    if (w->spec->features)
        TSR_GO(set_path(o, "features", w->spec->features));
    *out = o;
    o = NULL;
out:
    json_decref(space);
    json_decref(o);
    return st;
}

/* ---- all --------------------------------------------------------------------------------------*/

static void clear(tsr_index_work *w)
{
    for (size_t i = 0; w->keys && i < w->rows; i++)
        tsr_free(w->keys[i]);
    tsr_free(w->keys);
    tsr_free(w->samples);
    tsr_free(w->vectors);
    tsr_free(w->present);
    tsr_free(w->terms);
    tsr_free(w->weights);
    tsr_free(w->centre);
    tsr_vectors_destroy(w->maker);
    tsr_predictor_clear(&w->predictor);
    tsr_toolbox_clear(&w->tools);
    tsr_corpus_close(w->corpus);
    tsr_free(w);
}

static tsr_status fill(tsr_index_work *w)
{
    if (w->spec->features) {
        w->kind = TSR_VECTORS_FEATURES;
        return tsr_index_features(w);
    }
    TSR_TRY(w->spec->model ? open_predictor(w) : open_stored(w));
    TSR_TRY(open_maker(w));
    return w->spec->model ? tsr_index_predicted(w) : tsr_index_stored(w);
}

static tsr_status summarise(const tsr_index_work *w, double seconds, json_t *about)
{
    TSR_TRY(tsr_json_set(about, "rows", json_integer((json_int_t)(w->rows - w->left_out))));
    TSR_TRY(tsr_json_set(about, "width", json_integer((json_int_t)w->width)));
    TSR_TRY(tsr_json_set(about, "left_out", json_integer((json_int_t)w->left_out)));
    return tsr_json_set(about, "seconds", json_real(seconds));
}

tsr_status tsr_index_build(const tsr_index_spec *spec, json_t **about)
{
    tsr_index_work *w;
    json_t *o = NULL;
    double start = tsr_now_s();
    tsr_status st;
    TSR_TRY(check_spec(spec));
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->spec = spec;
    TSR_GO(tsr_corpus_open(spec->corpus, &w->corpus));
    TSR_GO(list_samples(w));
    TSR_GO(fill(w));
    TSR_GO(finish_rows(w));
    TSR_GO(describe(w, &o));
    const tsr_index_content content = {.about = o,
                                       .rows = w->rows - w->left_out,
                                       .width = w->width,
                                       .vectors = w->vectors,
                                       .samples = w->samples,
                                       .keys = w->keys,
                                       .centre = w->centre,
                                       .terms = w->terms,
                                       .weights = w->weights};
    TSR_GO(tsr_index_write(spec->out, &content));
    TSR_GO(summarise(w, tsr_now_s() - start, o));
    *about = o;
    o = NULL;
out:
    json_decref(o);
    clear(w);
    return st;
}

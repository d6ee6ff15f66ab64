/* SPDX-License-Identifier: Apache-2.0
 * A generation from beginning to end. */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tasks/genwork.h"
#include "trainer/gensettings.h"

#include <string.h>

#define SIDE_BY_SIDE 16

uint64_t tsr_gen_key(const tsr_gen_item *item, size_t variant)
{
    uint64_t parts[2] = {tsr_hash_name(item->key), variant};
    return tsr_hash(parts, sizeof parts).lo;
}

uint64_t tsr_gen_seed(const tsr_gen_work *w)
{
    return w->spec->seed + (uint64_t)w->second;
}

tsr_status tsr_gen_run(tsr_gen_work *w, const tsr_held *const *given, const uint64_t *keys,
                       const tsr_gen_result *results, size_t n)
{
    TSR_TRY(tsr_generator_run(w->generator, given, keys, n, w->spec->job));
    w->seconds += tsr_generator_get_cost(w->generator).seconds;
    for (size_t t = 0; t < w->n_chain; t++)
        w->target_seconds[t] += tsr_generator_get_cost(w->generator).of_target[t];
    w->tokens += tsr_generator_get_cost(w->generator).tokens;
    for (size_t i = 0; i < n; i++)
        TSR_TRY(tsr_gen_write(w, i, &results[i]));
    return TSR_OK;
}

/* A line of the record. *targets is borrowed from it. */
static tsr_status begin_result(tsr_gen_work *w, const tsr_gen_item *item, size_t variant,
                               json_t **targets)
{
    json_t *o;
    *targets = json_object();
    o = json_pack("{ss sI so}", "key", item->key, "variant", (json_int_t)variant, "targets",
                  *targets);
    if (!o)
        TSR_FAIL(TSR_EFORMAT, "%s: the key is not UTF-8", item->key);
    return tsr_json_append(w->results, o);
}

/* Results [first, first + n) of all samples times variants. */
static tsr_status run_group(tsr_gen_work *w, size_t first, size_t n)
{
    const tsr_held **given = NULL;
    uint64_t *keys = NULL;
    tsr_gen_result *results = NULL;
    size_t variants = w->spec->variants;
    tsr_status st;
    TSR_GO(tsr_alloc(&given, n, sizeof *given));
    TSR_GO(tsr_alloc(&keys, n, sizeof *keys));
    TSR_GO(tsr_alloc(&results, n, sizeof *results));
    for (size_t i = 0; i < n; i++) {
        const tsr_gen_item *item = &w->items[(first + i) / variants];
        results[i] = (tsr_gen_result){.item = item, .variant = (first + i) % variants};
        given[i] = item->held;
        keys[i] = tsr_gen_key(item, results[i].variant);
        TSR_GO(begin_result(w, item, results[i].variant, &results[i].targets));
    }
    TSR_GO(tsr_gen_run(w, given, keys, results, n));
    TSR_GO(tsr_gen_larger_run(w, results, n));
out:
    tsr_free(given);
    tsr_free(keys);
    tsr_free(results);
    return st;
}

tsr_status tsr_gen_generator(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    int weighted = s->weights.count && !w->second;
    tsr_generator_spec spec = {.samples = s->batch ? s->batch : SIDE_BY_SIDE,
                               .precision = s->precision,
                               .chain = w->chain,
                               .n_chain = w->n_chain,
                               .grow = w->grow,
                               .weights = weighted ? w->weights : NULL,
                               .no_sentinel = s->no_sentinel,
                               .seed = tsr_gen_seed(w)};
    return tsr_generator_create(w->model, &spec, &w->generator);
}

static tsr_status run_all(tsr_gen_work *w)
{
    size_t group = w->spec->batch ? w->spec->batch : SIDE_BY_SIDE, n;
    TSR_TRY(tsr_mul_size(w->n_items, w->spec->variants, &n));
    TSR_TRY(tsr_gen_generator(w));
    if (w->larger)
        TSR_TRY(tsr_gen_generator(w->larger));
    for (size_t i = 0; i < n; i += group)
        TSR_TRY(run_group(w, i, n - i < group ? n - i : group));
    return TSR_OK;
}

/* --- the record --- */

static tsr_status record_given(const tsr_gen_work *w, json_t *into)
{
    json_t *given = json_object();
    TSR_TRY(tsr_json_set(into, "given", given));
    for (size_t m = 0; m < w->mods->count; m++) {
        const tsr_gen_condition *c = &w->conditions[m];
        const char *name = w->mods->items[m].name;
        json_t *o;
        if (c->origin == TSR_GEN_ABSENT)
            continue;
        if (c->origin == TSR_GEN_SAMPLE)
            o = json_pack("{ss}", "corpus", w->spec->corpus);
        else if (c->origin == TSR_GEN_LITERAL)
            o = json_pack("{ss}", "text", c->values[0]);
        else
            o = json_pack("{s[ss* s* s*]}", "files", c->values[0], c->values[1], c->values[2],
                          c->values[3]);
        TSR_TRY(tsr_json_set(given, name, o));
        if (w->masks[m].text)
            TSR_TRY(
                tsr_json_set(o, w->masks[m].hide ? "hide" : "keep", json_string(w->masks[m].text)));
    }
    return TSR_OK;
}

tsr_status tsr_gen_record_chain(const tsr_gen_work *w, json_t *into)
{
    json_t *chain = json_array();
    TSR_TRY(tsr_json_set(into, "chain", chain));
    for (size_t t = 0; t < w->n_chain; t++) {
        json_t *o;
        TSR_TRY(tsr_target_to_json(&w->chain[t], &o));
        TSR_TRY(tsr_json_append(chain, o));
        TSR_TRY(tsr_json_set(o, "target", json_string(w->mods->items[w->chain[t].m].name)));
        TSR_TRY(tsr_json_set(o, "seconds", json_real(w->target_seconds[t])));
    }
    return TSR_OK;
}

static tsr_status record_weights(const tsr_gen_work *w, json_t *into)
{
    json_t *weights = json_object();
    TSR_TRY(tsr_json_set(into, "weights", weights));
    for (size_t m = 0; m < w->mods->count; m++)
        TSR_TRY(tsr_json_set(weights, w->mods->items[m].name, json_real(w->weights[m])));
    return TSR_OK;
}

static tsr_status make_record(const tsr_gen_work *w, json_t **out)
{
    const tsr_generation *s = w->spec;
    double n = (double)w->n_items * (double)s->variants;
    json_t *o = json_pack("{ss sI sI ss ss* sb sb}", "model", s->model, "seed", (json_int_t)s->seed,
                          "variants", (json_int_t)s->variants, "precision",
                          tsr_precision_name(s->precision), "preset", s->preset, "grow", w->grow,
                          "no_sentinel", s->no_sentinel);
    tsr_status st;
    if (!o)
        TSR_FAIL(TSR_EFORMAT, "%s: the name is not UTF-8", s->model);
    if (w->decoder_steps)
        TSR_GO(tsr_json_set(o, "decoder_steps", json_integer((json_int_t)w->decoder_steps)));
    TSR_GO(record_given(w, o));
    TSR_GO(tsr_gen_record_chain(w, o));
    TSR_GO(tsr_gen_larger_record(w, o));
    if (s->weights.count)
        TSR_GO(record_weights(w, o));
    TSR_GO(tsr_json_set(o, "results", json_incref(w->results)));
    TSR_GO(tsr_json_set(o, "failed", json_integer((json_int_t)w->failed)));
    TSR_GO(tsr_json_set(o, "seconds", json_real(w->seconds)));
    TSR_GO(
        tsr_json_set(o, "tokens_per_second", json_real((double)w->tokens / (w->seconds + 1e-9))));
    TSR_GO(tsr_json_set(o, "samples_per_second", json_real(n / (w->seconds + 1e-9))));
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

static tsr_status keep_record(const tsr_gen_work *w, const json_t *record)
{
    char *path;
    if (!w->spec->out)
        return TSR_OK;
    TSR_TRY(tsr_path_join(&path, w->spec->out, "generate.json"));
    tsr_status st = tsr_json_write(path, record, 2);
    tsr_free(path);
    return st;
}

static void clear(tsr_gen_work *w)
{
    for (size_t i = 0; w->items && i < w->n_items; i++)
        tsr_gen_item_clear(&w->items[i]);
    tsr_free(w->items);
    tsr_generator_destroy(w->generator);
    tsr_toolbox_clear(&w->tools);
    tsr_fm_destroy(w->model);
    json_decref(w->results);
}

/* What the second model did counts as well. */
static void add_up(tsr_gen_work *w)
{
    if (!w->larger)
        return;
    w->seconds += w->larger->seconds;
    w->tokens += w->larger->tokens;
    w->failed += w->larger->failed;
}

static tsr_status prepare(tsr_gen_work *w)
{
    const tsr_generation *s = w->spec;
    TSR_TRY(tsr_fm_open_for(w->path, TSR_FM_RUN, &w->model));
    w->mods = &tsr_fm_get_config(w->model)->mods;
    if (s->corpus)
        TSR_TRY(tsr_corpus_open(s->corpus, &w->corpus));
    TSR_TRY(tsr_gen_larger_open(w));
    TSR_TRY(tsr_gen_plan(w));
    TSR_TRY(tsr_gen_tools(w));
    return w->larger ? tsr_gen_tools(w->larger) : TSR_OK;
}

void tsr_gen_close(tsr_gen_work *w)
{
    if (!w)
        return;
    if (w->larger)
        clear(w->larger);
    tsr_free(w->larger);
    clear(w);
    tsr_corpus_close(w->corpus);
    tsr_free(w);
}

tsr_status tsr_gen_open(const tsr_generation *g, int walks, tsr_gen_work **out)
{
    tsr_gen_work *w;
    tsr_status st;
    if (g->variants == 0)
        TSR_FAIL(TSR_EARG, "no variants are asked for");
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->spec = g;
    w->walks = walks;
    w->path = g->model;
    w->results = json_array();
    TSR_GO(prepare(w));
    *out = w;
    w = NULL;
out:
    tsr_gen_close(w);
    return st;
}

tsr_status tsr_generation_run(const tsr_generation *g, json_t **record)
{
    tsr_gen_work *w;
    json_t *made = NULL;
    tsr_status st;
    TSR_TRY(tsr_gen_open(g, 0, &w));
    TSR_GO(tsr_gen_given(w));
    if (g->out)
        TSR_GO(tsr_make_folders(g->out));
    TSR_GO(run_all(w));
    add_up(w);
    TSR_GO(make_record(w, &made));
    TSR_GO(keep_record(w, made));
    *record = made;
    made = NULL;
out:
    json_decref(made);
    tsr_gen_close(w);
    return st;
}

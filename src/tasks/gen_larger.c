/* SPDX-License-Identifier: Apache-2.0
 * Super-resolution: a second model that sees what the first was given and generated, and generates
 * the same at a larger size. */
#include "base/mem.h"
#include "base/str.h"
#include "tasks/genwork.h"
#include "trainer/genpresets.h"

#include <string.h>

#define USUAL "any" /* the preset without another */

tsr_status tsr_gen_larger_open(tsr_gen_work *w)
{
    tsr_gen_work *l;
    if (!w->spec->super_resolution)
        return TSR_OK;
    TSR_TRY(tsr_alloc(&w->larger, 1, sizeof *w->larger));
    l = w->larger;
    l->spec = w->spec;
    l->path = w->spec->super_resolution;
    l->corpus = w->corpus;
    l->second = 1;
    TSR_TRY(tsr_fm_open_for(l->path, TSR_FM_RUN, &l->model));
    l->mods = &tsr_fm_get_config(l->model)->mods;
    return TSR_OK;
}

/* --- plan --- */

/* The tokens of a name mean the same to both models. */
static tsr_status check_same(const tsr_gen_work *w, const tsr_mod *a, const tsr_mod *b)
{
    const tsr_digest none = {0, 0};
    char x[TSR_DIGEST_CHARS], y[TSR_DIGEST_CHARS];
    if (a->cls != b->cls || a->vocabulary != b->vocabulary || a->places != b->places ||
        a->width != b->width || a->patch_values != b->patch_values)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s is a %s of %u ids on %u x %u places to %s, a %s of %u on %u x %u to %s",
                 a->name, tsr_modality_class_name(a->cls), a->vocabulary, a->height, a->width,
                 w->path, tsr_modality_class_name(b->cls), b->vocabulary, b->height, b->width,
                 w->larger->path);
    if (tsr_digest_equal(a->tokenizer, b->tokenizer) || tsr_digest_equal(a->tokenizer, none) ||
        tsr_digest_equal(b->tokenizer, none))
        return TSR_OK;
    tsr_digest_text(a->tokenizer, x);
    tsr_digest_text(b->tokenizer, y);
    TSR_FAIL(TSR_EMISMATCH, "%s is made by tokenizer %s for %s, by %s for %s", a->name, x, w->path,
             y, w->larger->path);
}

/* What the first model knows when it is done, as inputs of the second. */
static tsr_status find_sources(tsr_gen_work *w)
{
    tsr_gen_work *l = w->larger;
    for (size_t k = 0; k < l->mods->count; k++) {
        const tsr_mod *mod = &l->mods->items[k];
        int m = tsr_mods_find(w->mods, mod->name);
        l->sources[k] = -1;
        if (m < 0 || (w->conditions[m].origin == TSR_GEN_ABSENT && tsr_gen_target_of(w, m) < 0))
            continue;
        if (tsr_gen_target_of(l, k) >= 0)
            TSR_FAIL(TSR_ECONFIG, "%s is a target of both models", mod->name);
        if (!mod->input)
            continue;
        TSR_TRY(check_same(w, &w->mods->items[m], mod));
        l->sources[k] = m;
    }
    return TSR_OK;
}

tsr_status tsr_gen_larger_plan(tsr_gen_work *w)
{
    tsr_gen_work *l = w->larger;
    const tsr_generation *s = w->spec;
    const tsr_preset *p;
    char known[TSR_MODALITIES];
    if (!l)
        return TSR_OK;
    TSR_TRY(tsr_preset_find(s->preset ? s->preset : USUAL, &p));
    TSR_TRY(find_sources(w));
    for (size_t k = 0; k < l->mods->count; k++)
        known[k] = l->sources[k] >= 0;
    for (size_t t = 0; t < l->n_chain; t++)
        tsr_preset_target(p, l->mods, known, l->chain[t].m, &l->chain[t]);
    if (l->n_chain == 0)
        l->n_chain = tsr_preset_chain(p, l->mods, known, TSR_STAGE_LARGER, l->chain);
    if (l->n_chain == 0)
        TSR_FAIL(TSR_ECONFIG,
                 "%s makes nothing that was given or generated larger by the preset %s; name its "
                 "targets with --to",
                 l->path, s->preset ? s->preset : USUAL);
    l->grow = s->grow || (tsr_preset_grows(p) && !s->no_grow);
    l->decoder_steps = w->decoder_steps;
    return TSR_OK;
}

/* --- run --- */

/* What result i of the first model's last run is to the second. */
static void see(const tsr_gen_work *w, const tsr_gen_item *item, size_t i, tsr_held *out)
{
    for (size_t k = 0; k < w->larger->mods->count; k++) {
        int m = w->larger->sources[k];
        if (m < 0)
            continue;
        out[k] = item->held[m];
        if (tsr_gen_target_of(w, (size_t)m) >= 0)
            tsr_generator_held(w->generator, i, (size_t)m, &out[k]);
    }
}

tsr_status tsr_gen_larger_run(tsr_gen_work *w, const tsr_gen_result *results, size_t n)
{
    tsr_gen_work *l = w->larger;
    const tsr_held **given = NULL;
    uint64_t *keys = NULL;
    tsr_held *held = NULL;
    tsr_status st = TSR_OK;
    if (!l)
        return TSR_OK;
    TSR_GO(tsr_alloc(&given, n, sizeof *given));
    TSR_GO(tsr_alloc(&keys, n, sizeof *keys));
    TSR_GO(tsr_alloc(&held, n * l->mods->count, sizeof *held));
    for (size_t i = 0; i < n; i++) {
        given[i] = held + i * l->mods->count;
        keys[i] = tsr_gen_key(results[i].item, results[i].variant);
        see(w, results[i].item, i, held + i * l->mods->count);
    }
    TSR_GO(tsr_gen_run(l, given, keys, results, n));
out:
    tsr_free(given);
    tsr_free(keys);
    tsr_free(held);
    return st;
}

/* --- the record --- */

tsr_status tsr_gen_larger_record(const tsr_gen_work *w, json_t *into)
{
    const tsr_gen_work *l = w->larger;
    json_t *o;
    if (!l)
        return TSR_OK;
    o = json_pack("{ss sI sb}", "model", l->path, "seed", (json_int_t)tsr_gen_seed(l), "grow",
                  l->grow);
    if (!o)
        TSR_FAIL(TSR_EFORMAT, "%s: the name is not UTF-8", l->path);
    TSR_TRY(tsr_json_set(into, "super_resolution", o));
    return tsr_gen_record_chain(l, o);
}

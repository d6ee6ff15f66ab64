/* SPDX-License-Identifier: Apache-2.0
 * Chains of predictions: settings, samples, and the loop over targets. */
#include "trainer/generate.h"

#include "base/mem.h"
#include "trainer/decodeplan.h"
#include "trainer/genstate.h"

#include <math.h>
#include <string.h>

#define SIDE_BY_SIDE 16
#define MOST_LOGITS  ((size_t)1 << 26) /* of one batch of passes, in floats */

tsr_target tsr_target_defaults(const tsr_mods *mods, size_t m)
{
    tsr_target t = {.m = m,
                    .scheme = TSR_SCHEME_ROAR,
                    .steps = 8,
                    .tokens = TSR_TOKENS_LINEAR,
                    .temperature = 1.0,
                    .cooling = TSR_TEMPERATURE_CONSTANT,
                    .cool_to = 0.5,
                    .power = 0.5,
                    .top_p = 0.9,
                    .guidance = 1.0};
    if (m < mods->count && mods->items[m].cls == TSR_CLASS_SEQUENCE) {
        t.scheme = TSR_SCHEME_AUTOREGRESSIVE;
        t.temperature = 0.3;
    }
    return t;
}

/* --- checks --- */

static int not_below(double v, double least)
{
    return isfinite(v) && v >= least;
}

static tsr_status check_target(const tsr_mods *mods, const tsr_target *t)
{
    if (t->m >= mods->count)
        TSR_FAIL(TSR_ECONFIG, "target %zu is none of the model's %zu modalities", t->m,
                 mods->count);
    const tsr_mod *mod = &mods->items[t->m];
    int sequence = mod->cls == TSR_CLASS_SEQUENCE;
    if (!mod->output)
        TSR_FAIL(TSR_ECONFIG, "the model cannot predict %s: it only reads it", mod->name);
    if (sequence != (t->scheme == TSR_SCHEME_AUTOREGRESSIVE))
        TSR_FAIL(TSR_ECONFIG, "%s is a %s: its scheme is %s", mod->name,
                 tsr_modality_class_name(mod->cls),
                 sequence ? "autoregressive" : "maskgit or roar");
    if (!sequence && (t->steps == 0 || t->steps > TSR_DECODE_STEPS))
        TSR_FAIL(TSR_ECONFIG, "%s: %zu steps, 1 to %d are possible", mod->name, t->steps,
                 TSR_DECODE_STEPS);
    if (!not_below(t->temperature, 0.0) || !not_below(t->top_k, 0.0) || !not_below(t->top_p, 0.0) ||
        !not_below(t->cool_to, 0.0) || !not_below(t->power, 0.0) || !isfinite(t->guidance))
        TSR_FAIL(TSR_ECONFIG,
                 "%s: temperature, top_k, top_p, cool_to and power are numbers >= 0, "
                 "guidance any number",
                 mod->name);
    return TSR_OK;
}

static tsr_status check_chain(const tsr_mods *mods, const tsr_generator_spec *spec)
{
    if (spec->n_chain == 0)
        TSR_FAIL(TSR_ECONFIG, "a chain needs at least one target");
    for (size_t i = 0; i < spec->n_chain; i++) {
        TSR_TRY(check_target(mods, &spec->chain[i]));
        for (size_t j = 0; j < i; j++)
            if (spec->chain[j].m == spec->chain[i].m)
                TSR_FAIL(TSR_ECONFIG, "%s is a target twice", mods->items[spec->chain[i].m].name);
    }
    for (size_t m = 0; spec->weights && m < mods->count; m++)
        if (!isfinite(spec->weights[m]))
            TSR_FAIL(TSR_ECONFIG, "the weight of %s is not a number", mods->items[m].name);
    return TSR_OK;
}

/* A target of which something is given: a grid in which places are unknown, or a text with [S_1],
 * [S_2] ... in this order where something is missing. */
static tsr_status check_partly(const tsr_mod *mod, const tsr_held *h, size_t sample)
{
    uint32_t next = TSR_ID_SENTINEL + 1, n = h->count;
    if (mod->cls != TSR_CLASS_SEQUENCE && h->known)
        return TSR_OK;
    n = mod->cls == TSR_CLASS_SEQUENCE ? tsr_show_count(mod, h) : 0;
    if (n > 0 && n < h->count && h->ids[n - 1] != TSR_ID_EOS)
        TSR_FAIL(TSR_EARG,
                 "sample %zu: %s has %u tokens, and the model knows %u at most: nothing can "
                 "be put into it",
                 sample, mod->name, h->count, mod->max_tokens);
    for (uint32_t i = 0; i < n; i++) {
        if (h->ids[i] - TSR_ID_SENTINEL >= TSR_ID_SENTINELS)
            continue;
        if (h->ids[i] != next++ || next - TSR_ID_SENTINEL == TSR_ID_SENTINELS)
            TSR_FAIL(TSR_EFORMAT, "sample %zu: the holes of %s are not [S_1], [S_2] ... in order",
                     sample, mod->name);
    }
    if (next == TSR_ID_SENTINEL + 1)
        TSR_FAIL(TSR_EARG, "%s is given and a target of the chain, too", mod->name);
    return TSR_OK;
}

static tsr_status check_held(const tsr_generator *g, const tsr_held *h, size_t m, size_t sample)
{
    const tsr_mod *mod = &g->mods->items[m];
    if (!h->present)
        return TSR_OK;
    if (!mod->input)
        TSR_FAIL(TSR_EARG, "%s cannot be given: the model does not read it", mod->name);
    TSR_TRY(tsr_show_check(mod, h, sample));
    return tsr_gen_place(g, m) < 0 ? TSR_OK : check_partly(mod, h, sample);
}

/* --- life --- */

static void forget_samples(tsr_generator *g)
{
    for (size_t i = 0; g->samples && i < g->n_samples; i++) {
        tsr_gen_target *t = g->samples[i].targets;
        for (size_t k = 0; t && k < g->spec.n_chain; k++) {
            tsr_free(t[k].ids);
            tsr_free(t[k].filled);
        }
        tsr_free(t);
    }
    tsr_free(g->samples);
    g->samples = NULL;
    g->n_samples = 0;
}

void tsr_generator_destroy(tsr_generator *g)
{
    if (!g)
        return;
    forget_samples(g);
    tsr_net_room_clear(&g->room);
    tsr_fmcache_destroy(g->cache);
    tsr_free(g->chain);
    tsr_free(g->weights);
    tsr_free(g->views);
    tsr_free(g->lanes);
    tsr_free(g);
}

tsr_status tsr_generator_create(tsr_fm *m, const tsr_generator_spec *spec, tsr_generator **out)
{
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_generator *g = NULL;
    tsr_status st;
    TSR_TRY(check_chain(mods, spec));
    TSR_TRY(tsr_alloc(&g, 1, sizeof *g));
    g->model = m;
    g->mods = mods;
    g->spec = *spec;
    g->spec.samples = spec->samples ? spec->samples : SIDE_BY_SIDE;
    g->room.model = m;
    g->room.have.mode = TSR_FMNET_LOGITS;
    g->room.have.precision = g->cached.precision = spec->precision;
    TSR_GO(tsr_alloc(&g->chain, spec->n_chain, sizeof *g->chain));
    memcpy(g->chain, spec->chain, spec->n_chain * sizeof *g->chain);
    if (spec->weights) {
        TSR_GO(tsr_alloc(&g->weights, mods->count, sizeof *g->weights));
        memcpy(g->weights, spec->weights, mods->count * sizeof *g->weights);
    }
    g->spec.chain = g->chain;
    g->spec.weights = g->weights;
    TSR_GO(tsr_alloc(&g->views, g->spec.samples, sizeof *g->views));
    *out = g;
    g = NULL;
out:
    tsr_generator_destroy(g);
    return st;
}

/* --- running --- */

static tsr_status init_targets(tsr_generator *g, tsr_gen_sample *s)
{
    TSR_TRY(tsr_alloc(&s->targets, g->spec.n_chain, sizeof *s->targets));
    for (size_t t = 0; t < g->spec.n_chain; t++) {
        int sequence = g->chain[t].scheme == TSR_SCHEME_AUTOREGRESSIVE;
        TSR_TRY((sequence ? tsr_gen_begin_sequence : tsr_gen_begin_grid)(g, s, t));
    }
    return TSR_OK;
}

static tsr_status begin(tsr_generator *g, const tsr_held *const *given, const uint64_t *key,
                        size_t n)
{
    forget_samples(g);
    g->cost = (tsr_generator_cost){0};
    TSR_TRY(tsr_alloc(&g->samples, n, sizeof *g->samples));
    g->n_samples = n;
    for (size_t i = 0; i < n; i++) {
        for (size_t m = 0; m < g->mods->count; m++)
            TSR_TRY(check_held(g, &given[i][m], m, i));
        g->samples[i] = (tsr_gen_sample){.given = given[i], .key = key[i]};
        TSR_TRY(init_targets(g, &g->samples[i]));
    }
    return TSR_OK;
}

/* Samples of a group: as many as asked for, as long as the logits of a grid's passes stay small. */
static size_t group_size(const tsr_generator *g)
{
    size_t most = g->spec.samples;
    for (size_t t = 0; t < g->spec.n_chain; t++) {
        const tsr_mod *mod = &g->mods->items[g->chain[t].m];
        size_t logits = (size_t)mod->vocabulary * (mod->places ? mod->places : 1) * 2;
        size_t fit = logits ? MOST_LOGITS / logits : most;
        fit = fit > 0 ? fit : 1;
        most = fit < most ? fit : most;
    }
    return most;
}

tsr_status tsr_generator_run(tsr_generator *g, const tsr_held *const *given, const uint64_t *key,
                             size_t n, const tsr_job *job)
{
    double start = tsr_now_s();
    size_t group = group_size(g);
    TSR_TRY(begin(g, given, key, n));
    for (size_t first = 0; first < n; first += group) {
        size_t count = n - first < group ? n - first : group;
        for (size_t t = 0; t < g->spec.n_chain; t++) {
            int sequence = g->chain[t].scheme == TSR_SCHEME_AUTOREGRESSIVE;
            double begun = tsr_now_s();
            TSR_TRY((sequence ? tsr_gen_sequence : tsr_gen_grid)(g, t, first, count, job));
            g->cost.of_target[t] += tsr_now_s() - begun;
        }
    }
    for (size_t i = 0; i < n; i++)
        g->samples[i].given = NULL;
    g->cost.seconds = tsr_now_s() - start;
    return TSR_OK;
}

const uint32_t *tsr_generator_result(const tsr_generator *g, size_t i, size_t m, size_t *count)
{
    int t = tsr_gen_place(g, m);
    *count = 0;
    if (t < 0 || i >= g->n_samples)
        return NULL;
    const tsr_gen_target *k = &g->samples[i].targets[t];
    int ended = !k->filled && k->count > 0 && k->ids[k->count - 1] == TSR_ID_EOS;
    *count = k->count - (size_t)ended;
    return k->ids;
}

void tsr_generator_held(const tsr_generator *g, size_t i, size_t m, tsr_held *out)
{
    int t = tsr_gen_place(g, m);
    if (t < 0 || i >= g->n_samples)
        return;
    const tsr_gen_target *k = &g->samples[i].targets[t];
    *out = (tsr_held){.present = 1, .count = k->count, .ids = k->ids};
}

tsr_generator_cost tsr_generator_get_cost(const tsr_generator *g)
{
    return g->cost;
}

/* SPDX-License-Identifier: Apache-2.0
 * Views of the state as examples, the net that runs them, and draws from its logits. */
#include "trainer/genstate.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

int tsr_gen_place(const tsr_generator *g, size_t m)
{
    for (size_t t = 0; t < g->spec.n_chain; t++)
        if (g->chain[t].m == m)
            return (int)t;
    return -1;
}

uint32_t tsr_gen_longest(const tsr_generator *g, size_t t)
{
    const tsr_mod *mod = &g->mods->items[g->chain[t].m];
    size_t most = mod->max_tokens < mod->positions ? mod->max_tokens : mod->positions;
    size_t asked = g->chain[t].max_tokens;
    return (uint32_t)(asked > 0 && asked < most ? asked : most);
}

/* --- guidance --- */

static int is_sequence(const tsr_generator *g, size_t m)
{
    return g->mods->items[m].cls == TSR_CLASS_SEQUENCE;
}

static int is_finished(const tsr_generator *g, const tsr_gen_sample *s, size_t m)
{
    int t = tsr_gen_place(g, m);
    return t >= 0 && s->targets[t].done;
}

/* 1 when modality m is a condition that guidance shows and hides. */
static int is_guided(const tsr_generator *g, const tsr_gen_sample *s, size_t m)
{
    if (tsr_gen_place(g, m) < 0)
        return s->given[m].present;
    if (!is_finished(g, s, m))
        return 0;
    return g->weights != NULL || (g->spec.grow && !is_sequence(g, m));
}

static void joint_views(const tsr_generator *g, const tsr_gen_sample *s, size_t t,
                        tsr_gen_views *out)
{
    double scale = g->chain[t].guidance;
    int any = 0;
    for (size_t m = 0; m < g->mods->count; m++)
        any |= is_guided(g, s, m);
    if (!any || scale == 1.0 || scale == 0.0) {
        *out = (tsr_gen_views){.n = 1, .views = {scale == 0.0 ? TSR_VIEW_NONE : TSR_VIEW_ALL}};
        return;
    }
    *out = (tsr_gen_views){.n = 2, .views = {TSR_VIEW_NONE, TSR_VIEW_ALL}, .w = {scale}};
}

/* The passes for target t of a sample. */
static void views_of(const tsr_generator *g, const tsr_gen_sample *s, size_t t, tsr_gen_views *out)
{
    size_t n = 0;
    if (!g->weights) {
        joint_views(g, s, t, out);
        return;
    }
    *out = (tsr_gen_views){.views = {TSR_VIEW_NONE}};
    for (size_t m = 0; m < g->mods->count; m++) {
        if (!is_guided(g, s, m) || g->weights[m] == 0.0)
            continue;
        out->w[n] = g->weights[m];
        out->views[++n] = (int)m;
    }
    out->n = n + 1;
    if (n == 1 && out->w[0] == 1.0) {
        out->views[0] = out->views[1];
        out->n = 1;
    }
}

/* --- what a pass sees --- */

static int is_shown(const tsr_generator *g, const tsr_gen_sample *s, size_t m, int view)
{
    return view == TSR_VIEW_ALL || view == (int)m || !is_guided(g, s, m);
}

static tsr_status put_sentinel(const tsr_generator *g, tsr_example *e, size_t m)
{
    if (g->spec.no_sentinel || !is_sequence(g, m))
        return TSR_OK;
    return tsr_show_sentinel(e, m);
}

/* A target that is finished, under way, or still to come: what is known of it, in every view until
 * it is finished. */
static tsr_status put_target(const tsr_generator *g, const tsr_gen_sample *s, size_t at, int view,
                             tsr_example *e)
{
    const tsr_gen_target *known = &s->targets[at];
    size_t m = g->chain[at].m;
    if (known->done && !is_shown(g, s, m, view))
        return put_sentinel(g, e, m);
    if (!is_sequence(g, m))
        return tsr_show_places(e, m, known->ids, known->filled, known->count);
    if (known->done)
        return tsr_show_sequence(e, m, known->ids, known->count);
    return known->text ? tsr_show_held(e, g->mods, m, known->text) : put_sentinel(g, e, m);
}

tsr_status tsr_gen_inputs(const tsr_generator *g, const tsr_gen_sample *s, int view, tsr_example *e)
{
    tsr_example_reset(e);
    for (size_t m = 0; m < g->mods->count; m++) {
        int at = tsr_gen_place(g, m);
        if (!g->mods->items[m].input)
            continue;
        if (at >= 0)
            TSR_TRY(put_target(g, s, (size_t)at, view, e));
        else if (s->given[m].present && is_shown(g, s, m, view))
            TSR_TRY(tsr_show_held(e, g->mods, m, &s->given[m]));
        else if (s->given[m].present)
            TSR_TRY(put_sentinel(g, e, m));
    }
    return TSR_OK;
}

/* --- room --- */

/* Most rows a pass of this sample shows of modality m while target t is predicted. */
static size_t rows_of(const tsr_generator *g, const tsr_gen_sample *s, size_t t, size_t m)
{
    const tsr_mod *mod = &g->mods->items[m];
    int at = tsr_gen_place(g, m);
    if (!mod->input)
        return 0;
    if (at < 0 && !s->given[m].present)
        return 0;
    const tsr_gen_target *known = at < 0 ? NULL : &s->targets[at];
    if (mod->cls != TSR_CLASS_SEQUENCE)
        return at > (int)t ? known->count : mod->places;
    const tsr_held *text = !known ? &s->given[m] : known->done ? NULL : known->text;
    size_t n = text ? tsr_show_count(mod, text) : known->done ? known->count : 1;
    return n > 0 ? n : 1;
}

/* A cache that holds `need`; a larger one replaces what there is. */
static tsr_status need_cache(tsr_generator *g, const tsr_fmnet_spec *need, size_t longest)
{
    tsr_fmcache_spec *h = &g->cached;
    int larger = g->cache == NULL;
    larger |= tsr_grow_to(&h->passes, need->samples);
    larger |= tsr_grow_to(&h->in_rows, need->in_rows);
    larger |= tsr_grow_to(&h->longest, longest);
    for (size_t m = 0; m < g->mods->count; m++)
        larger |= tsr_grow_to(&h->in_of[m], need->in_of[m]);
    if (!larger)
        return TSR_OK;
    tsr_least_room(g->mods, &h->in_rows, h->in_of);
    tsr_fmcache_destroy(g->cache);
    g->cache = NULL;
    return tsr_fmcache_create(g->model, h, &g->cache);
}

tsr_status tsr_gen_prepare(tsr_generator *g, size_t t, size_t first, size_t n, size_t out_rows,
                           size_t *passes)
{
    tsr_fmnet_spec need = {.samples = 0};
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const tsr_gen_sample *s = &g->samples[first + i];
        size_t rows = 0;
        views_of(g, s, t, &g->views[i]);
        for (size_t m = 0; m < g->mods->count; m++) {
            size_t r = rows_of(g, s, t, m);
            need.in_of[m] += r * g->views[i].n;
            rows += r;
        }
        need.samples += g->views[i].n;
        need.in_rows += rows * g->views[i].n;
        most = rows > most ? rows : most;
    }
    *passes = need.samples;
    TSR_TRY(tsr_net_room_examples(&g->room, need.samples, most + out_rows));
    if (is_sequence(g, g->chain[t].m))
        return need_cache(g, &need, out_rows);
    need.out_rows = need.out_of[g->chain[t].m] = out_rows * need.samples;
    return tsr_net_room_net(&g->room, &need);
}

/* --- draws --- */

typedef struct draw_loop {
    tsr_generator *g;
    size_t t, first, v;
    const tsr_target *target;
    tsr_gen_row *rows;
} draw_loop;

static tsr_status draw_row(void *ctx, size_t i, int lane)
{
    const draw_loop *l = ctx;
    tsr_gen_row *r = &l->rows[i];
    const tsr_gen_views *views = &l->g->views[r->sample - l->first];
    char *work = l->g->lanes + (size_t)lane * l->g->lane_bytes;
    float *mixed = (float *)(work + tsr_sample_bytes(l->v));
    const float *logits = r->logits[0];
    if (views->n > 1) {
        memcpy(mixed, logits, l->v * sizeof *mixed);
        tsr_sample_guide(mixed, r->logits + 1, views->w, views->n - 1, l->v);
        logits = mixed;
    }
    double u =
        tsr_sample_uniform(l->g->spec.seed, l->g->samples[r->sample].key, l->t, r->step, r->place);
    const tsr_sampling rule = {r->temperature, l->target->top_k, l->target->top_p};
    r->drawn = tsr_sample(logits, l->v, &rule, u, work);
    if (r->drawn.id == UINT32_MAX)
        TSR_FAIL(TSR_ENUMERIC, "the model's logits for %s are not finite",
                 l->g->mods->items[l->g->chain[l->t].m].name);
    return TSR_OK;
}

static tsr_status need_lanes(tsr_generator *g, size_t v)
{
    size_t bytes = (tsr_sample_bytes(v) + v * sizeof(float) + 63) / 64 * 64;
    size_t lanes = (size_t)tsr_par_team();
    if (bytes <= g->lane_bytes && lanes <= g->n_lanes)
        return TSR_OK;
    tsr_free(g->lanes);
    g->lanes = NULL;
    g->n_lanes = g->lane_bytes = 0;
    TSR_TRY(tsr_alloc(&g->lanes, lanes, bytes));
    g->n_lanes = lanes;
    g->lane_bytes = bytes;
    return TSR_OK;
}

tsr_status tsr_gen_draw(tsr_generator *g, size_t t, size_t first, tsr_gen_row *rows, size_t n_rows)
{
    const tsr_target *c = &g->chain[t];
    draw_loop l = {g, t, first, g->mods->items[c->m].vocabulary, c, rows};
    TSR_TRY(need_lanes(g, l.v));
    return tsr_par_for(n_rows, draw_row, &l);
}

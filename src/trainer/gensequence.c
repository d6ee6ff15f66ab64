/* SPDX-License-Identifier: Apache-2.0
 * Sequences token by token, until [EOS] or the terminator; of a text that is given with holes what
 * belongs into them. */
#include "trainer/fmcache.h"
#include "trainer/genstate.h"

#include "trainer/spanmask.h"

#include "base/mem.h"

#include <string.h>

/* One group's work on one target. */
typedef struct sequence_run {
    tsr_generator *g;
    size_t t, m, first, n, longest;
    size_t *pass_of; /* [n] first pass of sample i */
    size_t *active;  /* samples of the group that are not finished */
    size_t n_active;
    size_t *passes; /* of the active samples */
    int32_t *ids;
    tsr_gen_row *rows; /* [n] */
} sequence_run;

/* *before: operations the cache had done until here. */
static tsr_status start(sequence_run *r, double *before)
{
    tsr_generator *g = r->g;
    size_t passes, at = 0;
    TSR_TRY(tsr_gen_prepare(g, r->t, r->first, r->n, r->longest, &passes));
    TSR_TRY(tsr_alloc(&r->pass_of, r->n, sizeof *r->pass_of));
    TSR_TRY(tsr_alloc(&r->active, r->n, sizeof *r->active));
    TSR_TRY(tsr_alloc(&r->passes, passes, sizeof *r->passes));
    TSR_TRY(tsr_alloc(&r->ids, passes, sizeof *r->ids));
    TSR_TRY(tsr_alloc(&r->rows, r->n, sizeof *r->rows));
    for (size_t i = 0; i < r->n; i++) {
        r->active[r->n_active++] = i;
        r->pass_of[i] = at;
        for (size_t k = 0; k < g->views[i].n; k++)
            TSR_TRY(tsr_gen_inputs(g, &g->samples[r->first + i], g->views[i].views[k],
                                   &g->room.examples[at++]));
    }
    g->cost.passes += passes;
    *before = tsr_fmcache_flops(g->cache);
    return tsr_fmcache_start(g->cache, r->m, g->room.list, passes);
}

/* Logits after the token each active sample ends with. */
static tsr_status advance(sequence_run *r, size_t step)
{
    tsr_generator *g = r->g;
    size_t n = 0, v = g->mods->items[r->m].vocabulary;
    const float *logits;
    for (size_t a = 0; a < r->n_active; a++) {
        size_t i = r->active[a];
        const tsr_gen_target *known = &g->samples[r->first + i].targets[r->t];
        for (size_t k = 0; k < g->views[i].n; k++, n++) {
            r->passes[n] = r->pass_of[i] + k;
            r->ids[n] = step == 0 ? TSR_ID_SENTINEL + 1 : (int32_t)known->ids[step - 1];
        }
    }
    TSR_TRY(tsr_fmcache_step(g->cache, r->passes, r->ids, n, &logits));
    for (size_t a = 0; a < r->n_active; a++) {
        r->rows[a] = (tsr_gen_row){.sample = r->first + r->active[a],
                                   .step = step,
                                   .temperature = g->chain[r->t].temperature};
        for (size_t k = 0; k < g->views[r->active[a]].n; k++, logits += v)
            r->rows[a].logits[k] = logits;
    }
    return TSR_OK;
}

/* 1 when the token drawn is the last of the sequence. With holes it is the terminator alone: [EOS]
 * has been given, or belongs to the last hole and what follows is not looked at. */
static int is_last(const tsr_gen_target *known, uint32_t id)
{
    return known->count == known->room || (id == TSR_ID_EOS && !known->text);
}

/* Write the tokens drawn. [EOS] is kept and ends a sequence, as does the terminator, which is not:
 * what a model would write after [EOS] is never looked at. */
static void keep(sequence_run *r)
{
    size_t n = 0;
    for (size_t a = 0; a < r->n_active; a++) {
        tsr_gen_target *known = &r->g->samples[r->rows[a].sample].targets[r->t];
        uint32_t id = r->rows[a].drawn.id;
        r->g->cost.tokens++;
        if (id == TSR_ID_SENTINEL + 1 + known->holes)
            continue;
        known->ids[known->count++] = id;
        if (!is_last(known, id))
            r->active[n++] = r->active[a];
    }
    r->n_active = n;
}

/* --- holes --- */

static int is_sentinel(uint32_t id)
{
    return id - TSR_ID_SENTINEL < TSR_ID_SENTINELS;
}

static uint32_t count_holes(const uint32_t *ids, uint32_t n)
{
    uint32_t holes = 0;
    for (uint32_t i = 0; i < n; i++)
        holes += is_sentinel(ids[i]);
    return holes;
}

tsr_status tsr_gen_begin_sequence(const tsr_generator *g, tsr_gen_sample *s, size_t t)
{
    const tsr_mod *mod = &g->mods->items[g->chain[t].m];
    const tsr_held *given = &s->given[g->chain[t].m];
    tsr_gen_target *known = &s->targets[t];
    known->holes = 1;
    known->room = tsr_gen_longest(g, t);
    if (given->present) {
        uint32_t n = tsr_show_count(mod, given), most = mod->max_tokens;
        known->text = given;
        known->holes = count_holes(given->ids, n);
        most = n - known->holes < most ? most - (n - known->holes) : 1;
        most = (most < known->room ? most : known->room) + known->holes - 1;
        known->room = most < mod->positions ? most : mod->positions;
    }
    return tsr_alloc(&known->ids, known->room, sizeof *known->ids);
}

/* What was written behind [S_1], as a target, at most `left` tokens besides sentinels. An [EOS]
 * that something given follows is left out: it would cut the text. Returns the length. */
static uint32_t as_target(const tsr_gen_target *known, uint32_t final, uint32_t left,
                          uint32_t *target)
{
    uint32_t n = 1, hole = TSR_ID_SENTINEL + 1;
    target[0] = hole;
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t id = known->ids[i];
        hole = is_sentinel(id) ? id : hole;
        if (id == TSR_ID_EOS && hole != final)
            continue;
        if (!is_sentinel(id) && left-- == 0)
            return n;
        target[n++] = id;
    }
    return n;
}

/* The text with its holes filled by what was written. */
static tsr_status fill_holes(const tsr_generator *g, tsr_gen_target *known, size_t m)
{
    const tsr_mod *mod = &g->mods->items[m];
    const uint32_t *given = known->text->ids;
    uint32_t n = tsr_show_count(mod, known->text), plain = n - known->holes;
    uint32_t left = plain < mod->max_tokens ? mod->max_tokens - plain : 0, count;
    uint32_t *target = NULL, *whole = NULL;
    tsr_status st;
    TSR_GO(tsr_alloc(&target, (size_t)known->count + 1, sizeof *target));
    TSR_GO(tsr_alloc(&whole, plain + left + 1, sizeof *whole));
    count = as_target(known, given[n - 1], left, target);
    TSR_GO(
        tsr_span_rebuild(given, n, target, count, TSR_ID_SENTINELS, whole, plain + left, &count));
    tsr_free(known->ids);
    known->ids = whole;
    known->count = count;
    whole = NULL;
    for (uint32_t i = 0; i < known->count; i++)
        if (known->ids[i] == TSR_ID_EOS)
            known->count = i + 1;
out:
    tsr_free(target);
    tsr_free(whole);
    return st;
}

static tsr_status finish(sequence_run *r)
{
    for (size_t i = 0; i < r->n; i++) {
        tsr_gen_target *known = &r->g->samples[r->first + i].targets[r->t];
        if (known->text)
            TSR_TRY(fill_holes(r->g, known, r->m));
        known->done = 1;
    }
    return TSR_OK;
}

static size_t most_room(const tsr_generator *g, size_t t, size_t first, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        tsr_grow_to(&most, g->samples[first + i].targets[t].room);
    return most;
}

tsr_status tsr_gen_sequence(tsr_generator *g, size_t t, size_t first, size_t n, const tsr_job *job)
{
    sequence_run r = {.g = g,
                      .t = t,
                      .m = g->chain[t].m,
                      .first = first,
                      .n = n,
                      .longest = most_room(g, t, first, n)};
    double before = 0.0;
    tsr_status st;
    TSR_GO(start(&r, &before));
    for (size_t step = 0; step < r.longest && r.n_active > 0; step++) {
        tsr_progress p = {.phase = g->mods->items[r.m].name,
                          .done = (int64_t)step,
                          .total = (int64_t)r.longest,
                          .unit = "tokens"};
        tsr_job_report(job, &p);
        TSR_GO(tsr_job_check(job));
        TSR_GO(advance(&r, step));
        TSR_GO(tsr_gen_draw(g, t, first, r.rows, r.n_active));
        keep(&r);
    }
    TSR_GO(finish(&r));
    g->cost.flops += tsr_fmcache_flops(g->cache) - before;
out:
    tsr_free(r.pass_of);
    tsr_free(r.active);
    tsr_free(r.passes);
    tsr_free(r.ids);
    tsr_free(r.rows);
    return st;
}

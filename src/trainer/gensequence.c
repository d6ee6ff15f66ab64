/* SPDX-License-Identifier: Apache-2.0
 * Sequences token by token, until [EOS] or the terminator. */
#include "trainer/fmcache.h"
#include "trainer/genstate.h"

#include "base/mem.h"

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
            TSR_TRY(tsr_gen_inputs(g, &g->samples[r->first + i], r->t, g->views[i].views[k],
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
        r->rows[a] = (tsr_gen_row){.sample = r->first + r->active[a], .step = step};
        for (size_t k = 0; k < g->views[r->active[a]].n; k++, logits += v)
            r->rows[a].logits[k] = logits;
    }
    return TSR_OK;
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
        if (id == TSR_ID_SENTINEL + 2)
            continue;
        known->ids[known->count++] = id;
        if (id != TSR_ID_EOS)
            r->active[n++] = r->active[a];
    }
    r->n_active = n;
}

tsr_status tsr_gen_sequence(tsr_generator *g, size_t t, size_t first, size_t n, const tsr_job *job)
{
    sequence_run r = {.g = g,
                      .t = t,
                      .m = g->chain[t].m,
                      .first = first,
                      .n = n,
                      .longest = tsr_gen_longest(g, t)};
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
        TSR_GO(tsr_gen_draw(g, t, first, g->chain[t].temperature, r.rows, r.n_active));
        keep(&r);
    }
    for (size_t i = 0; i < n; i++)
        g->samples[first + i].targets[t].done = 1;
    g->cost.flops += tsr_fmcache_flops(g->cache) - before;
out:
    tsr_free(r.pass_of);
    tsr_free(r.active);
    tsr_free(r.passes);
    tsr_free(r.ids);
    tsr_free(r.rows);
    return st;
}

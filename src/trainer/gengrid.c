/* SPDX-License-Identifier: Apache-2.0
 * Grids in steps: the surest of all missing places (MaskGIT), or places in an order drawn at
 * random. */
#include "trainer/decodeplan.h"
#include "trainer/genstate.h"

#include "base/mem.h"

#include <stdlib.h>

/* One group's work on one target. A sample of which places were given has a plan of its own: for
 * those that are left. */
typedef struct grid_run {
    tsr_generator *g;
    size_t t, m, first, n, places, steps;
    uint32_t *counts; /* [n][steps] */
    double *temperatures;
    uint32_t *order;   /* [n][places] places in the order they are looked at */
    tsr_gen_row *rows; /* [n * places] of a step */
    size_t *of;        /* [n + 1] rows of sample i: [of[i], of[i + 1]) */
} grid_run;

/* The places that sample i decodes in this step, in its order. */
static size_t wanted(const grid_run *r, size_t i, size_t step, tsr_gen_row *rows)
{
    const tsr_gen_target *known = &r->g->samples[r->first + i].targets[r->t];
    size_t at = i * r->steps + step, most = r->counts[at], n = 0;
    if (most > 0 && r->g->chain[r->t].scheme == TSR_SCHEME_MASKGIT)
        most = r->places;
    for (size_t k = 0; k < r->places && n < most; k++) {
        uint32_t place = r->order[i * r->places + k];
        if (!known->filled[place])
            rows[n++] = (tsr_gen_row){.sample = r->first + i,
                                      .step = step,
                                      .place = place,
                                      .temperature = r->temperatures[at]};
    }
    return n;
}

static tsr_status put_wanted(tsr_example *e, size_t m, const tsr_gen_row *rows, size_t n)
{
    TSR_TRY(tsr_example_rows(e, &e->out[m], (uint32_t)n));
    for (size_t k = 0; k < n; k++)
        e->out[m].positions[k] = (int32_t)rows[k].place;
    e->out[m].ids = e->out[m].labels = NULL;
    return TSR_OK;
}

/* All passes of all samples with rows in one batch, and where each row's logits lie. */
static tsr_status run_passes(grid_run *r)
{
    tsr_generator *g = r->g;
    size_t passes = 0, at = 0, rows, v = g->mods->items[r->m].vocabulary;
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; r->of[i] < r->of[i + 1] && k < g->views[i].n; k++) {
            tsr_example *e = &g->room.examples[passes++];
            TSR_TRY(tsr_gen_inputs(g, &g->samples[r->first + i], g->views[i].views[k], e));
            TSR_TRY(put_wanted(e, r->m, r->rows + r->of[i], r->of[i + 1] - r->of[i]));
        }
    TSR_TRY(tsr_fmnet_run(g->room.net, g->room.list, passes, 1.0));
    const float *logits = tsr_fmnet_logits(g->room.net, r->m, &rows);
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < g->views[i].n; k++)
            for (size_t j = r->of[i]; j < r->of[i + 1]; j++)
                r->rows[j].logits[k] = logits + at++ * v;
    g->cost.passes += passes;
    g->cost.flops += tsr_fmnet_flops(g->room.net);
    return TSR_OK;
}

static int surer(const void *a, const void *b)
{
    const tsr_gen_row *x = a, *y = b;
    if (x->drawn.confidence != y->drawn.confidence)
        return x->drawn.confidence < y->drawn.confidence ? 1 : -1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Write the step's tokens of one sample. */
static void keep(const grid_run *r, size_t i, size_t step)
{
    tsr_gen_target *known = &r->g->samples[r->first + i].targets[r->t];
    tsr_gen_row *rows = r->rows + r->of[i];
    size_t n = r->of[i + 1] - r->of[i], most = r->counts[i * r->steps + step];
    if (n > most) {
        qsort(rows, n, sizeof *rows, surer);
        n = most;
    }
    for (size_t k = 0; k < n; k++) {
        known->ids[rows[k].place] = rows[k].drawn.id;
        known->filled[rows[k].place] = 1;
    }
    known->count += (uint32_t)n;
    r->g->cost.tokens += n;
}

static tsr_status one_step(grid_run *r, size_t step)
{
    for (size_t i = 0; i < r->n; i++)
        r->of[i + 1] = r->of[i] + wanted(r, i, step, r->rows + r->of[i]);
    if (r->of[r->n] == 0)
        return TSR_OK;
    TSR_TRY(run_passes(r));
    TSR_TRY(tsr_gen_draw(r->g, r->t, r->first, r->rows, r->of[r->n]));
    for (size_t i = 0; i < r->n; i++)
        keep(r, i, step);
    return TSR_OK;
}

static tsr_status make_room(grid_run *r)
{
    size_t rows, plans;
    TSR_TRY(tsr_mul_size(r->n, r->places, &rows));
    TSR_TRY(tsr_mul_size(r->n, r->steps, &plans));
    TSR_TRY(tsr_alloc(&r->counts, plans, sizeof *r->counts));
    TSR_TRY(tsr_alloc(&r->temperatures, plans, sizeof *r->temperatures));
    TSR_TRY(tsr_alloc(&r->order, rows, sizeof *r->order));
    TSR_TRY(tsr_alloc(&r->rows, rows, sizeof *r->rows));
    return tsr_alloc(&r->of, r->n + 1, sizeof *r->of);
}

/* Schedules and order of sample i. *used and *most: at least its steps, and the rows of a step. */
static tsr_status plan_sample(grid_run *r, size_t i, size_t *used, size_t *most)
{
    const tsr_target *c = &r->g->chain[r->t];
    const tsr_gen_sample *s = &r->g->samples[r->first + i];
    tsr_token_schedule schedule = c->scheme == TSR_SCHEME_ROAR ? TSR_TOKENS_LINEAR : c->tokens;
    size_t left = r->places - s->targets[r->t].count, steps;
    uint32_t *counts = r->counts + i * r->steps;
    TSR_TRY(tsr_decode_counts(schedule, left, r->steps, counts, &steps));
    tsr_decode_temperatures(c, left, counts, steps, r->temperatures + i * r->steps);
    tsr_decode_order(r->g->spec.seed, s->key, r->t, r->order + i * r->places, r->places);
    tsr_grow_to(used, steps);
    tsr_grow_to(most, c->scheme == TSR_SCHEME_ROAR ? counts[0] : left);
    return TSR_OK;
}

static tsr_status plan(grid_run *r, size_t *used)
{
    size_t most = 1, passes;
    TSR_TRY(make_room(r));
    for (size_t i = 0; i < r->n; i++)
        TSR_TRY(plan_sample(r, i, used, &most));
    return tsr_gen_prepare(r->g, r->t, r->first, r->n, most, &passes);
}

tsr_status tsr_gen_begin_grid(const tsr_generator *g, tsr_gen_sample *s, size_t t)
{
    const tsr_held *given = &s->given[g->chain[t].m];
    tsr_gen_target *known = &s->targets[t];
    size_t places = g->mods->items[g->chain[t].m].places;
    TSR_TRY(tsr_alloc(&known->ids, places, sizeof *known->ids));
    TSR_TRY(tsr_alloc(&known->filled, places, 1));
    for (size_t p = 0; given->present && p < places; p++) {
        known->ids[p] = given->ids[p];
        known->filled[p] = given->known[p] != 0;
        known->count += known->filled[p];
    }
    return TSR_OK;
}

tsr_status tsr_gen_grid(tsr_generator *g, size_t t, size_t first, size_t n, const tsr_job *job)
{
    const tsr_mod *mod = &g->mods->items[g->chain[t].m];
    grid_run r = {.g = g,
                  .t = t,
                  .m = g->chain[t].m,
                  .first = first,
                  .n = n,
                  .places = mod->places,
                  .steps = g->chain[t].steps};
    size_t used = 0;
    tsr_status st;
    TSR_GO(plan(&r, &used));
    for (size_t step = 0; step < used; step++) {
        tsr_progress p = {
            .phase = mod->name, .done = (int64_t)step, .total = (int64_t)used, .unit = "steps"};
        tsr_job_report(job, &p);
        TSR_GO(tsr_job_check(job));
        TSR_GO(one_step(&r, step));
    }
    for (size_t i = 0; i < n; i++)
        g->samples[first + i].targets[t].done = 1;
out:
    tsr_free(r.counts);
    tsr_free(r.temperatures);
    tsr_free(r.order);
    tsr_free(r.rows);
    tsr_free(r.of);
    return st;
}

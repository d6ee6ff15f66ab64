/* SPDX-License-Identifier: Apache-2.0
 * Grids in steps: the surest of all missing places (MaskGIT), or places in an order drawn at
 * random. */
#include "trainer/decodeplan.h"
#include "trainer/genstate.h"

#include "base/mem.h"

#include <stdlib.h>

/* One group's work on one target. */
typedef struct grid_run {
    tsr_generator *g;
    size_t t, m, first, n, places;
    uint32_t *counts; /* [steps] */
    double *temperatures;
    uint32_t *order;   /* [n][places] places in the order they are looked at */
    tsr_gen_row *rows; /* [n * places] of a step */
    size_t *of;        /* [n + 1] rows of sample i: [of[i], of[i + 1]) */
} grid_run;

/* The places that sample i decodes in this step, in its order. */
static size_t wanted(const grid_run *r, size_t i, size_t step, tsr_gen_row *rows)
{
    const tsr_gen_target *known = &r->g->samples[r->first + i].targets[r->t];
    size_t most = r->places, n = 0;
    if (r->g->chain[r->t].scheme == TSR_SCHEME_ROAR)
        most = r->counts[step];
    for (size_t k = 0; k < r->places && n < most; k++) {
        uint32_t place = r->order[i * r->places + k];
        if (!known->filled[place])
            rows[n++] = (tsr_gen_row){.sample = r->first + i, .step = step, .place = place};
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

/* All passes of all samples in one batch, and where each row's logits lie. */
static tsr_status run_passes(grid_run *r)
{
    tsr_generator *g = r->g;
    size_t passes = 0, at = 0, rows, v = g->mods->items[r->m].vocabulary;
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < g->views[i].n; k++) {
            tsr_example *e = &g->room.examples[passes++];
            TSR_TRY(tsr_gen_inputs(g, &g->samples[r->first + i], r->t, g->views[i].views[k], e));
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
    size_t n = r->of[i + 1] - r->of[i];
    if (n > r->counts[step]) {
        qsort(rows, n, sizeof *rows, surer);
        n = r->counts[step];
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
    if (r->counts[step] == 0)
        return TSR_OK;
    for (size_t i = 0; i < r->n; i++)
        r->of[i + 1] = r->of[i] + wanted(r, i, step, r->rows + r->of[i]);
    TSR_TRY(run_passes(r));
    TSR_TRY(tsr_gen_draw(r->g, r->t, r->first, r->temperatures[step], r->rows, r->of[r->n]));
    for (size_t i = 0; i < r->n; i++)
        keep(r, i, step);
    return TSR_OK;
}

/* Memory, schedules and orders. */
static tsr_status plan(grid_run *r, size_t *used)
{
    tsr_generator *g = r->g;
    const tsr_target *c = &g->chain[r->t];
    tsr_token_schedule schedule = c->scheme == TSR_SCHEME_ROAR ? TSR_TOKENS_LINEAR : c->tokens;
    size_t rows, passes, most = r->places;
    TSR_TRY(tsr_mul_size(r->n, r->places, &rows));
    TSR_TRY(tsr_alloc(&r->counts, c->steps, sizeof *r->counts));
    TSR_TRY(tsr_alloc(&r->temperatures, c->steps, sizeof *r->temperatures));
    TSR_TRY(tsr_alloc(&r->order, rows, sizeof *r->order));
    TSR_TRY(tsr_alloc(&r->rows, rows, sizeof *r->rows));
    TSR_TRY(tsr_alloc(&r->of, r->n + 1, sizeof *r->of));
    TSR_TRY(tsr_decode_counts(schedule, r->places, c->steps, r->counts, used));
    tsr_decode_temperatures(c, r->places, r->counts, *used, r->temperatures);
    for (size_t i = 0; i < r->n; i++)
        tsr_decode_order(g->spec.seed, g->samples[r->first + i].key, r->t, r->order + i * r->places,
                         r->places);
    if (c->scheme == TSR_SCHEME_ROAR)
        most = r->counts[0];
    return tsr_gen_prepare(g, r->t, r->first, r->n, most, &passes);
}

tsr_status tsr_gen_grid(tsr_generator *g, size_t t, size_t first, size_t n, const tsr_job *job)
{
    const tsr_mod *mod = &g->mods->items[g->chain[t].m];
    grid_run r = {
        .g = g, .t = t, .m = g->chain[t].m, .first = first, .n = n, .places = mod->places};
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

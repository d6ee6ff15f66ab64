/* SPDX-License-Identifier: Apache-2.0
 * Likelihoods: every group of a grid, and every sequence, is one pass with its true tokens given.
 */
#include "trainer/score.h"

#include "base/mem.h"
#include "trainer/decodeplan.h"
#include "trainer/showrows.h"

#include <string.h>

#define SIDE_BY_SIDE 16
#define STEPS        8
#define ORDER_KEY    0 /* all candidates of a modality share one order */

struct tsr_scorer {
    tsr_fm *model;
    const tsr_mods *mods;
    tsr_scorer_spec spec;
    tsr_net_room room;
    uint8_t *known;  /* [places] filled before a pass */
    uint32_t *order; /* [places] */
    size_t places;   /* room of both */
};

/* One pass: group `step` of a query's grid, or the whole of its sequence. */
typedef struct score_pass {
    size_t query, step, steps;
} score_pass;

tsr_status tsr_scorer_create(tsr_fm *m, const tsr_scorer_spec *spec, tsr_scorer **out)
{
    tsr_scorer *s = NULL;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    s->model = s->room.model = m;
    s->mods = &tsr_fm_get_config(m)->mods;
    s->spec = *spec;
    s->spec.samples = spec->samples ? spec->samples : SIDE_BY_SIDE;
    s->spec.grid_steps = spec->grid_steps ? spec->grid_steps : STEPS;
    s->room.have.mode = TSR_FMNET_LOSS;
    s->room.have.precision = spec->precision;
    *out = s;
    return TSR_OK;
}

void tsr_scorer_destroy(tsr_scorer *s)
{
    if (!s)
        return;
    tsr_net_room_clear(&s->room);
    tsr_free(s->known);
    tsr_free(s->order);
    tsr_free(s);
}

/* --- checks --- */

static tsr_status check_query(const tsr_scorer *s, const tsr_query *q, size_t i)
{
    if (q->m >= s->mods->count || !s->mods->items[q->m].output)
        TSR_FAIL(TSR_EARG, "query %zu: modality %zu is no output of the model", i, q->m);
    if (!q->candidate->present)
        TSR_FAIL(TSR_EARG, "query %zu: no candidate for %s", i, s->mods->items[q->m].name);
    TSR_TRY(tsr_show_check(&s->mods->items[q->m], q->candidate, i));
    for (size_t m = 0; m < s->mods->count; m++) {
        if (m == q->m || !q->given[m].present)
            continue;
        if (!s->mods->items[m].input)
            TSR_FAIL(TSR_EARG, "%s cannot be given: the model does not read it",
                     s->mods->items[m].name);
        TSR_TRY(tsr_show_check(&s->mods->items[m], &q->given[m], i));
    }
    return TSR_OK;
}

/* --- passes --- */

static size_t steps_of(const tsr_scorer *s, const tsr_mod *mod)
{
    if (mod->cls == TSR_CLASS_SEQUENCE)
        return 1;
    return s->spec.grid_steps < mod->places ? s->spec.grid_steps : mod->places;
}

/* First place in the order of group `step` of K. */
static size_t group_start(const tsr_mod *mod, size_t step, size_t steps)
{
    return (size_t)((uint64_t)mod->places * step / steps);
}

/* Target rows of a pass. */
static size_t target_rows(const tsr_mod *mod, const tsr_query *q, const score_pass *p)
{
    if (mod->cls != TSR_CLASS_SEQUENCE)
        return group_start(mod, p->step + 1, p->steps) - group_start(mod, p->step, p->steps);
    uint32_t n = tsr_show_count(mod, q->candidate);
    int ended = n > 0 && q->candidate->ids[n - 1] == TSR_ID_EOS;
    return n + (n < mod->max_tokens && !ended) + 1;
}

/* Input: [S_1] t_1 ... t_n [EOS]; labels: t_1 ... t_n [EOS] [S_2]. A text cut at the longest has no
 * [EOS]. */
static tsr_status put_sequence(const tsr_scorer *s, const tsr_query *q, tsr_example *e, size_t rows)
{
    const tsr_mod *mod = &s->mods->items[q->m];
    uint32_t n = tsr_show_count(mod, q->candidate);
    tsr_rows *r = &e->out[q->m];
    if (mod->input && !s->spec.no_sentinel)
        TSR_TRY(tsr_show_sentinel(e, q->m));
    TSR_TRY(tsr_example_rows(e, r, (uint32_t)rows));
    for (size_t i = 0; i < rows; i++) {
        r->labels[i] = i < n ? (int32_t)q->candidate->ids[i] : TSR_ID_EOS;
        r->positions[i] = (int32_t)i;
        r->ids[i] = i > 0 ? r->labels[i - 1] : TSR_ID_SENTINEL + 1;
    }
    r->labels[rows - 1] = TSR_ID_SENTINEL + 2;
    return TSR_OK;
}

static tsr_status put_group(tsr_scorer *s, const tsr_query *q, const score_pass *p, tsr_example *e,
                            size_t rows)
{
    const tsr_mod *mod = &s->mods->items[q->m];
    size_t start = group_start(mod, p->step, p->steps);
    tsr_rows *r = &e->out[q->m];
    if (!mod->input)
        start = 0;
    tsr_decode_order(s->spec.seed, ORDER_KEY, q->m, s->order, mod->places);
    memset(s->known, 0, mod->places);
    for (size_t i = 0; i < start; i++)
        s->known[s->order[i]] = 1;
    if (start > 0)
        TSR_TRY(tsr_show_places(e, q->m, q->candidate->ids, s->known, (uint32_t)start));
    start = group_start(mod, p->step, p->steps);
    TSR_TRY(tsr_example_rows(e, r, (uint32_t)rows));
    for (size_t i = 0; i < rows; i++) {
        uint32_t place = s->order[start + i];
        r->positions[i] = (int32_t)place;
        r->labels[i] = (int32_t)q->candidate->ids[place];
    }
    r->ids = NULL;
    return TSR_OK;
}

static tsr_status put_pass(tsr_scorer *s, const tsr_query *q, const score_pass *p, tsr_example *e)
{
    const tsr_mod *mod = &s->mods->items[q->m];
    size_t rows = target_rows(mod, q, p);
    tsr_example_reset(e);
    for (size_t m = 0; m < s->mods->count; m++)
        if (m != q->m && q->given[m].present)
            TSR_TRY(tsr_show_held(e, s->mods, m, &q->given[m]));
    if (mod->cls == TSR_CLASS_SEQUENCE)
        return put_sequence(s, q, e, rows);
    return put_group(s, q, p, e, rows);
}

/* Room for a batch of passes. */
static tsr_status make_room(tsr_scorer *s, const tsr_query *queries, const score_pass *passes,
                            size_t n)
{
    tsr_fmnet_spec need = {.samples = n};
    size_t most = 0, places = 1;
    for (size_t i = 0; i < n; i++) {
        const tsr_query *q = &queries[passes[i].query];
        const tsr_mod *mod = &s->mods->items[q->m];
        size_t in = 0, out = target_rows(mod, q, &passes[i]);
        for (size_t m = 0; m < s->mods->count; m++) {
            const tsr_mod *o = &s->mods->items[m];
            if (!o->input || (m != q->m && !q->given[m].present))
                continue;
            int sequence = o->cls == TSR_CLASS_SEQUENCE;
            size_t rows = !sequence ? o->places : m == q->m ? 1 : tsr_show_count(o, &q->given[m]);
            need.in_of[m] += rows;
            in += rows;
        }
        need.in_rows += in;
        need.out_rows += out;
        need.out_of[q->m] += out;
        most = in + out > most ? in + out : most;
        places = mod->places > places ? mod->places : places;
    }
    if (places > s->places) {
        tsr_free(s->known);
        tsr_free(s->order);
        s->known = NULL;
        s->order = NULL;
        s->places = 0;
        TSR_TRY(tsr_alloc(&s->known, places, 1));
        TSR_TRY(tsr_alloc(&s->order, places, sizeof *s->order));
        s->places = places;
    }
    TSR_TRY(tsr_net_room_examples(&s->room, n, most));
    return tsr_net_room_net(&s->room, &need);
}

static tsr_status run_batch(tsr_scorer *s, const tsr_query *queries, const score_pass *passes,
                            size_t n, double *log_p)
{
    size_t at[TSR_MODALITIES] = {0};
    TSR_TRY(make_room(s, queries, passes, n));
    for (size_t i = 0; i < n; i++)
        TSR_TRY(put_pass(s, &queries[passes[i].query], &passes[i], &s->room.examples[i]));
    TSR_TRY(tsr_fmnet_run(s->room.net, s->room.list, n, 1.0));
    for (size_t i = 0; i < n; i++) {
        size_t m = queries[passes[i].query].m, rows;
        const float *nll = tsr_fmnet_nll(s->room.net, m, &rows);
        for (size_t r = s->room.examples[i].out[m].count; r > 0; r--)
            log_p[passes[i].query] -= nll[at[m]++];
    }
    return TSR_OK;
}

static size_t list_passes(const tsr_scorer *s, const tsr_query *queries, size_t n,
                          score_pass *passes, size_t *tokens)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const tsr_mod *mod = &s->mods->items[queries[i].m];
        size_t steps = steps_of(s, mod), total = 0;
        for (size_t k = 0; k < steps; k++) {
            score_pass p = {i, k, steps};
            total += target_rows(mod, &queries[i], &p);
            if (passes)
                passes[count] = p;
            count++;
        }
        if (tokens)
            tokens[i] = total;
    }
    return count;
}

tsr_status tsr_score(tsr_scorer *s, const tsr_query *queries, size_t n, double *log_p,
                     size_t *tokens, const tsr_job *job)
{
    score_pass *passes = NULL;
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < n; i++)
        TSR_GO(check_query(s, &queries[i], i));
    size_t count = list_passes(s, queries, n, NULL, NULL);
    TSR_GO(tsr_alloc(&passes, count, sizeof *passes));
    list_passes(s, queries, n, passes, tokens);
    for (size_t i = 0; i < n; i++)
        log_p[i] = 0.0;
    for (size_t i = 0; i < count; i += s->spec.samples) {
        tsr_progress p = {
            .phase = "score", .done = (int64_t)i, .total = (int64_t)count, .unit = "passes"};
        tsr_job_report(job, &p);
        TSR_GO(tsr_job_check(job));
        TSR_GO(run_batch(s, queries, passes + i,
                         count - i < s->spec.samples ? count - i : s->spec.samples, log_p));
    }
out:
    tsr_free(passes);
    return st;
}

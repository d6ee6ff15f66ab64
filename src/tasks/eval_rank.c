/* SPDX-License-Identifier: Apache-2.0
 * What the model thinks likely: the truth among candidates, and what one modality tells of another.
 */
#include "tasks/evalwork.h"

#include "base/mem.h"
#include "base/rng.h"
#include "trainer/score.h"

#include <stdio.h>
#include <string.h>

#define SCORE_STEPS 4

/* The modalities of `need` but `to`, as conditions. */
static void conditions(const tsr_eval_item *it, const char *need, size_t to, size_t mods,
                       tsr_held *out)
{
    for (size_t m = 0; m < mods; m++)
        out[m] = need && need[m] && m != to ? it->held[m] : (tsr_held){0};
}

static tsr_status scorer(tsr_fm *fm, const tsr_eval_spec *spec, tsr_scorer **out)
{
    tsr_scorer_spec s = {.precision = spec->precision,
                         .samples = spec->batch,
                         .grid_steps = spec->score_steps ? spec->score_steps : SCORE_STEPS,
                         .seed = spec->seed};
    return tsr_scorer_create(fm, &s, out);
}

static tsr_status add_interval(json_t *o, const char *key, const double *v, const double *w,
                               size_t n, uint64_t seed)
{
    tsr_interval i;
    json_t *j = NULL;
    TSR_TRY(tsr_interval_mean(v, w, n, seed, &i));
    TSR_TRY(tsr_eval_interval_json(&i, &j));
    return tsr_json_set(o, key, j);
}

/* ---- candidates -------------------------------------------------------------------------------*/

/* The candidates of each sample: list positions [n, k], the truth first; counts [n] of them. */
typedef struct slate {
    size_t n, k;
    size_t *who, *count;
} slate;

static int same(const tsr_held *a, const tsr_held *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}

/* Others of the list in an order of the sample's own; equal ones are no alternatives. */
static void draw(const tsr_eval_set *s, const size_t *list, size_t to, uint64_t seed, slate *c,
                 size_t i)
{
    size_t *who = c->who + i * c->k;
    who[0] = i;
    c->count[i] = 1;
    for (size_t j = 0; j < c->n && c->count[i] < c->k; j++) {
        size_t at = (size_t)tsr_rng_permute(j, c->n, seed, TSR_RNG_EVAL, i + 1);
        if (!same(&s->items[list[at]].held[to], &s->items[list[i]].held[to]))
            who[c->count[i]++] = at;
    }
}

/* Rank of the first of n scores, best 1; ties count half. */
static double rank_of(const double *score, size_t n)
{
    double rank = 1;
    for (size_t k = 1; k < n; k++)
        rank += score[k] > score[0] ? 1 : score[k] == score[0] ? 0.5 : 0;
    return rank;
}

/* The entry's figures: score [n, k] of the candidates; `suffix` tells the two ways apart. */
static tsr_status add_ranks(const slate *c, const double *score, const char *suffix, uint64_t seed,
                            json_t *o)
{
    double *rank = NULL, *first = NULL;
    char key[32];
    tsr_status st;
    TSR_GO(tsr_alloc(&rank, c->n, sizeof *rank));
    TSR_GO(tsr_alloc(&first, c->n, sizeof *first));
    for (size_t i = 0; i < c->n; i++) {
        rank[i] = rank_of(score + i * c->k, c->count[i]);
        first[i] = rank[i] == 1;
    }
    snprintf(key, sizeof key, "accuracy%s", suffix);
    TSR_GO(add_interval(o, key, first, NULL, c->n, seed));
    snprintf(key, sizeof key, "mean_rank%s", suffix);
    TSR_GO(add_interval(o, key, rank, NULL, c->n, seed));
out:
    tsr_free(rank);
    tsr_free(first);
    return st;
}

static tsr_status add_chance(const slate *c, json_t *o)
{
    double chance = 0, rank = 0;
    for (size_t i = 0; i < c->n; i++) {
        chance += 1.0 / (double)c->count[i] / (double)c->n;
        rank += (double)(c->count[i] + 1) / 2 / (double)c->n;
    }
    TSR_TRY(tsr_json_set(o, "chance", json_real(chance)));
    return tsr_json_set(o, "chance_rank", json_real(rank));
}

/* log p of every candidate given the sample's inputs, [n, k], and given nothing, [n]. */
static tsr_status score_slate(tsr_fm *fm, const tsr_eval_set *s, const tsr_eval_spec *spec,
                              const char *need, size_t to, const size_t *list, const slate *c,
                              double *given, double *alone)
{
    size_t mods = s->mods->count;
    tsr_held *conds = NULL;
    tsr_query *q = NULL;
    tsr_scorer *sc = NULL;
    tsr_status st;
    TSR_GO(tsr_alloc(&conds, mods * (c->k > c->n ? c->k : c->n), sizeof *conds));
    TSR_GO(tsr_alloc(&q, c->k > c->n ? c->k : c->n, sizeof *q));
    TSR_GO(scorer(fm, spec, &sc));
    for (size_t i = 0; i < c->n; i++)
        q[i] = (tsr_query){conds, to, &s->items[list[i]].held[to]}; /* conds: all absent */
    TSR_GO(tsr_score(sc, q, c->n, alone, NULL, spec->job));
    for (size_t i = 0; i < c->n; i++) {
        conditions(&s->items[list[i]], need, to, mods, conds);
        for (size_t k = 0; k < c->count[i]; k++)
            q[k] = (tsr_query){conds, to, &s->items[list[c->who[i * c->k + k]]].held[to]};
        TSR_GO(tsr_score(sc, q, c->count[i], given + i * c->k, NULL, spec->job));
        tsr_job_report(spec->job, &(tsr_progress){.phase = "candidates",
                                                  .done = (int64_t)i + 1,
                                                  .total = (int64_t)c->n,
                                                  .unit = "samples"});
    }
out:
    tsr_scorer_destroy(sc);
    tsr_free(q);
    tsr_free(conds);
    return st;
}

tsr_status tsr_eval_rank(tsr_fm *fm, const tsr_eval_set *s, const tsr_eval_spec *spec,
                         const char *need, size_t to, const size_t *list, size_t n, json_t **out)
{
    slate c = {.n = n, .k = spec->candidates < n ? spec->candidates : n};
    double *given = NULL, *alone = NULL;
    json_t *o = json_object();
    tsr_status st;
    TSR_GO(tsr_alloc(&c.who, n * c.k, sizeof *c.who));
    TSR_GO(tsr_alloc(&c.count, n, sizeof *c.count));
    TSR_GO(tsr_alloc(&given, n * c.k, sizeof *given));
    TSR_GO(tsr_alloc(&alone, n, sizeof *alone));
    for (size_t i = 0; i < n; i++)
        draw(s, list, to, spec->seed, &c, i);
    TSR_GO(score_slate(fm, s, spec, need, to, list, &c, given, alone));
    TSR_GO(tsr_json_set(o, "candidates", json_integer((json_int_t)c.k)));
    TSR_GO(tsr_json_set(o, "samples", json_integer((json_int_t)n)));
    TSR_GO(add_ranks(&c, given, "", spec->seed, o));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c.count[i]; k++)
            given[i * c.k + k] -= alone[c.who[i * c.k + k]];
    TSR_GO(add_ranks(&c, given, "_gain", spec->seed, o));
    TSR_GO(add_chance(&c, o));
    *out = o;
    o = NULL;
out:
    tsr_free(c.who);
    tsr_free(c.count);
    tsr_free(given);
    tsr_free(alone);
    json_decref(o);
    return st;
}

/* ---- the matrix -------------------------------------------------------------------------------*/

typedef struct matrix {
    tsr_scorer *scorer;
    const tsr_eval_set *s;
    const tsr_eval_spec *spec;
    const size_t *list;
    size_t n;
    tsr_held *conds;                /* [n, mods] */
    tsr_query *q;                   /* [n] */
    double *alone, *given, *weight; /* [n] nats */
    size_t *tokens;                 /* [n] */
    double *v;                      /* [n] scratch */
    json_t *cells, *nothing;
    int64_t done, total;
} matrix;

/* -log p of target b given a (or nothing: a is TSR_EVAL_NONE) of the samples that have both;
 * weight 0 for the rest. Returns how many have. */
static tsr_status nats(matrix *x, size_t a, size_t b, double *out, size_t *found)
{
    size_t mods = x->s->mods->count, k = 0;
    double *log_p = x->v;
    for (size_t i = 0; i < x->n; i++) {
        const tsr_eval_item *it = &x->s->items[x->list[i]];
        x->weight[i] = it->held[b].present && (a == TSR_EVAL_NONE || it->held[a].present);
        if (x->weight[i] == 0)
            continue;
        tsr_held *c = x->conds + k * mods;
        memset(c, 0, mods * sizeof *c);
        if (a != TSR_EVAL_NONE)
            c[a] = it->held[a];
        x->q[k++] = (tsr_query){c, b, &it->held[b]};
    }
    *found = k;
    TSR_TRY(tsr_score(x->scorer, x->q, k, log_p, x->tokens, x->spec->job));
    for (size_t i = x->n; i-- > 0;) { /* back to the places of their samples */
        size_t counted = x->weight[i] > 0 ? x->tokens[--k] : 0;
        out[i] = x->weight[i] > 0 ? -log_p[k] : 0;
        x->tokens[i] = counted;
    }
    return TSR_OK;
}

/* Nats per sample and per token (sums over sums) into `o`, from v [n]. */
static tsr_status add_nats(matrix *x, const double *v, json_t *o)
{
    double *each = x->v, *w = x->weight;
    TSR_TRY(add_interval(o, "nats_per_sample", v, w, x->n, x->spec->seed));
    for (size_t i = 0; i < x->n; i++) {
        each[i] = x->tokens[i] ? v[i] / (double)x->tokens[i] : 0;
        w[i] = w[i] > 0 ? (double)x->tokens[i] : 0;
    }
    return add_interval(o, "nats_per_token", each, w, x->n, x->spec->seed);
}

static tsr_status row(matrix *x, size_t a, size_t b)
{
    const tsr_mods *mods = x->s->mods;
    int nothing = a == TSR_EVAL_NONE;
    size_t found;
    TSR_TRY(nats(x, a, b, nothing ? x->alone : x->given, &found));
    tsr_job_report(
        x->spec->job,
        &(tsr_progress){.phase = "matrix", .done = ++x->done, .total = x->total, .unit = "pairs"});
    if (found < 2)
        return TSR_OK;
    json_t *o = json_object();
    if (!o)
        TSR_FAIL(TSR_ENOMEM, "no memory for the matrix");
    TSR_TRY(tsr_json_append(nothing ? x->nothing : x->cells, o));
    if (!nothing)
        TSR_TRY(tsr_json_set(o, "from", json_string(mods->items[a].name)));
    TSR_TRY(tsr_json_set(o, "to", json_string(mods->items[b].name)));
    if (nothing)
        return add_nats(x, x->alone, o);
    for (size_t i = 0; i < x->n; i++)
        x->given[i] = x->alone[i] - x->given[i];
    return add_nats(x, x->given, o);
}

static int gives(const matrix *x, size_t m)
{
    return x->s->of[m].space && x->s->mods->items[m].input;
}

static int takes(const matrix *x, size_t m)
{
    return x->s->of[m].space && x->s->mods->items[m].output;
}

static tsr_status fill(matrix *x, json_t *from, json_t *to)
{
    const tsr_mods *mods = x->s->mods;
    for (size_t a = 0; a < mods->count; a++)
        if (gives(x, a))
            TSR_TRY(tsr_json_append(from, json_string(mods->items[a].name)));
    for (size_t b = 0; b < mods->count; b++) {
        if (!takes(x, b))
            continue;
        TSR_TRY(tsr_json_append(to, json_string(mods->items[b].name)));
        x->total += 1 + (int64_t)json_array_size(from) - gives(x, b);
    }
    for (size_t b = 0; b < mods->count; b++) {
        if (!takes(x, b))
            continue;
        TSR_TRY(row(x, TSR_EVAL_NONE, b));
        for (size_t a = 0; a < mods->count; a++)
            if (a != b && gives(x, a))
                TSR_TRY(row(x, a, b));
    }
    return TSR_OK;
}

tsr_status tsr_eval_matrix(tsr_fm *fm, const tsr_eval_set *s, const tsr_eval_spec *spec,
                           const size_t *list, size_t n, json_t **out)
{
    matrix x = {.s = s, .spec = spec, .list = list, .n = n};
    json_t *o = json_object(), *from = json_array(), *to = json_array();
    tsr_status st;
    x.cells = json_array();
    x.nothing = json_array();
    TSR_GO(tsr_json_set(o, "samples", json_integer((json_int_t)n)));
    TSR_GO(tsr_json_set(o, "unit", json_string("nats")));
    st = tsr_json_set(o, "from", json_incref(from));
    TSR_GO(st);
    TSR_GO(tsr_json_set(o, "to", json_incref(to)));
    TSR_GO(tsr_json_set(o, "cells", json_incref(x.cells)));
    TSR_GO(tsr_json_set(o, "given_nothing", json_incref(x.nothing)));
    TSR_GO(tsr_alloc(&x.conds, n * s->mods->count, sizeof *x.conds));
    TSR_GO(tsr_alloc(&x.q, n, sizeof *x.q));
    TSR_GO(tsr_alloc(&x.alone, n, sizeof *x.alone));
    TSR_GO(tsr_alloc(&x.given, n, sizeof *x.given));
    TSR_GO(tsr_alloc(&x.weight, n, sizeof *x.weight));
    TSR_GO(tsr_alloc(&x.tokens, n, sizeof *x.tokens));
    TSR_GO(tsr_alloc(&x.v, n, sizeof *x.v));
    TSR_GO(scorer(fm, spec, &x.scorer));
    TSR_GO(fill(&x, from, to));
    *out = o;
    o = NULL;
out:
    tsr_scorer_destroy(x.scorer);
    tsr_free(x.conds);
    tsr_free(x.q);
    tsr_free(x.alone);
    tsr_free(x.given);
    tsr_free(x.weight);
    tsr_free(x.tokens);
    tsr_free(x.v);
    json_decref(x.cells);
    json_decref(x.nothing);
    json_decref(from);
    json_decref(to);
    json_decref(o);
    return st;
}

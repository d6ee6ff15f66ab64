/* SPDX-License-Identifier: Apache-2.0
 * How often a sample finds its own row: recall and median rank, beside chance. */
#include "base/mem.h"
#include "tasks/evalwork.h"
#include "tasks/retrieve_work.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP 64 /* queries predicted between reports */

typedef struct trial {
    tsr_retrieve_work *w;
    size_t n;             /* queries */
    size_t *rows;         /* [n] */
    float *queries;       /* [n, width] */
    tsr_gen_item *items;  /* [n] kept for reranking */
    double *rank, *again; /* [n] by cosine, and after reranking */
} trial;

static void report(const trial *t, const char *phase, size_t done)
{
    tsr_job_report(t->w->spec->job, &(tsr_progress){.phase = phase,
                                                    .done = (int64_t)done,
                                                    .total = (int64_t)t->n,
                                                    .unit = "queries"});
}

/* ---- queries ----------------------------------------------------------------------------------*/

static tsr_status alloc_trial(trial *t)
{
    size_t rows = tsr_index_rows(t->w->index), values;
    t->n = t->w->spec->evaluate < rows ? t->w->spec->evaluate : rows;
    TSR_TRY(tsr_mul_size(t->n, tsr_index_width(t->w->index), &values));
    TSR_TRY(tsr_alloc(&t->rows, t->n, sizeof *t->rows));
    TSR_TRY(tsr_alloc(&t->queries, values, sizeof *t->queries));
    TSR_TRY(tsr_alloc(&t->items, t->n, sizeof *t->items));
    TSR_TRY(tsr_alloc(&t->rank, t->n, sizeof *t->rank));
    return tsr_alloc(&t->again, t->n, sizeof *t->again);
}

/* 1 when the corpus has a modality for the sample. */
static tsr_status has(const tsr_retrieve_work *w, const char *name, uint64_t sample, int *out)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    TSR_TRY(tsr_corpus_read(w->corpus, name, sample, 0, &tokens, &present));
    tsr_tokens_clear(&tokens);
    *out = present == TSR_REAL;
    return TSR_OK;
}

/* 1 when the corpus has all conditions of the sample. */
static tsr_status suits(const tsr_retrieve_work *w, uint64_t sample, int *out)
{
    const tsr_gen_work *g = w->predictor.work;
    *out = 1;
    if (!g)
        return has(w, w->modality, sample, out);
    for (size_t m = 0; m < g->mods->count && *out; m++)
        if (g->conditions[m].origin == TSR_GEN_SAMPLE)
            TSR_TRY(has(w, g->mods->items[m].name, sample, out));
    return TSR_OK;
}

static tsr_status choose_rows(trial *t)
{
    size_t rows = tsr_index_rows(t->w->index), n = 0;
    for (size_t i = 0; i < rows && n < t->n; i++) {
        int good;
        TSR_TRY(suits(t->w, tsr_index_sample(t->w->index, i), &good));
        if (good)
            t->rows[n++] = i;
    }
    t->n = n;
    if (n < 2)
        TSR_FAIL(TSR_ECONFIG, "fewer than 2 rows of %s have what the query is made of",
                 tsr_index_path(t->w->index));
    return TSR_OK;
}

static tsr_status make_queries(trial *t)
{
    uint64_t samples[GROUP];
    size_t width = tsr_index_width(t->w->index);
    for (size_t i = 0; i < t->n; i += GROUP) {
        size_t n = t->n - i < GROUP ? t->n - i : GROUP;
        TSR_TRY(tsr_job_check(t->w->spec->job));
        for (size_t k = 0; k < n; k++)
            samples[k] = tsr_index_sample(t->w->index, t->rows[i + k]);
        TSR_TRY(tsr_retrieve_vectors(t->w, samples, n, t->items + i, t->queries + i * width));
        for (size_t k = 0; k < n && !t->w->spec->rerank; k++)
            tsr_gen_item_clear(&t->items[i + k]);
        report(t, "queries", i + n);
    }
    return TSR_OK;
}

/* ---- reranking --------------------------------------------------------------------------------*/

/* Place of the query's own row among its candidates, ties half a place; its rank by cosine when it
 * is none of them, or has no score. */
static double place(const tsr_hit *hits, const double *order, size_t n, size_t row, double rank)
{
    size_t at = 0;
    double found = 1.0;
    while (at < n && hits[at].row != row)
        at++;
    if (at == n || isnan(order[at]))
        return rank;
    for (size_t i = 0; i < n; i++)
        if (i != at)
            found += order[i] > order[at] ? 1.0 : order[i] == order[at] ? 0.5 : 0.0;
    return found;
}

static tsr_status rerank(trial *t)
{
    tsr_retrieve_work *w = t->w;
    size_t rows = tsr_index_rows(w->index), k = w->spec->rerank < rows ? w->spec->rerank : rows;
    size_t cells;
    tsr_hit *hits = NULL;
    double *likelihood = NULL, *gain = NULL;
    tsr_ranker *ranker = NULL;
    tsr_status st;
    TSR_TRY(tsr_mul_size(t->n, k, &cells));
    TSR_GO(tsr_alloc(&hits, cells, sizeof *hits));
    TSR_GO(tsr_alloc(&likelihood, k, sizeof *likelihood));
    TSR_GO(tsr_alloc(&gain, k, sizeof *gain));
    TSR_GO(tsr_ranker_create(w, &ranker));
    TSR_GO(tsr_index_best(w->index, t->queries, t->n, k, hits, w->spec->job));
    for (size_t q = 0; q < t->n; q++) {
        TSR_GO(tsr_ranker_order(ranker, &t->items[q], hits + q * k, k, likelihood, gain));
        t->again[q] = place(hits + q * k, w->spec->by == TSR_RERANK_GAIN ? gain : likelihood, k,
                            t->rows[q], t->rank[q]);
        report(t, "rerank", q + 1);
    }
out:
    tsr_ranker_destroy(ranker);
    tsr_free(hits);
    tsr_free(likelihood);
    tsr_free(gain);
    return st;
}

/* ---- figures ----------------------------------------------------------------------------------*/

static tsr_status add_interval(json_t *into, const char *key, const tsr_interval *i, double chance)
{
    json_t *o;
    TSR_TRY(tsr_eval_interval_json(i, &o));
    TSR_TRY(tsr_json_set(into, key, o));
    return tsr_json_set(o, "chance", json_real(chance));
}

/* {"recall": {"1": ..}, "median_rank": ..} of ranks [n]. */
static tsr_status add_figures(const trial *t, const double *rank, json_t *o)
{
    static const unsigned depths[] = {1, 5, 10};
    double rows = (double)tsr_index_rows(t->w->index), *found = NULL;
    json_t *recall = json_object();
    uint64_t seed = t->w->spec->seed;
    tsr_interval interval;
    tsr_status st;
    TSR_GO(tsr_json_set(o, "recall", recall));
    TSR_GO(tsr_alloc(&found, t->n, sizeof *found));
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        char key[16];
        snprintf(key, sizeof key, "%u", depths[d]);
        for (size_t i = 0; i < t->n; i++)
            found[i] = rank[i] <= depths[d];
        TSR_GO(tsr_interval_mean(found, NULL, t->n, seed, &interval));
        TSR_GO(add_interval(recall, key, &interval, depths[d] < rows ? depths[d] / rows : 1.0));
    }
    TSR_GO(tsr_interval_median(rank, t->n, seed, &interval));
    st = add_interval(o, "median_rank", &interval, 0.5 * (rows + 1.0));
out:
    tsr_free(found);
    return st;
}

static tsr_status record_trial(const trial *t, json_t *record)
{
    json_t *o = json_object(), *reranked;
    TSR_TRY(tsr_json_set(record, "evaluation", o));
    TSR_TRY(tsr_json_set(o, "queries", json_integer((json_int_t)t->n)));
    TSR_TRY(add_figures(t, t->rank, o));
    if (!t->w->spec->rerank)
        return TSR_OK;
    reranked = json_object();
    TSR_TRY(tsr_json_set(o, "reranked", reranked));
    return add_figures(t, t->again, reranked);
}

static void clear(trial *t, size_t items)
{
    for (size_t i = 0; t->items && i < items; i++)
        tsr_gen_item_clear(&t->items[i]);
    tsr_free(t->items);
    tsr_free(t->rows);
    tsr_free(t->queries);
    tsr_free(t->rank);
    tsr_free(t->again);
}

tsr_status tsr_retrieve_evaluate(tsr_retrieve_work *w, json_t *record)
{
    trial t = {.w = w};
    double start = tsr_now_s(), asked, found;
    size_t items = 0;
    tsr_status st;
    TSR_GO(alloc_trial(&t));
    items = t.n;
    TSR_GO(choose_rows(&t));
    TSR_GO(make_queries(&t));
    asked = tsr_now_s();
    TSR_GO(tsr_index_ranks(w->index, t.queries, t.n, t.rows, t.rank, w->spec->job));
    found = tsr_now_s();
    if (w->spec->rerank)
        TSR_GO(rerank(&t));
    w->query_s = asked - start;
    w->search_s = found - asked;
    w->rerank_s = tsr_now_s() - found;
    st = record_trial(&t, record);
out:
    clear(&t, items);
    return st;
}

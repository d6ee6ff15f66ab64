/* SPDX-License-Identifier: Apache-2.0
 * A search from beginning to end. */
#include "base/mem.h"
#include "tasks/retrieve_work.h"

#include <math.h>
#include <string.h>

/* What one query found. */
typedef struct found {
    tsr_hit *hits;             /* [n], the first `reranked` of them in the model's order */
    double *likelihood, *gain; /* [reranked] */
    size_t n, reranked;
} found;

static void clear_found(found *f)
{
    tsr_free(f->hits);
    tsr_free(f->likelihood);
    tsr_free(f->gain);
}

static tsr_status rerank(tsr_retrieve_work *w, const tsr_gen_item *item, found *f)
{
    tsr_ranker *ranker;
    TSR_TRY(tsr_alloc(&f->likelihood, f->reranked, sizeof *f->likelihood));
    TSR_TRY(tsr_alloc(&f->gain, f->reranked, sizeof *f->gain));
    TSR_TRY(tsr_ranker_create(w, &ranker));
    tsr_status st = tsr_ranker_order(ranker, item, f->hits, f->reranked, f->likelihood, f->gain);
    tsr_ranker_destroy(ranker);
    return st;
}

/* Search, and order the best anew where that is asked for. */
static tsr_status search(tsr_retrieve_work *w, found *f)
{
    const tsr_retrieval *s = w->spec;
    size_t rows = tsr_index_rows(w->index);
    float *query = NULL;
    tsr_gen_item item = {0};
    uint64_t sample = 0;
    double start = tsr_now_s(), asked, searched;
    tsr_status st;
    f->reranked = s->rerank < rows ? s->rerank : rows;
    f->n = s->top > s->rerank ? s->top : s->rerank;
    f->n = f->n < rows ? f->n : rows;
    if (s->sample)
        TSR_GO(tsr_corpus_find_named(w->corpus, s->sample, &sample));
    TSR_GO(tsr_alloc(&query, tsr_index_width(w->index), sizeof *query));
    TSR_GO(tsr_alloc(&f->hits, f->n, sizeof *f->hits));
    TSR_GO(tsr_retrieve_vector(w, s->sample ? &sample : NULL, &item, query));
    asked = tsr_now_s();
    TSR_GO(tsr_index_best(w->index, query, 1, f->n, f->hits, s->job));
    searched = tsr_now_s();
    if (s->rerank)
        TSR_GO(rerank(w, &item, f));
    f->n = f->n < s->top ? f->n : s->top;
    w->query_s = asked - start;
    w->search_s = searched - asked;
    w->rerank_s = tsr_now_s() - searched;
out:
    tsr_gen_item_clear(&item);
    tsr_free(query);
    return st;
}

/* ---- the record -------------------------------------------------------------------------------*/

static tsr_status set_score(json_t *o, const char *key, double v)
{
    return tsr_json_set(o, key, isfinite(v) ? json_real(v) : json_null());
}

static tsr_status record_hit(const tsr_retrieve_work *w, const found *f, size_t i, json_t *results)
{
    const tsr_hit *h = &f->hits[i];
    json_t *o = json_pack(
        "{sI ss sI sI}", "rank", (json_int_t)i + 1, "key", tsr_index_key(w->index, h->row),
        "sample", (json_int_t)tsr_index_sample(w->index, h->row), "row", (json_int_t)h->row);
    TSR_TRY(tsr_json_append(results, o));
    TSR_TRY(set_score(o, "score", h->score));
    if (i >= f->reranked)
        return TSR_OK;
    TSR_TRY(set_score(o, "gain", f->gain[i]));
    return set_score(o, "likelihood", f->likelihood[i]);
}

static tsr_status record_query(const tsr_retrieve_work *w, json_t *record)
{
    static const char *const ways[] = {"row", "direct", "predicted"};
    const tsr_retrieval *s = w->spec;
    json_t *o = json_object(), *from = json_array();
    TSR_TRY(tsr_json_set(record, "query", o));
    TSR_TRY(tsr_json_set(o, "from", from));
    for (size_t i = 0; i < s->from.count; i++)
        TSR_TRY(tsr_json_append(from, json_string(s->from.items[i])));
    TSR_TRY(tsr_json_set(o, "way", json_string(ways[w->way])));
    if (s->sample)
        TSR_TRY(tsr_json_set(o, "sample", json_string(s->sample)));
    if (w->way == TSR_QUERY_PREDICTED) {
        json_t *predicted;
        TSR_TRY(tsr_predictor_json(&w->predictor, &predicted));
        TSR_TRY(tsr_json_set(o, "predicted", predicted));
    }
    if (!s->rerank)
        return TSR_OK;
    TSR_TRY(tsr_json_set(o, "rerank", json_integer((json_int_t)s->rerank)));
    return tsr_json_set(o, "by", json_string(s->by == TSR_RERANK_GAIN ? "gain" : "likelihood"));
}

static tsr_status begin_record(const tsr_retrieve_work *w, json_t *o)
{
    TSR_TRY(tsr_json_set(o, "index", json_string(w->spec->index)));
    TSR_TRY(tsr_json_set(o, "modality", json_string(w->modality)));
    TSR_TRY(tsr_json_set(o, "vectors", json_string(tsr_vector_kind_name(w->kind))));
    TSR_TRY(tsr_json_set(o, "rows", json_integer((json_int_t)tsr_index_rows(w->index))));
    TSR_TRY(tsr_json_set(o, "width", json_integer((json_int_t)tsr_index_width(w->index))));
    return record_query(w, o);
}

static tsr_status end_record(const tsr_retrieve_work *w, json_t *o)
{
    double compared = (double)tsr_index_rows(w->index);
    json_t *seconds =
        json_pack("{sf sf sf}", "query", w->query_s, "search", w->search_s, "rerank", w->rerank_s);
    TSR_TRY(tsr_json_set(o, "seconds", seconds));
    if (w->spec->evaluate)
        return TSR_OK;
    return tsr_json_set(o, "rows_per_second", json_real(compared / (w->search_s + 1e-9)));
}

static tsr_status one_query(tsr_retrieve_work *w, json_t *record)
{
    found f = {0};
    json_t *results = json_array();
    tsr_status st;
    TSR_GO(tsr_json_set(record, "results", json_incref(results)));
    TSR_GO(search(w, &f));
    for (size_t i = 0; i < f.n; i++)
        TSR_GO(record_hit(w, &f, i, results));
    if (w->spec->sheet)
        st = tsr_retrieve_sheet(w, f.hits, f.n);
    else if (w->spec->picture && w->corpus)
        st = tsr_retrieve_excuse(w, tsr_retrieve_sheet(w, f.hits, f.n));
out:
    clear_found(&f);
    json_decref(results);
    return st;
}

tsr_status tsr_retrieve(const tsr_retrieval *spec, json_t **record)
{
    tsr_retrieve_work *w;
    json_t *o = json_object();
    tsr_status st;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->spec = spec;
    TSR_GO(tsr_retrieve_open(w));
    TSR_GO(begin_record(w, o));
    TSR_GO(spec->evaluate ? tsr_retrieve_evaluate(w, o) : one_query(w, o));
    TSR_GO(end_record(w, o));
    *record = o;
    o = NULL;
out:
    json_decref(o);
    tsr_retrieve_close(w);
    tsr_free(w);
    return st;
}

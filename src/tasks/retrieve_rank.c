/* SPDX-License-Identifier: Apache-2.0
 * Candidates in the order of what the model thinks of them, given the query. */
#include "base/mem.h"
#include "tasks/retrieve_work.h"
#include "trainer/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tsr_ranker {
    tsr_retrieve_work *w;
    tsr_scorer *scorer;
    size_t m;         /* modality of the candidate, in the model */
    const char *name; /* and in the corpus */
    tsr_held nothing[TSR_MODALITIES];
    double *alone; /* [rows] log p(candidate), NAN until it is known */
};

static tsr_status find_candidate(tsr_ranker *r)
{
    tsr_retrieve_work *w = r->w;
    const tsr_mods *mods = w->predictor.work->mods;
    const char *name = w->spec->candidate ? w->spec->candidate : w->modality;
    const tsr_modality *there = tsr_manifest_modality(tsr_corpus_manifest(w->corpus), name);
    int m = tsr_mods_find(mods, name);
    if (m < 0 || !mods->items[m].output)
        TSR_FAIL(TSR_ECONFIG, "--candidate %s: %s does not predict it", name, w->model_path);
    if (!there)
        TSR_FAIL(TSR_ECONFIG, "--candidate: %s has no %s to score; name a modality it has",
                 w->corpus_path, name);
    tsr_digest made = there->space.tokenizer, known = mods->items[m].tokenizer;
    if (!tsr_digest_equal(known, (tsr_digest){0, 0}) && !tsr_digest_equal(known, made))
        TSR_FAIL(TSR_EMISMATCH, "%s: its %s is of another tokenizer than %s was trained with",
                 w->corpus_path, name, w->model_path);
    if (w->predictor.work->conditions[m].origin != TSR_GEN_ABSENT)
        TSR_FAIL(TSR_ECONFIG, "--candidate %s: it is the query; name another modality", name);
    r->m = (size_t)m;
    r->name = mods->items[m].name;
    return TSR_OK;
}

tsr_status tsr_ranker_create(tsr_retrieve_work *w, tsr_ranker **out)
{
    const tsr_scorer_spec spec = {.precision = w->spec->precision,
                                  .samples = w->spec->batch,
                                  .grid_steps = w->spec->score_steps,
                                  .seed = w->spec->seed};
    size_t rows = tsr_index_rows(w->index);
    tsr_ranker *r;
    tsr_status st;
    TSR_TRY(tsr_alloc(&r, 1, sizeof *r));
    r->w = w;
    TSR_GO(find_candidate(r));
    TSR_GO(tsr_alloc(&r->alone, rows, sizeof *r->alone));
    for (size_t i = 0; i < rows; i++)
        r->alone[i] = NAN;
    TSR_GO(tsr_scorer_create(w->predictor.work->model, &spec, &r->scorer));
    *out = r;
    r = NULL;
out:
    tsr_ranker_destroy(r);
    return st;
}

void tsr_ranker_destroy(tsr_ranker *r)
{
    if (!r)
        return;
    tsr_scorer_destroy(r->scorer);
    tsr_free(r->alone);
    tsr_free(r);
}

/* One candidate on its way. */
typedef struct candidate {
    tsr_hit hit;
    tsr_tokens tokens;
    tsr_held held;
    double likelihood, gain, order;
} candidate;

static tsr_status read_candidates(tsr_ranker *r, candidate *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tsr_present present;
        uint64_t sample = tsr_index_sample(r->w->index, c[i].hit.row);
        TSR_TRY(tsr_corpus_read(r->w->corpus, r->name, sample, 0, &c[i].tokens, &present));
        if (present == TSR_REAL && c[i].tokens.count <= UINT32_MAX)
            c[i].held = (tsr_held){
                .present = 1, .count = (uint32_t)c[i].tokens.count, .ids = c[i].tokens.ids};
    }
    return TSR_OK;
}

/* log p of the candidates that are there, given the item or nothing; the rest stay as they are. */
static tsr_status score(tsr_ranker *r, const tsr_held *given, candidate *c, size_t n, int alone)
{
    tsr_query *q = NULL;
    double *log_p = NULL;
    size_t k = 0, used = 0;
    tsr_status st;
    TSR_GO(tsr_alloc(&q, n, sizeof *q));
    TSR_GO(tsr_alloc(&log_p, n, sizeof *log_p));
    for (size_t i = 0; i < n; i++)
        if (c[i].held.present && !(alone && !isnan(r->alone[c[i].hit.row])))
            q[k++] = (tsr_query){given, r->m, &c[i].held};
    TSR_GO(tsr_score(r->scorer, q, k, log_p, NULL, r->w->spec->job));
    for (size_t i = 0; i < n; i++) {
        if (!c[i].held.present || (alone && !isnan(r->alone[c[i].hit.row])))
            continue;
        *(alone ? &r->alone[c[i].hit.row] : &c[i].likelihood) = log_p[used++];
    }
out:
    tsr_free(q);
    tsr_free(log_p);
    return st;
}

/* Best first; those without a score last; ties as they were found: by cosine, then row. */
static int best_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (isnan(x->order) || isnan(y->order)) {
        if (isnan(x->order) != isnan(y->order))
            return isnan(x->order) - isnan(y->order);
    } else if (x->order != y->order) {
        return x->order > y->order ? -1 : 1;
    }
    if (x->hit.score != y->hit.score)
        return x->hit.score > y->hit.score ? -1 : 1;
    return x->hit.row < y->hit.row ? -1 : x->hit.row > y->hit.row;
}

tsr_status tsr_ranker_order(tsr_ranker *r, const tsr_gen_item *item, tsr_hit *hits, size_t n,
                            double *likelihood, double *gain)
{
    candidate *c;
    tsr_status st;
    TSR_TRY(tsr_alloc(&c, n, sizeof *c));
    for (size_t i = 0; i < n; i++)
        c[i] = (candidate){.hit = hits[i], .likelihood = NAN};
    TSR_GO(read_candidates(r, c, n));
    TSR_GO(score(r, item->held, c, n, 0));
    TSR_GO(score(r, r->nothing, c, n, 1));
    for (size_t i = 0; i < n; i++) {
        c[i].gain = c[i].likelihood - r->alone[c[i].hit.row];
        c[i].order = r->w->spec->by == TSR_RERANK_GAIN ? c[i].gain : c[i].likelihood;
    }
    qsort(c, n, sizeof *c, best_first);
    for (size_t i = 0; i < n; i++) {
        hits[i] = c[i].hit;
        likelihood[i] = c[i].likelihood;
        gain[i] = c[i].gain;
    }
out:
    for (size_t i = 0; i < n; i++)
        tsr_tokens_clear(&c[i].tokens);
    tsr_free(c);
    return st;
}

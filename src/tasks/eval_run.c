/* SPDX-License-Identifier: Apache-2.0
 * The evaluation itself: generates each task's target in every way and puts the figures together.
 */
#include "tasks/evalwork.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const tsr_eval_ways[TSR_EVAL_WAYS] = {"model", "no_input", "wrong_input", "ceiling"};

/* What does not depend on a task's inputs: kept for tasks of the same target, settings and samples.
 */
typedef struct common {
    size_t to, n;
    const size_t *list; /* of the task that made it */
    json_t *settings;
    tsr_eval_outcome *ceiling, *nothing; /* [n] */
    tsr_eval_truth *truths;              /* [n] */
    tsr_tokens *tokens;                  /* [n, variants] generated from nothing */
    size_t variants;
} common;

/* One task, looked up in the model. */
typedef struct plan {
    const tsr_eval_task *task;
    char need[TSR_MODALITIES];
    size_t to;
    tsr_eval_method method;
    char phase[64];
} plan;

typedef struct run {
    const tsr_eval_spec *spec;
    tsr_fm *fm;
    const tsr_mods *mods;
    tsr_eval_set set;
    plan *plans;
    tsr_eval_list *lists; /* [tasks + 1], the last for the matrix */
    size_t n_lists;
    common *commons;
    size_t n_commons, cap_commons;
    json_t *tasks, *candidates, *examples;
    int64_t failed;
} run;

static void free_tokens(tsr_tokens *t, size_t n)
{
    for (size_t i = 0; t && i < n; i++)
        tsr_tokens_clear(&t[i]);
    tsr_free(t);
}

static void run_clear(run *r)
{
    for (size_t i = 0; i < r->n_commons; i++) {
        common *c = &r->commons[i];
        tsr_eval_outcomes_free(c->ceiling, c->n);
        tsr_eval_outcomes_free(c->nothing, c->n);
        free_tokens(c->tokens, c->n * c->variants);
        tsr_free(c->truths);
        json_decref(c->settings);
    }
    for (size_t i = 0; r->lists && i < r->n_lists; i++)
        tsr_free(r->lists[i].items);
    tsr_eval_set_close(&r->set);
    tsr_free(r->commons);
    tsr_free(r->lists);
    tsr_free(r->plans);
    tsr_fm_destroy(r->fm);
    json_decref(r->tasks);
    json_decref(r->candidates);
    json_decref(r->examples);
}

/* ---- what is asked ----------------------------------------------------------------------------*/

static tsr_status find(const run *r, const char *name, size_t *out)
{
    const char *names[TSR_MODALITIES];
    int m = tsr_mods_find(r->mods, name);
    *out = (size_t)m;
    if (m >= 0)
        return TSR_OK;
    for (size_t i = 0; i < r->mods->count; i++)
        names[i] = r->mods->items[i].name;
    const char *near = tsr_suggest(name, names, r->mods->count);
    TSR_FAIL(TSR_ECONFIG, "%s: the model has no modality \"%s\"%s%s%s", r->spec->model, name,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static tsr_status plan_task(const run *r, const tsr_eval_task *t, plan *p)
{
    size_t used = 0;
    int higher;
    double worst;
    p->task = t;
    TSR_TRY(find(r, t->to, &p->to));
    if (!r->mods->items[p->to].output)
        TSR_FAIL(TSR_ECONFIG, "%s: the model reads %s but never predicts it", r->spec->model,
                 t->to);
    p->need[p->to] = 1;
    for (size_t i = 0; i < t->n_from; i++) {
        size_t m;
        TSR_TRY(find(r, t->from[i], &m));
        if (!r->mods->items[m].input)
            TSR_FAIL(TSR_ECONFIG, "%s: the model does not read %s", r->spec->model, t->from[i]);
        if (p->need[m])
            TSR_FAIL(TSR_ECONFIG, "a task from %s to %s: %s is named twice", t->from[0], t->to,
                     t->from[i]);
        p->need[m] = 1;
        used += used < sizeof p->phase ? (size_t)snprintf(p->phase + used, sizeof p->phase - used,
                                                          "%s%s", i ? "+" : "", t->from[i])
                                       : 0;
    }
    if (used < sizeof p->phase)
        snprintf(p->phase + used, sizeof p->phase - used, " to %s", t->to);
    for (size_t i = 0; i < t->n_metrics; i++)
        TSR_TRY(tsr_eval_metric(t->metrics[i], &higher, &worst));
    if (t->n_metrics > TSR_EVAL_METRICS)
        TSR_FAIL(TSR_ECONFIG, "at most %d metrics a task", TSR_EVAL_METRICS);
    return TSR_OK;
}

static tsr_status prepare(run *r)
{
    const tsr_eval_spec *spec = r->spec;
    char wanted[TSR_MODALITIES] = {0};
    static const char none[TSR_MODALITIES];
    size_t n = spec->tasks->count, empty;
    TSR_TRY(tsr_fm_open_for(spec->model, TSR_FM_RUN, &r->fm));
    r->mods = &tsr_fm_get_config(r->fm)->mods;
    TSR_TRY(tsr_alloc(&r->plans, n, sizeof *r->plans));
    TSR_TRY(tsr_alloc(&r->lists, n + 1, sizeof *r->lists));
    r->n_lists = n + (spec->matrix > 0);
    for (size_t m = 0; spec->matrix && m < r->mods->count; m++)
        wanted[m] = 2;
    for (size_t i = 0; i < n; i++) {
        TSR_TRY(plan_task(r, &spec->tasks->items[i], &r->plans[i]));
        size_t most = spec->tasks->items[i].samples;
        r->lists[i] = (tsr_eval_list){.need = r->plans[i].need,
                                      .limit = most && most < spec->samples ? most : spec->samples};
        for (size_t m = 0; m < r->mods->count; m++)
            wanted[m] = r->plans[i].need[m] ? 1 : wanted[m];
    }
    r->lists[n] = (tsr_eval_list){.need = none, .limit = spec->matrix};
    TSR_TRY(tsr_eval_set_open(spec, r->mods, wanted, &r->set));
    for (size_t i = 0; i < n; i++) {
        plan *p = &r->plans[i];
        const tsr_tool *tool = r->set.of[p->to].tool;
        TSR_TRY(tsr_eval_target(r->mods, p->to,
                                tool ? tsr_tokenizer_kind_name(tool->tokenizer) : NULL,
                                p->need, p->task->settings, &p->method));
    }
    tsr_status st =
        tsr_eval_set_fill(&r->set, spec->split, wanted, r->lists, r->n_lists, spec->job, &empty);
    if (st == TSR_ECONFIG)
        TSR_FAIL(st, "%s: fewer than 2 samples of split \"%s\" have what %s needs", spec->corpus,
                 spec->split, empty < n ? r->plans[empty].phase : "the matrix");
    return st;
}

/* ---- generation -------------------------------------------------------------------------------*/

/* Conditions of list position i in one of three ways. */
static void give(const run *r, const plan *p, const size_t *list, size_t n, size_t i, int way,
                 tsr_held *out)
{
    size_t from = way == TSR_EVAL_WRONG ? tsr_eval_wrong(i, n, r->spec->seed) : i;
    const tsr_eval_item *it = &r->set.items[list[from]];
    for (size_t m = 0; m < r->mods->count; m++) {
        int given = way != TSR_EVAL_NO_INPUT && p->need[m] && m != p->to;
        out[m] = given ? it->held[m] : (tsr_held){0};
    }
}

static tsr_status keep(const tsr_generator *g, size_t i, size_t m, tsr_tokens *out)
{
    size_t count;
    const uint32_t *ids = tsr_generator_result(g, i, m, &count);
    TSR_TRY(tsr_tokens_init(out, count));
    if (count)
        memcpy(out->ids, ids, count * sizeof *ids);
    return TSR_OK;
}

/* Results [n, variants] of one way. */
typedef struct batchwork {
    tsr_generator *g;
    const size_t *list;
    size_t n, variants;
    int way;
    int64_t before; /* rows of earlier ways, for progress */
    tsr_held *held; /* [batch, mods] */
    const tsr_held **given;
    uint64_t *key;
} batchwork;

static tsr_status generate_rows(run *r, const plan *p, batchwork *w, size_t first, size_t k,
                                tsr_tokens *out)
{
    size_t mods = r->mods->count;
    tsr_job quiet = {.stop = r->spec->job ? r->spec->job->stop : NULL};
    for (size_t i = 0; i < k; i++) {
        size_t at = (first + i) / w->variants, variant = (first + i) % w->variants;
        give(r, p, w->list, w->n, at, w->way, w->held + i * mods);
        w->given[i] = w->held + i * mods;
        w->key[i] = r->set.items[w->list[at]].sample + ((uint64_t)variant << 48);
    }
    TSR_TRY(tsr_generator_run(w->g, w->given, w->key, k, &quiet));
    for (size_t i = 0; i < k; i++)
        TSR_TRY(keep(w->g, i, p->to, &out[first + i]));
    return TSR_OK;
}

/* Batch by batch, so that progress can be told. `rows` of n * variants are generated. */
static tsr_status generate_with(run *r, const plan *p, batchwork *w, size_t rows, tsr_tokens *out)
{
    size_t batch = r->spec->batch;
    tsr_status st;
    TSR_GO(tsr_alloc(&w->held, batch * r->mods->count, sizeof *w->held));
    TSR_GO(tsr_alloc(&w->given, batch, sizeof *w->given));
    TSR_GO(tsr_alloc(&w->key, batch, sizeof *w->key));
    for (size_t first = 0; first < rows; first += batch) {
        size_t k = rows - first < batch ? rows - first : batch;
        int64_t done = w->before + (int64_t)((first + k) / w->variants);
        TSR_GO(generate_rows(r, p, w, first, k, out));
        tsr_job_report(r->spec->job, &(tsr_progress){.phase = p->phase,
                                                     .done = done,
                                                     .total = 3 * (int64_t)w->n,
                                                     .unit = "samples",
                                                     .note = tsr_eval_ways[w->way]});
    }
out:
    tsr_free(w->held);
    tsr_free(w->given);
    tsr_free(w->key);
    return st;
}

static tsr_status generate(run *r, const plan *p, const size_t *list, size_t n, int way,
                           tsr_tokens **out)
{
    tsr_generator_spec spec = {.samples = r->spec->batch,
                               .precision = r->spec->precision,
                               .chain = &p->method.target,
                               .n_chain = 1,
                               .seed = r->spec->seed};
    static const int64_t order[] = {
        [TSR_EVAL_MODEL] = 0, [TSR_EVAL_WRONG] = 1, [TSR_EVAL_NO_INPUT] = 2};
    batchwork w = {.list = list,
                   .n = n,
                   .variants = p->method.variants,
                   .way = way,
                   .before = order[way] * (int64_t)n};
    size_t rows = n * w.variants, made = rows;
    if (way == TSR_EVAL_NO_INPUT && tsr_eval_is_fixed(&p->method))
        made = 1; /* the likeliest target of nothing is the same for all */
    tsr_status st;
    TSR_TRY(tsr_alloc(out, rows, sizeof **out));
    TSR_TRY(tsr_generator_create(r->fm, &spec, &w.g));
    TSR_GO(generate_with(r, p, &w, made, *out));
    for (size_t i = made; i < rows; i++) {
        TSR_GO(tsr_tokens_init(&(*out)[i], (*out)[0].count));
        if ((*out)[0].count)
            memcpy((*out)[i].ids, (*out)[0].ids, (*out)[0].count * sizeof *(*out)[0].ids);
    }
out:
    tsr_generator_destroy(w.g);
    return st;
}

/* ---- what tasks share -------------------------------------------------------------------------*/

static common *known(run *r, const plan *p, const tsr_eval_list *l, const json_t *settings)
{
    for (size_t i = 0; i < r->n_commons; i++) {
        common *c = &r->commons[i];
        if (c->to == p->to && c->n == l->count && json_equal(c->settings, settings) &&
            memcmp(c->list, l->items, l->count * sizeof *l->items) == 0)
            return c;
    }
    return NULL;
}

/* The ceiling; nothing is generated yet. Takes settings. */
static tsr_status common_of(run *r, const plan *p, const tsr_eval_list *l, json_t *settings,
                            common **out)
{
    common *c = known(r, p, l, settings);
    if (c) {
        json_decref(settings);
        *out = c;
        return TSR_OK;
    }
    tsr_status st = tsr_room(&r->commons, r->n_commons, &r->cap_commons, sizeof *r->commons);
    if (st != TSR_OK) {
        json_decref(settings);
        return st;
    }
    c = *out = &r->commons[r->n_commons++];
    *c = (common){.to = p->to,
                  .n = l->count,
                  .list = l->items,
                  .settings = settings,
                  .variants = p->method.variants};
    TSR_TRY(tsr_alloc(&c->ceiling, c->n, sizeof *c->ceiling));
    TSR_TRY(tsr_alloc(&c->truths, c->n, sizeof *c->truths));
    TSR_TRY(tsr_eval_judge(&r->set, p->to, l->items, c->n, (tsr_eval_guess){0}, NULL, r->spec->job,
                           c->ceiling, c->truths));
    for (size_t i = 0; i < c->n; i++)
        r->failed += c->ceiling[i].figures == NULL;
    return TSR_OK;
}

static tsr_status need_nothing(run *r, const plan *p, common *c)
{
    if (c->nothing)
        return TSR_OK;
    TSR_TRY(generate(r, p, c->list, c->n, TSR_EVAL_NO_INPUT, &c->tokens));
    TSR_TRY(tsr_alloc(&c->nothing, c->n, sizeof *c->nothing));
    return tsr_eval_judge(&r->set, p->to, c->list, c->n, (tsr_eval_guess){c->tokens, c->variants},
                          c->ceiling, r->spec->job, c->nothing, NULL);
}

/* ---- figures ----------------------------------------------------------------------------------*/

/* v[i] and weight w[i] (1 where there is one) of a figure; returns how many have it. */
static size_t values(const tsr_eval_outcome *o, const char *name, size_t n, double *v, double *w)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_object_get(o[i].figures, name);
        v[i] = x ? json_number_value(x) : 0;
        w[i] = x != NULL;
        found += x != NULL;
    }
    return found;
}

/* Metrics of a task; those of the target's kind when none are named. names [TSR_EVAL_METRICS],
 * borrowed. */
static tsr_status choose_metrics(const plan *p, const common *c, const char **names, size_t *count)
{
    static const char *const captions[] = {"caption_facts", "caption_count", "caption_material"};
    const json_t *first = NULL;
    size_t facts = 0, judged = 0;
    for (size_t i = 0; i < c->n; i++) {
        const json_t *f = c->ceiling[i].figures;
        first = first ? first : f;
        judged += f != NULL;
        facts += json_object_get(f, captions[0]) != NULL;
    }
    if (!first)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: none of %zu samples has a truth to compare with; the first said: %s",
                 p->phase, c->n, c->ceiling[0].why ? c->ceiling[0].why : "nothing");
    for (*count = 0; *count < p->task->n_metrics; ++*count)
        names[*count] = p->task->metrics[*count];
    if (*count > 0)
        return TSR_OK;
    if (!json_object_get(first, "words")) {
        names[(*count)++] = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)first));
    } else if (2 * facts < judged) {
        names[(*count)++] = "words";
    } else {
        for (; *count < 3; ++*count)
            names[*count] = captions[*count];
    }
    return TSR_OK;
}

/* Every metric is a figure of some sample, or the user is told which there are. */
static tsr_status check_metrics(const plan *p, const common *c, const char *const *names,
                                size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const json_t *any = NULL;
        const char *name;
        tsr_str known_names = {0};
        json_t *v;
        size_t i = 0;
        for (; i < c->n && !json_object_get(c->ceiling[i].figures, names[k]); i++)
            any = any ? any : c->ceiling[i].figures;
        if (i < c->n)
            continue;
        json_object_foreach((json_t *)(uintptr_t)any, name, v) if (v)
            TSR_TRY(tsr_str_addf(&known_names, " %s", name));
        (void)tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: no sample has \"%s\"; it has%s",
                          p->phase, names[k], known_names.s ? known_names.s : " nothing");
        tsr_str_clear(&known_names);
        return TSR_ECONFIG;
    }
    return TSR_OK;
}

static tsr_status put_interval(json_t *o, const char *key, const tsr_interval *i)
{
    json_t *j = NULL;
    TSR_TRY(tsr_eval_interval_json(i, &j));
    return tsr_json_set(o, key, j);
}

/* Values of one metric in every way: v [TSR_EVAL_WAYS][n], and common weights. */
typedef struct columns {
    double *v[TSR_EVAL_WAYS], *w, *scratch;
    size_t n;
} columns;

static void columns_clear(columns *c)
{
    for (size_t k = 0; k < TSR_EVAL_WAYS; k++)
        tsr_free(c->v[k]);
    tsr_free(c->w);
    tsr_free(c->scratch);
}

static tsr_status columns_of(const tsr_eval_results *r, const char *metric, columns *c)
{
    *c = (columns){.n = r->n};
    TSR_TRY(tsr_alloc(&c->w, r->n, sizeof *c->w));
    TSR_TRY(tsr_alloc(&c->scratch, r->n, sizeof *c->scratch));
    for (size_t k = 0; k < TSR_EVAL_WAYS; k++) {
        TSR_TRY(tsr_alloc(&c->v[k], r->n, sizeof *c->v[k]));
        values(r->outcomes[k], metric, r->n, c->v[k], c->scratch);
        for (size_t i = 0; i < r->n; i++)
            c->w[i] = k == 0 ? c->scratch[i] : c->w[i] * c->scratch[i];
    }
    return TSR_OK;
}

static tsr_status put_better(const columns *c, int way, double sign, uint64_t seed, json_t *o,
                             const char *key)
{
    tsr_interval i;
    for (size_t k = 0; k < c->n; k++)
        c->scratch[k] = sign * (c->v[TSR_EVAL_MODEL][k] - c->v[way][k]);
    TSR_TRY(tsr_interval_mean(c->scratch, c->w, c->n, seed, &i));
    return put_interval(o, key, &i);
}

/* The intervals of a metric; `filed`: the ceiling says something. */
static tsr_status put_columns(const columns *c, int higher, int filed, uint64_t seed, json_t *o)
{
    const double *model = c->v[TSR_EVAL_MODEL], *nothing = c->v[TSR_EVAL_NO_INPUT];
    double sign = higher ? 1 : -1;
    tsr_interval i;
    for (int k = 0; k < TSR_EVAL_WAYS; k++) {
        TSR_TRY(tsr_interval_mean(c->v[k], c->w, c->n, seed, &i));
        if (k == TSR_EVAL_CEILING && !filed)
            TSR_TRY(tsr_json_set(o, tsr_eval_ways[k], json_null()));
        else
            TSR_TRY(put_interval(o, tsr_eval_ways[k], &i));
        if (k == TSR_EVAL_MODEL)
            TSR_TRY(tsr_json_set(o, "samples", json_integer((json_int_t)i.samples)));
    }
    TSR_TRY(put_better(c, TSR_EVAL_NO_INPUT, sign, seed, o, "better_than_no_input"));
    TSR_TRY(put_better(c, TSR_EVAL_WRONG, sign, seed, o, "better_than_wrong_input"));
    TSR_TRY(tsr_interval_ratio(higher ? model : nothing, higher ? nothing : model, c->w, c->n, seed,
                               &i));
    return put_interval(o, "of_no_input", &i);
}

/* Means of all other figures. */
static tsr_status put_others(const tsr_eval_results *r, int filed, json_t *o)
{
    json_t *all = json_object(), *v;
    const json_t *like = NULL;
    const char *name;
    double *x = NULL, *w = NULL;
    tsr_status st;
    TSR_GO(tsr_json_set(o, "figures", all));
    TSR_GO(tsr_alloc(&x, r->n, sizeof *x));
    TSR_GO(tsr_alloc(&w, r->n, sizeof *w));
    for (size_t i = 0; i < r->n && !like; i++)
        like = r->outcomes[TSR_EVAL_CEILING][i].figures;
    json_object_foreach((json_t *)(uintptr_t)like, name, v)
    {
        json_t *one;
        if (strcmp(name, r->metric) == 0)
            continue;
        one = json_object();
        TSR_GO(tsr_json_set(all, name, one));
        for (int k = 0; k < TSR_EVAL_WAYS - !filed; k++) {
            size_t found = values(r->outcomes[k], name, r->n, x, w);
            double sum = 0;
            for (size_t i = 0; i < r->n; i++)
                sum += x[i];
            if (found)
                TSR_GO(tsr_json_set(one, tsr_eval_ways[k], json_real(sum / (double)found)));
        }
    }
out:
    tsr_free(x);
    tsr_free(w);
    return st;
}

static tsr_status put_malformed(const tsr_eval_results *r, json_t *o)
{
    json_t *all = json_object();
    TSR_TRY(tsr_json_set(o, "malformed", all));
    for (int k = 0; k < TSR_EVAL_CEILING; k++) {
        json_int_t n = 0;
        for (size_t i = 0; i < r->n; i++)
            n += r->outcomes[k][i].malformed;
        TSR_TRY(tsr_json_set(all, tsr_eval_ways[k], json_integer(n)));
    }
    return TSR_OK;
}

static tsr_status put_names(const tsr_eval_task *t, json_t *o)
{
    json_t *from = json_array();
    TSR_TRY(tsr_json_set(o, "from", from));
    for (size_t i = 0; i < t->n_from; i++)
        TSR_TRY(tsr_json_append(from, json_string(t->from[i])));
    return tsr_json_set(o, "to", json_string(t->to));
}

static tsr_status entry(const run *r, const tsr_eval_results *x, const common *c, int is_main,
                        json_t *o)
{
    columns cols = {0};
    int higher, filed = 0;
    double worst;
    tsr_eval_truth truth = TSR_TRUTH_TOKENS;
    tsr_status st;
    for (size_t i = 0; i < c->n; i++)
        truth = c->truths[i] > truth ? c->truths[i] : truth;
    filed = truth != TSR_TRUTH_TOKENS;
    TSR_TRY(tsr_eval_metric(x->metric, &higher, &worst));
    TSR_TRY(put_names(x->task, o));
    TSR_TRY(tsr_json_set(o, "metric", json_string(x->metric)));
    TSR_TRY(tsr_json_set(o, "higher_is_better", json_boolean(higher)));
    TSR_TRY(tsr_json_set(o, "main", json_boolean(is_main)));
    TSR_TRY(tsr_json_set(o, "truth", json_string(tsr_eval_truth_name(truth))));
    TSR_GO(columns_of(x, x->metric, &cols));
    TSR_GO(put_columns(&cols, higher, filed, r->spec->seed, o));
    TSR_GO(put_malformed(x, o));
    TSR_GO(put_others(x, filed, o));
    TSR_GO(tsr_json_set(o, "settings", json_incref(c->settings)));
out:
    columns_clear(&cols);
    return st;
}

/* ---- one task ---------------------------------------------------------------------------------*/

static tsr_status report(run *r, tsr_eval_results *x, const common *c, const char *const *names,
                         size_t count, double seconds)
{
    for (size_t k = 0; k < count; k++) {
        json_t *o = json_object();
        x->metric = names[k];
        TSR_TRY(tsr_json_append(r->tasks, o));
        TSR_TRY(entry(r, x, c, k == 0, o));
        TSR_TRY(tsr_json_set(o, "seconds", json_real(seconds)));
    }
    x->metric = names[0];
    if (r->spec->examples)
        TSR_TRY(tsr_eval_examples(&r->set, r->spec, x, r->examples));
    return TSR_OK;
}

static tsr_status rank(run *r, const plan *p, const tsr_eval_list *l)
{
    json_t *o = NULL;
    if (r->spec->candidates < 2)
        return TSR_OK;
    TSR_TRY(tsr_eval_rank(r->fm, &r->set, r->spec, p->need, p->to, l->items, l->count, &o));
    TSR_TRY(tsr_json_append(r->candidates, o));
    return put_names(p->task, o);
}

static tsr_status do_task(run *r, const plan *p, const tsr_eval_list *l)
{
    const char *names[TSR_EVAL_METRICS];
    tsr_tokens *model = NULL, *wrong = NULL;
    tsr_eval_outcome *of_model = NULL, *of_wrong = NULL;
    json_t *settings = NULL;
    double start = tsr_now_s();
    common *c;
    size_t count;
    tsr_status st;
    TSR_GO(tsr_eval_settings(&p->method, &settings));
    TSR_GO(common_of(r, p, l, settings, &c));
    TSR_GO(choose_metrics(p, c, names, &count));
    TSR_GO(check_metrics(p, c, names, count));
    TSR_GO(tsr_alloc(&of_model, c->n, sizeof *of_model));
    TSR_GO(tsr_alloc(&of_wrong, c->n, sizeof *of_wrong));
    TSR_GO(generate(r, p, l->items, c->n, TSR_EVAL_MODEL, &model));
    TSR_GO(tsr_eval_judge(&r->set, p->to, l->items, c->n, (tsr_eval_guess){model, c->variants},
                          c->ceiling, r->spec->job, of_model, NULL));
    TSR_GO(generate(r, p, l->items, c->n, TSR_EVAL_WRONG, &wrong));
    TSR_GO(tsr_eval_judge(&r->set, p->to, l->items, c->n, (tsr_eval_guess){wrong, c->variants},
                          c->ceiling, r->spec->job, of_wrong, NULL));
    TSR_GO(need_nothing(r, p, c));
    tsr_eval_results x = {
        .task = p->task,
        .to = p->to,
        .list = l->items,
        .n = c->n,
        .guess = {{model, c->variants}, {c->tokens, c->variants}, {wrong, c->variants}, {0}},
        .outcomes = {of_model, c->nothing, of_wrong, c->ceiling}};
    TSR_GO(report(r, &x, c, names, count, tsr_now_s() - start));
    TSR_GO(rank(r, p, l));
out:
    free_tokens(model, l->count * p->method.variants);
    free_tokens(wrong, l->count * p->method.variants);
    tsr_eval_outcomes_free(of_model, l->count);
    tsr_eval_outcomes_free(of_wrong, l->count);
    return st == TSR_OK ? st : tsr_context(st, "%s", p->phase);
}

static tsr_status write_index(const run *r)
{
    char *path;
    if (!r->spec->examples)
        return TSR_OK;
    json_t *o = json_pack("{s:O}", "examples", r->examples);
    if (!o)
        TSR_FAIL(TSR_ENOMEM, "no memory for the index of examples");
    tsr_status st = tsr_path_join(&path, r->spec->examples, "examples.json");
    if (st == TSR_OK) {
        st = tsr_json_write(path, o, 1);
        tsr_free(path);
    }
    json_decref(o);
    return st;
}

static tsr_status put_head(const run *r, json_t *o)
{
    json_t *head = json_pack("{s:s, s:s, s:s, s:I, s:I}", "model", r->spec->model, "corpus",
                             r->spec->corpus, "split", r->spec->split, "seed",
                             (json_int_t)r->spec->seed, "failed", (json_int_t)r->failed);
    return head ? tsr_json_set(o, "eval", head)
                : tsr_fail_at(TSR_EARG, __FILE__, __LINE__, "a path is not UTF-8");
}

static tsr_status finish(run *r, json_t **out)
{
    const tsr_eval_list *l = &r->lists[r->spec->tasks->count];
    json_t *o = json_object(), *matrix = NULL;
    tsr_status st;
    TSR_GO(put_head(r, o));
    if (r->spec->tasks->count)
        TSR_GO(tsr_json_set(o, "tasks", json_incref(r->tasks)));
    if (r->spec->candidates >= 2)
        TSR_GO(tsr_json_set(o, "candidates", json_incref(r->candidates)));
    if (r->spec->matrix) {
        TSR_GO(tsr_eval_matrix(r->fm, &r->set, r->spec, l->items, l->count, &matrix));
        TSR_GO(tsr_json_set(o, "matrix", matrix));
    }
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

static tsr_status check(const tsr_eval_spec *s)
{
    if (s->tasks->count == 0 && s->matrix == 0)
        TSR_FAIL(TSR_EARG, "nothing to evaluate: name tasks, or ask for the matrix");
    if (s->tasks->count > 0 && s->samples < 2)
        TSR_FAIL(TSR_EARG, "at least 2 samples are needed");
    if (s->matrix == 1 || s->batch == 0)
        TSR_FAIL(TSR_EARG, s->batch ? "the matrix needs at least 2 samples" : "an empty batch");
    return TSR_OK;
}

tsr_status tsr_eval_run(const tsr_eval_spec *spec, json_t **out)
{
    run r = {.spec = spec};
    tsr_status st;
    TSR_TRY(check(spec));
    r.tasks = json_array();
    r.candidates = json_array();
    r.examples = json_array();
    TSR_GO(prepare(&r));
    for (size_t i = 0; i < spec->tasks->count; i++)
        TSR_GO(do_task(&r, &r.plans[i], &r.lists[i]));
    TSR_GO(write_index(&r));
    TSR_GO(finish(&r, out));
out:
    run_clear(&r);
    return st;
}

tsr_status tsr_eval_merge(const char *path, const json_t *report)
{
    json_t *had = NULL;
    if (tsr_file_exists(path))
        TSR_TRY(tsr_json_read(path, (size_t)256 << 20, &had));
    else
        had = json_object();
    tsr_status st = TSR_OK;
    if (!json_is_object(had))
        TSR_GOFAIL(TSR_EFORMAT, "%s: expected a JSON object to put the result into", path);
    if (json_object_update(had, (json_t *)(uintptr_t)report) != 0)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for %s", path);
    TSR_GO(tsr_json_write(path, had, 1));
out:
    json_decref(had);
    return st;
}

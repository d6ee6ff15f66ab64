/* SPDX-License-Identifier: Apache-2.0
 * Inputs, truth and predictions of some samples as files, for people and reports. */
#include "tasks/evalwork.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/onefile.h"

/* One sample's files under way. */
typedef struct exhibit {
    tsr_eval_set *s;
    const char *root;   /* folder of all examples */
    const char *folder; /* of the task, below it */
    size_t number;
} exhibit;

/* Write media as FOLDER/NNN.ROLE.EXT and note the path, relative to the root. */
static tsr_status put(const exhibit *x, const tsr_media *m, const char *role, json_t *into,
                      const char *key)
{
    char *name = NULL, *path = NULL;
    tsr_status st;
    TSR_GO(
        tsr_format(&name, "%s/%03zu.%s.%s", x->folder, x->number, role, tsr_onefile_extension(m)));
    TSR_GO(tsr_path_join(&path, x->root, name));
    TSR_GO(tsr_onefile_write(m, path));
    TSR_GO(tsr_json_set(into, key, json_string(name)));
out:
    tsr_free(name);
    tsr_free(path);
    return st;
}

static tsr_status put_inputs(const exhibit *x, const tsr_eval_results *r, const tsr_eval_item *it,
                             json_t *o)
{
    json_t *inputs = json_object();
    TSR_TRY(tsr_json_set(o, "inputs", inputs));
    for (size_t i = 0; i < r->task->n_from; i++) {
        const char *name = r->task->from[i];
        size_t m = (size_t)tsr_mods_find(x->s->mods, name);
        char role[TSR_NAME_CHARS + 8];
        tsr_media media = {0};
        tsr_eval_truth kind;
        if (!x->s->of[m].tool)
            continue; /* a model may read what nobody can decode */
        TSR_TRY(tsr_eval_truth_of(x->s, it, m, 0, &media, NULL, &kind));
        snprintf(role, sizeof role, "input.%s", name);
        tsr_status st = put(x, &media, role, inputs, name);
        tsr_media_clear(&media);
        TSR_TRY(st);
    }
    return TSR_OK;
}

static tsr_status put_way(const exhibit *x, const tsr_eval_results *r, size_t i, size_t way,
                          json_t *o)
{
    const tsr_eval_item *it = &x->s->items[r->list[i]];
    const tsr_eval_guess *g = &r->guess[way];
    tsr_media media = {0};
    tsr_status st;
    if (r->outcomes[way][i].malformed)
        return TSR_OK;
    if (g->ids)
        st = tsr_eval_estimate(x->s, r->to, 0, g->ids + i * g->variants, g->variants, &media);
    else
        st = tsr_eval_decode_held(x->s, it, r->to, 0, &media);
    if (st == TSR_OK)
        st = put(x, &media, tsr_eval_ways[way], o, tsr_eval_ways[way]);
    tsr_media_clear(&media);
    return st;
}

static tsr_status put_sample(const exhibit *x, const tsr_eval_results *r, size_t i, json_t *o)
{
    const tsr_eval_item *it = &x->s->items[r->list[i]];
    json_t *from = json_array(), *figures = json_object();
    tsr_media truth = {0};
    tsr_eval_truth kind;
    TSR_TRY(tsr_json_set(o, "from", from));
    for (size_t k = 0; k < r->task->n_from; k++)
        TSR_TRY(tsr_json_append(from, json_string(r->task->from[k])));
    TSR_TRY(tsr_json_set(o, "to", json_string(r->task->to)));
    TSR_TRY(tsr_json_set(o, "key", json_string(it->key)));
    TSR_TRY(tsr_json_set(o, "metric", json_string(r->metric)));
    TSR_TRY(put_inputs(x, r, it, o));
    TSR_TRY(tsr_eval_truth_of(x->s, it, r->to, 0, &truth, NULL, &kind));
    tsr_status st = put(x, &truth, "truth", o, "truth");
    tsr_media_clear(&truth);
    TSR_TRY(st);
    TSR_TRY(tsr_json_set(o, "figures", figures));
    for (size_t way = 0; way < TSR_EVAL_WAYS; way++) {
        const json_t *v = json_object_get(r->outcomes[way][i].figures, r->metric);
        TSR_TRY(put_way(x, r, i, way, o));
        if (v)
            TSR_TRY(tsr_json_set(figures, tsr_eval_ways[way], json_real(json_number_value(v))));
    }
    return TSR_OK;
}

/* "rgb+caption-depth" */
static tsr_status folder_of(const tsr_eval_task *t, char **out)
{
    tsr_str s = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < t->n_from; i++)
        TSR_GO(tsr_str_addf(&s, "%s%s", i ? "+" : "", t->from[i]));
    TSR_GO(tsr_str_addf(&s, "-%s", t->to));
    TSR_GO(tsr_strdup(out, s.s));
out:
    tsr_str_clear(&s);
    return st;
}

tsr_status tsr_eval_examples(tsr_eval_set *s, const tsr_eval_spec *spec, const tsr_eval_results *r,
                             json_t *index)
{
    exhibit x = {.s = s, .root = spec->examples};
    char *folder = NULL, *path = NULL;
    tsr_status st;
    TSR_GO(folder_of(r->task, &folder));
    TSR_GO(tsr_path_join(&path, spec->examples, folder));
    TSR_GO(tsr_make_folders(path));
    x.folder = folder;
    for (size_t i = 0; i < r->n && x.number < spec->n_examples; i++) {
        json_t *o;
        if (!r->outcomes[TSR_EVAL_CEILING][i].figures)
            continue;
        o = json_object();
        TSR_GO(tsr_json_append(index, o));
        TSR_GO(put_sample(&x, r, i, o));
        x.number++;
    }
out:
    tsr_free(folder);
    tsr_free(path);
    return st;
}

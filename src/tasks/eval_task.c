/* SPDX-License-Identifier: Apache-2.0
 * What is to be evaluated: tasks as words or recipe, metrics, and whose inputs are the wrong ones.
 */
#include "tasks/evalwork.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "trainer/genpresets.h"
#include "trainer/gensettings.h"

#include <string.h>

#define VARIANTS 9 /* odd, for a median */

const tsr_field tsr_eval_fields[] = {
    {"tasks.*.from", TSR_FIELD_STRINGS, NULL, 0, 0, "modalities that are given"},
    {"tasks.*.to", TSR_FIELD_STRING, NULL, 0, 0, "modality that is generated and judged"},
    {"tasks.*.metric", TSR_FIELD_STRINGS, NULL, 0, 0,
     "figures to report, the main one first; default: as suits the target"},
    {"tasks.*.samples", TSR_FIELD_INT, NULL, 2, 1e9,
     "samples of this task at most; default: those of the evaluation"},
    {"tasks.*.preset", TSR_FIELD_STRING, NULL, 0, 0,
     "published settings, as tessera generate has them; those beside it go before"},
    {"tasks.*.scheme", TSR_FIELD_STRING, NULL, 0, 0, "maskgit, random or autoregressive"},
    {"tasks.*.steps", TSR_FIELD_INT, NULL, 1, 65536, "steps in which a grid is filled"},
    {"tasks.*.tokens", TSR_FIELD_STRING, NULL, 0, 0, "tokens of each step: cosine or linear"},
    {"tasks.*.temperature", TSR_FIELD_NUMBER, NULL, 0, 1000, "of the draw; 0: the likeliest token"},
    {"tasks.*.cooling", TSR_FIELD_STRING, NULL, 0, 0,
     "temperature over the steps: constant, linear or onex"},
    {"tasks.*.cool_to", TSR_FIELD_NUMBER, NULL, 0, 1000, "onex: last temperature"},
    {"tasks.*.power", TSR_FIELD_NUMBER, NULL, 0, 100, "onex: exponent"},
    {"tasks.*.top_k", TSR_FIELD_NUMBER, NULL, 0, 1e9,
     "tokens a draw may choose from; below 1: share of the vocabulary; 0: all"},
    {"tasks.*.top_p", TSR_FIELD_NUMBER, NULL, 0, 1, "probability a draw may choose from; 0: all"},
    {"tasks.*.guidance", TSR_FIELD_NUMBER, NULL, 0, 100, "weight of the condition; 1: no guidance"},
    {"tasks.*.variants", TSR_FIELD_INT, NULL, 1, TSR_EVAL_VARIANTS,
     "generate so often and take the mean of pictures, median of depth, commonest label"},
    {"tasks.*.max_tokens", TSR_FIELD_INT, NULL, 0, TSR_SEQUENCE_POSITIONS,
     "longest sequence; 0: the modality's"},
};
const size_t tsr_n_eval_fields = sizeof tsr_eval_fields / sizeof tsr_eval_fields[0];

/* ---- tasks ------------------------------------------------------------------------------------*/

static void free_strings(char **s, size_t n)
{
    for (size_t i = 0; s && i < n; i++)
        tsr_free(s[i]);
    tsr_free(s);
}

static void clear_task(tsr_eval_task *t)
{
    free_strings(t->from, t->n_from);
    free_strings(t->metrics, t->n_metrics);
    tsr_free(t->to);
    json_decref(t->settings);
    *t = (tsr_eval_task){0};
}

void tsr_eval_tasks_clear(tsr_eval_tasks *t)
{
    for (size_t i = 0; i < t->count; i++)
        clear_task(&t->items[i]);
    tsr_free(t->items);
    *t = (tsr_eval_tasks){0};
}

/* The pieces of s[0..n) between separators; an empty piece is no name. */
static tsr_status split(const char *s, size_t n, char separator, char ***out, size_t *count)
{
    size_t pieces = 1, at = 0;
    for (size_t i = 0; i < n; i++)
        pieces += s[i] == separator;
    TSR_TRY(tsr_alloc(out, pieces, sizeof **out));
    for (*count = 0; *count < pieces; at++) {
        size_t k = 0;
        while (at + k < n && s[at + k] != separator)
            k++;
        if (k == 0)
            TSR_FAIL(TSR_EARG, "an empty name");
        TSR_TRY(tsr_strndup(&(*out)[*count], s + at, k));
        (*count)++;
        at += k;
    }
    return TSR_OK;
}

static tsr_status append(tsr_eval_tasks *t, tsr_eval_task *task)
{
    TSR_TRY(tsr_room(&t->items, t->count, &t->cap, sizeof *t->items));
    t->items[t->count++] = *task;
    *task = (tsr_eval_task){0};
    return TSR_OK;
}

tsr_status tsr_eval_tasks_add(tsr_eval_tasks *t, const char *text)
{
    tsr_eval_task task = {0};
    const char *colon = strchr(text, ':'), *to = colon ? colon + 1 : "";
    size_t n_to = strcspn(to, ":");
    tsr_status st;
    if (!colon || n_to == 0)
        TSR_FAIL(TSR_EARG, "task \"%s\": expected INPUT[+INPUT...]:TARGET[:METRIC[,METRIC...]]",
                 text);
    TSR_GO(split(text, (size_t)(colon - text), '+', &task.from, &task.n_from));
    TSR_GO(tsr_strndup(&task.to, to, n_to));
    if (to[n_to] == ':')
        TSR_GO(split(to + n_to + 1, strlen(to + n_to + 1), ',', &task.metrics, &task.n_metrics));
    TSR_GO(append(t, &task));
out:
    clear_task(&task);
    return st == TSR_EARG ? tsr_context(st, "task \"%s\"", text) : st;
}

static tsr_status strings_of(const json_t *list, char ***out, size_t *count)
{
    size_t n = json_is_string(list) ? 1 : json_array_size(list);
    TSR_TRY(tsr_alloc(out, n, sizeof **out));
    for (*count = 0; *count < n; (*count)++) {
        const json_t *one = json_is_string(list) ? list : json_array_get(list, *count);
        TSR_TRY(tsr_strdup(&(*out)[*count], json_string_value(one)));
    }
    return TSR_OK;
}

static tsr_status read_task(const json_t *o, tsr_eval_task *task)
{
    static const char *const ours[] = {"from", "to", "metric", "samples"};
    const char *to = json_string_value(json_object_get(o, "to"));
    if (!to || !json_object_get(o, "from"))
        TSR_FAIL(TSR_ECONFIG, "a task needs \"from\" and \"to\"");
    TSR_TRY(strings_of(json_object_get(o, "from"), &task->from, &task->n_from));
    TSR_TRY(strings_of(json_object_get(o, "metric"), &task->metrics, &task->n_metrics));
    TSR_TRY(tsr_strdup(&task->to, to));
    task->samples = (size_t)json_number_value(json_object_get(o, "samples"));
    task->settings = json_copy((json_t *)o);
    if (!task->settings)
        TSR_FAIL(TSR_ENOMEM, "no memory for a task");
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        json_object_del(task->settings, ours[i]);
    return TSR_OK;
}

tsr_status tsr_eval_tasks_read(tsr_eval_tasks *t, const tsr_recipe *r)
{
    const json_t *list = tsr_recipe_get(r, "tasks"), *o;
    size_t i;
    if (list && !json_is_array(list))
        return tsr_recipe_fail(r, "tasks", "expected a list of tasks");
    json_array_foreach(list, i, o)
    {
        char path[32];
        tsr_eval_task task = {0};
        tsr_status st = read_task(o, &task);
        if (st == TSR_OK)
            st = append(t, &task);
        clear_task(&task);
        snprintf(path, sizeof path, "tasks.%zu", i);
        if (st == TSR_ECONFIG)
            return tsr_recipe_fail(r, path, "%s", tsr_error());
        TSR_TRY(st);
    }
    return TSR_OK;
}

/* ---- how to generate --------------------------------------------------------------------------*/

/* Kinds whose figures are distances of values: the estimate that they ask for is the middle of what
 * the model thinks possible, and the likeliest tokens together are far from it (a depth map that is
 * sky all over). Draws of all places at once are such a sample of possibilities. Labels and
 * directions have no good middle: votes lose small classes, means of normals lean towards none. */
static int has_middle(const char *kind)
{
    static const char *const kinds[] = {"image", "depth"};
    for (size_t i = 0; kind && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i], kind) == 0)
            return 1;
    return 0;
}

/* Otherwise the likeliest target, not a varied one: no draws, few steps. */
static tsr_eval_method defaults(const tsr_mods *mods, size_t m, const char *kind)
{
    tsr_eval_method d = {.target = tsr_target_defaults(mods, m), .variants = 1};
    tsr_target *t = &d.target;
    t->temperature = 0;
    t->top_k = t->top_p = 0;
    t->guidance = 1;
    if (mods->items[m].cls == TSR_CLASS_SEQUENCE)
        return d;
    t->scheme = TSR_SCHEME_MASKGIT;
    t->tokens = TSR_TOKENS_COSINE;
    t->cooling = TSR_TEMPERATURE_CONSTANT;
    t->steps = 8;
    if (has_middle(kind)) {
        t->scheme = TSR_SCHEME_ROAR;
        t->tokens = TSR_TOKENS_LINEAR;
        t->temperature = 1;
        t->steps = 1;
        d.variants = VARIANTS;
    }
    return d;
}

int tsr_eval_is_fixed(const tsr_eval_method *m)
{
    return m->target.temperature == 0 &&
           (m->target.scheme != TSR_SCHEME_ROAR || m->target.steps == 1);
}

/* Members of a task's settings that are not those of a target. */
static int is_ours(const char *key, const json_t *value)
{
    int unlimited = strcmp(key, "max_tokens") == 0 && json_number_value(value) == 0;
    return unlimited || strcmp(key, "variants") == 0 || strcmp(key, "preset") == 0;
}

static tsr_status set_target(tsr_target *t, const json_t *settings)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)settings, key, value)
    {
        char number[32];
        if (is_ours(key, value))
            continue;
        snprintf(number, sizeof number, "%.17g", json_number_value(value));
        TSR_TRY(tsr_target_set(t, key, json_is_string(value) ? json_string_value(value) : number));
    }
    return TSR_OK;
}

/* As a preset has it that is named: what is given then decides, too. */
static tsr_status apply_preset(const tsr_mods *mods, size_t m, const char *need, const char *name,
                               tsr_eval_method *method)
{
    const tsr_preset *p;
    char given[TSR_MODALITIES];
    if (!name)
        return TSR_OK;
    TSR_TRY(tsr_preset_find(name, &p));
    memcpy(given, need, mods->count);
    given[m] = 0;
    tsr_preset_target(p, mods, given, m, &method->target);
    method->variants = 1;
    return TSR_OK;
}

tsr_status tsr_eval_target(const tsr_mods *mods, size_t m, const char *kind, const char *need,
                           const json_t *settings, tsr_eval_method *out)
{
    const json_t *variants = json_object_get(settings, "variants");
    const char *preset = json_string_value(json_object_get(settings, "preset"));
    tsr_eval_method method = defaults(mods, m, kind);
    TSR_TRY(apply_preset(mods, m, need, preset, &method));
    TSR_TRY(set_target(&method.target, settings));
    if (variants)
        method.variants = (size_t)json_number_value(variants);
    if (method.variants > 1 && mods->items[m].cls == TSR_CLASS_SEQUENCE)
        TSR_FAIL(TSR_ECONFIG, "variants: only pictures can be made one, not %s",
                 mods->items[m].name);
    if (tsr_eval_is_fixed(&method))
        method.variants = 1;
    *out = method;
    return TSR_OK;
}

tsr_status tsr_eval_settings(const tsr_eval_method *method, json_t **out)
{
    const tsr_target *t = &method->target;
    json_t *o;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_target_to_json(t, &o));
    if (t->scheme != TSR_SCHEME_AUTOREGRESSIVE)
        TSR_GO(tsr_json_set(o, "tokens", json_string(tsr_token_schedule_name(t->tokens))));
    if (method->variants > 1)
        TSR_GO(tsr_json_set(o, "variants", json_integer((json_int_t)method->variants)));
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

/* ---- metrics ----------------------------------------------------------------------------------*/

static const struct {
    const char *name;
    int higher_is_better;
    double worst;
} metrics[] = {
    {"psnr_db", 1, 0},
    {"ssim", 1, 0},
    {"absrel", 0, 1},
    {"l1", 0, 10},
    {"delta1", 1, 0},
    {"angle_deg", 0, 90},
    {"miou", 1, 0},
    {"accuracy", 1, 0},
    {"mel_db", 0, 100},
    {"delta_e", 0, 100},
    {"exact", 1, 0},
    {"error", 0, 1},
    {"iou", 1, 0},
    {"count_error", 0, 10},
    {"word_errors", 0, 1},
    {"words", 1, 0},
    {"caption_facts", 1, 0},
    {"caption_f1", 1, 0},
    {"caption_objects", 1, 0},
    {"caption_precision", 1, 0},
    {"caption_full", 1, 0},
    {"caption_count", 1, 0},
    {"caption_material", 1, 0},
};

tsr_status tsr_eval_metric(const char *name, int *higher_is_better, double *worst)
{
    const char *names[sizeof metrics / sizeof metrics[0]];
    size_t n = sizeof metrics / sizeof metrics[0];
    for (size_t i = 0; i < n; i++) {
        names[i] = metrics[i].name;
        if (strcmp(names[i], name) != 0)
            continue;
        *higher_is_better = metrics[i].higher_is_better;
        *worst = metrics[i].worst;
        return TSR_OK;
    }
    const char *near = tsr_suggest(name, names, n);
    TSR_FAIL(TSR_EARG, "no metric \"%s\"%s%s%s; see tessera-eval(1)", name,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

size_t tsr_eval_wrong(size_t i, size_t n, uint64_t seed)
{
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_EVAL, n);
    return (i + 1 + tsr_rng_below(&r, (uint32_t)n - 1)) % n;
}

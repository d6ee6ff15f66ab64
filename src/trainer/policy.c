/* SPDX-License-Identifier: Apache-2.0
 * Policies from recipes: maps by modality, components, checks. */
#include "trainer/policy.h"

#include "base/mem.h"
#include "base/str.h"
#include "trainer/budget.h"

#include <math.h>
#include <string.h>

#define COMPONENTS_MOST 4096
#define TOTAL           128 /* tokens of each side unless said otherwise: 4M-7 */

static const char *const classes[] = {"pixels", "image", "vector", "sequence"};
#define CLASSES (sizeof classes / sizeof classes[0])

/* What reading needs everywhere. */
typedef struct reader {
    const char *origin;
    const tsr_mods *mods;
    int lenient; /* modalities the model has not are fine: published mixtures */
    tsr_policy *p;
} reader;

/* --- keys --- */

static tsr_status check_keys(const reader *r, const json_t *o, const char *where,
                             const char *const *known, size_t n)
{
    const char *key;
    json_t *value;
    if (!json_is_object(o))
        TSR_FAIL(TSR_ECONFIG, "%s: %s must be a map", r->origin, where);
    json_object_foreach((json_t *)o, key, value)
    {
        size_t i = 0;
        while (i < n && strcmp(known[i], key) != 0)
            i++;
        if (i < n)
            continue;
        const char *close = tsr_suggest(key, known, n);
        if (close)
            TSR_FAIL(TSR_ECONFIG, "%s: %s.%s: unknown key; did you mean \"%s\"?", r->origin, where,
                     key, close);
        TSR_FAIL(TSR_ECONFIG, "%s: %s.%s: unknown key", r->origin, where, key);
    }
    return TSR_OK;
}

/* `name` against a pattern with one "*". */
static int fits(const char *pattern, const char *name)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : 0, length = strlen(name);
    if (!star)
        return strcmp(pattern, name) == 0;
    return length >= before + strlen(star + 1) && strncmp(pattern, name, before) == 0 &&
           tsr_ends_with(name, star + 1);
}

static int key_known(const reader *r, const char *key)
{
    if (strcmp(key, "default") == 0)
        return 1;
    for (size_t i = 0; i < CLASSES; i++)
        if (strcmp(key, classes[i]) == 0)
            return 1;
    for (size_t m = 0; m < r->mods->count; m++)
        if (fits(key, r->mods->items[m].name))
            return 1;
    return 0;
}

/* Keys of a map by modality. */
static tsr_status check_map(const reader *r, const json_t *map, const char *where)
{
    const char *names[TSR_MODALITIES + CLASSES + 1], *key;
    size_t n = 0;
    json_t *value;
    if (!json_is_object(map))
        return TSR_OK;
    for (; n < r->mods->count; n++)
        names[n] = r->mods->items[n].name;
    for (size_t i = 0; i < CLASSES; i++)
        names[n++] = classes[i];
    names[n++] = "default";
    json_object_foreach((json_t *)map, key, value)
    {
        if (key_known(r, key) || r->lenient)
            continue;
        const char *close = tsr_suggest(key, names, n);
        if (close)
            TSR_FAIL(TSR_ECONFIG, "%s: %s.%s: no such modality; did you mean \"%s\"?", r->origin,
                     where, key, close);
        TSR_FAIL(TSR_ECONFIG, "%s: %s.%s: the model has no such modality", r->origin, where, key);
    }
    return TSR_OK;
}

/* The value that counts for modality m: a value for all, or by name, pattern, class, default. NULL
 * if none. *named: by name or pattern. */
static const json_t *find(const reader *r, const json_t *map, size_t m, int *named)
{
    const tsr_mod *mod = &r->mods->items[m];
    const json_t *at;
    const char *key;
    json_t *value;
    *named = 0;
    if (!json_is_object(map))
        return map;
    *named = 1;
    if ((at = json_object_get(map, mod->name)))
        return at;
    json_object_foreach((json_t *)map, key,
                        value) if (strchr(key, '*') && fits(key, mod->name)) return value;
    *named = 0;
    at = json_object_get(map, tsr_modality_class_name(mod->cls));
    return at ? at : json_object_get(map, "default");
}

/* --- values --- */

static tsr_status number(const reader *r, const json_t *v, const char *where, double lo, double hi,
                         double *out)
{
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= lo && x <= hi))
        TSR_FAIL(TSR_ECONFIG, "%s: %s must be a number from %g to %g", r->origin, where, lo, hi);
    *out = x;
    return TSR_OK;
}

static tsr_status whole(const reader *r, const json_t *v, const char *where, uint32_t hi,
                        uint32_t *out)
{
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= 0 && x <= hi) || x != floor(x))
        TSR_FAIL(TSR_ECONFIG, "%s: %s must be a whole number from 0 to %u", r->origin, where, hi);
    *out = (uint32_t)x;
    return TSR_OK;
}

/* [low, high], or one number for both. */
static tsr_status range(const reader *r, const json_t *v, const char *where, uint32_t hi,
                        uint32_t out[2])
{
    int list = json_is_array(v);
    if (list && json_array_size(v) != 2)
        TSR_FAIL(TSR_ECONFIG, "%s: %s must be [least, most]", r->origin, where);
    TSR_TRY(whole(r, list ? json_array_get(v, 0) : v, where, hi, &out[0]));
    TSR_TRY(whole(r, list ? json_array_get(v, 1) : v, where, hi, &out[1]));
    if (out[0] > out[1])
        TSR_FAIL(TSR_ECONFIG, "%s: %s: least %u is above most %u", r->origin, where, out[0],
                 out[1]);
    return TSR_OK;
}

static tsr_status word(const reader *r, const json_t *v, const char *where,
                       const char *const *words, size_t n, size_t *out)
{
    const char *s = json_string_value(v);
    tsr_str list = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; s && i < n; i++)
        if (strcmp(words[i], s) == 0) {
            *out = i;
            return TSR_OK;
        }
    for (size_t i = 0; i < n; i++)
        TSR_GO(tsr_str_addf(&list, "%s%s", i ? ", " : "", words[i]));
    st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: %s: '%s' is none of %s", r->origin,
                     where, s ? s : "(no word)", list.s);
out:
    tsr_str_clear(&list);
    return st;
}

/* --- maps by modality --- */

/* One value of a map, stored for modality m. `side` and `c` as the map needs them. */
typedef struct slot {
    size_t m;
    int side, named;
    tsr_component *c;
    const char *where;
} slot;

typedef tsr_status (*set_one)(const reader *r, const json_t *v, const slot *at);

static tsr_status each(const reader *r, const json_t *map, const slot *base, set_one set)
{
    if (!map)
        return TSR_OK;
    TSR_TRY(check_map(r, map, base->where));
    for (size_t m = 0; m < r->mods->count; m++) {
        slot at = *base;
        at.m = m;
        const json_t *v = find(r, map, m, &at.named);
        if (v)
            TSR_TRY(set(r, v, &at));
    }
    return TSR_OK;
}

static int plays(const tsr_mod *m, int side)
{
    return side == TSR_SIDE_IN ? m->input : m->output && m->cls != TSR_CLASS_PIXELS;
}

static tsr_status set_alpha(const reader *r, const json_t *v, const slot *at)
{
    const tsr_mod *mod = &r->mods->items[at->m];
    double a;
    TSR_TRY(number(r, v, at->where, 0, TSR_ALPHA_MOST, &a));
    if (a > 0 && a < TSR_ALPHA_LEAST)
        TSR_FAIL(TSR_ECONFIG, "%s: %s: the least concentration is %g (0: never)", r->origin,
                 at->where, TSR_ALPHA_LEAST);
    if (a > 0 && at->named && !r->lenient && !plays(mod, at->side))
        TSR_FAIL(TSR_ECONFIG, "%s: %s: '%s' cannot be %s", r->origin, at->where, mod->name,
                 at->side == TSR_SIDE_IN ? "an input" : "a target");
    at->c->alpha[at->side][at->m] = plays(mod, at->side) ? a : 0;
    return TSR_OK;
}

static tsr_status set_keep(const reader *r, const json_t *v, const slot *at)
{
    static const char *const words[] = {"random", "all", "binary"};
    size_t i;
    TSR_TRY(word(r, v, at->where, words, 3, &i));
    at->c->keep[at->m] = (tsr_keep)i;
    return TSR_OK;
}

static tsr_status set_grid(const reader *r, const json_t *v, const slot *at)
{
    static const char *const words[] = {"random", "block", "whole"};
    const tsr_mod *mod = &r->mods->items[at->m];
    size_t i;
    TSR_TRY(word(r, v, at->where, words, 3, &i));
    if (mod->cls == TSR_CLASS_SEQUENCE && at->named)
        TSR_FAIL(TSR_ECONFIG, "%s: %s: '%s' is a sequence; see keep", r->origin, at->where,
                 mod->name);
    if (mod->cls != TSR_CLASS_SEQUENCE)
        r->p->grid[at->m] = (tsr_grid_kind)i;
    return TSR_OK;
}

static tsr_status set_drop(const reader *r, const json_t *v, const slot *at)
{
    return number(r, v, at->where, 0, 1, &r->p->drop[at->m]);
}

static tsr_status set_limit(const reader *r, const json_t *v, const slot *at)
{
    uint32_t pair[2];
    TSR_TRY(range(r, v, at->where, TSR_BUDGET_MOST, pair));
    r->p->floor[at->side][at->m] = json_is_array(v) ? pair[0] : 0;
    r->p->cap[at->side][at->m] = pair[1];
    return TSR_OK;
}

static tsr_status set_value_family(const reader *r, const char *s, const slot *at, tsr_chunks *c)
{
    if (s[0] != 'v' || s[1] < '0' || s[1] > '3' || s[2])
        TSR_FAIL(TSR_ECONFIG, "%s: %s: '%s' is none of v0, v1, v2, v3", r->origin, at->where, s);
    c->low = TSR_ID_VALUE + TSR_ID_VALUES * (uint32_t)(s[1] - '0');
    c->high = c->low + TSR_ID_VALUES - 1;
    return TSR_OK;
}

static tsr_status set_chunks(const reader *r, const json_t *v, const slot *at)
{
    static const char *const keys[] = {"starts", "every", "after"};
    const tsr_mod *mod = &r->mods->items[at->m];
    tsr_chunks *c = &r->p->chunks[at->m];
    uint32_t pair[2];
    if (mod->cls != TSR_CLASS_SEQUENCE && !at->named)
        return TSR_OK;
    if (mod->cls != TSR_CLASS_SEQUENCE)
        TSR_FAIL(TSR_ECONFIG, "%s: %s: '%s' is no sequence", r->origin, at->where, mod->name);
    if (json_is_string(v))
        return set_value_family(r, json_string_value(v), at, c);
    TSR_TRY(check_keys(r, v, at->where, keys, 3));
    const json_t *starts = json_object_get(v, "starts"), *every = json_object_get(v, "every");
    const json_t *after = json_object_get(v, "after");
    if (!starts == !every || (after && !every))
        TSR_FAIL(TSR_ECONFIG, "%s: %s of '%s' needs either starts, or every with or without after",
                 r->origin, at->where, mod->name);
    if (after)
        TSR_TRY(whole(r, after, at->where, TSR_BUDGET_MOST, &c->after));
    if (every)
        TSR_TRY(whole(r, every, at->where, TSR_BUDGET_MOST, &c->every));
    if (every && !c->every)
        TSR_FAIL(TSR_ECONFIG, "%s: %s: every must be at least 1", r->origin, at->where);
    if (every)
        return TSR_OK;
    TSR_TRY(range(r, starts, at->where, INT32_MAX, pair));
    c->low = pair[0];
    c->high = pair[1];
    return c->high ? TSR_OK
                   : tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: %s: no id starts a chunk",
                                 r->origin, at->where);
}

/* --- components --- */

static const char *const sides[] = {"inputs", "targets"};

static tsr_status read_totals(const reader *r, const json_t *v, const char *where, tsr_component *c)
{
    if (!v)
        return TSR_OK;
    TSR_TRY(check_keys(r, v, where, sides, 2));
    for (int side = 0; side < TSR_SIDES; side++) {
        const json_t *at = json_object_get(v, sides[side]);
        uint32_t pair[2];
        int rest = side == TSR_SIDE_OUT && json_is_string(at) &&
                   strcmp(json_string_value(at), "rest") == 0;
        if (!at)
            continue;
        if (side == TSR_SIDE_OUT)
            c->rest = rest;
        if (rest)
            continue;
        TSR_TRY(range(r, at, where, TSR_BUDGET_MOST, pair));
        c->least[side] = pair[0];
        c->most[side] = pair[1];
    }
    return TSR_OK;
}

static tsr_status read_subset(const reader *r, const json_t *v, const char *where, tsr_component *c)
{
    if (!v)
        return TSR_OK;
    TSR_TRY(check_keys(r, v, where, sides, 2));
    for (int side = 0; side < TSR_SIDES; side++) {
        const json_t *at = json_object_get(v, sides[side]);
        uint32_t pair[2];
        if (!at)
            continue;
        TSR_TRY(range(r, at, where, TSR_MODALITIES, pair));
        if (!pair[0])
            TSR_FAIL(TSR_ECONFIG, "%s: %s: a subset has at least 1 modality", r->origin, where);
        c->subset_least[side] = pair[0];
        c->subset_most[side] = pair[1];
    }
    return TSR_OK;
}

static tsr_status read_component(const reader *r, const json_t *v, size_t k, tsr_component *c)
{
    static const char *const keys[] = {"weight", "inputs", "targets", "keep", "totals", "subset"};
    char where[64], part[96];
    snprintf(where, sizeof where, "mask.components.%zu", k);
    TSR_TRY(check_keys(r, v, where, keys, sizeof keys / sizeof keys[0]));
    const json_t *weight = json_object_get(v, "weight");
    snprintf(part, sizeof part, "%s.weight", where);
    if (weight)
        TSR_TRY(number(r, weight, part, 0, 1e9, &c->weight));
    snprintf(part, sizeof part, "%s.totals", where);
    TSR_TRY(read_totals(r, json_object_get(v, "totals"), part, c));
    snprintf(part, sizeof part, "%s.subset", where);
    TSR_TRY(read_subset(r, json_object_get(v, "subset"), part, c));
    snprintf(part, sizeof part, "%s.keep", where);
    TSR_TRY(each(r, json_object_get(v, "keep"), &(slot){.c = c, .where = part}, set_keep));
    for (int side = 0; side < TSR_SIDES; side++) {
        snprintf(part, sizeof part, "%s.%s", where, sides[side]);
        TSR_TRY(each(r, json_object_get(v, sides[side]),
                     &(slot){.c = c, .side = side, .where = part}, set_alpha));
    }
    return TSR_OK;
}

/* `list`: components, or NULL: one that is the defaults. */
static tsr_status read_components(reader *r, const json_t *list, const tsr_component *defaults)
{
    tsr_policy *p = r->p;
    size_t n = list ? json_array_size(list) : 1;
    if (list && (!json_is_array(list) || !n || n > COMPONENTS_MOST))
        TSR_FAIL(TSR_ECONFIG, "%s: mask.components must be a list of 1 to %d", r->origin,
                 COMPONENTS_MOST);
    TSR_TRY(tsr_alloc(&p->components, n, sizeof *p->components));
    p->n_components = n;
    for (size_t k = 0; k < n; k++) {
        p->components[k] = *defaults;
        if (list)
            TSR_TRY(read_component(r, json_array_get(list, k), k, &p->components[k]));
        p->weights += p->components[k].weight;
    }
    if (!(p->weights > 0))
        TSR_FAIL(TSR_ECONFIG, "%s: the weights of mask.components sum to nothing", r->origin);
    return TSR_OK;
}

/* --- the whole --- */

static const char *const policy_keys[] = {"totals", "components", "keep",   "subset",
                                          "grids",  "chunks",     "limits", "drop",
                                          "compat", "preset",     "alphas", "names"};
#define POLICY_KEYS (sizeof policy_keys / sizeof policy_keys[0])

static void component_defaults(const tsr_mods *mods, tsr_component *c)
{
    *c = (tsr_component){.weight = 1, .least = {TOTAL, TOTAL}, .most = {TOTAL, TOTAL}};
    for (size_t m = 0; m < mods->count; m++)
        for (int side = 0; side < TSR_SIDES; side++)
            c->alpha[side][m] = plays(&mods->items[m], side);
}

static tsr_status read_limits(const reader *r, const json_t *v)
{
    static const char *const where[] = {"mask.limits.inputs", "mask.limits.targets"};
    if (!v)
        return TSR_OK;
    TSR_TRY(check_keys(r, v, "mask.limits", sides, 2));
    for (int side = 0; side < TSR_SIDES; side++)
        TSR_TRY(each(r, json_object_get(v, sides[side]),
                     &(slot){.side = side, .where = where[side]}, set_limit));
    return TSR_OK;
}

/* Maps that hold for all components. */
static tsr_status read_common(const reader *r, const json_t *v)
{
    const json_t *compat = json_object_get(v, "compat");
    TSR_TRY(each(r, json_object_get(v, "grids"), &(slot){.where = "mask.grids"}, set_grid));
    TSR_TRY(each(r, json_object_get(v, "chunks"), &(slot){.where = "mask.chunks"}, set_chunks));
    TSR_TRY(each(r, json_object_get(v, "drop"), &(slot){.where = "mask.drop"}, set_drop));
    TSR_TRY(read_limits(r, json_object_get(v, "limits")));
    if (compat && !json_is_boolean(compat))
        TSR_FAIL(TSR_ECONFIG, "%s: mask.compat must be true or false", r->origin);
    r->p->compat = json_is_true(compat);
    return TSR_OK;
}

/* Modalities have other names in the file: give each map of a component the model's. */
static tsr_status rename_keys(const reader *r, const json_t *names, json_t *components)
{
    static const char *const maps[] = {"inputs", "targets", "keep"};
    const char *ours, *theirs;
    json_t *name, *c;
    size_t k;
    json_object_foreach((json_t *)names, ours, name)
    {
        theirs = json_string_value(name);
        if (!theirs || tsr_mods_find(r->mods, ours) < 0)
            TSR_FAIL(TSR_ECONFIG, "%s: mask.names.%s: expected the model's name: the file's name",
                     r->origin, ours);
        json_array_foreach(components, k, c) for (size_t i = 0; i < sizeof maps / sizeof maps[0];
                                                  i++)
        {
            json_t *map = json_object_get(c, maps[i]), *v = json_object_get(map, theirs);
            if (v)
                TSR_TRY(tsr_json_set(map, ours, json_incref(v)));
        }
    }
    return TSR_OK;
}

/* Every modality of the model must be in the file. */
static tsr_status check_covers(const reader *r, const json_t *components, const char *path)
{
    const json_t *map = json_object_get(json_array_get(components, 0), "inputs");
    for (size_t m = 0; m < r->mods->count; m++)
        if (!json_object_get(map, r->mods->items[m].name))
            TSR_FAIL(TSR_ECONFIG,
                     "%s: %s has no concentrations of '%s'; if it has them under another "
                     "name, say so in mask.names",
                     r->origin, path, r->mods->items[m].name);
    return TSR_OK;
}

static tsr_status read_alphas(const reader *r, const char *path, const json_t *names, json_t **out)
{
    json_t *components;
    TSR_TRY(tsr_policy_read_alphas(path, &components));
    *out = json_pack("{s:o}", "components", components);
    if (!*out)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_TRY(rename_keys(r, names, components));
    return check_covers(r, components, path);
}

/* Components by name or from a file; *out owned, an object with `components` and perhaps `totals`;
 * NULL when neither is asked for. */
static tsr_status read_published(const reader *r, const json_t *v, json_t **out)
{
    const json_t *preset = json_object_get(v, "preset"), *alphas = json_object_get(v, "alphas");
    const json_t *names = json_object_get(v, "names");
    *out = NULL;
    if (names && (!alphas || !json_is_object(names)))
        TSR_FAIL(TSR_ECONFIG, "%s: mask.names is a map that goes with mask.alphas", r->origin);
    if (!!preset + !!alphas + !!json_object_get(v, "components") > 1)
        TSR_FAIL(TSR_ECONFIG, "%s: mask has more than one of components, preset and alphas",
                 r->origin);
    if ((preset && !json_is_string(preset)) || (alphas && !json_is_string(alphas)))
        TSR_FAIL(TSR_ECONFIG, "%s: mask.preset and mask.alphas take a word", r->origin);
    if (preset)
        return tsr_policy_preset(json_string_value(preset), out);
    return alphas ? read_alphas(r, json_string_value(alphas), names, out) : TSR_OK;
}

/* Components of a published mixture that show this model nothing are a misunderstanding. */
static tsr_status check_shown(const reader *r)
{
    for (size_t k = 0; k < r->p->n_components; k++) {
        size_t m = 0;
        while (m < r->mods->count && r->p->components[k].alpha[TSR_SIDE_IN][m] <= 0)
            m++;
        if (m == r->mods->count)
            TSR_FAIL(TSR_ECONFIG,
                     "%s: mask: component %zu of the published mixture has inputs, but this model "
                     "has none of them (such as pixels, or a modality named rgb); write "
                     "mask.components instead",
                     r->origin, k);
    }
    return TSR_OK;
}

static tsr_status read_policy(reader *r, const json_t *v, json_t *published)
{
    tsr_component defaults;
    const json_t *list = json_object_get(v, "components");
    component_defaults(r->mods, &defaults);
    TSR_TRY(read_totals(r, json_object_get(published, "totals"), "mask.totals", &defaults));
    TSR_TRY(read_totals(r, json_object_get(v, "totals"), "mask.totals", &defaults));
    TSR_TRY(read_subset(r, json_object_get(v, "subset"), "mask.subset", &defaults));
    r->lenient = 1;
    TSR_TRY(each(r, json_object_get(published, "keep"),
                 &(slot){.c = &defaults, .where = "mask.keep"}, set_keep));
    r->lenient = 0;
    TSR_TRY(each(r, json_object_get(v, "keep"), &(slot){.c = &defaults, .where = "mask.keep"},
                 set_keep));
    TSR_TRY(read_common(r, v));
    if (!published)
        return read_components(r, list, &defaults);
    r->lenient = 1;
    TSR_TRY(read_components(r, json_object_get(published, "components"), &defaults));
    return check_shown(r);
}

tsr_status tsr_policy_create(const json_t *value, const char *origin, const tsr_mods *mods,
                             tsr_policy **out)
{
    tsr_policy *p = NULL;
    json_t *published = NULL, *empty = json_object();
    const json_t *v = value && !json_is_null(value) ? value : empty;
    tsr_status st;
    reader r = {.origin = origin, .mods = mods};
    TSR_GO(tsr_alloc(&p, 1, sizeof *p));
    r.p = p;
    p->mods = *mods;
    memset(p->cap, 0xff, sizeof p->cap);
    TSR_GO(check_keys(&r, v, "mask", policy_keys, POLICY_KEYS));
    TSR_GO(read_published(&r, v, &published));
    TSR_GO(read_policy(&r, v, published));
    TSR_GO(tsr_policy_check(p, origin));
    *out = p;
    p = NULL;
out:
    json_decref(published);
    json_decref(empty);
    tsr_policy_destroy(p);
    return st;
}

void tsr_policy_destroy(tsr_policy *p)
{
    if (!p)
        return;
    tsr_free(p->components);
    tsr_free(p);
}

/* SPDX-License-Identifier: Apache-2.0
 * Corpora, masks and validation sets of a training recipe. */
#include "trainer/trainset.h"

#include "base/mem.h"
#include "base/str.h"
#include "shards/manifest.h"

#include <string.h>

/* --- modalities --------------------------------------------------------------------------------
 */

/* What the model calls a modality of the corpus: the key that `names` maps to it, or its own name;
 * NULL when its name stands for another one. */
static const char *model_name(const json_t *names, const char *theirs)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)names, key, v)
    {
        if (strcmp(json_string_value(v), theirs) == 0)
            return key;
    }
    return json_object_get(names, theirs) ? NULL : theirs;
}

static tsr_status add_modalities(const tsr_recipe *r, const char *path, const json_t *names,
                                 tsr_mods *all)
{
    tsr_manifest m;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_manifest_read(path, &m));
    for (size_t i = 0; i < m.n_modalities; i++) {
        tsr_mod mod;
        const char *name = model_name(names, m.modalities[i].space.modality);
        if (!name || tsr_mods_find(all, name) >= 0)
            continue;
        tsr_mod_of_space(&m.modalities[i].space, &mod);
        if (!tsr_modality_name_ok(name)) {
            st = tsr_recipe_fail(r, "data", "\"%s\" is not a modality's name", name);
            break;
        }
        memcpy(mod.name, name, strlen(name) + 1);
        st = tsr_mods_add(all, &mod);
        if (st != TSR_OK)
            break;
    }
    tsr_manifest_clear(&m);
    return st;
}

/* Several corpora have a shared vocabulary each; a model of all of them needs one. */
static tsr_status assign_bases(tsr_mods *all)
{
    tsr_token_space spaces[TSR_MODALITIES];
    size_t n = 0;
    uint32_t total;
    for (size_t m = 0; m < all->count; m++) {
        const tsr_mod *mod = &all->items[m];
        tsr_token_space s = {.codebook_size = mod->vocabulary};
        if (mod->cls == TSR_CLASS_PIXELS)
            continue;
        memcpy(s.modality, mod->name, sizeof s.modality);
        memcpy(s.vocabulary, mod->cls == TSR_CLASS_SEQUENCE ? mod->range : mod->name,
               sizeof s.vocabulary);
        spaces[n++] = s;
    }
    TSR_TRY(tsr_vocabulary_assign(spaces, n, &total));
    for (size_t i = 0; i < n; i++) {
        tsr_mod *mod = &all->items[tsr_mods_find(all, spaces[i].modality)];
        mod->base = spaces[i].base;
        memcpy(mod->range, spaces[i].vocabulary, sizeof mod->range);
    }
    return TSR_OK;
}

/* 1 when the list at `key` (absent: everything) has the name. */
static int chosen(const tsr_recipe *r, const char *key, const char *name)
{
    const json_t *list = tsr_recipe_get(r, key);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v)
    {
        if (strcmp(json_string_value(v), name) == 0)
            return 1;
    }
    return !list;
}

static tsr_status check_known(const tsr_recipe *r, const char *key, const char *name,
                              const tsr_mods *all)
{
    const char *words[TSR_MODALITIES];
    tsr_str list = {0};
    tsr_status st = TSR_OK;
    if (tsr_mods_find(all, name) >= 0)
        return TSR_OK;
    for (size_t m = 0; m < all->count; m++) {
        words[m] = all->items[m].name;
        TSR_GO(tsr_str_addf(&list, "%s%s", m ? ", " : "", words[m]));
    }
    const char *close = tsr_suggest(name, words, all->count);
    st = close ? tsr_recipe_fail(r, key,
                                 "no corpus has modality \"%s\"; did you mean \"%s\"? "
                                 "There are %s",
                                 name, close, list.s)
               : tsr_recipe_fail(r, key, "no corpus has modality \"%s\"; there are %s", name,
                                 list.s ? list.s : "none");
out:
    tsr_str_clear(&list);
    return st;
}

static tsr_status check_list(const tsr_recipe *r, const char *key, const tsr_mods *all)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)tsr_recipe_get(r, key), i, v)
    {
        TSR_TRY(check_known(r, key, json_string_value(v), all));
    }
    return TSR_OK;
}

static tsr_status check_keys(const tsr_recipe *r, const char *key, const tsr_mods *all)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)tsr_recipe_get(r, key), name, v)
    {
        TSR_TRY(check_known(r, key, name, all));
    }
    return TSR_OK;
}

static tsr_status choose(const tsr_recipe *r, const tsr_mods *all, tsr_mods *out)
{
    const json_t *outputs = tsr_recipe_get(r, "model.outputs");
    TSR_TRY(check_list(r, "model.inputs", all));
    TSR_TRY(check_list(r, "model.outputs", all));
    TSR_TRY(check_keys(r, "model.max_tokens", all));
    TSR_TRY(check_keys(r, "train.weights", all));
    *out = (tsr_mods){.count = 0};
    for (size_t i = 0; i < all->count; i++) {
        tsr_mod m = all->items[i];
        m.input = chosen(r, "model.inputs", m.name);
        m.output = chosen(r, "model.outputs", m.name);
        if (m.cls == TSR_CLASS_PIXELS && m.output && outputs)
            return tsr_recipe_fail(r, "model.outputs", "%s holds pixels, which are input only",
                                   m.name);
        m.output = m.output && m.cls != TSR_CLASS_PIXELS;
        const json_t *most = json_object_get(tsr_recipe_get(r, "model.max_tokens"), m.name);
        if (most && m.cls != TSR_CLASS_SEQUENCE)
            return tsr_recipe_fail(r, "model.max_tokens", "%s is no sequence: it has %u tokens",
                                   m.name, m.places);
        if (most)
            m.max_tokens = (uint32_t)json_integer_value(most);
        if (m.input || m.output)
            TSR_TRY(tsr_mods_add(out, &m));
    }
    if (!out->count)
        return tsr_recipe_fail(r, "model", "no modality is left");
    return TSR_OK;
}

tsr_status tsr_trainset_mods(const tsr_recipe *r, tsr_mods *out)
{
    const json_t *data = tsr_recipe_get(r, "data");
    tsr_mods all = {.count = 0};
    const char *name;
    json_t *v;
    if (!json_object_size(data))
        return tsr_recipe_fail(r, "data", "names no corpus");
    json_object_foreach((json_t *)data, name, v)
    {
        const char *path = json_string_value(json_object_get(v, "corpus"));
        if (!path)
            return tsr_recipe_fail(r, "data", "%s: its folder, `corpus`, is missing", name);
        TSR_TRY(add_modalities(r, path, json_object_get(v, "names"), &all));
    }
    if (json_object_size(data) > 1)
        TSR_TRY(assign_bases(&all));
    return choose(r, &all, out);
}

/* --- feeds -------------------------------------------------------------------------------------
 */

static tsr_status make_policy(tsr_trainset *s, const json_t *value, const char *where,
                              tsr_policy **out)
{
    char *origin;
    TSR_TRY(tsr_format(&origin, "%s: %s", tsr_recipe_origin(s->recipe), where));
    tsr_status st = tsr_policy_create(value, origin, &s->mods, out);
    tsr_free(origin);
    return st;
}

/* The feed of one entry of `data`; names: [mods], NULL entries where nothing is mapped. */
static tsr_status fill_feed(tsr_trainset *s, const char *key, const json_t *v, const char **names,
                            tsr_feed *f)
{
    const json_t *weight = json_object_get(v, "weight"), *mapped = json_object_get(v, "names");
    const json_t *split = json_object_get(v, "split"), *mask = json_object_get(v, "mask");
    const char *name;
    json_t *theirs;
    *f = (tsr_feed){
        .path = json_string_value(json_object_get(v, "corpus")),
        .split = split ? json_string_value(split) : "train",
        .weight = weight ? json_number_value(weight) : 1,
        .names = names,
        .policy = s->policies[0],
        .random_crops = json_is_true(json_object_get(v, "random_crops")),
    };
    json_object_foreach((json_t *)mapped, name, theirs)
    {
        int m = tsr_mods_find(&s->mods, name);
        if (m >= 0)
            names[m] = json_string_value(theirs);
    }
    /* A modality that has got another name is not there under its own. */
    json_object_foreach((json_t *)mapped, name, theirs)
    {
        int m = tsr_mods_find(&s->mods, json_string_value(theirs));
        if (m >= 0 && !names[m])
            names[m] = "";
    }
    if (!mask)
        return TSR_OK;
    TSR_TRY(make_policy(s, mask, key, &s->policies[s->n_policies]));
    f->policy = s->policies[s->n_policies++];
    return TSR_OK;
}

static tsr_status make_feeds(tsr_trainset *s)
{
    const json_t *data = tsr_recipe_get(s->recipe, "data");
    size_t n = json_object_size(data), all;
    const char *key;
    json_t *v;
    TSR_TRY(tsr_alloc(&s->feeds, n, sizeof *s->feeds));
    TSR_TRY(tsr_alloc(&s->policies, n + 1, sizeof(tsr_policy *)));
    TSR_TRY(tsr_mul_size(n, TSR_MODALITIES, &all));
    TSR_TRY(tsr_alloc(&s->names, all, sizeof *s->names));
    TSR_TRY(make_policy(s, tsr_recipe_get(s->recipe, "mask"), "mask", &s->policies[0]));
    s->n_policies = 1;
    json_object_foreach((json_t *)data, key, v)
    {
        TSR_TRY(
            fill_feed(s, key, v, s->names + s->n_feeds * TSR_MODALITIES, &s->feeds[s->n_feeds]));
        s->n_feeds++;
    }
    return TSR_OK;
}

/* --- validation --------------------------------------------------------------------------------
 */

static tsr_status make_valset(tsr_trainset *s, const char *name, const json_t *v, tsr_valset *out)
{
    const json_t *split = json_object_get(v, "split"), *samples = json_object_get(v, "samples");
    const json_t *corpus = json_object_get(v, "corpus"), *mask = json_object_get(v, "mask");
    const json_t *of = tsr_recipe_get(s->recipe, "data");
    out->name = name;
    out->samples = samples ? (uint64_t)json_integer_value(samples) : 256;
    if (corpus && json_object_get(of, json_string_value(corpus)) == NULL)
        return tsr_recipe_fail(s->recipe, "validation", "%s: no entry of data is called \"%s\"",
                               name, json_string_value(corpus));
    TSR_TRY(make_policy(s, mask ? mask : tsr_recipe_get(s->recipe, "mask"), name, &out->policy));
    TSR_TRY(tsr_alloc(&out->feeds, s->n_feeds, sizeof *out->feeds));
    const char *key;
    json_t *entry;
    size_t i = 0;
    json_object_foreach((json_t *)of, key, entry)
    {
        tsr_feed f = s->feeds[i++];
        if (corpus && strcmp(json_string_value(corpus), key) != 0)
            continue;
        f.split = split ? json_string_value(split) : "val";
        f.policy = out->policy;
        f.weight = 1;
        f.random_crops = 0;
        out->feeds[out->n_feeds++] = f;
    }
    return TSR_OK;
}

static tsr_status make_valsets(tsr_trainset *s)
{
    const json_t *of = tsr_recipe_get(s->recipe, "validation");
    const char *name;
    json_t *v;
    TSR_TRY(tsr_alloc(&s->vals, json_object_size(of), sizeof *s->vals));
    json_object_foreach((json_t *)of, name, v)
    {
        s->n_vals++;
        TSR_TRY(make_valset(s, name, v, &s->vals[s->n_vals - 1]));
    }
    return TSR_OK;
}

tsr_status tsr_trainset_open(const tsr_recipe *r, const tsr_mods *mods, tsr_trainset *out)
{
    tsr_trainset s = {.recipe = r, .mods = *mods};
    tsr_status st = TSR_OK;
    TSR_GO(make_feeds(&s));
    TSR_GO(make_valsets(&s));
    *out = s;
    return TSR_OK;
out:
    tsr_trainset_close(&s);
    return st;
}

void tsr_trainset_close(tsr_trainset *s)
{
    for (size_t i = 0; i < s->n_policies; i++)
        tsr_policy_destroy(s->policies[i]);
    for (size_t i = 0; i < s->n_vals; i++) {
        tsr_policy_destroy(s->vals[i].policy);
        tsr_free(s->vals[i].feeds);
    }
    tsr_free(s->policies);
    tsr_free(s->vals);
    tsr_free(s->feeds);
    tsr_free(s->names);
    *s = (tsr_trainset){0};
}

static void raise_to(size_t *most, size_t n)
{
    *most = n > *most ? n : *most;
}

static void add_capacity(const tsr_policy *p, size_t modalities, tsr_capacity *c)
{
    raise_to(&c->in_rows, tsr_policy_inputs(p));
    raise_to(&c->out_rows, tsr_policy_targets(p));
    for (size_t m = 0; m < modalities; m++) {
        raise_to(&c->in_of[m], tsr_policy_inputs_of(p, m));
        raise_to(&c->out_of[m], tsr_policy_targets_of(p, m));
    }
}

void tsr_trainset_capacity(const tsr_trainset *s, tsr_capacity *out)
{
    *out = (tsr_capacity){0};
    for (size_t i = 0; i < s->n_policies; i++)
        add_capacity(s->policies[i], s->mods.count, out);
    for (size_t i = 0; i < s->n_vals; i++)
        add_capacity(s->vals[i].policy, s->mods.count, out);
}

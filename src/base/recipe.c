/* SPDX-License-Identifier: Apache-2.0
 * Recipes: merge of file, overrides and defaults, and the schema check. */
#include "base/recipe.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/yamltree.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1 << 20)
#define MAX_WORDS 256

struct tsr_recipe {
    char *origin;
    json_t *tree;
    json_t *lines; /* dotted path -> line; 0: an override */
    const tsr_field *fields;
    size_t n_fields;
};

/* The next component of a dotted path: its length; *rest is what follows the dot, or NULL. */
static size_t component(const char *path, const char **rest)
{
    size_t n = strcspn(path, ".");
    *rest = path[n] ? path + n + 1 : NULL;
    return n;
}

typedef enum match {
    MATCH_NONE,
    MATCH_ABOVE, /* path is a folder of the pattern */
    MATCH_SAME,
    MATCH_BELOW, /* path lies below the pattern */
} match;

static match match_path(const char *pattern, const char *path)
{
    while (pattern && path) {
        const char *next_pattern, *next_path;
        size_t n = component(pattern, &next_pattern), m = component(path, &next_path);
        int star = n == 1 && pattern[0] == '*';
        if (!star && (n != m || memcmp(pattern, path, n) != 0))
            return MATCH_NONE;
        pattern = next_pattern;
        path = next_path;
    }
    return pattern ? MATCH_ABOVE : path ? MATCH_BELOW : MATCH_SAME;
}

static json_t *child(const json_t *node, const char *key)
{
    if (json_is_array(node)) {
        char *end;
        unsigned long i = strtoul(key, &end, 10);
        return *key >= '0' && *key <= '9' && !*end ? json_array_get(node, i) : NULL;
    }
    return json_object_get(node, key);
}

/* Node at `path`, or NULL. */
static json_t *lookup(json_t *tree, const char *path)
{
    char key[256];
    for (const char *rest; path && tree; path = rest) {
        size_t n = component(path, &rest);
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        tree = child(tree, key);
    }
    return tree;
}

tsr_status tsr_recipe_fail(const tsr_recipe *r, const char *path, const char *fmt, ...)
{
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const json_t *line = json_object_get(r->lines, path);
    long long n = json_integer_value(line);
    if (!line)
        TSR_FAIL(TSR_ECONFIG, "%s: %s: %s", r->origin, path, text);
    if (n == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: -s %s: %s", r->origin, path, text);
    TSR_FAIL(TSR_ECONFIG, "%s: line %lld: %s: %s", r->origin, n, path, text);
}

/* Container of the last component of `path`, making mappings on the way. */
static tsr_status container(tsr_recipe *r, const char *path, json_t **node, char **last)
{
    char key[256];
    json_t *at = r->tree;
    for (const char *rest;; path = rest) {
        size_t n = component(path, &rest);
        if (n == 0 || n >= sizeof key)
            TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is not a dotted path", r->origin, path);
        memcpy(key, path, n);
        key[n] = '\0';
        if (!rest)
            break;
        json_t *next = child(at, key);
        if (!next && json_is_object(at)) {
            TSR_TRY(tsr_json_set(at, key, json_object()));
            next = json_object_get(at, key);
        }
        if (!json_is_object(next) && !json_is_array(next))
            TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" in an override leads through a plain value",
                     r->origin, key);
        at = next;
    }
    *node = at;
    return tsr_strdup(last, key);
}

static tsr_status store(tsr_recipe *r, const char *path, json_t *value)
{
    json_t *at;
    char *key = NULL;
    tsr_status st = container(r, path, &at, &key);
    if (st == TSR_OK && json_is_object(at))
        st = tsr_json_set(at, key, json_incref(value));
    else if (st == TSR_OK &&
             (!child(at, key) || json_array_set(at, strtoul(key, NULL, 10), value) != 0))
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: %s: no such item in the list",
                         r->origin, path);
    tsr_free(key);
    json_decref(value);
    return st;
}

static tsr_status erase(tsr_recipe *r, const char *path)
{
    const char *dot = strrchr(path, '.');
    char *above = NULL;
    TSR_TRY(tsr_strndup(&above, path, dot ? (size_t)(dot - path) : 0));
    json_t *at = dot ? lookup(r->tree, above) : r->tree;
    json_object_del(at, dot ? dot + 1 : path);
    tsr_free(above);
    return TSR_OK;
}

static tsr_status apply_override(tsr_recipe *r, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        TSR_FAIL(TSR_ECONFIG, "-s %s: expected KEY.SUB=VALUE", text);
    char *path = NULL;
    json_t *value;
    tsr_status st;
    TSR_GO(tsr_strndup(&path, text, (size_t)(equals - text)));
    TSR_GO(tsr_json_set(r->lines, path, json_integer(0)));
    if (!equals[1]) {
        TSR_GO(erase(r, path));
        goto out;
    }
    TSR_GO(tsr_yaml_parse(equals + 1, strlen(equals + 1), text, NULL, &value));
    TSR_GO(store(r, path, value));
out:
    tsr_free(path);
    return st;
}

static const tsr_field *find_field(const tsr_recipe *r, const char *path, match *how)
{
    const tsr_field *above = NULL;
    for (size_t i = 0; i < r->n_fields; i++) {
        match m = match_path(r->fields[i].path, path);
        if (m == MATCH_SAME || (m == MATCH_BELOW && r->fields[i].kind == TSR_FIELD_ANY)) {
            *how = m;
            return &r->fields[i];
        }
        if (m == MATCH_ABOVE)
            above = &r->fields[i];
    }
    *how = above ? MATCH_ABOVE : MATCH_NONE;
    return above;
}

/* What the pattern calls the component at the depth of path's last one, when everything above it
 * fits; NULL otherwise. */
static const char *word_beside(const char *pattern, const char *path, size_t *n)
{
    const char *rest, *next;
    for (;;) {
        *n = component(pattern, &rest);
        size_t m = component(path, &next);
        int star = *n == 1 && *pattern == '*';
        if (!next)
            return star ? NULL : pattern;
        if (!rest || (!star && (*n != m || memcmp(pattern, path, m) != 0)))
            return NULL;
        pattern = rest;
        path = next;
    }
}

/* Words the schema knows at the place of path's last component; `words` point into `storage`. */
static size_t known_words(const tsr_recipe *r, const char *path, char storage[][64],
                          const char **words)
{
    size_t count = 0;
    for (size_t i = 0; i < r->n_fields && count < MAX_WORDS; i++) {
        size_t n;
        const char *word = word_beside(r->fields[i].path, path, &n);
        if (!word || n >= sizeof storage[0])
            continue;
        memcpy(storage[count], word, n);
        words[count] = storage[count];
        count++;
    }
    return count;
}

static tsr_status unknown_key(const tsr_recipe *r, const char *path)
{
    char(*storage)[64];
    const char *words[MAX_WORDS];
    TSR_TRY(tsr_alloc(&storage, MAX_WORDS, sizeof *storage));
    const char *dot = strrchr(path, '.');
    const char *close =
        tsr_suggest(dot ? dot + 1 : path, words, known_words(r, path, storage, words));
    tsr_status st = close ? tsr_recipe_fail(r, path, "unknown key; did you mean \"%s\"?", close)
                          : tsr_recipe_fail(r, path, "unknown key");
    tsr_free(storage);
    return st;
}

static const char *describe(const json_t *v)
{
    static const char *const names[] = {"a mapping", "a list", "text",  "a whole number",
                                        "a number",  "true",   "false", "null"};
    return names[json_typeof(v)];
}

static tsr_status check_range(const tsr_recipe *r, const tsr_field *f, const char *path, double x)
{
    if (f->lo == 0 && f->hi == 0)
        return TSR_OK;
    if (x < f->lo || x > f->hi)
        return tsr_recipe_fail(r, path, "%.10g is outside %.10g to %.10g (%s)", x, f->lo, f->hi,
                               f->help);
    return TSR_OK;
}

static tsr_status wrong_kind(const tsr_recipe *r, const tsr_field *f, const char *path,
                             const json_t *v)
{
    static const char *const wanted[] = {"text",          "a whole number",  "a number",
                                         "true or false", "a list of texts", "a list of numbers",
                                         "anything"};
    const char *hint = f->kind == TSR_FIELD_STRING && json_is_number(v) ? "; put it in quotes" : "";
    return tsr_recipe_fail(r, path, "is %s, expected %s (%s)%s", describe(v), wanted[f->kind],
                           f->help, hint);
}

static tsr_status check_int(tsr_recipe *r, const tsr_field *f, const char *path, json_t *v)
{
    if (json_is_real(v)) {
        double x = json_real_value(v);
        if (x != floor(x) || fabs(x) > 9007199254740992.0)
            return wrong_kind(r, f, path, v);
        TSR_TRY(check_range(r, f, path, x));
        return store(r, path, json_integer((json_int_t)x));
    }
    if (!json_is_integer(v))
        return wrong_kind(r, f, path, v);
    return check_range(r, f, path, (double)json_integer_value(v));
}

static tsr_status check_strings(tsr_recipe *r, const tsr_field *f, const char *path, json_t *v)
{
    if (json_is_string(v))
        return store(r, path, json_pack("[O]", v));
    if (!json_is_array(v))
        return wrong_kind(r, f, path, v);
    size_t i;
    json_t *item;
    json_array_foreach(v, i, item) if (!json_is_string(item)) return wrong_kind(r, f, path, item);
    return TSR_OK;
}

static tsr_status check_numbers(tsr_recipe *r, const tsr_field *f, const char *path, json_t *v)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v))
        return wrong_kind(r, f, path, v);
    json_array_foreach(v, i, item)
    {
        if (!json_is_number(item))
            return wrong_kind(r, f, path, item);
        TSR_TRY(check_range(r, f, path, json_number_value(item)));
    }
    return TSR_OK;
}

static tsr_status check_leaf(tsr_recipe *r, const tsr_field *f, const char *path, json_t *v)
{
    switch (f->kind) {
    case TSR_FIELD_ANY:
        return TSR_OK;
    case TSR_FIELD_INT:
        return check_int(r, f, path, v);
    case TSR_FIELD_STRINGS:
        return check_strings(r, f, path, v);
    case TSR_FIELD_NUMBERS:
        return check_numbers(r, f, path, v);
    case TSR_FIELD_NUMBER:
        if (!json_is_number(v))
            return wrong_kind(r, f, path, v);
        return check_range(r, f, path, json_number_value(v));
    case TSR_FIELD_STRING:
        return json_is_string(v) ? TSR_OK : wrong_kind(r, f, path, v);
    case TSR_FIELD_BOOL:
        break;
    }
    return json_is_boolean(v) ? TSR_OK : wrong_kind(r, f, path, v);
}

static tsr_status check_node(tsr_recipe *r, const char *path, json_t *v);

static tsr_status check_below(tsr_recipe *r, const char *path, const char *key, json_t *v)
{
    char *below;
    TSR_TRY(tsr_yaml_path(&below, path, key));
    tsr_status st = check_node(r, below, v);
    tsr_free(below);
    return st;
}

static tsr_status check_children(tsr_recipe *r, const char *path, json_t *v)
{
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            char index[24];
            snprintf(index, sizeof index, "%zu", i);
            TSR_TRY(check_below(r, path, index, json_array_get(v, i)));
        }
        return TSR_OK;
    }
    const char *key;
    json_t *member;
    void *next;
    json_object_foreach_safe(v, next, key, member) TSR_TRY(check_below(r, path, key, member));
    return TSR_OK;
}

static tsr_status check_node(tsr_recipe *r, const char *path, json_t *v)
{
    match how;
    const tsr_field *f = find_field(r, path, &how);
    if (how == MATCH_NONE)
        return unknown_key(r, path);
    if (json_is_null(v) && !(f->kind == TSR_FIELD_ANY && how != MATCH_ABOVE))
        return erase(r, path);
    if (how != MATCH_ABOVE)
        return check_leaf(r, f, path, v);
    if (!json_is_object(v) && !json_is_array(v))
        return tsr_recipe_fail(r, path, "is %s, expected a mapping with \"%s\" and others",
                               describe(v), f->path);
    return check_children(r, path, v);
}

static tsr_status fill_default(tsr_recipe *r, const tsr_field *f)
{
    if (!f->fallback || lookup(r->tree, f->path))
        return TSR_OK;
    if (strcmp(f->fallback, "!") == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is missing (%s)", r->origin, f->path, f->help);
    json_t *value;
    TSR_TRY(tsr_yaml_parse(f->fallback, strlen(f->fallback), f->path, NULL, &value));
    return store(r, f->path, value);
}

static tsr_status build(tsr_recipe *r, const char *text, size_t bytes, const char *const *overrides,
                        size_t n_overrides)
{
    TSR_TRY(tsr_yaml_parse(text, bytes, r->origin, r->lines, &r->tree));
    if (json_is_null(r->tree)) {
        json_decref(r->tree);
        r->tree = json_object();
    }
    if (!json_is_object(r->tree))
        TSR_FAIL(TSR_ECONFIG, "%s: the recipe is %s, expected a mapping of keys", r->origin,
                 describe(r->tree));
    for (size_t i = 0; i < n_overrides; i++)
        TSR_TRY(apply_override(r, overrides[i]));
    TSR_TRY(check_children(r, "", r->tree));
    for (size_t i = 0; i < r->n_fields; i++)
        TSR_TRY(fill_default(r, &r->fields[i]));
    return TSR_OK;
}

tsr_status tsr_recipe_parse(const char *text, size_t bytes, const char *origin,
                            const char *const *overrides, size_t n_overrides,
                            const tsr_field *fields, size_t n_fields, tsr_recipe **out)
{
    tsr_recipe *r;
    tsr_status st;
    TSR_TRY(tsr_alloc(&r, 1, sizeof *r));
    r->fields = fields;
    r->n_fields = n_fields;
    r->lines = json_object();
    TSR_GO(tsr_strdup(&r->origin, origin));
    TSR_GO(build(r, text, bytes, overrides, n_overrides));
    *out = r;
    r = NULL;
out:
    tsr_recipe_close(r);
    return st;
}

tsr_status tsr_recipe_open(const char *path, const char *const *overrides, size_t n_overrides,
                           const tsr_field *fields, size_t n_fields, tsr_recipe **out)
{
    char *text;
    size_t bytes;
    TSR_TRY(tsr_file_read(path, MAX_BYTES, &text, &bytes));
    tsr_status st =
        tsr_recipe_parse(text, bytes, path, overrides, n_overrides, fields, n_fields, out);
    tsr_free(text);
    return st;
}

void tsr_recipe_close(tsr_recipe *r)
{
    if (!r)
        return;
    json_decref(r->tree);
    json_decref(r->lines);
    tsr_free(r->origin);
    tsr_free(r);
}

const char *tsr_recipe_origin(const tsr_recipe *r)
{
    return r->origin;
}

const json_t *tsr_recipe_get(const tsr_recipe *r, const char *path)
{
    return lookup(r->tree, path);
}

const char *tsr_recipe_string(const tsr_recipe *r, const char *path, const char *fallback)
{
    const json_t *v = lookup(r->tree, path);
    return json_is_string(v) ? json_string_value(v) : fallback;
}

long long tsr_recipe_int(const tsr_recipe *r, const char *path, long long fallback)
{
    const json_t *v = lookup(r->tree, path);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double tsr_recipe_number(const tsr_recipe *r, const char *path, double fallback)
{
    const json_t *v = lookup(r->tree, path);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

int tsr_recipe_bool(const tsr_recipe *r, const char *path, int fallback)
{
    const json_t *v = lookup(r->tree, path);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

tsr_status tsr_recipe_text(const tsr_recipe *r, char **out)
{
    return tsr_yaml_text(r->tree, out);
}

const char *tsr_field_kind_name(tsr_field_kind kind)
{
    static const char *const names[] = {
        [TSR_FIELD_STRING] = "text",           [TSR_FIELD_INT] = "whole number",
        [TSR_FIELD_NUMBER] = "number",         [TSR_FIELD_BOOL] = "true or false",
        [TSR_FIELD_STRINGS] = "list of texts", [TSR_FIELD_NUMBERS] = "list of numbers",
        [TSR_FIELD_ANY] = "mapping",
    };
    return names[kind];
}

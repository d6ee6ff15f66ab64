/* SPDX-License-Identifier: Apache-2.0
 * Modalities of a model: order, origin, JSON. */
#include "trainer/modality.h"

#include <string.h>

#define SEQUENCE_TOKENS 256 /* longest text of the published captions */

static const char *const class_names[] = {"pixels", "image", "vector", "sequence"};
#define CLASSES (sizeof class_names / sizeof class_names[0])

const char *tsr_modality_class_name(tsr_modality_class c)
{
    return class_names[c];
}

int tsr_mods_find(const tsr_mods *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->items[i].name, name) == 0)
            return (int)i;
    return -1;
}

tsr_status tsr_mods_add(tsr_mods *m, const tsr_mod *mod)
{
    size_t at = 0;
    if (!tsr_modality_name_ok(mod->name))
        TSR_FAIL(TSR_EARG, "'%s' is not a modality's name", mod->name);
    if (m->count == TSR_MODALITIES)
        TSR_FAIL(TSR_ELIMIT, "a model has at most %d modalities", TSR_MODALITIES);
    while (at < m->count && strcmp(m->items[at].name, mod->name) < 0)
        at++;
    if (at < m->count && strcmp(m->items[at].name, mod->name) == 0)
        TSR_FAIL(TSR_EARG, "modality '%s' is given twice", mod->name);
    memmove(&m->items[at + 1], &m->items[at], (m->count - at) * sizeof *m->items);
    m->items[at] = *mod;
    m->count++;
    return TSR_OK;
}

void tsr_mod_of_space(const tsr_token_space *s, tsr_mod *out)
{
    int sequence = s->layout == TSR_LAYOUT_SEQUENCE, pixels = s->layout == TSR_LAYOUT_PATCHES;
    int vector = !sequence && (s->levels > 1 || s->height == 1);
    *out = (tsr_mod){.input = 1, .output = 1, .vocabulary = s->codebook_size, .base = s->base,
                     .height = s->height, .width = s->width, .tokenizer = s->tokenizer};
    memcpy(out->name, s->modality, sizeof out->name);
    memcpy(out->range, s->vocabulary, sizeof out->range);
    out->cls = sequence ? TSR_CLASS_SEQUENCE : vector ? TSR_CLASS_VECTOR : TSR_CLASS_IMAGE;
    out->places = sequence ? 0 : s->height * s->width * s->levels;
    out->max_tokens = sequence ? SEQUENCE_TOKENS : out->places;
    out->positions = sequence ? TSR_SEQUENCE_POSITIONS : out->places;
    if (!pixels)
        return;
    out->cls = TSR_CLASS_PIXELS;
    out->output = 0;
    out->vocabulary = out->base = 0;
    out->patch_values = s->levels;
    out->places = out->max_tokens = out->positions = s->height * s->width;
}

/* --- JSON --- */

static tsr_status one_to_json(const tsr_mod *m, json_t *list)
{
    char digest[TSR_DIGEST_CHARS];
    tsr_digest_text(m->tokenizer, digest);
    json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:[I,I], s:I, s:I, s:I, s:I, s:s, s:s}",
                          "name", m->name, "class", class_names[m->cls], "input", m->input,
                          "output", m->output, "vocabulary", (json_int_t)m->vocabulary, "base",
                          (json_int_t)m->base, "grid", (json_int_t)m->height, (json_int_t)m->width,
                          "places", (json_int_t)m->places, "max_tokens", (json_int_t)m->max_tokens,
                          "positions", (json_int_t)m->positions, "patch_values",
                          (json_int_t)m->patch_values, "range", m->range, "tokenizer", digest);
    if (o && m->wrap && json_object_set_new(o, "wrap", json_integer(m->wrap)) != 0) {
        json_decref(o);
        o = NULL;
    }
    return tsr_json_append(list, o);
}

tsr_status tsr_mods_to_json(const tsr_mods *m, json_t **out)
{
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t i = 0; i < m->count && st == TSR_OK; i++)
        st = one_to_json(&m->items[i], list);
    if (st != TSR_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return TSR_OK;
}

static tsr_status get_u32(const json_t *o, const char *key, const char *origin, uint32_t *out)
{
    long long v;
    TSR_TRY(tsr_json_int(o, key, origin, &v));
    if (v < 0 || v > INT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: '%s' is %lld, out of range", origin, key, v);
    *out = (uint32_t)v;
    return TSR_OK;
}

static tsr_status get_name(const json_t *o, const char *key, const char *origin,
                           char out[TSR_NAME_CHARS])
{
    const char *s;
    TSR_TRY(tsr_json_string(o, key, origin, &s));
    if (strlen(s) >= TSR_NAME_CHARS)
        TSR_FAIL(TSR_EFORMAT, "%s: '%s' is longer than %d characters", origin, key,
                 TSR_NAME_CHARS - 1);
    memcpy(out, s, strlen(s) + 1);
    return TSR_OK;
}

static tsr_status get_class(const json_t *o, const char *origin, tsr_modality_class *out)
{
    const char *s;
    TSR_TRY(tsr_json_string(o, "class", origin, &s));
    for (size_t i = 0; i < CLASSES; i++)
        if (strcmp(s, class_names[i]) == 0) {
            *out = (tsr_modality_class)i;
            return TSR_OK;
        }
    TSR_FAIL(TSR_EFORMAT, "%s: '%s' is not a class of modalities", origin, s);
}

static tsr_status one_from_json(const json_t *o, const char *origin, tsr_mod *m)
{
    const char *digest;
    const json_t *grid;
    *m = (tsr_mod){0};
    TSR_TRY(get_name(o, "name", origin, m->name));
    TSR_TRY(get_class(o, origin, &m->cls));
    m->input = json_is_true(json_object_get(o, "input"));
    m->output = json_is_true(json_object_get(o, "output"));
    TSR_TRY(get_u32(o, "vocabulary", origin, &m->vocabulary));
    TSR_TRY(get_u32(o, "base", origin, &m->base));
    TSR_TRY(tsr_json_member(o, "grid", origin, JSON_ARRAY, &grid));
    json_int_t h = json_integer_value(json_array_get(grid, 0));
    json_int_t w = json_integer_value(json_array_get(grid, 1));
    if (json_array_size(grid) != 2 || h < 0 || w < 0 || h > INT32_MAX || w > INT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: the grid of '%s' is not two counts", origin, m->name);
    m->height = (uint32_t)h;
    m->width = (uint32_t)w;
    TSR_TRY(get_u32(o, "places", origin, &m->places));
    TSR_TRY(get_u32(o, "max_tokens", origin, &m->max_tokens));
    TSR_TRY(get_u32(o, "positions", origin, &m->positions));
    TSR_TRY(get_u32(o, "patch_values", origin, &m->patch_values));
    if (json_object_get(o, "wrap"))
        TSR_TRY(get_u32(o, "wrap", origin, &m->wrap));
    TSR_TRY(get_name(o, "range", origin, m->range));
    TSR_TRY(tsr_json_string(o, "tokenizer", origin, &digest));
    return tsr_digest_parse(digest, &m->tokenizer);
}

tsr_status tsr_mods_from_json(const json_t *value, const char *origin, tsr_mods *out)
{
    tsr_mods all = {.count = 0};
    if (!json_is_array(value))
        TSR_FAIL(TSR_EFORMAT, "%s: the list of modalities is missing", origin);
    for (size_t i = 0; i < json_array_size(value); i++) {
        tsr_mod m;
        tsr_status st = one_from_json(json_array_get(value, i), origin, &m);
        if (st == TSR_OK)
            st = tsr_mods_add(&all, &m);
        if (st != TSR_OK)
            return tsr_context(st, "modality %zu of %s", i, origin);
    }
    *out = all;
    return TSR_OK;
}

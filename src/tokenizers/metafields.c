/* SPDX-License-Identifier: Apache-2.0
 * The table of 4M-21's metadata fields, recipes for more, and binning. */
#include "tokenizers/metafields.h"

#include "base/mem.h"
#include "tokenizers/seqkind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    tsr_meta_type type;
    tsr_meta_source source;
    double low, high, step;
    unsigned bins;
    double steps[2];
} preset_4m21[] = {
    /* In the order of their ids. Source: 4M-21, metadata transform. */
    {"original_width", TSR_META_INT, TSR_META_IMAGE, 0, 31999, 32, 1000, {0}},
    {"original_height", TSR_META_INT, TSR_META_IMAGE, 0, 31999, 32, 1000, {0}},
    {"caption_n_chars", TSR_META_INT, TSR_META_TEXT, 0, 999, 1, 1000, {0}},
    {"caption_n_words", TSR_META_INT, TSR_META_TEXT, 0, 999, 1, 1000, {0}},
    {"caption_n_sentences", TSR_META_INT, TSR_META_TEXT, 0, 999, 1, 1000, {0}},
    {"n_humans", TSR_META_INT, TSR_META_RECORD, 0, 999, 1, 1000, {0}},
    {"n_sam_instances", TSR_META_INT, TSR_META_RECORD, 0, 999, 1, 1000, {0}},
    {"n_coco_instances", TSR_META_INT, TSR_META_RECORD, 0, 999, 1, 1000, {0}},
    {"coco_instance_diversity", TSR_META_INT, TSR_META_RECORD, 0, 999, 1, 1000, {0}},
    {"colorfulness", TSR_META_FLOAT, TSR_META_IMAGE, 0, 150, 0, 50, {0}},
    {"brightness", TSR_META_FLOAT, TSR_META_IMAGE, 0, 255, 0, 50, {0}},
    {"contrast", TSR_META_FLOAT, TSR_META_IMAGE, 0, 127, 0, 50, {0}},
    {"saturation", TSR_META_FLOAT, TSR_META_IMAGE, 0, 255, 0, 50, {0}},
    {"entropy", TSR_META_FLOAT, TSR_META_IMAGE, 0, 10, 0, 50, {0}},
    {"walkability", TSR_META_FLOAT, TSR_META_RECORD, 0, 1, 0, 50, {0}},
    {"objectness", TSR_META_FLOAT, TSR_META_RECORD, 0, 1, 0, 50, {0}},
    {"semantic_diversity", TSR_META_INT, TSR_META_RECORD, 0, 999, 1, 1000, {0}},
    {"geometric_complexity", TSR_META_FLOAT, TSR_META_RECORD, 0, 0.75, 0, 50, {0}},
    {"occlusion_score", TSR_META_FLOAT, TSR_META_RECORD, 0, 0.25, 0, 50, {0}},
    {"watermark_score", TSR_META_STEPS, TSR_META_RECORD, 0, 1, 0, 2, {0.5}},
    {"aesthetic_score", TSR_META_STEPS, TSR_META_RECORD, 1, 10, 0, 3, {4.5, 5.5}},
};

#define N_PRESET (sizeof preset_4m21 / sizeof preset_4m21[0])

static const char *const type_names[] = {"int", "float", "bool", "enum", "steps"};
static const char *const source_names[] = {"record", "image", "text"};

/* ---- building ---------------------------------------------------------------------------------*/

static tsr_status new_field(tsr_metafields *m, const char *name, const char *key,
                            tsr_metafield **out)
{
    TSR_TRY(tsr_room(&m->fields, m->count, &m->cap, sizeof *m->fields));
    tsr_metafield *f = &m->fields[m->count++];
    *f = (tsr_metafield){0};
    TSR_TRY(tsr_strdup(&f->name, name));
    TSR_TRY(tsr_strdup(&f->key, key));
    *out = f;
    return TSR_OK;
}

static tsr_status add_preset(tsr_metafields *m)
{
    for (unsigned i = 0; i < N_PRESET; i++) {
        tsr_metafield *f;
        TSR_TRY(new_field(m, preset_4m21[i].name, preset_4m21[i].name, &f));
        f->id = i;
        f->type = preset_4m21[i].type;
        f->source = preset_4m21[i].source;
        f->low = preset_4m21[i].low;
        f->high = preset_4m21[i].high;
        f->step = preset_4m21[i].step;
        f->bins = preset_4m21[i].bins;
        if (f->type != TSR_META_STEPS)
            continue;
        TSR_TRY(tsr_alloc(&f->steps, f->bins - 1, sizeof *f->steps));
        memcpy(f->steps, preset_4m21[i].steps, (f->bins - 1) * sizeof *f->steps);
    }
    return TSR_OK;
}

static void field_clear(tsr_metafield *f)
{
    for (unsigned i = 0; f->values && i < f->bins; i++)
        tsr_free(f->values[i]);
    tsr_free(f->values);
    tsr_free(f->steps);
    tsr_free(f->name);
    tsr_free(f->key);
}

void tsr_metafields_clear(tsr_metafields *m)
{
    for (size_t i = 0; i < m->count; i++)
        field_clear(&m->fields[i]);
    tsr_free(m->fields);
    *m = (tsr_metafields){0};
}

/* Index of a word in a list; TSR_ECONFIG with a suggestion. */
static tsr_status choose(const char *word, const char *const *list, size_t n, const char *origin,
                         size_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, list[i]) == 0) {
            *out = i;
            return TSR_OK;
        }
    const char *near = tsr_suggest(word, list, n);
    TSR_FAIL(TSR_ECONFIG, "%s: \"%.40s\" is not known%s%s%s", origin, word,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- one field from a recipe ------------------------------------------------------------------*/

static const double any[2] = {-1e15, 1e15}; /* whole numbers stay exact */

static tsr_status read_int(tsr_metafield *f, const json_t *entry, const char *origin)
{
    static const double steps[2] = {1, 1e15};
    TSR_TRY(tsr_seq_number(entry, origin, "low", 0, any, &f->low));
    TSR_TRY(tsr_seq_number(entry, origin, "high", 999, any, &f->high));
    TSR_TRY(tsr_seq_number(entry, origin, "step", 1, steps, &f->step));
    double bins = floor((f->high - f->low) / f->step) + 1;
    if (f->low != floor(f->low) || f->high != floor(f->high) || f->step != floor(f->step) ||
        !(bins >= 1))
        TSR_FAIL(TSR_ECONFIG, "%s: integers from %g to %g by %g", origin, f->low, f->high, f->step);
    if (bins > TSR_META_MAX_BINS)
        TSR_FAIL(TSR_ECONFIG,
                 "%s: %g values from %g to %g do not fit %d tokens; a step of %g would", origin,
                 bins, f->low, f->high, TSR_META_MAX_BINS,
                 ceil((f->high - f->low + 1) / TSR_META_MAX_BINS));
    f->bins = (unsigned)bins;
    return TSR_OK;
}

static tsr_status read_float(tsr_metafield *f, const json_t *entry, const char *origin)
{
    static const double counts[2] = {2, TSR_META_MAX_BINS};
    double bins;
    TSR_TRY(tsr_seq_number(entry, origin, "low", 0, any, &f->low));
    TSR_TRY(tsr_seq_number(entry, origin, "high", 1, any, &f->high));
    TSR_TRY(tsr_seq_number(entry, origin, "bins", 50, counts, &bins));
    if (!(f->low < f->high) || bins != floor(bins))
        TSR_FAIL(TSR_ECONFIG, "%s: %g bins from %g to %g", origin, bins, f->low, f->high);
    f->bins = (unsigned)bins;
    return TSR_OK;
}

static tsr_status read_enum(tsr_metafield *f, const json_t *entry, const char *origin)
{
    const json_t *list = json_object_get(entry, "values");
    size_t n = json_array_size(list);
    if (n < 1 || n > TSR_META_MAX_BINS)
        TSR_FAIL(TSR_ECONFIG, "%s: an enum needs \"values\", a list of 1 to %d words", origin,
                 TSR_META_MAX_BINS);
    TSR_TRY(tsr_alloc(&f->values, n, sizeof *f->values));
    f->bins = (unsigned)n;
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (!word)
            TSR_FAIL(TSR_ECONFIG, "%s: value %zu is not a string", origin, i + 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(f->values[j], word) == 0)
                TSR_FAIL(TSR_ECONFIG, "%s: value \"%.40s\" is listed twice", origin, word);
        TSR_TRY(tsr_strdup(&f->values[i], word));
    }
    return TSR_OK;
}

static tsr_status read_steps(tsr_metafield *f, const json_t *entry, const char *origin)
{
    const json_t *list = json_object_get(entry, "thresholds");
    size_t n = json_array_size(list);
    if (n < 1 || n >= TSR_META_MAX_BINS)
        TSR_FAIL(TSR_ECONFIG, "%s: steps need \"thresholds\", a rising list of numbers", origin);
    TSR_TRY(tsr_seq_number(entry, origin, "low", 0, any, &f->low));
    TSR_TRY(tsr_seq_number(entry, origin, "high", 1, any, &f->high));
    TSR_TRY(tsr_alloc(&f->steps, n, sizeof *f->steps));
    f->bins = (unsigned)n + 1;
    double last = f->low;
    for (size_t i = 0; i < n; i++) {
        double v = json_number_value(json_array_get(list, i));
        if (!json_is_number(json_array_get(list, i)) || !(v > last && v < f->high))
            TSR_FAIL(TSR_ECONFIG, "%s: thresholds must rise between low %g and high %g", origin,
                     f->low, f->high);
        f->steps[i] = last = v;
    }
    return TSR_OK;
}

static tsr_status read_bool(tsr_metafield *f, const json_t *entry, const char *origin)
{
    (void)entry;
    (void)origin;
    f->bins = 2;
    return TSR_OK;
}

static tsr_status read_entry(tsr_metafields *m, const json_t *entry, const char *origin)
{
    static const char *const keys[] = {"name", "type",   "key",  "id",   "source",     "low",
                                       "high", "values", "step", "bins", "thresholds", "required"};
    static tsr_status (*const readers[])(tsr_metafield *, const json_t *, const char *) = {
        read_int, read_float, read_bool, read_enum, read_steps};
    static const double ids[2] = {0, TSR_META_MAX_BINS - 1};
    const char *name, *type;
    size_t kind, source = 0;
    double id, next = m->count ? m->fields[m->count - 1].id + 1 : 0;
    TSR_TRY(tsr_json_string(entry, "name", origin, &name));
    TSR_TRY(tsr_seq_check_keys(entry, name, keys, sizeof keys / sizeof keys[0]));
    TSR_TRY(tsr_json_string(entry, "type", origin, &type));
    TSR_TRY(choose(type, type_names, 5, name, &kind));
    TSR_TRY(tsr_seq_number(entry, name, "id", next, ids, &id));
    const char *key = json_string_value(json_object_get(entry, "key"));
    const char *from = json_string_value(json_object_get(entry, "source"));
    if (from)
        TSR_TRY(choose(from, source_names, 3, name, &source));
    const json_t *required = json_object_get(entry, "required");
    if (required && !json_is_boolean(required))
        TSR_FAIL(TSR_ECONFIG, "%s: field %s: \"required\" is true or false", origin, name);
    tsr_metafield *f;
    TSR_TRY(new_field(m, name, key ? key : name, &f));
    f->id = (unsigned)id;
    f->type = (tsr_meta_type)kind;
    f->source = (tsr_meta_source)source;
    f->required = json_is_true(required);
    if (id != floor(id))
        TSR_FAIL(TSR_ECONFIG, "%s: field %s has id %g", origin, name, id);
    return readers[kind](f, entry, name);
}

static int by_id(const void *a, const void *b)
{
    unsigned x = ((const tsr_metafield *)a)->id, y = ((const tsr_metafield *)b)->id;
    return (x > y) - (x < y);
}

static tsr_status check_unique(const tsr_metafields *m, const char *origin)
{
    for (size_t i = 0; i < m->count; i++)
        for (size_t j = 0; j < i; j++)
            if (m->fields[i].id == m->fields[j].id ||
                strcmp(m->fields[i].name, m->fields[j].name) == 0)
                TSR_FAIL(TSR_ECONFIG, "%s: fields %s and %s share a name or id %u", origin,
                         m->fields[j].name, m->fields[i].name, m->fields[i].id);
    return TSR_OK;
}

static tsr_status read_all(tsr_metafields *m, const json_t *config, const char *origin)
{
    static const char *const presets[] = {"4m21", "none"};
    const json_t *list = json_object_get(config, "fields");
    const char *preset = json_string_value(json_object_get(config, "preset"));
    size_t which = list ? 1 : 0;
    if (preset)
        TSR_TRY(choose(preset, presets, 2, origin, &which));
    if (list && !json_is_array(list))
        TSR_FAIL(TSR_ECONFIG, "%s: \"fields\" must be a list", origin);
    if (which == 0)
        TSR_TRY(add_preset(m));
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_object(json_array_get(list, i)))
            TSR_FAIL(TSR_ECONFIG, "%s: entry %zu of \"fields\" is not a mapping", origin, i + 1);
        TSR_TRY(read_entry(m, json_array_get(list, i), origin));
    }
    if (m->count == 0)
        TSR_FAIL(TSR_ECONFIG, "%s: metadata without fields", origin);
    qsort(m->fields, m->count, sizeof *m->fields, by_id);
    return check_unique(m, origin);
}

tsr_status tsr_metafields_read(tsr_metafields *m, const json_t *config, const char *origin)
{
    tsr_metafields fresh = {0};
    tsr_status st = read_all(&fresh, config, origin);
    if (st != TSR_OK) {
        tsr_metafields_clear(&fresh);
        return st;
    }
    *m = fresh;
    return TSR_OK;
}

const tsr_metafield *tsr_metafields_find(const tsr_metafields *m, unsigned id)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->fields[i].id == id)
            return &m->fields[i];
    return NULL;
}

/* ---- as JSON ----------------------------------------------------------------------------------*/

static tsr_status range_to_json(const tsr_metafield *f, json_t *entry)
{
    TSR_TRY(tsr_json_set(entry, "low", json_real(f->low)));
    TSR_TRY(tsr_json_set(entry, "high", json_real(f->high)));
    if (f->type == TSR_META_INT)
        return tsr_json_set(entry, "step", json_real(f->step));
    if (f->type == TSR_META_FLOAT)
        return tsr_json_set(entry, "bins", json_integer(f->bins));
    return TSR_OK;
}

static tsr_status lists_to_json(const tsr_metafield *f, json_t *entry)
{
    json_t *list = json_array();
    TSR_TRY(tsr_json_set(entry, f->values ? "values" : "thresholds", list));
    for (unsigned i = 0; f->values && i < f->bins; i++)
        TSR_TRY(tsr_json_append(list, json_string(f->values[i])));
    for (unsigned i = 0; f->steps && i + 1 < f->bins; i++)
        TSR_TRY(tsr_json_append(list, json_real(f->steps[i])));
    return TSR_OK;
}

static tsr_status field_to_json(const tsr_metafield *f, json_t *list)
{
    json_t *entry = json_object();
    TSR_TRY(tsr_json_append(list, entry));
    TSR_TRY(tsr_json_set(entry, "name", json_string(f->name)));
    TSR_TRY(tsr_json_set(entry, "key", json_string(f->key)));
    TSR_TRY(tsr_json_set(entry, "id", json_integer(f->id)));
    TSR_TRY(tsr_json_set(entry, "type", json_string(type_names[f->type])));
    TSR_TRY(tsr_json_set(entry, "source", json_string(source_names[f->source])));
    if (f->required)
        TSR_TRY(tsr_json_set(entry, "required", json_true()));
    if (f->type != TSR_META_BOOL && f->type != TSR_META_ENUM)
        TSR_TRY(range_to_json(f, entry));
    return f->values || f->steps ? lists_to_json(f, entry) : TSR_OK;
}

tsr_status tsr_metafields_to_json(const tsr_metafields *m, json_t **out)
{
    json_t *list = json_array();
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "no memory for metadata fields");
    for (size_t i = 0; i < m->count; i++) {
        tsr_status st = field_to_json(&m->fields[i], list);
        if (st != TSR_OK) {
            json_decref(list);
            return st;
        }
    }
    *out = list;
    return TSR_OK;
}

/* ---- binning ----------------------------------------------------------------------------------*/

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static tsr_status number_bin(const tsr_metafield *f, const json_t *value, unsigned *bin)
{
    if (!json_is_number(value))
        TSR_FAIL(TSR_EFORMAT, "metadata field %s is not a number", f->name);
    double v = json_number_value(value);
    if (!isfinite(v))
        TSR_FAIL(TSR_ENUMERIC, "metadata field %s is not finite", f->name);
    if (f->type == TSR_META_INT) {
        *bin = (unsigned)clamp(floor((v - f->low) / f->step), 0, f->bins - 1.0);
    } else if (f->type == TSR_META_FLOAT) {
        double share = (clamp(v, f->low, f->high) - f->low) / (f->high - f->low);
        *bin = (unsigned)(share * (f->bins - 1.0));
    } else {
        unsigned k = 0;
        while (k + 1 < f->bins && !(v < f->steps[k]))
            k++;
        *bin = k;
    }
    return TSR_OK;
}

static tsr_status bool_bin(const tsr_metafield *f, const json_t *value, unsigned *bin)
{
    json_int_t v = json_integer_value(value);
    if (!json_is_boolean(value) && !(json_is_integer(value) && (v == 0 || v == 1)))
        TSR_FAIL(TSR_EFORMAT, "metadata field %s is not true or false", f->name);
    *bin = json_is_true(value) || v == 1;
    return TSR_OK;
}

static tsr_status enum_bin(const tsr_metafield *f, const json_t *value, unsigned *bin)
{
    const char *word = json_string_value(value);
    for (unsigned i = 0; word && i < f->bins; i++)
        if (strcmp(word, f->values[i]) == 0) {
            *bin = i;
            return TSR_OK;
        }
    TSR_FAIL(TSR_EFORMAT, "metadata field %s: \"%.40s\" is not among its %u values", f->name,
             word ? word : "(not a string)", f->bins);
}

tsr_status tsr_metafield_bin(const tsr_metafield *f, const json_t *value, unsigned *bin)
{
    if (f->type == TSR_META_BOOL)
        return bool_bin(f, value, bin);
    if (f->type == TSR_META_ENUM)
        return enum_bin(f, value, bin);
    return number_bin(f, value, bin);
}

/* Middle of the values that give a bin. */
static json_t *middle(const tsr_metafield *f, unsigned bin)
{
    if (f->type == TSR_META_INT)
        return json_integer((json_int_t)(f->low + bin * f->step + floor(f->step / 2)));
    if (f->type == TSR_META_FLOAT) {
        double share = bin + 1 == f->bins ? 1.0 : (bin + 0.5) / (f->bins - 1.0);
        return json_real(f->low + share * (f->high - f->low));
    }
    double lo = bin == 0 ? f->low : f->steps[bin - 1];
    double hi = bin + 1 == f->bins ? f->high : f->steps[bin];
    return json_real((lo + hi) / 2);
}

tsr_status tsr_metafield_value(const tsr_metafield *f, unsigned bin, json_t **out)
{
    if (bin >= f->bins)
        TSR_FAIL(TSR_EFORMAT, "metadata field %s has no bin %u (it has %u)", f->name, bin, f->bins);
    json_t *v = f->type == TSR_META_BOOL   ? json_boolean(bin)
                : f->type == TSR_META_ENUM ? json_string(f->values[bin])
                                           : middle(f, bin);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for a metadata value");
    *out = v;
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Settings of a VQ-VAE: one table drives defaults, recipes and metadata. */
#include "vqvae/vqvae_config.h"

#include "base/mem.h"
#include "base/str.h"
#include "nn/metatext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWN_PREFIX "tessera."

typedef enum key_kind { KEY_SIZE, KEY_FLAG, KEY_REAL, KEY_WORD, KEY_PART } key_kind;

typedef struct config_key {
    const char *name;
    key_kind kind;
    size_t offset;
    double least, most;
} config_key;

#define FIELD(key) offsetof(tsr_vqvae_config, key)
static const config_key keys[] = {
#define TSR_VQ_SIZE(key, preset, least, most) {#key, KEY_SIZE, FIELD(key), least, most},
#define TSR_VQ_FLAG(key, preset)              {#key, KEY_FLAG, FIELD(key), 0, 1},
#define TSR_VQ_REAL(key, preset, least, most) {#key, KEY_REAL, FIELD(key), least, most},
#define TSR_VQ_WORD(key, preset)              {#key, KEY_WORD, FIELD(key), 0, 0},
#define TSR_VQ_DIFFUSION                      {"", KEY_PART, 0, 0, 0},
#define TSR_VQ_OWN                            {"", KEY_PART, 0, 0, 0},
#include "vqvae/vqvae_config.def"
};
#define KEYS (sizeof keys / sizeof keys[0])

/* Parts of the table, in its order. */
enum { PART_FIRST, PART_DIFFUSION, PART_OWN };

tsr_vqvae_config tsr_vqvae_config_defaults(void)
{
    return (tsr_vqvae_config){
#define TSR_VQ_SIZE(key, preset, least, most) .key = preset,
#define TSR_VQ_FLAG(key, preset)              .key = preset,
#define TSR_VQ_REAL(key, preset, least, most) .key = preset,
#define TSR_VQ_WORD(key, preset)              .key = preset,
#define TSR_VQ_DIFFUSION
#define TSR_VQ_OWN
#include "vqvae/vqvae_config.def"
    };
}

static void *field_of(const tsr_vqvae_config *c, const config_key *k)
{
    return (char *)c + k->offset;
}

static tsr_status set_number(const config_key *k, const json_t *v, void *field)
{
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= k->least && x <= k->most))
        TSR_FAIL(TSR_ECONFIG, "%s must be a number from %g to %g", k->name, k->least, k->most);
    if (k->kind == KEY_REAL)
        *(double *)field = x;
    else if (x == floor(x))
        *(size_t *)field = (size_t)x;
    else
        TSR_FAIL(TSR_ECONFIG, "%s must be a whole number", k->name);
    return TSR_OK;
}

static tsr_status set_field(const config_key *k, const json_t *v, tsr_vqvae_config *c)
{
    void *field = field_of(c, k);
    if (k->kind == KEY_FLAG) {
        if (!json_is_boolean(v))
            TSR_FAIL(TSR_ECONFIG, "%s must be true or false", k->name);
        *(int *)field = json_is_true(v);
        return TSR_OK;
    }
    if (k->kind == KEY_WORD) {
        const char *s = json_string_value(v);
        if (!s || strlen(s) >= TSR_VQ_WORD_MAX)
            TSR_FAIL(TSR_ECONFIG, "%s must be a word of at most %d bytes", k->name,
                     TSR_VQ_WORD_MAX - 1);
        memcpy(field, s, strlen(s) + 1);
        return TSR_OK;
    }
    if (k->kind == KEY_SIZE && k->least == 0 && json_is_null(v)) {
        *(size_t *)field = 0;
        return TSR_OK;
    }
    return set_number(k, v, field);
}

static const config_key *key_named(const char *name)
{
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].kind != KEY_PART && strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static tsr_status unknown_key(const char *name, const char *origin)
{
    const char *names[KEYS];
    for (size_t i = 0; i < KEYS; i++)
        names[i] = keys[i].name;
    const char *near = tsr_suggest(name, names, KEYS);
    if (near && near[0])
        TSR_FAIL(TSR_ECONFIG, "%s: \"%.64s\" is not a setting; did you mean \"%s\"?", origin, name,
                 near);
    TSR_FAIL(TSR_ECONFIG, "%s: \"%.64s\" is not a setting", origin, name);
}

tsr_status tsr_vqvae_config_read(const json_t *section, const char *origin, tsr_vqvae_config *out)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    const char *name;
    json_t *value;
    if (!json_is_object(section))
        TSR_FAIL(TSR_ECONFIG, "%s: the settings must be a mapping", origin);
    json_object_foreach((json_t *)section, name, value)
    {
        const config_key *k = key_named(name);
        if (!k)
            return unknown_key(name, origin);
        if (set_field(k, value, &c) != TSR_OK)
            return tsr_context(TSR_ECONFIG, "%s", origin);
    }
    TSR_TRY(tsr_vqvae_config_check(&c, origin));
    if (strcmp(c.quant_type, "lucid") == 0 && c.num_codebooks != 1)
        TSR_FAIL(TSR_ECONFIG, "%s: num_codebooks %zu: a lucid quantizer of several heads can be opened, "
                              "not trained; memcodes can",
                 origin, c.num_codebooks);
    *out = c;
    return TSR_OK;
}

/* YAML 1.1 leaves "1e-4" a string; a number was meant all the same. */
static tsr_status number_in_string(json_t **value)
{
    const char *s = json_string_value(*value);
    char *end;
    double x = s ? strtod(s, &end) : 0;
    if (!s || end == s || *end || !isfinite(x))
        return TSR_OK;
    json_decref(*value);
    *value = json_real(x);
    if (!*value)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    return TSR_OK;
}

/* The text of a key in metadata, NULL when it is not there. */
static const char *stored_text(const json_t *metadata, size_t i, int part)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s", part == PART_OWN ? OWN_PREFIX : "", keys[i].name);
    return json_string_value(json_object_get(metadata, name));
}

tsr_status tsr_vqvae_config_from_metadata(const json_t *metadata, const char *origin,
                                          tsr_vqvae_config *out)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    int part = PART_FIRST;
    for (size_t i = 0; i < KEYS; i++) {
        part += keys[i].kind == KEY_PART;
        const char *text = keys[i].kind == KEY_PART ? NULL : stored_text(metadata, i, part);
        json_t *value;
        if (!text)
            continue;
        if (keys[i].kind == KEY_WORD)
            value = json_string(text);
        else
            TSR_TRY(tsr_metatext_read(text, &value));
        tsr_status st = keys[i].kind == KEY_REAL ? number_in_string(&value) : TSR_OK;
        if (st == TSR_OK && set_field(&keys[i], value, &c) != TSR_OK)
            st = tsr_context(TSR_EFORMAT, "%s: metadata", origin);
        json_decref(value);
        TSR_TRY(st);
    }
    *out = c;
    return TSR_OK;
}

static json_t *value_of(const tsr_vqvae_config *c, const config_key *k)
{
    const void *field = field_of(c, k);
    switch (k->kind) {
    case KEY_SIZE:
        if (k->least == 0 && *(const size_t *)field == 0)
            return json_null();
        return json_integer((json_int_t) * (const size_t *)field);
    case KEY_FLAG:
        return json_boolean(*(const int *)field);
    case KEY_REAL:
        return json_real(*(const double *)field);
    case KEY_WORD:
    case KEY_PART:
        break;
    }
    return json_string(field);
}

/* Ours are written only where they say something. */
static int worth_writing(const tsr_vqvae_config *c, const config_key *k, int part)
{
    if (part != PART_OWN)
        return part == PART_FIRST || tsr_vqvae_config_diffuses(c);
    return k->kind == KEY_WORD ? *(const char *)field_of(c, k) != '\0'
                               : *(const size_t *)field_of(c, k) != 0;
}

static tsr_status put_text(json_t *into, const config_key *k, int part, const json_t *value)
{
    char name[96], *text;
    snprintf(name, sizeof name, "%s%s", part == PART_OWN ? OWN_PREFIX : "", k->name);
    TSR_TRY(tsr_metatext_write(value, &text));
    tsr_status st = tsr_json_set(into, name, json_string(text));
    tsr_free(text);
    return st;
}

tsr_status tsr_vqvae_config_to_metadata(const tsr_vqvae_config *c, json_t **out)
{
    tsr_status st = TSR_OK;
    int part = PART_FIRST;
    json_t *m = json_object();
    if (!m)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t i = 0; i < KEYS; i++) {
        part += keys[i].kind == KEY_PART;
        if (keys[i].kind == KEY_PART || !worth_writing(c, &keys[i], part))
            continue;
        json_t *value = value_of(c, &keys[i]);
        if (!value)
            TSR_GOFAIL(TSR_ENOMEM, "out of memory");
        st = put_text(m, &keys[i], part, value);
        json_decref(value);
        if (st != TSR_OK)
            goto out;
    }
    *out = m;
    m = NULL;
out:
    json_decref(m);
    return st;
}

int tsr_vqvae_config_diffuses(const tsr_vqvae_config *c)
{
    return tsr_starts_with(c->dec_type, "unet_") || tsr_starts_with(c->dec_type, "uvit_");
}

tsr_status tsr_vqvae_levels(const char *text, size_t levels[TSR_FSQ_MAX], size_t *n)
{
    size_t count = 0;
    for (const char *p = text;; p++) {
        char *end;
        if (*p < '0' || *p > '9' || count == TSR_FSQ_MAX)
            TSR_FAIL(TSR_ECONFIG, "levels \"%s\": expected up to %d numbers as in 8x8x8x5", text,
                     TSR_FSQ_MAX);
        unsigned long v = strtoul(p, &end, 10);
        if (v < 2 || v > 65535)
            TSR_FAIL(TSR_ECONFIG, "levels \"%s\": each must be from 2 to 65535", text);
        levels[count++] = v;
        p = end;
        if (!*p)
            break;
        if (*p != 'x')
            TSR_FAIL(TSR_ECONFIG, "levels \"%s\": numbers are separated by x", text);
    }
    *n = count;
    return TSR_OK;
}

/* FSQ's codebook is the product of its levels. */
static tsr_status check_levels(const tsr_vqvae_config *c, const char *origin)
{
    size_t levels[TSR_FSQ_MAX], n, product = 1;
    if (tsr_vqvae_levels(c->levels, levels, &n) != TSR_OK)
        return tsr_context(TSR_ECONFIG, "%s", origin);
    for (size_t i = 0; i < n; i++)
        if (tsr_mul_size(product, levels[i], &product) != TSR_OK || product > 1 << 24)
            TSR_FAIL(TSR_ECONFIG, "%s: levels %s make more than %d codes", origin, c->levels,
                     1 << 24);
    return TSR_OK;
}

tsr_status tsr_vqvae_config_check(const tsr_vqvae_config *c, const char *origin)
{
    size_t patch = c->patch_proj ? c->patch_size : 1;
    size_t h = c->image_height ? c->image_height : c->image_size;
    size_t w = c->image_width ? c->image_width : c->image_size;
    if (strcmp(c->quant_type, "memcodes") == 0 && c->latent_dim % c->num_codebooks)
        TSR_FAIL(TSR_ECONFIG, "%s: latent_dim %zu is no multiple of num_codebooks %zu", origin,
                 c->latent_dim, c->num_codebooks);
    if (strcmp(c->quant_type, "fsq") == 0)
        TSR_TRY(check_levels(c, origin));
    if (!strstr(c->enc_type, "MLP") && (h % patch || w % patch))
        TSR_FAIL(TSR_ECONFIG, "%s: an input of %zux%zu is no multiple of patch_size %zu", origin, h,
                 w, patch);
    if (c->undo_std)
        TSR_FAIL(TSR_ECONFIG, "%s: undo_std is not handled; normalise the input instead", origin);
    return TSR_OK;
}

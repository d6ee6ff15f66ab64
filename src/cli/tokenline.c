/* SPDX-License-Identifier: Apache-2.0
 * One sample's tokens as a line of JSON. */
#include "cli/tokenline.h"

#include "base/mem.h"

#include <string.h>

#define MAX_CODES 0x7FFFFFFFLL

static tsr_status read_count(const json_t *v, const char *key, const char *origin, long long lo,
                             uint32_t *out)
{
    long long x;
    TSR_TRY(tsr_json_int(v, key, origin, &x));
    if (x < lo || x > MAX_CODES)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is %lld, expected %lld to %lld", origin, key, x, lo,
                 MAX_CODES);
    *out = (uint32_t)x;
    return TSR_OK;
}

static tsr_status read_name(const json_t *v, const char *key, const char *origin, char *out)
{
    const char *s;
    TSR_TRY(tsr_json_string(v, key, origin, &s));
    if (!tsr_modality_name_ok(s))
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" holds no name of a modality", origin, key);
    memcpy(out, s, strlen(s) + 1);
    return TSR_OK;
}

static tsr_status read_grid(const json_t *v, const char *origin, tsr_token_space *s)
{
    const json_t *grid;
    TSR_TRY(tsr_json_member(v, "grid", origin, JSON_ARRAY, &grid));
    json_int_t h = json_integer_value(json_array_get(grid, 0));
    json_int_t w = json_integer_value(json_array_get(grid, 1));
    if (json_array_size(grid) != 2 || h < 1 || w < 1 || h > MAX_CODES || w > MAX_CODES)
        TSR_FAIL(TSR_EFORMAT, "%s: \"grid\" is not [height, width]", origin);
    s->height = (uint32_t)h;
    s->width = (uint32_t)w;
    return TSR_OK;
}

/* What belongs to codes. */
static tsr_status read_codes(const json_t *v, const char *origin, tsr_token_space *s)
{
    s->levels = 1;
    if (s->layout == TSR_LAYOUT_GRID)
        TSR_TRY(read_count(v, "levels", origin, 1, &s->levels));
    TSR_TRY(read_name(v, "vocabulary", origin, s->vocabulary));
    TSR_TRY(read_count(v, "codebook_size", origin, 1, &s->codebook_size));
    return read_count(v, "base", origin, 0, &s->base);
}

static tsr_status read_patches(const json_t *v, const char *origin, tsr_token_space *s)
{
    uint32_t patch;
    TSR_TRY(read_count(v, "patch_size", origin, 1, &patch));
    tsr_space_set_patches(s, s->height, s->width, patch);
    if (tsr_space_patch(s) != patch)
        TSR_FAIL(TSR_EFORMAT, "%s: \"patch_size\" %u is too large", origin, patch);
    return TSR_OK;
}

static tsr_status read_space(const json_t *v, const char *origin, tsr_token_space *s)
{
    const char *layout, *digest;
    TSR_TRY(read_name(v, "modality", origin, s->modality));
    TSR_TRY(tsr_json_string(v, "layout", origin, &layout));
    TSR_TRY(tsr_layout_parse(layout, origin, &s->layout));
    s->height = s->width = 1;
    if (s->layout != TSR_LAYOUT_SEQUENCE)
        TSR_TRY(read_grid(v, origin, s));
    TSR_TRY(tsr_space_has_codes(s) ? read_codes(v, origin, s) : read_patches(v, origin, s));
    TSR_TRY(tsr_json_string(v, "tokenizer", origin, &digest));
    return tsr_digest_parse(digest, &s->tokenizer);
}

/* Where the ids of a line are. */
static const char *ids_key(const tsr_token_space *s)
{
    return tsr_space_has_codes(s) ? "ids" : "values";
}

static tsr_status read_ids(const json_t *v, const char *origin, const tsr_token_space *s,
                           tsr_tokens *out)
{
    const json_t *ids;
    TSR_TRY(tsr_json_member(v, ids_key(s), origin, JSON_ARRAY, &ids));
    size_t count = json_array_size(ids), places;
    TSR_TRY(tsr_mul_size(s->height, s->width, &places));
    TSR_TRY(tsr_mul_size(places, s->levels, &places));
    if (s->layout != TSR_LAYOUT_SEQUENCE && count != places)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu ids do not fill a grid of %u x %u x %u", origin, count,
                 s->height, s->width, s->levels);
    TSR_TRY(tsr_tokens_init(out, count));
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t x = json_is_integer(id) ? json_integer_value(id) : -1;
        if (x < 0 || x >= s->codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: id number %zu is not below the codebook size %u", origin, i,
                     s->codebook_size);
        out->ids[i] = (uint32_t)x;
    }
    return TSR_OK;
}

tsr_status tsr_token_line_parse(const char *text, size_t bytes, const char *origin,
                                tsr_token_line *out)
{
    json_t *v = NULL;
    tsr_token_line line = {0};
    const char *key;
    tsr_status st;
    TSR_GO(tsr_json_parse(text, bytes, origin, &v));
    TSR_GO(tsr_json_string(v, "key", origin, &key));
    TSR_GO(tsr_strdup(&line.key, key));
    TSR_GO(read_space(v, origin, &line.space));
    TSR_GO(read_ids(v, origin, &line.space, &line.tokens));
    *out = line;
    line = (tsr_token_line){0};
out:
    tsr_token_line_clear(&line);
    json_decref(v);
    return st;
}

void tsr_token_line_clear(tsr_token_line *l)
{
    tsr_free(l->key);
    tsr_tokens_clear(&l->tokens);
    *l = (tsr_token_line){0};
}

tsr_status tsr_ids_json(const tsr_token_space *s, const tsr_tokens *tokens, json_t *into)
{
    json_t *ids = json_array();
    TSR_TRY(tsr_json_set(into, ids_key(s), ids));
    for (size_t i = 0; i < tokens->count; i++)
        TSR_TRY(tsr_json_append(ids, json_integer(tokens->ids[i])));
    return TSR_OK;
}

static tsr_status global_json(const tsr_token_space *s, const tsr_tokens *tokens, json_t *into)
{
    json_t *global = json_array();
    TSR_TRY(tsr_json_set(into, "global", global));
    for (size_t i = 0; i < tokens->count; i++)
        TSR_TRY(tsr_json_append(global, json_integer((json_int_t)tokens->ids[i] + s->base)));
    return TSR_OK;
}

tsr_status tsr_token_line_json(const char *key, const tsr_token_space *s, const tsr_tokens *tokens,
                               json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *v = json_pack("{s:s}", "key", key);
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "%s: the name is not UTF-8", key);
    TSR_GO(tsr_space_json(s, v));
    TSR_GO(tsr_ids_json(s, tokens, v));
    if (tsr_space_has_codes(s))
        TSR_GO(global_json(s, tokens, v));
    *out = v;
    v = NULL;
out:
    json_decref(v);
    return st;
}

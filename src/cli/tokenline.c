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

static tsr_status read_space(const json_t *v, const char *origin, tsr_token_space *s)
{
    const char *layout, *digest;
    TSR_TRY(read_name(v, "modality", origin, s->modality));
    TSR_TRY(read_name(v, "vocabulary", origin, s->vocabulary));
    TSR_TRY(read_count(v, "levels", origin, 1, &s->levels));
    TSR_TRY(read_count(v, "codebook_size", origin, 1, &s->codebook_size));
    TSR_TRY(read_count(v, "base", origin, 0, &s->base));
    TSR_TRY(read_grid(v, origin, s));
    TSR_TRY(tsr_json_string(v, "layout", origin, &layout));
    TSR_TRY(tsr_json_string(v, "tokenizer", origin, &digest));
    TSR_TRY(tsr_digest_parse(digest, &s->tokenizer));
    if (strcmp(layout, "grid") != 0 && strcmp(layout, "sequence") != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: \"layout\" is neither grid nor sequence", origin);
    s->layout = layout[0] == 'g' ? TSR_LAYOUT_GRID : TSR_LAYOUT_SEQUENCE;
    return TSR_OK;
}

static tsr_status read_ids(const json_t *v, const char *origin, const tsr_token_space *s,
                           tsr_tokens *out)
{
    const json_t *ids;
    TSR_TRY(tsr_json_member(v, "ids", origin, JSON_ARRAY, &ids));
    size_t count = json_array_size(ids), places;
    TSR_TRY(tsr_mul_size(s->height, s->width, &places));
    TSR_TRY(tsr_mul_size(places, s->levels, &places));
    if (s->layout == TSR_LAYOUT_GRID && count != places)
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

tsr_status tsr_token_line_json(const char *key, const tsr_token_space *s, const tsr_tokens *tokens,
                               json_t **out)
{
    char digest[TSR_DIGEST_CHARS];
    json_t *ids = json_array(), *global = json_array();
    tsr_status st = TSR_OK;
    tsr_digest_text(s->tokenizer, digest);
    json_t *v = json_pack(
        "{s:s, s:s, s:s, s:[I,I], s:I, s:I, s:I, s:s, s:s, s:o, s:o}", "key", key, "modality",
        s->modality, "layout", s->layout == TSR_LAYOUT_GRID ? "grid" : "sequence", "grid",
        (json_int_t)s->height, (json_int_t)s->width, "levels", (json_int_t)s->levels,
        "codebook_size", (json_int_t)s->codebook_size, "base", (json_int_t)s->base, "vocabulary",
        s->vocabulary, "tokenizer", digest, "ids", ids, "global", global);
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "%s: the name is not UTF-8", key);
    for (size_t i = 0; i < tokens->count; i++) {
        TSR_GO(tsr_json_append(ids, json_integer(tokens->ids[i])));
        TSR_GO(tsr_json_append(global, json_integer((json_int_t)tokens->ids[i] + s->base)));
    }
    *out = v;
    v = NULL;
out:
    json_decref(v);
    return st;
}

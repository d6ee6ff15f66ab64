/* SPDX-License-Identifier: Apache-2.0
 * tokenizer.json: reading what Hugging Face tokenizers writes for WordPiece, and writing it. */
#include "tokenizers/text.h"

#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text_private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)

/* ---- reading ----------------------------------------------------------------------------------*/

/* object[key] must be an object with "type": type. */
static tsr_status need_part(const json_t *value, const char *key, const char *type,
                            const char *origin, const json_t **out)
{
    const json_t *part = json_object_get(value, key);
    const char *got = json_string_value(json_object_get(part, "type"));
    if (!got || strcmp(got, type) != 0)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: %s is %.40s; only %s is supported", origin, key,
                 got ? got : "missing", type);
    *out = part;
    return TSR_OK;
}

/* A part that would change ids and is not handled. */
static tsr_status need_null(const json_t *value, const char *key, const char *origin)
{
    const json_t *part = json_object_get(value, key);
    if (part && !json_is_null(part))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: it asks for %s, which is not supported", origin, key);
    return TSR_OK;
}

static tsr_status read_flag(const json_t *object, const char *key, int fallback, const char *origin,
                            int *out)
{
    const json_t *v = json_object_get(object, key);
    if (v && !json_is_boolean(v) && !json_is_null(v))
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" must be true, false or null", origin, key);
    *out = json_is_boolean(v) ? json_is_true(v) : fallback;
    return TSR_OK;
}

static tsr_status read_rules(tsr_text *t, const json_t *value, const char *origin)
{
    const json_t *n, *p, *d;
    TSR_TRY(need_part(value, "normalizer", "BertNormalizer", origin, &n));
    TSR_TRY(need_part(value, "pre_tokenizer", "BertPreTokenizer", origin, &p));
    TSR_TRY(need_part(value, "decoder", "WordPiece", origin, &d));
    TSR_TRY(need_null(value, "truncation", origin));
    TSR_TRY(need_null(value, "padding", origin));
    TSR_TRY(need_null(value, "post_processor", origin));
    TSR_TRY(read_flag(n, "clean_text", 1, origin, &t->rules.clean));
    TSR_TRY(read_flag(n, "handle_chinese_chars", 1, origin, &t->rules.space_cjk));
    TSR_TRY(read_flag(n, "lowercase", 1, origin, &t->rules.lowercase));
    TSR_TRY(read_flag(n, "strip_accents", t->rules.lowercase, origin, &t->rules.strip_accents));
    const char *prefix = json_string_value(json_object_get(d, "prefix"));
    int cleanup;
    TSR_TRY(read_flag(d, "cleanup", 1, origin, &cleanup));
    if (!prefix || strcmp(prefix, "##") != 0 || !cleanup)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the decoder must have prefix \"##\" and clean up", origin);
    return TSR_OK;
}

static tsr_status read_model(tsr_text *t, const json_t *value, const char *origin,
                             const char **unknown)
{
    const json_t *model;
    TSR_TRY(need_part(value, "model", "WordPiece", origin, &model));
    const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    if (!prefix || strcmp(prefix, "##") != 0)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: continuation pieces must start with \"##\"", origin);
    long long chars;
    TSR_TRY(tsr_json_int(model, "max_input_chars_per_word", origin, &chars));
    if (chars < 1 || chars > 1000000)
        TSR_FAIL(TSR_EFORMAT, "%s: max_input_chars_per_word is %lld", origin, chars);
    t->max_word_chars = (size_t)chars;
    TSR_TRY(tsr_json_string(model, "unk_token", origin, unknown));
    json_t *vocab = json_object_get(model, "vocab"), *id;
    const char *token;
    if (!json_is_object(vocab))
        TSR_FAIL(TSR_EFORMAT, "%s: the model has no object \"vocab\"", origin);
    json_object_foreach(vocab, token, id)
    {
        json_int_t v = json_integer_value(id);
        if (!json_is_integer(id) || v < 0 || v >= (json_int_t)TSR_TEXT_MAX_ID)
            TSR_FAIL(TSR_EFORMAT, "%s: token \"%.60s\" has no id in 0..%u", origin, token,
                     TSR_TEXT_MAX_ID - 1);
        TSR_TRY(tsr_text_add_token(t, (uint32_t)v, token));
    }
    return TSR_OK;
}

static tsr_status read_special(tsr_text *t, const json_t *entry, const char *origin)
{
    const char *content;
    long long id;
    int left, right;
    tsr_special s = {0};
    if (!json_is_object(entry))
        TSR_FAIL(TSR_EFORMAT, "%s: an entry of added_tokens is not an object", origin);
    TSR_TRY(tsr_json_string(entry, "content", origin, &content));
    TSR_TRY(tsr_json_int(entry, "id", origin, &id));
    TSR_TRY(read_flag(entry, "single_word", 0, origin, &s.single_word));
    TSR_TRY(read_flag(entry, "normalized", 1, origin, &s.normalized));
    TSR_TRY(read_flag(entry, "special", 0, origin, &s.special));
    TSR_TRY(read_flag(entry, "lstrip", 0, origin, &left));
    TSR_TRY(read_flag(entry, "rstrip", 0, origin, &right));
    if (left || right)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: token \"%.60s\" strips blanks beside it", origin, content);
    if (id < 0 || id >= (long long)TSR_TEXT_MAX_ID)
        TSR_FAIL(TSR_EFORMAT, "%s: token \"%.60s\" has id %lld", origin, content, id);
    s.id = (uint32_t)id;
    TSR_TRY(tsr_text_add_token(t, s.id, content));
    return tsr_text_add_special(t, &s);
}

static tsr_status read_all(tsr_text *t, const json_t *value, const char *origin)
{
    const json_t *specials;
    const char *unknown;
    TSR_TRY(read_rules(t, value, origin));
    TSR_TRY(read_model(t, value, origin, &unknown));
    TSR_TRY(tsr_json_member(value, "added_tokens", origin, JSON_ARRAY, &specials));
    for (size_t i = 0; i < json_array_size(specials); i++)
        TSR_TRY(read_special(t, json_array_get(specials, i), origin));
    return tsr_text_seal(t, unknown, origin);
}

tsr_status tsr_text_from_json(const json_t *value, const char *origin, tsr_text **out)
{
    if (!json_is_object(value))
        TSR_FAIL(TSR_EFORMAT, "%s: not a tokenizer.json object", origin);
    tsr_text *t = NULL;
    TSR_TRY(tsr_text_create(&t));
    tsr_status st = read_all(t, value, origin);
    if (st != TSR_OK) {
        tsr_text_destroy(t);
        return st;
    }
    *out = t;
    return TSR_OK;
}

tsr_status tsr_text_open(const char *path, tsr_text **out)
{
    json_t *value = NULL;
    TSR_TRY(tsr_json_read(path, MAX_FILE_BYTES, &value));
    tsr_status st = tsr_text_from_json(value, path, out);
    json_decref(value);
    return st;
}

/* ---- writing ----------------------------------------------------------------------------------*/

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const tsr_special *)a)->id, y = ((const tsr_special *)b)->id;
    return (x > y) - (x < y);
}

static tsr_status write_specials(const tsr_text *t, json_t *value)
{
    tsr_special *sorted = NULL;
    json_t *list = json_array();
    tsr_status st = TSR_OK;
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer file");
    TSR_GO(tsr_alloc(&sorted, t->n_specials, sizeof *sorted));
    if (t->n_specials > 0) {
        memcpy(sorted, t->specials, t->n_specials * sizeof *sorted);
        qsort(sorted, t->n_specials, sizeof *sorted, by_id);
    }
    for (size_t i = 0; i < t->n_specials; i++)
        TSR_GO(tsr_json_append(
            list, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)sorted[i].id,
                            "content", t->token[sorted[i].id], "single_word", sorted[i].single_word,
                            "lstrip", 0, "rstrip", 0, "normalized", sorted[i].normalized, "special",
                            sorted[i].special)));
    TSR_GO(tsr_json_set(value, "added_tokens", json_incref(list)));
out:
    json_decref(list);
    tsr_free(sorted);
    return st;
}

static tsr_status write_model(const tsr_text *t, json_t *value)
{
    json_t *vocab = json_object();
    if (!vocab)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer file");
    json_t *model =
        json_pack("{s:s, s:s, s:s, s:I, s:o}", "type", "WordPiece", "unk_token",
                  t->token[t->unknown], "continuing_subword_prefix", "##",
                  "max_input_chars_per_word", (json_int_t)t->max_word_chars, "vocab", vocab);
    TSR_TRY(tsr_json_set(value, "model", model));
    for (uint32_t i = 0; i < t->size; i++)
        if (t->token[i])
            TSR_TRY(tsr_json_set(vocab, t->token[i], json_integer(i)));
    return TSR_OK;
}

static tsr_status write_rules(const tsr_text *t, json_t *value)
{
    json_t *accents = t->rules.strip_accents == t->rules.lowercase
                          ? json_null()
                          : json_boolean(t->rules.strip_accents);
    TSR_TRY(
        tsr_json_set(value, "normalizer",
                     json_pack("{s:s, s:b, s:b, s:o, s:b}", "type", "BertNormalizer", "clean_text",
                               t->rules.clean, "handle_chinese_chars", t->rules.space_cjk,
                               "strip_accents", accents, "lowercase", t->rules.lowercase)));
    TSR_TRY(tsr_json_set(value, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer")));
    TSR_TRY(tsr_json_set(value, "post_processor", json_null()));
    return tsr_json_set(
        value, "decoder",
        json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1));
}

tsr_status tsr_text_to_json(const tsr_text *t, json_t **out)
{
    json_t *value = json_object();
    tsr_status st = TSR_OK;
    if (!value)
        TSR_FAIL(TSR_ENOMEM, "no memory for a tokenizer file");
    TSR_GO(tsr_json_set(value, "version", json_string("1.0")));
    TSR_GO(tsr_json_set(value, "truncation", json_null()));
    TSR_GO(tsr_json_set(value, "padding", json_null()));
    TSR_GO(write_specials(t, value));
    TSR_GO(write_rules(t, value));
    TSR_GO(write_model(t, value));
    *out = value;
    value = NULL;
out:
    json_decref(value);
    return st;
}

tsr_status tsr_text_write(const tsr_text *t, const char *path)
{
    json_t *value = NULL;
    TSR_TRY(tsr_text_to_json(t, &value));
    tsr_status st = tsr_json_write(path, value, 2);
    json_decref(value);
    return st;
}

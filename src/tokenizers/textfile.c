/* SPDX-License-Identifier: Apache-2.0
 * tokenizer.json: reading what Hugging Face tokenizers writes, and writing it. */
#include "tokenizers/text.h"

#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text_private.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)

static const tsr_textmodel *const models[] = {&tsr_textmodel_wordpiece, &tsr_textmodel_bpe};

/* ---- reading ----------------------------------------------------------------------------------*/

/* A part that would change ids and is not handled. */
static tsr_status need_null(const json_t *value, const char *key, const char *origin)
{
    const json_t *part = json_object_get(value, key);
    if (part && !json_is_null(part))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: it asks for %s, which is not supported", origin, key);
    return TSR_OK;
}

/* post_processor adds tokens around a text, which we do not (header of text.h); of a kind we do not
 * know it might do something else, too. */
static tsr_status check_processor(const json_t *part, const char *origin, int depth)
{
    static const char *const harmless[] = {"BertProcessing", "RobertaProcessing", "ByteLevel",
                                           "TemplateProcessing"};
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type)
        TSR_FAIL(TSR_EFORMAT, "%s: the post_processor is not an object with a \"type\"", origin);
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (strcmp(type, harmless[i]) == 0)
            return TSR_OK;
    if (strcmp(type, "Sequence") != 0 || depth == 8)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the post_processor asks for %.40s, which is not supported",
                 origin, type);
    const json_t *list;
    TSR_TRY(tsr_json_member(part, "processors", origin, JSON_ARRAY, &list));
    for (size_t i = 0; i < json_array_size(list); i++)
        TSR_TRY(check_processor(json_array_get(list, i), origin, depth + 1));
    return TSR_OK;
}

static tsr_status read_steps(tsr_text *t, const json_t *value, const char *origin)
{
    const json_t *p = json_object_get(value, "post_processor");
    const struct {
        tsr_textsteps *steps;
        const tsr_textpart *part;
    } lists[] = {{&t->normalizer, &tsr_textpart_normal},
                 {&t->words, &tsr_textpart_words},
                 {&t->decoder, &tsr_textpart_decoder}};
    TSR_TRY(need_null(value, "truncation", origin));
    TSR_TRY(need_null(value, "padding", origin));
    for (size_t i = 0; i < 3; i++)
        TSR_TRY(tsr_textsteps_read(lists[i].steps, lists[i].part,
                                   json_object_get(value, lists[i].part->key), origin));
    if (!p || json_is_null(p))
        return TSR_OK;
    TSR_TRY(check_processor(p, origin, 0));
    t->processor = json_deep_copy(p);
    if (!t->processor)
        TSR_FAIL(TSR_ENOMEM, "no memory for the post_processor");
    return TSR_OK;
}

static tsr_status read_vocabulary(tsr_text *t, const json_t *model, const char *origin)
{
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
        TSR_TRY(tsr_text_add_token(t, (uint32_t)v, token, 0));
    }
    return TSR_OK;
}

static tsr_status read_model(tsr_text *t, const json_t *value, const char *origin)
{
    const json_t *model = json_object_get(value, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    for (size_t i = 0; type && i < sizeof models / sizeof models[0]; i++)
        if (strcmp(type, models[i]->type) == 0)
            t->kind = models[i];
    if (!t->kind)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the model is %.40s; WordPiece and BPE are supported",
                 origin, type ? type : "of no type");
    TSR_TRY(read_vocabulary(t, model, origin));
    return t->kind->read(t, model, origin);
}

/* The id the library gives an added token. It keeps those of the model and counts on from the
 * number of its tokens for others, whatever the file says; a file that says something else would
 * mean different things to the two of us. */
static tsr_status check_added_id(const tsr_text *t, const char *content, long long id,
                                 uint32_t *next, const char *origin)
{
    uint32_t known = tsr_text_model_id(t, content, strlen(content));
    uint32_t want = known != TSR_TEXT_NONE ? known : *next;
    if (id != (long long)want)
        TSR_FAIL(TSR_EFORMAT, "%s: added token \"%.60s\" has id %lld, but the library counts to %u",
                 origin, content, id, want);
    *next += known == TSR_TEXT_NONE;
    return TSR_OK;
}

static tsr_status read_special(tsr_text *t, const json_t *entry, uint32_t *next, const char *origin)
{
    const char *content;
    long long id;
    tsr_special s = {0};
    if (!json_is_object(entry))
        TSR_FAIL(TSR_EFORMAT, "%s: an entry of added_tokens is not an object", origin);
    TSR_TRY(tsr_json_string(entry, "content", origin, &content));
    TSR_TRY(tsr_json_int(entry, "id", origin, &id));
    TSR_TRY(tsr_textstep_flag(entry, "single_word", 0, origin, &s.single_word));
    TSR_TRY(tsr_textstep_flag(entry, "lstrip", 0, origin, &s.lstrip));
    TSR_TRY(tsr_textstep_flag(entry, "rstrip", 0, origin, &s.rstrip));
    TSR_TRY(tsr_textstep_flag(entry, "normalized", 1, origin, &s.normalized));
    TSR_TRY(tsr_textstep_flag(entry, "special", 0, origin, &s.special));
    if (content[0] == '\0')
        return TSR_OK; /* the library leaves it out, too */
    TSR_TRY(check_added_id(t, content, id, next, origin));
    s.id = (uint32_t)id;
    TSR_TRY(tsr_text_add_token(t, s.id, content, 1));
    tsr_status st = tsr_text_add_special(t, &s);
    return st == TSR_OK ? st : tsr_context(st, "%s", origin);
}

static tsr_status read_all(tsr_text *t, const json_t *value, const char *origin)
{
    const json_t *specials, *version = json_object_get(value, "version");
    if (version && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the version is not \"1.0\"", origin);
    TSR_TRY(read_steps(t, value, origin));
    TSR_TRY(read_model(t, value, origin));
    TSR_TRY(tsr_json_member(value, "added_tokens", origin, JSON_ARRAY, &specials));
    uint32_t next = (uint32_t)t->n_vocab;
    for (size_t i = 0; i < json_array_size(specials); i++)
        TSR_TRY(read_special(t, json_array_get(specials, i), &next, origin));
    return tsr_text_seal(t);
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
        return tsr_starts_with(tsr_error(), origin) ? st : tsr_context(st, "%s", origin);
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

tsr_status tsr_text_create_bert(int lowercase, tsr_text **out)
{
    tsr_text *t = NULL;
    json_t *value =
        json_pack("{s:{s:s, s:b}, s:{s:s}, s:{s:s, s:s}}", "normalizer", "type", "BertNormalizer",
                  "lowercase", lowercase != 0, "pre_tokenizer", "type", "BertPreTokenizer",
                  "decoder", "type", "WordPiece", "prefix", "##");
    tsr_status st = TSR_OK;
    if (!value)
        TSR_FAIL(TSR_ENOMEM, "no memory for the BERT rules");
    TSR_GO(tsr_text_create(&t));
    TSR_GO(read_steps(t, value, "the BERT rules"));
    TSR_GO(tsr_wordpiece_create(t, "##", TSR_TEXT_UNK, 100));
    *out = t;
    t = NULL;
out:
    tsr_text_destroy(t);
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
                            "lstrip", sorted[i].lstrip, "rstrip", sorted[i].rstrip, "normalized",
                            sorted[i].normalized, "special", sorted[i].special)));
    TSR_GO(tsr_json_set(value, "added_tokens", json_incref(list)));
out:
    json_decref(list);
    tsr_free(sorted);
    return st;
}

static tsr_status write_model(const tsr_text *t, json_t *value)
{
    json_t *model = json_pack("{s:s}", "type", t->kind->type), *vocab = json_object();
    tsr_status st = TSR_OK;
    if (!model || !vocab)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a tokenizer file");
    TSR_GO(t->kind->write(t, model));
    TSR_GO(tsr_json_set(model, "vocab", json_incref(vocab)));
    for (uint32_t i = 0; i < t->size; i++)
        if (t->token[i] && !t->added[i])
            TSR_GO(tsr_json_set(vocab, t->token[i], json_integer(i)));
    if (t->kind->write_rest)
        TSR_GO(t->kind->write_rest(t, model));
    TSR_GO(tsr_json_set(value, "model", json_incref(model)));
out:
    json_decref(vocab);
    json_decref(model);
    return st;
}

static tsr_status write_part(json_t *value, const char *key, json_t *part)
{
    return tsr_json_set(value, key, part ? json_incref(part) : json_null());
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
    TSR_GO(write_part(value, "normalizer", t->normalizer.json));
    TSR_GO(write_part(value, "pre_tokenizer", t->words.json));
    TSR_GO(write_part(value, "post_processor", t->processor));
    TSR_GO(write_part(value, "decoder", t->decoder.json));
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

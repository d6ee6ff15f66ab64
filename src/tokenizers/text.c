/* SPDX-License-Identifier: Apache-2.0
 * Text tokenizers: the object, encoding and decoding. */
#include "tokenizers/text.h"

#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ---------------------------------------------------------------------------------*/

tsr_status tsr_text_create(tsr_text **out)
{
    return tsr_alloc(out, 1, sizeof **out);
}

void tsr_text_destroy(tsr_text *t)
{
    if (!t)
        return;
    if (t->kind)
        t->kind->destroy(t->model);
    for (uint32_t i = 0; i < t->size; i++)
        tsr_free(t->token[i]);
    for (size_t i = 0; i < t->n_specials; i++)
        tsr_free(t->specials[i].shown);
    tsr_free(t->token);
    tsr_free(t->added);
    tsr_free(t->specials);
    tsr_textmap_clear(&t->ids);
    tsr_texttree_clear(&t->raw);
    tsr_texttree_clear(&t->normal);
    tsr_textsteps_clear(&t->normalizer);
    tsr_textsteps_clear(&t->words);
    tsr_textsteps_clear(&t->decoder);
    json_decref(t->processor);
    tsr_free(t);
}

/* Room for ids up to `id`; grows by doubling. */
static tsr_status reach(tsr_text *t, uint32_t id)
{
    if (id >= TSR_TEXT_MAX_ID)
        TSR_FAIL(TSR_ELIMIT, "token id %u; ids go up to %u", id, TSR_TEXT_MAX_ID - 1);
    if (id < t->size)
        return TSR_OK;
    uint32_t cap = 64; /* storage is always a power of two, so its size follows from t->size */
    while (cap < t->size)
        cap *= 2;
    cap = t->size == 0 ? 0 : cap;
    uint32_t want = cap ? cap : 64;
    while (want <= id)
        want *= 2;
    if (want != cap) {
        TSR_TRY(tsr_grow(&t->token, t->size, want, sizeof *t->token));
        TSR_TRY(tsr_grow(&t->added, t->size, want, 1));
    }
    t->size = id + 1;
    return TSR_OK;
}

tsr_status tsr_text_add_token(tsr_text *t, uint32_t id, const char *token, int added)
{
    size_t bytes = strlen(token);
    const uint32_t *known = tsr_textmap_get(&t->ids, token, bytes);
    if (known && *known == id)
        return TSR_OK;
    if (known)
        TSR_FAIL(TSR_EFORMAT, "token \"%.60s\" has two ids, %u and %u", token, *known, id);
    TSR_TRY(reach(t, id));
    if (t->token[id])
        TSR_FAIL(TSR_EFORMAT, "id %u stands for both \"%.60s\" and \"%.60s\"", id, t->token[id],
                 token);
    TSR_TRY(tsr_strdup(&t->token[id], token));
    t->added[id] = (unsigned char)added;
    t->n_vocab += !added;
    t->longest = bytes > t->longest ? bytes : t->longest;
    return tsr_textmap_put(&t->ids, t->token[id], bytes, id);
}

static tsr_status grow_tree(tsr_texttree *tree, const char *s, size_t bytes, uint32_t entry)
{
    int taken;
    if (bytes == 0)
        TSR_FAIL(TSR_EFORMAT, "an added token is empty once normalised");
    TSR_TRY(tsr_texttree_add(tree, s, bytes, entry, &taken));
    if (taken)
        TSR_FAIL(TSR_EFORMAT, "two added tokens are \"%.60s\" once normalised", s);
    return TSR_OK;
}

tsr_status tsr_text_add_special(tsr_text *t, const tsr_special *s)
{
    TSR_TRY(tsr_room(&t->specials, t->n_specials, &t->cap_specials, sizeof *t->specials));
    tsr_special *new = &t->specials[t->n_specials++];
    *new = *s;
    new->shown = NULL;
    const char *token = t->token[s->id];
    uint32_t entry = (uint32_t)t->n_specials;
    if (!s->normalized)
        return grow_tree(&t->raw, token, strlen(token), entry);
    tsr_str normal = {0}, scratch = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_str_add(&normal, ""));
    TSR_GO(tsr_textsteps_normalize(&t->normalizer, token, strlen(token), &scratch, &normal));
    TSR_GO(grow_tree(&t->normal, normal.s, normal.len, entry));
    if (strcmp(normal.s, token) != 0)
        TSR_GO(tsr_strdup(&new->shown, normal.s));
    t->has_shown |= new->shown != NULL;
out:
    tsr_str_clear(&normal);
    tsr_str_clear(&scratch);
    return st;
}

tsr_status tsr_text_seal(tsr_text *t)
{
    json_t *value = NULL;
    char *text = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_text_to_json(t, &value));
    TSR_GO(tsr_json_text(value, 0, &text));
    t->digest = tsr_hash(text, strlen(text));
out:
    tsr_free(text);
    json_decref(value);
    return st;
}

/* ---- asking -----------------------------------------------------------------------------------*/

uint32_t tsr_text_size(const tsr_text *t)
{
    return t->size;
}

tsr_digest tsr_text_digest(const tsr_text *t)
{
    return t->digest;
}

uint32_t tsr_text_id(const tsr_text *t, const char *token)
{
    const uint32_t *id = tsr_textmap_get(&t->ids, token, strlen(token));
    return id ? *id : TSR_TEXT_NONE;
}

const char *tsr_text_token(const tsr_text *t, uint32_t id)
{
    return id < t->size ? t->token[id] : NULL;
}

tsr_status tsr_text_value(const tsr_text *t, unsigned line, unsigned value, uint32_t *id)
{
    char name[32];
    if (line >= TSR_TEXT_LINES)
        TSR_FAIL(TSR_EARG, "value tokens are v0 to v3, not v%u", line);
    snprintf(name, sizeof name, "v%u=%u", line, value);
    uint32_t found = tsr_text_id(t, name);
    if (found == TSR_TEXT_NONE)
        TSR_FAIL(TSR_EMISMATCH, "the text vocabulary has no token \"%s\"", name);
    *id = found;
    return TSR_OK;
}

int tsr_text_is_value(const tsr_text *t, uint32_t id, unsigned *line, unsigned *value)
{
    const char *s = tsr_text_token(t, id);
    if (!s || s[0] != 'v' || s[1] < '0' || s[1] > '3' || s[2] != '=' || s[3] < '0' || s[3] > '9')
        return 0;
    size_t digits = strspn(s + 3, "0123456789");
    if (s[3 + digits] != '\0' || digits > 6)
        return 0;
    *line = (unsigned)(s[1] - '0');
    *value = (unsigned)strtoul(s + 3, NULL, 10);
    return 1;
}

uint32_t tsr_text_model_id(const tsr_text *t, const char *token, size_t bytes)
{
    const uint32_t *id = tsr_textmap_get(&t->ids, token, bytes);
    return id && !t->added[*id] ? *id : TSR_TEXT_NONE;
}

/* ---- encoding ---------------------------------------------------------------------------------*/

tsr_status tsr_textwork_emit(tsr_textwork *w, uint32_t id)
{
    TSR_TRY(tsr_room(&w->ids, w->count, &w->cap, sizeof *w->ids));
    w->ids[w->count++] = id;
    return TSR_OK;
}

void tsr_textwork_clear(tsr_textwork *w)
{
    tsr_textmodel_bpe.clear_work(w);
    tsr_free(w->ids);
    tsr_str_clear(&w->piece);
    *w = (tsr_textwork){0};
}

typedef struct encoder {
    const tsr_text *text;
    tsr_textwork work;
} encoder;

static tsr_status encode_word(void *ctx, const char *word, size_t bytes, uint32_t special)
{
    encoder *e = ctx;
    if (special != TSR_TEXT_NONE)
        return tsr_textwork_emit(&e->work, special);
    return e->text->kind->word(e->text, word, bytes, &e->work);
}

tsr_status tsr_text_encode(const tsr_text *t, const char *text, size_t bytes, tsr_tokens *out)
{
    encoder e = {.text = t};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_text_split(t, text, bytes, encode_word, &e));
    if (e.work.count > 0) {
        size_t total;
        TSR_GO(tsr_add_size(out->count, e.work.count, &total));
        TSR_GO(tsr_grow(&out->ids, out->count, total, sizeof *out->ids));
        memcpy(out->ids + out->count, e.work.ids, e.work.count * sizeof *e.work.ids);
        out->count = total;
    }
out:
    tsr_textwork_clear(&e.work);
    return st;
}

/* ---- decoding ---------------------------------------------------------------------------------*/

/* What decoding starts from for an id: a normalised added token is shown as it was looked for. */
static const char *shown_token(const tsr_text *t, uint32_t id)
{
    for (size_t i = 0; t->has_shown && i < t->n_specials; i++)
        if (t->specials[i].id == id && t->specials[i].shown)
            return t->specials[i].shown;
    return t->token[id];
}

/* Runs the decoder; the text, its NUL included, goes to *out. */
static tsr_status finish(const tsr_text *t, tsr_texts *pieces, char **out, size_t *bytes)
{
    tsr_str text = {0};
    tsr_status st = tsr_textsteps_decode(&t->decoder, pieces, &text);
    if (st != TSR_OK) {
        tsr_str_clear(&text);
        return st;
    }
    *out = text.s;
    if (bytes)
        *bytes = text.len;
    return TSR_OK;
}

tsr_status tsr_text_decode(const tsr_text *t, const uint32_t *ids, size_t count, char **out,
                           size_t *bytes)
{
    tsr_texts pieces = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= t->size)
            TSR_GOFAIL(TSR_EFORMAT, "token id %u at place %zu; the vocabulary has %u", ids[i], i,
                       t->size);
        const char *token = shown_token(t, ids[i]);
        if (token)
            TSR_GO(tsr_texts_add(&pieces, token, strlen(token)));
    }
    TSR_GO(finish(t, &pieces, out, bytes));
out:
    tsr_texts_clear(&pieces);
    return st;
}

typedef struct joiner {
    const tsr_text *text;
    tsr_texts pieces;
} joiner;

static tsr_status join_word(void *ctx, const char *word, size_t bytes, uint32_t special)
{
    joiner *j = ctx;
    const char *after = "";
    if (special != TSR_TEXT_NONE) {
        word = shown_token(j->text, special);
        bytes = strlen(word);
    } else {
        after = j->text->kind->suffix(j->text);
    }
    TSR_TRY(tsr_str_add_bytes(&j->pieces.all, word, bytes));
    TSR_TRY(tsr_str_add(&j->pieces.all, after));
    return tsr_texts_end(&j->pieces);
}

tsr_status tsr_text_normal(const tsr_text *t, const char *text, size_t length, char **out,
                           size_t *bytes)
{
    joiner j = {.text = t};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_text_split(t, text, length, join_word, &j));
    TSR_GO(finish(t, &j.pieces, out, bytes));
out:
    tsr_texts_clear(&j.pieces);
    return st;
}

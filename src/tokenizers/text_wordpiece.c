/* SPDX-License-Identifier: Apache-2.0
 * WordPiece: a word is cut into the longest pieces from the left; one that cannot be is unknown.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, src/models/wordpiece. */
#include "base/mem.h"
#include "tokenizers/text_private.h"

#include <string.h>

tsr_status tsr_wordpiece_create(tsr_text *t, const char *prefix, uint32_t unknown,
                                size_t max_word_chars)
{
    tsr_wordpiece *m = NULL;
    TSR_TRY(tsr_alloc(&m, 1, sizeof *m));
    t->kind = &tsr_textmodel_wordpiece;
    t->model = m;
    m->unknown = unknown;
    m->max_word_chars = max_word_chars;
    return tsr_strdup(&m->prefix, prefix);
}

static tsr_status read_model(tsr_text *t, const json_t *model, const char *origin)
{
    const char *prefix, *unknown;
    long long chars;
    TSR_TRY(tsr_json_string(model, "continuing_subword_prefix", origin, &prefix));
    TSR_TRY(tsr_json_string(model, "unk_token", origin, &unknown));
    TSR_TRY(tsr_json_int(model, "max_input_chars_per_word", origin, &chars));
    if (chars < 1 || chars > 1000000)
        TSR_FAIL(TSR_EFORMAT, "%s: max_input_chars_per_word is %lld", origin, chars);
    uint32_t id = tsr_text_model_id(t, unknown, strlen(unknown));
    if (id == TSR_TEXT_NONE)
        TSR_FAIL(TSR_EFORMAT, "%s: the unknown token \"%.40s\" is not in the vocabulary", origin,
                 unknown);
    return tsr_wordpiece_create(t, prefix, id, (size_t)chars);
}

static tsr_status write_model(const tsr_text *t, json_t *model)
{
    const tsr_wordpiece *m = t->model;
    TSR_TRY(tsr_json_set(model, "unk_token", json_string(t->token[m->unknown])));
    TSR_TRY(tsr_json_set(model, "continuing_subword_prefix", json_string(m->prefix)));
    return tsr_json_set(model, "max_input_chars_per_word",
                        json_integer((json_int_t)m->max_word_chars));
}

/* Longest token that is a prefix of s[0..bytes), ending between characters; its length or 0. */
static size_t longest_piece(const tsr_text *t, const char *s, size_t bytes, uint32_t *id)
{
    size_t n = bytes < t->longest ? bytes : t->longest;
    for (; n > 0; n--) {
        if (n < bytes && ((unsigned char)s[n] & 0xC0) == 0x80)
            continue;
        *id = tsr_text_model_id(t, s, n);
        if (*id != TSR_TEXT_NONE)
            return n;
    }
    return 0;
}

static tsr_status word(const tsr_text *t, const char *text, size_t bytes, tsr_textwork *w)
{
    const tsr_wordpiece *m = t->model;
    const size_t before = w->count, prefix = strlen(m->prefix);
    uint32_t id;
    if (tsr_text_chars(text, bytes) > m->max_word_chars)
        return tsr_textwork_emit(w, m->unknown);
    for (size_t at = 0; at < bytes;) {
        size_t n;
        if (at == 0) {
            n = longest_piece(t, text, bytes, &id);
        } else {
            size_t rest = bytes - at < t->longest ? bytes - at : t->longest;
            w->piece.len = 0;
            TSR_TRY(tsr_str_add(&w->piece, m->prefix));
            TSR_TRY(tsr_str_add_bytes(&w->piece, text + at, rest));
            n = longest_piece(t, w->piece.s, w->piece.len, &id);
            n = n > prefix ? n - prefix : 0;
        }
        if (n == 0) {
            w->count = before;
            return tsr_textwork_emit(w, m->unknown);
        }
        TSR_TRY(tsr_textwork_emit(w, id));
        at += n;
    }
    return TSR_OK;
}

static const char *suffix(const tsr_text *t)
{
    (void)t;
    return "";
}

static void destroy(void *model)
{
    tsr_wordpiece *m = model;
    if (m)
        tsr_free(m->prefix);
    tsr_free(m);
}

const tsr_textmodel tsr_textmodel_wordpiece = {
    .type = "WordPiece",
    .read = read_model,
    .write = write_model,
    .word = word,
    .suffix = suffix,
    .destroy = destroy,
};

/* SPDX-License-Identifier: Apache-2.0
 * WordPiece: the object, encoding and decoding. */
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
    tsr_text *t = NULL;
    TSR_TRY(tsr_alloc(&t, 1, sizeof *t));
    t->rules = (tsr_normal_rules){1, 1, 1, 1};
    t->max_word_chars = 100;
    *out = t;
    return TSR_OK;
}

void tsr_text_destroy(tsr_text *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->size; i++)
        tsr_free(t->token[i]);
    tsr_free(t->token);
    tsr_free(t->specials);
    tsr_textmap_clear(&t->ids);
    tsr_texttree_clear(&t->raw);
    tsr_texttree_clear(&t->normal);
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
    if (want != cap)
        TSR_TRY(tsr_grow(&t->token, t->size, want, sizeof *t->token));
    t->size = id + 1;
    return TSR_OK;
}

tsr_status tsr_text_add_token(tsr_text *t, uint32_t id, const char *token)
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
    t->longest = bytes > t->longest ? bytes : t->longest;
    return tsr_textmap_put(&t->ids, t->token[id], bytes, id);
}

tsr_status tsr_text_add_special(tsr_text *t, const tsr_special *s)
{
    TSR_TRY(tsr_room(&t->specials, t->n_specials, &t->cap_specials, sizeof *t->specials));
    t->specials[t->n_specials++] = *s;
    const char *token = t->token[s->id];
    uint32_t entry = (uint32_t)t->n_specials;
    if (token[0] == '\0')
        return TSR_OK;
    if (!s->normalized)
        return tsr_texttree_add(&t->raw, token, strlen(token), entry);
    tsr_str normal = {0};
    tsr_status st = tsr_text_normalize(&t->rules, token, strlen(token), &normal);
    if (st == TSR_OK && normal.len > 0)
        st = tsr_texttree_add(&t->normal, normal.s, normal.len, entry);
    tsr_str_clear(&normal);
    return st;
}

tsr_status tsr_text_seal(tsr_text *t, const char *unknown, const char *origin)
{
    const uint32_t *id = tsr_textmap_get(&t->ids, unknown, strlen(unknown));
    if (!id)
        TSR_FAIL(TSR_EFORMAT, "%s: the unknown token \"%.40s\" is not in the vocabulary", origin,
                 unknown);
    t->unknown = *id;
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

/* ---- splitting --------------------------------------------------------------------------------*/

/* Next accepted special of text[from..bytes): its index, or SIZE_MAX; a rejected match is jumped
 * over as a whole. */
static size_t next_special(const tsr_text *t, const tsr_texttree *tree, const char *text,
                           size_t bytes, size_t from, size_t *start, size_t *end)
{
    for (size_t at = from; at < bytes;) {
        uint32_t entry = tsr_texttree_longest(tree, text, bytes, at, end);
        if (!entry) {
            at++;
            continue;
        }
        size_t used;
        int free_before = at == 0 || !tsr_char_is_word(tsr_text_char_before(text, at));
        int free_after =
            *end == bytes || !tsr_char_is_word(tsr_text_char(text + *end, bytes - *end, &used));
        if (!t->specials[entry - 1].single_word || (free_before && free_after)) {
            *start = at;
            return entry - 1;
        }
        at = *end;
    }
    return SIZE_MAX;
}

/* Words and single punctuation characters of normalised text. */
static tsr_status split_words(const char *text, size_t bytes, tsr_word_sink sink, void *ctx)
{
    size_t word = 0, used;
    for (size_t at = 0; at < bytes; at += used) {
        int32_t c = tsr_text_char(text + at, bytes - at, &used);
        int space = tsr_char_is_space(c), mark = !space && tsr_char_is_punctuation(c);
        if (!space && !mark)
            continue;
        if (at > word)
            TSR_TRY(sink(ctx, text + word, at - word, TSR_TEXT_NONE));
        if (mark)
            TSR_TRY(sink(ctx, text + at, used, TSR_TEXT_NONE));
        word = at + used;
    }
    return word < bytes ? sink(ctx, text + word, bytes - word, TSR_TEXT_NONE) : TSR_OK;
}

/* Text between raw specials: normalise, cut out the normalised specials, split the rest. */
static tsr_status split_plain(const tsr_text *t, const char *text, size_t bytes, tsr_str *scratch,
                              tsr_word_sink sink, void *ctx)
{
    scratch->len = 0;
    TSR_TRY(tsr_text_normalize(&t->rules, text, bytes, scratch));
    const char *s = scratch->s;
    size_t from = 0, start, end;
    for (;;) {
        size_t i = next_special(t, &t->normal, s, scratch->len, from, &start, &end);
        if (i == SIZE_MAX)
            return split_words(s + from, scratch->len - from, sink, ctx);
        TSR_TRY(split_words(s + from, start - from, sink, ctx));
        TSR_TRY(sink(ctx, s + start, end - start, t->specials[i].id));
        from = end;
    }
}

tsr_status tsr_text_split(const tsr_text *t, const char *text, size_t bytes, tsr_word_sink sink,
                          void *ctx)
{
    if (bytes > TSR_TEXT_MAX)
        TSR_FAIL(TSR_ELIMIT, "a text of %zu bytes; the limit is %zu", bytes, TSR_TEXT_MAX);
    size_t valid = tsr_utf8_valid(text, bytes);
    if (valid != bytes)
        TSR_FAIL(TSR_EFORMAT, "text is not UTF-8 at byte %zu", valid);
    tsr_str scratch = {0};
    tsr_status st = TSR_OK;
    size_t from = 0, start, end;
    for (;;) {
        size_t i = next_special(t, &t->raw, text, bytes, from, &start, &end);
        size_t stop = i == SIZE_MAX ? bytes : start;
        if (stop > from)
            TSR_GO(split_plain(t, text + from, stop - from, &scratch, sink, ctx));
        if (i == SIZE_MAX)
            break;
        TSR_GO(sink(ctx, text + start, end - start, t->specials[i].id));
        from = end;
    }
out:
    tsr_str_clear(&scratch);
    return st;
}

/* ---- encoding ---------------------------------------------------------------------------------*/

typedef struct encoder {
    const tsr_text *text;
    uint32_t *ids;
    size_t count, cap;
    tsr_str piece; /* "##" and the rest of the word */
} encoder;

static tsr_status emit(encoder *e, uint32_t id)
{
    TSR_TRY(tsr_room(&e->ids, e->count, &e->cap, sizeof *e->ids));
    e->ids[e->count++] = id;
    return TSR_OK;
}

/* Longest token that is a prefix of s[0..bytes), ending between characters; its length or 0. */
static size_t longest_piece(const tsr_text *t, const char *s, size_t bytes, uint32_t *id)
{
    size_t n = bytes < t->longest ? bytes : t->longest;
    for (; n > 0; n--) {
        if (n < bytes && ((unsigned char)s[n] & 0xC0) == 0x80)
            continue;
        const uint32_t *found = tsr_textmap_get(&t->ids, s, n);
        if (found) {
            *id = *found;
            return n;
        }
    }
    return 0;
}

static tsr_status encode_word(void *ctx, const char *word, size_t bytes, uint32_t special)
{
    encoder *e = ctx;
    const tsr_text *t = e->text;
    if (special != TSR_TEXT_NONE)
        return emit(e, special);
    size_t before = e->count;
    if (tsr_text_chars(word, bytes) > t->max_word_chars)
        return emit(e, t->unknown);
    uint32_t id;
    for (size_t at = 0; at < bytes;) {
        size_t n;
        if (at == 0) {
            n = longest_piece(t, word, bytes, &id);
        } else {
            e->piece.len = 0;
            TSR_TRY(tsr_str_add(&e->piece, "##"));
            TSR_TRY(tsr_str_add_bytes(&e->piece, word + at, bytes - at));
            n = longest_piece(t, e->piece.s, e->piece.len, &id);
            n = n > 2 ? n - 2 : 0;
        }
        if (n == 0) {
            e->count = before;
            return emit(e, t->unknown);
        }
        TSR_TRY(emit(e, id));
        at += n;
    }
    return TSR_OK;
}

tsr_status tsr_text_encode(const tsr_text *t, const char *text, size_t bytes, tsr_tokens *out)
{
    encoder e = {.text = t};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_text_split(t, text, bytes, encode_word, &e));
    if (e.count > 0) {
        size_t total;
        TSR_GO(tsr_add_size(out->count, e.count, &total));
        TSR_GO(tsr_grow(&out->ids, out->count, total, sizeof *out->ids));
        memcpy(out->ids + out->count, e.ids, e.count * sizeof *e.ids);
        out->count = total;
    }
out:
    tsr_free(e.ids);
    tsr_str_clear(&e.piece);
    return st;
}

/* ---- decoding ---------------------------------------------------------------------------------*/

/* The clean-up of the WordPiece decoder, in its order. */
static const struct {
    const char *from, *to;
} cleanups[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

/* s with every `from` replaced by the shorter `to`, in place. */
static void replace(char *s, const char *from, const char *to)
{
    size_t a = strlen(from), b = strlen(to);
    for (char *p = strstr(s, from); p; p = strstr(p + b, from)) {
        memcpy(p, to, b);
        memmove(p + b, p + a, strlen(p + a) + 1);
    }
}

/* One piece of decoded text. */
static tsr_status join(tsr_str *out, const char *token, size_t bytes, int first, tsr_str *piece)
{
    int glued = !first && bytes >= 2 && token[0] == '#' && token[1] == '#';
    piece->len = 0;
    TSR_TRY(tsr_str_add(piece, first || glued ? "" : " "));
    TSR_TRY(tsr_str_add_bytes(piece, token + (glued ? 2 : 0), bytes - (glued ? 2 : 0)));
    for (size_t i = 0; i < sizeof cleanups / sizeof cleanups[0]; i++)
        replace(piece->s, cleanups[i].from, cleanups[i].to);
    return tsr_str_add(out, piece->s);
}

tsr_status tsr_text_decode(const tsr_text *t, const uint32_t *ids, size_t count, char **out)
{
    tsr_str text = {0}, piece = {0};
    tsr_status st = TSR_OK;
    int first = 1;
    TSR_GO(tsr_str_add(&text, ""));
    for (size_t i = 0; i < count; i++) {
        if (ids[i] >= t->size)
            TSR_GOFAIL(TSR_EFORMAT, "token id %u at place %zu; the vocabulary has %u", ids[i], i,
                       t->size);
        const char *token = t->token[ids[i]];
        if (!token)
            continue;
        TSR_GO(join(&text, token, strlen(token), first, &piece));
        first = 0;
    }
    *out = text.s;
    text = (tsr_str){0};
out:
    tsr_str_clear(&text);
    tsr_str_clear(&piece);
    return st;
}

typedef struct joiner {
    const tsr_text *text;
    tsr_str out, piece;
    int started;
} joiner;

static tsr_status join_word(void *ctx, const char *word, size_t bytes, uint32_t special)
{
    joiner *j = ctx;
    const char *s = special == TSR_TEXT_NONE ? word : j->text->token[special];
    size_t n = special == TSR_TEXT_NONE ? bytes : strlen(s);
    int first = !j->started;
    j->started = 1;
    return join(&j->out, s, n, first, &j->piece);
}

tsr_status tsr_text_normal(const tsr_text *t, const char *text, size_t bytes, char **out)
{
    joiner j = {.text = t};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_str_add(&j.out, ""));
    TSR_GO(tsr_text_split(t, text, bytes, join_word, &j));
    *out = j.out.s;
    j.out = (tsr_str){0};
out:
    tsr_str_clear(&j.out);
    tsr_str_clear(&j.piece);
    return st;
}

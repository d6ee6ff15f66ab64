/* SPDX-License-Identifier: Apache-2.0
 * Pre-tokenizers: cutting normalised text into the words a model sees.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, src/pre_tokenizers and
 *          NormalizedString::split. */
#include "tokenizers/textstep.h"

#include "base/mem.h"
#include "tokenizers/textchar.h"

#include <string.h>

static tsr_status add_piece(tsr_cutwork *w, size_t start, size_t end)
{
    if (end > UINT32_MAX)
        TSR_FAIL(TSR_ELIMIT, "a text of %zu bytes once normalised", end);
    TSR_TRY(tsr_room(&w->pieces, w->count, &w->cap, sizeof *w->pieces));
    w->pieces[w->count++] = (tsr_textpiece){(uint32_t)start, (uint32_t)end};
    return TSR_OK;
}

/* ---- places and what is done with them --------------------------------------------------------*/

/* A row of stretches that cover a text: those a pattern found, and those between them. */
typedef struct cutter {
    tsr_cutwork *w;
    tsr_textcut cut;
    int invert;     /* found and between change places */
    int last_found; /* what the stretch before was */
} cutter;

/* The next stretch of the text, `found` or between. */
static tsr_status stretch(cutter *c, size_t start, size_t end, int found)
{
    tsr_cutwork *w = c->w;
    found = found != c->invert;
    int before = c->last_found, join = 0;
    c->last_found = found;
    switch (c->cut) {
    case TSR_CUT_REMOVED:
        return found ? TSR_OK : add_piece(w, start, end);
    case TSR_CUT_ISOLATED:
        break;
    case TSR_CUT_PREVIOUS:
        join = found && !before;
        break;
    case TSR_CUT_NEXT:
        join = !found && before; /* the find before it is a piece of its own until now */
        break;
    case TSR_CUT_TOGETHER:
        join = found == before;
        break;
    }
    if (join && w->count > 0)
        w->pieces[w->count - 1].end = (uint32_t)end;
    else
        TSR_TRY(add_piece(w, start, end));
    return TSR_OK;
}

static tsr_status cut_pattern(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    cutter c = {w, s->cut, s->flags[0], 0};
    size_t from = 0, start, end;
    if (s->regex)
        tsr_regex_begin(&w->regex, bytes);
    for (;;) {
        TSR_TRY(tsr_textstep_find(s, &w->regex, text, bytes, from, &start, &end));
        if (start == SIZE_MAX)
            break;
        if (start > from)
            TSR_TRY(stretch(&c, from, start, 0));
        TSR_TRY(stretch(&c, start, end, 1));
        from = end;
    }
    return from < bytes ? stretch(&c, from, bytes, 0) : TSR_OK;
}

/* Every character of a class is a find. */
static tsr_status cut_class(const char *text, size_t bytes, int (*is)(int32_t c), tsr_textcut cut,
                            tsr_cutwork *w)
{
    cutter c = {w, cut, 0, 0};
    size_t from = 0, used;
    for (size_t at = 0; at < bytes; at += used) {
        if (!is(tsr_text_char(text + at, bytes - at, &used)))
            continue;
        if (at > from)
            TSR_TRY(stretch(&c, from, at, 0));
        TSR_TRY(stretch(&c, at, at + used, 1));
        from = at + used;
    }
    return from < bytes ? stretch(&c, from, bytes, 0) : TSR_OK;
}

static tsr_status read_cut(const json_t *part, tsr_textcut fallback, const char *origin,
                           tsr_textcut *out, const char **name)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const json_t *v = json_object_get(part, "behavior");
    *out = fallback;
    for (int k = 0; v && k < 5; k++)
        if (json_is_string(v) && strcmp(json_string_value(v), names[k]) == 0) {
            *out = (tsr_textcut)k;
            v = NULL;
        }
    if (v)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: \"behavior\" is none of Removed, Isolated, MergedWithPrevious, "
                 "MergedWithNext, Contiguous",
                 origin);
    *name = names[*out];
    return TSR_OK;
}

/* ---- kinds ------------------------------------------------------------------------------------*/

static tsr_status bert(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    size_t word = 0, used;
    (void)s;
    for (size_t at = 0; at < bytes; at += used) {
        int32_t c = tsr_text_char(text + at, bytes - at, &used);
        int space = tsr_char_is_space(c), mark = !space && tsr_char_is_punctuation(c);
        if (!space && !mark)
            continue;
        if (at > word)
            TSR_TRY(add_piece(w, word, at));
        if (mark)
            TSR_TRY(add_piece(w, at, at + used));
        word = at + used;
    }
    return word < bytes ? add_piece(w, word, bytes) : TSR_OK;
}

/* \w+|[^\w\s]+ */
static tsr_status whitespace(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    size_t start = 0, used;
    int last = 0; /* 0 blank, 1 word, 2 other */
    (void)s;
    for (size_t at = 0; at <= bytes; at += used) {
        int now = 0;
        used = 1;
        if (at < bytes) {
            int32_t c = tsr_text_char(text + at, bytes - at, &used);
            now = tsr_char_is_space(c) ? 0 : tsr_char_is_word(c) ? 1 : 2;
        }
        if (now == last)
            continue;
        if (last)
            TSR_TRY(add_piece(w, start, at));
        start = at;
        last = now;
    }
    return TSR_OK;
}

static tsr_status whitespace_split(const tsr_textstep *s, const char *text, size_t bytes,
                                   tsr_cutwork *w)
{
    (void)s;
    return cut_class(text, bytes, tsr_char_is_space, TSR_CUT_REMOVED, w);
}

static tsr_status read_punctuation(const json_t *part, const char *origin, tsr_textstep *s,
                                   json_t **canonical)
{
    const char *name;
    TSR_TRY(read_cut(part, TSR_CUT_ISOLATED, origin, &s->cut, &name));
    *canonical = json_pack("{s:s, s:s}", "type", "Punctuation", "behavior", name);
    return TSR_OK;
}

static tsr_status punctuation(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    return cut_class(text, bytes, tsr_char_is_punctuation, s->cut, w);
}

static tsr_status read_digits(const json_t *part, const char *origin, tsr_textstep *s,
                              json_t **canonical)
{
    TSR_TRY(tsr_textstep_flag(part, "individual_digits", 0, origin, &s->flags[0]));
    s->cut = s->flags[0] ? TSR_CUT_ISOLATED : TSR_CUT_TOGETHER;
    *canonical = json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", s->flags[0]);
    return TSR_OK;
}

static tsr_status digits(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    return cut_class(text, bytes, tsr_char_is_number, s->cut, w);
}

static tsr_status read_split(const json_t *part, const char *origin, tsr_textstep *s,
                             json_t **canonical)
{
    const char *name;
    TSR_TRY(tsr_textstep_pattern(part, origin, s));
    TSR_TRY(read_cut(part, TSR_CUT_ISOLATED, origin, &s->cut, &name));
    TSR_TRY(tsr_textstep_flag(part, "invert", 0, origin, &s->flags[0]));
    *canonical =
        json_pack("{s:s, s:O, s:s, s:b}", "type", "Split", "pattern",
                  json_object_get(part, "pattern"), "behavior", name, "invert", s->flags[0]);
    return TSR_OK;
}

static tsr_status read_delimiter(const json_t *part, const char *origin, tsr_textstep *s,
                                 json_t **canonical)
{
    TSR_TRY(tsr_textstep_string(part, "delimiter", origin, &s->pattern));
    s->cut = TSR_CUT_REMOVED;
    if (tsr_text_chars(s->pattern, strlen(s->pattern)) != 1)
        TSR_FAIL(TSR_EFORMAT, "%s: a delimiter of several characters", origin);
    *canonical = json_pack("{s:s, s:s}", "type", "CharDelimiterSplit", "delimiter", s->pattern);
    return TSR_OK;
}

/* A blank in front unless there is one, GPT-2's expression, then a character for every byte. */
static tsr_status byte_level(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    if (s->flags[0] && text[0] != ' ') {
        w->changed.len = 0;
        TSR_TRY(tsr_str_add(&w->changed, " "));
        TSR_TRY(tsr_str_add_bytes(&w->changed, text, bytes));
        text = w->changed.s;
        bytes = w->changed.len;
    }
    const tsr_textstep words = {.regex = s->regex, .cut = TSR_CUT_ISOLATED};
    if (s->regex)
        TSR_TRY(cut_pattern(&words, text, bytes, w));
    else
        TSR_TRY(add_piece(w, 0, bytes));
    w->bytes.len = 0;
    for (size_t i = 0, at = 0; i < w->count; i++) {
        size_t end = w->pieces[i].end;
        w->pieces[i].start = (uint32_t)w->bytes.len;
        for (; at < end; at++)
            TSR_TRY(tsr_text_put_byte(&w->bytes, (unsigned char)text[at]));
        if (w->bytes.len > UINT32_MAX)
            TSR_FAIL(TSR_ELIMIT, "a text of %zu bytes once normalised", w->bytes.len);
        w->pieces[i].end = (uint32_t)w->bytes.len;
    }
    w->text = w->bytes.s;
    return TSR_OK;
}

static tsr_status metaspace(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w)
{
    const tsr_textstep words = {.pattern = s->content, .cut = TSR_CUT_NEXT};
    tsr_str *b = &w->changed;
    size_t n = strlen(s->content);
    b->len = 0;
    int marked = text[0] == ' ' || (bytes >= n && memcmp(text, s->content, n) == 0);
    if (s->flags[0] && !marked)
        TSR_TRY(tsr_str_add(b, s->content));
    for (size_t i = 0; i < bytes; i++)
        TSR_TRY(text[i] == ' ' ? tsr_str_add(b, s->content) : tsr_str_add_bytes(b, text + i, 1));
    w->text = b->s;
    return s->flags[2] ? cut_pattern(&words, b->s, b->len, w) : add_piece(w, 0, b->len);
}

static const tsr_textkind kinds[] = {
    {.type = "BertPreTokenizer", .read = tsr_textstep_plain, .cut = bert},
    {.type = "ByteLevel", .read = tsr_textstep_read_bytes, .cut = byte_level},
    {.type = "CharDelimiterSplit", .read = read_delimiter, .cut = cut_pattern},
    {.type = "Digits", .read = read_digits, .cut = digits},
    {.type = "Metaspace", .read = tsr_textstep_read_meta, .cut = metaspace},
    {.type = "Punctuation", .read = read_punctuation, .cut = punctuation},
    {.type = "Split", .read = read_split, .cut = cut_pattern},
    {.type = "Whitespace", .read = tsr_textstep_plain, .cut = whitespace},
    {.type = "WhitespaceSplit", .read = tsr_textstep_plain, .cut = whitespace_split},
};

const tsr_textpart tsr_textpart_words = {"pre_tokenizer", "pretokenizers", kinds,
                                         sizeof kinds / sizeof kinds[0]};

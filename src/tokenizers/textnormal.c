/* SPDX-License-Identifier: Apache-2.0
 * Normalizers: BERT's rules, normal forms, case, accents, blanks at the ends, replacements.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, src/normalizers. */
#include "tokenizers/textstep.h"

#include "base/mem.h"
#include "tokenizers/textchar.h"

#include <string.h>

/* ---- BERT -------------------------------------------------------------------------------------*/

enum { CLEAN, SPACE_CJK, STRIP_ACCENTS, LOWERCASE }; /* flags */

static tsr_status read_bert(const json_t *part, const char *origin, tsr_textstep *s,
                            json_t **canonical)
{
    int *f = s->flags;
    TSR_TRY(tsr_textstep_flag(part, "clean_text", 1, origin, &f[CLEAN]));
    TSR_TRY(tsr_textstep_flag(part, "handle_chinese_chars", 1, origin, &f[SPACE_CJK]));
    TSR_TRY(tsr_textstep_flag(part, "lowercase", 1, origin, &f[LOWERCASE]));
    TSR_TRY(tsr_textstep_flag(part, "strip_accents", f[LOWERCASE], origin, &f[STRIP_ACCENTS]));
    json_t *accents =
        f[STRIP_ACCENTS] == f[LOWERCASE] ? json_null() : json_boolean(f[STRIP_ACCENTS]);
    *canonical = json_pack("{s:s, s:b, s:b, s:o, s:b}", "type", "BertNormalizer", "clean_text",
                           f[CLEAN], "handle_chinese_chars", f[SPACE_CJK], "strip_accents", accents,
                           "lowercase", f[LOWERCASE]);
    return TSR_OK;
}

static tsr_status gather_bert(const int *f, const char *text, size_t bytes, tsr_chars *b)
{
    for (size_t at = 0, used; at < bytes; at += used) {
        int32_t c = tsr_text_char(text + at, bytes - at, &used);
        if (f[CLEAN] && tsr_char_is_dropped(c))
            continue;
        if (f[CLEAN] && tsr_char_is_space(c))
            c = ' ';
        int spaced = c >= 0x3400 && f[SPACE_CJK] && tsr_char_is_cjk(c);
        if (spaced)
            TSR_TRY(tsr_chars_push(b, ' '));
        if (f[STRIP_ACCENTS] && c >= 0x80)
            TSR_TRY(tsr_chars_push_decomposed(b, c, 0));
        else
            TSR_TRY(tsr_chars_push(b, c));
        if (spaced)
            TSR_TRY(tsr_chars_push(b, ' '));
    }
    return TSR_OK;
}

static tsr_status bert(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    const int *f = s->flags;
    tsr_chars b = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_str_add(out, ""));
    TSR_GO(gather_bert(f, text, bytes, &b));
    if (f[STRIP_ACCENTS])
        TSR_GO(tsr_chars_order(&b));
    for (size_t i = 0; i < b.count; i++) {
        int32_t c = b.c[i];
        if (f[STRIP_ACCENTS] && tsr_char_is_nonspacing(c))
            continue;
        TSR_GO(f[LOWERCASE] ? tsr_text_put_lower(out, c) : tsr_text_put_char(out, c));
    }
out:
    tsr_free(b.c);
    return st;
}

/* ---- normal forms -----------------------------------------------------------------------------*/

static int is_ascii(const char *text, size_t bytes)
{
    unsigned char all = 0;
    for (size_t i = 0; i < bytes; i++)
        all |= (unsigned char)text[i];
    return all < 0x80;
}

static tsr_status normal_form(const char *text, size_t bytes, int compatible, int compose,
                              tsr_str *out)
{
    tsr_chars b = {0};
    tsr_status st = TSR_OK;
    if (is_ascii(text, bytes))
        return tsr_str_add_bytes(out, text, bytes);
    for (size_t at = 0, used; at < bytes; at += used)
        TSR_GO(
            tsr_chars_push_decomposed(&b, tsr_text_char(text + at, bytes - at, &used), compatible));
    TSR_GO(tsr_chars_order(&b));
    if (compose)
        tsr_chars_compose(&b);
    for (size_t i = 0; i < b.count; i++)
        TSR_GO(tsr_text_put_char(out, b.c[i]));
out:
    tsr_free(b.c);
    return st;
}

static tsr_status nfc(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    return normal_form(text, bytes, 0, 1, out);
}

static tsr_status nfd(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    return normal_form(text, bytes, 0, 0, out);
}

static tsr_status nfkc(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    return normal_form(text, bytes, 1, 1, out);
}

static tsr_status nfkd(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    return normal_form(text, bytes, 1, 0, out);
}

/* ---- the rest ---------------------------------------------------------------------------------*/

static tsr_status lowercase(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    for (size_t at = 0, used; at < bytes; at += used)
        TSR_TRY(tsr_text_put_lower(out, tsr_text_char(text + at, bytes - at, &used)));
    return TSR_OK;
}

static tsr_status strip_accents(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    for (size_t at = 0, used; at < bytes; at += used)
        if (!tsr_char_is_mark(tsr_text_char(text + at, bytes - at, &used)))
            TSR_TRY(tsr_str_add_bytes(out, text + at, used));
    return TSR_OK;
}

static tsr_status read_strip(const json_t *part, const char *origin, tsr_textstep *s,
                             json_t **canonical)
{
    TSR_TRY(tsr_textstep_flag(part, "strip_left", 1, origin, &s->flags[0]));
    TSR_TRY(tsr_textstep_flag(part, "strip_right", 1, origin, &s->flags[1]));
    *canonical = json_pack("{s:s, s:b, s:b}", "type", "Strip", "strip_left", s->flags[0],
                           "strip_right", s->flags[1]);
    return TSR_OK;
}

static tsr_status strip(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    size_t from = 0, used;
    while (s->flags[0] && from < bytes &&
           tsr_char_is_space(tsr_text_char(text + from, bytes - from, &used)))
        from += used;
    while (s->flags[1] && bytes > from && tsr_char_is_space(tsr_text_char_before(text, bytes)))
        do
            bytes--;
        while (((unsigned char)text[bytes] & 0xC0) == 0x80);
    return tsr_str_add_bytes(out, text + from, bytes - from);
}

static tsr_status read_prepend(const json_t *part, const char *origin, tsr_textstep *s,
                               json_t **canonical)
{
    TSR_TRY(tsr_textstep_string(part, "prepend", origin, &s->content));
    *canonical = json_pack("{s:s, s:s}", "type", "Prepend", "prepend", s->content);
    return TSR_OK;
}

static tsr_status prepend(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    if (bytes > 0)
        TSR_TRY(tsr_str_add(out, s->content));
    return tsr_str_add_bytes(out, text, bytes);
}

static tsr_status replace(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    return tsr_textstep_replace(s, s->content, text, bytes, out);
}

static tsr_status byte_level(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out)
{
    (void)s;
    for (size_t i = 0; i < bytes; i++)
        TSR_TRY(tsr_text_put_byte(out, (unsigned char)text[i]));
    return TSR_OK;
}

static const tsr_textkind kinds[] = {
    {.type = "BertNormalizer", .read = read_bert, .normalize = bert},
    {.type = "ByteLevel", .read = tsr_textstep_plain, .normalize = byte_level},
    {.type = "Lowercase", .read = tsr_textstep_plain, .normalize = lowercase},
    {.type = "NFC", .read = tsr_textstep_plain, .normalize = nfc},
    {.type = "NFD", .read = tsr_textstep_plain, .normalize = nfd},
    {.type = "NFKC", .read = tsr_textstep_plain, .normalize = nfkc},
    {.type = "NFKD", .read = tsr_textstep_plain, .normalize = nfkd},
    {.type = "Prepend", .read = read_prepend, .normalize = prepend},
    {.type = "Replace", .read = tsr_textstep_read_replace, .normalize = replace},
    {.type = "Strip", .read = read_strip, .normalize = strip},
    {.type = "StripAccents", .read = tsr_textstep_plain, .normalize = strip_accents},
};

const tsr_textpart tsr_textpart_normal = {"normalizer", "normalizers", kinds,
                                          sizeof kinds / sizeof kinds[0]};

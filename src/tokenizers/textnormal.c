/* SPDX-License-Identifier: Apache-2.0
 * The BERT normaliser on Unicode tables of utf8proc. */
#include "tokenizers/textnormal.h"

#include "base/mem.h"

#include <utf8proc.h>

/* ---- classes ----------------------------------------------------------------------------------*/

typedef struct range {
    int32_t lo, hi;
} range;

static int within(const range *table, size_t n, int32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= table[i].lo && c <= table[i].hi)
            return 1;
    return 0;
}

#define WITHIN(table, c) within(table, sizeof(table) / sizeof(table)[0], c)

/* Property White_Space, as in PropList.txt of Unicode. */
int tsr_char_is_space(int32_t c)
{
    static const range spaces[] = {{0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                   {0x205F, 0x205F}, {0x3000, 0x3000}, {0x1680, 0x1680},
                                   {0x85, 0x85},     {0xA0, 0xA0}};
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return WITHIN(spaces, c);
}

/* Category as the normaliser and the word splitter know it. The library that made the published
 * vocabulary classifies by Unicode 8 there; ranges that got marks, punctuation or formats later are
 * plain symbols to it (compared for every code point with utf8proc's Unicode 14). */
static utf8proc_category_t category(int32_t c)
{
    static const range younger[] = {
        {0x61D, 0x61D},     {0x7FD, 0x7FD},     {0x890, 0x8E2},     {0x9FD, 0x9FE},
        {0xA76, 0xA76},     {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC3C},
        {0xC77, 0xC77},     {0xC84, 0xC84},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
        {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0x180F, 0x1886},   {0x1ABF, 0x1ACE},
        {0x1B7D, 0x1B7E},   {0x1DF6, 0x1DFB},   {0x2E43, 0x2E5D},   {0xA82C, 0xA82C},
        {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F89},
        {0x11070, 0x11074}, {0x110C2, 0x110CD}, {0x111CF, 0x111CF}, {0x1123E, 0x1123E},
        {0x1133B, 0x1133B}, {0x11438, 0x1145E}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
        {0x1182F, 0x11FFF}, {0x12FF1, 0x13438}, {0x16E97, 0x16F4F}, {0x16FE2, 0x16FE4},
        {0x1CF00, 0x1CF46}, {0x1E000, 0x1E2EF}, {0x1E944, 0x1E95F}};
    if (c < 0x61D)
        return utf8proc_category(c);
    if (c == 0x166D || c == 0x111C9)
        return UTF8PROC_CATEGORY_PO;
    if (c == 0x1734)
        return UTF8PROC_CATEGORY_MN;
    return WITHIN(younger, c) ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
}

int tsr_char_is_punctuation(int32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

int tsr_char_is_word(int32_t c)
{
    /* Letters that Unicode files under symbols: circled and squared ones. */
    static const range circled[] = {
        {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    utf8proc_category_t k = utf8proc_category(c);
    if ((k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC)
        return 1; /* Lu Ll Lt Lm Lo Mn Mc Me Nd Nl */
    return c == 0x200C || c == 0x200D || WITHIN(circled, c);
}

static int is_cjk(int32_t c)
{
    static const range blocks[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                   {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                   {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return WITHIN(blocks, c);
}

/* Dropped by cleaning: controls, formats, private use; tab and line ends are blanks. */
static int is_dropped(int32_t c)
{
    if (c == '\t' || c == '\n' || c == '\r')
        return 0;
    utf8proc_category_t k = category(c);
    return c == 0 || c == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_CS;
}

/* ---- characters of a string -------------------------------------------------------------------*/

int32_t tsr_text_char(const char *text, size_t bytes, size_t *used)
{
    if ((unsigned char)text[0] < 0x80) {
        *used = 1;
        return text[0];
    }
    utf8proc_int32_t c;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    *used = n > 0 ? (size_t)n : 1;
    return n > 0 ? c : 0xFFFD;
}

int32_t tsr_text_char_before(const char *text, size_t end)
{
    size_t at = end - 1, used;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return tsr_text_char(text + at, end - at, &used);
}

size_t tsr_text_chars(const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

/* ---- normalising ------------------------------------------------------------------------------*/

typedef struct chars {
    int32_t *c;
    size_t count, cap;
} chars;

static tsr_status push(chars *b, int32_t c)
{
    TSR_TRY(tsr_room(&b->c, b->count, &b->cap, sizeof *b->c));
    b->c[b->count++] = c;
    return TSR_OK;
}

/* Canonical decomposition of c (most of all Unicode: 4 characters), in place of c. */
static tsr_status push_decomposed(chars *b, int32_t c)
{
    utf8proc_int32_t parts[32];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 32)
        return push(b, c);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        TSR_TRY(push(b, parts[i]));
    return TSR_OK;
}

static tsr_status gather(const tsr_normal_rules *rules, const char *text, size_t bytes, chars *b)
{
    for (size_t at = 0, used; at < bytes; at += used) {
        int32_t c = tsr_text_char(text + at, bytes - at, &used);
        if (rules->clean && is_dropped(c))
            continue;
        if (rules->clean && tsr_char_is_space(c))
            c = ' ';
        int spaced = c >= 0x3400 && rules->space_cjk && is_cjk(c);
        if (spaced)
            TSR_TRY(push(b, ' '));
        if (rules->strip_accents && c >= 0x80)
            TSR_TRY(push_decomposed(b, c));
        else
            TSR_TRY(push(b, c));
        if (spaced)
            TSR_TRY(push(b, ' '));
    }
    return TSR_OK;
}

static int combining_class(int32_t c)
{
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

/* Canonical order of marks: stable, by combining class, within runs of marks. */
static void order_marks(chars *b)
{
    for (size_t i = 1; i < b->count; i++) {
        int class = combining_class(b->c[i]);
        for (size_t j = i; class > 0 && j > 0 && combining_class(b->c[j - 1]) > class; j--) {
            int32_t swap = b->c[j];
            b->c[j] = b->c[j - 1];
            b->c[j - 1] = swap;
        }
    }
}

static tsr_status put_char(tsr_str *out, int32_t c)
{
    utf8proc_uint8_t text[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, text);
    return tsr_str_add_bytes(out, text, (size_t)n);
}

static tsr_status put_lower(tsr_str *out, int32_t c)
{
    if (c == 0x130) { /* the one letter whose lower case is two characters */
        TSR_TRY(put_char(out, 'i'));
        return put_char(out, 0x307);
    }
    return put_char(out, utf8proc_tolower(c));
}

tsr_status tsr_text_normalize(const tsr_normal_rules *rules, const char *text, size_t bytes,
                              tsr_str *out)
{
    chars b = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_str_add(out, ""));
    TSR_GO(gather(rules, text, bytes, &b));
    if (rules->strip_accents)
        order_marks(&b);
    for (size_t i = 0; i < b.count; i++) {
        int32_t c = b.c[i];
        if (rules->strip_accents && c >= 0x300 && category(c) == UTF8PROC_CATEGORY_MN)
            continue;
        TSR_GO(rules->lowercase ? put_lower(out, c) : put_char(out, c));
    }
out:
    tsr_free(b.c);
    return st;
}

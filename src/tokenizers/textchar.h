/* SPDX-License-Identifier: Apache-2.0
 * Characters: categories, the classes that cut text into words, decomposition and composition.
 * Private to tokenizers; the one place that names utf8proc.
 *
 * The Hugging Face library uses tables of several ages, and ids depend on them: Unicode 16 for
 * regular expressions and word boundaries, 17 for letter case and numbers, 9 for normal forms, 8
 * for what the BERT rules call control, mark and punctuation. Every function here follows the age
 * the library (0.23) has in that place; all were compared with it for every code point. */
#ifndef TSR_TOKENIZERS_TEXTCHAR_H
#define TSR_TOKENIZERS_TEXTCHAR_H

#include "base/status.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

/* General categories, in utf8proc's order. */
enum {
    TSR_CAT_CN,
    TSR_CAT_LU,
    TSR_CAT_LL,
    TSR_CAT_LT,
    TSR_CAT_LM,
    TSR_CAT_LO,
    TSR_CAT_MN,
    TSR_CAT_MC,
    TSR_CAT_ME,
    TSR_CAT_ND,
    TSR_CAT_NL,
    TSR_CAT_NO,
    TSR_CAT_PC,
    TSR_CAT_PD,
    TSR_CAT_PS,
    TSR_CAT_PE,
    TSR_CAT_PI,
    TSR_CAT_PF,
    TSR_CAT_PO,
    TSR_CAT_SM,
    TSR_CAT_SC,
    TSR_CAT_SK,
    TSR_CAT_SO,
    TSR_CAT_ZS,
    TSR_CAT_ZL,
    TSR_CAT_ZP,
    TSR_CAT_CC,
    TSR_CAT_CF,
    TSR_CAT_CS,
    TSR_CAT_CO,
    TSR_CAT_COUNT
};

/* Category by Unicode 16. */
int tsr_char_category(int32_t c);

/* Next character of text[0..bytes), bytes >= 1; *used is its length. U+FFFD for what is not UTF-8.
 */
int32_t tsr_text_char(const char *text, size_t bytes, size_t *used);

/* The character that ends at text[end], end >= 1. */
int32_t tsr_text_char_before(const char *text, size_t end);

/* Number of characters. */
size_t tsr_text_chars(const char *text, size_t bytes);

/* Append a character as UTF-8. */
TSR_USE tsr_status tsr_text_put_char(tsr_str *out, int32_t c);

/* White space; punctuation (ASCII symbols and category P of Unicode 8); part of a word (letter,
 * mark, digit, connector, joiner: \w of Unicode TS 18); number (category N). */
int tsr_char_is_space(int32_t c);
int tsr_char_is_punctuation(int32_t c);
int tsr_char_is_word(int32_t c);
int tsr_char_is_number(int32_t c);

/* \w of Oniguruma: as above without the joiners; outside a set, with the superscripts and fractions
 * of Latin-1, too. */
int tsr_char_is_onig_word(int32_t c, int in_set);

/* BERT: what cleaning drops (controls, formats, private use); CJK ideographs; nonspacing marks. */
int tsr_char_is_dropped(int32_t c);
int tsr_char_is_cjk(int32_t c);
int tsr_char_is_nonspacing(int32_t c);

/* Any mark, by Unicode 9. */
int tsr_char_is_mark(int32_t c);

/* Append the lower case of a character; no rule looks at its neighbours. */
TSR_USE tsr_status tsr_text_put_lower(tsr_str *out, int32_t c);

/* A growing row of characters. Start with {0}. */
typedef struct tsr_chars {
    int32_t *c;
    size_t count, cap;
} tsr_chars;

/* Append one character. */
TSR_USE tsr_status tsr_chars_push(tsr_chars *b, int32_t c);

/* Append the canonical (or compatibility) decomposition of c. */
TSR_USE tsr_status tsr_chars_push_decomposed(tsr_chars *b, int32_t c, int compatible);

/* Canonical order of marks: stable, by combining class, within runs of marks. */
TSR_USE tsr_status tsr_chars_order(tsr_chars *b);

/* Canonical composition of a decomposed, ordered row. */
void tsr_chars_compose(tsr_chars *b);

#endif

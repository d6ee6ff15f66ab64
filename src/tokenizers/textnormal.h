/* SPDX-License-Identifier: Apache-2.0
 * Characters: the BERT normaliser and the classes that cut text into words. Private to tokenizers;
 * the one place that names utf8proc. */
#ifndef TSR_TOKENIZERS_TEXTNORMAL_H
#define TSR_TOKENIZERS_TEXTNORMAL_H

#include "base/status.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_normal_rules {
    int clean;         /* drop controls, formats and private characters, make every blank a space */
    int space_cjk;     /* put spaces around CJK ideographs */
    int strip_accents; /* decompose and drop nonspacing marks */
    int lowercase;
} tsr_normal_rules;

/* Normalised text[0..bytes), appended to `out`. The text is valid UTF-8.
 * Source   the behaviour of BertNormalizer in Hugging Face tokenizers 0.23, compared for every code
 *          point; letters younger than utf8proc's Unicode 14 keep their case. */
TSR_USE tsr_status tsr_text_normalize(const tsr_normal_rules *rules, const char *text, size_t bytes,
                                      tsr_str *out);

/* Next character of text[0..bytes), bytes >= 1; *used is its length. */
int32_t tsr_text_char(const char *text, size_t bytes, size_t *used);

/* The character that ends at text[end], end >= 1. */
int32_t tsr_text_char_before(const char *text, size_t end);

/* Number of characters. */
size_t tsr_text_chars(const char *text, size_t bytes);

/* White space; punctuation (ASCII symbols and category P); part of a word (letter, mark, digit,
 * connector, joiner: \w of Unicode TS 18). */
int tsr_char_is_space(int32_t c);
int tsr_char_is_punctuation(int32_t c);
int tsr_char_is_word(int32_t c);

#endif

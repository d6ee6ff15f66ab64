/* SPDX-License-Identifier: Apache-2.0
 * The regular expressions that tokenizer.json files cut text with. Private to tokenizers.
 *
 * Oniguruma's syntax, as far as published files use it: alternatives, groups (?:) and (?i:), sets
 * with ranges, \s \d \w \p{..} by general category, greedy and possessive repetition, look-ahead, ^
 * and $ by line, \A and \z. Matching goes from left to right with backtracking, as Oniguruma does;
 * the first alternative that leads to a match wins. Everything else is refused, never approximated:
 * back references, lazy repetition, the dot, scripts, nested sets, and patterns that may match
 * nothing. */
#ifndef TSR_TOKENIZERS_TEXTREGEX_H
#define TSR_TOKENIZERS_TEXTREGEX_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Immutable once made; shared by threads. */
typedef struct tsr_regex tsr_regex;

/* Places to go back to, and how many steps are left. One a thread; start with {0}. */
typedef struct tsr_regex_work {
    struct tsr_regex_back {
        uint32_t pc;
        size_t at, least; /* may give characters back down to `least` */
    } * back;
    size_t count, cap;
    uint64_t steps;
} tsr_regex_work;

/* Compile a pattern (UTF-8).
 * Errors   TSR_EUNSUPPORTED naming `origin` and what in the pattern is not handled, TSR_ENOMEM. */
TSR_USE tsr_status tsr_regex_compile(const char *pattern, const char *origin, tsr_regex **out);
void tsr_regex_destroy(tsr_regex *re);

/* Before the first search of a text of `bytes`: bounds the steps of all its searches together. */
void tsr_regex_begin(tsr_regex_work *w, size_t bytes);
void tsr_regex_work_clear(tsr_regex_work *w);

/* First match in text[from..bytes), text being UTF-8 and `from` between characters. *start is
 * SIZE_MAX when there is none; matches are never empty.
 * Errors   TSR_ELIMIT when the pattern takes too many steps on this text, TSR_ENOMEM. */
TSR_USE tsr_status tsr_regex_next(const tsr_regex *re, tsr_regex_work *w, const char *text,
                                  size_t bytes, size_t from, size_t *start, size_t *end);

#endif

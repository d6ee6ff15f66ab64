/* SPDX-License-Identifier: Apache-2.0
 * A growing string, and the few text helpers everybody needs. */
#ifndef TSR_BASE_STR_H
#define TSR_BASE_STR_H

#include "base/status.h"

#include <stddef.h>

/* Always ends in NUL once something was added; len excludes it. Start with {0}. */
typedef struct tsr_str {
    char *s;
    size_t len, cap;
} tsr_str;

/* Append a string, any bytes, or formatted text. On failure the string is as it was. */
TSR_USE tsr_status tsr_str_add(tsr_str *b, const char *s);
TSR_USE tsr_status tsr_str_add_bytes(tsr_str *b, const void *data, size_t n);
TSR_USE tsr_status tsr_str_addf(tsr_str *b, const char *fmt, ...) TSR_PRINTF(2, 3);
void tsr_str_clear(tsr_str *b);

/* printf into fresh storage; release with tsr_free. */
TSR_USE tsr_status tsr_format(char **out, const char *fmt, ...) TSR_PRINTF(2, 3);

/* 1 or 0; an empty prefix or suffix is always there. */
int tsr_starts_with(const char *s, const char *prefix);
int tsr_ends_with(const char *s, const char *suffix);

/* Length in bytes of the longest valid UTF-8 prefix of s[0..n); n when all of it is valid.
 * Surrogates, overlong forms and code points above U+10FFFF are invalid. */
size_t tsr_utf8_valid(const char *s, size_t n);

/* Number of single-character edits (insert, delete, replace, swap) between two short words, for
 * "did you mean". Words longer than 63 bytes give a large number. */
int tsr_edit_distance(const char *a, const char *b);

/* The closest of `count` words to `word`, or NULL when none is close enough to suggest. */
const char *tsr_suggest(const char *word, const char *const *words, size_t count);

#endif

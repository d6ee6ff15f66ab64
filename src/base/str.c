/* SPDX-License-Identifier: Apache-2.0
 * Growing strings, UTF-8 checking, suggestions. */
#include "base/str.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

tsr_status tsr_str_add_bytes(tsr_str *b, const void *data, size_t n)
{
    size_t need;
    TSR_TRY(tsr_add_size(b->len, n, &need));
    TSR_TRY(tsr_add_size(need, 1, &need));
    if (need > b->cap) {
        size_t cap = need < 64 ? 64 : need + need / 2;
        TSR_TRY(tsr_grow(&b->s, b->len, cap, 1));
        b->cap = cap;
    }
    memcpy(b->s + b->len, data, n);
    b->len += n;
    b->s[b->len] = '\0';
    return TSR_OK;
}

tsr_status tsr_str_add(tsr_str *b, const char *s)
{
    return tsr_str_add_bytes(b, s, strlen(s));
}

static tsr_status add_formatted(tsr_str *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        TSR_FAIL(TSR_EARG, "text could not be formatted");
    char *piece;
    TSR_TRY(tsr_alloc(&piece, (size_t)n + 1, 1));
    vsnprintf(piece, (size_t)n + 1, fmt, ap);
    tsr_status st = tsr_str_add_bytes(b, piece, (size_t)n);
    tsr_free(piece);
    return st;
}

tsr_status tsr_str_addf(tsr_str *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tsr_status st = add_formatted(b, fmt, ap);
    va_end(ap);
    return st;
}

void tsr_str_clear(tsr_str *b)
{
    tsr_free(b->s);
    *b = (tsr_str){0};
}

tsr_status tsr_format(char **out, const char *fmt, ...)
{
    tsr_str b = {0};
    va_list ap;
    va_start(ap, fmt);
    tsr_status st = add_formatted(&b, fmt, ap);
    va_end(ap);
    if (st != TSR_OK) {
        tsr_str_clear(&b);
        return st;
    }
    *out = b.s;
    return TSR_OK;
}

int tsr_starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

int tsr_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* Bytes of the UTF-8 sequence at s, or 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                 : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
        (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
        return 0;
    return len;
}

size_t tsr_utf8_valid(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        size_t len = utf8_sequence((const unsigned char *)s + i, n - i);
        if (len == 0)
            break;
        i += len;
    }
    return i;
}

#define WORD_MAX 64

int tsr_edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n >= WORD_MAX || m >= WORD_MAX)
        return 1000;
    int d[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *row = d[i % 3], *above = d[(i + 2) % 3], *before = d[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[n % 3][m];
}

const char *tsr_suggest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    int limit = (int)(strlen(word) / 3) + 1, best_distance = limit + 1;
    for (size_t i = 0; i < count; i++) {
        int distance = tsr_edit_distance(word, words[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = words[i];
        }
    }
    return best;
}

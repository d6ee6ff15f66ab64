/* SPDX-License-Identifier: Apache-2.0
 * What fuzz targets share: changes, the file they read from, the check of messages. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t fuzz_below(uint32_t *x, uint32_t n)
{
    *x = *x * 1664525u + 1013904223u;
    return n ? (*x >> 8) % n : 0;
}

/* Things that parsers stumble over; the last two are lengths of safetensors headers. */
typedef struct word {
    const char *s;
    size_t n;
} word;

#define WORD(s) {s, sizeof(s) - 1}
static const word words[] = {
    WORD("99999999999999999999"), WORD("-1"), WORD("4294967295"), WORD("1e308"), WORD("4194303"),
    WORD("null"), WORD("[[[[[[[[[[[[[[[["), WORD("{\"a\":"), WORD("\\ud800"), WORD("\xFF"), WORD("\""),
    WORD("\\\\p{L}"), WORD("(?:"), WORD(")*"), WORD("{9999}"), WORD(""),
    WORD("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), WORD("\0\0\0\0\2\0\0\0")};

/* Numbers to put where another was: signs, limits of types, products that overflow, 10 GB. */
static const word numbers[] = {
    WORD("0"), WORD("-1"), WORD("1"), WORD("2147483648"), WORD("4294967296"), WORD("10737418240"),
    WORD("9223372036854775807"), WORD("9223372036854775808"), WORD("18446744073709551615"),
    WORD("4611686018427387904"), WORD("1e30"), WORD("-0.5"), WORD("1e999"), WORD("NaN"),
    WORD("16777217"), WORD("65537"), WORD("99999999999999999999999999")};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* data[at..at + out) becomes the n bytes at s, as far as there is room. */
static size_t splice(uint8_t *data, size_t size, size_t max, size_t at, size_t out, word in)
{
    if (size - out + in.n > max)
        return size;
    memmove(data + at + in.n, data + at + out, size - at - out);
    memcpy(data + at, in.s, in.n);
    return size - out + in.n;
}

size_t fuzz_change_bytes(uint8_t *data, size_t size, size_t max, uint32_t *x)
{
    size_t at = fuzz_below(x, (uint32_t)size + 1), left = size - at, n;
    word w = words[fuzz_below(x, COUNT(words))];
    switch (fuzz_below(x, 5)) {
    case 0:
        if (left)
            data[at] ^= (uint8_t)(1u << fuzz_below(x, 8));
        return size;
    case 1:
        return at;
    case 2:
        n = fuzz_below(x, 24);
        return splice(data, size, max, at, n < left ? n : left, (word){"", 0});
    case 3:
        return splice(data, size, max, at, 0, w);
    default: /* put over, often at the start, where lengths are */
        at = fuzz_below(x, 3) ? at : 0;
        n = w.n < size - at ? w.n : size - at;
        memcpy(data + at, w.s, n);
        return size;
    }
}

static int is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* One of the numbers in the text becomes another. */
static size_t change_number(uint8_t *data, size_t size, size_t max, uint32_t *x)
{
    size_t at = fuzz_below(x, (uint32_t)size + 1), n = 0;
    while (at < size && !is_digit(data[at]))
        at++;
    while (at > 0 && is_digit(data[at - 1]))
        at--;
    while (at + n < size && is_digit(data[at + n]))
        n++;
    return splice(data, size, max, at, n, numbers[fuzz_below(x, COUNT(numbers))]);
}

/* From one comma, bracket or line end to the next. */
static void find_piece(const uint8_t *data, size_t size, uint32_t *x, size_t *at, size_t *n)
{
    static const char ends[] = ",[]{}\n";
    *at = fuzz_below(x, (uint32_t)size + 1);
    while (*at > 0 && !strchr(ends, data[*at - 1]))
        --*at;
    for (*n = 0; *at + *n < size && !memchr(ends, data[*at + *n], sizeof ends - 1);)
        ++*n;
    *n += *at + *n < size; /* with its end */
}

static size_t change_piece(uint8_t *data, size_t size, size_t max, uint32_t *x)
{
    size_t at, n, to, m;
    char copy[4096];
    find_piece(data, size, x, &at, &n);
    find_piece(data, size, x, &to, &m);
    word piece = {copy, n < sizeof copy ? n : sizeof copy};
    memcpy(copy, data + at, piece.n);
    switch (fuzz_below(x, 3)) {
    case 0:
        return splice(data, size, max, at, n, (word){"", 0});
    case 1:
        return splice(data, size, max, to, 0, piece);
    default:
        return splice(data, size, max, to, m, piece);
    }
}

/* Ten thousand brackets; parsers that call themselves run out of stack. */
static size_t nest(uint8_t *data, size_t size, size_t max, uint32_t *x)
{
    static const char *const opening[] = {"[", "{\"a\":", "{a: ", "- "};
    size_t at, n;
    const char *s = opening[fuzz_below(x, COUNT(opening))];
    find_piece(data, size, x, &at, &n);
    for (int i = 0; i < 10000; i++)
        size = splice(data, size, max, at, 0, (word){s, strlen(s)});
    return size;
}

size_t fuzz_change_text(uint8_t *data, size_t size, size_t max, uint32_t *x)
{
    uint32_t which = fuzz_below(x, 16);
    if (which < 7)
        return change_number(data, size, max, x);
    if (which < 12)
        return change_piece(data, size, max, x);
    if (which < 13)
        return nest(data, size, max, x);
    return fuzz_change_bytes(data, size, max, x);
}

size_t fuzz_change_inside(uint8_t *data, size_t size, size_t max, size_t at, size_t n, uint32_t *x)
{
    size_t room = n + (max - size), rest = size - at - n;
    uint8_t *text = malloc(room ? room : 1);
    if (!text)
        return size;
    memcpy(text, data + at, n);
    size_t now = fuzz_change_text(text, n, room, x);
    memmove(data + at + now, data + at + n, rest);
    memcpy(data + at, text, now);
    free(text);
    return at + now + rest;
}

void fuzz_put(uint8_t *to, uint64_t value, int n, int big_endian)
{
    for (int i = 0; i < n; i++)
        to[big_endian ? n - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

size_t fuzz_change_safetensors(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    size_t n = 0;
    for (int i = 7; i >= 0 && size >= 8; i--)
        n = n << 8 | data[i];
    if (size < 8 || n > size - 8 || fuzz_below(&x, 8) == 0)
        return fuzz_change_bytes(data, size, max, &x);
    size_t now = fuzz_change_inside(data, size, max, 8, n, &x);
    fuzz_put(data, n + now - size, 8, 0);
    return now;
}

static char file_name[4096];

static void remove_file(void)
{
    remove(file_name);
}

const char *fuzz_file(const uint8_t *data, size_t size, const char *extension)
{
    const char *folder = getenv("TESSERA_BUILD");
    if (!file_name[0])
        atexit(remove_file);
    snprintf(file_name, sizeof file_name, "%s/fuzz-%ld.%s", folder ? folder : ".", (long)getpid(),
             extension);
    remove_file(); /* some file systems wait for the disk when a file is emptied and written again */
    FILE *file = fopen(file_name, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(file_name);
        exit(99);
    }
    return file_name;
}

void fuzz_need_sentence(tsr_status st, const char *name)
{
    if (st == TSR_OK || (tsr_error()[0] && strstr(tsr_error(), name)))
        return;
    fprintf(stderr, "a failure that does not name %s: \"%s\"\n", name, tsr_error());
    abort();
}

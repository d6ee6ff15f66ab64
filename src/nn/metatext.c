/* SPDX-License-Identifier: Apache-2.0
 * Metadata strings: Python's str() one way, YAML 1.1 scalars the other. */
#include "nn/metatext.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONGEST 10000 /* bytes; longer values stay text */

tsr_status tsr_metatext_write(const json_t *value, char **out)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return tsr_strdup(out, "None");
    case JSON_TRUE:
        return tsr_strdup(out, "True");
    case JSON_FALSE:
        return tsr_strdup(out, "False");
    case JSON_INTEGER:
        return tsr_format(out, "%lld", (long long)json_integer_value(value));
    case JSON_STRING:
        return tsr_strdup(out, json_string_value(value));
    case JSON_REAL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return tsr_json_text(value, 0, out);
}

/* --- YAML 1.1 scalars ------------------------------------------------------------------------ */

static int one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return 1;
    return 0;
}

static const char *const nulls[] = {"None", "null", "Null", "NULL", "~", "", NULL};
static const char *const trues[] = {"true", "True", "TRUE", "yes", "Yes",
                                    "YES",  "on",   "On",   "ON",  NULL};
static const char *const falses[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};

/* Characters of s without '_' into out[cap]; 0 when they do not fit. */
static int without_underscores(const char *s, char *out, size_t cap)
{
    size_t n = 0;
    for (; *s; s++) {
        if (*s == '_')
            continue;
        if (n + 1 >= cap)
            return 0;
        out[n++] = *s;
    }
    out[n] = '\0';
    return 1;
}

/* The whole of s, after a sign, consists of `digits` and '_' and has a digit. */
static int digits_only(const char *s, const char *digits)
{
    size_t n = strspn(s, digits);
    return n > 0 && s[n] == '\0' && s[0] != '_';
}

/* [-+]? then 0b…, 0x…, 0 and octal digits, or decimal. */
static int is_integer(const char *s, long long *out)
{
    char plain[80];
    const char *p = s + (*s == '-' || *s == '+');
    int base;
    if (p[0] == '0' && p[1] == 'b' && digits_only(p + 2, "01"))
        base = 2;
    else if (p[0] == '0' && p[1] == 'x' && digits_only(p + 2, "0123456789abcdefABCDEF_"))
        base = 16;
    else if (p[0] == '0' && p[1] && digits_only(p + 1, "01234567_"))
        base = 8;
    else if ((p[0] == '0' && !p[1]) || (p[0] != '0' && digits_only(p, "0123456789_")))
        base = 10;
    else
        return 0;
    if (!without_underscores(base == 2 || base == 16 ? p + 2 : p, plain, sizeof plain))
        return 0;
    errno = 0;
    long long v = strtoll(plain, NULL, base);
    if (errno)
        return 0;
    *out = *s == '-' ? -v : v;
    return 1;
}

/* Digits (and '_') around one dot, then perhaps e and a signed exponent. */
static int is_float(const char *s, double *out)
{
    char plain[80];
    const char *p = s + (*s == '-' || *s == '+');
    size_t whole = strspn(p, "0123456789_");
    if (p[0] == '_' || p[whole] != '.' || (whole == 0 && !isdigit((unsigned char)p[1])))
        return 0;
    p += whole + 1;
    p += strspn(p, "0123456789_");
    if (*p == 'e' || *p == 'E') {
        if ((p[1] != '-' && p[1] != '+') || !digits_only(p + 2, "0123456789"))
            return 0;
    } else if (*p) {
        return 0;
    }
    if (!without_underscores(s, plain, sizeof plain))
        return 0;
    *out = strtod(plain, NULL);
    return isfinite(*out);
}

static json_t *resolve(const char *s)
{
    long long i;
    double d;
    if (one_of(s, nulls))
        return json_null();
    if (one_of(s, trues))
        return json_true();
    if (one_of(s, falses))
        return json_false();
    if (is_integer(s, &i))
        return json_integer(i);
    if (is_float(s, &d))
        return json_real(d);
    return json_string(s);
}

tsr_status tsr_metatext_read(const char *text, json_t **out)
{
    char word[96];
    const char *from = text + strspn(text, " \t\n");
    size_t n = strlen(from);
    while (n && strchr(" \t\n", from[n - 1]))
        n--;
    json_t *value;
    if (strlen(text) > LONGEST || n >= sizeof word) {
        value = json_string(text);
    } else {
        memcpy(word, from, n);
        word[n] = '\0';
        value = resolve(word);
    }
    if (!value)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    *out = value;
    return TSR_OK;
}

tsr_status tsr_metatext_write_all(const json_t *config, json_t **out)
{
    tsr_status st = TSR_OK;
    const char *key;
    json_t *value, *fresh = json_object();
    if (!fresh)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    json_object_foreach((json_t *)config, key, value)
    {
        char *text;
        TSR_GO(tsr_metatext_write(value, &text));
        st = tsr_json_set(fresh, key, json_string(text));
        tsr_free(text);
        if (st != TSR_OK)
            goto out;
    }
    *out = fresh;
    fresh = NULL;
out:
    json_decref(fresh);
    return st;
}

tsr_status tsr_metatext_read_all(const json_t *metadata, json_t **out)
{
    tsr_status st = TSR_OK;
    const char *key;
    json_t *value, *fresh = json_object();
    if (!fresh)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    json_object_foreach((json_t *)metadata, key, value)
    {
        json_t *parsed;
        if (!json_is_string(value))
            TSR_GOFAIL(TSR_EARG, "metadata \"%.200s\" is not a string", key);
        TSR_GO(tsr_metatext_read(json_string_value(value), &parsed));
        TSR_GO(tsr_json_set(fresh, key, parsed));
    }
    *out = fresh;
    fresh = NULL;
out:
    json_decref(fresh);
    return st;
}

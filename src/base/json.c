/* SPDX-License-Identifier: Apache-2.0
 * JSON: parsing with limits, required members, and a writer whose numbers read back the same. */
#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tsr_status tsr_json_parse(const char *text, size_t bytes, const char *origin, json_t **out)
{
    json_error_t error;
    json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        TSR_FAIL(TSR_EFORMAT, "%s: line %d, column %d: not valid JSON: %s", origin, error.line,
                 error.column, error.text);
    *out = value;
    return TSR_OK;
}

tsr_status tsr_json_read(const char *path, size_t max_bytes, json_t **out)
{
    char *text;
    size_t bytes;
    TSR_TRY(tsr_file_read(path, max_bytes, &text, &bytes));
    tsr_status st = tsr_json_parse(text, bytes, path, out);
    tsr_free(text);
    return st;
}

static tsr_status add_string(tsr_str *b, const char *s, size_t n)
{
    TSR_TRY(tsr_str_add(b, "\""));
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        TSR_TRY(tsr_str_add_bytes(b, s + start, i - start));
        start = i + 1;
        const char *plain = "\"\\\n\t\r", *letters = "\"\\ntr", *hit = c ? strchr(plain, c) : NULL;
        if (hit)
            TSR_TRY(tsr_str_addf(b, "\\%c", letters[hit - plain]));
        else
            TSR_TRY(tsr_str_addf(b, "\\u%04x", c));
    }
    TSR_TRY(tsr_str_add_bytes(b, s + start, n - start));
    return tsr_str_add(b, "\"");
}

/* %.15g drops trailing zeros, so the first precision that reads back is the shortest form. */
static tsr_status add_real(tsr_str *b, double x)
{
    if (!isfinite(x))
        TSR_FAIL(TSR_ENUMERIC, "JSON has no way to write %g", x);
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    /* The decimal mark may be another character in the host program's locale. */
    size_t mark = strspn(text, "+-0123456789eE");
    if (text[mark])
        text[mark] = '.';
    TSR_TRY(tsr_str_add(b, text));
    return strpbrk(text, ".e") ? TSR_OK : tsr_str_add(b, ".0");
}

static tsr_status add_value(tsr_str *b, const json_t *v, int indent, int depth);

static tsr_status add_break(tsr_str *b, int indent, int depth)
{
    return indent ? tsr_str_addf(b, "\n%*s", indent * depth, "") : TSR_OK;
}

static tsr_status add_object(tsr_str *b, const json_t *v, int indent, int depth)
{
    const char *key;
    json_t *member;
    int first = 1;
    TSR_TRY(tsr_str_add(b, "{"));
    json_object_foreach((json_t *)v, key, member)
    {
        if (!first)
            TSR_TRY(tsr_str_add(b, indent ? "," : ", "));
        TSR_TRY(add_break(b, indent, depth + 1));
        TSR_TRY(add_string(b, key, strlen(key)));
        TSR_TRY(tsr_str_add(b, ": "));
        TSR_TRY(add_value(b, member, indent, depth + 1));
        first = 0;
    }
    if (!first)
        TSR_TRY(add_break(b, indent, depth));
    return tsr_str_add(b, "}");
}

/* Lists of plain values stay on one line: token ids would fill the screen otherwise. */
static tsr_status add_array(tsr_str *b, const json_t *v, int indent, int depth)
{
    size_t i;
    json_t *item;
    int nested = 0;
    json_array_foreach(v, i, item) nested |= json_is_object(item) || json_is_array(item);
    int step = nested ? indent : 0;
    TSR_TRY(tsr_str_add(b, "["));
    json_array_foreach(v, i, item)
    {
        if (i)
            TSR_TRY(tsr_str_add(b, step ? "," : ", "));
        TSR_TRY(add_break(b, step, depth + 1));
        TSR_TRY(add_value(b, item, step, depth + 1));
    }
    if (json_array_size(v))
        TSR_TRY(add_break(b, step, depth));
    return tsr_str_add(b, "]");
}

static tsr_status add_value(tsr_str *b, const json_t *v, int indent, int depth)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return add_object(b, v, indent, depth);
    case JSON_ARRAY:
        return add_array(b, v, indent, depth);
    case JSON_STRING:
        return add_string(b, json_string_value(v), json_string_length(v));
    case JSON_INTEGER:
        return tsr_str_addf(b, "%lld", (long long)json_integer_value(v));
    case JSON_REAL:
        return add_real(b, json_real_value(v));
    case JSON_TRUE:
        return tsr_str_add(b, "true");
    case JSON_FALSE:
        return tsr_str_add(b, "false");
    default:
        return tsr_str_add(b, "null");
    }
}

tsr_status tsr_json_text(const json_t *value, int indent, char **out)
{
    tsr_str b = {0};
    tsr_status st = add_value(&b, value, indent, 0);
    if (st != TSR_OK) {
        tsr_str_clear(&b);
        return st;
    }
    *out = b.s;
    return TSR_OK;
}

tsr_status tsr_json_write(const char *path, const json_t *value, int indent)
{
    tsr_str b = {0};
    tsr_status st;
    TSR_GO(add_value(&b, value, indent, 0));
    TSR_GO(tsr_str_add(&b, "\n"));
    TSR_GO(tsr_file_write(path, b.s, b.len));
out:
    tsr_str_clear(&b);
    return st;
}

static const char *type_name(json_type type)
{
    static const char *const names[] = {"an object", "a list", "text",  "an integer",
                                        "a number",  "true",   "false", "null"};
    return names[type];
}

tsr_status tsr_json_member(const json_t *object, const char *key, const char *origin,
                           json_type type, const json_t **out)
{
    const json_t *v = json_object_get(object, key);
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "%s: has no \"%s\" (%s was expected)", origin, key, type_name(type));
    if (json_typeof(v) != type)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is %s, not %s", origin, key, type_name(json_typeof(v)),
                 type_name(type));
    *out = v;
    return TSR_OK;
}

tsr_status tsr_json_string(const json_t *object, const char *key, const char *origin,
                           const char **out)
{
    const json_t *v;
    TSR_TRY(tsr_json_member(object, key, origin, JSON_STRING, &v));
    *out = json_string_value(v);
    return TSR_OK;
}

tsr_status tsr_json_int(const json_t *object, const char *key, const char *origin, long long *out)
{
    const json_t *v;
    TSR_TRY(tsr_json_member(object, key, origin, JSON_INTEGER, &v));
    *out = json_integer_value(v);
    return TSR_OK;
}

tsr_status tsr_json_number(const json_t *object, const char *key, const char *origin, double *out)
{
    const json_t *v = json_object_get(object, key);
    if (json_is_integer(v)) {
        *out = (double)json_integer_value(v);
        return TSR_OK;
    }
    TSR_TRY(tsr_json_member(object, key, origin, JSON_REAL, &v));
    *out = json_real_value(v);
    return TSR_OK;
}

tsr_status tsr_json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        TSR_FAIL(TSR_ENOMEM, "JSON member \"%s\" could not be stored", key);
    return TSR_OK;
}

tsr_status tsr_json_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        TSR_FAIL(TSR_ENOMEM, "JSON list item could not be stored");
    return TSR_OK;
}

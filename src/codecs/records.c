/* SPDX-License-Identifier: Apache-2.0
 * Files of many records: JSON lines, CSV (RFC 4180) and TSV. */
#include "codecs/records.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/format.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* A record's text: text[at .. at + chars), beginning on line `line` (from 1). */
typedef struct span {
    size_t at, chars, line;
} span;

struct tsr_records {
    char *name, *text;
    size_t bytes;
    int separator; /* of fields; 0: JSON lines */
    span *spans;
    size_t count, cap;
    json_t *header; /* CSV: array of names */
};

/* ---- lines ---- */

/* Length of the record at `at` without its line end; quotes may hold line ends. *next is behind the
 * line end, *lines counts line feeds passed. */
static tsr_status record_chars(const tsr_records *r, size_t at, size_t line, size_t *chars,
                               size_t *next, size_t *lines)
{
    int quoted = 0;
    size_t i = at, feeds = 0;
    for (; i < r->bytes && (quoted || r->text[i] != '\n'); i++) {
        if (r->separator && r->text[i] == '"')
            quoted = !quoted;
        feeds += r->text[i] == '\n';
    }
    if (quoted)
        TSR_FAIL(TSR_EFORMAT, "%s: line %zu: a quoted field is not closed", r->name, line);
    *next = i < r->bytes ? i + 1 : i;
    *lines = feeds + (i < r->bytes);
    *chars = i - at;
    if (*chars && r->text[i - 1] == '\r')
        --*chars;
    return TSR_OK;
}

static int is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t')
            return 0;
    return 1;
}

static tsr_status index_spans(tsr_records *r)
{
    size_t at = r->bytes >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, line = 1;
    while (at < r->bytes) {
        size_t chars, next, lines;
        TSR_TRY(record_chars(r, at, line, &chars, &next, &lines));
        if (chars > 0 && (r->separator || !is_blank(r->text + at, chars))) {
            TSR_TRY(tsr_room(&r->spans, r->count, &r->cap, sizeof *r->spans));
            r->spans[r->count++] = (span){at, chars, line};
        }
        at = next;
        line += lines;
    }
    return TSR_OK;
}

/* ---- fields ---- */

/* An unquoted field: null, a number, or a string. */
static tsr_status plain_value(const char *s, size_t n, json_t **out)
{
    json_t *v = n == 0 ? json_null() : NULL;
    if (n && (s[0] == '-' || isdigit((unsigned char)s[0]))) {
        json_t *number = json_loadb(s, n, JSON_DECODE_ANY, NULL);
        if (number && json_is_number(number))
            v = number;
        else
            json_decref(number);
    }
    if (!v)
        v = json_stringn(s, n);
    if (!v)
        TSR_FAIL(TSR_EFORMAT, "a field that is not UTF-8");
    *out = v;
    return TSR_OK;
}

/* A field that begins with a quote at *at; "" inside stands for one quote. */
static tsr_status quoted_value(const char *s, size_t n, size_t *at, json_t **out)
{
    tsr_str b = {0};
    tsr_status st = TSR_OK;
    size_t i = *at + 1;
    for (;; i++) {
        if (i < n && s[i] == '"' && i + 1 < n && s[i + 1] == '"')
            i++;
        else if (i >= n || s[i] == '"')
            break;
        TSR_GO(tsr_str_add_bytes(&b, s + i, 1));
    }
    *out = json_stringn(b.len ? b.s : "", b.len);
    *at = i < n ? i + 1 : n;
    if (!*out)
        TSR_GOFAIL(TSR_EFORMAT, "a field that is not UTF-8");
out:
    tsr_str_clear(&b);
    return st;
}

static tsr_status split(const tsr_records *r, const span *p, json_t *fields)
{
    const char *s = r->text + p->at;
    size_t n = p->chars;
    for (size_t i = 0;; i++) {
        json_t *v;
        if (i < n && s[i] == '"') {
            TSR_TRY(quoted_value(s, n, &i, &v));
        } else {
            size_t from = i;
            while (i < n && s[i] != r->separator)
                i++;
            TSR_TRY(plain_value(s + from, i - from, &v));
        }
        TSR_TRY(tsr_json_append(fields, v));
        if (i >= n)
            return TSR_OK;
        if (s[i] != r->separator)
            TSR_FAIL(TSR_EFORMAT, "text after the closing quote of field %zu",
                     json_array_size(fields));
    }
}

static tsr_status fields_of(const tsr_records *r, const span *p, json_t **out)
{
    json_t *fields = json_array();
    if (!fields)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    tsr_status st = split(r, p, fields);
    if (st != TSR_OK) {
        json_decref(fields);
        return tsr_context(st, "%s: line %zu", r->name, p->line);
    }
    *out = fields;
    return TSR_OK;
}

/* The first record becomes the names of the others' fields. */
static tsr_status take_header(tsr_records *r)
{
    if (r->count == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: has no header line", r->name);
    TSR_TRY(fields_of(r, &r->spans[0], &r->header));
    for (size_t i = 0; i < json_array_size(r->header); i++) {
        const json_t *v = json_array_get(r->header, i);
        if (!json_is_string(v) || json_string_length(v) == 0)
            TSR_FAIL(TSR_EFORMAT, "%s: header field %zu is empty or a number, expected a name",
                     r->name, i + 1);
        for (size_t j = 0; j < i; j++)
            if (json_equal(json_array_get(r->header, j), v))
                TSR_FAIL(TSR_EFORMAT, "%s: two columns named \"%s\"", r->name,
                         json_string_value(v));
    }
    r->count--;
    memmove(r->spans, r->spans + 1, r->count * sizeof *r->spans);
    return TSR_OK;
}

static tsr_status read_row(const tsr_records *r, const span *p, json_t **out)
{
    json_t *fields, *object = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(fields_of(r, p, &fields));
    size_t n = json_array_size(r->header);
    if (json_array_size(fields) != n)
        TSR_GOFAIL(TSR_EFORMAT, "%s: line %zu has %zu fields, the header %zu", r->name, p->line,
                   json_array_size(fields), n);
    object = json_object();
    for (size_t i = 0; i < n; i++)
        TSR_GO(tsr_json_set(object, json_string_value(json_array_get(r->header, i)),
                            json_incref(json_array_get(fields, i))));
    *out = json_incref(object);
out:
    json_decref(fields);
    json_decref(object);
    return st;
}

/* ---- the door ---- */

static int separator_of(const char *name)
{
    const char *ext = tsr_path_extension(name);
    return strcasecmp(ext, "csv") == 0 ? ',' : strcasecmp(ext, "tsv") == 0 ? '\t' : 0;
}

tsr_status tsr_records_open_memory(const char *name, const void *data, size_t bytes,
                                   tsr_records **out)
{
    if (tsr_codec_kind(name) != TSR_MEDIA_RECORD ||
        strcasecmp(tsr_path_extension(name), "json") == 0)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: is not named like a file of records (.jsonl .csv .tsv)",
                 name);
    tsr_records *r;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&r, 1, sizeof *r));
    TSR_GO(tsr_strdup(&r->name, name));
    TSR_GO(tsr_alloc(&r->text, bytes + 1, 1));
    memcpy(r->text, data, bytes);
    r->bytes = bytes;
    r->separator = separator_of(name);
    size_t valid = tsr_utf8_valid(r->text, bytes);
    if (valid != bytes)
        TSR_GOFAIL(TSR_EFORMAT, "%s: is not UTF-8: byte 0x%02x at offset %zu", name,
                   (unsigned char)r->text[valid], valid);
    TSR_GO(index_spans(r));
    if (r->separator)
        TSR_GO(take_header(r));
    *out = r;
    return TSR_OK;
out:
    tsr_records_close(r);
    return st;
}

static tsr_status open_source(tsr_blob *s, size_t max_bytes, tsr_records **out)
{
    TSR_TRY(tsr_blob_load(s, max_bytes));
    return tsr_records_open_memory(s->name, s->data, (size_t)s->bytes, out);
}

tsr_status tsr_records_open(const char *path, const tsr_read_options *opt, tsr_records **out)
{
    size_t max_bytes = opt && opt->max_bytes ? opt->max_bytes : TSR_MAX_BYTES;
    tsr_blob s, inner;
    TSR_TRY(tsr_blob_open(path, &s));
    tsr_status st;
    if (tsr_is_gz(path)) {
        st = tsr_gunzip(&s, max_bytes, &inner);
        if (st == TSR_OK) {
            st = open_source(&inner, max_bytes, out);
            tsr_blob_close(&inner);
        }
    } else {
        st = open_source(&s, max_bytes, out);
    }
    tsr_blob_close(&s);
    return st;
}

size_t tsr_records_count(const tsr_records *r)
{
    return r->count;
}

tsr_status tsr_records_read(const tsr_records *r, size_t i, tsr_media *out)
{
    if (i >= r->count)
        TSR_FAIL(TSR_ENOENT, "%s: record %zu was asked for, there are %zu (counted from 0)",
                 r->name, i, r->count);
    const span *p = &r->spans[i];
    json_t *value;
    if (r->separator) {
        TSR_TRY(read_row(r, p, &value));
    } else {
        tsr_status st = tsr_json_parse(r->text + p->at, p->chars, r->name, &value);
        if (st != TSR_OK)
            return tsr_context(st, "record %zu (line %zu)", i, p->line);
    }
    *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = value};
    return TSR_OK;
}

void tsr_records_close(tsr_records *r)
{
    if (!r)
        return;
    json_decref(r->header);
    tsr_free(r->spans);
    tsr_free(r->text);
    tsr_free(r->name);
    tsr_free(r);
}

tsr_status tsr_record_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                           tsr_media *out)
{
    (void)f;
    tsr_records *r;
    TSR_TRY(tsr_records_open_memory(s->name, s->data, (size_t)s->bytes, &r));
    tsr_status st = tsr_records_read(r, o->record, out);
    tsr_records_close(r);
    return st;
}

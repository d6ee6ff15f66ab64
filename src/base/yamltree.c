/* SPDX-License-Identifier: Apache-2.0
 * YAML to JSON trees through libyaml's event parser and emitter. */
#include "base/yamltree.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 64

typedef struct reader {
    yaml_parser_t parser;
    const char *origin;
    json_t *lines;
} reader;

tsr_status tsr_yaml_path(char **out, const char *path, const char *key)
{
    return path[0] ? tsr_format(out, "%s.%s", path, key) : tsr_strdup(out, key);
}

static int line_of(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

static tsr_status next_event(reader *r, yaml_event_t *e)
{
    if (!yaml_parser_parse(&r->parser, e))
        TSR_FAIL(TSR_ECONFIG, "%s: line %zu: not valid YAML: %s", r->origin,
                 r->parser.problem_mark.line + 1, r->parser.problem ? r->parser.problem : "?");
    return TSR_OK;
}

static int one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return 1;
    return 0;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"true", "True", "TRUE", NULL};
static const char *const false_words[] = {"false", "False", "FALSE", NULL};

typedef enum scalar_kind {
    PLAIN_TEXT,
    PLAIN_NULL,
    PLAIN_TRUE,
    PLAIN_FALSE,
    PLAIN_INT,
    PLAIN_REAL,
    PLAIN_ENDLESS, /* .inf, .nan */
} scalar_kind;

static scalar_kind number_kind(const char *s)
{
    const char *p = s + (*s == '-' || *s == '+');
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o') && p == s) {
        const char *digits = p[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
        return p[2] && p[2 + strspn(p + 2, digits)] == '\0' ? PLAIN_INT : PLAIN_TEXT;
    }
    size_t whole = strspn(p, "0123456789"), part = 0;
    const char *q = p + whole;
    if (whole && *q == '\0')
        return PLAIN_INT;
    if (*q == '.')
        part = strspn(++q, "0123456789");
    if (whole + part == 0) {
        static const char *const endless[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
        return one_of(p, endless) ? PLAIN_ENDLESS : PLAIN_TEXT;
    }
    q += part;
    if (*q == 'e' || *q == 'E') {
        q += 1 + (q[1] == '-' || q[1] == '+');
        size_t digits = strspn(q, "0123456789");
        if (digits == 0)
            return PLAIN_TEXT;
        q += digits;
    }
    return *q == '\0' ? PLAIN_REAL : PLAIN_TEXT;
}

static scalar_kind plain_kind(const char *s)
{
    if (one_of(s, null_words))
        return PLAIN_NULL;
    if (one_of(s, true_words))
        return PLAIN_TRUE;
    if (one_of(s, false_words))
        return PLAIN_FALSE;
    return number_kind(s);
}

static tsr_status plain_int(reader *r, const yaml_event_t *e, const char *s, json_t **out)
{
    int base = s[0] == '0' && s[1] == 'x' ? 16 : s[0] == '0' && s[1] == 'o' ? 8 : 10;
    errno = 0;
    long long x = strtoll(base == 10 ? s : s + 2, NULL, base);
    if (errno == ERANGE)
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: %s does not fit in 64 bits", r->origin, line_of(e), s);
    *out = json_integer(x);
    return TSR_OK;
}

static tsr_status plain_real(reader *r, const yaml_event_t *e, const char *s, json_t **out)
{
    double x = strtod(s, NULL);
    if (!isfinite(x))
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: %s is not a finite number", r->origin, line_of(e), s);
    *out = json_real(x);
    return TSR_OK;
}

static tsr_status read_scalar(reader *r, const yaml_event_t *e, json_t **out)
{
    const char *s = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    json_t *v = NULL;
    if (memchr(s, '\0', n))
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: text holds a NUL character", r->origin, line_of(e));
    scalar_kind kind = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_kind(s) : PLAIN_TEXT;
    if (kind == PLAIN_INT)
        TSR_TRY(plain_int(r, e, s, &v));
    else if (kind == PLAIN_REAL || kind == PLAIN_ENDLESS)
        TSR_TRY(plain_real(r, e, kind == PLAIN_ENDLESS ? "inf" : s, &v));
    else if (kind == PLAIN_TEXT)
        v = json_stringn(s, n);
    else
        v = kind == PLAIN_NULL ? json_null() : json_boolean(kind == PLAIN_TRUE);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "%s: line %d: value could not be stored", r->origin, line_of(e));
    *out = v;
    return TSR_OK;
}

static tsr_status refuse_extras(const reader *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (anchor || e->type == YAML_ALIAS_EVENT)
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: anchors and aliases are not used here", r->origin,
                 line_of(e));
    if (tag)
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: tag %s is not used here", r->origin, line_of(e),
                 (const char *)tag);
    return TSR_OK;
}

static tsr_status read_node(reader *r, const yaml_event_t *e, const char *path, int depth,
                            json_t **out);

static tsr_status read_list(reader *r, const char *path, int depth, json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *list = json_array();
    for (size_t i = 0;; i++) {
        yaml_event_t e;
        json_t *item = NULL;
        char *below = NULL, index[24];
        TSR_GO(next_event(r, &e));
        int end = e.type == YAML_SEQUENCE_END_EVENT;
        snprintf(index, sizeof index, "%zu", i);
        if (!end)
            st = tsr_yaml_path(&below, path, index);
        if (!end && st == TSR_OK)
            st = read_node(r, &e, below, depth + 1, &item);
        if (!end && st == TSR_OK)
            st = tsr_json_append(list, item);
        tsr_free(below);
        yaml_event_delete(&e);
        if (end || st != TSR_OK)
            break;
    }
    if (st == TSR_OK) {
        *out = list;
        list = NULL;
    }
out:
    json_decref(list);
    return st;
}

static tsr_status check_key(const reader *r, const yaml_event_t *e, const json_t *map)
{
    TSR_TRY(refuse_extras(r, e));
    if (e->type != YAML_SCALAR_EVENT)
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: a key must be a word", r->origin, line_of(e));
    const char *key = (const char *)e->data.scalar.value;
    if (!key[0] || strlen(key) != e->data.scalar.length || strchr(key, '.'))
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: key \"%s\" is empty or holds a dot", r->origin,
                 line_of(e), key);
    if (json_object_get(map, key))
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: key \"%s\" appears twice", r->origin, line_of(e), key);
    return TSR_OK;
}

static tsr_status read_member(reader *r, const yaml_event_t *key_event, const char *path, int depth,
                              json_t *map)
{
    const char *key = (const char *)key_event->data.scalar.value;
    char *below = NULL;
    json_t *value;
    yaml_event_t e;
    tsr_status st;
    TSR_GO(tsr_yaml_path(&below, path, key));
    TSR_GO(next_event(r, &e));
    st = read_node(r, &e, below, depth + 1, &value);
    yaml_event_delete(&e);
    if (st == TSR_OK)
        st = tsr_json_set(map, key, value);
    /* The key's own line says more than that of a block below it. */
    if (st == TSR_OK && r->lines)
        st = tsr_json_set(r->lines, below, json_integer(line_of(key_event)));
out:
    tsr_free(below);
    return st;
}

static tsr_status read_mapping(reader *r, const char *path, int depth, json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *map = json_object();
    for (;;) {
        yaml_event_t e;
        TSR_GO(next_event(r, &e));
        int end = e.type == YAML_MAPPING_END_EVENT;
        if (!end)
            st = check_key(r, &e, map);
        if (!end && st == TSR_OK)
            st = read_member(r, &e, path, depth, map);
        yaml_event_delete(&e);
        if (end || st != TSR_OK)
            break;
    }
    if (st == TSR_OK) {
        *out = map;
        map = NULL;
    }
out:
    json_decref(map);
    return st;
}

static tsr_status read_node(reader *r, const yaml_event_t *e, const char *path, int depth,
                            json_t **out)
{
    TSR_TRY(refuse_extras(r, e));
    if (depth > MAX_DEPTH)
        TSR_FAIL(TSR_ECONFIG, "%s: line %d: nested deeper than %d levels", r->origin, line_of(e),
                 MAX_DEPTH);
    if (r->lines)
        TSR_TRY(tsr_json_set(r->lines, path, json_integer(line_of(e))));
    if (e->type == YAML_MAPPING_START_EVENT)
        return read_mapping(r, path, depth, out);
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return read_list(r, path, depth, out);
    return read_scalar(r, e, out);
}

/* One event that must be there, such as the start of the stream. */
static tsr_status skip_event(reader *r, yaml_event_type_t *type)
{
    yaml_event_t e;
    TSR_TRY(next_event(r, &e));
    *type = e.type;
    yaml_event_delete(&e);
    return TSR_OK;
}

static tsr_status read_document(reader *r, json_t **out)
{
    yaml_event_type_t type;
    yaml_event_t e;
    TSR_TRY(skip_event(r, &type)); /* stream start */
    TSR_TRY(skip_event(r, &type)); /* document start, or the end of an empty stream */
    if (type == YAML_STREAM_END_EVENT) {
        *out = json_null();
        return TSR_OK;
    }
    TSR_TRY(next_event(r, &e));
    json_t *v = NULL;
    tsr_status st = read_node(r, &e, "", 0, &v);
    yaml_event_delete(&e);
    if (st == TSR_OK)
        st = skip_event(r, &type); /* document end */
    if (st == TSR_OK)
        st = skip_event(r, &type);
    if (st == TSR_OK && type != YAML_STREAM_END_EVENT)
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: holds more than one YAML document",
                         r->origin);
    if (st != TSR_OK) {
        json_decref(v);
        return st;
    }
    *out = v;
    return TSR_OK;
}

tsr_status tsr_yaml_parse(const char *text, size_t bytes, const char *origin, json_t *lines,
                          json_t **out)
{
    reader r = {.origin = origin, .lines = lines};
    if (!yaml_parser_initialize(&r.parser))
        TSR_FAIL(TSR_ENOMEM, "%s: YAML parser could not be made", origin);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    tsr_status st = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    return st;
}

/* Text collected from the emitter, and the first failure inside its callback. */
typedef struct writer {
    yaml_emitter_t emitter;
    tsr_str text;
    tsr_status st;
} writer;

static int collect(void *ctx, unsigned char *data, size_t bytes)
{
    writer *w = ctx;
    if (w->st == TSR_OK)
        w->st = tsr_str_add_bytes(&w->text, data, bytes);
    return w->st == TSR_OK;
}

static tsr_status emit(writer *w, int made, yaml_event_t *e)
{
    if (made && yaml_emitter_emit(&w->emitter, e))
        return TSR_OK;
    if (w->st != TSR_OK)
        return w->st;
    TSR_FAIL(TSR_ENOMEM, "YAML could not be written: %s",
             w->emitter.problem ? w->emitter.problem : "out of memory");
}

static tsr_status emit_scalar(writer *w, const char *s, int is_text)
{
    yaml_event_t e;
    int quoted = is_text && plain_kind(s) != PLAIN_TEXT;
    int made = yaml_scalar_event_initialize(
        &e, NULL, NULL, (const yaml_char_t *)s, (int)strlen(s), !quoted, 1,
        quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
    return emit(w, made, &e);
}

static tsr_status emit_value(writer *w, const json_t *v);

static tsr_status emit_mapping(writer *w, const json_t *v)
{
    yaml_event_t e;
    const char *key;
    json_t *member;
    int made = yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    TSR_TRY(emit(w, made, &e));
    json_object_foreach((json_t *)v, key, member)
    {
        TSR_TRY(emit_scalar(w, key, 1));
        TSR_TRY(emit_value(w, member));
    }
    return emit(w, yaml_mapping_end_event_initialize(&e), &e);
}

static tsr_status emit_list(writer *w, const json_t *v)
{
    yaml_event_t e;
    json_t *item;
    size_t i;
    int nested = 0;
    json_array_foreach(v, i, item) nested |= json_is_object(item) || json_is_array(item);
    int made = yaml_sequence_start_event_initialize(
        &e, NULL, NULL, 1, nested ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE);
    TSR_TRY(emit(w, made, &e));
    json_array_foreach(v, i, item) TSR_TRY(emit_value(w, item));
    return emit(w, yaml_sequence_end_event_initialize(&e), &e);
}

static tsr_status emit_value(writer *w, const json_t *v)
{
    if (json_is_object(v))
        return emit_mapping(w, v);
    if (json_is_array(v))
        return emit_list(w, v);
    if (json_is_string(v))
        return emit_scalar(w, json_string_value(v), 1);
    char *text;
    TSR_TRY(tsr_json_text(v, 0, &text));
    tsr_status st = emit_scalar(w, text, 0);
    tsr_free(text);
    return st;
}

static tsr_status emit_document(writer *w, const json_t *value)
{
    yaml_event_t e;
    TSR_TRY(emit(w, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING), &e));
    TSR_TRY(emit(w, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1), &e));
    TSR_TRY(emit_value(w, value));
    TSR_TRY(emit(w, yaml_document_end_event_initialize(&e, 1), &e));
    return emit(w, yaml_stream_end_event_initialize(&e), &e);
}

tsr_status tsr_yaml_text(const json_t *value, char **out)
{
    writer w = {.st = TSR_OK};
    if (!yaml_emitter_initialize(&w.emitter))
        TSR_FAIL(TSR_ENOMEM, "YAML writer could not be made");
    yaml_emitter_set_output(&w.emitter, collect, &w);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, 100);
    tsr_status st = emit_document(&w, value);
    yaml_emitter_delete(&w.emitter);
    if (st != TSR_OK) {
        tsr_str_clear(&w.text);
        return st;
    }
    *out = w.text.s;
    return TSR_OK;
}

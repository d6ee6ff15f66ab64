/* SPDX-License-Identifier: Apache-2.0
 * Lists of steps: reading them, running them, and what several kinds share. */
#include "tokenizers/textstep.h"

#include "base/mem.h"
#include "tokenizers/textchar.h"

#include <string.h>

#define MAX_STEPS 64 /* of one part */
#define MAX_NEST  8  /* Sequences in Sequences */

/* ---- storage ----------------------------------------------------------------------------------*/

void tsr_cutwork_clear(tsr_cutwork *w)
{
    tsr_free(w->pieces);
    tsr_str_clear(&w->changed);
    tsr_str_clear(&w->bytes);
    tsr_regex_work_clear(&w->regex);
    *w = (tsr_cutwork){0};
}

tsr_status tsr_texts_end(tsr_texts *t)
{
    TSR_TRY(tsr_room(&t->ends, t->count, &t->cap, sizeof *t->ends));
    t->ends[t->count++] = t->all.len;
    return TSR_OK;
}

tsr_status tsr_texts_add(tsr_texts *t, const char *s, size_t bytes)
{
    TSR_TRY(tsr_str_add_bytes(&t->all, s, bytes));
    return tsr_texts_end(t);
}

void tsr_texts_clear(tsr_texts *t)
{
    tsr_str_clear(&t->all);
    tsr_free(t->ends);
    *t = (tsr_texts){0};
}

static void step_clear(tsr_textstep *s)
{
    tsr_regex_destroy(s->regex);
    tsr_free(s->pattern);
    tsr_free(s->content);
    *s = (tsr_textstep){0};
}

void tsr_textsteps_clear(tsr_textsteps *list)
{
    for (size_t i = 0; i < list->count; i++)
        step_clear(&list->steps[i]);
    tsr_free(list->steps);
    json_decref(list->json);
    *list = (tsr_textsteps){0};
}

/* ---- reading ----------------------------------------------------------------------------------*/

static const tsr_textkind *find_kind(const tsr_textpart *part, const char *type)
{
    for (size_t i = 0; i < part->n_kinds; i++)
        if (strcmp(part->kinds[i].type, type) == 0)
            return &part->kinds[i];
    return NULL;
}

static tsr_status read_value(tsr_textsteps *list, const tsr_textpart *part, const json_t *value,
                             const char *origin, int depth, json_t *all)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!type)
        TSR_FAIL(TSR_EFORMAT, "%s: the %s is not an object with a \"type\"", origin, part->key);
    if (strcmp(type, "Sequence") == 0) {
        const json_t *members;
        if (depth == MAX_NEST)
            TSR_FAIL(TSR_ELIMIT, "%s: %s: more than %d Sequences in each other", origin, part->key,
                     MAX_NEST);
        TSR_TRY(tsr_json_member(value, part->list, origin, JSON_ARRAY, &members));
        for (size_t i = 0; i < json_array_size(members); i++)
            TSR_TRY(read_value(list, part, json_array_get(members, i), origin, depth + 1, all));
        return TSR_OK;
    }
    const tsr_textkind *kind = find_kind(part, type);
    if (!kind)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: the %s asks for %.40s, which is not supported", origin,
                 part->key, type);
    if (list->count == MAX_STEPS)
        TSR_FAIL(TSR_ELIMIT, "%s: the %s has more than %d steps", origin, part->key, MAX_STEPS);
    TSR_TRY(tsr_room(&list->steps, list->count, &list->cap, sizeof *list->steps));
    tsr_textstep *s = &list->steps[list->count++];
    json_t *canonical = NULL;
    *s = (tsr_textstep){.kind = kind};
    tsr_status st = kind->read(value, origin, s, &canonical);
    if (st != TSR_OK)
        return tsr_context(st, "%s %s", part->key, kind->type);
    return tsr_json_append(all, canonical);
}

tsr_status tsr_textsteps_read(tsr_textsteps *list, const tsr_textpart *part, const json_t *value,
                              const char *origin)
{
    json_t *all = json_array();
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "no memory for the %s", part->key);
    if (value && !json_is_null(value))
        TSR_GO(read_value(list, part, value, origin, 0, all));
    if (json_array_size(all) > 1)
        list->json = json_pack("{s:s, s:O}", "type", "Sequence", part->list, all);
    else
        list->json = json_array_size(all) ? json_incref(json_array_get(all, 0)) : json_null();
    if (!list->json)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for the %s", part->key);
out:
    json_decref(all);
    return st;
}

tsr_status tsr_textstep_flag(const json_t *part, const char *key, int fallback, const char *origin,
                             int *out)
{
    const json_t *v = json_object_get(part, key);
    if (v && !json_is_boolean(v) && !json_is_null(v))
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" must be true, false or null", origin, key);
    *out = json_is_boolean(v) ? json_is_true(v) : fallback;
    return TSR_OK;
}

tsr_status tsr_textstep_string(const json_t *part, const char *key, const char *origin, char **out)
{
    const char *s;
    TSR_TRY(tsr_json_string(part, key, origin, &s));
    if (s[0] == '\0')
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: an empty \"%s\" is not supported", origin, key);
    return tsr_strdup(out, s);
}

tsr_status tsr_textstep_pattern(const json_t *part, const char *origin, tsr_textstep *s)
{
    const json_t *p;
    TSR_TRY(tsr_json_member(part, "pattern", origin, JSON_OBJECT, &p));
    const char *regex = json_string_value(json_object_get(p, "Regex"));
    if (regex)
        return tsr_regex_compile(regex, origin, &s->regex);
    return tsr_textstep_string(p, "String", origin, &s->pattern);
}

tsr_status tsr_textstep_plain(const json_t *part, const char *origin, tsr_textstep *s,
                              json_t **canonical)
{
    (void)part, (void)origin;
    *canonical = json_pack("{s:s}", "type", s->kind->type);
    return TSR_OK;
}

tsr_status tsr_textstep_read_replace(const json_t *part, const char *origin, tsr_textstep *s,
                                     json_t **canonical)
{
    const char *content;
    TSR_TRY(tsr_textstep_pattern(part, origin, s));
    TSR_TRY(tsr_json_string(part, "content", origin, &content));
    TSR_TRY(tsr_strdup(&s->content, content));
    *canonical = json_pack("{s:s, s:O, s:s}", "type", "Replace", "pattern",
                           json_object_get(part, "pattern"), "content", content);
    return TSR_OK;
}

tsr_status tsr_textstep_read_bytes(const json_t *part, const char *origin, tsr_textstep *s,
                                   json_t **canonical)
{
    int trim;
    TSR_TRY(tsr_textstep_flag(part, "add_prefix_space", 1, origin, &s->flags[0]));
    TSR_TRY(tsr_textstep_flag(part, "trim_offsets", 1, origin, &trim));
    TSR_TRY(tsr_textstep_flag(part, "use_regex", 1, origin, &s->flags[1]));
    if (s->flags[1] && s->kind->cut)
        TSR_TRY(tsr_regex_compile("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"
                                  "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                                  "ByteLevel", &s->regex));
    *canonical = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                           s->flags[0], "trim_offsets", trim, "use_regex", s->flags[1]);
    return TSR_OK;
}

tsr_status tsr_textstep_read_meta(const json_t *part, const char *origin, tsr_textstep *s,
                                  json_t **canonical)
{
    static const char *const schemes[] = {"never", "always", "first"};
    const char *scheme = json_string_value(json_object_get(part, "prepend_scheme"));
    int prefix, k = 0;
    TSR_TRY(tsr_textstep_flag(part, "add_prefix_space", -1, origin, &prefix));
    TSR_TRY(tsr_textstep_flag(part, "split", 1, origin, &s->flags[2]));
    TSR_TRY(tsr_textstep_string(part, "replacement", origin, &s->content));
    if (tsr_text_chars(s->content, strlen(s->content)) != 1)
        TSR_FAIL(TSR_EFORMAT, "%s: a replacement of several characters", origin);
    scheme = scheme ? scheme : prefix == 0 ? "never" : "always";
    while (k < 3 && strcmp(scheme, schemes[k]) != 0)
        k++;
    if (k == 3 || (prefix == 0 && k != 0))
        TSR_FAIL(TSR_EFORMAT, "%s: prepend_scheme is \"%.40s\"", origin, scheme);
    if (k == 2 && s->kind->cut)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: prepend_scheme \"first\" is not supported", origin);
    s->flags[0] = k == 1;
    s->flags[1] = k == 2;
    *canonical = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", s->content,
                           "prepend_scheme", scheme, "split", s->flags[2]);
    return TSR_OK;
}

/* ---- running ----------------------------------------------------------------------------------*/

tsr_status tsr_textsteps_normalize(const tsr_textsteps *list, const char *text, size_t bytes,
                                   tsr_str *scratch, tsr_str *out)
{
    tsr_status st = TSR_OK;
    if (list->count == 0)
        return tsr_str_add_bytes(out, text, bytes);
    if (list->count == 1)
        return list->steps[0].kind->normalize(&list->steps[0], text, bytes, out);
    tsr_str next = {0};
    for (size_t i = 0; i < list->count; i++) {
        const tsr_textstep *s = &list->steps[i];
        int last = i + 1 == list->count;
        next.len = 0;
        TSR_GO(s->kind->normalize(s, text, bytes, last ? out : &next));
        tsr_str swap = *scratch;
        *scratch = next;
        next = swap;
        text = scratch->s ? scratch->s : "";
        bytes = scratch->len;
    }
out:
    tsr_str_clear(&next);
    return st;
}

tsr_status tsr_textsteps_decode(const tsr_textsteps *list, tsr_texts *t, tsr_str *out)
{
    tsr_texts next = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < list->count; i++) {
        const tsr_textstep *s = &list->steps[i];
        next.all.len = next.count = 0;
        TSR_GO(s->kind->decode(s, t, &next));
        tsr_texts swap = *t;
        *t = next;
        next = swap;
    }
    TSR_GO(tsr_str_add(out, ""));
    for (size_t i = 0, at = 0; i < t->count; at = t->ends[i++]) {
        if (list->count == 0 && i > 0)
            TSR_GO(tsr_str_add(out, " "));
        TSR_GO(tsr_str_add_bytes(out, t->all.s + at, t->ends[i] - at));
    }
out:
    tsr_texts_clear(&next);
    return st;
}

/* ---- patterns ---------------------------------------------------------------------------------*/

tsr_status tsr_textstep_find(const tsr_textstep *s, tsr_regex_work *w, const char *text,
                             size_t bytes, size_t from, size_t *start, size_t *end)
{
    if (s->regex)
        return tsr_regex_next(s->regex, w, text, bytes, from, start, end);
    size_t n = strlen(s->pattern);
    const char *hit = from < bytes ? memmem(text + from, bytes - from, s->pattern, n) : NULL;
    *start = hit ? (size_t)(hit - text) : SIZE_MAX;
    *end = *start + n;
    return TSR_OK;
}

tsr_status tsr_textstep_replace(const tsr_textstep *s, const char *content, const char *text,
                                size_t bytes, tsr_str *out)
{
    tsr_regex_work w = {0};
    tsr_status st = TSR_OK;
    size_t from = 0, start, end;
    tsr_regex_begin(&w, bytes);
    TSR_GO(tsr_str_add(out, ""));
    for (;;) {
        TSR_GO(tsr_textstep_find(s, &w, text, bytes, from, &start, &end));
        if (start == SIZE_MAX)
            break;
        TSR_GO(tsr_str_add_bytes(out, text + from, start - from));
        TSR_GO(tsr_str_add(out, content));
        from = end;
    }
    TSR_GO(tsr_str_add_bytes(out, text + from, bytes - from));
out:
    tsr_regex_work_clear(&w);
    return st;
}

/* ---- bytes as characters ----------------------------------------------------------------------*/

/* Source   bytes_to_unicode() of GPT-2's encoder.py: bytes that print stand for themselves, the
 *          other 68 are U+0100.. in order. */
static int prints(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

static int odd_rank(int byte)
{
    if (byte <= 32)
        return byte;
    return byte <= 0xA0 ? 33 + byte - 127 : 67;
}

tsr_status tsr_text_put_byte(tsr_str *out, unsigned char byte)
{
    int32_t c = prints(byte) ? byte : 0x100 + odd_rank(byte);
    char two[2] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F))};
    if (c >= 128)
        return tsr_str_add_bytes(out, two, 2);
    two[0] = (char)c;
    return tsr_str_add_bytes(out, two, 1);
}

int tsr_text_byte_of(int32_t c)
{
    if (c < 0x100)
        return c >= 0 && prints(c) ? c : -1;
    int k = c - 0x100;
    if (k > 67)
        return -1;
    return k <= 32 ? k : k < 67 ? 127 + k - 33 : 0xAD;
}

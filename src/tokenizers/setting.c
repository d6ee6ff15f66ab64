/* SPDX-License-Identifier: Apache-2.0
 * Checked settings. */
#include "tokenizers/setting.h"

#include "base/str.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

tsr_status tsr_setting_number(const tsr_settings *s, const char *key, double fallback, double lo,
                              double hi, double *out)
{
    const json_t *v = json_object_get(s->config, key);
    if (v && !json_is_number(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be a number", s->origin, key);
    double x = v ? json_number_value(v) : fallback;
    if (!(x >= lo && x <= hi))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is %g, allowed are %g to %g", s->origin, key, x, lo, hi);
    TSR_TRY(tsr_json_set(s->kept, key, json_real(x)));
    *out = x;
    return TSR_OK;
}

tsr_status tsr_setting_int(const tsr_settings *s, const char *key, long long fallback, long long lo,
                           long long hi, long long *out)
{
    const json_t *v = json_object_get(s->config, key);
    if (v && !json_is_integer(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be a whole number", s->origin, key);
    long long x = v ? (long long)json_integer_value(v) : fallback;
    if (x < lo || x > hi)
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is %lld, allowed are %lld to %lld", s->origin, key, x, lo,
                 hi);
    TSR_TRY(tsr_json_set(s->kept, key, json_integer(x)));
    *out = x;
    return TSR_OK;
}

tsr_status tsr_setting_bool(const tsr_settings *s, const char *key, int fallback, int *out)
{
    const json_t *v = json_object_get(s->config, key);
    if (v && !json_is_boolean(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be true or false", s->origin, key);
    int x = v ? json_is_true(v) : fallback;
    TSR_TRY(tsr_json_set(s->kept, key, json_boolean(x)));
    *out = x;
    return TSR_OK;
}

tsr_status tsr_setting_word(const tsr_settings *s, const char *key, const char *const *words,
                            int fallback, int *out)
{
    const json_t *v = json_object_get(s->config, key);
    if (v && !json_is_string(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be a word", s->origin, key);
    const char *word = v ? json_string_value(v) : words[fallback];
    size_t n = 0;
    while (words[n] && strcmp(words[n], word) != 0)
        n++;
    if (words[n]) {
        TSR_TRY(tsr_json_set(s->kept, key, json_string(words[n])));
        *out = (int)n;
        return TSR_OK;
    }
    const char *near = tsr_suggest(word, words, n);
    TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" does not know \"%.40s\"; %s \"%s\"", s->origin, key, word,
             near ? "did you mean" : "the default is", near ? near : words[fallback]);
}

tsr_status tsr_setting_size(const tsr_settings *s, const char *key, long long fallback, long long lo,
                            long long hi, size_t out[2])
{
    const json_t *v = json_object_get(s->config, key);
    json_int_t h = fallback, w = fallback;
    if (json_is_integer(v))
        h = w = json_integer_value(v);
    else if (v && json_unpack((json_t *)(uintptr_t)v, "[II!]", &h, &w) != 0)
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" must be one size or [height, width]", s->origin, key);
    if (h < lo || h > hi || w < lo || w > hi)
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is [%lld, %lld], allowed are %lld to %lld", s->origin, key,
                 (long long)h, (long long)w, lo, hi);
    TSR_TRY(tsr_json_set(s->kept, key, json_pack("[II]", h, w)));
    out[0] = (size_t)h;
    out[1] = (size_t)w;
    return TSR_OK;
}

tsr_status tsr_setting_filter(const tsr_settings *s, const char *key, tsr_filter fallback,
                              tsr_filter *out)
{
    static const char *const filters[] = {"nearest", "box", "bilinear", "bicubic", "lanczos", NULL};
    int filter;
    TSR_TRY(tsr_setting_word(s, key, filters, (int)fallback, &filter));
    *out = (tsr_filter)filter;
    return TSR_OK;
}

tsr_status tsr_setting_background(const tsr_settings *s, tsr_background *out)
{
    const json_t *v = json_object_get(s->config, "background");
    int rgb[3] = {255, 255, 255};
    *out = (tsr_background){.none = json_is_string(v) && strcmp(json_string_value(v), "none") == 0};
    if (out->none)
        return tsr_json_set(s->kept, "background", json_string("none"));
    if (v && json_unpack((json_t *)(uintptr_t)v, "[iii!]", &rgb[0], &rgb[1], &rgb[2]) != 0)
        TSR_FAIL(TSR_ECONFIG, "%s: \"background\" must be [red, green, blue] or none", s->origin);
    for (int c = 0; c < 3; c++) {
        if (rgb[c] < 0 || rgb[c] > 255)
            TSR_FAIL(TSR_ECONFIG, "%s: \"background\" has %d, allowed are 0 to 255", s->origin,
                     rgb[c]);
        out->rgb[c] = (unsigned char)rgb[c];
    }
    return tsr_json_set(s->kept, "background", json_pack("[iii]", rgb[0], rgb[1], rgb[2]));
}

static int is_other(const char *key, const char *const *others)
{
    for (; *others; others++)
        if (strcmp(*others, key) == 0)
            return 1;
    return 0;
}

static tsr_status refuse(const tsr_settings *s, const char *unknown)
{
    enum { MOST = 64 };
    const char *known[MOST], *key;
    size_t n = 0;
    json_t *value;
    json_object_foreach(s->kept, key, value)
        if (n < MOST)
            known[n++] = key;
    const char *near = tsr_suggest(unknown, known, n);
    TSR_FAIL(TSR_ECONFIG, "%s: a tokenizer of this kind has no setting \"%.60s\"%s%s%s",
             s->origin, unknown, near ? "; did you mean \"" : "", near ? near : "",
             near ? "\"?" : "");
}

tsr_status tsr_settings_check(const tsr_settings *s, const char *const *others)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)s->config, key, value)
        if (!json_object_get(s->kept, key) && !is_other(key, others))
            return refuse(s, key);
    return TSR_OK;
}

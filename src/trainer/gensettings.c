/* SPDX-License-Identifier: Apache-2.0
 * Settings of targets by name. */
#include "trainer/gensettings.h"

#include "base/str.h"
#include "trainer/decodeplan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the enumerations. */
static const char *const schemes[] = {"maskgit", "random", "autoregressive"};
static const char *const schedules[] = {"cosine", "linear"};
static const char *const coolings[] = {"constant", "linear", "onex"};
#define WORDS(list) (sizeof(list) / sizeof *(list))

static const char *const keys[] = {"scheme",  "steps",    "tokens",    "temperature",
                                   "cooling", "cool_to",  "power",     "top_k",
                                   "top_p",   "guidance", "max_tokens"};

const char *tsr_token_schedule_name(tsr_token_schedule s)
{
    return schedules[s];
}

static tsr_status word(const char *key, const char *value, const char *const *words, size_t n,
                       int *out)
{
    tsr_str all = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], value) == 0) {
            *out = (int)i;
            return TSR_OK;
        }
    for (size_t i = 0; i < n && st == TSR_OK; i++)
        st = tsr_str_addf(&all, "%s%s", i ? ", " : "", words[i]);
    if (st == TSR_OK)
        st = tsr_fail_at(TSR_ECONFIG, __FILE__, __LINE__, "%s: \"%s\" is none of %s", key, value,
                         all.s);
    tsr_str_clear(&all);
    return st;
}

static tsr_status number(const char *key, const char *value, double lo, double hi, double *out)
{
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !isfinite(v) || v < lo || v > hi)
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is no number from %g to %g", key, value, lo, hi);
    *out = v;
    return TSR_OK;
}

static tsr_status count(const char *key, const char *value, double lo, double hi, size_t *out)
{
    double v;
    TSR_TRY(number(key, value, lo, hi, &v));
    if (v != floor(v))
        TSR_FAIL(TSR_ECONFIG, "%s: \"%s\" is no whole number", key, value);
    *out = (size_t)v;
    return TSR_OK;
}

static tsr_status set_word(tsr_target *t, const char *key, const char *value)
{
    int v = 0;
    if (strcmp(key, "scheme") == 0) {
        TSR_TRY(word(key, value, schemes, WORDS(schemes), &v));
        t->scheme = (tsr_scheme)v;
    } else if (strcmp(key, "tokens") == 0) {
        TSR_TRY(word(key, value, schedules, WORDS(schedules), &v));
        t->tokens = (tsr_token_schedule)v;
    } else {
        TSR_TRY(word(key, value, coolings, WORDS(coolings), &v));
        t->cooling = (tsr_temperature_schedule)v;
    }
    return TSR_OK;
}

tsr_status tsr_target_set(tsr_target *t, const char *key, const char *value)
{
    const struct {
        const char *key;
        double *to, lo, hi;
    } numbers[] = {
        {"temperature", &t->temperature, 0.0, 1e6},
        {"cool_to", &t->cool_to, 0.0, 1e6},
        {"power", &t->power, 0.0, 100.0},
        {"top_k", &t->top_k, 0.0, 1e9},
        {"top_p", &t->top_p, 0.0, 1.0},
        {"guidance", &t->guidance, -1e6, 1e6},
    };
    if (strcmp(key, "scheme") == 0 || strcmp(key, "tokens") == 0 || strcmp(key, "cooling") == 0)
        return set_word(t, key, value);
    if (strcmp(key, "steps") == 0)
        return count(key, value, 1, TSR_DECODE_STEPS, &t->steps);
    if (strcmp(key, "max_tokens") == 0)
        return count(key, value, 1, TSR_SEQUENCE_POSITIONS, &t->max_tokens);
    for (size_t i = 0; i < WORDS(numbers); i++)
        if (strcmp(numbers[i].key, key) == 0)
            return number(key, value, numbers[i].lo, numbers[i].hi, numbers[i].to);
    const char *near = tsr_suggest(key, keys, WORDS(keys));
    if (near)
        TSR_FAIL(TSR_ECONFIG, "no setting of generation is called \"%s\"; did you mean \"%s\"?",
                 key, near);
    TSR_FAIL(TSR_ECONFIG,
             "no setting of generation is called \"%s\": there are scheme, steps, "
             "tokens, temperature, cooling, cool_to, power, top_k, top_p, guidance, max_tokens",
             key);
}

static tsr_status grid_settings(const tsr_target *t, json_t *o)
{
    TSR_TRY(tsr_json_set(o, "steps", json_integer((json_int_t)t->steps)));
    if (t->scheme == TSR_SCHEME_MASKGIT)
        TSR_TRY(tsr_json_set(o, "tokens", json_string(schedules[t->tokens])));
    TSR_TRY(tsr_json_set(o, "cooling", json_string(coolings[t->cooling])));
    if (t->cooling != TSR_TEMPERATURE_ONEX)
        return TSR_OK;
    TSR_TRY(tsr_json_set(o, "cool_to", json_real(t->cool_to)));
    return tsr_json_set(o, "power", json_real(t->power));
}

tsr_status tsr_target_to_json(const tsr_target *t, json_t **out)
{
    json_t *o =
        json_pack("{ss sf sf sf sf}", "scheme", schemes[t->scheme], "temperature", t->temperature,
                  "top_k", t->top_k, "top_p", t->top_p, "guidance", t->guidance);
    tsr_status st = TSR_OK;
    if (!o)
        TSR_FAIL(TSR_ENOMEM, "no memory for settings");
    if (t->scheme != TSR_SCHEME_AUTOREGRESSIVE)
        TSR_GO(grid_settings(t, o));
    else if (t->max_tokens)
        TSR_GO(tsr_json_set(o, "max_tokens", json_integer((json_int_t)t->max_tokens)));
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

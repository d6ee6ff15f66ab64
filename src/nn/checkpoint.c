/* SPDX-License-Identifier: Apache-2.0
 * Training state in one safetensors file. */
#include "nn/checkpoint.h"

#include "base/mem.h"
#include "base/str.h"
#include "nn/safetensors.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT "1" /* of "tessera.checkpoint" */

/* The arrays a tensor may have, and the prefix of each in the file. */
static const struct {
    const char *prefix;
    size_t offset;
} kinds[] = {
    {"", offsetof(tsr_param, value)},
    {"moment1.", offsetof(tsr_param, moment1)},
    {"moment2.", offsetof(tsr_param, moment2)},
    {"average.", offsetof(tsr_param, average)},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static float *array_of(const tsr_param *p, size_t kind)
{
    float *a;
    memcpy(&a, (const char *)p + kinds[kind].offset, sizeof a);
    return a;
}

static tsr_status add_item(const tsr_param *p, size_t kind, tsr_stored *item)
{
    char *name;
    TSR_TRY(tsr_format(&name, "%s%s", kinds[kind].prefix, p->name));
    *item = (tsr_stored){.name = name,
                         .dtype = TSR_F32,
                         .ndim = p->file_ndim,
                         .count = p->count,
                         .data = array_of(p, kind)};
    memcpy(item->shape, p->file_shape, sizeof p->file_shape);
    return TSR_OK;
}

static tsr_status make_metadata(uint64_t step, const json_t *state, json_t **out)
{
    tsr_status st = TSR_OK;
    char *text = NULL, *mark = NULL;
    json_t *m = json_object();
    if (!m)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_GO(tsr_format(&mark, "%s %llu", FORMAT, (unsigned long long)step));
    TSR_GO(tsr_json_set(m, "tessera.checkpoint", json_string(mark)));
    if (state) {
        TSR_GO(tsr_json_text(state, 0, &text));
        TSR_GO(tsr_json_set(m, "tessera.state", json_string(text)));
    }
    *out = m;
    m = NULL;
out:
    tsr_free(text);
    tsr_free(mark);
    json_decref(m);
    return st;
}

tsr_status tsr_checkpoint_save(const tsr_params *ps, const char *path, uint64_t step,
                               const json_t *state)
{
    tsr_status st = TSR_OK;
    tsr_stored *items = NULL;
    size_t n = tsr_params_count(ps), count = 0;
    json_t *metadata = NULL;
    TSR_GO(tsr_alloc(&items, n * KINDS, sizeof *items));
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; i < n; i++) {
            const tsr_param *p = tsr_params_at(ps, i);
            if (!array_of(p, k) && (k > 0 || p->count))
                continue;
            TSR_GO(add_item(p, k, &items[count]));
            count++;
        }
    }
    TSR_GO(make_metadata(step, state, &metadata));
    TSR_GO(tsr_safetensors_write(path, items, count, metadata));
out:
    for (size_t i = 0; i < count; i++)
        tsr_free((char *)items[i].name);
    tsr_free(items);
    json_decref(metadata);
    return st;
}

/* --- restoring ---------------------------------------------------------------------------------
 */

/* "1 1234" -> 1234. */
static tsr_status read_mark(const tsr_safetensors *f, uint64_t *step)
{
    const char *mark =
        json_string_value(json_object_get(tsr_safetensors_metadata(f), "tessera.checkpoint"));
    if (!mark)
        TSR_FAIL(TSR_EFORMAT, "%s: is not a training checkpoint", tsr_safetensors_path(f));
    if (strncmp(mark, FORMAT " ", 2) != 0 || strspn(mark + 2, "0123456789") != strlen(mark + 2) ||
        !mark[2])
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: checkpoint mark \"%.40s\" is not understood",
                 tsr_safetensors_path(f), mark);
    *step = strtoull(mark + 2, NULL, 10);
    return TSR_OK;
}

static tsr_status read_state(const tsr_safetensors *f, json_t **out)
{
    const char *text =
        json_string_value(json_object_get(tsr_safetensors_metadata(f), "tessera.state"));
    if (!text) {
        *out = json_null();
        return TSR_OK;
    }
    return tsr_json_parse(text, strlen(text), tsr_safetensors_path(f), out);
}

static int has_prefix(const tsr_safetensors *f, const char *prefix)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++)
        if (tsr_starts_with(tsr_safetensors_at(f, i)->name, prefix))
            return 1;
    return 0;
}

/* Whether the file must hold this array of this tensor. */
static int wanted(const tsr_params *ps, size_t i, size_t kind)
{
    int moment = kinds[kind].prefix[0] == 'm';
    return !moment || (tsr_params_at(ps, i)->flags & TSR_PARAM_TRAIN);
}

/* A store whose names carry the prefixes: strict loading into it sees everything at once, and
 * nothing of `ps` changes before all is known to be right. */
static tsr_status expected(const tsr_params *ps, const int *has, tsr_params **out)
{
    tsr_status st = TSR_OK;
    tsr_params *all;
    TSR_TRY(tsr_params_create(&all));
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; has[k] && i < tsr_params_count(ps); i++) {
            const tsr_param *p = tsr_params_at(ps, i);
            char *name;
            if (!wanted(ps, i, k))
                continue;
            TSR_GO(tsr_format(&name, "%s%s", kinds[k].prefix, p->name));
            st = tsr_params_add(all, name, 0, p->file_ndim, p->file_shape, NULL);
            tsr_free(name);
            if (st != TSR_OK)
                goto out;
        }
    }
    *out = all;
    all = NULL;
out:
    tsr_params_destroy(all);
    return st;
}

/* Copy the arrays of `all` into `ps`, in the order of expected(). */
static void hand_over(const tsr_params *all, const int *has, tsr_params *ps)
{
    size_t at = 0;
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t i = 0; has[k] && i < tsr_params_count(ps); i++) {
            tsr_param *p = tsr_params_at(ps, i);
            if (!wanted(ps, i, k))
                continue;
            const tsr_param *from = tsr_params_at(all, at++);
            if (p->count)
                memcpy(array_of(p, k), from->value, p->count * sizeof *from->value);
            tsr_param_touch(p);
        }
    }
}

tsr_status tsr_checkpoint_restore(tsr_params *ps, const char *path, uint64_t *step, json_t **state)
{
    tsr_status st = TSR_OK;
    tsr_safetensors *f = NULL;
    tsr_params *all = NULL;
    json_t *extra = NULL;
    uint64_t at;
    int has[KINDS] = {1};
    TSR_GO(tsr_safetensors_open(path, &f));
    TSR_GO(read_mark(f, &at));
    TSR_GO(read_state(f, &extra));
    for (size_t k = 1; k < KINDS; k++)
        has[k] = has_prefix(f, kinds[k].prefix);
    TSR_GO(expected(ps, has, &all));
    TSR_GO(tsr_safetensors_load(f, all, NULL));
    if (has[1] || has[2])
        TSR_GO(tsr_params_need_moments(ps));
    if (has[3])
        TSR_GO(tsr_params_need_averages(ps));
    hand_over(all, has, ps);
    *step = at;
    if (state) {
        *state = extra;
        extra = NULL;
    }
out:
    json_decref(extra);
    tsr_params_destroy(all);
    tsr_safetensors_close(f);
    return st;
}

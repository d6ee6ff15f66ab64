/* SPDX-License-Identifier: Apache-2.0
 * Parity with stored results: opening, the lines of the comparison, their JSON. */
#include "tasks/parity.h"

#include "base/mem.h"
#include "tasks/parity_work.h"
#include "trainer/fm.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tsr_parity_verdict_name(tsr_parity_verdict v)
{
    static const char *const names[] = {
        [TSR_PARITY_WITHIN] = "within",
        [TSR_PARITY_BEYOND] = "beyond",
        [TSR_PARITY_NOT_COMPUTED] = "not computed",
    };
    return names[v];
}

/* --- stored values --- */

int tsr_parity_is_whole(const tsr_stored *t)
{
    return t->dtype == TSR_I64 || t->dtype == TSR_I32 || t->dtype == TSR_I16 ||
           t->dtype == TSR_U8 || t->dtype == TSR_BOOL;
}

int64_t tsr_parity_whole_at(const tsr_stored *t, size_t i)
{
    const char *at = (const char *)t->data + i * tsr_dtype_bytes(t->dtype);
    int64_t wide;
    int32_t narrow;
    int16_t small;
    switch (t->dtype) {
    case TSR_I64:
        memcpy(&wide, at, sizeof wide);
        return wide;
    case TSR_I32:
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case TSR_I16:
        memcpy(&small, at, sizeof small);
        return small;
    default:
        return *(const unsigned char *)at;
    }
}

int32_t tsr_parity_id_at(const tsr_stored *t, size_t i)
{
    int64_t id = tsr_parity_whole_at(t, i);
    return id < 0 || id > INT32_MAX ? -1 : (int32_t)id;
}

tsr_status tsr_parity_values(const tsr_stored *t, float **out)
{
    float *values;
    TSR_TRY(tsr_alloc(&values, t->count, sizeof *values));
    tsr_status st = tsr_stored_floats(t, values);
    if (st != TSR_OK) {
        tsr_free(values);
        return st;
    }
    *out = values;
    return TSR_OK;
}

double tsr_parity_largest(const float *x, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

const tsr_stored *tsr_parity_stored(const tsr_safetensors *io, const char *before, const char *name,
                                    const char *after)
{
    char full[512];
    int n = snprintf(full, sizeof full, "%s%s%s", before, name, after);
    return n > 0 && (size_t)n < sizeof full ? tsr_safetensors_find(io, full) : NULL;
}

/* --- lines --- */

/* A line with copies of its texts. */
static tsr_status add(tsr_parity *p, const tsr_parity_line *line, const char *name,
                      const char *note)
{
    tsr_parity_line copy = *line;
    TSR_TRY(tsr_room(&p->lines, p->count, &p->cap, sizeof *p->lines));
    copy.name = copy.note = NULL;
    TSR_TRY(tsr_strdup(&copy.name, name));
    if (note && tsr_strdup(&copy.note, note) != TSR_OK) {
        tsr_free(copy.name);
        return TSR_ENOMEM;
    }
    p->lines[p->count++] = copy;
    return TSR_OK;
}

tsr_status tsr_parity_add_floats(tsr_parity *p, const tsr_parity_pair *pair)
{
    tsr_parity_line line = {.count = pair->count, .tolerance = pair->tolerance};
    double scale = pair->scale > 0.0 ? pair->scale : tsr_parity_largest(pair->want, pair->count);
    for (size_t i = 0; i < pair->count; i++) {
        double d = fabs((double)pair->ours[i] - (double)pair->want[i]);
        line.absolute = fmax(line.absolute, isfinite(d) ? d : INFINITY);
    }
    line.relative = scale > 0.0 ? line.absolute / scale : line.absolute;
    line.verdict = line.relative <= line.tolerance ? TSR_PARITY_WITHIN : TSR_PARITY_BEYOND;
    return add(p, &line, pair->name, pair->note);
}

tsr_status tsr_parity_add_whole(tsr_parity *p, const tsr_parity_line *line, double share)
{
    tsr_parity_line copy = *line;
    copy.whole = 1;
    copy.verdict =
        (double)copy.clear <= share * (double)copy.count ? TSR_PARITY_WITHIN : TSR_PARITY_BEYOND;
    return add(p, &copy, line->name, line->note);
}

tsr_status tsr_parity_add_missing(tsr_parity *p, const char *name, const char *fmt, ...)
{
    const tsr_parity_line line = {.verdict = TSR_PARITY_NOT_COMPUTED};
    char note[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(note, sizeof note, fmt, args);
    va_end(args);
    return add(p, &line, name, note);
}

void tsr_parity_clear(tsr_parity *p)
{
    for (size_t i = 0; i < p->count; i++) {
        tsr_free(p->lines[i].name);
        tsr_free(p->lines[i].note);
    }
    tsr_free(p->lines);
    *p = (tsr_parity){0};
}

size_t tsr_parity_failed(const tsr_parity *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        n += p->lines[i].verdict != TSR_PARITY_WITHIN;
    return n;
}

/* --- all of it --- */

tsr_status tsr_parity_run(const char *checkpoint, const char *io, const tsr_parity_spec *spec,
                          tsr_parity *out)
{
    tsr_safetensors *file = NULL, *stored = NULL;
    tsr_status st;
    *out = (tsr_parity){0};
    TSR_GO(tsr_safetensors_open(checkpoint, &file));
    TSR_GO(tsr_safetensors_open(io, &stored));
    out->precision =
        tsr_precision_default() == TSR_PRECISION_BF16 ? spec->precision : TSR_PRECISION_FP32;
    if (tsr_fm_is_file(file)) {
        out->kind = "masked model";
        TSR_GO(tsr_parity_masked(checkpoint, stored, spec, out));
    } else {
        out->kind = "tokenizer";
        TSR_GO(tsr_parity_tokenizer(checkpoint, stored, spec, out));
    }
    if (out->count == 0)
        TSR_GOFAIL(TSR_ENOENT, "%s: stores no outputs to compare", io);
out:
    tsr_safetensors_close(file);
    tsr_safetensors_close(stored);
    return st;
}

/* Infinite: null. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static tsr_status line_json(const tsr_parity_line *l, json_t *into)
{
    TSR_TRY(tsr_json_set(into, "name", json_string(l->name)));
    TSR_TRY(tsr_json_set(into, "verdict", json_string(tsr_parity_verdict_name(l->verdict))));
    if (l->note)
        TSR_TRY(tsr_json_set(into, "note", json_string(l->note)));
    if (l->verdict == TSR_PARITY_NOT_COMPUTED)
        return TSR_OK;
    TSR_TRY(tsr_json_set(into, "count", json_integer((json_int_t)l->count)));
    if (l->whole) {
        double share = l->count ? (double)l->equal / (double)l->count : 1.0;
        TSR_TRY(tsr_json_set(into, "equal", json_real(share)));
        return tsr_json_set(into, "clear_differences", json_integer((json_int_t)l->clear));
    }
    TSR_TRY(tsr_json_set(into, "absolute", number(l->absolute)));
    TSR_TRY(tsr_json_set(into, "relative", number(l->relative)));
    return tsr_json_set(into, "tolerance", json_real(l->tolerance));
}

tsr_status tsr_parity_json(const tsr_parity *p, json_t **out)
{
    json_t *v = json_object(), *lines = json_array();
    tsr_status st;
    TSR_GO(tsr_json_set(v, "kind", json_string(p->kind)));
    TSR_GO(tsr_json_set(v, "precision", json_string(tsr_precision_name(p->precision))));
    TSR_GO(tsr_json_set(v, "not_within", json_integer((json_int_t)tsr_parity_failed(p))));
    TSR_GO(tsr_json_set(v, "outputs", json_incref(lines)));
    for (size_t i = 0; i < p->count; i++) {
        json_t *line = json_object();
        TSR_GO(tsr_json_append(lines, line));
        TSR_GO(line_json(&p->lines[i], line));
    }
    *out = json_incref(v);
out:
    json_decref(lines);
    json_decref(v);
    return st;
}

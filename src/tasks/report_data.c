/* SPDX-License-Identifier: Apache-2.0
 * What there is to report on, found and read. */
#include "tasks/report_data.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tasks/report_html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_JSON  ((size_t)64 << 20)
#define MAX_LINES ((size_t)256 << 20)

double tsr_report_number(const json_t *object, const char *name)
{
    const char *dot = strchr(name, '.');
    char first[64];
    const json_t *v;
    if (dot && (size_t)(dot - name) < sizeof first) {
        memcpy(first, name, (size_t)(dot - name));
        first[dot - name] = '\0';
        return tsr_report_number(json_object_get(object, first), dot + 1);
    }
    v = json_object_get(object, name);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *tsr_report_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

size_t tsr_report_column(const json_t *list, const char *x, const char *name, double **xs,
                         double **ys)
{
    size_t n = 0, i;
    const json_t *line;
    *xs = *ys = NULL;
    if (tsr_alloc(xs, json_array_size(list), sizeof **xs) != TSR_OK ||
        tsr_alloc(ys, json_array_size(list), sizeof **ys) != TSR_OK)
        return 0;
    json_array_foreach((json_t *)list, i, line)
    {
        double at = tsr_report_number(line, x), v = tsr_report_number(line, name);
        if (!isfinite(at) || !isfinite(v))
            continue;
        (*xs)[n] = at;
        (*ys)[n++] = v;
    }
    return n;
}

tsr_status tsr_report_lines(const char *path, json_t **list, size_t *bad)
{
    char *text;
    size_t bytes;
    *bad = 0;
    TSR_TRY(tsr_file_read(path, MAX_LINES, &text, &bytes));
    json_t *all = json_array();
    tsr_status st = all ? TSR_OK : TSR_ENOMEM;
    for (size_t at = 0; at < bytes && st == TSR_OK;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t n = end ? (size_t)(end - text) - at : bytes - at;
        json_t *line = n ? json_loadb(text + at, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (json_is_object(line))
            st = tsr_json_append(all, json_incref(line));
        else
            *bad += n != 0;
        json_decref(line);
        at += n + 1;
    }
    tsr_free(text);
    if (st != TSR_OK) {
        json_decref(all);
        return st;
    }
    *list = all;
    return TSR_OK;
}

/* --- finding --- */

tsr_status tsr_report_place(const char *given, const char *folder, const char *name, char **out)
{
    if (given)
        return tsr_strdup(out, given);
    if (!folder)
        return TSR_OK;
    char *path;
    TSR_TRY(tsr_path_join(&path, folder, name));
    if (tsr_file_exists(path) || tsr_is_folder(path))
        *out = path;
    else
        tsr_free(path);
    return TSR_OK;
}

tsr_status tsr_report_excuse(tsr_report_data *d, int asked, tsr_status st)
{
    if (st == TSR_OK || st == TSR_ENOMEM || asked)
        return st;
    return tsr_json_append(d->notes, json_string(tsr_error()));
}

tsr_status tsr_report_read_object(const char *path, json_t **out)
{
    json_t *v;
    TSR_TRY(tsr_json_read(path, MAX_JSON, &v));
    if (!json_is_object(v)) {
        json_decref(v);
        TSR_FAIL(TSR_EFORMAT, "%s: an object was expected", path);
    }
    *out = v;
    return TSR_OK;
}

void tsr_report_adopt(json_t **into, const json_t *object, const char *key, json_type type)
{
    json_t *v = json_object_get(object, key);
    if (!v || json_typeof(v) != type || *into)
        return;
    *into = json_incref(v);
}

static tsr_status read_figures(tsr_report_data *d, const tsr_report_spec *spec)
{
    char *path = NULL;
    TSR_TRY(tsr_report_place(NULL, spec->folder, "report.json", &path));
    json_t *v = NULL;
    tsr_status st = path ? tsr_report_excuse(d, 0, tsr_report_read_object(path, &v)) : TSR_OK;
    tsr_free(path);
    if (!v)
        return st;
    json_decref(d->figures);
    d->figures = v;
    return st;
}

static tsr_status read_evaluation(tsr_report_data *d, const tsr_report_spec *spec)
{
    TSR_TRY(tsr_report_place(spec->eval, spec->folder, "eval.json", &d->eval));
    if (d->eval)
        TSR_TRY(tsr_report_excuse(d, spec->eval != NULL,
                                  tsr_report_read_object(d->eval, &d->evaluation)));
    tsr_report_adopt(&d->tasks, d->evaluation, "tasks", JSON_ARRAY);
    tsr_report_adopt(&d->matrix, d->evaluation, "matrix", JSON_OBJECT);
    tsr_report_adopt(&d->candidates, d->evaluation, "candidates", JSON_ARRAY);
    tsr_report_adopt(&d->candidates, d->figures, "candidates", JSON_ARRAY);
    tsr_report_adopt(&d->tasks, d->figures, "tasks", JSON_ARRAY);
    tsr_report_adopt(&d->matrix, d->figures, "matrix", JSON_OBJECT);
    return TSR_OK;
}

/* tokenizers of report.json first (they know the use of codes in the corpus), then files that it
 * does not name. */
static tsr_status read_tokenizers(tsr_report_data *d, const tsr_report_spec *spec)
{
    static const char suffix[] = ".report.json";
    tsr_names names = {0};
    char *path = NULL, *key = NULL;
    tsr_status st;
    json_t *had = json_object_get(d->figures, "tokenizers");
    if (json_is_object(had) && json_object_update(d->tokenizers, had) != 0)
        return TSR_ENOMEM;
    TSR_TRY(tsr_report_place(spec->tokenizers, spec->folder, "tokenizers", &d->tokenizer_folder));
    if (!d->tokenizer_folder)
        return TSR_OK;
    TSR_GO(tsr_report_excuse(d, spec->tokenizers != NULL,
                             tsr_list_folder(d->tokenizer_folder, &names)));
    for (size_t i = 0; i < names.count; i++) {
        json_t *v = NULL;
        if (!tsr_ends_with(names.names[i], suffix))
            continue;
        TSR_GO(tsr_strndup(&key, names.names[i], strlen(names.names[i]) - strlen(suffix)));
        TSR_GO(tsr_path_join(&path, d->tokenizer_folder, names.names[i]));
        if (!json_object_get(d->tokenizers, key))
            TSR_GO(tsr_report_excuse(d, 0, tsr_report_read_object(path, &v)));
        if (v)
            TSR_GO(tsr_json_set(d->tokenizers, key, v));
        tsr_free(key);
        tsr_free(path);
        key = path = NULL;
    }
out:
    tsr_free(key);
    tsr_free(path);
    tsr_names_clear(&names);
    return st;
}

static tsr_status read_examples(tsr_report_data *d, const tsr_report_spec *spec)
{
    char *path = NULL;
    json_t *v = NULL;
    TSR_TRY(tsr_report_place(spec->examples, spec->folder, "examples", &d->example_folder));
    if (!d->example_folder)
        return TSR_OK;
    TSR_TRY(tsr_path_join(&path, d->example_folder, "examples.json"));
    tsr_status st = TSR_OK;
    if (spec->examples || tsr_file_exists(path))
        st = tsr_report_excuse(d, spec->examples != NULL, tsr_report_read_object(path, &v));
    tsr_report_adopt(&d->examples, v, "examples", JSON_ARRAY);
    json_decref(v);
    tsr_free(path);
    return st;
}

static tsr_status read_corpus(tsr_report_data *d, const tsr_report_spec *spec)
{
    TSR_TRY(tsr_report_place(spec->corpus, spec->folder, "corpus", &d->corpus_path));
    if (!d->corpus_path)
        return TSR_OK;
    return tsr_report_excuse(d, spec->corpus != NULL, tsr_corpus_open(d->corpus_path, &d->corpus));
}

tsr_status tsr_report_data_read(const tsr_report_spec *spec, tsr_report_data *d)
{
    *d = (tsr_report_data){.figures = json_object(),
                           .tokenizers = json_object(),
                           .notes = json_array(),
                           .examples_shown = spec->examples_shown};
    if (!d->figures || !d->tokenizers || !d->notes)
        TSR_FAIL(TSR_ENOMEM, "no memory for a report");
    if (spec->folder && !tsr_is_folder(spec->folder))
        TSR_FAIL(TSR_ENOENT, "%s: there is no such folder", spec->folder);
    TSR_TRY(read_figures(d, spec));
    TSR_TRY(read_evaluation(d, spec));
    TSR_TRY(read_tokenizers(d, spec));
    TSR_TRY(tsr_report_run_read(d, spec));
    TSR_TRY(read_examples(d, spec));
    TSR_TRY(read_corpus(d, spec));
    if (json_object_size(d->tokenizers) || d->tasks || d->matrix || d->metrics || d->examples ||
        d->corpus || d->training)
        return TSR_OK;
    TSR_FAIL(TSR_ENOENT,
             "%s: nothing to report on: no corpus, tokenizers, training run or evaluation",
             spec->folder ? spec->folder : ".");
}

void tsr_report_data_clear(tsr_report_data *d)
{
    tsr_free(d->run);
    tsr_free(d->corpus_path);
    tsr_free(d->tokenizer_folder);
    tsr_free(d->eval);
    tsr_free(d->example_folder);
    json_decref(d->figures);
    json_decref(d->tokenizers);
    json_decref(d->tasks);
    json_decref(d->matrix);
    json_decref(d->candidates);
    json_decref(d->evaluation);
    json_decref(d->training);
    json_decref(d->metrics);
    json_decref(d->validations);
    json_decref(d->timing);
    json_decref(d->unigrams);
    json_decref(d->model);
    json_decref(d->examples);
    json_decref(d->notes);
    tsr_corpus_close(d->corpus);
    *d = (tsr_report_data){0};
}

/* --- names of metrics --- */

static const tsr_metric_name metrics[] = {
    {"psnr_db", "PSNR", "dB", 1, 0},
    {"ssim", "SSIM", "", 1, 0},
    {"absrel", "AbsRel", "", 0, 0},
    {"delta1", "δ₁", "%", 1, 1},
    {"angle_deg", "mean angle", "°", 0, 0},
    {"miou", "mean IoU", "%", 1, 1},
    {"accuracy", "accuracy", "%", 1, 1},
    {"mel_db", "log-mel distance", "dB", 0, 0},
    {"exact", "exact", "%", 1, 1},
    {"word_errors", "word errors", "%", 0, 1},
    {"l1", "mean difference", "", 0, 0},
    {"delta_e", "colour difference ΔE", "", 0, 0},
    {"error", "wrong fields", "%", 0, 1},
    {"iou", "IoU of boxes", "%", 1, 1},
    {"count_error", "error of count", "", 0, 0},
    {"words", "words in common (F1)", "%", 1, 1},
    {"caption_facts", "facts named (colour, shape, count)", "%", 1, 1},
    {"caption_f1", "facts (F1)", "%", 1, 1},
    {"caption_objects", "objects named (colour and shape)", "%", 1, 1},
    {"caption_precision", "named objects that are there", "%", 1, 1},
    {"caption_full", "objects with the right material", "%", 1, 1},
    {"caption_count", "right count", "%", 1, 1},
    {"caption_material", "materials named", "%", 1, 1},
};

const tsr_metric_name *tsr_metric_find(const char *key, tsr_metric_name *other)
{
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        if (strcmp(metrics[i].key, key) == 0)
            return &metrics[i];
    *other = (tsr_metric_name){key, key, "", 0, 0};
    return other;
}

const char *tsr_metric_text(const tsr_metric_name *m, double v, char text[64])
{
    char number[TSR_NUMBER_CHARS];
    tsr_number_text(m->share ? 100 * v : v, 3, number);
    int narrow = strcmp(m->unit, "°") == 0;
    snprintf(text, 64, "%s%s%s", number, *m->unit && !narrow ? " " : "", m->unit);
    return text;
}

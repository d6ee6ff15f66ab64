/* SPDX-License-Identifier: Apache-2.0
 * Samples to look at: what was given, what the model made of it, and the truth. */
#include "base/file.h"
#include "base/mem.h"
#include "codecs/codec.h"
#include "pipeline/onefile.h"
#include "tasks/report_parts.h"

#include <math.h>
#include <string.h>

#define MAX_FILE ((size_t)32 << 20)
#define OPEN     2 /* examples of a task that are not folded */

static const struct {
    const char *key, *label;
} results[] = {
    {"model", "model"},
    {"truth", "truth"},
    {"ceiling", "tokens, decoded"},
    {"no_input", "no input"},
    {"wrong_input", "wrong input"},
};

/* Paths come from a file: relative, and nowhere up. */
static int path_is_inside(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return 0;
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return 0;
    }
    return 1;
}

/* A medium from a place of examples.json: a path, or a record as it stands. */
static tsr_status read_media(const tsr_report_data *d, const json_t *v, const char *kind,
                             tsr_media *out)
{
    char *path;
    if (!json_is_string(v)) {
        *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = json_incref((json_t *)v)};
        return TSR_OK;
    }
    if (!path_is_inside(json_string_value(v)))
        TSR_FAIL(TSR_EFORMAT, "examples.json: %s is not a path inside its folder",
                 json_string_value(v));
    TSR_TRY(tsr_path_join(&path, d->example_folder, json_string_value(v)));
    tsr_read_options read = tsr_kind_options(kind);
    read.max_bytes = MAX_FILE;
    tsr_status st = tsr_media_read(path, &read, out);
    tsr_free(path);
    return st;
}

/* Text, sounds and tables need more room than pictures. */
static const char *width_of(const tsr_media *m, const char *kind)
{
    int table = m->kind == TSR_MEDIA_RECORD && strcmp(kind, "metadata") == 0;
    return m->kind == TSR_MEDIA_TEXT || m->kind == TSR_MEDIA_SOUND || table ? "wide" : "narrow";
}

/* What a place shows. */
typedef struct place {
    const json_t *value;
    const char *more; /* a line below it, or NULL */
    tsr_media_view view;
} place;

static void put_place(tsr_html *h, tsr_report_data *d, const place *p)
{
    tsr_media m = {0};
    tsr_status st = read_media(d, p->value, p->view.kind, &m);
    tsr_html_f(h, "<div class=\"%s\"><h4>%s</h4>", width_of(&m, p->view.kind), p->view.label);
    if (st == TSR_OK) {
        tsr_media_html(h, &m, &p->view);
    } else {
        tsr_html_raw(h, "<p class=\"none\">cannot be shown</p>");
        if (tsr_json_append(d->notes, json_string(tsr_error())) != TSR_OK)
            h->status = TSR_ENOMEM;
    }
    if (p->more)
        tsr_html_f(h, "<small>%s</small>", p->more);
    tsr_html_raw(h, "</div>");
    tsr_media_clear(&m);
}

/* Kind of a modality's tokenizer: as the example or the corpus says, else the name itself. */
static const char *kind_of(const tsr_report_data *d, const json_t *example, const char *modality)
{
    const char *kind = tsr_report_string(json_object_get(example, "kinds"), modality);
    const tsr_modality *m =
        d->corpus ? tsr_manifest_modality(tsr_corpus_manifest(d->corpus), modality) : NULL;
    if (!kind && m)
        kind = tsr_report_string(m->description, "kind");
    return kind ? kind : modality;
}

/* The picture among the inputs that boxes can be drawn on. */
static tsr_status find_picture(const tsr_report_data *d, const json_t *example, tsr_media *out)
{
    const char *modality;
    json_t *v;
    json_object_foreach(json_object_get(example, "inputs"), modality, v)
    {
        const char *kind = kind_of(d, example, modality);
        if (!json_is_string(v) || (strcmp(kind, "image") != 0 && strcmp(kind, "pixels") != 0))
            continue;
        if (read_media(d, v, kind, out) != TSR_OK)
            continue;
        if (out->kind == TSR_MEDIA_IMAGE)
            return TSR_OK;
        tsr_media_clear(out);
    }
    return TSR_ENOENT;
}

/* Predictions of depth are shown in the shades of the truth. */
static void find_range(const tsr_report_data *d, const json_t *truth, tsr_media_view *v)
{
    tsr_media m = {0};
    if (!json_is_string(truth) || strcmp(v->kind, "depth") != 0)
        return;
    if (read_media(d, truth, v->kind, &m) == TSR_OK)
        tsr_media_range(&m, v->kind, &v->near, &v->far);
    tsr_media_clear(&m);
}

/* "AbsRel 0.081" of one result, or NULL. */
static const char *figure(const json_t *example, const char *key, char text[160])
{
    char value[64];
    tsr_metric_name other;
    const char *metric = tsr_report_string(example, "metric");
    double v = tsr_report_number(json_object_get(example, "figures"), key);
    if (!metric || !isfinite(v))
        return NULL;
    const tsr_metric_name *m = tsr_metric_find(metric, &other);
    snprintf(text, 160, "%.80s %s", m->label, tsr_metric_text(m, v, value));
    return text;
}

#define N_RESULTS (sizeof results / sizeof results[0])

/* Predicted records as one table; 0 when they are no such records, and nothing is written. */
static int put_records(tsr_html *h, tsr_report_data *d, const json_t *example, const char *kind)
{
    tsr_media m[N_RESULTS] = {0};
    const json_t *records[N_RESULTS] = {0};
    const char *labels[N_RESULTS];
    size_t truth = 0, found = 0;
    if (strcmp(kind, "metadata") != 0)
        return 0;
    for (size_t i = 0; i < N_RESULTS; i++) {
        const json_t *v = json_object_get(example, results[i].key);
        labels[i] = results[i].label;
        truth = strcmp(results[i].key, "truth") == 0 ? i : truth;
        if (!v || json_is_null(v) || read_media(d, v, kind, &m[i]) != TSR_OK)
            continue;
        records[i] =
            m[i].kind == TSR_MEDIA_RECORD && json_is_object(m[i].as.record) ? m[i].as.record : NULL;
        found += records[i] != NULL;
    }
    if (found)
        tsr_records_html(h, records, labels, N_RESULTS, truth);
    for (size_t i = 0; i < N_RESULTS; i++)
        tsr_media_clear(&m[i]);
    return found > 0;
}

static void put_results(tsr_html *h, tsr_report_data *d, const json_t *example, place *p)
{
    char text[160];
    tsr_html_raw(h, "<div class=\"media\">");
    find_range(d, json_object_get(example, "truth"), &p->view);
    for (size_t i = 0; i < N_RESULTS; i++) {
        p->value = json_object_get(example, results[i].key);
        p->view.label = results[i].label;
        p->more = figure(example, results[i].key, text);
        if (p->value && !json_is_null(p->value))
            put_place(h, d, p);
        else if (p->more) /* judged, but there was nothing to write */
            tsr_html_f(h,
                       "<div><h4>%s</h4><p class=\"none\">malformed, counts as the worst</p>"
                       "<small>%s</small></div>",
                       p->view.label, p->more);
    }
    tsr_html_raw(h, "</div>");
}

static void put_example(tsr_html *h, tsr_report_data *d, const json_t *example)
{
    const char *modality;
    json_t *v;
    tsr_media under = {0};
    place p = {.view.under = find_picture(d, example, &under) == TSR_OK ? &under : NULL,
               .more = tsr_report_string(example, "key")};
    tsr_html_raw(h, "<div class=\"sample\"><div class=\"media given\">");
    json_object_foreach(json_object_get(example, "inputs"), modality, v)
    {
        p.value = v;
        p.view.kind = kind_of(d, example, modality);
        p.view.label = modality;
        put_place(h, d, &p);
        p.more = NULL;
    }
    tsr_html_raw(h, "</div>");
    p.view.kind = kind_of(d, example, tsr_report_string(example, "to"));
    if (!put_records(h, d, example, p.view.kind))
        put_results(h, d, example, &p);
    tsr_html_raw(h, "</div>\n");
    tsr_media_clear(&under);
}

static int same_task(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "from"), json_object_get(b, "from")) &&
           json_equal(json_object_get(a, "to"), json_object_get(b, "to"));
}

/* All of them, by task; of each the first few open and the rest folded. */
static void put_examples(tsr_html *h, tsr_report_data *d)
{
    size_t i, shown = 0;
    int folded = 0;
    json_t *example;
    const json_t *before = NULL;
    json_array_foreach(d->examples, i, example)
    {
        if (!json_is_object(example) || !tsr_report_string(example, "to"))
            continue;
        if (!before || !same_task(before, example)) {
            tsr_html_raw(h, folded ? "</details><h3>" : "<h3>");
            tsr_route_html(h, example);
            tsr_html_raw(h, "</h3>");
            shown = 0;
            folded = 0;
        }
        before = example;
        if (shown == OPEN && d->examples_shown > OPEN) {
            tsr_html_raw(h, "<details class=\"more\"><summary>more</summary>");
            folded = 1;
        }
        if (shown++ < d->examples_shown)
            put_example(h, d, example);
    }
    tsr_html_raw(h, folded ? "</details>" : "");
}

int tsr_report_examples(tsr_html *h, tsr_report_data *d)
{
    if (!json_array_size(d->examples) || !d->examples_shown)
        return 0;
    tsr_section_open(
        h, "examples", "Examples",
        "Held-out samples, the first ones, not chosen. Given: what the model saw. Model: what it "
        "made of it. Tokens, decoded: the truth after the round trip through its tokenizer. No "
        "input and wrong input: what the same model makes of nothing, and of another sample's.");
    tsr_html_raw(h, "<div class=\"examples\">");
    put_examples(h, d);
    tsr_html_raw(h, "</div>");
    tsr_section_close(h);
    return 1;
}

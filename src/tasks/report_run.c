/* SPDX-License-Identifier: Apache-2.0
 * What a training run left in its folder. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "nn/safetensors.h"
#include "tasks/report_data.h"

#include <stdio.h>

/* Lines of folder/name, where it is there; torn ones become a note. */
static tsr_status read_lines(tsr_report_data *d, const char *name, int asked, json_t **out)
{
    char *path = NULL, text[512];
    size_t bad = 0;
    TSR_TRY(tsr_path_join(&path, d->run, name));
    tsr_status st = asked || tsr_file_exists(path) ? tsr_report_lines(path, out, &bad) : TSR_OK;
    st = tsr_report_excuse(d, asked, st);
    snprintf(text, sizeof text, "%.400s: %zu line%s could not be read", path, bad,
             bad == 1 ? "" : "s");
    if (st == TSR_OK && bad)
        st = tsr_json_append(d->notes, json_string(text));
    tsr_free(path);
    return st;
}

static tsr_status read_one(tsr_report_data *d, const char *name, json_t **out)
{
    char *path = NULL;
    TSR_TRY(tsr_report_place(NULL, d->run, name, &path));
    tsr_status st = path ? tsr_report_excuse(d, 0, tsr_report_read_object(path, out)) : TSR_OK;
    tsr_free(path);
    return st;
}

/* Lines about validation leave `metrics` for the list of their set. */
static tsr_status part_lines(tsr_report_data *d)
{
    json_t *all = d->metrics, *line;
    size_t i;
    d->metrics = json_array();
    d->validations = json_object();
    tsr_status st = d->metrics && d->validations ? TSR_OK : TSR_ENOMEM;
    json_array_foreach(all, i, line)
    {
        const char *name = tsr_report_string(line, "validation");
        json_t *list = name ? json_object_get(d->validations, name) : d->metrics;
        if (st == TSR_OK && !list) {
            list = json_array();
            st = tsr_json_set(d->validations, name, list);
        }
        if (st == TSR_OK)
            st = tsr_json_append(list, json_incref(line));
    }
    json_decref(all);
    return st;
}

/* Metadata and digest of the model's file. */
static tsr_status read_model(tsr_report_data *d)
{
    char *path = NULL, text[TSR_DIGEST_CHARS];
    tsr_safetensors *f = NULL;
    tsr_digest digest;
    tsr_status st;
    TSR_TRY(tsr_report_place(NULL, d->run, "model.safetensors", &path));
    if (!path)
        return TSR_OK;
    TSR_GO(tsr_safetensors_open(path, &f));
    TSR_GO(tsr_hash_file(path, &digest));
    tsr_digest_text(digest, text);
    d->model = json_deep_copy(tsr_safetensors_metadata(f));
    if (d->model)
        TSR_GO(tsr_json_set(d->model, "digest", json_string(text)));
out:
    tsr_safetensors_close(f);
    tsr_free(path);
    return tsr_report_excuse(d, 0, st);
}

tsr_status tsr_report_run_read(tsr_report_data *d, const tsr_report_spec *spec)
{
    TSR_TRY(tsr_report_place(spec->run, spec->folder, "model", &d->run));
    if (d->run) {
        TSR_TRY(read_lines(d, "metrics.jsonl", spec->run != NULL, &d->metrics));
        TSR_TRY(read_lines(d, "timing.jsonl", 0, &d->timing));
        TSR_TRY(read_one(d, "unigrams.json", &d->unigrams));
        TSR_TRY(read_one(d, "report.json", &d->training));
        TSR_TRY(read_model(d));
    }
    if (d->metrics)
        TSR_TRY(part_lines(d));
    tsr_report_adopt(&d->training, d->figures, "training", JSON_OBJECT);
    return TSR_OK;
}

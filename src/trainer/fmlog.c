/* SPDX-License-Identifier: Apache-2.0
 * What a training run tells: lines of metrics and of timing, event files, progress, validation. */
#include "trainer/fmjob.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "nn/bench.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LN2 0.69314718055994530942

/* --- files -------------------------------------------------------------------------------------
 */

static tsr_status open_metrics(tsr_fmjob *j, long long keep)
{
    const char *path = j->metrics_path;
    struct stat s;
    if (keep > 0 && (stat(path, &s) != 0 || s.st_size < keep)) {
        tsr_job_warn(j->job, "%s: the lines up to step %llu are gone; it begins anew there", path,
                     (unsigned long long)tsr_fmtrain_steps(j->trainer));
        keep = 0;
    }
    j->metrics = fopen(path, keep > 0 ? "r+" : "w");
    if (!j->metrics)
        TSR_FAIL(TSR_EIO, "%s: %s", path, strerror(errno));
    if (keep > 0 &&
        (ftruncate(fileno(j->metrics), keep) != 0 || fseeko(j->metrics, keep, SEEK_SET) != 0))
        TSR_FAIL(TSR_EIO, "%s: cannot be cut back to the checkpoint: %s", path, strerror(errno));
    return TSR_OK;
}

/* Training seconds of earlier processes, from the last line of timing that is whole. */
static double earlier_seconds(const char *path)
{
    char line[1024];
    double seconds = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        json_t *v = json_loads(line, 0, NULL);
        if (json_is_number(json_object_get(v, "train_seconds")))
            seconds = json_number_value(json_object_get(v, "train_seconds"));
        json_decref(v);
    }
    if (f)
        fclose(f);
    return seconds;
}

tsr_status tsr_fmjob_open_logs(tsr_fmjob *j, long long keep)
{
    uint64_t step = tsr_fmtrain_steps(j->trainer);
    TSR_TRY(open_metrics(j, keep));
    j->spent_s = step ? earlier_seconds(j->timing_path) : 0;
    j->timing = fopen(j->timing_path, step ? "a" : "w");
    if (!j->timing)
        TSR_FAIL(TSR_EIO, "%s: %s", j->timing_path, strerror(errno));
    if (j->options->tensorboard || tsr_recipe_bool(j->recipe, "tensorboard", 0))
        TSR_TRY(tsr_eventfile_create(j->events_path, step, &j->events));
    return TSR_OK;
}

/* One line; takes the value. */
static tsr_status write_line(FILE *f, const char *path, json_t *line)
{
    char *text;
    if (!line)
        TSR_FAIL(TSR_ENOMEM, "no memory for a line of %s", path);
    tsr_status st = tsr_json_text(line, 0, &text);
    json_decref(line);
    TSR_TRY(st);
    int bad = fprintf(f, "%s\n", text) < 0 || fflush(f) != 0;
    tsr_free(text);
    if (bad)
        TSR_FAIL(TSR_EIO, "%s: writing failed: %s", path, strerror(errno));
    return TSR_OK;
}

/* --- losses as JSON ----------------------------------------------------------------------------
 */

/* "nll" and "bits_below_unigram" by modality, of those with targets. */
static tsr_status add_losses(const tsr_fmjob *j, const tsr_fmtrain_report *r, json_t *line)
{
    json_t *nll = json_object(), *bits = json_object();
    tsr_status st = TSR_OK;
    if (!nll || !bits)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a line of metrics");
    for (size_t m = 0; m < j->mods->count; m++) {
        double v = tsr_fmtrain_mean(r, m);
        if (!r->count[m])
            continue;
        TSR_GO(tsr_json_set(nll, j->mods->items[m].name, json_real(v)));
        TSR_GO(tsr_json_set(bits, j->mods->items[m].name,
                            json_real((j->unigrams.entropy[m] - v) / LN2)));
    }
    TSR_GO(tsr_json_set(line, "nll", json_incref(nll)));
    TSR_GO(tsr_json_set(line, "bits_below_unigram", json_incref(bits)));
out:
    json_decref(nll);
    json_decref(bits);
    return st;
}

static tsr_status add_events(tsr_fmjob *j, const char *prefix, uint64_t step, double loss,
                             const tsr_fmtrain_report *r)
{
    char *tags[TSR_MODALITIES + 1] = {0};
    double values[TSR_MODALITIES + 1];
    size_t n = 0;
    tsr_status st = TSR_OK;
    if (!j->events)
        return TSR_OK;
    TSR_GO(tsr_format(&tags[n], "%s/loss", prefix));
    values[n++] = loss;
    for (size_t m = 0; m < j->mods->count; m++) {
        if (!r->count[m])
            continue;
        TSR_GO(tsr_format(&tags[n], "%s/nll/%s", prefix, j->mods->items[m].name));
        values[n++] = tsr_fmtrain_mean(r, m);
    }
    TSR_GO(tsr_eventfile_add(j->events, step, (const char *const *)tags, values, n));
    TSR_GO(tsr_eventfile_flush(j->events));
out:
    for (size_t i = 0; i < TSR_MODALITIES + 1; i++)
        tsr_free(tags[i]);
    return st;
}

/* --- steps -------------------------------------------------------------------------------------
 */

static tsr_status write_timing(tsr_fmjob *j, uint64_t step)
{
    double now = tsr_now_s(), took = now - j->logged_s + 1e-9;
    double tokens = (double)(j->tokens - j->logged_tokens) / took;
    double rate = (j->flops - j->logged_flops) / took;
    double share = j->matrix_rate > 0 ? rate / j->matrix_rate : 0;
    static const char *const tags[] = {"speed/tokens_per_second", "speed/share_of_matrix_rate"};
    const double values[] = {tokens, share};
    j->logged_s = now;
    j->logged_tokens = j->tokens;
    j->logged_flops = j->flops;
    if (j->events)
        TSR_TRY(tsr_eventfile_add(j->events, step, tags, values, 2));
    return write_line(j->timing, j->timing_path,
                      json_pack("{sI sf sf sf sf}", "step", (json_int_t)step, "train_seconds",
                                j->spent_s + now - j->started_s, "tokens_per_second", tokens,
                                "flops_per_second", rate, "share_of_matrix_rate", share));
}

static tsr_status write_metrics(tsr_fmjob *j, uint64_t step, double rate)
{
    const tsr_fmwindow *w = &j->window;
    double n = (double)w->steps, norms = (double)(w->steps - w->skipped);
    static const char *const tags[] = {"train/lr", "train/grad_norm"};
    const double values[] = {rate, norms > 0 ? w->grad_norm / norms : 0};
    j->last_loss = w->loss / n;
    json_t *line = json_pack("{sI sI sI sf sf sf}", "step", (json_int_t)step, "inputs",
                             (json_int_t)j->inputs, "targets", (json_int_t)j->targets, "lr", rate,
                             "loss", j->last_loss, "grad_norm", values[1]);
    if (!line)
        TSR_FAIL(TSR_ENOMEM, "no memory for a line of metrics");
    tsr_status st = add_losses(j, &w->sum, line);
    if (st == TSR_OK && w->skipped)
        st = tsr_json_set(line, "skipped", json_integer((json_int_t)w->skipped));
    if (st != TSR_OK) {
        json_decref(line);
        return st;
    }
    TSR_TRY(write_line(j->metrics, j->metrics_path, line));
    if (j->events)
        TSR_TRY(tsr_eventfile_add(j->events, step, tags, values, 2));
    return add_events(j, "train", step, j->last_loss, &w->sum);
}

tsr_status tsr_fmjob_log(tsr_fmjob *j, const tsr_fmtrain_report *r, int flush)
{
    tsr_fmwindow *w = &j->window;
    w->steps++;
    w->skipped += r->skipped ? 1 : 0;
    w->loss += r->skipped ? 0 : r->loss;
    w->grad_norm += r->skipped ? 0 : r->grad_norm;
    if (!r->skipped)
        tsr_fmtrain_add(&w->sum, r);
    j->inputs += r->inputs;
    j->targets += r->targets;
    j->tokens += r->inputs + r->targets;
    j->flops += r->flops;
    if (!isfinite(j->last_loss))
        j->last_loss = r->loss;
    if (!flush)
        return TSR_OK;
    TSR_TRY(write_metrics(j, r->step + 1, r->rate));
    TSR_TRY(write_timing(j, r->step + 1));
    *w = (tsr_fmwindow){0};
    return TSR_OK;
}

/* --- validation --------------------------------------------------------------------------------
 */

static tsr_status judge_set(tsr_fmjob *j, size_t at, tsr_fmtrain_report *sum, uint64_t *samples)
{
    *sum = (tsr_fmtrain_report){0};
    *samples = 0;
    double loss = 0;
    for (uint64_t b = 0;; b++) {
        const tsr_example *const *e;
        tsr_fmtrain_report r;
        size_t n;
        tsr_status st = tsr_loader_batch(j->vals[at], b, &e, &n);
        if (st == TSR_ENOENT && b > 0)
            break;
        TSR_TRY(st);
        TSR_TRY(tsr_fmtrain_evaluate(j->trainer, e, n, &r));
        tsr_fmtrain_add(sum, &r);
        loss += r.loss * (double)n;
        *samples += n;
    }
    sum->loss = loss / (double)*samples;
    return TSR_OK;
}

static tsr_status result_of(const tsr_fmjob *j, const tsr_fmtrain_report *r, uint64_t samples,
                            json_t **out)
{
    json_t *v = json_pack("{sI sI sf sf}", "samples", (json_int_t)samples, "targets",
                          (json_int_t)r->targets, "loss", r->loss, "nll_per_token",
                          tsr_fmtrain_mean_token(r));
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for a validation");
    tsr_status st = add_losses(j, r, v);
    if (st == TSR_OK)
        *out = v;
    else
        json_decref(v);
    return st;
}

static tsr_status validate_one(tsr_fmjob *j, size_t at, json_t *results)
{
    uint64_t step = tsr_fmtrain_steps(j->trainer), samples;
    const char *name = j->set.vals[at].name;
    tsr_fmtrain_report r;
    json_t *v, *line;
    char *prefix;
    tsr_status st = judge_set(j, at, &r, &samples);
    if (st != TSR_OK)
        return tsr_context(st, "validation %s", name);
    TSR_TRY(result_of(j, &r, samples, &v));
    line = json_pack("{sI ss}", "step", (json_int_t)step, "validation", name);
    if (line && json_object_update(line, v) != 0) {
        json_decref(line);
        line = NULL;
    }
    TSR_GO(write_line(j->metrics, j->metrics_path, line));
    if (at == 0)
        j->last_val = r.loss;
    TSR_GO(tsr_format(&prefix, "validation/%s", name));
    st = add_events(j, prefix, step, r.loss, &r);
    tsr_free(prefix);
    if (st == TSR_OK && results)
        st = tsr_json_set(results, name, json_incref(v));
out:
    json_decref(v);
    return st;
}

tsr_status tsr_fmjob_validate(tsr_fmjob *j, json_t **results)
{
    json_t *all = results ? json_object() : NULL;
    double started = tsr_now_s();
    tsr_status st = TSR_OK;
    if (results && !all)
        TSR_FAIL(TSR_ENOMEM, "no memory for validation");
    tsr_fmtrain_swap(j->trainer); /* what the model file will hold */
    for (size_t i = 0; i < j->set.n_vals && st == TSR_OK; i++)
        st = validate_one(j, i, all);
    tsr_fmtrain_swap(j->trainer);
    j->logged_s += tsr_now_s() - started; /* rates are those of training alone */
    if (st == TSR_OK && results)
        *results = all;
    else
        json_decref(all);
    return st;
}

/* --- checkpoints -------------------------------------------------------------------------------
 */

tsr_status tsr_fmwindow_to_json(const tsr_fmjob *j, json_t **out)
{
    const tsr_fmwindow *w = &j->window;
    json_t *nll = json_array(), *count = json_array(), *v = NULL;
    tsr_status st = TSR_OK;
    if (!nll || !count)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a checkpoint");
    for (size_t m = 0; m < j->mods->count; m++) {
        TSR_GO(tsr_json_append(nll, json_real(w->sum.nll[m])));
        TSR_GO(tsr_json_append(count, json_integer((json_int_t)w->sum.count[m])));
    }
    v = json_pack("{sI sI sf sf sO sO}", "steps", (json_int_t)w->steps, "skipped",
                  (json_int_t)w->skipped, "loss", w->loss, "grad_norm", w->grad_norm, "nll", nll,
                  "count", count);
    if (!v)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a checkpoint");
    *out = v;
out:
    json_decref(nll);
    json_decref(count);
    return st;
}

tsr_status tsr_fmwindow_from_json(tsr_fmjob *j, const json_t *v, const char *path)
{
    tsr_fmwindow w = {0};
    const json_t *nll, *count;
    long long steps, skipped;
    TSR_TRY(tsr_json_int(v, "steps", path, &steps));
    TSR_TRY(tsr_json_int(v, "skipped", path, &skipped));
    TSR_TRY(tsr_json_number(v, "loss", path, &w.loss));
    TSR_TRY(tsr_json_number(v, "grad_norm", path, &w.grad_norm));
    TSR_TRY(tsr_json_member(v, "nll", path, JSON_ARRAY, &nll));
    TSR_TRY(tsr_json_member(v, "count", path, JSON_ARRAY, &count));
    if (json_array_size(nll) != j->mods->count || json_array_size(count) != j->mods->count)
        TSR_FAIL(TSR_EFORMAT, "%s: has sums of %zu modalities, not %zu", path, json_array_size(nll),
                 j->mods->count);
    for (size_t m = 0; m < j->mods->count; m++) {
        w.sum.nll[m] = json_number_value(json_array_get(nll, m));
        w.sum.count[m] = (uint64_t)json_integer_value(json_array_get(count, m));
    }
    w.steps = (uint64_t)steps;
    w.skipped = (uint64_t)skipped;
    j->window = w;
    return TSR_OK;
}

/* --- progress ----------------------------------------------------------------------------------
 */

void tsr_fmjob_progress(tsr_fmjob *j)
{
    char note[160], value[48] = "", share[32] = "";
    double took = tsr_now_s() - j->started_s + 1e-9;
    if (isfinite(j->last_val))
        snprintf(value, sizeof value, "  val %.4f", j->last_val);
    if (j->matrix_rate > 0)
        snprintf(share, sizeof share, "  %.0f %% of %.2f TFLOP/s",
                 100 * j->flops / took / j->matrix_rate, j->matrix_rate * 1e-12);
    snprintf(note, sizeof note, "loss %.4f%s  %.3gk tokens/s%s", j->last_loss, value,
             1e-3 * (double)j->tokens / took, share);
    const tsr_progress p = {
        "train", (int64_t)tsr_fmtrain_steps(j->trainer), (int64_t)j->steps, 0, "steps", note};
    tsr_job_report(j->job, &p);
}

double tsr_fmjob_matrix_rate(const tsr_fmjob *j)
{
    tsr_bench_product *b;
    /* Rows of a team's block, and the shape of an MLP's first layer. */
    size_t width = tsr_fm_get_config(j->model)->dim;
    if (tsr_bench_product_create(512, 4 * width, width, j->train.precision, &b) != TSR_OK)
        return 0;
    double rate = tsr_bench_product_run(b, 0.1);
    tsr_bench_product_destroy(b);
    return rate;
}

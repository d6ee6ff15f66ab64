/* SPDX-License-Identifier: Apache-2.0
 * A training run: its folder, its loop, its checkpoints and its end. */
#include "trainer/fmrun.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "trainer/fmjob.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_REPORT_BYTES ((size_t)64 << 20)
#define UNIGRAM_SAMPLES  20000 /* of each corpus, for the entropies */

/* --- the folder --------------------------------------------------------------------------------
 */

/* The top-level key of a field when it can change the result and was not met before (those of one
 * key stand together), else NULL: where the output goes and what else is written does not matter.
 */
static const char *hashed_key(size_t i, char key[64])
{
    const char *path = tsr_fmrun_fields[i].path, *before = i ? tsr_fmrun_fields[i - 1].path : "";
    size_t n = strcspn(path, ".");
    if (n >= 64 || (strcspn(before, ".") == n && strncmp(path, before, n) == 0))
        return NULL;
    memcpy(key, path, n);
    key[n] = '\0';
    return strcmp(key, "output") != 0 && strcmp(key, "tensorboard") != 0 ? key : NULL;
}

static tsr_status hash_recipe(tsr_fmjob *j)
{
    char *text, key[64];
    json_t *all = json_object();
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t i = 0; i < tsr_fmrun_n_fields && st == TSR_OK; i++) {
        if (!hashed_key(i, key))
            continue;
        json_t *v = (json_t *)tsr_recipe_get(j->recipe, key);
        st = tsr_json_set(all, key, v ? json_incref(v) : json_null());
    }
    if (st == TSR_OK)
        st = tsr_json_text(all, 0, &text);
    json_decref(all);
    TSR_TRY(st);
    j->digest = tsr_hash(text, strlen(text));
    tsr_free(text);
    return TSR_OK;
}

static tsr_status name_files(tsr_fmjob *j)
{
    const struct {
        const char *name;
        char **path;
    } files[] = {
        {"recipe.yaml", &j->recipe_path},      {"metrics.jsonl", &j->metrics_path},
        {"timing.jsonl", &j->timing_path},     {"unigrams.json", &j->unigrams_path},
        {"checkpoints", &j->checkpoints},      {"events", &j->events_path},
        {"model.safetensors", &j->model_path}, {"report.json", &j->report_path},
    };
    j->output = tsr_recipe_string(j->recipe, "output", "");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        TSR_TRY(tsr_path_join(files[i].path, j->output, files[i].name));
    return hash_recipe(j);
}

/* One run at a time, and without what a killed one left half written. */
static tsr_status take_folder(tsr_fmjob *j)
{
    TSR_TRY(tsr_make_folders(j->output));
    TSR_TRY(tsr_lock_folder(j->output, ".run.lock", "another run is writing there", &j->lock));
    TSR_TRY(tsr_remove_temporaries(j->output));
    return tsr_remove_temporaries(j->checkpoints);
}

static tsr_status checkpoint_path(const tsr_fmjob *j, uint64_t step, char **out)
{
    return tsr_format(out, "%s/step-%09llu.safetensors", j->checkpoints, (unsigned long long)step);
}

/* Steps of the checkpoints there are, ascending (*steps: tsr_free). */
static tsr_status list_checkpoints(const tsr_fmjob *j, uint64_t **steps, size_t *count)
{
    tsr_names names = {0};
    tsr_status st = TSR_OK;
    *steps = NULL;
    *count = 0;
    if (!tsr_is_folder(j->checkpoints))
        return TSR_OK;
    TSR_TRY(tsr_list_folder(j->checkpoints, &names));
    TSR_GO(tsr_alloc(steps, names.count, sizeof **steps));
    for (size_t i = 0; i < names.count; i++) {
        char *end;
        if (!tsr_starts_with(names.names[i], "step-"))
            continue;
        unsigned long long step = strtoull(names.names[i] + 5, &end, 10);
        if (end > names.names[i] + 5 && strcmp(end, ".safetensors") == 0)
            (*steps)[(*count)++] = step;
    }
out:
    tsr_names_clear(&names);
    return st;
}

/* Remove all checkpoints but the last `keep`. */
static tsr_status prune(const tsr_fmjob *j, size_t keep)
{
    uint64_t *steps;
    size_t n;
    TSR_TRY(list_checkpoints(j, &steps, &n));
    tsr_status st = TSR_OK;
    for (size_t i = 0; i + keep < n && st == TSR_OK; i++) {
        char *path;
        st = checkpoint_path(j, steps[i], &path);
        if (st == TSR_OK) {
            unlink(path);
            tsr_free(path);
        }
    }
    tsr_free(steps);
    return st;
}

/* The report of a finished run of the same recipe, or NULL. What belongs to another recipe is only
 * replaced when asked for. */
static tsr_status earlier_report(tsr_fmjob *j, json_t **out)
{
    char text[TSR_DIGEST_CHARS];
    json_t *v = NULL;
    *out = NULL;
    if (j->options->restart || !tsr_file_exists(j->report_path))
        return TSR_OK;
    tsr_digest_text(j->digest, text);
    tsr_status st = tsr_json_read(j->report_path, MAX_REPORT_BYTES, &v);
    if (st != TSR_OK)
        return tsr_context(tsr_of_own_file(st),
                           "the report of an earlier run cannot be used (--restart forgets it)");
    const char *of = json_string_value(json_object_get(v, "recipe"));
    if (of && strcmp(of, text) == 0 && tsr_file_exists(j->model_path)) {
        *out = v;
        return TSR_OK;
    }
    int other = !of || strcmp(of, text) != 0;
    json_decref(v);
    if (other)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: holds the result of another recipe; --restart replaces it, or name another "
                 "output",
                 j->output);
    return TSR_OK;
}

static tsr_status keep_recipe(const tsr_fmjob *j)
{
    char *text;
    TSR_TRY(tsr_recipe_text(j->recipe, &text));
    tsr_status st = tsr_file_write(j->recipe_path, text, strlen(text));
    tsr_free(text);
    return st;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static tsr_status open_loaders(tsr_fmjob *j)
{
    tsr_loader_spec spec = {
        .mods = j->mods,
        .feeds = j->set.feeds,
        .n_feeds = j->set.n_feeds,
        .seed = j->seed,
        .batch = j->train.batch,
        .ahead = (size_t)tsr_recipe_int(j->recipe, "train.ahead", 2),
        .limit = (uint64_t)tsr_recipe_int(j->recipe, "limit", 0),
    };
    TSR_TRY(tsr_loader_open(&spec, &j->loader));
    TSR_TRY(tsr_alloc(&j->vals, j->set.n_vals, sizeof(tsr_loader *)));
    for (size_t i = 0; i < j->set.n_vals; i++) {
        const tsr_valset *v = &j->set.vals[i];
        spec.feeds = v->feeds;
        spec.n_feeds = v->n_feeds;
        spec.ahead = 1;
        spec.limit = v->samples;
        spec.in_order = 1;
        tsr_status st = tsr_loader_open(&spec, &j->vals[i]);
        if (st != TSR_OK)
            return tsr_context(st, "validation %s", v->name);
    }
    return TSR_OK;
}

static tsr_status open_job(tsr_fmjob *j)
{
    TSR_TRY(tsr_fmjob_model(j));
    TSR_TRY(tsr_trainset_open(j->recipe, j->mods, &j->set));
    j->has_set = 1;
    TSR_TRY(tsr_fmjob_options(j));
    TSR_TRY(open_loaders(j));
    return tsr_fmtrain_create(j->model, &j->train, &j->trainer);
}

static void close_job(tsr_fmjob *j)
{
    if (j->metrics)
        fclose(j->metrics);
    if (j->timing)
        fclose(j->timing);
    tsr_eventfile_close(j->events);
    tsr_fmtrain_destroy(j->trainer);
    tsr_loader_close(j->loader);
    for (size_t i = 0; j->vals && i < j->set.n_vals; i++)
        tsr_loader_close(j->vals[i]);
    tsr_free(j->vals);
    if (j->has_set)
        tsr_trainset_close(&j->set);
    tsr_fm_destroy(j->model);
    tsr_free(j->recipe_path);
    tsr_free(j->metrics_path);
    tsr_free(j->timing_path);
    tsr_free(j->unigrams_path);
    tsr_free(j->checkpoints);
    tsr_free(j->events_path);
    tsr_free(j->model_path);
    tsr_free(j->report_path);
    if (j->lock >= 0)
        close(j->lock);
}

static tsr_status need_unigrams(tsr_fmjob *j)
{
    json_t *v;
    if (tsr_fmtrain_steps(j->trainer) && tsr_file_exists(j->unigrams_path)) {
        TSR_TRY(tsr_of_own_file(tsr_json_read(j->unigrams_path, MAX_REPORT_BYTES, &v)));
        tsr_status st = tsr_unigrams_from_json(v, j->unigrams_path, j->mods, &j->unigrams);
        json_decref(v);
        return tsr_of_own_file(st);
    }
    TSR_TRY(tsr_unigrams_count(j->loader, j->mods, UNIGRAM_SAMPLES, &j->unigrams));
    TSR_TRY(tsr_unigrams_to_json(&j->unigrams, j->mods, &v));
    tsr_status st = tsr_json_write(j->unigrams_path, v, 2);
    json_decref(v);
    return st;
}

/* --- checkpoints -------------------------------------------------------------------------------
 */

/* Which corpora, and how many samples of them: {PATH: {corpus, samples}}. */
static tsr_status data_to_json(const tsr_fmjob *j, json_t **out)
{
    json_t *all = json_array();
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t i = 0; i < j->set.n_feeds && st == TSR_OK; i++) {
        char id[TSR_DIGEST_CHARS];
        tsr_digest_text(tsr_corpus_manifest(tsr_loader_corpus(j->loader, i))->corpus, id);
        st = tsr_json_append(all, json_pack("{ss sI}", "corpus", id, "samples",
                                            (json_int_t)tsr_loader_feed_samples(j->loader, i)));
    }
    if (st == TSR_OK)
        *out = all;
    else
        json_decref(all);
    return st;
}

static tsr_status make_state(const tsr_fmjob *j, json_t **out)
{
    char text[TSR_DIGEST_CHARS];
    json_t *window = NULL, *data = NULL, *v;
    tsr_status st = TSR_OK;
    tsr_digest_text(j->digest, text);
    TSR_GO(tsr_fmwindow_to_json(j, &window));
    TSR_GO(data_to_json(j, &data));
    v = json_pack("{ss sI sI sI sI sO sO}", "recipe", text, "metrics_bytes",
                  (json_int_t)ftello(j->metrics), "inputs", (json_int_t)j->inputs, "targets",
                  (json_int_t)j->targets, "bad", (json_int_t)j->bad, "window", window, "data",
                  data);
    if (!v)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a checkpoint");
    *out = v;
out:
    json_decref(window);
    json_decref(data);
    return st;
}

static tsr_status save(tsr_fmjob *j)
{
    uint64_t step = tsr_fmtrain_steps(j->trainer);
    json_t *state = NULL;
    char *path = NULL;
    tsr_status st = TSR_OK;
    if (step == j->kept_step)
        return TSR_OK;
    TSR_GO(make_state(j, &state));
    TSR_GO(tsr_make_folders(j->checkpoints));
    TSR_GO(checkpoint_path(j, step, &path));
    st = tsr_fmtrain_save(j->trainer, path, state);
    if (st != TSR_OK && j->kept_step)
        st = tsr_context(st, "the checkpoint of step %llu was not written, that of step %llu stays",
                         (unsigned long long)step, (unsigned long long)j->kept_step);
    if (st != TSR_OK)
        goto out;
    j->kept_step = step;
    st = prune(j, (size_t)tsr_recipe_int(j->recipe, "train.keep", 2));
out:
    json_decref(state);
    tsr_free(path);
    return st;
}

/* The checkpoint belongs to this recipe and to these corpora. */
static tsr_status check_state(const tsr_fmjob *j, const json_t *state, const char *path)
{
    char text[TSR_DIGEST_CHARS];
    json_t *data;
    tsr_digest_text(j->digest, text);
    const char *of = json_string_value(json_object_get(state, "recipe"));
    if (!of || strcmp(of, text) != 0)
        TSR_FAIL(
            TSR_EMISMATCH,
            "%s: belongs to another recipe; finish that one (%s), forget it with --restart, or "
            "name another output",
            path, j->recipe_path);
    TSR_TRY(data_to_json(j, &data));
    int same = json_equal(data, json_object_get(state, "data"));
    json_decref(data);
    if (!same)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: the corpora have changed since it was written; start anew with --restart",
                 path);
    return TSR_OK;
}

static tsr_status restore(tsr_fmjob *j, uint64_t step, long long *keep)
{
    json_t *state = NULL;
    char *path;
    const json_t *window;
    long long inputs, targets, bad;
    TSR_TRY(checkpoint_path(j, step, &path));
    tsr_status st = TSR_OK;
    TSR_GO(tsr_fmtrain_restore(j->trainer, path, &state));
    TSR_GO(check_state(j, state, path));
    TSR_GO(tsr_json_int(state, "metrics_bytes", path, keep));
    TSR_GO(tsr_json_int(state, "inputs", path, &inputs));
    TSR_GO(tsr_json_int(state, "targets", path, &targets));
    TSR_GO(tsr_json_int(state, "bad", path, &bad));
    TSR_GO(tsr_json_member(state, "window", path, JSON_OBJECT, &window));
    TSR_GO(tsr_fmwindow_from_json(j, window, path));
    j->inputs = (uint64_t)inputs;
    j->targets = (uint64_t)targets;
    j->bad = (uint64_t)bad;
    j->kept_step = step;
out:
    json_decref(state);
    tsr_free(path);
    return st;
}

/* Go on from the last checkpoint when there is one of this very recipe. */
static tsr_status resume(tsr_fmjob *j)
{
    uint64_t *steps;
    size_t n;
    long long keep = 0;
    if (j->options->restart) {
        TSR_TRY(prune(j, 0));
        unlink(j->report_path);
    }
    TSR_TRY(list_checkpoints(j, &steps, &n));
    uint64_t last = n ? steps[n - 1] : 0;
    tsr_free(steps);
    if (n) {
        tsr_status st = restore(j, last, &keep);
        if (st != TSR_OK && st != TSR_EMISMATCH)
            return tsr_context(
                tsr_of_own_file(st),
                "the last checkpoint cannot be used (remove it to go on from the one "
                    "before, or --restart)");
        TSR_TRY(st);
    }
    TSR_TRY(keep_recipe(j));
    return tsr_fmjob_open_logs(j, keep);
}

/* --- the loop ----------------------------------------------------------------------------------
 */

/* Samples that could not be used, once the step that met them is done. */
static void count_bad(tsr_fmjob *j)
{
    const char *why;
    uint64_t bad = tsr_loader_bad(j->loader, &why), before = j->counted_bad;
    j->bad += bad - before;
    j->counted_bad = bad;
    if (bad != before)
        tsr_job_warn(j->job, "%llu samples could not be used and were replaced; the last: %s",
                     (unsigned long long)j->bad, why);
}

/* A step; a stop between its micro-batches leaves the run as it was before it. */
static tsr_status one_step(tsr_fmjob *j)
{
    tsr_fmtrain_report r;
    uint64_t step = tsr_fmtrain_steps(j->trainer);
    uint64_t every = (uint64_t)tsr_recipe_int(j->recipe, "train.log_every", 20);
    tsr_status st = TSR_OK;
    for (uint64_t k = 0; k < j->train.accumulate && st == TSR_OK; k++) {
        const tsr_example *const *examples;
        size_t n;
        TSR_TRY(k ? tsr_job_check(j->job) : TSR_OK);
        TSR_TRY(tsr_loader_batch(j->loader, step * j->train.accumulate + k, &examples, &n));
        st = tsr_fmtrain_micro(j->trainer, examples, n);
    }
    if (st == TSR_OK)
        st = tsr_fmtrain_update(j->trainer, &r);
    if (st == TSR_ENUMERIC && j->kept_step)
        return tsr_context(st, "the checkpoint of step %llu stays",
                           (unsigned long long)j->kept_step);
    TSR_TRY(st);
    count_bad(j);
    return tsr_fmjob_log(j, &r, (step + 1) % every == 0 || step + 1 == j->steps);
}

static tsr_status stopped(tsr_fmjob *j)
{
    TSR_TRY(save(j));
    TSR_FAIL(TSR_ECANCEL, "stopped at step %llu of %llu; the same command goes on from there",
             (unsigned long long)tsr_fmtrain_steps(j->trainer), (unsigned long long)j->steps);
}

static tsr_status loop(tsr_fmjob *j)
{
    const tsr_recipe *r = j->recipe;
    uint64_t val_every = (uint64_t)tsr_recipe_int(r, "train.val_every", 0);
    uint64_t save_every = (uint64_t)tsr_recipe_int(r, "train.checkpoint_every", 500);
    double minutes = tsr_recipe_number(r, "train.checkpoint_minutes", 0), saved_s = tsr_now_s();
    for (uint64_t done = tsr_fmtrain_steps(j->trainer); done < j->steps;) {
        tsr_status st = tsr_job_check(j->job);
        if (st == TSR_OK)
            st = one_step(j);
        if (st == TSR_ECANCEL)
            return stopped(j);
        TSR_TRY(st);
        done = tsr_fmtrain_steps(j->trainer);
        tsr_fmjob_progress(j);
        if (val_every && done % val_every == 0 && done < j->steps)
            TSR_TRY(tsr_fmjob_validate(j, NULL));
        if (done % save_every == 0 || done == j->steps ||
            (minutes > 0 && tsr_now_s() - saved_s > 60 * minutes)) {
            TSR_TRY(save(j));
            saved_s = tsr_now_s();
        }
    }
    return TSR_OK;
}

/* --- the end -----------------------------------------------------------------------------------
 */

/* Where the model comes from, kept in its file. */
static tsr_status provenance(const tsr_fmjob *j, json_t **out)
{
    char text[TSR_DIGEST_CHARS];
    json_t *data;
    tsr_digest_text(j->digest, text);
    TSR_TRY(data_to_json(j, &data));
    json_t *v =
        json_pack("{ss sI sI sI so}", "recipe", text, "steps", (json_int_t)j->steps, "inputs",
                  (json_int_t)j->inputs, "targets", (json_int_t)j->targets, "data", data);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    *out = v;
    return TSR_OK;
}

static tsr_status write_model(const tsr_fmjob *j)
{
    json_t *extra;
    TSR_TRY(provenance(j, &extra));
    tsr_status st = tsr_fm_write(j->model, j->model_path, j->train.average > 0, extra);
    json_decref(extra);
    return st;
}

static tsr_status make_report(tsr_fmjob *j, json_t *validation, json_t **out)
{
    char text[TSR_DIGEST_CHARS];
    uint64_t blocks, embeddings;
    double seconds = j->spent_s + j->logged_s - j->started_s;
    tsr_digest_text(j->digest, text);
    tsr_fmjob_parameters(j->model, &blocks, &embeddings);
    json_t *v = json_pack("{ss ss sI s{sI sI} sI sI sI sO sf sf}", "model", j->model_path, "recipe",
                          text, "steps", (json_int_t)j->steps, "parameters", "blocks",
                          (json_int_t)blocks, "embeddings", (json_int_t)embeddings, "inputs",
                          (json_int_t)j->inputs, "targets", (json_int_t)j->targets, "samples_bad",
                          (json_int_t)j->bad, "validation", validation, "train_seconds", seconds,
                          "tokens_per_second", (double)(j->inputs + j->targets) / (seconds + 1e-9));
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for the report");
    tsr_status st = tsr_json_write(j->report_path, v, 2);
    if (st == TSR_OK)
        *out = v;
    else
        json_decref(v);
    return st;
}

static tsr_status train_and_judge(tsr_fmjob *j, json_t **report)
{
    json_t *validation = NULL;
    TSR_TRY(resume(j));
    TSR_TRY(need_unigrams(j));
    j->matrix_rate = tsr_fmjob_matrix_rate(j);
    j->started_s = j->logged_s = tsr_now_s();
    TSR_TRY(loop(j));
    TSR_TRY(tsr_fmjob_validate(j, &validation));
    tsr_status st = write_model(j);
    if (st == TSR_OK)
        st = make_report(j, validation, report);
    json_decref(validation);
    return st;
}

tsr_status tsr_fmrun(const tsr_recipe *recipe, const tsr_fmrun_options *options, const tsr_job *job,
                     json_t **report)
{
    tsr_fmjob *j;
    json_t *result = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&j, 1, sizeof *j));
    *j = (tsr_fmjob){.recipe = recipe, .options = options, .job = job, .lock = -1};
    j->last_loss = j->last_val = NAN;
    TSR_GO(name_files(j));
    if (!options->dry_run) {
        TSR_GO(earlier_report(j, &result));
        if (!result)
            TSR_GO(take_folder(j));
    }
    if (!result) {
        TSR_GO(open_job(j));
        TSR_GO(options->dry_run ? tsr_fmjob_plan(j, &result) : train_and_judge(j, &result));
    }
    *report = result;
    result = NULL;
out:
    json_decref(result);
    close_job(j);
    tsr_free(j);
    return st;
}

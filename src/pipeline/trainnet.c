/* SPDX-License-Identifier: Apache-2.0
 * The loop that trains a tokenizer's network: batches, steps, metrics, checkpoints. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/str.h"
#include "pipeline/crops.h"
#include "pipeline/tokeval.h"
#include "pipeline/trainrun.h"
#include "tokenizers/patchmeans.h"
#include "tokenizers/trainable.h"
#include "vqvae/vqstart.h"
#include "vqvae/vqtrain.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 16 /* neighbours tried in place of a sample that cannot be read */

typedef struct netrun {
    tsr_trainrun *run;
    tsr_tokenizer *t;
    tsr_vqtrain *trainer;
    tsr_train_shape shape;
    size_t batch;
    uint64_t steps, quantize_after, seed;
    double min_scale;
    int flip, shift;
    float *x;
    uint8_t *valid;
    int32_t *labels;
    uint8_t *bad;  /* [samples of the training split] */
    uint64_t step; /* the batch that is being prepared */
    FILE *metrics;
    double started_s, spent_s; /* of this process; of the processes before */
    uint64_t started_step;
    tsr_vqtrain_report last;
    double last_value; /* of the main figure, NAN before the first validation */
    char last_metric[32];
} netrun;

/* ---- batches ----------------------------------------------------------------------------------*/

static tsr_status one_item(netrun *n, tsr_sample *s, tsr_rng *rng, size_t slot)
{
    size_t pixels = n->shape.height * n->shape.width, items;
    float *x = n->x + slot * n->shape.channels * pixels;
    tsr_view view = {0};
    const tsr_media *m = s->in.media[0];
    if (m->kind == TSR_MEDIA_IMAGE && (n->min_scale < 1 || n->flip)) {
        size_t h = m->as.image.height, w = m->as.image.width;
        view = (tsr_view){tsr_crop_centre(h, w), (uint32_t)h, (uint32_t)w};
        if (n->min_scale < 1)
            view.crop = tsr_crop_random(h, w, n->min_scale, 0, rng);
        view.crop.flip = n->flip ? (int32_t)tsr_rng_below(rng, 2) : 0;
        s->in.view = &view;
    }
    TSR_TRY(tsr_trainable_items(n->t, &s->in, &items));
    size_t item = items > 1 ? tsr_rng_below(rng, (uint32_t)items) : 0;
    TSR_TRY(tsr_trainable_prepare(n->t, &s->in, item, n->shift ? rng : NULL, x,
                                  n->valid + slot * pixels));
    for (size_t p = 0; n->shape.classes && p < pixels; p++)
        n->labels[slot * pixels + p] = (int32_t)x[p];
    return TSR_OK;
}

static tsr_status fill_slot(void *ctx, size_t slot, int lane)
{
    netrun *n = ctx;
    size_t count = tsr_dataset_count(n->run->train);
    uint64_t position = n->step * n->batch + slot, epoch = position / count;
    uint64_t at = tsr_rng_permute(position % count, count, n->seed, TSR_RNG_ORDER, epoch);
    tsr_status st = TSR_OK;
    (void)lane;
    for (int i = 0; i < TRIES; i++, at = (at + 1) % count) {
        tsr_sample s;
        tsr_rng rng;
        tsr_rng_init(&rng, n->seed, TSR_RNG_AUGMENT, epoch << 40 | at);
        st = tsr_dataset_get(n->run->train, at, &s);
        if (st == TSR_OK) {
            st = one_item(n, &s, &rng, slot);
            tsr_sample_clear(&s);
        }
        if (st == TSR_OK || st == TSR_ENOMEM)
            return st;
        /* Whoever comes first says it; which neighbour stands in does not depend on that. */
        if (!__atomic_exchange_n(&n->bad[at], 1, __ATOMIC_RELAXED))
            tsr_job_warn(n->run->job, "%s: left out of training: %s",
                         tsr_dataset_key(n->run->train, at), tsr_error());
    }
    return tsr_context(st, "%d training samples in a row cannot be used", TRIES);
}

static tsr_status make_batches(netrun *n)
{
    size_t pixels = n->shape.height * n->shape.width, all;
    TSR_TRY(tsr_mul_size(n->batch, pixels, &all));
    TSR_TRY(tsr_alloc(&n->x, all, n->shape.channels * sizeof *n->x));
    TSR_TRY(tsr_alloc(&n->valid, all, 1));
    TSR_TRY(tsr_alloc(&n->labels, n->shape.classes ? all : 0, sizeof *n->labels));
    return tsr_alloc(&n->bad, tsr_dataset_count(n->run->train), 1);
}

/* ---- set-up -----------------------------------------------------------------------------------*/

static tsr_status make_trainer(netrun *n)
{
    const tsr_recipe *r = n->run->recipe;
    tsr_vqtrain_options o = tsr_vqtrain_defaults();
    const char *loss = tsr_recipe_string(r, "train.loss", NULL);
    o.batch = n->batch;
    o.height = n->shape.height;
    o.width = n->shape.width;
    o.loss = tsr_trainable_loss(n->t);
    if (loss)
        TSR_TRY(tsr_vq_loss_parse(loss, &o.loss));
    TSR_TRY(tsr_precision_of_recipe(r, "train.precision", &o.precision));
    o.seed = n->seed;
    TSR_TRY(tsr_schedule_parse(tsr_recipe_string(r, "train.schedule", "cosine"), &o.rate.kind));
    o.rate.peak = tsr_recipe_number(r, "train.lr", 0);
    o.rate.floor = tsr_recipe_number(r, "train.lr_end", 0);
    o.rate.warmup = (uint64_t)tsr_recipe_int(r, "train.warmup", 0);
    o.rate.total = n->steps;
    if (o.rate.warmup >= n->steps)
        return tsr_recipe_fail(r, "train.warmup", "%llu steps of warm-up in a run of %llu",
                               (unsigned long long)o.rate.warmup, (unsigned long long)n->steps);
    o.adamw.weight_decay = tsr_recipe_number(r, "train.weight_decay", 0);
    o.adamw.beta1 = tsr_recipe_number(r, "train.beta1", 0.9);
    o.adamw.beta2 = tsr_recipe_number(r, "train.beta2", 0.99);
    o.clip = tsr_recipe_number(r, "train.clip", 0);
    o.average = tsr_recipe_number(r, "train.average", 0);
    o.dead_code_coef = tsr_recipe_number(r, "train.dead_code_coef", 0);
    o.quantize_after = n->quantize_after;
    return tsr_vqtrain_create(tsr_trainable_model(n->t), &o, &n->trainer);
}

static tsr_status set_up(netrun *n)
{
    const tsr_recipe *r = n->run->recipe;
    n->batch = (size_t)tsr_recipe_int(r, "train.batch", 1);
    n->steps = (uint64_t)tsr_recipe_int(r, "train.steps", 1);
    n->seed = (uint64_t)tsr_recipe_int(r, "train.seed", 0);
    n->quantize_after = (uint64_t)tsr_recipe_int(r, "train.quantize_after", 0);
    n->min_scale = tsr_recipe_number(r, "augment.min_scale", 1);
    n->flip = tsr_recipe_bool(r, "augment.flip", 0);
    n->shift = tsr_recipe_bool(r, "augment.shift", 1);
    n->last_value = NAN;
    TSR_TRY(
        tsr_trainable_create(tsr_recipe_get(r, "tokenizer"), tsr_recipe_origin(r), n->seed, &n->t));
    TSR_TRY(tsr_trainable_shape(n->t, &n->shape));
    tsr_status st = make_trainer(n);
    return st == TSR_OK ? st : tsr_context(st, "%s", tsr_recipe_origin(r));
}

/* ---- metrics ----------------------------------------------------------------------------------*/

/* Open the file of metrics, cut to the lines that were there at the checkpoint. Where they were
 * lost since, training goes on without them. */
static tsr_status open_metrics(netrun *n, long long keep)
{
    const char *path = n->run->metrics_path;
    struct stat s;
    if (keep > 0 && (stat(path, &s) != 0 || s.st_size < keep)) {
        tsr_job_warn(n->run->job, "%s: the lines up to step %llu are gone; it begins anew there",
                     path, (unsigned long long)n->started_step);
        keep = 0;
    }
    n->metrics = fopen(path, keep > 0 ? "r+" : "w");
    if (!n->metrics)
        TSR_FAIL(TSR_EIO, "%s: %s", path, strerror(errno));
    if (keep > 0 &&
        (ftruncate(fileno(n->metrics), keep) != 0 || fseeko(n->metrics, keep, SEEK_SET) != 0))
        TSR_FAIL(TSR_EIO, "%s: cannot be cut back to the checkpoint: %s", path, strerror(errno));
    return TSR_OK;
}

static tsr_status write_line(netrun *n, json_t *line)
{
    char *text;
    tsr_status st = tsr_json_text(line, 0, &text);
    json_decref(line);
    TSR_TRY(st);
    int bad = fprintf(n->metrics, "%s\n", text) < 0 || fflush(n->metrics) != 0;
    tsr_free(text);
    if (bad)
        TSR_FAIL(TSR_EIO, "%s: writing failed: %s", n->run->metrics_path, strerror(errno));
    return TSR_OK;
}

static double rate_per_second(const netrun *n)
{
    double steps = (double)(tsr_vqtrain_steps(n->trainer) - n->started_step);
    return steps * (double)n->batch / (tsr_now_s() - n->started_s + 1e-9);
}

/* Distinct codes since the last call. */
static size_t codes_seen(netrun *n)
{
    const tsr_vqvae_info *info = tsr_vqvae_info_of(tsr_trainable_model(n->t));
    const uint64_t *usage = tsr_vqtrain_usage(n->trainer, 0);
    size_t seen = 0;
    for (size_t k = 0; k < info->heads * info->codes; k++)
        seen += usage[k] > 0;
    (void)tsr_vqtrain_usage(n->trainer, 1);
    return seen;
}

static tsr_status log_step(netrun *n)
{
    const tsr_vqtrain_report *r = &n->last;
    json_t *line = json_pack(
        "{sI sf sf sf sf sf sI sf sI sf}", "step", (json_int_t)tsr_vqtrain_steps(n->trainer),
        "loss", r->loss, "reconstruction", r->reconstruction, "commitment", r->commitment, "lr",
        r->rate, "grad_norm", r->grad_norm, "codes_used", (json_int_t)codes_seen(n), "perplexity",
        r->perplexity, "revived", (json_int_t)r->revived, "samples_per_second", rate_per_second(n));
    if (!line)
        TSR_FAIL(TSR_ENOMEM, "no memory for a line of metrics");
    return write_line(n, line);
}

static tsr_status validate(netrun *n)
{
    json_t *result, *line;
    size_t limit = (size_t)tsr_recipe_int(n->run->recipe, "train.val_samples", 64);
    TSR_TRY(tsr_trainable_refresh(n->t));
    TSR_TRY(tsr_tokeval_run(n->t, n->run->val, limit, n->run->job, &result));
    n->last_value = json_number_value(json_object_get(result, "value"));
    snprintf(n->last_metric, sizeof n->last_metric, "%s",
             json_string_value(json_object_get(result, "metric")));
    line = json_pack("{sI so}", "step", (json_int_t)tsr_vqtrain_steps(n->trainer), "val", result);
    if (!line)
        TSR_FAIL(TSR_ENOMEM, "no memory for a line of metrics");
    return write_line(n, line);
}

static void report_progress(netrun *n, uint64_t done)
{
    char note[160], value[48] = "";
    if (isfinite(n->last_value))
        snprintf(value, sizeof value, "  %s %.4g", n->last_metric, n->last_value);
    snprintf(note, sizeof note, "loss %.4f%s  perplexity %.0f  %.0f/s", n->last.loss, value,
             n->last.perplexity, rate_per_second(n));
    char phase[96];
    snprintf(phase, sizeof phase, "train %s", n->run->modality);
    const tsr_progress p = {phase, (int64_t)done, (int64_t)n->steps, 0, "steps", note};
    tsr_job_report(n->run->job, &p);
}

/* ---- checkpoints ------------------------------------------------------------------------------*/

/* Indices of the training samples that could not be used. */
static json_t *bad_to_json(const netrun *n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < tsr_dataset_count(n->run->train); i++)
        if (n->bad[i] && json_array_append_new(list, json_integer((json_int_t)i)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static void bad_from_json(netrun *n, const json_t *list)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        json_int_t at = json_integer_value(v);
        if (at >= 0 && (size_t)at < tsr_dataset_count(n->run->train))
            n->bad[at] = 1;
    }
}

static tsr_status save(netrun *n)
{
    char text[TSR_DIGEST_CHARS];
    tsr_digest_text(n->run->digest, text);
    json_t *state =
        json_pack("{ss sI sf so}", "recipe", text, "metrics_bytes", (json_int_t)ftello(n->metrics),
                  "seconds", n->spent_s + tsr_now_s() - n->started_s, "bad", bad_to_json(n));
    if (!state)
        TSR_FAIL(TSR_ENOMEM, "no memory for a checkpoint");
    tsr_status st = tsr_vqtrain_save(n->trainer, n->run->checkpoint_path, state);
    json_decref(state);
    return st;
}

/* Go on from the checkpoint when there is one of this very recipe. */
static tsr_status resume(netrun *n)
{
    json_t *state = NULL;
    char text[TSR_DIGEST_CHARS];
    long long keep = 0;
    tsr_status st = TSR_OK;
    tsr_digest_text(n->run->digest, text);
    if (tsr_file_exists(n->run->checkpoint_path)) {
        st = tsr_vqtrain_restore(n->trainer, n->run->checkpoint_path, &state);
        if (st != TSR_OK)
            return tsr_context(
                tsr_of_own_file(st),
                "the checkpoint of an earlier run cannot be used (--restart forgets it)");
        const char *of = json_string_value(json_object_get(state, "recipe"));
        if (!of || strcmp(of, text) != 0)
            TSR_GOFAIL(
                TSR_EMISMATCH,
                "%s: belongs to another recipe; finish that one, or forget it with --restart",
                n->run->checkpoint_path);
        keep = (long long)json_integer_value(json_object_get(state, "metrics_bytes"));
        n->spent_s = json_number_value(json_object_get(state, "seconds"));
        bad_from_json(n, json_object_get(state, "bad"));
    }
    TSR_GO(tsr_trainrun_begin(n->run));
    n->started_step = tsr_vqtrain_steps(n->trainer);
    TSR_GO(open_metrics(n, keep));
out:
    json_decref(state);
    return st;
}

/* ---- the loop ---------------------------------------------------------------------------------*/

static tsr_status one_step(netrun *n)
{
    n->step = tsr_vqtrain_steps(n->trainer);
    TSR_TRY(tsr_par_for(n->batch, fill_slot, n));
    const tsr_vqtrain_batch b = {
        .count = n->batch,
        .pixels = n->shape.classes ? NULL : n->x,
        .labels = n->shape.classes ? n->labels : NULL,
        .valid = n->valid,
    };
    tsr_status st = tsr_vqtrain_step(n->trainer, &b, &n->last);
    if (st != TSR_OK)
        return tsr_context(st, "step %llu of modality %s", (unsigned long long)n->step,
                           n->run->modality);
    return TSR_OK;
}

static tsr_status loop(netrun *n)
{
    const tsr_recipe *r = n->run->recipe;
    uint64_t log_every = (uint64_t)tsr_recipe_int(r, "train.log_every", 20);
    uint64_t val_every = (uint64_t)tsr_recipe_int(r, "train.val_every", 0);
    uint64_t save_every = (uint64_t)tsr_recipe_int(r, "train.checkpoint_every", 200);
    for (uint64_t done = tsr_vqtrain_steps(n->trainer); done < n->steps;) {
        tsr_status stop = tsr_job_check(n->run->job);
        if (stop != TSR_OK) {
            TSR_TRY(save(n));
            TSR_FAIL(stop, "stopped at step %llu of %llu; the same command goes on from there",
                     (unsigned long long)done, (unsigned long long)n->steps);
        }
        TSR_TRY(one_step(n));
        done = tsr_vqtrain_steps(n->trainer);
        report_progress(n, done);
        if (done % log_every == 0 || done == n->steps)
            TSR_TRY(log_step(n));
        /* Before the codebook is there, tokens mean nothing. */
        if (val_every && done % val_every == 0 && done < n->steps && done > n->quantize_after)
            TSR_TRY(validate(n));
        if (done % save_every == 0 && done < n->steps)
            TSR_TRY(save(n));
    }
    return TSR_OK;
}

/* ---- the end ----------------------------------------------------------------------------------*/

static tsr_status add_baseline(netrun *n, json_t *report)
{
    const tsr_recipe *r = n->run->recipe;
    const tsr_baseline_spec spec = {
        .points = (size_t)tsr_recipe_int(r, "eval.baseline_points", 20000),
        .rounds = (int)tsr_recipe_int(r, "eval.baseline_rounds", 10),
        .limit = (size_t)tsr_recipe_int(r, "eval.samples", 0),
        .seed = n->seed,
    };
    json_t *result;
    TSR_TRY(tsr_baseline_run(n->t, n->run->train, n->run->val, &spec, n->run->job, &result));
    const char *metric = json_string_value(json_object_get(report, "metric"));
    double value = json_number_value(json_object_get(json_object_get(result, "quality"), metric));
    TSR_TRY(tsr_json_set(report, "baseline_kmeans", result));
    return tsr_json_set(report, "baseline", json_real(value));
}

static tsr_status judge(netrun *n, double train_seconds, json_t **out)
{
    const tsr_recipe *r = n->run->recipe;
    json_t *report = NULL;
    size_t bad = 0;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_tokeval_run(n->t, n->run->val, (size_t)tsr_recipe_int(r, "eval.samples", 0),
                           n->run->job, &report));
    if (tsr_recipe_bool(r, "eval.baseline", 0))
        TSR_GO(add_baseline(n, report));
    for (size_t i = 0; i < tsr_dataset_count(n->run->train); i++)
        bad += n->bad[i];
    TSR_GO(tsr_json_set(report, "steps", json_integer((json_int_t)n->steps)));
    TSR_GO(tsr_json_set(report, "train_seconds", json_real(train_seconds)));
    TSR_GO(tsr_json_set(report, "train_samples",
                        json_integer((json_int_t)tsr_dataset_count(n->run->train))));
    TSR_GO(tsr_json_set(report, "train_samples_bad", json_integer((json_int_t)bad)));
    *out = report;
    report = NULL;
out:
    json_decref(report);
    return st;
}

static tsr_status plan_report(netrun *n, json_t **out)
{
    size_t bytes;
    TSR_TRY(tsr_vqtrain_bytes(n->trainer, &bytes));
    const tsr_vqvae_info *info = tsr_vqvae_info_of(tsr_trainable_model(n->t));
    json_t *v = json_pack("{sI sI sI sI sI}", "parameters", (json_int_t)info->values,
                          "memory_bytes", (json_int_t)bytes, "steps", (json_int_t)n->steps,
                          "samples", (json_int_t)tsr_dataset_count(n->run->train), "val_samples",
                          (json_int_t)tsr_dataset_count(n->run->val));
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for the plan");
    *out = v;
    return TSR_OK;
}

/* Principal components and k-means of training patches in place of random weights. */
static tsr_status start_well(netrun *n)
{
    size_t want = (size_t)tsr_recipe_int(n->run->recipe, "train.init_patches", 0), count;
    tsr_patchmeans *b = NULL;
    float *patches = NULL;
    tsr_status st = TSR_OK;
    if (want == 0 || n->started_step > 0)
        return TSR_OK;
    TSR_GO(tsr_patchmeans_create(n->t, &b));
    TSR_GO(tsr_patches_gather(b, n->run->train, want, n->seed, &patches, &count));
    TSR_GO(tsr_vqvae_start(tsr_trainable_model(n->t), patches, count,
                           n->batch * tsr_patchmeans_per_item(b), n->seed, n->run->job));
out:
    tsr_patchmeans_destroy(b);
    tsr_free(patches);
    return st;
}

static tsr_status train_and_judge(netrun *n, json_t **report)
{
    TSR_TRY(make_batches(n));
    n->started_s = tsr_now_s();
    TSR_TRY(resume(n));
    TSR_TRY(start_well(n));
    TSR_TRY(loop(n));
    double seconds = n->spent_s + tsr_now_s() - n->started_s;
    TSR_TRY(tsr_trainable_refresh(n->t));
    TSR_TRY(tsr_tokenizer_write(n->t, n->run->output));
    return judge(n, seconds, report);
}

tsr_status tsr_train_network(tsr_trainrun *run, json_t **report)
{
    netrun n = {.run = run};
    tsr_status st = set_up(&n);
    if (st == TSR_OK)
        st = run->options->dry_run ? plan_report(&n, report) : train_and_judge(&n, report);
    if (n.metrics)
        fclose(n.metrics);
    tsr_vqtrain_destroy(n.trainer);
    tsr_tokenizer_destroy(n.t);
    tsr_free(n.x);
    tsr_free(n.valid);
    tsr_free(n.labels);
    tsr_free(n.bad);
    return st;
}

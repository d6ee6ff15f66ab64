/* SPDX-License-Identifier: Apache-2.0
 * Judging a tokenizer on held-out samples. */
#include "pipeline/tokeval.h"

#include "base/mem.h"
#include "base/par.h"

#include <math.h>
#include <string.h>

/* What one sample gave; kept apart so that sums are made in order. */
typedef struct outcome {
    json_t *quality; /* NULL: it failed */
    tsr_tokens tokens;
    double seconds;
} outcome;

typedef struct evaluation {
    const tsr_tokenizer *t;
    tsr_dataset *d;
    tsr_tokenizer_work **work; /* one a lane */
    int lanes;
    outcome *outcomes;
    size_t n;
    const tsr_job *job;
} evaluation;

int tsr_metric_higher_is_better(const char *metric)
{
    static const char *const higher[] = {"psnr_db", "ssim", "delta1", "miou", "accuracy", "exact",
                                         "snr_db"};
    for (size_t i = 0; i < sizeof higher / sizeof higher[0]; i++)
        if (strcmp(metric, higher[i]) == 0)
            return 1;
    return 0;
}

static tsr_status judge(evaluation *e, const tsr_sample *s, tsr_tokenizer_work *w, outcome *o)
{
    tsr_media got = {0}, want = {0};
    tsr_status st = TSR_OK;
    double start = tsr_now_s();
    TSR_GO(tsr_tokenizer_encode(e->t, w, &s->in, &o->tokens));
    o->seconds = tsr_now_s() - start;
    TSR_GO(tsr_tokenizer_decode(e->t, w, &o->tokens, &got));
    TSR_GO(tsr_tokenizer_target(e->t, w, &s->in, &want));
    TSR_GO(tsr_tokenizer_quality(e->t, &want, &got, &o->quality));
out:
    tsr_media_clear(&got);
    tsr_media_clear(&want);
    return st;
}

static tsr_status body(void *ctx, size_t i, int lane)
{
    evaluation *e = ctx;
    tsr_sample s;
    TSR_TRY(tsr_job_check(e->job));
    if (!e->work[lane])
        TSR_TRY(tsr_tokenizer_work_create(e->t, &e->work[lane]));
    tsr_status st = tsr_dataset_get(e->d, i, &s);
    if (st == TSR_OK) {
        st = judge(e, &s, e->work[lane], &e->outcomes[i]);
        tsr_sample_clear(&s);
    }
    /* A bad sample is counted; a machine without memory is not a bad sample. */
    return st == TSR_ENOMEM ? st : TSR_OK;
}

tsr_status tsr_quality_means(json_t *const *quality, size_t n, json_t *out, size_t *judged)
{
    json_t *means = json_object(), *v;
    const char *name;
    size_t good = 0;
    TSR_TRY(tsr_json_set(out, "quality", means));
    for (size_t i = 0; i < n; i++) {
        good += quality[i] != NULL;
        json_object_foreach(quality[i], name, v)
        {
            double had = json_number_value(json_object_get(means, name));
            double mean = had + (json_number_value(v) - had) / (double)good;
            TSR_TRY(tsr_json_set(means, name, json_real(mean)));
        }
    }
    *judged = good;
    return TSR_OK;
}

static tsr_status add_means(const evaluation *e, json_t *out, size_t *judged)
{
    json_t **quality;
    TSR_TRY(tsr_alloc(&quality, e->n, sizeof *quality));
    for (size_t i = 0; i < e->n; i++)
        quality[i] = e->outcomes[i].quality;
    tsr_status st = tsr_quality_means(quality, e->n, out, judged);
    tsr_free(quality);
    TSR_TRY(st);
    if (*judged == 0)
        TSR_FAIL(TSR_EFORMAT, "none of %zu samples of modality %s could be judged; the last said: %s",
                 e->n, tsr_tokenizer_space(e->t)->modality, tsr_error());
    json_t *means = json_object_get(out, "quality");
    const char *metric = json_object_iter_key(json_object_iter(means));
    TSR_TRY(tsr_json_set(out, "metric", json_string(metric)));
    TSR_TRY(tsr_json_set(out, "value", json_real(json_real_value(json_object_get(means, metric)))));
    return tsr_json_set(out, "higher_is_better", json_boolean(tsr_metric_higher_is_better(metric)));
}

static tsr_status add_usage(const evaluation *e, size_t judged, json_t *out)
{
    const tsr_token_space *space = tsr_tokenizer_space(e->t);
    uint64_t *counts;
    double total = 0, entropy = 0, seconds = 0;
    size_t used = 0;
    TSR_TRY(tsr_alloc(&counts, space->codebook_size, sizeof *counts));
    for (size_t i = 0; i < e->n; i++) {
        const outcome *o = &e->outcomes[i];
        for (size_t k = 0; o->quality && k < o->tokens.count; k++)
            counts[o->tokens.ids[k]]++;
        total += o->quality ? (double)o->tokens.count : 0;
        seconds += o->quality ? o->seconds : 0;
    }
    for (size_t k = 0; k < space->codebook_size; k++) {
        double p = (double)counts[k] / total;
        used += counts[k] > 0;
        entropy -= counts[k] ? p * log(p) : 0;
    }
    tsr_free(counts);
    TSR_TRY(tsr_json_set(out, "samples", json_integer((json_int_t)judged)));
    TSR_TRY(tsr_json_set(out, "samples_bad", json_integer((json_int_t)(e->n - judged))));
    TSR_TRY(tsr_json_set(out, "tokens", json_integer((json_int_t)total)));
    TSR_TRY(tsr_json_set(out, "codes_used", json_integer((json_int_t)used)));
    TSR_TRY(tsr_json_set(out, "codebook_size", json_integer(space->codebook_size)));
    TSR_TRY(tsr_json_set(out, "perplexity", json_real(exp(entropy))));
    TSR_TRY(tsr_json_set(out, "bits_per_sample",
                         json_real(total / (double)judged * log2(space->codebook_size))));
    return tsr_json_set(out, "samples_per_second",
                        json_real((double)judged / (seconds / e->lanes + 1e-9)));
}

tsr_status tsr_tokeval_run(const tsr_tokenizer *t, tsr_dataset *d, size_t limit, const tsr_job *job,
                           json_t **out)
{
    evaluation e = {.t = t, .d = d, .job = job, .lanes = tsr_par_threads()};
    json_t *result = json_object();
    tsr_status st = TSR_OK;
    size_t judged;
    e.n = tsr_dataset_count(d);
    e.n = limit && limit < e.n ? limit : e.n;
    if ((size_t)e.lanes > e.n)
        e.lanes = (int)e.n;
    TSR_GO(tsr_alloc(&e.work, (size_t)e.lanes, sizeof *e.work));
    TSR_GO(tsr_alloc(&e.outcomes, e.n, sizeof *e.outcomes));
    TSR_GO(tsr_par_for(e.n, body, &e));
    TSR_GO(add_means(&e, result, &judged));
    TSR_GO(add_usage(&e, judged, result));
    *out = result;
    result = NULL;
out:
    for (int i = 0; e.work && i < e.lanes; i++)
        tsr_tokenizer_work_destroy(e.work[i]);
    for (size_t i = 0; e.outcomes && i < e.n; i++) {
        json_decref(e.outcomes[i].quality);
        tsr_tokens_clear(&e.outcomes[i].tokens);
    }
    tsr_free(e.work);
    tsr_free(e.outcomes);
    json_decref(result);
    return st;
}

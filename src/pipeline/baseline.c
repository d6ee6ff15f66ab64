/* SPDX-License-Identifier: Apache-2.0
 * The baseline on a data set: fitted on training samples, judged like the tokenizer. */
#include "pipeline/tokeval.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

#include <string.h>

typedef struct gather {
    const tsr_patchmeans *b;
    tsr_dataset *d;
    float *points;  /* [samples, each, dim] */
    uint8_t *there; /* [samples] 1 when its points were filled in */
    size_t each;
    uint64_t seed;
} gather;

static tsr_status gather_sample(void *ctx, size_t i, int lane)
{
    gather *g = ctx;
    tsr_sample s;
    tsr_rng rng;
    (void)lane;
    tsr_rng_init(&rng, g->seed, TSR_RNG_KMEANS, i + 1);
    tsr_status st = tsr_dataset_get(g->d, i, &s);
    if (st == TSR_OK) {
        st = tsr_patchmeans_draw(g->b, &s.in, g->each, &rng,
                                 g->points + i * g->each * tsr_patchmeans_dim(g->b));
        tsr_sample_clear(&s);
    }
    g->there[i] = st == TSR_OK;
    return st == TSR_ENOMEM ? st : TSR_OK;
}

tsr_status tsr_patches_gather(const tsr_patchmeans *b, tsr_dataset *d, size_t want, uint64_t seed,
                              float **points, size_t *n)
{
    gather g = {.b = b, .d = d, .seed = seed};
    size_t samples = tsr_dataset_count(d), good = 0, all, values;
    size_t per_item = tsr_patchmeans_per_item(b);
    tsr_status st = TSR_OK;
    samples = samples < want ? samples : want;
    g.each = want / samples;
    g.each = g.each < per_item ? g.each : per_item;
    TSR_TRY(tsr_mul_size(samples, g.each, &all));
    TSR_TRY(tsr_mul_size(all, tsr_patchmeans_dim(b), &values));
    TSR_GO(tsr_alloc(&g.points, values, sizeof *g.points));
    TSR_GO(tsr_alloc(&g.there, samples, 1));
    TSR_GO(tsr_par_for(samples, gather_sample, &g));
    size_t row = g.each * tsr_patchmeans_dim(b);
    for (size_t i = 0; i < samples; i++)
        if (g.there[i])
            memmove(g.points + good++ * row, g.points + i * row, row * sizeof *g.points);
    if (good == 0)
        TSR_GOFAIL(TSR_EFORMAT, "no training sample could be read");
    *points = g.points;
    *n = good * g.each;
    g.points = NULL;
out:
    tsr_free(g.points);
    tsr_free(g.there);
    return st;
}

static tsr_status fit(tsr_patchmeans *b, tsr_dataset *train, const tsr_baseline_spec *spec,
                      const tsr_job *job)
{
    float *points;
    size_t n;
    TSR_TRY(tsr_patches_gather(b, train, spec->points, spec->seed, &points, &n));
    tsr_status st = tsr_patchmeans_fit(b, points, n, spec->rounds, spec->seed, job);
    tsr_free(points);
    return st;
}

typedef struct judging {
    const tsr_tokenizer *t;
    const tsr_patchmeans *b;
    tsr_dataset *d;
    json_t **quality;
    const tsr_job *job;
} judging;

static tsr_status judge(void *ctx, size_t i, int lane)
{
    judging *j = ctx;
    tsr_sample s = {0};
    tsr_tokenizer_work *w = NULL;
    tsr_media got = {0}, want = {0};
    tsr_status st = TSR_OK;
    (void)lane;
    TSR_TRY(tsr_job_check(j->job));
    TSR_GO(tsr_dataset_get(j->d, i, &s));
    TSR_GO(tsr_patchmeans_rebuild(j->b, &s.in, &got));
    TSR_GO(tsr_tokenizer_work_create(j->t, &w));
    TSR_GO(tsr_tokenizer_target(j->t, w, &s.in, &want));
    TSR_GO(tsr_tokenizer_quality(j->t, &want, &got, &j->quality[i]));
out:
    tsr_tokenizer_work_destroy(w);
    tsr_media_clear(&got);
    tsr_media_clear(&want);
    tsr_sample_clear(&s);
    return st == TSR_ENOMEM ? st : TSR_OK;
}

tsr_status tsr_baseline_run(const tsr_tokenizer *t, tsr_dataset *train, tsr_dataset *val,
                            const tsr_baseline_spec *spec, const tsr_job *job, json_t **out)
{
    tsr_patchmeans *b = NULL;
    size_t n = tsr_dataset_count(val), judged;
    json_t *result = json_object();
    judging j = {.t = t, .d = val, .job = job};
    tsr_status st = TSR_OK;
    double start = tsr_now_s();
    n = spec->limit && spec->limit < n ? spec->limit : n;
    TSR_GO(tsr_patchmeans_create(t, &b));
    TSR_GO(fit(b, train, spec, job));
    j.b = b;
    TSR_GO(tsr_alloc(&j.quality, n, sizeof *j.quality));
    TSR_GO(tsr_par_for(n, judge, &j));
    TSR_GO(tsr_quality_means(j.quality, n, result, &judged));
    if (judged == 0)
        TSR_GOFAIL(TSR_EFORMAT, "no sample could be judged for the baseline");
    TSR_GO(tsr_json_set(result, "samples", json_integer((json_int_t)judged)));
    TSR_GO(tsr_json_set(result, "seconds", json_real(tsr_now_s() - start)));
    *out = result;
    result = NULL;
out:
    for (size_t i = 0; j.quality && i < n; i++)
        json_decref(j.quality[i]);
    tsr_free(j.quality);
    tsr_patchmeans_destroy(b);
    json_decref(result);
    return st;
}

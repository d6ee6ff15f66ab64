/* SPDX-License-Identifier: Apache-2.0
 * What a training run would cost, before it starts. */
#include "trainer/fmjob.h"

#include "base/par.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

#define TRIAL_STEPS   3   /* timed after one that is not */
#define TRIAL_SECONDS 5.0 /* a step expected to take longer is not tried */
#define USUAL_SHARE   0.4 /* of the matrix rate, where nothing was timed */

void tsr_fmjob_parameters(const tsr_fm *m, uint64_t *blocks, uint64_t *embeddings)
{
    const tsr_params *ps = tsr_fm_params(m);
    *blocks = *embeddings = 0;
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        int block = tsr_starts_with(p->name, "encoder.") || tsr_starts_with(p->name, "decoder.");
        if (p->flags & TSR_PARAM_TRAIN)
            *(block ? blocks : embeddings) += p->count;
    }
}

static double memory_here(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (double)pages * (double)size : 0;
}

/* Seconds of a step, and its work and rows, from a few real ones. The model is spoilt by them. */
static tsr_status trial(tsr_fmjob *j, double *seconds, tsr_fmtrain_report *sum)
{
    double started = 0;
    *sum = (tsr_fmtrain_report){0};
    for (uint64_t b = 0; b <= TRIAL_STEPS; b++) {
        tsr_fmtrain_report r;
        for (uint64_t k = 0; k < j->train.accumulate; k++) {
            const tsr_example *const *examples;
            size_t n;
            TSR_TRY(tsr_job_check(j->job));
            TSR_TRY(tsr_loader_batch(j->loader, b * j->train.accumulate + k, &examples, &n));
            TSR_TRY(tsr_fmtrain_micro(j->trainer, examples, n));
        }
        TSR_TRY(tsr_fmtrain_update(j->trainer, &r));
        if (b == 0)
            started = tsr_now_s();
        else
            tsr_fmtrain_add(sum, &r);
    }
    *seconds = (tsr_now_s() - started) / TRIAL_STEPS;
    return TSR_OK;
}

static tsr_status modalities(const tsr_fmjob *j, json_t **out)
{
    json_t *all = json_object();
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t m = 0; m < j->mods->count && st == TSR_OK; m++) {
        const tsr_mod *mod = &j->mods->items[m];
        st = tsr_json_set(all, mod->name,
                          json_pack("{ss sb sb sI sI}", "class", tsr_modality_class_name(mod->cls),
                                    "input", mod->input, "output", mod->output, "vocabulary",
                                    (json_int_t)mod->vocabulary, "tokens",
                                    (json_int_t)mod->max_tokens));
    }
    if (st == TSR_OK)
        *out = all;
    else
        json_decref(all);
    return st;
}

tsr_status tsr_fmjob_plan(tsr_fmjob *j, json_t **out)
{
    tsr_fmtrain_cost cost;
    tsr_fmtrain_report sum = {0};
    uint64_t blocks, embeddings;
    json_t *mods;
    double rate = tsr_fmjob_matrix_rate(j), seconds = 0;
    tsr_fmjob_parameters(j->model, &blocks, &embeddings);
    TSR_TRY(tsr_fmtrain_plan(j->trainer, &cost));
    double bytes = (double)cost.weight_bytes + (double)cost.net_bytes;
    double flops = cost.flops, rows = (double)((j->train.in_rows + j->train.out_rows) * j->samples);
    int timed =
        bytes < 0.7 * memory_here() && rate > 0 && flops / (USUAL_SHARE * rate) < TRIAL_SECONDS;
    if (timed) {
        TSR_TRY(trial(j, &seconds, &sum));
        flops = sum.flops / TRIAL_STEPS;
        rows = (double)(sum.inputs + sum.targets) / TRIAL_STEPS;
    } else if (rate > 0) {
        seconds = flops / (USUAL_SHARE * rate);
    }
    TSR_TRY(modalities(j, &mods));
    json_t *v = json_pack(
        "{s{sI sI} sI sI sf s{sI sI sI sI} sf sf sf sf sf sf sf sb sI sf so}", "parameters",
        "blocks", (json_int_t)blocks, "embeddings", (json_int_t)embeddings, "steps",
        (json_int_t)j->steps, "warmup_steps", (json_int_t)j->train.rate.warmup, "lr",
        j->train.rate.peak, "batch", "samples", (json_int_t)j->samples, "accumulate",
        (json_int_t)j->train.accumulate, "inputs", (json_int_t)j->train.in_rows, "targets",
        (json_int_t)j->train.out_rows, "tokens_per_step", rows, "flops_per_step", flops,
        "flops_per_token", rows > 0 ? flops / rows : 0, "weight_bytes", (double)cost.weight_bytes,
        "memory_bytes", bytes, "seconds_per_step", seconds, "seconds", seconds * (double)j->steps,
        "timed", timed, "samples", (json_int_t)tsr_loader_samples(j->loader), "matrix_rate", rate,
        "modalities", mods);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for the plan");
    *out = v;
    return TSR_OK;
}

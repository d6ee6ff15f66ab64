/* SPDX-License-Identifier: Apache-2.0
 * AdamW: one fused pass over values, gradients and moments, piece by piece. */
#include "nn/adamw.h"

#include "base/mem.h"
#include "base/par.h"
#include "nn/elementwise.h"

#include <math.h>

#define PIECE 16384 /* values; fixed, so that sums do not depend on threads */

/* One piece of one tensor. */
typedef struct piece {
    tsr_param *p;
    size_t at, n;
} piece;

typedef struct pieces {
    piece *items;
    size_t count;
} pieces;

/* Cut the tensors that have any of `flags` (0: all). Release items with tsr_free. */
static tsr_status cut(const tsr_params *ps, unsigned flags, pieces *out)
{
    size_t n = 0, tensors = tsr_params_count(ps);
    pieces c = {0};
    for (size_t i = 0; i < tensors; i++)
        n += (tsr_params_at(ps, i)->count + PIECE - 1) / PIECE;
    TSR_TRY(tsr_alloc(&c.items, n, sizeof *c.items));
    for (size_t i = 0; i < tensors; i++) {
        tsr_param *p = tsr_params_at(ps, i);
        if (flags && !(p->flags & flags))
            continue;
        for (size_t at = 0; at < p->count; at += PIECE)
            c.items[c.count++] = (piece){p, at, p->count - at < PIECE ? p->count - at : PIECE};
    }
    *out = c;
    return TSR_OK;
}

tsr_adamw tsr_adamw_defaults(void)
{
    return (tsr_adamw){.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.05};
}

/* --- the norm ----------------------------------------------------------------------------------
 */

typedef struct norm_job {
    const piece *items;
    double *sums;
} norm_job;

static void sum_squares(void *ctx, size_t i, int lane)
{
    (void)lane;
    const norm_job *j = ctx;
    const piece *c = &j->items[i];
    j->sums[i] = tsr_elementwise_now()->square_sum(c->p->grad + c->at, c->n);
}

tsr_status tsr_grad_norm(const tsr_params *ps, double *norm)
{
    tsr_status st = TSR_OK;
    pieces c = {0};
    norm_job job = {0};
    double total = 0;
    for (size_t i = 0; i < tsr_params_count(ps); i++)
        if ((tsr_params_at(ps, i)->flags & TSR_PARAM_TRAIN) && !tsr_params_at(ps, i)->grad &&
            tsr_params_at(ps, i)->count)
            TSR_FAIL(TSR_EARG, "tensor \"%s\" has no gradient", tsr_params_at(ps, i)->name);
    TSR_GO(cut(ps, TSR_PARAM_TRAIN, &c));
    job.items = c.items;
    TSR_GO(tsr_alloc(&job.sums, c.count, sizeof *job.sums));
    tsr_par_kernels(c.count, sum_squares, &job);
    for (size_t i = 0; i < c.count; i++) {
        if (!isfinite(job.sums[i]))
            TSR_GOFAIL(TSR_ENUMERIC, "the gradient of \"%s\" is not finite", c.items[i].p->name);
        total += job.sums[i];
    }
    *norm = sqrt(total);
out:
    tsr_free(job.sums);
    tsr_free(c.items);
    return st;
}

double tsr_clip_factor(double norm, double max_norm)
{
    return max_norm > 0 ? fmin(1, max_norm / (norm + 1e-6)) : 1;
}

/* --- the step ----------------------------------------------------------------------------------
 */

typedef struct step_job {
    const piece *items;
    tsr_adamw_terms terms;
} step_job;

static void update(void *ctx, size_t i, int lane)
{
    (void)lane;
    const step_job *j = ctx;
    const piece *c = &j->items[i];
    tsr_adamw_terms t = j->terms;
    t.x = c->p->value + c->at;
    t.m = c->p->moment1 + c->at;
    t.v = c->p->moment2 + c->at;
    t.g = c->p->grad + c->at;
    t.n = c->n;
    t.keep = c->p->flags & TSR_PARAM_DECAY ? t.keep : 1;
    tsr_elementwise_now()->adamw(&t);
}

static tsr_status check_options(const tsr_adamw *o, uint64_t step, double scale)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        TSR_FAIL(TSR_EARG, "AdamW: betas %g and %g must be in [0, 1)", o->beta1, o->beta2);
    if (!(o->lr >= 0 && o->eps > 0 && o->weight_decay >= 0) || !isfinite(o->lr))
        TSR_FAIL(TSR_EARG, "AdamW: rate %g, eps %g, weight decay %g: must not be negative", o->lr,
                 o->eps, o->weight_decay);
    if (step == 0 || !isfinite(scale))
        TSR_FAIL(TSR_EARG, "AdamW: steps count from 1, and the factor of gradients is finite");
    return TSR_OK;
}

tsr_status tsr_adamw_step(tsr_params *ps, const tsr_adamw *opt, uint64_t step, double scale)
{
    TSR_TRY(check_options(opt, step, scale));
    TSR_TRY(tsr_params_need_grads(ps));
    TSR_TRY(tsr_params_need_moments(ps));
    pieces c;
    TSR_TRY(cut(ps, TSR_PARAM_TRAIN, &c));
    double t = (double)step;
    step_job job = {.items = c.items,
                    .terms = {.scale = (float)scale,
                              .b1 = (float)opt->beta1,
                              .b2 = (float)opt->beta2,
                              .keep = (float)(1 - opt->lr * opt->weight_decay),
                              .size = (float)(opt->lr / (1 - pow(opt->beta1, t))),
                              .root = (float)sqrt(1 - pow(opt->beta2, t)),
                              .eps = (float)opt->eps,
                              .clear = opt->clear_grads}};
    tsr_par_kernels(c.count, update, &job);
    tsr_free(c.items);
    for (size_t i = 0; i < tsr_params_count(ps); i++)
        if (tsr_params_at(ps, i)->flags & TSR_PARAM_TRAIN)
            tsr_param_touch(tsr_params_at(ps, i));
    return TSR_OK;
}

/* --- averages ----------------------------------------------------------------------------------
 */

typedef struct average_job {
    const piece *items;
    float decay;
} average_job;

static void average(void *ctx, size_t i, int lane)
{
    (void)lane;
    const average_job *j = ctx;
    const piece *c = &j->items[i];
    const float *restrict x = c->p->value + c->at;
    float *restrict a = c->p->average + c->at;
    const float d = j->decay, e = 1 - d;
#pragma omp simd
    for (size_t k = 0; k < c->n; k++)
        a[k] = d * a[k] + e * x[k];
}

tsr_status tsr_params_average(tsr_params *ps, double decay)
{
    if (!(decay >= 0 && decay <= 1))
        TSR_FAIL(TSR_EARG, "the decay of averaged weights is %g, must be in [0, 1]", decay);
    TSR_TRY(tsr_params_need_averages(ps));
    pieces c;
    TSR_TRY(cut(ps, 0, &c));
    average_job job = {c.items, (float)decay};
    tsr_par_kernels(c.count, average, &job);
    tsr_free(c.items);
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Steps of the masked model's training. */
#include "trainer/fmtrain.h"

#include "base/mem.h"
#include "nn/checkpoint.h"

#include <math.h>
#include <string.h>

#define MAX_SKIPPED 100 /* updates left out in a row */

struct tsr_fmtrain {
    tsr_fm *m;
    const tsr_mods *mods;
    tsr_fmtrain_options o;
    tsr_fmnet *net;   /* losses and gradients; made when first needed */
    tsr_fmnet *judge; /* losses only */
    uint64_t step;
    uint64_t skipped; /* updates left out in a row */
    /* the step in the making: */
    size_t micro;               /* micro-batches so far */
    int cleared;                /* gradients are zero: the last update left them so */
    double share;               /* sum of their weights */
    tsr_fmtrain_report pending; /* its loss is not divided by share yet */
};

/* --- making ------------------------------------------------------------------------------------
 */

tsr_fmtrain_options tsr_fmtrain_defaults(void)
{
    tsr_fmtrain_options o = {
        .batch = 16,
        .accumulate = 1,
        .loss = TSR_FM_LOSS_MODALITY,
        .precision = tsr_precision_default(),
        .rate = {.kind = TSR_SCHEDULE_COSINE, .peak = 1e-3, .warmup = 50, .total = 1000},
        .adamw = tsr_adamw_defaults(),
        .explode = 4,
    };
    o.adamw.beta2 = 0.95;
    for (size_t m = 0; m < TSR_MODALITIES; m++)
        o.weights[m] = 1;
    return o;
}

static tsr_status check_options(const tsr_fm *m, const tsr_fmtrain_options *o)
{
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    TSR_TRY(tsr_schedule_check(&o->rate));
    if (o->batch < 1 || o->batch > 65536 || o->accumulate < 1 || o->accumulate > 65536)
        TSR_FAIL(TSR_ECONFIG, "%zu micro-batches of %zu samples: out of range", o->accumulate,
                 o->batch);
    if (!(o->clip >= 0) || !(o->skip_above >= 0) || !(o->average >= 0 && o->average < 1) ||
        !(o->explode >= 0))
        TSR_FAIL(TSR_ECONFIG, "clip %g, skip_above %g, average %g, explode %g: out of range",
                 o->clip, o->skip_above, o->average, o->explode);
    for (size_t i = 0; i < mods->count; i++)
        if (!(o->weights[i] >= 0) || !isfinite(o->weights[i]))
            TSR_FAIL(TSR_ECONFIG, "modality %s: weight %g of its loss", mods->items[i].name,
                     o->weights[i]);
    return TSR_OK;
}

tsr_status tsr_fmtrain_create(tsr_fm *m, const tsr_fmtrain_options *o, tsr_fmtrain **out)
{
    tsr_fmtrain *t;
    TSR_TRY(check_options(m, o));
    TSR_TRY(tsr_alloc(&t, 1, sizeof *t));
    t->m = m;
    t->mods = &tsr_fm_get_config(m)->mods;
    t->o = *o;
    *out = t;
    return TSR_OK;
}

void tsr_fmtrain_destroy(tsr_fmtrain *t)
{
    if (!t)
        return;
    tsr_fmnet_destroy(t->net);
    tsr_fmnet_destroy(t->judge);
    tsr_free(t);
}

static tsr_status make_net(const tsr_fmtrain *t, tsr_fmnet_mode mode, tsr_fmnet **out)
{
    tsr_fmnet_spec s = {.mode = mode,
                        .loss = t->o.loss,
                        .precision = t->o.precision,
                        .samples = t->o.batch,
                        .weights = t->o.weights};
    TSR_TRY(tsr_mul_size(t->o.in_rows, t->o.batch, &s.in_rows));
    TSR_TRY(tsr_mul_size(t->o.out_rows, t->o.batch, &s.out_rows));
    for (size_t m = 0; m < t->mods->count; m++) {
        TSR_TRY(tsr_mul_size(t->o.in_of[m], t->o.batch, &s.in_of[m]));
        TSR_TRY(tsr_mul_size(t->o.out_of[m], t->o.batch, &s.out_of[m]));
    }
    return tsr_fmnet_create(t->m, &s, out);
}

static tsr_status need_net(tsr_fmtrain *t)
{
    if (!t->net)
        TSR_TRY(make_net(t, TSR_FMNET_TRAIN, &t->net));
    return tsr_params_need_grads(tsr_fm_params(t->m));
}

tsr_status tsr_fmtrain_plan(tsr_fmtrain *t, tsr_fmtrain_cost *out)
{
    tsr_plan p;
    const tsr_params *ps = tsr_fm_params(t->m);
    TSR_TRY(need_net(t));
    TSR_TRY(tsr_fmnet_plan(t->net, &p));
    size_t all = tsr_params_values(ps, 0), trained = tsr_params_values(ps, TSR_PARAM_TRAIN);
    size_t copies = t->o.average > 0 ? 2 : 1;
    *out = (tsr_fmtrain_cost){
        .weight_bytes = (copies * all + 3 * trained) * sizeof(float),
        .net_bytes = p.values_bytes + p.scratch_bytes + p.packed_bytes,
        .flops = (p.forward_flops + p.backward_flops) * (double)t->o.accumulate,
    };
    return TSR_OK;
}

/* --- looking at losses -------------------------------------------------------------------------
 */

double tsr_fmtrain_mean(const tsr_fmtrain_report *r, size_t m)
{
    return r->count[m] ? r->nll[m] / (double)r->count[m] : 0;
}

double tsr_fmtrain_mean_token(const tsr_fmtrain_report *r)
{
    double sum = 0;
    uint64_t n = 0;
    for (size_t m = 0; m < TSR_MODALITIES; m++) {
        sum += r->nll[m];
        n += r->count[m];
    }
    return n ? sum / (double)n : 0;
}

void tsr_fmtrain_add(tsr_fmtrain_report *a, const tsr_fmtrain_report *b)
{
    a->inputs += b->inputs;
    a->targets += b->targets;
    a->flops += b->flops;
    for (size_t m = 0; m < TSR_MODALITIES; m++) {
        a->nll[m] += b->nll[m];
        a->count[m] += b->count[m];
    }
}

/* Add the last run of a net to the report. */
static void collect(const tsr_fmtrain *t, const tsr_fmnet *net, tsr_fmtrain_report *r)
{
    for (size_t m = 0; m < t->mods->count; m++) {
        size_t rows = 0;
        double sum = 0;
        const float *nll = tsr_fmnet_nll(net, m, &rows);
        for (size_t i = 0; nll && i < rows; i++)
            sum += nll[i];
        r->nll[m] += sum;
        r->count[m] += rows;
    }
    r->flops += tsr_fmnet_flops(net);
}

static tsr_status fail_at_modality(const tsr_fmtrain *t, const tsr_fmtrain_report *r)
{
    for (size_t m = 0; m < t->mods->count; m++)
        if (!isfinite(r->nll[m]))
            TSR_FAIL(TSR_ENUMERIC, "step %llu: the loss of modality %s is not finite",
                     (unsigned long long)t->step, t->mods->items[m].name);
    TSR_FAIL(TSR_ENUMERIC, "step %llu: the loss is not finite", (unsigned long long)t->step);
}

/* The mean loss beside that of guessing evenly; the modality that is worst is named. */
static tsr_status check_explosion(const tsr_fmtrain *t, const tsr_fmtrain_report *r)
{
    double sum = 0, even = 0, worst = 0;
    size_t at = 0;
    for (size_t m = 0; m < t->mods->count; m++) {
        double e = log((double)t->mods->items[m].vocabulary) * (double)r->count[m];
        if (!r->count[m])
            continue;
        sum += r->nll[m];
        even += e;
        if (r->nll[m] > worst * e) {
            worst = r->nll[m] / (e > 0 ? e : 1);
            at = m;
        }
    }
    if (t->o.explode > 0 && even > 0 && sum > t->o.explode * even)
        TSR_FAIL(TSR_ENUMERIC,
                 "step %llu: the loss exploded: %.1f times that of guessing evenly, worst in "
                 "modality %s (%.3g nats a token)",
                 (unsigned long long)t->step, sum / even, t->mods->items[at].name,
                 tsr_fmtrain_mean(r, at));
    return TSR_OK;
}

static tsr_status check_loss(const tsr_fmtrain *t, const tsr_fmtrain_report *r)
{
    int finite = isfinite(r->loss);
    for (size_t m = 0; m < t->mods->count; m++)
        finite = finite && isfinite(r->nll[m]);
    if (!finite)
        return fail_at_modality(t, r);
    return check_explosion(t, r);
}

/* --- steps -------------------------------------------------------------------------------------
 */

static void count_rows(const tsr_example *const *examples, size_t n, tsr_fmtrain_report *r)
{
    for (size_t i = 0; i < n; i++) {
        r->inputs += tsr_example_inputs(examples[i]);
        r->targets += tsr_example_targets(examples[i]);
    }
}

static uint64_t targets_of(const tsr_example *const *examples, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += tsr_example_targets(examples[i]);
    return sum;
}

static tsr_status check_batch(const tsr_fmtrain *t, size_t count, size_t most)
{
    if (count == 0 || count > most)
        TSR_FAIL(TSR_EARG, "step %llu: a batch of %zu examples, 1 to %zu are expected",
                 (unsigned long long)t->step, count, most);
    return TSR_OK;
}

void tsr_fmtrain_drop(tsr_fmtrain *t)
{
    t->micro = 0;
}

/* Gradients of the micro-batches are added with weights that sum up to `share`; the update divides
 * by it. Full micro-batches have weight 1, for the sake of rounding. */
static tsr_status forward_backward(tsr_fmtrain *t, const tsr_example *const *examples, size_t count)
{
    double share = (double)count / (double)t->o.batch, full;
    if (t->o.loss == TSR_FM_LOSS_TOKEN) {
        full = (double)t->o.batch * (double)t->o.out_rows;
        share = full > 0 ? (double)targets_of(examples, count) / full : 0;
    }
    TSR_TRY(need_net(t));
    if (t->micro == 0) {
        if (!t->cleared)
            tsr_params_zero_grads(tsr_fm_params(t->m));
        t->share = 0;
        t->pending = (tsr_fmtrain_report){.step = t->step};
    }
    t->cleared = 0;
    count_rows(examples, count, &t->pending);
    TSR_TRY(tsr_fmnet_run(t->net, examples, count, share));
    t->share += share;
    t->pending.loss += share > 0 ? share * tsr_fmnet_loss(t->net) : 0;
    collect(t, t->net, &t->pending);
    return TSR_OK;
}

tsr_status tsr_fmtrain_micro(tsr_fmtrain *t, const tsr_example *const *examples, size_t count)
{
    TSR_TRY(check_batch(t, count, t->o.batch));
    if (t->micro == t->o.accumulate)
        TSR_FAIL(TSR_EARG, "step %llu: more than %zu micro-batches", (unsigned long long)t->step,
                 t->o.accumulate);
    tsr_status st = forward_backward(t, examples, count);
    t->micro = st == TSR_OK ? t->micro + 1 : 0;
    return st;
}

/* Whether a failure lets the run go on without this update. */
static int may_skip(const tsr_fmtrain *t, tsr_status st)
{
    return st == TSR_ENUMERIC && t->o.skip_bad && t->skipped < MAX_SKIPPED;
}

static tsr_status learn(tsr_fmtrain *t, tsr_fmtrain_report *r)
{
    tsr_params *ps = tsr_fm_params(t->m);
    tsr_adamw opt = t->o.adamw;
    double factor = t->share > 0 ? 1 / t->share : 0;
    tsr_status st = tsr_grad_norm(ps, &r->grad_norm);
    if (st != TSR_OK)
        return tsr_context(st, "step %llu", (unsigned long long)t->step);
    r->grad_norm *= factor;
    if (t->o.skip_above > 0 && r->grad_norm > t->o.skip_above) {
        r->skipped = 1;
        return TSR_OK;
    }
    opt.lr = r->rate;
    opt.clear_grads = 1;
    TSR_TRY(
        tsr_adamw_step(ps, &opt, t->step + 1, factor * tsr_clip_factor(r->grad_norm, t->o.clip)));
    t->cleared = 1;
    return TSR_OK;
}

static tsr_status update(tsr_fmtrain *t, tsr_fmtrain_report *r)
{
    if (t->o.average > 0)
        TSR_TRY(tsr_params_need_averages(tsr_fm_params(t->m)));
    tsr_status st = check_loss(t, r);
    if (st == TSR_OK)
        st = learn(t, r);
    if (may_skip(t, st)) {
        r->skipped = 1;
        r->grad_norm = NAN;
        st = TSR_OK;
    }
    TSR_TRY(st);
    t->skipped = r->skipped ? t->skipped + 1 : 0;
    return t->o.average > 0 ? tsr_params_average(tsr_fm_params(t->m), t->o.average) : TSR_OK;
}

tsr_status tsr_fmtrain_update(tsr_fmtrain *t, tsr_fmtrain_report *r)
{
    tsr_fmtrain_report report = t->pending;
    if (t->micro == 0)
        TSR_FAIL(TSR_EARG, "step %llu: an update without a batch", (unsigned long long)t->step);
    report.rate = tsr_schedule_at(&t->o.rate, t->step);
    report.loss = t->share > 0 ? report.loss / t->share : 0;
    t->micro = 0;
    TSR_TRY(update(t, &report));
    t->step++;
    *r = report;
    return TSR_OK;
}

tsr_status tsr_fmtrain_step(tsr_fmtrain *t, const tsr_example *const *examples, size_t count,
                            tsr_fmtrain_report *r)
{
    TSR_TRY(check_batch(t, count, t->o.batch * t->o.accumulate));
    tsr_fmtrain_drop(t);
    for (size_t at = 0; at < count; at += t->o.batch)
        TSR_TRY(
            tsr_fmtrain_micro(t, examples + at, count - at < t->o.batch ? count - at : t->o.batch));
    return tsr_fmtrain_update(t, r);
}

tsr_status tsr_fmtrain_evaluate(tsr_fmtrain *t, const tsr_example *const *examples, size_t count,
                                tsr_fmtrain_report *r)
{
    tsr_fmtrain_report report = {.step = t->step};
    TSR_TRY(check_batch(t, count, t->o.batch));
    if (!t->judge)
        TSR_TRY(make_net(t, TSR_FMNET_LOSS, &t->judge));
    count_rows(examples, count, &report);
    TSR_TRY(tsr_fmnet_run(t->judge, examples, count, 1));
    report.loss = tsr_fmnet_loss(t->judge);
    collect(t, t->judge, &report);
    *r = report;
    return TSR_OK;
}

void tsr_fmtrain_swap(tsr_fmtrain *t)
{
    tsr_params *ps = tsr_fm_params(t->m);
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        for (size_t k = 0; p->average && k < p->count; k++) {
            float v = p->value[k];
            p->value[k] = p->average[k];
            p->average[k] = v;
        }
        if (p->average)
            tsr_param_touch(p);
    }
}

uint64_t tsr_fmtrain_steps(const tsr_fmtrain *t)
{
    return t->step;
}

/* --- saving ------------------------------------------------------------------------------------
 */

tsr_status tsr_fmtrain_save(const tsr_fmtrain *t, const char *path, const json_t *state)
{
    tsr_status st = TSR_OK;
    json_t *all = json_object();
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_GO(tsr_json_set(all, "skipped", json_integer((json_int_t)t->skipped)));
    TSR_GO(tsr_json_set(all, "state", state ? json_incref((json_t *)state) : json_null()));
    TSR_GO(tsr_checkpoint_save(tsr_fm_params(t->m), path, t->step, all));
out:
    json_decref(all);
    return st;
}

tsr_status tsr_fmtrain_restore(tsr_fmtrain *t, const char *path, json_t **state)
{
    tsr_status st = TSR_OK;
    uint64_t step;
    long long skipped;
    json_t *all;
    TSR_TRY(tsr_checkpoint_restore(tsr_fm_params(t->m), path, &step, &all));
    TSR_GO(tsr_json_int(all, "skipped", path, &skipped));
    t->step = step;
    t->skipped = (uint64_t)skipped;
    if (state) {
        json_t *theirs = json_object_get(all, "state");
        *state = theirs ? json_incref(theirs) : json_null();
    }
out:
    json_decref(all);
    return st;
}

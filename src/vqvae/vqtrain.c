/* SPDX-License-Identifier: Apache-2.0
 * Training a VQ-VAE. Encoder and decoder are two graphs, and the quantizer stands between them as
 * plain code:
 *
 *   z = encoder(x)         q = quantize(z)         loss = L(decoder(q), target)
 *   g = quantizer's gradient from d loss / d q (straight-through, commitment)
 *   encoder backward from sum(z g), whose gradient at z is g */
#include "vqvae/vqtrain.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "nn/checkpoint.h"
#include "nn/layers.h"
#include "nn/ops.h"
#include "vqvae/vqvae_model.h"

#include <math.h>
#include <string.h>

struct tsr_vqtrain {
    tsr_vqvae *m;
    tsr_vqtrain_options o;
    size_t rows, columns; /* token grid of one sample */
    size_t latents;       /* batch * rows * columns */
    uint64_t step;
    int cleared; /* gradients are zero: the last step left them so */
    tsr_graph *enc, *dec;
    tsr_exec *run_enc, *run_dec; /* made by the first step */
    tsr_value in, z, gz;
    tsr_value vectors, dvectors, target, mask, loss;
    tsr_plan need_enc, need_dec;
    float *scratch;   /* [latents, Z] */
    uint8_t *valid;   /* [latents] */
    int32_t *ids;     /* [heads, latents] */
    uint64_t *usage;  /* [heads * codes] */
    uint64_t *counts; /* [codes] of one head, of one batch */
};

/* --- options -----------------------------------------------------------------------------------
 */

tsr_status tsr_vq_loss_parse(const char *name, tsr_vq_loss *out)
{
    static const char *const names[] = {"mse", "l1", "smooth_l1", "cross_entropy"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (tsr_vq_loss)i;
            return TSR_OK;
        }
    }
    TSR_FAIL(TSR_ECONFIG, "loss \"%.64s\" is not known: mse, l1, smooth_l1, cross_entropy", name);
}

tsr_vqtrain_options tsr_vqtrain_defaults(void)
{
    return (tsr_vqtrain_options){
        .batch = 16,
        .loss = TSR_VQ_MSE,
        .precision = tsr_precision_default(),
        .rate = {.kind = TSR_SCHEDULE_COSINE, .peak = 1e-4, .warmup = 50, .total = 1000},
        .adamw = tsr_adamw_defaults(),
        .clip = 1,
        .dead_code_coef = 32,
    };
}

static tsr_status check_options(const tsr_vqvae *m, const tsr_vqtrain_options *o)
{
    int labels = m->info.labels > 0;
    TSR_TRY(tsr_schedule_check(&o->rate));
    if (o->batch < 1 || o->batch > 65536)
        TSR_FAIL(TSR_ECONFIG, "a batch of %zu samples", o->batch);
    if (labels != (o->loss == TSR_VQ_CROSS_ENTROPY))
        TSR_FAIL(TSR_ECONFIG, "the loss of %s must %sbe cross_entropy",
                 labels ? "a label model" : "a model of pixels", labels ? "" : "not ");
    if (!(o->clip >= 0) || !(o->average >= 0 && o->average < 1) || !(o->dead_code_coef >= 0))
        TSR_FAIL(TSR_ECONFIG, "clip %g, average %g, dead_code_coef %g: out of range", o->clip,
                 o->average, o->dead_code_coef);
    if (!m->info.has_decoder)
        TSR_FAIL(TSR_ECONFIG, "a model without decoder cannot be trained");
    if (strcmp(m->config.code_replacement_policy, "batch_random") != 0)
        TSR_FAIL(TSR_ECONFIG, "code_replacement_policy \"%s\" is not known: batch_random",
                 m->config.code_replacement_policy);
    if (o->quantize_after > 0 && (!m->q->kind->can_bypass || o->freeze_encoder))
        TSR_FAIL(TSR_ECONFIG, "quantizer \"%s\"%s quantizes from the first step; quantize_after "
                              "must be 0",
                 m->q->kind->name, o->freeze_encoder ? " behind a frozen encoder" : "");
    if (m->info.patch != m->info.patch_dec)
        TSR_FAIL(TSR_ECONFIG, "encoder patch %zu and decoder patch %zu must agree for training",
                 m->info.patch, m->info.patch_dec);
    return TSR_OK;
}

/* --- graphs ------------------------------------------------------------------------------------
 */

static tsr_status build_encoder(tsr_vqtrain *t)
{
    const tsr_vqtrain_options *o = &t->o;
    TSR_TRY(tsr_graph_create(t->m->ps, o->precision, &t->enc));
    tsr_graph *g = t->enc;
    t->in = tsr_vqvae_graph_input(g, t->m, o->batch, o->height, o->width);
    t->z = tsr_vqvae_encoder_graph(g, t->m, t->in, o->height, o->width);
    tsr_graph_output(g, t->z);
    t->gz = TSR_NONE;
    if (!o->freeze_encoder) {
        size_t n = t->latents * t->m->info.code_width;
        const size_t like_z[] = {o->batch, t->rows * t->columns, t->m->info.code_width};
        const size_t column[] = {n, 1}, one[] = {1};
        t->gz = tsr_input(g, "gradient of latents", TSR_F32, 3, like_z);
        tsr_value product = tsr_reshape(g, tsr_mul(g, t->z, t->gz), 2, column);
        tsr_graph_backward(g, tsr_sum_leading(g, product, 1, one));
    }
    return tsr_graph_plan(g, &t->need_enc);
}

/* Labels: logits [B, V, H, W] against ids [B * H * W]. */
static tsr_value label_loss(tsr_vqtrain *t, tsr_value logits)
{
    tsr_graph *g = t->dec;
    size_t pixels = t->o.batch * t->o.height * t->o.width;
    const size_t rows[] = {pixels, t->m->info.labels};
    t->target = tsr_input(g, "labels", TSR_I32, 1, &pixels);
    t->mask = tsr_input(g, "valid", TSR_F32, 1, &pixels);
    logits = tsr_reshape(g, tsr_patchify(g, logits, 1), 2, rows);
    return tsr_softmax_cross_entropy(g, logits, t->target, t->mask);
}

static tsr_value pixel_loss(tsr_vqtrain *t, tsr_value out)
{
    tsr_graph *g = t->dec;
    const tsr_vqtrain_options *o = &t->o;
    const size_t all[] = {o->batch, t->m->info.out_channels, o->height, o->width};
    const size_t plane[] = {o->batch, 1, o->height, o->width};
    t->target = tsr_input(g, "target", TSR_F32, 4, all);
    t->mask = tsr_input(g, "valid", TSR_F32, 4, plane);
    if (o->loss == TSR_VQ_L1)
        return tsr_l1(g, out, t->target, t->mask);
    if (o->loss == TSR_VQ_SMOOTH_L1)
        return tsr_smooth_l1(g, out, t->target, t->mask, 1);
    return tsr_mse(g, out, t->target, t->mask);
}

static tsr_status build_decoder(tsr_vqtrain *t)
{
    TSR_TRY(tsr_graph_create(t->m->ps, t->o.precision, &t->dec));
    tsr_graph *g = t->dec;
    const size_t shape[] = {t->o.batch, t->rows * t->columns, t->m->info.code_width};
    t->vectors = tsr_input(g, "code vectors", TSR_F32, 3, shape);
    tsr_graph_want_grad(g, t->vectors);
    tsr_value out = tsr_vqvae_decoder_graph(g, t->m, t->vectors, t->rows, t->columns);
    tsr_graph_label(g, "loss");
    t->loss = t->m->info.labels ? label_loss(t, out) : pixel_loss(t, out);
    tsr_graph_output(g, t->loss);
    tsr_graph_backward(g, t->loss);
    t->dvectors = tsr_graph_grad(g, t->vectors);
    tsr_graph_output(g, t->dvectors);
    return tsr_graph_plan(g, &t->need_dec);
}

/* Everything but the decoder keeps its values. */
static void freeze(tsr_params *ps)
{
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        if (!tsr_starts_with(p->name, "decoder.") && !tsr_starts_with(p->name, "post_quant_proj."))
            p->flags &= ~(unsigned)TSR_PARAM_TRAIN;
    }
}

static tsr_status allocate(tsr_vqtrain *t)
{
    size_t width = t->m->info.code_width, heads = t->m->info.heads, codes = t->m->info.codes;
    TSR_TRY(tsr_alloc(&t->scratch, t->latents * width, sizeof *t->scratch));
    TSR_TRY(tsr_alloc(&t->valid, t->latents, sizeof *t->valid));
    TSR_TRY(tsr_alloc(&t->ids, t->latents * heads, sizeof *t->ids));
    TSR_TRY(tsr_alloc(&t->usage, heads * codes, sizeof *t->usage));
    TSR_TRY(tsr_alloc(&t->counts, codes, sizeof *t->counts));
    return tsr_params_need_grads(t->m->ps);
}

tsr_status tsr_vqtrain_create(tsr_vqvae *m, const tsr_vqtrain_options *o, tsr_vqtrain **out)
{
    tsr_status st = TSR_OK;
    tsr_vqtrain *t;
    TSR_TRY(check_options(m, o));
    TSR_TRY(tsr_alloc(&t, 1, sizeof *t));
    t->m = m;
    t->o = *o;
    TSR_GO(tsr_vqvae_settle_size(m, &t->o.height, &t->o.width));
    t->rows = t->o.height / m->info.patch;
    t->columns = t->o.width / m->info.patch;
    t->latents = o->batch * t->rows * t->columns;
    if (o->freeze_encoder)
        freeze(m->ps);
    if (o->dead_code_coef > 0)
        m->config.threshold_ema_dead_code =
            (double)t->latents / (double)m->info.codes / o->dead_code_coef;
    TSR_GO(allocate(t));
    TSR_GO(build_encoder(t));
    TSR_GO(build_decoder(t));
    *out = t;
    t = NULL;
out:
    tsr_vqtrain_destroy(t);
    return st;
}

void tsr_vqtrain_destroy(tsr_vqtrain *t)
{
    if (!t)
        return;
    tsr_exec_destroy(t->run_enc);
    tsr_exec_destroy(t->run_dec);
    tsr_graph_destroy(t->enc);
    tsr_graph_destroy(t->dec);
    tsr_free(t->scratch);
    tsr_free(t->valid);
    tsr_free(t->ids);
    tsr_free(t->usage);
    tsr_free(t->counts);
    tsr_free(t);
}

static size_t needs(const tsr_plan *p)
{
    return p->values_bytes + p->packed_bytes + (size_t)tsr_par_threads() * p->scratch_bytes;
}

tsr_status tsr_vqtrain_bytes(const tsr_vqtrain *t, size_t *bytes)
{
    /* Values, gradients, two moments, and averages where they are kept. */
    size_t copies = t->o.average > 0 ? 5 : 4;
    size_t weights = tsr_params_values(t->m->ps, 0) * sizeof(float) * copies;
    return tsr_add_size(needs(&t->need_enc) + needs(&t->need_dec), weights, bytes);
}

/* --- a batch -----------------------------------------------------------------------------------
 */

static tsr_status check_batch(const tsr_vqtrain *t, const tsr_vqtrain_batch *b)
{
    int labels = t->m->info.labels > 0;
    if (b->count < 1 || b->count > t->o.batch)
        TSR_FAIL(TSR_EARG, "a batch of %zu samples; from 1 to %zu are possible", b->count,
                 t->o.batch);
    if (labels ? !b->labels : !b->pixels)
        TSR_FAIL(TSR_EARG, "this model takes %s", labels ? "labels" : "pixels");
    if (labels)
        return tsr_vqvae_check_labels(t->m, b->labels, b->count * t->o.height * t->o.width);
    return TSR_OK;
}

/* Copy what is there, clear the rest of the full batch. */
static void fill(void *to, const void *from, size_t have_bytes, size_t all_bytes)
{
    memcpy(to, from, have_bytes);
    memset((char *)to + have_bytes, 0, all_bytes - have_bytes);
}

static void fill_masks(tsr_vqtrain *t, const tsr_vqtrain_batch *b)
{
    float *mask = tsr_exec_input(t->run_dec, t->mask);
    size_t h = t->o.height, w = t->o.width, patch = t->m->info.patch;
    memset(t->valid, 0, t->latents);
    for (size_t n = 0; n < t->o.batch; n++) {
        for (size_t i = 0; i < h * w; i++) {
            int good = n < b->count && (!b->valid || b->valid[n * h * w + i]);
            size_t cell = i / w / patch * t->columns + i % w / patch;
            mask[n * h * w + i] = good ? 1 : 0;
            if (good)
                t->valid[n * t->rows * t->columns + cell] = 1;
        }
    }
}

static void fill_inputs(tsr_vqtrain *t, const tsr_vqtrain_batch *b)
{
    const tsr_vqvae_info *info = &t->m->info;
    size_t pixels = t->o.height * t->o.width;
    int labels = info->labels > 0;
    size_t in = (labels ? 1 : info->in_channels) * pixels * 4; /* float and int32 alike */
    size_t out = (labels ? 1 : info->out_channels) * pixels * 4;
    const void *from = labels ? (const void *)b->labels : (const void *)b->pixels;
    const void *target = !labels && b->targets ? (const void *)b->targets : from;
    fill(tsr_exec_input(t->run_enc, t->in), from, b->count * in, t->o.batch * in);
    fill(tsr_exec_input(t->run_dec, t->target), target, b->count * out, t->o.batch * out);
    fill_masks(t, b);
}

static tsr_status need_executors(tsr_vqtrain *t)
{
    if (!t->run_enc)
        TSR_TRY(tsr_exec_create(t->enc, &t->run_enc));
    if (!t->run_dec)
        TSR_TRY(tsr_exec_create(t->dec, &t->run_dec));
    return TSR_OK;
}

/* Encoder forward; *z is its output, checked. */
static tsr_status run_encoder(tsr_vqtrain *t, const tsr_vqtrain_batch *b, const float **z)
{
    TSR_TRY(check_batch(t, b));
    TSR_TRY(need_executors(t));
    fill_inputs(t, b);
    TSR_TRY(tsr_exec_forward(t->run_enc));
    *z = tsr_exec_value(t->run_enc, t->z);
    if (!tsr_all_finite(*z, t->latents * t->m->info.code_width))
        TSR_FAIL(TSR_ENUMERIC, "step %llu: latents are not finite", (unsigned long long)t->step);
    return TSR_OK;
}

/* --- code use ----------------------------------------------------------------------------------
 */

/* Entropy in nats of head h over the valid latents; adds to *used, and to the usage when asked. */
static double count_head(tsr_vqtrain *t, size_t h, int keep, size_t *used)
{
    size_t codes = t->m->info.codes, n = 0;
    double entropy = 0;
    memset(t->counts, 0, codes * sizeof *t->counts);
    for (size_t i = 0; i < t->latents; i++) {
        if (!t->valid[i])
            continue;
        t->counts[t->ids[h * t->latents + i]]++;
        n++;
    }
    for (size_t k = 0; k < codes; k++) {
        double p = n ? (double)t->counts[k] / (double)n : 0;
        if (p > 0) {
            entropy -= p * log(p);
            ++*used;
        }
        if (keep)
            t->usage[h * codes + k] += t->counts[k];
    }
    return entropy;
}

static void report_codes(tsr_vqtrain *t, int keep, tsr_vqtrain_report *r)
{
    size_t heads = t->m->info.heads;
    for (size_t h = 0; h < heads; h++)
        r->perplexity += exp(count_head(t, h, keep, &r->codes_used)) / (double)heads;
}

const uint64_t *tsr_vqtrain_usage(tsr_vqtrain *t, int reset)
{
    if (reset)
        memset(t->usage, 0, t->m->info.heads * t->m->info.codes * sizeof *t->usage);
    return t->usage;
}

/* --- steps -------------------------------------------------------------------------------------
 */

static tsr_status check_loss(const tsr_vqtrain *t, tsr_vqtrain_report *r)
{
    r->reconstruction = (double)*(const float *)tsr_exec_value(t->run_dec, t->loss);
    r->loss = r->reconstruction + r->commitment;
    if (!isfinite(r->loss))
        TSR_FAIL(TSR_ENUMERIC, "step %llu: the loss is not finite", (unsigned long long)t->step);
    return TSR_OK;
}

/* Quantize, decode, and all gradients. */
static tsr_status forward_backward(tsr_vqtrain *t, tsr_quant_step *s, tsr_vqtrain_report *r)
{
    const tsr_quantizer_kind *kind = t->m->q->kind;
    size_t n = t->latents * t->m->info.code_width;
    if (!t->cleared)
        tsr_params_zero_grads(t->m->ps);
    t->cleared = 0;
    if (t->o.freeze_encoder) {
        TSR_TRY(kind->encode(t->m->q, s->z, s->rows, s->scratch, s->ids));
        kind->decode(t->m->q, s->ids, s->rows, s->out);
    } else {
        TSR_TRY(kind->forward(t->m->q, s));
    }
    r->commitment = s->commitment;
    TSR_TRY(tsr_exec_run(t->run_dec));
    TSR_TRY(check_loss(t, r));
    if (t->o.freeze_encoder)
        return TSR_OK;
    s->dout = tsr_exec_value(t->run_dec, t->dvectors);
    s->dz = tsr_exec_input(t->run_enc, t->gz);
    if (!s->dout) /* nothing of the loss reaches the codes */
        TSR_FAIL(TSR_EARG, "the decoder gives no gradient of its input");
    TSR_TRY(kind->backward(t->m->q, s));
    if (!tsr_all_finite(s->dz, n))
        TSR_FAIL(TSR_ENUMERIC, "step %llu: the gradient of the latents is not finite",
                 (unsigned long long)t->step);
    return tsr_exec_backward(t->run_enc);
}

static tsr_status learn(tsr_vqtrain *t, tsr_quant_step *s, tsr_vqtrain_report *r)
{
    tsr_adamw opt = t->o.adamw;
    TSR_TRY(tsr_grad_norm(t->m->ps, &r->grad_norm));
    if (!t->o.freeze_encoder && !s->bypass) {
        TSR_TRY(t->m->q->kind->update(t->m->q, s));
        r->revived = s->revived;
    }
    opt.lr = r->rate = tsr_schedule_at(&t->o.rate, t->step);
    opt.clear_grads = 1;
    TSR_TRY(tsr_adamw_step(t->m->ps, &opt, t->step + 1, tsr_clip_factor(r->grad_norm, t->o.clip)));
    t->cleared = 1;
    if (t->o.average > 0)
        TSR_TRY(tsr_params_average(t->m->ps, t->o.average));
    return t->m->q->kind->refresh(t->m->q);
}

tsr_status tsr_vqtrain_step(tsr_vqtrain *t, const tsr_vqtrain_batch *b, tsr_vqtrain_report *r)
{
    tsr_vqtrain_report report = {.step = t->step};
    tsr_quant_step s = {.rows = t->latents,
                        .valid = t->valid,
                        .scratch = t->scratch,
                        .seed = t->o.seed,
                        .step = t->step,
                        .ids = t->ids,
                        .bypass = t->step < t->o.quantize_after,
                        .dead_below = t->m->config.threshold_ema_dead_code};
    TSR_TRY(run_encoder(t, b, &s.z));
    s.out = tsr_exec_input(t->run_dec, t->vectors);
    if (t->o.average > 0)
        TSR_TRY(tsr_params_need_averages(t->m->ps));
    TSR_TRY(forward_backward(t, &s, &report));
    TSR_TRY(learn(t, &s, &report));
    if (!s.bypass)
        report_codes(t, 1, &report);
    t->step++;
    *r = report;
    return TSR_OK;
}

tsr_status tsr_vqtrain_evaluate(tsr_vqtrain *t, const tsr_vqtrain_batch *b, tsr_vqtrain_report *r)
{
    const tsr_quantizer *q = t->m->q;
    tsr_vqtrain_report report = {.step = t->step};
    const float *z;
    TSR_TRY(run_encoder(t, b, &z));
    TSR_TRY(q->kind->encode(q, z, t->latents, t->scratch, t->ids));
    q->kind->decode(q, t->ids, t->latents, tsr_exec_input(t->run_dec, t->vectors));
    TSR_TRY(tsr_exec_forward(t->run_dec));
    TSR_TRY(check_loss(t, &report));
    report_codes(t, 0, &report);
    *r = report;
    return TSR_OK;
}

uint64_t tsr_vqtrain_steps(const tsr_vqtrain *t)
{
    return t->step;
}

/* --- saving ------------------------------------------------------------------------------------
 */

static tsr_status usage_json(const tsr_vqtrain *t, json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *list = json_array();
    if (!list)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    for (size_t i = 0; i < t->m->info.heads * t->m->info.codes; i++)
        TSR_GO(tsr_json_append(list, json_integer((json_int_t)t->usage[i])));
    *out = list;
    list = NULL;
out:
    json_decref(list);
    return st;
}

tsr_status tsr_vqtrain_save(const tsr_vqtrain *t, const char *path, const json_t *state)
{
    tsr_status st = TSR_OK;
    json_t *all = json_object(), *usage = NULL;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_GO(usage_json(t, &usage));
    TSR_GO(tsr_json_set(all, "usage", usage));
    TSR_GO(tsr_json_set(all, "state", state ? json_incref((json_t *)state) : json_null()));
    TSR_GO(tsr_checkpoint_save(t->m->ps, path, t->step, all));
out:
    json_decref(all);
    return st;
}

tsr_status tsr_vqtrain_restore(tsr_vqtrain *t, const char *path, json_t **state)
{
    tsr_status st = TSR_OK;
    size_t n = t->m->info.heads * t->m->info.codes;
    uint64_t step;
    json_t *all;
    const json_t *usage;
    TSR_TRY(tsr_checkpoint_restore(t->m->ps, path, &step, &all));
    TSR_GO(tsr_json_member(all, "usage", path, JSON_ARRAY, &usage));
    if (json_array_size(usage) != n)
        TSR_GOFAIL(TSR_EMISMATCH, "%s: counts %zu codes, the model has %zu", path,
                   json_array_size(usage), n);
    for (size_t i = 0; i < n; i++)
        t->usage[i] = (uint64_t)json_integer_value(json_array_get(usage, i));
    t->step = step;
    TSR_GO(t->m->q->kind->refresh(t->m->q));
    if (state) {
        json_t *theirs = json_object_get(all, "state");
        *state = theirs ? json_incref(theirs) : json_null();
    }
out:
    json_decref(all);
    return st;
}

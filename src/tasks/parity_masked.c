/* SPDX-License-Identifier: Apache-2.0
 * Parity of masked models: packing, states, logits, losses, gradients. */
#include "base/mem.h"
#include "tasks/parity_work.h"
#include "trainer/fmnet_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct bench {
    tsr_parity *p;
    const tsr_parity_spec *spec;
    const tsr_safetensors *io;
    tsr_fm *m;
    const tsr_fm_config *c;
    tsr_parity_batch batch;
    tsr_fmnet *net;
} bench;

/* --- running it --- */

static tsr_status run(bench *b, tsr_fmnet_mode mode)
{
    const tsr_parity_batch *batch = &b->batch;
    tsr_fmnet_spec s = {
        .mode = mode, .precision = b->spec->precision, .samples = batch->samples, .keep_states = 1};
    for (size_t n = 0; n < batch->samples; n++)
        for (size_t m = 0; m < batch->mods->count; m++) {
            s.in_of[m] += batch->items[n].in[m].count;
            s.out_of[m] += batch->items[n].out[m].count;
            s.in_rows += batch->items[n].in[m].count;
            s.out_rows += batch->items[n].out[m].count;
        }
    tsr_fmnet_destroy(b->net);
    b->net = NULL;
    TSR_TRY(tsr_fmnet_create(b->m, &s, &b->net));
    TSR_TRY(tsr_fmnet_load(b->net, batch->list, batch->samples, 1.0));
    for (size_t m = 0; m < batch->mods->count; m++)
        if (batch->pixel_rows[m])
            memcpy(tsr_exec_input(b->net->x, b->net->in[m].patches), batch->pixels[m],
                   batch->pixel_rows[m] * batch->mods->items[m].patch_values * sizeof(float));
    return tsr_fmnet_execute(b->net);
}

/* --- packing --- */

/* What a slot holds by our account. `which`: the last part of the tensor's name. */
typedef enum field { FIELD_MASK, FIELD_MOD, FIELD_LABEL } field;

static int64_t expected(const bench *b, size_t sample, int target, size_t slot, field f)
{
    size_t m, r;
    int there = tsr_parity_slot(&b->batch, sample, target, slot, &m, &r);
    if (f == FIELD_MASK)
        return !there;
    if (f == FIELD_MOD)
        return there ? b->batch.ids[m] : -1;
    return there ? b->batch.items[sample].out[m].labels[r] : 0;
}

/* Slot i of the decoder may not look at slot j: another modality, or a text's later token. */
static int barred(const bench *b, size_t sample, size_t i, size_t j)
{
    size_t mi, ri, mj, rj;
    if (!tsr_parity_slot(&b->batch, sample, 1, i, &mi, &ri) ||
        !tsr_parity_slot(&b->batch, sample, 1, j, &mj, &rj))
        return 1;
    return mi != mj || (b->batch.mods->items[mi].cls == TSR_CLASS_SEQUENCE && rj > ri);
}

static tsr_status attention(bench *b, const tsr_stored *t)
{
    tsr_parity_line line = {.name = (char *)(uintptr_t)t->name};
    size_t slots = t->shape[1];
    if (t->ndim != 3 || t->shape[2] != slots)
        return tsr_parity_add_missing(b->p, t->name, "is not [samples, slots, slots]");
    for (size_t n = 0; n < b->batch.samples; n++) {
        size_t rows = tsr_parity_rows(&b->batch, n, 1);
        for (size_t i = 0; i < rows && i < slots; i++)
            for (size_t j = 0; j < slots; j++) {
                int ours = barred(b, n, i, j);
                line.equal += ours == (tsr_parity_whole_at(t, (n * slots + i) * slots + j) != 0);
                line.count++;
            }
    }
    line.clear = line.count - line.equal;
    return tsr_parity_add_whole(b->p, &line, 0.0);
}

/* All modalities that have rows on a side have a number. */
static int numbered(const bench *b, int target)
{
    for (size_t n = 0; n < b->batch.samples; n++)
        for (size_t m = 0; m < b->batch.mods->count; m++) {
            const tsr_example *e = &b->batch.items[n];
            if ((target ? e->out : e->in)[m].count && b->batch.ids[m] < 0)
                return 0;
        }
    return 1;
}

static tsr_status packed(bench *b, const tsr_stored *t, const char *rest)
{
    static const struct {
        const char *name;
        int target;
        field field;
    } known[] = {{"encoder_mask", 0, FIELD_MASK},
                 {"encoder_mod", 0, FIELD_MOD},
                 {"decoder_mask", 1, FIELD_MASK},
                 {"decoder_mod", 1, FIELD_MOD},
                 {"target_ids", 1, FIELD_LABEL}};
    tsr_parity_line line = {.name = (char *)(uintptr_t)t->name, .count = t->count};
    size_t k = 0, n = sizeof known / sizeof known[0];
    if (t->ndim < 2 || t->shape[0] != b->batch.samples || !tsr_parity_is_whole(t))
        return tsr_parity_add_missing(b->p, t->name, "is not [%zu samples, slots] of whole numbers",
                                      b->batch.samples);
    if (strcmp(rest, "decoder_attention_mask") == 0)
        return attention(b, t);
    while (k < n && strcmp(known[k].name, rest) != 0)
        k++;
    if (k == n || t->ndim != 2)
        return tsr_parity_add_missing(b->p, t->name, "no such part of a packed batch is known");
    if (known[k].field == FIELD_MOD && !numbered(b, known[k].target))
        return tsr_parity_add_missing(b->p, t->name,
                                      "metadata modality_ids does not have them all");
    for (size_t i = 0; i < t->count; i++) {
        size_t sample = i / t->shape[1], slot = i % t->shape[1];
        line.equal +=
            expected(b, sample, known[k].target, slot, known[k].field) == tsr_parity_whole_at(t, i);
    }
    line.clear = line.count - line.equal;
    return tsr_parity_add_whole(b->p, &line, 0.0);
}

/* --- states and logits --- */

/* Stored rows of slots beside rows of ours that `ours_at` finds. */
typedef struct gather {
    const tsr_stored *t;
    const float *ours;
    size_t rows; /* of ours */
    int target;
    size_t front;  /* slots and rows of registers before each sample's */
    long modality; /* only its slots, in rows of its own; -1: all */
} gather;

/* First row of ours of one sample, or of modality m of it. */
static size_t first_row(const bench *b, const gather *g, size_t sample, size_t m)
{
    size_t at = 0;
    for (size_t n = 0; n < sample; n++)
        at += g->modality < 0 ? g->front + tsr_parity_rows(&b->batch, n, g->target)
                              : b->batch.items[n].out[m].count;
    if (g->modality >= 0)
        return at;
    const tsr_example *e = &b->batch.items[sample];
    for (size_t k = 0; k < m; k++)
        at += (g->target ? e->out : e->in)[k].count;
    return at + g->front;
}

static tsr_status pick(const bench *b, const gather *g, const float *all, float *want, float *ours)
{
    size_t width = g->t->shape[2], slots = g->t->shape[1], count = 0, m, r;
    for (size_t n = 0; n < b->batch.samples; n++)
        for (size_t slot = 0; slot < slots; slot++) {
            size_t row;
            if (slot < g->front)
                row = first_row(b, g, n, 0) - g->front + slot;
            else if (!tsr_parity_slot(&b->batch, n, g->target, slot - g->front, &m, &r) ||
                     (g->modality >= 0 && m != (size_t)g->modality))
                continue;
            else
                row = first_row(b, g, n, m) + r;
            if (row >= g->rows)
                TSR_FAIL(TSR_EMISMATCH, "'%s' has other rows than ours", g->t->name);
            memcpy(want + count * width, all + (n * slots + slot) * width, width * sizeof *want);
            memcpy(ours + count * width, g->ours + row * width, width * sizeof *ours);
            count++;
        }
    const tsr_parity_pair pair = {.name = g->t->name,
                                  .ours = ours,
                                  .want = want,
                                  .count = count * width,
                                  .tolerance = b->spec->tolerance};
    return tsr_parity_add_floats(b->p, &pair);
}

static tsr_status gathered(const bench *b, const gather *g, size_t width)
{
    const tsr_stored *t = g->t;
    float *all = NULL, *want = NULL, *ours = NULL;
    tsr_status st = TSR_OK;
    if (t->ndim != 3 || t->shape[0] != b->batch.samples || t->shape[2] != width)
        return tsr_parity_add_missing(b->p, t->name, "is not [%zu samples, slots, %zu]",
                                      b->batch.samples, width);
    for (size_t n = 0; n < b->batch.samples; n++)
        if (t->shape[1] < g->front + tsr_parity_rows(&b->batch, n, g->target))
            return tsr_parity_add_missing(b->p, t->name, "%zu slots, sample %zu has %zu rows",
                                          t->shape[1], n,
                                          g->front + tsr_parity_rows(&b->batch, n, g->target));
    if (tsr_parity_values(t, &all) != TSR_OK)
        return tsr_parity_add_missing(b->p, t->name, "%s", tsr_error());
    TSR_GO(tsr_alloc(&want, t->count, sizeof *want));
    TSR_GO(tsr_alloc(&ours, t->count, sizeof *ours));
    TSR_GO(pick(b, g, all, want, ours));
out:
    tsr_free(all);
    tsr_free(want);
    tsr_free(ours);
    return st;
}

static tsr_status encoder_out(bench *b, const tsr_stored *t, const char *rest)
{
    gather g = {.t = t, .front = b->c->registers, .modality = -1};
    (void)rest;
    g.ours = tsr_fmnet_encoder(b->net, &g.rows);
    return gathered(b, &g, b->c->dim);
}

static tsr_status decoder_out(bench *b, const tsr_stored *t, const char *rest)
{
    gather g = {.t = t, .target = 1, .modality = -1};
    (void)rest;
    g.ours = tsr_fmnet_decoder(b->net, &g.rows);
    return gathered(b, &g, b->c->dim);
}

static tsr_status logits(bench *b, const tsr_stored *t, const char *rest)
{
    int m = tsr_mods_find(b->batch.mods, rest);
    if (m < 0 || !b->batch.mods->items[m].output)
        return tsr_parity_add_missing(b->p, t->name, "the model predicts no modality '%s'", rest);
    gather g = {.t = t, .target = 1, .modality = m};
    g.ours = tsr_fmnet_logits(b->net, (size_t)m, &g.rows);
    return gathered(b, &g, b->batch.mods->items[m].vocabulary);
}

/* Floats in the order of ours. */
static tsr_status same_order(bench *b, const tsr_stored *t, const tsr_parity_pair *ours)
{
    float *want;
    if (t->count != ours->count)
        return tsr_parity_add_missing(b->p, t->name, "%zu values are stored, ours are %zu",
                                      t->count, ours->count);
    if (tsr_parity_values(t, &want) != TSR_OK)
        return tsr_parity_add_missing(b->p, t->name, "%s", tsr_error());
    tsr_parity_pair pair = *ours;
    pair.name = t->name;
    pair.want = want;
    tsr_status st = tsr_parity_add_floats(b->p, &pair);
    tsr_free(want);
    return st;
}

static tsr_status rows_of(bench *b, const tsr_stored *t, const char *rest)
{
    int m = tsr_mods_find(b->batch.mods, rest);
    size_t rows = 0;
    if (m < 0 || !b->batch.mods->items[m].output)
        return tsr_parity_add_missing(b->p, t->name, "the model predicts no modality '%s'", rest);
    const float *ours = tsr_fmnet_logits(b->net, (size_t)m, &rows);
    const tsr_parity_pair pair = {.ours = ours,
                                  .count = rows * b->batch.mods->items[m].vocabulary,
                                  .tolerance = b->spec->tolerance};
    return same_order(b, t, &pair);
}

/* --- losses and gradients --- */

/* Mean over the rows of a modality; 0 without rows, as the reference has it. */
static double mean_of(const bench *b, size_t m, size_t *rows)
{
    const float *nll = tsr_fmnet_nll(b->net, m, rows);
    double sum = 0.0;
    for (size_t r = 0; nll && r < *rows; r++)
        sum += (double)nll[r];
    return nll && *rows ? sum / (double)*rows : 0.0;
}

static tsr_status scalar(bench *b, const tsr_stored *t, double ours)
{
    const float value = (float)ours;
    const tsr_parity_pair pair = {.ours = &value, .count = 1, .tolerance = b->spec->tolerance};
    return same_order(b, t, &pair);
}

static tsr_status loss_of(bench *b, const tsr_stored *t, const char *rest)
{
    int m = tsr_mods_find(b->batch.mods, rest);
    size_t rows = 0;
    if (m < 0 || !b->batch.mods->items[m].output)
        return tsr_parity_add_missing(b->p, t->name, "the model predicts no modality '%s'", rest);
    return scalar(b, t, mean_of(b, (size_t)m, &rows));
}

static tsr_status loss_mod(bench *b, const tsr_stored *t, const char *rest)
{
    (void)rest;
    return scalar(b, t, tsr_fmnet_loss(b->net));
}

/* The reference weights the mean of a modality by its rows times its vocabulary. */
static tsr_status loss_token(bench *b, const tsr_stored *t, const char *rest)
{
    double sum = 0.0, weights = 0.0;
    (void)rest;
    for (size_t m = 0; m < b->batch.mods->count; m++) {
        const tsr_mod *mod = &b->batch.mods->items[m];
        size_t rows = 0;
        double mean = mod->output ? mean_of(b, m, &rows) : 0.0;
        double weight = (double)rows * (double)mod->vocabulary;
        sum += mean * weight;
        weights += weight;
    }
    return scalar(b, t, weights > 0.0 ? sum / weights : 0.0);
}

/* A bias of normed keys moves all scores of a query alike: its gradient is 0 but for rounding, and
 * what it is relative to is the gradient of the weight beside it. 0: no such name. */
static double scale_of(const bench *b, const char *name)
{
    char weight[512];
    size_t n = strlen(name), tail = strlen("bias");
    if (!strstr(name, "k_norm.bias") || n + 3 > sizeof weight)
        return 0.0;
    snprintf(weight, sizeof weight, "%.*sweight", (int)(n - tail), name);
    const tsr_param *p = tsr_params_find(tsr_fm_params(b->m), weight);
    return p && p->grad ? tsr_parity_largest(p->grad, p->count) : 0.0;
}

static tsr_status gradient(bench *b, const tsr_stored *t, const char *rest, size_t step)
{
    const tsr_param *p = tsr_params_find(tsr_fm_params(b->m), rest);
    float *ours;
    if (!p || !(p->flags & TSR_PARAM_TRAIN) || !p->grad)
        return tsr_parity_add_missing(b->p, t->name, "the model trains no tensor '%s'", rest);
    size_t count = (p->count + step - 1) / step;
    TSR_TRY(tsr_alloc(&ours, count, sizeof *ours));
    for (size_t i = 0; i < count; i++)
        ours[i] = p->grad[i * step];
    double scale = scale_of(b, rest);
    const tsr_parity_pair pair = {
        .ours = ours,
        .count = count,
        .tolerance = b->spec->tolerance * TSR_PARITY_GRADIENTS,
        .scale = scale,
        .note = scale > 0.0 ? "0 but for rounding; relative to k_norm.weight" : NULL};
    tsr_status st = same_order(b, t, &pair);
    tsr_free(ours);
    return st;
}

static tsr_status every_gradient(bench *b, const tsr_stored *t, const char *rest)
{
    return gradient(b, t, rest, 1);
}

static tsr_status gradient_37(bench *b, const tsr_stored *t, const char *rest)
{
    return gradient(b, t, rest, 37);
}

/* --- all of it --- */

/* What is done with names that start so (whole: with names that are just so). */
static const struct output {
    const char *prefix;
    int whole, trains; /* trains: needs the run with losses and gradients */
    tsr_status (*compare)(bench *b, const tsr_stored *t, const char *rest); /* NULL: no output */
} outputs[] = {
    {"in.", 0, 0, NULL},
    {"packed.", 0, 0, packed},
    {"encoder_out", 1, 0, encoder_out},
    {"decoder_out", 1, 0, decoder_out},
    {"logits.", 0, 0, logits},
    {"rows.", 0, 0, rows_of},
    {"loss.", 0, 1, loss_of},
    {"loss_mod", 1, 1, loss_mod},
    {"loss_token", 1, 1, loss_token},
    {"grad.", 0, 1, every_gradient},
    {"grad37.", 0, 1, gradient_37},
};

static const struct output *output_of(const char *name)
{
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        const struct output *o = &outputs[i];
        if (o->whole ? strcmp(name, o->prefix) == 0
                     : strncmp(name, o->prefix, strlen(o->prefix)) == 0)
            return o;
    }
    return NULL;
}

/* Run the net one way and compare what that gives, kind by kind. */
static tsr_status compare_run(bench *b, int trains)
{
    size_t count = tsr_safetensors_count(b->io), wanted = 0;
    for (size_t i = 0; i < count; i++) {
        const struct output *o = output_of(tsr_safetensors_at(b->io, i)->name);
        wanted += o && o->compare && o->trains == trains;
    }
    if (wanted == 0)
        return TSR_OK;
    TSR_TRY(run(b, trains ? TSR_FMNET_TRAIN : TSR_FMNET_LOGITS));
    for (size_t k = 0; k < sizeof outputs / sizeof outputs[0]; k++)
        for (size_t i = 0; i < count; i++) {
            const tsr_stored *t = tsr_safetensors_at(b->io, i);
            const struct output *o = output_of(t->name);
            if (o == &outputs[k] && o->compare && o->trains == trains)
                TSR_TRY(o->compare(b, t, t->name + strlen(o->prefix)));
        }
    return TSR_OK;
}

tsr_status tsr_parity_masked(const char *checkpoint, const tsr_safetensors *io,
                             const tsr_parity_spec *spec, tsr_parity *p)
{
    bench b = {.p = p, .spec = spec, .io = io};
    tsr_status st;
    TSR_GO(tsr_fm_open(checkpoint, &b.m));
    b.c = tsr_fm_get_config(b.m);
    TSR_GO(tsr_parity_batch_init(&b.batch, io, &b.c->mods));
    TSR_GO(compare_run(&b, 0));
    TSR_GO(compare_run(&b, 1));
    for (size_t i = 0; i < tsr_safetensors_count(io); i++) {
        const tsr_stored *t = tsr_safetensors_at(io, i);
        if (!output_of(t->name))
            TSR_GO(tsr_parity_add_missing(p, t->name, "no output of masked models"));
    }
out:
    tsr_parity_batch_clear(&b.batch);
    tsr_fmnet_destroy(b.net);
    tsr_fm_destroy(b.m);
    return st;
}

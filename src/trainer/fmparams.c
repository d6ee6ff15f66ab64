/* SPDX-License-Identifier: Apache-2.0
 * Tensors of the masked model: names and shapes of the published files, initial values.
 *
 *   tables of the encoder, mask_token, register_tokens, mod_emb, learned positions   N(0, 0.02^2)
 *   linear maps                        U(+-sqrt(6 / (in + out))); of q, k, v each on its own
 *   heads, and tables tied to them     U(+-sqrt(6 / (V + D))), or less, see head_bound()
 *   norms 1 and 0, biases 0; other positions sines and cosines
 *
 * Where one table serves all ids (shared_vocabulary) it is called
 * encoder_embeddings.token_emb.weight, decoder_embeddings.token_emb.weight and
 * decoder_embeddings.to_logits.weight, [base + V, D].
 *
 * Source   apple/ml-4m, fourm/models/fm.py, init_weights; encoder_embeddings.py,
 *          decoder_embeddings.py. */
#include "trainer/fm_priv.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STD 0.02f

/* --- ties ------------------------------------------------------------------------------------ */

static void tie_heads(const char *at, tsr_tie *t, int idle)
{
    snprintf(t->name, sizeof t->name, "%sto_logits.weight", at);
    snprintf(t->other, sizeof t->other, "%stoken_emb.weight", at);
    t->idle = idle;
}

int tsr_fm_tie(const tsr_fm_config *c, size_t i, tsr_tie *out)
{
    char at[TSR_FM_NAME / 2];
    if (c->shared_vocabulary && i == 0) {
        tie_heads("decoder_embeddings.", out, 0);
        return 1;
    }
    size_t n = c->shared_vocabulary ? 1 : 0;
    for (size_t m = 0; m < c->mods.count; m++) {
        const tsr_mod *mod = &c->mods.items[m];
        if (!mod->output)
            continue;
        if (!c->shared_vocabulary && n++ == i) {
            snprintf(at, sizeof at, "decoder_embeddings.%s.", mod->name);
            tie_heads(at, out, mod->cls != TSR_CLASS_SEQUENCE);
            return 1;
        }
        if (mod->input && n++ == i) {
            snprintf(out->name, sizeof out->name, "encoder_embeddings.%s.mod_emb", mod->name);
            snprintf(out->other, sizeof out->other, "decoder_embeddings.%s.mod_emb", mod->name);
            out->idle = 0;
            return 1;
        }
    }
    return 0;
}

/* --- heads ----------------------------------------------------------------------------------- */

/* Half width of a new head's values. Logits then have the deviation s = a sqrt(D / 3) and the loss
 * starts s^2 / 2 above ln V: as published D / (V + D) nats, which is much for a small vocabulary.
 * So it is at most 1 % of ln V. Heads of grids, whose tables are never looked up, are kept at s <=
 * 2 % of ln V, so that one frequent token cannot move the start either. */
static float head_bound(size_t ids, size_t dim, int looked_up)
{
    double published = sqrt(6.0 / (double)(ids + dim)), nats = log((double)(ids > 2 ? ids : 2));
    double deviation = looked_up ? sqrt(0.02 * nats) : 0.02 * nats;
    double bound = deviation * sqrt(3.0 / (double)dim);
    return (float)(published < bound ? published : bound);
}

/* --- one tensor ------------------------------------------------------------------------------ */

typedef struct maker {
    tsr_fm *m;
    tsr_fm_fill how;
    tsr_status st; /* the first failure sticks */
} maker;

typedef struct tensor {
    tsr_init rule;
    float arg;
    unsigned flags;    /* TSR_PARAM_TRAIN or 0 */
    int ndim, leading; /* dimensions; ones put in front of them in files */
    size_t shape[2];
} tensor;

static tsr_status add(maker *w, const char *name, const tensor *t, tsr_param **out)
{
    size_t file[TSR_MAX_DIMS] = {1, 1, 1, 1, 1, 1};
    unsigned flags = t->flags;
    if ((flags & TSR_PARAM_TRAIN) && tsr_param_decays(name))
        flags |= TSR_PARAM_DECAY;
    TSR_TRY(tsr_params_add(w->m->ps, name, flags, t->ndim, t->shape, out));
    memcpy(file + t->leading, t->shape, (size_t)t->ndim * sizeof *file);
    if (t->leading)
        TSR_TRY(tsr_param_file_shape(*out, t->leading + t->ndim, file));
    if (w->how.fill)
        tsr_param_init(*out, t->rule, t->arg, w->how.seed);
    return TSR_OK;
}

static tsr_param *make(maker *w, const tensor *t, const char *fmt, ...) TSR_PRINTF(3, 4);
static tsr_param *make(maker *w, const tensor *t, const char *fmt, ...)
{
    char name[TSR_FM_NAME];
    tsr_param *p = NULL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    if (w->st == TSR_OK)
        w->st = add(w, name, t, &p);
    return w->st == TSR_OK ? p : NULL;
}

static tensor vector_of(size_t n, tsr_init rule, float arg, int trained)
{
    return (tensor){
        .rule = rule, .arg = arg, .ndim = 1, .shape = {n}, .flags = trained ? TSR_PARAM_TRAIN : 0u};
}

static tensor matrix_of(size_t rows, size_t columns, tsr_init rule, float arg)
{
    return (tensor){
        .rule = rule, .arg = arg, .ndim = 2, .shape = {rows, columns}, .flags = TSR_PARAM_TRAIN};
}

/* [D] here, [1, 1, D] in files. */
static tensor token_of(size_t dim)
{
    tensor t = vector_of(dim, TSR_INIT_NORMAL, STD, 1);
    t.leading = 2;
    return t;
}

static void make_norm(maker *w, const char *at, const char *name, size_t dim)
{
    const tensor weight = vector_of(dim, TSR_INIT_CONST, 1.0f, 1);
    const tensor bias = vector_of(dim, TSR_INIT_ZERO, 0.0f, w->m->config.norm_bias);
    make(w, &weight, "%s%s.weight", at, name);
    make(w, &bias, "%s%s.bias", at, name);
}

/* `parts` matrices stacked in one. */
typedef struct linear {
    size_t out, in, parts;
    int bias;
} linear;

static void make_linear(maker *w, const char *at, const char *name, linear l)
{
    const tensor weight =
        matrix_of(l.out, l.in, l.parts > 1 ? TSR_INIT_QKV : TSR_INIT_XAVIER, (float)l.parts);
    const tensor bias = vector_of(l.out, TSR_INIT_ZERO, 0.0f, 1);
    make(w, &weight, "%s%s.weight", at, name);
    if (l.bias)
        make(w, &bias, "%s%s.bias", at, name);
}

/* --- positions ------------------------------------------------------------------------------- */

/* 1-D: all sines, then all cosines of p w_k, w_k = 10000^(-k / (D/2)).
 * 2-D: a quarter each of sin and cos of the row, sin and cos of the column; D/4 for D/2.
 *
 * Source   apple/ml-4m, fourm/models/fm_utils.py; Vaswani et al. 2017, arXiv:1706.03762, 3.5. */
static void fill_positions(tsr_param *p, const tsr_mod *mod)
{
    size_t rows = p->shape[0], dim = p->shape[1];
    size_t width = mod->cls == TSR_CLASS_SEQUENCE ? 0 : mod->width;
    size_t part = width ? dim / 4 : dim / 2;
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < dim; c++) {
            size_t kind = c / part;
            double omega = pow(10000.0, -(double)(c % part) / (double)part);
            double at = (double)(!width ? i : kind < 2 ? i / width : i % width);
            p->value[i * dim + c] = (float)(kind % 2 ? cos(at * omega) : sin(at * omega));
        }
    tsr_param_touch(p);
}

static void make_positions(maker *w, const char *at, const tsr_mod *mod)
{
    int learned = mod->cls == TSR_CLASS_VECTOR;
    tensor t = matrix_of(mod->positions, w->m->config.dim, TSR_INIT_NORMAL, STD);
    t.leading = 1;
    t.flags = learned ? TSR_PARAM_TRAIN : 0u;
    tsr_param *p = make(w, &t, "%spos_emb", at);
    if (p && !learned && w->how.fill)
        fill_positions(p, mod);
}

/* --- embeddings ------------------------------------------------------------------------------ */

static void make_input(maker *w, const tsr_mod *mod)
{
    char at[TSR_FM_NAME / 2];
    size_t dim = w->m->config.dim;
    const tensor token = token_of(dim);
    const tensor table = matrix_of(mod->vocabulary, dim, TSR_INIT_NORMAL, STD);
    snprintf(at, sizeof at, "encoder_embeddings.%s.", mod->name);
    make(w, &token, "%smod_emb", at);
    make_positions(w, at, mod);
    if (mod->cls == TSR_CLASS_PIXELS)
        make_linear(w, at, "proj", (linear){dim, mod->patch_values, 1, 0});
    else if (!w->m->config.shared_vocabulary)
        make(w, &table, "%stoken_emb.weight", at);
}

static void make_output(maker *w, const tsr_mod *mod)
{
    char at[TSR_FM_NAME / 2];
    size_t dim = w->m->config.dim;
    const tensor token = token_of(dim);
    const tensor table =
        matrix_of(mod->vocabulary, dim, TSR_INIT_UNIFORM,
                  head_bound(mod->vocabulary, dim, mod->cls == TSR_CLASS_SEQUENCE));
    snprintf(at, sizeof at, "decoder_embeddings.%s.", mod->name);
    if (!mod->input)
        make(w, &token, "%smod_emb", at);
    make_positions(w, at, mod);
    if (!w->m->config.shared_vocabulary)
        make(w, &table, "%sto_logits.weight", at);
}

static void make_embeddings(maker *w)
{
    const tsr_fm_config *c = &w->m->config;
    size_t ids = tsr_fm_vocabulary(c);
    const tensor in = matrix_of(ids, c->dim, TSR_INIT_NORMAL, STD);
    const tensor out = matrix_of(ids, c->dim, TSR_INIT_UNIFORM, head_bound(ids, c->dim, 1));
    if (c->shared_vocabulary)
        make(w, &in, "encoder_embeddings.token_emb.weight");
    for (size_t i = 0; i < c->mods.count; i++)
        if (c->mods.items[i].input)
            make_input(w, &c->mods.items[i]);
    if (c->shared_vocabulary)
        make(w, &out, "decoder_embeddings.to_logits.weight");
    for (size_t i = 0; i < c->mods.count; i++)
        if (c->mods.items[i].output)
            make_output(w, &c->mods.items[i]);
}

/* Second names that are parameters of their own: shaped like the first. */
static void make_untied(maker *w)
{
    tsr_tie tie;
    for (size_t i = 0; w->st == TSR_OK && tsr_fm_tie(&w->m->config, i, &tie); i++) {
        if (!w->how.untied || !w->how.untied[i])
            continue;
        tsr_param *p = tsr_params_find(w->m->ps, tie.name);
        tensor t = {.rule = TSR_INIT_ZERO,
                    .ndim = p->ndim,
                    .leading = p->file_ndim - p->ndim,
                    .flags = TSR_PARAM_TRAIN};
        memcpy(t.shape, p->shape, sizeof t.shape);
        make(w, &t, "%s", tie.other);
    }
}

/* --- blocks ---------------------------------------------------------------------------------- */

static void make_head_norms(maker *w, const char *at, const char *name)
{
    const tsr_fm_config *c = &w->m->config;
    char full[TSR_FM_NAME];
    snprintf(full, sizeof full, "%s%s", at, name);
    if (!c->qk_norm)
        return;
    make_norm(w, full, ".q_norm", c->dim / c->heads);
    make_norm(w, full, ".k_norm", c->dim / c->heads);
}

static void make_mlp(maker *w, const char *at)
{
    const tsr_fm_config *c = &w->m->config;
    size_t hidden = tsr_fm_hidden(c);
    make_linear(w, at, "mlp.fc1", (linear){hidden, c->dim, 1, c->mlp_bias});
    make_linear(w, at, "mlp.fc2", (linear){c->dim, hidden, 1, c->mlp_bias});
    if (c->gated_mlp)
        make_linear(w, at, "mlp.fc3", (linear){hidden, c->dim, 1, c->mlp_bias});
}

static void make_encoder_block(maker *w, size_t i)
{
    const tsr_fm_config *c = &w->m->config;
    char at[TSR_FM_NAME / 2];
    snprintf(at, sizeof at, "encoder.%zu.", i);
    make_norm(w, at, "norm1", c->dim);
    make_linear(w, at, "attn.qkv", (linear){3 * c->dim, c->dim, 3, c->qkv_bias});
    make_linear(w, at, "attn.proj", (linear){c->dim, c->dim, 1, c->proj_bias});
    make_head_norms(w, at, "attn");
    make_norm(w, at, "norm2", c->dim);
    make_mlp(w, at);
}

static void make_decoder_block(maker *w, size_t i)
{
    const tsr_fm_config *c = &w->m->config;
    char at[TSR_FM_NAME / 2];
    snprintf(at, sizeof at, "decoder.%zu.", i);
    make_norm(w, at, "norm1", c->dim);
    make_linear(w, at, "self_attn.qkv", (linear){3 * c->dim, c->dim, 3, c->qkv_bias});
    make_linear(w, at, "self_attn.proj", (linear){c->dim, c->dim, 1, c->proj_bias});
    make_head_norms(w, at, "self_attn");
    make_linear(w, at, "cross_attn.q", (linear){c->dim, c->dim, 1, c->qkv_bias});
    make_linear(w, at, "cross_attn.kv", (linear){2 * c->dim, c->dim, 2, c->qkv_bias});
    make_linear(w, at, "cross_attn.proj", (linear){c->dim, c->dim, 1, c->proj_bias});
    make_head_norms(w, at, "cross_attn");
    make_norm(w, at, "query_norm", c->dim);
    make_norm(w, at, "context_norm", c->dim);
    make_norm(w, at, "norm2", c->dim);
    make_mlp(w, at);
}

int tsr_fm_is_block(const char *name)
{
    return (tsr_starts_with(name, "encoder.") || tsr_starts_with(name, "decoder.")) &&
           !strstr(name, "norm");
}

tsr_status tsr_fm_make_tensors(tsr_fm *m, const tsr_fm_fill *how)
{
    const tsr_fm_config *c = &m->config;
    maker w = {.m = m, .how = *how};
    const tensor token = token_of(c->dim);
    tensor registers = matrix_of(c->registers, c->dim, TSR_INIT_NORMAL, STD);
    registers.leading = 1;
    TSR_TRY(tsr_params_create(&m->ps));
    if (how->deferred)
        tsr_params_defer(m->ps);
    make(&w, &token, "mask_token");
    if (c->registers)
        make(&w, &registers, "register_tokens");
    make_embeddings(&w);
    make_untied(&w);
    for (size_t i = 0; i < c->encoder_depth && w.st == TSR_OK; i++)
        make_encoder_block(&w, i);
    make_norm(&w, "", "encoder_norm", c->dim);
    make_linear(&w, "", "decoder_proj_context", (linear){c->dim, c->dim, 1, 1});
    for (size_t i = 0; i < c->decoder_depth && w.st == TSR_OK; i++)
        make_decoder_block(&w, i);
    make_norm(&w, "", "decoder_norm", c->dim);
    return w.st;
}

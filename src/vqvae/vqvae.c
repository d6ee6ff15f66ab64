/* SPDX-License-Identifier: Apache-2.0
 * Making, opening and writing VQ-VAEs. */
#include "vqvae/vqvae.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "nn/safetensors.h"
#include "vqvae/vqvae_model.h"

#include <stdlib.h>
#include <string.h>

/* --- sizes -------------------------------------------------------------------------------------
 */

/* Pixels a side of the positional table's input: the special setting, else the common one. */
static size_t rows_of(const tsr_vqvae_config *c, size_t special)
{
    return special ? special : c->image_height ? c->image_height : c->image_size;
}

static size_t columns_of(const tsr_vqvae_config *c, size_t special)
{
    return special ? special : c->image_width ? c->image_width : c->image_size;
}

static tsr_status own_sizes(tsr_net *n, size_t dim, size_t depth, size_t heads)
{
    if (n->kind != TSR_NET_VIT)
        return TSR_OK;
    n->dim = dim ? dim : n->dim;
    n->depth = depth ? depth : n->depth;
    n->hidden = 4 * n->dim;
    n->heads = heads ? heads : tsr_net_heads(n->dim);
    if (n->dim % 4 || n->dim % n->heads)
        TSR_FAIL(TSR_ECONFIG, "%swidth %zu must be a multiple of 4 and of its %zu heads", n->prefix,
                 n->dim, n->heads);
    return TSR_OK;
}

static tsr_status settle_encoder(tsr_vqvae *m)
{
    tsr_vqvae_config *c = &m->config;
    tsr_net *n = &m->enc;
    *n = (tsr_net){.prefix = "encoder.",
                   .channels = c->n_channels,
                   .patch = c->patch_proj ? c->patch_size : 1,
                   .post_mlp = c->post_mlp};
    TSR_TRY(tsr_net_preset(c->enc_type, n));
    TSR_TRY(own_sizes(n, c->enc_dim, c->enc_depth, c->enc_heads));
    n->grid_h = rows_of(c, c->image_size_enc) / n->patch;
    n->grid_w = columns_of(c, c->image_size_enc) / n->patch;
    return TSR_OK;
}

static tsr_status settle_decoder(tsr_vqvae *m)
{
    tsr_vqvae_config *c = &m->config;
    tsr_net *n = &m->dec;
    size_t patch = c->patch_size_dec ? c->patch_size_dec : c->patch_size;
    *n = (tsr_net){.prefix = "decoder.",
                   .channels = c->n_labels ? c->n_labels : c->n_channels,
                   .patch = c->patch_proj ? patch : 1,
                   .post_mlp = c->post_mlp,
                   .out_conv = c->out_conv};
    TSR_TRY(tsr_net_preset(c->dec_type, n));
    TSR_TRY(own_sizes(n, c->dec_dim, c->dec_depth, c->dec_heads));
    n->grid_h = rows_of(c, c->image_size_dec) / n->patch;
    n->grid_w = columns_of(c, c->image_size_dec) / n->patch;
    return TSR_OK;
}

static const char *decoder_name(const tsr_vqvae *m)
{
    if (!m->info.has_decoder)
        return "none";
    if (m->diff.kind)
        return m->diff.kind == TSR_DIFFNET_UNET ? "UNet diffusion" : "UViT diffusion";
    return m->dec.kind == TSR_NET_VIT ? "ViT" : "MLP";
}

/* Steps of the reference's demonstration: 10 for edges, 25 for what has more to it. */
static size_t default_steps(const tsr_vqvae *m)
{
    size_t steps = m->diff.kind == TSR_DIFFNET_UVIT && m->diff.channels == 1 ? 10 : 25;
    if (!m->diff.kind)
        return 0;
    return steps < m->config.num_train_timesteps ? steps : m->config.num_train_timesteps;
}

static void fill_info(tsr_vqvae *m)
{
    const tsr_vqvae_config *c = &m->config;
    int vector = m->enc.kind != TSR_NET_VIT;
    m->info = (tsr_vqvae_info){
        .in_channels = c->n_labels ? 0 : c->n_channels,
        .labels = c->n_labels,
        .out_channels = c->n_labels ? c->n_labels : c->n_channels,
        .patch = m->enc.patch,
        .patch_dec = m->info.has_decoder && !m->diff.kind ? m->dec.patch : 0,
        .height = vector ? 1 : m->enc.grid_h * m->enc.patch,
        .width = vector ? 1 : m->enc.grid_w * m->enc.patch,
        .heads = m->q->heads,
        .codes = m->q->codes,
        .code_width = m->q->width,
        .quantizer = m->q->kind->name,
        .has_decoder = m->info.has_decoder,
        .decoder = decoder_name(m),
        .steps = default_steps(m),
        .is_vector = vector,
        .values = tsr_params_values(m->ps, 0),
    };
}

/* --- tensors -----------------------------------------------------------------------------------
 */

/* A 1x1 convolution in files. */
static void make_projection(tsr_maker *w, const char *name, size_t out, size_t in)
{
    char full[TSR_NAME_MAX];
    const size_t shape[] = {out, in, 1, 1};
    tsr_make_linear(w, name, TSR_INIT_FAN_IN, 0, out, in);
    if (w->st != TSR_OK)
        return;
    tsr_param *p = tsr_params_find(w->ps, tsr_name(full, name, ".weight"));
    w->st = tsr_param_file_shape(p, 4, shape);
}

static void make_net(tsr_maker *w, const tsr_net *n, int decoder)
{
    if (n->kind == TSR_NET_VIT)
        tsr_vit_make(w, n, decoder);
    else
        tsr_mlp_make(w, n, decoder ? n->dim : n->channels, decoder ? n->channels : n->dim);
}

/* All tensors in ml-4m's order; filled from the seed unless a file will do that. */
static tsr_status make_tensors(tsr_vqvae *m, uint64_t seed, int fill)
{
    const tsr_vqvae_config *c = &m->config;
    const tsr_quantizer_kind *kind;
    const size_t classes[] = {c->n_labels, c->n_channels};
    TSR_TRY(tsr_quantizer_find(c->quant_type, &kind));
    TSR_TRY(tsr_params_create(&m->ps));
    if (!fill)
        tsr_params_defer(m->ps);
    tsr_maker w = {m->ps, seed, fill, TSR_OK};
    if (c->n_labels)
        tsr_make(&w, "cls_emb.weight", TSR_INIT_NORMAL, 1, 2, classes);
    make_net(&w, &m->enc, 0);
    make_projection(&w, "quant_proj", c->latent_dim, m->enc.dim);
    TSR_TRY(w.st);
    TSR_TRY(kind->declare(c, m->ps));
    if (fill)
        TSR_TRY(kind->init(c, m->ps, seed));
    if (m->diff.kind) {
        tsr_diffnet_make(&w, &m->diff);
    } else if (m->info.has_decoder) {
        make_net(&w, &m->dec, 1);
        make_projection(&w, "post_quant_proj", m->dec.dim, c->latent_dim);
    }
    return w.st;
}

tsr_status tsr_vqvae_create(const tsr_vqvae_config *config, uint64_t seed, tsr_vqvae **out)
{
    tsr_status st = TSR_OK;
    const tsr_quantizer_kind *kind;
    tsr_vqvae *m;
    TSR_TRY(tsr_alloc(&m, 1, sizeof *m));
    m->config = *config;
    m->info.has_decoder = 1;
    m->metadata = json_object();
    if (!m->metadata)
        TSR_GOFAIL(TSR_ENOMEM, "out of memory");
    TSR_GO(tsr_vqvae_config_check(config, "tokenizer settings"));
    TSR_GO(tsr_quantizer_find(config->quant_type, &kind));
    TSR_GO(kind->settle(&m->config));
    TSR_GO(settle_encoder(m));
    TSR_GO(settle_decoder(m));
    if ((m->enc.kind == TSR_NET_VIT) != (m->dec.kind == TSR_NET_VIT))
        TSR_GOFAIL(TSR_ECONFIG, "encoder %s and decoder %s do not go together", config->enc_type,
                   config->dec_type);
    TSR_GO(make_tensors(m, seed, 1));
    TSR_GO(tsr_quantizer_create(&m->config, m->ps, &m->q));
    fill_info(m);
    *out = m;
    m = NULL;
out:
    tsr_vqvae_destroy(m);
    return st;
}

void tsr_vqvae_destroy(tsr_vqvae *m)
{
    if (!m)
        return;
    tsr_quantizer_destroy(m->q);
    tsr_params_destroy(m->ps);
    json_decref(m->metadata);
    tsr_free(m);
}

/* --- opening -----------------------------------------------------------------------------------
 */

static int is_diffusion(const tsr_safetensors *f)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++) {
        const char *name = tsr_safetensors_at(f, i)->name;
        if (tsr_starts_with(name, "decoder.time_embed") ||
            tsr_starts_with(name, "decoder.conv_in"))
            return 1;
    }
    return 0;
}

static int is_controlnet(const tsr_safetensors *f)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++)
        if (strstr(tsr_safetensors_at(f, i)->name, "controlnet"))
            return 1;
    return 0;
}

static int is_decoder(const char *name)
{
    return tsr_starts_with(name, "decoder.") || tsr_starts_with(name, "post_quant_proj.");
}

static int has_decoder(const tsr_safetensors *f)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++)
        if (is_decoder(tsr_safetensors_at(f, i)->name))
            return 1;
    return 0;
}

/* Shape of a tensor of `ndim` dimensions, none of them 0. */
static tsr_status shape_of(const tsr_safetensors *f, const char *name, int ndim,
                           const size_t **shape)
{
    const tsr_stored *t;
    TSR_TRY(tsr_safetensors_get(f, name, &t));
    if (t->ndim != ndim || !t->count)
        TSR_FAIL(TSR_EMISMATCH, "%s: tensor \"%s\" does not have %d dimensions",
                 tsr_safetensors_path(f), name, ndim);
    *shape = t->shape;
    return TSR_OK;
}

/* Codebook sizes as the tensors have them. */
static tsr_status quantizer_from_file(const tsr_safetensors *f, tsr_vqvae_config *c)
{
    const size_t *s;
    if (tsr_safetensors_find(f, "quantize.codes")) {
        TSR_TRY(shape_of(f, "quantize.codes", 3, &s));
        strcpy(c->quant_type, "memcodes");
        c->num_codebooks = s[0];
        c->codebook_size = s[1];
        TSR_TRY(tsr_mul_size(s[0], s[2], &c->latent_dim));
        size_t d = s[2];
        TSR_TRY(shape_of(f, "quantize.to_k.weight", 3, &s));
        if (s[0] != c->num_codebooks || s[1] != d || s[2] != d)
            TSR_FAIL(TSR_EMISMATCH, "%s: quantize.to_k.weight does not fit quantize.codes",
                     tsr_safetensors_path(f));
        return TSR_OK;
    }
    if (strcmp(c->quant_type, "lucid") != 0)
        return TSR_OK;
    TSR_TRY(shape_of(f, "quantize._codebook.embed", 2, &s));
    c->codebook_size = s[0];
    c->latent_dim = s[1];
    c->num_codebooks = 1;
    if (tsr_safetensors_find(f, "quantize.project_in.weight")) {
        size_t width = s[1];
        TSR_TRY(shape_of(f, "quantize.project_in.weight", 2, &s));
        c->num_codebooks = s[0] / width;
        if (s[1] != width || s[0] % width)
            TSR_FAIL(TSR_EMISMATCH, "%s: quantize.project_in.weight does not fit the codebook",
                     tsr_safetensors_path(f));
    }
    c->norm_codes = tsr_safetensors_find(f, "quantize._codebook.embed_avg") == NULL;
    return TSR_OK;
}

static tsr_status diffusion_from_file(const tsr_safetensors *f, tsr_vqvae *m)
{
    tsr_vqvae_config *c = &m->config;
    TSR_TRY(tsr_diffnet_from_file(f, c->dec_heads, &m->diff));
    if (m->diff.channels != c->n_channels || m->diff.cond != c->latent_dim || c->n_labels)
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: a diffusion decoder of %zu planes and codes of %zu for an encoder of %zu and %zu",
                 tsr_safetensors_path(f), m->diff.channels, m->diff.cond, c->n_channels,
                 c->latent_dim);
    if (!tsr_vqvae_config_diffuses(c)) /* so that a rewritten file keeps the settings of noise */
        strcpy(c->dec_type, m->diff.kind == TSR_DIFFNET_UNET ? "unet_patched" : "uvit_b_p4_f16");
    return TSR_OK;
}

static tsr_status sizes_from_file(const tsr_safetensors *f, tsr_vqvae *m)
{
    tsr_vqvae_config *c = &m->config;
    const size_t *s;
    m->enc = (tsr_net){.prefix = "encoder.", .heads = c->enc_heads};
    TSR_TRY(tsr_net_from_file(f, &m->enc, 0));
    c->n_channels = m->enc.channels;
    c->n_labels = 0;
    if (tsr_safetensors_find(f, "cls_emb.weight")) {
        TSR_TRY(shape_of(f, "cls_emb.weight", 2, &s));
        c->n_labels = s[0];
        if (s[1] != c->n_channels)
            TSR_FAIL(TSR_EMISMATCH, "%s: cls_emb has %zu channels, the encoder %zu",
                     tsr_safetensors_path(f), s[1], c->n_channels);
    }
    TSR_TRY(quantizer_from_file(f, c));
    if (!m->info.has_decoder)
        return TSR_OK;
    if (is_diffusion(f))
        return diffusion_from_file(f, m);
    m->dec = (tsr_net){.prefix = "decoder.",
                       .heads = c->dec_heads,
                       .channels = c->n_labels ? c->n_labels : c->n_channels};
    return tsr_net_from_file(f, &m->dec, 1);
}

/* Settings that the tensors have decided otherwise follow them, so that a rewritten file agrees. */
static void settle_config(tsr_vqvae *m)
{
    tsr_vqvae_config *c = &m->config;
    if (m->enc.kind != TSR_NET_VIT)
        return;
    c->post_mlp = m->enc.post_mlp;
    if (m->enc.patch != 1)
        c->patch_proj = 1;
    if (c->patch_proj)
        c->patch_size = m->enc.patch;
    if (m->info.has_decoder && !m->diff.kind) {
        c->out_conv = m->dec.out_conv;
        c->patch_size_dec = m->dec.patch == m->enc.patch ? 0 : m->dec.patch;
    }
}

/* *f belongs to the model once its tensors are checked, and is NULL then. */
static tsr_status load(tsr_vqvae *m, tsr_safetensors **file, unsigned flags)
{
    static const char *const decoder[] = {"decoder.", "post_quant_proj.", NULL};
    const tsr_quantizer_kind *kind;
    tsr_safetensors *f = *file;
    const char *path = tsr_safetensors_path(f);
    m->metadata = json_copy((json_t *)tsr_safetensors_metadata(f));
    if (!m->metadata)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_TRY(tsr_vqvae_config_from_metadata(m->metadata, path, &m->config));
    TSR_TRY(sizes_from_file(f, m));
    settle_config(m);
    if (tsr_vqvae_config_check(&m->config, path) != TSR_OK)
        return tsr_context(TSR_EUNSUPPORTED, "settings in the file");
    TSR_TRY(tsr_quantizer_find(m->config.quant_type, &kind));
    TSR_TRY(kind->settle(&m->config));
    TSR_TRY(make_tensors(m, 0, 0));
    TSR_TRY(tsr_safetensors_check(f, m->ps, m->info.has_decoder ? NULL : decoder));
    *file = NULL;
    TSR_TRY(tsr_safetensors_attach(f, m->ps));
    TSR_TRY(flags & TSR_VQVAE_RUN ? tsr_params_hold(m->ps, "quantize.") : tsr_params_hold_all(m->ps));
    TSR_TRY(tsr_quantizer_create(&m->config, m->ps, &m->q));
    fill_info(m);
    return TSR_OK;
}

tsr_status tsr_vqvae_open(const char *path, unsigned flags, tsr_vqvae **out)
{
    tsr_status st = TSR_OK;
    tsr_safetensors *f = NULL;
    tsr_vqvae *m = NULL;
    TSR_GO(tsr_safetensors_open(path, &f));
    TSR_GO(tsr_alloc(&m, 1, sizeof *m));
    m->info.has_decoder = !(flags & TSR_VQVAE_ENCODER_ONLY) && has_decoder(f);
    if (is_controlnet(f) && !(flags & TSR_VQVAE_ENCODER_ONLY))
        TSR_GOFAIL(TSR_EUNSUPPORTED,
                   "%s: has a ControlNet decoder, which is not handled; it can be opened for its "
                   "encoder only",
                   path);
    TSR_GO(load(m, &f, flags));
    *out = m;
    m = NULL;
out:
    tsr_vqvae_destroy(m);
    tsr_safetensors_close(f);
    return tsr_of_file(st);
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* A layer of UViT that files have under two names: the other one, or NULL. */
static const char *other_name(const tsr_vqvae *m, const char *name)
{
    static const char *const pairs[][2] = {
        {"decoder.downsample_mid.conv.weight", "decoder.downsample_mid.Conv2d_0.weight"},
        {"decoder.downsample_mid.conv.bias", "decoder.downsample_mid.Conv2d_0.bias"}};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(pairs[i / 2][i % 2], name) == 0 &&
            !tsr_params_find(m->ps, pairs[i / 2][1 - i % 2]))
            return pairs[i / 2][1 - i % 2];
    return NULL;
}

static tsr_status write_tensors(const tsr_vqvae *m, const char *path, unsigned flags,
                                const json_t *metadata)
{
    size_t n = tsr_params_count(m->ps), count = 0;
    tsr_stored *items;
    TSR_TRY(tsr_alloc(&items, 2 * n, sizeof *items));
    for (size_t i = 0; i < n; i++) {
        const tsr_param *p = tsr_params_at(m->ps, i);
        if ((flags & TSR_VQVAE_ENCODER_ONLY) && is_decoder(p->name))
            continue;
        tsr_stored *t = &items[count++];
        int averaged = (flags & TSR_VQVAE_AVERAGED) && p->average;
        *t = (tsr_stored){.name = p->name,
                          .dtype = TSR_F32,
                          .ndim = p->file_ndim,
                          .count = p->count,
                          .data = averaged ? p->average : p->value};
        memcpy(t->shape, p->file_shape, sizeof p->file_shape);
        const char *other = other_name(m, p->name);
        if (!other)
            continue;
        items[count] = *t;
        items[count++].name = other;
    }
    tsr_status st = tsr_safetensors_write(path, items, count, metadata);
    tsr_free(items);
    return st;
}

tsr_status tsr_vqvae_write_as(const tsr_vqvae *m, const char *path, unsigned flags,
                              const json_t *metadata)
{
    for (size_t i = 0; i < tsr_params_count(m->ps); i++)
        if (!(flags & TSR_VQVAE_ENCODER_ONLY) || !is_decoder(tsr_params_at(m->ps, i)->name))
            TSR_TRY(tsr_param_hold(m->ps, tsr_params_at(m->ps, i)));
    return write_tensors(m, path, flags, metadata);
}

tsr_status tsr_vqvae_write(const tsr_vqvae *m, const char *path, unsigned flags,
                           const json_t *extra)
{
    tsr_status st = TSR_OK;
    json_t *metadata = NULL;
    TSR_GO(tsr_vqvae_config_to_metadata(&m->config, &metadata));
    if (extra && json_object_update(metadata, (json_t *)extra) != 0)
        TSR_GOFAIL(TSR_EARG, "%s: further metadata must be an object", path);
    TSR_GO(tsr_vqvae_write_as(m, path, flags, metadata));
out:
    json_decref(metadata);
    return st;
}

/* --- looking -----------------------------------------------------------------------------------
 */

const tsr_vqvae_info *tsr_vqvae_info_of(const tsr_vqvae *m)
{
    return &m->info;
}

const tsr_vqvae_config *tsr_vqvae_config_of(const tsr_vqvae *m)
{
    return &m->config;
}

const json_t *tsr_vqvae_metadata(const tsr_vqvae *m)
{
    return m->metadata;
}

tsr_params *tsr_vqvae_params(tsr_vqvae *m)
{
    return m->ps;
}

tsr_status tsr_vqvae_refresh(tsr_vqvae *m)
{
    return m->q->kind->refresh(m->q);
}

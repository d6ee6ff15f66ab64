/* SPDX-License-Identifier: Apache-2.0
 * A VQ-VAE as ml-4m builds it: its options for this model, and what it has no options for.
 * Source   apple/ml-4m, fourm/vq/vqvae.py, fourm/vq/models (revision cda590f): sizes of networks
 *          come from a function named by enc_type or dec_type, positions from image_size. */
#include "vqvae/vqvae.h"

#include "base/mem.h"
#include "base/str.h"
#include "nn/metatext.h"
#include "vqvae/vqvae_model.h"

#include <stdio.h>
#include <string.h>

/* Functions of ml-4m that build ViTs. */
static const char *const vits[] = {"vit_s_enc", "vit_b_enc", "vit_l_enc",
                                   "vit_s_dec", "vit_b_dec", "vit_l_dec"};

/* The function that builds this ViT, or NULL. */
static const char *vit_named(const tsr_net *n, const char *side)
{
    for (size_t i = 0; i < sizeof vits / sizeof vits[0]; i++) {
        tsr_net preset = {0};
        if (tsr_ends_with(vits[i], side) && tsr_net_preset(vits[i], &preset) == TSR_OK &&
            preset.dim == n->dim && preset.depth == n->depth && preset.heads == n->heads)
            return vits[i];
    }
    return NULL;
}

/* Python that gives ml-4m a function of that name. */
static tsr_status register_vit(const tsr_net *n, const char *class_name, const char *name,
                               tsr_publish *p)
{
    char size[128] = "";
    if (n->grid_h != n->grid_w)
        snprintf(size, sizeof size,
                 "    options['resolution'] = tuple(options['patch_size'] * n for n in "
                 "(%zu, %zu))\n",
                 n->grid_h, n->grid_w);
    if (!p->code.len)
        TSR_TRY(tsr_str_add(&p->code, "from fourm.vq.models import vit_models\n"));
    return tsr_str_addf(&p->code,
                        "\n\ndef %s(**options):\n%s"
                        "    return vit_models.%s(dim_tokens=%zu, depth=%zu, num_heads=%zu, "
                        "mlp_ratio=4.0,\n                                 qkv_bias=True, "
                        "**options)\n\n\nvit_models.%s = %s\n",
                        name, size, class_name, n->dim, n->depth, n->heads, name, name);
}

static tsr_status publish_vit(const tsr_net *n, int decoder, char word[TSR_VQ_WORD_MAX],
                              tsr_publish *p)
{
    const char *side = decoder ? "_dec" : "_enc", *known = vit_named(n, side);
    int square = n->grid_h == n->grid_w;
    if (known && square) {
        snprintf(word, TSR_VQ_WORD_MAX, "%s", known);
        return TSR_OK;
    }
    if (p->may_register) {
        char grid[48] = "";
        if (!square)
            snprintf(grid, sizeof grid, "_%zux%zu", n->grid_h, n->grid_w);
        snprintf(word, TSR_VQ_WORD_MAX, "vit_d%zu_l%zu_h%zu%s%s", n->dim, n->depth, n->heads, grid,
                 side);
        return register_vit(n, decoder ? "ViTDecoder" : "ViTEncoder", word, p);
    }
    if (!known)
        TSR_TRY(tsr_publish_refuse(p,
                                   "the %s is a ViT of width %zu, depth %zu and %zu heads; ml-4m "
                                   "has 512/8/8, 768/12/12 and 1024/24/16 (--register)",
                                   decoder ? "decoder" : "encoder", n->dim, n->depth, n->heads));
    if (!square)
        TSR_TRY(tsr_publish_refuse(p,
                                   "the %s works on a grid of %zu x %zu; ml-4m's are square "
                                   "(--register)",
                                   decoder ? "decoder" : "encoder", n->grid_h, n->grid_w));
    return TSR_OK;
}

/* The name of a network, which tells ml-4m its sizes. */
static tsr_status publish_net(const tsr_net *n, int decoder, char word[TSR_VQ_WORD_MAX],
                              tsr_publish *p)
{
    if (n->kind == TSR_NET_VIT)
        return publish_vit(n, decoder, word, p);
    snprintf(word, TSR_VQ_WORD_MAX, "%s/B_%zu-Wi_%zu",
             n->kind == TSR_NET_BOTTLENECK ? "BottleneckMLP" : "MLP", n->depth, n->dim);
    if (n->kind == TSR_NET_BOTTLENECK && n->hidden != 4 * n->dim)
        snprintf(word + strlen(word), TSR_VQ_WORD_MAX - strlen(word), "-E_%zu", n->hidden / n->dim);
    return TSR_OK;
}

/* Widths and depth of ml-4m's diffusion decoders, by dec_type. */
static const struct {
    const char *name;
    size_t levels, width, dim, depth;
    int mid_down, long_skip;
} diffusers[] = {
    {"unet_patched", 4, 256, 0, 0, 0, 0},
    {"uvit_b_p4_f16", 2, 128, 768, 12, 1, 0},
    {"uvit_l_p4_f16", 2, 128, 1024, 24, 1, 0},
    {"uvit_h_p4_f16", 2, 128, 1280, 32, 1, 0},
    {"uvit_b_p4_f16_longskip", 2, 128, 768, 13, 1, 1},
    {"uvit_l_p4_f16_longskip", 2, 128, 1024, 25, 1, 1},
    {"uvit_b_p4_f8", 2, 128, 768, 12, 0, 0},
    {"uvit_l_p4_f8", 2, 128, 1024, 24, 0, 0},
    {"uvit_b_p4_f16_extraconv", 3, 128, 768, 12, 0, 0},
    {"uvit_l_p4_f16_extraconv", 3, 128, 1024, 24, 0, 0},
};

static tsr_status publish_diffusion(const tsr_vqvae *m, tsr_publish *p)
{
    const tsr_diffnet *d = &m->diff;
    for (size_t i = 0; i < sizeof diffusers / sizeof diffusers[0]; i++)
        if (strcmp(diffusers[i].name, m->config.dec_type) == 0 &&
            d->levels == diffusers[i].levels && d->width[0] == diffusers[i].width &&
            d->width[1] == 2 * d->width[0] && d->dim == diffusers[i].dim &&
            d->depth == diffusers[i].depth && d->mid_down == diffusers[i].mid_down &&
            d->long_skip == diffusers[i].long_skip)
            return TSR_OK;
    return tsr_publish_refuse(p, "the diffusion decoder has not the sizes of ml-4m's \"%s\"",
                              m->config.dec_type);
}

/* Sizes of pictures, which give ml-4m the tables of positions. */
static void publish_sizes(const tsr_vqvae *m, tsr_vqvae_config *c)
{
    size_t patch = c->patch_size, dec_patch = c->patch_size_dec ? c->patch_size_dec : patch;
    if (m->enc.kind != TSR_NET_VIT)
        return;
    size_t enc = m->enc.grid_h * patch;
    if (c->image_height || c->image_width)
        c->image_size = enc;
    c->image_size_enc = enc == c->image_size ? 0 : enc;
    if (!m->info.has_decoder || m->diff.kind)
        return;
    size_t dec = m->dec.grid_h * dec_patch;
    c->image_size_dec = dec == c->image_size ? 0 : dec;
}

/* The strings of the file with those of c in place. Ours stay: ml-4m's constructors pass over
 * options that they do not know, and without them nobody knows the heads of a network again. */
static tsr_status publish_metadata(const tsr_vqvae *m, const tsr_vqvae_config *c, json_t **out)
{
    json_t *all = json_copy(m->metadata), *known = NULL;
    tsr_status st = TSR_OK;
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    TSR_GO(tsr_vqvae_config_to_metadata(c, &known));
    if (json_object_update(all, known) != 0)
        TSR_GOFAIL(TSR_ENOMEM, "out of memory");
    *out = json_incref(all);
out:
    json_decref(all);
    json_decref(known);
    return st;
}

/* The same with their types, without ours. */
static tsr_status publish_config(const json_t *metadata, json_t **out)
{
    const char *key;
    void *next;
    json_t *value, *config;
    TSR_TRY(tsr_metatext_read_all(metadata, &config));
    json_object_foreach_safe(config, next, key, value)
    {
        if (tsr_starts_with(key, "tessera"))
            json_object_del(config, key);
    }
    *out = config;
    return TSR_OK;
}

tsr_status tsr_vqvae_publish(const tsr_vqvae *m, tsr_publish *p, json_t **metadata)
{
    tsr_vqvae_config c = m->config;
    c.sync_codebook = 0; /* as published: on, it asks for a process group */
    TSR_TRY(publish_net(&m->enc, 0, c.enc_type, p));
    if (m->diff.kind)
        TSR_TRY(publish_diffusion(m, p));
    else if (m->info.has_decoder)
        TSR_TRY(publish_net(&m->dec, 1, c.dec_type, p));
    if (strcmp(c.quant_type, "lucid") != 0 && strcmp(c.quant_type, "memcodes") != 0)
        TSR_TRY(tsr_publish_refuse(
            p, "its quantizer is \"%s\"; ml-4m has lucid and memcodes", c.quant_type));
    publish_sizes(m, &c);
    p->class_name = !m->info.has_decoder ? "VQ" : m->diff.kind ? "DiVAE" : "VQVAE";
    TSR_TRY(publish_metadata(m, &c, metadata));
    return publish_config(*metadata, &p->config);
}

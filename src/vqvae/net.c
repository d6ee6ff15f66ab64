/* SPDX-License-Identifier: Apache-2.0
 * Sizes of networks: from the presets' names, and from the tensors of a file. */
#include "vqvae/net.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_WIDTH 64 /* of every published ViT */

/* Source   apple/ml-4m, fourm/vq/models/vit_models.py. */
static const struct {
    const char *name;
    size_t dim, depth;
} presets[] = {
    {"vit_s_enc", 512, 8},  {"vit_s_dec", 512, 8},   {"vit_b_enc", 768, 12},
    {"vit_b_dec", 768, 12}, {"vit_l_enc", 1024, 24}, {"vit_l_dec", 1024, 24},
};

size_t tsr_net_heads(size_t dim)
{
    return dim >= HEAD_WIDTH ? dim / HEAD_WIDTH : 1;
}

/* The number after `key` in "BottleneckMLP/B_6-Wi_1024-E_4"; `otherwise` when it is not there. */
static size_t number_of(const char *type, const char *key, size_t otherwise)
{
    const char *at = strstr(type, key);
    char *end;
    if (!at)
        return otherwise;
    at += strlen(key);
    unsigned long v = strtoul(at, &end, 10);
    return end == at || v > 65536 ? 0 : v;
}

static tsr_status mlp_preset(const char *type, tsr_net *n)
{
    size_t expand = number_of(type, "-E_", 4);
    n->kind = tsr_starts_with(type, "BottleneckMLP/") ? TSR_NET_BOTTLENECK : TSR_NET_PLAIN;
    n->depth = number_of(type, "B_", 0);
    n->dim = number_of(type, "Wi_", 0);
    n->hidden = expand * n->dim;
    n->heads = 1;
    n->patch = 1;
    if (!n->depth || !n->dim || !expand || n->depth > 1000 || expand > 64)
        TSR_FAIL(TSR_EUNSUPPORTED, "network \"%.80s\" is not of the form BottleneckMLP/B_6-Wi_1024",
                 type);
    return TSR_OK;
}

tsr_status tsr_net_preset(const char *type, tsr_net *n)
{
    if (tsr_starts_with(type, "BottleneckMLP/") || tsr_starts_with(type, "MLP/"))
        return mlp_preset(type, n);
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, type) != 0)
            continue;
        n->kind = TSR_NET_VIT;
        n->dim = presets[i].dim;
        n->depth = presets[i].depth;
        n->heads = tsr_net_heads(n->dim);
        n->hidden = 4 * n->dim;
        return TSR_OK;
    }
    TSR_FAIL(TSR_EUNSUPPORTED,
             "network \"%.80s\" is not known: vit_{s,b,l}_{enc,dec}, BottleneckMLP/B_<n>-Wi_<w>",
             type);
}

/* --- from a file -------------------------------------------------------------------------------
 */

/* A tensor of `ndim` dimensions, none of them 0. */
static tsr_status look(const tsr_safetensors *f, const tsr_net *n, const char *name, int ndim,
                       const tsr_stored **out)
{
    char full[TSR_NAME_MAX];
    const tsr_stored *t;
    TSR_TRY(tsr_safetensors_get(f, tsr_name(full, n->prefix, "%s", name), &t));
    if (t->ndim != ndim || !t->count)
        TSR_FAIL(TSR_EMISMATCH, "%s: tensor \"%s\" does not have %d dimensions",
                 tsr_safetensors_path(f), full, ndim);
    *out = t;
    return TSR_OK;
}

static int has(const tsr_safetensors *f, const tsr_net *n, const char *name)
{
    char full[TSR_NAME_MAX];
    return tsr_safetensors_find(f, tsr_name(full, n->prefix, "%s", name)) != NULL;
}

/* How many of blocks.0, blocks.1, ... there are. */
static size_t count_of(const tsr_safetensors *f, const tsr_net *n, const char *before,
                       const char *after)
{
    char full[TSR_NAME_MAX];
    size_t i = 0;
    while (tsr_safetensors_find(f, tsr_name(full, n->prefix, "%s%zu%s", before, i, after)))
        i++;
    return i;
}

static tsr_status mlp_from_file(const tsr_safetensors *f, tsr_net *n, int decoder)
{
    const tsr_stored *in, *out, *fc1;
    TSR_TRY(look(f, n, "linear_in.weight", 2, &in));
    TSR_TRY(look(f, n, "linear_out.weight", 2, &out));
    n->kind = has(f, n, "blocks.0.block.0.weight") ? TSR_NET_BOTTLENECK : TSR_NET_PLAIN;
    n->dim = in->shape[0];
    n->channels = decoder ? out->shape[0] : in->shape[1];
    n->depth = count_of(f, n, "layernorms.", ".weight") + (n->kind == TSR_NET_PLAIN);
    n->patch = n->heads = 1;
    n->hidden = 0;
    if (n->kind == TSR_NET_PLAIN)
        return TSR_OK;
    TSR_TRY(look(f, n, "blocks.0.block.0.weight", 2, &fc1));
    n->hidden = fc1->shape[0];
    return TSR_OK;
}

/* Rows of out_proj are channels * patch^2. */
static tsr_status patch_of(const tsr_safetensors *f, size_t rows, tsr_net *n)
{
    size_t p = 1;
    while (n->channels * p * p < rows)
        p++;
    if (n->channels * p * p != rows)
        TSR_FAIL(TSR_EMISMATCH, "%s: %zu rows of %sout_proj are not %zu channels times a square",
                 tsr_safetensors_path(f), rows, n->prefix, n->channels);
    n->patch = p;
    return TSR_OK;
}

static tsr_status vit_from_file(const tsr_safetensors *f, tsr_net *n, int decoder)
{
    const tsr_stored *t;
    size_t heads = n->heads;
    n->kind = TSR_NET_VIT;
    TSR_TRY(look(f, n, "pos_emb", 4, &t));
    n->dim = t->shape[1];
    n->grid_h = t->shape[2];
    n->grid_w = t->shape[3];
    n->depth = count_of(f, n, "blocks.", ".attn.qkv.weight");
    n->post_mlp = has(f, n, "post_mlp.fc1.weight");
    n->out_conv = has(f, n, "out_conv.0.gamma");
    n->heads = heads ? heads : tsr_net_heads(n->dim);
    n->hidden = 4 * n->dim;
    if (n->depth) {
        TSR_TRY(look(f, n, "blocks.0.mlp.fc1.weight", 2, &t));
        n->hidden = t->shape[0];
    }
    if (!n->heads || n->dim % n->heads)
        TSR_FAIL(TSR_EMISMATCH, "%s: %swidth %zu cannot be cut into %zu heads",
                 tsr_safetensors_path(f), n->prefix, n->dim, n->heads);
    if (decoder) {
        TSR_TRY(look(f, n, "out_proj.weight", 2, &t));
        return patch_of(f, t->shape[0], n);
    }
    TSR_TRY(look(f, n, "proj.weight", 4, &t));
    n->channels = t->shape[1];
    n->patch = t->shape[2];
    if (t->shape[2] != t->shape[3])
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: patches of %zux%zu are not square", tsr_safetensors_path(f),
                 t->shape[2], t->shape[3]);
    return TSR_OK;
}

tsr_status tsr_net_from_file(const tsr_safetensors *f, tsr_net *n, int decoder)
{
    return has(f, n, "linear_in.weight") ? mlp_from_file(f, n, decoder)
                                         : vit_from_file(f, n, decoder);
}

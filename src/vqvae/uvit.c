/* SPDX-License-Identifier: Apache-2.0
 * The UViT of diffusion decoders: convolutions around a transformer that is told the codes.
 *
 *   rows = patches of the picture W; emb = mlp(step)
 *   down: residual blocks, half the size between levels, every result kept
 *   middle: transformer; its norms are scaled and shifted, its branches gated, by the step;
 *           code vectors are added to its rows, or seen by cross-attention
 *   up: residual blocks on rows beside what was kept, twice the size between levels; picture
 *
 * Source   apple/ml-4m, fourm/vq/models/uvit.py; Hoogeboom et al. 2023, arXiv:2301.11093; Peebles and
 *          Xie 2023, arXiv:2212.09748 (adaLN). */
#include "vqvae/diffnet.h"

#include "nn/layers.h"
#include "nn/ops.h"
#include "nn/rowimage.h"

#include <stdio.h>

#define PATCH 4
#define EPS 1e-5f
#define KEPT_MAX 64
#define DEPTH_MAX 256
#define MID TSR_DIFFNET_PREFIX "mid_block."

static const tsr_res_names names = {"norm1", "conv1", "time_emb_proj", "norm2", "conv2",
                                    "conv_shortcut"};

/* --- sizes -------------------------------------------------------------------------------------- */

static tsr_status middle_from_file(const tsr_safetensors *f, size_t heads, tsr_diffnet *n)
{
    char name[96];
    const size_t *s;
    TSR_TRY(tsr_diffnet_look(f, "mid_block.mid_pos_emb", 4, &s));
    n->dim = s[1];
    n->grid_h = s[2];
    n->grid_w = s[3];
    for (;; n->depth++) {
        snprintf(name, sizeof name, "mid_block.mid_block.%zu.norm1.weight", n->depth);
        if (!tsr_diffnet_has(f, name))
            break;
        snprintf(name, sizeof name, "mid_block.mid_block.%zu.skip_linear.weight", n->depth);
        n->long_skip |= tsr_diffnet_has(f, name);
    }
    TSR_TRY(tsr_diffnet_look(f, "mid_block.mid_block.0.mlp.fc1.weight", 2, &s));
    n->hidden = s[0];
    n->cross = tsr_diffnet_has(f, "mid_block.mid_block.0.cross_attn.q.weight");
    if (n->cross)
        TSR_TRY(tsr_diffnet_look(f, "mid_block.mid_block.0.cross_attn.kv.weight", 2, &s));
    else
        TSR_TRY(tsr_diffnet_look(f, "mid_block.mid_cond_proj.weight", 2, &s));
    n->cond = s[1];
    /* Presets: widths 768, 1024 and 1280 have 12, 16 and 16 heads. */
    n->heads = heads ? heads : n->dim == 1280 ? 16 : tsr_net_heads(n->dim);
    if (n->dim % n->heads || n->dim / n->heads > TSR_HEAD_WIDTH || n->depth > DEPTH_MAX ||
        (n->long_skip && n->depth % 2 == 0))
        TSR_FAIL(TSR_EMISMATCH, "%s: a transformer of %zu layers, width %zu and %zu heads in the "
                                "decoder that cannot be",
                 tsr_safetensors_path(f), n->depth, n->dim, n->heads);
    return TSR_OK;
}

tsr_status tsr_uvit_from_file(const tsr_safetensors *f, size_t heads, tsr_diffnet *n)
{
    char name[96];
    const size_t *in, *time, *s;
    TSR_TRY(tsr_diffnet_look(f, "conv_in.weight", 4, &in));
    TSR_TRY(tsr_diffnet_look(f, "time_embedding.linear_1.weight", 2, &time));
    n->patch = PATCH;
    n->channels = in[1];
    n->base = time[1];
    n->emb = time[0];
    if (in[2] != PATCH || in[3] != PATCH || in[0] != n->base)
        TSR_FAIL(TSR_EMISMATCH, "%s: decoder.conv_in and decoder.time_embedding do not go together",
                 tsr_safetensors_path(f));
    for (;; n->levels++) {
        snprintf(name, sizeof name, "down_blocks.%zu.resnets.0.conv1.weight", n->levels);
        if (!tsr_diffnet_has(f, name))
            break;
        if (n->levels == TSR_DIFFNET_LEVELS)
            TSR_FAIL(TSR_EMISMATCH, "%s: a decoder of more than %d levels", tsr_safetensors_path(f),
                     TSR_DIFFNET_LEVELS);
        TSR_TRY(tsr_diffnet_look(f, name, 4, &s));
        n->width[n->levels] = s[0];
    }
    for (;; n->blocks++) {
        snprintf(name, sizeof name, "down_blocks.0.resnets.%zu.conv1.weight", n->blocks);
        if (!tsr_diffnet_has(f, name))
            break;
    }
    if (n->levels * (n->blocks + 1) >= KEPT_MAX)
        TSR_FAIL(TSR_EMISMATCH, "%s: a decoder of %zu levels of %zu blocks", tsr_safetensors_path(f),
                 n->levels, n->blocks);
    n->down_name = tsr_diffnet_has(f, "downsample_mid.conv.weight");
    n->down_alias = tsr_diffnet_has(f, "downsample_mid.Conv2d_0.weight");
    n->mid_down = n->down_name || n->down_alias;
    return middle_from_file(f, heads, n);
}

/* --- tensors ------------------------------------------------------------------------------------ */

#define PART(buffer, half, i, rest)                                                                \
    tsr_name(buffer, TSR_DIFFNET_PREFIX, "%s_blocks.%zu." rest, half, (size_t)(i))

static const char *resnet(char buffer[TSR_NAME_MAX], const char *half, size_t level, size_t i)
{
    return tsr_name(buffer, TSR_DIFFNET_PREFIX, "%s_blocks.%zu.resnets.%zu.", half, level, i);
}

static void down_make(tsr_maker *m, const tsr_diffnet *n)
{
    char name[TSR_NAME_MAX];
    size_t c = n->base;
    for (size_t level = 0; level < n->levels; level++) {
        for (size_t i = 0; i < n->blocks; i++, c = n->width[level])
            tsr_res_make(m, n, resnet(name, "down", level, i), &names, c, n->width[level]);
        if (level + 1 < n->levels)
            tsr_conv3_make(m, PART(name, "down", level, "downsamplers.0.conv"), c, c);
    }
}

/* Widths of what was kept, in order: conv_in, and every result on the way down. */
static size_t kept_widths(const tsr_diffnet *n, size_t *kept)
{
    size_t count = 0;
    kept[count++] = n->base;
    for (size_t level = 0; level < n->levels; level++)
        for (size_t i = 0; i < n->blocks + (level + 1 < n->levels); i++)
            kept[count++] = n->width[level];
    return count;
}

static void up_make(tsr_maker *m, const tsr_diffnet *n)
{
    char name[TSR_NAME_MAX];
    size_t kept[KEPT_MAX], count = kept_widths(n, kept), c = n->width[n->levels - 1];
    for (size_t k = 0; k < n->levels; k++) {
        size_t out = n->width[n->levels - 1 - k];
        for (size_t i = 0; i <= n->blocks; i++, c = out)
            tsr_res_make(m, n, resnet(name, "up", k, i), &names, c + kept[--count], out);
        if (k + 1 < n->levels)
            tsr_conv3_make(m, PART(name, "up", k, "upsamplers.0.conv"), c, c);
    }
}

static void fixed_make(tsr_maker *m, const char *name, int ndim, const size_t *shape)
{
    tsr_param *p = tsr_make(m, name, TSR_INIT_ZERO, 0, ndim, shape);
    if (p)
        p->flags = 0;
}

static void block_make(tsr_maker *m, const tsr_diffnet *n, size_t i)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    size_t d = n->dim, parts = n->cross ? 3 : 2;
    const char *self = n->cross ? "self_attn" : "attn";
    tsr_name(at, MID, "mid_block.%zu.", i);
    tsr_make_norm(m, tsr_name(name, at, "norm1"), d);
    tsr_make_linear(m, tsr_name(name, at, "%s.qkv", self), TSR_INIT_QKV, 3, 3 * d, d);
    tsr_make_linear(m, tsr_name(name, at, "%s.proj", self), TSR_INIT_XAVIER, 0, d, d);
    if (n->cross) {
        tsr_make_linear(m, tsr_name(name, at, "cross_attn.q"), TSR_INIT_XAVIER, 0, d, d);
        tsr_make_linear(m, tsr_name(name, at, "cross_attn.kv"), TSR_INIT_QKV, 2, 2 * d, n->cond);
        tsr_make_linear(m, tsr_name(name, at, "cross_attn.proj"), TSR_INIT_XAVIER, 0, d, d);
        tsr_make_norm(m, tsr_name(name, at, "query_norm"), d);
        tsr_make_norm(m, tsr_name(name, at, "context_norm"), n->cond);
    }
    tsr_make_norm(m, tsr_name(name, at, "norm2"), d);
    tsr_make_linear(m, tsr_name(name, at, "mlp.fc1"), TSR_INIT_XAVIER, 0, n->hidden, d);
    tsr_make_linear(m, tsr_name(name, at, "mlp.fc2"), TSR_INIT_XAVIER, 0, d, n->hidden);
    tsr_make_linear(m, tsr_name(name, at, "adaLN_modulation"), TSR_INIT_XAVIER, 0, 2 * parts * d,
                    n->emb);
    tsr_make_linear(m, tsr_name(name, at, "adaLN_gate"), TSR_INIT_ZERO, 0, parts * d, n->emb);
    if (n->long_skip && i > n->depth / 2)
        tsr_make_linear(m, tsr_name(name, at, "skip_linear"), TSR_INIT_XAVIER, 0, d, 2 * d);
}

static void middle_make(tsr_maker *m, const tsr_diffnet *n)
{
    size_t c = n->width[n->levels - 1];
    const size_t table[] = {1, n->dim, n->grid_h, n->grid_w};
    if (n->down_alias)
        tsr_conv3_make(m, TSR_DIFFNET_PREFIX "downsample_mid.Conv2d_0", c, c);
    if (n->down_name)
        tsr_conv3_make(m, TSR_DIFFNET_PREFIX "downsample_mid.conv", c, c);
    fixed_make(m, MID "mid_pos_emb", 4, table);
    if (!n->cross)
        tsr_make(m, MID "mask_token", TSR_INIT_ZERO, 0, 1, &n->dim);
    for (size_t i = 0; i < n->depth; i++)
        block_make(m, n, i);
    if (!n->cross)
        tsr_make_linear(m, MID "mid_cond_proj", TSR_INIT_XAVIER, 0, n->dim, n->cond);
    tsr_make_linear(m, MID "mid_proj_in", TSR_INIT_XAVIER, 0, n->dim, c);
    tsr_make_linear(m, MID "mid_proj_out", TSR_INIT_XAVIER, 0, c, n->dim);
    if (n->mid_down)
        tsr_conv3_make(m, TSR_DIFFNET_PREFIX "upsample_mid.conv", c, c);
}

/* Patches are convolutions in files, linear maps here: one [base, c * p * p] both ways. */
static void patches_make(tsr_maker *m, const tsr_diffnet *n, const char *at, size_t bias)
{
    char name[TSR_NAME_MAX];
    size_t p = n->patch;
    const size_t flat[] = {n->base, n->channels * p * p}, full[] = {n->base, n->channels, p, p};
    tsr_param *w = tsr_make(m, tsr_name(name, at, ".weight"), TSR_INIT_FAN_IN, 0, 2, flat);
    if (w)
        m->st = tsr_param_file_shape(w, 4, full);
    tsr_make(m, tsr_name(name, at, ".bias"), TSR_INIT_ZERO, 0, 1, &bias);
}

void tsr_uvit_make(tsr_maker *m, const tsr_diffnet *n)
{
    patches_make(m, n, TSR_DIFFNET_PREFIX "conv_in", n->base);
    tsr_make_linear(m, TSR_DIFFNET_PREFIX "time_embedding.linear_1", TSR_INIT_FAN_IN, 0, n->emb,
                    n->base);
    tsr_make_linear(m, TSR_DIFFNET_PREFIX "time_embedding.linear_2", TSR_INIT_FAN_IN, 0, n->emb,
                    n->emb);
    down_make(m, n);
    up_make(m, n);
    middle_make(m, n);
    tsr_make_norm(m, TSR_DIFFNET_PREFIX "conv_norm_out", n->base);
    patches_make(m, n, TSR_DIFFNET_PREFIX "conv_out", n->channels);
}

/* --- the transformer ---------------------------------------------------------------------------- */

/* What the step makes of a block: parts of [1, parts * dim]. */
static tsr_value part(tsr_graph *g, const tsr_diffnet *n, tsr_value all, size_t i)
{
    return tsr_reshape(g, tsr_slice(g, all, 1, i * n->dim, n->dim), 1, &n->dim);
}

/* norm(x) (1 + scale) + shift; the pair of branch i. */
static tsr_value modulated(tsr_graph *g, const tsr_diffnet *n, const char *norm, tsr_value x,
                           tsr_value all, size_t i)
{
    tsr_value shift = part(g, n, all, 2 * i), scale = part(g, n, all, 2 * i + 1);
    x = tsr_net_norm(g, norm, x, EPS);
    return tsr_add(g, tsr_mul(g, x, tsr_add(g, scale, tsr_fill_like(g, 1.0f, scale))), shift);
}

/* What a block sees. */
typedef struct sight {
    tsr_value emb;     /* silu of the step's embedding */
    tsr_value context; /* [tokens, cond], or TSR_NONE */
    tsr_value q_offsets, k_begin, k_end;
} sight;

static tsr_value cross(tsr_graph *g, const tsr_diffnet *n, const char *at, const sight *s,
                       tsr_value x)
{
    char name[TSR_NAME_MAX];
    size_t rows = tsr_value_count(g, x) / n->dim;
    const size_t two[] = {rows, n->dim}, three[] = {1, rows, n->dim};
    tsr_attention_spec spec = TSR_ATTENTION((int)n->heads);
    spec.q_offsets = s->q_offsets;
    spec.k_begin = s->k_begin;
    spec.k_end = s->k_end;
    tsr_value kv = tsr_net_norm(g, tsr_name(name, at, "context_norm"), s->context, EPS);
    kv = tsr_net_linear(g, tsr_name(name, at, "cross_attn.kv"), kv, TSR_ACT_NONE);
    x = tsr_net_linear(g, tsr_name(name, at, "cross_attn.q"), x, TSR_ACT_NONE);
    x = tsr_cross_attention(g, tsr_reshape(g, x, 2, two), kv, &spec);
    return tsr_net_linear(g, tsr_name(name, at, "cross_attn.proj"), tsr_reshape(g, x, 3, three),
                          TSR_ACT_NONE);
}

static tsr_value self(tsr_graph *g, const tsr_diffnet *n, const char *at, tsr_value x)
{
    char name[TSR_NAME_MAX];
    const char *which = n->cross ? "self_attn" : "attn";
    const tsr_attention_spec spec = TSR_ATTENTION((int)n->heads);
    x = tsr_net_linear(g, tsr_name(name, at, "%s.qkv", which), x, TSR_ACT_NONE);
    x = tsr_self_attention(g, x, &spec);
    return tsr_net_linear(g, tsr_name(name, at, "%s.proj", which), x, TSR_ACT_NONE);
}

static tsr_value gated(tsr_graph *g, const tsr_diffnet *n, tsr_value x, tsr_value y, tsr_value gates,
                       size_t i)
{
    return tsr_add(g, x, tsr_mul(g, y, part(g, n, gates, i)));
}

static tsr_value block(tsr_graph *g, const tsr_diffnet *n, size_t i, const sight *s, tsr_value x)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    size_t branch = 0;
    tsr_name(at, MID, "mid_block.%zu.", i);
    tsr_graph_label(g, "mid_block.%zu", i);
    tsr_value all = tsr_net_linear(g, tsr_name(name, at, "adaLN_modulation"), s->emb, TSR_ACT_NONE);
    tsr_value gates = tsr_net_linear(g, tsr_name(name, at, "adaLN_gate"), s->emb, TSR_ACT_NONE);
    tsr_value y = modulated(g, n, tsr_name(name, at, "norm1"), x, all, branch);
    x = gated(g, n, x, self(g, n, at, y), gates, branch++);
    if (n->cross) {
        y = modulated(g, n, tsr_name(name, at, "query_norm"), x, all, branch);
        x = gated(g, n, x, cross(g, n, at, s, y), gates, branch++);
    }
    y = modulated(g, n, tsr_name(name, at, "norm2"), x, all, branch);
    y = tsr_net_linear(g, tsr_name(name, at, "mlp.fc1"), y, TSR_ACT_GELU);
    y = tsr_net_linear(g, tsr_name(name, at, "mlp.fc2"), y, TSR_ACT_NONE);
    return gated(g, n, x, y, gates, branch);
}

static tsr_value blocks(tsr_graph *g, const tsr_diffnet *n, const sight *s, tsr_value x)
{
    char name[TSR_NAME_MAX];
    tsr_value kept[DEPTH_MAX];
    size_t half = n->depth / 2, count = 0;
    for (size_t i = 0; i < n->depth; i++) {
        if (n->long_skip && i > half) {
            const tsr_value both[] = {x, kept[--count]};
            x = tsr_concat(g, 2, both, 2);
            tsr_name(name, MID, "mid_block.%zu.skip_linear", i);
            x = tsr_net_linear(g, name, x, TSR_ACT_NONE);
        }
        x = block(g, n, i, s, x);
        if (n->long_skip && i < half)
            kept[count++] = x;
    }
    return x;
}

/* Positions: resampled smoothly where codes are added, by the nearest where they are attended to. */
static tsr_value positions(tsr_graph *g, const tsr_diffnet *n, tsr_rows x)
{
    const size_t two[] = {x.h * x.w, n->dim};
    tsr_value table = tsr_weight(g, MID "mid_pos_emb");
    if (n->cross) {
        const tsr_row_resize size = {n->grid_h, n->grid_w, x.h, x.w};
        return tsr_reshape(g, tsr_nearest_rows(g, tsr_patchify(g, table, 1), size), 2, two);
    }
    table = tsr_resample(g, table, (int)x.h, (int)x.w);
    return tsr_reshape(g, tsr_patchify(g, table, 1), 2, two);
}

/* The vector each row is told: a projected code, or the one that stands for none. */
static tsr_value told(tsr_graph *g, const tsr_diffnet *n, const tsr_diffnet_io *io)
{
    const size_t row[] = {1, n->dim};
    tsr_value c = tsr_net_linear(g, MID "mid_cond_proj", io->vectors, TSR_ACT_NONE);
    const tsr_value both[] = {c, tsr_reshape(g, tsr_weight(g, MID "mask_token"), 2, row)};
    return tsr_embedding(g, tsr_concat(g, 2, both, 0), io->places);
}

static tsr_rows middle(tsr_graph *g, const tsr_diffnet *n, const tsr_diffnet_io *io, tsr_value emb,
                       tsr_rows x)
{
    sight s = {emb, TSR_NONE, TSR_NONE, TSR_NONE, TSR_NONE};
    tsr_graph_label(g, "mid_block");
    tsr_value y = tsr_net_linear(g, MID "mid_proj_in", x.x, TSR_ACT_NONE);
    if (n->cross) {
        s.context = tsr_embedding(g, io->vectors, io->places);
        s.q_offsets = io->spans[0];
        s.k_begin = io->spans[1];
        s.k_end = io->spans[2];
    } else {
        y = tsr_add(g, y, told(g, n, io));
    }
    y = blocks(g, n, &s, tsr_add(g, y, positions(g, n, x)));
    x.x = tsr_net_linear(g, MID "mid_proj_out", y, TSR_ACT_NONE);
    return x;
}

/* --- around it ---------------------------------------------------------------------------------- */

static size_t down_graph(tsr_graph *g, const tsr_diffnet *n, tsr_rows x, tsr_value emb,
                         tsr_rows *kept)
{
    char name[TSR_NAME_MAX];
    size_t count = 0;
    kept[count++] = x;
    for (size_t level = 0; level < n->levels; level++) {
        for (size_t i = 0; i < n->blocks; i++)
            kept[count++] = x = tsr_res_graph(g, resnet(name, "down", level, i), &names, x, emb);
        if (level + 1 < n->levels)
            kept[count++] = x =
                tsr_conv3_graph(g, PART(name, "down", level, "downsamplers.0.conv"), x, 2);
    }
    return count;
}

static tsr_rows up_graph(tsr_graph *g, const tsr_diffnet *n, tsr_rows x, tsr_value emb,
                         const tsr_rows *kept, size_t count)
{
    char name[TSR_NAME_MAX];
    for (size_t k = 0; k < n->levels; k++) {
        for (size_t i = 0; i <= n->blocks; i++) {
            x = tsr_beside(g, x, kept[--count]);
            x = tsr_res_graph(g, resnet(name, "up", k, i), &names, x, emb);
        }
        if (k + 1 < n->levels)
            x = tsr_up_graph(g, PART(name, "up", k, "upsamplers.0.conv"), x);
    }
    return x;
}

/* The transposed convolution: its bias stands for every pixel of a patch. */
static tsr_value picture(tsr_graph *g, const tsr_diffnet *n, tsr_rows x)
{
    size_t p = n->patch, flat = n->channels * p * p;
    const size_t column[] = {1, n->channels, 1};
    tsr_value bias = tsr_weight(g, TSR_DIFFNET_PREFIX "conv_out.bias");
    bias = tsr_nearest_rows(g, tsr_reshape(g, bias, 3, column),
                            (tsr_row_resize){n->channels, 1, flat, 1});
    tsr_value y = tsr_linear_transposed(g, x.x, tsr_weight(g, TSR_DIFFNET_PREFIX "conv_out.weight"));
    y = tsr_add(g, y, tsr_reshape(g, bias, 1, &flat));
    return tsr_unpatchify(g, y, (int)x.h, (int)x.w, (int)p);
}

/* A linear map of patches whose weight [base, c * p * p] is that of a convolution. */
static tsr_rows patches(tsr_graph *g, const tsr_diffnet *n, const tsr_diffnet_io *io)
{
    tsr_value x = tsr_patchify(g, io->picture, (int)n->patch);
    x = tsr_net_linear(g, TSR_DIFFNET_PREFIX "conv_in", x, TSR_ACT_NONE);
    return (tsr_rows){x, io->height / n->patch, io->width / n->patch, n->base};
}

void tsr_uvit_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io)
{
    tsr_rows kept[KEPT_MAX];
    tsr_graph_label(g, "time_embedding");
    tsr_value emb = tsr_net_linear(g, TSR_DIFFNET_PREFIX "time_embedding.linear_1", io->time,
                                   TSR_ACT_SILU);
    emb = tsr_net_linear(g, TSR_DIFFNET_PREFIX "time_embedding.linear_2", emb, TSR_ACT_SILU);
    tsr_rows x = patches(g, n, io);
    size_t count = down_graph(g, n, x, emb, kept);
    x = kept[count - 1];
    if (n->mid_down)
        x = tsr_conv3_graph(g, n->down_name ? TSR_DIFFNET_PREFIX "downsample_mid.conv"
                                            : TSR_DIFFNET_PREFIX "downsample_mid.Conv2d_0", x, 2);
    x = middle(g, n, io, emb, x);
    if (n->mid_down)
        x = tsr_up_graph(g, TSR_DIFFNET_PREFIX "upsample_mid.conv", x);
    x = up_graph(g, n, x, emb, kept, count);
    tsr_graph_label(g, "conv_out");
    x.x = tsr_group_graph(g, TSR_DIFFNET_PREFIX "conv_norm_out", x.x, TSR_ACT_SILU);
    io->out = picture(g, n, x);
}

/* SPDX-License-Identifier: Apache-2.0
 * The patched UNet of diffusion decoders.
 *
 *   rows = patches of the picture beside the code vector nearest to each; emb = mlp(step)
 *   down: residual blocks (and attention) a level, every result kept; half the size between levels
 *   up:   the same on what comes from below beside what was kept; twice the size between levels
 *
 * Source   apple/ml-4m, fourm/vq/models/unet/unet.py; Dhariwal and Nichol 2021, arXiv:2105.05233. */
#include "vqvae/diffnet.h"

#include "nn/layers.h"
#include "nn/ops.h"
#include "nn/rowimage.h"

#include <stdio.h>

#define PATCH 4
#define BLOCKS_MAX 256 /* of either half */

static const tsr_res_names names = {"in_layers.0",  "in_layers.2",  "emb_layers.1",
                                    "out_layers.0", "out_layers.3", "skip_connection"};

/* --- sizes -------------------------------------------------------------------------------------- */

/* Half of a level: residual blocks up to a step down or the end. *k: the next block. */
static tsr_status level_from_file(const tsr_safetensors *f, tsr_diffnet *n, size_t *k)
{
    char name[96];
    size_t level = n->levels++, blocks = 0;
    const size_t *s;
    for (;; ++*k, blocks++) {
        snprintf(name, sizeof name, "input_blocks.%zu.0.in_layers.2.weight", *k);
        if (!tsr_diffnet_has(f, name))
            break;
        TSR_TRY(tsr_diffnet_look(f, name, 4, &s));
        n->width[level] = s[0];
        snprintf(name, sizeof name, "input_blocks.%zu.1.norm.weight", *k);
        n->attends[level] = tsr_diffnet_has(f, name);
    }
    if (level == 0)
        n->blocks = blocks;
    if (blocks != n->blocks || blocks < 1)
        TSR_FAIL(TSR_EMISMATCH, "%s: level %zu of the decoder has %zu blocks, the first has %zu",
                 tsr_safetensors_path(f), level, blocks, n->blocks);
    return TSR_OK;
}

tsr_status tsr_unet_from_file(const tsr_safetensors *f, tsr_diffnet *n)
{
    char name[96];
    size_t k = 1;
    const size_t *time, *in, *out;
    TSR_TRY(tsr_diffnet_look(f, "time_embed.0.weight", 2, &time));
    TSR_TRY(tsr_diffnet_look(f, "input_blocks.0.0.weight", 4, &in));
    TSR_TRY(tsr_diffnet_look(f, "out.2.weight", 4, &out));
    n->patch = PATCH;
    n->base = time[1];
    n->emb = time[0];
    n->channels = out[0] / (PATCH * PATCH);
    if (out[0] % (PATCH * PATCH) || in[1] <= out[0] || in[0] != n->base)
        TSR_FAIL(TSR_EMISMATCH, "%s: decoder.input_blocks.0.0 and decoder.out.2 do not go together",
                 tsr_safetensors_path(f));
    n->cond = in[1] - out[0];
    do {
        if (n->levels == TSR_DIFFNET_LEVELS)
            TSR_FAIL(TSR_EMISMATCH, "%s: a decoder of more than %d levels", tsr_safetensors_path(f),
                     TSR_DIFFNET_LEVELS);
        TSR_TRY(level_from_file(f, n, &k));
        snprintf(name, sizeof name, "input_blocks.%zu.0.op.weight", k++);
    } while (tsr_diffnet_has(f, name));
    return TSR_OK;
}

/* --- what both walks share ---------------------------------------------------------------------- */

/* "decoder.input_blocks.3.1" + printf */
#define BLOCK(buffer, half, k, rest)                                                               \
    tsr_name(buffer, TSR_DIFFNET_PREFIX, "%s_blocks.%zu." rest, half, (size_t)(k))

static void attention_make(tsr_maker *m, const char *at, size_t c)
{
    char name[TSR_NAME_MAX];
    tsr_make_norm(m, tsr_name(name, at, "norm"), c);
    tsr_one_make(m, tsr_name(name, at, "qkv"), c, 3 * c, 1);
    tsr_one_make(m, tsr_name(name, at, "proj_out"), c, c, 1);
}

static tsr_rows attention_graph(tsr_graph *g, const char *at, tsr_rows x)
{
    char name[TSR_NAME_MAX];
    tsr_graph_label(g, "%s", at);
    tsr_value y = tsr_group_graph(g, tsr_name(name, at, "norm"), x.x, TSR_ACT_NONE);
    y = tsr_net_linear(g, tsr_name(name, at, "qkv"), y, TSR_ACT_NONE);
    y = tsr_wide_attention(g, y);
    x.x = tsr_add(g, x.x, tsr_net_linear(g, tsr_name(name, at, "proj_out"), y, TSR_ACT_NONE));
    return x;
}

/* --- tensors ------------------------------------------------------------------------------------ */

/* Widths of everything kept on the way down; returns how many. */
static size_t down_make(tsr_maker *m, const tsr_diffnet *n, size_t *kept)
{
    char name[TSR_NAME_MAX];
    size_t count = 0, c = n->base, k = 1;
    tsr_conv3_make(m, BLOCK(name, "input", 0, "0"), n->channels * n->patch * n->patch + n->cond, c);
    kept[count++] = c;
    for (size_t level = 0; level < n->levels; level++) {
        for (size_t i = 0; i < n->blocks; i++, k++) {
            tsr_res_make(m, n, BLOCK(name, "input", k, "0."), &names, c, n->width[level]);
            c = n->width[level];
            if (n->attends[level])
                attention_make(m, BLOCK(name, "input", k, "1."), c);
            kept[count++] = c;
        }
        if (level + 1 == n->levels)
            break;
        tsr_conv3_make(m, BLOCK(name, "input", k++, "0.op"), c, c);
        kept[count++] = c;
    }
    return count;
}

static void up_make(tsr_maker *m, const tsr_diffnet *n, const size_t *kept, size_t count)
{
    char name[TSR_NAME_MAX];
    size_t c = n->width[n->levels - 1], k = 0;
    for (size_t level = n->levels; level-- > 0;)
        for (size_t i = 0; i <= n->blocks; i++, k++) {
            tsr_res_make(m, n, BLOCK(name, "output", k, "0."), &names, c + kept[--count],
                         n->width[level]);
            c = n->width[level];
            if (n->attends[level])
                attention_make(m, BLOCK(name, "output", k, "1."), c);
            if (level > 0 && i == n->blocks && n->attends[level])
                tsr_conv3_make(m, BLOCK(name, "output", k, "2.conv"), c, c);
            else if (level > 0 && i == n->blocks)
                tsr_conv3_make(m, BLOCK(name, "output", k, "1.conv"), c, c);
        }
}

void tsr_unet_make(tsr_maker *m, const tsr_diffnet *n)
{
    size_t kept[BLOCKS_MAX * 4], top = n->width[n->levels - 1];
    if (n->levels * (n->blocks + 1) > BLOCKS_MAX) {
        m->st = m->st == TSR_OK ? TSR_ELIMIT : m->st;
        return;
    }
    tsr_make_linear(m, TSR_DIFFNET_PREFIX "time_embed.0", TSR_INIT_FAN_IN, 0, n->emb, n->base);
    tsr_make_linear(m, TSR_DIFFNET_PREFIX "time_embed.2", TSR_INIT_FAN_IN, 0, n->emb, n->emb);
    size_t count = down_make(m, n, kept);
    tsr_res_make(m, n, TSR_DIFFNET_PREFIX "middle_block.0.", &names, top, top);
    attention_make(m, TSR_DIFFNET_PREFIX "middle_block.1.", top);
    tsr_res_make(m, n, TSR_DIFFNET_PREFIX "middle_block.2.", &names, top, top);
    up_make(m, n, kept, count);
    tsr_make_norm(m, TSR_DIFFNET_PREFIX "out.0", n->width[0]);
    tsr_conv3_make(m, TSR_DIFFNET_PREFIX "out.2", n->width[0], n->channels * n->patch * n->patch);
}

/* --- graph -------------------------------------------------------------------------------------- */

static size_t down_graph(tsr_graph *g, const tsr_diffnet *n, tsr_rows x, tsr_value emb,
                         tsr_rows *kept)
{
    char name[TSR_NAME_MAX];
    size_t count = 0, k = 1;
    kept[count++] = x = tsr_conv3_graph(g, BLOCK(name, "input", 0, "0"), x, 1);
    for (size_t level = 0; level < n->levels; level++) {
        for (size_t i = 0; i < n->blocks; i++, k++) {
            x = tsr_res_graph(g, BLOCK(name, "input", k, "0."), &names, x, emb);
            if (n->attends[level])
                x = attention_graph(g, BLOCK(name, "input", k, "1."), x);
            kept[count++] = x;
        }
        if (level + 1 == n->levels)
            break;
        tsr_graph_label(g, "%s", BLOCK(name, "input", k, "0.op"));
        kept[count++] = x = tsr_conv3_graph(g, BLOCK(name, "input", k++, "0.op"), x, 2);
    }
    return count;
}

static tsr_rows up_graph(tsr_graph *g, const tsr_diffnet *n, tsr_rows x, tsr_value emb,
                         const tsr_rows *kept, size_t count)
{
    char name[TSR_NAME_MAX];
    size_t k = 0;
    for (size_t level = n->levels; level-- > 0;)
        for (size_t i = 0; i <= n->blocks; i++, k++) {
            x = tsr_beside(g, x, kept[--count]);
            x = tsr_res_graph(g, BLOCK(name, "output", k, "0."), &names, x, emb);
            if (n->attends[level])
                x = attention_graph(g, BLOCK(name, "output", k, "1."), x);
            if (level == 0 || i < n->blocks)
                continue;
            tsr_graph_label(g, "%s", BLOCK(name, "output", k, "up"));
            x = tsr_up_graph(g, n->attends[level] ? BLOCK(name, "output", k, "2.conv")
                                                  : BLOCK(name, "output", k, "1.conv"), x);
        }
    return x;
}

void tsr_unet_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io)
{
    tsr_rows kept[BLOCKS_MAX * 4];
    size_t h = io->height / n->patch, w = io->width / n->patch, patch = n->patch * n->patch;
    const size_t three[] = {1, h * w, n->cond};
    tsr_value told = tsr_reshape(g, tsr_embedding(g, io->vectors, io->places), 3, three);
    tsr_rows x = {tsr_patchify(g, io->picture, (int)n->patch), h, w, n->channels * patch};
    x = tsr_beside(g, x, (tsr_rows){told, h, w, n->cond});
    tsr_graph_label(g, "time_embed");
    tsr_value emb = tsr_net_linear(g, TSR_DIFFNET_PREFIX "time_embed.0", io->time, TSR_ACT_SILU);
    emb = tsr_net_linear(g, TSR_DIFFNET_PREFIX "time_embed.2", emb, TSR_ACT_SILU);
    size_t count = down_graph(g, n, x, emb, kept);
    x = kept[count - 1];
    x = tsr_res_graph(g, TSR_DIFFNET_PREFIX "middle_block.0.", &names, x, emb);
    x = attention_graph(g, TSR_DIFFNET_PREFIX "middle_block.1.", x);
    x = tsr_res_graph(g, TSR_DIFFNET_PREFIX "middle_block.2.", &names, x, emb);
    x = up_graph(g, n, x, emb, kept, count);
    tsr_graph_label(g, "out");
    x.x = tsr_group_graph(g, TSR_DIFFNET_PREFIX "out.0", x.x, TSR_ACT_SILU);
    x = tsr_conv3_graph(g, TSR_DIFFNET_PREFIX "out.2", x, 1);
    io->out = tsr_unpatchify(g, x.x, (int)h, (int)w, (int)n->patch);
}

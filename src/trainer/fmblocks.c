/* SPDX-License-Identifier: Apache-2.0
 * Parts of the masked model as graphs. */
#include "trainer/fmblocks.h"

#include "nn/ops.h"

#include <stdio.h>

#define EPS  1e-6f
#define NAME 192

/* --- weights by name ------------------------------------------------------------------------- */

static tsr_value weight(tsr_graph *g, const char *at, const char *name)
{
    char full[NAME];
    snprintf(full, sizeof full, "%s%s", at, name);
    return tsr_weight(g, full);
}

static tsr_value weight_or_none(tsr_graph *g, const char *at, const char *name)
{
    char full[NAME];
    snprintf(full, sizeof full, "%s%s", at, name);
    return tsr_weight_or_none(g, full);
}

static tsr_value linear(tsr_graph *g, const char *at, tsr_value x, tsr_act act)
{
    return tsr_linear(g, x, weight(g, at, ".weight"), weight_or_none(g, at, ".bias"), act);
}

static tsr_value norm(tsr_graph *g, const char *at, tsr_value x)
{
    return tsr_layer_norm(g, x, weight(g, at, ".weight"), weight(g, at, ".bias"), EPS);
}

typedef struct place {
    char name[NAME];
} place;

/* "encoder.3." + name */
static place in_block(tsr_fm_stack side, size_t i, const char *name)
{
    place p;
    snprintf(p.name, sizeof p.name, "%s.%zu.%s", side == TSR_FM_ENCODER ? "encoder" : "decoder", i,
             name);
    return p;
}

/* "encoder_embeddings.depth." + name; without the modality where a table is shared. */
static place in_embeddings(const tsr_fm_config *c, tsr_fm_stack side, size_t m, const char *name,
                           int shared)
{
    place p;
    snprintf(p.name, sizeof p.name, "%s_embeddings.%s%s%s",
             side == TSR_FM_ENCODER ? "encoder" : "decoder", shared ? "" : c->mods.items[m].name,
             shared ? "" : ".", name);
    return p;
}

/* --- embeddings ------------------------------------------------------------------------------ */

size_t tsr_fm_first_id(const tsr_fm_config *c, size_t m)
{
    return c->shared_vocabulary ? c->mods.items[m].base : 0;
}

tsr_value tsr_fm_tokens(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m)
{
    place table = in_embeddings(c, side, m, "token_emb.weight", c->shared_vocabulary);
    if (side == TSR_FM_DECODER && !tsr_has_weight(g, table.name)) /* tied */
        table = in_embeddings(c, side, m, "to_logits.weight", c->shared_vocabulary);
    return tsr_weight(g, table.name);
}

int tsr_fm_padding(const tsr_fm_config *c, size_t m)
{
    int text = c->mods.items[m].cls == TSR_CLASS_SEQUENCE;
    return text ? (int)tsr_fm_first_id(c, m) + TSR_ID_PAD : -1;
}

tsr_value tsr_fm_positions(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m)
{
    return tsr_weight(g, in_embeddings(c, side, m, "pos_emb", 0).name);
}

tsr_value tsr_fm_mod_emb(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m)
{
    place mod = in_embeddings(c, side, m, "mod_emb", 0);
    if (side == TSR_FM_DECODER && !tsr_has_weight(g, mod.name)) /* tied */
        mod = in_embeddings(c, TSR_FM_ENCODER, m, "mod_emb", 0);
    return tsr_weight(g, mod.name);
}

tsr_value tsr_fm_patches(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value patches)
{
    tsr_graph_label(g, "encoder_embeddings.%s", c->mods.items[m].name);
    return linear(g, in_embeddings(c, TSR_FM_ENCODER, m, "proj", 0).name, patches, TSR_ACT_NONE);
}

tsr_value tsr_fm_target(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value ids,
                        tsr_value positions)
{
    tsr_graph_label(g, "decoder_embeddings.%s", c->mods.items[m].name);
    tsr_value e = tsr_embedding(g, tsr_fm_positions(g, c, TSR_FM_DECODER, m), positions);
    e = tsr_add(g, e, tsr_fm_mod_emb(g, c, TSR_FM_DECODER, m));
    if (c->mods.items[m].cls != TSR_CLASS_SEQUENCE)
        return tsr_add(g, e, tsr_weight(g, "mask_token"));
    tsr_value table = tsr_fm_tokens(g, c, TSR_FM_DECODER, m);
    return tsr_add(g, e, tsr_embedding_padded(g, table, ids, tsr_fm_padding(c, m)));
}

/* --- attention ------------------------------------------------------------------------------- */

/* Norms of the heads inside the first `normed` parts of packed rows, where the model has them. */
static tsr_value norm_heads(tsr_graph *g, const tsr_fm_config *c, const char *at, tsr_value rows,
                            tsr_head_norm_spec s)
{
    static const char *const names[][2] = {{".q_norm.weight", ".q_norm.bias"},
                                           {".k_norm.weight", ".k_norm.bias"}};
    int first = s.parts == 2; /* kv */
    if (!c->qk_norm)
        return rows;
    s.heads = (int)c->heads;
    s.eps = EPS;
    s.weight[1] = s.bias[1] = TSR_NONE;
    for (int i = 0; i < s.normed; i++) {
        s.weight[i] = weight(g, at, names[first + i][0]);
        s.bias[i] = weight(g, at, names[first + i][1]);
    }
    return tsr_head_norm(g, rows, &s);
}

tsr_value tsr_fm_self_qkv(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                          tsr_value x)
{
    int encoder = side == TSR_FM_ENCODER;
    place at = in_block(side, i, encoder ? "attn" : "self_attn");
    x = norm(g, in_block(side, i, "norm1").name, x);
    x = linear(g, in_block(side, i, encoder ? "attn.qkv" : "self_attn.qkv").name, x, TSR_ACT_NONE);
    return norm_heads(g, c, at.name, x, (tsr_head_norm_spec){.parts = 3, .normed = 2});
}

tsr_value tsr_fm_self_add(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                          tsr_value x, tsr_value attended)
{
    (void)c;
    place proj = in_block(side, i, side == TSR_FM_ENCODER ? "attn.proj" : "self_attn.proj");
    return tsr_add(g, x, linear(g, proj.name, attended, TSR_ACT_NONE));
}

tsr_value tsr_fm_cross_q(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y)
{
    place at = in_block(TSR_FM_DECODER, i, "cross_attn");
    y = norm(g, in_block(TSR_FM_DECODER, i, "query_norm").name, y);
    y = linear(g, in_block(TSR_FM_DECODER, i, "cross_attn.q").name, y, TSR_ACT_NONE);
    return norm_heads(g, c, at.name, y, (tsr_head_norm_spec){.parts = 1, .normed = 1});
}

tsr_value tsr_fm_cross_kv(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value context)
{
    place at = in_block(TSR_FM_DECODER, i, "cross_attn");
    context = norm(g, in_block(TSR_FM_DECODER, i, "context_norm").name, context);
    context = linear(g, in_block(TSR_FM_DECODER, i, "cross_attn.kv").name, context, TSR_ACT_NONE);
    return norm_heads(g, c, at.name, context, (tsr_head_norm_spec){.parts = 2, .normed = 1});
}

tsr_value tsr_fm_cross_add(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y,
                           tsr_value attended)
{
    (void)c;
    place proj = in_block(TSR_FM_DECODER, i, "cross_attn.proj");
    return tsr_add(g, y, linear(g, proj.name, attended, TSR_ACT_NONE));
}

/* --- MLP ------------------------------------------------------------------------------------- */

tsr_value tsr_fm_mlp_add(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                         tsr_value x)
{
    tsr_act act = c->gelu ? TSR_ACT_GELU : TSR_ACT_SILU;
    place fc1 = in_block(side, i, "mlp.fc1"), fc3 = in_block(side, i, "mlp.fc3");
    tsr_value y = norm(g, in_block(side, i, "norm2").name, x), gate;
    if (!c->gated_mlp) {
        y = linear(g, fc1.name, y, act);
    } else {
        gate = linear(g, fc1.name, y, TSR_ACT_NONE);
        y = linear(g, fc3.name, y, TSR_ACT_NONE);
        y = c->gelu ? tsr_mul(g, tsr_gelu(g, gate), y) : tsr_silu_gate(g, gate, y);
    }
    return tsr_add(g, x, linear(g, in_block(side, i, "mlp.fc2").name, y, TSR_ACT_NONE));
}

/* --- blocks ---------------------------------------------------------------------------------- */

static tsr_value attend_self(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                             tsr_value x, const tsr_attention_spec *self)
{
    tsr_attention_spec spec = *self;
    spec.heads = (int)c->heads;
    tsr_value y = tsr_self_attention(g, tsr_fm_self_qkv(g, c, side, i, x), &spec);
    return tsr_fm_self_add(g, c, side, i, x, y);
}

tsr_value tsr_fm_encoder_block(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value x,
                               const tsr_attention_spec *self)
{
    tsr_graph_label(g, "encoder.%zu", i);
    x = attend_self(g, c, TSR_FM_ENCODER, i, x, self);
    return tsr_fm_mlp_add(g, c, TSR_FM_ENCODER, i, x);
}

tsr_value tsr_fm_decoder_block(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y,
                               tsr_value context, const tsr_attention_spec *self,
                               const tsr_attention_spec *cross)
{
    tsr_attention_spec spec = *cross;
    spec.heads = (int)c->heads;
    tsr_graph_label(g, "decoder.%zu", i);
    y = attend_self(g, c, TSR_FM_DECODER, i, y, self);
    tsr_value q = tsr_fm_cross_q(g, c, i, y), kv = tsr_fm_cross_kv(g, c, i, context);
    y = tsr_fm_cross_add(g, c, i, y, tsr_cross_attention(g, q, kv, &spec));
    return tsr_fm_mlp_add(g, c, TSR_FM_DECODER, i, y);
}

/* --- ends ------------------------------------------------------------------------------------ */

tsr_value tsr_fm_end(tsr_graph *g, tsr_fm_stack side, tsr_value x)
{
    const char *name = side == TSR_FM_ENCODER ? "encoder_norm" : "decoder_norm";
    tsr_graph_label(g, "%s", name);
    return norm(g, name, x);
}

tsr_value tsr_fm_context(tsr_graph *g, tsr_value encoded, tsr_value e)
{
    tsr_graph_label(g, "decoder_proj_context");
    return tsr_add(g, linear(g, "decoder_proj_context", encoded, TSR_ACT_NONE), e);
}

tsr_value tsr_fm_logits(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value rows)
{
    place head = in_embeddings(c, TSR_FM_DECODER, m, "to_logits.weight", c->shared_vocabulary);
    tsr_graph_label(g, "to_logits.%s", c->mods.items[m].name);
    return tsr_linear(g, rows, tsr_weight(g, head.name), TSR_NONE, TSR_ACT_NONE);
}

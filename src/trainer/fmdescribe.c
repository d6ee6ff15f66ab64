/* SPDX-License-Identifier: Apache-2.0
 * What a masked model is, for people. */
#include "base/mem.h"
#include "base/str.h"
#include "trainer/fm_priv.h"

#include <string.h>

/* Trained values: of the blocks' products, of tables and heads, of all. */
typedef struct counts {
    size_t blocks, embeddings, trained, stored;
    size_t products; /* weights of products; tables are looked up in the file */
} counts;

static counts count_values(const tsr_params *ps)
{
    counts n = {0};
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        n.stored += p->count;
        if (!(p->flags & TSR_PARAM_TRAIN))
            continue;
        n.trained += p->count;
        n.blocks += tsr_fm_is_block(p->name) ? p->count : 0;
        n.embeddings += strstr(p->name, "_embeddings.") ? p->count : 0;
        n.products += p->ndim == 2 && !strstr(p->name, "_emb") ? p->count : 0;
        n.products += tsr_ends_with(p->name, "to_logits.weight") ? p->count : 0;
    }
    return n;
}

/* What counts for the class of modality m, under its name. */
static tsr_status describe_mod(const tsr_mod *m, json_t *into)
{
    char digest[TSR_DIGEST_CHARS];
    const char *role = !m->output ? "input" : m->input ? "input and output" : "output";
    json_t *o = json_pack("{s:s, s:s}", "class", tsr_modality_class_name(m->cls), "role", role);
    TSR_TRY(tsr_json_set(into, m->name, o));
    if (m->cls == TSR_CLASS_PIXELS)
        TSR_TRY(tsr_json_set(o, "patch_values", json_integer(m->patch_values)));
    else
        TSR_TRY(tsr_json_set(o, "vocabulary", json_integer(m->vocabulary)));
    if (m->cls == TSR_CLASS_SEQUENCE)
        TSR_TRY(tsr_json_set(o, "max_tokens", json_integer(m->max_tokens)));
    else
        TSR_TRY(tsr_json_set(o, "grid", json_pack("[i,i]", (int)m->height, (int)m->width)));
    if (!m->tokenizer.hi && !m->tokenizer.lo)
        return TSR_OK;
    tsr_digest_text(m->tokenizer, digest);
    return tsr_json_set(o, "tokenizer", json_string(digest));
}

static tsr_status describe_sizes(const tsr_fm *m, json_t *into)
{
    const tsr_fm_config *c = &m->config;
    counts n = count_values(m->ps);
    json_t *sizes =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:b, s:b, s:I, s:b}", "dim",
                  (json_int_t)c->dim, "encoder_depth", (json_int_t)c->encoder_depth,
                  "decoder_depth", (json_int_t)c->decoder_depth, "heads", (json_int_t)c->heads,
                  "mlp_hidden", (json_int_t)tsr_fm_hidden(c), "activation",
                  c->gelu ? "GELU" : "SiLU", "gated_mlp", c->gated_mlp, "biases",
                  c->qkv_bias || c->proj_bias || c->mlp_bias || c->norm_bias, "qk_norm", c->qk_norm,
                  "registers", (json_int_t)c->registers, "shared_vocabulary", c->shared_vocabulary);
    json_t *values = json_pack("{s:I, s:I, s:I, s:I}", "blocks", (json_int_t)n.blocks, "embeddings",
                               (json_int_t)n.embeddings, "trained", (json_int_t)n.trained, "stored",
                               (json_int_t)n.stored);
    tsr_status st = tsr_json_set(into, "sizes", sizes);
    return st == TSR_OK ? tsr_json_set(into, "parameters", values) : (json_decref(values), st);
}

/* What the weights take in memory, without activations: once each to run; values, gradients and two
 * moments to train. */
static tsr_status describe_memory(const tsr_fm *m, json_t *into)
{
    counts n = count_values(m->ps);
    return tsr_json_set(into, "weight_bytes",
                        json_pack("{s:I, s:I, s:I}", "run_bf16", (json_int_t)(2 * n.products),
                                  "run_fp32", (json_int_t)(4 * n.products), "train",
                                  (json_int_t)(4 * (n.stored - n.trained) + 16 * n.trained)));
}

/* Names that the reference ties in training and this file does not. */
static tsr_status describe_untied(const tsr_fm *m, json_t *into)
{
    tsr_tie tie;
    json_t *list = json_array();
    TSR_TRY(tsr_json_set(into, "untied", list));
    for (size_t i = 0; tsr_fm_tie(&m->config, i, &tie); i++)
        if (tsr_params_find(m->ps, tie.other))
            TSR_TRY(tsr_json_append(list, json_string(tie.other)));
    return TSR_OK;
}

tsr_status tsr_fm_describe(const tsr_fm *m, json_t **out)
{
    tsr_status st;
    json_t *o = json_object(), *mods = json_object();
    TSR_GO(tsr_json_set(o, "kind", json_string("masked model")));
    TSR_GO(describe_sizes(m, o));
    TSR_GO(describe_memory(m, o));
    for (size_t i = 0; i < m->config.mods.count; i++)
        TSR_GO(describe_mod(&m->config.mods.items[i], mods));
    TSR_GO(tsr_json_set(o, "modalities", json_incref(mods)));
    if (m->left_out)
        TSR_GO(tsr_json_set(o, "left_out", json_incref(m->left_out)));
    if (m->extra)
        TSR_GO(tsr_json_set(o, "provenance", json_incref(m->extra)));
    if (m->problems)
        json_object_update(o, m->problems);
    if (!tsr_params_deferred(m->ps))
        TSR_GO(describe_untied(m, o));
    *out = json_incref(o);
out:
    json_decref(mods);
    json_decref(o);
    return st;
}

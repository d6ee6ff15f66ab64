/* SPDX-License-Identifier: Apache-2.0
 * Parts of the masked model as graphs, for fmnet and for generation (which keeps keys and values
 * between runs). Each function appends to a graph made on tsr_fm_params(); rows are packed, [rows,
 * D], and may change between runs; the first mistake sticks in the graph.
 *
 *   encoder   x += proj(attention(qkv(norm1 x)));  x += mlp(norm2 x)
 *   context   proj_context(encoder_norm x) + e
 *   decoder   y += proj(attention(qkv(norm1 y)));
 *             y += proj(attention(q(query_norm y), kv(context_norm context)));  y += mlp(norm2 y)
 *   logits    to_logits(decoder_norm y)
 *
 * Source   apple/ml-4m, fourm/models/fm_utils.py, Block and DecoderBlock; norms eps 1e-6. */
#ifndef TSR_TRAINER_FMBLOCKS_H
#define TSR_TRAINER_FMBLOCKS_H

#include "nn/graph.h"
#include "nn/layers.h"
#include "trainer/fm.h"

typedef enum tsr_fm_stack { TSR_FM_ENCODER, TSR_FM_DECODER } tsr_fm_stack;

/* --- embeddings ------------------------------------------------------------------------------ */

/* The table of modality m's tokens [V, D] on that side (all ids with a shared vocabulary: add
 * tsr_fm_first_id to local ones), and the id in it that gets no gradient from look-ups ([PAD] of
 * texts), or -1. */
tsr_value tsr_fm_tokens(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m);
int tsr_fm_padding(const tsr_fm_config *c, size_t m);

/* Positions [P, D] and modality embedding [D] of modality m on that side. */
tsr_value tsr_fm_positions(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m);
tsr_value tsr_fm_mod_emb(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t m);

/* Content [n, D] of patches [n, patch_values] float32, normalised, of modality m. */
tsr_value tsr_fm_patches(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value patches);

/* What the decoder starts from, [n, D]: address plus mask_token; sequences: plus the token at each
 * row, ids [n] as above (TSR_NONE for the others). */
tsr_value tsr_fm_target(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value ids,
                        tsr_value positions);

/* --- blocks ---------------------------------------------------------------------------------- */

/* Block i as a whole. self: segments of x (heads are set here). */
tsr_value tsr_fm_encoder_block(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value x,
                               const tsr_attention_spec *self);

/* self: segments of y, causal where its rows are a sequence; cross: segments of y and of the
 * context. Rows whose segment of the context is empty see nothing: attention gives 0 (and proj its
 * bias, where there is one). */
tsr_value tsr_fm_decoder_block(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y,
                               tsr_value context, const tsr_attention_spec *self,
                               const tsr_attention_spec *cross);

/* Block i in pieces, the same values: queries, keys and values [n, 3D] of self-attention (after
 * their norms), then x plus the projection of what attention made of them, then x plus the MLP. */
tsr_value tsr_fm_self_qkv(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                          tsr_value x);
tsr_value tsr_fm_self_add(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                          tsr_value x, tsr_value attended);
tsr_value tsr_fm_mlp_add(tsr_graph *g, const tsr_fm_config *c, tsr_fm_stack side, size_t i,
                         tsr_value x);

/* Cross-attention of decoder block i: q [n, D] of y, kv [rows, 2D] of the context. */
tsr_value tsr_fm_cross_q(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y);
tsr_value tsr_fm_cross_kv(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value context);
tsr_value tsr_fm_cross_add(tsr_graph *g, const tsr_fm_config *c, size_t i, tsr_value y,
                           tsr_value attended);

/* --- ends ------------------------------------------------------------------------------------ */

/* encoder_norm (decoder_norm) of the last block's rows. */
tsr_value tsr_fm_end(tsr_graph *g, tsr_fm_stack side, tsr_value x);

/* What the decoder sees of encoder rows after encoder_norm; e are their addresses (0 for
 * registers). */
tsr_value tsr_fm_context(tsr_graph *g, tsr_value encoded, tsr_value e);

/* Logits [n, V] of decoder rows after decoder_norm; with a shared vocabulary over all of its ids.
 */
tsr_value tsr_fm_logits(tsr_graph *g, const tsr_fm_config *c, size_t m, tsr_value rows);

/* What to add to a local id of modality m to index these logits. */
size_t tsr_fm_first_id(const tsr_fm_config *c, size_t m);

#endif

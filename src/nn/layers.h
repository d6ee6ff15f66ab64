/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary of models, second half: activations, norms, attention, tables, images, losses,
 * nearest codes. Same rules as nn/ops.h. */
#ifndef TSR_NN_LAYERS_H
#define TSR_NN_LAYERS_H

#include "nn/graph.h"
#include "nn/kernels.h"
#include "nn/ops.h"

/* --- activations --------------------------------------------------------------------------------
 * Accuracy   tanh, silu, sigmoid, exp within 4 ulp; gelu within 2e-7 max(1, |y|). */

tsr_value tsr_gelu(tsr_graph *g, tsr_value x);    /* x/2 (1 + erf(x / sqrt 2)), the exact form */
tsr_value tsr_tanh(tsr_graph *g, tsr_value x);
tsr_value tsr_silu(tsr_graph *g, tsr_value x);    /* x / (1 + exp(-x)) */
tsr_value tsr_sigmoid(tsr_graph *g, tsr_value x); /* 1 / (1 + exp(-x)) */
tsr_value tsr_exp(tsr_graph *g, tsr_value x);

/* silu(a) b, of one shape: the gate of a SwiGLU block. */
tsr_value tsr_silu_gate(tsr_graph *g, tsr_value a, tsr_value b);

/* --- norms ---------------------------------------------------------------------------------------*/

/* y = (x - mean) / sqrt(var + eps) w + b over the last dimension; var is biased.
 * x [..., D], w and b [D] or TSR_NONE (1 and 0). */
tsr_value tsr_layer_norm(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, float eps);

/* y = x / max(|x|, eps), |x| the Euclidean length over the last dimension. */
tsr_value tsr_normalize(tsr_graph *g, tsr_value x, float eps);

/* Query/key norm: a layer norm of each head, inside rows that hold `parts` equal parts of `heads`
 * heads each: qkv (parts 3), q (1) or kv (2). The first `normed` parts (1 or 2) are normed, each with
 * its own weight and bias, shared by its heads; the others stay as they are.
 *
 * x [..., parts * heads * d], weight and bias [d] or TSR_NONE (1 and 0), d <= 128 -> shape of x
 *
 *   qkv of self-attention    {.parts = 3, .normed = 2, .weight = {q_norm, k_norm}, ...}
 *   q of cross-attention     {.parts = 1, .normed = 1, .weight = {q_norm, TSR_NONE}, ...}
 *   kv of cross-attention    {.parts = 2, .normed = 1, .weight = {k_norm, TSR_NONE}, ...}
 * A bias that is not given must be TSR_NONE too. */
typedef struct tsr_head_norm_spec {
    int parts, normed, heads;
    float eps;
    tsr_value weight[2], bias[2];
} tsr_head_norm_spec;
tsr_value tsr_head_norm(tsr_graph *g, tsr_value x, const tsr_head_norm_spec *spec);

/* --- attention -----------------------------------------------------------------------------------*/

/* Fill with TSR_ATTENTION(heads) and change what differs. */
typedef struct tsr_attention_spec {
    int heads;
    float scale;         /* 0: 1 / sqrt(head width) */
    int causal;          /* query i sees keys j <= i + Nk - Nq */
    tsr_value q_offsets; /* [S+1] int32 ascending: segment s is rows [o[s], o[s+1]) of q */
    tsr_value k_offsets; /* the same of k and v; TSR_NONE: q_offsets */
    tsr_value k_begin, k_end; /* [S] int32 instead of k_offsets: segment s sees keys [begin, end) */
    tsr_value causal_segments; /* [S] int32, 1 = causal, beside `causal`; or TSR_NONE */
} tsr_attention_spec;

#define TSR_ATTENTION(h)                                                                           \
    ((tsr_attention_spec){.heads = (h), .q_offsets = TSR_NONE, .k_offsets = TSR_NONE,              \
                          .k_begin = TSR_NONE, .k_end = TSR_NONE, .causal_segments = TSR_NONE})

/* o = softmax(scale q k^T) v for each head; heads lie side by side in the last dimension.
 *
 * q       [B, Nq, H*d]; with segments [Nq, H*d]         d <= 128
 * k, v    [B, Nk, H*d]; with segments [Nk, H*d]
 * result  shape of q; zero for a query without keys and for rows outside all segments
 *
 * Packed samples: rows of all samples lie one after the other, and q_offsets says which belong
 * together. With k_offsets segment s of q sees segment s of k. With k_begin and k_end the ranges of
 * keys are free: in any order, shared, overlapping, or empty. So a decoder with one segment for each
 * (sample, target modality) lets all segments of a sample see the rows its encoder made:
 *
 *   q rows   sample 0: rgb rgb rgb | depth depth    sample 1: caption | rgb rgb
 *   keys     sample 0: 5 encoder rows               sample 1: 3 encoder rows
 *   q_offsets {0, 3, 5, 6, 8}   k_begin {0, 0, 5, 5}   k_end {5, 5, 8, 8}
 *
 * Gradients of keys that several segments see are added in a fixed order. Neighbours that see the same
 * keys and are not causal cost no more than one segment.
 * A growing sequence: q holds the new rows only (q_offsets {0, 1, 2, ...} for one row a sequence), k and
 * v a cache of all rows so far (tsr_put_rows), k_begin and k_end each sequence's part of it; no
 * `causal`, or causal when a sequence has several new rows, which lie at the end of its keys.
 *
 * Sequences of a batch, and segments, do not see each other. Offsets out of order or range are cut
 * to what is possible. In bf16 precision q, k, v and the probabilities are rounded to bf16 for the
 * two products where the processor has bf16 tiles; softmax is float32. A row's result depends on its
 * own sequence only. Gradients are computed in float32 from the operands as stored. */
tsr_value tsr_attention(tsr_graph *g, tsr_value q, tsr_value k, tsr_value v,
                        const tsr_attention_spec *spec);

/* The same with q, k, v as thirds of the last dimension: qkv [B, N, 3*H*d] or [N, 3*H*d]. */
tsr_value tsr_self_attention(tsr_graph *g, tsr_value qkv, const tsr_attention_spec *spec);

/* The same with k, v as halves of the last dimension: kv [B, Nk, 2*H*d] or [Nk, 2*H*d]. */
tsr_value tsr_cross_attention(tsr_graph *g, tsr_value q, tsr_value kv,
                              const tsr_attention_spec *spec);

/* --- tables --------------------------------------------------------------------------------------*/

/* Rows of a table: table [V, D], ids [...] int32 -> [..., D]. An id outside [0, V) gives a row of
 * zeros and no gradient. Gradients of one row are added in order of position. The table is a weight
 * or any other value: with activations this gathers rows by index, some of them several times or
 * never (the rows of one modality out of a packed batch). */
tsr_value tsr_embedding(tsr_graph *g, tsr_value table, tsr_value ids);

/* The same, where rows of id `padding` get no gradient (the lookup itself is normal). */
tsr_value tsr_embedding_padded(tsr_graph *g, tsr_value table, tsr_value ids, int padding);

/* Rows out of several tables: row i of the result is row ids[i] of table which[i], or zeros (without
 * gradient) when there is no such table or row. Rows of many kinds come out in the order in which they
 * are wanted, in one pass.
 *
 * tables   [V_k, D] each, weights or other values
 * which    [N] int32, first + index of the table
 * ids      [N] int32
 * result   [N, D]
 * Rows of id padding[k] of table k get no gradient; -1: all do. */
#define TSR_LOOKUP_TABLES 22
typedef struct tsr_tables {
    int count, first; /* tables; what `which` says of the first */
    tsr_value tables[TSR_LOOKUP_TABLES];
    int padding[TSR_LOOKUP_TABLES];
} tsr_tables;
tsr_value tsr_lookup(tsr_graph *g, const tsr_tables *t, tsr_value which, tsr_value ids);

/* Put rows [n, D] into `cache` [M, D], an input of the graph, at places ids [n] int32: of equal ids
 * the last row stays, ids outside [0, M) are dropped. Returns the cache as it is then, whose contents
 * stay for the next run as those of inputs do; operations appended before see it as it was. No
 * gradient. Keys and values of a growing sequence: put the new rows, then attend with k_begin and
 * k_end over the cache. */
tsr_value tsr_put_rows(tsr_graph *g, tsr_value cache, tsr_value rows, tsr_value ids);

/* --- images -------------------------------------------------------------------------------------*/

/* [B, C, H, W] -> [B, (H/P)*(W/P), C*P*P]; feature index (c*P + py)*P + px, tokens row by row. P = 1
 * turns channels-first into channels-last. */
tsr_value tsr_patchify(tsr_graph *g, tsr_value x, int patch);

/* The inverse: [B, N, C*P*P] -> [B, C, rows*P, columns*P], N = rows * columns. */
tsr_value tsr_unpatchify(tsr_graph *g, tsr_value x, int rows, int columns, int patch);

/* Bicubic resampling (A = -0.75, half-pixel centres, taps clamped to the border, no antialias) of the
 * last two dimensions: [..., H, W] -> [..., h, w]. Equal sizes are an exact identity.
 * Source   PyTorch's bicubic with align_corners off, as used for positional tables by ml-4m. */
tsr_value tsr_resample(tsr_graph *g, tsr_value x, int h, int w);

/* Cross-correlation with square stride, zero padding and channel groups.
 * x [B, C, H, W], w [O, C/groups, kh, kw], b [O] or TSR_NONE
 * -> [B, O, (H + 2 pad - kh) / stride + 1, (W + 2 pad - kw) / stride + 1]. Always float32. */
typedef struct tsr_conv_spec {
    int stride, pad, groups;
} tsr_conv_spec;
tsr_value tsr_conv2d(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b, tsr_conv_spec spec);

/* --- losses --------------------------------------------------------------------------------------
 * Each gives one float, [1]: a mean over valid elements, 0 when none is valid. Gradients flow to the
 * prediction only. mask: TSR_NONE, or pred's shape with dimensions of 1 where it repeats; an element
 * counts by its mask value (0 or 1, or any weight >= 0): sum(m f) / sum(m). */

tsr_value tsr_mse(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask);
tsr_value tsr_l1(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask);

/* d^2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere; beta > 0. */
tsr_value tsr_smooth_l1(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask, float beta);

/* 1 - cosine over the last dimension: pred, target [..., D], mask [...] or TSR_NONE. Lengths are at
 * least 1e-8. */
tsr_value tsr_cosine_loss(tsr_graph *g, tsr_value pred, tsr_value target, tsr_value mask);

/* Mean of -log softmax(logits)[id] over rows: logits [R, V], ids [R] int32, weights [R] or TSR_NONE
 * (1). A row whose id is outside [0, V) does not count. sum(w l) / sum(w). */
tsr_value tsr_softmax_cross_entropy(tsr_graph *g, tsr_value logits, tsr_value ids,
                                    tsr_value weights);

/* SUM of w times nll, [1], added in double in order of rows; nll = -log softmax(logits)[id] of each
 * row goes to *row_nll [R] (NULL: not wanted), for metrics, without gradient.
 *
 * logits   [R, V]    computed by tsr_linear in bf16 precision they are stored as bf16, losses and
 *                    softmax are float32
 * ids      [R]       int32; a row whose id is outside [0, V) has nll 0 and no gradient
 * weights  [R]       >= 0, or TSR_NONE (1)
 * With weights 1 / R this is a mean; with R = 0 the sum is 0. */
tsr_value tsr_softmax_nll(tsr_graph *g, tsr_value logits, tsr_value ids, tsr_value weights,
                          tsr_value *row_nll);

/* --- codes ---------------------------------------------------------------------------------------*/

/* Nearest code of each row: x [..., Z], codes [K, Z] -> [...] int32. Ties: the lowest index; a NaN
 * score counts as the largest. No gradient. Scores are never stored; a row's code depends on the row
 * and the codes only.
 * Source   spec of the published tokenizers: cosine and expanded Euclidean form. */
tsr_value tsr_nearest(tsr_graph *g, tsr_value x, tsr_value codes, tsr_metric metric);

/* The same outside a graph, for codebook updates: x [n, width], codes [k, width] -> ids [n]; score
 * [n] of the winner, or NULL. Runs on all threads.
 * Errors   TSR_EARG when k is 0 or above 2^31 - 1, or width is 0; TSR_ENOMEM. */
TSR_USE tsr_status tsr_nearest_codes(const tsr_nearest_block *b);

#endif

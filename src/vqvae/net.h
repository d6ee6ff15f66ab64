/* SPDX-License-Identifier: Apache-2.0
 * One side of a VQ-VAE, encoder or decoder: its sizes, its tensors, its graph. */
#ifndef TSR_VQVAE_NET_H
#define TSR_VQVAE_NET_H

#include "base/status.h"
#include "nn/graph.h"
#include "nn/params.h"
#include "nn/safetensors.h"

#include <stddef.h>
#include <stdint.h>

typedef enum tsr_net_kind {
    TSR_NET_VIT,
    TSR_NET_BOTTLENECK, /* residual MLP */
    TSR_NET_PLAIN,      /* norms and linear maps in a row, as 4M's "MLP" has it */
} tsr_net_kind;

typedef struct tsr_net {
    tsr_net_kind kind;
    const char *prefix;    /* "encoder." or "decoder." */
    size_t channels;       /* planes of the input (encoder) or output (decoder) */
    size_t patch;          /* pixels a side; 1 for feature maps and vectors */
    size_t dim;            /* width */
    size_t depth;          /* blocks */
    size_t heads;          /* of attention */
    size_t hidden;         /* width inside an MLP block */
    size_t grid_h, grid_w; /* of the positional table */
    int post_mlp, out_conv;
} tsr_net;

/* Adds tensors to a store, and fills them when `fill` is set. The first failure sticks. */
typedef struct tsr_maker {
    tsr_params *ps;
    uint64_t seed;
    int fill;
    tsr_status st;
} tsr_maker;

/* One trained tensor; weight decay by its name. NULL after a failure. */
tsr_param *tsr_make(tsr_maker *m, const char *name, tsr_init rule, float arg, int ndim,
                    const size_t *shape);

/* A linear map "<name>.weight" [out, in] and "<name>.bias" [out], by the rule given for the weight.
 * TSR_INIT_FAN_IN fills the bias likewise (PyTorch's default), others leave it 0. */
void tsr_make_linear(tsr_maker *m, const char *name, tsr_init rule, float arg, size_t out,
                     size_t in);

/* "<name>.weight" (1) and "<name>.bias" (0) of a norm. */
void tsr_make_norm(tsr_maker *m, const char *name, size_t dim);

/* The graph of a linear map by name, without bias when there is none. */
tsr_value tsr_net_linear(tsr_graph *g, const char *name, tsr_value x, int act);
tsr_value tsr_net_norm(tsr_graph *g, const char *name, tsr_value x, float eps);

/* "prefix" + printf into a buffer for names. */
#define TSR_NAME_MAX 160
const char *tsr_name(char buffer[TSR_NAME_MAX], const char *prefix, const char *fmt, ...)
    TSR_PRINTF(3, 4);

/* Add the parameters of a ViT (encoder or decoder) or of a bottleneck MLP. */
void tsr_vit_make(tsr_maker *m, const tsr_net *n, int decoder);
void tsr_mlp_make(tsr_maker *m, const tsr_net *n, size_t in, size_t out);

/* x [B, C, rows * patch, columns * patch] -> [B, rows * columns, dim] */
tsr_value tsr_vit_encode(tsr_graph *g, const tsr_net *n, tsr_value x);

/* x [B, rows * columns, dim] -> [B, C, rows * patch, columns * patch] */
tsr_value tsr_vit_decode(tsr_graph *g, const tsr_net *n, tsr_value x, size_t rows, size_t columns);

/* x [B, N, in] -> [B, N, out] */
tsr_value tsr_mlp_graph(tsr_graph *g, const tsr_net *n, tsr_value x);

/* Fill a positional table [1, D, h, w] with sines and cosines: the first half of the channels tells
 * the row, the second the column. */
void tsr_vit_sincos(tsr_param *p);

/* Heads of a width where nothing else is said: 64 numbers each, as in every published file. */
size_t tsr_net_heads(size_t dim);

/* Sizes of a preset by its 4M name ("vit_b_enc", "BottleneckMLP/B_6-Wi_1024"): kind, dim, depth,
 * heads, hidden. TSR_EUNSUPPORTED for a name that is not known. */
TSR_USE tsr_status tsr_net_preset(const char *type, tsr_net *n);

/* The same from the tensors of a file: whatever shapes tell replaces what is in *n. */
TSR_USE tsr_status tsr_net_from_file(const tsr_safetensors *f, tsr_net *n, int decoder);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Networks of diffusion decoders, of the published RGB, depth, normal and edge tokenizers: the patched
 * UNet and the UViT. Each is told a noisy picture, the step, and code vectors, and answers with a
 * picture. Inside, pictures are rows of channels (nn/rowimage.h). Forward only: they are opened from
 * files, not trained here.
 * Source   apple/ml-4m, fourm/vq/models/unet/unet.py and uvit.py (revision cda590f). */
#ifndef TSR_VQVAE_DIFFNET_H
#define TSR_VQVAE_DIFFNET_H

#include "nn/ops.h"
#include "vqvae/net.h"

#define TSR_DIFFNET_LEVELS 8
#define TSR_DIFFNET_PREFIX "decoder."

typedef enum tsr_diffnet_kind { TSR_DIFFNET_NONE, TSR_DIFFNET_UNET, TSR_DIFFNET_UVIT } tsr_diffnet_kind;

typedef struct tsr_diffnet {
    tsr_diffnet_kind kind;
    size_t channels; /* planes of the picture */
    size_t patch;    /* pixels a side that become one row at the start */
    size_t base;     /* width of what a step is told as */
    size_t emb;      /* width of that inside */
    size_t cond;     /* width of code vectors */
    size_t levels, blocks;
    size_t width[TSR_DIFFNET_LEVELS];
    int attends[TSR_DIFFNET_LEVELS]; /* UNet: attention behind each block of the level */
    /* UViT: the transformer in the middle */
    size_t dim, depth, heads, hidden, grid_h, grid_w;
    int mid_down;  /* half the size there */
    int cross;     /* sees code vectors by cross-attention; else they are added */
    int long_skip; /* later blocks are told what earlier ones gave */
    int down_name, down_alias; /* the layer before it by its two names, `conv` and `Conv2d_0` */
} tsr_diffnet;

/* Sizes from the tensors of a file that has such a decoder. `heads`: of the transformer, 0: as the
 * preset of this width has them. Errors   TSR_EMISMATCH, TSR_ENOENT. */
TSR_USE tsr_status tsr_diffnet_from_file(const tsr_safetensors *f, size_t heads, tsr_diffnet *n);

/* Add its parameters, in ml-4m's order. */
void tsr_diffnet_make(tsr_maker *m, const tsr_diffnet *n);

/* Sides of a picture must be multiples of this. */
size_t tsr_diffnet_multiple(const tsr_diffnet *n);

/* Inputs of the graph, for one picture of height x width and code vectors on a grid. */
typedef struct tsr_diffnet_io {
    size_t height, width, rows, columns;
    tsr_value picture; /* [1, channels, height, width] */
    tsr_value time;    /* [1, base], see tsr_noise_embedding */
    tsr_value vectors; /* [rows * columns, cond] */
    tsr_value places;  /* int32, see tsr_diffnet_place */
    tsr_value spans[3]; /* int32 [2], [1], [1]: TSR_NONE but for UViT with cross-attention */
    tsr_value out;     /* [1, channels, height, width] */
} tsr_diffnet_io;

/* Append the network; sizes of *io are given, values are set. Mistakes stick to the graph. */
void tsr_diffnet_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io);

/* Fill the inputs that say where code vectors go. dropped [rows * columns]: 1 where the network is not
 * told the code; NULL: told all. places: as long as the input; spans [4]: of the three inputs, one
 * after the other, or NULL where there are none. */
void tsr_diffnet_place(const tsr_diffnet *n, const tsr_diffnet_io *io, const uint8_t *dropped,
                       int32_t *places, int32_t *spans);

/* Shared by unet.c and uvit.c. ------------------------------------------------------------------ */

/* A picture inside: rows of channels, and their places. */
typedef struct tsr_rows {
    tsr_value x;
    size_t h, w, c;
} tsr_rows;

/* Names of the parts of a residual block, behind its own. */
typedef struct tsr_res_names {
    const char *norm1, *conv1, *emb, *norm2, *conv2, *skip;
} tsr_res_names;

/* x' = conv2(silu(norm2(conv1(silu(norm1(x))) + emb))) + skip(x), group norms of 32 groups; emb
 * [1, n->emb] is what SiLU made of the step's. */
void tsr_res_make(tsr_maker *m, const tsr_diffnet *n, const char *at, const tsr_res_names *names,
                  size_t in, size_t out);
tsr_rows tsr_res_graph(tsr_graph *g, const char *at, const tsr_res_names *names, tsr_rows x,
                       tsr_value emb);

/* 3x3 with a border of one zero. */
void tsr_conv3_make(tsr_maker *m, const char *at, size_t in, size_t out);
tsr_rows tsr_conv3_graph(tsr_graph *g, const char *at, tsr_rows x, size_t stride);

/* Twice the size by nearest pixels, then 3x3. */
tsr_rows tsr_up_graph(tsr_graph *g, const char *at, tsr_rows x);

/* A linear map that files keep as a convolution over `ones` dimensions of 1. */
void tsr_one_make(tsr_maker *m, const char *at, size_t in, size_t out, int ones);

/* Group norm of 32 groups with the weight and bias of this name. */
tsr_value tsr_group_graph(tsr_graph *g, const char *at, tsr_value x, tsr_act act);

/* a and b side by side. */
tsr_rows tsr_beside(tsr_graph *g, tsr_rows a, tsr_rows b);

/* Sizes and parts of the two kinds. */
TSR_USE tsr_status tsr_unet_from_file(const tsr_safetensors *f, tsr_diffnet *n);
TSR_USE tsr_status tsr_uvit_from_file(const tsr_safetensors *f, size_t heads, tsr_diffnet *n);
void tsr_unet_make(tsr_maker *m, const tsr_diffnet *n);
void tsr_uvit_make(tsr_maker *m, const tsr_diffnet *n);
void tsr_unet_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io);
void tsr_uvit_graph(tsr_graph *g, const tsr_diffnet *n, tsr_diffnet_io *io);

/* A tensor "decoder.<name>" of so many dimensions, none of them 0. */
TSR_USE tsr_status tsr_diffnet_look(const tsr_safetensors *f, const char *name, int ndim,
                                    const size_t **shape);
int tsr_diffnet_has(const tsr_safetensors *f, const char *name);

#endif

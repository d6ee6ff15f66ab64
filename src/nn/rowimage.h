/* SPDX-License-Identifier: Apache-2.0
 * Operations on images whose pixels are rows of channels: x [B, H*W, C], pixel (y, x) in row y*W + x.
 * Diffusion decoders are written with them; linear maps, attention and norms work on such rows as
 * they are, and tsr_patchify / tsr_unpatchify convert. Same rules as nn/ops.h, with one exception:
 * all of these are FORWARD ONLY. Gradients stop here. */
#ifndef TSR_NN_ROWIMAGE_H
#define TSR_NN_ROWIMAGE_H

#include "nn/graph.h"
#include "nn/ops.h"

/* Size of the image that x is, and of the steps of the kernel. */
typedef struct tsr_row_conv {
    size_t height, width; /* H, W of x */
    size_t stride, pad;   /* both directions; pad: zeros on every side */
} tsr_row_conv;

/* Cross-correlation: y[o] = bias[o] + sum over taps and channels of w[o, c, ky, kx] x[c].
 *
 * x      [B, H*W, C]
 * w      [O, C, kh, kw]  a weight
 * bias   [O]             any value, or TSR_NONE
 * add    [B, N, O]       added to the result, or TSR_NONE
 * result [B, N, O]       N = ((H + 2 pad - kh) / stride + 1) * (the same of W)
 *
 * In bf16 precision x and w are rounded to bf16, sums are float32. A product of fixed size for each
 * tap, so that an image's result depends neither on its batch nor on the number of threads.
 * Source   tsr_conv2d computes the same on planes; tests compare the two. */
tsr_value tsr_conv_rows(tsr_graph *g, tsr_value x, tsr_value w, tsr_value bias, tsr_value add,
                        tsr_row_conv spec);

/* y = act((x - mean) / sqrt(var + eps) w + b); mean and biased variance are those of an image's
 * channels of one group, over all its pixels. Statistics are summed in double.
 *
 * x [B, N, C], w and b [C]; groups divides C; act NONE or SILU.
 * Source   Wu and He 2018, arXiv:1803.08494. */
typedef struct tsr_group_norm_spec {
    size_t groups;
    float eps;
    tsr_act act;
} tsr_group_norm_spec;
tsr_value tsr_group_norm(tsr_graph *g, tsr_value x, tsr_value w, tsr_value b,
                         tsr_group_norm_spec spec);

/* The nearest pixel of an image of another size: from [B, h*w, C] to [B, H*W, C], pixel (Y, X) is
 * (Y*h / H, X*w / W), rounded down. */
typedef struct tsr_row_resize {
    size_t h, w, height, width;
} tsr_row_resize;
tsr_value tsr_nearest_rows(tsr_graph *g, tsr_value x, tsr_row_resize spec);

/* o = softmax(q k^T / sqrt D) v over all rows of an image, one head of any width D that is a multiple
 * of 16: qkv [B, N, 3D] with q, k, v side by side -> [B, N, D]. Float32. For widths that
 * tsr_self_attention does not take. */
tsr_value tsr_wide_attention(tsr_graph *g, tsr_value qkv);

/* y = x w, w [K, N] a weight: a linear map stored the other way round (a transposed convolution whose
 * stride is its size). x [..., K] -> [..., N]. */
tsr_value tsr_linear_transposed(tsr_graph *g, tsr_value x, tsr_value w);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * ViT encoder and decoder of the published tokenizers.
 *
 *   x = patches(image) W + b + pos                       encoder
 *   x = x + proj(attention(norm1(x)))                    each block
 *   x = x + fc2(gelu(fc1(norm2(x))))
 *   x = x + fc2(tanh(fc1(norm(x))))                      post-MLP, where the model has one
 *   image = patches^-1(x W + b), then output convolutions where the model has them   decoder
 *
 * There is no norm at the end. Positions come from a stored table, resampled for other grids.
 * Source   apple/ml-4m, fourm/vq/models/vit_models.py; Dosovitskiy et al. 2021, arXiv:2010.11929.
 */
#include "vqvae/net.h"

#include "nn/layers.h"
#include "nn/ops.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define EPS 1e-6f

/* --- tensors -----------------------------------------------------------------------------------
 */

const char *tsr_name(char buffer[TSR_NAME_MAX], const char *prefix, const char *fmt, ...)
{
    int n = snprintf(buffer, TSR_NAME_MAX, "%s", prefix);
    va_list args;
    va_start(args, fmt);
    vsnprintf(buffer + n, TSR_NAME_MAX - (size_t)n, fmt, args);
    va_end(args);
    return buffer;
}

tsr_param *tsr_make(tsr_maker *m, const char *name, tsr_init rule, float arg, int ndim,
                    const size_t *shape)
{
    tsr_param *p = NULL;
    unsigned flags = TSR_PARAM_TRAIN | (tsr_param_decays(name) ? TSR_PARAM_DECAY : 0u);
    if (m->st == TSR_OK)
        m->st = tsr_params_add(m->ps, name, flags, ndim, shape, &p);
    if (m->st == TSR_OK && m->fill)
        tsr_param_init(p, rule, arg, m->seed);
    return p;
}

void tsr_make_linear(tsr_maker *m, const char *name, tsr_init rule, float arg, size_t out,
                     size_t in)
{
    char full[TSR_NAME_MAX];
    const size_t shape[] = {out, in};
    tsr_make(m, tsr_name(full, name, ".weight"), rule, arg, 2, shape);
    tsr_init bias = rule == TSR_INIT_FAN_IN ? TSR_INIT_FAN_IN : TSR_INIT_ZERO;
    tsr_make(m, tsr_name(full, name, ".bias"), bias, (float)in, 1, shape);
}

void tsr_make_norm(tsr_maker *m, const char *name, size_t dim)
{
    char full[TSR_NAME_MAX];
    tsr_make(m, tsr_name(full, name, ".weight"), TSR_INIT_CONST, 1, 1, &dim);
    tsr_make(m, tsr_name(full, name, ".bias"), TSR_INIT_ZERO, 0, 1, &dim);
}

void tsr_vit_sincos(tsr_param *p)
{
    size_t quarter = p->shape[1] / 4, h = p->shape[2], w = p->shape[3];
    for (size_t c = 0; c < p->shape[1]; c++) {
        double omega = pow(10000, -(double)(c % quarter) / (double)quarter);
        for (size_t at = 0; at < h * w; at++) {
            double angle = (double)(c < 2 * quarter ? at / w : at % w) * omega;
            p->value[c * h * w + at] = (float)(c / quarter % 2 ? cos(angle) : sin(angle));
        }
    }
    tsr_param_touch(p);
}

static void make_positions(tsr_maker *m, const tsr_net *n)
{
    char name[TSR_NAME_MAX];
    const size_t shape[] = {1, n->dim, n->grid_h, n->grid_w};
    tsr_param *p = NULL;
    if (m->st == TSR_OK)
        m->st = tsr_params_add(m->ps, tsr_name(name, n->prefix, "pos_emb"), 0, 4, shape, &p);
    if (m->st == TSR_OK && m->fill)
        tsr_vit_sincos(p);
}

static void make_block(tsr_maker *m, const tsr_net *n, size_t i)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    tsr_name(at, n->prefix, "blocks.%zu.", i);
    tsr_make_norm(m, tsr_name(name, at, "norm1"), n->dim);
    tsr_make_norm(m, tsr_name(name, at, "norm2"), n->dim);
    tsr_make_linear(m, tsr_name(name, at, "attn.qkv"), TSR_INIT_QKV, 3, 3 * n->dim, n->dim);
    tsr_make_linear(m, tsr_name(name, at, "attn.proj"), TSR_INIT_XAVIER, 0, n->dim, n->dim);
    tsr_make_linear(m, tsr_name(name, at, "mlp.fc1"), TSR_INIT_XAVIER, 0, n->hidden, n->dim);
    tsr_make_linear(m, tsr_name(name, at, "mlp.fc2"), TSR_INIT_XAVIER, 0, n->dim, n->hidden);
}

static void make_out_conv(tsr_maker *m, const tsr_net *n, size_t i)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    size_t c = n->channels;
    const size_t kernel[] = {c, 1, 7, 7};
    tsr_name(at, n->prefix, "out_conv.%zu.", i);
    tsr_make(m, tsr_name(name, at, "gamma"), TSR_INIT_CONST, 1e-6f, 1, &c);
    tsr_make(m, tsr_name(name, at, "dwconv.weight"), TSR_INIT_FAN_IN, 0, 4, kernel);
    tsr_make(m, tsr_name(name, at, "dwconv.bias"), TSR_INIT_FAN_IN, 49, 1, &c);
    tsr_make_norm(m, tsr_name(name, at, "norm"), c);
    tsr_make_linear(m, tsr_name(name, at, "pwconv1"), TSR_INIT_XAVIER, 0, 4 * c, c);
    tsr_make_linear(m, tsr_name(name, at, "pwconv2"), TSR_INIT_XAVIER, 0, c, 4 * c);
}

/* The patch projection is a convolution in files, a linear map here. */
static void make_patches(tsr_maker *m, const tsr_net *n)
{
    char name[TSR_NAME_MAX];
    size_t p = n->patch;
    const size_t shape[] = {n->dim, n->channels, p, p};
    tsr_make_linear(m, tsr_name(name, n->prefix, "proj"), TSR_INIT_FAN_IN, 0, n->dim,
                    n->channels * p * p);
    if (m->st != TSR_OK)
        return;
    tsr_param *w = tsr_params_find(m->ps, tsr_name(name, n->prefix, "proj.weight"));
    m->st = tsr_param_file_shape(w, 4, shape);
}

void tsr_vit_make(tsr_maker *m, const tsr_net *n, int decoder)
{
    char name[TSR_NAME_MAX];
    make_positions(m, n);
    if (!decoder)
        make_patches(m, n);
    for (size_t i = 0; i < n->depth; i++)
        make_block(m, n, i);
    if (n->post_mlp) {
        tsr_make_norm(m, tsr_name(name, n->prefix, "norm_mlp"), n->dim);
        tsr_name(name, n->prefix, "post_mlp.fc1");
        tsr_make_linear(m, name, TSR_INIT_XAVIER, 0, n->hidden, n->dim);
        tsr_name(name, n->prefix, "post_mlp.fc2");
        tsr_make_linear(m, name, TSR_INIT_XAVIER, 0, n->dim, n->hidden);
    }
    if (!decoder)
        return;
    tsr_make_linear(m, tsr_name(name, n->prefix, "out_proj"), TSR_INIT_XAVIER, 0,
                    n->channels * n->patch * n->patch, n->dim);
    for (size_t i = 0; n->out_conv && i < 2; i++)
        make_out_conv(m, n, i);
}

/* --- graph -------------------------------------------------------------------------------------
 */

tsr_value tsr_net_linear(tsr_graph *g, const char *name, tsr_value x, int act)
{
    char full[TSR_NAME_MAX];
    tsr_value w = tsr_weight(g, tsr_name(full, name, ".weight"));
    return tsr_linear(g, x, w, tsr_weight_or_none(g, tsr_name(full, name, ".bias")), (tsr_act)act);
}

tsr_value tsr_net_norm(tsr_graph *g, const char *name, tsr_value x, float eps)
{
    char full[TSR_NAME_MAX];
    tsr_value w = tsr_weight(g, tsr_name(full, name, ".weight"));
    return tsr_layer_norm(g, x, w, tsr_weight(g, tsr_name(full, name, ".bias")), eps);
}

static tsr_value add_positions(tsr_graph *g, const tsr_net *n, tsr_value x, size_t rows,
                               size_t columns)
{
    char name[TSR_NAME_MAX];
    const size_t shape[] = {rows * columns, n->dim};
    tsr_value table = tsr_weight(g, tsr_name(name, n->prefix, "pos_emb"));
    table = tsr_resample(g, table, (int)rows, (int)columns);
    table = tsr_reshape(g, tsr_patchify(g, table, 1), 2, shape);
    return tsr_add(g, x, table);
}

static tsr_value block(tsr_graph *g, const tsr_net *n, size_t i, tsr_value x)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    const tsr_attention_spec spec = TSR_ATTENTION((int)n->heads);
    tsr_name(at, n->prefix, "blocks.%zu.", i);
    tsr_graph_label(g, "%sblocks.%zu", n->prefix, i);
    tsr_value y = tsr_net_norm(g, tsr_name(name, at, "norm1"), x, EPS);
    y = tsr_net_linear(g, tsr_name(name, at, "attn.qkv"), y, TSR_ACT_NONE);
    y = tsr_self_attention(g, y, &spec);
    x = tsr_add(g, x, tsr_net_linear(g, tsr_name(name, at, "attn.proj"), y, TSR_ACT_NONE));
    y = tsr_net_norm(g, tsr_name(name, at, "norm2"), x, EPS);
    y = tsr_net_linear(g, tsr_name(name, at, "mlp.fc1"), y, TSR_ACT_GELU);
    return tsr_add(g, x, tsr_net_linear(g, tsr_name(name, at, "mlp.fc2"), y, TSR_ACT_NONE));
}

/* The encoder's is float32 in every precision: its output is what the codebook sees. */
static tsr_value post_mlp(tsr_graph *g, const tsr_net *n, tsr_value x)
{
    char name[TSR_NAME_MAX];
    tsr_graph_label(g, "%spost_mlp", n->prefix);
    tsr_value y = tsr_net_norm(g, tsr_name(name, n->prefix, "norm_mlp"), x, EPS);
    y = tsr_net_linear(g, tsr_name(name, n->prefix, "post_mlp.fc1"), y, TSR_ACT_TANH);
    y = tsr_net_linear(g, tsr_name(name, n->prefix, "post_mlp.fc2"), y, TSR_ACT_NONE);
    return tsr_add(g, x, y);
}

tsr_value tsr_vit_encode(tsr_graph *g, const tsr_net *n, tsr_value x)
{
    char name[TSR_NAME_MAX];
    const size_t *shape = tsr_value_shape(g, x);
    if (!shape)
        return TSR_NONE;
    size_t rows = shape[2] / n->patch, columns = shape[3] / n->patch;
    tsr_graph_label(g, "%sproj", n->prefix);
    x = tsr_patchify(g, x, (int)n->patch);
    x = tsr_net_linear(g, tsr_name(name, n->prefix, "proj"), x, TSR_ACT_NONE);
    x = add_positions(g, n, x, rows, columns);
    for (size_t i = 0; i < n->depth; i++)
        x = block(g, n, i, x);
    tsr_precision precision = tsr_graph_precision(g);
    tsr_graph_set_precision(g, TSR_PRECISION_FP32);
    if (n->post_mlp)
        x = post_mlp(g, n, x);
    tsr_graph_set_precision(g, precision);
    return x;
}

/* y = x + gamma pw2(gelu(pw1(norm(dw(x))))), norm over channels; x [B, C, H, W]. */
static tsr_value convnext(tsr_graph *g, const tsr_net *n, size_t i, tsr_value x)
{
    char at[TSR_NAME_MAX], name[TSR_NAME_MAX];
    const size_t *shape = tsr_value_shape(g, x);
    if (!shape)
        return TSR_NONE;
    int h = (int)shape[2], w = (int)shape[3];
    tsr_name(at, n->prefix, "out_conv.%zu.", i);
    tsr_graph_label(g, "%sout_conv.%zu", n->prefix, i);
    tsr_value kernel = tsr_weight(g, tsr_name(name, at, "dwconv.weight"));
    tsr_value bias = tsr_weight(g, tsr_name(name, at, "dwconv.bias"));
    const tsr_conv_spec spec = {.stride = 1, .pad = 3, .groups = (int)n->channels};
    tsr_value y = tsr_patchify(g, tsr_conv2d(g, x, kernel, bias, spec), 1);
    y = tsr_net_norm(g, tsr_name(name, at, "norm"), y, EPS);
    y = tsr_net_linear(g, tsr_name(name, at, "pwconv1"), y, TSR_ACT_GELU);
    y = tsr_net_linear(g, tsr_name(name, at, "pwconv2"), y, TSR_ACT_NONE);
    y = tsr_mul(g, y, tsr_weight(g, tsr_name(name, at, "gamma")));
    return tsr_add(g, x, tsr_unpatchify(g, y, h, w, 1));
}

tsr_value tsr_vit_decode(tsr_graph *g, const tsr_net *n, tsr_value x, size_t rows, size_t columns)
{
    char name[TSR_NAME_MAX];
    x = add_positions(g, n, x, rows, columns);
    for (size_t i = 0; i < n->depth; i++)
        x = block(g, n, i, x);
    if (n->post_mlp)
        x = post_mlp(g, n, x);
    tsr_graph_label(g, "%sout_proj", n->prefix);
    x = tsr_net_linear(g, tsr_name(name, n->prefix, "out_proj"), x, TSR_ACT_NONE);
    x = tsr_unpatchify(g, x, (int)rows, (int)columns, (int)n->patch);
    for (size_t i = 0; n->out_conv && i < 2; i++)
        x = convnext(g, n, i, x);
    return x;
}

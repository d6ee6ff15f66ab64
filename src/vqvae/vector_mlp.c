/* SPDX-License-Identifier: Apache-2.0
 * MLP encoders and decoders for vectors (global features, poses).
 *
 *   bottleneck   x = linear_in(x);  x = x + fc2(gelu(fc1(norm_i(x)))) for each i;  linear_out(x)
 *   plain        x = linear_in(x);  x = layer_i(norm_i(x)) for each i;              linear_out(x)
 *
 * Source   apple/ml-4m, fourm/vq/models/mlp_models.py. */
#include "vqvae/net.h"

#include "nn/layers.h"
#include "nn/ops.h"

#define EPS 1e-5f

static size_t norms(const tsr_net *n)
{
    return n->kind == TSR_NET_PLAIN ? n->depth - 1 : n->depth;
}

void tsr_mlp_make(tsr_maker *m, const tsr_net *n, size_t in, size_t out)
{
    char name[TSR_NAME_MAX];
    const tsr_init rule = TSR_INIT_FAN_IN;
    tsr_make_linear(m, tsr_name(name, n->prefix, "linear_in"), rule, 0, n->dim, in);
    tsr_make_linear(m, tsr_name(name, n->prefix, "linear_out"), rule, 0, out, n->dim);
    for (size_t i = 0; i < n->depth && n->kind == TSR_NET_BOTTLENECK; i++) {
        tsr_name(name, n->prefix, "blocks.%zu.block.0", i);
        tsr_make_linear(m, name, rule, 0, n->hidden, n->dim);
        tsr_name(name, n->prefix, "blocks.%zu.block.2", i);
        tsr_make_linear(m, name, rule, 0, n->dim, n->hidden);
    }
    for (size_t i = 0; i + 1 < n->depth && n->kind == TSR_NET_PLAIN; i++)
        tsr_make_linear(m, tsr_name(name, n->prefix, "layers.%zu", i), rule, 0, n->dim, n->dim);
    for (size_t i = 0; i < norms(n); i++)
        tsr_make_norm(m, tsr_name(name, n->prefix, "layernorms.%zu", i), n->dim);
}

tsr_value tsr_mlp_graph(tsr_graph *g, const tsr_net *n, tsr_value x)
{
    char name[TSR_NAME_MAX];
    tsr_graph_label(g, "%slinear_in", n->prefix);
    x = tsr_net_linear(g, tsr_name(name, n->prefix, "linear_in"), x, TSR_ACT_NONE);
    for (size_t i = 0; i < norms(n); i++) {
        tsr_graph_label(g, "%sblocks.%zu", n->prefix, i);
        tsr_value y = tsr_net_norm(g, tsr_name(name, n->prefix, "layernorms.%zu", i), x, EPS);
        if (n->kind == TSR_NET_PLAIN) {
            tsr_name(name, n->prefix, "layers.%zu", i);
            x = tsr_net_linear(g, name, y, TSR_ACT_NONE);
            continue;
        }
        tsr_name(name, n->prefix, "blocks.%zu.block.0", i);
        y = tsr_net_linear(g, name, y, TSR_ACT_GELU);
        tsr_name(name, n->prefix, "blocks.%zu.block.2", i);
        x = tsr_add(g, x, tsr_net_linear(g, name, y, TSR_ACT_NONE));
    }
    tsr_graph_label(g, "%slinear_out", n->prefix);
    return tsr_net_linear(g, tsr_name(name, n->prefix, "linear_out"), x, TSR_ACT_NONE);
}

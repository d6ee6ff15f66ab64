/* SPDX-License-Identifier: Apache-2.0
 * Reverse-mode differentiation: walks the forward nodes backwards and lets each append its gradient. */
#include "nn/graph_priv.h"
#include "nn/ops.h"

#include <string.h>

/* 1 when v was just made by an operation that can add to its destination, and nobody read it yet. */
static int can_redirect(const tsr_graph *g, tsr_value v, size_t first_fresh_node)
{
    const tsr_vertex *x = &g->values[v];
    if (x->home != TSR_HOME_ARENA || x->node < (int)first_fresh_node || x->root != v)
        return 0;
    const tsr_node_data *n = &g->nodes[x->node];
    if (!(n->op->flags & TSR_OP_ACCUMULATES) || n->out[0] != v)
        return 0;
    for (size_t i = first_fresh_node; i < g->n_nodes; i++)
        for (int j = 0; j < g->nodes[i].n_in; j++)
            if (g->nodes[i].in[j] == v)
                return 0;
    return 1;
}

/* param->grad += v, by the node that makes v where it can. */
static void into_home(tsr_graph *g, tsr_value weight, tsr_value v, size_t first_fresh_node)
{
    tsr_value out, home = tsr_graph_grad_home(g, g->values[weight].param);
    if (home < 0)
        return;
    if (can_redirect(g, v, first_fresh_node)) {
        tsr_node_data *n = &g->nodes[g->values[v].node];
        n->out[0] = home;
        n->accumulate = 1;
        return;
    }
    tsr_node(g, &tsr_op_grad_add, 1, &v, NULL, 0, 1, &out);
    if (out < 0)
        return;
    tsr_node_data *n = &g->nodes[g->n_nodes - 1];
    n->out[0] = home;
    n->accumulate = 1;
}

/* 1 when the node that just made d can add `sum` to it; then it does. */
static int adds_by_itself(tsr_graph *g, tsr_value d, tsr_value sum, size_t first_fresh_node)
{
    const tsr_vertex *x = &g->values[d];
    if (x->home != TSR_HOME_ARENA || x->node < (int)first_fresh_node || x->root != d)
        return 0;
    tsr_node_data *n = &g->nodes[x->node];
    if (!(n->op->flags & TSR_OP_ADDS) || n->out[0] != d || n->in[n->n_in - 1] >= 0 ||
        g->values[sum].node >= x->node)
        return 0;
    n->in[n->n_in - 1] = sum;
    return 1;
}

static void contribute(tsr_graph *g, tsr_value to, tsr_value d, size_t first_fresh_node)
{
    const tsr_vertex *x = &g->values[to], *y = &g->values[d];
    if (x->ndim != y->ndim || memcmp(x->shape, y->shape, (size_t)x->ndim * sizeof *x->shape)) {
        char a[96], b[96];
        tsr_graph_fail(g, TSR_EMISMATCH, "a gradient is %s for a value of shape %s",
                       tsr_shape_text(y->ndim, y->shape, a, sizeof a),
                       tsr_shape_text(x->ndim, x->shape, b, sizeof b));
        return;
    }
    if (x->home == TSR_HOME_WEIGHT) {
        into_home(g, to, d, first_fresh_node);
        return;
    }
    int done = x->grad < 0 || adds_by_itself(g, d, x->grad, first_fresh_node);
    tsr_value sum = done ? d : tsr_add(g, x->grad, d);
    if (sum >= 0)
        g->values[to].grad = sum;
}

static void node_backward(tsr_graph *g, size_t node)
{
    const tsr_node_data n = g->nodes[node]; /* a copy: the array moves while nodes are appended */
    tsr_value dout[TSR_OP_OUTPUTS], din[TSR_OP_INPUTS];
    int need[TSR_OP_INPUTS], reached = 0, wanted = 0;
    for (int i = 0; i < n.n_out; i++) {
        dout[i] = n.out[i] >= 0 ? g->values[n.out[i]].grad : TSR_NONE;
        reached |= dout[i] >= 0;
    }
    for (int i = 0; i < n.n_in; i++) {
        need[i] = n.in[i] >= 0 && g->values[n.in[i]].need;
        din[i] = TSR_NONE;
        wanted |= need[i];
    }
    if (!reached || !wanted || !n.op->backward)
        return;
    size_t fresh = g->n_nodes;
    tsr_node_view view = {n.n_in, n.n_out, n.in, n.out, n.attr, need};
    tsr_precision outer = g->precision;
    g->precision = n.precision;
    memcpy(g->label, n.label, sizeof g->label);
    n.op->backward(g, &view, dout, din);
    g->precision = outer;
    for (int i = 0; i < n.n_in && g->failed == TSR_OK; i++)
        if (need[i] && din[i] >= 0)
            contribute(g, n.in[i], din[i], fresh);
}

void tsr_graph_backward(tsr_graph *g, tsr_value loss)
{
    char label[TSR_LABEL_CHARS];
    if (g->failed != TSR_OK)
        return;
    if (g->has_backward || g->planned || loss < 0 || (size_t)loss >= g->n_values) {
        tsr_graph_fail(g, TSR_EARG, "%s",
                       g->has_backward ? "the graph has its gradients already"
                       : g->planned    ? "the graph was planned; nothing can be appended to it"
                                       : "the loss is no value of the graph");
        return;
    }
    if (g->values[loss].count != 1 || !g->values[loss].need) {
        tsr_graph_fail(g, TSR_EARG, "%s",
                       g->values[loss].count != 1 ? "the loss must be one number"
                                                  : "the loss depends on no trained weight");
        return;
    }
    if (g->params)
        tsr_graph_stick(g, tsr_params_need_grads(g->params));
    g->n_forward = g->n_nodes;
    g->has_backward = 1;
    memcpy(label, g->label, sizeof label);
    tsr_value one = tsr_fill(g, 1.0f, tsr_value_ndim(g, loss), tsr_value_shape(g, loss));
    g->values[loss].grad = one; /* a statement of its own: the array moves when nodes are added */
    for (size_t i = g->n_forward; i-- > 0 && g->failed == TSR_OK;)
        node_backward(g, i);
    memcpy(g->label, label, sizeof label);
}

size_t tsr_graph_forward_nodes(const tsr_graph *g)
{
    return g->has_backward ? g->n_forward : g->n_nodes;
}

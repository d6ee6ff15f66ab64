/* SPDX-License-Identifier: Apache-2.0
 * The builder: values, nodes, and the first mistake. */
#include "nn/graph_priv.h"

#include "base/cpu.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tsr_precision tsr_precision_default(void)
{
    return tsr_cpu_bf16() ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32;
}

const char *tsr_precision_name(tsr_precision p)
{
    return p == TSR_PRECISION_BF16 ? "bf16" : "fp32";
}

tsr_precision tsr_precision_chosen(int choice)
{
    static const tsr_precision named[] = {TSR_PRECISION_FP32, TSR_PRECISION_BF16};
    return choice ? named[choice - 1] : tsr_precision_default();
}

tsr_status tsr_precision_of_recipe(const tsr_recipe *r, const char *path, tsr_precision *out)
{
    static const char *const words[] = {"auto", "fp32", "bf16"};
    const char *word = tsr_recipe_string(r, path, words[0]);
    for (int i = 0; i < 3; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        *out = tsr_precision_chosen(i);
        return TSR_OK;
    }
    return tsr_recipe_fail(r, path, "\"%s\" is none of auto, fp32, bf16", word);
}

static tsr_precision resolve(tsr_precision asked)
{
    return asked == TSR_PRECISION_BF16 ? tsr_precision_default() : TSR_PRECISION_FP32;
}

tsr_status tsr_graph_create(tsr_params *ps, tsr_precision precision, tsr_graph **out)
{
    tsr_graph *g;
    TSR_TRY(tsr_alloc(&g, 1, sizeof *g));
    g->params = ps;
    g->precision = resolve(precision);
    pthread_mutex_init(&g->lock, NULL);
    *out = g;
    return TSR_OK;
}

void tsr_graph_destroy(tsr_graph *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_packs; i++)
        tsr_packs_drop(g->params, g->packs[i]);
    pthread_mutex_destroy(&g->lock);
    for (int i = 0; i < g->n_retired; i++)
        tsr_free(g->retired[i]);
    tsr_free(g->packs);
    tsr_free(g->values);
    tsr_free(g->nodes);
    tsr_free(g);
}

/* --- failures --- */

tsr_value tsr_graph_stick(tsr_graph *g, tsr_status st)
{
    if (g->failed != TSR_OK || st == TSR_OK)
        return TSR_NONE;
    g->failed = st;
    snprintf(g->sentence, sizeof g->sentence, "%s", tsr_error());
    return TSR_NONE;
}

tsr_value tsr_graph_fail(tsr_graph *g, tsr_status code, const char *fmt, ...)
{
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return tsr_graph_stick(g, tsr_fail_at(code, __FILE__, __LINE__, "%s", text));
}

tsr_status tsr_graph_check(const tsr_graph *g)
{
    if (g->failed != TSR_OK)
        TSR_FAIL(g->failed, "%s", g->sentence);
    return TSR_OK;
}

tsr_precision tsr_graph_precision(const tsr_graph *g)
{
    return g->precision;
}

void tsr_graph_set_precision(tsr_graph *g, tsr_precision precision)
{
    g->precision = resolve(precision);
}

void tsr_graph_label(tsr_graph *g, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->label, sizeof g->label, fmt, ap);
    va_end(ap);
}

/* --- values --- */

/* Twice the room when it is full. The old array is kept until the graph goes, because shapes handed
 * out by tsr_value_shape() point into it. */
static tsr_status room_for_value(tsr_graph *g)
{
    tsr_vertex *fresh;
    size_t cap = g->cap_values ? 2 * g->cap_values : 64;
    if (g->n_values < g->cap_values)
        return TSR_OK;
    if (cap > INT32_MAX)
        TSR_FAIL(TSR_ELIMIT, "a graph of more than %zu values", g->n_values);
    TSR_TRY(tsr_alloc(&fresh, cap, sizeof *fresh));
    if (g->values) {
        memcpy(fresh, g->values, g->n_values * sizeof *fresh);
        g->retired[g->n_retired++] = g->values;
    }
    g->values = fresh;
    g->cap_values = cap;
    return TSR_OK;
}

tsr_value tsr_graph_value(tsr_graph *g, const tsr_vertex *like)
{
    if (g->failed != TSR_OK)
        return TSR_NONE;
    tsr_status st = room_for_value(g);
    if (st != TSR_OK)
        return tsr_graph_stick(g, st);
    tsr_value v = (tsr_value)g->n_values++;
    tsr_vertex *x = &g->values[v];
    *x = *like;
    x->root = like->root >= 0 ? like->root : v;
    x->grad = TSR_NONE;
    return v;
}

/* Dimensions of an input or constant: their number, none of them 0, total in range. */
static tsr_status checked_shape(const char *what, const char *name, int ndim, const size_t *shape,
                                tsr_vertex *x)
{
    size_t bytes;
    char text[160];
    if (ndim < 1 || ndim > TSR_MAX_DIMS)
        TSR_FAIL(TSR_EARG, "%s %s has %d dimensions; 1 to %d are possible", what, name, ndim,
                 TSR_MAX_DIMS);
    for (int i = 0; i < ndim; i++) {
        x->shape[i] = shape[i];
        if (shape[i] == 0)
            TSR_FAIL(TSR_EARG, "%s %s is %s: no dimension may be 0", what, name,
                     tsr_shape_text(ndim, shape, text, sizeof text));
    }
    x->ndim = ndim;
    TSR_TRY(tsr_shape_count(ndim, shape, &x->count));
    return tsr_mul_size(x->count, 8, &bytes);
}

static int closed(tsr_graph *g)
{
    if (g->planned)
        tsr_graph_fail(g, TSR_EARG, "the graph was planned; nothing can be appended to it");
    return g->failed != TSR_OK;
}

tsr_value tsr_input(tsr_graph *g, const char *name, tsr_dtype dtype, int ndim, const size_t *shape)
{
    tsr_vertex x = {.home = TSR_HOME_INPUT, .dtype = dtype, .node = -1, .root = TSR_NONE};
    if (closed(g))
        return TSR_NONE;
    if (dtype != TSR_F32 && dtype != TSR_I32)
        return tsr_graph_fail(g, TSR_EARG, "input %s is of type %s; F32 and I32 are possible", name,
                              tsr_dtype_name(dtype));
    tsr_status st = checked_shape("input", name, ndim, shape, &x);
    return st == TSR_OK ? tsr_graph_value(g, &x) : tsr_graph_stick(g, st);
}

static tsr_value of_param(tsr_graph *g, tsr_home home, tsr_param *p)
{
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].home == home && g->values[i].param == p)
            return (tsr_value)i;
    tsr_vertex x = {.home = home, .dtype = TSR_F32, .node = -1, .root = TSR_NONE, .param = p};
    x.ndim = p->ndim;
    memcpy(x.shape, p->shape, sizeof x.shape);
    x.count = p->count;
    x.need = home == TSR_HOME_WEIGHT && (p->flags & TSR_PARAM_TRAIN);
    return tsr_graph_value(g, &x);
}

tsr_value tsr_graph_grad_home(tsr_graph *g, tsr_param *p)
{
    return of_param(g, TSR_HOME_GRAD, p);
}

int tsr_has_weight(const tsr_graph *g, const char *name)
{
    return g->params && tsr_params_find(g->params, name) != NULL;
}

tsr_value tsr_weight(tsr_graph *g, const char *name)
{
    tsr_param *p;
    if (closed(g))
        return TSR_NONE;
    if (!g->params)
        return tsr_graph_fail(g, TSR_ENOENT, "weight %s: the graph has no parameters", name);
    tsr_status st = tsr_params_get(g->params, name, &p);
    if (st != TSR_OK)
        return tsr_graph_stick(g, st);
    if (p->count == 0 || p->ndim == 0)
        return tsr_graph_fail(g, TSR_EARG, "weight %s is empty or has no dimension", name);
    return of_param(g, TSR_HOME_WEIGHT, p);
}

tsr_value tsr_weight_or_none(tsr_graph *g, const char *name)
{
    return tsr_has_weight(g, name) ? tsr_weight(g, name) : TSR_NONE;
}

static tsr_vertex *vertex(const tsr_graph *g, tsr_value v)
{
    return v >= 0 && (size_t)v < g->n_values ? &g->values[v] : NULL;
}

void tsr_graph_output(tsr_graph *g, tsr_value v)
{
    tsr_vertex *x = vertex(g, v);
    if (closed(g))
        return;
    if (x)
        x->output = g->values[x->root].output = 1;
    if (!x)
        tsr_graph_fail(g, TSR_EARG, "an output of the graph is no value of it");
}

void tsr_graph_want_grad(tsr_graph *g, tsr_value v)
{
    tsr_vertex *x = vertex(g, v);
    if (x && x->dtype == TSR_F32)
        x->need = 1;
}

tsr_value tsr_graph_grad(const tsr_graph *g, tsr_value v)
{
    const tsr_vertex *x = vertex(g, v);
    return x ? x->grad : TSR_NONE;
}

int tsr_value_ndim(const tsr_graph *g, tsr_value v)
{
    const tsr_vertex *x = vertex(g, v);
    return x ? x->ndim : 0;
}

const size_t *tsr_value_shape(const tsr_graph *g, tsr_value v)
{
    const tsr_vertex *x = vertex(g, v);
    return x ? x->shape : NULL;
}

size_t tsr_value_count(const tsr_graph *g, tsr_value v)
{
    const tsr_vertex *x = vertex(g, v);
    return x ? x->count : 0;
}

int tsr_may_be_half(const tsr_graph *g, tsr_value v)
{
    const tsr_vertex *x = vertex(g, v), *root = x ? &g->values[x->root] : NULL;
    const tsr_node_data *n = root && root->node >= 0 ? &g->nodes[root->node] : NULL;
    for (int i = 0; n && n->precision == TSR_PRECISION_BF16 && i < n->n_out; i++)
        if (n->out[i] == x->root)
            return (n->op->bf16_out >> i & 1) != 0;
    return 0;
}

/* --- nodes --- */

void tsr_graph_node_name(const tsr_graph *g, size_t node, char *text, size_t cap)
{
    const tsr_node_data *n = &g->nodes[node];
    snprintf(text, cap, n->label[0] ? "node %zu %s (%s)" : "node %zu %s", node, n->op->name,
             n->label);
}

static void describe(const tsr_graph *g, tsr_value v, int stored, tsr_operand *o)
{
    const tsr_vertex *x = vertex(g, v);
    *o = (tsr_operand){0};
    if (!x)
        return;
    o->dtype = stored ? g->values[x->root].stored : x->dtype;
    o->ndim = x->ndim;
    memcpy(o->shape, x->shape, sizeof o->shape);
    o->count = x->count;
    x = &g->values[x->root];
    o->param = x->home == TSR_HOME_WEIGHT ? x->param : NULL;
}

void tsr_graph_call(const tsr_graph *g, size_t node, int stored, tsr_op_call *c)
{
    const tsr_node_data *n = &g->nodes[node];
    *c = (tsr_op_call){.attr = n->attr, .precision = n->precision, .accumulate = n->accumulate};
    c->n_in = n->n_in;
    c->n_out = n->n_out;
    for (int i = 0; i < n->n_in; i++)
        describe(g, n->in[i], stored, &c->in[i]);
    for (int i = 0; i < n->n_out; i++)
        describe(g, n->out[i], stored, &c->out[i]);
}

/* One value for each output the shape rule described. */
static tsr_status add_outputs(tsr_graph *g, tsr_node_data *n, const tsr_op_call *c)
{
    tsr_value outs[TSR_OP_OUTPUTS];
    for (int i = 0; i < n->n_out; i++) {
        tsr_vertex x = {.home = TSR_HOME_ARENA, .dtype = c->out[i].dtype, .root = TSR_NONE};
        x.node = (int)g->n_nodes - 1;
        TSR_TRY(checked_shape("the result of", c->name, c->out[i].ndim, c->out[i].shape, &x));
        if (n->op->flags & (TSR_OP_ALIAS | TSR_OP_UPDATES))
            x.root = g->values[n->in[0]].root;
        for (int j = 0; n->op->backward && j < n->n_in; j++)
            x.need |= n->in[j] >= 0 && g->values[n->in[j]].need;
        x.need = x.need && x.dtype == TSR_F32;
        outs[i] = tsr_graph_value(g, &x);
        if (outs[i] < 0)
            return g->failed;
    }
    memcpy(n->out, outs, (size_t)n->n_out * sizeof *outs);
    return TSR_OK;
}

static tsr_status append(tsr_graph *g, tsr_node_data *fresh)
{
    char name[128];
    tsr_op_call c;
    TSR_TRY(tsr_room(&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes));
    size_t at = g->n_nodes++;
    g->nodes[at] = *fresh;
    tsr_graph_node_name(g, at, name, sizeof name);
    tsr_graph_call(g, at, 0, &c);
    c.name = name;
    TSR_TRY(fresh->op->shape(&c));
    if ((fresh->op->flags & TSR_OP_UPDATES) &&
        g->values[g->values[fresh->in[0]].root].home != TSR_HOME_INPUT)
        return tsr_op_bad(&c, "only an input of the graph can be changed");
    TSR_TRY(add_outputs(g, &g->nodes[at], &c));
    *fresh = g->nodes[at];
    return TSR_OK;
}

tsr_value tsr_node(tsr_graph *g, const tsr_op *op, int n_in, const tsr_value *in, const void *attr,
                   size_t attr_bytes, int n_out, tsr_value *out)
{
    tsr_node_data n = {.op = op, .n_in = n_in, .n_out = n_out, .precision = g->precision};
    for (int i = 0; i < n_out; i++)
        out[i] = TSR_NONE;
    if (closed(g))
        return TSR_NONE;
    if (n_in > TSR_OP_INPUTS || n_out > TSR_OP_OUTPUTS || attr_bytes > TSR_OP_ATTR_BYTES)
        return tsr_graph_fail(g, TSR_EARG, "%s: %d inputs, %d outputs and %zu bytes of settings",
                              op->name, n_in, n_out, attr_bytes);
    for (int i = 0; i < n_in; i++)
        n.in[i] = vertex(g, in[i]) ? in[i] : TSR_NONE;
    if (attr_bytes)
        memcpy(n.attr, attr, attr_bytes);
    memcpy(n.label, g->label, sizeof n.label);
    tsr_status st = append(g, &n);
    if (st != TSR_OK)
        return tsr_graph_stick(g, st);
    memcpy(out, n.out, (size_t)n_out * sizeof *out);
    return out[0];
}

tsr_value tsr_node1(tsr_graph *g, const tsr_op *op, tsr_value a, const void *attr,
                    size_t attr_bytes)
{
    tsr_value out;
    return tsr_node(g, op, 1, &a, attr, attr_bytes, 1, &out);
}

tsr_value tsr_node2(tsr_graph *g, const tsr_op *op, tsr_value a, tsr_value b, const void *attr,
                    size_t attr_bytes)
{
    tsr_value in[2] = {a, b}, out;
    return tsr_node(g, op, 2, in, attr, attr_bytes, 1, &out);
}

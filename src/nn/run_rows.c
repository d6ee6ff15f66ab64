/* SPDX-License-Identifier: Apache-2.0
 * Executors with other rows than planned: shapes of all nodes derived again from those of the inputs. */
#include "nn/graph_priv.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

/* Every value as planned. */
static tsr_status open_extents(tsr_exec *x)
{
    const tsr_graph *g = x->g;
    if (x->extents)
        return TSR_OK;
    TSR_TRY(tsr_alloc(&x->extents, g->n_values, sizeof *x->extents));
    for (size_t v = 0; v < g->n_values; v++) {
        memcpy(x->extents[v].shape, g->values[v].shape, sizeof x->extents[v].shape);
        x->extents[v].count = g->values[v].count;
    }
    return TSR_OK;
}

static tsr_status set_extent(tsr_extent *e, int ndim, const size_t *shape)
{
    memcpy(e->shape, shape, (size_t)ndim * sizeof *shape);
    return tsr_shape_count(ndim, shape, &e->count);
}

tsr_status tsr_exec_set_rows(tsr_exec *x, tsr_value v, size_t rows)
{
    const tsr_vertex *k = v >= 0 && (size_t)v < x->g->n_values ? &x->g->values[v] : NULL;
    size_t shape[TSR_MAX_DIMS];
    if (!k || k->home != TSR_HOME_INPUT)
        TSR_FAIL(TSR_EARG, "rows can be set of inputs only");
    if (rows > k->shape[0])
        TSR_FAIL(TSR_EARG, "%zu rows of an input that was planned with %zu", rows, k->shape[0]);
    if (tsr_exec_rows(x, v) == rows)
        return TSR_OK;
    TSR_TRY(open_extents(x));
    memcpy(shape, k->shape, sizeof shape);
    shape[0] = rows;
    x->stale = 1;
    return set_extent(&x->extents[v], k->ndim, shape);
}

size_t tsr_exec_rows(const tsr_exec *x, tsr_value v)
{
    if (v < 0 || (size_t)v >= x->g->n_values)
        return 0;
    return x->extents ? x->extents[v].shape[0] : x->g->values[v].shape[0];
}

/* --- one node --- */

static void put_extent(tsr_operand *o, const tsr_extent *e)
{
    memcpy(o->shape, e->shape, sizeof o->shape);
    o->count = e->count;
}

/* Shapes of a node's results from those of its operands, by its own rule. */
static tsr_status derive(tsr_exec *x, size_t node)
{
    const tsr_node_data *n = &x->g->nodes[node];
    char name[128];
    tsr_op_call c;
    tsr_graph_call(x->g, node, 0, &c);
    tsr_graph_node_name(x->g, node, name, sizeof name);
    c.name = name;
    c.resized = 1;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0)
            put_extent(&c.in[i], &x->extents[n->in[i]]);
    TSR_TRY(n->op->shape(&c));
    for (int i = 0; i < n->n_out; i++) {
        const tsr_vertex *k = n->out[i] >= 0 ? &x->g->values[n->out[i]] : NULL;
        if (!k || k->home != TSR_HOME_ARENA)
            continue;
        tsr_extent *e = &x->extents[n->out[i]];
        TSR_TRY(set_extent(e, k->ndim, c.out[i].shape));
        if (c.out[i].ndim != k->ndim || e->count > k->count)
            return tsr_op_bad(&c, "the result has %zu values, %zu were planned", e->count, k->count);
    }
    return TSR_OK;
}

/* Work space of a step: as planned, or what all calls that need more share. */
static tsr_status find_work(tsr_exec *x, tsr_step *s, size_t *most)
{
    const tsr_node_data *n = &x->g->nodes[s->node];
    size_t bytes = s->op->work && !s->idle ? s->op->work(&s->call) : 0;
    s->call.work = n->work_bytes ? x->arena + n->work_offset : NULL;
    if (bytes <= n->work_bytes)
        return TSR_OK;
    *most = bytes > *most ? bytes : *most;
    if (*most > x->work_bytes) {
        char *fresh;
        TSR_TRY(tsr_alloc(&fresh, *most, 1));
        tsr_free(x->work);
        x->work = fresh;
        x->work_bytes = *most;
    }
    s->call.work = x->work;
    return TSR_OK;
}

static tsr_status fit_step(tsr_exec *x, tsr_step *s, size_t *scratch)
{
    const tsr_node_data *n = &x->g->nodes[s->node];
    tsr_pack_request req[TSR_OP_PACKS];
    int packs = 0;
    s->call.resized = 1;
    s->idle = 1;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] >= 0)
            put_extent(&s->call.in[i], &x->extents[n->in[i]]);
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i] < 0)
            continue;
        put_extent(&s->call.out[i], &x->extents[n->out[i]]);
        s->idle &= !s->call.out[i].data || s->call.out[i].count == 0;
    }
    s->flops = s->idle ? 0.0 : s->op->flops ? s->op->flops(&s->call) : (double)s->call.out[0].count;
    if (s->idle)
        return TSR_OK;
    if (s->op->prepare && n->n_packs == 0)
        TSR_TRY(s->op->prepare(&s->call, req, &packs));
    size_t bytes = s->op->scratch ? (s->op->scratch(&s->call) + 63) / 64 * 64 : 0;
    *scratch = bytes > *scratch ? bytes : *scratch;
    return TSR_OK;
}

tsr_status tsr_exec_fit(tsr_exec *x)
{
    size_t scratch = 0, work = 0;
    if (!x->stale)
        return TSR_OK;
    for (size_t i = 0; i < x->g->n_nodes; i++)
        TSR_TRY(derive(x, i));
    for (size_t i = 0; i < x->n_steps; i++)
        TSR_TRY(fit_step(x, &x->steps[i], &scratch));
    /* Twice, because the shared work space may move while it grows. */
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < x->n_steps; i++)
            TSR_TRY(find_work(x, &x->steps[i], &work));
    TSR_TRY(tsr_exec_scratch(x, x->lanes, scratch));
    x->stale = 0;
    return TSR_OK;
}

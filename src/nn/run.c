/* SPDX-License-Identifier: Apache-2.0
 * The executor: one arena, one call for each live node, one loop over its items. */
#include "nn/graph_priv.h"

#include "base/job.h"
#include "base/mem.h"
#include "base/par.h"

#include <string.h>

static void *data_of(const tsr_exec *x, tsr_value v)
{
    const tsr_vertex *root = v >= 0 ? &x->g->values[x->g->values[v].root] : NULL;
    if (!root)
        return NULL;
    if (root->home == TSR_HOME_WEIGHT)
        return root->param->value;
    if (root->home == TSR_HOME_GRAD)
        return root->param->grad;
    return x->arena + x->g->values[root->store].offset;
}

/* Where a result goes; nowhere when nobody reads it. */
static void *result_of(const tsr_exec *x, tsr_value v)
{
    int dropped = v < 0 || (x->g->values[v].home == TSR_HOME_ARENA && !x->g->values[v].used);
    return dropped ? NULL : data_of(x, v);
}

static void fill_step(tsr_exec *x, size_t node)
{
    const tsr_node_data *n = &x->g->nodes[node];
    tsr_step *s = &x->steps[x->n_steps++];
    s->op = n->op;
    s->node = node;
    tsr_graph_call(x->g, node, 1, &s->call);
    tsr_graph_node_name(x->g, node, s->name, sizeof s->name);
    s->call.name = s->name;
    s->flops = n->flops;
    for (int i = 0; i < n->n_in; i++)
        s->call.in[i].data = n->op->shape_in >> i & 1 ? NULL : data_of(x, n->in[i]);
    for (int i = 0; i < n->n_out; i++)
        s->call.out[i].data = result_of(x, n->out[i]);
    for (int i = 0; i < n->n_packs; i++)
        s->call.packs[i] = x->g->packs[n->pack[i]]->blocks;
    s->call.work = n->work_bytes ? x->arena + n->work_offset : NULL;
}

tsr_status tsr_exec_scratch(tsr_exec *x, int lanes, size_t each)
{
    char *fresh = NULL;
    size_t bytes;
    lanes = lanes > x->lanes ? lanes : x->lanes;
    each = each > x->scratch_bytes ? each : x->scratch_bytes;
    if (lanes == x->lanes && each == x->scratch_bytes)
        return TSR_OK;
    TSR_TRY(tsr_mul_size((size_t)lanes, each, &bytes));
    TSR_TRY(tsr_alloc(&fresh, bytes, 1));
    tsr_free(x->scratch);
    x->scratch = fresh;
    x->scratch_bytes = each;
    x->lanes = lanes;
    return TSR_OK;
}

#define SMALL_TABLE 65536 /* values up to which a table is held: reading rows would cost more */

/* 1 when a node can do with the weight in its file as input j. */
static int spares(const tsr_node_data *n, int j, const tsr_param *p)
{
    unsigned spared = n->op->shape_in | n->op->rows_in;
    return (spared >> j & 1) && (n->op->prepare || p->count > SMALL_TABLE);
}

/* Weights that are read as a whole, or looked at from outside, come into memory. */
static tsr_status hold_weights(tsr_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const tsr_node_data *n = &g->nodes[i];
        for (int j = 0; n->live && !(n->op->flags & TSR_OP_ALIAS) && j < n->n_in; j++) {
            tsr_vertex *w = n->in[j] >= 0 ? &g->values[g->values[n->in[j]].root] : NULL;
            if (w && w->home == TSR_HOME_WEIGHT && !spares(n, j, w->param))
                TSR_TRY(tsr_param_hold(g->params, w->param));
        }
    }
    for (size_t v = 0; v < g->n_values; v++)
        if (g->values[v].home == TSR_HOME_WEIGHT && g->values[v].output)
            TSR_TRY(tsr_param_hold(g->params, g->values[v].param));
    return TSR_OK;
}

tsr_status tsr_exec_create(tsr_graph *g, tsr_exec **out)
{
    tsr_status st;
    tsr_plan plan;
    tsr_exec *x = NULL;
    TSR_TRY(tsr_graph_plan(g, &plan));
    if (g->params && tsr_params_deferred(g->params))
        TSR_TRY(hold_weights(g));
    TSR_TRY(tsr_alloc(&x, 1, sizeof *x));
    x->g = g;
    x->arena_bytes = plan.values_bytes;
    TSR_GO(tsr_reserve(&x->arena, plan.values_bytes));
    TSR_GO(tsr_alloc(&x->steps, plan.nodes, sizeof *x->steps));
    TSR_GO(tsr_exec_scratch(x, tsr_par_team(), plan.scratch_bytes));
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (i == tsr_graph_forward_nodes(g))
            x->n_forward = x->n_steps;
        if (g->nodes[i].live && !(g->nodes[i].op->flags & TSR_OP_ALIAS))
            fill_step(x, i);
    }
    if (tsr_graph_forward_nodes(g) == g->n_nodes)
        x->n_forward = x->n_steps;
    *out = x;
    x = NULL;
out:
    tsr_exec_destroy(x);
    return st;
}

void tsr_exec_destroy(tsr_exec *x)
{
    if (!x)
        return;
    tsr_unreserve(x->arena, x->arena_bytes);
    tsr_free(x->extents);
    tsr_free(x->work);
    tsr_free(x->scratch);
    tsr_free(x->steps);
    tsr_free(x);
}

/* --- running --- */

typedef struct loop {
    const tsr_step *s;
    char *scratch;
    size_t scratch_bytes; /* a lane */
} loop;

static void run_item(void *ctx, size_t i, int lane)
{
    const loop *l = ctx;
    l->s->op->run(&l->s->call, i, l->scratch + (size_t)lane * l->scratch_bytes);
}

static void run_step(tsr_exec *x, tsr_step *s)
{
    double start = tsr_now_s();
    loop l = {s, x->scratch, x->scratch_bytes};
    int phases = s->op->phases > 0 ? s->op->phases : 1;
    for (int p = 0; p < phases && !s->idle; p++) {
        s->call.phase = p;
        tsr_par_kernels(s->op->items ? s->op->items(&s->call) : 1, run_item, &l);
    }
    s->seconds += tsr_now_s() - start;
    s->runs++;
}

/* Operations that read rows of a weight from its file cannot fail; whether one did is seen here. */
static tsr_status check_readings(const tsr_graph *g)
{
    for (size_t v = 0; g->params && tsr_params_deferred(g->params) && v < g->n_values; v++) {
        tsr_param *p = g->values[v].home == TSR_HOME_WEIGHT ? g->values[v].param : NULL;
        int broken = p ? atomic_load(&p->broken) : 0;
        if (broken)
            TSR_FAIL((tsr_status)broken, "%s: tensor \"%.200s\" %s", p->source->name, p->name,
                     broken == TSR_ENUMERIC ? "holds a value that is not a finite number"
                                            : "cannot be read any more");
    }
    return TSR_OK;
}

tsr_status tsr_exec_forward(tsr_exec *x)
{
    TSR_TRY(tsr_exec_fit(x));
    TSR_TRY(tsr_exec_scratch(x, tsr_par_team(), 0));
    if (x->g->n_packs)
        TSR_TRY(tsr_packs_refresh(x->g->params, x->g->packs, x->g->n_packs));
    if (x->poison)
        memset(x->arena + x->g->inputs_bytes, 0xff, x->arena_bytes - x->g->inputs_bytes);
    for (size_t i = 0; i < x->n_forward; i++) {
        TSR_TRY(tsr_job_check(x->job));
        run_step(x, &x->steps[i]);
    }
    return check_readings(x->g);
}

void tsr_exec_watch(tsr_exec *x, const tsr_job *job)
{
    x->job = job;
}

tsr_status tsr_exec_backward(tsr_exec *x)
{
    TSR_TRY(tsr_exec_scratch(x, tsr_par_team(), 0));
    for (size_t i = x->n_forward; i < x->n_steps; i++)
        run_step(x, &x->steps[i]);
    return TSR_OK;
}

tsr_status tsr_exec_run(tsr_exec *x)
{
    TSR_TRY(tsr_exec_forward(x));
    return tsr_exec_backward(x);
}

/* --- looking in --- */

static const tsr_vertex *known(const tsr_exec *x, tsr_value v)
{
    return v >= 0 && (size_t)v < x->g->n_values ? &x->g->values[v] : NULL;
}

void *tsr_exec_input(tsr_exec *x, tsr_value v)
{
    const tsr_vertex *k = known(x, v);
    return k && k->home == TSR_HOME_INPUT ? data_of(x, v) : NULL;
}

const void *tsr_exec_value(const tsr_exec *x, tsr_value v)
{
    const tsr_vertex *k = known(x, v);
    if (!k || (k->home == TSR_HOME_ARENA && !x->g->values[k->root].output))
        return NULL;
    return data_of(x, v);
}

size_t tsr_exec_bytes(const tsr_exec *x)
{
    return x->arena_bytes + x->work_bytes + (size_t)x->lanes * x->scratch_bytes;
}

void tsr_exec_poison(tsr_exec *x, int on)
{
    x->poison = on;
}

size_t tsr_exec_nodes(const tsr_exec *x)
{
    return x->n_steps;
}

void tsr_exec_report(const tsr_exec *x, size_t node, tsr_node_report *out)
{
    const tsr_step *s = &x->steps[node];
    const tsr_node_data *n = &x->g->nodes[s->node];
    double flops = s->idle || !s->op->flops ? s->flops : s->op->flops(&s->call);
    *out = (tsr_node_report){s->op->name, n->label,   node >= x->n_forward,
                             flops,       s->seconds, s->runs};
}

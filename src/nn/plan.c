/* SPDX-License-Identifier: Apache-2.0
 * What runs, in which type each value is stored, how long it lives, and where in one arena. */
#include "nn/graph_priv.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int is_alias(const tsr_node_data *n)
{
    return (n->op->flags & TSR_OP_ALIAS) != 0;
}

/* 1 when a node really reads its input j: aliases read their first only, and of some inputs only
 * the shape counts. */
static int reads(const tsr_node_data *n, int j)
{
    return n->in[j] >= 0 && !(is_alias(n) && j > 0) && !(n->op->shape_in >> j & 1);
}

/* A node lives when somebody reads a result, or it adds to a weight's gradient or changes an input. */
static void mark_live(tsr_graph *g)
{
    for (size_t v = 0; v < g->n_values; v++)
        g->values[v].used = g->values[v].output;
    for (size_t i = g->n_nodes; i-- > 0;) {
        tsr_node_data *n = &g->nodes[i];
        n->live = (n->op->flags & TSR_OP_UPDATES) != 0;
        for (int j = 0; j < n->n_out; j++)
            n->live |= n->out[j] >= 0 && (g->values[n->out[j]].used ||
                                          g->values[n->out[j]].home == TSR_HOME_GRAD);
        for (int j = 0; n->live && j < n->n_in; j++)
            if (reads(n, j))
                g->values[n->in[j]].used = 1;
    }
}

/* bf16 storage where producer and all consumers allow it. */
static void choose_types(tsr_graph *g)
{
    for (size_t v = 0; v < g->n_values; v++) {
        tsr_vertex *x = &g->values[v];
        const tsr_node_data *n = x->node >= 0 ? &g->nodes[x->node] : NULL;
        int half = n && x->root == (tsr_value)v && x->dtype == TSR_F32 && !x->output &&
                   n->precision == TSR_PRECISION_BF16;
        for (int j = 0; half && j < n->n_out; j++)
            if (n->out[j] == (tsr_value)v)
                half = n->op->bf16_out >> j & 1;
        x->stored = half ? TSR_BF16 : x->dtype;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const tsr_node_data *n = &g->nodes[i];
        unsigned allowed = n->precision == TSR_PRECISION_BF16 ? n->op->bf16_in : 0;
        for (int j = 0; n->live && !is_alias(n) && j < n->n_in; j++) {
            tsr_vertex *x = reads(n, j) ? &g->values[g->values[n->in[j]].root] : NULL;
            if (x && !(allowed >> j & 1))
                x->stored = x->dtype;
        }
    }
}

/* Life of storages in node indices; inputs and outputs live for ever. */
static void find_lives(tsr_graph *g)
{
    int end = (int)g->n_nodes;
    for (size_t v = 0; v < g->n_values; v++) {
        tsr_vertex *x = &g->values[v];
        x->store = (tsr_value)v;
        x->first = x->node;
        x->last = x->output || x->home == TSR_HOME_INPUT ? end : x->node;
        x->bytes = aligned(x->count * tsr_dtype_bytes(x->stored));
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const tsr_node_data *n = &g->nodes[i];
        for (int j = 0; n->live && j < n->n_in; j++) {
            tsr_vertex *x = reads(n, j) ? &g->values[g->values[n->in[j]].root] : NULL;
            if (x && x->last < (int)i)
                x->last = (int)i;
        }
    }
}

static int read_elsewhere(const tsr_graph *g, const tsr_node_data *n, tsr_value root)
{
    for (int j = 1; j < n->n_in; j++)
        if (reads(n, j) && g->values[n->in[j]].root == root)
            return 1;
    return 0;
}

/* A result takes over the storage of the first operand that ends there. */
static void share_in_place(tsr_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const tsr_node_data *n = &g->nodes[i];
        if (!n->live || !(n->op->flags & TSR_OP_INPLACE) || n->in[0] < 0)
            continue;
        if (n->out[n->op->inplace_out] < 0)
            continue;
        tsr_vertex *out = &g->values[n->out[n->op->inplace_out]];
        tsr_value root = g->values[n->in[0]].root, store = g->values[root].store;
        tsr_vertex *from = &g->values[store];
        if (out->home != TSR_HOME_ARENA || from->home != TSR_HOME_ARENA || from->last != (int)i ||
            from->stored != out->stored || from->bytes != out->bytes || read_elsewhere(g, n, root))
            continue;
        if (!out->used)
            continue;
        out->store = store;
        from->last = out->last;
    }
}

/* --- placement --- */

typedef struct block {
    int first, last;
    size_t bytes, offset, index;
    size_t *home; /* where the offset is reported */
} block;

static int by_size(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_offset(const void *a, const void *b)
{
    const block *x = *(const block *const *)a, *y = *(const block *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Lowest gap among the placed blocks that live at the same time. `near` is work space. */
static void place(block *b, block *placed, size_t n, const block **near)
{
    size_t k = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        if (placed[i].first <= b->last && b->first <= placed[i].last)
            near[k++] = &placed[i];
    qsort(near, k, sizeof *near, by_offset);
    for (size_t i = 0; i < k; i++) {
        if (near[i]->offset >= at + b->bytes)
            break;
        if (near[i]->offset + near[i]->bytes > at)
            at = near[i]->offset + near[i]->bytes;
    }
    b->offset = at;
}

/* Everything that lives for a while: stores, and the work space of nodes. */
static size_t collect(tsr_graph *g, block *b)
{
    size_t n = 0;
    for (size_t v = 0; v < g->n_values; v++) {
        tsr_vertex *x = &g->values[v];
        if (x->home != TSR_HOME_ARENA || x->root != (tsr_value)v || x->store != (tsr_value)v ||
            !g->nodes[x->node].live || !x->used)
            continue;
        b[n] = (block){x->first, x->last, x->bytes, 0, n, &x->offset};
        n++;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        tsr_node_data *d = &g->nodes[i];
        if (!d->live || d->work_bytes == 0)
            continue;
        b[n] = (block){(int)i, (int)i, aligned(d->work_bytes), 0, n, &d->work_offset};
        n++;
    }
    return n;
}

/* Largest first, each at its lowest possible place. */
static tsr_status place_all(tsr_graph *g)
{
    tsr_status st;
    block *b = NULL;
    const block **near = NULL;
    size_t top = 0, inputs = 0;
    for (size_t v = 0; v < g->n_values; v++) {
        if (g->values[v].home != TSR_HOME_INPUT)
            continue;
        g->values[v].offset = inputs;
        inputs += g->values[v].bytes;
    }
    TSR_GO(tsr_alloc(&b, g->n_values + g->n_nodes + 1, sizeof *b));
    TSR_GO(tsr_alloc(&near, g->n_values + g->n_nodes + 1, sizeof *near));
    size_t n = collect(g, b);
    qsort(b, n, sizeof *b, by_size);
    for (size_t i = 0; i < n; i++) {
        place(&b[i], b, i, near);
        *b[i].home = inputs + b[i].offset;
        g->plan.unshared_bytes += b[i].bytes;
        if (b[i].offset + b[i].bytes > top)
            top = b[i].offset + b[i].bytes;
    }
    g->inputs_bytes = inputs;
    g->plan.values_bytes = inputs + top;
    g->plan.unshared_bytes += inputs;
out:
    tsr_free(near);
    tsr_free(b);
    return st;
}

/* --- nodes --- */

static tsr_status add_pack(tsr_graph *g, const tsr_pack_request *req, int *index)
{
    tsr_packed *p;
    TSR_TRY(tsr_room(&g->packs, g->n_packs, &g->cap_packs, sizeof(tsr_packed *)));
    TSR_TRY(tsr_packs_take(g->params, req, &p));
    for (size_t i = 0; i < g->n_packs; i++)
        if (g->packs[i] == p) {
            tsr_packs_drop(g->params, p);
            *index = (int)i;
            return TSR_OK;
        }
    *index = (int)g->n_packs;
    g->packs[g->n_packs++] = p;
    g->plan.packed_bytes += req->blocks * tsr_pack_bytes(req->gemm);
    return TSR_OK;
}

/* A further output that nobody reads is not there. */
static void drop_unused(tsr_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        tsr_node_data *n = &g->nodes[i];
        for (int j = 0; j < n->n_out; j++)
            if (n->out[j] >= 0 && g->values[n->out[j]].home == TSR_HOME_ARENA &&
                !g->values[n->out[j]].used && j > 0)
                n->out[j] = TSR_NONE;
    }
}

/* Sizes and products of one node; from shapes alone. */
static tsr_status plan_node(tsr_graph *g, size_t i)
{
    tsr_node_data *n = &g->nodes[i];
    tsr_pack_request req[TSR_OP_PACKS];
    char name[128];
    tsr_op_call c;
    if (!n->live || is_alias(n))
        return TSR_OK;
    tsr_graph_call(g, i, 1, &c);
    tsr_graph_node_name(g, i, name, sizeof name);
    c.name = name;
    if (n->op->prepare)
        TSR_TRY(n->op->prepare(&c, req, &n->n_packs));
    for (int j = 0; j < n->n_packs; j++)
        TSR_TRY(add_pack(g, &req[j], &n->pack[j]));
    n->flops = n->op->flops ? n->op->flops(&c) : (double)c.out[0].count;
    n->scratch_bytes = n->op->scratch ? aligned(n->op->scratch(&c)) : 0;
    n->work_bytes = n->op->work ? n->op->work(&c) : 0;
    if (n->scratch_bytes > g->plan.scratch_bytes)
        g->plan.scratch_bytes = n->scratch_bytes;
    g->plan.nodes++;
    *(i < tsr_graph_forward_nodes(g) ? &g->plan.forward_flops : &g->plan.backward_flops) += n->flops;
    return TSR_OK;
}

static tsr_status make_plan(tsr_graph *g)
{
    mark_live(g);
    drop_unused(g);
    choose_types(g);
    for (size_t i = 0; i < g->n_nodes; i++)
        TSR_TRY(plan_node(g, i));
    find_lives(g);
    share_in_place(g);
    return place_all(g);
}

static tsr_status plan_once(tsr_graph *g)
{
    TSR_TRY(tsr_graph_check(g));
    if (!g->planned) {
        g->planned = 1;
        tsr_graph_stick(g, make_plan(g));
    }
    return tsr_graph_check(g);
}

tsr_status tsr_graph_plan(tsr_graph *g, tsr_plan *out)
{
    pthread_mutex_lock(&g->lock);
    tsr_status st = plan_once(g);
    pthread_mutex_unlock(&g->lock);
    if (st == TSR_OK)
        *out = g->plan;
    return st;
}

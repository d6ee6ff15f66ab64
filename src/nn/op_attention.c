/* SPDX-License-Identifier: Apache-2.0
 * Attention over sequences of a batch or segments of one long row; probabilities live one block of
 * queries at a time and are computed again for the gradient. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUERIES 256 /* queries an item, in batches */

typedef enum attention_mode {
    SEPARATE,  /* q, k, v */
    PACKED,    /* qkv */
    PACKED_KV, /* q, kv */
} attention_mode;

typedef struct attention_attr {
    int heads, causal;
    float scale;
    attention_mode mode;
} attention_attr;

/* Inputs by position. */
enum { IN_Q, IN_K, IN_V, IN_Q_OFFSETS, IN_K_OFFSETS, IN_CAUSAL, IN_K_BEGIN, IN_K_END, IN_GRAD };

/* What shapes and settings say. */
typedef struct attention_plan {
    const attention_attr *a;
    size_t batch, nq, nk, width; /* sequences or segments; rows of q and k in each (or in all) */
    size_t heads, d;
    size_t row[3], column[3]; /* of q, k, v: elements a row, first column */
    int in[3];                /* which input holds q, k, v */
    int segments;
} attention_plan;

static attention_plan plan_of(const tsr_op_call *c)
{
    const attention_attr *a = c->attr;
    attention_plan p = {.a = a, .heads = (size_t)a->heads, .in = {IN_Q, IN_K, IN_V}};
    const tsr_operand *q = &c->in[IN_Q];
    if (a->mode == PACKED)
        p.in[1] = p.in[2] = IN_Q;
    if (a->mode == PACKED_KV)
        p.in[2] = IN_K;
    p.segments = c->in[IN_Q_OFFSETS].ndim > 0;
    p.width = tsr_width(q) / (a->mode == PACKED ? 3 : 1);
    p.d = p.width / p.heads;
    for (int i = 0; i < 3; i++)
        p.row[i] = tsr_width(&c->in[p.in[i]]);
    p.column[1] = a->mode == PACKED ? p.width : 0;
    p.column[2] = a->mode == PACKED ? 2 * p.width : a->mode == PACKED_KV ? p.width : 0;
    p.nq = q->shape[q->ndim - 2];
    p.nk = c->in[p.in[1]].shape[c->in[p.in[1]].ndim - 2];
    p.batch = p.segments ? c->in[IN_Q_OFFSETS].count - 1 : q->shape[0];
    return p;
}

static tsr_status offsets_check(const tsr_op_call *c)
{
    const tsr_operand *o = &c->in[IN_Q_OFFSETS];
    int ranges = c->in[IN_K_BEGIN].ndim || c->in[IN_K_END].ndim;
    if (o->ndim == 0 && (c->in[IN_K_OFFSETS].ndim || c->in[IN_CAUSAL].ndim || ranges))
        return tsr_op_bad(c, "segments of keys without segments of queries");
    if (c->in[IN_K_OFFSETS].ndim && ranges)
        return tsr_op_bad(c, "k_offsets beside k_begin and k_end");
    if (o->ndim == 0)
        return TSR_OK;
    TSR_TRY(tsr_op_expect_dims(c, IN_Q_OFFSETS, "q_offsets", TSR_I32, 1, 1));
    if (o->count < (c->resized ? 1 : 2))
        return tsr_op_bad(c, "q_offsets holds %zu values; segments need at least 2", o->count);
    size_t segments = o->count - 1;
    if (c->in[IN_K_OFFSETS].ndim) {
        TSR_TRY(tsr_op_expect_dims(c, IN_K_OFFSETS, "k_offsets", TSR_I32, 1, 1));
        TSR_TRY(tsr_op_expect_shape(c, IN_K_OFFSETS, "k_offsets", 1, &o->count));
    }
    if (c->in[IN_CAUSAL].ndim) {
        TSR_TRY(tsr_op_expect_dims(c, IN_CAUSAL, "causal_segments", TSR_I32, 1, 1));
        TSR_TRY(tsr_op_expect_shape(c, IN_CAUSAL, "causal_segments", 1, &segments));
    }
    for (int i = IN_K_BEGIN; ranges && i <= IN_K_END; i++) {
        const char *role = i == IN_K_BEGIN ? "k_begin" : "k_end";
        TSR_TRY(tsr_op_expect_dims(c, i, role, TSR_I32, 1, 1));
        TSR_TRY(tsr_op_expect_shape(c, i, role, 1, &segments));
    }
    return TSR_OK;
}

/* Operand i has the dimensions of q but its own number of rows and this width. */
static tsr_status beside_q(const tsr_op_call *c, int i, const char *role, size_t width)
{
    const tsr_operand *q = &c->in[IN_Q], *o = &c->in[i];
    TSR_TRY(tsr_op_expect_dims(c, i, role, TSR_F32, q->ndim, q->ndim));
    if (tsr_width(o) != width)
        return tsr_op_bad(c, "%s has width %zu, expected %zu", role, tsr_width(o), width);
    if (q->ndim == 3 && o->shape[0] != q->shape[0])
        return tsr_op_bad(c, "%s has %zu sequences, q has %zu", role, o->shape[0], q->shape[0]);
    return TSR_OK;
}

static tsr_status attention_check(tsr_op_call *c)
{
    const attention_attr *a = c->attr;
    int dims = c->in[IN_Q_OFFSETS].ndim ? 2 : 3;
    size_t parts = a->mode == PACKED ? 3 : 1;
    TSR_TRY(tsr_op_expect_dims(c, IN_Q, "q", TSR_F32, dims, dims));
    if (a->heads < 1 || tsr_width(&c->in[IN_Q]) % (parts * (size_t)a->heads) != 0)
        return tsr_op_bad(c, "a width of %zu is not %zu times %d heads", tsr_width(&c->in[IN_Q]),
                          parts, a->heads);
    size_t width = tsr_width(&c->in[IN_Q]) / parts;
    if (width / (size_t)a->heads > TSR_HEAD_WIDTH)
        return tsr_op_bad(c, "heads are %zu wide, at most %d is possible",
                          width / (size_t)a->heads, TSR_HEAD_WIDTH);
    TSR_TRY(offsets_check(c));
    if (a->mode == PACKED_KV)
        return beside_q(c, IN_K, "kv", 2 * width);
    if (a->mode == PACKED)
        return TSR_OK;
    TSR_TRY(beside_q(c, IN_K, "k", width));
    return tsr_op_expect_shape(c, IN_V, "v", c->in[IN_K].ndim, c->in[IN_K].shape);
}

static tsr_status attention_shape(tsr_op_call *c)
{
    TSR_TRY(attention_check(c));
    attention_plan p = plan_of(c);
    tsr_op_like(c, 0, &c->in[IN_Q]);
    c->out[0].shape[c->out[0].ndim - 1] = p.width;
    return TSR_OK;
}

/* --- which rows belong together ------------------------------------------------------------------ */

/* What offsets said so far: the row where the next segment of queries, and of keys, begins. */
typedef struct cursor {
    size_t q, k;
} cursor;

static size_t clipped(int32_t row, size_t rows)
{
    size_t here = row > 0 ? (size_t)row : 0;
    return here < rows ? here : rows;
}

/* The next offset, made ascending and cut to [0, rows], so that offsets that are wrong never lead
 * outside. */
static size_t ascending(const int32_t *offsets, size_t i, size_t rows, size_t from)
{
    size_t here = clipped(offsets[i], rows);
    return here > from ? here : from;
}

/* Segment s; `at` as the one before left it, zeros for the first. */
static tsr_head_span next_segment(const tsr_op_call *c, const attention_plan *p, size_t s, cursor *at)
{
    const int32_t *q = c->in[IN_Q_OFFSETS].data, *k = c->in[IN_K_OFFSETS].data;
    const int32_t *causal = c->in[IN_CAUSAL].data;
    tsr_head_span x = {.causal = p->a->causal || (causal && causal[s] != 0)};
    k = k ? k : q;
    x.q = ascending(q, s, p->nq, at->q);
    at->q = ascending(q, s + 1, p->nq, x.q);
    x.nq = x.of = at->q - x.q;
    if (c->in[IN_K_BEGIN].ndim) {
        x.k = clipped(((const int32_t *)c->in[IN_K_BEGIN].data)[s], p->nk);
        at->k = clipped(((const int32_t *)c->in[IN_K_END].data)[s], p->nk);
    } else {
        x.k = ascending(k, s, p->nk, at->k);
        at->k = ascending(k, s + 1, p->nk, x.k);
    }
    x.nk = at->k > x.k ? at->k - x.k : 0;
    x.k = x.nk ? x.k : 0;
    return x;
}

/* Spans whose keys lie in one range, apart from those of all other groups. */
typedef struct group {
    size_t k, nk; /* the range: first row and rows */
    size_t first, n;
} group;

/* The work space of a call with segments, made in phase 0. */
typedef struct table {
    size_t n_spans, n_groups;
    size_t q_first, q_end; /* rows of q in segments */
    group *groups;         /* [segments], ascending by keys; keys of spans count from their group's */
    tsr_head_span *spans;  /* [segments] */
} table;

static size_t attention_work(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return p.segments ? sizeof(table) + p.batch * (sizeof(group) + sizeof(tsr_head_span)) : 0;
}

/* By keys, then by queries, which differ. */
static int by_keys(const void *a, const void *b)
{
    const tsr_head_span *x = a, *y = b;
    if (x->k != y->k)
        return x->k < y->k ? -1 : 1;
    if (x->nk != y->nk)
        return x->nk < y->nk ? -1 : 1;
    return x->q < y->q ? -1 : x->q > y->q;
}

/* Segments that have queries; neighbours that see the same keys and are not causal become one. */
static void find_spans(const tsr_op_call *c, const attention_plan *p, table *t)
{
    cursor at = {0, 0};
    int sorted = 1;
    t->q_first = t->q_end = 0;
    for (size_t s = 0; s < p->batch; s++) {
        tsr_head_span x = next_segment(c, p, s, &at);
        tsr_head_span *last = t->n_spans ? &t->spans[t->n_spans - 1] : NULL;
        t->q_first = s == 0 ? x.q : t->q_first;
        t->q_end = at.q;
        if (x.nq == 0)
            continue;
        if (last && !last->causal && !x.causal && last->k == x.k && last->nk == x.nk) {
            last->of = last->nq += x.nq;
            continue;
        }
        sorted = sorted && (!last || by_keys(last, &x) < 0);
        t->spans[t->n_spans++] = x;
    }
    if (!sorted)
        qsort(t->spans, t->n_spans, sizeof *t->spans, by_keys);
}

/* For the result a group is one range of keys, so that a row depends on its own keys only; for
 * gradients, which are added up by key, ranges that overlap are joined. */
static void make_table(const tsr_op_call *c, const attention_plan *p, int join)
{
    table *t = c->work;
    *t = (table){.groups = (group *)(t + 1)};
    t->spans = (tsr_head_span *)(t->groups + p->batch);
    find_spans(c, p, t);
    for (size_t i = 0; i < t->n_spans; i++) {
        tsr_head_span *x = &t->spans[i];
        group *g = t->n_groups ? &t->groups[t->n_groups - 1] : NULL;
        if (!g || x->k >= g->k + g->nk || (!join && (x->k != g->k || x->nk != g->nk))) {
            g = &t->groups[t->n_groups++];
            *g = (group){.k = x->k, .first = i};
        }
        g->n++;
        g->nk = x->k + x->nk - g->k > g->nk ? x->k + x->nk - g->k : g->nk;
        x->k -= g->k;
    }
}

/* --- work ---------------------------------------------------------------------------------------- */

/* Pairs of a query and a key: of segments by their offsets where these are known, else as if all were
 * of equal length. */
static double pairs_of(const tsr_op_call *c, const attention_plan *p)
{
    double pairs = 0.0, all = (double)p->nq * (double)p->nk;
    if (!p->segments)
        return all * (double)p->batch * (p->a->causal ? 0.5 : 1.0);
    if (!c->in[IN_Q_OFFSETS].data)
        return p->batch ? all / (double)p->batch * (p->a->causal ? 0.5 : 1.0) : 0.0;
    cursor at = {0, 0};
    for (size_t s = 0; s < p->batch; s++) {
        tsr_head_span x = next_segment(c, p, s, &at);
        pairs += (double)x.nq * (double)x.nk * (x.causal ? 0.5 : 1.0);
    }
    return pairs;
}

/* 4 flop for each pair and column. */
static double attention_flops(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return 4.0 * pairs_of(c, &p) * (double)p.width;
}

static double attention_grad_flops(const tsr_op_call *c)
{
    return 2.5 * attention_flops(c);
}

static const void *element(const tsr_operand *o, size_t i)
{
    return (const char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

/* One head of the keys of a group. */
static tsr_head head_of(const tsr_op_call *c, const attention_plan *p, const group *g,
                        const tsr_head_span *spans, size_t head)
{
    size_t at = head * p->d;
    const tsr_operand *q = &c->in[p->in[0]], *k = &c->in[p->in[1]], *v = &c->in[p->in[2]];
    tsr_head h = {.nk = g->nk, .width = p->d, .spans = spans, .n_spans = g->n,
                  .q_type = q->dtype, .k_type = k->dtype, .v_type = v->dtype,
                  .q_row = p->row[0], .k_row = p->row[1], .v_row = p->row[2]};
    h.scale = p->a->scale > 0.0f ? p->a->scale : 1.0f / sqrtf((float)p->d);
    h.q = element(q, p->column[0] + at);
    h.k = element(k, g->k * p->row[1] + p->column[1] + at);
    h.v = element(v, g->k * p->row[2] + p->column[2] + at);
    return h;
}

/* Zero columns [column, column + width) of rows [first, end). */
static void clear_rows(const tsr_operand *o, size_t first, size_t end, size_t column, size_t width)
{
    size_t row = tsr_width(o), bytes = tsr_dtype_bytes(o->dtype);
    for (size_t i = first; o->data && i < end; i++)
        memset((char *)o->data + (i * row + column) * bytes, 0, width * bytes);
}

static const tsr_kernels *kernels_of(const tsr_op_call *c)
{
    return c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
}

/* --- forward: an item is one head of a group, or of QUERIES rows of a sequence -------------------- */

static size_t attention_items(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    if (c->phase == 0)
        return p.segments ? 1 : 0;
    if (p.segments)
        return p.batch * p.heads + 1;
    return p.batch * p.heads * tsr_pieces(p.nq, QUERIES);
}

static size_t attention_scratch(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return kernels_of(c)->attend_scratch(p.nk, p.d);
}

static void run_head(const tsr_op_call *c, const attention_plan *p, tsr_head *h, size_t head,
                     void *scratch)
{
    h->o_type = c->out[0].dtype;
    h->o_row = p->width;
    h->o = (void *)(uintptr_t)element(&c->out[0], head * p->d);
    kernels_of(c)->attend(h, scratch);
}

static void attention_item(const tsr_op_call *c, size_t item, void *scratch)
{
    attention_plan p = plan_of(c);
    const table *t = c->work;
    if (c->phase == 0) {
        make_table(c, &p, 0);
    } else if (p.segments && item == p.batch * p.heads) {
        clear_rows(&c->out[0], 0, t->q_first, 0, p.width);
        clear_rows(&c->out[0], t->q_end, p.nq, 0, p.width);
    } else if (p.segments && item / p.heads < t->n_groups) {
        const group *g = &t->groups[item / p.heads];
        tsr_head h = head_of(c, &p, g, t->spans + g->first, item % p.heads);
        run_head(c, &p, &h, item % p.heads, scratch);
    } else if (!p.segments) {
        size_t blocks = tsr_pieces(p.nq, QUERIES), at = item % blocks * QUERIES;
        size_t s = item / blocks / p.heads, head = item / blocks % p.heads;
        tsr_head_span x = {.q = s * p.nq + at, .nq = p.nq - at < QUERIES ? p.nq - at : QUERIES,
                           .nk = p.nk, .at = at, .of = p.nq, .causal = p.a->causal};
        tsr_head h = head_of(c, &p, &(group){s * p.nk, p.nk, 0, 1}, &x, head);
        run_head(c, &p, &h, head, scratch);
    }
}

/* --- backward: an item is one head of a group or sequence ----------------------------------------- */

static tsr_status attention_grad_shape(tsr_op_call *c)
{
    for (int i = 0; i < c->n_out; i++)
        tsr_op_like(c, i, &c->in[i]);
    return TSR_OK;
}

static size_t attention_grad_items(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    if (c->phase == 0)
        return p.segments ? 1 : 0;
    return p.batch * p.heads + (p.segments ? 1 : 0);
}

static size_t attention_grad_scratch(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return kernels_of(c)->attend_grad_scratch(p.nk, p.d);
}

static void *gradient_home(const tsr_op_call *c, const attention_plan *p, int part, size_t row,
                           size_t head)
{
    const tsr_operand *g = &c->out[p->in[part]];
    size_t at = row * p->row[part] + p->column[part] + head * p->d;
    return g->data ? (void *)(uintptr_t)element(g, at) : NULL;
}

static void grad_head(const tsr_op_call *c, const attention_plan *p, const group *g,
                      const tsr_head_span *spans, size_t head, void *scratch)
{
    tsr_head h = head_of(c, p, g, spans, head);
    h.go = element(&c->in[IN_GRAD], head * p->d);
    h.go_type = c->in[IN_GRAD].dtype;
    h.go_row = p->width;
    h.gq_type = c->out[p->in[0]].dtype;
    h.gk_type = c->out[p->in[1]].dtype;
    h.gv_type = c->out[p->in[2]].dtype;
    h.gq = gradient_home(c, p, 0, 0, head);
    h.gk = gradient_home(c, p, 1, g->k, head);
    h.gv = gradient_home(c, p, 2, g->k, head);
    h.gq_row = p->row[0];
    h.gk_row = p->row[1];
    h.gv_row = p->row[2];
    kernels_of(c)->attend_grad(&h, scratch);
}

/* Gradients of what is in no segment. */
static void clear_outside(const tsr_op_call *c, const attention_plan *p, const table *t)
{
    clear_rows(&c->out[p->in[0]], 0, t->q_first, p->column[0], p->width);
    clear_rows(&c->out[p->in[0]], t->q_end, p->nq, p->column[0], p->width);
    for (int part = 1; part < 3; part++) {
        const tsr_operand *o = &c->out[p->in[part]];
        size_t row = 0;
        for (size_t i = 0; i < t->n_groups; i++) {
            clear_rows(o, row, t->groups[i].k, p->column[part], p->width);
            row = t->groups[i].nk ? t->groups[i].k + t->groups[i].nk : row;
        }
        clear_rows(o, row, p->nk, p->column[part], p->width);
    }
}

static void attention_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    attention_plan p = plan_of(c);
    const table *t = c->work;
    size_t s = item / p.heads;
    if (c->phase == 0) {
        make_table(c, &p, 1);
    } else if (p.segments && item == p.batch * p.heads) {
        clear_outside(c, &p, t);
    } else if (p.segments && s < t->n_groups) {
        grad_head(c, &p, &t->groups[s], t->spans + t->groups[s].first, item % p.heads, scratch);
    } else if (!p.segments) {
        tsr_head_span x = {.q = s * p.nq, .nq = p.nq, .nk = p.nk, .of = p.nq, .causal = p.a->causal};
        grad_head(c, &p, &(group){s * p.nk, p.nk, 0, 1}, &x, item % p.heads, scratch);
    }
}

static void attention_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                               tsr_value *din)
{
    const attention_attr *a = n->attr;
    tsr_value in[IN_GRAD + 1];
    int outputs = a->mode == SEPARATE ? 3 : a->mode == PACKED_KV ? 2 : 1;
    memcpy(in, n->in, IN_GRAD * sizeof *in);
    in[IN_GRAD] = dout[0];
    tsr_node(g, &tsr_op_attention_grad, IN_GRAD + 1, in, a, sizeof *a, outputs, din);
}

const tsr_op tsr_op_attention = {
    .name = "attention",
    .bf16_in = 1 << IN_Q | 1 << IN_K | 1 << IN_V,
    .bf16_out = 1,
    .shape = attention_shape,
    .flops = attention_flops,
    .items = attention_items,
    .phases = 2,
    .work = attention_work,
    .scratch = attention_scratch,
    .run = attention_item,
    .backward = attention_backward,
};

const tsr_op tsr_op_attention_grad = {
    .name = "attention_grad",
    .bf16_in = 1 << IN_Q | 1 << IN_K | 1 << IN_V | 1 << IN_GRAD,
    .bf16_out = 7,
    .shape = attention_grad_shape,
    .flops = attention_grad_flops,
    .items = attention_grad_items,
    .phases = 2,
    .work = attention_work,
    .scratch = attention_grad_scratch,
    .run = attention_grad_item,
};

static tsr_value attention(tsr_graph *g, const tsr_value qkv[3], attention_mode mode,
                           const tsr_attention_spec *spec)
{
    attention_attr a = {spec->heads, spec->causal, spec->scale, mode};
    tsr_value in[IN_GRAD] = {qkv[0], qkv[1], qkv[2], spec->q_offsets, spec->k_offsets,
                             spec->causal_segments, spec->k_begin, spec->k_end};
    tsr_value out;
    return tsr_node(g, &tsr_op_attention, IN_GRAD, in, &a, sizeof a, 1, &out);
}

tsr_value tsr_attention(tsr_graph *g, tsr_value q, tsr_value k, tsr_value v,
                        const tsr_attention_spec *spec)
{
    return attention(g, (tsr_value[3]){q, k, v}, SEPARATE, spec);
}

tsr_value tsr_self_attention(tsr_graph *g, tsr_value qkv, const tsr_attention_spec *spec)
{
    return attention(g, (tsr_value[3]){qkv, TSR_NONE, TSR_NONE}, PACKED, spec);
}

tsr_value tsr_cross_attention(tsr_graph *g, tsr_value q, tsr_value kv,
                              const tsr_attention_spec *spec)
{
    return attention(g, (tsr_value[3]){q, kv, TSR_NONE}, PACKED_KV, spec);
}

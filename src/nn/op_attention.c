/* SPDX-License-Identifier: Apache-2.0
 * Attention over sequences of a batch or segments of one long row; probabilities live one block of
 * queries at a time and are computed again for the gradient. */
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#include <math.h>
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
enum { IN_Q, IN_K, IN_V, IN_Q_OFFSETS, IN_K_OFFSETS, IN_CAUSAL, IN_GRAD };

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
    if (o->ndim == 0 && (c->in[IN_K_OFFSETS].ndim || c->in[IN_CAUSAL].ndim))
        return tsr_op_bad(c, "segments of keys without segments of queries");
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

/* 4 flop for each pair and column; segments count as of equal length. */
static double attention_flops(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    double pairs = (double)p.nq * (double)p.nk;
    pairs = !p.segments ? pairs * (double)p.batch : p.batch ? pairs / (double)p.batch : 0.0;
    return 4.0 * pairs * (double)p.width * (p.a->causal ? 0.5 : 1.0);
}

static double attention_grad_flops(const tsr_op_call *c)
{
    return 2.5 * attention_flops(c);
}

/* --- which rows belong together ------------------------------------------------------------------ */

typedef struct sequence {
    size_t q, nq, k, nk; /* first row and number of rows */
    int causal;
} sequence;

/* Row where segment s begins (s = number of segments: where the last ends), made ascending and cut
 * to [0, rows], so that offsets that are wrong never lead outside. */
static size_t segment_start(const tsr_operand *offsets, size_t s, size_t rows)
{
    const int32_t *o = offsets->data;
    size_t at = 0;
    for (size_t i = 0; i <= s; i++) {
        size_t here = o[i] > 0 ? (size_t)o[i] : 0;
        here = here < rows ? here : rows;
        at = here > at ? here : at;
    }
    return at;
}

static const tsr_operand *key_offsets(const tsr_op_call *c)
{
    return c->in[IN_K_OFFSETS].ndim ? &c->in[IN_K_OFFSETS] : &c->in[IN_Q_OFFSETS];
}

static sequence sequence_of(const tsr_op_call *c, const attention_plan *p, size_t s)
{
    const int32_t *causal = c->in[IN_CAUSAL].data;
    if (!p->segments)
        return (sequence){s * p->nq, p->nq, s * p->nk, p->nk, p->a->causal};
    sequence r = {.causal = p->a->causal || (causal && causal[s] != 0)};
    r.q = segment_start(&c->in[IN_Q_OFFSETS], s, p->nq);
    r.nq = segment_start(&c->in[IN_Q_OFFSETS], s + 1, p->nq) - r.q;
    r.k = segment_start(key_offsets(c), s, p->nk);
    r.nk = segment_start(key_offsets(c), s + 1, p->nk) - r.k;
    return r;
}

static const void *element(const tsr_operand *o, size_t i)
{
    return (const char *)o->data + i * tsr_dtype_bytes(o->dtype);
}

static tsr_head head_of(const tsr_op_call *c, const attention_plan *p, const sequence *s, size_t head)
{
    size_t at = head * p->d;
    const tsr_operand *q = &c->in[p->in[0]], *k = &c->in[p->in[1]], *v = &c->in[p->in[2]];
    tsr_head h = {.nq = s->nq, .nk = s->nk, .width = p->d, .causal = s->causal,
                  .q_type = q->dtype, .k_type = k->dtype, .v_type = v->dtype,
                  .q_row = p->row[0], .k_row = p->row[1], .v_row = p->row[2]};
    h.scale = p->a->scale > 0.0f ? p->a->scale : 1.0f / sqrtf((float)p->d);
    h.q = element(q, s->q * p->row[0] + p->column[0] + at);
    h.k = element(k, s->k * p->row[1] + p->column[1] + at);
    h.v = element(v, s->k * p->row[2] + p->column[2] + at);
    return h;
}

/* Zero the rows of `o` in no segment. */
static void clear_outside(const tsr_operand *o, const tsr_operand *offsets, size_t segments)
{
    size_t rows = tsr_rows(o), row_bytes = tsr_width(o) * tsr_dtype_bytes(o->dtype);
    size_t first = segment_start(offsets, 0, rows), last = segment_start(offsets, segments, rows);
    if (!o->data)
        return;
    memset(o->data, 0, first * row_bytes);
    memset((char *)o->data + last * row_bytes, 0, (rows - last) * row_bytes);
}

static const tsr_kernels *kernels_of(const tsr_op_call *c)
{
    return c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
}

/* --- forward: an item is one head of a segment, or of QUERIES rows of a sequence ------------------ */

static size_t attention_items(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    if (p.segments)
        return p.batch * p.heads + 1;
    return p.batch * p.heads * tsr_pieces(p.nq, QUERIES);
}

static size_t attention_scratch(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return kernels_of(c)->attend_scratch(p.nq, p.nk, p.d);
}

static void attention_item(const tsr_op_call *c, size_t item, void *scratch)
{
    attention_plan p = plan_of(c);
    size_t blocks = p.segments ? 1 : tsr_pieces(p.nq, QUERIES), block = item % blocks;
    size_t s = item / blocks / p.heads, head = item / blocks % p.heads;
    if (s >= p.batch) {
        clear_outside(&c->out[0], &c->in[IN_Q_OFFSETS], p.batch);
        return;
    }
    sequence q = sequence_of(c, &p, s);
    tsr_head h = head_of(c, &p, &q, head);
    h.o_type = c->out[0].dtype;
    h.o_row = p.width;
    h.o = (void *)(uintptr_t)element(&c->out[0], q.q * p.width + head * p.d);
    h.q_first = block * QUERIES;
    h.q_count = p.segments || q.nq - h.q_first < QUERIES ? q.nq - h.q_first : QUERIES;
    if (h.q_count > 0)
        kernels_of(c)->attend(&h, scratch);
}

/* --- backward: an item is one head of a segment or sequence --------------------------------------- */

static tsr_status attention_grad_shape(tsr_op_call *c)
{
    for (int i = 0; i < c->n_out; i++)
        tsr_op_like(c, i, &c->in[i]);
    return TSR_OK;
}

static size_t attention_grad_items(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return p.batch * p.heads + (p.segments ? 1 : 0);
}

static size_t attention_grad_scratch(const tsr_op_call *c)
{
    attention_plan p = plan_of(c);
    return kernels_of(c)->attend_grad_scratch(p.nq, p.nk, p.d);
}

static void *gradient_home(const tsr_op_call *c, const attention_plan *p, int part, size_t row,
                           size_t head)
{
    const tsr_operand *g = &c->out[p->in[part]];
    size_t at = row * p->row[part] + p->column[part] + head * p->d;
    return g->data ? (void *)(uintptr_t)element(g, at) : NULL;
}

static void attention_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    attention_plan p = plan_of(c);
    size_t s = item / p.heads, head = item % p.heads;
    if (s >= p.batch) {
        clear_outside(&c->out[IN_Q], &c->in[IN_Q_OFFSETS], p.batch);
        for (int i = 1; i < c->n_out; i++)
            clear_outside(&c->out[i], key_offsets(c), p.batch);
        return;
    }
    sequence q = sequence_of(c, &p, s);
    tsr_head h = head_of(c, &p, &q, head);
    h.go = element(&c->in[IN_GRAD], q.q * p.width + head * p.d);
    h.go_type = c->in[IN_GRAD].dtype;
    h.go_row = p.width;
    h.gq_type = c->out[p.in[0]].dtype;
    h.gk_type = c->out[p.in[1]].dtype;
    h.gv_type = c->out[p.in[2]].dtype;
    h.gq = gradient_home(c, &p, 0, q.q, head);
    h.gk = gradient_home(c, &p, 1, q.k, head);
    h.gv = gradient_home(c, &p, 2, q.k, head);
    h.gq_row = p.row[0];
    h.gk_row = p.row[1];
    h.gv_row = p.row[2];
    kernels_of(c)->attend_grad(&h, scratch);
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
    .scratch = attention_grad_scratch,
    .run = attention_grad_item,
};

static tsr_value attention(tsr_graph *g, const tsr_value qkv[3], attention_mode mode,
                           const tsr_attention_spec *spec)
{
    attention_attr a = {spec->heads, spec->causal, spec->scale, mode};
    tsr_value in[IN_GRAD] = {qkv[0], qkv[1], qkv[2], spec->q_offsets, spec->k_offsets,
                             spec->causal_segments};
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

/* SPDX-License-Identifier: Apache-2.0
 * Activations element by element, and the SiLU gate. */
#include "nn/bf16.h"
#include "nn/kernels.h"
#include "nn/layers.h"
#include "nn/op.h"

#define PIECE 16384 /* values an item */
#define STRIP 1024  /* values at a time when operands are bf16 */

typedef struct activation_attr {
    tsr_map map;
} activation_attr;

static size_t pieces(const tsr_op_call *c)
{
    return tsr_pieces(c->in[0].count, PIECE);
}

/* Values [at, at + n) as float32: the storage itself, or a copy in `room`. */
static const float *strip_get(const tsr_operand *o, size_t at, size_t n, float *room)
{
    if (o->dtype == TSR_F32)
        return (const float *)o->data + at;
    tsr_bf16_to_floats(room, (const tsr_bf16 *)o->data + at, n);
    return room;
}

/* Where to write values [at, ..): the storage itself, or `room` followed by strip_done(). */
static float *strip_home(const tsr_operand *o, size_t at, float *room)
{
    return o->dtype == TSR_F32 ? (float *)o->data + at : room;
}

static void strip_done(const tsr_operand *o, size_t at, size_t n, const float *room)
{
    if (o->dtype != TSR_F32)
        tsr_bf16_from_floats((tsr_bf16 *)o->data + at, room, n);
}

/* All operands have one shape. */
static tsr_status same_shapes(tsr_op_call *c)
{
    static const char *const roles[] = {"first operand", "second operand", "gradient"};
    TSR_TRY(tsr_op_expect_dims(c, 0, roles[0], TSR_F32, 1, TSR_MAX_DIMS));
    for (int i = 1; i < c->n_in; i++) {
        TSR_TRY(tsr_op_expect_dims(c, i, roles[i], TSR_F32, 1, TSR_MAX_DIMS));
        TSR_TRY(tsr_op_expect_shape(c, i, roles[i], c->in[0].ndim, c->in[0].shape));
    }
    for (int i = 0; i < c->n_out; i++)
        tsr_op_like(c, i, &c->in[0]);
    return TSR_OK;
}

/* Calls strip(c, at, n) for the strips of an item. */
static void each_strip(const tsr_op_call *c, size_t item,
                       void (*strip)(const tsr_op_call *c, size_t at, size_t n))
{
    size_t at = item * PIECE, end = at + PIECE < c->in[0].count ? at + PIECE : c->in[0].count;
    for (; at < end; at += STRIP)
        strip(c, at, end - at < STRIP ? end - at : STRIP);
}

static double map_flops(const tsr_op_call *c)
{
    return 20.0 * (double)c->in[0].count;
}

/* --- y = f(x) --- */

static void map_strip(const tsr_op_call *c, size_t at, size_t n)
{
    const activation_attr *a = c->attr;
    float rx[STRIP], ry[STRIP];
    tsr_kernels_get()->map(a->map, strip_home(&c->out[0], at, ry),
                           strip_get(&c->in[0], at, n, rx), n);
    strip_done(&c->out[0], at, n, ry);
}

static void map_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    each_strip(c, item, map_strip);
}

static void map_grad_strip(const tsr_op_call *c, size_t at, size_t n)
{
    const activation_attr *a = c->attr;
    float rx[STRIP], rdy[STRIP];
    tsr_kernels_get()->map_grad(a->map, (float *)c->out[0].data + at,
                                strip_get(&c->in[0], at, n, rx), strip_get(&c->in[1], at, n, rdy),
                                n);
}

static void map_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    each_strip(c, item, map_grad_strip);
}

static void activation_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                                tsr_value *din)
{
    din[0] = tsr_node2(g, &tsr_op_activation_grad, n->in[0], dout[0], n->attr,
                       sizeof(activation_attr));
}

const tsr_op tsr_op_activation = {
    .name = "activation",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 1,
    .bf16_out = 1,
    .shape = same_shapes,
    .flops = map_flops,
    .items = pieces,
    .run = map_item,
    .backward = activation_backward,
};

const tsr_op tsr_op_activation_grad = {
    .name = "activation_grad",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 3,
    .shape = same_shapes,
    .flops = map_flops,
    .items = pieces,
    .run = map_grad_item,
};

static tsr_value activation(tsr_graph *g, tsr_value x, tsr_map map)
{
    activation_attr a = {map};
    return tsr_node1(g, &tsr_op_activation, x, &a, sizeof a);
}

tsr_value tsr_gelu(tsr_graph *g, tsr_value x)
{
    return activation(g, x, TSR_MAP_GELU);
}

tsr_value tsr_tanh(tsr_graph *g, tsr_value x)
{
    return activation(g, x, TSR_MAP_TANH);
}

tsr_value tsr_silu(tsr_graph *g, tsr_value x)
{
    return activation(g, x, TSR_MAP_SILU);
}

tsr_value tsr_sigmoid(tsr_graph *g, tsr_value x)
{
    return activation(g, x, TSR_MAP_SIGMOID);
}

tsr_value tsr_exp(tsr_graph *g, tsr_value x)
{
    return activation(g, x, TSR_MAP_EXP);
}

/* --- y = silu(a) b --- */

static void *element(const tsr_operand *o, size_t i)
{
    return o->data ? (char *)o->data + i * tsr_dtype_bytes(o->dtype) : NULL;
}

static const tsr_kernels *kernels_of(const tsr_op_call *c)
{
    return c->precision == TSR_PRECISION_BF16 ? tsr_kernels_get_bf16() : tsr_kernels_get();
}

static void gate_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_operand *a = &c->in[0], *b = &c->in[1], *y = &c->out[0];
    size_t at = item * PIECE, n = a->count - at < PIECE ? a->count - at : PIECE;
    kernels_of(c)->gate(&(tsr_gate){n, element(a, at), element(b, at), element(y, at), a->dtype,
                                    b->dtype, y->dtype});
}

static void gate_grad_item(const tsr_op_call *c, size_t item, void *scratch)
{
    (void)scratch;
    const tsr_operand *in = c->in, *out = c->out;
    size_t at = item * PIECE, n = in[0].count - at < PIECE ? in[0].count - at : PIECE;
    kernels_of(c)->gate_grad(&(tsr_gate_slopes){
        n, element(&in[0], at), element(&in[1], at), element(&in[2], at), element(&out[0], at),
        element(&out[1], at), in[0].dtype, in[1].dtype, in[2].dtype, out[0].dtype, out[1].dtype});
}

static void gate_backward(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout,
                          tsr_value *din)
{
    tsr_value in[3] = {n->in[0], n->in[1], dout[0]};
    tsr_node(g, &tsr_op_silu_gate_grad, 3, in, NULL, 0, 2, din);
}

const tsr_op tsr_op_silu_gate = {
    .name = "silu_gate",
    .flags = TSR_OP_INPLACE,
    .bf16_in = 3,
    .bf16_out = 1,
    .shape = same_shapes,
    .flops = map_flops,
    .items = pieces,
    .run = gate_item,
    .backward = gate_backward,
};

const tsr_op tsr_op_silu_gate_grad = {
    .name = "silu_gate_grad",
    .bf16_in = 7,
    .bf16_out = 3,
    .shape = same_shapes,
    .flops = map_flops,
    .items = pieces,
    .run = gate_grad_item,
};

tsr_value tsr_silu_gate(tsr_graph *g, tsr_value a, tsr_value b)
{
    return tsr_node2(g, &tsr_op_silu_gate, a, b, NULL, 0);
}

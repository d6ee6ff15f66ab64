/* SPDX-License-Identifier: Apache-2.0
 * What one operation is. Each lives in a file op_<name>.c that holds its shape rule, cost, reference
 * and fast kernels, gradient rule and builder; ops.def lists them all.
 *
 * To add one: write op_<name>.c with a `const tsr_op tsr_op_<name>`, add the line TSR_OP(<name>) to
 * ops.def, the builder's prototype to ops.h, the file to Makefile.inc, and a test that runs
 * gradcheck.h on it. */
#ifndef TSR_NN_OP_H
#define TSR_NN_OP_H

#include "nn/gemm.h"
#include "nn/graph.h"

#include <stdint.h>

#define TSR_OP_INPUTS 25
#define TSR_OP_OUTPUTS 4
#define TSR_OP_ATTR_BYTES 96
#define TSR_OP_PACKS 2

/* One tensor of a call. `data` is NULL for an optional input that was not given, for an output that
 * nobody reads (the kernel must not write it), and always while shapes are inferred. */
typedef struct tsr_operand {
    tsr_dtype dtype; /* TSR_F32, TSR_I32, or TSR_BF16 where the op's masks allow it */
    int ndim;        /* 0: absent */
    size_t shape[TSR_MAX_DIMS];
    size_t count;
    void *data;
    const tsr_param *param; /* the weight behind an input (also through a reshape), or NULL */
} tsr_operand;

/* One execution of a node: everything a kernel sees. Immutable while items run. */
typedef struct tsr_op_call {
    const char *name;  /* for messages: "node 12 linear (blocks.3)" */
    const void *attr;  /* the op's settings struct, as given to tsr_node() */
    tsr_precision precision;
    int n_in, n_out;
    tsr_operand in[TSR_OP_INPUTS], out[TSR_OP_OUTPUTS];
    int resized;    /* shapes are derived again for an executor with other rows than planned */
    int accumulate; /* with TSR_OP_ACCUMULATES: out[0] += result instead of = */
    int phase;      /* 0 .. phases-1 */
    void *work;     /* work() bytes shared by all items and phases of this execution, not cleared */
    tsr_pack *const *packs[TSR_OP_PACKS]; /* [j][block]: what pack() asked for, filled */
} tsr_op_call;

/* What a gradient rule sees. */
typedef struct tsr_node_view {
    int n_in, n_out;
    const tsr_value *in, *out; /* TSR_NONE: absent */
    const void *attr;
    const int *need; /* [n_in] 1 when the gradient of that input is wanted */
} tsr_node_view;

typedef enum tsr_op_flags {
    TSR_OP_INPLACE = 1,     /* out[inplace_out] may be the storage of in[0] (same bytes) if that dies here */
    TSR_OP_ACCUMULATES = 2, /* honours call->accumulate: a gradient goes straight to its home */
    TSR_OP_ADDS = 8, /* the last input, made absent, may become a gradient that is added to out[0] */
    TSR_OP_ALIAS = 4,       /* out[0] is in[0] under another shape or without gradient: no run */
    TSR_OP_UPDATES = 16,    /* out[0] is the storage of in[0], an input of the graph, changed by run */
} tsr_op_flags;

/* A weight that a node wants in the layout of the product library. Equal requests of all nodes share
 * one copy, which the executor refreshes when the weight's version changes. Block j is
 * B[k,n] = value[offset + j * step + k * row + n * col] of gemm; with groups, j * step is
 * (j / group) * group_step + (j % group) * step. */
typedef struct tsr_pack_request {
    const tsr_param *param;
    const tsr_gemm *gemm;
    size_t row, col;
    size_t blocks, step, offset;
    size_t group, group_step; /* group 0: none */
} tsr_pack_request;

/* Where block j begins in the weight. */
static inline size_t tsr_pack_start(const tsr_pack_request *r, size_t j)
{
    if (r->group == 0)
        return r->offset + j * r->step;
    return r->offset + j / r->group * r->group_step + j % r->group * r->step;
}

typedef struct tsr_op {
    const char *name;
    unsigned flags;
    int inplace_out; /* with TSR_OP_INPLACE: this output instead of the first */

    /* In a node of bf16 precision, bit i: input (output) i may be stored as bf16. A value is stored
     * so when its producer and every consumer allow it and it is no output of the graph. */
    unsigned bf16_in, bf16_out;

    /* Bit i: only the shape of input i is looked at. Its storage need not live, data is NULL. */
    unsigned shape_in;

    /* Bit i: input i, where it is a weight, is read through packs or tsr_op_row() alone, so that its
     * values may stay in the file of a store that is deferred; data is NULL then. */
    unsigned rows_in;

    /* Shapes are derived again when the leading dimensions of a graph's inputs shrink (down to 0:
     * tsr_exec_set_rows). So a result's shape follows from shapes of inputs, not from settings taken
     * from them: pass the value whose shape is meant as a further input, with its bit in shape_in.
     * items, work, scratch and run then see the shapes of the moment; a node whose results are all
     * empty is not run.
     *
     * Check inputs and set out[].dtype, ndim, shape (count is filled in by the caller) of c->n_out
     * outputs. Use tsr_op_expect() and friends for messages. */
    tsr_status (*shape)(tsr_op_call *c);

    /* Floating-point operations of one execution; NULL: one per value of out[0]. */
    double (*flops)(const tsr_op_call *c);

    /* Number of independent items, at least 1, from shapes and settings alone: never from threads,
     * so that arithmetic is the same for any number of them. NULL: 1. */
    size_t (*items)(const tsr_op_call *c);
    int phases; /* 0 counts as 1; all items of a phase end before the next begins */

    /* Bytes of work space for each thread, and for the call as a whole. NULL: none. */
    size_t (*scratch)(const tsr_op_call *c);
    size_t (*work)(const tsr_op_call *c);

    /* Once, when the plan is made, and again with fewer rows if it asked for no packs: compile products (tsr_gemm_get keeps them), and fill req[] with the
     * packed weights wanted, *n of at most TSR_OP_PACKS. NULL: none. */
    tsr_status (*prepare)(const tsr_op_call *c, tsr_pack_request *req, int *n);

    /* Do item i. Cannot fail. `scratch` is aligned to 64 bytes and holds anything. */
    void (*run)(const tsr_op_call *c, size_t item, void *scratch);

    /* Append nodes for the gradients: dout[n_out] are the gradients that arrived (TSR_NONE: zero),
     * din[n_in] (preset to TSR_NONE) receive values of the inputs' shapes. NULL: nothing flows. */
    void (*backward)(tsr_graph *g, const tsr_node_view *n, const tsr_value *dout, tsr_value *din);
} tsr_op;

/* Append a node. Absent optional inputs are TSR_NONE; a negative required input means the graph has
 * failed already or the caller passed nothing, and the shape rule must refuse it (tsr_op_expect_dims
 * does). out[n_out] are set, to TSR_NONE after a failure; returns out[0]. attr is copied, at most
 * TSR_OP_ATTR_BYTES, and padded with zeros. */
tsr_value tsr_node(tsr_graph *g, const tsr_op *op, int n_in, const tsr_value *in, const void *attr,
                   size_t attr_bytes, int n_out, tsr_value *out);

/* Short forms for operations with one output. */
tsr_value tsr_node1(tsr_graph *g, const tsr_op *op, tsr_value a, const void *attr,
                    size_t attr_bytes);
tsr_value tsr_node2(tsr_graph *g, const tsr_op *op, tsr_value a, tsr_value b, const void *attr,
                    size_t attr_bytes);

/* For gradient rules: 1 when the node that makes v may store it as bf16. */
int tsr_may_be_half(const tsr_graph *g, tsr_value v);

/* For shape rules. `role` names the operand ("x", "weight").
 * expect_dims: in[i] is present, of this dtype, with lo..hi dimensions.
 * expect_shape: in[i] is present and has exactly this shape.
 * expect_classes: in[0] logits [R, V], in[1] ids [R], in[2] weights [R] or absent.
 * bad: a failure that shows the shapes of all operands after the sentence. */
TSR_USE tsr_status tsr_op_expect_dims(const tsr_op_call *c, int i, const char *role,
                                      tsr_dtype dtype, int lo, int hi);
TSR_USE tsr_status tsr_op_expect_shape(const tsr_op_call *c, int i, const char *role, int ndim,
                                       const size_t *shape);
TSR_USE tsr_status tsr_op_expect_classes(const tsr_op_call *c);
TSR_USE tsr_status tsr_op_bad(const tsr_op_call *c, const char *fmt, ...) TSR_PRINTF(2, 3);

/* out[i] = dtype and shape of the operand `like`. */
void tsr_op_like(tsr_op_call *c, int i, const tsr_operand *like);
void tsr_op_out(tsr_op_call *c, int i, tsr_dtype dtype, int ndim, const size_t *shape);

/* Rows and width of an operand seen as [rows, last dimension]. */
static inline size_t tsr_width(const tsr_operand *o)
{
    return o->ndim ? o->shape[o->ndim - 1] : 1;
}
static inline size_t tsr_rows(const tsr_operand *o)
{
    size_t width = tsr_width(o);
    return width ? o->count / width : 0;
}

/* Fixed pieces of a range, for items(): n rows in pieces of `each`. */
static inline size_t tsr_pieces(size_t n, size_t each)
{
    return (n + each - 1) / each;
}

/* Row `row` of a table [rows, d] into out[d], from memory or from the weight's file; zeros when it has
 * no such row, NaN when the file cannot be read (which tsr_exec_run() then reports). */
void tsr_op_row(const tsr_operand *t, int64_t row, float *out);

/* All operations, in the order of ops.def. */
const tsr_op *const *tsr_ops(size_t *count);

#define TSR_OP(name) extern const tsr_op tsr_op_##name;
#include "nn/ops.def"
#undef TSR_OP

#endif

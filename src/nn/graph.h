/* SPDX-License-Identifier: Apache-2.0
 * Networks as graphs: build once per shape, plan, then run many times.
 *
 *   tsr_graph *g;
 *   TSR_TRY(tsr_graph_create(params, tsr_precision_default(), &g));
 *   tsr_value x = tsr_input(g, "x", TSR_F32, 2, (size_t[]){64, 32});
 *   tsr_value y = tsr_linear(g, x, tsr_weight(g, "fc.weight"), tsr_weight(g, "fc.bias"), TSR_ACT_GELU);
 *   tsr_graph_output(g, y);
 *   TSR_TRY(tsr_graph_check(g));
 *   TSR_TRY(tsr_exec_create(g, &run));
 *   memcpy(tsr_exec_input(run, x), pixels, ...);
 *   TSR_TRY(tsr_exec_run(run));
 *   const float *out = tsr_exec_value(run, y);
 *
 * The functions that append operations are in nn/ops.h. */
#ifndef TSR_NN_GRAPH_H
#define TSR_NN_GRAPH_H

#include "base/recipe.h"
#include "base/status.h"
#include "nn/params.h"
#include "types/tensor.h"

#include <stddef.h>

/* How matrix products are computed. Everything else is float32 in both. */
typedef enum tsr_precision {
    TSR_PRECISION_FP32, /* float32 operands: the reference */
    TSR_PRECISION_BF16, /* bfloat16 operands, float32 accumulation */
} tsr_precision;

/* BF16 where the processor multiplies it fast (tsr_cpu_bf16()), else FP32. A graph created with
 * TSR_PRECISION_BF16 on any other processor is built as FP32 by the same rule, because emulated
 * bf16 products are slower and less accurate than float32 ones. */
tsr_precision tsr_precision_default(void);
const char *tsr_precision_name(tsr_precision p); /* "fp32", "bf16" */

/* What users may say, and the precision of the word with this index (auto: the default). */
#define TSR_PRECISION_CHOICES "auto|fp32|bf16"
tsr_precision tsr_precision_chosen(int choice);

/* What a recipe says at `path`: auto (also when it says nothing: the default), fp32 or bf16.
 * Errors   those of tsr_recipe_fail for any other word. */
TSR_USE tsr_status tsr_precision_of_recipe(const tsr_recipe *r, const char *path,
                                           tsr_precision *out);

/* A tensor of the graph. Negative: absent, or the graph already failed. */
typedef int tsr_value;
#define TSR_NONE (-1)

typedef struct tsr_graph tsr_graph;
typedef struct tsr_exec tsr_exec;
struct tsr_job; /* base/job.h */

/* --- building ---------------------------------------------------------------------------------
 * The first mistake sticks: the graph keeps its sentence ("node 12 layer_norm (blocks.0): weight is
 * [64], expected [32] after x [4, 16, 32]"), every later call returns TSR_NONE, and
 * tsr_graph_check() reports it. Code that builds a model therefore checks once, at the end. */

/* ps (may be NULL when no weight is used) must outlive the graph, and not lose tensors. */
TSR_USE tsr_status tsr_graph_create(tsr_params *ps, tsr_precision precision, tsr_graph **out);

/* After the last of its executors. NULL is fine. */
void tsr_graph_destroy(tsr_graph *g);

/* The first failure, with its sentence; TSR_OK when there was none. */
TSR_USE tsr_status tsr_graph_check(const tsr_graph *g);

/* Mark the graph as failed, printf style; for code that builds models. Returns TSR_NONE. */
tsr_value tsr_graph_fail(tsr_graph *g, tsr_status code, const char *fmt, ...) TSR_PRINTF(3, 4);

/* The precision in force for products appended from now on; what create() resolved it to at first. A
 * part of a model that must be float32 is built between two calls. Asking for BF16 where the
 * processor is slow at it leaves FP32. */
tsr_precision tsr_graph_precision(const tsr_graph *g);
void tsr_graph_set_precision(tsr_graph *g, tsr_precision precision);

/* Words put beside the nodes appended from now on, in messages and reports ("blocks.3"). */
void tsr_graph_label(tsr_graph *g, const char *fmt, ...) TSR_PRINTF(2, 3);

/* Storage the caller fills before each run. dtype TSR_F32 or TSR_I32; every dimension >= 1; the name
 * is for messages. */
tsr_value tsr_input(tsr_graph *g, const char *name, tsr_dtype dtype, int ndim, const size_t *shape);

/* The parameter of this name; the same value when asked again. Unknown name: TSR_ENOENT. */
tsr_value tsr_weight(tsr_graph *g, const char *name);

/* 1 when the store has a parameter of this name, so that optional ones (biases) can be left out. */
int tsr_has_weight(const tsr_graph *g, const char *name);

/* tsr_weight, or TSR_NONE when the store has no such parameter. */
tsr_value tsr_weight_or_none(tsr_graph *g, const char *name);

/* Keep the value's storage, in float32 (or its integer type), readable after a run. Only outputs,
 * inputs and weights may be read by tsr_exec_value(). */
void tsr_graph_output(tsr_graph *g, tsr_value v);

/* Shape of a value, for code that builds models. 0 dimensions and NULL for TSR_NONE. Borrowed until
 * the graph is destroyed. */
int tsr_value_ndim(const tsr_graph *g, tsr_value v);
const size_t *tsr_value_shape(const tsr_graph *g, tsr_value v);
size_t tsr_value_count(const tsr_graph *g, tsr_value v);

/* Append the gradient of `loss` ([1], float32). Gradients of trained weights are added to
 * param->grad at each run (zero them with tsr_params_zero_grads between steps); call it once, after
 * the whole forward part. Values marked with tsr_graph_want_grad() before have theirs too. */
void tsr_graph_backward(tsr_graph *g, tsr_value loss);

/* Let gradients reach v (an input) although no weight is behind it; read with tsr_graph_grad(). */
void tsr_graph_want_grad(tsr_graph *g, tsr_value v);

/* d loss / d v after tsr_graph_backward(), or TSR_NONE when nothing flows there. Mark it with
 * tsr_graph_output() to read it. */
tsr_value tsr_graph_grad(const tsr_graph *g, tsr_value v);

/* --- planning ---------------------------------------------------------------------------------- */

/* What an executor of this graph will need. */
typedef struct tsr_plan {
    size_t values_bytes;  /* activations and gradients, after sharing storage between lifetimes */
    size_t unshared_bytes; /* the same if every value had its own storage */
    size_t scratch_bytes; /* work space of kernels, for each thread */
    size_t packed_bytes;  /* weights in the layout of the product library; once for all executors */
    double forward_flops, backward_flops; /* per run; a multiply-add counts two */
    size_t nodes;
} tsr_plan;

/* Fix lifetimes and storage; nothing can be appended afterwards. Repeated calls give the same. */
TSR_USE tsr_status tsr_graph_plan(tsr_graph *g, tsr_plan *out);

/* --- running ------------------------------------------------------------------------------------
 * An executor owns one arena of plan.values_bytes. Several executors of one graph may run at once in
 * different threads (not backward: gradients have one home). Inside a parallel region an executor
 * runs on the calling thread; elsewhere it uses tsr_par_threads() threads. The bytes it computes do
 * not depend on that. */
TSR_USE tsr_status tsr_exec_create(tsr_graph *g, tsr_exec **out);
void tsr_exec_destroy(tsr_exec *x);

/* Storage of an input: fill all of it before each run, or the rows set by tsr_exec_set_rows() (it is
 * kept between runs). NULL when v is no input of the graph. */
void *tsr_exec_input(tsr_exec *x, tsr_value v);

/* Forward, and backward when the graph has it. Weights changed since the last run (version of
 * tsr_param) are packed again first.
 * Errors   TSR_ENOMEM; those of tsr_exec_fit() after tsr_exec_set_rows(). Values are not judged: NaN
 *          goes through to the outputs. */
TSR_USE tsr_status tsr_exec_run(tsr_exec *x);

/* From now on forward runs look at `job` between nodes and end with TSR_ECANCEL when it asks to stop;
 * values are unfinished then. Borrowed until the next call; NULL: they do not look. */
void tsr_exec_watch(tsr_exec *x, const struct tsr_job *job);

/* The two halves, so that code between can look at outputs (codebook updates). */
TSR_USE tsr_status tsr_exec_forward(tsr_exec *x);
TSR_USE tsr_status tsr_exec_backward(tsr_exec *x);

/* --- rows that differ from run to run ------------------------------------------------------------
 * A graph is built and planned for the most rows its inputs will ever have (packed samples: rows of
 * all of a batch, one after the other). An executor may then run with fewer, down to none: what is
 * absent costs nothing, and the bytes are those of a graph that was built at exactly this size, on
 * any number of threads. Storage keeps its place; tsr_value_shape() stays the planned shape.
 *
 * Shapes follow from the inputs as they did when the graph was built. Settings do not shrink, so use
 *   tsr_reshape   whose leading dimension is inferred from the rest
 *   tsr_fill_like instead of tsr_fill for a tensor that is as long as another
 *   tsr_embedding of an activation, instead of slices of leading rows
 * A mean loss over no rows is 0, a sum over none is 0, a query without keys gives 0. */

/* From the next run on input v has `rows` as its leading dimension, 0 <= rows <= what it was built
 * with. Set all inputs that go together before the run; fill their first rows.
 * Errors   TSR_EARG when v is no input of the graph, or rows is above what was planned. */
TSR_USE tsr_status tsr_exec_set_rows(tsr_exec *x, tsr_value v, size_t rows);

/* Derive all shapes from the rows that were set, as the next run would do by itself: to learn of
 * mistakes, rows and FLOPs before it.
 * Errors   TSR_EMISMATCH, with the sentence of the operation whose operands do not go together or do
 *          not shrink; TSR_ENOMEM. The executor runs again once rows that fit were set. */
TSR_USE tsr_status tsr_exec_fit(tsr_exec *x);

/* Current leading dimension of a value: of inputs as set, of others as last derived. 0 for
 * TSR_NONE. */
size_t tsr_exec_rows(const tsr_exec *x, tsr_value v);

/* --- looking in ---------------------------------------------------------------------------------- */

/* Values after a run: float or int32_t. Borrowed until the next run. NULL when v is neither input,
 * weight nor output. */
const void *tsr_exec_value(const tsr_exec *x, tsr_value v);

/* Bytes the executor holds: plan.values_bytes + threads * plan.scratch_bytes (a little more where
 * fewer rows took more work space than the planned ones). */
size_t tsr_exec_bytes(const tsr_exec *x);

/* Fill the arena with a byte before each run (0xff makes floats NaN): a test of the planner. */
void tsr_exec_poison(tsr_exec *x, int on);

/* Time and work of one node since the executor was made. */
typedef struct tsr_node_report {
    const char *op;    /* "linear" */
    const char *label; /* "blocks.3", "" when none was set */
    int backward;
    double flops;      /* of a run with the rows and offsets of the moment */
    double seconds;    /* of all runs */
    size_t runs;
} tsr_node_report;

/* Number of nodes, backward ones included, and the report of node < that number. */
size_t tsr_exec_nodes(const tsr_exec *x);
void tsr_exec_report(const tsr_exec *x, size_t node, tsr_node_report *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Inside of graphs, shared by graph.c, autodiff.c, plan.c, run.c and run_rows.c only. */
#ifndef TSR_NN_GRAPH_PRIV_H
#define TSR_NN_GRAPH_PRIV_H

#include "nn/op.h"
#include "nn/packs.h"

#include <pthread.h>

#define TSR_LABEL_CHARS 48

typedef enum tsr_home {
    TSR_HOME_ARENA,  /* made by a node */
    TSR_HOME_INPUT,  /* filled by the caller */
    TSR_HOME_WEIGHT, /* param->value */
    TSR_HOME_GRAD,   /* param->grad */
} tsr_home;

typedef struct tsr_vertex {
    tsr_home home;
    tsr_dtype dtype; /* as the graph's builder sees it */
    int ndim;
    size_t shape[TSR_MAX_DIMS];
    size_t count;
    int node;       /* that makes it, or -1 */
    tsr_value root; /* whose storage it shows (aliases), else itself */
    tsr_param *param;
    int output;
    int need;       /* a gradient is wanted */
    tsr_value grad; /* after backward */
    /* plan */
    int used;         /* read by a live node, or an output */
    tsr_dtype stored; /* dtype of the storage, of roots */
    tsr_value store;  /* owner of the storage after in-place sharing, of roots */
    int first, last;  /* life in node indices, of stores */
    size_t bytes, offset;
} tsr_vertex;

typedef struct tsr_node_data {
    const tsr_op *op;
    int n_in, n_out;
    tsr_value in[TSR_OP_INPUTS], out[TSR_OP_OUTPUTS];
    _Alignas(16) char attr[TSR_OP_ATTR_BYTES];
    tsr_precision precision;
    int accumulate;
    char label[TSR_LABEL_CHARS];
    /* plan */
    int live;
    size_t items, scratch_bytes;
    double flops;
    size_t work_bytes, work_offset;
    int n_packs, pack[TSR_OP_PACKS]; /* indices of graph->packs */
} tsr_node_data;

struct tsr_graph {
    tsr_params *params;
    tsr_precision precision;
    char label[TSR_LABEL_CHARS];
    tsr_status failed;
    char sentence[1024];
    tsr_vertex *values;
    size_t n_values, cap_values;
    void *retired[40]; /* smaller arrays of values: shapes that were asked for stay readable */
    int n_retired;
    tsr_node_data *nodes;
    size_t n_nodes, cap_nodes;
    size_t n_forward; /* nodes of the forward part once backward was appended */
    int has_backward;
    int planned;
    tsr_plan plan;
    size_t inputs_bytes; /* inputs lie at the start of the arena */
    tsr_packed **packs; /* taken from the store */
    size_t n_packs, cap_packs;
    pthread_mutex_t lock; /* planning */
};

/* One live node of an executor. */
typedef struct tsr_step {
    const tsr_op *op;
    size_t node;
    tsr_op_call call;
    char name[112];
    double flops;
    int idle; /* every result is empty: nothing to run */
    double seconds;
    size_t runs;
} tsr_step;

/* Current shape of a value. */
typedef struct tsr_extent {
    size_t shape[TSR_MAX_DIMS];
    size_t count;
} tsr_extent;

struct tsr_exec {
    tsr_graph *g;
    char *arena;
    size_t arena_bytes;
    char *scratch;
    size_t scratch_bytes; /* of a lane */
    int lanes;
    tsr_step *steps;
    size_t n_steps, n_forward;
    int poison;
    tsr_extent *extents; /* [n_values]; NULL while all are as planned */
    int stale;           /* rows were set since the last fit */
    char *work;          /* work space for calls that need more than planned; usually NULL */
    size_t work_bytes;
    const struct tsr_job *job; /* may ask the forward run to stop; borrowed, may be NULL */
};

/* Room for `lanes` threads with `bytes` of scratch each; keeps what is enough. */
TSR_USE tsr_status tsr_exec_scratch(tsr_exec *x, int lanes, size_t bytes);

/* A new value, or TSR_NONE with the graph marked as failed. */
tsr_value tsr_graph_value(tsr_graph *g, const tsr_vertex *like);

/* Where param->grad is accumulated. */
tsr_value tsr_graph_grad_home(tsr_graph *g, tsr_param *p);

/* Record `st` with the current sentence unless the graph failed before. Returns TSR_NONE. */
tsr_value tsr_graph_stick(tsr_graph *g, tsr_status st);

/* The call of a node without data: shapes, settings, name into text[cap]. `stored`: dtypes as
 * planned, else as built. */
void tsr_graph_call(const tsr_graph *g, size_t node, int stored, tsr_op_call *c);
void tsr_graph_node_name(const tsr_graph *g, size_t node, char *text, size_t cap);

/* Number of nodes run by the forward half. */
size_t tsr_graph_forward_nodes(const tsr_graph *g);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Measuring: the rate of the product library alone, and where an executor spends its time. */
#ifndef TSR_NN_BENCH_H
#define TSR_NN_BENCH_H

#include "base/str.h"
#include "nn/graph.h"

/* A plain product on all threads, to be run in turns with what is compared to it: rates of matrix
 * units that are shared with neighbours swing within minutes, so only interleaved figures count. */
typedef struct tsr_bench_product tsr_bench_product;

/* Every thread multiplies its own [m, k] by one shared packed [k, n], with the product library and
 * nothing else: float32 results, no bias.
 * Errors   TSR_EARG for a size of 0, TSR_EUNSUPPORTED, TSR_ENOMEM. */
TSR_USE tsr_status tsr_bench_product_create(size_t m, size_t n, size_t k, tsr_precision precision,
                                            tsr_bench_product **out);
void tsr_bench_product_destroy(tsr_bench_product *b);

/* Repeat for at least this long; FLOP/s of all threads together. */
double tsr_bench_product_run(tsr_bench_product *b, double seconds);

/* All nodes of one kind in an executor. */
typedef struct tsr_bench_row {
    const char *op;
    int backward;
    size_t nodes;
    double seconds; /* of all runs so far */
    double flops;   /* of all runs so far */
} tsr_bench_row;

/* Nodes summed by operation and direction, longest first. *rows is released with tsr_free. */
TSR_USE tsr_status tsr_bench_rows(const tsr_exec *x, tsr_bench_row **rows, size_t *count);

/* The same as a table with shares and GFLOP/s, one line a row. */
TSR_USE tsr_status tsr_bench_table(const tsr_exec *x, tsr_str *out);

#endif

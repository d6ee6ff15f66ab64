/* SPDX-License-Identifier: Apache-2.0
 * Rates of products and executors. */
#include "nn/bench.h"

#include "base/job.h"
#include "base/mem.h"
#include "base/par.h"
#include "nn/bf16.h"
#include "nn/gemm.h"

#include <stdlib.h>
#include <string.h>

struct tsr_bench_product {
    const tsr_gemm *gemm;
    tsr_pack *pack;
    size_t m, n, k, lane_bytes;
    size_t a_bytes, c_bytes;
    int lanes;
    char *lane; /* [lanes]: A, C, work space */
};

static size_t up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Small values without pattern, so that no unit can take a short cut. */
static float value(size_t i)
{
    return (float)((i * 2654435761u >> 7) % 2000) / 1000.0f - 1.0f;
}

static tsr_status fill_operands(tsr_bench_product *b, tsr_dtype type)
{
    tsr_status st;
    float *w = NULL;
    TSR_TRY(tsr_alloc(&w, b->n * b->k, sizeof *w));
    for (size_t i = 0; i < b->n * b->k; i++)
        w[i] = value(i);
    for (int l = 0; l < b->lanes; l++) {
        char *a = b->lane + (size_t)l * b->lane_bytes;
        for (size_t i = 0; i < b->m * b->k; i++) {
            if (type == TSR_BF16)
                ((tsr_bf16 *)a)[i] = tsr_float_bf16(value(i));
            else
                ((float *)a)[i] = value(i);
        }
    }
    TSR_GO(tsr_pack_fill(b->pack, w, 1, b->k));
out:
    tsr_free(w);
    return st;
}

tsr_status tsr_bench_product_create(size_t m, size_t n, size_t k, tsr_precision precision,
                                    tsr_bench_product **out)
{
    tsr_status st;
    tsr_bench_product *b;
    tsr_dtype type = precision == TSR_PRECISION_BF16 ? TSR_BF16 : TSR_F32;
    tsr_gemm_spec s = {.m = m, .n = n, .k = k, .ab = type, .c = TSR_F32, .a_row = k, .a_col = 1,
                       .c_row = n};
    TSR_TRY(tsr_alloc(&b, 1, sizeof *b));
    TSR_GO(tsr_gemm_get(&s, &b->gemm));
    TSR_GO(tsr_pack_create(b->gemm, &b->pack));
    b->m = m;
    b->n = n;
    b->k = k;
    b->lanes = tsr_par_team();
    b->a_bytes = up(m * k * tsr_dtype_bytes(type));
    b->c_bytes = up(m * n * sizeof(float));
    b->lane_bytes = b->a_bytes + b->c_bytes + up(tsr_gemm_scratch(b->gemm));
    TSR_GO(tsr_alloc(&b->lane, (size_t)b->lanes, b->lane_bytes));
    TSR_GO(fill_operands(b, type));
    *out = b;
    b = NULL;
out:
    tsr_bench_product_destroy(b);
    return st;
}

void tsr_bench_product_destroy(tsr_bench_product *b)
{
    if (!b)
        return;
    tsr_pack_destroy(b->pack);
    tsr_free(b->lane);
    tsr_free(b);
}

typedef struct round {
    tsr_bench_product *b;
    size_t repeats;
} round_args;

static void run_lane(void *ctx, size_t i, int lane)
{
    const round_args *r = ctx;
    const tsr_bench_product *b = r->b;
    char *a = b->lane + i * b->lane_bytes;
    (void)lane;
    for (size_t n = 0; n < r->repeats; n++)
        tsr_gemm_run(b->gemm, a, NULL, b->pack, NULL, a + b->a_bytes, a + b->a_bytes + b->c_bytes);
}

double tsr_bench_product_run(tsr_bench_product *b, double seconds)
{
    double flops = 2.0 * (double)b->m * (double)b->n * (double)b->k * b->lanes;
    round_args r = {b, 1};
    for (;;) {
        double start = tsr_now_s();
        tsr_par_kernels((size_t)b->lanes, run_lane, &r);
        double took = tsr_now_s() - start;
        if (took >= seconds)
            return flops * (double)r.repeats / took;
        r.repeats = took > 0 && seconds / took < 8 ? r.repeats * (size_t)(seconds / took + 2)
                                                   : r.repeats * 8;
    }
}

/* --- executors --- */

static int longest_first(const void *a, const void *b)
{
    const tsr_bench_row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : strcmp(x->op, y->op);
}

tsr_status tsr_bench_rows(const tsr_exec *x, tsr_bench_row **rows, size_t *count)
{
    tsr_bench_row *r;
    size_t n = 0, nodes = tsr_exec_nodes(x);
    TSR_TRY(tsr_alloc(&r, nodes + 1, sizeof *r));
    for (size_t i = 0; i < nodes; i++) {
        tsr_node_report one;
        size_t j = 0;
        tsr_exec_report(x, i, &one);
        while (j < n && (strcmp(r[j].op, one.op) != 0 || r[j].backward != one.backward))
            j++;
        if (j == n)
            r[n++] = (tsr_bench_row){.op = one.op, .backward = one.backward};
        r[j].nodes++;
        r[j].seconds += one.seconds;
        r[j].flops += one.flops * (double)one.runs;
    }
    qsort(r, n, sizeof *r, longest_first);
    *rows = r;
    *count = n;
    return TSR_OK;
}

tsr_status tsr_bench_table(const tsr_exec *x, tsr_str *out)
{
    tsr_status st;
    tsr_bench_row *r;
    size_t n;
    double total = 0;
    TSR_TRY(tsr_bench_rows(x, &r, &n));
    for (size_t i = 0; i < n; i++)
        total += r[i].seconds;
    TSR_GO(tsr_str_addf(out, "%-22s %5s %10s %6s %9s\n", "operation", "nodes", "ms", "%",
                        "GFLOP/s"));
    for (size_t i = 0; i < n; i++)
        TSR_GO(tsr_str_addf(out, "%-22s %5zu %10.2f %6.1f %9.1f\n", r[i].op, r[i].nodes,
                            r[i].seconds * 1e3, total > 0 ? 100 * r[i].seconds / total : 0,
                            r[i].seconds > 0 ? r[i].flops / r[i].seconds * 1e-9 : 0));
    st = TSR_OK;
out:
    tsr_free(r);
    return st;
}

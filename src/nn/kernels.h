/* SPDX-License-Identifier: Apache-2.0
 * Inner loops of the operations, one table for each CPU level. */
#ifndef TSR_NN_KERNELS_H
#define TSR_NN_KERNELS_H

#include "types/tensor.h"

#include <stddef.h>
#include <stdint.h>

/* One body (kernel_*_body.h) is compiled for plain C, AVX2 and AVX-512. Everything is float32 unless
 * said otherwise, sums run over 16 fixed lanes, and a row's result depends on that row alone. Kernels
 * cannot fail; sizes were checked by the operation that calls them. n may be 0. */

typedef enum tsr_map {
    TSR_MAP_GELU,    /* x Phi(x), the exact (erf) form */
    TSR_MAP_TANH,
    TSR_MAP_SILU,    /* x / (1 + exp(-x)) */
    TSR_MAP_SIGMOID, /* 1 / (1 + exp(-x)) */
    TSR_MAP_EXP,
} tsr_map;

typedef enum tsr_metric {
    TSR_METRIC_DOT,    /* largest x.e */
    TSR_METRIC_COSINE, /* largest (x / max(|x|, 1e-12)).(e / max(|e|, 1e-12)) */
    TSR_METRIC_EUCLID, /* largest -((|x|^2 - 2 x.e) + |e|^2), in this order */
} tsr_metric;

/* C[m,n] (+)= A[m,k] B[k,n] on small matrices in cache.
 * a: element (i,p) at a[i*a_row + p*a_col]. b: b[p*b_row + j], rows readable up to n rounded up to 16.
 * c: c[i*c_row + j], writable up to n rounded up to 16. Terms are added in order of p. */
typedef struct tsr_product {
    size_t m, n, k;
    const float *a, *b;
    float *c;
    size_t a_row, a_col, b_row, c_row;
    int accumulate;
} tsr_product;

/* Queries of one sequence, or some of them, and the keys they see among those of a head. */
typedef struct tsr_head_span {
    size_t q, nq;  /* rows of q, o, go and gq: the first, and how many */
    size_t k, nk;  /* keys: the first, and how many */
    size_t at, of; /* place of the first row among the queries of its sequence, and their number */
    int causal;    /* query i of the sequence sees keys j <= i + nk - of */
} tsr_head_span;

/* One head of sequences that share keys; rows of q, k, v start `*_row` elements apart. */
typedef struct tsr_head {
    size_t nk, width;     /* width <= TSR_HEAD_WIDTH */
    float scale;
    const tsr_head_span *spans;
    size_t n_spans;
    tsr_dtype q_type, k_type, v_type, o_type; /* TSR_F32 or TSR_BF16 */
    tsr_dtype go_type, gq_type, gk_type, gv_type; /* backward */
    const void *q, *k, *v; /* q: row 0 of the spans; k, v: [nk, width] */
    size_t q_row, k_row, v_row;
    void *o;                 /* forward: rows of the spans */
    size_t o_row;
    const void *go;          /* backward: gradient of o, rows of go_row */
    size_t go_row;
    void *gq, *gk, *gv;      /* backward: written; rows of gq_row, gk_row, gv_row; may be NULL */
    size_t gq_row, gk_row, gv_row;
} tsr_head;

#define TSR_HEAD_WIDTH 128

/* y = (x - mean) rstd w + b over rows of d values. */
typedef struct tsr_norm_rows {
    size_t rows, d;
    float eps;
    const float *x, *w, *b; /* w, b: NULL for 1, 0 */
    void *y;
    tsr_dtype y_type;       /* TSR_F32 or TSR_BF16 */
    float *stats;           /* [rows, 2]: mean and rstd = 1 / sqrt(var + eps), var biased; or NULL */
} tsr_norm_rows;

/* Its gradients, from the statistics of the forward pass. */
typedef struct tsr_norm_grad_rows {
    size_t rows, d;
    const float *x, *stats, *w; /* w: NULL for 1 */
    const void *dy;
    tsr_dtype dy_type;          /* TSR_F32 or TSR_BF16 */
    const float *add;           /* added to dx; or NULL */
    float *dx;                  /* may be `add`; or NULL */
    float *dw, *db;             /* [d] sums over the rows in order, added to what is there; or NULL */
} tsr_norm_grad_rows;

/* Nearest codes of a block of rows. */
typedef struct tsr_nearest_block {
    const float *x, *codes; /* [rows, width], [k, width] */
    size_t rows, width, k;
    tsr_metric metric;
    int32_t *ids;           /* [rows] */
    float *score;           /* [rows] of the winner, or NULL */
} tsr_nearest_block;

/* y = f(x + bias), and the sums before f; float32 or bf16 where a type is given. A GELU that is stored
 * as bf16, and its derivative, are within 1e-4 and 2e-4. */
typedef struct tsr_map_sums {
    tsr_map f;
    size_t n;
    const float *x, *bias; /* bias: NULL for 0 */
    void *sums, *y;        /* sums: NULL if not wanted */
    tsr_dtype sums_type, y_type;
} tsr_map_sums;

/* dx = dy f'(x). */
typedef struct tsr_map_slopes {
    tsr_map f;
    size_t n;
    const void *x, *dy;
    void *dx;
    tsr_dtype x_type, dy_type, dx_type;
} tsr_map_slopes;

/* y = silu(a) b; float32 or bf16. */
typedef struct tsr_gate {
    size_t n;
    const void *a, *b;
    void *y;
    tsr_dtype a_type, b_type, y_type;
} tsr_gate;

/* Its gradients; da or db may be NULL. */
typedef struct tsr_gate_slopes {
    size_t n;
    const void *a, *b, *dy;
    void *da, *db;
    tsr_dtype a_type, b_type, dy_type, da_type, db_type;
} tsr_gate_slopes;

/* Terms of a linear layer on tiles, in float32: sums (+)= x w^T over the terms [32 first, 32 end). */
typedef struct tsr_layer_part {
    size_t rows, inner, outer;
    const uint16_t *x; /* [rows, inner] bf16 */
    const uint16_t *w; /* as made by layer_pack */
    size_t first, end;
    float *sums;       /* writable up to multiples of 32 rows and columns */
    size_t row;        /* of sums */
} tsr_layer_part;

/* A linear layer on tiles: y = f(x w^T + bias) in bf16 with float32 sums; each row by itself. */
typedef struct tsr_layer_rows {
    size_t rows, inner, outer; /* x readable up to a multiple of 32 rows */
    const uint16_t *x;         /* [rows, inner] bf16 */
    const uint16_t *w;         /* as made by layer_pack */
    const float *bias;         /* or NULL */
    int mapped;                /* 0: without f */
    tsr_map f;                 /* GELU, TANH or SILU */
    void *sums, *y;            /* sums before f: or NULL; rows of y_row */
    tsr_dtype sums_type, y_type;
    size_t y_row;
} tsr_layer_rows;

/* Its weight: B[k, n] = w[k * row + n * col], one of the strides 1. */
typedef struct tsr_layer_weight {
    const float *w;
    size_t row, col, inner, outer;
} tsr_layer_weight;

/* Rows of x [rows, columns] bf16, `row` values apart. */
typedef struct tsr_weight_grad_rows {
    size_t rows, columns;
    const uint16_t *x;
    size_t row;
} tsr_weight_grad_rows;

/* dw [n, k] (+)= dy^T x; dy bf16, x as made by weight_grad_pack of these rows. */
typedef struct tsr_weight_grad_block {
    size_t rows, n, k;
    const uint16_t *dy;
    size_t dy_row;
    const uint16_t *x;
    float *dw;
    size_t dw_row;
    int add;
} tsr_weight_grad_block;

typedef struct tsr_kernels {
    const char *name;

    /* y = f(x); x == y is allowed. dx = dy f'(x); dx may be dy or x. */
    void (*map)(tsr_map f, float *y, const float *x, size_t n);
    void (*map_grad)(tsr_map f, float *dx, const float *x, const float *dy, size_t n);

    void (*map_sums)(const tsr_map_sums *m);
    void (*map_slopes)(const tsr_map_slopes *m);

    /* y = silu(a) b, and its gradients. */
    void (*gate)(const tsr_gate *t);
    void (*gate_grad)(const tsr_gate_slopes *t);

    void (*norm)(const tsr_norm_rows *n);
    void (*norm_grad)(const tsr_norm_grad_rows *n);

    /* log sum exp of n values; -inf for n == 0. */
    float (*log_sum_exp)(const float *x, size_t n);
    /* y = c exp(x - shift). */
    void (*exp_shift)(float *y, const float *x, size_t n, float shift, float c);
    void (*exp_shift_to_half)(uint16_t *y, const float *x, size_t n, float shift, float c);
    /* The same of bf16; y (of y_type) may be x when it is bf16 too. */
    float (*log_sum_exp_half)(const uint16_t *x, size_t n);
    void (*exp_shift_half)(void *y, tsr_dtype y_type, const uint16_t *x, size_t n, float shift,
                           float c);
    /* sum x y, and the sum of x x when y == x. */
    float (*dot)(const float *x, const float *y, size_t n);
    /* y += c x. */
    void (*axpy)(float *y, const float *x, size_t n, float c);

    void (*product)(const tsr_product *p);

    /* o = softmax(scale q k^T) v; a query that sees no key gives 0. */
    void (*attend)(const tsr_head *h, void *scratch);
    size_t (*attend_scratch)(size_t nk, size_t width);
    void (*attend_grad)(const tsr_head *h, void *scratch); /* gk, gv: sums over all spans */
    size_t (*attend_grad_scratch)(size_t nk, size_t width);

    /* On bf16 tiles; NULL where there are none. Packed weights take inner times outer (both rounded up
     * to 32) bf16 values. */
    void (*layer_pack)(const tsr_layer_weight *w, uint16_t *to);
    void (*layer)(const tsr_layer_rows *l);
    void (*layer_part)(const tsr_layer_part *l);
    /* 32 columns, of rows rounded up to 32, lie side by side: columns [c, ..) begin at c * rows. */
    void (*weight_grad_pack)(const tsr_weight_grad_rows *x, uint16_t *to);
    void (*weight_grad)(const tsr_weight_grad_block *b, void *scratch);
    size_t (*weight_grad_scratch)(size_t rows, size_t n);

    /* ids[i] = argmax of the metric's score; ties: the lowest index; NaN counts as largest. */
    void (*nearest)(const tsr_nearest_block *b, void *scratch);
    size_t (*nearest_scratch)(size_t rows, size_t width);
} tsr_kernels;

/* The table of the CPU level in force. */
const tsr_kernels *tsr_kernels_get(void);

/* The same for operations of bf16 precision: with AMX, attention rounds its operands to bf16. */
const tsr_kernels *tsr_kernels_get_bf16(void);

/* For tests: the table of one level, or NULL when this build or machine lacks it. */
const tsr_kernels *tsr_kernels_at(int level);

extern const tsr_kernels tsr_kernels_ref, tsr_kernels_avx2, tsr_kernels_avx512, tsr_kernels_amx;

#endif

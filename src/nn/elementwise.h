/* SPDX-License-Identifier: Apache-2.0
 * Loops over arrays, one table for each CPU level. Each value is computed by the same IEEE operations
 * in the same order at every level, so that all levels give the same bytes.
 * Arrays do not overlap unless a comment says so. */
#ifndef TSR_NN_ELEMENTWISE_H
#define TSR_NN_ELEMENTWISE_H

#include "nn/bf16.h"

#include <stddef.h>

/* One piece of an optimizer step (nn/adamw.h): x, m, v change in place, g is cleared if asked. */
typedef struct tsr_adamw_terms {
    float *x, *m, *v, *g;
    size_t n;
    float scale; /* of g */
    float b1, b2, keep, size, root, eps;
    int clear;
} tsr_adamw_terms;

typedef struct tsr_elementwise {
    /* out = a + b, a * b, s * a; out may be a. */
    void (*add)(float *out, const float *a, const float *b, size_t n);
    void (*add_half)(float *out, const float *a, const tsr_bf16 *b, size_t n);
    void (*mul)(float *out, const float *a, const float *b, size_t n);
    void (*scale)(float *out, const float *a, float s, size_t n);

    /* out[j] = sum of x[i * stride + j] over i in [0, rows), i ascending; 0 for no rows. */
    void (*column_sums)(float *out, const float *x, size_t rows, size_t width, size_t stride);
    void (*column_sums_half)(float *out, const tsr_bf16 *x, size_t rows, size_t width,
                             size_t stride);

    /* out = x + b, rounded to bf16. */
    void (*add_to_half)(tsr_bf16 *out, const float *x, const float *b, size_t n);

    /* Sum of x^2, in 16 lanes of double, then in order of lanes. */
    double (*square_sum)(const float *x, size_t n);

    void (*adamw)(const tsr_adamw_terms *t);

    void (*to_half)(tsr_bf16 *out, const float *x, size_t n);
    void (*to_float)(float *out, const tsr_bf16 *x, size_t n);
} tsr_elementwise;

extern const tsr_elementwise tsr_elementwise_ref, tsr_elementwise_avx2, tsr_elementwise_avx512;

/* The table of the CPU level in force (tsr_cpu). */
const tsr_elementwise *tsr_elementwise_now(void);

#endif

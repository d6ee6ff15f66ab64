/* SPDX-License-Identifier: Apache-2.0
 * Bodies of elementwise.h; included once for each CPU level with TSR_TABLE set to the table's name.
 * `simd` tells the compiler that a result may be its own operand, value by value, and nothing else. */
#include "nn/elementwise.h"

#include <math.h>
#include <string.h>

static void add(float *out, const float *a, const float *b, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void add_half(float *out, const float *a, const tsr_bf16 *b, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + tsr_bf16_float(b[i]);
}

static void mul(float *out, const float *a, const float *b, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * b[i];
}

static void scale(float *out, const float *a, float s, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = s * a[i];
}

static void column_sums(float *restrict out, const float *restrict x, size_t rows, size_t width,
                        size_t stride)
{
    for (size_t j = 0; j < width; j++)
        out[j] = rows ? x[j] : 0.0f;
    for (size_t i = 1; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            out[j] += x[i * stride + j];
}

static void column_sums_half(float *restrict out, const tsr_bf16 *restrict x, size_t rows,
                             size_t width, size_t stride)
{
    for (size_t j = 0; j < width; j++)
        out[j] = rows ? tsr_bf16_float(x[j]) : 0.0f;
    for (size_t i = 1; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            out[j] += tsr_bf16_float(x[i * stride + j]);
}

static void add_to_half(tsr_bf16 *restrict out, const float *restrict x, const float *restrict b,
                        size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = tsr_float_bf16(x[i] + b[i]);
}

static void to_half(tsr_bf16 *restrict out, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = tsr_float_bf16(x[i]);
}

static void to_float(float *restrict out, const tsr_bf16 *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = tsr_bf16_float(x[i]);
}

static double square_sum(const float *x, size_t n)
{
    double sum[16] = {0}, total = 0;
    size_t whole = n / 16 * 16;
    for (size_t k = 0; k < whole; k += 16) {
#pragma omp simd
        for (int l = 0; l < 16; l++)
            sum[l] += (double)x[k + l] * (double)x[k + l];
    }
    for (size_t k = whole; k < n; k++)
        sum[k - whole] += (double)x[k] * (double)x[k];
    for (int l = 0; l < 16; l++)
        total += sum[l];
    return total;
}

static void adamw(const tsr_adamw_terms *t)
{
    float *restrict x = t->x, *restrict m = t->m, *restrict v = t->v, *restrict g = t->g;
    const float b1 = t->b1, b2 = t->b2, a1 = 1 - b1, a2 = 1 - b2, scale = t->scale, keep = t->keep;
    const float size = t->size, root = t->root, eps = t->eps;
#pragma omp simd
    for (size_t k = 0; k < t->n; k++) {
        float d = g[k] * scale;
        float mk = b1 * m[k] + a1 * d;
        float vk = b2 * v[k] + a2 * d * d;
        m[k] = mk;
        v[k] = vk;
        x[k] = x[k] * keep - size * mk / (sqrtf(vk) / root + eps);
    }
    if (t->clear)
        memset(g, 0, t->n * sizeof *g);
}

const tsr_elementwise TSR_TABLE = {
    .add = add,
    .add_half = add_half,
    .mul = mul,
    .scale = scale,
    .column_sums = column_sums,
    .column_sums_half = column_sums_half,
    .add_to_half = add_to_half,
    .square_sum = square_sum,
    .adamw = adamw,
    .to_half = to_half,
    .to_float = to_float,
};

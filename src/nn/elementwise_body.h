/* SPDX-License-Identifier: Apache-2.0
 * Bodies of elementwise.h; included once for each CPU level with TSR_TABLE set to the table's name.
 * `simd` tells the compiler that a result may be its own operand, value by value, and nothing else. */
#include "nn/elementwise.h"

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

const tsr_elementwise TSR_TABLE = {
    .add = add,
    .add_half = add_half,
    .mul = mul,
    .scale = scale,
    .column_sums = column_sums,
    .column_sums_half = column_sums_half,
    .add_to_half = add_to_half,
    .to_half = to_half,
    .to_float = to_float,
};

/* SPDX-License-Identifier: Apache-2.0
 * Principal components by subspace iteration. */
#include "dsp/pca.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define ROUNDS   8
#define SPARE    8    /* directions carried beyond those asked for */
#define BLOCK    1024 /* points of one piece of work */
#define SWEEPS   30   /* of Jacobi's method */

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void take_out(float *row, const float *unit, size_t dim)
{
    float along = (float)dot(row, unit, dim);
    for (size_t i = 0; i < dim; i++)
        row[i] -= along * unit[i];
}

void tsr_orthonormalise(float *q, size_t rows, size_t dim, const float *fixed, size_t n_fixed,
                        size_t *rank)
{
    size_t good = 0;
    for (size_t r = 0; r < rows; r++) {
        float *row = q + r * dim;
        double before = sqrt(dot(row, row, dim));
        for (int pass = 0; pass < 2; pass++) {
            for (size_t i = 0; i < n_fixed; i++)
                take_out(row, fixed + i * dim, dim);
            for (size_t i = 0; i < r; i++)
                take_out(row, q + i * dim, dim);
        }
        double length = sqrt(dot(row, row, dim));
        int vanished = !(length > 1e-4 * before);
        for (size_t i = 0; i < dim; i++)
            row[i] = vanished ? 0 : (float)(row[i] / length);
        good += !vanished;
    }
    if (rank)
        *rank = good;
}

typedef struct pass {
    const float *points, *mean, *q; /* q [width, dim] */
    size_t n, dim, width;
    float *parts; /* [blocks, width, dim] or [blocks, width, width] */
    int gram;     /* 1: Y^T Y; 0: Y^T X, with Y = (X - mean) q^T */
} pass;

/* One block of points: its own sums, so that they can be added in order. */
static tsr_status pass_block(void *ctx, size_t block, int lane)
{
    const pass *p = ctx;
    size_t end = (block + 1) * BLOCK < p->n ? (block + 1) * BLOCK : p->n;
    size_t columns = p->gram ? p->width : p->dim;
    float *part = p->parts + block * p->width * columns, *x, *y;
    (void)lane;
    TSR_TRY(tsr_alloc(&x, p->dim + p->width, sizeof *x));
    y = x + p->dim;
    memset(part, 0, p->width * columns * sizeof *part);
    for (size_t i = block * BLOCK; i < end; i++) {
        for (size_t d = 0; d < p->dim; d++)
            x[d] = p->points[i * p->dim + d] - p->mean[d];
        for (size_t w = 0; w < p->width; w++) {
            float lanes[16] = {0};
            const float *q = p->q + w * p->dim;
            size_t d = 0;
            for (; d + 16 <= p->dim; d += 16)
                for (size_t l = 0; l < 16; l++)
                    lanes[l] += x[d + l] * q[d + l];
            for (; d < p->dim; d++)
                lanes[0] += x[d] * q[d];
            for (size_t l = 1; l < 16; l++)
                lanes[0] += lanes[l];
            y[w] = lanes[0];
        }
        const float *right = p->gram ? y : x;
        for (size_t w = 0; w < p->width; w++)
            for (size_t d = 0; d < columns; d++)
                part[w * columns + d] += y[w] * right[d];
    }
    tsr_free(x);
    return TSR_OK;
}

static tsr_status run_pass(pass *p, float *sum)
{
    size_t blocks = (p->n + BLOCK - 1) / BLOCK, size = p->width * (p->gram ? p->width : p->dim);
    TSR_TRY(tsr_par_for(blocks, pass_block, p));
    memset(sum, 0, size * sizeof *sum);
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < size; i++)
            sum[i] += p->parts[b * size + i];
    return TSR_OK;
}

/* Eigenvectors of a symmetric matrix a [n, n], which becomes diagonal; v [n, n] holds them as
 * columns. Source: Golub & Van Loan 2013, Matrix Computations, section 8.5 (cyclic Jacobi). */
static void jacobi(double *a, double *v, size_t n)
{
    for (size_t i = 0; i < n * n; i++)
        v[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (size_t p = 0; p < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                if (a[p * n + q] == 0)
                    continue;
                double tau = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                double t = copysign(1, tau) / (fabs(tau) + sqrt(1 + tau * tau));
                double c = 1 / sqrt(1 + t * t), s = t * c;
                for (size_t k = 0; k < n; k++) {
                    double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    double x = v[k * n + p], y = v[k * n + q];
                    v[k * n + p] = c * x - s * y;
                    v[k * n + q] = s * x + c * y;
                }
            }
        }
    }
}

/* Rotate the subspace q to the principal axes in it; the first k, by falling variance. */
static tsr_status rotate(const pass *p, const float *gram, size_t k, float *components,
                         float *variances)
{
    size_t w = p->width;
    double *a;
    TSR_TRY(tsr_alloc(&a, 2 * w * w, sizeof *a));
    double *v = a + w * w;
    for (size_t i = 0; i < w * w; i++)
        a[i] = gram[i];
    jacobi(a, v, w);
    for (size_t r = 0; r < k; r++) {
        size_t best = w, top = 0;
        for (size_t i = 0; i < w; i++)
            if (!isnan(a[i * w + i]) && (best == w || a[i * w + i] > a[best * w + best]))
                best = i;
        best = best == w ? 0 : best;
        float *row = components + r * p->dim;
        memset(row, 0, p->dim * sizeof *row);
        for (size_t i = 0; i < w; i++)
            for (size_t d = 0; d < p->dim; d++)
                row[d] += (float)v[i * w + best] * p->q[i * p->dim + d];
        for (size_t d = 1; d < p->dim; d++)
            top = fabsf(row[d]) > fabsf(row[top]) ? d : top;
        float sign = row[top] < 0 ? -1.0f : 1.0f;
        for (size_t d = 0; d < p->dim; d++)
            row[d] *= sign;
        variances[r] = (float)(fmax(a[best * w + best], 0) / (double)p->n);
        a[best * w + best] = NAN; /* taken */
    }
    tsr_free(a);
    return TSR_OK;
}

static tsr_status mean_of(const float *points, size_t n, size_t dim, float *mean)
{
    double *sum;
    TSR_TRY(tsr_alloc(&sum, dim, sizeof *sum));
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++)
            sum[d] += points[i * dim + d];
    int finite = 1;
    for (size_t d = 0; d < dim; d++) {
        mean[d] = (float)(sum[d] / (double)n);
        finite = finite && isfinite(mean[d]);
    }
    tsr_free(sum);
    if (!finite)
        TSR_FAIL(TSR_ENUMERIC, "points for principal components are not finite");
    return TSR_OK;
}

tsr_status tsr_pca(const float *points, size_t n, size_t dim, size_t k, uint64_t seed, float *mean,
                   float *components, float *variances)
{
    size_t width = k + SPARE < dim ? k + SPARE : dim, parts;
    size_t blocks = (n + BLOCK - 1) / BLOCK;
    float *q = NULL, *sum = NULL;
    pass p = {.points = points, .mean = mean, .n = n, .dim = dim, .width = width};
    tsr_rng rng;
    tsr_status st = TSR_OK;
    if (n < 1 || k < 1 || k > dim)
        TSR_FAIL(TSR_EARG, "%zu principal components of %zu points in %zu dimensions", k, n, dim);
    TSR_TRY(mean_of(points, n, dim, mean));
    TSR_TRY(tsr_mul_size(blocks * width, dim, &parts));
    TSR_GO(tsr_alloc(&q, width * dim, sizeof *q));
    TSR_GO(tsr_alloc(&sum, width * dim, sizeof *sum));
    TSR_GO(tsr_alloc(&p.parts, parts, sizeof *p.parts));
    tsr_rng_init(&rng, seed, TSR_RNG_KMEANS, 0);
    for (size_t i = 0; i < width * dim; i++)
        q[i] = tsr_rng_normal(&rng);
    tsr_orthonormalise(q, width, dim, NULL, 0, NULL);
    p.q = q;
    for (int round = 0; round < ROUNDS; round++) {
        TSR_GO(run_pass(&p, sum));
        memcpy(q, sum, width * dim * sizeof *q);
        tsr_orthonormalise(q, width, dim, NULL, 0, NULL);
    }
    p.gram = 1;
    TSR_GO(run_pass(&p, sum));
    TSR_GO(rotate(&p, sum, k, components, variances));
out:
    tsr_free(q);
    tsr_free(sum);
    tsr_free(p.parts);
    return st;
}

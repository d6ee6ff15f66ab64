/* SPDX-License-Identifier: Apache-2.0
 * k-means: nearest centres against a plain search, known clusters, weights, threads, CPU levels. */
#include "testing.h"

#include "dsp_testing.h"
#include "base/cpu.h"
#include "base/par.h"
#include "dsp/kmeans.h"

#include <math.h>

static float *random_points(size_t count, uint32_t seed)
{
    float *p = calloc(count, sizeof *p);
    for (size_t i = 0; i < count; i++)
        p[i] = (float)(noise(&seed) >> 8) / 16777216.0f;
    return p;
}

/* Squared distance in double. */
static double apart(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += ((double)a[d] - b[d]) * ((double)a[d] - b[d]);
    return sum;
}

static void nearest_agrees_with_a_plain_search(void **state)
{
    (void)state;
    static const struct {
        size_t n, k, dim;
    } cases[] = {{1, 1, 1}, {7, 3, 5}, {8, 16, 3}, {9, 17, 192}, {600, 33, 12}, {1537, 100, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = cases[i].n, k = cases[i].k, dim = cases[i].dim;
        float *p = random_points(n * dim, 1), *c = random_points(k * dim, 2);
        uint32_t *got = calloc(n, sizeof *got);
        float *dist = calloc(n, sizeof *dist);
        assert_ok(tsr_kmeans_assign(p, n, c, k, dim, got, dist));
        for (size_t j = 0; j < n; j++) {
            double best = INFINITY;
            for (size_t m = 0; m < k; m++)
                best = fmin(best, apart(p + j * dim, c + m * dim, dim));
            assert_true(got[j] < k);
            assert_true(apart(p + j * dim, c + got[j] * dim, dim) <= best + 1e-5 * (double)dim);
            assert_true(fabs(dist[j] - best) <= 1e-5 * (double)dim);
        }
        free(p);
        free(c);
        free(got);
        free(dist);
    }
}

static void ties_go_to_the_lowest(void **state)
{
    (void)state;
    enum { K = 40 };
    float c[K], p[20];
    uint32_t got[20];
    for (int i = 0; i < K; i++)
        c[i] = 3;
    for (int i = 0; i < 20; i++)
        p[i] = (float)i;
    assert_ok(tsr_kmeans_assign(p, 20, c, K, 1, got, NULL));
    for (int i = 0; i < 20; i++)
        assert_int_equal(got[i], 0);
}

static void levels_and_threads_give_the_same_bytes(void **state)
{
    (void)state;
    enum { N = 3000, K = 50, DIM = 19 };
    float *p = random_points(N * DIM, 3), first[K * DIM], again[K * DIM];
    uint32_t a[N], b[N];
    const tsr_kmeans_data data = {p, NULL, N, DIM};
    const tsr_kmeans_spec spec = {.k = K, .rounds = 8, .seed = 9, .sample = 1000};
    double e, f;
    tsr_cpu_level best = tsr_cpu();
    tsr_par_set_threads(1);
    assert_ok(tsr_kmeans(&data, &spec, first, a, &e));
    for (int level = best; level >= TSR_CPU_REF; level--)
        for (int threads = 1; threads <= 4; threads += 3) {
            tsr_cpu_limit((tsr_cpu_level)level);
            tsr_par_set_threads(threads);
            assert_ok(tsr_kmeans(&data, &spec, again, b, &f));
            assert_memory_equal(first, again, sizeof first);
            assert_memory_equal(a, b, sizeof a);
            assert_true(e == f);
        }
    tsr_par_set_threads(0);
    free(p);
}

static void finds_separated_clusters(void **state)
{
    (void)state;
    enum { N = 900, K = 9 };
    float p[N * 2], c[K * 2];
    uint32_t a[N], seed = 4;
    for (size_t i = 0; i < N; i++) {
        p[2 * i] = (float)(i % 3) * 10 + (float)(noise(&seed) >> 24) / 256;
        p[2 * i + 1] = (float)(i / 3 % 3) * 10 + (float)(noise(&seed) >> 24) / 256;
    }
    const tsr_kmeans_data data = {p, NULL, N, 2};
    const tsr_kmeans_spec spec = {.k = K, .rounds = 50, .seed = 1};
    double error;
    assert_ok(tsr_kmeans(&data, &spec, c, a, &error));
    for (size_t i = 9; i < N; i++)
        assert_int_equal(a[i], a[i % 9]);
    assert_true(error < 0.2);
    double sum = 0;
    for (size_t i = 0; i < N; i++)
        sum += apart(p + 2 * i, c + 2 * a[i], 2);
    assert_true(fabs(sum / N - error) < 1e-4);
}

/* A fixed point of Lloyd's iteration: every centre is the mean of its points. */
static void centres_are_means(void **state)
{
    (void)state;
    enum { N = 400, K = 6, DIM = 3 };
    float *p = random_points(N * DIM, 8), c[K * DIM];
    uint32_t a[N];
    const tsr_kmeans_data data = {p, NULL, N, DIM};
    const tsr_kmeans_spec spec = {.k = K, .rounds = 500, .seed = 2};
    assert_ok(tsr_kmeans(&data, &spec, c, a, NULL));
    for (size_t k = 0; k < K; k++)
        for (size_t d = 0; d < DIM; d++) {
            double sum = 0, count = 0;
            for (size_t i = 0; i < N; i++) {
                sum += a[i] == k ? p[i * DIM + d] : 0;
                count += a[i] == k;
            }
            assert_true(fabs(c[k * DIM + d] - sum / count) < 1e-5);
        }
    free(p);
}

static void weights_count_as_copies(void **state)
{
    (void)state;
    const float p[] = {0, 1, 10}, w[] = {3, 1, 2};
    float c[2];
    uint32_t a[3];
    double error;
    const tsr_kmeans_data data = {p, w, 3, 1};
    const tsr_kmeans_spec spec = {.k = 2, .rounds = 20, .seed = 3};
    assert_ok(tsr_kmeans(&data, &spec, c, a, &error));
    assert_int_equal(a[0], a[1]);
    assert_float_equal(c[a[0]], 0.25, 1e-6);
    assert_float_equal(c[a[2]], 10, 1e-6);
    assert_float_equal(error, (3 * 0.0625 + 0.5625) / 6, 1e-6);
}

static void more_clusters_than_points(void **state)
{
    (void)state;
    const float p[] = {1, 2, 2, 1};
    float c[20];
    uint32_t a[4];
    double error;
    const tsr_kmeans_data data = {p, NULL, 4, 1};
    const tsr_kmeans_spec spec = {.k = 20, .rounds = 5};
    assert_ok(tsr_kmeans(&data, &spec, c, a, &error));
    assert_true(error == 0);
    for (int i = 0; i < 4; i++)
        assert_true(c[a[i]] == p[i]);
}

static void bad_data_is_refused(void **state)
{
    (void)state;
    float p[] = {1, NAN}, w[] = {0, 0}, c[2];
    tsr_kmeans_data data = {p, NULL, 2, 1};
    const tsr_kmeans_spec spec = {.k = 1, .rounds = 1};
    assert_fails(TSR_ENUMERIC, tsr_kmeans(&data, &spec, c, NULL, NULL));
    p[1] = 2;
    data.weights = w;
    assert_fails(TSR_ENUMERIC, tsr_kmeans(&data, &spec, c, NULL, NULL));
    data.weights = NULL;
    data.n = 0;
    assert_fails(TSR_EARG, tsr_kmeans(&data, &spec, c, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_agrees_with_a_plain_search),
        cmocka_unit_test(ties_go_to_the_lowest),
        cmocka_unit_test(finds_separated_clusters),
        cmocka_unit_test(centres_are_means),
        cmocka_unit_test(weights_count_as_copies),
        cmocka_unit_test(more_clusters_than_points),
        cmocka_unit_test(bad_data_is_refused),
        cmocka_unit_test(levels_and_threads_give_the_same_bytes), /* lowers the level: last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

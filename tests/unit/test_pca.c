/* SPDX-License-Identifier: Apache-2.0
 * Principal components: known axes, orthonormality, threads, wrong input. */
#include "testing.h"

#include "base/par.h"
#include "base/rng.h"
#include "dsp/pca.h"

#include <math.h>

enum { N = 5000, DIM = 37, K = 4 };

static float points[N * DIM], axes[K * DIM];
static const float deviations[K] = {5, 3, 2, 1};

/* Points that vary along K known axes, and a little everywhere. */
static int make_points(void **state)
{
    (void)state;
    tsr_rng r;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, 0);
    for (int i = 0; i < K * DIM; i++)
        axes[i] = tsr_rng_normal(&r);
    tsr_orthonormalise(axes, K, DIM, NULL, 0, NULL);
    for (int n = 0; n < N; n++) {
        float *x = points + n * DIM;
        for (int d = 0; d < DIM; d++)
            x[d] = 10.0f + 0.01f * tsr_rng_normal(&r);
        for (int k = 0; k < K; k++) {
            float along = deviations[k] * tsr_rng_normal(&r);
            for (int d = 0; d < DIM; d++)
                x[d] += along * axes[k * DIM + d];
        }
    }
    return 0;
}

static double product(const float *a, const float *b)
{
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)a[d] * b[d];
    return sum;
}

static void known_axes_are_found(void **state)
{
    (void)state;
    float mean[DIM], components[K * DIM], variances[K];
    assert_ok(tsr_pca(points, N, DIM, K, 0, mean, components, variances));
    for (int k = 0; k < K; k++) {
        double share = deviations[k] * deviations[k];
        assert_true(fabs(variances[k] / share - 1) < 0.1);
        assert_true(fabs(product(components + k * DIM, axes + k * DIM)) > 0.99);
        for (int j = 0; j < K; j++)
            assert_true(fabs(product(components + k * DIM, components + j * DIM) - (j == k)) < 1e-5);
    }
    for (int d = 0; d < DIM; d++)
        assert_true(fabsf(mean[d] - 10) < 0.5f);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    float mean[DIM], one[K * DIM], four[K * DIM], variances[K];
    tsr_par_set_threads(1);
    assert_ok(tsr_pca(points, N, DIM, K, 3, mean, one, variances));
    tsr_par_set_threads(4);
    assert_ok(tsr_pca(points, N, DIM, K, 3, mean, four, variances));
    tsr_par_set_threads(0);
    assert_memory_equal(one, four, sizeof one);
}

static void fewer_dimensions_than_asked_are_zero(void **state)
{
    (void)state;
    static const float line[] = {1, 2, 2, 4, 3, 6, 4, 8}; /* four points on a line through 0 */
    float mean[2], components[4], variances[2];
    assert_ok(tsr_pca(line, 4, 2, 2, 0, mean, components, variances));
    assert_true(fabsf(components[0] - 1 / sqrtf(5)) < 1e-5f);
    assert_true(variances[1] < 1e-6f);
    assert_true(fabsf(variances[0] - 6.25f) < 1e-4f);
}

static void wrong_input_is_refused(void **state)
{
    (void)state;
    float x[4] = {1, NAN, 2, 3}, mean[2], components[4], variances[2];
    assert_fails(TSR_ENUMERIC, tsr_pca(x, 2, 2, 1, 0, mean, components, variances));
    assert_fails(TSR_EARG, tsr_pca(x, 2, 2, 3, 0, mean, components, variances));
    assert_fails(TSR_EARG, tsr_pca(x, 0, 2, 1, 0, mean, components, variances));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_axes_are_found),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(fewer_dimensions_than_asked_are_zero),
        cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, make_points, NULL);
}

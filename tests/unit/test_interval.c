/* SPDX-License-Identifier: Apache-2.0
 * Bootstrap intervals against the normal theory of means. */
#include "testing.h"

#include "base/rng.h"
#include "tasks/interval.h"

#include <math.h>

/* 400 normal values: the interval is close to mean +- 1.96 sigma / sqrt n. */
static void agrees_with_theory(void **state)
{
    (void)state;
    enum { N = 400 };
    double v[N], mean = 0.0, var = 0.0;
    tsr_rng r;
    tsr_interval i, again;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, 0);
    for (int k = 0; k < N; k++)
        mean += (v[k] = 3.0 + 2.0 * tsr_rng_normal(&r)) / N;
    for (int k = 0; k < N; k++)
        var += (v[k] - mean) * (v[k] - mean) / (N - 1);
    assert_ok(tsr_interval_mean(v, NULL, N, 5, &i));
    double half = 1.96 * sqrt(var / N);
    assert_true(fabs(i.value - mean) < 1e-12);
    assert_true(fabs(i.low - (mean - half)) < 0.15 * half);
    assert_true(fabs(i.high - (mean + half)) < 0.15 * half);
    assert_ok(tsr_interval_mean(v, NULL, N, 5, &again));
    assert_memory_equal(&i, &again, sizeof i);
}

static void weights_select_and_scale(void **state)
{
    (void)state;
    double v[] = {1.0, NAN, 4.0}, w[] = {3.0, 0.0, 1.0}, none[] = {0.0, 0.0, 0.0};
    tsr_interval i;
    assert_ok(tsr_interval_mean(v, w, 3, 1, &i));
    assert_true(fabs(i.value - 1.75) < 1e-12);
    assert_int_equal(i.samples, 2);
    assert_true(i.low >= 1.0 && i.high <= 4.0);
    assert_fails(TSR_ENUMERIC, tsr_interval_mean(v, NULL, 3, 1, &i));
    assert_fails(TSR_EARG, tsr_interval_mean(v, none, 3, 1, &i));
    assert_fails(TSR_EARG, tsr_interval_mean(v, NULL, 0, 1, &i));
}

/* Pairs that go together have a ratio without spread; a zero below the line is told. */
static void ratios_are_paired(void **state)
{
    (void)state;
    enum { N = 50 };
    double a[N], b[N], w[N], none[N] = {0};
    tsr_interval i;
    for (int k = 0; k < N; k++) {
        b[k] = 1.0 + k % 7;
        a[k] = 3.0 * b[k];
        w[k] = k % 5 != 0;
        if (k % 5 == 0)
            a[k] = NAN;
    }
    assert_ok(tsr_interval_ratio(a, b, w, N, 1, &i));
    assert_true(fabs(i.value - 3) < 1e-9 && fabs(i.low - 3) < 1e-9 && fabs(i.high - 3) < 1e-9);
    assert_int_equal(i.samples, 40);
    a[1] += 5;
    assert_ok(tsr_interval_ratio(a, b, w, N, 1, &i));
    assert_true(i.low < i.value && i.value < i.high);
    assert_ok(tsr_interval_ratio(b, none, NULL, N, 1, &i));
    assert_true(isinf(i.value) && isinf(i.low));
    assert_ok(tsr_interval_ratio(none, none, NULL, N, 1, &i));
    assert_true(isnan(i.value));
    assert_fails(TSR_ENUMERIC, tsr_interval_ratio(a, b, NULL, N, 1, &i));
}

static void medians_are_in_the_middle(void **state)
{
    (void)state;
    double odd[] = {9, 1, 5}, even[] = {4, 1, 2, 100}, same[] = {7, 7, 7, 7, 7}, many[101];
    tsr_interval i;
    assert_ok(tsr_interval_median(odd, 3, 1, &i));
    assert_true(i.value == 5 && i.low >= 1 && i.high <= 9 && i.samples == 3);
    assert_true(odd[0] == 9 && odd[1] == 1); /* the input keeps its order */
    assert_ok(tsr_interval_median(even, 4, 1, &i));
    assert_true(i.value == 3);
    assert_ok(tsr_interval_median(same, 5, 1, &i));
    assert_true(i.low == 7 && i.value == 7 && i.high == 7);
    for (int k = 0; k < 101; k++)
        many[k] = (k * 37) % 101;
    assert_ok(tsr_interval_median(many, 101, 1, &i));
    /* ranks 51 -+ 1.96 sqrt(101) / 2 of a sample of distinct values */
    assert_true(i.value == 50 && fabs(i.low - 40) <= 2 && fabs(i.high - 60) <= 2);
    assert_fails(TSR_EARG, tsr_interval_median(odd, 0, 1, &i));
    odd[1] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_interval_median(odd, 3, 1, &i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_theory),
        cmocka_unit_test(weights_select_and_scale),
        cmocka_unit_test(ratios_are_paired),
        cmocka_unit_test(medians_are_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

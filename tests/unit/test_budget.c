/* SPDX-License-Identifier: Apache-2.0
 * Dirichlet draws against their closed forms, and budgets that add up. Seeds are fixed. */
#include "testing.h"

#include "trainer/budget.h"

#include <math.h>

#define DRAWS 40000
#define MOST  20

/* Mean, variance and variance of the sample variance of one component of a Dirichlet distribution:
 * it is Beta(a, b) with b the sum of the others. */
typedef struct moments {
    double mean, variance, excess;
} moments;

static moments beta_moments(double a, double b)
{
    double s = a + b;
    moments m = {a / s, a * b / (s * s * (s + 1)),
                 6 * ((a - b) * (a - b) * (s + 1) - a * b * (s + 2)) / (a * b * (s + 2) * (s + 3))};
    return m;
}

static void within_3_se(const char *what, double got, double want, double se)
{
    if (!(fabs(got - want) <= 3 * se))
        fail_msg("%s: %.8g, expected %.8g +- %.3g", what, got, want, 3 * se);
}

/* One draw of a Dirichlet distribution, as masks make it. */
static void draw(const double *alpha, size_t n, tsr_rng *rng, double *p)
{
    double log_g[MOST];
    tsr_log_gammas(alpha, n, rng, log_g);
    tsr_proportions(log_g, n, p);
}

static void check_dirichlet(const double *alpha, size_t n, uint64_t seed)
{
    double sum[MOST] = {0}, squares[MOST] = {0}, total = 0, p[MOST];
    tsr_rng rng;
    tsr_rng_init(&rng, 42, TSR_RNG_TEST, seed);
    for (size_t i = 0; i < n; i++)
        total += alpha[i];
    for (int d = 0; d < DRAWS; d++) {
        double all = 0;
        draw(alpha, n, &rng, p);
        for (size_t i = 0; i < n; i++) {
            double mean = alpha[i] / total;
            all += p[i];
            sum[i] += p[i];
            squares[i] += (p[i] - mean) * (p[i] - mean);
        }
        assert_true(fabs(all - 1) < 1e-12);
    }
    for (size_t i = 0; i < n; i++) {
        moments m = beta_moments(alpha[i], total - alpha[i]);
        within_3_se("mean", sum[i] / DRAWS, m.mean, sqrt(m.variance / DRAWS));
        within_3_se("variance", squares[i] / DRAWS, m.variance,
                    m.variance * sqrt((m.excess + 2) / DRAWS));
    }
}

static void dirichlet_has_its_moments(void **state)
{
    static const double flat[5] = {1, 1, 1, 1, 1}, small[4] = {0.01, 0.01, 0.01, 0.01},
                        half[3] = {0.5, 0.5, 0.5}, large[3] = {10, 10, 10},
                        mixed[5] = {0.01, 0.3, 1, 5, 40}, biased[3] = {5, 0.05, 0.05};
    (void)state;
    check_dirichlet(flat, 5, 1);
    check_dirichlet(small, 4, 2);
    check_dirichlet(half, 3, 3);
    check_dirichlet(large, 3, 4);
    check_dirichlet(mixed, 5, 5);
    check_dirichlet(biased, 3, 6);
}

/* Law of total variance over the components; the fourth moment is the sample's. */
static void mixtures_have_their_moments(void **state)
{
    static const double alpha[3][3] = {{0.01, 0.01, 0.01}, {1, 5, 0.2}, {10, 10, 30}};
    static const double weight[3] = {0.5, 0.2, 0.3};
    double mean[3] = {0}, variance[3] = {0}, sum[3] = {0}, second[3] = {0}, fourth[3] = {0}, p[3];
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 42, TSR_RNG_TEST, 7);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            double all = alpha[k][0] + alpha[k][1] + alpha[k][2];
            moments m = beta_moments(alpha[k][i], all - alpha[k][i]);
            mean[i] += weight[k] * m.mean;
            variance[i] += weight[k] * (m.variance + m.mean * m.mean);
        }
        variance[i] -= mean[i] * mean[i];
    }
    for (int d = 0; d < DRAWS; d++) {
        double u = tsr_rng_double(&rng);
        draw(alpha[u < 0.5 ? 0 : u < 0.7 ? 1 : 2], 3, &rng, p);
        for (int i = 0; i < 3; i++) {
            double t = p[i] - mean[i];
            sum[i] += p[i];
            second[i] += t * t;
            fourth[i] += t * t * t * t;
        }
    }
    for (int i = 0; i < 3; i++) {
        double v = second[i] / DRAWS;
        within_3_se("mean", sum[i] / DRAWS, mean[i], sqrt(variance[i] / DRAWS));
        within_3_se("variance", v, variance[i], sqrt((fourth[i] / DRAWS - v * v) / DRAWS));
    }
}

static void a_million_draws_are_numbers(void **state)
{
    static const double alpha[8] = {1e-9, 1e-9, 0.01, 0.001, 1e-6, 1000, 1e6, 0.3};
    tsr_rng rng;
    double p[8];
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 8);
    for (int d = 0; d < 1000000; d++) {
        /* All eight, then the first few, which are all tiny. */
        size_t n = d % 2 ? 8 : 2 + (size_t)(d / 2 % 4);
        double all = 0;
        draw(alpha, n, &rng, p);
        for (size_t i = 0; i < n; i++) {
            assert_true(p[i] >= 0 && p[i] <= 1);
            all += p[i];
        }
        assert_true(fabs(all - 1) < 1e-12);
        assert_true(isfinite(tsr_log_gamma(1e-9, &rng)));
        for (size_t i = n; i < 8; i++)
            assert_true(isfinite(tsr_log_gamma(alpha[i], &rng)));
    }
}

static void nobody_gets_nothing(void **state)
{
    static const double none[3] = {0, 0, 0}, one[3] = {0, 1e-9, 0};
    static const uint32_t high[3] = {50, 50, 50};
    tsr_rng rng;
    double p[3], log_g[3];
    uint32_t b[3];
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 9);
    draw(none, 3, &rng, p);
    assert_true(p[0] == 0 && p[1] == 0 && p[2] == 0);
    tsr_log_gammas(none, 3, &rng, log_g);
    assert_int_equal(tsr_budget_share(log_g, NULL, high, 3, 40, &rng, b), 0);
    tsr_log_gammas(one, 3, &rng, log_g);
    assert_int_equal(tsr_budget_share(log_g, NULL, high, 3, 40, &rng, b), 40);
    assert_int_equal(b[1], 40);
    assert_int_equal(tsr_budget_share(log_g, NULL, high, 3, 60, &rng, b), 50);
}

static void budgets_add_up(void **state)
{
    static const double kinds[8] = {0, 1e-9, 0.01, 0.1, 0.5, 1, 10, 1000};
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 10);
    for (int trial = 0; trial < 100000; trial++) {
        double alpha[MOST], log_g[MOST];
        uint32_t low[MOST], high[MOST], b[MOST], room = 0, floors = 0, sum = 0;
        size_t n = 1 + tsr_rng_below(&rng, MOST);
        uint32_t total = tsr_rng_below(&rng, 400), span = 1 + tsr_rng_below(&rng, 300);
        for (size_t i = 0; i < n; i++) {
            alpha[i] = kinds[tsr_rng_below(&rng, 8)];
            high[i] = tsr_rng_below(&rng, span);
            low[i] = tsr_rng_below(&rng, 8) ? 0 : tsr_rng_below(&rng, 6);
            room += alpha[i] > 0 ? high[i] : 0;
            floors += alpha[i] > 0 ? (low[i] < high[i] ? low[i] : high[i]) : 0;
        }
        tsr_log_gammas(alpha, n, &rng, log_g);
        uint32_t said = tsr_budget_share(log_g, low, high, n, total, &rng, b);
        for (size_t i = 0; i < n; i++) {
            sum += b[i];
            assert_true(alpha[i] > 0 ? b[i] <= high[i] : b[i] == 0);
            if (alpha[i] > 0 && floors <= total)
                assert_true(b[i] >= (low[i] < high[i] ? low[i] : high[i]));
        }
        assert_int_equal(sum, said);
        assert_int_equal(sum, total < room ? total : room);
    }
}

/* Rounding keeps means, and what a cap cuts goes to the others in proportion to their
 * concentrations. */
static void means_survive_rounding_and_caps(void **state)
{
    static const double alpha[4] = {8, 0.3, 0.6, 0.1};
    static const uint32_t wide[4] = {100, 100, 100, 100}, tight[4] = {0, 100, 100, 100},
                          capped[4] = {2, 100, 100, 100};
    double plain[4] = {0}, without[4] = {0}, rest[4] = {0}, log_g[4];
    uint32_t b[4];
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 3, TSR_RNG_TEST, 11);
    for (int d = 0; d < DRAWS; d++) {
        tsr_log_gammas(alpha, 4, &rng, log_g);
        tsr_budget_share(log_g, NULL, wide, 4, 37, &rng, b);
        for (int i = 0; i < 4; i++)
            plain[i] += b[i];
        tsr_budget_share(log_g, NULL, tight, 4, 37, &rng, b);
        for (int i = 0; i < 4; i++)
            without[i] += b[i];
        tsr_budget_share(log_g, NULL, capped, 4, 37, &rng, b);
        for (int i = 0; i < 4; i++)
            rest[i] += b[i];
    }
    for (int i = 0; i < 4; i++) {
        moments all = beta_moments(alpha[i], 9 - alpha[i]);
        double se = sqrt((all.variance * 37 * 37 + 0.25) / DRAWS);
        within_3_se("mean of a budget", plain[i] / DRAWS, 37 * all.mean, se);
        if (i == 0)
            continue;
        moments others = beta_moments(alpha[i], 1 - alpha[i]);
        se = sqrt((others.variance * 37 * 37 + 0.25) / DRAWS);
        within_3_se("mean without the first", without[i] / DRAWS, 37 * others.mean, se);
        /* The first is below its cap of 2 in about 1e-9 of the draws: 35 are shared. */
        within_3_se("mean of what is left", rest[i] / DRAWS, 35 * others.mean, se);
    }
}

static void published_budgets_lose_what_caps_cut(void **state)
{
    static const double alpha[3] = {1000, 0, 0};
    static const uint32_t cap[3] = {196, 196, 30}, low[3] = {100, 196, 30};
    uint32_t b[3];
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 3, TSR_RNG_TEST, 12);
    assert_int_equal(tsr_budget_published(alpha, cap, 3, 128, &rng, b), 128);
    assert_int_equal(b[0], 128);
    assert_int_equal(tsr_budget_published(alpha, low, 3, 128, &rng, b), 100);
    assert_int_equal(b[0], 100);
    for (int d = 0; d < 1000; d++) {
        static const double even[3] = {0.5, 0.5, 0.5};
        uint32_t sum = tsr_budget_published(even, cap, 3, 128, &rng, b);
        assert_true(sum == 128 || (sum < 128 && b[2] == 30));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirichlet_has_its_moments),
        cmocka_unit_test(mixtures_have_their_moments),
        cmocka_unit_test(a_million_draws_are_numbers),
        cmocka_unit_test(nobody_gets_nothing),
        cmocka_unit_test(budgets_add_up),
        cmocka_unit_test(means_survive_rounding_and_caps),
        cmocka_unit_test(published_budgets_lose_what_caps_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

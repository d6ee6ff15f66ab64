/* SPDX-License-Identifier: Apache-2.0
 * Draws: filters against plain definitions, frequencies against probabilities, guidance. */
#include "testing.h"

#include "base/mem.h"
#include "base/rng.h"
#include "trainer/sampling.h"

#include <math.h>

enum { V = 37 };

static double work[4096];

static void random_logits(float *x, size_t n, uint64_t index)
{
    tsr_rng r;
    tsr_rng_init(&r, 11, TSR_RNG_TEST, index);
    for (size_t i = 0; i < n; i++)
        x[i] = 2.0f * tsr_rng_normal(&r);
}

/* Probabilities by the definition: a slow sort, everything in double. */
static void plain(const float *x, size_t n, const tsr_sampling *s, double *p)
{
    int kept[V], order[V];
    double all = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        order[i] = (int)i;
        kept[i] = 1;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j + 1 < n; j++)
            if (x[order[j]] < x[order[j + 1]]) {
                int keep = order[j];
                order[j] = order[j + 1];
                order[j + 1] = keep;
            }
    if (s->top_k > 0.0) {
        size_t k = (size_t)(s->top_k < 1.0 ? s->top_k * (double)n : s->top_k);
        for (size_t i = 0; i < n; i++)
            kept[i] = k >= n || x[i] >= x[order[k - 1]];
    }
    for (size_t i = 0; i < n; i++)
        all += kept[i] ? exp(x[i]) : 0.0;
    for (size_t i = 0; i < n && s->top_p > 0.0; i++) {
        if (kept[order[i]] && sum > s->top_p * all)
            kept[order[i]] = 0;
        sum += kept[order[i]] ? exp(x[order[i]]) : 0.0;
    }
    all = 0.0;
    for (size_t i = 0; i < n; i++)
        all += p[i] = kept[i] ? exp((x[i] - x[order[0]]) / s->temperature) : 0.0;
    for (size_t i = 0; i < n; i++)
        p[i] /= all;
}

/* The draw is the inverse of the cumulative distribution, in order of ids. */
static void draws_follow_the_definition(void **state)
{
    (void)state;
    const tsr_sampling rules[] = {{1.0, 0, 0},   {0.3, 0, 0},   {4.0, 5, 0},    {1.0, 0.25, 0},
                                  {1.0, 0, 0.6}, {2.0, 9, 0.8}, {0.01, 0, 0.9}, {1.0, 1, 0},
                                  {1.0, 99, 0},  {1.0, 0, 1e-6}};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        for (uint64_t t = 0; t < 20; t++) {
            float x[V];
            double p[V], below = 0.0;
            random_logits(x, V, t);
            x[3] = x[5]; /* a tie */
            plain(x, V, &rules[k], p);
            for (size_t i = 0; i < V; i++) {
                if (p[i] < 1e-5) {
                    below += p[i];
                    continue;
                }
                tsr_drawn d = tsr_sample(x, V, &rules[k], below + 0.5 * p[i], work);
                if (d.id != i || fabs(d.confidence - p[i]) > 1e-5)
                    fail_msg("rule %zu, id %zu: drew %u at %g, expected %g", k, i, d.id,
                             (double)d.confidence, p[i]);
                below += p[i];
            }
        }
}

static void dropped_ids_are_never_drawn(void **state)
{
    (void)state;
    float x[V];
    tsr_sampling s = {1e6, 3, 0};
    random_logits(x, V, 5);
    unsigned seen = 0;
    for (size_t i = 0; i < 10000; i++) {
        tsr_drawn d = tsr_sample(x, V, &s, (double)i / 10000.0, work);
        seen |= d.id == 0 ? 1u << 30 : 0;
        size_t larger = 0;
        for (size_t j = 0; j < V; j++)
            larger += x[j] > x[d.id];
        assert_true(larger < 3);
        seen |= 1u << larger;
    }
    assert_int_equal(seen & 7u, 7u);
}

static void cold_draws_are_arg_max(void **state)
{
    (void)state;
    float x[5] = {0.0f, 2.0f, -1.0f, 2.0f, 1.0f};
    tsr_sampling s = {0.0, 0, 0.9};
    tsr_drawn d = tsr_sample(x, 5, &s, 0.99, work);
    double all = 1.0 + 2.0 * exp(2.0) + exp(-1.0) + exp(1.0);
    assert_int_equal(d.id, 1);
    assert_true(fabs(d.confidence - exp(2.0) / all) < 1e-6);
    s.temperature = 1e-9; /* a schedule's end: the two largest share */
    assert_int_equal(tsr_sample(x, 5, &s, 0.25, work).id, 1);
    assert_int_equal(tsr_sample(x, 5, &s, 0.75, work).id, 3);
    assert_int_equal(tsr_sample(x, 1, &s, 0.5, work).id, 0);
}

static void broken_logits_are_seen(void **state)
{
    (void)state;
    float x[3] = {0.0f, NAN, 1.0f}, none[2] = {-INFINITY, -INFINITY};
    tsr_sampling s = {1.0, 0, 0}, cold = {0.0, 0, 0};
    assert_int_equal(tsr_sample(x, 3, &s, 0.5, work).id, UINT32_MAX);
    assert_int_equal(tsr_sample(x, 3, &cold, 0.5, work).id, UINT32_MAX);
    assert_int_equal(tsr_sample(none, 2, &s, 0.5, work).id, UINT32_MAX);
    x[1] = -INFINITY;
    for (int i = 0; i < 100; i++)
        assert_true(tsr_sample(x, 3, &s, i / 100.0, work).id != 1);
}

/* A chi-square test of draws with the counter-based numbers. */
static void frequencies_agree(void **state)
{
    (void)state;
    enum { DRAWS = 20000, N = 12 };
    float x[N];
    double p[V], chi = 0.0;
    unsigned seen[N] = {0};
    tsr_sampling s = {1.5, 0, 0};
    random_logits(x, N, 3);
    plain(x, N, &s, p);
    for (size_t i = 0; i < DRAWS; i++)
        seen[tsr_sample(x, N, &s, tsr_sample_uniform(7, 1, 0, i / 100, i % 100), work).id]++;
    for (size_t i = 0; i < N; i++)
        chi += (seen[i] - DRAWS * p[i]) * (seen[i] - DRAWS * p[i]) / (DRAWS * p[i]);
    assert_true(chi < 31.3); /* 11 degrees of freedom, p = 0.001 */
}

static void numbers_depend_on_every_index(void **state)
{
    (void)state;
    double u = tsr_sample_uniform(1, 2, 3, 4, 5);
    assert_true(u >= 0.0 && u < 1.0);
    assert_true(u == tsr_sample_uniform(1, 2, 3, 4, 5));
    assert_true(u != tsr_sample_uniform(2, 2, 3, 4, 5));
    assert_true(u != tsr_sample_uniform(1, 3, 3, 4, 5));
    assert_true(u != tsr_sample_uniform(1, 2, 4, 4, 5));
    assert_true(u != tsr_sample_uniform(1, 2, 3, 5, 5));
    assert_true(u != tsr_sample_uniform(1, 2, 3, 4, 6));
}

static void guidance_is_exact_at_the_ends(void **state)
{
    (void)state;
    float u[V], c[V], d[V], got[V];
    random_logits(u, V, 1);
    random_logits(c, V, 2);
    random_logits(d, V, 3);
    memcpy(got, u, sizeof u);
    tsr_sample_guide(got, (const float *[]){c}, (double[]){1.0}, 1, V);
    assert_memory_equal(got, c, sizeof c);
    memcpy(got, u, sizeof u);
    tsr_sample_guide(got, (const float *[]){c, d}, (double[]){0.0, 0.0}, 2, V);
    assert_memory_equal(got, u, sizeof u);
    tsr_sample_guide(got, (const float *[]){c, d}, (double[]){2.5, -0.5}, 2, V);
    for (size_t i = 0; i < V; i++)
        assert_true(fabs(got[i] - (u[i] + 2.5 * (c[i] - u[i]) - 0.5 * (d[i] - u[i]))) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_definition),
        cmocka_unit_test(dropped_ids_are_never_drawn),
        cmocka_unit_test(cold_draws_are_arg_max),
        cmocka_unit_test(broken_logits_are_seen),
        cmocka_unit_test(frequencies_agree),
        cmocka_unit_test(numbers_depend_on_every_index),
        cmocka_unit_test(guidance_is_exact_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

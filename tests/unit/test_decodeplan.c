/* SPDX-License-Identifier: Apache-2.0
 * Schedules against the published figures; sums and orders for many sizes. */
#include "testing.h"

#include "trainer/decodeplan.h"

#include <math.h>

static void check_counts(tsr_token_schedule s, size_t n, size_t steps, const uint32_t *want,
                         size_t want_steps)
{
    uint32_t counts[64];
    size_t used;
    assert_ok(tsr_decode_counts(s, n, steps, counts, &used));
    assert_int_equal(used, want_steps);
    for (size_t i = 0; i < used; i++)
        assert_int_equal(counts[i], want[i]);
}

static void published_counts(void **state)
{
    (void)state;
    check_counts(TSR_TOKENS_COSINE, 196, 8, (uint32_t[]){7, 21, 32, 38, 38, 32, 21, 7}, 8);
    check_counts(TSR_TOKENS_COSINE, 784, 8, (uint32_t[]){30, 85, 127, 150, 150, 127, 85, 30}, 8);
    check_counts(TSR_TOKENS_LINEAR, 196, 8, (uint32_t[]){25, 25, 25, 25, 24, 24, 24, 24}, 8);
    check_counts(TSR_TOKENS_LINEAR, 2, 4, (uint32_t[]){1, 1}, 2);
    check_counts(TSR_TOKENS_LINEAR, 196, 1, (uint32_t[]){196}, 1);
    uint32_t c[64];
    size_t used;
    assert_ok(tsr_decode_counts(TSR_TOKENS_LINEAR, 196, 25, c, &used));
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(c[i], i < 21 ? 8 : 7);
    assert_ok(tsr_decode_counts(TSR_TOKENS_LINEAR, 196, 49, c, &used));
    for (size_t i = 0; i < 49; i++)
        assert_int_equal(c[i], 4);
    assert_ok(tsr_decode_counts(TSR_TOKENS_LINEAR, 196, 50, c, &used));
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(c[i], i < 46 ? 4 : 3);
    assert_ok(tsr_decode_counts(TSR_TOKENS_COSINE, 196, 50, c, &used));
    assert_int_equal(c[0], 0);
}

static void sums_are_exact(void **state)
{
    (void)state;
    static uint32_t c[2048];
    size_t used, n[] = {0, 1, 2, 3, 7, 16, 64, 196, 256, 784};
    for (size_t k = 0; k < sizeof n / sizeof *n; k++)
        for (size_t steps = 1; steps <= 2048; steps += steps < 64 ? 1 : 97)
            for (int s = 0; s < 2; s++) {
                uint64_t sum = 0;
                assert_ok(tsr_decode_counts(s, n[k], steps, c, &used));
                for (size_t i = 0; i < used; i++)
                    sum += c[i];
                assert_int_equal(sum, n[k]);
                assert_true(used <= steps);
            }
    assert_fails(TSR_EARG, tsr_decode_counts(TSR_TOKENS_COSINE, 4, 0, c, &used));
    assert_fails(TSR_EARG, tsr_decode_counts(TSR_TOKENS_COSINE, 4, 1 << 20, c, &used));
}

static void check_temperatures(const tsr_target *t, size_t steps, const double *want, size_t n)
{
    uint32_t counts[64];
    double got[64];
    size_t used;
    assert_ok(tsr_decode_counts(t->tokens, 196, steps, counts, &used));
    tsr_decode_temperatures(t, 196, counts, used, got);
    for (size_t i = 0; i < n; i++)
        if (fabs(got[i] - want[i]) > 6e-5)
            fail_msg("step %zu: %.5f, expected %.5f", i, got[i], want[i]);
}

static void published_temperatures(void **state)
{
    (void)state;
    tsr_target t = {
        .tokens = TSR_TOKENS_COSINE, .temperature = 5.0, .cooling = TSR_TEMPERATURE_LINEAR};
    check_temperatures(&t, 8, (double[]){5.0, 4.8214, 4.2857, 3.4694, 2.5, 1.5306, .7143, .1786},
                       8);
    t = (tsr_target){.tokens = TSR_TOKENS_LINEAR,
                     .temperature = 3.0,
                     .cooling = TSR_TEMPERATURE_ONEX,
                     .cool_to = 0.5,
                     .power = 0.5};
    check_temperatures(&t, 25, (double[]){2.898, 2.3225, 1.9733, 1.7308}, 4);
    t.temperature = 6.0;
    check_temperatures(&t, 49, (double[]){5.8878, 4.6876, 3.9674, 3.4720}, 4);
    double last[25];
    uint32_t counts[25];
    size_t used;
    t.temperature = 3.0;
    assert_ok(tsr_decode_counts(t.tokens, 196, 25, counts, &used));
    tsr_decode_temperatures(&t, 196, counts, used, last);
    assert_true(fabs(last[23] - 0.5179) < 6e-5 && fabs(last[24] - 0.5) < 1e-12);
    t.cooling = TSR_TEMPERATURE_CONSTANT;
    check_temperatures(&t, 3, (double[]){3.0, 3.0, 3.0}, 3);
    t.temperature = 0.0;
    t.cooling = TSR_TEMPERATURE_ONEX;
    check_temperatures(&t, 3, (double[]){0.0, 0.0, 0.0}, 3);
}

/* A place alone, and more steps than places: finite, above zero. */
static void small_grids_cool_too(void **state)
{
    (void)state;
    tsr_target t = {
        .temperature = 2.0, .cooling = TSR_TEMPERATURE_ONEX, .cool_to = 0.0, .power = 0.5};
    uint32_t counts[8];
    double got[8];
    size_t used;
    for (size_t n = 1; n < 4; n++) {
        assert_ok(tsr_decode_counts(TSR_TOKENS_COSINE, n, 8, counts, &used));
        tsr_decode_temperatures(&t, n, counts, used, got);
        for (size_t i = 0; i < used; i++)
            assert_true(got[i] >= 1e-9 && got[i] <= 2.0);
    }
}

static void orders_are_permutations(void **state)
{
    (void)state;
    enum { N = 64, RUNS = 4000 };
    uint32_t a[N], b[N];
    double mean = 0.0;
    for (uint64_t key = 0; key < RUNS; key++) {
        unsigned char seen[N] = {0};
        tsr_decode_order(1, key, 0, a, N);
        for (size_t i = 0; i < N; i++)
            assert_false(seen[a[i]]++);
        mean += (double)a[0] / RUNS;
    }
    /* mean of the uniform distribution on 0..63, 4 standard errors */
    assert_true(fabs(mean - 31.5) < 4.0 * 18.47 / sqrt(RUNS));
    tsr_decode_order(1, RUNS - 1, 0, b, N);
    assert_memory_equal(a, b, sizeof a);
    tsr_decode_order(1, RUNS - 1, 1, b, N);
    assert_memory_not_equal(a, b, sizeof a);
    tsr_decode_order(2, RUNS - 1, 0, b, N);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_counts),        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(published_temperatures),  cmocka_unit_test(small_grids_cool_too),
        cmocka_unit_test(orders_are_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

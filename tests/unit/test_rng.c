/* SPDX-License-Identifier: Apache-2.0
 * Random streams: published vectors, independence of streams, the keyed permutation. */
#include "testing.h"

#include "base/rng.h"

#include <math.h>

/* Source: Random123's known-answer file (kat_vectors), philox4x32 with 10 rounds. */
static void philox_matches_published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t out[4];
        tsr_philox(kat[i].counter, kat[i].key, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static void streams_differ_by_seed_purpose_and_index(void **state)
{
    (void)state;
    tsr_rng a, b;
    tsr_rng_init(&a, 1, TSR_RNG_TEST, 7);
    uint64_t first = tsr_rng_u64(&a);
    tsr_rng_init(&b, 1, TSR_RNG_TEST, 7);
    assert_true(tsr_rng_u64(&b) == first);
    tsr_rng_init(&b, 2, TSR_RNG_TEST, 7);
    assert_true(tsr_rng_u64(&b) != first);
    tsr_rng_init(&b, 1, TSR_RNG_INIT, 7);
    assert_true(tsr_rng_u64(&b) != first);
    tsr_rng_init(&b, 1, TSR_RNG_TEST, 8);
    assert_true(tsr_rng_u64(&b) != first);
}

static void permutation_is_a_bijection(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 10, 257, 4096, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        uint64_t n = sizes[s];
        unsigned char *seen = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t j = tsr_rng_permute(i, n, 42, TSR_RNG_ORDER, 3);
            assert_true(j < n);
            assert_int_equal(seen[j], 0);
            seen[j] = 1;
        }
        free(seen);
    }
}

static void draws_have_the_right_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    tsr_rng r;
    tsr_rng_init(&r, 99, TSR_RNG_TEST, 0);
    double sum = 0, squares = 0;
    unsigned counts[7] = {0};
    for (int i = 0; i < N; i++) {
        double x = tsr_rng_normal(&r);
        sum += x;
        squares += x * x;
        counts[tsr_rng_below(&r, 7)]++;
    }
    assert_true(fabs(sum / N) < 4.0 / sqrt(N));
    assert_true(fabs(squares / N - 1) < 4.0 * sqrt(2.0 / N));
    for (int i = 0; i < 7; i++)
        assert_true(fabs(counts[i] - N / 7.0) < 5 * sqrt(N / 7.0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_published_vectors),
        cmocka_unit_test(streams_differ_by_seed_purpose_and_index),
        cmocka_unit_test(permutation_is_a_bijection),
        cmocka_unit_test(draws_have_the_right_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

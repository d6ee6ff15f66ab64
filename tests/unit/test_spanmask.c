/* SPDX-License-Identifier: Apache-2.0
 * Sentinel span masking and its way back. */
#include "testing.h"

#include "trainer/modality.h"
#include "trainer/spanmask.h"

#define MOST     120
#define S(n)     (TSR_ID_SENTINEL + (n))
#define FIRST_ID 1000 /* ids of tests lie beyond the sentinels */

static uint32_t input[MOST + 1], target[TSR_SPAN_TARGET(MOST)], ids[MOST];
static uint8_t starts[MOST], target_starts[TSR_SPAN_TARGET(MOST)];

/* Ids FIRST_ID, FIRST_ID + 1, ...: each token is recognised wherever it appears. */
static tsr_span_spec sequence(uint32_t count)
{
    for (uint32_t i = 0; i < MOST; i++)
        ids[i] = FIRST_ID + i;
    return (tsr_span_spec){.ids = ids, .count = count, .keep = 0.5, .most = MOST, .sentinels = 200};
}

static tsr_span storage(void)
{
    return (tsr_span){.input = input, .target = target};
}

static void equal_ids(const uint32_t *got, uint32_t n, const uint32_t *want, uint32_t n_want)
{
    assert_int_equal(n, n_want);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(got[i], want[i]);
}

/* a b c d e with b, c and e dropped: drawn until it happens. */
static void the_example_of_the_paper(void **state)
{
    static const uint32_t want_in[] = {1000, S(1), 1003, S(2)};
    static const uint32_t want_out[] = {S(1), 1001, 1002, S(2), 1004, S(3)};
    tsr_span_spec s = sequence(5);
    tsr_span span = storage();
    tsr_rng rng;
    int found = 0;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 1);
    for (int i = 0; i < 1000 && !found; i++) {
        tsr_span_mask(&s, &rng, &span);
        found = span.n_input == 4 && input[0] == 1000 && input[2] == 1003 && input[3] == S(2);
    }
    assert_true(found);
    equal_ids(input, span.n_input, want_in, 4);
    equal_ids(target, span.n_target, want_out, 6);
}

static void edges(void **state)
{
    static const uint32_t none_in[] = {S(1)}, none_out[] = {S(1), 1000, 1001, 1002, S(2)};
    static const uint32_t all_out[] = {S(1)};
    tsr_span_spec s = sequence(3);
    tsr_span span = storage();
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 2);
    s.keep = 1;
    tsr_span_mask(&s, &rng, &span);
    equal_ids(input, span.n_input, ids, 3);
    equal_ids(target, span.n_target, all_out, 1);
    s.keep = 0;
    tsr_span_mask(&s, &rng, &span);
    equal_ids(input, span.n_input, none_in, 1);
    equal_ids(target, span.n_target, none_out, 5);
    s.keep = 1;
    s.most = 0;
    tsr_span_mask(&s, &rng, &span);
    assert_int_equal(span.n_input, 0);
    equal_ids(target, span.n_target, none_out, 5);
    s.count = 0;
    tsr_span_mask(&s, &rng, &span);
    assert_int_equal(span.n_input, 0);
    equal_ids(target, span.n_target, all_out, 1);
}

/* What was kept and what was dropped are disjoint and together everything; chunks are whole. */
static void check_hidden(const tsr_span_spec *s, const tsr_span *span)
{
    uint8_t seen[MOST] = {0};
    for (uint32_t i = 0; i < span->n_input; i++)
        if (input[i] >= FIRST_ID)
            seen[input[i] - FIRST_ID] |= 1;
    for (uint32_t i = 0; i < span->n_target; i++)
        if (target[i] >= FIRST_ID)
            seen[target[i] - FIRST_ID] |= 2;
    for (uint32_t i = 0; i < s->count; i++) {
        assert_true(seen[i] == 1 || seen[i] == 2);
        if (s->starts && !s->starts[i] && i)
            assert_int_equal(seen[i], seen[i - 1]);
    }
}

static void masked_sequences_rebuild(void **state)
{
    uint32_t back[MOST], n;
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 3);
    for (int trial = 0; trial < 100000; trial++) {
        tsr_span_spec s = sequence(tsr_rng_below(&rng, MOST + 1));
        tsr_span span = storage();
        s.keep = tsr_rng_double(&rng);
        s.most = tsr_rng_below(&rng, MOST);
        s.sentinels = tsr_rng_below(&rng, 4) ? 200 : 3 + tsr_rng_below(&rng, 8);
        for (uint32_t i = 0; i < s.count; i++)
            starts[i] = tsr_rng_below(&rng, 3) == 0;
        s.starts = tsr_rng_below(&rng, 2) ? starts : NULL;
        tsr_span_mask(&s, &rng, &span);
        assert_true(span.n_input <= s.most);
        assert_true(span.n_target <= TSR_SPAN_TARGET(s.count));
        check_hidden(&s, &span);
        for (uint32_t i = 0; i < span.n_target; i++)
            assert_true(target[i] >= FIRST_ID || (target[i] > S(0) && target[i] < S(s.sentinels)));
        assert_ok(tsr_span_rebuild(input, span.n_input, target, span.n_target, s.sentinels, back,
                                   MOST, &n));
        equal_ids(back, n, ids, s.count);
    }
}

static void keeps_the_share_asked_for(void **state)
{
    tsr_span_spec s = sequence(MOST);
    tsr_span span = storage();
    tsr_rng rng;
    double kept = 0;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 4);
    s.keep = 0.3;
    for (int i = 0; i < 2000; i++) {
        tsr_span_mask(&s, &rng, &span);
        for (uint32_t j = 0; j < span.n_input; j++)
            kept += input[j] >= FIRST_ID;
    }
    /* Standard error of the share: sqrt(0.21 / 240000) = 0.00094. */
    assert_true(kept / 2000 / MOST > 0.297 && kept / 2000 / MOST < 0.303);
}

static uint32_t put(const uint32_t *values, uint32_t n)
{
    memcpy(target, values, n * sizeof *values);
    return n;
}

static void targets_are_cut_at_sentinels(void **state)
{
    /* Sentinels at 0, 4 and 7. */
    static const uint32_t full[] = {S(1), 1000, 1001, 1002, S(2), 1003, 1004, S(3)};
    tsr_span_spec s = sequence(0);
    tsr_span span = storage();
    tsr_rng rng;
    int first = 0, second = 0;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 5);
    for (int i = 0; i < 400; i++) {
        span.n_target = put(full, 8);
        assert_int_equal(tsr_span_truncate(&s, 3, &rng, &span), 3);
        first += target[0] == S(1);
        second += target[0] == S(2);
    }
    assert_int_equal(first + second, 400);
    assert_true(first > 140 && second > 140);
    /* Six from the first; from the second too few follow, and all that fits starts there too. */
    for (int i = 0; i < 50; i++) {
        span.n_target = put(full, 8);
        uint32_t n = tsr_span_truncate(&s, 6, &rng, &span);
        assert_true(n == 6 ? target[0] == S(1) : n == 4 && target[0] == S(2));
    }
    /* Too long from either: only the terminator's predecessors are drawn. */
    span.n_target = put(full, 8);
    assert_int_equal(tsr_span_truncate(&s, 0, &rng, &span), 0);
    span.n_target = put(full, 8);
    assert_int_equal(tsr_span_truncate(&s, 8, &rng, &span), 8);
    equal_ids(target, 8, full, 8);
}

static void cut_targets_hold_whole_chunks(void **state)
{
    static const uint32_t full[] = {S(1), 1000, 1001, 1002, 1003, 1004, 1005, S(2)};
    static const uint8_t marks[] = {1, 1, 0, 0, 1, 0, 0, 1};
    tsr_span_spec s = sequence(0);
    tsr_span span = storage();
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 6);
    span.target_starts = target_starts;
    for (uint32_t most = 1; most < 8; most++) {
        memcpy(target_starts, marks, sizeof marks);
        span.n_target = put(full, 8);
        uint32_t n = tsr_span_truncate(&s, most, &rng, &span);
        assert_int_equal(n, most == 7 ? 7 : most >= 4 ? 4 : 1);
        assert_int_equal(span.n_target, n);
    }
}

static void rebuilding_takes_what_it_gets(void **state)
{
    static const uint32_t shown[] = {1000, S(1), 1003, S(2), S(7)};
    static const uint32_t said[] = {1099, S(2), 1004, S(1), 1001, 1002, S(3), 1050, S(1), 1060};
    static const uint32_t want[] = {1000, 1001, 1002, 1003, 1004};
    uint32_t back[8], n;
    (void)state;
    assert_ok(tsr_span_rebuild(shown, 5, said, 10, 200, back, 8, &n));
    equal_ids(back, n, want, 5);
    assert_fails(TSR_ELIMIT, tsr_span_rebuild(shown, 5, said, 10, 200, back, 4, &n));
    /* From nothing: what follows [S_1]. */
    assert_ok(tsr_span_rebuild(NULL, 0, said, 10, 200, back, 8, &n));
    equal_ids(back, n, want + 1, 2);
    assert_ok(tsr_span_rebuild(shown, 5, NULL, 0, 200, back, 8, &n));
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_paper),
        cmocka_unit_test(edges),
        cmocka_unit_test(masked_sequences_rebuild),
        cmocka_unit_test(keeps_the_share_asked_for),
        cmocka_unit_test(targets_are_cut_at_sentinels),
        cmocka_unit_test(cut_targets_hold_whole_chunks),
        cmocka_unit_test(rebuilding_takes_what_it_gets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

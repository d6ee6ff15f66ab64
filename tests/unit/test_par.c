/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops: every item once, the lowest failure reported, loops inside loops. */
#include "testing.h"

#include "base/par.h"

#include <stdatomic.h>

enum { N = 1000 };

static tsr_status count(void *ctx, size_t i, int lane)
{
    atomic_int *hits = ctx;
    (void)lane;
    atomic_fetch_add(&hits[i], 1);
    return TSR_OK;
}

static void every_item_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        static atomic_int hits[N];
        memset(hits, 0, sizeof hits);
        tsr_par_set_threads(threads);
        assert_ok(tsr_par_for(N, count, hits));
        for (int i = 0; i < N; i++)
            assert_int_equal(hits[i], 1);
    }
    assert_ok(tsr_par_for(0, count, NULL));
}

static tsr_status fail_some(void *ctx, size_t i, int lane)
{
    (void)ctx;
    (void)lane;
    if (i == 700 || i == 123 || i == 124)
        TSR_FAIL(TSR_EFORMAT, "item %zu is bad", i);
    return TSR_OK;
}

static void the_lowest_failure_is_reported(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        tsr_par_set_threads(1 + round % 4);
        assert_fails(TSR_EFORMAT, tsr_par_for(N, fail_some, NULL));
        assert_string_equal(tsr_error(), "item 123 is bad");
    }
}

static tsr_status nest(void *ctx, size_t i, int lane)
{
    (void)i;
    (void)lane;
    return tsr_par_for(N, count, ctx);
}

static void a_loop_inside_a_loop_is_complete(void **state)
{
    (void)state;
    static atomic_int hits[N];
    memset(hits, 0, sizeof hits);
    tsr_par_set_threads(2);
    assert_ok(tsr_par_for(8, nest, hits));
    for (int i = 0; i < N; i++)
        assert_int_equal(hits[i], 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_once),
        cmocka_unit_test(the_lowest_failure_is_reported),
        cmocka_unit_test(a_loop_inside_a_loop_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops: every item once, the lowest failure reported, loops inside loops. */
#include "testing.h"

#include "base/par.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* The pool belongs to one caller at a time; others do their loops themselves. */
static void *loops_of_a_thread(void *ctx)
{
    atomic_int *hits = ctx;
    for (int round = 0; round < 200; round++)
        if (tsr_par_for(N, count, hits) != TSR_OK)
            return NULL;
    return ctx;
}

static void loops_of_several_threads_are_complete(void **state)
{
    (void)state;
    static atomic_int hits[3][N];
    pthread_t threads[3];
    tsr_par_set_threads(3);
    for (int t = 0; t < 3; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, loops_of_a_thread, hits[t]), 0);
    for (int t = 0; t < 3; t++) {
        void *result;
        assert_int_equal(pthread_join(threads[t], &result), 0);
        assert_ptr_equal(result, hits[t]);
        for (int i = 0; i < N; i++)
            assert_int_equal(hits[t][i], 200);
    }
}

static void a_child_process_has_a_pool_of_its_own(void **state)
{
    (void)state;
    static atomic_int hits[N];
    int status;
    tsr_par_set_threads(3);
    assert_ok(tsr_par_for(N, count, hits));
    pid_t child = fork();
    if (child == 0)
        _exit(tsr_par_for(N, count, hits) == TSR_OK && hits[N - 1] == 2 ? 0 : 1);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_once),
        cmocka_unit_test(the_lowest_failure_is_reported),
        cmocka_unit_test(a_loop_inside_a_loop_is_complete),
        cmocka_unit_test(loops_of_several_threads_are_complete),
        cmocka_unit_test(a_child_process_has_a_pool_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Checked memory: overflow, growth, arenas, injected failure. */
#include "testing.h"

#include "base/mem.h"

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    size_t n;
    void *p = NULL;
    assert_fails(TSR_ELIMIT, tsr_mul_size(SIZE_MAX / 2, 3, &n));
    assert_fails(TSR_ELIMIT, tsr_add_size(SIZE_MAX, 1, &n));
    assert_fails(TSR_ELIMIT, tsr_alloc(&p, SIZE_MAX / 2, 4));
    assert_fails(TSR_ELIMIT, tsr_alloc(&p, SIZE_MAX - 1, 1));
    assert_null(p);
}

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    unsigned char *p;
    assert_ok(tsr_alloc(&p, 1000, 3));
    assert_int_equal((uintptr_t)p % 64, 0);
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(p[i], 0);
    tsr_free(p);
    assert_ok(tsr_alloc(&p, 0, 8));
    assert_null(p);
}

static void arrays_grow_and_keep_their_items(void **state)
{
    (void)state;
    int *items = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        assert_ok(tsr_room(&items, (size_t)i, &cap, sizeof *items));
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    tsr_free(items);
}

static void an_injected_failure_leaves_the_pointer_alone(void **state)
{
    (void)state;
    int *items;
    assert_ok(tsr_alloc(&items, 4, sizeof *items));
    int *before = items;
    tsr_mem_fail_after(1);
    assert_fails(TSR_ENOMEM, tsr_grow(&items, 4, 8, sizeof *items));
    tsr_mem_fail_after(0);
    assert_ptr_equal(items, before);
    tsr_free(items);
}

static void an_arena_ends_where_its_plan_ends(void **state)
{
    (void)state;
    tsr_arena a;
    char *p, *q;
    assert_ok(tsr_arena_init(&a, 256));
    assert_ok(tsr_arena_take(&a, 100, &p));
    assert_ok(tsr_arena_take(&a, 128, &q));
    assert_int_equal(q - p, 128);
    assert_fails(TSR_ENOMEM, tsr_arena_take(&a, 1, &p));
    tsr_arena_reset(&a);
    assert_ok(tsr_arena_take(&a, 256, &p));
    tsr_arena_clear(&a);
}

/* Far more than the machine has can be planned for; only what is written takes memory. */
static void maps_are_zero_and_cost_nothing(void **state)
{
    (void)state;
    size_t bytes = (size_t)1 << 40;
    char *p;
    assert_ok(tsr_reserve(&p, bytes));
    assert_int_equal(p[0] | p[bytes / 2] | p[bytes - 1], 0);
    p[bytes - 1] = 1;
    tsr_unreserve(p, bytes);
    assert_ok(tsr_reserve(&p, 0));
    assert_null(p);
    tsr_unreserve(p, 0);
    assert_fails(TSR_ELIMIT, tsr_reserve(&p, SIZE_MAX));
    tsr_mem_fail_after(1);
    assert_fails(TSR_ENOMEM, tsr_reserve(&p, 4096));
    tsr_mem_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(arrays_grow_and_keep_their_items),
        cmocka_unit_test(maps_are_zero_and_cost_nothing),
        cmocka_unit_test(an_injected_failure_leaves_the_pointer_alone),
        cmocka_unit_test(an_arena_ends_where_its_plan_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

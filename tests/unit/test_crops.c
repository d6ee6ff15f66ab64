/* SPDX-License-Identifier: Apache-2.0
 * The crop rule: inside the picture, within the stated areas and shapes, both directions. */
#include "testing.h"

#include "pipeline/crops.h"

static void crops_keep_the_rule(void **state)
{
    (void)state;
    int flips = 0, n = 4000;
    double smallest = 1, narrow = 9, wide = 0;
    for (int i = 0; i < n; i++) {
        tsr_rng r;
        tsr_rng_init(&r, 5, TSR_RNG_TEST, (uint64_t)i);
        tsr_crop c = tsr_crop_random(240, 320, 0.5, 1, &r);
        assert_true(c.top >= 0 && c.left >= 0 && c.height >= 1 && c.width >= 1);
        assert_true(c.top + c.height <= 240 && c.left + c.width <= 320);
        double share = (double)c.height * c.width / (240.0 * 320), shape = (double)c.width / c.height;
        smallest = share < smallest ? share : smallest;
        narrow = shape < narrow ? shape : narrow;
        wide = shape > wide ? shape : wide;
        flips += c.flip;
    }
    assert_true(smallest > 0.495 && smallest < 0.55);
    assert_true(narrow > 0.74 && narrow < 0.80);
    assert_true(wide > 1.25 && wide < 1.345);
    assert_true(flips > n / 2 - 130 && flips < n / 2 + 130);
}

static void pictures_of_odd_shape_get_the_centre(void **state)
{
    (void)state;
    tsr_rng r;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, 0);
    tsr_crop c = tsr_crop_random(10, 1000, 0.9, 0, &r);
    assert_int_equal(c.height, 10);
    assert_int_equal(c.width, 13);
    assert_int_equal(c.left, 493);
    assert_int_equal(c.flip, 0);
    c = tsr_crop_random(1, 1, 0.2, 0, &r);
    assert_int_equal(c.height * c.width, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crops_keep_the_rule),
        cmocka_unit_test(pictures_of_odd_shape_get_the_centre),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

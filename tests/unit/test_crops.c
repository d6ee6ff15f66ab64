/* SPDX-License-Identifier: Apache-2.0
 * The crop rule: inside the picture, within the stated areas and shapes, both directions. */
#include "testing.h"

#include "pipeline/crops.h"

#include <math.h>

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

static void stored_crops_are_checked(void **state)
{
    (void)state;
    float good[10] = {0, 8, 64, 64, 0, 4, 6, 50, 60, 1};
    tsr_media m = {.kind = TSR_MEDIA_VECTOR, .as.vector = {good, 10, 2, {2, 5}}};
    tsr_crop crops[TSR_MAX_CROPS];
    size_t n;
    assert_ok(tsr_crops_of_array(&m, "x.npy", crops, &n));
    assert_int_equal(n, 2);
    assert_int_equal(crops[1].top, 4);
    assert_int_equal(crops[1].width, 60);
    assert_int_equal(crops[1].flip, 1);
    static const struct {
        size_t at;
        float value;
    } wrong[] = {{2, 0}, {3, -1}, {4, 2}, {0, 0.5f}, {1, 1e7f}, {4, (float)INFINITY}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        float kept = good[wrong[i].at];
        good[wrong[i].at] = wrong[i].value;
        assert_fails(TSR_EFORMAT, tsr_crops_of_array(&m, "x.npy", crops, &n));
        good[wrong[i].at] = kept;
    }
    m.as.vector.shape[0] = 5;
    m.as.vector.shape[1] = 2;
    assert_fails(TSR_EFORMAT, tsr_crops_of_array(&m, "x.npy", crops, &n));
    m.as.vector.dims = 0;
    assert_fails(TSR_EFORMAT, tsr_crops_of_array(&m, "x.npy", crops, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crops_keep_the_rule),
        cmocka_unit_test(pictures_of_odd_shape_get_the_centre),
        cmocka_unit_test(stored_crops_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Canny's edges against OpenCV's, pixel by pixel. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dsp/canny.h"
#include "dsp_testing.h"

#include <math.h>

#define PICTURES 400

static size_t draw(uint32_t *x, size_t n)
{
    return (noise(x) >> 8) % n;
}

/* Picture k of tests/data/dsp/make_canny.py; *x goes on from there. */
static void make_picture(size_t k, uint32_t *x, tsr_image *im)
{
    static const size_t grains[5] = {1, 1, 8, 40, 256};
    *x = (uint32_t)(k * 2654435761u + 7);
    size_t h = 1 + draw(x, 70), w = 1 + draw(x, 70), channels = k % 3 == 0 ? 1 : 3;
    assert_ok(tsr_image_init(im, h, w, channels, TSR_PIXEL_U8));
    uint8_t *p = im->data;
    size_t tilt_y = draw(x, 5), tilt_x = draw(x, 5);
    for (size_t i = 0; i < h * w * channels; i++)
        p[i] = (uint8_t)(i / channels / w * tilt_y + i / channels % w * tilt_x);
    for (size_t boxes = draw(x, 9); boxes > 0; boxes--) {
        size_t top = draw(x, h), left = draw(x, w), tall = 1 + draw(x, h), wide = 1 + draw(x, w);
        for (size_t c = 0; c < channels; c++) {
            uint8_t v = (uint8_t)draw(x, 256);
            for (size_t i = top; i < h && i < top + tall; i++)
                for (size_t j = left; j < w && j < left + wide; j++)
                    p[(i * w + j) * channels + c] = v;
        }
    }
    for (size_t i = 0; i < h * w * channels; i++)
        p[i] = (uint8_t)(p[i] + draw(x, grains[k % 5]));
}

static uint64_t edges_of(size_t k)
{
    tsr_image im, grey, found;
    uint32_t x;
    make_picture(k, &x, &im);
    double low = (double)draw(&x, 1200) / 4, high = (double)draw(&x, 2400) / 4;
    tsr_canny_rule rule = {low, high, k % 7 == 3 ? 5 : 3, k % 4 == 1};
    if (rule.aperture == 5) {
        rule.low *= 16;
        rule.high *= 16;
    }
    if (k % 3 == 2) {
        assert_ok(tsr_grey_opencv(&im, &grey));
        tsr_image_clear(&im);
        im = grey;
    }
    assert_ok(tsr_canny(&im, &rule, &found));
    uint64_t digest = fnv(found.data, found.height * found.width);
    tsr_image_clear(&im);
    tsr_image_clear(&found);
    return digest;
}

static void edges_agree_with_opencv(void **state)
{
    (void)state;
    char *path, *data;
    size_t bytes, wrong = 0;
    assert_ok(tsr_format(&path, "%s/tests/data/dsp/canny.fnv", source_folder()));
    assert_ok(tsr_file_read(path, 1 << 20, &data, &bytes));
    assert_int_equal(bytes, PICTURES * 8);
    for (size_t i = 0; i < PICTURES; i++) {
        uint64_t want = 0;
        for (size_t k = 8; k-- > 0;)
            want = want << 8 | (unsigned char)data[8 * i + k];
        if (edges_of(i) == want)
            continue;
        print_error("edges of picture %zu differ\n", i);
        wrong++;
    }
    print_message("edge maps identical to OpenCV's: %zu of %d\n", PICTURES - wrong, PICTURES);
    assert_int_equal(wrong, 0);
    tsr_free(path);
    tsr_free(data);
}

/* Black beside white: one line, on the white side or the black one, never two. */
static void a_step_is_one_line(void **state)
{
    (void)state;
    tsr_image im, found;
    const tsr_canny_rule rule = {100, 200, 3, 0};
    assert_ok(tsr_image_init(&im, 5, 8, 1, TSR_PIXEL_U8));
    for (size_t i = 0; i < 40; i++)
        ((uint8_t *)im.data)[i] = i % 8 < 4 ? 0 : 255;
    assert_ok(tsr_canny(&im, &rule, &found));
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(((uint8_t *)found.data)[i], i % 8 == 3 ? 255 : 0);
    tsr_image_clear(&im);
    tsr_image_clear(&found);
}

static void wrong_rules_and_pictures_are_refused(void **state)
{
    (void)state;
    tsr_image im, deep, out;
    const tsr_canny_rule rules[] = {
        {100, 200, 7, 0}, {-1, 200, 3, 0}, {100, NAN, 3, 0}, {100, INFINITY, 3, 1}};
    assert_ok(tsr_image_init(&im, 4, 4, 1, TSR_PIXEL_U8));
    assert_ok(tsr_image_init(&deep, 4, 4, 1, TSR_PIXEL_U16));
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        assert_fails(TSR_EARG, tsr_canny(&im, &rules[i], &out));
    const tsr_canny_rule good = {100, 200, 3, 0};
    assert_fails(TSR_EARG, tsr_canny(&deep, &good, &out));
    assert_fails(TSR_EARG, tsr_grey_opencv(&im, &out));
    tsr_image_clear(&im);
    tsr_image_clear(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_agree_with_opencv),
        cmocka_unit_test(a_step_is_one_line),
        cmocka_unit_test(wrong_rules_and_pictures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

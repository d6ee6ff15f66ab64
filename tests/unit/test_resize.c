/* SPDX-License-Identifier: Apache-2.0
 * Resizing against Pillow to the last bit; crops and mirrors. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dsp_testing.h"
#include "dsp/crop.h"
#include "dsp/resize.h"

#include <math.h>

#include "../data/dsp/pictures.h"

static void make_picture(tsr_image *im, char mode, size_t h, size_t w, uint32_t seed)
{
    tsr_pixel pixel = mode == 'F' ? TSR_PIXEL_F32 : TSR_PIXEL_U8;
    assert_ok(tsr_image_init(im, h, w, mode == 'P' ? 3 : 1, pixel));
    size_t n = h * w * im->channels;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = noise(&seed);
        if (mode == 'F')
            ((float *)im->data)[i] = (float)(v >> 8) / 1024;
        else
            ((uint8_t *)im->data)[i] = (uint8_t)(v >> 24);
    }
}

static uint64_t resize_i32(size_t i)
{
    size_t n = (size_t)(resized[i].h * resized[i].w), m = (size_t)(resized[i].h2 * resized[i].w2);
    int32_t *src = calloc(n, 4), *dst = calloc(m, 4);
    uint32_t seed = (uint32_t)i + 1;
    for (size_t k = 0; k < n; k++)
        src[k] = (int32_t)(noise(&seed) >> 16);
    assert_ok(tsr_resize_i32(src, (size_t)resized[i].h, (size_t)resized[i].w, dst,
                             (size_t)resized[i].h2, (size_t)resized[i].w2, resized[i].filter));
    uint64_t digest = fnv(dst, m * 4);
    free(src);
    free(dst);
    return digest;
}

static uint64_t resize_picture(size_t i)
{
    tsr_image src, dst;
    make_picture(&src, resized[i].mode, (size_t)resized[i].h, (size_t)resized[i].w,
                 (uint32_t)i + 1);
    assert_ok(tsr_image_resize(&src, (size_t)resized[i].h2, (size_t)resized[i].w2,
                               resized[i].filter, TSR_RESIZE16_I32, &dst));
    uint64_t digest = fnv(dst.data, dst.height * dst.width * dst.channels * (size_t)dst.pixel);
    tsr_image_clear(&src);
    tsr_image_clear(&dst);
    return digest;
}

static void every_filter_agrees_with_pillow(void **state)
{
    (void)state;
    size_t count = sizeof resized / sizeof resized[0], wrong = 0;
    assert_true(count > 100);
    for (size_t i = 0; i < count; i++) {
        uint64_t got = resized[i].mode == 'I' ? resize_i32(i) : resize_picture(i);
        if (got != resized[i].digest) {
            print_error("mode %c %dx%d to %dx%d by %s differs\n", resized[i].mode, resized[i].w,
                        resized[i].h, resized[i].w2, resized[i].h2,
                        tsr_filter_name(resized[i].filter));
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* Of each filter: as many grey as RGB ones. */
#define PICTURES 400

static size_t random_size(uint32_t *x)
{
    uint32_t v = noise(x) >> 8, far = noise(x) >> 8;
    return 1 + v % (far % 8 == 0 ? 200 : 48);
}

/* Picture k of a filter, and its new size, as tests/data/dsp/make_resize.py makes them. */
static uint64_t resize_random(tsr_filter filter, size_t k)
{
    tsr_image src, dst;
    uint32_t x = (uint32_t)(((size_t)filter * PICTURES + k) * 2654435761u + 99);
    size_t size[4];
    for (size_t i = 0; i < 4; i++)
        size[i] = random_size(&x);
    assert_ok(tsr_image_init(&src, size[0], size[1], k % 2 ? 3 : 1, TSR_PIXEL_U8));
    uint8_t *p = src.data;
    for (size_t i = 0; i < size[0] * size[1] * src.channels; i++) {
        uint32_t v = noise(&x);
        p[i] = (uint8_t)(k % 3 == 0   ? v >> 24
                         : k % 3 == 1 ? (v >> 31) * 255
                                      : (uint32_t)i * 5 + (v >> 29));
    }
    assert_ok(tsr_image_resize(&src, size[2], size[3], filter, TSR_RESIZE16_I32, &dst));
    uint64_t digest = fnv(dst.data, dst.height * dst.width * dst.channels);
    tsr_image_clear(&src);
    tsr_image_clear(&dst);
    return digest;
}

/* 200 grey and 200 RGB pictures of 8 bits for each filter. */
static void random_pictures_agree_with_pillow(void **state)
{
    (void)state;
    char *path, *data;
    size_t bytes, wrong = 0;
    assert_ok(tsr_format(&path, "%s/tests/data/dsp/resize.fnv", source_folder()));
    assert_ok(tsr_file_read(path, 1 << 20, &data, &bytes));
    assert_int_equal(bytes, 5 * PICTURES * 8);
    for (size_t i = 0; i < 5 * PICTURES; i++) {
        uint64_t want = 0;
        for (size_t k = 8; k-- > 0;)
            want = want << 8 | (unsigned char)data[8 * i + k];
        if (resize_random((tsr_filter)(i / PICTURES), i % PICTURES) == want)
            continue;
        print_error("picture %zu by %s differs\n", i % PICTURES,
                    tsr_filter_name((tsr_filter)(i / PICTURES)));
        wrong++;
    }
    assert_int_equal(wrong, 0);
    tsr_free(path);
    tsr_free(data);
}

/* An edge from 0 to 65535 doubled in width: bicubic overshoots both ends. Values from the weights
 * at a quarter sample: -9/128, 111/128, 29/128, -3/128. */
static void sixteen_bits_follow_the_chosen_pillow(void **state)
{
    (void)state;
    tsr_image src, out;
    assert_ok(tsr_image_init(&src, 1, 8, 1, TSR_PIXEL_U16));
    for (size_t x = 4; x < 8; x++)
        ((uint16_t *)src.data)[x] = 65535;
    int32_t in[8], wide[16];
    for (size_t x = 0; x < 8; x++)
        in[x] = ((uint16_t *)src.data)[x];
    assert_ok(tsr_resize_i32(in, 1, 8, wide, 1, 16, TSR_FILTER_BICUBIC));
    assert_true(wide[6] < 0);
    assert_true(wide[9] > 65535);

    assert_ok(tsr_image_resize(&src, 1, 16, TSR_FILTER_BICUBIC, TSR_RESIZE16_I32, &out));
    const uint16_t *v = out.data;
    assert_int_equal(v[6], 0);
    assert_int_equal(v[9], 65535);
    assert_int_equal(v[7], wide[7]);
    tsr_image_clear(&out);

    assert_ok(tsr_image_resize(&src, 1, 16, TSR_FILTER_BICUBIC, TSR_RESIZE16_BYTES, &out));
    v = out.data;
    assert_int_equal(v[6], 0);
    assert_int_equal(v[9], 0xFF00 | (wide[9] & 0xFF));
    tsr_image_clear(&out);

    assert_ok(tsr_image_resize(&src, 1, 16, TSR_FILTER_BICUBIC, TSR_RESIZE16_NEAREST, &out));
    v = out.data;
    for (size_t x = 0; x < 16; x++)
        assert_int_equal(v[x], x < 8 ? 0 : 65535);
    tsr_image_clear(&out);
    tsr_image_clear(&src);
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    tsr_image src, out = {0};
    make_picture(&src, 'L', 3, 3, 1);
    assert_fails(TSR_EARG,
                 tsr_image_resize(&src, 0, 3, TSR_FILTER_BICUBIC, TSR_RESIZE16_I32, &out));
    assert_fails(TSR_ELIMIT,
                 tsr_image_resize(&src, 3, 70000, TSR_FILTER_BICUBIC, TSR_RESIZE16_I32, &out));
    assert_null(out.data);
    tsr_filter f;
    assert_ok(tsr_filter_parse("lanczos", &f));
    assert_int_equal(f, TSR_FILTER_LANCZOS);
    assert_fails(TSR_ECONFIG, tsr_filter_parse("bicubi", &f));
    assert_non_null(strstr(tsr_error(), "bicubic"));
    tsr_image_clear(&src);
}

static void crops_outside_are_zero(void **state)
{
    (void)state;
    tsr_image src, out;
    make_picture(&src, 'P', 5, 7, 3);
    const tsr_crop c = {.top = -2, .left = 4, .height = 9, .width = 6};
    assert_ok(tsr_image_crop(&src, &c, &out));
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 6; x++)
            for (int k = 0; k < 3; k++) {
                int sy = y - 2, sx = x + 4;
                int want =
                    sy >= 0 && sy < 5 && sx < 7 ? ((uint8_t *)src.data)[(sy * 7 + sx) * 3 + k] : 0;
                assert_int_equal(((uint8_t *)out.data)[(y * 6 + x) * 3 + k], want);
            }
    tsr_image_clear(&out);
    const tsr_crop far = {.top = 2147483647, .left = -2147483647, .height = 2, .width = 2};
    assert_ok(tsr_image_crop(&src, &far, &out));
    assert_int_equal(((uint8_t *)out.data)[0], 0);
    tsr_image_clear(&out);
    const tsr_crop empty = {.height = 0, .width = 3};
    assert_fails(TSR_EARG, tsr_image_crop(&src, &empty, &out));
    tsr_image_clear(&src);
}

static void flipping_twice_is_nothing(void **state)
{
    (void)state;
    tsr_image im, copy;
    make_picture(&im, 'P', 3, 5, 9);
    make_picture(&copy, 'P', 3, 5, 9);
    tsr_image_flip(&im);
    assert_memory_equal(im.data, (uint8_t *)copy.data + 12, 3);
    tsr_image_flip(&im);
    assert_memory_equal(im.data, copy.data, 45);
    tsr_image_clear(&im);
    tsr_image_clear(&copy);
}

static void views_scale_to_other_sizes(void **state)
{
    (void)state;
    tsr_crop c;
    assert_ok(tsr_view_crop(NULL, 10, 21, &c));
    assert_int_equal(c.left, 5);
    assert_int_equal(c.height, 10);
    const tsr_view v = {{.top = 1, .left = 3, .height = 5, .width = 6, .flip = 1}, 10, 12};
    assert_ok(tsr_view_crop(&v, 5, 24, &c));
    assert_int_equal(c.top, 0); /* 0.5 to even */
    assert_int_equal(c.left, 6);
    assert_int_equal(c.height, 2); /* 2.5 to even */
    assert_int_equal(c.width, 12);
    assert_int_equal(c.flip, 1);
    const tsr_view bad = {{.height = -1, .width = 6}, 10, 12};
    assert_fails(TSR_EARG, tsr_view_crop(&bad, 5, 24, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_agrees_with_pillow),
        cmocka_unit_test(random_pictures_agree_with_pillow),
        cmocka_unit_test(sixteen_bits_follow_the_chosen_pillow),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(crops_outside_are_zero),
        cmocka_unit_test(flipping_twice_is_nothing),
        cmocka_unit_test(views_scale_to_other_sizes),
    };
    (void)expected_ssim, (void)expected_psnr, (void)expected_stats, (void)expected_lab;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

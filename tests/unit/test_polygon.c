/* SPDX-License-Identifier: Apache-2.0
 * Outlines: filled and tested as OpenCV does, cut as 4M does. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dsp/polygon.h"
#include "dsp_testing.h"

#define OUTLINES 600
#define CORNERS  12

static int32_t draw(uint32_t *x, int32_t n)
{
    return (int32_t)((noise(x) >> 8) % (uint32_t)n);
}

/* Outline k of tests/data/dsp/make_polygon.py; its number of corners. */
static size_t make_outline(size_t k, int32_t *h, int32_t *w, tsr_point *p)
{
    static const int32_t margins[4] = {1, 65, 40, 8};
    uint32_t x = (uint32_t)(k * 2654435761u + 11);
    *h = k % 2 ? 64 : 1 + draw(&x, 50);
    *w = k % 2 ? 64 : 1 + draw(&x, 50);
    size_t n = (size_t)(k % 5 ? 1 + draw(&x, 12) : 1 + draw(&x, 3));
    int32_t margin = margins[k % 4];
    for (size_t i = 0; i < n; i++) {
        p[i].x = draw(&x, *w + margin) - margin / 2;
        p[i].y = draw(&x, *h + margin) - margin / 2;
        if (k % 7 == 3 && i && draw(&x, 2))
            p[i].x = p[i - 1].x;
        if (k % 7 == 4 && i && draw(&x, 2))
            p[i].y = p[i - 1].y;
    }
    return n;
}

static uint64_t digest_of(size_t k)
{
    tsr_point p[CORNERS];
    tsr_image mask;
    int32_t h, w;
    size_t n = make_outline(k, &h, &w, p), at;
    uint8_t all[70 * 70 + 30 * 30];
    assert_ok(tsr_image_init(&mask, (size_t)h, (size_t)w, 1, TSR_PIXEL_U8));
    assert_ok(tsr_polygon_fill(p, n, 1, &mask));
    at = (size_t)h * (size_t)w;
    memcpy(all, mask.data, at);
    for (int32_t y = -2; y < h + 3; y += 3)
        for (int32_t x = -2; x < w + 3; x += 3)
            all[at++] = (uint8_t)(1 + tsr_polygon_side(p, n, (tsr_point){x, y}));
    tsr_image_clear(&mask);
    return fnv(all, at);
}

static void outlines_agree_with_opencv(void **state)
{
    (void)state;
    char *path, *data;
    size_t bytes, wrong = 0;
    assert_ok(tsr_format(&path, "%s/tests/data/dsp/polygon.fnv", source_folder()));
    assert_ok(tsr_file_read(path, 1 << 20, &data, &bytes));
    assert_int_equal(bytes, OUTLINES * 8);
    for (size_t i = 0; i < OUTLINES; i++) {
        uint64_t want = 0;
        for (size_t k = 8; k-- > 0;)
            want = want << 8 | (unsigned char)data[8 * i + k];
        if (digest_of(i) == want)
            continue;
        print_error("outline %zu differs\n", i);
        wrong++;
    }
    print_message("outlines filled and tested as OpenCV does: %zu of %d\n", OUTLINES - wrong,
                  OUTLINES);
    assert_int_equal(wrong, 0);
    tsr_free(path);
    tsr_free(data);
}

/* The example of the reference: test_preprocess.c goes on with it. */
static void outlines_are_cut_as_published(void **state)
{
    (void)state;
    static const tsr_point p[4] = {{50, 40}, {200, 60}, {180, 220}, {30, 150}};
    static const tsr_point want[7] = {{0, 21},   {140, 40}, {126, 150}, {120, 150},
                                      {12, 150}, {0, 144},  {0, 130}};
    const tsr_crop crop = {20, 60, 150, 150, 0};
    tsr_point *got;
    size_t n;
    assert_ok(tsr_polygon_crop(p, 4, &crop, &got, &n));
    assert_int_equal(n, 7);
    assert_memory_equal(got, want, sizeof want);
    tsr_free(got);
    const tsr_crop elsewhere = {20, 300, 50, 50, 0}, within = {100, 100, 10, 10, 0};
    assert_ok(tsr_polygon_crop(p, 4, &elsewhere, &got, &n));
    assert_true(n == 0 && got == NULL);
    assert_ok(tsr_polygon_crop(p, 4, &within, &got, &n)); /* no corner in it: 4M drops it, too */
    assert_true(n == 0 && got == NULL);
}

static void wrong_outlines_are_refused(void **state)
{
    (void)state;
    static const tsr_point far_off[2] = {{0, 0}, {TSR_POINT_MAX + 1, 0}};
    const tsr_crop crop = {0, 0, 10, 10, 0};
    tsr_image mask, deep;
    tsr_point *got;
    size_t n;
    assert_ok(tsr_image_init(&mask, 4, 4, 1, TSR_PIXEL_U8));
    assert_ok(tsr_image_init(&deep, 4, 4, 1, TSR_PIXEL_U16));
    assert_fails(TSR_EARG, tsr_polygon_fill(far_off, 0, 1, &mask));
    assert_fails(TSR_EARG, tsr_polygon_fill(far_off, 2, 1, &mask));
    assert_fails(TSR_EARG, tsr_polygon_fill(far_off, 1, 1, &deep));
    assert_fails(TSR_EARG, tsr_polygon_crop(far_off, 2, &crop, &got, &n));
    tsr_image_clear(&mask);
    tsr_image_clear(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outlines_agree_with_opencv),
        cmocka_unit_test(outlines_are_cut_as_published),
        cmocka_unit_test(wrong_outlines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

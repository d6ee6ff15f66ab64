/* SPDX-License-Identifier: Apache-2.0
 * Colour, measured fields and figures of merit, against scikit-image, Pillow and hand-made cases.
 */
#include "testing.h"

#include "dsp_testing.h"
#include "dsp/imagestats.h"
#include "dsp/oklab.h"
#include "dsp/quality.h"
#include "dsp/resize.h"

#include <math.h>

#include "../data/dsp/pictures.h"

enum { H = 40, W = 32 };

/* The two pictures of make_expected.py. */
static void make_pair(tsr_image *a, tsr_image *b)
{
    uint32_t one = 1000, two = 1001;
    assert_ok(tsr_image_init(a, H, W, 3, TSR_PIXEL_U8));
    assert_ok(tsr_image_init(b, H, W, 3, TSR_PIXEL_U8));
    for (size_t i = 0; i < H * W * 3; i++) {
        int v = (int)(noise(&one) >> 24);
        int shifted = v + (int)(noise(&two) >> 28) * 4 - 30;
        ((uint8_t *)a->data)[i] = (uint8_t)v;
        ((uint8_t *)b->data)[i] = (uint8_t)(shifted < 0 ? 0 : shifted > 255 ? 255 : shifted);
    }
}

static void psnr_and_ssim_agree_with_skimage(void **state)
{
    (void)state;
    tsr_image a, b;
    double v;
    make_pair(&a, &b);
    assert_ok(tsr_psnr(&a, &b, &v));
    assert_float_equal(v, expected_psnr, 1e-9);
    assert_ok(tsr_ssim(&a, &b, &v));
    assert_float_equal(v, expected_ssim, 1e-7);
    assert_ok(tsr_psnr(&a, &a, &v));
    assert_true(v == 100);
    assert_ok(tsr_ssim(&b, &b, &v));
    assert_float_equal(v, 1, 1e-12);
    a.width = W - 1; /* of another shape */
    assert_fails(TSR_EARG, tsr_psnr(&a, &b, &v));
    assert_fails(TSR_EARG, tsr_ssim(&a, &b, &v));
    a.width = W;
    tsr_image_clear(&a);
    tsr_image_clear(&b);
}

static void tiny_pictures_have_an_ssim(void **state)
{
    (void)state;
    tsr_image a, b;
    double v;
    assert_ok(tsr_image_init(&a, 1, 2, 1, TSR_PIXEL_F32));
    assert_ok(tsr_image_init(&b, 1, 2, 1, TSR_PIXEL_F32));
    ((float *)a.data)[0] = 1;
    assert_ok(tsr_ssim(&a, &b, &v));
    assert_true(v < 0.6);
    ((float *)b.data)[0] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_ssim(&a, &b, &v));
    assert_fails(TSR_ENUMERIC, tsr_psnr(&a, &b, &v));
    tsr_image_clear(&a);
    tsr_image_clear(&b);
}

static void measured_fields_agree_with_pillow(void **state)
{
    (void)state;
    tsr_image a, b;
    tsr_imagestats s;
    make_pair(&a, &b);
    assert_ok(tsr_image_measure(&a, &s));
    assert_float_equal(s.brightness, expected_stats[0], 1e-5);
    assert_float_equal(s.contrast, expected_stats[1], 1e-5);
    assert_float_equal(s.saturation, expected_stats[2], 1e-2);
    assert_float_equal(s.colorfulness, expected_stats[3], 1e-5);
    assert_float_equal(s.entropy, expected_stats[4], 1e-6);
    tsr_image_clear(&a);
    tsr_image_clear(&b);
}

static void plain_pictures_measure_plainly(void **state)
{
    (void)state;
    tsr_image im;
    tsr_imagestats s;
    assert_ok(tsr_image_init(&im, 4, 4, 1, TSR_PIXEL_U16));
    for (size_t i = 0; i < 16; i++)
        ((uint16_t *)im.data)[i] = i < 8 ? 0 : 65535;
    assert_ok(tsr_image_measure(&im, &s));
    assert_float_equal(s.brightness, 127.5, 1e-9);
    assert_float_equal(s.contrast, 127.5, 1e-9);
    assert_float_equal(s.entropy, 1, 1e-9);
    assert_true(s.saturation == 0 && s.colorfulness == 0);
    tsr_image_clear(&im);
    assert_ok(tsr_image_init(&im, 2, 2, 3, TSR_PIXEL_F32));
    assert_fails(TSR_EARG, tsr_image_measure(&im, &s));
    tsr_image_clear(&im);
}

static void colours_convert(void **state)
{
    (void)state;
    /* Oklab of the primaries, from the published definition, to four places. */
    static const struct {
        uint8_t rgb[3];
        double lab[3];
    } known[] = {{{255, 255, 255}, {1, 0, 0}},
                 {{255, 0, 0}, {0.6280, 0.2249, 0.1258}},
                 {{0, 255, 0}, {0.8664, -0.2339, 0.1795}},
                 {{0, 0, 255}, {0.4520, -0.0325, -0.3115}}};
    for (size_t i = 0; i < 4; i++) {
        double lab[3];
        tsr_rgb8_to_oklab(known[i].rgb, lab);
        for (int k = 0; k < 3; k++)
            assert_true(fabs(lab[k] - known[i].lab[k]) < 1e-4);
    }
    for (int r = 0; r < 256; r += 5)
        for (int g = 0; g < 256; g += 15)
            for (int b = 0; b < 256; b += 17) {
                const uint8_t rgb[3] = {(uint8_t)r, (uint8_t)g, (uint8_t)b};
                uint8_t back[3];
                double lab[3];
                tsr_rgb8_to_oklab(rgb, lab);
                tsr_oklab_to_rgb8(lab, back);
                assert_memory_equal(rgb, back, 3);
            }
    assert_true(fabs(tsr_linear_to_srgb(tsr_srgb_to_linear(-0.3)) + 0.3) < 1e-9);
}

static void cielab_agrees_with_skimage(void **state)
{
    (void)state;
    uint32_t seed = 1000;
    for (size_t i = 0; i < 8; i++) {
        uint8_t rgb[3];
        double lab[3];
        for (int k = 0; k < 3; k++)
            rgb[k] = (uint8_t)(noise(&seed) >> 24);
        tsr_rgb8_to_cielab(rgb, lab);
        for (int k = 0; k < 3; k++)
            assert_true(fabs(lab[k] - expected_lab[i][k]) < 0.02);
    }
}

static void depth_angles_and_labels(void **state)
{
    (void)state;
    const float t[] = {1, 2, 4, 0}, g[] = {1.1f, 2, 2, 9};
    const uint8_t only[] = {0, 1, 0, 0};
    double a, b;
    assert_ok(tsr_depth_error(t, g, NULL, 4, &a, &b));
    assert_true(fabs(a - 0.2) < 1e-6);
    assert_true(fabs(b - 2.0 / 3) < 1e-9);
    assert_ok(tsr_depth_error(t, g, only, 4, &a, &b));
    assert_true(a == 0 && b == 1);
    assert_fails(TSR_ENUMERIC, tsr_depth_error(t + 3, g, NULL, 1, &a, &b));

    const float n[] = {0, 0, 1, 1, 0, 0, 0, 0, 0}, m[] = {0, 0, 5, 0, 2, 0, 1, 1, 1};
    assert_ok(tsr_angle_error(n, m, 3, &a));
    assert_true(fabs(a - 45) < 1e-9);
    assert_fails(TSR_ENUMERIC, tsr_angle_error(n + 6, m, 1, &a));

    const uint32_t p[] = {0, 0, 1, 1, 5}, q[] = {0, 1, 1, 1, 5};
    assert_ok(tsr_miou(p, q, 5, 9, &a, &b));
    assert_true(fabs(a - (0.5 + 2.0 / 3 + 1) / 3) < 1e-12);
    assert_true(fabs(b - 0.8) < 1e-12);
    assert_fails(TSR_EARG, tsr_miou(p, q, 5, 5, &a, &b));
}

static void sound_and_colour_distances(void **state)
{
    (void)state;
    const float a[] = {0, 2.302585093f}, b[] = {0, 0};
    double v;
    assert_ok(tsr_mel_distance(a, b, 2, &v));
    assert_true(fabs(v - 5) < 1e-6);
    const float x[] = {1, 1}, y[] = {1, 0.9f};
    assert_ok(tsr_snr(x, y, 2, &v));
    assert_true(fabs(v - 10 * log10(200)) < 1e-4);
    assert_fails(TSR_EARG, tsr_snr(b, y, 2, &v));
    tsr_image p, q;
    assert_ok(tsr_image_init(&p, 1, 2, 3, TSR_PIXEL_U8));
    assert_ok(tsr_image_init(&q, 1, 2, 3, TSR_PIXEL_U8));
    memset(q.data, 255, 3);
    assert_ok(tsr_mean_delta_e(&p, &q, &v));
    assert_true(fabs(v - 50) < 0.01); /* black against white is 100 */
    tsr_image_clear(&p);
    tsr_image_clear(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(psnr_and_ssim_agree_with_skimage),
        cmocka_unit_test(tiny_pictures_have_an_ssim),
        cmocka_unit_test(measured_fields_agree_with_pillow),
        cmocka_unit_test(plain_pictures_measure_plainly),
        cmocka_unit_test(colours_convert),
        cmocka_unit_test(cielab_agrees_with_skimage),
        cmocka_unit_test(depth_angles_and_labels),
        cmocka_unit_test(sound_and_colour_distances),
    };
    (void)resized;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

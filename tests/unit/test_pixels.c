/* SPDX-License-Identifier: Apache-2.0
 * Kind "pixels": patches of a picture come back exactly, and are cut as kind "image" cuts. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "dsp/patches.h"
#include "tokenizers/tokenizer.h"
#include "tokenizers/trainable.h"

#include <unistd.h>

static tsr_status create(const char *text, tsr_tokenizer **out)
{
    json_t *config;
    assert_ok(tsr_json_parse(text, strlen(text), "test", &config));
    tsr_status st = tsr_tokenizer_create(config, "test recipe", out);
    json_decref(config);
    return st;
}

static tsr_tokenizer *make(const char *text)
{
    tsr_tokenizer *t;
    assert_ok(create(text, &t));
    return t;
}

static tsr_media picture(size_t h, size_t w, size_t channels, tsr_pixel pixel)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    tsr_rng r;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, h * w);
    assert_ok(tsr_image_init(&m.as.image, h, w, channels, pixel));
    uint8_t *bytes = m.as.image.data;
    for (size_t i = 0; i < h * w * channels * (size_t)pixel; i++)
        bytes[i] = (uint8_t)tsr_rng_below(&r, 256);
    return m;
}

/* The order of the published models: patch row, patch column, row, column, channel. */
static void values_stand_in_the_published_order(void **state)
{
    (void)state;
    enum { H = 3, W = 2, P = 4 };
    tsr_media m = picture(H * P, W * P, 3, TSR_PIXEL_U8);
    uint32_t values[H * W * P * P * 3];
    const uint8_t *v = m.as.image.data;
    assert_ok(tsr_patches_from_image(&m.as.image, P, values));
    size_t at = 0;
    for (size_t py = 0; py < H; py++)
        for (size_t px = 0; px < W; px++)
            for (size_t r = 0; r < P; r++)
                for (size_t c = 0; c < P; c++)
                    for (size_t k = 0; k < 3; k++)
                        assert_int_equal(values[at++],
                                         v[((py * P + r) * W * P + px * P + c) * 3 + k]);
    tsr_media_clear(&m);
}

static void patches_make_the_picture_again(void **state)
{
    (void)state;
    for (size_t p = 1; p <= 9; p += 2) {
        tsr_media m = picture(5 * p, 3 * p, 3, TSR_PIXEL_U8);
        tsr_image back;
        uint32_t *values;
        size_t n = 15 * p * p * 3;
        assert_ok(tsr_alloc(&values, n, sizeof *values));
        assert_ok(tsr_patches_from_image(&m.as.image, p, values));
        assert_ok(tsr_patches_to_image(values, 5, 3, p, &back));
        assert_int_equal(back.height, 5 * p);
        assert_int_equal(back.width, 3 * p);
        assert_memory_equal(back.data, m.as.image.data, n);
        tsr_image_clear(&back);
        values[n - 1] = 256;
        assert_fails(TSR_EFORMAT, tsr_patches_to_image(values, 5, 3, p, &back));
        assert_fails(TSR_EARG, tsr_patches_to_image(values, 0, 3, p, &back));
        assert_fails(TSR_EARG, tsr_patches_from_image(&m.as.image, p + 1, values));
        assert_fails(TSR_EARG, tsr_patches_from_image(&m.as.image, 0, values));
        m.as.image.channels = 1;
        assert_fails(TSR_EARG, tsr_patches_from_image(&m.as.image, p, values));
        tsr_free(values);
        tsr_media_clear(&m);
    }
}

static void round_trips_are_exact(void **state)
{
    (void)state;
    tsr_tokenizer *t = make("{\"kind\": \"pixels\", \"modality\": \"rgb@48\", \"image_size\": [48, 64]}");
    tsr_tokenizer_work *w;
    assert_ok(tsr_tokenizer_work_create(t, &w));
    static const size_t channels[] = {1, 2, 3, 4};
    for (size_t i = 0; i < 8; i++) {
        tsr_media m = picture(70, 90, channels[i % 4], i < 4 ? TSR_PIXEL_U8 : TSR_PIXEL_U16);
        tsr_media want = {0}, got = {0};
        tsr_inputs in = {.media = {&m}, .count = 1};
        tsr_tokens tokens;
        json_t *quality;
        assert_ok(tsr_tokenizer_encode(t, w, &in, &tokens));
        assert_int_equal(tokens.count, 3 * 4 * 768);
        assert_ok(tsr_tokenizer_decode(t, w, &tokens, &got));
        assert_ok(tsr_tokenizer_target(t, w, &in, &want));
        assert_memory_equal(got.as.image.data, want.as.image.data, 48 * 64 * 3);
        assert_ok(tsr_tokenizer_quality(t, &want, &got, &quality));
        assert_true(json_number_value(json_object_get(quality, "psnr_db")) == 100);
        json_decref(quality);
        tsr_media_clear(&got);
        tokens.ids[5] = 256;
        assert_fails(TSR_EFORMAT, tsr_tokenizer_decode(t, w, &tokens, &got));
        tokens.count--;
        assert_fails(TSR_EFORMAT, tsr_tokenizer_decode(t, w, &tokens, &got));
        tsr_tokens_clear(&tokens);
        tsr_media_clear(&want);
        tsr_media_clear(&m);
    }
    tsr_media f = picture(8, 8, 3, TSR_PIXEL_F32), text;
    tsr_inputs in = {.media = {&f}, .count = 1};
    tsr_tokens tokens;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &tokens));
    assert_ok(tsr_text_init(&text, "words", 5));
    in.media[0] = &text;
    assert_fails(TSR_EARG, tsr_tokenizer_encode(t, w, &in, &tokens));
    tsr_media_clear(&text);
    tsr_media_clear(&f);
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
}

/* What kind "image" gives its network, for the same settings and view. */
static void cuts_are_those_of_images(void **state)
{
    (void)state;
    static const char settings[] = "{\"kind\": \"image\", \"modality\": \"rgb\", \"image_size\": 32, "
                                   "\"resize\": \"bilinear\", \"background\": [9, 8, 7], "
                                   "\"model\": {\"enc_dim\": 32, \"enc_depth\": 1, \"enc_heads\": 2, "
                                   "\"dec_dim\": 32, \"dec_depth\": 1, \"dec_heads\": 2, "
                                   "\"patch_size\": 8, \"codebook_size\": 8, \"latent_dim\": 8}}";
    json_t *config;
    tsr_tokenizer *image, *pixels = make("{\"kind\": \"pixels\", \"modality\": \"rgb@32\", "
                                         "\"image_size\": 32, \"patch_size\": 8, "
                                         "\"resize\": \"bilinear\", \"background\": [9, 8, 7]}");
    tsr_tokenizer_work *wi, *wp;
    assert_ok(tsr_json_parse(settings, strlen(settings), "test", &config));
    assert_ok(tsr_trainable_create(config, "test", 7, &image));
    json_decref(config);
    assert_ok(tsr_tokenizer_work_create(image, &wi));
    assert_ok(tsr_tokenizer_work_create(pixels, &wp));
    const tsr_view views[] = {{{0, 0, 50, 50, 0}, 60, 90},
                              {{5, 20, 33, 47, 1}, 60, 90},
                              {{10, 40, 66, 94, 1}, 120, 180}};
    for (size_t channels = 1; channels <= 4; channels++) {
        tsr_media m = picture(60, 90, channels, TSR_PIXEL_U8);
        for (size_t i = 0; i < 4; i++) {
            tsr_inputs in = {.media = {&m}, .count = 1, .view = i < 3 ? &views[i] : NULL};
            tsr_media a = {0}, b = {0};
            tsr_tokens tokens;
            assert_ok(tsr_tokenizer_target(image, wi, &in, &a));
            assert_ok(tsr_tokenizer_encode(pixels, wp, &in, &tokens));
            assert_ok(tsr_tokenizer_decode(pixels, wp, &tokens, &b));
            assert_memory_equal(a.as.image.data, b.as.image.data, 32 * 32 * 3);
            tsr_tokens_clear(&tokens);
            tsr_media_clear(&a);
            tsr_media_clear(&b);
        }
        tsr_media_clear(&m);
    }
    tsr_tokenizer_work_destroy(wi);
    tsr_tokenizer_work_destroy(wp);
    tsr_tokenizer_destroy(image);
    tsr_tokenizer_destroy(pixels);
}

static void files_hold_everything(void **state)
{
    (void)state;
    char path[4200];
    tsr_tokenizer *t = make("{\"kind\": \"pixels\", \"modality\": \"rgb@128\", \"image_size\": 128}");
    tsr_tokenizer *back, *other;
    json_t *a, *b;
    snprintf(path, sizeof path, "%s/test_pixels.%ld.json", build_folder(), (long)getpid());
    assert_ok(tsr_tokenizer_write(t, path));
    assert_ok(tsr_tokenizer_open(path, NULL, &back));
    unlink(path);
    const tsr_token_space *s = tsr_tokenizer_space(back);
    assert_string_equal(s->modality, "rgb@128");
    assert_string_equal(s->vocabulary, "");
    assert_int_equal(s->layout, TSR_LAYOUT_PATCHES);
    assert_int_equal(s->height, 8);
    assert_int_equal(s->width, 8);
    assert_int_equal(tsr_space_patch(s), 16);
    assert_true(tsr_tokenizer_bits(back) == 128 * 128 * 24);
    assert_true(tsr_digest_equal(s->tokenizer, tsr_tokenizer_space(t)->tokenizer));
    assert_ok(tsr_tokenizer_describe(t, &a));
    assert_ok(tsr_tokenizer_describe(back, &b));
    assert_true(json_equal(a, b));
    assert_null(json_object_get(a, "codebook_size"));
    assert_null(json_object_get(a, "vocabulary"));
    assert_int_equal(json_integer_value(json_object_get(a, "patch_size")), 16);
    json_decref(a);
    json_decref(b);
    /* The name does not matter, what decides values does. */
    other = make("{\"kind\": \"pixels\", \"modality\": \"x\", \"image_size\": 128}");
    assert_true(tsr_digest_equal(s->tokenizer, tsr_tokenizer_space(other)->tokenizer));
    tsr_tokenizer_destroy(other);
    other = make("{\"kind\": \"pixels\", \"modality\": \"rgb@128\", \"image_size\": 128, "
                 "\"resize\": \"box\"}");
    assert_false(tsr_digest_equal(s->tokenizer, tsr_tokenizer_space(other)->tokenizer));
    tsr_tokenizer_destroy(other);
    tsr_tokenizer_destroy(back);
    tsr_tokenizer_destroy(t);
}

static void bad_settings_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *more, *says;
    } cases[] = {
        {"\"image_size\": 100", "whole patches of 16"},
        {"\"image_size\": [128, 100]", "128 x 100"},
        {"\"image_size\": 0", "image_size"},
        {"\"patch_size\": 0", "patch_size"},
        {"\"patch_size\": \"16\"", "patch_size"},
        {"\"patchsize\": 16", "did you mean \"patch_size\""},
        {"\"vocabulary\": \"rgb\"", "no setting \"vocabulary\""},
        {"\"resize\": \"bicubix\"", "bicubic"},
        {"\"background\": [1, 2]", "background"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        tsr_tokenizer *t;
        snprintf(text, sizeof text, "{\"kind\": \"pixels\", \"modality\": \"rgb@224\", %s}",
                 cases[i].more);
        if (create(text, &t) != TSR_ECONFIG || !strstr(tsr_error(), cases[i].says))
            fail_msg("%s: \"%s\"", cases[i].more, tsr_error());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stand_in_the_published_order),
        cmocka_unit_test(patches_make_the_picture_again),
        cmocka_unit_test(round_trips_are_exact),
        cmocka_unit_test(cuts_are_those_of_images),
        cmocka_unit_test(files_hold_everything),
        cmocka_unit_test(bad_settings_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

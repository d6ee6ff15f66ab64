/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers with a network: pixel rules, files, tokens; sound in pieces. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "dsp/canny.h"
#include "tokenizers/audio.h"
#include "tokenizers/pixels.h"
#include "tokenizers/trainable.h"

#include <math.h>
#include <unistd.h>

#define MODEL                                                                                      \
    "\"model\": {\"enc_dim\": 32, \"enc_depth\": 1, \"enc_heads\": 2, \"dec_dim\": 32, "           \
    "\"dec_depth\": 1, \"dec_heads\": 2, \"patch_size\": 8, \"codebook_size\": 64, "               \
    "\"latent_dim\": 8, \"post_mlp\": true, \"n_channels\": 4}"

static tsr_tokenizer *make(const char *text)
{
    json_t *config;
    tsr_tokenizer *t;
    assert_ok(tsr_json_parse(text, strlen(text), "test", &config));
    assert_ok(tsr_trainable_create(config, "test", 7, &t));
    json_decref(config);
    return t;
}

static tsr_media picture(size_t h, size_t w, size_t channels, tsr_pixel pixel)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    tsr_rng r;
    tsr_rng_init(&r, 3, TSR_RNG_TEST, h * w);
    assert_ok(tsr_image_init(&m.as.image, h, w, channels, pixel));
    for (size_t i = 0; i < h * w * channels; i++) {
        if (pixel == TSR_PIXEL_U8)
            ((uint8_t *)m.as.image.data)[i] = (uint8_t)tsr_rng_below(&r, 256);
        else
            ((uint16_t *)m.as.image.data)[i] = (uint16_t)tsr_rng_below(&r, 65536);
    }
    return m;
}

static tsr_inputs one(const tsr_media *m, const tsr_view *view)
{
    return (tsr_inputs){.media = {m}, .count = 1, .view = view};
}

static void check_cycle(const char *config, const tsr_media *m, const char *metric)
{
    char path[4200];
    tsr_tokenizer *t = make(config), *back;
    tsr_tokenizer_work *w, *w2;
    tsr_tokens tokens = {0}, again = {0};
    tsr_media got = {0}, want = {0};
    json_t *quality, *about;
    tsr_inputs in = one(m, NULL);
    snprintf(path, sizeof path, "%s/test_grid.%ld.safetensors", build_folder(), (long)getpid());
    assert_ok(tsr_tokenizer_write(t, path));
    assert_ok(tsr_tokenizer_open(path, NULL, &back));
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_work_create(back, &w2));
    assert_ok(tsr_tokenizer_encode(t, w, &in, &tokens));
    assert_ok(tsr_tokenizer_encode(back, w2, &in, &again));
    assert_int_equal(tokens.count, again.count);
    assert_memory_equal(tokens.ids, again.ids, tokens.count * sizeof *tokens.ids);
    const tsr_token_space *s = tsr_tokenizer_space(back);
    if (s->layout == TSR_LAYOUT_GRID)
        assert_int_equal(tokens.count, s->height * s->width);
    assert_int_equal(s->codebook_size, 64);
    assert_ok(tsr_tokenizer_decode(back, w2, &tokens, &got));
    assert_ok(tsr_tokenizer_target(back, w2, &in, &want));
    assert_ok(tsr_tokenizer_quality(back, &want, &got, &quality));
    assert_non_null(json_object_get(quality, metric));
    json_decref(quality);
    assert_ok(tsr_tokenizer_describe(back, &about));
    assert_string_equal(json_string_value(json_object_get(about, "quantizer")), "lucid");
    json_decref(about);
    tokens.ids[0] = 64;
    tsr_media_clear(&got);
    assert_fails(TSR_EFORMAT, tsr_tokenizer_decode(back, w2, &tokens, &got));
    tsr_media_clear(&want);
    tsr_tokens_clear(&tokens);
    tsr_tokens_clear(&again);
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_work_destroy(w2);
    tsr_tokenizer_destroy(t);
    tsr_tokenizer_destroy(back);
    unlink(path);
}

static void pictures_make_the_whole_way(void **state)
{
    (void)state;
    const char *config = "{\"kind\": \"image\", \"modality\": \"rgb\", \"image_size\": [24, 32], " MODEL
                         "}";
    static const size_t channels[] = {1, 2, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        tsr_media m = picture(50, 40, channels[i], i % 2 ? TSR_PIXEL_U16 : TSR_PIXEL_U8);
        check_cycle(config, &m, "psnr_db");
        tsr_media_clear(&m);
    }
}

/* What the network reads of a picture of modality `from`, as a picture. */
static void assert_target(const tsr_tokenizer *t, const tsr_media *m, const char *from,
                          const tsr_image *want)
{
    tsr_tokenizer_work *w;
    tsr_media got = {0};
    tsr_inputs in = one(m, NULL);
    in.from = from;
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_target(t, w, &in, &got));
    assert_int_equal(got.as.image.channels, 1);
    assert_memory_equal(got.as.image.data, want->data, want->height * want->width);
    tsr_media_clear(&got);
    tsr_tokenizer_work_destroy(w);
}

static void edges_are_found_where_pictures_come_in(void **state)
{
    (void)state;
    static const char *const greys[] = {"opencv", "pillow", "none"};
    static const tsr_canny_rule rule = {50, 300, 5, 1};
    for (size_t i = 0; i < 3; i++) {
        char config[1024];
        snprintf(config, sizeof config,
                 "{\"kind\": \"image\", \"modality\": \"edges\", \"image_size\": 32, "
                 "\"channels\": 1, \"derive\": \"canny\", \"canny_low\": 50, \"canny_high\": 300, "
                 "\"canny_aperture\": 5, \"canny_norm\": \"l2\", \"canny_grey\": \"%s\", " MODEL "}",
                 greys[i]);
        tsr_tokenizer *t = make(config);
        tsr_media m = picture(32, 32, 3, TSR_PIXEL_U8);
        tsr_image grey, edges, plain;
        static const tsr_background dropped = {.none = 1};
        assert_ok(tsr_pixels_8bit(&m.as.image, 1, &dropped, &plain));
        assert_ok(tsr_grey_opencv(&m.as.image, &grey));
        assert_ok(tsr_canny(i == 0 ? &grey : i == 1 ? &plain : &m.as.image, &rule, &edges));
        assert_target(t, &m, "rgb", &edges);
        assert_target(t, &m, "rgb@224", &edges);
        assert_target(t, &m, NULL, &plain);
        assert_target(t, &m, "rgbd", &plain);
        assert_target(t, &m, "edges", &plain);
        tsr_image_clear(&grey);
        tsr_image_clear(&edges);
        tsr_image_clear(&plain);
        tsr_media_clear(&m);
        tsr_tokenizer_destroy(t);
    }
}

static void wrong_edges_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"\"derive\": \"sobel\"",
                                        "\"derive\": \"canny\", \"canny_aperture\": 4",
                                        "\"derive\": \"canny\", \"canny_low\": -1",
                                        "\"canny_low\": 10"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[1024];
        json_t *config;
        tsr_tokenizer *t;
        snprintf(text, sizeof text,
                 "{\"kind\": \"image\", \"modality\": \"edges\", \"image_size\": 32, %s, " MODEL "}",
                 wrong[i]);
        assert_ok(tsr_json_parse(text, strlen(text), "test", &config));
        assert_fails(TSR_ECONFIG, tsr_trainable_create(config, "test", 7, &t));
        json_decref(config);
    }
}

static void depth_makes_the_whole_way(void **state)
{
    (void)state;
    tsr_media m = picture(32, 32, 1, TSR_PIXEL_U16);
    check_cycle("{\"kind\": \"depth\", \"modality\": \"depth\", \"image_size\": 32, " MODEL "}", &m,
                "absrel");
    check_cycle("{\"kind\": \"depth\", \"modality\": \"depth\", \"image_size\": 32, "
                "\"normalisation\": \"standardize\", " MODEL "}",
                &m, "l1");
    memset(m.as.image.data, 0, 32 * 32 * 2);
    tsr_tokenizer *t =
        make("{\"kind\": \"depth\", \"modality\": \"depth\", \"image_size\": 32, " MODEL "}");
    tsr_tokenizer_work *w;
    tsr_tokens tokens = {0};
    tsr_inputs in = one(&m, NULL);
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_fails(TSR_ENUMERIC, tsr_tokenizer_encode(t, w, &in, &tokens));
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
    tsr_media_clear(&m);
}

static void depth_keeps_metres(void **state)
{
    (void)state;
    tsr_tokenizer *t = make("{\"kind\": \"depth\", \"modality\": \"depth\", \"image_size\": 16, "
                            "\"near_m\": 0.5, \"far_m\": 40, " MODEL "}");
    tsr_media m = picture(16, 16, 1, TSR_PIXEL_U16), want;
    uint16_t *mm = m.as.image.data;
    for (int i = 0; i < 256; i++)
        mm[i] = (uint16_t)(i == 17 ? 0 : 500 + 150 * i);
    tsr_tokenizer_work *w;
    tsr_inputs in = one(&m, NULL);
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_target(t, w, &in, &want));
    for (int i = 0; i < 256; i++) {
        float metres = (float)mm[i] * 0.001f, got = ((float *)want.as.image.data)[i];
        assert_true(fabsf(got - metres) <= 1e-5f * metres);
    }
    tsr_media_clear(&want);
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
    tsr_media_clear(&m);
}

static void labels_are_never_mixed(void **state)
{
    (void)state;
    const char *config = "{\"kind\": \"label\", \"modality\": \"semseg\", \"image_size\": 32, "
                         "\"classes\": 5, \"ignore\": 255, " MODEL "}";
    tsr_media m = picture(64, 64, 1, TSR_PIXEL_U8), want;
    uint8_t *v = m.as.image.data;
    for (int i = 0; i < 64 * 64; i++)
        v[i] = (uint8_t)(v[i] % 2 ? 4 : 0);
    v[1 * 64 + 1] = 255;
    check_cycle(config, &m, "miou");
    tsr_tokenizer *t = make(config);
    tsr_tokenizer_work *w;
    tsr_tokens tokens = {0};
    tsr_inputs in = one(&m, NULL);
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_target(t, w, &in, &want));
    for (int i = 0; i < 32 * 32; i++) {
        uint8_t got = ((uint8_t *)want.as.image.data)[i];
        assert_true(got == 0 || got == 4);
    }
    tsr_media_clear(&want);
    v[3 * 64 + 3] = 5;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &tokens));
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
    tsr_media_clear(&m);
}

static void mirrored_normals_point_the_other_way(void **state)
{
    (void)state;
    tsr_tokenizer *t = make("{\"kind\": \"normal\", \"modality\": \"normal\", \"image_size\": 16, "
                            "\"resize\": \"nearest\", " MODEL "}");
    tsr_media m = picture(16, 16, 3, TSR_PIXEL_U8);
    uint8_t *v = m.as.image.data;
    for (int p = 0; p < 256; p++) { /* pointing right, but for a hole */
        v[3 * p] = (uint8_t)(p == 5 ? 128 : 255);
        v[3 * p + 1] = v[3 * p + 2] = 128;
    }
    tsr_view view = {tsr_crop_centre(16, 16), 16, 16};
    view.crop.flip = 1;
    tsr_inputs in = one(&m, &view);
    float x[3 * 256];
    uint8_t valid[256];
    assert_ok(tsr_trainable_prepare(t, &in, 0, NULL, x, valid));
    for (int p = 0; p < 256; p++) {
        int hole = p == 10; /* column 5 mirrored */
        assert_int_equal(valid[p], !hole);
        assert_true(fabsf(x[p] - (hole ? 0.0f : -1.0f)) < 1e-3f);
    }
    check_cycle("{\"kind\": \"normal\", \"modality\": \"normal\", \"image_size\": 16, " MODEL "}", &m,
                "angle_deg");
    tsr_tokenizer_destroy(t);
    tsr_media_clear(&m);
}

#define AUDIO                                                                                      \
    "{\"kind\": \"audio\", \"modality\": \"audio\", \"rate_hz\": 8000, \"fft\": 256, "             \
    "\"window\": 200, \"hop\": 80, \"bands\": 16, \"window_frames\": 16, \"griffin_lim_rounds\": " \
    "2, "

static tsr_media noise(size_t n)
{
    tsr_media m = {.kind = TSR_MEDIA_SOUND};
    tsr_rng r;
    tsr_rng_init(&r, 4, TSR_RNG_TEST, n);
    assert_ok(tsr_sound_init(&m.as.sound, 8000, 1, n));
    for (size_t i = 0; i < n; i++)
        m.as.sound.data[i] = 0.3f * tsr_rng_normal(&r) * sinf((float)i * 0.001f);
    return m;
}

static void sound_in_pieces_has_the_tokens_of_the_whole(void **state)
{
    (void)state;
    enum { N = 9000 };
    tsr_tokenizer *t = make(AUDIO MODEL "}");
    tsr_media m = noise(N);
    tsr_tokenizer_work *w;
    tsr_tokens whole = {0};
    tsr_inputs in = one(&m, NULL);
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_encode(t, w, &in, &whole));
    size_t window = tsr_audio_stream_window(t);
    assert_int_equal(whole.count % window, 0);
    for (int round = 0; round < 8; round++) {
        tsr_audio_stream *s;
        tsr_rng r;
        uint32_t ids[64];
        size_t got = 0, count = 1;
        tsr_rng_init(&r, 11, TSR_RNG_TEST, (uint64_t)round);
        assert_ok(tsr_audio_stream_create(t, &s));
        for (size_t at = 0; at < N;) {
            size_t n = 1 + tsr_rng_below(&r, round == 0 ? N : 700);
            n = n < N - at ? n : N - at;
            assert_ok(tsr_audio_stream_push(s, m.as.sound.data + at, n));
            at += n;
            int over = at == N;
            for (count = 1; count > 0;) {
                assert_ok(tsr_audio_stream_pull(s, over, ids, &count));
                assert_memory_equal(ids, whole.ids + got, count * sizeof *ids);
                got += count;
            }
        }
        assert_int_equal(got, whole.count);
        tsr_audio_stream_destroy(s);
    }
    tsr_tokens_clear(&whole);
    tsr_tokenizer_work_destroy(w);
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

static void sounds_make_the_whole_way(void **state)
{
    (void)state;
    tsr_media m = noise(3000);
    check_cycle(AUDIO MODEL "}", &m, "mel_db");
    check_cycle(AUDIO "\"windows\": 4, " MODEL "}", &m, "mel_db");
    tsr_tokenizer *t = make(AUDIO "\"windows\": 2, " MODEL "}");
    tsr_tokenizer_work *w;
    tsr_tokens tokens = {0};
    tsr_inputs in = one(&m, NULL);
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_fails(TSR_ELIMIT, tsr_tokenizer_encode(t, w, &in, &tokens));
    m.as.sound.data[100] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_tokenizer_encode(t, w, &in, &tokens));
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
    tsr_media_clear(&m);
}

/* What training sees of window k is what encoding sees of it. */
static void windows_are_prepared_as_they_are_encoded(void **state)
{
    (void)state;
    tsr_tokenizer *t = make(AUDIO MODEL "}");
    tsr_media m = noise(5000);
    tsr_inputs in = one(&m, NULL);
    tsr_train_shape shape;
    size_t items;
    float *x;
    uint8_t valid[16 * 16];
    assert_ok(tsr_trainable_shape(t, &shape));
    assert_ok(tsr_trainable_items(t, &in, &items));
    assert_int_equal(items, 4);
    tsr_tokenizer_work *w;
    tsr_tokens whole = {0};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_encode(t, w, &in, &whole));
    assert_ok(tsr_alloc(&x, shape.height * shape.width, sizeof *x));
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *net;
    int32_t ids[64];
    assert_ok(tsr_vqvae_plan_create(tsr_trainable_model(t), 16, 16, tsr_precision_default(), &plan));
    assert_ok(tsr_vqvae_work_create(plan, &net));
    for (size_t k = 0; k < items; k++) {
        const tsr_vqvae_input input = {.pixels = x};
        assert_ok(tsr_trainable_prepare(t, &in, k, NULL, x, valid));
        assert_ok(tsr_vqvae_encode(net, &input, NULL, ids));
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(ids[i], whole.ids[4 * k + i]);
    }
    tsr_vqvae_work_destroy(net);
    tsr_vqvae_plan_destroy(plan);
    tsr_tokens_clear(&whole);
    tsr_tokenizer_work_destroy(w);
    tsr_free(x);
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

#define VECTOR                                                                                     \
    "{\"kind\": \"vector\", \"modality\": \"feature\", \"values\": 6, \"model\": {\"enc_type\": "     \
    "\"BottleneckMLP/B_1-Wi_16\", \"dec_type\": \"BottleneckMLP/B_1-Wi_16\", \"latent_dim\": 16, "   \
    "\"num_codebooks\": 4, \"codebook_size\": 8}}"

static void vectors_make_the_whole_way(void **state)
{
    (void)state;
    char path[4200], text[64];
    float data[6] = {1, -2, 3, 0.5f, 0, 4};
    tsr_media m = {.kind = TSR_MEDIA_VECTOR, .as.vector = {data, 6}}, got = {0}, want = {0};
    tsr_tokenizer *t = make(VECTOR), *back;
    tsr_tokenizer_work *w;
    tsr_tokens tokens = {0}, bad = {0};
    tsr_inputs in = one(&m, NULL);
    json_t *quality, *about;
    snprintf(path, sizeof path, "%s/test_grid.%ld.safetensors", build_folder(), (long)getpid());
    assert_ok(tsr_tokenizer_write(t, path));
    assert_ok(tsr_tokenizer_open(path, NULL, &back));
    const tsr_token_space *s = tsr_tokenizer_space(back);
    assert_true(s->height == 1 && s->width == 4 && s->levels == 1 && s->codebook_size == 8);
    assert_ok(tsr_tokenizer_work_create(back, &w));
    assert_ok(tsr_tokenizer_encode(back, w, &in, &tokens));
    assert_int_equal(tokens.count, 4);
    assert_ok(tsr_tokenizer_decode(back, w, &tokens, &got));
    assert_int_equal(got.as.vector.count, 6);
    assert_ok(tsr_tokenizer_target(back, w, &in, &want));
    assert_memory_equal(want.as.vector.data, data, sizeof data);
    assert_ok(tsr_tokenizer_quality(back, &want, &want, &quality));
    snprintf(text, sizeof text, "%.6f", json_real_value(json_object_get(quality, "cosine")));
    assert_string_equal(text, "1.000000");
    json_decref(quality);
    assert_ok(tsr_tokenizer_quality(back, &want, &got, &quality));
    assert_true(json_real_value(json_object_get(quality, "mse")) > 0);
    json_decref(quality);
    assert_ok(tsr_tokenizer_describe(back, &about));
    assert_string_equal(json_string_value(json_object_get(about, "quantizer")), "memcodes");
    json_decref(about);
    data[2] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_tokenizer_encode(back, w, &in, &bad));
    m.as.vector.count = 5;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(back, w, &in, &bad));
    tsr_media_clear(&got);
    tsr_media_clear(&want);
    tsr_tokens_clear(&tokens);
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(back);
    tsr_tokenizer_destroy(t);
    remove(path);
}

/* The published file says nothing of modalities: its network does, with the modality's name. */
static void published_vectors_open_by_name(void **state)
{
    (void)state;
    char path[4200];
    tsr_tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/tests/data/golden/dinov2-global.safetensors", source_folder());
    assert_ok(tsr_tokenizer_open(path, "dinov2_global", &t));
    assert_string_equal(tsr_tokenizer_kind_name(t), "vector");
    assert_int_equal(tsr_tokenizer_space(t)->width, 8);
    tsr_tokenizer_destroy(t);
    t = NULL;
    assert_fails(TSR_EUNSUPPORTED, tsr_tokenizer_open(path, NULL, &t));
}

static void settings_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"kind\": \"image\", \"modality\": \"rgb\", \"near_m\": 1}",
        "{\"kind\": \"image\", \"modality\": \"rgb\", \"resize\": \"bicubik\"}",
        "{\"kind\": \"image\", \"modality\": \"RGB\"}",
        "{\"kind\": \"depth\", \"modality\": \"d\", \"near_m\": 5, \"far_m\": 1}",
        "{\"kind\": \"image\", \"modality\": \"rgb\", \"model\": {\"patchsize\": 8}}",
        "{\"kind\": \"image\", \"modality\": \"rgb\", \"image_size\": 127}",
        "{\"kind\": \"vector\", \"modality\": \"v\"}",
        "{\"kind\": \"vector\", \"modality\": \"v\", \"values\": 0}",
        "{\"kind\": \"vector\", \"modality\": \"v\", \"values\": 4, \"model\": {\"enc_type\": "
        "\"vit_s_enc\"}}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *config;
        tsr_tokenizer *t = NULL;
        assert_ok(tsr_json_parse(wrong[i], strlen(wrong[i]), "test", &config));
        assert_true(tsr_trainable_create(config, "test", 0, &t) != TSR_OK);
        assert_null(t);
        assert_true(strlen(tsr_error()) > 10);
        json_decref(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_make_the_whole_way),
        cmocka_unit_test(edges_are_found_where_pictures_come_in),
        cmocka_unit_test(wrong_edges_are_refused),
        cmocka_unit_test(depth_makes_the_whole_way),
        cmocka_unit_test(depth_keeps_metres),
        cmocka_unit_test(labels_are_never_mixed),
        cmocka_unit_test(mirrored_normals_point_the_other_way),
        cmocka_unit_test(sound_in_pieces_has_the_tokens_of_the_whole),
        cmocka_unit_test(sounds_make_the_whole_way),
        cmocka_unit_test(windows_are_prepared_as_they_are_encoded),
        cmocka_unit_test(vectors_make_the_whole_way),
        cmocka_unit_test(published_vectors_open_by_name),
        cmocka_unit_test(settings_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

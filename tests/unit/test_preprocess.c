/* SPDX-License-Identifier: Apache-2.0
 * Preprocessing of the published 4M tokenizers, from a file's values to what is encoded, against values of
 * the reference: tests/data/tokenizers/preprocessing.json. */
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "dsp/resize.h"
#include "tokenizers/pixels.h"
#include "tokenizers/text.h"
#include "tokenizers/trainable.h"

#include <math.h>

static json_t *golden;
static char *text_path;
static tsr_text *text;

static int set_up(void **state)
{
    static const char *const classes[] = {"baseball bat", "cat", "dog", "person"};
    static const char s[] = "human pose global camera shape none point polygon";
    const char *texts[] = {s};
    const size_t bytes[] = {sizeof s - 1};
    tsr_text_train_spec spec;
    char *path;
    (void)state;
    tsr_text_train_defaults(&spec);
    spec.classes = classes;
    spec.n_classes = 4;
    spec.vocabulary = 4300;
    int failed = tsr_format(&path, "%s/tests/data/tokenizers/preprocessing.json", source_folder()) ||
                 tsr_json_read(path, 1 << 20, &golden) ||
                 tsr_text_train(texts, bytes, 1, &spec, NULL, &text) ||
                 tsr_format(&text_path, "%s/test_preprocess_text.json", build_folder()) ||
                 tsr_text_write(text, text_path);
    tsr_free(path);
    return failed;
}

static int tear_down(void **state)
{
    (void)state;
    tsr_text_destroy(text);
    tsr_free(text_path);
    json_decref(golden);
    return 0;
}

static const json_t *value(const char *section, const char *key)
{
    const json_t *v = json_object_get(json_object_get(golden, section), key);
    assert_non_null(v);
    return v;
}

static json_t *parse(const char *s)
{
    json_t *v;
    assert_ok(tsr_json_parse(s, strlen(s), "test", &v));
    return v;
}

/* ---- sequences --------------------------------------------------------------------------------*/

static tsr_tokenizer *sequence(const char *members)
{
    tsr_tokenizer *t;
    char *s;
    assert_ok(tsr_format(&s, "{\"modality\":\"x\",\"text\":\"%s\",%s}", text_path, members));
    json_t *config = parse(s);
    assert_ok(tsr_tokenizer_create(config, "test", &t));
    json_decref(config);
    tsr_free(s);
    return t;
}

/* The text of a record's tokens, [EOS] and all; tsr_free. */
static char *encode_text(const tsr_tokenizer *t, const json_t *record, const tsr_view *view)
{
    tsr_media m = {.kind = TSR_MEDIA_RECORD};
    m.as.record = (json_t *)(uintptr_t)record;
    const tsr_inputs in = {.media = {&m}, .count = 1, .view = view};
    tsr_tokenizer_work *w;
    tsr_tokens ids = {0};
    char *got;
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_encode(t, w, &in, &ids));
    assert_ok(tsr_text_decode(text, ids.ids, ids.count, &got, NULL));
    tsr_tokens_clear(&ids);
    tsr_tokenizer_work_destroy(w);
    return got;
}

static void assert_text(const tsr_tokenizer *t, const json_t *record, const tsr_view *view,
                        const json_t *want)
{
    char *got = encode_text(t, record, view), *end;
    assert_ok(tsr_format(&end, "%s [EOS]", json_string_value(want)));
    assert_string_equal(got, end);
    tsr_free(got);
    tsr_free(end);
}

static void metadata_is_the_published_string(void **state)
{
    (void)state;
    tsr_tokenizer *t = sequence("\"kind\":\"metadata\"");
    assert_text(t, value("metadata", "in"), NULL, value("metadata", "out"));
    print_message("metadata: 21 fields, the same string\n");
    tsr_tokenizer_destroy(t);
}

/* Every field at its ends, beside them, and just below and at each bin's border. */
static void metadata_bins_have_the_published_edges(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double low, high;
        int bins;
    } ranged[] = {{"colorfulness", 0, 150, 50},        {"brightness", 0, 255, 50},
                  {"contrast", 0, 127, 50},            {"saturation", 0, 255, 50},
                  {"entropy", 0, 10, 50},              {"walkability", 0, 1, 50},
                  {"objectness", 0, 1, 50},            {"geometric_complexity", 0, 0.75, 50},
                  {"occlusion_score", 0, 0.25, 50}};
    static const int ids[] = {9, 10, 11, 12, 13, 14, 15, 17, 18};
    static const struct {
        const char *name;
        int id;
        double v;
        int bin;
    } others[] = {
        {"original_width", 0, 0, 0},          {"original_width", 0, 31, 0},
        {"original_width", 0, 32, 1},         {"original_width", 0, 31999, 999},
        {"original_width", 0, 32000, 999},    {"original_width", 0, 1e6, 999},
        {"original_height", 1, 683, 21},      {"caption_n_chars", 2, 999, 999},
        {"caption_n_chars", 2, 1000, 999},    {"caption_n_words", 3, 0, 0},
        {"caption_n_sentences", 4, -3, 0},    {"n_humans", 5, 3, 3},
        {"n_sam_instances", 6, 1500, 999},    {"n_coco_instances", 7, 3, 3},
        {"coco_instance_diversity", 8, 2, 2}, {"semantic_diversity", 16, 998, 998},
        {"watermark_score", 19, 0, 0},        {"watermark_score", 19, 0.4999, 0},
        {"watermark_score", 19, 0.5, 1},      {"watermark_score", 19, 1, 1},
        {"aesthetic_score", 20, -1, 0},       {"aesthetic_score", 20, 4.4999, 0},
        {"aesthetic_score", 20, 4.5, 1},      {"aesthetic_score", 20, 5.4999, 1},
        {"aesthetic_score", 20, 5.5, 2},      {"aesthetic_score", 20, 99, 2}};
    tsr_tokenizer *t = sequence("\"kind\":\"metadata\"");
    size_t checked = 0;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++, checked++) {
        json_t *record = json_pack("{s:f}", others[i].name, others[i].v);
        char *want;
        assert_ok(tsr_format(&want, "v1=%d v0=%d", others[i].id, others[i].bin));
        json_t *out = json_string(want);
        assert_text(t, record, NULL, out);
        json_decref(out);
        json_decref(record);
        tsr_free(want);
    }
    for (size_t i = 0; i < sizeof ranged / sizeof ranged[0]; i++) {
        double span = ranged[i].high - ranged[i].low;
        for (int k = -2; k <= 2 * ranged[i].bins; k++, checked++) {
            double v = ranged[i].low + span * k / (2.0 * (ranged[i].bins - 1));
            double clipped = v < ranged[i].low ? ranged[i].low : v > ranged[i].high ? ranged[i].high : v;
            int bin = (int)((clipped - ranged[i].low) / span * (ranged[i].bins - 1));
            json_t *record = json_pack("{s:f}", ranged[i].name, v);
            char *want;
            assert_ok(tsr_format(&want, "v1=%d v0=%d", ids[i], bin));
            json_t *out = json_string(want);
            assert_true(k % 2 ? bin == (k - 1) / 2 || k < 0 || bin == ranged[i].bins - 1 : 1);
            assert_text(t, record, NULL, out);
            json_decref(out);
            json_decref(record);
            tsr_free(want);
        }
    }
    print_message("metadata: %zu values at the edges of bins, the same bins\n", checked);
    tsr_tokenizer_destroy(t);
}

static void boxes_are_the_published_string(void **state)
{
    (void)state;
    tsr_tokenizer *t = sequence("\"kind\":\"boxes\"");
    const tsr_view plain = {{0, 80, 480, 480, 0}, 480, 640}, flipped = {{0, 80, 480, 480, 1}, 480, 640};
    json_t *record = json_pack("{s:O}", "instances", value("det flip=0", "instances"));
    assert_text(t, record, &plain, value("det flip=0", "out"));
    assert_text(t, record, &flipped, value("det flip=1", "out"));
    print_message("boxes: plain and mirrored, the same strings\n");
    json_decref(record);
    tsr_tokenizer_destroy(t);
}

/* ---- pictures ---------------------------------------------------------------------------------*/

#define MODEL                                                                                      \
    "\"model\": {\"enc_dim\": 32, \"enc_depth\": 1, \"enc_heads\": 2, \"dec_dim\": 32, "           \
    "\"dec_depth\": 1, \"dec_heads\": 2, \"patch_size\": 5, \"codebook_size\": 64, "               \
    "\"latent_dim\": 8, \"post_mlp\": true}"

static tsr_tokenizer *grid(const char *members)
{
    tsr_tokenizer *t;
    char *s;
    assert_ok(tsr_format(&s, "{\"modality\":\"x\",%s," MODEL "}", members));
    json_t *config = parse(s);
    assert_ok(tsr_trainable_create(config, "test", 7, &t));
    json_decref(config);
    tsr_free(s);
    return t;
}

/* The planes a network reads; fails like tsr_trainable_prepare. */
static tsr_status prepare(const tsr_tokenizer *t, const tsr_image *im, const tsr_view *view, float *x)
{
    const tsr_media m = {.kind = TSR_MEDIA_IMAGE, .as.image = *im};
    const tsr_inputs in = {.media = {&m}, .count = 1, .view = view};
    uint8_t valid[400];
    return tsr_trainable_prepare(t, &in, 0, NULL, x, valid);
}

static void depth_is_standardised_as_published(void **state)
{
    (void)state;
    tsr_tokenizer *t = grid("\"kind\":\"depth\",\"image_size\":10,\"resize\":\"bicubic\","
                            "\"normalisation\":\"standardize\",\"resize_16bit\":\"pillow-9\"");
    tsr_image im;
    float x[100];
    double worst = 0, sum = 0;
    assert_ok(tsr_image_init(&im, 10, 10, 1, TSR_PIXEL_U16));
    for (size_t i = 0; i < 100; i++)
        ((uint16_t *)im.data)[i] = (uint16_t)(i * 37 % 101 * 500);
    assert_ok(prepare(t, &im, NULL, x));
    for (size_t i = 0; i < 8; i++) {
        double want = json_number_value(json_array_get(value("depth", "out_first8"), i));
        worst = fmax(worst, fabs(x[i] - want));
    }
    for (size_t i = 0; i < 100; i++)
        sum += x[i];
    double off = fabs(sum - json_number_value(value("depth", "out_sum")));
    print_message("depth: largest difference %.2g, of the sum %.2g\n", worst, off);
    /* The reference's mean is a float32 sum in the order of its vector registers: one unit of the last
     * place of 2.1. */
    assert_true(worst < 3e-7 && off < 2e-5);
    tsr_image_clear(&im);
    tsr_tokenizer_destroy(t);
}

/* 16-bit steps, enlarged: Pillow 9 keeps the overshoot, 11 stores it in two bytes, 10.3 has none. */
static void depth_follows_the_chosen_pillow(void **state)
{
    (void)state;
    static const char *const how[] = {"pillow-9", "pillow-10.3", "pillow-11"};
    tsr_image im, narrow;
    int32_t in[25], wide[100];
    assert_ok(tsr_image_init(&im, 5, 5, 1, TSR_PIXEL_U16));
    for (size_t i = 0; i < 25; i++)
        in[i] = ((uint16_t *)im.data)[i] = (uint16_t)(i % 5 < 2 ? i * 9 : 65535 - i * 11);
    assert_ok(tsr_resize_i32(in, 5, 5, wide, 10, 10, TSR_FILTER_BICUBIC));
    assert_ok(tsr_image_resize(&im, 10, 10, TSR_FILTER_BICUBIC, TSR_RESIZE16_BYTES, &narrow));
    for (size_t k = 0; k < 3; k++) {
        char *members;
        float x[100], want[100];
        double sum = 0, squares = 0;
        float sorted[100];
        assert_ok(tsr_format(&members,
                             "\"kind\":\"depth\",\"image_size\":10,\"resize\":\"bicubic\","
                             "\"normalisation\":\"standardize\",\"resize_16bit\":\"%s\"",
                             how[k]));
        tsr_tokenizer *t = grid(members);
        const tsr_view mirrored = {{0, 0, 5, 5, 1}, 5, 5};
        for (size_t y = 0; y < 10; y++)
            for (size_t c = 0; c < 10; c++) {
                int32_t v = wide[y * 10 + c];
                if (k == 1)
                    v = in[y / 2 * 5 + c / 2];
                if (k == 2)
                    v = ((uint16_t *)narrow.data)[y * 10 + c];
                want[y * 10 + 9 - c] = (float)(v / 65535.0);
            }
        memcpy(sorted, want, sizeof sorted);
        for (size_t i = 0; i < 100; i++) /* ascending */
            for (size_t j = i + 1; j < 100; j++)
                if (sorted[j] < sorted[i]) {
                    float swap = sorted[i];
                    sorted[i] = sorted[j];
                    sorted[j] = swap;
                }
        for (size_t i = 10; i < 90; i++)
            sum += sorted[i] / 80.0;
        for (size_t i = 10; i < 90; i++)
            squares += (sorted[i] - sum) * (sorted[i] - sum) / 79.0;
        assert_ok(prepare(t, &im, &mirrored, x));
        for (size_t i = 0; i < 100; i++)
            assert_true(fabs(x[i] - (want[i] - sum) / sqrt(squares + 1e-6)) < 1e-5);
        tsr_tokenizer_destroy(t);
        tsr_free(members);
    }
    int32_t least = 0;
    for (size_t i = 0; i < 100; i++)
        least = wide[i] < least ? wide[i] : least;
    assert_true(least < 0);
    tsr_image_clear(&narrow);
    tsr_image_clear(&im);
}

static void normals_are_mirrored_as_published(void **state)
{
    (void)state;
    tsr_tokenizer *t = grid("\"kind\":\"normal\",\"image_size\":10,\"vectors\":\"stored\"");
    const tsr_view mirrored = {{0, 0, 10, 10, 1}, 10, 10};
    tsr_image im;
    float x[300];
    assert_ok(tsr_image_init(&im, 10, 10, 3, TSR_PIXEL_U8));
    for (size_t i = 0; i < 300; i++)
        ((uint8_t *)im.data)[i] = (uint8_t)(i * 73);
    assert_ok(prepare(t, &im, &mirrored, x));
    for (size_t p = 0; p < 100; p++)
        for (size_t c = 0; c < 3; c++) {
            int v = ((uint8_t *)im.data)[(p / 10 * 10 + 9 - p % 10) * 3 + c];
            assert_true(x[c * 100 + p] == ((float)(c ? v : 255 - v) / 255.0f - 0.5f) / 0.5f);
        }
    tsr_image_clear(&im);
    tsr_tokenizer_destroy(t);
}

/* Classes move up by one, 255 becomes none, and so does what lies beyond the picture. */
static void labels_are_shifted_as_published(void **state)
{
    (void)state;
    tsr_tokenizer *t = grid("\"kind\":\"label\",\"image_size\":10,\"classes\":134,\"shift\":1");
    const tsr_view beyond = {{-5, 5, 10, 10, 0}, 10, 10};
    tsr_image im;
    float x[100];
    assert_ok(tsr_image_init(&im, 10, 10, 1, TSR_PIXEL_U8));
    for (size_t i = 0; i < 100; i++)
        ((uint8_t *)im.data)[i] = (uint8_t)(i % 7 == 3 ? 255 : i);
    assert_ok(prepare(t, &im, &beyond, x));
    for (size_t y = 0; y < 10; y++)
        for (size_t c = 0; c < 10; c++) {
            size_t at = (y - 5) * 10 + c + 5;
            float want = y < 5 || c >= 5 || at % 7 == 3 ? 0 : (float)(at + 1);
            assert_true(x[y * 10 + c] == want);
        }
    ((uint8_t *)im.data)[5] = 133; /* no class of COCO */
    assert_fails(TSR_EFORMAT, prepare(t, &im, &beyond, x));
    tsr_image_clear(&im);
    tsr_tokenizer_destroy(t);
}

static void alpha_is_dropped_as_published(void **state)
{
    (void)state;
    tsr_tokenizer *t = grid("\"kind\":\"image\",\"image_size\":10,\"background\":\"none\"");
    tsr_image im;
    float x[300];
    assert_ok(tsr_image_init(&im, 10, 10, 4, TSR_PIXEL_U8));
    for (size_t i = 0; i < 400; i++)
        ((uint8_t *)im.data)[i] = (uint8_t)(i * 7);
    assert_ok(prepare(t, &im, NULL, x));
    for (size_t p = 0; p < 100; p++)
        for (size_t c = 0; c < 3; c++)
            assert_true(x[c * 100 + p] ==
                        ((float)((uint8_t *)im.data)[4 * p + c] / 255.0f - 0.5f) / 0.5f);
    tsr_image_clear(&im);
    tsr_tokenizer_destroy(t);
}

/* ---- resizing ---------------------------------------------------------------------------------*/

static void pictures_are_resized_as_published(void **state)
{
    (void)state;
    static const tsr_filter filters[] = {TSR_FILTER_BICUBIC, TSR_FILTER_BILINEAR, TSR_FILTER_NEAREST};
    static const size_t sides[] = {8, 20};
    tsr_image im, out;
    int32_t wide[13 * 17], small[64];
    uint32_t x = 2024;
    assert_ok(tsr_image_init(&im, 13, 17, 1, TSR_PIXEL_U8));
    for (size_t i = 0; i < 13 * 17; i++) {
        x = x * 1664525u + 1013904223u;
        ((uint8_t *)im.data)[i] = (uint8_t)(x >> 24);
        wide[i] = (int32_t)(x >> 24) * 257;
    }
    for (size_t f = 0; f < 3; f++)
        for (size_t s = 0; s < 2; s++) {
            char key[32];
            snprintf(key, sizeof key, "%s_%zu", tsr_filter_name(filters[f]), sides[s]);
            const json_t *want = value("pil_resize", key);
            assert_int_equal(json_array_size(want), sides[s] * sides[s]);
            assert_ok(tsr_image_resize(&im, sides[s], sides[s], filters[f], TSR_RESIZE16_I32, &out));
            for (size_t i = 0; i < sides[s] * sides[s]; i++)
                assert_int_equal(((uint8_t *)out.data)[i],
                                 json_integer_value(json_array_get(want, i)));
            tsr_image_clear(&out);
        }
    const json_t *want = value("pil_resize", "bicubic_8_mode_I (input v*257)");
    assert_ok(tsr_resize_i32(wide, 13, 17, small, 8, 8, TSR_FILTER_BICUBIC));
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(small[i], json_integer_value(json_array_get(want, i)));
    print_message("resizing: 6 pictures of 8 bits and one of 32, every pixel the same\n");
    tsr_image_clear(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_is_the_published_string),
        cmocka_unit_test(metadata_bins_have_the_published_edges),
        cmocka_unit_test(boxes_are_the_published_string),
        cmocka_unit_test(depth_is_standardised_as_published),
        cmocka_unit_test(depth_follows_the_chosen_pillow),
        cmocka_unit_test(normals_are_mirrored_as_published),
        cmocka_unit_test(labels_are_shifted_as_published),
        cmocka_unit_test(alpha_is_dropped_as_published),
        cmocka_unit_test(pictures_are_resized_as_published),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

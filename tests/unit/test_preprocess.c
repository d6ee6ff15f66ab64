/* SPDX-License-Identifier: Apache-2.0
 * Preprocessing of the published 4M tokenizers, from a file's values to what is encoded, against
 * values of the reference: tests/data/tokenizers/preprocessing.json. */
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "dsp/resize.h"
#include "tokenizers/outline.h"
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
    int failed =
        tsr_format(&path, "%s/tests/data/tokenizers/preprocessing.json", source_folder()) ||
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
    } ranged[] = {{"colorfulness", 0, 150, 50},    {"brightness", 0, 255, 50},
                  {"contrast", 0, 127, 50},        {"saturation", 0, 255, 50},
                  {"entropy", 0, 10, 50},          {"walkability", 0, 1, 50},
                  {"objectness", 0, 1, 50},        {"geometric_complexity", 0, 0.75, 50},
                  {"occlusion_score", 0, 0.25, 50}};
    static const int ids[] = {9, 10, 11, 12, 13, 14, 15, 17, 18};
    static const struct {
        const char *name;
        int id;
        double v;
        int bin;
    } others[] = {{"original_width", 0, 0, 0},          {"original_width", 0, 31, 0},
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
            double clipped = v < ranged[i].low    ? ranged[i].low
                             : v > ranged[i].high ? ranged[i].high
                                                  : v;
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
    const tsr_view plain = {{0, 80, 480, 480, 0}, 480, 640},
                   flipped = {{0, 80, 480, 480, 1}, 480, 640};
    json_t *record = json_pack("{s:O}", "instances", value("det flip=0", "instances"));
    assert_text(t, record, &plain, value("det flip=0", "out"));
    assert_text(t, record, &flipped, value("det flip=1", "out"));
    print_message("boxes: plain and mirrored, the same strings\n");
    json_decref(record);
    tsr_tokenizer_destroy(t);
}

/* The reference draws the order of the four groups anew each time; its string has them in another.
 */
static void poses_are_the_published_string(void **state)
{
    (void)state;
    tsr_tokenizer *t = sequence("\"kind\":\"poses\"");
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640};
    const char *published =
        json_string_value(value("human_pose", "out (order of the 4 groups is random)"));
    const char *shape = strstr(published, "shape"), *camera = strstr(published, "camera");
    char *want, *got = encode_text(t, value("human_pose", "in"), &view);
    assert_ok(tsr_format(&want, "%.*s%.*s %.*s [EOS]", (int)(shape - published), published,
                         (int)(strlen(camera) - 1), camera, (int)(camera - shape - 1), shape));
    assert_string_equal(got, want);
    print_message("poses: the same string but for the order of groups\n");
    tsr_free(got);
    tsr_free(want);
    tsr_tokenizer_destroy(t);
}

/* Decoded, the words are heard again as they were. */
static void assert_heard(const tsr_tokenizer *t, const char *words)
{
    tsr_tokens ids = {0};
    tsr_media m = {0};
    char *want, *got;
    assert_ok(tsr_text_encode(text, words, strlen(words), &ids));
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &m));
    assert_ok(tsr_format(&want, "%s [EOS]", words));
    tsr_tokenizer_work *w;
    tsr_tokens again = {0};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    const tsr_view whole = {{0, 0, 224, 224, 0}, 224, 224};
    const tsr_inputs seen = {.media = {&m}, .count = 1, .view = &whole};
    assert_ok(tsr_tokenizer_encode(t, w, &seen, &again));
    assert_ok(tsr_text_decode(text, again.ids, again.count, &got, NULL));
    assert_string_equal(got, want);
    tsr_tokenizer_work_destroy(w);
    tsr_tokens_clear(&ids);
    tsr_tokens_clear(&again);
    tsr_media_clear(&m);
    tsr_free(want);
    tsr_free(got);
}

/* One of two people without joints: then nobody has them, so that rows belong to people. */
static void joints_are_of_all_or_of_nobody(void **state)
{
    (void)state;
    static const char record[] =
        "{\"width\":100,\"height\":100,\"bbox_xyxy\":[[1,2,30,40],[5,6,70,80]],"
        "\"pose_tokenized\":[[1,2,3,4,5,6,7,8],[1,2,3,4,5,6,7,8]],"
        "\"pred_cam\":[[0,0,1],[0,0,1]],\"pred_smpl_params\":{\"global_orient\":"
        "[[1,0,0,0,1,0,0,0,1],[1,0,0,0,1,0,0,0,1]],"
        "\"betas\":[[0,0,0,0,0,0,0,0,0,0],[0,0,0,0,0,0,0,0,0,0]]}}";
    tsr_tokenizer *t = sequence("\"kind\":\"poses\"");
    tsr_tokenizer_work *w;
    assert_ok(tsr_tokenizer_work_create(t, &w));
    for (int has = 0; has < 4; has++) {
        tsr_media m = {.kind = TSR_MEDIA_RECORD, .as.record = parse(record)}, got = {0};
        const tsr_inputs in = {.media = {&m}, .count = 1};
        json_t *smpl = json_object_get(m.as.record, "pred_smpl_params"), *bodies = json_array();
        for (int i = 0; i < 2; i++) {
            json_t *body = has >> i & 1 ? json_array() : json_null();
            for (int k = 0; k < 207 && json_is_array(body); k++)
                json_array_append_new(body, json_integer(0));
            json_array_append_new(bodies, body);
        }
        json_object_set_new(smpl, "body_pose", bodies);
        assert_ok(tsr_tokenizer_target(t, w, &in, &got));
        smpl = json_object_get(got.as.record, "pred_smpl_params");
        assert_int_equal(json_array_size(json_object_get(smpl, "betas")), 2);
        assert_int_equal(json_array_size(json_object_get(smpl, "body_pose")), has == 3 ? 2 : 0);
        tsr_media_clear(&got);
        json_decref(m.as.record);
    }
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
}

#define PERSON                                                                                     \
    "human v0=208 v1=0 v2=624 v3=999 pose v0=5 v0=511 v1=0 v1=511 v0=7 v0=8 v0=9 v0=10 global "    \
    "v0=999 v0=500 v0=500 v0=0 v0=1 v0=2 v0=500 v0=998 v0=0 camera v0=95 v0=0 v0=999 shape "       \
    "v0=500 v0=666 v0=333 v0=999 v0=0 v0=583 v0=541 v0=516 v0=483 v0=832"

static void poses_go_both_ways(void **state)
{
    (void)state;
    tsr_tokenizer *t = sequence("\"kind\":\"poses\"");
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640},
                   far_off = {{0, 320, 40, 40, 0}, 480, 640};
    assert_heard(t, PERSON);
    assert_heard(t, PERSON " " PERSON);
    assert_heard(t, "none");
    json_t *none = json_string("none"), *empty = json_object(), *list = json_array();
    assert_text(t, empty, &view, none);
    assert_text(t, empty, NULL, none);
    assert_text(t, list, NULL, none);
    assert_text(t, value("human_pose", "in"), &far_off, none);
    json_decref(none);
    json_decref(empty);
    json_decref(list);
    /* what is not complete is left out */
    tsr_tokens ids = {0};
    tsr_media m = {0};
    static const char broken[] =
        "human v0=1 v1=2 v2=3 pose v0=1 " PERSON " human v0=1 v1=2 v2=3 v3=4 pose "
        "v0=1 v0=600";
    assert_ok(tsr_text_encode(text, broken, sizeof broken - 1, &ids));
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &m));
    assert_int_equal(json_array_size(json_object_get(m.as.record, "bbox_xyxy")), 1);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

/* Beyond the range: the nearest value, or as published the words that come of it. */
static void poses_beyond_their_range(void **state)
{
    (void)state;
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640};
    json_t *record = json_deep_copy(value("human_pose", "in"));
    json_t *betas =
        json_array_get(json_object_get(json_object_get(record, "pred_smpl_params"), "betas"), 0);
    json_array_set_new(betas, 0, json_real(3.5));
    json_array_set_new(betas, 1, json_real(-3.5));
    for (int clip = 0; clip < 2; clip++) {
        tsr_tokenizer *t =
            sequence(clip ? "\"kind\":\"poses\"" : "\"kind\":\"poses\",\"clip\":false");
        char *got = encode_text(t, record, &view);
        assert_true((strstr(got, "shape v0=999 v0=0 v0=333") != NULL) == clip);
        tsr_free(got);
        tsr_tokenizer_destroy(t);
    }
    json_decref(record);
}

static void poses_in_drawn_order(void **state)
{
    (void)state;
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640};
    char *seen[6];
    size_t others = 0;
    for (size_t i = 0; i < 6; i++) {
        char *members;
        assert_ok(tsr_format(&members, "\"kind\":\"poses\",\"order\":\"shuffle\",\"seed\":%zu", i));
        tsr_tokenizer *t = sequence(members);
        seen[i] = encode_text(t, value("human_pose", "in"), &view);
        char *again = encode_text(t, value("human_pose", "in"), &view);
        assert_string_equal(seen[i], again);
        assert_int_equal(strlen(seen[i]), strlen(seen[0]));
        others += strcmp(seen[i], seen[0]) != 0;
        tsr_free(again);
        tsr_free(members);
        tsr_tokenizer_destroy(t);
    }
    for (size_t i = 0; i < 6; i++)
        tsr_free(seen[i]);
    assert_true(others > 1);
}

static void wrong_poses_are_refused(void **state)
{
    (void)state;
    static const char *const gone[] = {"bbox_xyxy", "pred_cam", "pose_tokenized",
                                       "pred_smpl_params"};
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640};
    tsr_tokenizer *t = sequence("\"kind\":\"poses\"");
    tsr_tokenizer_work *w;
    tsr_tokens ids = {0};
    tsr_media m = {.kind = TSR_MEDIA_RECORD};
    tsr_inputs in = {.media = {&m}, .count = 1, .view = &view};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    for (size_t i = 0; i < 4; i++) {
        m.as.record = json_deep_copy(value("human_pose", "in"));
        json_object_del(m.as.record, gone[i]);
        assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
        json_decref(m.as.record);
    }
    m.as.record = json_deep_copy(value("human_pose", "in"));
    in.view = NULL; /* no size */
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
    in.view = &view;
    json_t *codes = json_array_get(json_object_get(m.as.record, "pose_tokenized"), 0);
    json_array_set_new(codes, 3, json_integer(1024));
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
    json_array_set_new(codes, 3, json_real(1.5));
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
    json_array_clear(codes);
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
    json_decref(m.as.record);
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
}

/* ---- instances --------------------------------------------------------------------------------*/

static tsr_crop golden_crop(void)
{
    const json_t *c = value("sam_instance", "crop (top,left,h,w)");
    int32_t v[4];
    for (size_t k = 0; k < 4; k++)
        v[k] = (int32_t)json_integer_value(json_array_get(c, k));
    return (tsr_crop){v[0], v[1], v[2], v[3], 0};
}

static void outlines_become_the_published_masks(void **state)
{
    (void)state;
    const tsr_crop crop = golden_crop();
    const json_t *points = json_array_get(value("sam_instance", "points_after"), 0);
    const json_t *rows = value("sam_instance", "mask_rows_hex");
    tsr_outline o;
    tsr_image mask;
    int kept;
    size_t set = 0, wrong = 0;
    assert_ok(tsr_outline_read(value("sam_instance", "polygon_xy"), &o));
    assert_ok(tsr_outline_place(&o, &crop, 224, 0.0005, &kept));
    assert_true(kept && o.n == json_array_size(points));
    for (size_t i = 0; i < o.n; i++) {
        const json_t *p = json_array_get(points, i);
        assert_int_equal(o.p[i].x, json_integer_value(json_array_get(p, 0)));
        assert_int_equal(o.p[i].y, json_integer_value(json_array_get(p, 1)));
    }
    assert_ok(tsr_outline_mask(&o, 64, &mask));
    for (size_t y = 0; y < 64; y++) {
        uint64_t bits = strtoull(json_string_value(json_array_get(rows, y)), NULL, 16);
        for (size_t x = 0; x < 64; x++) {
            uint8_t v = ((uint8_t *)mask.data)[64 * y + x];
            wrong += v != (bits >> (63 - x) & 1);
            set += v;
        }
    }
    print_message("instances: %zu corners and 4,096 pixels of the mask, %zu differ\n", o.n, wrong);
    assert_int_equal(wrong, 0);
    assert_int_equal(set, json_integer_value(value("sam_instance", "mask_pixels_set")));
    tsr_image_clear(&mask);
    tsr_outline_clear(&o);
    /* mirrored: the same box counted from the other side */
    tsr_crop mirrored = crop;
    mirrored.flip = 1;
    assert_ok(tsr_outline_read(value("sam_instance", "polygon_xy"), &o));
    assert_ok(tsr_outline_place(&o, &mirrored, 224, 0.0005, &kept));
    assert_true(kept && o.low.x == 224 - 209 && o.high.x == 224);
    assert_int_equal(o.p[0].x, 224);
    tsr_outline_clear(&o);
    assert_ok(tsr_outline_read(value("sam_instance", "polygon_xy"), &o));
    assert_ok(tsr_outline_place(&o, &crop, 224, 0.9, &kept));
    assert_true(!kept && o.p == NULL);
}

static void outlines_are_read_as_they_are_nested(void **state)
{
    (void)state;
    static const char *const good[] = {
        "[[1,2],[3,4],[5,6]]", "[[[1,2]],[[3,4]],[[5,6]]]", "[[[1,2],[3,4],[5,6]]]",
        "[[[[1,2]],[[3,4]],[[5,6]]],[[[7,8]]]]", "[[1.9,2.1],[3,4.7],[5,6]]"};
    static const char *const wrong[] = {
        "[]",    "{}",        "[[]]", "[[1,2],[3]]",       "[[1,2],[3,\"4\"]]", "[[1,2],[3,1e9]]",
        "[1,2]", "[[1,2],3]", "7",    "[[[[[[[1,2]]]]]]]", "[[1,2,3]]"};
    tsr_outline o;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_t *v = parse(good[i]);
        assert_ok(tsr_outline_read(v, &o));
        assert_int_equal(o.n, 3);
        assert_true(o.p[1].x == 3 && o.p[1].y == 4 && o.low.x == 1 && o.high.y == 6);
        tsr_outline_clear(&o);
        json_decref(v);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *v = i == 8 ? json_integer(7) : parse(wrong[i]);
        assert_fails(TSR_EFORMAT, tsr_outline_read(v, &o));
        json_decref(v);
    }
}

#define CODES "1,2,511,512,1023,6,7,8,9,10,11,12,13,14,15,16"
#define SAID                                                                                       \
    "v0=1 v0=2 v0=511 v1=0 v1=511 v0=6 v0=7 v0=8 v0=9 v0=10 v0=11 v0=12 v0=13 v0=14 v0=15 v0=16"

static void instances_go_both_ways(void **state)
{
    (void)state;
    /* two squares that meet on column 112; the grid's points are at multiples of 28 */
    json_t *record =
        parse("[{\"points\":[[[0,0],[112,0],[112,60],[0,60]],[[112,0],[200,0],[200,60],[112,60]]],"
              "\"token_ids\":[[" CODES "],[" CODES "]],"
              "\"bbox\":[[0.9,0,60.7,112],[0,112,60,200]]},"
              "{\"points\":[],\"token_ids\":[],\"bbox\":[]}]");
    tsr_tokenizer *t = sequence("\"kind\":\"instances\",\"queries\":\"grid\"");
    char *got = encode_text(t, record, NULL);
    static const char first[] =
        "point v0=28 v1=28 polygon v0=0 v1=0 v2=112 v3=60 " SAID " point v0=28 v1=56 ";
    static const char both[] =
        " point v0=28 v1=112 polygon v0=0 v1=0 v2=112 v3=60 " SAID
        " polygon v0=112 v1=0 v2=200 v3=60 " SAID " point v0=28 v1=140 polygon v0=112";
    assert_memory_equal(got, first, sizeof first - 1);
    assert_non_null(strstr(got, both));
    assert_non_null(strstr(got, " point v0=84 v1=28 none point v0=84 v1=56 none "));
    size_t points = 0;
    for (const char *p = got; (p = strstr(p, "point ")); p++)
        points++;
    assert_int_equal(points, 49);
    /* decoded and encoded again */
    tsr_tokens ids = {0};
    tsr_media m = {0};
    assert_ok(tsr_text_encode(text, got, strlen(got) - strlen(" [EOS]"), &ids));
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &m));
    assert_int_equal(json_array_size(json_object_get(m.as.record, "token_ids")), 2);
    char *again = encode_text(t, m.as.record, NULL);
    assert_string_equal(again, got);
    tsr_free(again);
    tsr_free(got);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    /* the other crop has nothing; a third there is not */
    tsr_tokenizer_work *w;
    tsr_media in_record = {.kind = TSR_MEDIA_RECORD, .as.record = record};
    tsr_inputs in = {.media = {&in_record}, .count = 1, .crop = 1};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    assert_ok(tsr_tokenizer_encode(t, w, &in, &ids));
    assert_ok(tsr_text_decode(text, ids.ids, ids.count, &got, NULL));
    points = 0;
    for (const char *p = got; (p = strstr(p, " none ")); p++)
        points++;
    assert_int_equal(points, 49);
    tsr_free(got);
    tsr_tokens_clear(&ids);
    in.crop = 2;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
    json_decref(record);
}

/* Drawn points: as many as asked for, the same each time, others for another seed or crop. */
static void query_points_are_drawn(void **state)
{
    (void)state;
    json_t *record = parse("[]");
    char *seen[3];
    for (size_t i = 0; i < 3; i++) {
        tsr_tokenizer *t = sequence(i < 2 ? "\"kind\":\"instances\",\"seed\":4"
                                          : "\"kind\":\"instances\",\"seed\":5,\"points\":3");
        seen[i] = encode_text(t, record, NULL);
        size_t points = 0;
        for (const char *p = seen[i]; (p = strstr(p, "point ")); p++)
            points++;
        assert_int_equal(points, i < 2 ? 7 : 3);
        tsr_tokenizer_destroy(t);
    }
    assert_string_equal(seen[0], seen[1]);
    assert_true(strncmp(seen[0], seen[2], 18) != 0);
    for (size_t i = 0; i < 3; i++)
        tsr_free(seen[i]);
    json_decref(record);
}

/* Outlines of the picture, codes by the tokenizer of masks: those of the mask itself. */
static void outlines_get_codes_from_masks(void **state)
{
    (void)state;
    char *path, *members, *got, words[400] = "polygon v0=0 v1=31 v2=209 v3=224";
    const tsr_crop crop = golden_crop();
    const tsr_view view = {crop, 300, 300};
    tsr_tokenizer *t, *masks;
    tsr_tokenizer_work *w;
    tsr_tokens ids = {0};
    tsr_outline o;
    tsr_media mask = {.kind = TSR_MEDIA_IMAGE};
    const tsr_inputs in = {.media = {&mask}, .count = 1};
    int kept;
    json_t *config =
        parse("{\"kind\":\"mask\",\"modality\":\"sam_mask\",\"image_size\":64,"
              "\"model\":{\"enc_dim\":32,\"enc_depth\":1,\"enc_heads\":2,\"dec_dim\":32,"
              "\"dec_depth\":1,\"dec_heads\":2,\"patch_size\":16,\"codebook_size\":1024,"
              "\"latent_dim\":8}}");
    assert_ok(tsr_trainable_create(config, "test", 7, &masks));
    json_decref(config);
    assert_ok(tsr_format(&path, "%s/test_preprocess_masks.safetensors", build_folder()));
    assert_ok(tsr_tokenizer_write(masks, path));
    assert_ok(
        tsr_format(&members, "\"kind\":\"instances\",\"queries\":\"grid\",\"codes\":\"%s\"", path));
    t = sequence(members);
    json_t *record =
        json_pack("[{s:O}, {s:[[ii][ii][ii]]}]", "points", value("sam_instance", "polygon_xy"),
                  "points", 1, 1, 9, 1, 9, 9); /* the second is not in the crop */
    got = encode_text(t, record, &view);
    assert_ok(tsr_outline_read(value("sam_instance", "polygon_xy"), &o));
    assert_ok(tsr_outline_place(&o, &crop, 224, 0.0005, &kept));
    assert_ok(tsr_outline_mask(&o, 64, &mask.as.image));
    assert_ok(tsr_tokenizer_work_create(masks, &w));
    assert_ok(tsr_tokenizer_encode(masks, w, &in, &ids));
    for (size_t i = 0, n = strlen(words); i < 16; i++)
        n += (size_t)snprintf(words + n, sizeof words - n, " v%d=%u", ids.ids[i] >= 512,
                              ids.ids[i] % 512);
    assert_non_null(strstr(got, words));
    tsr_free(got);
    tsr_tokenizer_work_destroy(w);
    tsr_tokens_clear(&ids);
    tsr_outline_clear(&o);
    tsr_media_clear(&mask);
    /* without that tokenizer, or without the picture's size, there are no codes and no crop */
    tsr_tokenizer *bare = sequence("\"kind\":\"instances\"");
    tsr_media m = {.kind = TSR_MEDIA_RECORD, .as.record = record};
    tsr_inputs seen = {.media = {&m}, .count = 1, .view = &view};
    assert_ok(tsr_tokenizer_work_create(bare, &w));
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(bare, w, &seen, &ids));
    seen.view = NULL;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(bare, w, &seen, &ids));
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(bare);
    tsr_tokenizer_destroy(t);
    tsr_tokenizer_destroy(masks);
    json_decref(record);
    tsr_free(members);
    tsr_free(path);
}

static void wrong_instances_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{}",
        "{\"instances\":7}",
        "[{\"points\":[],\"token_ids\":[[" CODES "]],\"bbox\":[[0,0,9,9]]}]",
        "[{\"points\":[[[0,0],[9,9]]],\"token_ids\":[[1,2]],\"bbox\":[[0,0,9,9]]}]",
        "[{\"points\":[[[0,0],[9,9]]],\"token_ids\":[[" CODES "]],\"bbox\":[[0,0,9,225]]}]",
        "[{\"points\":[[[0,0],[9,9]]],\"token_ids\":[[" CODES "]],\"bbox\":[[0,0,9]]}]",
        "[{\"points\":[3],\"token_ids\":[[" CODES "]],\"bbox\":[[0,0,9,9]]}]",
        "{\"queries\":[{\"point\":[1],\"instances\":[]}],\"token_ids\":[],\"bbox\":[]}",
        "{\"queries\":[{\"point\":[1,2],\"instances\":[0]}],\"token_ids\":[],\"bbox\":[]}"};
    tsr_tokenizer *t = sequence("\"kind\":\"instances\"");
    tsr_tokenizer_work *w;
    tsr_tokens ids = {0};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tsr_media m = {.kind = TSR_MEDIA_RECORD, .as.record = parse(wrong[i])};
        const tsr_inputs in = {.media = {&m}, .count = 1};
        assert_fails(TSR_EFORMAT, tsr_tokenizer_encode(t, w, &in, &ids));
        json_decref(m.as.record);
    }
    tsr_tokenizer_work_destroy(w);
    tsr_tokenizer_destroy(t);
}

/* Codes of a record without any: those of the tokenizer for joints, which reads the same record. */
static void poses_get_codes_from_joints(void **state)
{
    (void)state;
    const tsr_view view = {{0, 0, 480, 480, 0}, 480, 640};
    char *path, *members, *got, words[128] = "pose";
    tsr_tokenizer *joints, *t;
    tsr_tokenizer_work *w;
    tsr_tokens ids = {0};
    json_t *config =
        parse("{\"kind\":\"vector\",\"modality\":\"human_poses\",\"values\":207,\"model\":{"
              "\"enc_type\":\"BottleneckMLP/B_1-Wi_32\",\"dec_type\":"
              "\"BottleneckMLP/B_1-Wi_32\",\"latent_dim\":16,\"num_codebooks\":8,"
              "\"codebook_size\":1024}}");
    assert_ok(tsr_trainable_create(config, "test", 7, &joints));
    json_decref(config);
    assert_ok(tsr_format(&path, "%s/test_preprocess_joints.safetensors", build_folder()));
    assert_ok(tsr_tokenizer_write(joints, path));
    assert_ok(tsr_format(&members, "\"kind\":\"poses\",\"codes\":\"%s\"", path));
    t = sequence(members);
    json_t *record = json_deep_copy(value("human_pose", "in"));
    json_object_del(record, "pose_tokenized");
    tsr_media m = {.kind = TSR_MEDIA_RECORD, .as.record = record};
    const tsr_inputs in = {.media = {&m}, .count = 1};
    assert_ok(tsr_tokenizer_work_create(joints, &w));
    assert_ok(tsr_tokenizer_encode(joints, w, &in, &ids));
    tsr_tokenizer_work_destroy(w);
    assert_int_equal(ids.count, 8);
    for (size_t i = 0, n = 4; i < 8; i++)
        n += (size_t)snprintf(words + n, sizeof words - n, " v%d=%u", ids.ids[i] >= 512,
                              ids.ids[i] % 512);
    got = encode_text(t, record, &view);
    assert_non_null(strstr(got, words));
    tsr_free(got);
    /* a file of it finds both again, and knows another tokenizer of joints */
    char *file;
    tsr_tokenizer *back;
    assert_ok(tsr_format(&file, "%s/test_preprocess_poses.json", build_folder()));
    assert_ok(tsr_tokenizer_write(t, file));
    assert_ok(tsr_tokenizer_open(file, NULL, &back));
    assert_memory_equal(&tsr_tokenizer_space(back)->tokenizer, &tsr_tokenizer_space(t)->tokenizer,
                        sizeof(tsr_digest));
    tsr_tokenizer_destroy(back);
    config = parse("{\"kind\":\"vector\",\"modality\":\"human_poses\",\"values\":6,\"model\":{"
                   "\"enc_type\":\"BottleneckMLP/B_1-Wi_32\",\"dec_type\":"
                   "\"BottleneckMLP/B_1-Wi_32\",\"latent_dim\":16,\"num_codebooks\":8,"
                   "\"codebook_size\":1024}}");
    tsr_tokenizer *other;
    assert_ok(tsr_trainable_create(config, "test", 8, &other));
    json_decref(config);
    assert_ok(tsr_tokenizer_write(other, path));
    assert_fails(TSR_EMISMATCH, tsr_tokenizer_open(file, NULL, &back));
    tsr_tokens_clear(&ids);
    tsr_free(path);
    tsr_free(file);
    tsr_free(members);
    json_decref(record);
    tsr_tokenizer_destroy(t);
    tsr_tokenizer_destroy(joints);
    tsr_tokenizer_destroy(other);
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
static tsr_status prepare(const tsr_tokenizer *t, const tsr_image *im, const tsr_view *view,
                          float *x)
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
    /* The reference's mean is a float32 sum in the order of its vector registers: one unit of the
     * last place of 2.1. */
    assert_true(worst < 3e-7 && off < 2e-5);
    tsr_image_clear(&im);
    tsr_tokenizer_destroy(t);
}

/* 16-bit steps, enlarged: Pillow 9 keeps the overshoot, 11 stores it in two bytes, 10.3 has none.
 */
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

/* The planes of an array; fails like tsr_trainable_prepare. */
static tsr_status prepare_array(const tsr_tokenizer *t, float *data, const size_t *shape,
                                size_t dims, size_t crop, float *x)
{
    tsr_media m = {.kind = TSR_MEDIA_VECTOR, .as.vector = {.data = data, .count = 1, .dims = dims}};
    const tsr_inputs in = {.media = {&m}, .count = 1, .crop = crop};
    uint8_t valid[400];
    for (size_t d = 0; d < dims; d++)
        m.as.vector.count *= m.as.vector.shape[d] = shape[d];
    return tsr_trainable_prepare(t, &in, 0, NULL, x, valid);
}

static void features_come_in_any_order(void **state)
{
    (void)state;
    enum { C = 7, H = 5, W = 3, PLACES = H * W, ALL = C * PLACES };
    tsr_tokenizer *t = grid("\"kind\":\"features\",\"channels\":7,\"grid\":[5,3]");
    float planes[2 * ALL], places[ALL], x[ALL];
    for (size_t i = 0; i < 2 * ALL; i++)
        planes[i] = (float)i * 0.5f - 3;
    for (size_t c = 0; c < C; c++)
        for (size_t p = 0; p < PLACES; p++)
            places[p * C + c] = planes[c * PLACES + p];
    static const struct {
        size_t dims, shape[5];
        int by_place;
    } good[] = {{3, {C, H, W}, 0},       {4, {1, C, H, W}, 0},  {2, {C, PLACES}, 0},
                {3, {H, W, C}, 1},       {2, {PLACES, C}, 1},   {4, {1, PLACES, 1, C}, 1},
                {5, {1, 1, C, H, W}, 0}, {3, {1, C, PLACES}, 0}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(prepare_array(t, good[i].by_place ? places : planes, good[i].shape, good[i].dims,
                                0, x));
        assert_memory_equal(x, planes, sizeof x);
        assert_fails(TSR_EFORMAT, prepare_array(t, planes, good[i].shape, good[i].dims, 1, x));
    }
    static const size_t crops[4] = {2, C, H, W},
                        wrong[][3] = {{C, W, H}, {C, H, W + 1}, {W, H, C}, {H, C, W}};
    assert_ok(prepare_array(t, planes, crops, 4, 1, x));
    assert_memory_equal(x, planes + ALL, sizeof x);
    assert_fails(TSR_EFORMAT, prepare_array(t, planes, crops, 4, 2, x));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_fails(TSR_EFORMAT, prepare_array(t, planes, wrong[i], 3, 0, x));
    planes[9] = NAN;
    assert_fails(TSR_ENUMERIC, prepare_array(t, planes, good[0].shape, 3, 0, x));
    tsr_tokenizer_destroy(t);
}

static void masks_have_two_values(void **state)
{
    (void)state;
    tsr_tokenizer *t = grid("\"kind\":\"mask\",\"image_size\":10,\"answers\":\"logits\"");
    tsr_image im, wrong;
    float x[100];
    tsr_media got = {0};
    assert_ok(tsr_image_init(&im, 20, 20, 1, TSR_PIXEL_U8));
    for (size_t i = 0; i < 400; i++)
        ((uint8_t *)im.data)[i] = (uint8_t)(i / 20 < 8 ? 0 : i % 3 ? 255 : 1);
    assert_ok(prepare(t, &im, NULL, x));
    for (size_t i = 0; i < 100; i++)
        assert_true(x[i] == (float)(i >= 40));
    for (size_t i = 0; i < 100; i++)
        x[i] = i % 2 ? 0.4f : -0.1f;
    assert_ok(tsr_trainable_finish(t, x, 1, &got));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(((uint8_t *)got.as.image.data)[i], i % 2 ? 255 : 0);
    tsr_media_clear(&got);
    assert_ok(tsr_image_init(&wrong, 20, 20, 3, TSR_PIXEL_U8));
    assert_fails(TSR_EFORMAT, prepare(t, &wrong, NULL, x));
    tsr_image_clear(&im);
    tsr_image_clear(&wrong);
    tsr_tokenizer_destroy(t);
}

/* ---- resizing ---------------------------------------------------------------------------------*/

static void pictures_are_resized_as_published(void **state)
{
    (void)state;
    static const tsr_filter filters[] = {TSR_FILTER_BICUBIC, TSR_FILTER_BILINEAR,
                                         TSR_FILTER_NEAREST};
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
            assert_ok(
                tsr_image_resize(&im, sides[s], sides[s], filters[f], TSR_RESIZE16_I32, &out));
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
        cmocka_unit_test(poses_are_the_published_string),
        cmocka_unit_test(poses_go_both_ways),
        cmocka_unit_test(poses_beyond_their_range),
        cmocka_unit_test(poses_in_drawn_order),
        cmocka_unit_test(joints_are_of_all_or_of_nobody),
        cmocka_unit_test(wrong_poses_are_refused),
        cmocka_unit_test(poses_get_codes_from_joints),
        cmocka_unit_test(outlines_become_the_published_masks),
        cmocka_unit_test(outlines_are_read_as_they_are_nested),
        cmocka_unit_test(instances_go_both_ways),
        cmocka_unit_test(query_points_are_drawn),
        cmocka_unit_test(outlines_get_codes_from_masks),
        cmocka_unit_test(wrong_instances_are_refused),
        cmocka_unit_test(depth_is_standardised_as_published),
        cmocka_unit_test(depth_follows_the_chosen_pillow),
        cmocka_unit_test(normals_are_mirrored_as_published),
        cmocka_unit_test(labels_are_shifted_as_published),
        cmocka_unit_test(alpha_is_dropped_as_published),
        cmocka_unit_test(features_come_in_any_order),
        cmocka_unit_test(masks_have_two_values),
        cmocka_unit_test(pictures_are_resized_as_published),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

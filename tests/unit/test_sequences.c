/* SPDX-License-Identifier: Apache-2.0
 * Sequence kinds through the public interface: palette, metadata, boxes, text. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/palette.h"
#include "tokenizers/text.h"
#include "tokenizers/tokenizer.h"

#include <math.h>

static char *text_path; /* a small vocabulary with all value tokens */
static tsr_text *text;

static int set_up(void **state)
{
    static const char *const classes[] = {"cat", "hot dog"};
    static const char s[] = "a photo of a cube and a photo of a tree";
    const char *texts[] = {s};
    const size_t bytes[] = {sizeof s - 1};
    tsr_text_train_spec spec;
    (void)state;
    tsr_text_train_defaults(&spec);
    spec.classes = classes;
    spec.n_classes = 2;
    spec.vocabulary = 4260;
    return tsr_text_train(texts, bytes, 1, &spec, NULL, &text) ||
           tsr_format(&text_path, "%s/test_sequences_text.json", build_folder()) ||
           tsr_text_write(text, text_path);
}

static int tear_down(void **state)
{
    (void)state;
    tsr_text_destroy(text);
    tsr_free(text_path);
    return 0;
}

static json_t *parse(const char *s)
{
    json_t *v;
    assert_ok(tsr_json_parse(s, strlen(s), "test", &v));
    return v;
}

/* A tokenizer from the members of a JSON object (without its braces and "text"). */
static tsr_status make(const char *members, tsr_tokenizer **out)
{
    json_t *config = parse("{}");
    char *s;
    assert_ok(tsr_format(&s, "{%s}", members));
    json_t *more = parse(s);
    assert_ok(tsr_json_set(config, "text", json_string(text_path)));
    json_object_update(config, more);
    tsr_status st = tsr_tokenizer_create(config, "test recipe", out);
    json_decref(more);
    json_decref(config);
    tsr_free(s);
    return st;
}

/* Tokens as the text they stand for. */
static void assert_tokens(const tsr_tokens *tokens, const char *want)
{
    char *got;
    assert_ok(tsr_text_decode(text, tokens->ids, tokens->count, &got, NULL));
    assert_string_equal(got, want);
    tsr_free(got);
}

static void assert_record(const json_t *got, const char *want)
{
    json_t *v = parse(want);
    if (!json_equal(got, v)) {
        char *s;
        assert_ok(tsr_json_text(got, 0, &s));
        fail_msg("got %s, expected %s", s, want);
    }
    json_decref(v);
}

static tsr_media record_media(const char *s)
{
    tsr_media m = {.kind = TSR_MEDIA_RECORD};
    m.as.record = parse(s);
    return m;
}

/* Encode one or two media. */
static tsr_status encode(const tsr_tokenizer *t, const tsr_media *a, const tsr_media *b,
                         const tsr_view *view, tsr_tokens *out)
{
    tsr_tokenizer_work *w;
    const tsr_inputs in = {.media = {a, b}, .count = b ? 2 : 1, .view = view};
    assert_ok(tsr_tokenizer_work_create(t, &w));
    tsr_status st = tsr_tokenizer_encode(t, w, &in, out);
    tsr_tokenizer_work_destroy(w);
    return st;
}

static tsr_status decode_text(const tsr_tokenizer *t, const char *s, tsr_media *out)
{
    tsr_tokens ids = {0};
    assert_ok(tsr_text_encode(text, s, strlen(s), &ids));
    tsr_status st = tsr_tokenizer_decode(t, NULL, &ids, out);
    tsr_tokens_clear(&ids);
    return st;
}

/* Blocks of plain colour; widths in columns of 8 rows. */
static tsr_media bands(const uint8_t (*rgb)[3], const size_t *columns, size_t n)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    size_t width = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        width += columns[i];
    assert_ok(tsr_image_init(&m.as.image, 8, width, 3, TSR_PIXEL_U8));
    for (size_t i = 0; i < n; at += columns[i++])
        for (size_t y = 0; y < 8; y++)
            for (size_t x = at; x < at + columns[i]; x++)
                memcpy((uint8_t *)tsr_image_row(&m.as.image, y) + 3 * x, rgb[i], 3);
    return m;
}

/* ---- palette ----------------------------------------------------------------------------------*/

static const uint8_t colours[3][3] = {{250, 10, 20}, {0, 0, 255}, {255, 255, 255}};

static void palettes_of_known_pictures(void **state)
{
    (void)state;
    static const size_t columns[3] = {3, 10, 5};
    tsr_media m = bands(colours, columns, 3), got;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    assert_ok(make("\"kind\":\"palette\",\"modality\":\"palette\",\"tolerance\":0.01", &t));
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=3 v0=0 v0=0 v0=255 v0=255 v0=255 v0=255 v0=250 v0=10 v0=20 [EOS]");
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
    assert_record(got.as.record, "{\"colors\":[[0,0,255],[255,255,255],[250,10,20]]}");
    tsr_media_clear(&got);
    tsr_tokens_clear(&ids);
    tsr_tokenizer_destroy(t);

    assert_ok(make("\"kind\":\"palette\",\"modality\":\"palette\",\"least\":2,\"most\":2", &t));
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_int_equal(ids.count, 1 + 6 + 1);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    m = bands(colours, columns, 1); /* one colour: no more than one comes back */
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=1 v0=250 v0=10 v0=20 [EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

static void palettes_of_records(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    assert_ok(make("\"kind\":\"palette\",\"modality\":\"palette\"", &t));
    tsr_media m = record_media("[{\"1\":[[9,9,9]],\"2\":[[0.5,1.5,255],[3,4,5]]}]");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=2 v0=0 v0=2 v0=255 v0=3 v0=4 v0=5 [EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"colors\":[]}",
                                      "{\"colors\":[[1,2]]}",
                                      "{\"colors\":[[1,2,256]]}",
                                      "{\"colors\":[[1,2,\"x\"]]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = record_media(bad[i]);
        assert_fails(TSR_EFORMAT, encode(t, &m, NULL, NULL, &ids));
        tsr_media_clear(&m);
    }
    tsr_media got;
    static const char *const broken[] = {"",
                                         "v1=2 v0=0 v0=0 v0=0",
                                         "v1=1 v0=0 v1=0 v0=0",
                                         "v0=1 v0=0 v0=0 v0=0",
                                         "v1=1 v0=0 v0=0 v0=256",
                                         "photo"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_fails(TSR_EFORMAT, decode_text(t, broken[i], &got));
    tsr_tokenizer_destroy(t);
}

static void swatches_fill_the_picture(void **state)
{
    (void)state;
    tsr_palette p = {.count = 3, .share = {0.9, 0.0999, 0.0001}};
    memcpy(p.rgb, colours, sizeof colours);
    tsr_image im;
    assert_ok(tsr_palette_picture(&p, 2, 10, &im));
    const uint8_t *row = im.data;
    assert_memory_equal(row, colours[0], 3);
    assert_memory_equal(row + 3 * 8, colours[1], 3);
    assert_memory_equal(row + 3 * 9, colours[2], 3);
    tsr_image_clear(&im);
    assert_fails(TSR_EARG, tsr_palette_picture(&p, 2, 2, &im));
}

/* ---- metadata ---------------------------------------------------------------------------------*/

static void metadata_follows_4m(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    assert_ok(make("\"kind\":\"metadata\",\"modality\":\"metadata\"", &t));
    tsr_media m = record_media("{\"original_width\":1024,\"original_height\":683,"
                               "\"n_sam_instances\":1500,\"colorfulness\":37.5,\"contrast\":200,"
                               "\"watermark_score\":0.5,\"aesthetic_score\":4.4,"
                               "\"walkability\":null,\"other\":7}");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=0 v0=32 v1=1 v0=21 v1=6 v0=999 v1=9 v0=12 v1=11 v0=49 v1=19 v0=1 "
                        "v1=20 v0=0 [EOS]");
    tsr_media got;
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
    const json_t *r = got.as.record;
    assert_int_equal(json_integer_value(json_object_get(r, "original_width")), 1040);
    assert_int_equal(json_integer_value(json_object_get(r, "n_sam_instances")), 999);
    assert_true(fabs(json_number_value(json_object_get(r, "colorfulness")) - 150 * 12.5 / 49) <
                1e-9);
    assert_true(json_number_value(json_object_get(r, "contrast")) == 127);
    assert_true(json_number_value(json_object_get(r, "watermark_score")) == 0.75);
    assert_null(json_object_get(r, "walkability"));
    assert_int_equal(json_object_size(r), 7);
    tsr_tokens again = {0};
    assert_ok(encode(t, &got, NULL, NULL, &again));
    assert_int_equal(again.count, ids.count);
    assert_memory_equal(again.ids, ids.ids, ids.count * sizeof *ids.ids);
    json_t *q;
    tsr_media want;
    const tsr_inputs in = {.media = {&m}, .count = 1};
    assert_ok(tsr_tokenizer_target(t, NULL, &in, &want));
    assert_ok(tsr_tokenizer_quality(t, &want, &got, &q));
    assert_true(json_number_value(json_object_get(q, "exact")) == 1);
    json_decref(q);
    tsr_media_clear(&want);
    tsr_tokens_clear(&again);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&got);
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

/* Every bin of every field of the preset gives a value that falls into that bin. */
static void every_bin_comes_back(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    assert_ok(make("\"kind\":\"metadata\",\"modality\":\"metadata\"", &t));
    static const unsigned bins[21] = {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 50, 50,
                                      50,   50,   50,   50,   50,   1000, 50,   50,   2,    3};
    for (unsigned f = 0; f < 21; f++)
        for (unsigned b = 0; b < bins[f]; b++) {
            uint32_t two[2];
            const tsr_tokens ids = {two, 2};
            tsr_tokens again = {0};
            tsr_media got;
            assert_ok(tsr_text_value(text, 1, f, &two[0]));
            assert_ok(tsr_text_value(text, 0, b, &two[1]));
            assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
            assert_ok(encode(t, &got, NULL, NULL, &again));
            assert_int_equal(again.count, 3);
            assert_memory_equal(again.ids, two, sizeof two);
            tsr_tokens_clear(&again);
            tsr_media_clear(&got);
        }
    tsr_tokenizer_destroy(t);
}

static void metadata_measures_pictures_and_texts(void **state)
{
    (void)state;
    static const size_t columns[1] = {64};
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    tsr_media m = bands(&colours[2], columns, 1), x = {0};
    static const char s[] = "Two words. And three more!";
    assert_ok(tsr_text_init(&x, s, sizeof s - 1));
    assert_ok(make("\"kind\":\"metadata\",\"modality\":\"metadata\"", &t));
    assert_ok(encode(t, &m, &x, NULL, &ids));
    assert_tokens(&ids, "v1=0 v0=2 v1=1 v0=0 v1=2 v0=26 v1=3 v0=5 v1=4 v0=2 v1=9 v0=0 v1=10 v0=49 "
                        "v1=11 v0=0 v1=12 v0=0 v1=13 v0=0 [EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    tsr_media_clear(&x);
    tsr_tokenizer_destroy(t);
}

static void metadata_misses_no_required_field(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    char *words;
    json_t *o;
    assert_fails(TSR_ECONFIG, make("\"kind\":\"metadata\",\"modality\":\"m\",\"fields\":["
                                   "{\"name\":\"a\",\"type\":\"bool\",\"required\":1}]",
                                   &t));
    assert_ok(make("\"kind\":\"metadata\",\"modality\":\"m\",\"fields\":["
                   "{\"name\":\"a\",\"type\":\"bool\",\"required\":true},"
                   "{\"name\":\"b\",\"type\":\"bool\",\"required\":false}]",
                   &t));
    assert_ok(tsr_tokenizer_describe(t, &o));
    assert_ok(tsr_json_text(o, 0, &words));
    assert_non_null(strstr(words, "\"required\": true"));
    tsr_free(words);
    json_decref(o);
    tsr_media m = record_media("{\"a\":true}");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=0 v0=1 [EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    m = record_media("{\"a\":null,\"b\":true}");
    assert_fails(TSR_EFORMAT, encode(t, &m, NULL, NULL, &ids));
    assert_non_null(strstr(tsr_error(), "field a is missing"));
    tsr_media_clear(&m);
    tsr_tokenizer_destroy(t);
}

static void metadata_of_declared_fields(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    assert_ok(make("\"kind\":\"metadata\",\"modality\":\"scene\",\"fields\":["
                   "{\"name\":\"kind\",\"type\":\"enum\",\"values\":[\"room\",\"open\"],"
                   "\"key\":\"world.kind\"},"
                   "{\"name\":\"lying\",\"type\":\"bool\"},"
                   "{\"name\":\"fov\",\"type\":\"float\",\"low\":20,\"high\":90,\"bins\":100,"
                   "\"key\":\"camera.fov_deg\",\"id\":40},"
                   "{\"name\":\"year\",\"type\":\"int\",\"low\":-50,\"high\":949}]",
                   &t));
    tsr_media m = record_media("{\"world\":{\"kind\":\"open\"},\"lying\":false,\"year\":-49,"
                               "\"camera\":{\"fov_deg\":55}}"),
              got;
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v1=0 v0=1 v1=1 v0=0 v1=40 v0=49 v1=41 v0=1 [EOS]");
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
    assert_record(got.as.record, "{\"kind\":\"open\",\"lying\":false,\"fov\":55.0,\"year\":-49}");
    tsr_media_clear(&got);
    tsr_media_clear(&m);
    tsr_tokens_clear(&ids);
    static const char *const bad[] = {"{\"world\":{\"kind\":\"roof\"}}", "{\"lying\":\"yes\"}",
                                      "{\"year\":\"x\"}", "[1]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = record_media(bad[i]);
        assert_fails(TSR_EFORMAT, encode(t, &m, NULL, NULL, &ids));
        tsr_media_clear(&m);
    }
    m = record_media("{}");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "[EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    static const char *const broken[] = {"v1=0", "v1=7 v0=0", "v1=0 v0=2", "v0=0 v0=0",
                                         "v1=0 v0=0 v1=0 v0=0"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_fails(TSR_EFORMAT, decode_text(t, broken[i], &got));
    tsr_tokenizer_destroy(t);
}

static void bad_recipes_are_refused(void **state)
{
    (void)state;
#define META "\"kind\":\"metadata\",\"modality\":\"m\",\"fields\":"
    static const char *const bad[] = {
        "\"kind\":\"palette\",\"modality\":\"p\",\"mots\":3",
        "\"kind\":\"palette\",\"modality\":\"p\",\"most\":8",
        "\"kind\":\"palette\",\"modality\":\"p\",\"least\":3,\"most\":2",
        "\"kind\":\"palette\",\"modality\":\"No Name\"",
        META "[]",
        META "[{\"name\":\"a\",\"type\":\"flot\"}]",
        META "[{\"name\":\"a\",\"type\":\"float\",\"low\":1,\"high\":1}]",
        META "[{\"name\":\"a\",\"type\":\"int\",\"low\":0,\"high\":5000}]",
        META "[{\"name\":\"a\",\"type\":\"bool\",\"id\":3},{\"name\":\"b\",\"type\":\"bool\","
             "\"id\":3}]",
        META "[{\"name\":\"a\",\"type\":\"enum\",\"values\":[\"x\",\"x\"]}]",
        META "[{\"name\":\"a\",\"type\":\"steps\",\"thresholds\":[0.5,0.4]}]",
        META "[{\"name\":\"a\",\"type\":\"bool\",\"hihg\":3}]",
        "\"kind\":\"boxes\",\"modality\":\"det\",\"min_score\":2",
    };
    tsr_tokenizer *t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tsr_status st = make(bad[i], &t);
        if (st != TSR_ECONFIG)
            fail_msg("recipe %zu: %s %s", i, tsr_status_name(st), tsr_error());
    }
    assert_fails(TSR_EUNSUPPORTED, make("\"kind\":\"palete\",\"modality\":\"p\"", &t));
    assert_fails(TSR_ENOENT,
                 make("\"kind\":\"palette\",\"modality\":\"p\",\"text\":\"/nowhere.json\"", &t));
}

/* ---- boxes ------------------------------------------------------------------------------------*/

static void boxes_are_cut_and_ordered(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    assert_ok(make("\"kind\":\"boxes\",\"modality\":\"det\"", &t));
    tsr_media m = record_media(
        "{\"instances\":[{\"boxes\":[0.5,0.5,1,1],\"class_name\":\"hot dog\",\"score\":0.9},"
        "{\"boxes\":[0,0.25,0.5,0.75],\"class_name\":\"cat\",\"score\":0.6},"
        "{\"boxes\":[0,0,1,1],\"class_name\":\"cat\",\"score\":0.59}]}");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "v0=0 v1=250 v2=500 v3=749 cat v0=500 v1=500 v2=999 v3=999 hot dog [EOS]");
    tsr_tokens_clear(&ids);

    /* A picture of 100 x 200, its right half, mirrored: the cat ends at the left edge of the half
     * and is dropped. */
    const tsr_view view = {
        {.top = 0, .left = 100, .height = 100, .width = 100, .flip = 1}, 100, 200};
    assert_ok(encode(t, &m, NULL, &view, &ids));
    assert_tokens(&ids, "v0=0 v1=500 v2=999 v3=999 hot dog [EOS]");
    tsr_media got;
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
    assert_int_equal(json_array_size(json_object_get(got.as.record, "instances")), 1);
    tsr_media_clear(&got);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);

    m = record_media("{\"instances\":[]}");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_tokens(&ids, "[EOS]");
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    static const char *const bad[] = {"{}", "{\"instances\":[1]}",
                                      "{\"instances\":[{\"boxes\":[0,0,1],\"class_name\":\"a\"}]}",
                                      "{\"instances\":[{\"boxes\":[0,0,1,1]}]}",
                                      "{\"instances\":[{\"boxes\":[0,0,1,null],\"class_name\":"
                                      "\"a\"}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        m = record_media(bad[i]);
        assert_fails(TSR_EFORMAT, encode(t, &m, NULL, NULL, &ids));
        tsr_media_clear(&m);
    }
    tsr_tokenizer_destroy(t);
}

static void broken_boxes_are_left_out(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_media got, want;
    json_t *q;
    assert_ok(make("\"kind\":\"boxes\",\"modality\":\"det\"", &t));
    assert_ok(
        decode_text(t, "cat v0=1 v1=2 cat v0=0 v1=0 v2=999 v3=999 cat v0=0 v1=0 v2=9 v3=9", &got));
    assert_record(got.as.record,
                  "{\"instances\":[{\"boxes\":[0.0,0.0,1.0,1.0],\"class_name\":\"cat\"}]}");
    want = record_media("{\"instances\":[{\"boxes\":[0,0,1,0.5],\"class_name\":\"cat\"},"
                        "{\"boxes\":[0,0,1,1],\"class_name\":\"dog\"}]}");
    assert_ok(tsr_tokenizer_quality(t, &want, &got, &q));
    assert_true(json_number_value(json_object_get(q, "iou")) == 0.25);
    json_decref(q);
    tsr_media_clear(&got);
    tsr_media_clear(&want);
    tsr_tokenizer_destroy(t);
}

/* ---- text and files ---------------------------------------------------------------------------*/

static void text_goes_there_and_back(void **state)
{
    (void)state;
    tsr_tokenizer *t;
    tsr_tokens ids = {0};
    tsr_media m = {0}, got, want;
    static const char s[] = "A Photo of a CUBE";
    assert_ok(tsr_text_init(&m, s, sizeof s - 1));
    assert_ok(tsr_tokenizer_open(text_path, "caption", &t));
    assert_string_equal(tsr_tokenizer_space(t)->modality, "caption");
    assert_string_equal(tsr_tokenizer_space(t)->vocabulary, "text");
    assert_ok(encode(t, &m, NULL, NULL, &ids));
    assert_int_equal(ids.ids[ids.count - 1], TSR_TEXT_EOS);
    assert_ok(tsr_tokenizer_decode(t, NULL, &ids, &got));
    const tsr_inputs in = {.media = {&m}, .count = 1};
    assert_ok(tsr_tokenizer_target(t, NULL, &in, &want));
    assert_string_equal(got.as.text.s, "a photo of a cube");
    json_t *q;
    assert_ok(tsr_tokenizer_quality(t, &want, &got, &q));
    assert_true(json_number_value(json_object_get(q, "exact")) == 1);
    json_decref(q);
    tsr_media image = {.kind = TSR_MEDIA_IMAGE};
    tsr_tokens none = {0};
    assert_fails(TSR_EARG, encode(t, &image, NULL, NULL, &none));
    ids.ids[0] = tsr_text_size(text);
    tsr_media bad;
    assert_fails(TSR_EFORMAT, tsr_tokenizer_decode(t, NULL, &ids, &bad));
    assert_true(tsr_tokenizer_bits(t) < 0);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&m);
    tsr_media_clear(&got);
    tsr_media_clear(&want);
    tsr_tokenizer_destroy(t);
}

static void files_read_back_with_the_same_hash(void **state)
{
    (void)state;
    static const char *const recipes[] = {
        "\"kind\":\"palette\",\"modality\":\"palette\",\"most\":5",
        "\"kind\":\"metadata\",\"modality\":\"metadata\",\"preset\":\"4m21\",\"fields\":["
        "{\"name\":\"kind\",\"type\":\"enum\",\"values\":[\"a\",\"b\"]}]",
        "\"kind\":\"boxes\",\"modality\":\"det\",\"most\":3",
    };
    char *path;
    assert_ok(tsr_format(&path, "%s/test_sequences_kind.json", build_folder()));
    for (size_t i = 0; i < 3; i++) {
        tsr_tokenizer *a, *b;
        json_t *told, *other;
        assert_ok(make(recipes[i], &a));
        assert_ok(tsr_tokenizer_write(a, path));
        assert_ok(tsr_tokenizer_open(path, NULL, &b));
        assert_true(
            tsr_digest_equal(tsr_tokenizer_space(a)->tokenizer, tsr_tokenizer_space(b)->tokenizer));
        assert_string_equal(tsr_tokenizer_space(a)->modality, tsr_tokenizer_space(b)->modality);
        assert_ok(tsr_tokenizer_describe(a, &told));
        assert_ok(tsr_tokenizer_describe(b, &other));
        assert_true(
            json_equal(json_object_get(told, "settings"), json_object_get(other, "settings")));
        json_decref(told);
        json_decref(other);
        tsr_tokenizer_destroy(a);
        tsr_tokenizer_destroy(b);
    }
    /* Another vocabulary under the same name is noticed. */
    json_t *value;
    tsr_tokenizer *t;
    assert_ok(tsr_json_read(path, 1 << 20, &value));
    assert_ok(tsr_json_set(value, "text_hash", json_string("0123456789abcdef0123456789abcdef")));
    assert_ok(tsr_json_write(path, value, 0));
    assert_fails(TSR_EMISMATCH, tsr_tokenizer_open(path, NULL, &t));
    json_decref(value);
    tsr_free(path);
}

/* Make, encode, decode, describe, with the n-th allocation failing. */
static tsr_status whole_life(const char *recipe, const tsr_media *m, long n)
{
    tsr_tokenizer *t = NULL;
    tsr_tokens ids = {0};
    tsr_media got = {0};
    json_t *told = NULL, *config = parse(recipe);
    const tsr_inputs in = {.media = {m}, .count = 1};
    assert_ok(tsr_json_set(config, "text", json_string(text_path)));
    tsr_mem_fail_after(n);
    tsr_status st = tsr_tokenizer_create(config, "test recipe", &t);
    if (st == TSR_OK)
        st = tsr_tokenizer_encode(t, NULL, &in, &ids);
    if (st == TSR_OK)
        st = tsr_tokenizer_decode(t, NULL, &ids, &got);
    if (st == TSR_OK)
        st = tsr_tokenizer_describe(t, &told);
    tsr_mem_fail_after(0);
    tsr_tokens_clear(&ids);
    tsr_media_clear(&got);
    json_decref(told);
    json_decref(config);
    tsr_tokenizer_destroy(t);
    return st;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const recipes[] = {
        "{\"kind\":\"palette\",\"modality\":\"palette\"}",
        "{\"kind\":\"metadata\",\"modality\":\"m\",\"fields\":[{\"name\":\"a\","
        "\"type\":\"enum\",\"values\":[\"x\",\"y\"]}]}",
        "{\"kind\":\"boxes\",\"modality\":\"det\"}"};
    static const size_t columns[2] = {3, 2};
    tsr_media media[3] = {bands(colours, columns, 2), record_media("{\"a\":\"y\"}"),
                          record_media("{\"instances\":[{\"boxes\":[0,0,1,1],"
                                       "\"class_name\":\"a cat\"}]}")};
    for (size_t i = 0; i < 3; i++) {
        /* The vocabulary takes thousands of allocations: ever smaller steps, the last one by one.
         */
        long n = 1, step = 997, failures = 0;
        for (;; n += step) {
            tsr_status st = whole_life(recipes[i], &media[i], n);
            if (st == TSR_OK && step == 1)
                break;
            if (st == TSR_OK) {
                n -= step;
                step = step / 6 > 1 ? step / 6 : 1;
                continue;
            }
            assert_int_equal(st, TSR_ENOMEM);
            failures++;
        }
        assert_true(failures > 20);
        tsr_media_clear(&media[i]);
    }
}

static void what_is_no_tokenizer_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        tsr_status want;
    } files[] = {{"", 0, TSR_EFORMAT},
                 {"{}", 2, TSR_EUNSUPPORTED},
                 {"{\"kind\":\"x\"}", 12, TSR_EUNSUPPORTED},
                 {"\x10\0\0\0\0\0\0\0{\"a\":", 13, TSR_EFORMAT},
                 {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, TSR_EFORMAT},
                 {"\x02\0\0\0\0\0\0\0{}", 10, TSR_EUNSUPPORTED},
                 {"{\0\0\0\0\0\0\0{}", 10, TSR_EFORMAT},
                 {"{\"kind\":", 8, TSR_EFORMAT}};
    char *path;
    tsr_tokenizer *t;
    assert_ok(tsr_format(&path, "%s/test_sequences_bad", build_folder()));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_ok(tsr_file_write(path, files[i].bytes, files[i].n));
        tsr_status st = tsr_tokenizer_open(path, NULL, &t);
        if (st != files[i].want)
            fail_msg("file %zu: %s %s", i, tsr_status_name(st), tsr_error());
    }
    assert_fails(TSR_ENOENT, tsr_tokenizer_open("/no/such/file", NULL, &t));
    assert_fails(TSR_EFORMAT, tsr_tokenizer_open(build_folder(), NULL, &t));
    tsr_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(palettes_of_known_pictures),
        cmocka_unit_test(palettes_of_records),
        cmocka_unit_test(swatches_fill_the_picture),
        cmocka_unit_test(metadata_follows_4m),
        cmocka_unit_test(every_bin_comes_back),
        cmocka_unit_test(metadata_measures_pictures_and_texts),
        cmocka_unit_test(metadata_of_declared_fields),
        cmocka_unit_test(metadata_misses_no_required_field),
        cmocka_unit_test(bad_recipes_are_refused),
        cmocka_unit_test(boxes_are_cut_and_ordered),
        cmocka_unit_test(broken_boxes_are_left_out),
        cmocka_unit_test(text_goes_there_and_back),
        cmocka_unit_test(files_read_back_with_the_same_hash),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(what_is_no_tokenizer_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

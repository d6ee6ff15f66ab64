/* SPDX-License-Identifier: Apache-2.0
 * What the program shows: colours, pictures, progress, names of files, token lines. */
#include "testing.h"

#include "base/mem.h"
#include "cli/console.h"
#include "cli/preview.h"
#include "cli/progress.h"
#include "cli/tokenline.h"
#include "pipeline/outname.h"
#include "tasks/colours.h"
#include "tasks/picture.h"

#include <math.h>

/* Text written to a stream by the code under test. */
typedef struct capture {
    char *text;
    size_t bytes;
    FILE *f;
} capture;

static FILE *begin(capture *c)
{
    *c = (capture){0};
    c->f = open_memstream(&c->text, &c->bytes);
    assert_non_null(c->f);
    return c->f;
}

static const char *end(capture *c)
{
    fclose(c->f);
    return c->text;
}

static void ids_have_their_colours(void **state)
{
    (void)state;
    int equal = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        tsr_colour a = tsr_colour_of_id(i), again = tsr_colour_of_id(i),
                   b = tsr_colour_of_id(i + 1);
        assert_memory_equal(&a, &again, sizeof a);
        equal += memcmp(&a, &b, sizeof a) == 0;
    }
    assert_true(equal < 5);
}

static void ramp_gets_lighter_evenly(void **state)
{
    (void)state;
    int before = -1;
    for (int i = 0; i <= 16; i++) {
        tsr_colour c = tsr_colour_ramp(i / 16.0);
        int luma = 299 * c.r + 587 * c.g + 114 * c.b;
        assert_true(luma > before);
        before = luma;
    }
    tsr_colour low = tsr_colour_ramp(-1), zero = tsr_colour_ramp(0);
    assert_memory_equal(&low, &zero, sizeof low);
}

static void palette_of_256_is_nearest(void **state)
{
    (void)state;
    assert_int_equal(tsr_colour_256((tsr_colour){0, 0, 0}), 16);
    assert_int_equal(tsr_colour_256((tsr_colour){255, 255, 255}), 231);
    assert_int_equal(tsr_colour_256((tsr_colour){255, 0, 0}), 196);
    assert_int_equal(tsr_colour_256((tsr_colour){128, 128, 128}), 244);
}

static void depth_becomes_a_ramp(void **state)
{
    (void)state;
    tsr_image depth = {0}, rgb = {0};
    double low, high;
    assert_ok(tsr_image_init(&depth, 1, 3, 1, TSR_PIXEL_F32));
    float *d = depth.data;
    d[0] = 1;
    d[1] = NAN;
    d[2] = 5;
    assert_ok(tsr_picture_of_image(&depth, TSR_LOOK_DEPTH, &rgb, &low, &high));
    assert_true(low == 1 && high == 5);
    const uint8_t *p = rgb.data, black[3] = {0, 0, 0};
    tsr_colour near = tsr_colour_ramp(0), far = tsr_colour_ramp(1);
    assert_memory_equal(p, &near, 3);
    assert_memory_equal(p + 3, black, 3);
    assert_memory_equal(p + 6, &far, 3);
    tsr_image_clear(&rgb);
    tsr_image_clear(&depth);
}

static void tokens_become_squares(void **state)
{
    (void)state;
    uint32_t ids[4] = {7, 8, 9, 7};
    tsr_tokens t = {ids, 4};
    tsr_token_space s = {
        .layout = TSR_LAYOUT_GRID, .height = 2, .width = 2, .levels = 1, .codebook_size = 16};
    tsr_image rgb = {0};
    assert_ok(tsr_picture_of_tokens(&t, &s, 4, &rgb));
    assert_int_equal(rgb.height, 8);
    const uint8_t *p = rgb.data;
    tsr_colour c = tsr_colour_of_id(7);
    assert_memory_equal(p, &c, 3);
    assert_memory_equal(p + 3 * (7 * 8 + 7), &c, 3);
    tsr_image_clear(&rgb);
    t.count = 0;
    assert_fails(TSR_EARG, tsr_picture_of_tokens(&t, &s, 4, &rgb));
}

static void half_blocks_hold_two_pixels(void **state)
{
    (void)state;
    tsr_image rgb = {0};
    capture c;
    assert_ok(tsr_image_init(&rgb, 2, 2, 3, TSR_PIXEL_U8));
    ((uint8_t *)rgb.data)[0] = 255;
    tsr_screen s = {.out = begin(&c), .columns = 2, .colour = TSR_COLOUR_FULL};
    assert_ok(tsr_show_picture(&s, &rgb, 2));
    assert_string_equal(end(&c),
                        "\033[38;2;255;0;0m\033[48;2;0;0;0m▀\033[38;2;0;0;0m\033[48;2;0;0;0m"
                        "▀\033[0m\n");
    free(c.text);
    tsr_image_clear(&rgb);
}

static void legends_follow_depth_and_labels(void **state)
{
    (void)state;
    tsr_media m = {.kind = TSR_MEDIA_IMAGE};
    capture c;
    assert_ok(tsr_image_init(&m.as.image, 2, 2, 1, TSR_PIXEL_U8));
    ((uint8_t *)m.as.image.data)[3] = 9;
    tsr_screen s = {.out = begin(&c), .columns = 40, .colour = TSR_COLOUR_NONE};
    assert_ok(tsr_show_media(&s, &m, "label"));
    assert_ok(tsr_show_media(&s, &m, "depth"));
    const char *text = end(&c);
    assert_non_null(strstr(text, "0 (75%)"));
    assert_non_null(strstr(text, "9 (25%)"));
    assert_non_null(strstr(text, "0  9\n"));
    assert_null(strchr(text, '\033'));
    free(c.text);
    tsr_media_clear(&m);
}

static void a_tone_is_one_bright_row(void **state)
{
    (void)state;
    tsr_sound sound = {0};
    tsr_image rgb = {0};
    assert_ok(tsr_sound_init(&sound, 16000, 2, 16000));
    for (size_t i = 0; i < 32000; i++)
        sound.data[i] = (float)sin(6.283185307 * 1000 * (double)(i / 2) / 16000);
    assert_ok(tsr_picture_of_sound(&sound, 20, &rgb));
    size_t bright = 0;
    for (size_t y = 0; y < rgb.height; y++)
        bright += ((uint8_t *)tsr_image_row(&rgb, y))[3 * (rgb.width / 2) + 1] > 190;
    assert_in_range(bright, 1, 4);
    assert_fails(TSR_EARG, tsr_picture_of_sound(&sound, 3, &rgb));
    tsr_image_clear(&rgb);
    tsr_sound_clear(&sound);
}

static void sheets_fit_all_pictures(void **state)
{
    (void)state;
    tsr_image pictures[4] = {{0}}, sheet = {0};
    assert_ok(tsr_image_init(&pictures[0], 10, 300, 3, TSR_PIXEL_U8));
    assert_ok(tsr_image_init(&pictures[3], 1, 1, 3, TSR_PIXEL_U8));
    memset(pictures[3].data, 200, 3);
    assert_ok(tsr_picture_sheet(pictures, 2, 2, 16, &sheet));
    assert_int_equal(sheet.width, 44);
    assert_int_equal(((uint8_t *)tsr_image_row(&sheet, 30))[3 * 30], 200);
    tsr_image_clear(&sheet);
    tsr_image_clear(&pictures[0]);
    tsr_image_clear(&pictures[3]);
}

static void control_characters_are_shown(void **state)
{
    (void)state;
    capture c;
    tsr_put_text(begin(&c), "a\033[1m\n\tb\x7f\xc2\x9b"
                            "c\xc3\xa9");
    assert_string_equal(end(&c), "a␛[1m↵→b␡cé");
    free(c.text);
}

static void keys_stay_in_the_folder(void **state)
{
    (void)state;
    static const struct {
        const char *key, *name;
    } cases[] = {{"a/b.png", "out/a_b.rgb.png"},
                 {"../../x", "out/x.rgb.png"},
                 {"/etc/passwd", "out/etc_passwd.rgb.png"},
                 {"..", "out/unnamed.rgb.png"},
                 {"a\nb", "out/a_b.rgb.png"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name;
        assert_ok(tsr_out_name("out", cases[i].key, "rgb", "png", &name));
        assert_string_equal(name, cases[i].name);
        tsr_free(name);
    }
}

static void token_lines_come_back(void **state)
{
    (void)state;
    uint32_t ids[4] = {0, 1, 2, 15};
    tsr_tokens t = {ids, 4};
    tsr_token_space s = {.modality = "rgb",
                         .layout = TSR_LAYOUT_GRID,
                         .height = 2,
                         .width = 2,
                         .levels = 1,
                         .codebook_size = 16,
                         .base = 100,
                         .vocabulary = "rgb"};
    json_t *v;
    char *text;
    tsr_token_line line;
    assert_ok(tsr_token_line_json("k", &s, &t, &v));
    assert_int_equal(json_integer_value(json_array_get(json_object_get(v, "global"), 3)), 115);
    assert_ok(tsr_json_text(v, 0, &text));
    assert_ok(tsr_token_line_parse(text, strlen(text), "here", &line));
    assert_string_equal(line.key, "k");
    assert_int_equal(line.tokens.count, 4);
    assert_int_equal(line.tokens.ids[3], 15);
    assert_int_equal(line.space.base, 100);
    tsr_token_line_clear(&line);
    for (size_t n = 0; n < strlen(text); n++)
        assert_fails(TSR_EFORMAT, tsr_token_line_parse(text, n, "here", &line));
    tsr_free(text);
    json_decref(v);
    assert_fails(TSR_EFORMAT, tsr_token_line_json("\xff", &s, &t, &v));
}

/* What a line says of a sequence and of patches: no member without meaning. */
static void token_lines_fit_their_layout(void **state)
{
    (void)state;
    uint32_t values[2 * 3 * 12];
    tsr_tokens words = {values, 5}, pixels = {values, 72};
    tsr_token_space seq = {.modality = "caption",
                           .layout = TSR_LAYOUT_SEQUENCE,
                           .height = 1,
                           .width = 1,
                           .levels = 1,
                           .codebook_size = 300,
                           .vocabulary = "text"};
    tsr_token_space patches = {.modality = "rgb@4", .tokenizer = {7, 8}};
    tsr_space_set_patches(&patches, 2, 3, 2);
    for (uint32_t i = 0; i < 72; i++)
        values[i] = i % 2 ? i : 255 - i;
    const tsr_token_space *spaces[] = {&seq, &patches};
    const tsr_tokens *tokens[] = {&words, &pixels};
    for (int i = 0; i < 2; i++) {
        json_t *v;
        char *text;
        tsr_token_line line;
        assert_ok(tsr_token_line_json("k", spaces[i], tokens[i], &v));
        assert_int_equal(json_object_get(v, "grid") != NULL, i);
        assert_int_equal(json_object_get(v, "ids") == NULL, i);
        assert_int_equal(json_object_get(v, "global") == NULL, i);
        assert_int_equal(json_object_get(v, "values") != NULL, i);
        assert_int_equal(json_object_get(v, "codebook_size") == NULL, i);
        assert_null(json_object_get(v, "levels"));
        assert_ok(tsr_json_text(v, 0, &text));
        assert_ok(tsr_token_line_parse(text, strlen(text), "here", &line));
        assert_int_equal(line.space.layout, spaces[i]->layout);
        assert_int_equal(line.space.height, spaces[i]->height);
        assert_int_equal(line.space.width, spaces[i]->width);
        assert_int_equal(line.space.levels, spaces[i]->levels);
        assert_int_equal(line.space.codebook_size, spaces[i]->codebook_size);
        assert_string_equal(line.space.vocabulary, spaces[i]->vocabulary);
        assert_int_equal(line.tokens.count, tokens[i]->count);
        assert_memory_equal(line.tokens.ids, values, tokens[i]->count * sizeof *values);
        tsr_token_line_clear(&line);
        tsr_free(text);
        json_decref(v);
    }
}

static void wrong_patches_are_refused(void **state)
{
    (void)state;
    static const char start[] =
        "{\"key\": \"k\", \"modality\": \"rgb@2\", \"layout\": \"patches\", "
        "\"tokenizer\": \"00000000000000000000000000000000\", ";
    static const char *const rest[] = {
        "\"grid\": [1, 1], \"patch_size\": 1, \"values\": [1, 2]}",
        "\"grid\": [1, 1], \"patch_size\": 1, \"values\": [1, 2, 256]}",
        "\"grid\": [1, 1], \"patch_size\": 1, \"values\": [1, 2, -1]}",
        "\"grid\": [1, 1], \"patch_size\": 5000, \"values\": [1, 2, 3]}",
        "\"grid\": [1, 1], \"patch_size\": 0, \"values\": []}",
        "\"grid\": [1, 1], \"values\": [1, 2, 3]}",
        "\"patch_size\": 1, \"values\": [1, 2, 3]}",
        "\"grid\": [1, 1], \"patch_size\": 1, \"ids\": [1, 2, 3]}",
    };
    char text[512];
    tsr_token_line line;
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        snprintf(text, sizeof text, "%s%s", start, rest[i]);
        assert_fails(TSR_EFORMAT, tsr_token_line_parse(text, strlen(text), "here", &line));
    }
    snprintf(text, sizeof text, "%s%s", start,
             "\"grid\": [1, 1], \"patch_size\": 1, \"values\": [1, 2, 255]}");
    assert_ok(tsr_token_line_parse(text, strlen(text), "here", &line));
    tsr_token_line_clear(&line);
}

static void patches_are_pictures(void **state)
{
    (void)state;
    uint32_t values[2 * 12];
    tsr_tokens t = {values, 24};
    tsr_token_space s = {.modality = "rgb@2"};
    tsr_image rgb;
    tsr_space_set_patches(&s, 1, 2, 2);
    for (uint32_t i = 0; i < 24; i++)
        values[i] = 10 * i;
    assert_ok(tsr_picture_of_tokens(&t, &s, 8, &rgb));
    assert_int_equal(rgb.height, 2);
    assert_int_equal(rgb.width, 4);
    /* The second patch begins at the third pixel, its second row below. */
    assert_int_equal(((uint8_t *)tsr_image_row(&rgb, 0))[6], 120);
    assert_int_equal(((uint8_t *)tsr_image_row(&rgb, 1))[6], 180);
    tsr_image_clear(&rgb);
    t.count = 23;
    assert_fails(TSR_EARG, tsr_picture_of_tokens(&t, &s, 8, &rgb));
}

static void progress_says_where_it_is(void **state)
{
    (void)state;
    tsr_meter m;
    tsr_job job;
    capture c;
    tsr_meter_init(&m, TSR_PROGRESS_JSON, &job);
    m.out = begin(&c);
    tsr_job_report(&job, &(tsr_progress){.phase = "p", .done = 1, .total = 4, .unit = "steps"});
    tsr_job_report(&job, &(tsr_progress){.phase = "p", .done = 4, .total = 4, .failed = 2});
    tsr_job_warn(&job, "look at %d", 7);
    tsr_meter_finish(&m);
    const char *text = end(&c);
    assert_non_null(strstr(text, "\"phase\": \"p\", \"done\": 4, \"total\": 4, \"failed\": 2"));
    assert_non_null(strstr(text, "tessera: look at 7\n"));
    free(c.text);
}

static void bars_and_lines(void **state)
{
    (void)state;
    tsr_meter m;
    tsr_job job;
    capture c;
    tsr_meter_init(&m, TSR_PROGRESS_BAR, &job);
    m.out = begin(&c);
    m.columns = 60;
    tsr_job_report(&job, &(tsr_progress){.phase = "q", .done = 2, .total = 4, .unit = "steps"});
    tsr_meter_finish(&m);
    m.style = TSR_PROGRESS_LINE;
    tsr_job_report(&job, &(tsr_progress){.phase = "r", .done = 0, .total = -1, .note = "note"});
    tsr_meter_finish(&m);
    const char *text = end(&c);
    assert_non_null(strstr(text, "████████████"));
    assert_non_null(strstr(text, "2/4 steps"));
    assert_non_null(strstr(text, "\nr: 0"));
    free(c.text);
}

static void numbers_are_short(void **state)
{
    (void)state;
    char text[16];
    tsr_short_number(12345, text);
    assert_string_equal(text, "12.3k");
    tsr_short_number(0.5, text);
    assert_string_equal(text, "0.5");
    tsr_short_time(3723, text);
    assert_string_equal(text, "1:02:03");
    tsr_short_time(65, text);
    assert_string_equal(text, "1:05");
}

static void statuses_have_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(tsr_exit_code(TSR_OK), 0);
    assert_int_equal(tsr_exit_code(TSR_EIO), 1);
    assert_int_equal(tsr_exit_code(TSR_ECONFIG), 2);
    assert_int_equal(tsr_exit_code(TSR_EMISMATCH), 3);
    assert_int_equal(tsr_exit_code(TSR_ECANCEL), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_have_their_colours),
        cmocka_unit_test(ramp_gets_lighter_evenly),
        cmocka_unit_test(palette_of_256_is_nearest),
        cmocka_unit_test(depth_becomes_a_ramp),
        cmocka_unit_test(tokens_become_squares),
        cmocka_unit_test(patches_are_pictures),
        cmocka_unit_test(token_lines_fit_their_layout),
        cmocka_unit_test(wrong_patches_are_refused),
        cmocka_unit_test(half_blocks_hold_two_pixels),
        cmocka_unit_test(legends_follow_depth_and_labels),
        cmocka_unit_test(a_tone_is_one_bright_row),
        cmocka_unit_test(sheets_fit_all_pictures),
        cmocka_unit_test(control_characters_are_shown),
        cmocka_unit_test(keys_stay_in_the_folder),
        cmocka_unit_test(token_lines_come_back),
        cmocka_unit_test(progress_says_where_it_is),
        cmocka_unit_test(bars_and_lines),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(statuses_have_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

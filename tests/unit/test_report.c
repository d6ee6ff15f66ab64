/* SPDX-License-Identifier: Apache-2.0
 * The report's writer: escaping, base64, readable numbers, ticks, smoothing, reading of logs. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "tasks/report.h"
#include "tasks/report_data.h"
#include "tasks/report_html.h"
#include "tasks/report_svg.h"

#include <math.h>
#include <string.h>

static void strings_are_escaped(void **state)
{
    (void)state;
    const char *volatile nothing = NULL;
    tsr_html h = {0};
    tsr_html_f(&h, "<a title=\"%s\">%s</a>%d%%", "\"'", "<script>&amp;\x01\xff\xc3\xa9\n", -3);
    assert_int_equal(h.status, TSR_OK);
    assert_string_equal(h.text.s, "<a title=\"&quot;&#39;\">&lt;script&gt;&amp;amp;"
                                  "\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\n</a>-3%");
    tsr_html_clear(&h);
    tsr_html_f(&h, "%zu %.2f %g %c%s|", (size_t)7, 1.005, 2.5, 'x', nothing);
    assert_string_equal(h.text.s, "7 1.00 2.5 x|");
    tsr_html_clear(&h);
}

static void other_conversions_fail(void **state)
{
    (void)state;
    tsr_html h = {0};
    tsr_html_f(&h, "%u", 3u);
    assert_int_equal(h.status, TSR_EARG);
    tsr_html_raw(&h, "ignored");
    assert_null(h.text.s);
    tsr_html_clear(&h);
}

/* RFC 4648, section 10, and more than one line's worth. */
static void base64_is_that_of_the_standard(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tsr_str s = {0};
        assert_int_equal(tsr_base64(cases[i].in, strlen(cases[i].in), &s), TSR_OK);
        assert_string_equal(s.s ? s.s : "", cases[i].out);
        tsr_str_clear(&s);
    }
    char zeros[3001] = {0};
    tsr_str s = {0};
    assert_int_equal(tsr_base64(zeros, sizeof zeros, &s), TSR_OK);
    assert_int_equal(s.len, 4004);
    assert_int_equal(strspn(s.s, "A"), 4002);
    tsr_str_clear(&s);
}

static void numbers_are_readable(void **state)
{
    (void)state;
    static const struct {
        double v;
        int digits;
        const char *text;
    } cases[] = {{0, 3, "0"},
                 {1234567, 9, "1,234,567"},
                 {-1234.5, 5, "-1,234.5"},
                 {0.08123, 3, "0.0812"},
                 {33, 3, "33.0"},
                 {100, 3, "100"},
                 {999.96, 4, "1,000.0"},
                 {2e-5, 2, "2e-05"},
                 {NAN, 3, "–"},
                 {0.5, 2, "0.50"},
                 {12.345, 3, "12.3"},
                 {-INFINITY, 3, "–"}};
    char text[TSR_NUMBER_CHARS];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(tsr_number_text(cases[i].v, cases[i].digits, text), cases[i].text);
    assert_string_equal(tsr_seconds_text(507, text), "8 min 27 s");
    assert_string_equal(tsr_seconds_text(41.2, text), "41 s");
    assert_string_equal(tsr_seconds_text(0.25, text), "0.25 s");
    assert_string_equal(tsr_seconds_text(7500, text), "2 h 5 min");
    assert_string_equal(tsr_seconds_text(NAN, text), "–");
    assert_string_equal(tsr_bytes_text(12345, text), "12.3 kB");
    assert_string_equal(tsr_bytes_text(840, text), "840 bytes");
}

static void ticks_are_round_and_inside(void **state)
{
    (void)state;
    double ticks[16];
    assert_int_equal(tsr_ticks(0, 10, 6, ticks), 6);
    for (int i = 0; i < 6; i++)
        assert_float_equal(ticks[i], 2 * i, 1e-12);
    for (double low = -3; low < 3; low += 0.37)
        for (double span = 1e-3; span < 1e5; span *= 3.3) {
            size_t n = tsr_ticks(low, low + span, 6, ticks);
            assert_in_range(n, 1, 6);
            assert_true(ticks[0] >= low - span * 1e-6);
            assert_true(ticks[n - 1] <= low + span * (1 + 1e-6));
        }
}

static void smoothing_looks_back_only(void **state)
{
    (void)state;
    const double v[] = {2, 4, NAN, 8, 0};
    double out[5];
    tsr_smooth(v, 5, 2, out);
    assert_float_equal(out[0], 2, 0);
    assert_float_equal(out[1], 3, 0);
    assert_float_equal(out[2], 4, 0);
    assert_float_equal(out[3], 8, 0);
    assert_float_equal(out[4], 4, 0);
    const double none[] = {NAN};
    tsr_smooth(none, 1, 3, out);
    assert_true(isnan(out[0]));
}

static void charts_survive_what_is_not_finite(void **state)
{
    (void)state;
    const double x[] = {0, 1, 2, 3}, y[] = {NAN, 1, 0, 2}, bad[] = {NAN, NAN, INFINITY, NAN};
    tsr_series s = {"<loss>", x, y, 4, TSR_MARK_LINE, 1};
    tsr_chart c = {.title = "t", .x_label = "step", .y_label = "nats", .series = &s, .n_series = 1};
    tsr_html h = {0};
    tsr_chart_draw(&h, &c);
    c.log_y = 1; /* 0 cannot be drawn: two pieces of line */
    tsr_chart_draw(&h, &c);
    assert_int_equal(h.status, TSR_OK);
    assert_non_null(strstr(h.text.s, "&lt;loss&gt;"));
    assert_null(strstr(h.text.s, "nan"));
    assert_null(strstr(h.text.s, "inf"));
    tsr_html_clear(&h);
    s.y = bad;
    tsr_chart_draw(&h, &c);
    assert_non_null(strstr(h.text.s, "no values"));
    tsr_html_clear(&h);
}

static void logs_may_end_in_a_torn_line(void **state)
{
    (void)state;
    static const char text[] =
        "{\"step\": 1, \"a\": {\"b\": 2}}\n\n[3]\n{\"step\": 2, \"a\": {\"b\"";
    json_t *list;
    size_t bad;
    double *x, *y;
    assert_int_equal(tsr_file_write("test_report.tmp", text, sizeof text - 1), TSR_OK);
    assert_int_equal(tsr_report_lines("test_report.tmp", &list, &bad), TSR_OK);
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(bad, 2);
    assert_int_equal(tsr_report_column(list, "step", "a.b", &x, &y), 1);
    assert_float_equal(y[0], 2, 0);
    tsr_free(x);
    tsr_free(y);
    json_decref(list);
    assert_int_equal(tsr_report_lines("no such file", &list, &bad), TSR_ENOENT);
}

static void nothing_to_report_is_an_error(void **state)
{
    (void)state;
    char *html;
    size_t bytes;
    tsr_report_spec spec = {.folder = "no such folder"};
    assert_int_equal(tsr_report_make(&spec, &html, &bytes, NULL), TSR_ENOENT);
    spec.folder = NULL;
    assert_int_equal(tsr_report_make(&spec, &html, &bytes, NULL), TSR_ENOENT);
    spec.corpus = "no such corpus";
    assert_int_equal(tsr_report_make(&spec, &html, &bytes, NULL), TSR_ENOENT);
}

static void metrics_have_names_and_units(void **state)
{
    (void)state;
    char text[64];
    tsr_metric_name other;
    assert_string_equal(tsr_metric_text(tsr_metric_find("psnr_db", &other), 27.895, text),
                        "27.9 dB");
    assert_string_equal(tsr_metric_text(tsr_metric_find("miou", &other), 0.8525, text), "85.2 %");
    assert_string_equal(tsr_metric_text(tsr_metric_find("angle_deg", &other), 5, text), "5.00°");
    assert_string_equal(tsr_metric_find("<new>", &other)->label, "<new>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(other_conversions_fail),
        cmocka_unit_test(base64_is_that_of_the_standard),
        cmocka_unit_test(numbers_are_readable),
        cmocka_unit_test(ticks_are_round_and_inside),
        cmocka_unit_test(smoothing_looks_back_only),
        cmocka_unit_test(charts_survive_what_is_not_finite),
        cmocka_unit_test(logs_may_end_in_a_torn_line),
        cmocka_unit_test(nothing_to_report_is_an_error),
        cmocka_unit_test(metrics_have_names_and_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * JSON parsing, members and the writer's numbers. */
#include "testing.h"

#include "base/json.h"
#include "base/mem.h"

static json_t *parsed(const char *text)
{
    json_t *v;
    assert_ok(tsr_json_parse(text, strlen(text), "test", &v));
    return v;
}

static void text_comes_back(void **state)
{
    (void)state;
    const char *source =
        "{\"b\": [1, 2.5, true, null], \"a\": {\"x\": \"q\\\"\\n\\u0001\"}, \"z\": []}";
    json_t *v = parsed(source);
    char *text;
    assert_ok(tsr_json_text(v, 0, &text));
    assert_string_equal(text, source);
    tsr_free(text);
    assert_ok(tsr_json_text(v, 2, &text));
    json_t *again = parsed(text);
    assert_true(json_equal(v, again));
    assert_non_null(strstr(text, "\n  \"b\": [1, 2.5, true, null],"));
    tsr_free(text);
    json_decref(again);
    json_decref(v);
}

static void reals_are_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *text;
    } cases[] = {{0.1, "0.1"},   {1e-5, "1e-05"},
                 {3, "3.0"},     {1.0 / 3, "0.3333333333333333"},
                 {-0.0, "-0.0"}, {5e-324, "4.94065645841247e-324"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *v = json_real(cases[i].x);
        char *text;
        assert_ok(tsr_json_text(v, 0, &text));
        assert_string_equal(text, cases[i].text);
        assert_true(strtod(text, NULL) == cases[i].x);
        tsr_free(text);
        json_decref(v);
    }
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "{",           "{\"a\": 1, \"a\": 2}",
                                      "[1] x", "\"\xff\"",    "99999999999999999999",
                                      "1e999", "{\"a\": NaN}"};
    json_t *v;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(TSR_EFORMAT, tsr_json_parse(bad[i], strlen(bad[i]), "here.json", &v));
        assert_non_null(strstr(tsr_error(), "here.json: line 1"));
    }
    char deep[5000];
    memset(deep, '[', sizeof deep);
    assert_fails(TSR_EFORMAT, tsr_json_parse(deep, sizeof deep, "deep", &v));
}

static void members_are_checked(void **state)
{
    (void)state;
    json_t *v = parsed("{\"s\": \"x\", \"i\": 3, \"r\": 1.5, \"l\": []}");
    const char *s;
    long long i;
    double r;
    const json_t *l;
    assert_ok(tsr_json_string(v, "s", "o", &s));
    assert_string_equal(s, "x");
    assert_ok(tsr_json_int(v, "i", "o", &i));
    assert_int_equal(i, 3);
    assert_ok(tsr_json_number(v, "i", "o", &r));
    assert_true(r == 3);
    assert_ok(tsr_json_number(v, "r", "o", &r));
    assert_true(r == 1.5);
    assert_ok(tsr_json_member(v, "l", "o", JSON_ARRAY, &l));
    assert_fails(TSR_EFORMAT, tsr_json_int(v, "r", "o", &i));
    assert_fails(TSR_EFORMAT, tsr_json_string(v, "i", "o", &s));
    assert_non_null(strstr(tsr_error(), "\"i\" is an integer, not text"));
    assert_fails(TSR_EFORMAT, tsr_json_string(v, "none", "o", &s));
    json_decref(v);
}

static void files_come_back(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/test_json.tmp", build_folder());
    json_t *v = parsed("{\"key\": [1, 2, 3]}"), *again;
    assert_ok(tsr_json_write(path, v, 2));
    assert_ok(tsr_json_read(path, 100, &again));
    assert_true(json_equal(v, again));
    json_decref(again);
    assert_fails(TSR_ELIMIT, tsr_json_read(path, 3, &again));
    remove(path);
    assert_fails(TSR_ENOENT, tsr_json_read(path, 3, &again));
    json_t *bad = json_array();
    assert_ok(tsr_json_append(bad, json_integer(1)));
    assert_ok(tsr_json_set(v, "list", bad));
    assert_fails(TSR_ENOMEM, tsr_json_set(v, "none", NULL));
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),           cmocka_unit_test(reals_are_short_and_exact),
        cmocka_unit_test(malformed_text_is_refused), cmocka_unit_test(members_are_checked),
        cmocka_unit_test(files_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

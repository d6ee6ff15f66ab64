/* SPDX-License-Identifier: Apache-2.0
 * Recipes: YAML scalars, schema check, overrides, and the text kept beside outputs. */
#include "testing.h"

#include "base/mem.h"
#include "base/recipe.h"

static const tsr_field fields[] = {
    {"name", TSR_FIELD_STRING, "!", 0, 0, "name of the modality"},
    {"train.steps", TSR_FIELD_INT, "1000", 1, 1e9, "optimizer steps"},
    {"train.rate", TSR_FIELD_NUMBER, "1e-4", 0, 1, "learning rate"},
    {"train.shuffle", TSR_FIELD_BOOL, "true", 0, 0, "shuffle samples"},
    {"files", TSR_FIELD_STRINGS, NULL, 0, 0, "input files"},
    {"mean", TSR_FIELD_NUMBERS, NULL, -1, 1, "channel means"},
    {"modalities.*.kind", TSR_FIELD_STRING, NULL, 0, 0, "kind"},
    {"steps.*.size", TSR_FIELD_INT, NULL, 1, 9, "size"},
    {"extra", TSR_FIELD_ANY, NULL, 0, 0, "anything"},
};

static tsr_status open_with(const char *text, const char *const *over, size_t n, tsr_recipe **r)
{
    return tsr_recipe_parse(text, strlen(text), "test.yaml", over, n, fields,
                            sizeof fields / sizeof fields[0], r);
}

static void values_and_defaults(void **state)
{
    (void)state;
    tsr_recipe *r;
    assert_ok(open_with("name: rgb\ntrain:\n  steps: 1e3\n  rate: 1\nfiles: one\n"
                        "mean: [0.5, -1]\nmodalities:\n  rgb: {kind: image}\n"
                        "steps:\n  - size: 3\n  - size: 4\nextra: {any: [thing, {a: ~}]}\n",
                        NULL, 0, &r));
    assert_string_equal(tsr_recipe_string(r, "name", ""), "rgb");
    assert_int_equal(tsr_recipe_int(r, "train.steps", 0), 1000);
    assert_true(tsr_recipe_number(r, "train.rate", 0) == 1);
    assert_int_equal(tsr_recipe_bool(r, "train.shuffle", 0), 1);
    assert_string_equal(tsr_recipe_string(r, "files.0", ""), "one");
    assert_true(tsr_recipe_number(r, "mean.1", 0) == -1);
    assert_string_equal(tsr_recipe_string(r, "modalities.rgb.kind", ""), "image");
    assert_int_equal(tsr_recipe_int(r, "steps.1.size", 0), 4);
    assert_int_equal(tsr_recipe_int(r, "steps.2.size", -7), -7);
    assert_true(json_is_null(tsr_recipe_get(r, "extra.any.1.a")));
    assert_null(tsr_recipe_get(r, "nothing.here"));
    tsr_recipe_close(r);
}

static void scalars_follow_yaml_1_2(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        json_type type;
    } cases[] = {{"yes", JSON_STRING},   {"\"1\"", JSON_STRING}, {"'true'", JSON_STRING},
                 {"0x1F", JSON_INTEGER}, {"0o17", JSON_INTEGER}, {"-12", JSON_INTEGER},
                 {"1e-4", JSON_REAL},    {".5", JSON_REAL},      {"1.", JSON_REAL},
                 {"TRUE", JSON_TRUE},    {"null", JSON_NULL},    {"1.2.3", JSON_STRING},
                 {"12:30", JSON_STRING}, {"1_000", JSON_STRING}, {"e5", JSON_STRING}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "name: x\nextra: {v: %s}\n", cases[i].text);
        tsr_recipe *r;
        assert_ok(open_with(text, NULL, 0, &r));
        assert_int_equal(json_typeof(tsr_recipe_get(r, "extra.v")), cases[i].type);
        tsr_recipe_close(r);
    }
}

static void overrides_win(void **state)
{
    (void)state;
    const char *over[] = {"train.steps=5", "train.rate=", "modalities.depth.kind=depth",
                          "mean=[0, 0.25]", "steps.0.size=9"};
    tsr_recipe *r;
    assert_ok(
        open_with("name: rgb\ntrain: {steps: 9, rate: 0.5}\nsteps: [{size: 1}]\n", over, 5, &r));
    assert_int_equal(tsr_recipe_int(r, "train.steps", 0), 5);
    assert_true(tsr_recipe_number(r, "train.rate", 0) == 1e-4);
    assert_string_equal(tsr_recipe_string(r, "modalities.depth.kind", ""), "depth");
    assert_true(tsr_recipe_number(r, "mean.1", 0) == 0.25);
    assert_int_equal(tsr_recipe_int(r, "steps.0.size", 0), 9);
    tsr_recipe_close(r);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"train: {steps: 1}\n", "\"name\" is missing"},
        {"name: x\ntrian: {steps: 1}\n", "line 2: trian: unknown key; did you mean \"train\"?"},
        {"name: x\ntrain:\n  setps: 1\n",
         "line 3: train.setps: unknown key; did you mean \"steps\"?"},
        {"name: x\nmodalities:\n  a:\n    knid: z\n", "did you mean \"kind\"?"},
        {"name: x\ntrain: {steps: 0}\n", "outside 1 to 1000000000"},
        {"name: x\ntrain: {steps: 1.5}\n", "is a number, expected a whole number"},
        {"name: x\ntrain: {shuffle: yes}\n", "expected true or false"},
        {"name: 12\n", "put it in quotes"},
        {"name: x\ntrain: 3\n", "expected a mapping"},
        {"name: x\nname: y\n", "appears twice"},
        {"name: &a x\nfiles: *a\n", "anchors"},
        {"name: !!str x\n", "tag"},
        {"name: x\ntrain: {rate: .inf}\n", "not a finite number"},
        {"name: x\n---\nname: y\n", "more than one YAML document"},
        {"name: [x\n", "not valid YAML"},
        {"- a\n", "expected a mapping of keys"},
        {"name: x\na.b: y\n", "holds a dot"},
        {"name: x\ntrain: {steps: 99999999999999999999}\n", "64 bits"},
        {"name: x\nmean: [2]\n", "outside -1 to 1"},
        {"name: x\n? [a]\n: b\n", "a key must be a word"},
        {"name: \"a\\0b\"\n", "NUL"},
        {"", "missing"},
    };
    tsr_recipe *r;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_fails(TSR_ECONFIG, open_with(cases[i].text, NULL, 0, &r));
        if (!strstr(tsr_error(), cases[i].says) || !strstr(tsr_error(), "test.yaml"))
            fail_msg("\"%s\" does not say \"%s\"", tsr_error(), cases[i].says);
    }
}

static void bad_overrides_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "train", "=3", "train.stpes=3", "name.x=3", "train..x=1", "train.steps=[", "mean.7=1"};
    tsr_recipe *r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(TSR_ECONFIG, open_with("name: x\nmean: [0]\n", &bad[i], 1, &r));
    const char *close = "train.stpes=3";
    assert_fails(TSR_ECONFIG, open_with("name: x\n", &close, 1, &r));
    assert_non_null(strstr(tsr_error(), "-s train.stpes: unknown key; did you mean \"steps\"?"));
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char text[4096] = "name: x\nextra: ";
    memset(text + strlen(text), '[', 2000);
    tsr_recipe *r;
    assert_fails(TSR_ECONFIG, open_with(text, NULL, 0, &r));
}

static void text_reads_back(void **state)
{
    (void)state;
    tsr_recipe *r, *again;
    char *text;
    assert_ok(
        open_with("name: 'true'\nextra: {list: [1, 2.5, '3', 'a: b', ''], t: \"\\u00e9\\t#\",\n"
                  "  m: [{a: 1}, [2]], n: ~, e: {}, l: []}\n",
                  NULL, 0, &r));
    assert_ok(tsr_recipe_text(r, &text));
    assert_ok(open_with(text, NULL, 0, &again));
    assert_true(json_equal(tsr_recipe_get(r, "extra"), tsr_recipe_get(again, "extra")));
    assert_string_equal(tsr_recipe_string(again, "name", ""), "true");
    tsr_free(text);
    assert_fails(TSR_ECONFIG, tsr_recipe_fail(r, "name", "is %s", "odd"));
    assert_string_equal(tsr_error(), "test.yaml: line 1: name: is odd");
    tsr_recipe_close(again);
    tsr_recipe_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_defaults),     cmocka_unit_test(scalars_follow_yaml_1_2),
        cmocka_unit_test(overrides_win),           cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(bad_overrides_are_named), cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(text_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

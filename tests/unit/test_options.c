/* SPDX-License-Identifier: Apache-2.0
 * Command lines from option tables. */
#include "testing.h"

#include "base/options.h"

typedef struct settings {
    int verbose, mode;
    long long threads;
    double rate;
    const char *name;
    tsr_option_list sets;
} settings;

static const tsr_option options[] = {
    {"verbose", 'v', TSR_OPT_FLAG, offsetof(settings, verbose), NULL, 0, 0, NULL, "say more"},
    {"threads", 'j', TSR_OPT_INT, offsetof(settings, threads), "2", 1, 4096, "N", "threads"},
    {"rate", 0, TSR_OPT_NUMBER, offsetof(settings, rate), "0.5", 0, 1, "X", "a rate"},
    {"name", 'n', TSR_OPT_STRING, offsetof(settings, name), NULL, 0, 0, "NAME", "a name"},
    {"mode", 0, TSR_OPT_CHOICE, offsetof(settings, mode), "auto", 0, 0, "auto|on|off", "a mode"},
    {"set", 's', TSR_OPT_LIST, offsetof(settings, sets), NULL, 0, 0, "K=V", "override"},
};

static const tsr_command command = {
    .name = "try",
    .operands = "FILE...",
    .summary = "Try things.",
    .details = "One.\n\n  kept  so\n",
    .min_operands = 1,
    .max_operands = 3,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
};

static tsr_status run(const char *const *words, settings *s, int *n, char **argv)
{
    int argc = 0, help;
    argv[argc++] = (char *)"try";
    for (; *words; words++)
        argv[argc++] = (char *)*words;
    *s = (settings){0};
    return tsr_options_parse(&command, argc, argv, s, n, &help);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL}, &s, &n, argv)

static void values_are_read(void **state)
{
    (void)state;
    settings s;
    int n;
    char *argv[16];
    assert_ok(RUN("a", "-vj4", "--rate=0.25", "b", "--name", "x", "--mode", "off", "-s", "p=1",
                  "-sq=2", "--", "-c"));
    assert_int_equal(n, 3);
    assert_string_equal(argv[0], "a");
    assert_string_equal(argv[1], "b");
    assert_string_equal(argv[2], "-c");
    assert_int_equal(s.verbose, 1);
    assert_int_equal(s.threads, 4);
    assert_true(s.rate == 0.25);
    assert_string_equal(s.name, "x");
    assert_int_equal(s.mode, 2);
    assert_int_equal(s.sets.count, 2);
    assert_string_equal(s.sets.items[1], "q=2");
    tsr_options_clear(&command, &s);
}

static void defaults_and_suffixes(void **state)
{
    (void)state;
    settings s;
    int n;
    char *argv[16];
    assert_ok(RUN("-"));
    assert_int_equal(n, 1);
    assert_int_equal(s.threads, 2);
    assert_int_equal(s.mode, 0);
    assert_true(s.rate == 0.5);
    assert_null(s.name);
    assert_ok(RUN("x", "-j", "2K"));
    assert_int_equal(s.threads, 2000);
    assert_ok(RUN("x", "-j", "2Ki"));
    assert_int_equal(s.threads, 2048);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    settings s;
    int n;
    char *argv[16];
    assert_fails(TSR_EARG, RUN("x", "--thread=3"));
    assert_non_null(strstr(tsr_error(), "--threads"));
    assert_fails(TSR_EARG, RUN("x", "--zzzzzzz"));
    assert_fails(TSR_EARG, RUN("x", "-q"));
    assert_fails(TSR_EARG, RUN("x", "-j", "0"));
    assert_fails(TSR_EARG, RUN("x", "-j", "5K"));
    assert_fails(TSR_EARG, RUN("x", "-j", "many"));
    assert_fails(TSR_EARG, RUN("x", "-j", "99999999999G"));
    assert_fails(TSR_EARG, RUN("x", "-j"));
    assert_fails(TSR_EARG, RUN("x", "--rate=nan"));
    assert_fails(TSR_EARG, RUN("x", "--rate="));
    assert_fails(TSR_EARG, RUN("x", "--mode=au"));
    assert_fails(TSR_EARG, RUN("x", "--verbose=1"));
    assert_fails(TSR_EARG, RUN("1", "2", "3", "4"));
    assert_fails(TSR_EARG, RUN("-v"));
}

static void help_lists_every_option(void **state)
{
    (void)state;
    settings s = {0};
    char *argv[] = {(char *)"try", (char *)"--help"};
    int n, help = 0;
    assert_ok(tsr_options_parse(&command, 2, argv, &s, &n, &help));
    assert_int_equal(help, 1);
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    tsr_options_help(&command, "tessera", f);
    fclose(f);
    assert_non_null(strstr(text, "Usage: tessera try [OPTIONS] FILE..."));
    assert_non_null(strstr(text, "\n  kept  so\n"));
    for (size_t i = 0; i < command.n_options; i++)
        assert_non_null(strstr(text, options[i].name));
    assert_non_null(strstr(text, "(default: auto)"));
    free(text);
}

static void table_is_described(void **state)
{
    (void)state;
    json_t *v;
    assert_ok(tsr_options_json(&command, &v));
    const json_t *list = json_object_get(v, "options");
    assert_int_equal(json_array_size(list), command.n_options);
    const json_t *threads = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(threads, "letter")), "j");
    assert_string_equal(json_string_value(json_object_get(threads, "default")), "2");
    assert_int_equal(json_array_size(json_object_get(threads, "range")), 2);
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),    cmocka_unit_test(defaults_and_suffixes),
        cmocka_unit_test(mistakes_are_named), cmocka_unit_test(help_lists_every_option),
        cmocka_unit_test(table_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

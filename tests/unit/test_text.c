/* SPDX-License-Identifier: Apache-2.0
 * WordPiece: ids and text of the Hugging Face library, files, values, hostile input, training. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text.h"

static char *data_path(const char *name)
{
    char *path;
    assert_ok(tsr_format(&path, "%s/tests/data/text/%s", source_folder(), name));
    return path;
}

static tsr_text *open_text(const char *path)
{
    tsr_text *t;
    assert_ok(tsr_text_open(path, &t));
    return t;
}

/* Compares all committed cases; returns how many there were. */
static size_t check_cases(const tsr_text *t)
{
    char *path = data_path("cases.json");
    json_t *cases;
    size_t wrong = 0;
    assert_ok(tsr_json_read(path, 16 << 20, &cases));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *s = json_object_get(c, "text");
        const json_t *want = json_object_get(c, "ids");
        tsr_tokens got = {0};
        char *text;
        assert_ok(tsr_text_encode(t, json_string_value(s), json_string_length(s), &got));
        int same = got.count == json_array_size(want);
        for (size_t k = 0; same && k < got.count; k++)
            same = got.ids[k] == (uint32_t)json_integer_value(json_array_get(want, k));
        assert_ok(tsr_text_decode(t, got.ids, got.count, &text, NULL));
        same = same && strcmp(text, json_string_value(json_object_get(c, "decoded"))) == 0;
        if (!same)
            print_error("case %zu differs: %s\n", i, json_string_value(s));
        wrong += !same;
        tsr_free(text);
        tsr_tokens_clear(&got);
    }
    assert_int_equal(wrong, 0);
    size_t n = json_array_size(cases);
    json_decref(cases);
    tsr_free(path);
    return n;
}

static void ids_and_text_are_those_of_the_library(void **state)
{
    (void)state;
    char *path = data_path("tokenizer.json");
    tsr_text *t = open_text(path);
    assert_true(check_cases(t) >= 500);
    tsr_text_destroy(t);
    tsr_free(path);
}

static void the_whole_published_file_agrees(void **state)
{
    (void)state;
    const char *path = getenv("TESSERA_4M_TEXT");
    if (!path)
        skip();
    tsr_text *t = open_text(path);
    assert_int_equal(tsr_text_size(t), 30000);
    assert_true(check_cases(t) >= 500);
    tsr_text_destroy(t);
}

static void a_written_file_reads_back_equal(void **state)
{
    (void)state;
    char *path = data_path("tokenizer.json"), *copy;
    assert_ok(tsr_format(&copy, "%s/test_text_copy.json", build_folder()));
    tsr_text *a = open_text(path);
    assert_ok(tsr_text_write(a, copy));
    tsr_text *b = open_text(copy);
    assert_true(tsr_digest_equal(tsr_text_digest(a), tsr_text_digest(b)));
    check_cases(b);
    tsr_text_destroy(a);
    tsr_text_destroy(b);
    tsr_free(path);
    tsr_free(copy);
}

static void tokens_and_values_are_found(void **state)
{
    (void)state;
    char *path = data_path("tokenizer.json");
    tsr_text *t = open_text(path);
    uint32_t id;
    unsigned line, value;
    assert_int_equal(tsr_text_id(t, "[PAD]"), TSR_TEXT_PAD);
    assert_int_equal(tsr_text_id(t, "[EOS]"), TSR_TEXT_EOS);
    assert_int_equal(tsr_text_id(t, "no such token"), TSR_TEXT_NONE);
    assert_ok(tsr_text_value(t, 1, 250, &id));
    assert_int_equal(id, 1454);
    assert_true(tsr_text_is_value(t, id, &line, &value));
    assert_int_equal(line, 1);
    assert_int_equal(value, 250);
    assert_false(tsr_text_is_value(t, TSR_TEXT_EOS, &line, &value));
    assert_fails(TSR_EARG, tsr_text_value(t, 4, 0, &id));
    assert_fails(TSR_EMISMATCH, tsr_text_value(t, 0, 1000, &id));
    assert_string_equal(tsr_text_token(t, 4242), "hot dog");
    assert_null(tsr_text_token(t, 1u << 31));
    tsr_text_destroy(t);
    tsr_free(path);
}

static void normal_text_is_what_decoding_gives(void **state)
{
    (void)state;
    static const char s[] = "A  Photo,\tof a HOT DOG!  v0=5 caf\xC3\xA9";
    char *path = data_path("tokenizer.json"), *normal;
    tsr_text *t = open_text(path);
    assert_ok(tsr_text_normal(t, s, strlen(s), &normal, NULL));
    assert_string_equal(normal, "a photo, of a hot dog! v0=5 cafe");
    tsr_free(normal);
    tsr_text_destroy(t);
    tsr_free(path);
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    char *path = data_path("tokenizer.json"), *text;
    tsr_text *t = open_text(path);
    tsr_tokens out = {0};
    assert_fails(TSR_EFORMAT, tsr_text_encode(t, "ab\xFF", 3, &out));
    assert_fails(TSR_EFORMAT, tsr_text_encode(t, "\xC3", 1, &out));
    assert_fails(TSR_ELIMIT, tsr_text_encode(t, "a", TSR_TEXT_MAX + 1, &out));
    assert_int_equal(out.count, 0);
    const uint32_t far = tsr_text_size(t);
    assert_fails(TSR_EFORMAT, tsr_text_decode(t, &far, 1, &text, NULL));
    tsr_text_destroy(t);
    tsr_free(path);
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
#define RULES                                                                                      \
    "\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"                    \
    "\"BertPreTokenizer\"},"                                                                       \
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"},"
#define MODEL(vocab)                                                                               \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","                                   \
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":" vocab "}"
    static const struct {
        tsr_status want;
        const char *json;
    } files[] = {
        {TSR_OK, "{" RULES MODEL("{\"[UNK]\":0,\"a\":5}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "[]"},
        {TSR_EUNSUPPORTED, "{}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"a\":5}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0,\"a\":0}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0,\"a\":-1}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0,\"a\":4294967295}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0,\"a\":\"x\"}") ",\"added_tokens\":[]}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0}") "}"},
        {TSR_EFORMAT, "{" RULES MODEL("{\"[UNK]\":0}") ",\"added_tokens\":[7]}"},
        {TSR_EFORMAT,
         "{" RULES MODEL("{\"[UNK]\":0}") ",\"added_tokens\":[{\"id\":3,\"content\":\"[UNK]\"}]}"},
        {TSR_OK,
         "{" RULES MODEL("{\"[UNK]\":0}") ",\"added_tokens\":[{\"id\":0,\"content\":\"[UNK]\","
                                          "\"lstrip\":true}]}"},
        {TSR_EUNSUPPORTED,
         "{" RULES MODEL(
             "{\"[UNK]\":0}") ",\"added_tokens\":[],\"post_processor\":{\"type\":\"x\"}}"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        json_t *value;
        tsr_text *t = NULL;
        assert_ok(tsr_json_parse(files[i].json, strlen(files[i].json), "case", &value));
        tsr_status st = tsr_text_from_json(value, "case", &t);
        if (st != files[i].want)
            fail_msg("file %zu: %s", i, tsr_status_name(st));
        tsr_text_destroy(t);
        json_decref(value);
    }
}

/* ---- training ---------------------------------------------------------------------------------*/

static const char *const lines[] = {
    "a red cube on a blue floor", "the red sphere and the blue cube",
    "three cubes, two spheres",   "a small red sphere [S_1] v0=5",
    "cubes cubes cubes",          "Redder than the REDDEST red"};

static tsr_text *train(uint32_t vocabulary, size_t first)
{
    enum { N = sizeof lines / sizeof lines[0] };
    static const char *const classes[] = {"blue floor"};
    const char *texts[N];
    size_t bytes[N];
    tsr_text_train_spec spec;
    tsr_text *t;
    tsr_text_train_defaults(&spec);
    spec.vocabulary = vocabulary;
    spec.sentinels = 3;
    spec.values = 10;
    spec.classes = classes;
    spec.n_classes = 1;
    for (size_t i = 0; i < N; i++) {
        texts[i] = lines[(i + first) % N];
        bytes[i] = strlen(texts[i]);
    }
    assert_ok(tsr_text_train(texts, bytes, N, &spec, NULL, &t));
    return t;
}

static void training_lays_out_the_vocabulary(void **state)
{
    (void)state;
    tsr_text *t = train(200, 0);
    assert_int_equal(tsr_text_id(t, "[PAD]"), 0);
    assert_int_equal(tsr_text_id(t, "[S_2]"), 6);
    assert_int_equal(tsr_text_id(t, "v0=0"), 7);
    assert_int_equal(tsr_text_id(t, "v3=9"), 46);
    assert_int_equal(tsr_text_id(t, "blue floor"), 47);
    assert_int_equal(tsr_text_id(t, ","), 48); /* first character by code point */
    assert_true(tsr_text_id(t, "cubes") != TSR_TEXT_NONE);
    assert_true(tsr_text_id(t, "red") != TSR_TEXT_NONE);
    assert_true(tsr_text_id(t, "v0") == TSR_TEXT_NONE); /* specials are not counted as words */
    tsr_tokens ids = {0};
    static const char s[] = "Cubes on a blue floor [S_0]";
    assert_ok(tsr_text_encode(t, s, strlen(s), &ids));
    assert_int_equal(ids.ids[0], tsr_text_id(t, "cubes"));
    assert_int_equal(ids.ids[ids.count - 2], 47);
    assert_int_equal(ids.ids[ids.count - 1], 4);
    tsr_tokens_clear(&ids);
    tsr_text_destroy(t);
}

/* The first merges by hand: counts of neighbouring letters over all words. */
static void the_commonest_pair_comes_first(void **state)
{
    (void)state;
    static const char s[] = "hug hug hug hug hug pug pug bun bun bun bun hugs";
    const char *texts[] = {s};
    const size_t bytes[] = {sizeof s - 1};
    tsr_text_train_spec spec;
    tsr_text *t;
    tsr_text_train_defaults(&spec);
    spec.sentinels = spec.values = 0;
    spec.vocabulary = 4 + 3 + 5 + 4; /* b h p, ##b.. as used: ##g ##n ##s ##u; 4 or 5 merges */
    assert_ok(tsr_text_train(texts, bytes, 1, &spec, NULL, &t));
    /* b h p ##g ##n ##s ##u are 4..10; ##u ##g 8 times, h ##ug 6, then b ##u and ##u ##n 4 each:
     * ##u comes before b bytewise. */
    assert_string_equal(tsr_text_token(t, 4), "b");
    assert_string_equal(tsr_text_token(t, 10), "##u");
    assert_string_equal(tsr_text_token(t, 11), "##ug");
    assert_string_equal(tsr_text_token(t, 12), "hug");
    assert_string_equal(tsr_text_token(t, 13), "##un");
    assert_string_equal(tsr_text_token(t, 14), "bun");
    assert_string_equal(tsr_text_token(t, 15), "pug");
    assert_int_equal(tsr_text_size(t), 16);
    tsr_text_destroy(t);
}

static void training_does_not_depend_on_the_order(void **state)
{
    (void)state;
    tsr_text *a = train(120, 0), *b = train(120, 4);
    assert_true(tsr_digest_equal(tsr_text_digest(a), tsr_text_digest(b)));
    tsr_text_destroy(a);
    tsr_text_destroy(b);
}

static void training_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    tsr_text_train_spec spec;
    tsr_text *t;
    const char *texts[] = {"ab", "\xFF"};
    const size_t bytes[] = {2, 1};
    tsr_text_train_defaults(&spec);
    assert_fails(TSR_EFORMAT, tsr_text_train(texts, bytes, 2, &spec, NULL, &t));
    spec.vocabulary = 4203;
    assert_fails(TSR_EARG, tsr_text_train(texts, bytes, 1, &spec, NULL, &t));
    spec.values = 1001;
    assert_fails(TSR_EARG, tsr_text_train(texts, bytes, 1, &spec, NULL, &t));
    tsr_text_train_defaults(&spec);
    assert_ok(tsr_text_train(NULL, NULL, 0, &spec, NULL, &t));
    assert_int_equal(tsr_text_size(t), 4204);
    tsr_text_destroy(t);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    char *path = data_path("tokenizer.json"), *text;
    tsr_text *t = open_text(path);
    static const char s[] = "a photo of a hot dog v0=5, caf\xC3\xA9s";
    for (long n = 1;; n++) {
        tsr_tokens ids = {0};
        tsr_mem_fail_after(n);
        tsr_status st = tsr_text_encode(t, s, strlen(s), &ids);
        tsr_status decoded =
            st == TSR_OK ? tsr_text_decode(t, ids.ids, ids.count, &text, NULL) : TSR_ENOMEM;
        tsr_mem_fail_after(0);
        tsr_tokens_clear(&ids);
        if (decoded == TSR_OK) {
            tsr_free(text);
            break;
        }
        assert_true(st == TSR_OK || st == TSR_ENOMEM);
    }
    tsr_text_destroy(t);
    tsr_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_text_are_those_of_the_library),
        cmocka_unit_test(the_whole_published_file_agrees),
        cmocka_unit_test(a_written_file_reads_back_equal),
        cmocka_unit_test(tokens_and_values_are_found),
        cmocka_unit_test(normal_text_is_what_decoding_gives),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(training_lays_out_the_vocabulary),
        cmocka_unit_test(the_commonest_pair_comes_first),
        cmocka_unit_test(training_does_not_depend_on_the_order),
        cmocka_unit_test(training_refuses_what_it_cannot_do),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

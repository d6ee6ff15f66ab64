/* SPDX-License-Identifier: Apache-2.0
 * 20,000 strings through WordPiece and byte-level BPE: ids and decoded text of the Hugging Face
 * library (tests/data/text/make_strings.py); text that is not UTF-8; what is refused. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tokenizers/text.h"

enum { COUNT = 20000, VARIANT_COUNT = 500 };

static char *read_data(const char *name, size_t *bytes)
{
    char *path, *data;
    assert_ok(tsr_format(&path, "%s/tests/data/text/%s", source_folder(), name));
    assert_ok(tsr_file_read(path, 16 << 20, &data, bytes));
    tsr_free(path);
    return data;
}

static json_t *read_json(const char *name)
{
    size_t bytes;
    json_t *value;
    char *text = read_data(name, &bytes);
    assert_ok(tsr_json_parse(text, bytes, name, &value));
    tsr_free(text);
    return value;
}

/* ---- the generator of make_strings.py ---------------------------------------------------------*/

static uint32_t below(uint32_t *x, uint32_t n)
{
    *x = *x * 1664525u + 1013904223u;
    return (*x >> 8) % n;
}

static void put_char(tsr_str *s, uint32_t c)
{
    char t[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t k = n; k-- > 1; c >>= 6)
        t[k] = (char)(0x80 | (c & 0x3F));
    t[0] = (char)(lead[n] | c);
    assert_ok(tsr_str_add_bytes(s, t, n));
}

/* Where the character `half` of s, half its characters, starts. */
static size_t half(const char *s)
{
    size_t chars = 0, at = 0;
    for (const char *p = s; *p; p++)
        chars += ((unsigned char)*p & 0xC0) != 0x80;
    for (size_t k = 0; k <= chars / 2; at++)
        if (((unsigned char)s[at] & 0xC0) != 0x80 && k++ == chars / 2)
            return at;
    return at;
}

static const char *pick(uint32_t *x, const json_t *fragments)
{
    return json_string_value(
        json_array_get(fragments, below(x, (uint32_t)json_array_size(fragments))));
}

static void put_code_point(uint32_t *x, const json_t *ranges, tsr_str *s)
{
    const json_t *r = json_array_get(ranges, below(x, (uint32_t)json_array_size(ranges)));
    uint32_t lo = (uint32_t)json_integer_value(json_array_get(r, 0));
    uint32_t hi = (uint32_t)json_integer_value(json_array_get(r, 1));
    uint32_t c = lo + below(x, hi - lo + 1);
    put_char(s, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
}

static void make_string(uint32_t i, const json_t *source, tsr_str *s)
{
    const json_t *fragments = json_object_get(source, "fragments");
    uint32_t x = i * 2654435761u + 12345u, kind = below(&x, 10), n = 1 + below(&x, 14);
    s->len = 0;
    assert_ok(tsr_str_add(s, ""));
    for (uint32_t k = 0; k < (kind == 1 ? n * 9 : n); k++) {
        if (kind == 0) {
            put_code_point(&x, json_object_get(source, "ranges"), s);
        } else if (kind == 1) {
            put_char(s, 'a' + below(&x, 26));
        } else if (kind < 4) {
            const char *a = pick(&x, fragments), *b = pick(&x, fragments);
            assert_ok(tsr_str_add_bytes(s, a, half(a)));
            assert_ok(tsr_str_add(s, b + half(b)));
            assert_ok(tsr_str_add(s, below(&x, 5) ? " " : ""));
        } else {
            assert_ok(tsr_str_add(s, pick(&x, fragments)));
            assert_ok(tsr_str_add(s, below(&x, 5) < 3 ? " " : ""));
        }
    }
}

/* ---- ids and text -----------------------------------------------------------------------------*/

static uint64_t fnv(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

static uint64_t digest_of(const tsr_text *t, const tsr_str *s)
{
    tsr_tokens ids = {0};
    char *text;
    size_t bytes;
    uint64_t h = 0xCBF29CE484222325u;
    assert_ok(tsr_text_encode(t, s->s, s->len, &ids));
    assert_ok(tsr_text_decode(t, ids.ids, ids.count, &text, &bytes));
    for (size_t i = 0; i < ids.count; i++) {
        const unsigned char le[4] = {(unsigned char)ids.ids[i], (unsigned char)(ids.ids[i] >> 8),
                                     (unsigned char)(ids.ids[i] >> 16),
                                     (unsigned char)(ids.ids[i] >> 24)};
        h = fnv(h, le, 4);
    }
    h = fnv(h, text, bytes);
    tsr_free(text);
    tsr_tokens_clear(&ids);
    return h;
}

/* Digests of `count` strings against want[8 * count]; the number that differ. */
static size_t compare(const tsr_text *t, const json_t *source, const unsigned char *want,
                      uint32_t count)
{
    tsr_str s = {0};
    size_t wrong = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t expected = 0;
        for (int k = 7; k >= 0; k--)
            expected = expected << 8 | want[8 * (size_t)i + (size_t)k];
        make_string(i, source, &s);
        if (digest_of(t, &s) == expected)
            continue;
        if (wrong++ < 5)
            print_error("string %u differs: %s\n", i, s.s);
    }
    tsr_str_clear(&s);
    return wrong;
}

static tsr_text *parse(const json_t *value)
{
    tsr_text *t;
    assert_ok(tsr_text_from_json(value, "test", &t));
    return t;
}

static void check_all(const tsr_text *t, const char *digests)
{
    json_t *source = read_json("fragments.json");
    size_t bytes;
    char *want = read_data(digests, &bytes);
    assert_int_equal(bytes, 8 * COUNT);
    assert_int_equal(compare(t, source, (unsigned char *)want, COUNT), 0);
    want[0] ^= 1; /* the comparison can fail */
    assert_int_equal(compare(t, source, (unsigned char *)want, 1), 1);
    tsr_free(want);
    json_decref(source);
}

static void wordpiece_gives_the_ids_and_text_of_the_library(void **state)
{
    (void)state;
    const char *published = getenv("TESSERA_4M_TEXT");
    json_t *value = read_json("wordpiece.json");
    tsr_text *t = parse(value);
    check_all(t, "wordpiece.fnv");
    tsr_text_destroy(t);
    json_decref(value);
    if (!published)
        return;
    assert_ok(tsr_text_open(published, &t));
    check_all(t, "wordpiece.fnv");
    tsr_text_destroy(t);
}

static void bpe_gives_the_ids_and_text_of_the_library(void **state)
{
    (void)state;
    json_t *value = read_json("bpe.json"), *copy;
    tsr_text *t = parse(value);
    check_all(t, "bpe.fnv");
    assert_ok(tsr_text_to_json(t, &copy));
    tsr_text *again = parse(copy);
    assert_true(tsr_digest_equal(tsr_text_digest(t), tsr_text_digest(again)));
    tsr_text_destroy(again);
    tsr_text_destroy(t);
    json_decref(copy);
    json_decref(value);
}

/* Other normalizers, pre-tokenizers and decoders with the same two vocabularies. */
static void other_steps_give_the_ids_and_text_of_the_library(void **state)
{
    (void)state;
    json_t *variants = read_json("variants.json"), *source = read_json("fragments.json");
    size_t bytes, n = json_array_size(variants);
    char *want = read_data("variants.fnv", &bytes);
    assert_true(n >= 9);
    assert_int_equal(bytes, n * 8 * VARIANT_COUNT);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(variants, i);
        json_t *value = read_json(json_string_value(json_array_get(v, 0)));
        assert_int_equal(json_object_update(value, json_array_get(v, 1)), 0);
        tsr_text *t = parse(value);
        const unsigned char *w = (unsigned char *)want + i * 8 * VARIANT_COUNT;
        if (compare(t, source, w, VARIANT_COUNT) > 0)
            fail_msg("variant %zu", i);
        tsr_text_destroy(t);
        json_decref(value);
    }
    tsr_free(want);
    json_decref(source);
    json_decref(variants);
}

/* ---- what the library cannot be asked ---------------------------------------------------------*/

static void text_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\xFF", "a\xC3",      "\xC0\x80",      "\xED\xA0\x80", "\xF4\x90\x80\x80",
        "\x80", "\xE2\x82 x", "ok\xF0\x9F\x98"};
    static const size_t at[] = {0, 1, 0, 0, 0, 0, 0, 2};
    json_t *value = read_json("bpe.json");
    tsr_text *t = parse(value);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tsr_tokens out = {0};
        char place[32];
        assert_fails(TSR_EFORMAT, tsr_text_encode(t, bad[i], strlen(bad[i]), &out));
        snprintf(place, sizeof place, "at byte %zu", at[i]);
        assert_non_null(strstr(tsr_error(), place));
        assert_null(out.ids);
    }
    tsr_text_destroy(t);
    json_decref(value);
}

/* Tokens are bytes here: those that make no character become U+FFFD, one for each broken start. */
static void broken_bytes_decode_to_replacements(void **state)
{
    (void)state;
    json_t *value = read_json("bpe.json");
    tsr_text *t = parse(value);
    /* F0 9F 98 | 41 | C3 | 28 | ED A0 80 | 00 */
    static const char *const tokens[] = {"\xC3\xB0", "\xC4\x81", "A",        "\xC3\x83", "(",
                                         "\xC3\xAD", "\xC4\x82", "\xC4\xA2", "\xC4\x80"};
    uint32_t ids[9];
    char *text;
    size_t bytes;
    for (size_t i = 0; i < 9; i++) {
        ids[i] = tsr_text_id(t, tokens[i]);
        assert_true(ids[i] != TSR_TEXT_NONE);
    }
    assert_ok(tsr_text_decode(t, ids, 9, &text, &bytes));
    /* F0 01 41 C3 28 ED 02 80 00: bytes 01 and 02 stand for themselves */
    static const char want[] = "\xEF\xBF\xBD\x01"
                               "A\xEF\xBF\xBD(\xEF\xBF\xBD\x02\xEF\xBF\xBD";
    assert_int_equal(bytes, sizeof want); /* and a NUL at the end */
    assert_memory_equal(text, want, sizeof want);
    tsr_free(text);
    tsr_text_destroy(t);
    json_decref(value);
}

/* A part that is not handled is named. */
static void what_is_not_handled_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *key, *part, *says;
    } parts[] = {
        {"normalizer", "{\"type\":\"Precompiled\"}", "Precompiled"},
        {"normalizer",
         "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a)\\\\1\"},\"content\":\"\"}",
         "the escape"},
        {"pre_tokenizer", "{\"type\":\"UnicodeScripts\"}", "UnicodeScripts"},
        {"pre_tokenizer",
         "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a*\"},\"behavior\":\"Isolated\",\"invert\":"
         "false}",
         "a match of nothing"},
        {"pre_tokenizer",
         "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a.\"},\"behavior\":\"Isolated\",\"invert\":"
         "false}",
         "the dot"},
        {"pre_tokenizer",
         "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a+?\"},\"behavior\":\"Isolated\",\"invert\":"
         "false}",
         "lazy"},
        {"pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"FixedLength\"}]}",
         "FixedLength"},
        {"decoder", "{\"type\":\"CTC\"}", "CTC"},
        {"post_processor", "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"Odd\"}]}", "Odd"},
        {"truncation", "{\"max_length\":5}", "truncation"},
        {"padding", "{}", "padding"},
        {"model", "{\"type\":\"Unigram\"}", "Unigram"},
        {"model", "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[],\"dropout\":0.1}", "dropout"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        json_t *value = read_json("bpe.json"), *part;
        tsr_text *t;
        assert_ok(tsr_json_parse(parts[i].part, strlen(parts[i].part), "part", &part));
        assert_ok(tsr_json_set(value, parts[i].key, part));
        assert_fails(TSR_EUNSUPPORTED, tsr_text_from_json(value, "test", &t));
        if (!strstr(tsr_error(), parts[i].says))
            fail_msg("part %zu: %s", i, tsr_error());
        json_decref(value);
    }
}

/* An expression that would take exponentially many steps ends with an error. */
static void a_slow_expression_ends(void **state)
{
    (void)state;
    static const char slow[] = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:a+)+b\"},"
                               "\"behavior\":\"Isolated\",\"invert\":false}";
    json_t *value = read_json("bpe.json"), *part;
    tsr_tokens out = {0};
    assert_ok(tsr_json_parse(slow, sizeof slow - 1, "part", &part));
    assert_ok(tsr_json_set(value, "pre_tokenizer", part));
    tsr_text *t = parse(value);
    assert_ok(tsr_text_encode(t, "aaab", 4, &out));
    tsr_tokens_clear(&out);
    char many[61] = {0};
    memset(many, 'a', 60);
    assert_fails(TSR_ELIMIT, tsr_text_encode(t, many, 60, &out));
    tsr_text_destroy(t);
    json_decref(value);
}

/* A word of a million letters costs n log n. */
static void a_long_word_is_cut_quickly(void **state)
{
    (void)state;
    enum { N = 1000000 };
    json_t *value = read_json("bpe.json");
    tsr_text *t = parse(value);
    tsr_tokens out = {0};
    char *text = malloc(N), *back;
    size_t bytes;
    for (uint32_t i = 0, x = 1; i < N; i++)
        text[i] = (char)('a' + below(&x, 26));
    assert_ok(tsr_text_encode(t, text, N, &out));
    assert_ok(tsr_text_decode(t, out.ids, out.count, &back, &bytes));
    assert_int_equal(bytes, N);
    assert_memory_equal(back, text, N);
    tsr_free(back);
    free(text);
    tsr_tokens_clear(&out);
    tsr_text_destroy(t);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordpiece_gives_the_ids_and_text_of_the_library),
        cmocka_unit_test(bpe_gives_the_ids_and_text_of_the_library),
        cmocka_unit_test(other_steps_give_the_ids_and_text_of_the_library),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(broken_bytes_decode_to_replacements),
        cmocka_unit_test(what_is_not_handled_is_refused_by_name),
        cmocka_unit_test(a_slow_expression_ends),
        cmocka_unit_test(a_long_word_is_cut_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * safetensors: what is written is read, hostile headers are refused, loading is strict. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "nn/layers.h"
#include "nn/metatext.h"
#include "nn/safetensors.h"

#include <math.h>
#include <unistd.h>

static char path[512];

static const char *scratch(const char *name)
{
    snprintf(path, sizeof path, "%s/test_safetensors_%s", build_folder(), name);
    return path;
}

/* A file of this header text and `data` bytes of zeros behind it. */
static const char *with_header(const char *header, size_t data)
{
    size_t n = strlen(header);
    unsigned char *b = calloc(8 + n + data, 1);
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(b + 8, header, n);
    assert_ok(tsr_file_write(scratch("hostile.safetensors"), b, 8 + n + data));
    free(b);
    return path;
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        tsr_status code;
    } bad[] = {
        {"{", 0, TSR_EFORMAT},
        {"[]", 0, TSR_EFORMAT},
        {"{} x", 0, TSR_EFORMAT},
        {"{\"a\":1}", 0, TSR_EFORMAT},
        {"{\"__metadata__\":{\"k\":1}}", 0, TSR_EFORMAT},
        {"{\"__metadata__\":[]}", 0, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TSR_EUNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         TSR_EUNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}",
         0, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
         TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, TSR_EFORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TSR_EFORMAT},
    };
    tsr_safetensors *f;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *at = with_header(bad[i].header, bad[i].data);
        tsr_status st = tsr_safetensors_open(at, &f);
        if (st != bad[i].code)
            fail_msg("%s: expected %s, got %s", bad[i].header, tsr_status_name(bad[i].code),
                     tsr_status_name(st));
        assert_non_null(strstr(tsr_error(), "hostile"));
    }
    assert_ok(tsr_safetensors_open(with_header("{}", 0), &f));
    assert_int_equal(tsr_safetensors_count(f), 0);
    assert_null(tsr_safetensors_find(f, "a"));
    tsr_safetensors_close(f);
}

static void lengths_beyond_the_file_are_refused(void **state)
{
    (void)state;
    static const unsigned char huge[16] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    static const unsigned char longer[10] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    tsr_safetensors *f;
    assert_ok(tsr_file_write(scratch("huge"), huge, sizeof huge));
    assert_fails(TSR_EFORMAT, tsr_safetensors_open(path, &f));
    assert_ok(tsr_file_write(scratch("longer"), longer, sizeof longer));
    assert_fails(TSR_EFORMAT, tsr_safetensors_open(path, &f));
    assert_ok(tsr_file_write(scratch("short"), "abc", 3));
    assert_fails(TSR_EFORMAT, tsr_safetensors_open(path, &f));
    assert_fails(TSR_ENOENT, tsr_safetensors_open(scratch("absent"), &f));
    assert_fails(TSR_EFORMAT, tsr_safetensors_open(build_folder(), &f));
}

/* Truncation at every byte, and every byte of the header flipped: an error or a good file. */
static void damaged_files_never_crash(void **state)
{
    (void)state;
    static const float values[] = {1, 2, 3};
    const tsr_stored t = {"w", TSR_F32, 1, {3}, 3, values};
    char *bytes;
    size_t n;
    assert_ok(tsr_safetensors_write(scratch("whole"), &t, 1, NULL));
    assert_ok(tsr_file_read(path, 1 << 20, &bytes, &n));
    tsr_safetensors *f;
    for (size_t cut = 0; cut < n; cut++) {
        assert_ok(tsr_file_write(scratch("cut"), bytes, cut));
        assert_fails(TSR_EFORMAT, tsr_safetensors_open(path, &f));
    }
    for (size_t i = 0; i < n - sizeof values; i++) {
        char keep = bytes[i];
        bytes[i] = (char)(keep ^ (1 << i % 8));
        assert_ok(tsr_file_write(scratch("flip"), bytes, n));
        if (tsr_safetensors_open(path, &f) == TSR_OK)
            tsr_safetensors_close(f);
        bytes[i] = keep;
    }
    tsr_free(bytes);
}

static void types_are_converted(void **state)
{
    (void)state;
    static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x8000};
    static const float half_values[] = {1, -2, 65504, 0x1p-24f, 0x1p-14f, -0.0f};
    static const uint16_t brain[] = {0x3f80, 0xc040, 0x0001};
    static const float brain_values[] = {1, -3, 0x1p-133f};
    static const double wide[] = {0.1, -1e30};
    static const int32_t whole[] = {1, 2};
    const tsr_stored t[] = {
        {"half", TSR_F16, 2, {2, 3}, 6, half},
        {"brain", TSR_BF16, 1, {3}, 3, brain},
        {"wide", TSR_F64, 1, {2}, 2, wide},
        {"whole", TSR_I32, 1, {2}, 2, whole},
        {"scalar", TSR_F32, 0, {0}, 1, half_values},
        {"none", TSR_F32, 2, {0, 7}, 0, NULL},
    };
    tsr_safetensors *f;
    const tsr_stored *got;
    float out[6];
    assert_ok(tsr_safetensors_write(scratch("types"), t, 6, NULL));
    assert_ok(tsr_safetensors_open(path, &f));
    assert_int_equal(tsr_safetensors_count(f), 6);
    assert_ok(tsr_safetensors_get(f, "half", &got));
    assert_int_equal(got->ndim, 2);
    assert_ok(tsr_stored_floats(got, out));
    assert_memory_equal(out, half_values, sizeof half_values);
    assert_ok(tsr_safetensors_get(f, "brain", &got));
    assert_ok(tsr_stored_floats(got, out));
    assert_memory_equal(out, brain_values, sizeof brain_values);
    assert_ok(tsr_safetensors_get(f, "wide", &got));
    assert_ok(tsr_stored_floats(got, out));
    assert_true(out[0] == 0.1f && out[1] == -1e30f);
    assert_ok(tsr_safetensors_get(f, "scalar", &got));
    assert_int_equal(got->ndim, 0);
    assert_int_equal(got->count, 1);
    assert_ok(tsr_safetensors_get(f, "whole", &got));
    assert_fails(TSR_EUNSUPPORTED, tsr_stored_floats(got, out));
    assert_fails(TSR_ENOENT, tsr_safetensors_get(f, "absent", &got));
    tsr_safetensors_close(f);
}

/* The same content in any order gives the same bytes; data are aligned; metadata come back. */
static void writing_is_canonical(void **state)
{
    (void)state;
    static const float one[] = {1}, two[] = {2, 3};
    static const uint8_t bytes[] = {9};
    const tsr_stored a[] = {{"b.weight", TSR_F32, 1, {2}, 2, two},
                            {"a.weight", TSR_F32, 1, {1}, 1, one},
                            {"A", TSR_U8, 1, {1}, 1, bytes}};
    const tsr_stored b[] = {a[2], a[1], a[0]};
    json_t *m = json_pack("{s:s,s:s}", "image_size", "448", "note", "\xc3\xa9 \"x\"");
    char *x, *y;
    size_t nx, ny;
    assert_ok(tsr_safetensors_write(scratch("one"), a, 3, m));
    assert_ok(tsr_file_read(path, 1 << 20, &x, &nx));
    assert_ok(tsr_safetensors_write(scratch("two"), b, 3, m));
    assert_ok(tsr_file_read(path, 1 << 20, &y, &ny));
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    assert_int_equal((unsigned char)x[0] % 8, 0);
    tsr_safetensors *f;
    assert_ok(tsr_safetensors_open(path, &f));
    assert_true(json_equal(tsr_safetensors_metadata(f), m));
    assert_string_equal(tsr_safetensors_at(f, 0)->name, "a.weight");
    assert_string_equal(tsr_safetensors_at(f, 2)->name, "A");
    tsr_safetensors_close(f);
    const tsr_stored twice[] = {a[0], a[0]};
    assert_fails(TSR_EARG, tsr_safetensors_write(scratch("twice"), twice, 2, NULL));
    json_object_set_new(m, "n", json_integer(3));
    assert_fails(TSR_EARG, tsr_safetensors_write(scratch("twice"), a, 3, m));
    assert_false(tsr_file_exists(path));
    json_decref(m);
    tsr_free(x);
    tsr_free(y);
}

static void loading_names_everything_that_is_wrong(void **state)
{
    (void)state;
    static const float v[] = {1, 2, 3, 4, 5, 6};
    const tsr_stored t[] = {{"w", TSR_F32, 4, {3, 2, 1, 1}, 6, v},
                            {"shape", TSR_F32, 1, {3}, 3, v},
                            {"decoder.extra", TSR_F32, 1, {1}, 1, v},
                            {"surprise", TSR_F32, 1, {1}, 1, v}};
    const size_t w[] = {3, 2}, four[] = {4};
    static const char *const decoder[] = {"decoder.", NULL};
    static const char *const both[] = {"decoder.", "shape", "surprise", NULL};
    tsr_params *ps;
    tsr_param *p;
    tsr_safetensors *f;
    assert_ok(tsr_safetensors_write(scratch("strict"), t, 4, NULL));
    assert_ok(tsr_safetensors_open(path, &f));
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN, 2, w, &p));
    assert_ok(tsr_param_file_shape(p, 4, (const size_t[]){3, 1, 2, 1}));
    assert_fails(TSR_EARG, tsr_param_file_shape(p, 1, four));
    uint64_t version = p->version;
    assert_ok(tsr_safetensors_load(f, ps, both));
    assert_true(p->value[5] == 6);
    assert_true(p->version > version);
    p->value[5] = 0;
    assert_ok(tsr_params_add(ps, "shape", 0, 1, four, NULL));
    assert_ok(tsr_params_add(ps, "lost.weight", 0, 1, four, NULL));
    assert_fails(TSR_EMISMATCH, tsr_safetensors_load(f, ps, decoder));
    assert_non_null(strstr(tsr_error(), "missing: lost.weight"));
    assert_non_null(strstr(tsr_error(), "shape [3] instead of [4]"));
    assert_non_null(strstr(tsr_error(), "not expected: surprise"));
    assert_null(strstr(tsr_error(), "decoder.extra"));
    assert_true(p->value[5] == 0);
    tsr_safetensors_close(f);
    tsr_params_destroy(ps);
}

/* Values come when they are asked for, piece by piece or as a whole, and the file's end is an error. */
static void values_are_read_when_wanted(void **state)
{
    (void)state;
    static float v[3000], out[3000];
    static double wide[3000];
    const size_t shape[] = {3000};
    for (int i = 0; i < 3000; i++)
        wide[i] = v[i] = (float)i / 8;
    v[2999] = INFINITY;
    const tsr_stored t[] = {{"a", TSR_F64, 1, {3000}, 3000, wide}, {"b", TSR_F32, 1, {3000}, 3000, v}};
    tsr_params *ps;
    tsr_param *a, *b;
    tsr_safetensors *f;
    assert_ok(tsr_safetensors_write(scratch("later"), t, 2, NULL));
    assert_ok(tsr_params_create(&ps));
    tsr_params_defer(ps);
    assert_ok(tsr_params_add(ps, "a", TSR_PARAM_TRAIN, 1, shape, &a));
    assert_ok(tsr_params_add(ps, "b", 0, 1, shape, &b));
    assert_null(a->value);
    assert_fails(TSR_EARG, tsr_params_need_grads(ps));
    assert_fails(TSR_EARG, tsr_param_read(a, 0, 1, out)); /* no source yet */
    atomic_store(&a->broken, 0);
    assert_ok(tsr_safetensors_open(path, &f));
    assert_ok(tsr_safetensors_check(f, ps, NULL));
    assert_ok(tsr_safetensors_attach(f, ps));
    assert_ok(tsr_param_read(a, 100, 2000, out));
    assert_memory_equal(out, v + 100, 2000 * sizeof *out);
    assert_ok(tsr_param_read(b, 0, 2999, out));
    assert_fails(TSR_ENUMERIC, tsr_param_read(b, 2990, 10, out));
    assert_int_equal(b->broken, TSR_ENUMERIC);
    assert_null(a->value);
    assert_fails(TSR_ENUMERIC, tsr_params_hold_all(ps));
    assert_null(b->value);
    assert_ok(tsr_params_hold(ps, "a"));
    assert_memory_equal(a->value, v, 2999 * sizeof *out);
    assert_int_equal(truncate(path, 30000), 0);
    assert_fails(TSR_EIO, tsr_param_read(b, 0, 2999, out));
    assert_non_null(strstr(tsr_error(), "shorter than"));
    tsr_params_destroy(ps);
}

/* Rows of a large table come from the file one by one; a small table is held. */
static void rows_are_looked_up_in_the_file(void **state)
{
    (void)state;
    enum { ROWS = 1100, WIDTH = 64, IDS = 5 };
    static float v[ROWS * WIDTH];
    static const int32_t ids[IDS] = {1099, 0, -1, 7, 1100};
    for (int i = 0; i < ROWS * WIDTH; i++)
        v[i] = (float)i;
    v[7 * WIDTH] = 0.5f;
    for (size_t rows = 8; rows <= ROWS; rows += ROWS - 8) {
        const size_t shape[] = {rows, WIDTH};
        const tsr_stored t = {"table", TSR_F32, 2, {rows, WIDTH}, rows * WIDTH, v};
        tsr_params *ps;
        tsr_param *p;
        tsr_safetensors *f;
        tsr_graph *g;
        tsr_exec *x;
        assert_ok(tsr_safetensors_write(scratch("rows"), &t, 1, NULL));
        assert_ok(tsr_params_create(&ps));
        tsr_params_defer(ps);
        assert_ok(tsr_params_add(ps, "table", 0, 2, shape, &p));
        assert_ok(tsr_safetensors_open(path, &f));
        assert_ok(tsr_safetensors_attach(f, ps));
        assert_ok(tsr_graph_create(ps, TSR_PRECISION_FP32, &g));
        tsr_value in = tsr_input(g, "ids", TSR_I32, 1, (size_t[]){IDS});
        tsr_value out = tsr_embedding(g, tsr_weight(g, "table"), in);
        tsr_graph_output(g, out);
        assert_ok(tsr_exec_create(g, &x));
        memcpy(tsr_exec_input(x, in), ids, sizeof ids);
        assert_ok(tsr_exec_run(x));
        assert_true((p->value != NULL) == (rows == 8));
        for (int i = 0; i < IDS; i++)
            for (int k = 0; k < WIDTH; k++) {
                int there = ids[i] >= 0 && (size_t)ids[i] < rows;
                float want = there ? v[ids[i] * WIDTH + k] : 0.0f;
                assert_true(((const float *)tsr_exec_value(x, out))[i * WIDTH + k] == want);
            }
        assert_int_equal(truncate(path, 100), 0);
        if (rows == 8)
            assert_ok(tsr_exec_run(x));
        else
            assert_fails(TSR_EIO, tsr_exec_run(x));
        tsr_exec_destroy(x);
        tsr_graph_destroy(g);
        tsr_params_destroy(ps);
    }
}

static void values_that_are_not_numbers_are_refused(void **state)
{
    (void)state;
    static float v[5000];
    v[4999] = NAN;
    const size_t shape[] = {5000};
    const tsr_stored t = {"w", TSR_F32, 1, {5000}, 5000, v};
    tsr_params *ps;
    tsr_safetensors *f;
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", 0, 1, shape, NULL));
    assert_ok(tsr_safetensors_write(scratch("nan"), &t, 1, NULL));
    assert_ok(tsr_safetensors_open(path, &f));
    assert_fails(TSR_ENUMERIC, tsr_safetensors_load(f, ps, NULL));
    tsr_safetensors_close(f);
    const tsr_stored whole = {"w", TSR_I32, 1, {5000}, 5000, v};
    assert_ok(tsr_safetensors_write(scratch("int"), &whole, 1, NULL));
    assert_ok(tsr_safetensors_open(path, &f));
    assert_fails(TSR_EMISMATCH, tsr_safetensors_load(f, ps, NULL));
    tsr_safetensors_close(f);
    tsr_params_destroy(ps);
}

/* Expected values: PyYAML's safe_load of each text. */
static void metadata_strings_follow_python_and_yaml(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } pairs[] = {
        {"None", "null"}, {"~", "null"}, {"", "null"}, {"True", "true"}, {"off", "false"},
        {"Yes", "true"}, {"FALSE", "false"}, {"y", "\"y\""}, {"448", "448"}, {"16_384", "16384"},
        {"-3", "-3"}, {"+3", "3"}, {"0x1F", "31"}, {"0b101", "5"}, {"010", "8"}, {"08", "\"08\""},
        {"0.99", "0.99"}, {"1.0e-4", "0.0001"}, {".5", "0.5"}, {"5.", "5.0"},
        {"1e-4", "\"1e-4\""}, {"1.0e4", "\"1.0e4\""}, {"_1", "\"_1\""}, {".", "\".\""},
        {"-", "\"-\""}, {"99999999999999999999", "\"99999999999999999999\""},
        {"shifted_cosine:0.5", "\"shifted_cosine:0.5\""}, {"NoneSuch", "\"NoneSuch\""},
        {"BottleneckMLP/B_6-Wi_1024", "\"BottleneckMLP/B_6-Wi_1024\""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        json_t *v, *expected = json_loads(pairs[i].json, JSON_DECODE_ANY, NULL);
        assert_ok(tsr_metatext_read(pairs[i].text, &v));
        if (!json_equal(v, expected))
            fail_msg("\"%s\" is not read as %s", pairs[i].text, pairs[i].json);
        json_decref(v);
        json_decref(expected);
    }
}

static void configurations_survive_metadata(void **state)
{
    (void)state;
    json_t *config = json_pack("{s:i,s:n,s:b,s:b,s:f,s:f,s:s}", "image_size", 448,
                               "image_size_enc", "post_mlp", 1, "norm_latents", 0, "ema_decay",
                               0.99, "commitment_weight", 1.0, "enc_type", "vit_b_enc");
    json_t *text, *back;
    assert_ok(tsr_metatext_write_all(config, &text));
    assert_string_equal(json_string_value(json_object_get(text, "image_size_enc")), "None");
    assert_string_equal(json_string_value(json_object_get(text, "post_mlp")), "True");
    assert_string_equal(json_string_value(json_object_get(text, "commitment_weight")), "1.0");
    assert_string_equal(json_string_value(json_object_get(text, "ema_decay")), "0.99");
    assert_ok(tsr_metatext_read_all(text, &back));
    assert_true(json_equal(config, back));
    json_decref(config);
    json_decref(text);
    json_decref(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(lengths_beyond_the_file_are_refused),
        cmocka_unit_test(damaged_files_never_crash),
        cmocka_unit_test(types_are_converted),
        cmocka_unit_test(writing_is_canonical),
        cmocka_unit_test(loading_names_everything_that_is_wrong),
        cmocka_unit_test(values_are_read_when_wanted),
        cmocka_unit_test(rows_are_looked_up_in_the_file),
        cmocka_unit_test(values_that_are_not_numbers_are_refused),
        cmocka_unit_test(metadata_strings_follow_python_and_yaml),
        cmocka_unit_test(configurations_survive_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

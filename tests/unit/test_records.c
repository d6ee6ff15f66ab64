/* SPDX-License-Identifier: Apache-2.0
 * JSON lines, CSV and TSV: every rule of RFC 4180, any order, gzip. */
#include "testing.h"

#include "base/mem.h"
#include "base/str.h"
#include "codecs/records.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

static tsr_records *open_text(const char *name, const char *text)
{
    tsr_records *r;
    assert_ok(tsr_records_open_memory(name, text, strlen(text), &r));
    return r;
}

/* Record i as one line of JSON. */
static void assert_record(const tsr_records *r, size_t i, const char *expected)
{
    tsr_media m;
    char *text;
    assert_ok(tsr_records_read(r, i, &m));
    assert_int_equal(m.kind, TSR_MEDIA_RECORD);
    assert_ok(tsr_json_text(m.as.record, 0, &text));
    json_t *a = json_loads(expected, 0, NULL);
    if (!json_equal(a, m.as.record))
        fail_msg("record %zu is %s, expected %s", i, text, expected);
    json_decref(a);
    tsr_free(text);
    tsr_media_clear(&m);
}

static void csv_follows_rfc_4180(void **state)
{
    (void)state;
    tsr_records *r = open_text("a.csv", "name,\"a size\",note\r\n"
                                        "ball,12,\"says \"\"hi\"\", twice\r\nand leaves\"\r\n"
                                        "\r\n"
                                        "\"42\",-1.5e3,\n"
                                        "007,1e5,\xc3\xa9t\xc3\xa9 ici");
    assert_int_equal(tsr_records_count(r), 3);
    assert_record(r, 2,
                  "{\"name\": \"007\", \"a size\": 1e5, \"note\": \"\xc3\xa9t\xc3\xa9 ici\"}");
    assert_record(r, 0,
                  "{\"name\": \"ball\", \"a size\": 12, "
                  "\"note\": \"says \\\"hi\\\", twice\\r\\nand leaves\"}");
    assert_record(r, 1, "{\"name\": \"42\", \"a size\": -1500.0, \"note\": null}");
    tsr_media m;
    assert_fails(TSR_ENOENT, tsr_records_read(r, 3, &m));
    tsr_records_close(r);
    r = open_text("a.tsv", "a\tb\n1\t\"x\ty\"\n\t\n");
    assert_int_equal(tsr_records_count(r), 2);
    assert_record(r, 0, "{\"a\": 1, \"b\": \"x\\ty\"}");
    assert_record(r, 1, "{\"a\": null, \"b\": null}");
    tsr_records_close(r);
}

static void json_lines(void **state)
{
    (void)state;
    tsr_records *r = open_text("a.jsonl", "\xef\xbb\xbf{\"a\": 1}\r\n\n   \n[1, \"two\"]\n{\"b\"");
    assert_int_equal(tsr_records_count(r), 3);
    assert_record(r, 0, "{\"a\": 1}");
    assert_record(r, 1, "[1, \"two\"]");
    tsr_media m;
    assert_fails(TSR_EFORMAT, tsr_records_read(r, 2, &m));
    assert_non_null(strstr(tsr_error(), "line 5"));
    tsr_records_close(r);
    tsr_records *none;
    assert_fails(TSR_EUNSUPPORTED, tsr_records_open_memory("a.json", "{}", 2, &none));
    assert_fails(TSR_EFORMAT, tsr_records_open_memory("a.jsonl", "\"\xff\"", 3, &none));
    r = open_text("a.jsonl", "\n\n");
    assert_int_equal(tsr_records_count(r), 0);
    tsr_records_close(r);
}

static void headers_must_name_columns(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a,,b\n", "a,1\n", "a,a\n", "a,\"b\n"};
    tsr_records *r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(TSR_EFORMAT, tsr_records_open_memory("a.csv", bad[i], strlen(bad[i]), &r));
    r = open_text("a.csv", "a,b\n\"x\"y,2\n");
    tsr_media m;
    assert_fails(TSR_EFORMAT, tsr_records_read(r, 0, &m));
    assert_non_null(strstr(tsr_error(), "a.csv: line 2"));
    tsr_records_close(r);
}

static void a_record_through_the_common_door(void **state)
{
    (void)state;
    static const char text[] = "{\"n\": 0}\n{\"n\": 1}\n";
    const tsr_read_options second = {.record = 1}, third = {.record = 2};
    tsr_media m;
    assert_ok(tsr_media_read_memory("a.jsonl", text, sizeof text - 1, &second, &m));
    assert_int_equal(json_integer_value(json_object_get(m.as.record, "n")), 1);
    tsr_media_clear(&m);
    assert_fails(TSR_ENOENT, tsr_media_read_memory("a.jsonl", text, sizeof text - 1, &third, &m));
}

static void gzip_is_looked_through(void **state)
{
    (void)state;
    char *path;
    assert_ok(tsr_format(&path, "%s/test-records.csv.gz", build_folder()));
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    static const char text[] = "a,b\n1,2\n3,4\n";
    archive_write_add_filter_gzip(a);
    archive_write_set_format_raw(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_write_header(a, e);
    archive_write_data(a, text, sizeof text - 1);
    archive_entry_free(e);
    archive_write_free(a);
    tsr_records *r;
    assert_ok(tsr_records_open(path, NULL, &r));
    assert_int_equal(tsr_records_count(r), 2);
    assert_record(r, 1, "{\"a\": 3, \"b\": 4}");
    tsr_records_close(r);
    tsr_media m;
    assert_ok(tsr_media_read(path, NULL, &m));
    assert_int_equal(json_integer_value(json_object_get(m.as.record, "b")), 2);
    tsr_media_clear(&m);
    const tsr_read_options small = {.max_bytes = 5};
    assert_fails(TSR_ELIMIT, tsr_records_open(path, &small, &r));
    const tsr_read_options unpacked = {.max_bytes = 40};
    assert_int_equal(tsr_codec_kind("x.png.gz"), TSR_MEDIA_IMAGE);
    assert_ok(tsr_records_open(path, &unpacked, &r));
    tsr_records_close(r);
    unlink(path);
    tsr_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_follows_rfc_4180),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(headers_must_name_columns),
        cmocka_unit_test(a_record_through_the_common_door),
        cmocka_unit_test(gzip_is_looked_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

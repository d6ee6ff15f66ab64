/* SPDX-License-Identifier: Apache-2.0
 * Tars in order and as a table of samples, on archives written with libarchive's writer. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "codecs/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

typedef struct entry {
    const char *name, *data; /* data NULL: a folder */
} entry;

static char *path_of(const char *name)
{
    char *path;
    assert_ok(tsr_format(&path, "%s/test-tar-%s", build_folder(), name));
    return path;
}

static char *make_tar(const char *name, const entry *entries, size_t n, int gzip, int pax)
{
    char *path = path_of(name);
    struct archive *a = archive_write_new();
    if (gzip)
        archive_write_add_filter_gzip(a);
    if (pax)
        archive_write_set_format_pax(a);
    else
        archive_write_set_format_ustar(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, entries[i].name);
        archive_entry_set_filetype(e, entries[i].data ? AE_IFREG : AE_IFDIR);
        archive_entry_set_perm(e, 0644);
        if (entries[i].data)
            archive_entry_set_size(e, (la_int64_t)strlen(entries[i].data));
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (entries[i].data)
            archive_write_data(a, entries[i].data, strlen(entries[i].data));
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    return path;
}

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const entry mixed[] = {
    {"./train", NULL},
    {"./train/b.rgb.png", "picture b"},
    {"train/b.caption.txt", ""},
    {"train/a.rgb.png", "picture a"},
    {"train/a.caption.json.gz", "words of a"},
};

static void members_come_in_order(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        char *path = make_tar("mixed.tar", mixed, COUNT(mixed), gzip, 0);
        tsr_tar *t;
        tsr_tar_member m;
        int more = 0;
        assert_ok(tsr_tar_open(path, 0, &t));
        for (size_t i = 1; i < COUNT(mixed); i++) {
            assert_ok(tsr_tar_next(t, &m, &more));
            assert_true(more);
            assert_string_equal(m.name, i == 1 ? "train/b.rgb.png" : mixed[i].name);
            assert_int_equal(m.bytes, strlen(mixed[i].data));
            assert_string_equal(m.data, mixed[i].data);
        }
        assert_ok(tsr_tar_next(t, &m, &more));
        assert_false(more);
        tsr_tar_close(t);
        assert_ok(tsr_tar_open(path, 8, &t));
        assert_fails(TSR_ELIMIT, tsr_tar_next(t, &m, &more));
        assert_non_null(strstr(tsr_error(), "train/b.rgb.png"));
        tsr_tar_close(t);
        unlink(path);
        tsr_free(path);
    }
}

/* Headers of a few bytes that ask decompressors for gigabytes; formats whose decompressor would be
 * another program. */
static void hostile_compression_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        size_t bytes;
        tsr_status expected;
    } files[] = {
        {"\x28\xb5\x2f\xfd\0\xa8", 6, TSR_ELIMIT},                          /* window 2^31 */
        {"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\0\0\0", 13, TSR_ELIMIT}, /* single segment */
        {"\xfd" "7zXZ\0\0\4\xe6\xd6\xb4\x46\2\0\x21\1\x28", 17, TSR_ELIMIT},  /* dictionary 4 GiB */
        {"\xfd" "7zXZ\0\0\4\xe6\xd6\xb4\x46\2\x40\x21\x21\1\x26", 18, TSR_ELIMIT}, /* a size before */
        {"LRZI\0\6", 6, TSR_EFORMAT},
        {"GRZipII\0\2\4:)", 12, TSR_EFORMAT},
        {"\x89LZO\0\r\n\x1a\n\x10\x30", 11, TSR_EFORMAT},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        char path[512], data[256] = {0};
        tsr_tar *t = NULL;
        tsr_tar_member m;
        int more;
        snprintf(path, sizeof path, "%s/test_tar_hostile.tar", build_folder());
        memcpy(data, files[i].head, files[i].bytes);
        assert_ok(tsr_file_write(path, data, sizeof data));
        tsr_status st = tsr_tar_open(path, 0, &t);
        if (st == TSR_OK)
            st = tsr_tar_next(t, &m, &more);
        assert_int_equal(st, files[i].expected);
        assert_non_null(strstr(tsr_error(), path));
        tsr_tar_close(t);
        unlink(path);
    }
}

static void keys_end_at_the_first_dot(void **state)
{
    (void)state;
    assert_int_equal(tsr_tar_key_chars("0001.png"), 4);
    assert_int_equal(tsr_tar_key_chars("a.b/0001.rgb.png"), 8);
    assert_int_equal(tsr_tar_key_chars("none"), 4);
    assert_int_equal(tsr_tar_key_chars("a/.hidden"), 2);
}

static void assert_sample(const tsr_tar_set *s, size_t i, const char *modality, const char *name,
                          const char *expected)
{
    char *data;
    size_t bytes;
    const char *got = tsr_tar_set_name(s, i, modality);
    if (!expected) {
        assert_null(got);
        assert_fails(TSR_ENOENT, tsr_tar_set_read(s, i, modality, 0, &data, &bytes));
        return;
    }
    assert_non_null(got);
    assert_string_equal(got, name);
    assert_ok(tsr_tar_set_read(s, i, modality, 0, &data, &bytes));
    assert_int_equal(bytes, strlen(expected));
    assert_string_equal(data, expected);
    tsr_free(data);
}

static void one_tar_of_all_modalities(void **state)
{
    (void)state;
    char *path = make_tar("set.tar", mixed, COUNT(mixed), 0, 0);
    const tsr_tar_source source = {path, NULL};
    tsr_tar_set *s;
    assert_ok(tsr_tar_set_open(&source, 1, &s));
    assert_int_equal(tsr_tar_set_count(s), 2);
    assert_string_equal(tsr_tar_set_key(s, 0), "train/a");
    assert_sample(s, 0, "rgb", "train/a.rgb.png", "picture a");
    assert_sample(s, 0, "caption", "train/a.caption.json.gz", "words of a");
    assert_sample(s, 1, "rgb", "train/b.rgb.png", "picture b");
    assert_sample(s, 1, "caption", "train/b.caption.txt", "");
    assert_sample(s, 1, "depth", NULL, NULL);
    char *data;
    size_t bytes;
    assert_fails(TSR_ELIMIT, tsr_tar_set_read(s, 0, "rgb", 4, &data, &bytes));
    tsr_tar_set_close(s);
    unlink(path);
    tsr_free(path);
}

static void tars_of_one_modality_align_by_name(void **state)
{
    (void)state;
    /* a long name makes a pax header in front of the member's own */
    static char name[200];
    memset(name, 'k', 180);
    strcpy(name + 180, ".png");
    const entry pictures[] = {{"0002.png", "p2"}, {"0001.jpg", "p1"}, {name, "long"}};
    static const entry words[] = {{"0001.txt", "w1"}, {"0003.txt", "w3"}};
    char *a = make_tar("rgb.tar", pictures, COUNT(pictures), 0, 1);
    char *b = make_tar("caption.tar", words, COUNT(words), 0, 1);
    const tsr_tar_source sources[2] = {{a, "rgb"}, {b, "caption"}};
    tsr_tar_set *s;
    assert_ok(tsr_tar_set_open(sources, 2, &s));
    assert_int_equal(tsr_tar_set_count(s), 4);
    assert_string_equal(tsr_tar_set_key(s, 1), "0002");
    assert_sample(s, 0, "rgb", "0001.jpg", "p1");
    assert_sample(s, 0, "caption", "0001.txt", "w1");
    assert_sample(s, 1, "rgb", "0002.png", "p2");
    assert_sample(s, 1, "caption", NULL, NULL);
    assert_sample(s, 2, "rgb", NULL, NULL);
    assert_sample(s, 2, "caption", "0003.txt", "w3");
    assert_sample(s, 3, "rgb", name, "long");
    tsr_tar_set_close(s);
    const tsr_tar_source twice[2] = {{a, "rgb"}, {a, "rgb"}};
    assert_fails(TSR_EFORMAT, tsr_tar_set_open(twice, 2, &s));
    assert_non_null(strstr(tsr_error(), "twice"));
    const tsr_tar_source nameless = {a, NULL};
    assert_fails(TSR_EFORMAT, tsr_tar_set_open(&nameless, 1, &s));
    unlink(a);
    unlink(b);
    tsr_free(a);
    tsr_free(b);
}

/* The same members give the same bytes; what was not sealed is not there. */
static void tars_are_written(void **state)
{
    (void)state;
    char *path = path_of("written.tar"), *data[2], name[260];
    size_t bytes[2];
    tsr_tar_writer *w;
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 5, ".npy", 5);
    for (int i = 0; i < 2; i++) {
        unlink(path);
        assert_ok(tsr_tar_create(path, &w));
        assert_ok(tsr_tar_add(w, "0000/a.npy", "tokens", 6));
        assert_ok(tsr_tar_add(w, "0000/\303\251.txt", "", 0));
        assert_ok(tsr_tar_add(w, name, "long", 4));
        assert_false(tsr_file_exists(path));
        assert_ok(tsr_tar_seal(w));
        tsr_tar_destroy(w);
        assert_ok(tsr_file_read(path, 1 << 20, &data[i], &bytes[i]));
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(data[0], data[1], bytes[0]);
    tsr_free(data[0]);
    tsr_free(data[1]);
    const char *const names[] = {"0000/a.npy", "0000/\303\251.txt", name};
    static const char *const held[] = {"tokens", "", "long"};
    tsr_tar *t;
    tsr_tar_member m;
    int more;
    assert_ok(tsr_tar_open(path, 0, &t));
    for (size_t i = 0; i < 3; i++) {
        assert_ok(tsr_tar_next(t, &m, &more));
        assert_true(more);
        assert_string_equal(m.name, names[i]);
        assert_int_equal(m.bytes, strlen(held[i]));
        assert_memory_equal(m.data, held[i], m.bytes);
    }
    assert_ok(tsr_tar_next(t, &m, &more));
    assert_false(more);
    tsr_tar_close(t);
    unlink(path);
    assert_ok(tsr_tar_create(path, &w));
    assert_ok(tsr_tar_add(w, "a", "b", 1));
    tsr_tar_destroy(w);
    assert_false(tsr_file_exists(path));
    assert_fails(TSR_EIO, tsr_tar_create("/nonexistent-folder/a.tar", &w));
    tsr_free(path);
}

static void broken_tars_are_refused(void **state)
{
    (void)state;
    tsr_tar *t = NULL;
    tsr_tar_set *s = NULL;
    tsr_tar_member m;
    int more;
    char *gz = make_tar("set.tar.gz", mixed, COUNT(mixed), 1, 0);
    const tsr_tar_source packed = {gz, NULL};
    assert_fails(TSR_EUNSUPPORTED, tsr_tar_set_open(&packed, 1, &s));
    assert_non_null(strstr(tsr_error(), "compressed"));
    char *path = make_tar("cut.tar", mixed, COUNT(mixed), 0, 0), *data;
    size_t bytes;
    assert_ok(tsr_file_read(path, 1 << 20, &data, &bytes));
    /* folder header, member header, 4 of 9 bytes */
    assert_ok(tsr_file_write(path, data, 1024 + 4));
    const tsr_tar_source cut = {path, NULL};
    assert_ok(tsr_tar_open(path, 0, &t));
    assert_fails(TSR_EFORMAT, tsr_tar_next(t, &m, &more));
    tsr_tar_close(t);
    assert_fails(TSR_EFORMAT, tsr_tar_set_open(&cut, 1, &s));
    /* a checksum that is wrong */
    data[512 + 3] ^= 1;
    assert_ok(tsr_file_write(path, data, bytes));
    assert_ok(tsr_tar_open(path, 0, &t));
    assert_fails(TSR_EFORMAT, tsr_tar_next(t, &m, &more));
    tsr_tar_close(t);
    assert_ok(tsr_file_write(path, "no tar", 6));
    assert_fails(TSR_EFORMAT, tsr_tar_set_open(&cut, 1, &s));
    assert_fails(TSR_ENOENT, tsr_tar_open("/no/such.tar", 0, &t));
    assert_fails(TSR_EFORMAT, tsr_tar_open(build_folder(), 0, &t));
    tsr_free(data);
    unlink(path);
    unlink(gz);
    tsr_free(path);
    tsr_free(gz);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_order),
        cmocka_unit_test(hostile_compression_is_refused),
        cmocka_unit_test(keys_end_at_the_first_dot),
        cmocka_unit_test(one_tar_of_all_modalities),
        cmocka_unit_test(tars_of_one_modality_align_by_name),
        cmocka_unit_test(tars_are_written),
        cmocka_unit_test(broken_tars_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Samples of a folder tree: alignment by name, conflicts, tars, digests. */
#include "testing.h"

#include "base/file.h"
#include "pipeline/dataset.h"
#include "pipeline/source.h"

#include <sys/stat.h>
#include <unistd.h>

static char root[4096];

static void put(const char *name, const char *text)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", root, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(tsr_make_folders(path));
    *slash = '/';
    assert_ok(tsr_file_write(path, text, strlen(text)));
}

static int make_tree(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/test_source.XXXXXX", build_folder());
    if (!mkdtemp(root))
        return -1;
    put("train/caption/0/a.b.txt", "one");
    put("train/caption/0/a.c.txt", "two");
    put("train/caption/1/x.txt", "three");
    put("train/note/0/a.c.txt", "second note");
    put("train/note/0/only.json", "{\"n\": 1}");
    put("train/note/1/x.json", "{\"n\": 2}");
    put("train/note/1/x.txt", "a conflict");
    return 0;
}

static int remove_tree(void **state)
{
    char command[4200];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static const char *const both[] = {"caption", "note"};

static void samples_are_aligned_by_name(void **state)
{
    (void)state;
    tsr_source *s;
    assert_ok(tsr_source_open(root, "train", both, 2, &s));
    assert_int_equal(tsr_source_count(s), 4);
    assert_string_equal(tsr_source_key(s, 0), "0/a.b");
    assert_string_equal(tsr_source_key(s, 1), "0/a.c");
    assert_string_equal(tsr_source_key(s, 2), "0/only");
    assert_string_equal(tsr_source_key(s, 3), "1/x");
    for (size_t i = 0; i < 4; i++) {
        size_t row = 9;
        assert_true(tsr_source_find(s, tsr_source_key(s, i), &row));
        assert_int_equal(row, i);
        assert_false(tsr_source_find(s, "0/nothing", &row));
        assert_false(tsr_source_find(NULL, "1/x", &row));
        assert_int_equal(row, i);
    }
    assert_non_null(tsr_source_path(s, 0, 0));
    assert_null(tsr_source_path(s, 0, 1));
    assert_null(tsr_source_path(s, 2, 0));
    assert_int_equal(tsr_source_conflicts(s), 1);
    assert_true(strstr(tsr_source_conflict(s, 0), "x.txt") != NULL);
    tsr_media m;
    assert_ok(tsr_source_read(s, 1, 1, NULL, &m));
    assert_string_equal(m.as.text.s, "second note");
    tsr_media_clear(&m);
    assert_fails(TSR_ENOENT, tsr_source_read(s, 0, 1, NULL, &m));
    tsr_source_close(s);
}

static void wrong_folders_are_refused(void **state)
{
    (void)state;
    static const char *const none[] = {"nothing"};
    tsr_source *s = NULL;
    assert_fails(TSR_ENOENT, tsr_source_open(root, "train", none, 1, &s));
    assert_fails(TSR_ENOENT, tsr_source_open(root, "test", both, 2, &s));
    assert_fails(TSR_ECONFIG, tsr_source_open(root, "train", both, 0, &s));
    assert_null(s);
}

static void digests_follow_the_files(void **state)
{
    (void)state;
    tsr_source *s;
    tsr_digest a, b, c;
    assert_ok(tsr_source_open(root, "train", both, 2, &s));
    assert_ok(tsr_source_digest(s, 0, 2, &a));
    assert_ok(tsr_source_digest(s, 0, 2, &b));
    assert_ok(tsr_source_digest(s, 1, 2, &c));
    assert_true(tsr_digest_equal(a, b));
    assert_false(tsr_digest_equal(a, c));
    put("train/note/0/a.c.txt", "longer than before");
    assert_ok(tsr_source_digest(s, 0, 2, &b));
    assert_false(tsr_digest_equal(a, b));
    put("train/note/0/a.c.txt", "second note");
    assert_fails(TSR_EARG, tsr_source_digest(s, 2, 3, &a));
    tsr_source_close(s);
}

static void tars_hold_the_same_samples(void **state)
{
    (void)state;
    char command[16384];
    snprintf(command, sizeof command,
             "cd '%s' && mkdir -p tars/caption tars/note && "
             "tar -C train/caption/0 -cf tars/caption/00000.tar a.b.txt a.c.txt && "
             "tar -C train/note/1 -cf tars/note/00001.tar x.json && "
             "tar -C train/caption/1 -cf tars/caption/00001.tar x.txt",
             root);
    assert_int_equal(system(command), 0);
    tsr_source *s;
    /* In tars a key ends at the first dot, so a.b and a.c would be one sample twice. */
    assert_fails(TSR_EFORMAT, tsr_source_open(root, "tars", both, 2, &s));
    snprintf(command, sizeof command,
             "cd '%s' && tar -C train/caption/0 -cf tars/caption/00000.tar a.b.txt", root);
    assert_int_equal(system(command), 0);
    assert_ok(tsr_source_open(root, "tars", both, 2, &s));
    assert_int_equal(tsr_source_count(s), 2);
    assert_string_equal(tsr_source_key(s, 0), "00000/a");
    assert_string_equal(tsr_source_key(s, 1), "00001/x");
    tsr_media m;
    assert_ok(tsr_source_read(s, 1, 0, NULL, &m));
    assert_string_equal(m.as.text.s, "three");
    tsr_media_clear(&m);
    assert_ok(tsr_source_read(s, 1, 1, NULL, &m));
    assert_int_equal(m.kind, TSR_MEDIA_RECORD);
    tsr_media_clear(&m);
    tsr_digest a, b;
    assert_ok(tsr_source_digest(s, 0, 1, &a));
    snprintf(command, sizeof command,
             "cd '%s' && tar -C train/caption/0 -b 40 -cf tars/caption/00000.tar a.b.txt", root);
    assert_int_equal(system(command), 0);
    assert_ok(tsr_source_digest(s, 0, 1, &b));
    assert_false(tsr_digest_equal(a, b));
    tsr_source_close(s);
}

static void a_dataset_remembers_what_fits(void **state)
{
    (void)state;
    static const size_t caches[] = {0, 4, 1 << 20};
    for (size_t c = 0; c < 3; c++) {
        const tsr_dataset_spec spec = {.root = root, .split = "train", .folders = both,
                                       .n_folders = 2, .cache_bytes = caches[c]};
        tsr_dataset *d;
        assert_ok(tsr_dataset_open(&spec, &d));
        assert_int_equal(tsr_dataset_count(d), 3); /* "only" has no caption */
        for (int round = 0; round < 2; round++) {
            tsr_sample s;
            assert_ok(tsr_dataset_get(d, 1, &s));
            assert_int_equal(s.in.count, 2);
            assert_string_equal(s.in.media[0]->as.text.s, "two");
            assert_string_equal(s.in.media[1]->as.text.s, "second note");
            tsr_sample_clear(&s);
        }
        tsr_dataset_close(d);
    }
    static const char *const empty[] = {"note"};
    const tsr_dataset_spec spec = {.root = root, .split = "train", .folders = empty,
                                   .n_folders = 1, .limit = 1};
    tsr_dataset *d;
    assert_ok(tsr_dataset_open(&spec, &d));
    assert_int_equal(tsr_dataset_count(d), 1);
    tsr_dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_aligned_by_name),
        cmocka_unit_test(wrong_folders_are_refused),
        cmocka_unit_test(digests_follow_the_files),
        cmocka_unit_test(tars_hold_the_same_samples),
        cmocka_unit_test(a_dataset_remembers_what_fits),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}

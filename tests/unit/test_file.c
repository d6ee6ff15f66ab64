/* SPDX-License-Identifier: Apache-2.0
 * Files, folders, digests, strings. */
#include "testing.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#include <sys/stat.h>
#include <unistd.h>

static char root[4096];

static const char *in_root(const char *name)
{
    static char path[2][8192];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/test_file.XXXXXX", build_folder());
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char *data;
    size_t bytes;
    assert_ok(tsr_make_folders(in_root("a/b/c")));
    assert_ok(tsr_make_folders(in_root("a/b/c")));
    assert_ok(tsr_make_parent(in_root("p/q/file")));
    assert_true(tsr_is_folder(in_root("p/q")));
    assert_false(tsr_file_exists(in_root("p/q/file")));
    assert_ok(tsr_make_parent("file"));
    assert_ok(tsr_make_parent("/file"));
    assert_ok(tsr_file_write(in_root("a/b/c/x"), "one\0two", 7));
    assert_ok(tsr_file_read(in_root("a/b/c/x"), 100, &data, &bytes));
    assert_int_equal(bytes, 7);
    assert_memory_equal(data, "one\0two", 8);
    tsr_free(data);
    tsr_names names = {0};
    assert_ok(tsr_list_folder(in_root("a/b/c"), &names));
    assert_int_equal(names.count, 1); /* no temporary file is left */
    tsr_names_clear(&names);
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    char *data = NULL;
    size_t bytes;
    assert_fails(TSR_ENOENT, tsr_file_read(in_root("nothing"), 100, &data, &bytes));
    assert_ok(tsr_make_folders(in_root("folder.png")));
    assert_fails(TSR_EFORMAT, tsr_file_read(in_root("folder.png"), 100, &data, &bytes));
    assert_ok(tsr_file_write(in_root("big"), "0123456789", 10));
    assert_fails(TSR_ELIMIT, tsr_file_read(in_root("big"), 9, &data, &bytes));
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    assert_fails(TSR_EFORMAT, tsr_file_read(in_root("fifo"), 9, &data, &bytes));
    assert_fails(TSR_ENOENT, tsr_file_write(in_root("no/such/folder"), "x", 1));
    assert_null(data);
}

static void a_walk_is_sorted_and_ends_at_loops(void **state)
{
    (void)state;
    assert_ok(tsr_make_folders(in_root("walk/b/c")));
    assert_ok(tsr_file_write(in_root("walk/b/c/2"), "", 0));
    assert_ok(tsr_file_write(in_root("walk/b/1"), "", 0));
    assert_ok(tsr_file_write(in_root("walk/a"), "", 0));
    assert_ok(tsr_file_write(in_root("walk/.hidden"), "", 0));
    assert_int_equal(symlink("..", in_root("walk/b/up")), 0);
    tsr_names names = {0};
    assert_ok(tsr_walk_folder(in_root("walk"), 16, &names));
    assert_int_equal(names.count, 3);
    assert_string_equal(names.names[0], "a");
    assert_string_equal(names.names[1], "b/1");
    assert_string_equal(names.names[2], "b/c/2");
    tsr_names_clear(&names);
}

static void digests_match_the_published_function(void **state)
{
    (void)state;
    char text[TSR_DIGEST_CHARS];
    tsr_digest d = tsr_hash("", 0), back;
    tsr_digest_text(d, text);
    /* Source: xxHash's documentation: XXH3-128 of the empty input with seed 0. */
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
    assert_ok(tsr_digest_parse(text, &back));
    assert_true(tsr_digest_equal(d, back));
    assert_fails(TSR_EFORMAT, tsr_digest_parse("99aa", &back));
    assert_fails(TSR_EFORMAT, tsr_digest_parse("99AA06d3014798d86001c324468d497f", &back));
    assert_ok(tsr_file_write(in_root("digest"), "tessera", 7));
    assert_ok(tsr_hash_file(in_root("digest"), &back));
    d = tsr_hash("tessera", 7);
    assert_true(tsr_digest_equal(d, back));
}

static void utf8_is_checked_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {
        {"plain", 5},          {"\xc3\xa9", 2},         {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x99\x82", 4}, {"a\xc0\x80", 1},        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0}, {"ab\xe2\x82", 2},       {"\xe0\x80\x80", 0},
        {"\x80", 0},           {"\xf8\x88\x80\x80\x80", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(tsr_utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
}

static void near_words_are_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"tokenize", "train", "inspect", "verify"};
    assert_string_equal(tsr_suggest("tokenise", words, 4), "tokenize");
    assert_string_equal(tsr_suggest("inpsect", words, 4), "inspect");
    assert_null(tsr_suggest("xyz", words, 4));
    assert_int_equal(tsr_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(tsr_edit_distance("", "abc"), 3);
}

static void strings_grow(void **state)
{
    (void)state;
    tsr_str b = {0};
    for (int i = 0; i < 1000; i++)
        assert_ok(tsr_str_addf(&b, "%d,", i));
    assert_int_equal(b.len, 3890);
    assert_true(tsr_ends_with(b.s, "998,999,"));
    tsr_str_clear(&b);
}

static int is_picture(const char *name)
{
    return strcmp(tsr_path_extension(name), "png") == 0;
}

static void a_walk_lists_folders_that_look_like_files(void **state)
{
    (void)state;
    tsr_names names = {0};
    assert_ok(tsr_make_folders(in_root("leaves/a/x.png/inner")));
    assert_ok(tsr_file_write(in_root("leaves/a/y.png"), "", 0));
    assert_ok(tsr_walk_leaves(in_root("leaves"), 16, is_picture, &names));
    assert_int_equal(names.count, 2);
    assert_string_equal(names.names[0], "a/x.png");
    assert_string_equal(names.names[1], "a/y.png");
    tsr_names_clear(&names);
}

static void what_killed_writers_left_is_removed(void **state)
{
    (void)state;
    char *temp;
    assert_ok(tsr_remove_temporaries(in_root("no-such-folder")));
    assert_ok(tsr_make_folders(in_root("left/c.tmp.9")));
    assert_ok(tsr_file_temp_name(in_root("left/a.h5"), &temp));
    assert_true(tsr_file_is_temp(tsr_path_name(temp)));
    assert_false(tsr_file_is_temp("a.tmp"));
    assert_ok(tsr_file_write(temp, "x", 1));
    assert_ok(tsr_file_write(in_root("left/b.tmp"), "x", 1));
    assert_ok(tsr_remove_temporaries(in_root("left")));
    assert_false(tsr_file_exists(temp));
    assert_true(tsr_file_exists(in_root("left/b.tmp")));
    assert_true(tsr_is_folder(in_root("left/c.tmp.9"))); /* files only */
    tsr_free(temp);
}

static void a_folder_is_locked_once(void **state)
{
    (void)state;
    int first = -1, second = -1;
    assert_ok(tsr_make_folders(in_root("shared")));
    assert_ok(tsr_lock_folder(in_root("shared"), ".lock", "is taken", &first));
    assert_fails(TSR_EIO, tsr_lock_folder(in_root("shared"), ".lock", "is taken", &second));
    assert_non_null(strstr(tsr_error(), "shared: is taken"));
    assert_int_equal(second, -1);
    close(first);
    assert_ok(tsr_lock_folder(in_root("shared"), ".lock", "is taken", &second));
    close(second);
    assert_fails(TSR_EIO, tsr_lock_folder(in_root("no-such"), ".lock", "is taken", &second));
    assert_non_null(strstr(tsr_error(), "cannot be written to"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_cannot_be_read_is_said),
        cmocka_unit_test(a_walk_is_sorted_and_ends_at_loops),
        cmocka_unit_test(a_walk_lists_folders_that_look_like_files),
        cmocka_unit_test(what_killed_writers_left_is_removed),
        cmocka_unit_test(a_folder_is_locked_once),
        cmocka_unit_test(digests_match_the_published_function),
        cmocka_unit_test(utf8_is_checked_strictly),
        cmocka_unit_test(near_words_are_suggested),
        cmocka_unit_test(strings_grow),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

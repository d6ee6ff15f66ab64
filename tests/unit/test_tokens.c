/* SPDX-License-Identifier: Apache-2.0
 * Vocabulary ranges. */
#include "testing.h"

#include "types/tokens.h"

static tsr_token_space space(const char *modality, const char *vocabulary, uint32_t codes)
{
    tsr_token_space s = {.codebook_size = codes};
    snprintf(s.modality, sizeof s.modality, "%s", modality);
    snprintf(s.vocabulary, sizeof s.vocabulary, "%s", vocabulary);
    return s;
}

static void text_comes_first_and_is_shared(void **state)
{
    (void)state;
    tsr_token_space s[] = {space("rgb", "rgb", 1024), space("caption", "text", 5000),
                           space("depth", "depth", 512), space("metadata", "text", 5000)};
    uint32_t total;
    assert_ok(tsr_vocabulary_assign(s, 4, &total));
    assert_int_equal(s[1].base, 0);
    assert_int_equal(s[3].base, 0);
    assert_int_equal(s[0].base, 5000);
    assert_int_equal(s[2].base, 6024);
    assert_int_equal(total, 6536);
}

static void patches_take_no_range(void **state)
{
    (void)state;
    tsr_token_space s[] = {space("rgb@128", "", 0), space("rgb", "rgb", 1024),
                           space("rgb@224", "", 0), space("depth", "depth", 512)};
    uint32_t total;
    s[0].base = 7;
    tsr_space_set_patches(&s[0], 8, 8, 16);
    tsr_space_set_patches(&s[2], 14, 14, 16);
    assert_ok(tsr_vocabulary_assign(s, 4, &total));
    assert_int_equal(total, 1536);
    assert_int_equal(s[0].base, 0);
    assert_int_equal(s[1].base, 0);
    assert_int_equal(s[2].base, 0);
    assert_int_equal(s[3].base, 1024);
    assert_int_equal(s[0].levels, 768);
    assert_int_equal(s[0].codebook_size, 256);
    assert_false(tsr_space_has_codes(&s[0]));
    assert_true(tsr_space_has_codes(&s[1]));
}

static void patch_sides_come_from_levels(void **state)
{
    (void)state;
    tsr_token_space s = space("rgb@128", "", 0);
    for (uint32_t p = 1; p <= 4096; p += p < 40 ? 1 : 507) {
        tsr_space_set_patches(&s, 1, 1, p);
        assert_int_equal(tsr_space_patch(&s), p);
    }
    const uint32_t wrong[] = {0, 1, 2, 4, 13, 767, 769, 3u * 4096 * 4096 + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        s.levels = wrong[i];
        assert_int_equal(tsr_space_patch(&s), 0);
    }
    tsr_space_set_patches(&s, 1, 1, 4097);
    assert_int_equal(tsr_space_patch(&s), 0);
    s = space("rgb", "rgb", 768);
    s.levels = 768;
    assert_int_equal(tsr_space_patch(&s), 0);
}

static void layouts_have_names(void **state)
{
    (void)state;
    tsr_layout l;
    for (int i = TSR_LAYOUT_GRID; i <= TSR_LAYOUT_PATCHES; i++) {
        assert_ok(tsr_layout_parse(tsr_layout_name((tsr_layout)i), "x", &l));
        assert_int_equal(l, i);
    }
    assert_fails(TSR_EFORMAT, tsr_layout_parse("tree", "file.h5", &l));
    assert_non_null(strstr(tsr_error(), "file.h5"));
    assert_non_null(strstr(tsr_error(), "\"tree\""));
}

/* No member that means nothing for the layout. */
static void spaces_say_what_they_are(void **state)
{
    (void)state;
    static const char *const members[][3] = {{"grid", "levels", "codebook_size"},
                                             {"layout", "base", "vocabulary"},
                                             {"grid", "patch_size", "tokenizer"}};
    static const int counts[] = {8, 6, 5};
    tsr_token_space s = space("x", "x", 10);
    for (int i = 0; i < 3; i++) {
        json_t *v = json_object();
        s.layout = (tsr_layout)i;
        s.height = s.width = s.levels = 1;
        if (s.layout == TSR_LAYOUT_PATCHES)
            tsr_space_set_patches(&s, 2, 2, 4);
        assert_ok(tsr_space_json(&s, v));
        assert_int_equal(json_object_size(v), counts[i]);
        for (int k = 0; k < 3; k++)
            assert_non_null(json_object_get(v, members[i][k]));
        assert_string_equal(json_string_value(json_object_get(v, "layout")),
                            tsr_layout_name(s.layout));
        json_decref(v);
    }
}

static void conflicts_are_refused(void **state)
{
    (void)state;
    uint32_t total;
    tsr_token_space twice[] = {space("rgb", "rgb", 8), space("rgb", "x", 8)};
    assert_fails(TSR_EARG, tsr_vocabulary_assign(twice, 2, &total));
    tsr_token_space uneven[] = {space("a", "text", 8), space("b", "text", 9)};
    assert_fails(TSR_EMISMATCH, tsr_vocabulary_assign(uneven, 2, &total));
    tsr_token_space huge[] = {space("a", "a", 0x80000000u), space("b", "b", 0x80000000u)};
    assert_fails(TSR_ELIMIT, tsr_vocabulary_assign(huge, 2, &total));
}

static void names_are_checked(void **state)
{
    (void)state;
    assert_true(tsr_modality_name_ok("clip-b16@224"));
    assert_false(tsr_modality_name_ok(""));
    assert_false(tsr_modality_name_ok("../x"));
    assert_false(tsr_modality_name_ok("RGB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_first_and_is_shared),
        cmocka_unit_test(patches_take_no_range),
        cmocka_unit_test(patch_sides_come_from_levels),
        cmocka_unit_test(layouts_have_names),
        cmocka_unit_test(spaces_say_what_they_are),
        cmocka_unit_test(conflicts_are_refused),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
        cmocka_unit_test(conflicts_are_refused),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

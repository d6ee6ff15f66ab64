/* SPDX-License-Identifier: Apache-2.0
 * Lists of modalities, and storage of examples. */
#include "testing.h"

#include "trainer/example.h"
#include "trainer/modality.h"

static tsr_mod of(const char *name, tsr_layout layout, uint32_t h, uint32_t w, uint32_t levels)
{
    tsr_token_space s = {.layout = layout, .height = h, .width = w, .levels = levels,
                         .codebook_size = 100, .base = 7, .tokenizer = {3, 4}};
    tsr_mod m;
    snprintf(s.modality, sizeof s.modality, "%s", name);
    snprintf(s.vocabulary, sizeof s.vocabulary, "%s", name);
    tsr_mod_of_space(&s, &m);
    return m;
}

static void are_sorted_and_unique(void **state)
{
    (void)state;
    tsr_mods all = {.count = 0};
    tsr_mod rgb = of("rgb", TSR_LAYOUT_GRID, 4, 4, 1), text = of("caption", TSR_LAYOUT_SEQUENCE, 1, 1, 1);
    assert_ok(tsr_mods_add(&all, &rgb));
    assert_ok(tsr_mods_add(&all, &text));
    assert_int_equal(tsr_mods_find(&all, "caption"), 0);
    assert_int_equal(tsr_mods_find(&all, "rgb"), 1);
    assert_int_equal(tsr_mods_find(&all, "depth"), -1);
    assert_fails(TSR_EARG, tsr_mods_add(&all, &rgb));
    rgb.name[0] = '\0';
    assert_fails(TSR_EARG, tsr_mods_add(&all, &rgb));
}

static void classes_follow_the_layout(void **state)
{
    (void)state;
    assert_int_equal(of("a", TSR_LAYOUT_GRID, 4, 6, 1).cls, TSR_CLASS_IMAGE);
    assert_int_equal(of("a", TSR_LAYOUT_GRID, 4, 6, 1).places, 24);
    assert_int_equal(of("a", TSR_LAYOUT_GRID, 4, 6, 3).cls, TSR_CLASS_VECTOR);
    assert_int_equal(of("a", TSR_LAYOUT_GRID, 4, 6, 3).places, 72);
    assert_int_equal(of("a", TSR_LAYOUT_GRID, 1, 16, 1).cls, TSR_CLASS_VECTOR);
    assert_int_equal(of("a", TSR_LAYOUT_SEQUENCE, 1, 1, 1).cls, TSR_CLASS_SEQUENCE);
    tsr_mod pixels = of("a", TSR_LAYOUT_PATCHES, 4, 6, 48);
    assert_int_equal(pixels.cls, TSR_CLASS_PIXELS);
    assert_int_equal(pixels.places, 24);
    assert_int_equal(pixels.patch_values, 48);
    assert_true(pixels.input && !pixels.output && !pixels.vocabulary);
}

static void json_keeps_everything(void **state)
{
    (void)state;
    tsr_mods all = {.count = 0}, back;
    json_t *value;
    tsr_mod rgb = of("rgb", TSR_LAYOUT_GRID, 4, 6, 1), text = of("caption", TSR_LAYOUT_SEQUENCE, 1, 1, 1);
    text.output = 0;
    text.wrap = 11;
    assert_ok(tsr_mods_add(&all, &rgb));
    assert_ok(tsr_mods_add(&all, &text));
    assert_ok(tsr_mods_to_json(&all, &value));
    assert_ok(tsr_mods_from_json(value, "test", &back));
    assert_int_equal(back.count, 2);
    assert_memory_equal(&back.items[0], &all.items[0], sizeof back.items[0]);
    assert_memory_equal(&back.items[1], &all.items[1], sizeof back.items[1]);
    json_object_set_new(json_array_get(value, 0), "class", json_string("smell"));
    assert_fails(TSR_EFORMAT, tsr_mods_from_json(value, "test", &back));
    json_decref(value);
    assert_fails(TSR_EFORMAT, tsr_mods_from_json(NULL, "test", &back));
}

static void examples_do_not_overflow(void **state)
{
    (void)state;
    tsr_mods all = {.count = 3};
    tsr_example e;
    assert_ok(tsr_example_init(&e, &all, 10, 0));
    for (int round = 0; round < 2; round++) {
        assert_ok(tsr_example_rows(&e, &e.in[0], 4));
        assert_ok(tsr_example_rows(&e, &e.out[2], 6));
        assert_fails(TSR_ELIMIT, tsr_example_rows(&e, &e.out[1], 1));
        assert_int_equal(tsr_example_inputs(&e), 4);
        assert_int_equal(tsr_example_targets(&e), 6);
        tsr_example_reset(&e);
        assert_int_equal(tsr_example_targets(&e), 0);
    }
    tsr_example_clear(&e);
    assert_fails(TSR_ELIMIT, tsr_example_init(&e, &all, SIZE_MAX / 2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_sorted_and_unique),
        cmocka_unit_test(classes_follow_the_layout),
        cmocka_unit_test(json_keeps_everything),
        cmocka_unit_test(examples_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

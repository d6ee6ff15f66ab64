/* SPDX-License-Identifier: Apache-2.0
 * Masking policies from recipes: what they take, what they refuse, published mixtures. */
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/yamltree.h"
#include "trainer/policy.h"

static void add(tsr_mods *mods, const char *name, tsr_modality_class cls)
{
    int text = cls == TSR_CLASS_SEQUENCE, pixels = cls == TSR_CLASS_PIXELS;
    tsr_mod m = {.cls = cls,
                 .input = 1,
                 .output = !pixels,
                 .vocabulary = text ? 30000 : 1024,
                 .height = text ? 1 : 14,
                 .width = text ? 1 : 14,
                 .places = text ? 0 : 196,
                 .max_tokens = text ? 256 : 196,
                 .positions = text ? 512 : 196,
                 .patch_values = pixels ? 768 : 0};
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_ok(tsr_mods_add(mods, &m));
}

/* 4M-7. */
static tsr_mods mod7(void)
{
    static const char *const grids[] = {"tok_rgb@224", "tok_depth@224", "tok_normal@224",
                                        "tok_semseg@224", "tok_clip@224"};
    tsr_mods mods = {.count = 0};
    for (int i = 0; i < 5; i++)
        add(&mods, grids[i], TSR_CLASS_IMAGE);
    add(&mods, "rgb@224", TSR_CLASS_PIXELS);
    add(&mods, "caption", TSR_CLASS_SEQUENCE);
    add(&mods, "det", TSR_CLASS_SEQUENCE);
    return mods;
}

static tsr_status create(const char *text, const tsr_mods *mods, tsr_policy **out)
{
    json_t *value = NULL;
    *out = NULL;
    assert_ok(tsr_yaml_parse(text, strlen(text), "recipe", NULL, &value));
    tsr_status st = tsr_policy_create(value, "recipe", mods, out);
    json_decref(value);
    return st;
}

static tsr_policy *policy(const char *text)
{
    tsr_mods mods = mod7();
    tsr_policy *p;
    assert_ok(create(text, &mods, &p));
    return p;
}

static void refuses(const char *text, const char *word)
{
    tsr_mods mods = mod7();
    tsr_policy *p;
    assert_fails(TSR_ECONFIG, create(text, &mods, &p));
    if (!strstr(tsr_error(), word))
        fail_msg("%s: \"%s\" does not speak of %s", text, tsr_error(), word);
}

static int at(const tsr_policy *p, const char *name)
{
    int m = tsr_mods_find(&p->mods, name);
    assert_true(m >= 0);
    return m;
}

static double alpha(const tsr_policy *p, size_t k, int side, const char *name)
{
    return p->components[k].alpha[side][at(p, name)];
}

static void has_defaults(void **state)
{
    tsr_policy *p = policy("~");
    (void)state;
    assert_int_equal(p->n_components, 1);
    assert_int_equal(p->components[0].most[TSR_SIDE_IN], 128);
    assert_int_equal(p->components[0].most[TSR_SIDE_OUT], 128);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "rgb@224") == 1);
    assert_true(alpha(p, 0, TSR_SIDE_OUT, "rgb@224") == 0); /* pixels are no targets */
    assert_true(alpha(p, 0, TSR_SIDE_OUT, "det") == 1);
    tsr_policy_destroy(p);
}

static void the_closest_key_counts(void **state)
{
    tsr_policy *p = policy("{components: [{inputs: {default: 1, image: 2, 'tok_d*@224': 3,"
                           " tok_clip@224: 4, sequence: 0}}, {weight: 2, keep: {caption: all}}],"
                           "keep: binary, grids: block, chunks: {det: v0, caption: {every: 3}},"
                           "limits: {targets: {det: [2, 7], caption: 5}}, drop: {pixels: 0.5},"
                           "totals: {inputs: [3, 9], targets: rest}}");
    (void)state;
    assert_true(alpha(p, 0, TSR_SIDE_IN, "rgb@224") == 1);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "tok_rgb@224") == 2);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "tok_depth@224") == 3);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "tok_clip@224") == 4);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "det") == 0);
    assert_int_equal(p->components[0].keep[at(p, "caption")], TSR_KEEP_BINARY);
    assert_int_equal(p->components[1].keep[at(p, "caption")], TSR_KEEP_ALL);
    assert_int_equal(p->components[1].keep[at(p, "det")], TSR_KEEP_BINARY);
    assert_true(p->weights == 3);
    assert_int_equal(p->grid[at(p, "tok_clip@224")], TSR_GRID_BLOCK);
    assert_int_equal(p->chunks[at(p, "det")].low, 204);
    assert_int_equal(p->chunks[at(p, "det")].high, 1203);
    assert_int_equal(p->chunks[at(p, "caption")].every, 3);
    assert_int_equal(p->floor[TSR_SIDE_OUT][at(p, "det")], 2);
    assert_int_equal(p->cap[TSR_SIDE_OUT][at(p, "det")], 7);
    assert_int_equal(p->floor[TSR_SIDE_OUT][at(p, "caption")], 0);
    assert_true(p->drop[at(p, "rgb@224")] == 0.5 && p->drop[at(p, "det")] == 0);
    assert_int_equal(p->components[0].least[TSR_SIDE_IN], 3);
    assert_true(p->components[0].rest);
    /* All there is: five grids, det with at most 7 and caption with at most 5. */
    assert_int_equal(tsr_policy_targets(p), 5 * 196 + 12);
    assert_int_equal(tsr_policy_inputs(p), 9);
    assert_int_equal(tsr_policy_patch_bytes(p), 9 * 768);
    tsr_policy_destroy(p);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refuses("{total: 3}", "did you mean \"totals\"");
    refuses("{totals: {input: 3}}", "did you mean \"inputs\"");
    refuses("{components: [{inputs: {captoin: 3}}]}", "did you mean \"caption\"");
    refuses("{components: [{inputs: {audio: 3}}]}", "audio");
    refuses("{components: [{inputs: {'*@448': 3}}]}", "*@448");
    refuses("{components: [{wieght: 3}]}", "did you mean \"weight\"");
    refuses("{components: [{inputs: {caption: -1}}]}", "components.0.inputs");
    refuses("{components: [{}, {targets: {caption: much}}]}", "components.1.targets");
    refuses("{components: [{inputs: 1e-12}]}", "1e-09");
    refuses("{components: [{targets: {rgb@224: 1}}]}", "cannot be a target");
    refuses("{components: [{targets: 0}]}", "target");
    refuses("{components: []}", "components");
    refuses("{components: 3}", "components");
    refuses("{components: [3]}", "components.0");
    refuses("{components: [{weight: 0}]}", "weights");
    refuses("{totals: {inputs: [5, 3]}}", "least 5");
    refuses("{totals: {inputs: [5, 3, 4]}}", "least, most");
    refuses("{totals: {inputs: 2.5}}", "whole number");
    refuses("{totals: {inputs: 99999999}}", "whole number");
    refuses("{totals: {inputs: rest}}", "whole number");
    refuses("{keep: some}", "random, all, binary");
    refuses("{grids: {caption: block}}", "keep");
    refuses("{grids: hexagons}", "random, block, whole");
    refuses("{grids: {tok_rgb@224: whole}}", "196 places");
    refuses("{chunks: {tok_rgb@224: v0}}", "no sequence");
    refuses("{chunks: {det: v7}}", "v0, v1, v2, v3");
    refuses("{chunks: {det: {every: 0}}}", "every");
    refuses("{chunks: {det: {after: 1}}}", "starts");
    refuses("{chunks: {det: {starts: [9, 3]}}}", "above");
    refuses("{drop: {det: 1.5}}", "from 0 to 1");
    refuses("{subset: {inputs: [0, 3]}}", "at least 1");
    refuses("{limits: {inputs: {det: [100, 120], caption: [100, 120]}}}", "floors");
    refuses("{compat: maybe}", "true or false");
    refuses("{compat: true, subset: {inputs: 2}}", "subset");
    refuses("{compat: true, limits: {inputs: {det: 3}}}", "limits");
    refuses("{preset: 4m-8}", "4m-7");
    refuses("{preset: 4m-7, components: [{}]}", "more than one");
    refuses("{preset: sr}", "target");
    refuses("{names: {det: boxes}}", "mask.alphas");
    refuses("[]", "map");
}

static void models_that_do_not_fit_are_refused(void **state)
{
    tsr_mods mods = {.count = 0};
    tsr_policy *p;
    (void)state;
    assert_fails(TSR_ECONFIG, create("{}", &mods, &p));
    add(&mods, "caption", TSR_CLASS_SEQUENCE);
    assert_ok(create("{}", &mods, &p));
    tsr_policy_destroy(p);
    /* Pictures to everything, without pictures. */
    assert_fails(TSR_ECONFIG, create("{preset: 4m-7}", &mods, &p));
    mods.items[0].vocabulary = 100; /* not even all sentinels */
    assert_fails(TSR_ECONFIG, create("{}", &mods, &p));
    mods.items[0].vocabulary = 300;
    mods.items[0].max_tokens = 0;
    assert_fails(TSR_ECONFIG, create("{}", &mods, &p));
    mods.count = 0;
    add(&mods, "rgb", TSR_CLASS_IMAGE);
    mods.items[0].places = 195;
    assert_fails(TSR_ECONFIG, create("{}", &mods, &p));
}

static void presets_are_the_published_ones(void **state)
{
    tsr_policy *p = policy("{preset: 4m-7}");
    (void)state;
    assert_int_equal(p->n_components, 2);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "rgb@224") == 1000);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "tok_rgb@224") == 0);
    assert_true(alpha(p, 1, TSR_SIDE_IN, "rgb@224") == 0.5);
    assert_true(alpha(p, 1, TSR_SIDE_OUT, "rgb@224") == 0);
    tsr_policy_destroy(p);
    p = policy("{preset: 4m-7-mix, totals: {inputs: 64}}");
    assert_int_equal(p->n_components, 6);
    assert_int_equal(p->components[3].most[TSR_SIDE_IN], 64);
    assert_int_equal(p->components[3].most[TSR_SIDE_OUT], 128);
    assert_true(alpha(p, 5, TSR_SIDE_IN, "caption") == 5 &&
                alpha(p, 5, TSR_SIDE_IN, "det") == 0.05);
    assert_int_equal(p->components[5].keep[at(p, "caption")], TSR_KEEP_ALL);
    assert_int_equal(p->components[5].keep[at(p, "det")], TSR_KEEP_RANDOM);
    tsr_policy_destroy(p);
    p = policy("{preset: 4m-21}");
    assert_int_equal(p->n_components, 7);
    assert_true(p->weights == 12);
    assert_true(alpha(p, 5, TSR_SIDE_OUT, "caption") == 0 &&
                alpha(p, 5, TSR_SIDE_OUT, "det") == 0.5);
    tsr_policy_destroy(p);
    p = policy("{preset: t2i}");
    assert_int_equal(p->components[1].least[TSR_SIDE_IN], 64);
    tsr_policy_destroy(p);
}

static void write_text(const char *path, const char *text)
{
    assert_ok(tsr_file_write(path, text, strlen(text)));
}

static const char alphas_text[] =
    "sampling_weights: [0.75, 0.25]\n"
    "alphas_mixture:\n"
    "  rgb@224: {input_alphas: [1000.0, 0.5], target_alphas: [0.0, 0.0]}\n"
    "  caption:\n"
    "    input_alphas: [0.0, 0.5]\n"
    "    target_alphas: [0.5, 0.5]\n"
    "    keep: ['all', 'random']\n"
    "  tok_other@224: {input_alphas: [1, 1], target_alphas: [1, 1]}\n";

static void alphas_files_are_read(void **state)
{
    char path[512], recipe[700];
    tsr_mods mods = {.count = 0};
    tsr_policy *p;
    (void)state;
    snprintf(path, sizeof path, "%s/test_policy.yaml", build_folder());
    add(&mods, "rgb@224", TSR_CLASS_PIXELS);
    add(&mods, "text", TSR_CLASS_SEQUENCE);
    write_text(path, alphas_text);
    snprintf(recipe, sizeof recipe, "{alphas: '%s', names: {text: caption}}", path);
    assert_ok(create(recipe, &mods, &p));
    assert_int_equal(p->n_components, 2);
    assert_true(p->components[0].weight == 0.75);
    assert_true(alpha(p, 0, TSR_SIDE_IN, "rgb@224") == 1000 &&
                alpha(p, 0, TSR_SIDE_IN, "text") == 0);
    assert_true(alpha(p, 1, TSR_SIDE_OUT, "text") == 0.5);
    assert_int_equal(p->components[0].keep[at(p, "text")], TSR_KEEP_ALL);
    assert_int_equal(p->components[1].keep[at(p, "text")], TSR_KEEP_RANDOM);
    tsr_policy_destroy(p);
    snprintf(recipe, sizeof recipe, "{alphas: '%s'}", path);
    assert_fails(TSR_ECONFIG, create(recipe, &mods, &p));
    assert_non_null(strstr(tsr_error(), "'text'"));
    mods.count = 0;
    add(&mods, "caption", TSR_CLASS_SEQUENCE);
    write_text(path, "caption: {input_alphas: [1.0], target_alphas: [2.0], keep: [binary]}\n");
    assert_ok(create(recipe, &mods, &p));
    assert_true(alpha(p, 0, TSR_SIDE_OUT, "caption") == 2);
    tsr_policy_destroy(p);
    remove(path);
    assert_fails(TSR_ENOENT, create(recipe, &mods, &p));
}

static void broken_alphas_files_are_refused(void **state)
{
    static const char *const texts[] = {
        "3",
        "[]",
        "{}",
        "caption: 3",
        "caption: {input_alphas: []}",
        "caption: {input_alphas: [1], target_alphas: []}",
        "caption: {input_alphas: [1], target_alphas: [1], keep: []}",
        "{caption: {input_alphas: [1], target_alphas: [1]}, det: {input_alphas: [1, 2],"
        " target_alphas: [1, 2]}}",
        "{sampling_weights: [], alphas_mixture: {}}",
        "{sampling_weights: [1], alphas_mixture: 3}",
        "{sampling_weights: [1, 2], alphas_mixture: {caption: {input_alphas: [1],"
        " target_alphas: [1]}}}",
        "{sampling_weights: 7, alphas_mixture: {caption: {input_alphas: [1], target_alphas: "
        "[1]}}}"};
    char path[512];
    json_t *out = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/test_policy_broken.yaml", build_folder());
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(path, texts[i]);
        assert_fails(TSR_EFORMAT, tsr_policy_read_alphas(path, &out));
    }
    remove(path);
}

/* The recipe in the man page is one. */
static void the_manual_is_right(void **state)
{
    char path[512], *page = NULL, *from, *end;
    size_t bytes;
    json_t *recipe = NULL;
    tsr_mods mods = {.count = 0};
    tsr_policy *p;
    (void)state;
    add(&mods, "rgb", TSR_CLASS_IMAGE);
    add(&mods, "caption", TSR_CLASS_SEQUENCE);
    add(&mods, "det", TSR_CLASS_SEQUENCE);
    add(&mods, "metadata", TSR_CLASS_SEQUENCE);
    snprintf(path, sizeof path, "%s/man/tessera-mask.5", source_folder());
    assert_ok(tsr_file_read(path, 1 << 20, &page, &bytes));
    from = strstr(page, "\nmask:\n");
    assert_non_null(from);
    end = strstr(from, "\n.Ed");
    assert_non_null(end);
    assert_ok(tsr_yaml_parse(from, (size_t)(end - from), path, NULL, &recipe));
    assert_ok(tsr_policy_create(json_object_get(recipe, "mask"), path, &mods, &p));
    assert_int_equal(p->n_components, 2);
    tsr_policy_destroy(p);
    json_decref(recipe);
    tsr_free(page);
}

/* Every allocation fails once: an error, no leak and no crash. */
static void memory_may_run_out(void **state)
{
    tsr_mods mods = mod7();
    tsr_policy *p = NULL;
    tsr_mask_work *w = NULL;
    tsr_status st = TSR_ENOMEM;
    json_t *value = NULL;
    static const char text[] = "{preset: 4m-7}";
    (void)state;
    assert_ok(tsr_yaml_parse(text, strlen(text), "recipe", NULL, &value));
    for (long n = 1; st != TSR_OK && n < 1000; n++) {
        tsr_mem_fail_after(n);
        st = tsr_policy_create(value, "recipe", &mods, &p);
        tsr_mem_fail_after(0);
        assert_true(st == TSR_OK || st == TSR_ENOMEM);
    }
    assert_int_equal(st, TSR_OK);
    st = TSR_ENOMEM;
    for (long n = 1; st != TSR_OK && n < 1000; n++) {
        tsr_mem_fail_after(n);
        st = tsr_mask_work_create(p, &w);
        tsr_mem_fail_after(0);
        assert_true(st == TSR_OK || st == TSR_ENOMEM);
    }
    assert_int_equal(st, TSR_OK);
    tsr_mask_work_destroy(w);
    tsr_mask_work_destroy(NULL);
    tsr_policy_destroy(p);
    tsr_policy_destroy(NULL);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(the_closest_key_counts),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(models_that_do_not_fit_are_refused),
        cmocka_unit_test(presets_are_the_published_ones),
        cmocka_unit_test(alphas_files_are_read),
        cmocka_unit_test(broken_alphas_files_are_refused),
        cmocka_unit_test(the_manual_is_right),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

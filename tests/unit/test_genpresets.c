/* SPDX-License-Identifier: Apache-2.0
 * Presets of generation: their figures as published, and the targets they find in models. */
#include "testing.h"

#include "base/mem.h"
#include "base/str.h"
#include "trainer/genpresets.h"
#include "trainer/gensettings.h"

static void add(tsr_mods *mods, const char *name, uint32_t side, int pixels, int input, int output)
{
    tsr_mod m = {.cls = pixels ? TSR_CLASS_PIXELS
                        : side ? TSR_CLASS_IMAGE
                               : TSR_CLASS_SEQUENCE,
                 .input = input,
                 .output = output,
                 .vocabulary = pixels ? 0 : 500,
                 .height = side ? side : 1,
                 .width = side ? side : 1,
                 .places = side * side,
                 .max_tokens = side ? side * side : 256,
                 .positions = side ? side * side : 512};
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_ok(tsr_mods_add(mods, &m));
}

/* The published models by their names. */
static void make_21(tsr_mods *mods)
{
    static const char *const texts[] = {"caption",       "det",      "human_poses", "sam_instance",
                                        "color_palette", "metadata", NULL};
    static const char *const grids[] = {
        "tok_rgb@224",       "tok_depth@224",     "tok_normal@224",       "tok_semseg@224",
        "tok_clip@224",      "tok_sam_edge@224",  "tok_canny_edge@224",   "tok_dinov2@224",
        "tok_imagebind@224", "tok_dinov2_global", "tok_imagebind_global", NULL};
    mods->count = 0;
    add(mods, "rgb@224", 14, 1, 1, 0);
    for (size_t i = 0; texts[i]; i++)
        add(mods, texts[i], 0, 0, 1, 1);
    for (size_t i = 0; grids[i]; i++)
        add(mods, grids[i], strstr(grids[i], "global") ? 4 : 14, 0, 1, 1);
}

static void make_sr(tsr_mods *mods)
{
    static const char *const grids[] = {"rgb", "depth", "normal", "semseg", "clip"};
    char name[32];
    mods->count = 0;
    add(mods, "rgb@224", 14, 1, 1, 0);
    add(mods, "rgb@448", 28, 1, 1, 0);
    add(mods, "caption", 0, 0, 1, 0);
    for (size_t i = 0; i < 5; i++)
        for (int large = 0; large < 2; large++) {
            snprintf(name, sizeof name, "tok_%s@%d", grids[i], large ? 448 : 224);
            add(mods, name, large ? 28 : 14, 0, 1, large);
        }
}

/* "name scheme steps temperature cooling guidance top_p; ..." */
static char *chain_text(const tsr_mods *mods, const tsr_target *chain, size_t n)
{
    static const char *const schemes[] = {"mg", "roar", "ar"}, *const cools[] = {"", "lin", "onex"};
    tsr_str s = {0};
    for (size_t i = 0; i < n; i++) {
        const tsr_target *t = &chain[i];
        int text = t->scheme == TSR_SCHEME_AUTOREGRESSIVE;
        assert_int_equal(t->tokens,
                         t->scheme == TSR_SCHEME_MASKGIT ? TSR_TOKENS_COSINE : TSR_TOKENS_LINEAR);
        assert_true(t->top_k == 0.0 && t->cool_to == 0.5 && t->power == 0.5);
        assert_ok(tsr_str_addf(&s, "%s%s %s%zu %g%s g%g p%g", i ? "; " : "", mods->items[t->m].name,
                               schemes[t->scheme], text ? t->max_tokens : t->steps, t->temperature,
                               cools[t->cooling], t->guidance, t->top_p));
    }
    return s.s;
}

static void check(const tsr_mods *mods, const char *preset, const char *from, int stages,
                  const char *expected)
{
    tsr_target chain[TSR_MODALITIES];
    char given[TSR_MODALITIES] = {0};
    const tsr_preset *p;
    if (from[0])
        given[tsr_mods_find(mods, from)] = 1;
    assert_ok(tsr_preset_find(preset, &p));
    size_t n = tsr_preset_chain(p, mods, given, stages, chain);
    char *text = chain_text(mods, chain, n);
    assert_string_equal(text ? text : "", expected);
    tsr_free(text);
}

#define BOTH (TSR_STAGE_BASE | TSR_STAGE_LARGER)

static void figures_are_those_published(void **state)
{
    (void)state;
    tsr_mods mods;
    make_21(&mods);
    check(&mods, "t2i", "caption", BOTH,
          "tok_clip@224 roar49 6onex g3 p0.9; tok_rgb@224 roar25 0.5 g3 p0.9");
    check(&mods, "script", "caption", BOTH,
          "tok_clip@224 mg25 5lin g4 p0; tok_normal@224 mg25 1lin g4 p0; "
          "tok_rgb@224 mg25 1lin g4 p0");
    check(&mods, "retrieval", "rgb@224", BOTH,
          "tok_dinov2_global roar1 0.1 g1 p0.8; tok_imagebind_global roar1 0.1 g1 p0.8");
    check(&mods, "any", "rgb@224", BOTH,
          "tok_clip@224 roar1 0.01 g2 p0.8; tok_dinov2@224 roar1 0.01 g2 p0.8; "
          "tok_imagebind@224 roar1 0.01 g2 p0.8; tok_depth@224 roar1 0.01 g2 p0.8; "
          "tok_normal@224 roar1 0.01 g2 p0.8; tok_semseg@224 roar1 0.01 g2 p0.8; "
          "tok_canny_edge@224 roar1 0.01 g2 p0.8; tok_sam_edge@224 roar1 0.01 g2 p0.8; "
          "caption ar256 0.3 g1 p0.8; det ar256 0.3 g1 p0.8; human_poses ar275 0.1 g1 p0.8; "
          "sam_instance ar256 0.01 g1 p0.8; color_palette ar23 0.1 g1 p0.8; "
          "metadata ar40 0.1 g1 p0.8");
    check(&mods, "any", "caption", BOTH,
          "tok_clip@224 roar50 5onex g3 p0.8; tok_dinov2@224 roar8 0.01 g2 p0.8; "
          "tok_imagebind@224 roar8 0.01 g2 p0.8; tok_depth@224 roar8 3onex g2 p0.8; "
          "tok_normal@224 roar8 3onex g2 p0.8; tok_semseg@224 roar8 3onex g2 p0.8; "
          "tok_canny_edge@224 roar8 3onex g2 p0.8; tok_sam_edge@224 roar8 3onex g2 p0.8; "
          "tok_rgb@224 roar25 3onex g2 p0.8; det ar256 0.3 g1 p0.8; human_poses ar275 0.1 g1 p0.8; "
          "sam_instance ar256 0.01 g1 p0.8; color_palette ar23 0.1 g1 p0.8; "
          "metadata ar40 0.1 g1 p0.8");
    make_sr(&mods);
    check(&mods, "t2i", "tok_rgb@224", BOTH, "tok_rgb@448 mg8 1 g3 p0.9");
    check(&mods, "sr", "tok_clip@224", TSR_STAGE_LARGER, "tok_clip@448 mg8 1 g3 p0.9");
    check(&mods, "script", "tok_rgb@224", BOTH, "tok_rgb@448 mg8 1lin g4 p0");
    check(&mods, "any", "tok_depth@224", BOTH, "tok_depth@448 mg8 1 g2 p0.8");
    check(&mods, "any", "rgb@224", BOTH, "");
    check(&mods, "any", "tok_depth@224", TSR_STAGE_BASE, "");
}

/* A model of both sizes: the larger from the smaller, which is a target itself. */
static void sizes_follow_each_other(void **state)
{
    (void)state;
    tsr_mods mods = {0};
    tsr_target t;
    const tsr_preset *p;
    char given[TSR_MODALITIES] = {0};
    add(&mods, "rgb", 8, 0, 1, 1);
    add(&mods, "rgb@256", 16, 0, 1, 1);
    add(&mods, "audio", 8, 0, 1, 1);
    add(&mods, "palette", 0, 0, 1, 1);
    check(&mods, "any", "", BOTH,
          "rgb roar25 3onex g2 p0.8; palette ar23 0.1 g1 p0.8; rgb@256 mg8 1 g2 p0.8");
    check(&mods, "any", "", TSR_STAGE_BASE, "rgb roar25 3onex g2 p0.8; palette ar23 0.1 g1 p0.8");
    check(&mods, "sr", "rgb@256", BOTH, "");
    assert_int_equal(tsr_mods_smaller(&mods, (size_t)tsr_mods_find(&mods, "rgb@256")),
                     tsr_mods_find(&mods, "rgb"));
    assert_int_equal(tsr_mods_smaller(&mods, (size_t)tsr_mods_find(&mods, "rgb")), -1);
    /* no rule: the defaults of any target */
    assert_ok(tsr_preset_find("any", &p));
    assert_false(tsr_preset_target(p, &mods, given, (size_t)tsr_mods_find(&mods, "audio"), &t));
    assert_int_equal(t.steps, 8);
    assert_true(t.guidance == 1.0 && t.top_p == 0.9);
}

static void names_are_choices(void **state)
{
    (void)state;
    const tsr_preset *p;
    tsr_str all = {0};
    assert_ok(tsr_str_addf(&all, "none"));
    for (size_t i = 0; tsr_preset_name(i); i++) {
        assert_ok(tsr_str_addf(&all, "|%s", tsr_preset_name(i)));
        assert_ok(tsr_preset_find(tsr_preset_name(i), &p));
        assert_true(tsr_preset_grows(p));
    }
    assert_string_equal(all.s, TSR_PRESET_CHOICES);
    tsr_str_clear(&all);
    assert_fails(TSR_ECONFIG, tsr_preset_find("t2j", &p));
    assert_non_null(strstr(tsr_error(), "\"t2i\""));
    assert_ok(tsr_preset_find("t2i", &p));
    assert_int_equal(tsr_preset_decoder_steps(p), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_published),
        cmocka_unit_test(sizes_follow_each_other),
        cmocka_unit_test(names_are_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Super-resolution: a model of both sizes of a grid learns where the places of one are in the
 * other, and a preset finds and generates the larger. */
#include "fmtest.h"

#include "trainer/genpresets.h"

enum { SMALL, LARGE, SIZES, SIDE = 2, IDS = 4 };

static void add_grid(tsr_mods *mods, const char *name, uint32_t side)
{
    tsr_mod m = {.cls = TSR_CLASS_IMAGE,
                 .input = 1,
                 .output = 1,
                 .vocabulary = IDS,
                 .base = mods->count ? IDS : 0,
                 .height = side,
                 .width = side,
                 .places = side * side,
                 .max_tokens = side * side,
                 .positions = side * side};
    fmtest_add(mods, m, name);
}

/* Every place of the small grid is four of the large one. */
static uint32_t enlarged(const uint32_t *small, uint32_t place)
{
    uint32_t row = place / (2 * SIDE), column = place % (2 * SIDE);
    return small[row / 2 * SIDE + column / 2];
}

/* The small grid; of the large one some places, and all others as targets. */
static void larger_example(tsr_example *e, tsr_rng *r)
{
    uint32_t small[SIDE * SIDE], left = 4 * SIDE * SIDE,
                                 shown = tsr_rng_below(r, left) * tsr_rng_below(r, 2);
    uint32_t in = 0, out = 0;
    tsr_example_reset(e);
    assert_ok(tsr_example_rows(e, &e->in[SMALL], SIDE * SIDE));
    assert_ok(tsr_example_rows(e, &e->in[LARGE], shown));
    assert_ok(tsr_example_rows(e, &e->out[LARGE], left - shown));
    for (uint32_t k = 0; k < SIDE * SIDE; k++) {
        small[k] = tsr_rng_below(r, IDS);
        e->in[SMALL].ids[k] = (int32_t)small[k];
        e->in[SMALL].positions[k] = (int32_t)k;
    }
    for (uint32_t k = 0; k < 4 * SIDE * SIDE; k++) {
        int seen = tsr_rng_below(r, left--) < shown - in;
        tsr_rows *rows = seen ? &e->in[LARGE] : &e->out[LARGE];
        uint32_t at = seen ? in++ : out++;
        rows->positions[at] = (int32_t)k;
        *(seen ? &rows->ids[at] : &rows->labels[at]) = (int32_t)enlarged(small, k);
    }
}

static void the_larger_follows_the_smaller(void **state)
{
    (void)state;
    enum { SAMPLES = 8 };
    tsr_fm_config c = fmtest_config(0, IDS);
    tsr_held held[SAMPLES][SIZES] = {{{0}}};
    const tsr_held *list[SAMPLES];
    uint32_t ids[SAMPLES][SIDE * SIDE];
    uint64_t keys[SAMPLES];
    tsr_target chain[TSR_MODALITIES];
    char given[SIZES] = {1, 0};
    const tsr_preset *p;
    tsr_generator *g;
    tsr_fm *m;
    tsr_rng r;
    size_t count, right = 0;
    c.mods.count = 0;
    add_grid(&c.mods, "tok_rgb@2", SIDE);
    add_grid(&c.mods, "tok_rgb@4", 2 * SIDE);
    assert_ok(tsr_fm_create(&c, 5, &m));
    fmtest_teach(m, 1000, larger_example);
    assert_ok(tsr_preset_find("sr", &p));
    assert_int_equal(tsr_preset_chain(p, &c.mods, given, TSR_STAGE_LARGER, chain), 1);
    assert_int_equal(chain[0].m, LARGE);
    chain[0].guidance = 1.0; /* nothing was learned of what is not given */
    tsr_generator_spec spec = {.chain = chain, .n_chain = 1, .seed = 3};
    for (size_t i = 0; i < SAMPLES; i++) {
        tsr_rng_init(&r, 77, TSR_RNG_TEST, i);
        for (size_t k = 0; k < SIDE * SIDE; k++)
            ids[i][k] = tsr_rng_below(&r, IDS);
        held[i][SMALL] = (tsr_held){.present = 1, .count = SIDE * SIDE, .ids = ids[i]};
        list[i] = held[i];
        keys[i] = i;
    }
    assert_ok(tsr_generator_create(m, &spec, &g));
    assert_ok(tsr_generator_run(g, list, keys, SAMPLES, NULL));
    for (size_t i = 0; i < SAMPLES; i++) {
        const uint32_t *got = tsr_generator_result(g, i, LARGE, &count);
        assert_int_equal(count, 4 * SIDE * SIDE);
        for (uint32_t k = 0; k < count; k++)
            right += got[k] == enlarged(ids[i], k);
    }
    tsr_generator_destroy(g);
    tsr_fm_destroy(m);
    if (right < SAMPLES * 4 * SIDE * SIDE * 9 / 10)
        fail_msg("%zu of %d places are those of the smaller grid", right,
                 SAMPLES * 4 * SIDE * SIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_larger_follows_the_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

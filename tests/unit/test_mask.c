/* SPDX-License-Identifier: Apache-2.0
 * Masked examples: exact counts, nothing shown that is hidden, hostile samples refused. */
#include "testing.h"

#include "base/json.h"
#include "base/yamltree.h"
#include "trainer/mask.h"
#include "trainer/policy.h"
#include "trainer/spanmask.h"

#include <math.h>
#include <time.h>

enum { CAPTION, DEPTH, DET, GLOBAL, PX, RGB, MODS }; /* sorted by name */

static const uint32_t places[MODS] = {0, 64, 0, 8, 16, 256};

typedef struct fixture {
    tsr_mods mods;
    tsr_policy *policy;
    tsr_mask_work *work;
    tsr_example example;
    tsr_held held[MODS];
    uint32_t ids[MODS][256];
    uint8_t patches[16 * 12];
} fixture;

static void add(tsr_mods *mods, const char *name, tsr_modality_class cls, uint32_t h, uint32_t w)
{
    int text = cls == TSR_CLASS_SEQUENCE, pixels = cls == TSR_CLASS_PIXELS;
    tsr_mod m = {.cls = cls,
                 .input = 1,
                 .output = !pixels,
                 .vocabulary = text ? 9000 : 1024,
                 .height = h,
                 .width = w,
                 .places = text ? 0 : h * w,
                 .max_tokens = text ? 64 : h * w,
                 .positions = text ? 512 : h * w,
                 .patch_values = pixels ? 12 : 0};
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_ok(tsr_mods_add(mods, &m));
}

static tsr_mods all_mods(void)
{
    tsr_mods mods = {.count = 0};
    add(&mods, "caption", TSR_CLASS_SEQUENCE, 1, 1);
    add(&mods, "depth", TSR_CLASS_IMAGE, 8, 8);
    add(&mods, "det", TSR_CLASS_SEQUENCE, 1, 1);
    add(&mods, "global", TSR_CLASS_VECTOR, 1, 8);
    add(&mods, "px", TSR_CLASS_PIXELS, 4, 4);
    add(&mods, "rgb", TSR_CLASS_IMAGE, 16, 16);
    return mods;
}

static json_t *yaml(const char *text)
{
    json_t *value = NULL;
    assert_ok(tsr_yaml_parse(text, strlen(text), "test", NULL, &value));
    return value;
}

/* A sample that holds everything: texts of the given lengths, their last token [EOS]; ids of a
 * sequence are all different. det: boxes of five tokens from v0= on. */
static void fill(fixture *f, uint32_t caption, uint32_t det)
{
    for (size_t m = 0; m < MODS; m++) {
        uint32_t n = m == CAPTION ? caption : m == DET ? det : places[m];
        for (uint32_t i = 0; i < n; i++)
            f->ids[m][i] = m == CAPTION ? 5000 + i
                           : m == DET   ? (i % 5 == 0 ? TSR_ID_VALUE + i : 6000 + i)
                                        : (i * 7 + (uint32_t)m) % 1024;
        if ((m == CAPTION || m == DET) && n)
            f->ids[m][n - 1] = TSR_ID_EOS;
        f->held[m] = (tsr_held){.present = 1, .count = n, .ids = f->ids[m]};
    }
    for (size_t i = 0; i < sizeof f->patches; i++)
        f->patches[i] = (uint8_t)(i / 12 * 10 + i % 12 % 10);
    f->held[PX] = (tsr_held){.present = 1, .count = 16, .patches = f->patches};
}

static void open_policy(fixture *f, const char *text)
{
    json_t *value = text ? yaml(text) : NULL;
    *f = (fixture){.mods = all_mods()};
    assert_ok(tsr_policy_create(value, "test", &f->mods, &f->policy));
    assert_ok(tsr_mask_work_create(f->policy, &f->work));
    assert_ok(tsr_example_init(&f->example, &f->mods, tsr_policy_rows(f->policy),
                               tsr_policy_patch_bytes(f->policy)));
    json_decref(value);
    fill(f, 40, 26);
}

static void close_policy(fixture *f)
{
    tsr_mask_work_destroy(f->work);
    tsr_policy_destroy(f->policy);
    tsr_example_clear(&f->example);
}

static void mask(fixture *f, uint64_t index)
{
    tsr_rng rng;
    tsr_rng_init(&rng, 5, TSR_RNG_MASK, index);
    assert_ok(tsr_mask_sample(f->policy, f->held, &rng, f->work, &f->example));
}

/* --- what holds for every example --- */

static void check_grid(const fixture *f, size_t m)
{
    const tsr_rows *in = &f->example.in[m], *out = &f->example.out[m];
    uint8_t seen[256] = {0};
    for (uint32_t i = 0; i < in->count; i++) {
        int32_t at = in->positions[i];
        assert_true(at >= 0 && (uint32_t)at < places[m] && !seen[at]++);
        assert_true(i == 0 || in->positions[i - 1] < at);
        if (m == PX)
            assert_memory_equal(in->patches + i * 12, f->patches + at * 12, 12);
        else
            assert_int_equal(in->ids[i], f->ids[m][at]);
    }
    for (uint32_t i = 0; i < out->count; i++) {
        int32_t at = out->positions[i];
        assert_true(at >= 0 && (uint32_t)at < places[m] && !seen[at]++);
        assert_int_equal(out->labels[i], f->ids[m][at]);
    }
    assert_null(out->ids);
}

static void check_sequence(const fixture *f, size_t m)
{
    const tsr_rows *in = &f->example.in[m], *out = &f->example.out[m];
    for (uint32_t i = 0; i < in->count; i++)
        assert_int_equal(in->positions[i], i);
    for (uint32_t i = 0; i < out->count; i++) {
        assert_int_equal(out->positions[i], i);
        if (i)
            assert_int_equal(out->ids[i], out->labels[i - 1]);
        /* A token to predict is nowhere in the input; [EOS] and all others are unique. */
        for (uint32_t j = 0; j < in->count && out->labels[i] >= TSR_ID_VALUE; j++)
            assert_int_not_equal(out->labels[i], in->ids[j]);
    }
    if (out->count)
        assert_true(out->ids[0] > TSR_ID_SENTINEL &&
                    out->ids[0] < TSR_ID_SENTINEL + TSR_ID_SENTINELS);
}

static void check_example(const fixture *f)
{
    for (size_t m = 0; m < MODS; m++) {
        if (!f->held[m].present)
            assert_true(f->example.in[m].count == 0 && f->example.out[m].count == 0);
        if (m == CAPTION || m == DET)
            check_sequence(f, m);
        else
            check_grid(f, m);
        assert_true(f->example.in[m].count <= tsr_policy_inputs_of(f->policy, m));
        assert_true(f->example.out[m].count <= tsr_policy_targets_of(f->policy, m));
    }
    assert_true(tsr_example_inputs(&f->example) <= tsr_policy_inputs(f->policy));
    assert_true(tsr_example_targets(&f->example) <= tsr_policy_targets(f->policy));
}

/* --- budgets --- */

static void totals_are_exact(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f, "{totals: {inputs: 100, targets: 90}, components: ["
                    "{inputs: 0.01, targets: 0.01}, {inputs: 1, targets: 0.1},"
                    "{inputs: {default: 10, caption: 100}, targets: 10, keep: all}]}");
    for (uint64_t i = 0; i < 5000; i++) {
        mask(&f, i);
        check_example(&f);
        assert_int_equal(tsr_example_inputs(&f.example), 100);
        assert_int_equal(tsr_example_targets(&f.example), 90);
    }
    close_policy(&f);
}

static void totals_are_uniform_in_their_range(void **state)
{
    fixture f;
    int low = 0, high = 0;
    (void)state;
    open_policy(&f, "{totals: {inputs: [0, 3], targets: [20, 40]}, components: [{keep: all}]}");
    for (uint64_t i = 0; i < 2000; i++) {
        mask(&f, i);
        check_example(&f);
        size_t n = tsr_example_inputs(&f.example), m = tsr_example_targets(&f.example);
        assert_true(n <= 3 && m >= 20 && m <= 40);
        low += n == 0;
        high += n == 3;
    }
    assert_true(low > 400 && low < 600 && high > 400 && high < 600);
    close_policy(&f);
}

static void absent_modalities_have_no_rows(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f, "{totals: {inputs: 60, targets: 60}}");
    for (uint64_t i = 0; i < 2000; i++) {
        fill(&f, 40, 26);
        for (size_t m = 0; m < MODS; m++)
            if (m != RGB && i >> m & 1)
                f.held[m] = (tsr_held){0};
        mask(&f, i);
        check_example(&f);
        assert_int_equal(tsr_example_inputs(&f.example), 60);
        assert_int_equal(tsr_example_targets(&f.example), 60);
    }
    memset(f.held, 0, sizeof f.held);
    mask(&f, 1);
    assert_int_equal(tsr_example_inputs(&f.example) + tsr_example_targets(&f.example), 0);
    close_policy(&f);
}

/* Everything is given when totals are beyond what there is. */
static void nothing_is_left_to_give(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f, "{totals: {inputs: 1000, targets: 1000}, keep: all}");
    mask(&f, 1);
    check_example(&f);
    assert_int_equal(tsr_example_inputs(&f.example), 40 + 64 + 26 + 8 + 16 + 256);
    assert_int_equal(tsr_example_targets(&f.example), 0);
    close_policy(&f);
    open_policy(&f, "{totals: {inputs: 0, targets: rest}}");
    mask(&f, 1);
    check_example(&f);
    assert_int_equal(tsr_example_inputs(&f.example), 0);
    /* A text of n tokens from nothing: [S_1] text [S_2], which is n + 1 rows. */
    assert_int_equal(tsr_example_targets(&f.example), 41 + 64 + 27 + 8 + 256);
    assert_int_equal(f.example.out[CAPTION].ids[0], TSR_ID_SENTINEL + 1);
    assert_int_equal(f.example.out[CAPTION].labels[39], TSR_ID_EOS);
    assert_int_equal(f.example.out[CAPTION].labels[40], TSR_ID_SENTINEL + 2);
    close_policy(&f);
}

/* Mean rows of rgb under a mixture, in closed form: sum of w_k alpha_k / sum(alpha_k) total. */
static void means_follow_the_mixture(void **state)
{
    fixture f;
    double sum = 0, squares = 0, want = 20 * (0.75 * 3 / 4.0 + 0.25 * 0.01 / 0.03);
    const int n = 20000;
    (void)state;
    open_policy(&f, "{totals: {inputs: 20, targets: 20}, components: ["
                    "{weight: 3, inputs: {default: 0, rgb: 3, depth: 1}},"
                    "{weight: 1, inputs: {default: 0, rgb: 0.01, depth: 0.02}}]}");
    for (int i = 0; i < n; i++) {
        mask(&f, (uint64_t)i);
        double x = f.example.in[RGB].count;
        sum += x;
        squares += x * x;
    }
    double mean = sum / n, se = sqrt((squares / n - mean * mean) / n);
    assert_true(fabs(mean - want) < 3 * se);
    close_policy(&f);
}

static void limits_hold(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f,
                "{totals: {inputs: 100, targets: 100}, components: [{inputs: 0.1, targets: 0.1}],"
                "limits: {inputs: {rgb: [10, 50], depth: 20}, targets: {depth: [8, 64]}}}");
    for (uint64_t i = 0; i < 1000; i++) {
        mask(&f, i);
        check_example(&f);
        assert_true(f.example.in[RGB].count >= 10 && f.example.in[RGB].count <= 50);
        assert_true(f.example.in[DEPTH].count <= 20 && f.example.out[DEPTH].count >= 8);
    }
    close_policy(&f);
}

static void subsets_come_first(void **state)
{
    fixture f;
    int count[MODS] = {0};
    (void)state;
    open_policy(&f, "{totals: {inputs: 8, targets: 8}, subset: {inputs: 1, targets: [1, 2]},"
                    "components: [{keep: all}]}");
    for (uint64_t i = 0; i < 2000; i++) {
        int in = 0, out = 0;
        mask(&f, i);
        check_example(&f);
        for (size_t m = 0; m < MODS; m++) {
            in += f.example.in[m].count > 0;
            out += f.example.out[m].count > 0;
            count[m] += f.example.in[m].count > 0;
        }
        assert_int_equal(in, 1);
        assert_true(out <= 2);
    }
    /* 2000 / 6 each, standard deviation 17. */
    for (size_t m = 0; m < MODS; m++)
        assert_true(count[m] > 265 && count[m] < 405);
    close_policy(&f);
}

static void drops_count_as_absent(void **state)
{
    fixture f;
    int rgb = 0;
    (void)state;
    open_policy(&f, "{drop: {default: 0, rgb: 0.3, det: 1}}");
    for (uint64_t i = 0; i < 1000; i++) {
        mask(&f, i);
        check_example(&f);
        rgb += f.example.in[RGB].count + f.example.out[RGB].count == 0;
        assert_int_equal(f.example.in[DET].count + f.example.out[DET].count, 0);
    }
    assert_true(rgb > 250 && rgb < 350);
    close_policy(&f);
}

/* --- kinds of masks --- */

static void whole_grids_are_all_or_nothing(void **state)
{
    fixture f;
    double shown = 0;
    (void)state;
    open_policy(&f, "{grids: {depth: whole, px: whole}, components: [{keep: all,"
                    "inputs: {depth: 1, rgb: 3, default: 0}}]}");
    for (uint64_t i = 0; i < 4000; i++) {
        mask(&f, i);
        check_example(&f);
        uint32_t in = f.example.in[DEPTH].count, out = f.example.out[DEPTH].count;
        assert_true((in == 0 || in == 64) && (out == 0 || out == 64) && in + out <= 64);
        assert_int_equal(tsr_example_inputs(&f.example), 128);
        shown += in;
    }
    /* Share 1/4 of 128 is 32 rows, wherever Beta(1, 3) stays below 64 of 128 (7/8 of the draws);
     * E[min(p, 1/2)] 128 = 128 (1/4 - 1/64) = 30. Standard error 0.5. */
    assert_true(shown / 4000 > 28.5 && shown / 4000 < 31.5);
    close_policy(&f);
}

/* Neighbours of hidden places are hidden more often than chance has it. */
static double like_neighbours(const char *policy)
{
    fixture f;
    double same = 0, pairs = 0;
    open_policy(&f, policy);
    for (uint64_t i = 0; i < 200; i++) {
        uint8_t shown[256] = {0};
        mask(&f, i);
        check_example(&f);
        assert_int_equal(f.example.in[RGB].count, 128);
        assert_int_equal(f.example.out[RGB].count, 60);
        for (uint32_t k = 0; k < f.example.in[RGB].count; k++)
            shown[f.example.in[RGB].positions[k]] = 1;
        for (int at = 0; at < 255; at++) {
            same += at % 16 < 15 && shown[at] == shown[at + 1];
            pairs += at % 16 < 15;
        }
    }
    close_policy(&f);
    return same / pairs;
}

static void blocks_are_blocks(void **state)
{
    (void)state;
    double block = like_neighbours("{totals: {inputs: 128, targets: 60}, grids: {default: block},"
                                   "components: [{inputs: {rgb: 1, default: 0},"
                                   "targets: {rgb: 1, default: 0}}]}");
    double random =
        like_neighbours("{totals: {inputs: 128, targets: 60}, components: ["
                        "{inputs: {rgb: 1, default: 0}, targets: {rgb: 1, default: 0}}]}");
    assert_true(random > 0.48 && random < 0.52);
    assert_true(block > 0.75);
}

static void every_count_of_a_grid_is_exact(void **state)
{
    uint8_t place[60];
    uint32_t order[60];
    tsr_rng rng;
    (void)state;
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, 1);
    for (uint32_t in = 0; in <= 60; in++)
        for (uint32_t out = 0; out <= 60 - in; out++)
            for (int kind = TSR_GRID_RANDOM; kind <= TSR_GRID_WHOLE; kind++) {
                uint32_t got[3] = {0};
                tsr_grid_shape shape = {5, kind == TSR_GRID_BLOCK ? 4 : 12,
                                        kind == TSR_GRID_BLOCK ? 3 : 1};
                tsr_grid_mask((tsr_grid_kind)kind, shape, in, out, &rng, place, order);
                for (int i = 0; i < 60; i++)
                    got[place[i]]++;
                assert_int_equal(got[TSR_PLACE_INPUT], in);
                assert_int_equal(got[TSR_PLACE_TARGET], out);
            }
}

static void keep_schemes_keep(void **state)
{
    fixture f;
    int all = 0, none = 0;
    (void)state;
    open_policy(&f, "{totals: {inputs: 500, targets: 100}, keep: {caption: binary, det: all}}");
    for (uint64_t i = 0; i < 400; i++) {
        mask(&f, i);
        check_example(&f);
        assert_int_equal(f.example.in[DET].count, 26);
        assert_int_equal(f.example.out[DET].count, 0);
        all += f.example.in[CAPTION].count == 40;
        none += f.example.in[CAPTION].count == 1;
    }
    assert_int_equal(all + none, 400);
    assert_true(all > 160 && all < 240);
    close_policy(&f);
}

/* Boxes are five tokens from v0= on; neither inputs nor targets have a part of one. */
static void chunks_are_never_cut(void **state)
{
    fixture f;
    int cut = 0;
    (void)state;
    open_policy(&f,
                "{totals: {inputs: [1, 40], targets: [1, 40]}, chunks: {det: v0},"
                "components: [{inputs: {det: 1, default: 0.2}, targets: {det: 1, default: 0.2}}]}");
    for (uint64_t i = 0; i < 3000; i++) {
        uint32_t run = 0;
        fill(&f, 40, 66); /* longer than the 64 that are used: 12 boxes stay */
        mask(&f, i);
        check_example(&f);
        for (uint32_t k = 0; k < f.example.in[DET].count; k++) {
            run = f.example.in[DET].ids[k] >= TSR_ID_VALUE ? run + 1 : 0;
            assert_true(f.example.in[DET].ids[k] < 6060);
            if (f.example.in[DET].ids[k] >= 6000)
                assert_true(run > 1);
        }
        run = 0;
        for (uint32_t k = 0; k < f.example.out[DET].count; k++) {
            int32_t id = f.example.out[DET].labels[k];
            assert_true(id < TSR_ID_VALUE ? run % 5 == 0 : id >= 6000 || run % 5 == 0);
            run = id < TSR_ID_VALUE ? 0 : run + 1;
            cut += id < TSR_ID_VALUE;
        }
        assert_int_equal(run % 5, 0);
    }
    assert_true(cut > 100);
    close_policy(&f);
}

/* Where the budget is enough, inputs and targets together are the text again. */
static void examples_rebuild(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f,
                "{totals: {inputs: [0, 300], targets: rest}, chunks: {det: {every: 3, after: 1}}}");
    for (uint64_t i = 0; i < 3000; i++) {
        uint32_t target[80], back[80], n = 0, length = 1 + (uint32_t)i % 64;
        fill(&f, length, 10);
        mask(&f, i);
        check_example(&f);
        const tsr_rows *in = &f.example.in[CAPTION], *out = &f.example.out[CAPTION];
        for (uint32_t k = 0; k < out->count; k++)
            target[k] = (uint32_t)out->ids[k];
        if (out->count)
            target[out->count] = (uint32_t)out->labels[out->count - 1];
        assert_ok(tsr_span_rebuild((const uint32_t *)in->ids, in->count, target,
                                   out->count ? out->count + 1 : 0, TSR_ID_SENTINELS, back, 80,
                                   &n));
        assert_int_equal(n, length);
        assert_memory_equal(back, f.ids[CAPTION], length * sizeof *back);
    }
    close_policy(&f);
}

/* --- the rest --- */

static void equal_streams_give_equal_bytes(void **state)
{
    fixture f, g;
    (void)state;
    open_policy(&f, "{preset: 4m-7-mix}");
    open_policy(&g, "{preset: 4m-7-mix}");
    for (uint64_t i = 0; i < 300; i++) {
        mask(&f, i);
        mask(&g, 1000 + i); /* scratch and storage with another past */
        mask(&g, i);
        assert_int_equal(f.example.pool_used, g.example.pool_used);
        for (size_t m = 0; m < MODS; m++) {
            assert_int_equal(f.example.in[m].count, g.example.in[m].count);
            assert_int_equal(f.example.out[m].count, g.example.out[m].count);
            for (uint32_t k = 0; k < f.example.in[m].count; k++) {
                assert_int_equal(f.example.in[m].positions[k], g.example.in[m].positions[k]);
                if (m != PX)
                    assert_int_equal(f.example.in[m].ids[k], g.example.in[m].ids[k]);
            }
            for (uint32_t k = 0; k < f.example.out[m].count; k++) {
                assert_int_equal(f.example.out[m].positions[k], g.example.out[m].positions[k]);
                assert_int_equal(f.example.out[m].labels[k], g.example.out[m].labels[k]);
            }
        }
        assert_int_equal(f.example.bytes_used, g.example.bytes_used);
        assert_memory_equal(f.example.bytes, g.example.bytes, f.example.bytes_used);
    }
    close_policy(&f);
    close_policy(&g);
}

static void refuse(fixture *f)
{
    tsr_rng rng;
    tsr_rng_init(&rng, 5, TSR_RNG_MASK, 1);
    assert_fails(TSR_EFORMAT, tsr_mask_sample(f->policy, f->held, &rng, f->work, &f->example));
    fill(f, 40, 26);
}

static void hostile_samples_are_refused(void **state)
{
    fixture f;
    (void)state;
    open_policy(&f, NULL);
    f.ids[RGB][200] = 1024;
    refuse(&f);
    f.ids[RGB][0] = UINT32_MAX;
    refuse(&f);
    f.ids[CAPTION][3] = 9000;
    refuse(&f);
    f.held[DEPTH].count = 63;
    refuse(&f);
    f.held[PX].count = 17;
    refuse(&f);
    f.held[PX].patches = NULL;
    refuse(&f);
    f.held[CAPTION].ids = NULL;
    refuse(&f);
    mask(&f, 1);
    check_example(&f);
    /* A sentinel inside a text would break the spans: it becomes [UNK]. */
    f.held[CAPTION].count = 1;
    f.ids[CAPTION][0] = TSR_ID_SENTINEL + 9;
    for (uint64_t i = 0; i < 50; i++) {
        mask(&f, i);
        for (uint32_t k = 0; k < f.example.in[CAPTION].count; k++)
            assert_int_not_equal(f.example.in[CAPTION].ids[k], TSR_ID_SENTINEL + 9);
    }
    /* Present, but without a word. */
    f.held[CAPTION].count = 0;
    mask(&f, 2);
    assert_int_equal(f.example.in[CAPTION].count + f.example.out[CAPTION].count, 0);
    close_policy(&f);
}

/* The reference loses what its caps cut: totals are reached only sometimes. */
static void compat_hands_nothing_on(void **state)
{
    fixture f;
    int full = 0;
    (void)state;
    open_policy(&f, "{preset: 4m-7, compat: true}");
    for (uint64_t i = 0; i < 500; i++) {
        mask(&f, i);
        check_example(&f);
        assert_true(tsr_example_inputs(&f.example) <= 128);
        full += tsr_example_inputs(&f.example) == 128;
    }
    assert_true(full < 250);
    close_policy(&f);
}

/* Not a check of speed, which a busy machine would fail: a number to look at. */
static void speed(void **state)
{
    fixture f;
    const int n = 5000;
    (void)state;
    open_policy(&f, "{preset: 4m-7-mix}");
    clock_t t = clock();
    for (int i = 0; i < n; i++)
        mask(&f, (uint64_t)i);
    print_message("%.0f samples/s of 128 + 128 tokens\n",
                  n / ((double)(clock() - t) / CLOCKS_PER_SEC));
    close_policy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_exact),
        cmocka_unit_test(totals_are_uniform_in_their_range),
        cmocka_unit_test(absent_modalities_have_no_rows),
        cmocka_unit_test(nothing_is_left_to_give),
        cmocka_unit_test(means_follow_the_mixture),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(subsets_come_first),
        cmocka_unit_test(drops_count_as_absent),
        cmocka_unit_test(whole_grids_are_all_or_nothing),
        cmocka_unit_test(blocks_are_blocks),
        cmocka_unit_test(every_count_of_a_grid_is_exact),
        cmocka_unit_test(keep_schemes_keep),
        cmocka_unit_test(chunks_are_never_cut),
        cmocka_unit_test(examples_rebuild),
        cmocka_unit_test(equal_streams_give_equal_bytes),
        cmocka_unit_test(hostile_samples_are_refused),
        cmocka_unit_test(compat_hands_nothing_on),
        cmocka_unit_test(speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

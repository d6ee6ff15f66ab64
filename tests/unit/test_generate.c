/* SPDX-License-Identifier: Apache-2.0
 * Chains: shapes, guidance, independence of neighbours, conditions, and a rule that was learned. */
#include "fmtest.h"

#include "base/par.h"
#include "trainer/decodeplan.h"
#include "trainer/generate.h"

enum { SAMPLES = 5, IDS = 30, PLACES = 12 };

/* Random conditions of a few samples. */
typedef struct given {
    uint32_t ids[SAMPLES][TEST_MODS][20];
    uint8_t patches[SAMPLES][PLACES * 12];
    tsr_held held[SAMPLES][TEST_MODS];
    const tsr_held *list[SAMPLES];
    uint64_t keys[SAMPLES];
} given;

/* Present: the modalities of `mask`. */
static void make_given(given *g, const tsr_mods *mods, unsigned mask)
{
    tsr_rng r;
    memset(g, 0, sizeof *g);
    for (size_t i = 0; i < SAMPLES; i++) {
        tsr_rng_init(&r, 3, TSR_RNG_TEST, i);
        g->list[i] = g->held[i];
        g->keys[i] = 100 + i;
        for (size_t k = 0; k < sizeof g->patches[i]; k++)
            g->patches[i][k] = (uint8_t)tsr_rng_below(&r, 256);
        for (size_t m = 0; m < TEST_MODS; m++) {
            const tsr_mod *mod = &mods->items[m];
            uint32_t n = mod->places ? mod->places : 3 + (uint32_t)i * 2;
            for (uint32_t k = 0; k < n; k++)
                g->ids[i][m][k] = 10 + tsr_rng_below(&r, 20);
            if (mod->cls == TSR_CLASS_SEQUENCE)
                g->ids[i][m][n - 1] = TSR_ID_EOS;
            if (mask >> m & 1)
                g->held[i][m] = (tsr_held){.present = 1,
                                           .count = n,
                                           .ids = m == PIXELS ? NULL : g->ids[i][m],
                                           .patches = m == PIXELS ? g->patches[i] : NULL};
        }
    }
}

static tsr_fm *model_of(int biased)
{
    tsr_fm_config c = fmtest_config(biased, IDS);
    tsr_fm *m;
    assert_ok(tsr_fm_create(&c, 5, &m));
    return m;
}

/* Tokens of every target of the chain, of all samples. */
typedef struct result {
    uint32_t ids[SAMPLES][TEST_MODS][20];
    size_t count[SAMPLES][TEST_MODS];
} result;

static void run(tsr_fm *m, const tsr_generator_spec *spec, const given *g, size_t n, result *out)
{
    tsr_generator *x;
    assert_ok(tsr_generator_create(m, spec, &x));
    memset(out, 0, sizeof *out);
    assert_ok(tsr_generator_run(x, g->list, g->keys, n, NULL));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < TEST_MODS; k++) {
            const uint32_t *ids = tsr_generator_result(x, i, k, &out->count[i][k]);
            if (ids)
                memcpy(out->ids[i][k], ids, out->count[i][k] * sizeof *ids);
        }
    tsr_generator_destroy(x);
}

/* depth by MaskGIT, caption, label at random, the vector in one step. */
static void make_chain(const tsr_mods *mods, tsr_target chain[4])
{
    chain[0] = tsr_target_defaults(mods, DEPTH);
    chain[0].scheme = TSR_SCHEME_MASKGIT;
    chain[0].tokens = TSR_TOKENS_COSINE;
    chain[0].steps = 5;
    chain[0].cooling = TSR_TEMPERATURE_LINEAR;
    chain[1] = tsr_target_defaults(mods, CAPTION);
    chain[1].temperature = 1.5;
    chain[1].top_k = 50;
    chain[2] = tsr_target_defaults(mods, LABEL);
    chain[2].steps = 3;
    chain[3] = tsr_target_defaults(mods, GLOBAL);
    chain[3].steps = 1;
    chain[3].temperature = 0.0;
}

static void chains_fill_every_target(void **state)
{
    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        tsr_fm *m = model_of(biased);
        const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
        tsr_target chain[4];
        given g;
        result r, again;
        make_chain(mods, chain);
        tsr_generator_spec spec = {.chain = chain, .n_chain = 4, .seed = 1};
        make_given(&g, mods, 1u << PIXELS | 1u << WORDS);
        run(m, &spec, &g, SAMPLES, &r);
        for (size_t i = 0; i < SAMPLES; i++) {
            assert_int_equal(r.count[i][DEPTH], PLACES);
            assert_int_equal(r.count[i][LABEL], PLACES);
            assert_int_equal(r.count[i][GLOBAL], 5);
            assert_true(r.count[i][CAPTION] <= 20);
            assert_int_equal(r.count[i][PIXELS], 0);
            for (size_t k = 0; k < PLACES; k++)
                assert_true(r.ids[i][DEPTH][k] < IDS && r.ids[i][LABEL][k] < IDS);
            for (size_t k = 0; k < r.count[i][CAPTION]; k++)
                assert_true(r.ids[i][CAPTION][k] < 300 && r.ids[i][CAPTION][k] != TSR_ID_EOS);
        }
        assert_memory_not_equal(r.ids[0], r.ids[1], sizeof r.ids[0]);
        run(m, &spec, &g, SAMPLES, &again);
        assert_memory_equal(&r, &again, sizeof r);
        spec.seed = 2;
        run(m, &spec, &g, SAMPLES, &again);
        assert_memory_not_equal(&r, &again, sizeof r);
        tsr_fm_destroy(m);
    }
}

/* The same tokens alone, in groups of two, on other threads, in another order, and with guidance.
 */
static void neighbours_do_not_matter(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target chain[4];
    given g, other;
    static result all, one;
    make_chain(mods, chain);
    chain[0].guidance = chain[1].guidance = 2.0;
    tsr_generator_spec spec = {.chain = chain, .n_chain = 4, .seed = 1, .grow = 1};
    make_given(&g, mods, 1u << PIXELS | 1u << WORDS);
    g.held[2][WORDS].present = 0; /* samples differ in what they have */
    g.held[4][PIXELS].present = g.held[4][WORDS].present = 0;
    for (int precision = 0; precision < 2; precision++) {
        spec.precision = precision ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32;
        spec.samples = 0;
        tsr_par_set_threads(1);
        run(m, &spec, &g, SAMPLES, &all);
        tsr_par_set_threads(3);
        spec.samples = 2;
        run(m, &spec, &g, SAMPLES, &one);
        assert_memory_equal(&all, &one, sizeof all);
        tsr_par_set_threads(0);
        for (size_t i = 0; i < SAMPLES; i++) {
            other = g;
            other.list[0] = g.held[i];
            other.keys[0] = g.keys[i];
            run(m, &spec, &other, 1, &one);
            assert_memory_equal(all.ids[i], one.ids[0], sizeof one.ids[0]);
            assert_memory_equal(all.count[i], one.count[0], sizeof one.count[0]);
        }
    }
    tsr_fm_destroy(m);
}

static void guidance_meets_its_ends(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target chain[3];
    double w[TEST_MODS] = {0};
    given g, none;
    static result a, b, c;
    chain[0] = tsr_target_defaults(mods, DEPTH);
    chain[1] = tsr_target_defaults(mods, CAPTION);
    chain[2] = tsr_target_defaults(mods, LABEL);
    chain[0].temperature = chain[1].temperature = 2.0;
    tsr_generator_spec spec = {.chain = chain, .n_chain = 3, .seed = 1, .grow = 1};
    make_given(&g, mods, 1u << PIXELS);
    make_given(&none, mods, 0);
    /* 1 is the condition as it is, 0 is nothing given: pixels leave no trace */
    for (int k = 0; k < 2; k++) {
        for (int t = 0; t < 3; t++)
            chain[t].guidance = k;
        spec.n_chain = k == 0 ? 1 : 3; /* later targets see the first unless it joins */
        run(m, &spec, &g, SAMPLES, &a);
        spec.weights = w;
        w[PIXELS] = k;
        run(m, &spec, &g, SAMPLES, &b);
        spec.weights = NULL;
        for (int t = 0; t < 3; t++)
            chain[t].guidance = 1.0;
        run(m, &spec, k ? &g : &none, SAMPLES, &c);
        assert_memory_equal(a.ids, c.ids, sizeof a.ids);
        for (size_t i = 0; i < SAMPLES; i++)
            assert_memory_equal(a.ids[i][DEPTH], b.ids[i][DEPTH], sizeof a.ids[i][DEPTH]);
    }
    /* one weighted condition is the joint one */
    chain[0].guidance = 2.5;
    w[PIXELS] = 2.5;
    spec.n_chain = 1;
    run(m, &spec, &g, SAMPLES, &a);
    spec.weights = w;
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_equal(&a, &b, sizeof a);
    run(m, &spec, &none, SAMPLES, &c);
    assert_memory_not_equal(&a, &c, sizeof a);
    /* two weighted conditions are not one */
    make_given(&g, mods, 1u << PIXELS | 1u << WORDS);
    w[WORDS] = 3.0;
    run(m, &spec, &g, SAMPLES, &c);
    assert_memory_not_equal(&a, &c, sizeof a);
    tsr_fm_destroy(m);
}

/* A target that is finished counts like one that was given. Arg max in one step, so that the draws
 * do not depend on the place in the chain. */
static void finished_targets_are_conditions(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target chain[3];
    given g;
    static result a, b;
    size_t differ = 0;
    for (int t = 0; t < 3; t++) {
        chain[t] = tsr_target_defaults(mods, t == 0 ? DEPTH : t == 1 ? CAPTION : LABEL);
        chain[t].temperature = 0.0;
        chain[t].steps = 1;
    }
    chain[1].max_tokens = 7;
    tsr_generator_spec spec = {.chain = chain, .n_chain = 3, .seed = 1};
    make_given(&g, mods, 1u << PIXELS | 1u << WORDS);
    run(m, &spec, &g, SAMPLES, &a);
    for (size_t i = 0; i < SAMPLES; i++) {
        uint32_t n = (uint32_t)a.count[i][CAPTION];
        assert_int_equal(n, 7); /* an untrained model goes on */
        g.held[i][DEPTH] = (tsr_held){.present = 1, .count = PLACES, .ids = a.ids[i][DEPTH]};
        g.held[i][CAPTION] = (tsr_held){.present = 1, .count = n, .ids = a.ids[i][CAPTION]};
    }
    spec.chain = chain + 2;
    spec.n_chain = 1;
    run(m, &spec, &g, SAMPLES, &b);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_memory_equal(a.ids[i][LABEL], b.ids[i][LABEL], sizeof a.ids[i][LABEL]);
    for (size_t i = 0; i < SAMPLES; i++)
        g.held[i][DEPTH].present = 0;
    run(m, &spec, &g, SAMPLES, &b);
    for (size_t i = 0; i < SAMPLES; i++)
        differ += memcmp(a.ids[i][LABEL], b.ids[i][LABEL], sizeof a.ids[i][LABEL]) != 0;
    assert_true(differ > 0);
    tsr_fm_destroy(m);
}

/* Logits of all places of DEPTH by a net, with [S_1] of the pending caption: its arg max is what
 * one step writes. Without the sentinel other tokens come out somewhere. */
static void one_step_is_one_pass(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_fmnet_spec s = fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_LOGITS, TSR_PRECISION_FP32, 1);
    tsr_target chain[2] = {tsr_target_defaults(mods, DEPTH), tsr_target_defaults(mods, CAPTION)};
    static result r;
    tsr_example e;
    const tsr_example *list[] = {&e};
    tsr_fmnet *n;
    given g;
    size_t rows, differ = 0;
    chain[0].temperature = 0.0;
    chain[0].steps = 1;
    tsr_generator_spec spec = {.chain = chain, .n_chain = 2};
    make_given(&g, mods, 1u << GLOBAL);
    assert_ok(tsr_fmnet_create(m, &s, &n));
    assert_ok(tsr_example_init(&e, mods, 40, 0));
    for (int bare = 0; bare < 2; bare++) {
        spec.no_sentinel = bare;
        run(m, &spec, &g, SAMPLES, &r);
        for (size_t i = 0; i < SAMPLES; i++) {
            tsr_example_reset(&e);
            assert_ok(tsr_example_rows(&e, &e.in[GLOBAL], 5));
            assert_ok(tsr_example_rows(&e, &e.in[CAPTION], 1));
            assert_ok(tsr_example_rows(&e, &e.out[DEPTH], PLACES));
            e.in[CAPTION].ids[0] = TSR_ID_SENTINEL + 1;
            for (int k = 0; k < PLACES; k++)
                e.out[DEPTH].positions[k] = k;
            for (int k = 0; k < 5; k++) {
                e.in[GLOBAL].ids[k] = (int32_t)g.ids[i][GLOBAL][k];
                e.in[GLOBAL].positions[k] = k;
            }
            assert_ok(tsr_fmnet_run(n, list, 1, 1.0));
            const float *x = tsr_fmnet_logits(n, DEPTH, &rows);
            for (size_t k = 0; k < PLACES; k++) {
                size_t best = 0;
                for (size_t v = 1; v < IDS; v++)
                    best = x[k * IDS + v] > x[k * IDS + best] ? v : best;
                if (!bare)
                    assert_int_equal(r.ids[i][DEPTH][k], best);
                differ += r.ids[i][DEPTH][k] != best;
            }
        }
    }
    assert_true(differ > 0);
    tsr_example_clear(&e);
    tsr_fmnet_destroy(n);
    tsr_fm_destroy(m);
}

/* No row of input at all: attention to the context gives 0. */
static void something_comes_from_nothing(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    static result r;
    given g;
    make_given(&g, mods, 0);
    for (size_t k = 0; k < 2; k++) {
        tsr_target t = tsr_target_defaults(mods, k ? DEPTH : CAPTION);
        tsr_generator_spec spec = {.chain = &t, .n_chain = 1, .no_sentinel = 1};
        t.steps = 1;
        t.temperature = 3.0;
        run(m, &spec, &g, SAMPLES, &r);
        assert_memory_not_equal(r.ids[0], r.ids[1], sizeof r.ids[0]);
    }
    tsr_fm_destroy(m);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target t = tsr_target_defaults(mods, DEPTH), two[2];
    tsr_generator_spec spec = {.chain = &t, .n_chain = 1};
    tsr_generator *x;
    given g;
    assert_int_equal(tsr_target_defaults(mods, CAPTION).scheme, TSR_SCHEME_AUTOREGRESSIVE);
    t.scheme = TSR_SCHEME_AUTOREGRESSIVE;
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    t = tsr_target_defaults(mods, PIXELS);
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    t = tsr_target_defaults(mods, DEPTH);
    t.steps = 0;
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    t = tsr_target_defaults(mods, DEPTH);
    t.temperature = -1.0;
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    t = two[0] = two[1] = tsr_target_defaults(mods, DEPTH);
    spec.chain = two;
    spec.n_chain = 2;
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    spec.n_chain = 0;
    assert_fails(TSR_ECONFIG, tsr_generator_create(m, &spec, &x));
    spec = (tsr_generator_spec){.chain = &t, .n_chain = 1};
    assert_ok(tsr_generator_create(m, &spec, &x));
    make_given(&g, mods, 1u << DEPTH);
    assert_fails(TSR_EARG, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    make_given(&g, mods, 1u << LABEL);
    assert_fails(TSR_EARG, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    make_given(&g, mods, 1u << GLOBAL);
    g.held[3][GLOBAL].count = 4;
    assert_fails(TSR_EFORMAT, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    make_given(&g, mods, 1u << GLOBAL);
    g.ids[2][GLOBAL][1] = IDS;
    assert_fails(TSR_EFORMAT, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    tsr_generator_destroy(x);
    tsr_generator_destroy(NULL);
    tsr_fm_destroy(m);
}

/* --- targets that are given in part --- */

/* Half of DEPTH's places, others for each sample; the ids below the rest are `filler`. */
static void hide_places(given *g, uint8_t known[SAMPLES][PLACES], uint32_t filler)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t k = 0; k < PLACES; k++) {
            known[i][k] = (k * 7 + i * 3) % 12 < 3 + i;
            if (!known[i][k])
                g->ids[i][DEPTH][k] = filler;
        }
        g->held[i][DEPTH].known = known[i];
    }
}

static void given_places_stay(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    uint8_t known[SAMPLES][PLACES];
    tsr_target chain[2] = {tsr_target_defaults(mods, LABEL), tsr_target_defaults(mods, DEPTH)};
    double w[TEST_MODS] = {[WORDS] = 2.0, [LABEL] = 1.0};
    given g, alone;
    static result a, b;
    size_t labels = 0, places = 0;
    chain[0].temperature = 0.0;
    for (int way = 0; way < 4; way++) {
        tsr_generator_spec spec = {.chain = chain, .n_chain = 2, .seed = 1, .samples = 3};
        chain[1].scheme = way % 2 ? TSR_SCHEME_MASKGIT : TSR_SCHEME_ROAR;
        chain[1].tokens = TSR_TOKENS_COSINE;
        chain[1].guidance = way == 2 ? 2.0 : 1.0;
        chain[1].temperature = way < 2 ? 0.0 : 1.0;
        spec.weights = way == 3 ? w : NULL;
        make_given(&g, mods, 1u << WORDS | 1u << DEPTH);
        hide_places(&g, known, 1);
        run(m, &spec, &g, SAMPLES, &a);
        for (size_t i = 0; i < SAMPLES; i++)
            for (size_t k = 0; k < PLACES; k++)
                if (known[i][k])
                    assert_int_equal(a.ids[i][DEPTH][k], g.ids[i][DEPTH][k]);
        /* what is hidden is not looked at; neighbours with other masks do not matter */
        hide_places(&g, known, 2);
        run(m, &spec, &g, SAMPLES, &b);
        assert_memory_equal(&a, &b, sizeof a);
        alone = g;
        alone.list[0] = g.held[3];
        alone.keys[0] = g.keys[3];
        run(m, &spec, &alone, 1, &b);
        assert_memory_equal(a.ids[3], b.ids[0], sizeof b.ids[0]);
        /* what is given is looked at, by a target before it as well */
        for (size_t i = 0; i < SAMPLES; i++)
            for (size_t k = 0; k < PLACES; k++)
                g.ids[i][DEPTH][k] = (g.ids[i][DEPTH][k] + 5) % IDS;
        run(m, &spec, &g, SAMPLES, &b);
        for (size_t i = 0; i < SAMPLES; i++) {
            labels += memcmp(a.ids[i][LABEL], b.ids[i][LABEL], sizeof a.ids[i][LABEL]) != 0;
            for (size_t k = 0; k < PLACES; k++)
                places += !known[i][k] && a.ids[i][DEPTH][k] != b.ids[i][DEPTH][k];
        }
    }
    assert_true(labels > 0 && places > 0);
    tsr_fm_destroy(m);
}

/* All places given: nothing to do. None: the same as not given. */
static void masks_have_ends(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    uint8_t all[PLACES], none[PLACES] = {0};
    tsr_target t = tsr_target_defaults(mods, DEPTH);
    tsr_generator_spec spec = {.chain = &t, .n_chain = 1, .seed = 1};
    given g;
    static result a, b;
    memset(all, 1, sizeof all);
    for (int scheme = 0; scheme < 2; scheme++) {
        t.scheme = scheme ? TSR_SCHEME_MASKGIT : TSR_SCHEME_ROAR;
        make_given(&g, mods, 1u << WORDS);
        run(m, &spec, &g, SAMPLES, &a);
        make_given(&g, mods, 1u << WORDS | 1u << DEPTH);
        for (size_t i = 0; i < SAMPLES; i++)
            g.held[i][DEPTH].known = i == 2 ? all : none;
        run(m, &spec, &g, SAMPLES, &b);
        for (size_t i = 0; i < SAMPLES; i++)
            assert_memory_equal(b.ids[i][DEPTH], i == 2 ? g.ids[i][DEPTH] : a.ids[i][DEPTH],
                                PLACES * sizeof **b.ids[i]);
    }
    /* as a condition alone: only the known places are seen */
    t = tsr_target_defaults(mods, LABEL);
    make_given(&g, mods, 1u << DEPTH);
    run(m, &spec, &g, SAMPLES, &a);
    for (size_t i = 0; i < SAMPLES; i++)
        g.held[i][DEPTH].known = all;
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_equal(&a, &b, sizeof a);
    for (size_t i = 0; i < SAMPLES; i++)
        g.held[i][DEPTH].known = none;
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_not_equal(&a, &b, sizeof a);
    /* patches are those of the known places; none is as nothing given */
    t.temperature = 0.0;
    t.steps = 1;
    make_given(&g, mods, 1u << PIXELS);
    run(m, &spec, &g, SAMPLES, &a);
    for (size_t i = 0; i < SAMPLES; i++)
        g.held[i][PIXELS].known = all;
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_equal(&a, &b, sizeof a);
    none[3] = none[7] = 1;
    for (size_t i = 0; i < SAMPLES; i++) {
        memset(g.patches[i] + 2 * 12, 0, sizeof g.patches[i] - 2 * 12);
        g.held[i][PIXELS].known = none;
    }
    run(m, &spec, &g, SAMPLES, &a);
    for (size_t i = 0; i < SAMPLES; i++)
        memset(g.patches[i] + 2 * 12, 255, sizeof g.patches[i] - 2 * 12);
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_equal(&a, &b, sizeof a);
    for (size_t i = 0; i < SAMPLES; i++)
        memset(g.patches[i], 255, 2 * 12);
    run(m, &spec, &g, SAMPLES, &b);
    assert_memory_not_equal(&a, &b, sizeof a);
    tsr_fm_destroy(m);
}

/* Make ids the caption of all samples. */
static void give_caption(given *g, const uint32_t *ids, uint32_t n)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        memcpy(g->ids[i][CAPTION], ids, n * sizeof *ids);
        g->held[i][CAPTION] = (tsr_held){.present = 1, .count = n, .ids = g->ids[i][CAPTION]};
    }
}

#define HOLE(n) (TSR_ID_SENTINEL + (n))

static void given_words_stay(void **state)
{
    (void)state;
    const uint32_t text[] = {221, HOLE(1), 222, 223, HOLE(2), 224, TSR_ID_EOS};
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target chain[2] = {tsr_target_defaults(mods, DEPTH), tsr_target_defaults(mods, CAPTION)};
    tsr_generator_spec spec = {.chain = chain, .n_chain = 2, .seed = 1};
    given g;
    static result a, b;
    size_t written = 0;
    chain[1].temperature = 2.0;
    for (int guided = 0; guided < 2; guided++) {
        chain[0].guidance = chain[1].guidance = guided ? 2.0 : 1.0;
        make_given(&g, mods, 1u << WORDS);
        give_caption(&g, text, 7);
        run(m, &spec, &g, SAMPLES, &a);
        for (size_t i = 0; i < SAMPLES; i++) {
            const uint32_t *ids = a.ids[i][CAPTION];
            size_t n = a.count[i][CAPTION], pair = 1;
            assert_true(n >= 4 && n <= 20);
            assert_int_equal(ids[0], 221);
            assert_int_equal(ids[n - 1], 224);
            while (pair + 1 < n && !(ids[pair] == 222 && ids[pair + 1] == 223))
                pair++;
            assert_true(pair + 1 < n);
            written += n - 4;
            for (size_t k = 0; k < n; k++)
                assert_true(ids[k] != TSR_ID_EOS && ids[k] - TSR_ID_SENTINEL >= TSR_ID_SENTINELS);
        }
    }
    assert_true(written > 0);
    /* a limit is of what is written, in all holes together */
    chain[1].max_tokens = 1;
    run(m, &spec, &g, SAMPLES, &b);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(b.count[i][CAPTION] <= 4 + 2);
    tsr_fm_destroy(m);
}

/* As many tokens as there can be, and one place for what is missing. */
static void long_texts_keep_their_length(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target t = tsr_target_defaults(mods, CAPTION);
    tsr_generator_spec spec = {.chain = &t, .n_chain = 1, .seed = 1};
    uint32_t text[20];
    given g;
    static result r;
    t.temperature = 2.0;
    for (uint32_t k = 0; k < 20; k++)
        text[k] = k % 2 ? 220 + k : HOLE(1 + k / 2);
    make_given(&g, mods, 1u << WORDS);
    give_caption(&g, text, 20);
    run(m, &spec, &g, SAMPLES, &r);
    for (size_t i = 0; i < SAMPLES; i++) {
        uint32_t next = 1;
        assert_true(r.count[i][CAPTION] <= 20);
        for (size_t k = 0; k < r.count[i][CAPTION]; k++)
            next += next < 20 && r.ids[i][CAPTION][k] == 220 + next ? 2 : 0;
        assert_int_equal(next, 21);
    }
    tsr_fm_destroy(m);
}

static void refuses_wrong_holes(void **state)
{
    (void)state;
    static const uint32_t whole[] = {221, TSR_ID_EOS}, late[] = {HOLE(2), TSR_ID_EOS},
                          zero[] = {HOLE(0), TSR_ID_EOS}, twice[] = {HOLE(1), 221, HOLE(1)};
    static const uint8_t mask[20] = {1};
    tsr_fm *m = model_of(0);
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    tsr_target t = tsr_target_defaults(mods, CAPTION);
    tsr_generator_spec spec = {.chain = &t, .n_chain = 1};
    tsr_generator *x;
    given g;
    assert_ok(tsr_generator_create(m, &spec, &x));
    make_given(&g, mods, 0);
    give_caption(&g, whole, 2);
    assert_fails(TSR_EARG, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    give_caption(&g, late, 2);
    assert_fails(TSR_EFORMAT, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    give_caption(&g, zero, 2);
    assert_fails(TSR_EFORMAT, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    give_caption(&g, twice, 3);
    assert_fails(TSR_EFORMAT, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    uint32_t more[21] = {HOLE(1)};
    for (size_t k = 1; k < 21; k++)
        more[k] = 221;
    g.held[2][CAPTION] = (tsr_held){.present = 1, .count = 21, .ids = more};
    assert_fails(TSR_EARG, tsr_generator_run(x, g.list + 2, g.keys, 1, NULL));
    make_given(&g, mods, 1u << WORDS);
    g.held[1][WORDS].known = mask;
    assert_fails(TSR_EARG, tsr_generator_run(x, g.list, g.keys, SAMPLES, NULL));
    tsr_generator_destroy(x);
    tsr_fm_destroy(m);
}

/* --- a rule that can be learned --- */

/* Every label = depth at the first place plus one; the caption names the ids at the first three. */
static uint32_t rule_label(uint32_t depth)
{
    return (depth + 1) % IDS;
}

static void rule_example(tsr_example *e, tsr_rng *r)
{
    tsr_example_reset(e);
    int32_t depth[PLACES];
    assert_ok(tsr_example_rows(e, &e->in[DEPTH], PLACES));
    assert_ok(tsr_example_rows(e, &e->in[CAPTION], 1));
    assert_ok(tsr_example_rows(e, &e->out[LABEL], PLACES));
    assert_ok(tsr_example_rows(e, &e->out[CAPTION], 5));
    e->in[CAPTION].ids[0] = TSR_ID_SENTINEL + 1;
    for (int k = 0; k < PLACES; k++) {
        depth[k] = (int32_t)tsr_rng_below(r, 4);
        e->in[DEPTH].ids[k] = depth[k];
        e->in[DEPTH].positions[k] = e->out[LABEL].positions[k] = k;
        e->out[LABEL].labels[k] = (int32_t)rule_label((uint32_t)depth[0]);
    }
    const int32_t words[] = {TSR_ID_SENTINEL + 1, 220 + depth[0], 220 + depth[1],
                             220 + depth[2],      TSR_ID_EOS,     TSR_ID_SENTINEL + 2};
    for (int k = 0; k < 5; k++) {
        e->out[CAPTION].ids[k] = words[k];
        e->out[CAPTION].labels[k] = words[k + 1];
        e->out[CAPTION].positions[k] = k;
    }
}

/* Words count upwards. Missing are those around one, or the one between two. */
static void hole_text(int between, uint32_t first, uint32_t text[4])
{
    const uint32_t texts[2][4] = {{HOLE(1), first + 1, HOLE(2), TSR_ID_EOS},
                                  {first, HOLE(1), first + 2, TSR_ID_EOS}};
    memcpy(text, texts[between], sizeof texts[between]);
}

static void hole_example(tsr_example *e, tsr_rng *r)
{
    int between = (int)tsr_rng_below(r, 2), n = between ? 2 : 4;
    int32_t first = 220 + (int32_t)tsr_rng_below(r, 8);
    const int32_t holes[2][5] = {{HOLE(1), first, HOLE(2), first + 2, HOLE(3)},
                                 {HOLE(1), first + 1, HOLE(2)}};
    uint32_t text[4];
    hole_text(between, (uint32_t)first, text);
    tsr_example_reset(e);
    assert_ok(tsr_example_rows(e, &e->in[CAPTION], 4));
    assert_ok(tsr_example_rows(e, &e->out[CAPTION], (uint32_t)n));
    for (int k = 0; k < 4; k++) {
        e->in[CAPTION].ids[k] = (int32_t)text[k];
        e->in[CAPTION].positions[k] = k;
    }
    for (int k = 0; k < n; k++) {
        e->out[CAPTION].ids[k] = holes[between][k];
        e->out[CAPTION].labels[k] = holes[between][k + 1];
        e->out[CAPTION].positions[k] = k;
    }
}

static void a_learned_rule_is_followed(void **state)
{
    (void)state;
    tsr_fm_config c = fmtest_config(0, IDS);
    tsr_fm *m;
    given g;
    static result r, again;
    const uint32_t open = HOLE(1);
    size_t labels = 0, words = 0;
    assert_ok(tsr_fm_create(&c, 5, &m));
    fmtest_teach(m, 500, rule_example);
    tsr_target chain[2] = {tsr_target_defaults(&c.mods, LABEL),
                           tsr_target_defaults(&c.mods, CAPTION)};
    chain[0].steps = 3;
    tsr_generator_spec spec = {.chain = chain, .n_chain = 2};
    make_given(&g, &c.mods, 1u << DEPTH);
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t k = 0; k < PLACES; k++)
            g.ids[i][DEPTH][k] %= 4;
    run(m, &spec, &g, SAMPLES, &r);
    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t k = 0; k < PLACES; k++)
            labels += r.ids[i][LABEL][k] == rule_label(g.ids[i][DEPTH][0]);
        for (size_t k = 0; k < 3 && r.count[i][CAPTION] == 3; k++)
            words += r.ids[i][CAPTION][k] == 220 + g.ids[i][DEPTH][k];
    }
    if (labels < SAMPLES * PLACES * 9 / 10 || words < 13)
        fail_msg("%zu of %d labels, %zu of 15 words follow the rule", labels, SAMPLES * PLACES,
                 words);
    /* one hole and nothing else is a text of which nothing is given */
    give_caption(&g, &open, 1);
    run(m, &spec, &g, SAMPLES, &again);
    assert_memory_equal(&r, &again, sizeof r);
    tsr_fm_destroy(m);
}

/* What belongs into the holes is learned and put there. */
static void holes_are_filled_as_learned(void **state)
{
    (void)state;
    tsr_fm_config c = fmtest_config(0, IDS);
    tsr_fm *m;
    given g;
    static result r;
    size_t right = 0;
    assert_ok(tsr_fm_create(&c, 5, &m));
    fmtest_teach(m, 300, hole_example);
    tsr_target t = tsr_target_defaults(&c.mods, CAPTION);
    tsr_generator_spec spec = {.chain = &t, .n_chain = 1};
    for (uint32_t way = 0; way < 16; way++) {
        uint32_t text[4], first = 220 + way / 2;
        hole_text((int)(way % 2), first, text);
        make_given(&g, &c.mods, 0);
        give_caption(&g, text, 4);
        run(m, &spec, &g, 1, &r);
        for (uint32_t k = 0; k < 3 && r.count[0][CAPTION] == 3; k++)
            right += r.ids[0][CAPTION][k] == first + k;
    }
    if (right < 45)
        fail_msg("%zu of 48 words are where they belong", right);
    tsr_fm_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_fill_every_target),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(guidance_meets_its_ends),
        cmocka_unit_test(finished_targets_are_conditions),
        cmocka_unit_test(one_step_is_one_pass),
        cmocka_unit_test(something_comes_from_nothing),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(given_places_stay),
        cmocka_unit_test(masks_have_ends),
        cmocka_unit_test(given_words_stay),
        cmocka_unit_test(long_texts_keep_their_length),
        cmocka_unit_test(refuses_wrong_holes),
        cmocka_unit_test(a_learned_rule_is_followed),
        cmocka_unit_test(holes_are_filled_as_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

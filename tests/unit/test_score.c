/* SPDX-License-Identifier: Apache-2.0
 * Likelihoods: they sum to one over everything that can be, and agree with logits. */
#include "fmtest.h"

#include "trainer/score.h"

#include <math.h>

enum { SIDE = 2, V = 3, ALL = 81 };

/* A caption beside a grid of 2 x 2 places with 3 ids: 81 of them. */
static tsr_fm *small_model(void)
{
    tsr_fm_config c = fmtest_config(0, 30);
    tsr_mod grid = c.mods.items[DEPTH], text = c.mods.items[CAPTION];
    tsr_fm *m;
    grid.height = grid.width = SIDE;
    grid.places = grid.max_tokens = grid.positions = SIDE * SIDE;
    grid.vocabulary = V;
    c.mods.count = 0;
    fmtest_add(&c.mods, text, "caption");
    fmtest_add(&c.mods, grid, "depth");
    assert_ok(tsr_fm_create(&c, 5, &m));
    return m;
}

static const uint32_t words[] = {31, 7, 250, 99, TSR_ID_EOS};

static void grids_sum_to_one(void **state)
{
    (void)state;
    tsr_fm *m = small_model();
    uint32_t ids[ALL][SIDE * SIDE];
    tsr_held candidates[ALL], given[2] = {{.present = 1, .count = 5, .ids = words}, {0}};
    tsr_query q[ALL];
    double log_p[ALL], first[ALL];
    size_t tokens[ALL];
    for (uint32_t i = 0; i < ALL; i++) {
        for (uint32_t k = 0, left = i; k < SIDE * SIDE; k++, left /= V)
            ids[i][k] = left % V;
        candidates[i] = (tsr_held){.present = 1, .count = SIDE * SIDE, .ids = ids[i]};
        q[i] = (tsr_query){given, DEPTH, &candidates[i]};
    }
    for (size_t steps = 1; steps <= 8; steps *= 2) {
        tsr_scorer_spec spec = {.precision = TSR_PRECISION_FP32, .grid_steps = steps};
        tsr_scorer *s;
        double sum = 0.0, moved = 0.0;
        assert_ok(tsr_scorer_create(m, &spec, &s));
        assert_ok(tsr_score(s, q, ALL, log_p, tokens, NULL));
        for (size_t i = 0; i < ALL; i++) {
            sum += exp(log_p[i]);
            moved += fabs(log_p[i] - first[i]);
            assert_int_equal(tokens[i], SIDE * SIDE);
        }
        if (fabs(sum - 1.0) > 1e-4)
            fail_msg("%zu steps: probabilities sum to %.6f", steps, sum);
        if (steps == 2)
            assert_true(moved > 1e-3); /* earlier groups are seen */
        memcpy(first, log_p, sizeof first);
        tsr_scorer_destroy(s);
    }
    tsr_fm_destroy(m);
}

/* log p of the words, [EOS] and the terminator from the logits of a net. */
static double by_logits(tsr_fm *m, const uint32_t *ids, size_t n)
{
    const tsr_fm_config *c = tsr_fm_get_config(m);
    tsr_fmnet_spec s = fmtest_spec(c, TSR_FMNET_LOGITS, TSR_PRECISION_FP32, 1);
    tsr_example e;
    const tsr_example *list[] = {&e};
    tsr_fmnet *net;
    size_t rows;
    double sum = 0.0;
    s.out_of[0] = 21;
    assert_ok(tsr_fmnet_create(m, &s, &net));
    assert_ok(tsr_example_init(&e, &c->mods, 60, 0));
    tsr_example_reset(&e);
    assert_ok(tsr_example_rows(&e, &e.in[0], 1));
    assert_ok(tsr_example_rows(&e, &e.out[0], (uint32_t)n + 1));
    e.in[0].ids[0] = TSR_ID_SENTINEL + 1;
    for (size_t i = 0; i <= n; i++) {
        e.out[0].ids[i] = i ? (int32_t)ids[i - 1] : TSR_ID_SENTINEL + 1;
        e.out[0].positions[i] = (int32_t)i;
    }
    assert_ok(tsr_fmnet_run(net, list, 1, 1.0));
    const float *x = tsr_fmnet_logits(net, 0, &rows);
    for (size_t i = 0; i <= n; i++) {
        double all = 0.0;
        for (size_t k = 0; k < 300; k++)
            all += exp(x[i * 300 + k]);
        sum += x[i * 300 + (i < n ? ids[i] : TSR_ID_SENTINEL + 2)] - log(all);
    }
    tsr_example_clear(&e);
    tsr_fmnet_destroy(net);
    return sum;
}

static void sequences_agree_with_logits(void **state)
{
    (void)state;
    tsr_fm *m = small_model();
    tsr_scorer_spec spec = {.precision = TSR_PRECISION_FP32, .samples = 2};
    uint32_t longest[20];
    tsr_held with = {.present = 1, .count = 5, .ids = words},
             without = {.present = 1, .count = 4, .ids = words}, none[2] = {{0}},
             empty = {.present = 1, .count = 0, .ids = words},
             full = {.present = 1, .count = 20, .ids = longest};
    tsr_query q[] = {{none, CAPTION, &with},
                     {none, CAPTION, &without},
                     {none, CAPTION, &empty},
                     {none, CAPTION, &full}};
    double log_p[4], alone;
    size_t tokens[4];
    tsr_scorer *s;
    for (uint32_t i = 0; i < 20; i++)
        longest[i] = 20 + i;
    assert_ok(tsr_scorer_create(m, &spec, &s));
    assert_ok(tsr_score(s, q, 4, log_p, tokens, NULL));
    double want = by_logits(m, words, 5);
    assert_true(fabs(log_p[0] - want) < 1e-3);
    assert_true(log_p[1] == log_p[0]);
    assert_true(fabs(log_p[2] - by_logits(m, (uint32_t[]){TSR_ID_EOS}, 1)) < 1e-3);
    assert_true(fabs(log_p[3] - by_logits(m, longest, 20)) < 1e-2);
    assert_true(tokens[0] == 6 && tokens[1] == 6 && tokens[2] == 2 && tokens[3] == 21);
    assert_ok(tsr_score(s, q + 3, 1, &alone, NULL, NULL));
    assert_true(alone == log_p[3]);
    tsr_scorer_destroy(s);
    tsr_fm_destroy(m);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    tsr_fm *m = small_model();
    tsr_scorer_spec spec = {.precision = TSR_PRECISION_FP32};
    uint32_t ids[4] = {0, 1, 2, V};
    tsr_held none[2] = {{0}}, bad = {.present = 1, .count = 4, .ids = ids},
             few = {.present = 1, .count = 3, .ids = ids};
    double log_p;
    tsr_scorer *s;
    assert_ok(tsr_scorer_create(m, &spec, &s));
    assert_fails(TSR_EARG, tsr_score(s, &(tsr_query){none, 2, &bad}, 1, &log_p, NULL, NULL));
    assert_fails(TSR_EARG, tsr_score(s, &(tsr_query){none, DEPTH, none}, 1, &log_p, NULL, NULL));
    assert_fails(TSR_EFORMAT, tsr_score(s, &(tsr_query){none, DEPTH, &bad}, 1, &log_p, NULL, NULL));
    assert_fails(TSR_EFORMAT, tsr_score(s, &(tsr_query){none, DEPTH, &few}, 1, &log_p, NULL, NULL));
    tsr_scorer_destroy(s);
    tsr_scorer_destroy(NULL);
    tsr_fm_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_sum_to_one),
        cmocka_unit_test(sequences_agree_with_logits),
        cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

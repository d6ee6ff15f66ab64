/* SPDX-License-Identifier: Apache-2.0
 * Noise schedules and samplers: orders of steps, and a problem whose answer is known. Numbers of the
 * reference are in test_selfcheck. */
#include "testing.h"

#include "base/mem.h"
#include "vqvae/diffsteps.h"

#include <math.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void names_that_are_not_known_are_refused(void **state)
{
    (void)state;
    tsr_noise n;
    static const char *const schedules[] = {"cosine", "shifted_cosine:", "shifted_cosine:0",
                                            "shifted_cosine:-1", "shifted_cosine:1x", ""};
    for (size_t i = 0; i < COUNT(schedules); i++)
        assert_fails(TSR_EUNSUPPORTED, tsr_noise_init(&n, 1000, schedules[i], 1, "sample"));
    assert_fails(TSR_EUNSUPPORTED, tsr_noise_init(&n, 1000, "linear", 1, "x0"));
    assert_fails(TSR_EUNSUPPORTED, tsr_noise_init(&n, 0, "linear", 1, "sample"));
    tsr_sampler_kind kind;
    assert_fails(TSR_EARG, tsr_sampler_named("euler", &kind));
    assert_ok(tsr_sampler_named("plms", &kind));
    assert_int_equal(kind, TSR_SAMPLER_PNDM_PLMS);
}

static void check_times(tsr_sampler_spec spec, const size_t *want, size_t count)
{
    tsr_noise n;
    tsr_sampler *s;
    assert_ok(tsr_noise_init(&n, 1000, "linear", 0, "epsilon"));
    assert_ok(tsr_sampler_create(&n, &spec, 1, &s));
    assert_int_equal(tsr_sampler_count(s), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tsr_sampler_time(s, i), want[i]);
    tsr_sampler_destroy(s);
    tsr_noise_clear(&n);
}

#define TIMES(spec, ...)                                                                           \
    check_times(spec, (const size_t[]){__VA_ARGS__},                                               \
                sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))
#define SPEC(kind_, spacing_, steps_, compatible_)                                                 \
    ((tsr_sampler_spec){.kind = TSR_SAMPLER_##kind_, .spacing = TSR_SPACING_##spacing_,            \
                        .steps = steps_, .compatible = compatible_})

static void samplers_visit_the_steps_they_should(void **state)
{
    (void)state;
    TIMES(SPEC(DDIM, TRAILING, 4, 0), 999, 749, 499, 249);
    TIMES(SPEC(DDIM, TRAILING, 4, 1), 999, 749, 499, 249);
    TIMES(SPEC(DDIM, TRAILING, 7, 0), 999, 856, 713, 570, 428, 285, 142);
    TIMES(SPEC(DDIM, TRAILING, 7, 1), 999, 857, 715, 573, 431, 289, 147, 5);
    TIMES(SPEC(DDIM, LINSPACE, 5, 0), 999, 749, 499, 250, 0);
    TIMES(SPEC(DDPM, LEADING, 4, 0), 750, 500, 250, 0);
    TIMES(SPEC(DDIM, TRAILING, 1, 0), 999);
    TIMES(SPEC(PNDM_PLMS, LEADING, 5, 0), 800, 600, 600, 400, 200, 0);
    TIMES(SPEC(PNDM, LEADING, 10, 0), 900, 850, 850, 800, 800, 750, 750, 700, 700, 650, 650, 600,
          600, 500, 400, 300, 200, 100, 0);
    TIMES(SPEC(PNDM, TRAILING, 4, 0), 999, 874, 874, 749, 749, 624, 624, 499, 499, 374, 374, 249,
          249);
}

/* --- pictures of one Gaussian ------------------------------------------------------------------- */

/* Values are N(m, s^2); then the best guess of x_0 from x_t is known, and the deterministic way back
 * from x_t ends at m + (x_t - sqrt(abar) m) s / sqrt(abar s^2 + 1 - abar). */
#define M 0.2
#define S 0.15
#define VALUES 20000

static void guess(const tsr_noise *n, size_t t, const float *x, float *out)
{
    double a = (double)n->abar[t], root = sqrt(a), rest = sqrt(1 - a), v = a * S * S + 1 - a;
    for (size_t i = 0; i < VALUES; i++) {
        double x0 = M + root * S * S / v * ((double)x[i] - root * M);
        double e = ((double)x[i] - root * x0) / rest;
        out[i] = (float)(n->prediction == TSR_PREDICT_SAMPLE    ? x0
                         : n->prediction == TSR_PREDICT_EPSILON ? e
                                                                : root * e - rest * x0);
    }
}

/* Runs a sampler; moments of the result; the largest distance to the deterministic end. */
static double run(const tsr_noise *n, tsr_sampler_spec spec, double moments[2])
{
    static float x[VALUES], out[VALUES], end[VALUES];
    tsr_sampler *s;
    tsr_rng rng;
    double worst = 0, sum = 0, square = 0;
    tsr_rng_init(&rng, 5, TSR_RNG_DIFFUSION, 0);
    assert_ok(tsr_sampler_create(n, &spec, VALUES, &s));
    size_t first = tsr_sampler_time(s, 0);
    double a = (double)n->abar[first];
    for (size_t i = 0; i < VALUES; i++) {
        x[i] = (float)(sqrt(a) * M) + (float)sqrt(a * S * S + 1 - a) * tsr_rng_normal(&rng);
        end[i] = (float)(M + ((double)x[i] - sqrt(a) * M) * S / sqrt(a * S * S + 1 - a));
    }
    for (size_t i = 0; i < tsr_sampler_count(s); i++) {
        guess(n, tsr_sampler_time(s, i), x, out);
        tsr_sampler_step(s, i, out, x, &rng, NULL);
    }
    for (size_t i = 0; i < VALUES; i++) {
        worst = fmax(worst, fabs((double)x[i] - (double)end[i]));
        sum += (double)x[i];
        square += (double)x[i] * (double)x[i];
    }
    moments[0] = sum / VALUES;
    moments[1] = sqrt(square / VALUES - moments[0] * moments[0]);
    tsr_sampler_destroy(s);
    return worst;
}

static const char *const predictions[] = {"sample", "epsilon", "v_prediction"};

static void samplers_end_where_they_should(void **state)
{
    (void)state;
    double moments[2], coarse, fine, fast;
    for (size_t p = 0; p < 3; p++) {
        tsr_noise n;
        assert_ok(tsr_noise_init(&n, 1000, "scaled_linear", 0, predictions[p]));
        coarse = run(&n, SPEC(DDIM, TRAILING, 50, 0), moments);
        fine = run(&n, SPEC(DDIM, TRAILING, 500, 0), moments);
        fast = run(&n, SPEC(PNDM, LEADING, 50, 0), moments);
        print_message("%s: DDIM 50 %.1e, 500 %.1e; PNDM 50 %.1e, PLMS 50 %.1e from the end\n",
                      predictions[p], coarse, fine, fast,
                      run(&n, SPEC(PNDM_PLMS, LEADING, 50, 0), moments));
        assert_true(fine < coarse / 5 && fine < 0.01); /* first order */
        /* Higher order with about as many calls; outputs of several steps are mixed before they are
         * made noise, which is exact for epsilon only. */
        assert_true(fast < coarse / (n.prediction == TSR_PREDICT_EPSILON ? 10 : 2));
        tsr_noise_clear(&n);
    }
}

/* Noise added on the way keeps the spread: DDPM, and DDIM with eta 1. */
static void samplers_that_add_noise_keep_the_moments(void **state)
{
    (void)state;
    double moments[2];
    for (size_t p = 0; p < 3; p++) {
        tsr_noise n;
        assert_ok(tsr_noise_init(&n, 1000, "linear", p != 1, predictions[p]));
        tsr_sampler_spec specs[] = {SPEC(DDPM, TRAILING, 250, 0), SPEC(DDPM, LEADING, 1000, 1),
                                    SPEC(DDIM, TRAILING, 250, 0), SPEC(DDIM, TRAILING, 300, 0)};
        specs[2].eta = 1;
        for (size_t i = 0; i < COUNT(specs); i++) {
            run(&n, specs[i], moments);
            /* DDPM's smaller variance is short of the best one, the more so the fewer the steps. */
            double most = specs[i].steps == 1000 ? 0.04 : 0.12;
            if (fabs(moments[0] - M) > 0.005 || fabs(moments[1] / S - 1) > most)
                fail_msg("%s, sampler %zu: mean %g, deviation %g", predictions[p], i, moments[0],
                         moments[1]);
        }
        tsr_noise_clear(&n);
    }
}

static void estimates_are_cut(void **state)
{
    (void)state;
    tsr_noise n;
    tsr_sampler *s;
    const tsr_sampler_spec spec = SPEC(DDIM, TRAILING, 1, 0);
    assert_ok(tsr_noise_init(&n, 10, "linear", 1, "sample"));
    assert_ok(tsr_sampler_create(&n, &spec, 2, &s));
    for (n.clip = 0; n.clip < 2; n.clip++) {
        float x[] = {0.3f, -2}, out[] = {0.5f, -3};
        tsr_sampler_step(s, 0, out, x, NULL, NULL);
        assert_true(x[0] == 0.5f && x[1] == (n.clip ? -1.0f : -3.0f));
    }
    tsr_sampler_destroy(s);
    tsr_noise_clear(&n);
}

static void steps_that_cannot_be_are_refused(void **state)
{
    (void)state;
    tsr_noise n;
    tsr_sampler *s;
    assert_ok(tsr_noise_init(&n, 1000, "linear", 1, "epsilon"));
    static const tsr_sampler_spec bad[] = {
        {.steps = 0}, {.steps = 1001}, {.steps = 5, .eta = 1.5f}, {.steps = 5, .eta = -1},
        {.kind = TSR_SAMPLER_PNDM, .steps = 3}, {.kind = TSR_SAMPLER_PNDM_PLMS, .steps = 1}};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_fails(TSR_EARG, tsr_sampler_create(&n, &bad[i], 4, &s));
    const tsr_sampler_spec pndm = SPEC(PNDM, TRAILING, 10, 0);
    assert_fails(TSR_EUNSUPPORTED, tsr_sampler_create(&n, &pndm, 4, &s));
    tsr_noise_clear(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_not_known_are_refused),
        cmocka_unit_test(samplers_visit_the_steps_they_should),
        cmocka_unit_test(samplers_end_where_they_should),
        cmocka_unit_test(samplers_that_add_noise_keep_the_moments),
        cmocka_unit_test(estimates_are_cut),
        cmocka_unit_test(steps_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Cached decoding against a net that computes whole sequences. */
#include "fmtest.h"

#include "trainer/fmcache.h"

#include <math.h>

enum { LENGTH = 9, V = 300 };

static tsr_fm *model_of(int biased, int shared)
{
    tsr_fm_config c = fmtest_config(biased, 30);
    tsr_fm *m;
    c.shared_vocabulary = shared;
    assert_ok(tsr_fm_create(&c, 5, &m));
    return m;
}

static tsr_fmcache *cache_of(tsr_fm *m, size_t passes, tsr_precision precision)
{
    tsr_fmnet_spec s = fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_LOGITS, precision, passes);
    tsr_fmcache_spec spec = {
        .precision = precision, .passes = passes, .in_rows = s.in_rows, .longest = LENGTH};
    tsr_fmcache *c;
    memcpy(spec.in_of, s.in_of, sizeof spec.in_of);
    assert_ok(tsr_fmcache_create(m, &spec, &c));
    return c;
}

static int32_t token(size_t pass, size_t at)
{
    return at == 0 ? TSR_ID_SENTINEL + 1 : (int32_t)(7 + (pass * 31 + at * 17) % 280);
}

/* Logits [LENGTH, V] of one example with the whole sequence as its target. */
static void whole(tsr_fm *m, tsr_example *e, size_t pass, tsr_precision precision, float *logits)
{
    tsr_fmnet_spec s = fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_LOGITS, precision, 1);
    const tsr_example *list[] = {e};
    tsr_fmnet *n;
    size_t rows;
    for (size_t k = 0; k < TEST_MODS; k++)
        e->out[k].count = 0;
    assert_ok(tsr_example_rows(e, &e->out[CAPTION], LENGTH));
    for (size_t i = 0; i < LENGTH; i++) {
        e->out[CAPTION].ids[i] = token(pass, i);
        e->out[CAPTION].positions[i] = (int32_t)i;
    }
    assert_ok(tsr_fmnet_create(m, &s, &n));
    assert_ok(tsr_fmnet_run(n, list, 1, 1.0));
    const float *got = tsr_fmnet_logits(n, CAPTION, &rows);
    assert_int_equal(rows, LENGTH);
    memcpy(logits, got, LENGTH * V * sizeof *logits);
    tsr_fmnet_destroy(n);
}

static double distance(const float *a, const float *b)
{
    double d = 0.0, all = 0.0;
    for (size_t i = 0; i < V; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(d / all);
}

/* All passes side by side; pass p stands still in step p and in step 4. */
static void steps_equal_the_whole(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        static float want[FMTEST_EXAMPLES][LENGTH * V];
        tsr_precision precision = form == 3 ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32;
        tsr_fm *m = model_of(form == 1, form == 2);
        tsr_fmcache *c = cache_of(m, FMTEST_EXAMPLES, precision);
        size_t length[FMTEST_EXAMPLES] = {0};
        fmtest_batch b;
        fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 4, 12);
        tsr_example_reset(&b.items[3]); /* one without any input */
        for (size_t p = 0; p < FMTEST_EXAMPLES; p++)
            whole(m, &b.items[p], p, precision, want[p]);
        for (int again = 0; again < 2; again++) {
            memset(length, 0, sizeof length);
            assert_ok(tsr_fmcache_start(c, CAPTION, b.list, FMTEST_EXAMPLES));
            for (size_t step = 0; step < LENGTH; step++) {
                size_t passes[FMTEST_EXAMPLES], n = 0;
                int32_t ids[FMTEST_EXAMPLES];
                const float *logits;
                for (size_t p = 0; p < FMTEST_EXAMPLES; p++) {
                    if (p == step || step == 4)
                        continue;
                    passes[n] = p;
                    ids[n++] = token(p, length[p]);
                }
                if (n == 0)
                    continue;
                assert_ok(tsr_fmcache_step(c, passes, ids, n, &logits));
                for (size_t i = 0; i < n; i++) {
                    double d = distance(logits + i * V, want[passes[i]] + length[passes[i]]++ * V);
                    if (d > (form == 3 ? 2e-2 : 1e-5))
                        fail_msg("form %d, pass %zu, step %zu: off by %g", form, passes[i], step,
                                 d);
                }
            }
        }
        assert_true(tsr_fmcache_flops(c) > 1e6);
        fmtest_batch_clear(&b);
        tsr_fmcache_destroy(c);
        tsr_fm_destroy(m);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0, 0);
    tsr_fmcache *c = cache_of(m, 2, TSR_PRECISION_FP32);
    const float *logits;
    fmtest_batch b;
    fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 4, 12);
    assert_fails(TSR_EARG, tsr_fmcache_start(c, DEPTH, b.list, 2));
    assert_fails(TSR_EARG, tsr_fmcache_start(c, WORDS, b.list, 2));
    assert_fails(TSR_EARG, tsr_fmcache_start(c, CAPTION, b.list, 3));
    assert_ok(tsr_fmcache_start(c, CAPTION, b.list, 2));
    assert_fails(TSR_EARG, tsr_fmcache_step(c, (size_t[]){2}, (int32_t[]){5}, 1, &logits));
    assert_fails(TSR_EARG, tsr_fmcache_step(c, (size_t[]){1, 1}, (int32_t[]){5, 5}, 2, &logits));
    assert_fails(TSR_EARG, tsr_fmcache_step(c, (size_t[]){0}, (int32_t[]){V}, 1, &logits));
    assert_fails(TSR_EARG, tsr_fmcache_step(c, (size_t[]){0}, (int32_t[]){-1}, 1, &logits));
    for (size_t i = 0; i < LENGTH; i++)
        assert_ok(tsr_fmcache_step(c, (size_t[]){1}, (int32_t[]){5}, 1, &logits));
    assert_fails(TSR_EARG, tsr_fmcache_step(c, (size_t[]){1}, (int32_t[]){5}, 1, &logits));
    fmtest_batch_clear(&b);
    tsr_fmcache_destroy(c);
    tsr_fmcache_destroy(NULL);
    tsr_fm_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_the_whole),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

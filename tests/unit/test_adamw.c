/* SPDX-License-Identifier: Apache-2.0
 * AdamW against PyTorch, clipping, averages, schedules, and training state that survives a kill. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "nn/adamw.h"
#include "nn/checkpoint.h"
#include "nn/schedule.h"

#include <math.h>

static tsr_params *store(size_t n)
{
    tsr_params *ps;
    const size_t w[] = {n}, b[] = {2};
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN | TSR_PARAM_DECAY, 1, w, NULL));
    assert_ok(tsr_params_add(ps, "b", TSR_PARAM_TRAIN, 1, b, NULL));
    assert_ok(tsr_params_add(ps, "count", TSR_PARAM_BUFFER, 1, b, NULL));
    assert_ok(tsr_params_need_grads(ps));
    return ps;
}

/* Expected: torch.optim.AdamW (1.13.1, CPU, one group per decay), lr 0.01, betas 0.9 and 0.99,
 * eps 1e-8, decay 0.05 on w and 0 on b. */
static void adamw_matches_pytorch(void **state)
{
    (void)state;
    static const float w0[] = {0.5f, -1.25f, 2.0f, 0.0078125f, -3.5f}, b0[] = {0.25f, -0.75f};
    static const float gw[3][5] = {{0.1f, -0.2f, 0.0f, 4.0f, -0.003f},
                                   {-0.3f, 0.1f, 0.5f, -2.0f, 0.002f},
                                   {0.25f, 0.25f, -0.25f, 1.0f, 0.1f}};
    static const float gb[3][2] = {{1.0f, -1e-4f}, {0.5f, 1e-3f}, {-2.0f, 0.0f}};
    static const float w[3][5] = {
        {0.489749998f, -1.239375f, 1.99899995f, -0.00219140714f, -3.48825002f},
        {0.494438082f, -1.23608828f, 1.99057579f, -0.00485730544f, -3.48505926f},
        {0.493225247f, -1.23885858f, 1.9872961f, -0.0082702199f, -3.48963189f}};
    static const float b[3][2] = {{0.239999995f, -0.740001023f},
                                  {0.23066552f, -0.746724129f},
                                  {0.232723758f, -0.751932919f}};
    tsr_params *ps = store(5);
    tsr_param *pw = tsr_params_find(ps, "w"), *pb = tsr_params_find(ps, "b");
    memcpy(pw->value, w0, sizeof w0);
    memcpy(pb->value, b0, sizeof b0);
    tsr_adamw opt = tsr_adamw_defaults();
    opt.lr = 0.01;
    for (int t = 0; t < 3; t++) {
        uint64_t version = pw->version;
        for (int i = 0; i < 5; i++)
            pw->grad[i] = 2 * gw[t][i]; /* the factor below takes the 2 away */
        for (int i = 0; i < 2; i++)
            pb->grad[i] = 2 * gb[t][i];
        assert_ok(tsr_adamw_step(ps, &opt, (uint64_t)t + 1, 0.5));
        for (int i = 0; i < 5; i++)
            assert_true(fabsf(pw->value[i] - w[t][i]) <= 3e-7f * fmaxf(1, fabsf(w[t][i])));
        for (int i = 0; i < 2; i++)
            assert_true(fabsf(pb->value[i] - b[t][i]) <= 3e-7f);
        assert_true(pw->version > version);
    }
    assert_fails(TSR_EARG, tsr_adamw_step(ps, &opt, 0, 1));
    opt.beta1 = 1;
    assert_fails(TSR_EARG, tsr_adamw_step(ps, &opt, 1, 1));
    tsr_params_destroy(ps);
}

static void fill_grads(tsr_params *ps, uint64_t index)
{
    tsr_rng r;
    tsr_rng_init(&r, 5, TSR_RNG_TEST, index);
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        for (size_t k = 0; p->grad && k < p->count; k++)
            p->grad[k] = tsr_rng_normal(&r);
    }
}

static void step(tsr_params *ps, uint64_t t)
{
    tsr_adamw opt = tsr_adamw_defaults();
    opt.lr = 1e-2;
    double norm;
    fill_grads(ps, t);
    assert_ok(tsr_grad_norm(ps, &norm));
    assert_ok(tsr_adamw_step(ps, &opt, t, tsr_clip_factor(norm, 1)));
    tsr_params_find(ps, "count")->value[0] += 1;
    assert_ok(tsr_params_average(ps, 0.9));
}

static void norm_is_global_and_clips(void **state)
{
    (void)state;
    tsr_params *ps = store(40001);
    double norm;
    for (size_t i = 0; i < 40001; i++)
        tsr_params_find(ps, "w")->grad[i] = 0.5f;
    tsr_params_find(ps, "b")->grad[1] = 3;
    assert_ok(tsr_grad_norm(ps, &norm));
    assert_true(fabs(norm - sqrt(40001 * 0.25 + 9)) < 1e-9);
    assert_true(fabs(tsr_clip_factor(norm, 1) * norm - 1) < 1e-6);
    assert_true(tsr_clip_factor(0.5, 1) == 1);
    assert_true(tsr_clip_factor(100, 0) == 1);
    tsr_params_find(ps, "b")->grad[0] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_grad_norm(ps, &norm));
    assert_non_null(strstr(tsr_error(), "\"b\""));
    tsr_params_destroy(ps);
}

static void same_bytes(const tsr_params *a, const tsr_params *b)
{
    for (size_t i = 0; i < tsr_params_count(a); i++) {
        const tsr_param *p = tsr_params_at(a, i), *q = tsr_params_at(b, i);
        assert_memory_equal(p->value, q->value, p->count * sizeof(float));
        assert_memory_equal(p->average, q->average, p->count * sizeof(float));
        if (p->moment2) {
            assert_memory_equal(p->moment1, q->moment1, p->count * sizeof(float));
            assert_memory_equal(p->moment2, q->moment2, p->count * sizeof(float));
        }
    }
}

static void threads_do_not_change_bytes(void **state)
{
    (void)state;
    tsr_params *a = store(70003), *b = store(70003);
    for (uint64_t t = 1; t <= 3; t++) {
        tsr_par_set_threads(1);
        step(a, t);
        tsr_par_set_threads(3);
        step(b, t);
    }
    tsr_par_set_threads(0);
    same_bytes(a, b);
    tsr_params_destroy(a);
    tsr_params_destroy(b);
}

static void averages_start_as_copies(void **state)
{
    (void)state;
    tsr_params *ps = store(3);
    tsr_param *w = tsr_params_find(ps, "w"), *c = tsr_params_find(ps, "count");
    w->value[0] = 4;
    assert_ok(tsr_params_need_averages(ps));
    w->value[0] = 8;
    c->value[0] = 10;
    assert_ok(tsr_params_average(ps, 0.75));
    assert_true(w->average[0] == 5);
    assert_true(c->average[0] == 2.5f);
    assert_fails(TSR_EARG, tsr_params_average(ps, 1.5));
    tsr_params_destroy(ps);
}

/* Expected: numpy.linspace for the warm-up and the cosine formula of the header. */
static void schedules_follow_their_formulas(void **state)
{
    (void)state;
    const tsr_schedule s = {
        .kind = TSR_SCHEDULE_COSINE, .peak = 1.0, .floor = 0.1, .warmup = 5, .total = 15};
    assert_ok(tsr_schedule_check(&s));
    static const double want[] = {0, 0.25, 0.5, 0.75, 1, 1, 0.9779754323328191};
    for (uint64_t i = 0; i < 7; i++)
        assert_true(fabs(tsr_schedule_at(&s, i) - want[i]) < 1e-12);
    assert_true(fabs(tsr_schedule_at(&s, 10) - 0.55) < 1e-12);
    assert_true(tsr_schedule_at(&s, 14) > 0.1);
    assert_true(tsr_schedule_at(&s, 15) == 0.1);
    assert_true(tsr_schedule_at(&s, 1000) == 0.1);
    const tsr_schedule one = {.kind = TSR_SCHEDULE_CONSTANT, .peak = 2.0, .warmup = 1, .total = 10};
    assert_true(tsr_schedule_at(&one, 0) == 0);
    assert_true(tsr_schedule_at(&one, 1) == 2);
    assert_true(tsr_schedule_at(&one, 99) == 2);
    const tsr_schedule none = {.kind = TSR_SCHEDULE_COSINE, .peak = 2.0, .total = 10};
    assert_true(tsr_schedule_at(&none, 0) == 2);
    const tsr_schedule all = {
        .kind = TSR_SCHEDULE_COSINE, .peak = 2.0, .floor = 0.5, .warmup = 10, .total = 10};
    assert_true(tsr_schedule_at(&all, 9) == 2);
    assert_true(tsr_schedule_at(&all, 10) == 0.5);
    const tsr_schedule bad = {
        .kind = TSR_SCHEDULE_COSINE, .peak = 2.0, .warmup = 11, .total = 10};
    assert_fails(TSR_ECONFIG, tsr_schedule_check(&bad));
    const tsr_schedule negative = {
        .kind = TSR_SCHEDULE_COSINE, .peak = -2.0, .warmup = 1, .total = 10};
    assert_fails(TSR_ECONFIG, tsr_schedule_check(&negative));
    tsr_schedule_kind kind;
    assert_ok(tsr_schedule_parse("constant", &kind));
    assert_int_equal(kind, TSR_SCHEDULE_CONSTANT);
    assert_fails(TSR_ECONFIG, tsr_schedule_parse("linear", &kind));
    assert_ok(tsr_schedule_parse("inverse_sqrt", &kind));
    assert_int_equal(kind, TSR_SCHEDULE_INVERSE_SQRT);
}

/* Expected: peak / sqrt((j + tau) / tau) after the warm-up, then numpy.linspace(last, floor, C). */
static void cool_downs_end_at_the_floor(void **state)
{
    (void)state;
    const tsr_schedule s = {.kind = TSR_SCHEDULE_INVERSE_SQRT,
                            .peak = 2,
                            .floor = 0.25,
                            .warmup = 3,
                            .total = 20,
                            .cooldown = 5,
                            .tau = 4};
    assert_ok(tsr_schedule_check(&s));
    assert_true(tsr_schedule_at(&s, 1) == 1);
    assert_true(tsr_schedule_at(&s, 2) == 2);
    assert_true(tsr_schedule_at(&s, 3) == 2);
    assert_true(fabs(tsr_schedule_at(&s, 15 - 1) - 2 / sqrt(15.0 / 4)) < 1e-12);
    assert_true(fabs(tsr_schedule_at(&s, 15) - 2 / sqrt(15.0 / 4)) < 1e-12);
    assert_true(fabs(tsr_schedule_at(&s, 17) - (2 / sqrt(15.0 / 4) + 0.25) / 2) < 1e-12);
    assert_true(fabs(tsr_schedule_at(&s, 19) - 0.25) < 1e-12);
    assert_true(tsr_schedule_at(&s, 20) == 0.25);
    tsr_schedule plain = s;
    plain.cooldown = 0;
    assert_true(fabs(tsr_schedule_at(&plain, 103) - 2 / sqrt(104.0 / 4)) < 1e-12);
    const tsr_schedule flat = {
        .kind = TSR_SCHEDULE_CONSTANT, .peak = 3, .total = 10, .cooldown = 1};
    assert_ok(tsr_schedule_check(&flat));
    assert_true(tsr_schedule_at(&flat, 8) == 3);
    assert_true(tsr_schedule_at(&flat, 9) == 0);
    tsr_schedule bad = s;
    bad.cooldown = 18;
    assert_fails(TSR_ECONFIG, tsr_schedule_check(&bad));
    bad = s;
    bad.tau = 0;
    assert_fails(TSR_ECONFIG, tsr_schedule_check(&bad));
    bad = s;
    bad.kind = TSR_SCHEDULE_COSINE;
    assert_fails(TSR_ECONFIG, tsr_schedule_check(&bad));
}

static const char *checkpoint_path(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/test_adamw_checkpoint.safetensors", build_folder());
    return path;
}

static void a_resumed_run_gives_the_same_bytes(void **state)
{
    (void)state;
    tsr_params *whole = store(100), *first = store(100), *second = store(100);
    for (uint64_t t = 1; t <= 6; t++)
        step(whole, t);
    for (uint64_t t = 1; t <= 3; t++)
        step(first, t);
    json_t *extra = json_pack("{s:f,s:[i,i]}", "loss", 0.1, "order", 3, 4), *back;
    assert_ok(tsr_checkpoint_save(first, checkpoint_path(), 3, extra));
    uint64_t at;
    assert_ok(tsr_checkpoint_restore(second, checkpoint_path(), &at, &back));
    assert_int_equal(at, 3);
    assert_true(json_equal(back, extra));
    for (uint64_t t = at + 1; t <= 6; t++)
        step(second, t);
    same_bytes(whole, second);
    /* Saving the same state again gives the same file. */
    char *x, *y;
    size_t nx, ny;
    assert_ok(tsr_file_read(checkpoint_path(), 1 << 20, &x, &nx));
    assert_ok(tsr_checkpoint_restore(second, checkpoint_path(), &at, NULL));
    assert_ok(tsr_checkpoint_save(second, checkpoint_path(), at, back));
    assert_ok(tsr_file_read(checkpoint_path(), 1 << 20, &y, &ny));
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    tsr_free(x);
    tsr_free(y);
    json_decref(extra);
    json_decref(back);
    tsr_params_destroy(whole);
    tsr_params_destroy(first);
    tsr_params_destroy(second);
}

static void a_checkpoint_of_another_model_is_refused(void **state)
{
    (void)state;
    tsr_params *a = store(4), *b = store(5);
    tsr_param *w = tsr_params_find(b, "w");
    uint64_t at = 77;
    w->value[0] = 9;
    step(a, 1);
    assert_ok(tsr_checkpoint_save(a, checkpoint_path(), 1, NULL));
    assert_fails(TSR_EMISMATCH, tsr_checkpoint_restore(b, checkpoint_path(), &at, NULL));
    assert_non_null(strstr(tsr_error(), "moment1.w"));
    assert_true(w->value[0] == 9 && at == 77);
    assert_null(w->moment1);
    assert_ok(tsr_checkpoint_save(a, checkpoint_path(), 1, NULL));
    json_t *none;
    assert_ok(tsr_checkpoint_restore(a, checkpoint_path(), &at, &none));
    assert_true(json_is_null(none));
    tsr_params_destroy(a);
    tsr_params_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_matches_pytorch),
        cmocka_unit_test(norm_is_global_and_clips),
        cmocka_unit_test(threads_do_not_change_bytes),
        cmocka_unit_test(averages_start_as_copies),
        cmocka_unit_test(schedules_follow_their_formulas),
        cmocka_unit_test(cool_downs_end_at_the_floor),
        cmocka_unit_test(a_resumed_run_gives_the_same_bytes),
        cmocka_unit_test(a_checkpoint_of_another_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

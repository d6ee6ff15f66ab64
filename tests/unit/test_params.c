/* SPDX-License-Identifier: Apache-2.0
 * The parameter store: order, names, flags, initial values that depend on the name alone. */
#include "testing.h"

#include "nn/params.h"

#include <math.h>

static void keeps_order_and_finds_by_name(void **state)
{
    (void)state;
    tsr_params *ps;
    assert_ok(tsr_params_create(&ps));
    assert_null(tsr_params_find(ps, "a"));
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "block.%d.weight", i);
        const size_t shape[] = {2, (size_t)i};
        assert_ok(tsr_params_add(ps, name, TSR_PARAM_TRAIN, 2, shape, NULL));
    }
    assert_int_equal(tsr_params_count(ps), 500);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "block.%d.weight", i);
        tsr_param *p = tsr_params_find(ps, name);
        assert_ptr_equal(p, tsr_params_at(ps, (size_t)i));
        assert_int_equal(p->count, 2 * i);
    }
    assert_int_equal(tsr_params_values(ps, 0), 499 * 500);
    assert_int_equal(tsr_params_values(ps, TSR_PARAM_BUFFER), 0);
    tsr_params_destroy(ps);
    tsr_params_destroy(NULL);
}

static void refuses_bad_tensors(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_param *p;
    const size_t shape[] = {3}, huge[] = {SIZE_MAX, 4};
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "encoder.proj.weight", 0, 1, shape, &p));
    assert_fails(TSR_EARG, tsr_params_add(ps, "encoder.proj.weight", 0, 1, shape, NULL));
    assert_fails(TSR_EARG, tsr_params_add(ps, "", 0, 1, shape, NULL));
    assert_fails(TSR_EARG, tsr_params_add(ps, "x", 0, TSR_MAX_DIMS + 1, shape, NULL));
    assert_fails(TSR_ELIMIT, tsr_params_add(ps, "x", 0, 2, huge, NULL));
    assert_fails(TSR_ENOENT, tsr_params_get(ps, "encoder.proj.wight", &p));
    assert_non_null(strstr(tsr_error(), "there is a \"encoder.proj.weight\""));
    assert_int_equal(tsr_params_count(ps), 1);
    tsr_params_destroy(ps);
}

static void grads_are_for_trained_tensors_only(void **state)
{
    (void)state;
    tsr_params *ps;
    tsr_param *w, *b;
    const size_t shape[] = {3};
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", TSR_PARAM_TRAIN, 1, shape, &w));
    assert_ok(tsr_params_add(ps, "b", TSR_PARAM_BUFFER, 1, shape, &b));
    w->value[1] = 5;
    assert_ok(tsr_params_need_grads(ps));
    assert_ok(tsr_params_need_moments(ps));
    assert_ok(tsr_params_need_averages(ps));
    assert_non_null(w->grad);
    assert_null(b->grad);
    assert_null(b->moment1);
    assert_non_null(b->average);
    assert_true(w->average[1] == 5);
    w->grad[2] = 1;
    tsr_params_zero_grads(ps);
    assert_true(w->grad[2] == 0);
    tsr_params_destroy(ps);
}

static float largest(const tsr_param *p)
{
    float m = 0;
    for (size_t i = 0; i < p->count; i++)
        m = fmaxf(m, fabsf(p->value[i]));
    return m;
}

static void initial_values_depend_on_the_name_alone(void **state)
{
    (void)state;
    tsr_params *a, *b;
    tsr_param *x, *y, *z;
    const size_t shape[] = {96, 64};
    assert_ok(tsr_params_create(&a));
    assert_ok(tsr_params_create(&b));
    assert_ok(tsr_params_add(b, "other", 0, 2, shape, &z));
    assert_ok(tsr_params_add(a, "w", 0, 2, shape, &x));
    assert_ok(tsr_params_add(b, "w", 0, 2, shape, &y));
    uint64_t before = x->version;
    tsr_param_init(x, TSR_INIT_XAVIER, 0, 7);
    tsr_param_init(z, TSR_INIT_XAVIER, 0, 7);
    tsr_param_init(y, TSR_INIT_XAVIER, 0, 7);
    assert_true(x->version > before);
    assert_memory_equal(x->value, y->value, x->count * sizeof(float));
    assert_memory_not_equal(x->value, z->value, x->count * sizeof(float));
    tsr_param_init(y, TSR_INIT_XAVIER, 0, 8);
    assert_memory_not_equal(x->value, y->value, x->count * sizeof(float));
    tsr_params_destroy(a);
    tsr_params_destroy(b);
}

static void rules_have_their_bounds(void **state)
{
    (void)state;
    static const struct {
        tsr_init rule;
        float arg;
        double bound;
    } rules[] = {
        {TSR_INIT_ZERO, 0, 0},
        {TSR_INIT_CONST, 3, 3},
        {TSR_INIT_UNIFORM, 0.5f, 0.5},
        {TSR_INIT_XAVIER, 0, 0.1936491673103708},  /* sqrt(6 / (96 + 64)) */
        {TSR_INIT_QKV, 3, 0.25},                   /* sqrt(6 / (32 + 64)) */
        {TSR_INIT_FAN_IN, 0, 0.125},               /* 1 / sqrt(64) */
        {TSR_INIT_FAN_IN, 16, 0.25},
        {TSR_INIT_KAIMING, 0, 0.30618621784789724}, /* sqrt(6 / 64) */
        {TSR_INIT_TRUNC, 0.02f, 0.04},
    };
    tsr_params *ps;
    tsr_param *p;
    const size_t shape[] = {96, 8, 8};
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "w", 0, 3, shape, &p));
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        tsr_param_init(p, rules[i].rule, rules[i].arg, 1);
        double m = largest(p);
        assert_true(m <= rules[i].bound + 1e-6 && m >= 0.99 * rules[i].bound);
    }
    tsr_param_init(p, TSR_INIT_NORMAL, 2, 1);
    double squares = 0;
    for (size_t i = 0; i < p->count; i++)
        squares += (double)p->value[i] * p->value[i];
    assert_true(fabs(squares / (double)p->count / 4 - 1) < 0.1);
    tsr_params_destroy(ps);
}

static void decay_follows_names(void **state)
{
    (void)state;
    static const char *const decays[] = {"encoder.blocks.0.mlp.fc1.weight", "cls_emb.weight",
                                         "encoder.layernorms.0.weight", "quantize.codes"};
    static const char *const not[] = {"encoder.blocks.0.norm1.weight", "encoder.norm_mlp.weight",
                                      "quant_proj.bias", "decoder.out_conv.0.gamma",
                                      "decoder.out_conv.0.norm.weight"};
    for (size_t i = 0; i < sizeof decays / sizeof decays[0]; i++)
        assert_true(tsr_param_decays(decays[i]));
    for (size_t i = 0; i < sizeof not / sizeof not[0]; i++)
        assert_false(tsr_param_decays(not[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_finds_by_name),
        cmocka_unit_test(refuses_bad_tensors),
        cmocka_unit_test(grads_are_for_trained_tensors_only),
        cmocka_unit_test(initial_values_depend_on_the_name_alone),
        cmocka_unit_test(rules_have_their_bounds),
        cmocka_unit_test(decay_follows_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Training the masked model: it learns, however steps are cut; it stops when numbers go bad; what
 * is saved comes back. */
#include "testing.h"
#include "tokencorpus.h"

#include "base/par.h"
#include "trainer/fmtrain.h"
#include "trainer/loader.h"
#include "trainer/policy.h"

#include <math.h>
#include <unistd.h>

enum { SAMPLES = 32 };

static char folder[512];
static tsr_fm_config config;
static tsr_policy *policy;
static tsr_loader *loader;
static const tsr_example *const *examples; /* SAMPLES of them, with their masks */

static int make(void **state)
{
    static const char mask[] = "{\"totals\": {\"inputs\": [8, 24], \"targets\": [8, 24]}}";
    json_t *v;
    char command[600];
    size_t n;
    (void)state;
    snprintf(folder, sizeof folder, "%s/test_fmtrain.d", build_folder());
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    const tc_spec s = {
        .folder = folder, .train = SAMPLES, .val = 1, .shard = 64, .crops = 1, .tokenizer = 7};
    if (system(command) != 0 || tc_write(&s) != TSR_OK)
        return 1;
    config = (tsr_fm_config){.dim = 64,
                             .encoder_depth = 2,
                             .decoder_depth = 2,
                             .heads = 1,
                             .mlp_ratio = 4,
                             .gated_mlp = 1,
                             .image_size = 64,
                             .patch_size = 16};
    for (int k = 0; k < TC_MODALITIES; k++) {
        const tsr_modality of = tc_modality(&s, k);
        tsr_mod m;
        tsr_mod_of_space(&of.space, &m);
        if (tsr_mods_add(&config.mods, &m) != TSR_OK)
            return 1;
    }
    if (tsr_json_parse(mask, sizeof mask - 1, "mask", &v) != TSR_OK ||
        tsr_policy_create(v, "test", &config.mods, &policy) != TSR_OK)
        return 1;
    json_decref(v);
    const tsr_feed feed = {.path = folder, .split = "train", .weight = 1};
    const tsr_loader_spec spec = {.mods = &config.mods,
                                  .feeds = &feed,
                                  .n_feeds = 1,
                                  .policy = policy,
                                  .batch = SAMPLES,
                                  .in_order = 1};
    return tsr_loader_open(&spec, &loader) != TSR_OK ||
           tsr_loader_batch(loader, 0, &examples, &n) != TSR_OK || n != SAMPLES;
}

static int forget(void **state)
{
    char command[600];
    (void)state;
    tsr_loader_close(loader);
    tsr_policy_destroy(policy);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static tsr_fmtrain_options options_of(size_t batch, size_t accumulate)
{
    tsr_fmtrain_options o = tsr_fmtrain_defaults();
    o.batch = batch;
    o.accumulate = accumulate;
    o.precision = TSR_PRECISION_FP32;
    o.loss = TSR_FM_LOSS_TOKEN;
    o.rate =
        (tsr_schedule){.kind = TSR_SCHEDULE_CONSTANT, .peak = 2e-3, .warmup = 10, .total = 1000};
    o.clip = 1;
    o.in_rows = tsr_policy_inputs(policy);
    o.out_rows = tsr_policy_targets(policy);
    for (size_t m = 0; m < config.mods.count; m++) {
        o.in_of[m] = tsr_policy_inputs_of(policy, m);
        o.out_of[m] = tsr_policy_targets_of(policy, m);
    }
    return o;
}

/* --- it learns --- */

/* Share of targets whose label has the largest logit. */
static double accuracy(tsr_fm *m, const tsr_fmtrain_options *o)
{
    tsr_fmnet_spec s = {.mode = TSR_FMNET_LOGITS,
                        .precision = o->precision,
                        .samples = SAMPLES,
                        .in_rows = o->in_rows * SAMPLES,
                        .out_rows = o->out_rows * SAMPLES};
    tsr_fmnet *net;
    size_t right = 0, all = 0;
    for (size_t i = 0; i < config.mods.count; i++) {
        s.in_of[i] = o->in_of[i] * SAMPLES;
        s.out_of[i] = o->out_of[i] * SAMPLES;
    }
    assert_ok(tsr_fmnet_create(m, &s, &net));
    assert_ok(tsr_fmnet_run(net, examples, SAMPLES, 1));
    for (size_t i = 0; i < config.mods.count; i++) {
        size_t rows, at = 0, v = config.mods.items[i].vocabulary;
        const float *logits = tsr_fmnet_logits(net, i, &rows);
        for (size_t e = 0; e < SAMPLES; e++)
            for (uint32_t r = 0; r < examples[e]->out[i].count; r++, at++) {
                size_t best = 0;
                for (size_t k = 1; k < v; k++)
                    if (logits[at * v + k] > logits[at * v + best])
                        best = k;
                right += (int32_t)best == examples[e]->out[i].labels[r];
                all++;
            }
        assert_int_equal(at, rows);
    }
    tsr_fmnet_destroy(net);
    assert_true(all > SAMPLES * 7);
    return (double)right / (double)all;
}

static void a_few_samples_are_learnt_by_heart(void **state)
{
    (void)state;
    tsr_fm *m;
    tsr_fmtrain *t;
    tsr_fmtrain_report r = {0}, first = {0};
    tsr_fmtrain_options o = options_of(SAMPLES, 1);
    double share = 0;
    assert_ok(tsr_fm_create(&config, 1, &m));
    assert_ok(tsr_fmtrain_create(m, &o, &t));
    for (int i = 0; i < 600 && share < 0.99; i++) {
        assert_ok(tsr_fmtrain_step(t, examples, SAMPLES, &r));
        if (i == 0)
            first = r;
        if (i % 50 == 49)
            share = accuracy(m, &o);
    }
    print_message("steps %d, loss %.4f, accuracy %.4f\n", (int)r.step + 1, r.loss, share);
    assert_true(share >= 0.99);
    /* It began as one that knows nothing. */
    for (size_t i = 0; i < config.mods.count; i++)
        if (first.count[i])
            assert_true(
                fabs(tsr_fmtrain_mean(&first, i) / log((double)config.mods.items[i].vocabulary) -
                     1) < 0.05);
    assert_int_equal(r.targets, first.targets);
    /* Evaluation sees the same, and changes nothing. */
    tsr_fmtrain_report a, b;
    assert_ok(tsr_fmtrain_evaluate(t, examples, SAMPLES, &a));
    assert_ok(tsr_fmtrain_evaluate(t, examples, SAMPLES, &b));
    assert_true(a.loss == b.loss && a.loss < first.loss / 10);
    assert_true(fabs(a.loss - tsr_fmtrain_mean_token(&a)) < 1e-5);
    tsr_fmtrain_destroy(t);
    tsr_fm_destroy(m);
}

/* --- steps cut into micro-batches --- */

static double distance(const tsr_fm *a, const tsr_fm *b)
{
    double most = 0;
    for (size_t i = 0; i < tsr_params_count(tsr_fm_params(a)); i++) {
        const tsr_param *p = tsr_params_at(tsr_fm_params(a), i);
        const tsr_param *q = tsr_params_at(tsr_fm_params(b), i);
        for (size_t k = 0; k < p->count; k++) {
            double d = fabs((double)p->value[k] - (double)q->value[k]);
            most = d > most ? d : most;
        }
    }
    return most;
}

/* Gradients agree to rounding; AdamW's first step is lr * sign(g), so the gradients are compared.
 */
static void micro_batches_add_up(void **state)
{
    (void)state;
    tsr_fm *m[2];
    tsr_fmtrain *t[2];
    tsr_fmtrain_report r[2];
    for (size_t i = 0; i < 2; i++) {
        const tsr_fmtrain_options o = options_of(i ? 8 : 16, i ? 2 : 1);
        assert_ok(tsr_fm_create(&config, 1, &m[i]));
        assert_ok(tsr_fmtrain_create(m[i], &o, &t[i]));
        for (size_t at = 0; at < 16; at += o.batch)
            assert_ok(tsr_fmtrain_micro(t[i], examples + at, o.batch));
    }
    double most = 0, scale = 0, norm[2];
    for (size_t i = 0; i < 2; i++) /* what is added up is not divided yet */
        assert_ok(tsr_grad_norm(tsr_fm_params(m[i]), &norm[i]));
    assert_true(norm[0] > 0 && norm[1] > 0);
    for (size_t i = 0; i < tsr_params_count(tsr_fm_params(m[0])); i++) {
        const tsr_param *p = tsr_params_at(tsr_fm_params(m[0]), i);
        const tsr_param *q = tsr_params_at(tsr_fm_params(m[1]), i);
        for (size_t k = 0; p->grad && k < p->count; k++) {
            double x = (double)p->grad[k] / norm[0], y = (double)q->grad[k] / norm[1];
            most = fmax(most, fabs(x - y));
            scale = fmax(scale, fabs(x));
        }
    }
    assert_true(most < 1e-5 * scale);
    for (size_t i = 0; i < 2; i++) /* the update knows what to divide by, and leaves nothing */
        assert_ok(tsr_fmtrain_update(t[i], &r[i]));
    assert_true(fabs(r[0].loss - r[1].loss) < 1e-5 * r[0].loss);
    assert_true(fabs(r[0].grad_norm - r[1].grad_norm) < 1e-4 * r[0].grad_norm);
    assert_int_equal(r[0].targets, r[1].targets);
    for (size_t i = 0; i < 2; i++) {
        assert_ok(tsr_grad_norm(tsr_fm_params(m[i]), &norm[i]));
        assert_true(norm[i] == 0);
        tsr_fmtrain_destroy(t[i]);
        tsr_fm_destroy(m[i]);
    }
}

/* --- the same bytes --- */

static char *checkpoint(void)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    return path;
}

static void run_steps(tsr_fmtrain *t, uint64_t until)
{
    while (tsr_fmtrain_steps(t) < until) {
        tsr_fmtrain_report r;
        size_t at = (size_t)tsr_fmtrain_steps(t) * 8 % SAMPLES;
        assert_ok(tsr_fmtrain_step(t, examples + at, 8, &r));
    }
}

static void threads_and_resuming_leave_the_bytes(void **state)
{
    (void)state;
    tsr_fmtrain_options o = options_of(4, 2);
    tsr_fm *m[3];
    tsr_fmtrain *t[3];
    json_t *extra = json_pack("{si}", "at", 5), *back;
    o.average = 0.9;
    o.precision = tsr_precision_default();
    for (size_t i = 0; i < 3; i++) {
        assert_ok(tsr_fm_create(&config, i == 2 ? 99 : 1, &m[i]));
        assert_ok(tsr_fmtrain_create(m[i], &o, &t[i]));
    }
    tsr_par_set_threads(1);
    run_steps(t[0], 10);
    tsr_par_set_threads(2);
    run_steps(t[1], 5);
    assert_ok(tsr_fmtrain_save(t[1], checkpoint(), extra));
    assert_ok(tsr_fmtrain_restore(t[2], checkpoint(), &back));
    assert_true(json_equal(back, extra));
    assert_int_equal(tsr_fmtrain_steps(t[2]), 5);
    run_steps(t[1], 10);
    tsr_par_set_threads(1);
    run_steps(t[2], 10);
    tsr_par_set_threads(0);
    assert_true(distance(m[0], m[1]) == 0);
    assert_true(distance(m[0], m[2]) == 0);
    /* Averages lag behind, and are exchanged there and back. */
    tsr_fmtrain_swap(t[2]);
    assert_true(distance(m[0], m[2]) > 0);
    tsr_fmtrain_swap(t[0]);
    assert_true(distance(m[0], m[2]) == 0);
    tsr_fmtrain_swap(t[2]);
    assert_true(distance(m[1], m[2]) == 0);
    json_decref(extra);
    json_decref(back);
    for (size_t i = 0; i < 3; i++) {
        tsr_fmtrain_destroy(t[i]);
        tsr_fm_destroy(m[i]);
    }
}

/* --- numbers go bad --- */

static void bad_numbers_stop_the_run_before_the_update(void **state)
{
    (void)state;
    tsr_fmtrain_options o = options_of(8, 1);
    tsr_fm *m, *same;
    tsr_fmtrain *t;
    tsr_fmtrain_report r;
    assert_ok(tsr_fm_create(&config, 1, &m));
    assert_ok(tsr_fm_create(&config, 1, &same));
    assert_ok(tsr_fmtrain_create(m, &o, &t));
    run_steps(t, 1); /* rate 0 */
    assert_true(distance(m, same) == 0);
    tsr_param *head = tsr_params_find(tsr_fm_params(m), "decoder_embeddings.rgb.to_logits.weight");
    assert_non_null(head);
    for (size_t k = 0; k < head->count; k++)
        head->value[k] *= 10000;
    tsr_param_touch(head);
    assert_fails(TSR_ENUMERIC, tsr_fmtrain_step(t, examples, 8, &r));
    assert_non_null(strstr(tsr_error(), "exploded"));
    assert_non_null(strstr(tsr_error(), "modality rgb"));
    assert_non_null(strstr(tsr_error(), "step 1"));
    head->value[0] = NAN;
    tsr_param_touch(head);
    assert_fails(TSR_ENUMERIC, tsr_fmtrain_step(t, examples, 8, &r));
    assert_non_null(strstr(tsr_error(), "modality rgb"));
    assert_int_equal(tsr_fmtrain_steps(t), 1);
    tsr_fmtrain_destroy(t);
    o.skip_bad = 1;
    o.explode = 0;
    assert_ok(tsr_fmtrain_create(m, &o, &t));
    for (int i = 0; i < 100; i++) {
        assert_ok(tsr_fmtrain_step(t, examples, 1, &r));
        assert_true(r.skipped && isnan(r.grad_norm));
    }
    assert_fails(TSR_ENUMERIC, tsr_fmtrain_step(t, examples, 1, &r));
    tsr_fmtrain_destroy(t);
    tsr_fm_destroy(m);
    /* Large gradients can be left out. */
    o.skip_bad = 0;
    o.skip_above = 1e-6;
    o.rate.warmup = 0;
    assert_ok(tsr_fm_create(&config, 1, &m));
    assert_ok(tsr_fmtrain_create(m, &o, &t));
    assert_ok(tsr_fmtrain_step(t, examples, 8, &r));
    assert_true(r.skipped && r.grad_norm > 1e-6);
    assert_true(distance(m, same) == 0);
    tsr_fmtrain_destroy(t);
    tsr_fm_destroy(m);
    tsr_fm_destroy(same);
}

static void options_are_checked(void **state)
{
    (void)state;
    tsr_fmtrain_options o = options_of(8, 1), bad = o;
    tsr_fm *m;
    tsr_fmtrain *t;
    tsr_fmtrain_report r;
    tsr_fmtrain_cost cost;
    assert_ok(tsr_fm_create(&config, 1, &m));
    bad.batch = 0;
    assert_fails(TSR_ECONFIG, tsr_fmtrain_create(m, &bad, &t));
    bad = o;
    bad.average = 1;
    assert_fails(TSR_ECONFIG, tsr_fmtrain_create(m, &bad, &t));
    bad = o;
    bad.weights[0] = -1;
    assert_fails(TSR_ECONFIG, tsr_fmtrain_create(m, &bad, &t));
    bad = o;
    bad.rate.warmup = 2000;
    assert_fails(TSR_ECONFIG, tsr_fmtrain_create(m, &bad, &t));
    assert_ok(tsr_fmtrain_create(m, &o, &t));
    assert_fails(TSR_EARG, tsr_fmtrain_step(t, examples, 9, &r));
    assert_fails(TSR_EARG, tsr_fmtrain_step(t, examples, 0, &r));
    assert_fails(TSR_EARG, tsr_fmtrain_update(t, &r));
    assert_ok(tsr_fmtrain_micro(t, examples, 8));
    assert_fails(TSR_EARG, tsr_fmtrain_micro(t, examples, 8)); /* accumulate is 1 */
    tsr_fmtrain_drop(t);
    assert_fails(TSR_EARG, tsr_fmtrain_update(t, &r));
    assert_int_equal(tsr_fmtrain_steps(t), 0);
    assert_ok(tsr_fmtrain_plan(t, &cost));
    assert_true(cost.flops > 1e6 && cost.net_bytes > 1000);
    assert_int_equal(cost.weight_bytes,
                     4 * (tsr_params_values(tsr_fm_params(m), 0) +
                          3 * tsr_params_values(tsr_fm_params(m), TSR_PARAM_TRAIN)));
    tsr_fmtrain_destroy(t);
    tsr_fm_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_samples_are_learnt_by_heart),
        cmocka_unit_test(micro_batches_add_up),
        cmocka_unit_test(threads_and_resuming_leave_the_bytes),
        cmocka_unit_test(bad_numbers_stop_the_run_before_the_update),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests_name("fmtrain", tests, make, forget);
}

/* SPDX-License-Identifier: Apache-2.0
 * The masked model as a graph: start losses, gradients, weights of losses, limits. */
#include "fmtest.h"

#include <math.h>

static tsr_fm *model_of(int biased, uint32_t ids, int shared)
{
    tsr_fm_config c = fmtest_config(biased, ids);
    tsr_fm *m;
    c.shared_vocabulary = shared;
    assert_ok(tsr_fm_create(&c, 7, &m));
    return m;
}

static tsr_fmnet *net_of(tsr_fm *m, tsr_fmnet_mode mode, tsr_precision precision)
{
    tsr_fmnet_spec s = fmtest_spec(tsr_fm_get_config(m), mode, precision, FMTEST_EXAMPLES);
    tsr_fmnet *n;
    assert_ok(tsr_fmnet_create(m, &s, &n));
    return n;
}

static double mean_nll(const tsr_fmnet *n, size_t m)
{
    size_t rows;
    const float *nll = tsr_fmnet_nll(n, m, &rows);
    double sum = 0.0;
    for (size_t r = 0; r < rows; r++)
        sum += (double)nll[r];
    return rows ? sum / (double)rows : -1.0;
}

/* Each modality starts at ln V, also where the vocabulary is small. */
static void starts_at_ln_v(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++) {
        tsr_fm *m = model_of(form == 1, form == 0 ? 64 : 1000, form == 2);
        const tsr_fm_config *c = tsr_fm_get_config(m);
        tsr_fmnet *n = net_of(m, TSR_FMNET_LOSS, TSR_PRECISION_BF16);
        double mean[TEST_MODS] = {0}, v;
        for (uint64_t seed = 0; seed < 6; seed++) {
            fmtest_batch b;
            fmtest_batch_init(&b, &c->mods, seed, 12);
            assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
            for (size_t k = 0; k < TEST_MODS; k++)
                mean[k] += c->mods.items[k].output ? mean_nll(n, k) / 6.0 : 0.0;
            fmtest_batch_clear(&b);
        }
        for (size_t k = 0; k < TEST_MODS; k++) {
            v = form == 2 ? (double)tsr_fm_vocabulary(c) : (double)c->mods.items[k].vocabulary;
            if (c->mods.items[k].output && fabs(mean[k] / log(v) - 1.0) > 0.02)
                fail_msg("form %d: %s starts at %.4f, expected %.4f", form, c->mods.items[k].name,
                         mean[k], log(v));
        }
        tsr_fmnet_destroy(n);
        tsr_fm_destroy(m);
    }
}

static double loss_of(tsr_fmnet *n, const fmtest_batch *b)
{
    assert_ok(tsr_fmnet_run(n, b->list, FMTEST_EXAMPLES, 1.0));
    return tsr_fmnet_loss(n);
}

/* The derivative along the gradient of one tensor, by central differences of the loss. */
static void check_gradient(tsr_fmnet *n, const fmtest_batch *b, tsr_param *p)
{
    double norm = 0.0, along;
    for (size_t i = 0; i < p->count; i++)
        norm += (double)p->grad[i] * (double)p->grad[i];
    norm = sqrt(norm);
    assert_true(norm > 0.0);
    float *kept = malloc(p->count * sizeof *kept), *grad = malloc(p->count * sizeof *grad);
    memcpy(kept, p->value, p->count * sizeof *kept);
    memcpy(grad, p->grad, p->count * sizeof *grad);
    double h = 4e-3, side[2];
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < p->count; i++)
            p->value[i] = kept[i] + (float)((s ? h : -h) * (double)grad[i] / norm);
        tsr_param_touch(p);
        side[s] = loss_of(n, b);
    }
    along = (side[1] - side[0]) / (2.0 * h);
    memcpy(p->value, kept, p->count * sizeof *kept);
    tsr_param_touch(p);
    if (fabs(along - norm) > 0.01 * norm + 5e-5)
        fail_msg("%s: gradient of length %g, differences give %g", p->name, norm, along);
    free(kept);
    free(grad);
}

static void gradients_are_differences(void **state)
{
    (void)state;
    for (int form = 0; form < 3; form++) {
        tsr_fm *m = model_of(form == 1, 30, form == 2);
        tsr_params *ps = tsr_fm_params(m);
        tsr_fmnet *train = net_of(m, TSR_FMNET_TRAIN, TSR_PRECISION_FP32);
        tsr_fmnet *loss = net_of(m, TSR_FMNET_LOSS, TSR_PRECISION_FP32);
        size_t checked = 0;
        fmtest_batch b;
        fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 3, 12);
        assert_ok(tsr_fmnet_run(train, b.list, FMTEST_EXAMPLES, 1.0));
        assert_float_equal(tsr_fmnet_loss(train), loss_of(loss, &b), 1e-6);
        for (size_t i = 0; i < tsr_params_count(ps); i++) {
            tsr_param *p = tsr_params_at(ps, i);
            int zero =
                strstr(p->name, "k_norm.bias") != NULL; /* moves all scores of a query alike */
            if (!(p->flags & TSR_PARAM_TRAIN) || zero)
                continue;
            check_gradient(loss, &b, p);
            checked++;
        }
        assert_true(checked > 40);
        fmtest_batch_clear(&b);
        tsr_fmnet_destroy(train);
        tsr_fmnet_destroy(loss);
        tsr_fm_destroy(m);
    }
}

/* The loss is what its definition says of the losses of the rows, and gradients follow it. */
static void losses_are_weighted(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0, 30, 0);
    const tsr_fm_config *c = tsr_fm_get_config(m);
    const float weights[TEST_MODS] = {1.0f, 0.5f, 2.0f, 0.0f, 1.0f, 1.0f};
    fmtest_batch b;
    fmtest_batch_init(&b, &c->mods, 3, 12);
    for (int token = 0; token < 2; token++) {
        tsr_fmnet_spec s = fmtest_spec(c, TSR_FMNET_TRAIN, TSR_PRECISION_FP32, FMTEST_EXAMPLES);
        tsr_fmnet *n;
        double expected = 0.0, rows_all = 0.0;
        s.loss = token ? TSR_FM_LOSS_TOKEN : TSR_FM_LOSS_MODALITY;
        s.weights = weights;
        assert_ok(tsr_fmnet_create(m, &s, &n));
        assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 0.5));
        for (size_t k = 0; k < TEST_MODS; k++) {
            size_t rows;
            tsr_fmnet_nll(n, k, &rows);
            double mean = mean_nll(n, k);
            expected += rows ? (double)weights[k] * mean * (token ? (double)rows : 0.25) : 0.0;
            rows_all += (double)rows;
        }
        expected /= token ? rows_all : 1.0;
        assert_float_equal(tsr_fmnet_loss(n), expected, 1e-9);
        tsr_fmnet_destroy(n);
    }
    /* label's weight is 0 */
    tsr_param *p = tsr_params_find(tsr_fm_params(m), "decoder_embeddings.label.to_logits.weight");
    for (size_t i = 0; i < p->count; i++)
        assert_true(p->grad[i] == 0.0f);
    fmtest_batch_clear(&b);
    tsr_fm_destroy(m);
}

/* Gradients are added, times the scale: twice at a half is once. */
static void gradients_add_up(void **state)
{
    (void)state;
    tsr_fm *m = model_of(1, 30, 0);
    tsr_params *ps = tsr_fm_params(m);
    tsr_fmnet *n = net_of(m, TSR_FMNET_TRAIN, TSR_PRECISION_FP32);
    tsr_param *p = tsr_params_find(ps, "encoder.1.mlp.fc1.weight");
    fmtest_batch b;
    fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 4, 12);
    assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
    float once = p->grad[17];
    tsr_params_zero_grads(ps);
    assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 0.5));
    assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 0.5));
    assert_true(once != 0.0f);
    assert_float_equal(p->grad[17], once, 1e-6f * fabsf(once) + 1e-9f);
    assert_true(tsr_fmnet_flops(n) > 1e6);
    fmtest_batch_clear(&b);
    tsr_fmnet_destroy(n);
    tsr_fm_destroy(m);
}

/* Empty sides: no inputs at all, no targets at all, no samples. */
static void empty_batches_run(void **state)
{
    (void)state;
    for (int biased = 0; biased < 2; biased++) {
        tsr_fm *m = model_of(biased, 30, 0);
        tsr_fmnet *n = net_of(m, TSR_FMNET_TRAIN, TSR_PRECISION_FP32);
        fmtest_batch b;
        fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 4, 12);
        for (size_t i = 0; i < FMTEST_EXAMPLES; i++)
            memset(b.items[i].in, 0, TEST_MODS * sizeof *b.items[i].in);
        assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
        assert_true(isfinite(tsr_fmnet_loss(n)) && tsr_fmnet_loss(n) > 1.0);
        for (size_t i = 0; i < FMTEST_EXAMPLES; i++)
            memset(b.items[i].out, 0, TEST_MODS * sizeof *b.items[i].out);
        assert_ok(tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
        assert_true(tsr_fmnet_loss(n) == 0.0);
        assert_ok(tsr_fmnet_run(n, b.list, 0, 1.0));
        assert_true(tsr_fmnet_loss(n) == 0.0);
        fmtest_batch_clear(&b);
        tsr_fmnet_destroy(n);
        tsr_fm_destroy(m);
    }
}

/* Losses of rows are -log softmax of the logits at the labels; with a shared vocabulary the softmax
 * is over all ids, so they are more than that. */
static void losses_are_of_the_logits(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        tsr_fm *m = model_of(0, 30, shared);
        const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
        tsr_fmnet *loss = net_of(m, TSR_FMNET_LOSS, TSR_PRECISION_FP32);
        tsr_fmnet *logits = net_of(m, TSR_FMNET_LOGITS, TSR_PRECISION_FP32);
        fmtest_batch b;
        fmtest_batch_init(&b, mods, 8, 12);
        assert_ok(tsr_fmnet_run(loss, b.list, FMTEST_EXAMPLES, 1.0));
        assert_ok(tsr_fmnet_run(logits, b.list, FMTEST_EXAMPLES, 1.0));
        for (size_t k = 0; k < TEST_MODS; k++) {
            size_t rows, same, row = 0, v = mods->items[k].vocabulary;
            const float *nll = tsr_fmnet_nll(loss, k, &rows);
            const float *x = tsr_fmnet_logits(logits, k, &same);
            assert_int_equal(rows, same);
            for (size_t i = 0; i < FMTEST_EXAMPLES; i++)
                for (size_t r = 0; r < b.items[i].out[k].count; r++, row++) {
                    double sum = 0.0, own;
                    for (size_t id = 0; id < v; id++)
                        sum += exp((double)x[row * v + id]);
                    own = log(sum) - (double)x[row * v + (size_t)b.items[i].out[k].labels[r]];
                    if (shared)
                        assert_true((double)nll[row] > own);
                    else
                        assert_float_equal(nll[row], own, 1e-5);
                }
            assert_int_equal(row, rows);
        }
        fmtest_batch_clear(&b);
        tsr_fmnet_destroy(loss);
        tsr_fmnet_destroy(logits);
        tsr_fm_destroy(m);
    }
}

/* Ranks beyond a table that was cut short count as 0, on the target side only. */
static void positions_wrap(void **state)
{
    (void)state;
    double losses[2];
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        tsr_fm_config c = fmtest_config(0, 30);
        tsr_fm *m;
        fmtest_batch b;
        size_t longest = 0;
        c.mods.items[CAPTION].wrap = by_hand ? 0 : 3;
        assert_ok(tsr_fm_create(&c, 7, &m));
        fmtest_batch_init(&b, &c.mods, 4, 12);
        for (size_t i = 0; i < FMTEST_EXAMPLES; i++) {
            tsr_rows *r = &b.items[i].out[CAPTION];
            longest = r->count > longest ? r->count : longest;
            for (size_t k = 3; by_hand && k < r->count; k++)
                r->positions[k] = 0;
        }
        assert_true(longest > 4);
        tsr_fmnet *n = net_of(m, TSR_FMNET_LOSS, TSR_PRECISION_FP32);
        losses[by_hand] = loss_of(n, &b);
        fmtest_batch_clear(&b);
        tsr_fmnet_destroy(n);
        tsr_fm_destroy(m);
    }
    assert_true(losses[0] == losses[1]);
}

static void refuses_bad_rows(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0, 30, 0);
    tsr_fmnet *n = net_of(m, TSR_FMNET_LOSS, TSR_PRECISION_FP32);
    fmtest_batch b;
    fmtest_batch_init(&b, &tsr_fm_get_config(m)->mods, 5, 12);
    tsr_rows *in = &b.items[1].in[DEPTH], *out = &b.items[1].out[CAPTION];
    assert_true(in->count > 0 && out->count > 0);
    double before = loss_of(n, &b);
    int32_t *places[] = {&in->ids[0], &in->positions[0], &out->labels[0], &out->ids[0],
                         &out->positions[0]};
    const int32_t limits[] = {30, 12, 300, 300, 512};
    for (size_t i = 0; i < 5; i++) {
        int32_t kept = *places[i];
        *places[i] = limits[i];
        assert_fails(TSR_EARG, tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
        *places[i] = -1;
        assert_fails(TSR_EARG, tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
        *places[i] = kept;
    }
    uint32_t count = in->count;
    in->count = 1000;
    assert_fails(TSR_EARG, tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
    in->count = count;
    b.items[0].modalities = 2;
    assert_fails(TSR_EARG, tsr_fmnet_run(n, b.list, FMTEST_EXAMPLES, 1.0));
    b.items[0].modalities = TEST_MODS;
    assert_true(loss_of(n, &b) == before);
    fmtest_batch_clear(&b);
    tsr_fmnet_destroy(n);
    tsr_fm_destroy(m);
}

static void refuses_bad_specs(void **state)
{
    (void)state;
    tsr_fm *m = model_of(0, 30, 0);
    tsr_fmnet_spec good = fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_LOSS, TSR_PRECISION_FP32, 2);
    tsr_fmnet_spec s = good;
    tsr_fmnet *n;
    s.out_of[PIXELS] = 4;
    assert_fails(TSR_EARG, tsr_fmnet_create(m, &s, &n));
    s = good;
    s.in_of[TEST_MODS] = 1;
    assert_fails(TSR_EARG, tsr_fmnet_create(m, &s, &n));
    s = good;
    s.in_rows = 0;
    assert_fails(TSR_EARG, tsr_fmnet_create(m, &s, &n));
    tsr_fm_destroy(m);
}

static void refuses_bad_configurations(void **state)
{
    (void)state;
    tsr_fm *m;
    tsr_fm_config good = fmtest_config(0, 30), c = good;
    assert_ok(tsr_fm_config_check(&good));
    c.heads = 5;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.encoder_depth = 0;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.mlp_ratio = 0.0;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.mods.items[PIXELS].output = 1;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.mods.items[DEPTH].vocabulary = 0;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.mods.items[DEPTH].positions = 3;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    c = good;
    c.mods.count = 0;
    assert_fails(TSR_ECONFIG, tsr_fm_create(&c, 1, &m));
    assert_ok(tsr_fm_preset("fm_large_24e_24d_swiglu_qknorm_nobias", &c));
    assert_true(c.dim == 1024 && c.heads == 16 && c.qk_norm && c.gated_mlp && !c.gelu);
    assert_int_equal(tsr_fm_hidden(&c), 2730);
    assert_ok(tsr_fm_preset("tiny", &c));
    assert_true(c.dim == 384 && c.encoder_depth == 6 && !c.qkv_bias);
    assert_fails(TSR_ECONFIG, tsr_fm_preset("huge", &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_at_ln_v),      cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(losses_are_weighted), cmocka_unit_test(gradients_add_up),
        cmocka_unit_test(empty_batches_run),   cmocka_unit_test(losses_are_of_the_logits),
        cmocka_unit_test(positions_wrap),      cmocka_unit_test(refuses_bad_rows),
        cmocka_unit_test(refuses_bad_specs),   cmocka_unit_test(refuses_bad_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

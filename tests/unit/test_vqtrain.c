/* SPDX-License-Identifier: Apache-2.0
 * Training: a tiny VQ-VAE learns a handful of pictures; threads and interruptions change no byte. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "vqvae/vqtrain.h"

#include <math.h>

enum { SIDE = 16, COUNT = 8, PIXELS = SIDE * SIDE };

static tsr_vqvae_config tiny(void)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    c.image_size = SIDE;
    c.patch_size = 4;
    c.enc_dim = c.dec_dim = 32;
    c.enc_depth = c.dec_depth = 1;
    c.enc_heads = c.dec_heads = 2;
    c.codebook_size = 32;
    c.latent_dim = 8;
    c.post_mlp = 1;
    c.ema_decay = 0.9;
    return c;
}

static tsr_vqtrain_options quick(uint64_t steps)
{
    tsr_vqtrain_options o = tsr_vqtrain_defaults();
    o.batch = COUNT;
    o.precision = TSR_PRECISION_FP32;
    o.rate = (tsr_schedule){.kind = TSR_SCHEDULE_CONSTANT, .peak = 3e-3, .warmup = 5, .total = steps};
    o.dead_code_coef = 8;
    return o;
}

/* Squares of a colour on a ground of another. */
static void draw(float pixels[COUNT * 3 * PIXELS], int32_t labels[COUNT * PIXELS])
{
    tsr_rng r;
    tsr_rng_init(&r, 8, TSR_RNG_TEST, 0);
    for (size_t n = 0; n < COUNT; n++) {
        float colour[2][3];
        for (int i = 0; i < 6; i++)
            colour[i / 3][i % 3] = tsr_rng_range(&r, -1, 1);
        size_t top = tsr_rng_below(&r, 8), left = tsr_rng_below(&r, 8);
        for (size_t i = 0; i < PIXELS; i++) {
            size_t y = i / SIDE, x = i % SIDE;
            int in = y >= top && y < top + 8 && x >= left && x < left + 8;
            labels[n * PIXELS + i] = in ? 1 + (int32_t)(n % 3) : 0;
            for (size_t c = 0; c < 3; c++)
                pixels[(n * 3 + c) * PIXELS + i] = colour[in][c];
        }
    }
}

static float pixels[COUNT * 3 * PIXELS];
static int32_t labels[COUNT * PIXELS];

static void learns(const tsr_vqvae_config *c, const tsr_vqtrain_options *o,
                   const tsr_vqtrain_batch *b, double factor)
{
    tsr_vqvae *m;
    tsr_vqtrain *t;
    tsr_vqtrain_report first = {0}, r = {0};
    assert_ok(tsr_vqvae_create(c, 1, &m));
    assert_ok(tsr_vqtrain_create(m, o, &t));
    for (uint64_t i = 0; i < o->rate.total; i++) {
        assert_ok(tsr_vqtrain_step(t, b, &r));
        assert_int_equal(r.step, i);
        assert_true(r.grad_norm > 0 && r.perplexity >= 1);
        if (i == 0)
            first = r;
    }
    assert_true(first.rate == 0);
    assert_int_equal(tsr_vqtrain_steps(t), o->rate.total);
    print_message("loss %.4f -> %.4f, %zu codes, perplexity %.1f\n", first.reconstruction,
                  r.reconstruction, r.codes_used, r.perplexity);
    assert_true(r.reconstruction < factor * first.reconstruction);
    tsr_vqtrain_destroy(t);
    tsr_vqvae_destroy(m);
}

static void pictures_are_learned(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    const tsr_vqtrain_options o = quick(150);
    const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels};
    learns(&c, &o, &b, 0.25);
}

static void every_quantizer_learns(void **state)
{
    (void)state;
    static const char *const kinds[] = {"euclidean", "kmeans", "memcodes", "fsq"};
    const tsr_vqtrain_options o = quick(100);
    const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels};
    for (int i = 0; i < 4; i++) {
        tsr_vqvae_config c = tiny();
        c.norm_codes = i != 0;
        c.kmeans_init = i == 1;
        if (i >= 2)
            strcpy(c.quant_type, kinds[i]);
        c.num_codebooks = i == 2 ? 4 : 1;
        strcpy(c.levels, i == 3 ? "5x5x5" : "");
        print_message("%s: ", kinds[i]);
        learns(&c, &o, &b, 0.5);
    }
}

static void labels_are_learned(void **state)
{
    (void)state;
    tsr_vqvae_config c = tiny();
    tsr_vqtrain_options o = quick(60);
    const tsr_vqtrain_batch b = {.count = COUNT, .labels = labels};
    c.n_labels = 4;
    c.n_channels = 6;
    o.loss = TSR_VQ_CROSS_ENTROPY;
    learns(&c, &o, &b, 0.3);
}

static void every_loss_learns(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels};
    tsr_vqtrain_options o = quick(80);
    o.loss = TSR_VQ_L1;
    learns(&c, &o, &b, 0.7);
    o.loss = TSR_VQ_SMOOTH_L1;
    learns(&c, &o, &b, 0.5);
}

static void vectors_are_learned(void **state)
{
    (void)state;
    tsr_vqvae_config c = tiny();
    tsr_vqtrain_options o = quick(100);
    const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels};
    strcpy(c.enc_type, "BottleneckMLP/B_2-Wi_32");
    strcpy(c.dec_type, "BottleneckMLP/B_2-Wi_32");
    strcpy(c.quant_type, "memcodes");
    c.n_channels = 12;
    c.num_codebooks = 4;
    learns(&c, &o, &b, 0.7);
}

/* --- bytes ------------------------------------------------------------------------------------- */

static void same_model(tsr_vqvae *a, tsr_vqvae *b)
{
    for (size_t i = 0; i < tsr_params_count(tsr_vqvae_params(a)); i++) {
        const tsr_param *p = tsr_params_at(tsr_vqvae_params(a), i);
        const tsr_param *q = tsr_params_at(tsr_vqvae_params(b), i);
        if (memcmp(p->value, q->value, p->count * sizeof(float)) != 0)
            fail_msg("%s differs", p->name);
        if (p->average && memcmp(p->average, q->average, p->count * sizeof(float)) != 0)
            fail_msg("average of %s differs", p->name);
    }
}

static void threads_do_not_change_bytes(void **state)
{
    (void)state;
    static const char *const kinds[] = {"lucid", "memcodes"};
    for (int k = 0; k < 2; k++) {
        tsr_vqvae_config c = tiny();
        const tsr_vqtrain_options o = quick(9);
        const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels};
        tsr_vqvae *m[2];
        strcpy(c.quant_type, kinds[k]);
        c.num_codebooks = k ? 2 : 1;
        for (int i = 0; i < 2; i++) {
            tsr_vqtrain *t;
            tsr_vqtrain_report r;
            tsr_par_set_threads(i + 1);
            assert_ok(tsr_vqvae_create(&c, 1, &m[i]));
            assert_ok(tsr_vqtrain_create(m[i], &o, &t));
            for (int step = 0; step < 7; step++)
                assert_ok(tsr_vqtrain_step(t, &b, &r));
            tsr_vqtrain_destroy(t);
        }
        tsr_par_set_threads(0);
        same_model(m[0], m[1]);
        tsr_vqvae_destroy(m[0]);
        tsr_vqvae_destroy(m[1]);
    }
}

static void run_steps(tsr_vqtrain *t, uint64_t until)
{
    while (tsr_vqtrain_steps(t) < until) {
        tsr_vqtrain_report r;
        size_t first = tsr_vqtrain_steps(t) % 3; /* batches differ from step to step */
        const tsr_vqtrain_batch b = {.count = COUNT - first,
                                     .pixels = pixels + first * 3 * PIXELS};
        assert_ok(tsr_vqtrain_step(t, &b, &r));
    }
}

static void a_resumed_run_gives_the_same_bytes(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    tsr_vqtrain_options o = quick(20);
    tsr_vqvae *whole, *part, *rest;
    tsr_vqtrain *t, *u;
    char path[512];
    snprintf(path, sizeof path, "%s/test_vqtrain.safetensors", build_folder());
    o.average = 0.9;
    assert_ok(tsr_vqvae_create(&c, 1, &whole));
    assert_ok(tsr_vqtrain_create(whole, &o, &t));
    run_steps(t, 8);

    assert_ok(tsr_vqvae_create(&c, 1, &part));
    assert_ok(tsr_vqtrain_create(part, &o, &u));
    run_steps(u, 3);
    json_t *note = json_pack("{s:i}", "epoch", 2), *back;
    assert_ok(tsr_vqtrain_save(u, path, note));
    tsr_vqtrain_destroy(u);
    tsr_vqvae_destroy(part);

    assert_ok(tsr_vqvae_create(&c, 99, &rest)); /* other weights: all must come from the file */
    assert_ok(tsr_vqtrain_create(rest, &o, &u));
    assert_ok(tsr_vqtrain_restore(u, path, &back));
    assert_true(json_equal(note, back));
    assert_int_equal(tsr_vqtrain_steps(u), 3);
    run_steps(u, 8);
    same_model(whole, rest);
    assert_memory_equal(tsr_vqtrain_usage(t, 0), tsr_vqtrain_usage(u, 0), 32 * sizeof(uint64_t));
    json_decref(note);
    json_decref(back);
    tsr_vqtrain_destroy(t);
    tsr_vqtrain_destroy(u);
    tsr_vqvae_destroy(whole);
    tsr_vqvae_destroy(rest);
}

/* Invalid pixels influence nothing but through what the encoder sees. */
static void invalid_pixels_do_not_count(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    const tsr_vqtrain_options o = quick(5);
    static uint8_t valid[COUNT * PIXELS];
    static float targets[2][COUNT * 3 * PIXELS];
    tsr_vqvae *m[2];
    for (size_t i = 0; i < COUNT * PIXELS; i++)
        valid[i] = i % SIDE < 10;
    for (size_t i = 0; i < COUNT * 3 * PIXELS; i++) {
        targets[0][i] = pixels[i];
        targets[1][i] = i % SIDE < 10 ? pixels[i] : 1e6f;
    }
    for (int i = 0; i < 2; i++) {
        tsr_vqtrain *t;
        tsr_vqtrain_report r;
        const tsr_vqtrain_batch b = {.count = COUNT, .pixels = pixels, .targets = targets[i],
                                     .valid = valid};
        assert_ok(tsr_vqvae_create(&c, 1, &m[i]));
        assert_ok(tsr_vqtrain_create(m[i], &o, &t));
        for (int step = 0; step < 3; step++)
            assert_ok(tsr_vqtrain_step(t, &b, &r));
        uint64_t used = 0;
        for (size_t k = 0; k < 32; k++)
            used += tsr_vqtrain_usage(t, 0)[k];
        assert_int_equal(used, 3 * COUNT * 4 * 3); /* 3 of 4 columns of patches hold valid pixels */
        assert_int_equal(tsr_vqtrain_usage(t, 1)[0], 0);
        tsr_vqtrain_destroy(t);
    }
    same_model(m[0], m[1]);
    tsr_vqvae_destroy(m[0]);
    tsr_vqvae_destroy(m[1]);
}

static void a_bad_batch_changes_nothing(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    const tsr_vqtrain_options o = quick(5);
    static float broken[COUNT * 3 * PIXELS];
    tsr_vqvae *m, *same;
    tsr_vqtrain *t;
    tsr_vqtrain_report r;
    memcpy(broken, pixels, sizeof broken);
    broken[77] = NAN;
    assert_ok(tsr_vqvae_create(&c, 1, &m));
    assert_ok(tsr_vqvae_create(&c, 1, &same));
    assert_ok(tsr_vqtrain_create(m, &o, &t));
    assert_fails(TSR_ENUMERIC, tsr_vqtrain_step(t, &(tsr_vqtrain_batch){COUNT, .pixels = broken}, &r));
    assert_fails(TSR_ENUMERIC,
                 tsr_vqtrain_step(
                     t, &(tsr_vqtrain_batch){COUNT, .pixels = pixels, .targets = broken}, &r));
    assert_fails(TSR_EARG, tsr_vqtrain_step(t, &(tsr_vqtrain_batch){0, .pixels = pixels}, &r));
    assert_fails(TSR_EARG,
                 tsr_vqtrain_step(t, &(tsr_vqtrain_batch){COUNT + 1, .pixels = pixels}, &r));
    assert_fails(TSR_EARG, tsr_vqtrain_step(t, &(tsr_vqtrain_batch){COUNT, .labels = labels}, &r));
    same_model(m, same);
    assert_int_equal(tsr_vqtrain_steps(t), 0);
    assert_ok(tsr_vqtrain_evaluate(t, &(tsr_vqtrain_batch){COUNT, .pixels = pixels}, &r));
    assert_true(r.reconstruction > 0 && r.codes_used > 0);
    same_model(m, same);
    size_t bytes;
    assert_ok(tsr_vqtrain_bytes(t, &bytes));
    assert_true(bytes > 100000);
    tsr_vqtrain_destroy(t);
    tsr_vqvae_destroy(m);
    tsr_vqvae_destroy(same);
}

static void a_frozen_encoder_keeps_its_tokens(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    tsr_vqtrain_options o = quick(10);
    tsr_vqvae *m, *before;
    tsr_vqtrain *t;
    tsr_vqtrain_report r;
    o.freeze_encoder = 1;
    assert_ok(tsr_vqvae_create(&c, 1, &m));
    assert_ok(tsr_vqvae_create(&c, 1, &before));
    assert_ok(tsr_vqtrain_create(m, &o, &t));
    for (int i = 0; i < 10; i++)
        assert_ok(tsr_vqtrain_step(t, &(tsr_vqtrain_batch){COUNT, .pixels = pixels}, &r));
    for (size_t i = 0; i < tsr_params_count(tsr_vqvae_params(m)); i++) {
        const tsr_param *p = tsr_params_at(tsr_vqvae_params(m), i);
        const tsr_param *q = tsr_params_at(tsr_vqvae_params(before), i);
        int same = memcmp(p->value, q->value, p->count * sizeof(float)) == 0;
        int decoder = strncmp(p->name, "decoder.", 8) == 0 || strncmp(p->name, "post_q", 6) == 0;
        assert_true(same == (!decoder || strstr(p->name, "pos_emb") != NULL));
    }
    tsr_vqtrain_destroy(t);
    tsr_vqvae_destroy(m);
    tsr_vqvae_destroy(before);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    const tsr_vqvae_config c = tiny();
    tsr_vqtrain_options o = quick(5);
    tsr_vqvae *m;
    tsr_vqtrain *t;
    tsr_vq_loss loss;
    assert_ok(tsr_vqvae_create(&c, 1, &m));
    o.loss = TSR_VQ_CROSS_ENTROPY;
    assert_fails(TSR_ECONFIG, tsr_vqtrain_create(m, &o, &t));
    o = quick(5);
    o.batch = 0;
    assert_fails(TSR_ECONFIG, tsr_vqtrain_create(m, &o, &t));
    o = quick(5);
    o.height = 10;
    o.width = 16;
    assert_fails(TSR_EARG, tsr_vqtrain_create(m, &o, &t));
    assert_ok(tsr_vq_loss_parse("smooth_l1", &loss));
    assert_int_equal(loss, TSR_VQ_SMOOTH_L1);
    assert_fails(TSR_ECONFIG, tsr_vq_loss_parse("perceptual", &loss));
    tsr_vqvae_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_learned),
        cmocka_unit_test(every_quantizer_learns),
        cmocka_unit_test(labels_are_learned),
        cmocka_unit_test(every_loss_learns),
        cmocka_unit_test(vectors_are_learned),
        cmocka_unit_test(threads_do_not_change_bytes),
        cmocka_unit_test(a_resumed_run_gives_the_same_bytes),
        cmocka_unit_test(invalid_pixels_do_not_count),
        cmocka_unit_test(a_bad_batch_changes_nothing),
        cmocka_unit_test(a_frozen_encoder_keeps_its_tokens),
        cmocka_unit_test(wrong_options_are_refused),
    };
    draw(pixels, labels);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

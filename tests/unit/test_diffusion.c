/* SPDX-License-Identifier: Apache-2.0
 * Diffusion decoders: what opening tiny files in the layout of the published ones and decoding with
 * them promise. That they compute what the reference does is test_selfcheck's. */
#include "tinynet.h"

#include "base/job.h"
#include "base/par.h"
#include "vqvae/diffdecode.h"
#include "vqvae/diffsteps.h"

#include <math.h>
#include <signal.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SIDE 64
#define PIXELS ((size_t)3 * SIDE * SIDE)

/* An open model with all it takes to use it. */
typedef struct net {
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *w;
    tsr_diffuser *d;
    tsr_diffuse_work *dw;
    float vectors[16 * 8];
} net;

static void open_net(net *n, const net_settings *s, tsr_precision precision)
{
    n->m = open_file(s);
    assert_ok(tsr_vqvae_plan_create(n->m, SIDE, SIDE, precision, &n->plan));
    assert_ok(tsr_vqvae_work_create(n->plan, &n->w));
    assert_ok(tsr_diffuser_create(n->m, tsr_vqvae_plan_sizes(n->plan), precision, &n->d));
    assert_ok(tsr_diffuse_work_create(n->d, &n->dw));
}

static void close_net(net *n)
{
    tsr_diffuse_work_destroy(n->dw);
    tsr_diffuser_destroy(n->d);
    tsr_vqvae_work_destroy(n->w);
    tsr_vqvae_plan_destroy(n->plan);
    tsr_vqvae_destroy(n->m);
}

static void forget_files(void)
{
    static const char *const names[] = {"first", "second", "one", "both", "broken", "nan", "bad"};
    for (size_t i = 0; i < COUNT(names); i++)
        remove(path_of(names[i]));
}

static float clean[PIXELS], noisy[PIXELS], out[PIXELS];

/* The tokens of a picture; any would do. */
static const int32_t ids_of_16[] = {3, 10, 12, 4, 14, 11, 14, 15, 0, 10, 12, 11, 21, 7, 11, 10};

/* --- files -------------------------------------------------------------------------------------- */

static void files_round_trip(void **state)
{
    (void)state;
    json_t *lists = selfcheck("tensors", NULL), *list;
    const char *name;
    json_object_foreach(lists, name, list)
    {
        const net_settings s = {.net = name, .schedule = "shifted_cosine:0.5"};
        if (!tsr_starts_with(name, "divae"))
            continue;
        net_file f;
        tsr_vqvae *m;
        tsr_safetensors *back;
        make_file(&f, s.net);
        write_file(&f, &s, path_of("first"));
        assert_ok(tsr_vqvae_open(path_of("first"), 0, &m));
        const tsr_params *ps = tsr_vqvae_params(m);
        assert_int_equal(tsr_params_count(ps), f.count);
        for (size_t k = 0; k < f.count; k++)
            assert_string_equal(tsr_params_at(ps, k)->name, f.tensors[k].name);
        const tsr_vqvae_info *info = tsr_vqvae_info_of(m);
        assert_string_equal(info->decoder, strstr(s.net, "unet") ? "UNet diffusion" : "UViT diffusion");
        assert_int_equal(info->steps, 25);
        assert_ok(tsr_vqvae_write(m, path_of("second"), 0, NULL));
        assert_ok(tsr_safetensors_open(path_of("second"), &back));
        assert_int_equal(tsr_safetensors_count(back), f.count);
        for (size_t k = 0; k < f.count; k++) {
            const tsr_stored *t = tsr_safetensors_find(back, f.tensors[k].name);
            assert_non_null(t);
            assert_int_equal(t->ndim, f.tensors[k].ndim);
            assert_memory_equal(t->shape, f.tensors[k].shape, (size_t)t->ndim * sizeof *t->shape);
            assert_memory_equal(t->data, f.tensors[k].data, t->count * sizeof(float));
        }
        const json_t *meta = tsr_safetensors_metadata(back);
        assert_string_equal(json_string_value(json_object_get(meta, "beta_schedule")),
                            "shifted_cosine:0.5");
        assert_string_equal(json_string_value(json_object_get(meta, "thresholding")), "False");
        tsr_safetensors_close(back);
        tsr_vqvae_destroy(m);
        clear_file(&f);
    }
    json_decref(lists);
}

/* The layer with two names under one of them alone: opened, and written under both. */
static void one_of_two_names_is_enough(void **state)
{
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        const net_settings s = {.net = "divae_uvit_tiny_f16_concat"};
        net_file f;
        tsr_vqvae *m;
        tsr_safetensors *back;
        size_t kept = 0;
        make_file(&f, s.net);
        for (size_t k = 0; k < f.count; k++)
            if (!strstr(f.tensors[k].name, keep ? "Conv2d_0" : "downsample_mid.conv"))
                f.tensors[kept++] = f.tensors[k];
        size_t all = f.count;
        assert_int_equal(kept + 2, all);
        f.count = kept;
        write_file(&f, &s, path_of("one"));
        f.count = all;
        assert_ok(tsr_vqvae_open(path_of("one"), 0, &m));
        assert_ok(tsr_vqvae_write(m, path_of("both"), 0, NULL));
        assert_ok(tsr_safetensors_open(path_of("both"), &back));
        assert_int_equal(tsr_safetensors_count(back), all);
        tsr_safetensors_close(back);
        tsr_vqvae_destroy(m);
        clear_file(&f);
    }
}

/* Every tensor matters: without it, or with one dimension more, the file is refused. */
static void broken_files_are_refused(void **state)
{
    (void)state;
    static const char *const nets[] = {"divae_unet", "divae_uvit_tiny_f16_longskip_xattn"};
    for (size_t i = 0; i < COUNT(nets); i++) {
        const net_settings s = {.net = nets[i]};
        net_file f;
        tsr_vqvae *m;
        make_file(&f, s.net);
        for (size_t k = 40; k < f.count; k += 17) {
            const tsr_stored t = f.tensors[k];
            if (strstr(t.name, "downsample_mid"))
                continue;
            f.tensors[k].name = "decoder.something_else";
            write_file(&f, &s, path_of("broken"));
            assert_true(tsr_vqvae_open(path_of("broken"), 0, &m) != TSR_OK);
            f.tensors[k] = t;
            f.tensors[k].shape[0] = t.count;
            f.tensors[k].shape[1] = 1;
            f.tensors[k].ndim = t.ndim == 2 ? 3 : 2;
            f.tensors[k].shape[2] = 1;
            if (t.ndim > 1) {
                write_file(&f, &s, path_of("broken"));
                assert_true(tsr_vqvae_open(path_of("broken"), 0, &m) != TSR_OK);
            }
            f.tensors[k] = t;
        }
        assert_true(f.count > 41);
        clear_file(&f);
    }
}

/* Tensors of the decoder are read when they are wanted: those who encode do not wait for them. */
static void decoders_are_read_when_used(void **state)
{
    (void)state;
    const net_settings s = {.net = "divae_unet"};
    net_file f;
    net n = {0};
    make_file(&f, s.net);
    f.values[f.count - 1][0] = NAN;
    write_file(&f, &s, path_of("nan"));
    clear_file(&f);
    assert_ok(tsr_vqvae_open(path_of("nan"), TSR_VQVAE_RUN, &n.m));
    assert_ok(tsr_vqvae_plan_create(n.m, SIDE, SIDE, TSR_PRECISION_FP32, &n.plan));
    assert_ok(tsr_vqvae_work_create(n.plan, &n.w));
    const tsr_vqvae_input in = {.pixels = clean};
    int32_t ids[16];
    assert_ok(tsr_vqvae_encode(n.w, &in, NULL, ids));
    for (int i = 0; i < 2; i++)
        assert_fails(TSR_ENUMERIC, tsr_vqvae_decode(n.w, ids, out));
    assert_fails(TSR_ENUMERIC, tsr_vqvae_write(n.m, path_of("second"), 0, NULL));
    assert_ok(tsr_vqvae_write(n.m, path_of("second"), TSR_VQVAE_ENCODER_ONLY, NULL));
    close_net(&n);
}

static void settings_that_are_not_known_are_refused(void **state)
{
    (void)state;
    const net_settings bad[] = {{.net = "divae_unet", .prediction = "score"},
                                {.net = "divae_unet", .schedule = "quadratic"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        net_file f;
        tsr_vqvae *m;
        tsr_vqvae_plan *plan;
        make_file(&f, bad[i].net);
        write_file(&f, &bad[i], path_of("bad"));
        assert_ok(tsr_vqvae_open(path_of("bad"), 0, &m));
        assert_fails(TSR_EUNSUPPORTED,
                     tsr_vqvae_plan_create(m, SIDE, SIDE, TSR_PRECISION_FP32, &plan));
        tsr_vqvae_destroy(m);
        clear_file(&f);
    }
}

/* --- decoding ----------------------------------------------------------------------------------- */

static void noise_belongs_to_seed_and_sample(void **state)
{
    (void)state;
    static float again[PIXELS];
    const net_settings s = {.net = "divae_unet", .clip = 1};
    for (int p = 0; p < 2; p++) {
        net n;
        open_net(&n, &s, p ? TSR_PRECISION_BF16 : TSR_PRECISION_FP32);
        tsr_vqvae_decoding how = {.steps = 3, .seed = 7, .sample = 2, .sampler = "ddpm"};
        assert_ok(tsr_vqvae_decode_with(n.w, ids_of_16, &how, out));
        for (int threads = 1; threads <= 4; threads *= 2) {
            tsr_par_set_threads(threads);
            assert_ok(tsr_vqvae_decode_with(n.w, ids_of_16, &how, again));
            assert_memory_equal(out, again, sizeof again);
        }
        tsr_par_set_threads(0);
        for (int i = 0; i < 3; i++) {
            tsr_vqvae_decoding other = how;
            other.seed += i == 0;
            other.sample += i == 1;
            other.steps += i == 2;
            assert_ok(tsr_vqvae_decode_with(n.w, ids_of_16, &other, again));
            assert_memory_not_equal(out, again, sizeof again);
        }
        close_net(&n);
    }
}

static void guidance_moves_away_from_no_codes(void **state)
{
    (void)state;
    static float none[PIXELS], told[PIXELS], got[PIXELS];
    static const char *const nets[] = {"divae_unet", "divae_uvit_tiny_f16_concat",
                                       "divae_uvit_tiny_f16_xattn"};
    for (size_t i = 0; i < COUNT(nets); i++) {
        const net_settings s = {.net = nets[i]};
        uint8_t all[16];
        net n;
        memset(all, 1, sizeof all);
        numbers(noisy, 888, PIXELS);
        open_net(&n, &s, TSR_PRECISION_FP32);
        assert_ok(tsr_vqvae_lookup(n.w, ids_of_16, n.vectors));
        assert_ok(tsr_diffuse_once(n.dw, n.vectors, NULL, noisy, 999, told));
        assert_ok(tsr_diffuse_once(n.dw, n.vectors, all, noisy, 999, none));
        /* One step of a model that tells the picture ends at what it tells. */
        const tsr_vqvae_decoding how = {.steps = 1, .start = noisy, .guidance = 3};
        assert_ok(tsr_vqvae_decode_with(n.w, ids_of_16, &how, got));
        for (size_t k = 0; k < PIXELS; k++)
            assert_true(fabsf(got[k] - (none[k] + 3 * (told[k] - none[k]))) < 1e-4f);
        close_net(&n);
    }
}

static sig_atomic_t stop;

static void stop_at_two(void *ctx, const tsr_progress *p)
{
    ++*(int *)ctx;
    assert_int_equal(p->done, *(int *)ctx);
    assert_int_equal(p->total, 5);
    stop = p->done == 2;
}

static void decoding_reports_and_stops(void **state)
{
    (void)state;
    const net_settings s = {.net = "divae_unet"};
    int reports = 0;
    net n;
    open_net(&n, &s, TSR_PRECISION_FP32);
    const tsr_job job = {.report = stop_at_two, .ctx = &reports, .stop = &stop};
    const tsr_vqvae_decoding how = {.steps = 5, .job = &job};
    stop = 0;
    assert_int_equal(tsr_vqvae_decode_with(n.w, ids_of_16, &how, out), TSR_ECANCEL);
    assert_int_equal(reports, 2);
    close_net(&n);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    const net_settings s = {.net = "divae_unet", .prediction = "epsilon"};
    tsr_vqvae_plan *plan;
    net n;
    open_net(&n, &s, TSR_PRECISION_FP32);
    const tsr_vqvae_decoding bad[] = {
        {.steps = 1001}, {.sampler = "euler"}, {.eta = 2}, {.guidance = -1}, {.guidance = NAN}};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_fails(TSR_EARG, tsr_vqvae_decode_with(n.w, ids_of_16, &bad[i], out));
    int32_t ids[16] = {24};
    assert_fails(TSR_EFORMAT, tsr_vqvae_decode(n.w, ids, out));
    assert_fails(TSR_EARG, tsr_vqvae_plan_create(n.m, 48, 48, TSR_PRECISION_FP32, &plan));
    close_net(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_round_trip),
        cmocka_unit_test(one_of_two_names_is_enough),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(decoders_are_read_when_used),
        cmocka_unit_test(settings_that_are_not_known_are_refused),
        cmocka_unit_test(noise_belongs_to_seed_and_sample),
        cmocka_unit_test(guidance_moves_away_from_no_codes),
        cmocka_unit_test(decoding_reports_and_stops),
        cmocka_unit_test(wrong_requests_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    forget_files();
    return failed;
}

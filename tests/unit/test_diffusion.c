/* SPDX-License-Identifier: Apache-2.0
 * Diffusion decoders: tiny files in the layout of the published ones against the reference, and what
 * opening and decoding promise. */
#include "testing.h"

#include "base/job.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "nn/safetensors.h"
#include "vqvae/diffdecode.h"
#include "vqvae/diffsteps.h"

#include "../data/vqvae/diffusion_cases.h"

#include <math.h>
#include <signal.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SIDE 64
#define PIXELS ((size_t)3 * SIDE * SIDE)
#define TENSORS 600

/* --- files, with weights of a generator --------------------------------------------------------- */

static double next(uint32_t *state)
{
    *state = 1664525u * *state + 1013904223u;
    return (double)*state / 4294967296.0;
}

static double weight_value(const tsr_stored *t, double u)
{
    if (tsr_ends_with(t->name, ".embed"))
        return (u - 0.5) * 2;
    if (t->ndim >= 2)
        return (u - 0.5) * 0.5;
    if (tsr_ends_with(t->name, ".weight"))
        return 1 + (u - 0.5) * 0.5;
    return (u - 0.5) * 0.2;
}

/* Tensors of one file, in the order of the reference. */
typedef struct net_file {
    tsr_vqvae *encoder; /* lends the first ones */
    tsr_stored tensors[TENSORS];
    float *values[TENSORS]; /* owned */
    char names[TENSORS][96];
    size_t count;
} net_file;

static tsr_stored *add(net_file *f, const char *name, int ndim, const size_t *shape)
{
    tsr_stored *t = &f->tensors[f->count];
    assert_true(f->count < TENSORS && strlen(name) < sizeof f->names[0]);
    strcpy(f->names[f->count], name);
    *t = (tsr_stored){.name = f->names[f->count], .dtype = TSR_F32, .ndim = ndim, .count = 1};
    for (int i = 0; i < ndim; i++)
        t->count *= t->shape[i] = shape[i];
    assert_ok(tsr_alloc(&f->values[f->count], t->count, sizeof(float)));
    t->data = f->values[f->count++];
    return t;
}

/* "name 3x4;..." */
static void add_listed(net_file *f, const char *list)
{
    while (*list) {
        char name[160] = "decoder.";
        size_t shape[TSR_MAX_DIMS], n = strcspn(list, " "), at = strlen(name);
        int ndim = 0;
        memcpy(name + at, list, n);
        name[at + n] = '\0';
        for (list += n; *list == ' ' || *list == 'x';)
            shape[ndim++] = strtoul(list + 1, (char **)(uintptr_t)&list, 10);
        assert_true(*list == ';');
        list++;
        add(f, name, ndim, shape);
    }
}

static void add_encoder(net_file *f)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    c.image_size = 32;
    c.patch_size = 16;
    c.enc_dim = c.dec_dim = 16;
    c.enc_depth = c.dec_depth = 2;
    c.enc_heads = c.dec_heads = 4;
    c.latent_dim = 8;
    c.codebook_size = 24;
    c.post_mlp = 1;
    assert_ok(tsr_vqvae_create(&c, 0, &f->encoder));
    tsr_params *ps = tsr_vqvae_params(f->encoder);
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        if (tsr_starts_with(p->name, "decoder.") || tsr_starts_with(p->name, "post_quant"))
            continue;
        tsr_stored *t = add(f, p->name, p->file_ndim, p->file_shape);
        memcpy(f->values[t - f->tensors], p->value, t->count * sizeof(float));
    }
}

/* Positions of the middle. */
static void fill_positions(const tsr_stored *t, float *to)
{
    tsr_params *ps;
    tsr_param *p;
    assert_ok(tsr_params_create(&ps));
    assert_ok(tsr_params_add(ps, "pos", 0, 4, t->shape, &p));
    tsr_vit_sincos(p);
    memcpy(to, p->value, t->count * sizeof *to);
    tsr_params_destroy(ps);
}

static void fill(net_file *f)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < f->count; i++) {
        const tsr_stored *t = &f->tensors[i];
        if (tsr_starts_with(t->name, "decoder.downsample_mid.conv.")) {
            assert_int_equal(t->count, f->tensors[i - 2].count);
            memcpy(f->values[i], f->values[i - 2], t->count * sizeof(float));
        } else if (tsr_ends_with(t->name, "mid_pos_emb")) {
            fill_positions(t, f->values[i]);
        } else if (!tsr_ends_with(t->name, "pos_emb") && !tsr_ends_with(t->name, "cluster_size") &&
                   !tsr_ends_with(t->name, "initted")) {
            for (size_t k = 0; k < t->count; k++)
                f->values[i][k] = (float)weight_value(t, next(&state));
        }
    }
}

static void make_file(net_file *f, const char *net)
{
    *f = (net_file){0};
    add_encoder(f);
    for (size_t i = 0; i < COUNT(diffusion_lists); i++)
        if (strcmp(diffusion_lists[i].net, net) == 0)
            add_listed(f, diffusion_lists[i].tensors);
    fill(f);
}

static void clear_file(net_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        tsr_free(f->values[i]);
    tsr_vqvae_destroy(f->encoder);
}

/* Settings of the files; what is NULL is as usual. */
typedef struct net_settings {
    const char *net, *prediction, *schedule;
    int clip;
} net_settings;

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/test_diffusion_%s.safetensors", build_folder(), name);
    return path;
}

static void write_file(const net_file *f, const net_settings *s, const char *path)
{
    const char *conditioning = strstr(s->net, "xattn") ? "xattn" : "concat";
    int epsilon = s->prediction && strcmp(s->prediction, "epsilon") == 0;
    json_t *m = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "image_size", "32", "patch_size",
        "16", "enc_type", "vit_b_enc", "dec_type",
        strstr(s->net, "unet") ? "unet_patched" : "uvit_b_p4_f16", "post_mlp", "True", "conditioning",
        conditioning, "prediction_type", s->prediction ? s->prediction : "sample", "beta_schedule",
        s->schedule ? s->schedule : "linear", "thresholding", s->clip ? "True" : "False",
        "zero_terminal_snr", epsilon ? "False" : "True", "tessera.enc_heads", "4", "tessera.dec_heads",
        "4");
    assert_non_null(m);
    assert_ok(tsr_safetensors_write(path, f->tensors, f->count, m));
    json_decref(m);
}

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
    net_file f;
    make_file(&f, s->net);
    write_file(&f, s, path_of(s->net));
    clear_file(&f);
    assert_ok(tsr_vqvae_open(path_of(s->net), 0, &n->m));
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

/* --- against the reference ---------------------------------------------------------------------- */

/* Largest error: of a value, relative to 1 + the mean size; of the sums, relative to the sum of sizes. */
static double compare(const diffusion_summary *want, const float *got)
{
    double sum = 0, total = 0, worst, size = 1 + want->abs_sum / (double)want->count;
    for (size_t i = 0; i < want->count; i++) {
        sum += (double)got[i];
        total += fabs((double)got[i]);
    }
    worst = fmax(fabs(sum - want->sum), fabs(total - want->abs_sum)) / want->abs_sum;
    for (size_t i = 0; i < 8; i++)
        worst = fmax(worst, fabs((double)(got[i] - want->first[i])) / size);
    for (size_t i = 0; i < 4; i++)
        worst = fmax(worst, fabs((double)(got[want->count - 4 + i] - want->last[i])) / size);
    return isnan(sum) ? INFINITY : worst;
}

static void numbers(float *x, uint32_t state, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((next(&state) - 0.5) * 2);
}

static float clean[2 * PIXELS], noisy[2 * PIXELS], out[2 * PIXELS];

static void networks_answer_like_the_reference(void **state)
{
    (void)state;
    numbers(clean, 777, 2 * PIXELS);
    numbers(noisy, 888, 2 * PIXELS);
    for (size_t i = 0; i < COUNT(diffusion_nets); i++) {
        const net_settings s = {.net = diffusion_nets[i].net};
        uint8_t dropped[2][16] = {{0}};
        double worst[2];
        net n;
        open_net(&n, &s, TSR_PRECISION_FP32);
        for (size_t k = 0; k < COUNT(diffusion_dropped); k++)
            dropped[diffusion_dropped[k][0]][diffusion_dropped[k][1] * 4 + diffusion_dropped[k][2]] = 1;
        for (int masked = 0; masked < 2; masked++) {
            for (size_t b = 0; b < 2; b++) {
                int32_t ids[16];
                const tsr_vqvae_input in = {.pixels = clean + b * PIXELS};
                assert_ok(tsr_vqvae_encode(n.w, &in, NULL, ids));
                assert_memory_equal(ids, diffusion_tokens + 16 * b, sizeof ids);
                assert_ok(tsr_vqvae_lookup(n.w, ids, n.vectors));
                assert_ok(tsr_diffuse_once(n.dw, n.vectors, masked ? dropped[b] : NULL,
                                           noisy + b * PIXELS, diffusion_times[b], out + b * PIXELS));
            }
            worst[masked] = compare(masked ? &diffusion_nets[i].masked : &diffusion_nets[i].out, out);
        }
        print_message("%-34s within %.1e, codes dropped %.1e\n", s.net, worst[0], worst[1]);
        assert_true(worst[0] < 2e-5 && worst[1] < 2e-5);
        close_net(&n);
    }
}

static void runs_end_like_those_of_the_reference(void **state)
{
    (void)state;
    numbers(noisy, 888, 2 * PIXELS);
    for (size_t i = 0; i < COUNT(diffusion_runs); i++) {
        const net_settings s = {diffusion_runs[i].net, diffusion_runs[i].prediction,
                                diffusion_runs[i].schedule, diffusion_runs[i].clip};
        net n;
        open_net(&n, &s, TSR_PRECISION_FP32);
        for (size_t b = 0; b < 2; b++) {
            const tsr_vqvae_decoding how = {.steps = 4, .start = noisy + b * PIXELS};
            assert_ok(tsr_vqvae_decode_with(n.w, diffusion_tokens + 16 * b, &how, out + b * PIXELS));
        }
        double worst = compare(&diffusion_runs[i].final, out);
        print_message("DDIM 4 %-27s %-12s %-18s clip %d: within %.1e\n", s.net, s.prediction,
                      s.schedule, s.clip, worst);
        /* From noise alone an answer e counts as (x - e) / sqrt(abar), 20,000 times, before it is cut. */
        assert_true(worst < (strcmp(s.prediction, "epsilon") == 0 ? 2e-3 : 2e-5));
        close_net(&n);
    }
}

/* --- files -------------------------------------------------------------------------------------- */

static void files_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(diffusion_lists); i++) {
        const net_settings s = {.net = diffusion_lists[i].net, .schedule = "shifted_cosine:0.5"};
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
    assert_ok(tsr_vqvae_open(path_of("nan"), 0, &n.m));
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
        assert_ok(tsr_vqvae_decode_with(n.w, diffusion_tokens, &how, out));
        for (int threads = 1; threads <= 4; threads *= 2) {
            tsr_par_set_threads(threads);
            assert_ok(tsr_vqvae_decode_with(n.w, diffusion_tokens, &how, again));
            assert_memory_equal(out, again, sizeof again);
        }
        tsr_par_set_threads(0);
        for (int i = 0; i < 3; i++) {
            tsr_vqvae_decoding other = how;
            other.seed += i == 0;
            other.sample += i == 1;
            other.steps += i == 2;
            assert_ok(tsr_vqvae_decode_with(n.w, diffusion_tokens, &other, again));
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
        assert_ok(tsr_vqvae_lookup(n.w, diffusion_tokens, n.vectors));
        assert_ok(tsr_diffuse_once(n.dw, n.vectors, NULL, noisy, 999, told));
        assert_ok(tsr_diffuse_once(n.dw, n.vectors, all, noisy, 999, none));
        /* One step of a model that tells the picture ends at what it tells. */
        const tsr_vqvae_decoding how = {.steps = 1, .start = noisy, .guidance = 3};
        assert_ok(tsr_vqvae_decode_with(n.w, diffusion_tokens, &how, got));
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
    assert_int_equal(tsr_vqvae_decode_with(n.w, diffusion_tokens, &how, out), TSR_ECANCEL);
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
        assert_fails(TSR_EARG, tsr_vqvae_decode_with(n.w, diffusion_tokens, &bad[i], out));
    int32_t ids[16] = {24};
    assert_fails(TSR_EFORMAT, tsr_vqvae_decode(n.w, ids, out));
    assert_fails(TSR_EARG, tsr_vqvae_plan_create(n.m, 48, 48, TSR_PRECISION_FP32, &plan));
    close_net(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_answer_like_the_reference),
        cmocka_unit_test(runs_end_like_those_of_the_reference),
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}

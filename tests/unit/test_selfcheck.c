/* SPDX-License-Identifier: Apache-2.0
 * All self-check vectors of the reference in tests/data/vqvae/selfcheck.json. Each entry of the list has
 * to be taken by one of the checks below and each of its values used up; what is reached is printed. */
#include "tinynet.h"

#include "nn/ops.h"
#include "vqvae/diffdecode.h"
#include "vqvae/diffsteps.h"
#include "vqvae/quantizer.h"

#include <math.h>

#define ROOM ((size_t)1 << 16)

/* --- values of an entry ------------------------------------------------------------------------- */

/* One entry: values are taken out as they are compared. */
typedef struct entry {
    const char *name;
    json_t *v;
    double worst; /* largest error so far */
} entry;

static json_t *take(entry *e, const char *key)
{
    json_t *v = json_object_get(e->v, key);
    if (!v)
        fail_msg("%s: no %s", e->name, key);
    json_incref(v);
    json_object_del(e->v, key);
    return v;
}

static double number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* |got - want| over `scale`, or the whole difference for 0. */
static void compare(entry *e, const char *what, double got, double want, double scale, double limit)
{
    double d = fabs(got - want) / (scale > 0 ? scale : 1);
    if (!(d <= limit))
        fail_msg("%s, %s: %.9g, expected %.9g", e->name, what, got, want);
    e->worst = fmax(e->worst, d);
}

/* Values are relative to 1 + their mean size, sums to the sum of sizes. */
static void summary(entry *e, const char *key, const float *got, size_t n, double limit)
{
    json_t *want = take(e, key);
    double sum = 0, total = 0, abs_sum = number(want, "abs_sum"), size = 1 + abs_sum / (double)n;
    const json_t *first = json_object_get(want, "first8"), *last = json_object_get(want, "last4");
    assert_true(number(want, "n") == (double)n && n >= 8);
    for (size_t i = 0; i < n; i++) {
        sum += (double)got[i];
        total += fabs((double)got[i]);
    }
    compare(e, key, sum, number(want, "sum"), abs_sum, limit);
    compare(e, key, total, abs_sum, abs_sum, limit);
    assert_true(json_array_size(first) == 8 && json_array_size(last) == 4);
    for (size_t i = 0; i < 8; i++)
        compare(e, key, (double)got[i], json_number_value(json_array_get(first, i)), size, limit);
    for (size_t i = 0; i < 4; i++)
        compare(e, key, (double)got[n - 4 + i], json_number_value(json_array_get(last, i)), size, limit);
    json_decref(want);
}

static void values(entry *e, const char *key, const float *got, size_t n, double limit)
{
    json_t *want = take(e, key);
    assert_int_equal(json_array_size(want), n);
    for (size_t i = 0; i < n; i++) {
        double x = json_number_value(json_array_get(want, i));
        compare(e, key, (double)got[i], x, fmax(1, fabs(x)), limit);
    }
    json_decref(want);
}

/* Whole numbers, into `out`; how many. */
static size_t wholes(entry *e, const char *key, int32_t *out, size_t most)
{
    json_t *v = take(e, key);
    size_t n = json_array_size(v);
    assert_true(n <= most);
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(v, i));
    json_decref(v);
    return n;
}

static void same_ids(entry *e, const char *key, const int32_t *got, size_t n)
{
    int32_t want[256];
    assert_int_equal(wholes(e, key, want, 256), n);
    assert_memory_equal(got, want, n * sizeof *want);
}

/* --- VQ-VAEs ------------------------------------------------------------------------------------ */

/* Rows [n, width] as planes [width, n]. */
static void to_planes(const float *rows, size_t n, size_t width, float *planes)
{
    for (size_t r = 0; r < n; r++)
        for (size_t d = 0; d < width; d++)
            planes[d * n + r] = rows[r * width + d];
}

/* What the encoder's network gives, one sample. */
static void features(const tsr_vqvae *m, const tsr_vqvae_input *in, size_t h, size_t w, float *planes)
{
    tsr_graph *g;
    tsr_exec *x;
    tsr_plan plan;
    size_t pixels = h * w * (m->info.labels ? 1 : m->info.in_channels);
    assert_ok(tsr_graph_create(m->ps, TSR_PRECISION_FP32, &g));
    tsr_value from = tsr_vqvae_graph_input(g, m, 1, h, w);
    tsr_value to = tsr_vqvae_features_graph(g, m, from, h, w);
    tsr_graph_output(g, to);
    assert_ok(tsr_graph_plan(g, &plan));
    assert_ok(tsr_exec_create(g, &x));
    memcpy(tsr_exec_input(x, from), in->pixels ? (const void *)in->pixels : in->labels, pixels * 4);
    assert_ok(tsr_exec_run(x));
    const size_t *shape = tsr_value_shape(g, to);
    to_planes(tsr_exec_value(x, to), shape[1], shape[2], planes);
    tsr_exec_destroy(x);
    tsr_graph_destroy(g);
}

/* A batch, run sample by sample. */
typedef struct batch {
    tsr_vqvae *m;
    tsr_vqvae_work *w;
    const tsr_vqvae_sizes *s;
    size_t count, each, dim;
    float in[ROOM], features[ROOM], latents[ROOM], quant[ROOM], decoded[ROOM], rows[ROOM];
    int32_t labels[ROOM], ids[256];
} batch;

static void run_sample(batch *b, size_t n)
{
    size_t rows = b->s->grid_height * b->s->grid_width, z = b->m->info.code_width;
    int labels = b->m->info.labels > 0;
    const tsr_vqvae_input in = {labels ? NULL : b->in + n * b->each, labels ? b->labels + n * b->each : NULL};
    int32_t *ids = b->ids + n * b->s->ids;
    features(b->m, &in, b->s->height, b->s->width, b->features + n * rows * b->dim);
    assert_ok(tsr_vqvae_encode(b->w, &in, b->rows, ids));
    to_planes(b->rows, rows, z, b->latents + n * b->s->latents);
    assert_ok(tsr_vqvae_lookup(b->w, ids, b->rows));
    to_planes(b->rows, rows, z, b->quant + n * b->s->latents);
    assert_ok(tsr_vqvae_decode(b->w, ids, b->decoded + n * b->s->output));
}

static void check_sizes(entry *e, const batch *b)
{
    int32_t shape[4];
    size_t n = wholes(e, "tokens_shape", shape, 4), heads = b->m->info.heads;
    assert_int_equal(n, heads > 1 ? 4 : 3);
    assert_int_equal(shape[0], b->count);
    assert_int_equal(heads > 1 ? shape[1] : 1, heads);
    assert_int_equal(shape[n - 2], b->s->grid_height);
    assert_int_equal(shape[n - 1], b->s->grid_width);
    assert_int_equal(wholes(e, "decoded_shape", shape, 4), 4);
    assert_int_equal(shape[1], b->m->info.out_channels);
    assert_int_equal(shape[2], b->s->out_height);
    assert_int_equal(shape[3], b->s->out_width);
    /* Ids to vectors and decoding an input are one function here; the reference has two, and one of
     * them fails for several heads. */
    json_decref(take(e, json_object_get(e->v, "tokens_to_embedding") ? "tokens_to_embedding"
                                                                      : "tokens_to_embedding_equals_quant"));
}

static void check_vqvae(entry *e)
{
    static batch b;
    char net[128];
    int32_t shape[4];
    uint32_t state = 777;
    tsr_vqvae_plan *plan;
    size_t n = wholes(e, "input_shape", shape, 4), rows;
    snprintf(net, sizeof net, "%.*s", (int)strcspn(e->name, "@"), e->name);
    b.m = open_file(&(net_settings){.net = net});
    assert_ok(tsr_vqvae_plan_create(b.m, (size_t)shape[n - 2], (size_t)shape[n - 1], TSR_PRECISION_FP32,
                                    &plan));
    assert_ok(tsr_vqvae_work_create(plan, &b.w));
    b.s = tsr_vqvae_plan_sizes(plan);
    b.count = (size_t)shape[0];
    b.each = b.s->height * b.s->width * (n == 4 ? (size_t)shape[1] : 1);
    b.dim = b.m->enc.dim;
    rows = b.count * b.s->grid_height * b.s->grid_width;
    assert_true(b.count * b.s->output <= ROOM && rows * b.dim <= ROOM && b.count * b.each <= ROOM);
    for (size_t i = 0; i < b.count * b.each; i++) {
        double u = next(&state);
        b.in[i] = (float)((u - 0.5) * 2);
        b.labels[i] = (int32_t)(u * 5);
    }
    for (size_t i = 0; i < b.count; i++)
        run_sample(&b, i);
    same_ids(e, "tokens", b.ids, b.count * b.s->ids);
    summary(e, "encoder_out", b.features, rows * b.dim, 1e-5);
    summary(e, "quant_proj_out", b.latents, b.count * b.s->latents, 1e-5);
    summary(e, "quant", b.quant, b.count * b.s->latents, 1e-5);
    summary(e, "decoded", b.decoded, b.count * b.s->output, 1e-5);
    check_sizes(e, &b);
    tsr_vqvae_work_destroy(b.w);
    tsr_vqvae_plan_destroy(plan);
    tsr_vqvae_destroy(b.m);
}

/* --- diffusion decoders ------------------------------------------------------------------------- */

#define SIDE 64
#define PIXELS ((size_t)3 * SIDE * SIDE)

static float clean[2 * PIXELS], noisy[2 * PIXELS], out[2 * PIXELS];

/* The tokens of the two pictures, which all of these networks share. */
static void tokens_of(const char *net, int32_t ids[32])
{
    char name[160];
    snprintf(name, sizeof name, "%s@64", net);
    entry e = {.name = name, .v = selfcheck("golden", name)};
    assert_int_equal(wholes(&e, "tokens", ids, 32), 32);
    json_decref(e.v);
}

typedef struct net {
    tsr_vqvae *m;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work *w;
} net;

static void open_net(net *n, const net_settings *s)
{
    n->m = open_file(s);
    assert_ok(tsr_vqvae_plan_create(n->m, SIDE, SIDE, TSR_PRECISION_FP32, &n->plan));
    assert_ok(tsr_vqvae_work_create(n->plan, &n->w));
}

static void close_net(net *n)
{
    tsr_vqvae_work_destroy(n->w);
    tsr_vqvae_plan_destroy(n->plan);
    tsr_vqvae_destroy(n->m);
}

/* One answer of the network to each picture, told all codes or not those of `dropped`. */
static void answers(const net *n, const int32_t *ids, const int32_t *times, uint8_t dropped[2][16])
{
    tsr_diffuser *d;
    tsr_diffuse_work *w;
    float vectors[16 * 8];
    assert_ok(tsr_diffuser_create(n->m, tsr_vqvae_plan_sizes(n->plan), TSR_PRECISION_FP32, &d));
    assert_ok(tsr_diffuse_work_create(d, &w));
    for (size_t b = 0; b < 2; b++) {
        assert_ok(tsr_vqvae_lookup(n->w, ids + 16 * b, vectors));
        assert_ok(tsr_diffuse_once(w, vectors, dropped ? dropped[b] : NULL, noisy + b * PIXELS,
                                   (size_t)times[b], out + b * PIXELS));
    }
    tsr_diffuse_work_destroy(w);
    tsr_diffuser_destroy(d);
}

static void check_network(entry *e)
{
    char name[128];
    int32_t ids[32], times[2];
    uint8_t dropped[2][16] = {{0}};
    size_t i;
    json_t *at;
    net n;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(e->name, "@"), e->name);
    open_net(&n, &(net_settings){.net = name});
    for (size_t b = 0; b < 2; b++) {
        const tsr_vqvae_input in = {.pixels = clean + b * PIXELS};
        assert_ok(tsr_vqvae_encode(n.w, &in, NULL, ids + 16 * b));
    }
    same_ids(e, "tokens", ids, 32);
    assert_int_equal(wholes(e, "timesteps", times, 2), 2);
    answers(&n, ids, times, NULL);
    summary(e, "decoder_out", out, 2 * PIXELS, 2e-5);
    json_t *places = take(e, "mask_true_positions_bhw");
    json_array_foreach(places, i, at)
    {
        size_t p[3];
        for (size_t k = 0; k < 3; k++)
            p[k] = (size_t)json_integer_value(json_array_get(at, k));
        dropped[p[0]][p[1] * 4 + p[2]] = 1;
    }
    json_decref(places);
    answers(&n, ids, times, dropped);
    summary(e, "decoder_out_masked", out, 2 * PIXELS, 2e-5);
    close_net(&n);
}

/* "divae_unet@64 DDIM4 v_prediction shifted_cosine:0.5 thresholding=True" */
static void check_run(entry *e)
{
    char name[128], prediction[32], schedule[32], clip[8];
    int32_t ids[32], times[4];
    net n;
    assert_int_equal(sscanf(e->name, "%127[^@]@64 DDIM4 %31s %31s thresholding=%7s", name, prediction,
                            schedule, clip), 4);
    const net_settings s = {name, prediction, schedule, strcmp(clip, "True") == 0};
    open_net(&n, &s);
    tokens_of(name, ids);
    assert_int_equal(wholes(e, "timesteps", times, 4), 4);
    for (size_t b = 0; b < 2; b++) {
        const tsr_vqvae_decoding how = {.steps = 4, .start = noisy + b * PIXELS};
        assert_ok(tsr_vqvae_decode_with(n.w, ids + 16 * b, &how, out + b * PIXELS));
    }
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(times[i], 999 - 250 * i);
    /* From noise alone an answer e counts as (x - e) / sqrt(abar), 20,000 times, before it is cut. */
    summary(e, "final", out, 2 * PIXELS, strcmp(prediction, "epsilon") == 0 ? 2e-3 : 2e-5);
    close_net(&n);
}

/* --- schedules and steps ------------------------------------------------------------------------ */

static void schedule_entry(entry *e, const char *key, const json_t *table)
{
    char schedule[64], zero[8];
    const char *step;
    json_t *want;
    tsr_noise n;
    assert_int_equal(sscanf(key, "%63s zero_terminal_snr=%7s", schedule, zero), 2);
    assert_ok(tsr_noise_init(&n, 1000, schedule, strcmp(zero, "True") == 0, "sample"));
    assert_true(json_object_size(table) >= 12);
    json_object_foreach((json_t *)table, step, want)
    {
        double x = json_number_value(want), got = (double)n.abar[atoi(step)];
        /* The last steps of a rescaled schedule are small differences of float32 numbers. */
        if (x > 1e-6)
            compare(e, key, got, x, x, 2e-6);
        else
            assert_true(fabs(got - x) <= 2e-3 * x);
    }
    tsr_noise_clear(&n);
}

static void check_schedules(entry *e)
{
    while (json_object_size(e->v)) {
        const char *key = json_object_iter_key(json_object_iter(e->v));
        char name[128];
        snprintf(name, sizeof name, "%s", key);
        json_t *table = take(e, name);
        schedule_entry(e, name, table);
        json_decref(table);
    }
}

static void check_coefficients(entry *e)
{
    tsr_noise n;
    assert_ok(tsr_noise_init(&n, 1000, "linear", 1, "sample"));
    while (json_object_size(e->v)) {
        char key[64];
        size_t steps, t;
        float c[3];
        static const char *const names[] = {"x0_coeff", "xt_coeff", "variance"};
        snprintf(key, sizeof key, "%s", json_object_iter_key(json_object_iter(e->v)));
        assert_int_equal(sscanf(key, "steps=%zu t=%zu", &steps, &t), 2);
        json_t *want = take(e, key);
        tsr_ddpm_coefficients(&n, t, (long long)t - (long long)(1000 / steps), c);
        /* 1 - a and 1 - abar near the picture have few digits left in float32. */
        for (size_t k = 0; k < 3; k++)
            compare(e, key, (double)c[k], number(want, names[k]), number(want, names[k]), 2e-3);
        json_decref(want);
    }
    tsr_noise_clear(&n);
}

static void check_time(entry *e)
{
    float got[32];
    json_t *list = json_incref(e->v);
    tsr_noise_embedding(37, 32, got);
    json_decref(e->v);
    e->v = json_pack("{s:o}", "list", list);
    values(e, "list", got, 32, 3e-6);
}

/* [1, 16, 4, 4], planes; the entry counts rows [16, 16], one for each place. */
static void check_positions(entry *e)
{
    const tsr_stored t = {.name = "pos", .ndim = 4, .shape = {1, 16, 4, 4}, .count = 256};
    float planes[256], place[16];
    json_t *all;
    fill_positions(&t, planes);
    for (size_t d = 0; d < 16; d++)
        place[d] = planes[d * 16 + 1 * 4 + 2];
    values(e, "all_d_for_row1_col2", place, 16, 1e-6);
    all = e->v;
    e->v = json_pack("{s:o}", "table", all);
    summary(e, "table", planes, 256, 1e-6);
}

/* --- a training step of codebooks ----------------------------------------------------------------
 * 8 numbers, 6 codes, no revival; latents [2, 8, 2, 2]; cluster sizes begin as 1..6, sums as the codes;
 * the loss is the sum of the vectors and the commitment. */

typedef struct codebook {
    tsr_params *ps;
    tsr_quantizer *q;
    float z[64], out[64], dout[64], dz[64], scratch[64], planes[64];
    int32_t ids[8];
} codebook;

static float *tensor(const codebook *b, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "quantize._codebook.%s", name);
    tsr_param *p = tsr_params_find(b->ps, full);
    assert_non_null(p);
    return p->value;
}

static void open_codebook(codebook *b, int cosine, double decay)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    const tsr_quantizer_kind *kind;
    float x[64];
    c.norm_codes = cosine;
    c.codebook_size = 6;
    c.latent_dim = 8;
    c.ema_decay = decay;
    assert_ok(tsr_quantizer_find("lucid", &kind));
    assert_ok(kind->settle(&c));
    assert_ok(tsr_params_create(&b->ps));
    assert_ok(kind->declare(&c, b->ps));
    assert_ok(kind->init(&c, b->ps, 1));
    assert_ok(tsr_quantizer_create(&c, b->ps, &b->q));
    numbers(x, 999, 64);
    for (size_t i = 0; i < 2; i++)
        for (size_t d = 0; d < 8; d++)
            for (size_t t = 0; t < 4; t++)
                b->z[(i * 4 + t) * 8 + d] = x[(i * 8 + d) * 4 + t];
    numbers(tensor(b, "embed"), 4242, 48);
    if (!cosine)
        numbers(tensor(b, "embed_avg"), 4242, 48);
    for (int k = 0; k < 6; k++)
        tensor(b, "cluster_size")[k] = (float)(k + 1);
    for (size_t i = 0; i < 64; i++)
        b->dout[i] = 1;
}

/* Rows [2 * 4, 8] as [2, 8, 4]. */
static const float *as_planes(codebook *b, const float *rows)
{
    for (size_t i = 0; i < 2; i++)
        to_planes(rows + i * 32, 4, 8, b->planes + i * 32);
    return b->planes;
}

static void check_codebook(entry *e)
{
    static codebook b;
    int cosine = strstr(e->name, "cosine=True") != NULL;
    tsr_quant_step s = {.rows = 8, .z = b.z, .scratch = b.scratch, .seed = 3, .step = 5, .ids = b.ids,
                        .out = b.out, .dout = b.dout, .dz = b.dz};
    json_t *decay = take(e, "decay"), *loss = take(e, "commit_loss");
    open_codebook(&b, cosine, json_number_value(decay));
    assert_ok(b.q->kind->forward(b.q, &s));
    assert_ok(b.q->kind->backward(b.q, &s));
    assert_ok(b.q->kind->update(b.q, &s));
    same_ids(e, "tokens", b.ids, 8);
    compare(e, "commit_loss", s.commitment, json_number_value(loss), 0, 1e-6);
    summary(e, "quant", as_planes(&b, b.out), 64, 1e-6);
    summary(e, "grad_x", as_planes(&b, b.dz), 64, 1e-6);
    values(e, "cluster_size_after", tensor(&b, "cluster_size"), 6, 1e-6);
    values(e, "embed_after", tensor(&b, "embed"), 48, 1e-6);
    if (!cosine)
        values(e, "embed_avg_after", tensor(&b, "embed_avg"), 48, 1e-6);
    json_decref(decay);
    json_decref(loss);
    tsr_quantizer_destroy(b.q);
    tsr_params_destroy(b.ps);
}

/* --- all of them -------------------------------------------------------------------------------- */

static const struct {
    const char *prefix, *part; /* of the name; part: anywhere in it, or NULL */
    void (*check)(entry *e);
} checks[] = {
    {"vqvae_", NULL, check_vqvae},
    {"divae_", "DDIM4", check_run},
    {"divae_", NULL, check_network},
    {"sincos_posemb h=4 w=4 d=16", NULL, check_positions},
    {"timestep_embedding t=37 dim=32", NULL, check_time},
    {"codebook_train_step ", NULL, check_codebook},
    {"ddpm_coefficients linear zero_terminal_snr", NULL, check_coefficients},
    {"alphas_cumprod T=1000", NULL, check_schedules},
};

static void every_entry_is_reproduced(void **state)
{
    (void)state;
    json_t *list = selfcheck("golden", NULL), *v;
    const char *name;
    numbers(clean, 777, 2 * PIXELS);
    numbers(noisy, 888, 2 * PIXELS);
    assert_int_equal(json_object_size(list), 36);
    json_object_foreach(list, name, v)
    {
        size_t i = 0, n = sizeof checks / sizeof checks[0];
        entry e = {.name = name, .v = json_deep_copy(v)};
        while (i < n && !(tsr_starts_with(name, checks[i].prefix) &&
                          (!checks[i].part || strstr(name, checks[i].part))))
            i++;
        if (i == n)
            fail_msg("%s: nothing checks this entry", name);
        checks[i].check(&e);
        if (json_object_size(e.v))
            fail_msg("%s: nothing checks its %s", name, json_object_iter_key(json_object_iter(e.v)));
        print_message("%-76s within %.1e\n", name, e.worst);
        json_decref(e.v);
    }
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_reproduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

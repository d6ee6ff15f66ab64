/* SPDX-License-Identifier: Apache-2.0
 * Quantizers: exact round trips, and the traps others fell into, one test each (named for what went
 * wrong). */
#include "testing.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "vqvae/quantizer.h"

#include <math.h>

/* --- a quantizer on its own -------------------------------------------------------------------- */

typedef struct bench {
    tsr_params *ps;
    tsr_quantizer *q;
    tsr_vqvae_config c;
    tsr_quant_step s;
    float *z, *out, *dout, *dz, *scratch;
    int32_t *ids;
} bench;

static void bench_open(bench *b, const tsr_vqvae_config *c, size_t rows, uint64_t seed)
{
    const tsr_quantizer_kind *kind;
    *b = (bench){.c = *c};
    assert_ok(tsr_quantizer_find(c->quant_type, &kind));
    assert_ok(kind->settle(&b->c));
    assert_ok(tsr_params_create(&b->ps));
    assert_ok(kind->declare(&b->c, b->ps));
    assert_ok(kind->init(&b->c, b->ps, seed));
    assert_ok(tsr_params_need_grads(b->ps));
    assert_ok(tsr_quantizer_create(&b->c, b->ps, &b->q));
    size_t n = rows * b->q->width;
    assert_ok(tsr_alloc(&b->z, n, sizeof *b->z));
    assert_ok(tsr_alloc(&b->out, n, sizeof *b->out));
    assert_ok(tsr_alloc(&b->dout, n, sizeof *b->dout));
    assert_ok(tsr_alloc(&b->dz, n, sizeof *b->dz));
    assert_ok(tsr_alloc(&b->scratch, n, sizeof *b->scratch));
    assert_ok(tsr_alloc(&b->ids, rows * b->q->heads, sizeof *b->ids));
    tsr_rng r;
    tsr_rng_init(&r, seed, TSR_RNG_TEST, rows);
    for (size_t i = 0; i < n; i++) {
        b->z[i] = tsr_rng_normal(&r);
        b->dout[i] = tsr_rng_normal(&r);
    }
    b->s = (tsr_quant_step){.rows = rows, .z = b->z, .scratch = b->scratch, .seed = 3, .step = 5,
                            .ids = b->ids, .out = b->out, .dout = b->dout, .dz = b->dz};
}

static void bench_close(bench *b)
{
    tsr_quantizer_destroy(b->q);
    tsr_params_destroy(b->ps);
    tsr_free(b->z);
    tsr_free(b->out);
    tsr_free(b->dout);
    tsr_free(b->dz);
    tsr_free(b->scratch);
    tsr_free(b->ids);
}

static float *values(const bench *b, const char *name)
{
    tsr_param *p = tsr_params_find(b->ps, name);
    assert_non_null(p);
    return p->value;
}

static tsr_vqvae_config ema_config(int cosine, size_t codes, size_t width)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    c.norm_codes = cosine;
    c.codebook_size = codes;
    c.latent_dim = width;
    c.ema_decay = 0.9;
    return c;
}

#define EMBED "quantize._codebook.embed"
#define SIZES "quantize._codebook.cluster_size"
#define SUMS "quantize._codebook.embed_avg"

static void near_all(const float *got, const float *want, size_t n, double relative)
{
    for (size_t i = 0; i < n; i++)
        if (fabs((double)got[i] - (double)want[i]) > relative * fmax(1, fabs((double)want[i])))
            fail_msg("value %zu is %.9g, expected %.9g", i, (double)got[i], (double)want[i]);
}

static void step(bench *b)
{
    assert_ok(b->q->kind->forward(b->q, &b->s));
    assert_ok(b->q->kind->backward(b->q, &b->s));
    assert_ok(b->q->kind->update(b->q, &b->s));
}

/* Several heads share the codebook of a file; there is no training them. */
static void several_heads_are_for_use_only(void **state)
{
    (void)state;
    tsr_vqvae_config c = ema_config(1, 8, 4);
    const tsr_quantizer_kind *kind;
    tsr_params *ps;
    tsr_quantizer *q;
    float z[4] = {1, 2, 3, 4}, scratch[4], out[4];
    int32_t ids[2];
    c.num_codebooks = 2;
    assert_ok(tsr_quantizer_find("lucid", &kind));
    assert_ok(tsr_params_create(&ps));
    assert_ok(kind->declare(&c, ps));
    assert_fails(TSR_ECONFIG, kind->init(&c, ps, 1));
    assert_ok(tsr_quantizer_create(&c, ps, &q));
    assert_int_equal(q->heads, 2);
    tsr_quant_step s = {.rows = 1, .z = z, .scratch = scratch, .ids = ids, .out = out};
    assert_fails(TSR_EUNSUPPORTED, kind->forward(q, &s));
    tsr_quantizer_destroy(q);
    tsr_params_destroy(ps);
}

/* --- traps of EMA codebooks -------------------------------------------------------------------- */

/* Revival that replaces the code but not its sums is undone by the next update. */
static void a_revived_code_survives_the_next_updates(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        const tsr_vqvae_config c = ema_config(cosine, 8, 4);
        float code[4];
        bench b;
        bench_open(&b, &c, 64, 11);
        for (int k = 0; k < 8; k++)
            values(&b, SIZES)[k] = 50;
        values(&b, SIZES)[5] = 0;
        for (int d = 0; d < 4; d++)
            values(&b, EMBED)[5 * 4 + d] = cosine ? -1e-3f : 1e6f;
        b.s.dead_below = 1;
        step(&b);
        assert_true(b.s.revived >= 1);
        assert_true(values(&b, SIZES)[5] >= 1);
        memcpy(code, values(&b, EMBED) + 20, sizeof code);
        uint8_t nothing[64] = {0}; /* no row reaches it: its code must stay, and it is not dead */
        nothing[0] = 1;
        b.s.valid = nothing;
        memcpy(b.z, values(&b, EMBED), 4 * sizeof(float)); /* row 0 is code 0 */
        for (int i = 0; i < 3; i++) {
            b.s.step++;
            step(&b);
            assert_int_not_equal(b.ids[0], 5);
        }
        for (int d = 0; d < 4; d++)
            assert_true(fabsf(values(&b, EMBED)[20 + d] - code[d]) <= 1e-3f * (1 + fabsf(code[d])));
        bench_close(&b);
    }
}

/* A revived code is a valid row of the batch. */
static void a_revived_code_is_a_row_of_the_batch(void **state)
{
    (void)state;
    const tsr_vqvae_config c = ema_config(0, 4, 3);
    bench b;
    uint8_t valid[10] = {0, 1, 0, 1, 0, 0, 0, 0, 1, 0};
    bench_open(&b, &c, 10, 2);
    b.s.valid = valid;
    b.s.dead_below = 1e6; /* all are dead */
    step(&b);
    assert_int_equal(b.s.revived, 4);
    for (size_t k = 0; k < 4; k++) {
        int found = 0;
        for (size_t r = 0; r < 10; r++)
            found |= valid[r] && memcmp(values(&b, EMBED) + 3 * k, b.z + 3 * r, 12) == 0;
        assert_true(found);
    }
    bench_close(&b);
}

/* k-means without cluster sizes and sums is undone at the second step. */
static void kmeans_sets_cluster_sizes_and_sums(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        tsr_vqvae_config c = ema_config(cosine, 4, 2);
        c.kmeans_init = 1;
        bench b;
        bench_open(&b, &c, 40, 7);
        assert_true(values(&b, "quantize._codebook.initted")[0] == 0);
        static const float centre[4][2] = {{5, 0}, {0, 5}, {-5, 0}, {0, -5}};
        for (size_t r = 0; r < 40; r++)
            for (size_t d = 0; d < 2; d++)
                b.z[2 * r + d] = centre[r % 4][d] + 0.01f * (float)(r % 7);
        assert_ok(b.q->kind->forward(b.q, &b.s));
        assert_true(values(&b, "quantize._codebook.initted")[0] == 1);
        float codes[8], total = 0;
        memcpy(codes, values(&b, EMBED), sizeof codes);
        for (int k = 0; k < 4; k++)
            total += values(&b, SIZES)[k];
        assert_true(total == 40);
        assert_ok(b.q->kind->update(b.q, &b.s));
        for (int i = 0; i < 2; i++) {
            b.s.step++;
            step(&b);
        }
        near_all(values(&b, EMBED), codes, 8, 0.02);
        bench_close(&b);
    }
}

/* Padding and invalid pixels must not pull the codebook. */
static void invalid_latents_stay_out_of_the_statistics(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        const tsr_vqvae_config c = ema_config(cosine, 16, 4);
        bench all, some;
        uint8_t valid[48];
        bench_open(&all, &c, 32, 21);
        bench_open(&some, &c, 48, 21);
        memcpy(some.z, all.z, 32 * 4 * sizeof(float));
        memcpy(some.dout, all.dout, 32 * 4 * sizeof(float));
        memcpy(values(&some, EMBED), values(&all, EMBED), 64 * sizeof(float));
        for (size_t i = 32 * 4; i < 48 * 4; i++)
            some.z[i] = 1e3f;
        for (size_t r = 0; r < 48; r++)
            valid[r] = r < 32;
        some.s.valid = valid;
        all.s.dead_below = some.s.dead_below = 0.05;
        step(&all);
        step(&some);
        assert_memory_equal(values(&all, EMBED), values(&some, EMBED), 64 * sizeof(float));
        assert_memory_equal(values(&all, SIZES), values(&some, SIZES), 16 * sizeof(float));
        assert_true(all.s.commitment == some.s.commitment);
        assert_memory_equal(all.dz, some.dz, 32 * 4 * sizeof(float));
        assert_memory_equal(some.dz + 128, some.dout + 128, 16 * 4 * sizeof(float));
        bench_close(&all);
        bench_close(&some);
    }
}

static void a_batch_without_valid_latents_changes_nothing(void **state)
{
    (void)state;
    const tsr_vqvae_config c = ema_config(1, 8, 4);
    bench b;
    uint8_t none[8] = {0};
    float before[32];
    bench_open(&b, &c, 8, 2);
    memcpy(before, values(&b, EMBED), sizeof before);
    b.s.valid = none;
    b.s.dead_below = 1;
    step(&b);
    assert_true(b.s.commitment == 0 && b.s.revived == 0);
    assert_memory_equal(before, values(&b, EMBED), sizeof before);
    bench_close(&b);
}

/* Training must not mark, drop or noise ids: what trains is what is used, and none is -1. */
static void ids_are_the_same_in_training_and_use(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        const tsr_vqvae_config c = ema_config(cosine, 100, 5);
        int32_t ids[333];
        bench b;
        bench_open(&b, &c, 333, 4);
        assert_ok(b.q->kind->forward(b.q, &b.s));
        assert_ok(b.q->kind->encode(b.q, b.z, 333, b.scratch, ids));
        assert_memory_equal(ids, b.ids, sizeof ids);
        assert_ok(tsr_quantizer_check_ids(b.q, ids, 333));
        for (size_t r = 0; r < 333; r += 37) { /* a row by itself gives the same id */
            int32_t one;
            assert_ok(b.q->kind->encode(b.q, b.z + 5 * r, 1, b.scratch, &one));
            assert_int_equal(one, ids[r]);
        }
        bench_close(&b);
    }
}

static void the_lowest_index_wins(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        const tsr_vqvae_config c = ema_config(cosine, 70, 4);
        bench b;
        bench_open(&b, &c, 70, 9);
        for (size_t k = 35; k < 70; k++) /* the second half repeats the first */
            memcpy(values(&b, EMBED) + 4 * k, values(&b, EMBED) + 4 * (k - 35), 16);
        assert_ok(b.q->kind->encode(b.q, values(&b, EMBED), 70, b.scratch, b.ids));
        for (int32_t k = 0; k < 70; k++)
            assert_int_equal(b.ids[k], k % 35);
        bench_close(&b);
    }
}

static void codes_decode_to_themselves(void **state)
{
    (void)state;
    const tsr_vqvae_config c = ema_config(1, 64, 8);
    bench b;
    bench_open(&b, &c, 64, 9);
    for (int32_t k = 0; k < 64; k++)
        b.ids[k] = k;
    b.q->kind->decode(b.q, b.ids, 64, b.out);
    assert_memory_equal(b.out, values(&b, EMBED), 64 * 8 * sizeof(float));
    int32_t back[64];
    assert_ok(b.q->kind->encode(b.q, b.out, 64, b.scratch, back));
    assert_memory_equal(back, b.ids, sizeof back);
    b.ids[3] = 64;
    assert_fails(TSR_EFORMAT, tsr_quantizer_check_ids(b.q, b.ids, 64));
    b.ids[3] = -1;
    assert_fails(TSR_EFORMAT, tsr_quantizer_check_ids(b.q, b.ids, 64));
    bench_close(&b);
}

static void threads_do_not_change_a_codebook(void **state)
{
    (void)state;
    for (int cosine = 0; cosine < 2; cosine++) {
        const tsr_vqvae_config c = ema_config(cosine, 300, 7);
        bench one, three;
        bench_open(&one, &c, 500, 31);
        bench_open(&three, &c, 500, 31);
        one.s.dead_below = three.s.dead_below = 0.1;
        for (int i = 0; i < 3; i++) {
            one.s.step = three.s.step = (uint64_t)i;
            tsr_par_set_threads(1);
            step(&one);
            tsr_par_set_threads(3);
            step(&three);
        }
        tsr_par_set_threads(0);
        assert_memory_equal(values(&one, EMBED), values(&three, EMBED), 2100 * sizeof(float));
        assert_memory_equal(one.dz, three.dz, 3500 * sizeof(float));
        bench_close(&one);
        bench_close(&three);
    }
}

/* The gradient through normalised latents, against differences of dout.out + commitment, where out
 * follows x = z / |z| (straight-through). */
static void normalised_latents_pass_gradients(void **state)
{
    (void)state;
    tsr_vqvae_config c = ema_config(1, 8, 4);
    c.norm_latents = 1;
    bench b;
    bench_open(&b, &c, 3, 17);
    step(&b);
    for (size_t i = 0; i < 12; i++) {
        double f[2];
        for (int side = 0; side < 2; side++) {
            size_t r = i / 4;
            double x[4], length = 0, sum = 0;
            for (size_t d = 0; d < 4; d++) {
                x[d] = (double)b.z[4 * r + d] + (4 * r + d == i ? (side ? 1e-4 : -1e-4) : 0);
                length += x[d] * x[d];
            }
            for (size_t d = 0; d < 4; d++) {
                double v = x[d] / sqrt(length), e = v - (double)b.out[4 * r + d];
                sum += (double)b.dout[4 * r + d] * v + e * e / 12;
            }
            f[side] = sum;
        }
        assert_true(fabs((f[1] - f[0]) / 2e-4 - (double)b.dz[i]) < 1e-3);
    }
    bench_close(&b);
}

/* --- FSQ --------------------------------------------------------------------------------------- */

static tsr_vqvae_config fsq_config(const char *levels)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    strcpy(c.quant_type, "fsq");
    strcpy(c.levels, levels);
    return c;
}

/* Every code: ids -> vector -> the same vector from latents that bound to it -> the same id. 1001
 * levels do not fit bfloat16; here nothing leaves float32. */
static void fsq_round_trips_are_exact(void **state)
{
    (void)state;
    static const char *const all[] = {"2", "3", "8x8x8x5", "7x5x5", "1001", "2x3x4x5x6", "16x65"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const tsr_vqvae_config c = fsq_config(all[i]);
        bench b;
        bench_open(&b, &c, 1, 1);
        size_t levels[TSR_FSQ_MAX], n;
        assert_ok(tsr_vqvae_levels(all[i], levels, &n));
        for (int32_t id = 0; id < (int32_t)b.q->codes; id++) {
            float code[TSR_FSQ_MAX], z[TSR_FSQ_MAX], again[TSR_FSQ_MAX];
            int32_t back;
            b.q->kind->decode(b.q, &id, 1, code);
            for (size_t d = 0; d < n; d++) { /* invert the bound */
                double h = (double)(levels[d] - 1) * 1.001 / 2, o = levels[d] % 2 ? 0 : 0.5;
                double bounded = (double)code[d] * (double)(levels[d] / 2);
                z[d] = (float)(atanh((bounded + o) / h) - atanh(o / h));
                assert_true(fabsf(code[d]) <= 1);
            }
            assert_ok(b.q->kind->encode(b.q, z, 1, b.scratch, &back));
            assert_int_equal(back, id);
            b.q->kind->decode(b.q, &back, 1, again);
            assert_memory_equal(code, again, n * sizeof *code);
        }
        bench_close(&b);
    }
}

static void fsq_ids_are_mixed_radix_and_bounded(void **state)
{
    (void)state;
    const tsr_vqvae_config c = fsq_config("4x3");
    bench b;
    bench_open(&b, &c, 3, 1);
    assert_int_equal(b.q->codes, 12);
    assert_int_equal(b.q->width, 2);
    static const float z[] = {-1e6f, -1e6f, 1e6f, 1e6f, 1e6f, -1e6f};
    static const int32_t want[] = {0, 11, 3};
    assert_ok(b.q->kind->encode(b.q, z, 3, b.scratch, b.ids));
    assert_memory_equal(b.ids, want, sizeof want);
    bench_close(&b);
}

static void fsq_gradient_is_that_of_the_bound(void **state)
{
    (void)state;
    const tsr_vqvae_config c = fsq_config("8x5x4");
    bench b;
    bench_open(&b, &c, 5, 1);
    step(&b);
    for (size_t i = 0; i < 15; i++) {
        static const double levels[] = {8, 5, 4};
        double l = levels[i % 3], h = (l - 1) * 1.001 / 2, o = fmod(l, 2) > 0 ? 0 : 0.5;
        double z = (double)b.z[i] + atanh(o / h);
        double slope = (h * tanh(z + 1e-5) - h * tanh(z - 1e-5)) / 2e-5 / floor(l / 2);
        assert_true(fabs(slope * (double)b.dout[i] - (double)b.dz[i]) < 1e-4);
    }
    bench_close(&b);
}

/* --- product codes ----------------------------------------------------------------------------- */

static tsr_vqvae_config mem_config(void)
{
    tsr_vqvae_config c = tsr_vqvae_config_defaults();
    strcpy(c.quant_type, "memcodes");
    c.codebook_size = 12;
    c.num_codebooks = 3;
    c.latent_dim = 6;
    return c;
}

static void product_codes_follow_the_formula(void **state)
{
    (void)state;
    const tsr_vqvae_config c = mem_config();
    bench b;
    bench_open(&b, &c, 9, 13);
    const float *codes = values(&b, "quantize.codes"), *k = values(&b, "quantize.to_k.weight");
    const float *v = values(&b, "quantize.to_v.weight");
    assert_ok(b.q->kind->encode(b.q, b.z, 9, b.scratch, b.ids));
    b.q->kind->decode(b.q, b.ids, 9, b.out);
    for (size_t h = 0; h < 3; h++) {
        for (size_t r = 0; r < 9; r++) {
            size_t best = 0;
            double most = -1e30;
            for (size_t m = 0; m < 12; m++) {
                double score = 0;
                for (size_t i = 0; i < 2; i++)
                    for (size_t j = 0; j < 2; j++)
                        score += (double)b.z[r * 6 + h * 2 + i] *
                                 (double)codes[(h * 12 + m) * 2 + j] *
                                 (double)k[(h * 2 + j) * 2 + i];
                if (score > most) {
                    most = score;
                    best = m;
                }
            }
            assert_int_equal(b.ids[h * 9 + r], best);
            for (size_t i = 0; i < 2; i++) {
                float want = codes[(h * 12 + best) * 2] * v[h * 4 + i] +
                             codes[(h * 12 + best) * 2 + 1] * v[h * 4 + 2 + i];
                assert_true(fabsf(b.out[r * 6 + h * 2 + i] - want) < 1e-6f);
            }
        }
    }
    bench_close(&b);
}

/* What backward differentiates: dout . (sum_m y_m v0_m) with the values held, y the softmax of noisy
 * scores, plus dout . v[id] with ids held. */
static double surrogate(bench *b, const float *v0)
{
    const float *codes = values(b, "quantize.codes"), *to_k = values(b, "quantize.to_k.weight");
    const float *to_v = values(b, "quantize.to_v.weight");
    double total = 0;
    for (size_t h = 0; h < 3; h++) {
        for (size_t r = 0; r < b->s.rows; r++) {
            tsr_rng rng;
            tsr_rng_init(&rng, b->s.seed, TSR_RNG_CODEBOOK, b->s.step << 32 | (r * 3 + h));
            double y[12], sum = 0;
            for (size_t m = 0; m < 12; m++) {
                double score = -log(-log((double)(tsr_rng_float(&rng) + 0x1p-25f)));
                for (size_t i = 0; i < 2; i++)
                    for (size_t j = 0; j < 2; j++)
                        score += (double)b->z[r * 6 + h * 2 + i] / sqrt(2) *
                                 (double)codes[(h * 12 + m) * 2 + j] *
                                 (double)to_k[(h * 2 + j) * 2 + i];
                y[m] = exp(score);
                sum += y[m];
            }
            size_t id = (size_t)b->ids[h * b->s.rows + r];
            for (size_t i = 0; i < 2; i++) {
                double go = (double)b->dout[r * 6 + h * 2 + i];
                for (size_t m = 0; m < 12; m++)
                    total += go * y[m] / sum * (double)v0[(h * 12 + m) * 2 + i];
                for (size_t j = 0; j < 2; j++)
                    total += go * (double)codes[(h * 12 + id) * 2 + j] *
                             (double)to_v[(h * 2 + j) * 2 + i];
            }
        }
    }
    return total;
}

static void check_differences(bench *b, const float *v0, float *x, const float *grad, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float keep = x[i];
        x[i] = keep + 1e-3f;
        double up = surrogate(b, v0);
        x[i] = keep - 1e-3f;
        double down = surrogate(b, v0);
        x[i] = keep;
        double want = (up - down) / 2e-3;
        if (fabs(want - (double)grad[i]) > 2e-3 * (1 + fabs(want)))
            fail_msg("gradient %zu is %g, differences give %g", i, (double)grad[i], want);
    }
}

static void product_codes_have_the_right_gradients(void **state)
{
    (void)state;
    const tsr_vqvae_config c = mem_config();
    float v0[72];
    bench b;
    bench_open(&b, &c, 4, 19);
    for (int32_t m = 0; m < 12; m++) { /* values of all codes, head by head, through decode */
        int32_t ids[3] = {m, m, m};
        float row[6];
        b.q->kind->decode(b.q, ids, 1, row);
        for (size_t h = 0; h < 3; h++)
            memcpy(v0 + (h * 12 + (size_t)m) * 2, row + 2 * h, 2 * sizeof(float));
    }
    step(&b);
    check_differences(&b, v0, b.z, b.dz, 24);
    for (size_t i = 0; i < tsr_params_count(b.ps); i++) {
        tsr_param *p = tsr_params_at(b.ps, i);
        check_differences(&b, v0, p->value, p->grad, p->count);
    }
    bench_close(&b);
}

static void product_codes_notice_changed_weights(void **state)
{
    (void)state;
    const tsr_vqvae_config c = mem_config();
    bench b;
    bench_open(&b, &c, 4, 19);
    tsr_param *v = tsr_params_find(b.ps, "quantize.to_v.weight");
    tsr_param_init(v, TSR_INIT_ZERO, 0, 0);
    assert_ok(b.q->kind->refresh(b.q));
    assert_ok(b.q->kind->encode(b.q, b.z, 4, b.scratch, b.ids));
    b.q->kind->decode(b.q, b.ids, 4, b.out);
    for (size_t i = 0; i < 24; i++)
        assert_true(b.out[i] == 0);
    bench_close(&b);
}

static void unknown_kinds_are_refused(void **state)
{
    (void)state;
    const tsr_quantizer_kind *kind;
    assert_fails(TSR_EUNSUPPORTED, tsr_quantizer_find("vq-next", &kind));
    size_t levels[TSR_FSQ_MAX], n;
    static const char *const bad[] = {"", "8x", "x8", "1x8", "8,8", "70000", "8x8 ",
                                      "2x2x2x2x2x2x2x2x2x2x2x2x2x2x2x2x2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(TSR_ECONFIG, tsr_vqvae_levels(bad[i], levels, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_heads_are_for_use_only),
        cmocka_unit_test(a_revived_code_survives_the_next_updates),
        cmocka_unit_test(a_revived_code_is_a_row_of_the_batch),
        cmocka_unit_test(kmeans_sets_cluster_sizes_and_sums),
        cmocka_unit_test(invalid_latents_stay_out_of_the_statistics),
        cmocka_unit_test(a_batch_without_valid_latents_changes_nothing),
        cmocka_unit_test(ids_are_the_same_in_training_and_use),
        cmocka_unit_test(the_lowest_index_wins),
        cmocka_unit_test(codes_decode_to_themselves),
        cmocka_unit_test(threads_do_not_change_a_codebook),
        cmocka_unit_test(normalised_latents_pass_gradients),
        cmocka_unit_test(fsq_round_trips_are_exact),
        cmocka_unit_test(fsq_ids_are_mixed_radix_and_bounded),
        cmocka_unit_test(fsq_gradient_is_that_of_the_bound),
        cmocka_unit_test(product_codes_follow_the_formula),
        cmocka_unit_test(product_codes_have_the_right_gradients),
        cmocka_unit_test(product_codes_notice_changed_weights),
        cmocka_unit_test(unknown_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

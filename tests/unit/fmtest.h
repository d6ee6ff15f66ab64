/* SPDX-License-Identifier: Apache-2.0
 * Small masked models and random examples for tests. */
#ifndef TSR_TESTS_FMTEST_H
#define TSR_TESTS_FMTEST_H

#include "testing.h"

#include "base/mem.h"
#include "base/rng.h"
#include "nn/adamw.h"
#include "trainer/fmnet.h"

/* Modalities of the test model, by index (names are in order). */
enum { CAPTION, DEPTH, GLOBAL, LABEL, PIXELS, WORDS, TEST_MODS };

static inline void fmtest_add(tsr_mods *mods, tsr_mod m, const char *name)
{
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_ok(tsr_mods_add(mods, &m));
}

/* Text in and out, a grid in and out, learned positions in and out, a grid out only, pixels, a text
 * in only. `ids`: size of the grids' vocabularies. */
static inline void fmtest_mods(tsr_mods *mods, uint32_t ids)
{
    const tsr_mod grid = {.cls = TSR_CLASS_IMAGE,
                          .input = 1,
                          .output = 1,
                          .vocabulary = ids,
                          .height = 3,
                          .width = 4,
                          .places = 12,
                          .max_tokens = 12,
                          .positions = 12};
    const tsr_mod text = {.cls = TSR_CLASS_SEQUENCE,
                          .input = 1,
                          .output = 1,
                          .vocabulary = 300,
                          .height = 1,
                          .width = 1,
                          .max_tokens = 20,
                          .positions = 512};
    tsr_mod vector = grid, label = grid, pixels = grid, words = text, depth = grid;
    depth.base = 300;
    vector.cls = TSR_CLASS_VECTOR;
    vector.height = 1;
    vector.width = vector.places = vector.positions = vector.max_tokens = 5;
    vector.base = 300 + ids;
    label.input = 0;
    label.base = 300 + 2 * ids;
    pixels.cls = TSR_CLASS_PIXELS;
    pixels.output = 0;
    pixels.vocabulary = 0;
    pixels.patch_values = 12;
    words.output = 0;
    mods->count = 0;
    fmtest_add(mods, text, "caption");
    fmtest_add(mods, depth, "depth");
    fmtest_add(mods, vector, "global");
    fmtest_add(mods, label, "label");
    fmtest_add(mods, pixels, "pixels");
    fmtest_add(mods, words, "words");
}

/* gated without biases, or GELU with biases, query/key norms and registers */
static inline tsr_fm_config fmtest_config(int biased, uint32_t ids)
{
    tsr_fm_config c = {.dim = 48,
                       .encoder_depth = 2,
                       .decoder_depth = 2,
                       .heads = 3,
                       .mlp_ratio = 4.0,
                       .gated_mlp = !biased,
                       .gelu = biased,
                       .qkv_bias = biased,
                       .proj_bias = biased,
                       .mlp_bias = biased,
                       .norm_bias = biased,
                       .qk_norm = biased,
                       .registers = biased ? 2 : 0,
                       .image_size = 16,
                       .patch_size = 4};
    fmtest_mods(&c.mods, ids);
    return c;
}

static inline tsr_fmnet_spec fmtest_spec(const tsr_fm_config *c, tsr_fmnet_mode mode,
                                         tsr_precision precision, size_t samples)
{
    tsr_fmnet_spec s = {.mode = mode,
                        .precision = precision,
                        .samples = samples,
                        .in_rows = 60 * samples,
                        .out_rows = 40 * samples};
    for (size_t m = 0; m < c->mods.count; m++) {
        s.in_of[m] = c->mods.items[m].input ? 20 * samples : 0;
        s.out_of[m] = c->mods.items[m].output ? 20 * samples : 0;
    }
    return s;
}

/* `rows` distinct places in order, or ranks. */
static inline void fmtest_positions(const tsr_mod *m, tsr_rng *rng, tsr_rows *r)
{
    uint32_t left = r->count, at = 0;
    for (uint32_t place = 0; left; place++) {
        uint32_t rest = m->places - place;
        if (m->cls != TSR_CLASS_SEQUENCE && tsr_rng_below(rng, rest) >= left)
            continue;
        r->positions[at++] = (int32_t)place;
        left--;
    }
}

/* Random rows: of each modality up to `most` on each side, none for some. */
static inline void fmtest_fill(tsr_example *e, const tsr_mods *mods, tsr_rng *rng, uint32_t most)
{
    tsr_example_reset(e);
    for (size_t m = 0; m < 2 * mods->count; m++) {
        const tsr_mod *mod = &mods->items[m / 2];
        int target = m % 2;
        uint32_t limit = mod->places && mod->places < most ? mod->places : most;
        uint32_t rows = tsr_rng_below(rng, limit + 1);
        tsr_rows *r = target ? &e->out[m / 2] : &e->in[m / 2];
        if ((target ? !mod->output : !mod->input) || !rows)
            continue;
        assert_ok(tsr_example_rows(e, r, rows));
        fmtest_positions(mod, rng, r);
        if (mod->cls == TSR_CLASS_PIXELS) {
            r->patches = e->bytes + e->bytes_used;
            for (size_t i = 0; i < (size_t)rows * mod->patch_values; i++)
                e->bytes[e->bytes_used++] = (uint8_t)tsr_rng_below(rng, 256);
            continue;
        }
        for (uint32_t i = 0; i < rows; i++) {
            r->ids[i] = (int32_t)tsr_rng_below(rng, mod->vocabulary);
            r->labels[i] = (int32_t)tsr_rng_below(rng, mod->vocabulary);
        }
    }
}

#define FMTEST_EXAMPLES 8

/* A few random examples; item i does not depend on how many there are. */
typedef struct fmtest_batch {
    tsr_example items[FMTEST_EXAMPLES];
    const tsr_example *list[FMTEST_EXAMPLES];
} fmtest_batch;

static inline void fmtest_batch_init(fmtest_batch *b, const tsr_mods *mods, uint64_t seed,
                                     uint32_t most)
{
    for (size_t i = 0; i < FMTEST_EXAMPLES; i++) {
        tsr_rng rng;
        tsr_rng_init(&rng, seed, TSR_RNG_TEST, i);
        assert_ok(tsr_example_init(&b->items[i], mods, 200, 12 * 20));
        fmtest_fill(&b->items[i], mods, &rng, most);
        b->items[i].sample = i;
        b->list[i] = &b->items[i];
    }
}

static inline void fmtest_batch_clear(fmtest_batch *b)
{
    for (size_t i = 0; i < FMTEST_EXAMPLES; i++)
        tsr_example_clear(&b->items[i]);
}

/* AdamW on batches of 16 examples for so many steps. TESSERA_VERBOSE shows losses. */
static inline void fmtest_teach(tsr_fm *m, size_t steps, void (*example)(tsr_example *e, tsr_rng *r))
{
    enum { BATCH = 16 };
    tsr_fmnet_spec s =
        fmtest_spec(tsr_fm_get_config(m), TSR_FMNET_TRAIN, TSR_PRECISION_FP32, BATCH);
    tsr_params *ps = tsr_fm_params(m);
    tsr_adamw opt = tsr_adamw_defaults();
    tsr_example e[BATCH];
    const tsr_example *list[BATCH];
    tsr_fmnet *n;
    double norm;
    opt.weight_decay = 0.0;
    assert_ok(tsr_params_need_grads(ps));
    assert_ok(tsr_fmnet_create(m, &s, &n));
    for (size_t i = 0; i < BATCH; i++) {
        assert_ok(tsr_example_init(&e[i], &tsr_fm_get_config(m)->mods, 60, 0));
        list[i] = &e[i];
    }
    for (size_t step = 1; step <= steps; step++) {
        tsr_params_zero_grads(ps);
        for (size_t i = 0; i < BATCH; i++) {
            tsr_rng r;
            tsr_rng_init(&r, 9, TSR_RNG_TEST, step * BATCH + i);
            example(&e[i], &r);
        }
        assert_ok(tsr_fmnet_run(n, list, BATCH, 1.0));
        assert_ok(tsr_grad_norm(ps, &norm));
        opt.lr =
            2e-3 * (step < 20 ? (double)step / 20.0 : 1.0 - 0.9 * (double)step / (double)steps);
        assert_ok(tsr_adamw_step(ps, &opt, step, tsr_clip_factor(norm, 1.0)));
        if (step % 50 == 0 && getenv("TESSERA_VERBOSE"))
            print_message("step %zu loss %g\n", step, tsr_fmnet_loss(n));
    }
    for (size_t i = 0; i < BATCH; i++)
        tsr_example_clear(&e[i]);
    tsr_fmnet_destroy(n);
}

#endif

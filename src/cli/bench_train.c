/* SPDX-License-Identifier: Apache-2.0
 * tessera bench train: training steps of the masked model, in tokens a second. */
#include "cli/contest.h"

#include "base/mem.h"
#include "base/rng.h"
#include "trainer/fmtrain.h"

#include <stdio.h>

#define SHOWN     128 /* input tokens of a sample, and as many targets */
#define EACH_GRID 20  /* of them in each grid; the rest is text */

/* Modalities and vocabularies of 4M-7, its pixels left out. */
static const struct {
    const char *name;
    uint32_t vocabulary, side; /* side 0: a sequence */
} modalities[] = {
    {"caption", 30000, 0},      {"det", 30000, 0},          {"tok_clip@224", 8192, 14},
    {"tok_depth@224", 8192, 14}, {"tok_normal@224", 8192, 14}, {"tok_rgb@224", 16384, 14},
    {"tok_semseg@224", 4096, 14},
};
#define MODALITIES (sizeof modalities / sizeof modalities[0])

typedef struct run {
    tsr_fm *model;
    tsr_fmtrain *train;
    tsr_example *examples; /* [batch] */
    const tsr_example **list;
    size_t batch;
} run;

static tsr_status model_init(run *r)
{
    tsr_fm_config c = {0};
    TSR_TRY(tsr_fm_preset("tiny", &c));
    for (size_t i = 0; i < MODALITIES; i++) {
        tsr_mod m;
        tsr_token_space s = {.layout = TSR_LAYOUT_SEQUENCE, .height = 1, .width = 1, .levels = 1,
                             .codebook_size = modalities[i].vocabulary};
        if (modalities[i].side) {
            s.layout = TSR_LAYOUT_GRID;
            s.height = s.width = modalities[i].side;
        }
        snprintf(s.modality, sizeof s.modality, "%s", modalities[i].name);
        snprintf(s.vocabulary, sizeof s.vocabulary, "%s", modalities[i].name);
        tsr_mod_of_space(&s, &m);
        TSR_TRY(tsr_mods_add(&c.mods, &m));
    }
    return tsr_fm_create(&c, 1, &r->model);
}

/* count random rows of modality m; positions of a grid begin anywhere. */
static tsr_status fill_rows(tsr_example *e, tsr_rows *rows, const tsr_mod *m, uint32_t count,
                            tsr_rng *rng)
{
    uint32_t first = m->places > count ? tsr_rng_below(rng, m->places - count + 1) : 0;
    TSR_TRY(tsr_example_rows(e, rows, count));
    for (uint32_t i = 0; i < count; i++) {
        rows->ids[i] = (int32_t)tsr_rng_below(rng, m->vocabulary);
        rows->labels[i] = (int32_t)tsr_rng_below(rng, m->vocabulary);
        rows->positions[i] = (int32_t)(first + i);
    }
    return TSR_OK;
}

static tsr_status example_init(tsr_example *e, const tsr_mods *mods, uint64_t index)
{
    tsr_rng rng;
    uint32_t text = (SHOWN - 5 * EACH_GRID) / 2;
    TSR_TRY(tsr_example_init(e, mods, 2 * SHOWN, 0));
    tsr_rng_init(&rng, 1, TSR_RNG_TEST, index);
    for (size_t m = 0; m < mods->count; m++) {
        uint32_t count = mods->items[m].places ? EACH_GRID : text;
        TSR_TRY(fill_rows(e, &e->in[m], &mods->items[m], count, &rng));
        TSR_TRY(fill_rows(e, &e->out[m], &mods->items[m], count, &rng));
    }
    return TSR_OK;
}

static tsr_status run_init(run *r, const tsr_bench_settings *s)
{
    tsr_fmtrain_options o = tsr_fmtrain_defaults();
    TSR_TRY(model_init(r));
    const tsr_mods *mods = &tsr_fm_get_config(r->model)->mods;
    r->batch = o.batch = (size_t)s->batch;
    o.precision = tsr_precision_chosen(s->precision);
    o.in_rows = o.out_rows = SHOWN;
    for (size_t m = 0; m < mods->count; m++)
        o.in_of[m] = o.out_of[m] = SHOWN;
    o.explode = 0;
    TSR_TRY(tsr_fmtrain_create(r->model, &o, &r->train));
    TSR_TRY(tsr_alloc(&r->examples, r->batch, sizeof *r->examples));
    TSR_TRY(tsr_alloc(&r->list, r->batch, sizeof *r->list));
    for (size_t i = 0; i < r->batch; i++) {
        TSR_TRY(example_init(&r->examples[i], mods, i));
        r->list[i] = &r->examples[i];
    }
    return TSR_OK;
}

static void run_clear(run *r)
{
    for (size_t i = 0; r->examples && i < r->batch; i++)
        tsr_example_clear(&r->examples[i]);
    tsr_free(r->examples);
    tsr_free(r->list);
    tsr_fmtrain_destroy(r->train);
    tsr_fm_destroy(r->model);
}

static double step(void *ctx, tsr_status *st)
{
    run *r = ctx;
    tsr_fmtrain_report report = {0};
    *st = tsr_fmtrain_step(r->train, r->list, r->batch, &report);
    return report.flops;
}

tsr_status tsr_bench_train(const tsr_bench_settings *s)
{
    tsr_status st;
    run r = {0};
    tsr_bench_product *product = NULL;
    tsr_precision precision = tsr_precision_chosen(s->precision);
    TSR_GO(run_init(&r, s));
    tsr_contest c = {.name = "train tiny, 4M-7", .once = step, .ctx = &r, .unit = "tokens",
                     .units = (double)(r.batch * 2 * SHOWN)};
    TSR_GO(tsr_bench_product_create(r.batch * SHOWN, 1536, 384, precision, &product));
    TSR_GO(tsr_contest_hold(&c, s, precision, product));
out:
    tsr_bench_product_destroy(product);
    run_clear(&r);
    return st;
}

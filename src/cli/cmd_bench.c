/* SPDX-License-Identifier: Apache-2.0
 * tessera bench: the engine's speed beside that of the matrix-product library on this machine. */
#include "base/cpu.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "cli/contest.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "nn/ops.h"
#include "nn/params.h"
#include "vqvae/vqvae.h"

#include <stdio.h>
#include <string.h>

typedef tsr_bench_settings settings;

static const tsr_option options[] = {
    {"precision", 'p', TSR_OPT_CHOICE, offsetof(settings, precision), "auto", 0, 0,
     TSR_PRECISION_CHOICES, "arithmetic of the products; auto is the engine's own choice"},
    {"size", 0, TSR_OPT_LIST, offsetof(settings, sizes), NULL, 0, 0, "MxNxK",
     "gemm: rows, columns and depth of the product; repeat for more"},
    {"width", 0, TSR_OPT_INT, offsetof(settings, width), "768", 64, 4096, "D",
     "encode: width of the ViT encoder, a multiple of 64"},
    {"depth", 0, TSR_OPT_INT, offsetof(settings, depth), "12", 1, 64, "N",
     "encode: blocks of the ViT encoder"},
    {"image", 0, TSR_OPT_INT, offsetof(settings, image), "224", 16, 1024, "PIXELS",
     "encode: side of the picture, a multiple of 16"},
    {"batch", 0, TSR_OPT_INT, offsetof(settings, batch), "16", 1, 4096, "N",
     "train: samples of a step"},
    {"seconds", 0, TSR_OPT_NUMBER, offsetof(settings, seconds), "0.5", 0.01, 60, "S",
     "time of one turn of each side"},
    {"rounds", 0, TSR_OPT_INT, offsetof(settings, rounds), "4", 1, 1000, "N",
     "turns of each side; the sides alternate, because shared machines change speed"},
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
};

static tsr_status turn(tsr_contest *c, double seconds, double *flops, double *spent, double *calls)
{
    tsr_status st = TSR_OK;
    double start = tsr_now_s(), now = start;
    while (now - start < seconds) {
        *flops += c->once(c->ctx, &st);
        TSR_TRY(st);
        *calls += 1;
        now = tsr_now_s();
    }
    *spent += now - start;
    return TSR_OK;
}

static tsr_status report(const tsr_contest *c, const settings *s, tsr_precision precision)
{
    double share = c->library > 0 ? c->ours / c->library : 0;
    if (!s->json) {
        printf("%-28s %s  %8.1f GFLOP/s   oneDNN product %8.1f GFLOP/s   %5.1f %%   %.1f %s/s\n",
               c->name, tsr_precision_name(precision), c->ours / 1e9, c->library / 1e9,
               100 * share, c->per_second, c->unit);
        fflush(stdout);
        return TSR_OK;
    }
    json_t *v = json_pack("{s:s, s:s, s:i, s:s, s:f, s:f, s:f, s:f, s:s}", "name", c->name,
                          "precision", tsr_precision_name(precision), "threads", tsr_par_threads(),
                          "cpu", tsr_cpu_model(), "gflops", c->ours / 1e9, "library_gflops",
                          c->library / 1e9, "share", share, "per_second", c->per_second, "unit",
                          c->unit);
    tsr_status st = v ? tsr_print_json(v, 0) : TSR_ENOMEM;
    json_decref(v);
    return st;
}

tsr_status tsr_contest_hold(tsr_contest *c, const settings *s, tsr_precision precision,
                            tsr_bench_product *product)
{
    double flops = 0, spent = 0, calls = 0, library = 0;
    tsr_status st = TSR_OK;
    c->once(c->ctx, &st); /* the first call makes what later ones reuse */
    TSR_TRY(st);
    for (long long i = 0; i < s->rounds; i++) {
        library += tsr_bench_product_run(product, s->seconds);
        TSR_TRY(turn(c, s->seconds, &flops, &spent, &calls));
    }
    c->ours = flops / spent;
    c->per_second = calls * c->units / spent;
    c->library = library / (double)s->rounds;
    return report(c, s, precision);
}

/* --- gemm: one linear layer of the engine --- */

typedef struct layer {
    tsr_exec *exec;
    double flops;
} layer;

static double run_layer(void *ctx, tsr_status *st)
{
    const layer *l = ctx;
    *st = tsr_exec_forward(l->exec);
    return l->flops;
}

static void fill(float *x, size_t n)
{
    tsr_rng r;
    tsr_rng_init(&r, 1, TSR_RNG_TEST, n);
    for (size_t i = 0; i < n; i++)
        x[i] = tsr_rng_range(&r, -1, 1);
}

static tsr_status build_layer(tsr_params *ps, const size_t size[3], tsr_precision precision,
                              tsr_graph **graph, layer *l)
{
    tsr_param *w;
    TSR_TRY(tsr_params_add(ps, "w", 0, 2, (size_t[]){size[1], size[2]}, &w));
    fill(w->value, size[1] * size[2]);
    TSR_TRY(tsr_graph_create(ps, precision, graph));
    tsr_value x = tsr_input(*graph, "x", TSR_F32, 2, (size_t[]){size[0], size[2]});
    tsr_value y = tsr_linear(*graph, x, tsr_weight(*graph, "w"), TSR_NONE, TSR_ACT_NONE);
    tsr_graph_output(*graph, y);
    TSR_TRY(tsr_exec_create(*graph, &l->exec));
    fill(tsr_exec_input(l->exec, x), size[0] * size[2]);
    l->flops = 2.0 * (double)size[0] * (double)size[1] * (double)size[2];
    return TSR_OK;
}

static tsr_status bench_size(const settings *s, const size_t size[3])
{
    char name[64];
    tsr_precision precision = tsr_precision_chosen(s->precision);
    tsr_params *ps = NULL;
    tsr_graph *graph = NULL;
    layer l = {0};
    tsr_bench_product *product = NULL;
    tsr_status st;
    snprintf(name, sizeof name, "linear %zux%zux%zu", size[0], size[1], size[2]);
    tsr_contest c = {.name = name, .once = run_layer, .ctx = &l, .units = 1, .unit = "products"};
    TSR_GO(tsr_params_create(&ps));
    TSR_GO(build_layer(ps, size, precision, &graph, &l));
    TSR_GO(tsr_bench_product_create(size[0], size[1], size[2], precision, &product));
    TSR_GO(tsr_contest_hold(&c, s, precision, product));
out:
    tsr_bench_product_destroy(product);
    tsr_exec_destroy(l.exec);
    tsr_graph_destroy(graph);
    tsr_params_destroy(ps);
    return st;
}

static tsr_status parse_size(const char *text, size_t size[3])
{
    char end;
    if (sscanf(text, "%5zux%5zux%5zu%c", &size[0], &size[1], &size[2], &end) != 3 || !size[0] ||
        !size[1] || !size[2])
        TSR_FAIL(TSR_EARG, "--size=%s: expected MxNxK, each 1 to 99999", text);
    return TSR_OK;
}

static tsr_status bench_gemm(const settings *s)
{
    /* The four products of a ViT-B block on eight pictures of 196 tokens. */
    static const size_t usual[][3] = {
        {1568, 2304, 768}, {1568, 768, 768}, {1568, 3072, 768}, {1568, 768, 3072}};
    size_t size[3];
    for (size_t i = 0; i < s->sizes.count; i++) {
        TSR_TRY(parse_size(s->sizes.items[i], size));
        TSR_TRY(bench_size(s, size));
    }
    for (size_t i = 0; s->sizes.count == 0 && i < sizeof usual / sizeof usual[0]; i++)
        TSR_TRY(bench_size(s, usual[i]));
    return TSR_OK;
}

/* --- encode: the encoder of an image tokenizer, a picture on each thread --- */

typedef struct encoder {
    tsr_vqvae *model;
    tsr_vqvae_plan *plan;
    tsr_vqvae_work **works; /* [threads] */
    float *pixels;
    int32_t *ids; /* [threads, ids] */
    size_t threads;
} encoder;

static tsr_status encode_item(void *ctx, size_t i, int lane)
{
    const encoder *e = ctx;
    tsr_vqvae_input in = {.pixels = e->pixels};
    size_t ids = tsr_vqvae_plan_sizes(e->plan)->ids;
    return tsr_vqvae_encode(e->works[lane], &in, NULL, e->ids + i * ids);
}

/* One picture a thread. */
static double run_encoder(void *ctx, tsr_status *st)
{
    const encoder *e = ctx;
    *st = tsr_par_for(e->threads, encode_item, ctx);
    return (double)e->threads * tsr_vqvae_plan_sizes(e->plan)->encode_flops;
}

static void encoder_clear(encoder *e)
{
    for (size_t i = 0; e->works && i < e->threads; i++)
        tsr_vqvae_work_destroy(e->works[i]);
    tsr_free(e->works);
    tsr_free(e->pixels);
    tsr_free(e->ids);
    tsr_vqvae_plan_destroy(e->plan);
    tsr_vqvae_destroy(e->model);
}

static tsr_status encoder_init(encoder *e, const settings *s, tsr_precision precision)
{
    tsr_vqvae_config config = tsr_vqvae_config_defaults();
    size_t side = (size_t)s->image;
    config.image_size = side;
    config.enc_dim = (size_t)s->width;
    config.enc_heads = (size_t)s->width / 64;
    config.enc_depth = (size_t)s->depth;
    config.dec_depth = 1;
    e->threads = (size_t)tsr_par_threads();
    TSR_TRY(tsr_vqvae_create(&config, 1, &e->model));
    TSR_TRY(tsr_vqvae_plan_create(e->model, 0, 0, precision, &e->plan));
    TSR_TRY(tsr_alloc(&e->works, e->threads, sizeof *e->works));
    for (size_t i = 0; i < e->threads; i++)
        TSR_TRY(tsr_vqvae_work_create(e->plan, &e->works[i]));
    TSR_TRY(tsr_alloc(&e->pixels, 3 * side * side, sizeof *e->pixels));
    TSR_TRY(tsr_alloc(&e->ids, e->threads * tsr_vqvae_plan_sizes(e->plan)->ids, sizeof *e->ids));
    fill(e->pixels, 3 * side * side);
    return TSR_OK;
}

static tsr_status bench_encode(const settings *s)
{
    char name[64];
    tsr_precision precision = tsr_precision_chosen(s->precision);
    encoder e = {0};
    tsr_bench_product *product = NULL;
    tsr_status st;
    tsr_contest c = {.name = name, .once = run_encoder, .ctx = &e, .unit = "images"};
    if (s->width % 64 || s->image % 16)
        TSR_FAIL(TSR_EARG, "--width must be a multiple of 64, --image of 16");
    snprintf(name, sizeof name, "ViT encoder %lldx%lld", s->width, s->depth);
    TSR_GO(encoder_init(&e, s, precision));
    size_t tokens = (size_t)(s->image / 16) * (size_t)(s->image / 16), width = (size_t)s->width;
    TSR_GO(tsr_bench_product_create(tokens, 4 * width, width, precision, &product));
    c.units = (double)e.threads;
    TSR_GO(tsr_contest_hold(&c, s, precision, product));
out:
    tsr_bench_product_destroy(product);
    encoder_clear(&e);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    (void)n_operands;
    tsr_par_set_threads((int)s->threads);
    if (strcmp(operands[0], "gemm") == 0)
        return tsr_finish(bench_gemm(s));
    if (strcmp(operands[0], "encode") == 0)
        return tsr_finish(bench_encode(s));
    if (strcmp(operands[0], "train") == 0)
        return tsr_finish(tsr_bench_train(s));
    tsr_say("bench %s: expected gemm, encode or train", operands[0]);
    return TSR_EXIT_USAGE;
}

const tsr_command tsr_cmd_bench = {
    .name = "bench",
    .operands = "gemm|encode|train",
    .summary = "measure the engine beside the machine's own limit",
    .details =
        "gemm runs linear layers of the engine; encode runs the ViT encoder of an image tokenizer, one "
        "picture a thread; train runs whole training steps of the masked model \"tiny\" (width 384, 6+6 "
        "layers, 128 input and 128 target tokens a sample) with the modalities and vocabularies of "
        "4M-7. Each figure stands beside the rate of a plain matrix product of oneDNN on "
        "all threads, measured in turns with it.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

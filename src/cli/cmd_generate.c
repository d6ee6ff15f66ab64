/* SPDX-License-Identifier: Apache-2.0
 * tessera generate: any given modalities to any others. */
#include "base/mem.h"
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preview.h"
#include "cli/progress.h"
#include "tasks/generation.h"
#include "trainer/genpresets.h"

typedef struct settings {
    int json, colour, progress, preset, grow, no_grow, no_sentinel, precision, quiet;
    long long threads, variants, seed, batch, decoder_steps;
    const char *corpus, *out, *guidance, *super;
    tsr_option_list from, to, keep, hide, set, weight, sample, tokenizers;
} settings;

static const tsr_option options[] = {
    {"from", 'f', TSR_OPT_LIST, offsetof(settings, from), NULL, 0, 0, "MODALITY=FILE",
     "a condition: MODALITY=FILE, MODALITY:=TEXT, or with --sample names of modalities; repeat for "
     "more"},
    {"to", 't', TSR_OPT_LIST, offsetof(settings, to), NULL, 0, 0, "MODALITY,...",
     "what to generate, in this order, or all"},
    {"keep", 0, TSR_OPT_LIST, offsetof(settings, keep), NULL, 0, 0, "MODALITY=WHAT",
     "only this of a grid is given: a SHARE of its tokens, X0,Y0,X1,Y1 in shares of the picture, or "
     "a picture that is white there"},
    {"hide", 0, TSR_OPT_LIST, offsetof(settings, hide), NULL, 0, 0, "MODALITY=WHAT",
     "this of a grid is not given, the same words"},
    {"variants", 'n', TSR_OPT_INT, offsetof(settings, variants), "1", 1, 100000, "N",
     "results for each sample"},
    {"seed", 0, TSR_OPT_INT, offsetof(settings, seed), "0", 0, 9007199254740992.0, "N",
     "random numbers are a function of seed, sample and variant"},
    {"out", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "FOLDER",
     "write results and generate.json there"},
    {"sample", 0, TSR_OPT_LIST, offsetof(settings, sample), NULL, 0, 0, "KEY",
     "take conditions from the sample of the corpus with this key or number; repeat for more"},
    {"corpus", 0, TSR_OPT_STRING, offsetof(settings, corpus), NULL, 0, 0, "FOLDER",
     "corpus of the samples; its tokenizers are used, too"},
    {"tokenizers", 0, TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "[MODALITY=]PATH",
     "tokenizer file, or folder of them, or the file of one modality; repeat for more"},
    {"super-resolution", 0, TSR_OPT_STRING, offsetof(settings, super), NULL, 0, 0, "MODEL",
     "generate the same larger, with a second model that sees what was given and generated"},
    {"set", 's', TSR_OPT_LIST, offsetof(settings, set), NULL, 0, 0, "[MODALITY.]KEY=VALUE,...",
     "how a target is generated; without a modality for all targets it applies to"},
    {"preset", 0, TSR_OPT_CHOICE, offsetof(settings, preset), "none", 0, 0, TSR_PRESET_CHOICES,
     "published settings, and without --to their targets; other options go before them"},
    {"guidance", 'g', TSR_OPT_STRING, offsetof(settings, guidance), NULL, 0, 0, "SCALE",
     "how strongly conditions count: 1 (default without a preset) as they are, 0 not at all, above "
     "1 more"},
    {"weight", 'w', TSR_OPT_LIST, offsetof(settings, weight), NULL, 0, 0, "MODALITY=WEIGHT",
     "guide by each condition on its own, with this weight (others: 1); repeat for more"},
    {"grow", 0, TSR_OPT_FLAG, offsetof(settings, grow), NULL, 0, 0, NULL,
     "guidance also counts grids that were generated"},
    {"no-grow", 0, TSR_OPT_FLAG, offsetof(settings, no_grow), NULL, 0, 0, NULL,
     "guidance counts what was given only, also with a preset that grows"},
    {"no-sentinel", 0, TSR_OPT_FLAG, offsetof(settings, no_sentinel), NULL, 0, 0, NULL,
     "do not show the model a sentinel for each text that is still to be written"},
    {"decoder-steps", 0, TSR_OPT_INT, offsetof(settings, decoder_steps), NULL, 1, 100000, "N",
     "steps of diffusion decoders; without it the preset's, or 25, or 10 for edges"},
    {"batch", 'b', TSR_OPT_INT, offsetof(settings, batch), "16", 1, 4096, "N",
     "results side by side"},
    {"precision", 0, TSR_OPT_CHOICE, offsetof(settings, precision), "auto", 0, 0,
     TSR_PRECISION_CHOICES, "of matrix products; auto is bf16 where the processor is fast at it"},
    {"quiet", 'q', TSR_OPT_FLAG, offsetof(settings, quiet), NULL, 0, 0, NULL,
     "no previews, only names of files"},
    TSR_OPTION_COLOUR(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_PROGRESS(settings),
    TSR_OPTION_THREADS(settings),
};

/* Where results are shown. */
typedef struct viewer {
    const settings *set;
    tsr_screen screen;
    tsr_status st; /* of the first preview that failed */
} viewer;

static tsr_status preview(const viewer *v, const tsr_generated *g)
{
    const char **pieces;
    if (g->media)
        return tsr_show_media(&v->screen, g->media, g->kind);
    if (g->space->layout != TSR_LAYOUT_SEQUENCE)
        return tsr_show_tokens(&v->screen, g->tokens, g->space);
    TSR_TRY(tsr_alloc(&pieces, g->tokens->count, sizeof *pieces));
    tsr_toolbox_pieces(g->tools, g->space, g->tokens->ids, g->tokens->count, pieces);
    tsr_show_pieces(&v->screen, g->tokens->ids, pieces, g->tokens->count);
    tsr_free(pieces);
    return TSR_OK;
}

static void show(void *ctx, const tsr_generated *g)
{
    viewer *v = ctx;
    if (v->set->json)
        return;
    if (g->key[0]) {
        tsr_put_text(stdout, g->key);
        putchar(' ');
    }
    fputs(g->modality, stdout);
    if (v->set->variants > 1)
        printf(" %zu", g->variant);
    printf(": %zu tokens", g->tokens->count);
    if (g->path) {
        fputs(" -> ", stdout);
        tsr_put_text(stdout, g->path);
    }
    putchar('\n');
    if (!v->set->quiet && v->st == TSR_OK)
        v->st = preview(v, g);
    fflush(stdout);
}

static tsr_words words(const tsr_option_list *l)
{
    return (tsr_words){l->items, l->count};
}

static tsr_status print_record(const settings *s, const json_t *record)
{
    if (s->json)
        return tsr_print_json(record, 1);
    tsr_say("%.2f s, %.1f samples/s, %.0f tokens/s",
            json_number_value(json_object_get(record, "seconds")),
            json_number_value(json_object_get(record, "samples_per_second")),
            json_number_value(json_object_get(record, "tokens_per_second")));
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    viewer v = {.set = s};
    json_t *record = NULL;
    tsr_meter meter;
    tsr_job job;
    (void)n_operands;
    tsr_screen_init(&v.screen, (tsr_colour_mode)s->colour);
    tsr_par_set_threads((int)s->threads);
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_generation g = {.model = operands[0],
                        .super_resolution = s->super,
                        .tokenizers = words(&s->tokenizers),
                        .corpus = s->corpus,
                        .samples = words(&s->sample),
                        .from = words(&s->from),
                        .keep = words(&s->keep),
                        .hide = words(&s->hide),
                        .to = words(&s->to),
                        .set = words(&s->set),
                        .weights = words(&s->weight),
                        .preset = s->preset ? tsr_preset_name((size_t)s->preset - 1) : NULL,
                        .guidance = s->guidance,
                        .grow = s->grow,
                        .no_grow = s->no_grow,
                        .decoder_steps = (size_t)s->decoder_steps,
                        .no_sentinel = s->no_sentinel,
                        .variants = (size_t)s->variants,
                        .seed = (uint64_t)s->seed,
                        .batch = (size_t)s->batch,
                        .precision = tsr_precision_chosen(s->precision),
                        .out = s->out,
                        .show = show,
                        .ctx = &v,
                        .job = &job};
    tsr_status st = tsr_generation_run(&g, &record);
    tsr_meter_finish(&meter);
    if (st == TSR_OK)
        st = v.st;
    if (st == TSR_OK)
        st = print_record(s, record);
    size_t failed = (size_t)json_integer_value(json_object_get(record, "failed"));
    json_decref(record);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_generate = {
    .name = "generate",
    .operands = "MODEL",
    .summary = "generate modalities from any others with a masked model",
    .details =
        "Conditions are files, which are encoded on the spot (--from rgb=photo.jpg), text as it "
        "stands (--from caption:=\"a red ball\"; JSON for boxes, palettes and metadata), or "
        "modalities of a sample of a corpus (--corpus FOLDER --sample 12 --from rgb,caption). "
        "Without any the model generates from nothing. Further files of one sample, such as the "
        "record beside a picture, are given by repeating the modality.\n"
        "\n"
        "Targets are generated in order, each from the conditions and the targets before it. "
        "\"--to all\" stands for all that the model can predict and was not given, grids first.\n"
        "\n"
        "A target may be given in part, and what is missing is generated: text with [MASK] where "
        "words are missing (--from caption:=\"a [MASK] ball\" --to caption; [S_1], [S_2] are holes, "
        "too), grids with --keep or --hide (--from rgb=photo.jpg --hide rgb=0.3,0.3,0.7,0.7 --to "
        "rgb). Tokens that are given come out as they are. Boxes, palettes and metadata are given in "
        "part as their tokens are written (--from palette:=\"v1=2 v0=255 v0=0 v0=0 [MASK]\").\n"
        "\n"
        "Settings of a target (--set depth.steps=4,temperature=0.5): scheme (maskgit, random or "
        "autoregressive), steps, tokens (cosine or linear), temperature (0: the likeliest), "
        "cooling (constant, linear or onex, with cool_to and power), top_k, top_p, guidance, "
        "max_tokens. Grids default to places in random order in 8 steps at temperature 1 and "
        "top_p 0.9, sequences to temperature 0.3.\n"
        "\n"
        "Presets are the settings published with 4M (any: one to all, t2i: words to pictures by way "
        "of CLIP, sr: super-resolution, script: the generation script's own, retrieval: features of "
        "whole pictures). They go by what a modality's name says, so rgb, tok_rgb and tok_rgb@224 "
        "are the same to them; targets without a rule keep the defaults above, and targets at a "
        "larger size than one the model reads have the settings of super-resolution.\n"
        "\n"
        "With --super-resolution a second model generates at a larger size what the first was given "
        "and generated, which it sees by the same names (tok_rgb@448 from tok_rgb@224, and from the "
        "caption): what the preset has, or \"any\" without one; names in --to and --set that only "
        "the second model has are its targets. Its seed is the next. The same can be done in two "
        "steps: the second model takes what the first wrote with --from.\n"
        "\n"
        "Tokenizers are found by the digests the model names: in --tokenizers, in the folder "
        "tokenizers of the corpus, of the model's folder, of its parent, and of a folder corpus "
        "there. Published models name none: files are taken that make tokens of that grid and "
        "codebook and, if there are several, whose name says what they are for "
        "(depth_8k_224-448). What no tokenizer decodes is kept as tokens.\n"
        "\n"
        "A result depends on model, conditions, settings, seed, sample and variant, and on "
        "nothing else. The exit code is 4 when some results could not be decoded.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

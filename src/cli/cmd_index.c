/* SPDX-License-Identifier: Apache-2.0
 * tessera index: vectors of a corpus to search in. */
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "tasks/index.h"

#include <stdio.h>

typedef struct settings {
    const char *modality, *split, *model, *features, *vectors, *out;
    tsr_option_list from, set, tokenizers;
    long long variants, cells, seed, batch, threads;
    int json, progress, precision;
} settings;

static const tsr_option options[] = {
    {"modality", 'm', TSR_OPT_STRING, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "whose vectors: a modality of the corpus, or with --model one that it predicts"},
    {"out", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "FILE",
     "file of the index (safetensors)"},
    {"split", 0, TSR_OPT_STRING, offsetof(settings, split), NULL, 0, 0, "NAME",
     "samples of this split only"},
    {"model", 'M', TSR_OPT_STRING, offsetof(settings, model), NULL, 0, 0, "MODEL",
     "predict the modality with this model instead of taking its stored tokens"},
    {"from", 'f', TSR_OPT_LIST, offsetof(settings, from), NULL, 0, 0, "NAME,...",
     "modalities of the corpus to predict it from"},
    {"set", 's', TSR_OPT_LIST, offsetof(settings, set), NULL, 0, 0, "KEY=VALUE,...",
     "how it is predicted, as in tessera generate"},
    {"variants", 'n', TSR_OPT_INT, offsetof(settings, variants), NULL, 1, 10000, "N",
     "predictions of each sample; a vector is their mean; default: 1 of global features, else 4"},
    {"features", 0, TSR_OPT_STRING, offsetof(settings, features), NULL, 0, 0, "PATH",
     "take vectors from here: a .npy with one row a sample, or a folder of KEY.npy"},
    {"vectors", 0, TSR_OPT_STRING, offsetof(settings, vectors), NULL, 0, 0, "KIND",
     "how tokens become a vector: decoded, codes or counts; default: what suits the modality"},
    {"cells", 0, TSR_OPT_INT, offsetof(settings, cells), "4", 1, 64, "N",
     "codes: means over each of N x N parts of the grid"},
    {"tokenizers", 0, TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "PATH",
     "tokenizer file, or folder of them, besides those of corpus and model; repeat for more"},
    {"batch", 'b', TSR_OPT_INT, offsetof(settings, batch), "32", 1, 4096, "N",
     "predictions side by side; vectors do not depend on it"},
    {"precision", 'p', TSR_OPT_CHOICE, offsetof(settings, precision), "auto", 0, 0,
     TSR_PRECISION_CHOICES, "numbers the model computes with; auto: what this machine is fast at"},
    {"seed", 0, TSR_OPT_INT, offsetof(settings, seed), "0", 0, 9007199254740992.0, "N",
     "of predictions"},
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
    TSR_OPTION_PROGRESS(settings),
};

static tsr_status print_about(const settings *s, const json_t *o)
{
    if (s->json)
        return tsr_print_json(o, 1);
    double seconds = json_real_value(json_object_get(o, "seconds"));
    long long rows = json_integer_value(json_object_get(o, "rows"));
    long long left_out = json_integer_value(json_object_get(o, "left_out"));
    printf("%s: %lld rows of %lld numbers (%s of %s), %.2f s\n", s->out, rows,
           (long long)json_integer_value(json_object_get(o, "width")),
           json_string_value(json_object_get(o, "vectors")), s->modality, seconds);
    if (left_out)
        tsr_say("%lld samples without what a vector is made of are left out", left_out);
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    json_t *about = NULL;
    tsr_meter meter;
    tsr_job job;
    (void)n_operands;
    if (!s->modality || !s->out) {
        tsr_say("index: %s is needed", s->modality ? "--out FILE" : "--modality NAME");
        return TSR_EXIT_USAGE;
    }
    tsr_par_set_threads((int)s->threads);
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    const tsr_index_spec spec = {.corpus = operands[0],
                                 .split = s->split,
                                 .modality = s->modality,
                                 .model = s->model,
                                 .from = {s->from.items, s->from.count},
                                 .set = {s->set.items, s->set.count},
                                 .variants = (size_t)s->variants,
                                 .seed = (uint64_t)s->seed,
                                 .batch = (size_t)s->batch,
                                 .precision = tsr_precision_chosen(s->precision),
                                 .features = s->features,
                                 .vectors = s->vectors,
                                 .cells = (size_t)s->cells,
                                 .tokenizers = {s->tokenizers.items, s->tokenizers.count},
                                 .out = s->out,
                                 .job = &job};
    tsr_status st = tsr_index_build(&spec, &about);
    tsr_meter_finish(&meter);
    if (st == TSR_OK)
        st = print_about(s, about);
    json_decref(about);
    return tsr_finish(st);
}

const tsr_command tsr_cmd_index = {
    .name = "index",
    .operands = "CORPUS",
    .summary = "make an index of a corpus, to be searched by tessera retrieve",
    .details =
        "Each sample gets a vector: of its stored tokens of a modality, of tokens that a model "
        "predicts from other modalities of the sample (--model, --from), or from files "
        "(--features).\n"
        "\n"
        "How tokens become a vector: decoded, what the tokenizer decodes them to, for global "
        "features (kind vector); codes, the mean of the code vectors in each cell of a raster, "
        "less the mean over all samples, for grids; counts, how often each id is there, weighed by "
        "how rare it is in the corpus, for texts. Vectors are kept with length 1, so that their "
        "product is the cosine.\n"
        "\n"
        "An index of predictions finds samples by modalities they do not have: depth maps by "
        "captions, both through a modality that the model predicts from either. The same vector "
        "comes out for any number of threads and any batch.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0
 * tessera train-tokenizer: from a recipe to a tokenizer file. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "pipeline/traintok.h"

#include "base/par.h"

typedef struct settings {
    int json, progress, dry_run, restart;
    long long threads;
    tsr_option_list set;
} settings;

static const tsr_option options[] = {
    TSR_OPTION_SET(settings),
    TSR_OPTION_THREADS(settings),
    {"restart", 0, TSR_OPT_FLAG, offsetof(settings, restart), NULL, 0, 0, NULL,
     "forget the checkpoint or the result of an earlier run"},
    TSR_OPTION_DRY_RUN(settings),
    TSR_OPTION_PROGRESS(settings),
    TSR_OPTION_JSON(settings),
};

static void print_number(const json_t *report, const char *key, const char *label)
{
    const json_t *v = json_object_get(report, key);
    if (json_is_number(v))
        printf("  %-22s %.6g\n", label, json_number_value(v));
}

static void print_report(const json_t *report)
{
    const char *metric = json_string_value(json_object_get(report, "metric")), *name;
    const char *output = json_string_value(json_object_get(report, "output"));
    json_t *v;
    printf("%s (%s)%s%s\n", json_string_value(json_object_get(report, "modality")),
           json_string_value(json_object_get(report, "kind")), output ? ": " : "",
           output ? output : "");
    json_object_foreach(json_object_get(report, "quality"), name, v)
        printf("  %-22s %.6g\n", name, json_number_value(v));
    if (json_object_get(report, "baseline"))
        printf("  %s of k-means     %.6g (raw patches, same bits)\n", metric,
               json_number_value(json_object_get(report, "baseline")));
    print_number(report, "codes_used", "codes used");
    print_number(report, "codebook_size", "of");
    print_number(report, "perplexity", "perplexity");
    print_number(report, "bits_per_sample", "bits a sample");
    print_number(report, "samples_per_second", "samples a second");
    print_number(report, "train_seconds", "seconds of training");
    print_number(report, "train_samples_bad", "training samples bad");
    print_number(report, "parameters", "parameters");
    print_number(report, "memory_bytes", "bytes of memory");
    print_number(report, "steps", "steps");
    print_number(report, "samples", "samples");
}

static tsr_status train(const settings *s, const char *path, size_t *bad)
{
    tsr_meter meter;
    tsr_job job;
    tsr_recipe *recipe = NULL;
    json_t *report = NULL;
    const tsr_traintok_options o = {s->dry_run, s->restart};
    tsr_status st = TSR_OK;
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    TSR_GO(tsr_recipe_open(path, s->set.items, s->set.count, tsr_traintok_fields,
                           tsr_traintok_n_fields, &recipe));
    TSR_GO(tsr_traintok_run(recipe, &o, &job, &report));
    tsr_meter_finish(&meter);
    *bad = (size_t)json_integer_value(json_object_get(report, "train_samples_bad"));
    if (s->json)
        TSR_GO(tsr_print_json(report, 1));
    else
        print_report(report);
out:
    tsr_meter_finish(&meter);
    json_decref(report);
    tsr_recipe_close(recipe);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    size_t bad = 0;
    (void)n_operands;
    tsr_par_set_threads((int)s->threads);
    tsr_status st = train(s, operands[0], &bad);
    return tsr_finish_counted(st, bad);
}

const tsr_command tsr_cmd_train_tokenizer = {
    .name = "train-tokenizer",
    .operands = "RECIPE",
    .summary = "train a tokenizer for one modality",
    .details =
        "Trains the tokenizer that RECIPE (YAML) describes on a folder of files in 4M's layout, or on "
        "tars of that layout, and judges it on samples it was not trained on.\n"
        "\n"
        "Beside the tokenizer file NAME.safetensors (text: NAME.json) stand NAME.recipe.yaml, the "
        "merged recipe; NAME.metrics.jsonl, one object per logged step; NAME.report.json, the figures "
        "printed at the end; and, until the run is finished, NAME.checkpoint.\n"
        "\n"
        "A run that was stopped (Ctrl-C) or killed goes on from its checkpoint when the same recipe "
        "is given again, and ends with the same bytes as an undisturbed one, whatever the number of "
        "threads. A finished run is not repeated.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .keys = tsr_traintok_fields,
    .n_keys = &tsr_traintok_n_fields,
    .run = run,
};

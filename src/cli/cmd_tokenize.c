/* SPDX-License-Identifier: Apache-2.0
 * tessera tokenize: a folder tree of files becomes a corpus of token shards. */
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "pipeline/tokenize.h"

#include <stdio.h>

typedef struct settings {
    long long threads;
    int progress, json, dry_run, replace;
    tsr_option_list set;
} settings;

static const tsr_option options[] = {
    TSR_OPTION_SET(settings),
    TSR_OPTION_THREADS(settings),
    TSR_OPTION_DRY_RUN(settings),
    {"replace", 0, TSR_OPT_FLAG, offsetof(settings, replace), NULL, 0, 0, NULL,
     "make modalities anew that the corpus has from another tokenizer"},
    TSR_OPTION_JSON(settings),
    TSR_OPTION_PROGRESS(settings),
};

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_summary(const json_t *o, int dry_run)
{
    const char *name;
    json_t *m;
    size_t i;
    printf("%s: %lld samples in %lld shards, %lld files %s, %lld already sealed\n",
           json_string_value(json_object_get(o, "corpus")), number(o, "samples"),
           number(o, "shards"), number(o, "files_written"), dry_run ? "to write" : "written",
           number(o, "files_skipped"));
    json_object_foreach(json_object_get(o, "modalities"), name, m) printf(
        "  %-16s %10lld %s  %8lld samples  %6lld missing  %6lld failed\n", name,
        number(m, "tokens") + number(m, "values"),
        json_object_get(m, "values") ? "values" : "tokens", number(m, "present"), number(m, "missing"), number(m, "failed"));
    json_array_foreach(json_object_get(o, "failures"), i, m)
        printf("  failed: %s of %s: %s\n", json_string_value(json_object_get(m, "modality")),
               json_string_value(json_object_get(m, "key")),
               json_string_value(json_object_get(m, "reason")));
    long long more = number(o, "failed") - (long long)json_array_size(json_object_get(o, "failures"));
    if (more > 0)
        printf("  and %lld more, all of them in manifest.json\n", more);
    json_array_foreach(json_object_get(o, "unusable"), i, m)
        printf("  unusable: %s\n", json_string_value(m));
    if (!dry_run)
        printf("  %.1f s, %.1f samples/s\n", json_number_value(json_object_get(o, "seconds")),
               json_number_value(json_object_get(o, "samples_per_second")));
}

static tsr_status tokenize(const settings *s, const char *path, size_t *failed)
{
    tsr_recipe *recipe;
    tsr_meter meter;
    tsr_job job;
    json_t *summary = NULL;
    TSR_TRY(tsr_recipe_open(path, s->set.items, s->set.count, tsr_tokenize_fields,
                            tsr_n_tokenize_fields, &recipe));
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_tokenize_options o = {.dry_run = s->dry_run, .replace = s->replace, .job = &job};
    tsr_status st = tsr_tokenize(recipe, &o, &summary);
    tsr_meter_finish(&meter);
    tsr_recipe_close(recipe);
    if (summary) {
        *failed = (size_t)number(summary, "failed") +
                  json_array_size(json_object_get(summary, "unusable"));
        if (!s->json)
            print_summary(summary, s->dry_run);
        else if (tsr_print_json(summary, 1) != TSR_OK && st == TSR_OK)
            st = TSR_EIO;
    }
    json_decref(summary);
    return st;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    size_t failed = 0;
    (void)n_operands;
    if (s->threads)
        tsr_par_set_threads((int)s->threads);
    tsr_status st = tokenize(s, operands[0], &failed);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_tokenize = {
    .name = "tokenize",
    .operands = "RECIPE",
    .summary = "turn a folder tree of files into a corpus of token shards",
    .details =
        "RECIPE is YAML:\n"
        "\n"
        "  source:\n"
        "    root: data/scenes          # files are root/SPLIT/FOLDER/.../NAME.EXT\n"
        "    splits: [train, val]       # leave out when the root has none\n"
        "  output: corpora/scenes\n"
        "  modalities:\n"
        "    rgb: {tokenizer: tok/rgb.safetensors}\n"
        "    palette: {kind: palette, from: rgb}\n"
        "    rgb@128: {kind: pixels, from: rgb, image_size: 128, patch_size: 16}\n"
        "  crops: {count: 1, min_scale: 0.8, flips: true, seed: 0, reference: rgb}\n"
        "      # or those that 4M stored: {count: 10, from: crop_settings, reference: rgb}\n"
        "  shard_samples: 8192\n"
        "\n"
        "Files of one name below different folders are one sample, whatever their extension; a "
        "sample may lack modalities. Kind pixels stores patches of the picture itself, which a "
        "model "
        "reads and does not predict; all other kinds give tokens. All modalities of a sample share its crops, which are "
        "recorded "
        "once. With \"tokens: FOLDER\" instead of \"from\" nothing is encoded: the folder (or tars) "
        "holds tokens that the tokenizer made elsewhere, one .npy of whole numbers a sample, [crops, "
        "tokens], as 4M's save_vq_tokens and tessera export write them, and the folder crop_settings the "
        "crops they were made from; the tokenizer tells their number and range and their place in the "
        "vocabulary. A file that cannot be tokenized is recorded with the reason and the run goes on; it "
        "then ends with exit code 4.\n"
        "\n"
        "The same command run again goes on after an interruption, adds new samples and new "
        "modalities, and leaves every file alone whose tokenizer and inputs are unchanged. The "
        "output depends neither on the number of threads nor on interruptions. Its format is "
        "described in tessera-shard(5).",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .keys = tsr_tokenize_fields,
    .n_keys = &tsr_n_tokenize_fields,
    .run = run,
};

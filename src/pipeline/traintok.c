/* SPDX-License-Identifier: Apache-2.0
 * Training a tokenizer: the recipe, the files of a run, and which way to train. */
#include "pipeline/traintok.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/onefile.h"
#include "pipeline/trainrun.h"

#include <string.h>
#include <unistd.h>

#define MAX_REPORT_BYTES ((size_t)16 << 20)

const tsr_field tsr_traintok_fields[] = {
    {"tokenizer.kind", TSR_FIELD_STRING, "!", 0, 0, "kind of tokenizer: image, depth, audio, ..."},
    {"tokenizer.modality", TSR_FIELD_STRING, "!", 0, 0, "name of the modality"},
    {"tokenizer.*", TSR_FIELD_ANY, NULL, 0, 0, "settings of the kind, and of its model"},
    {"data.root", TSR_FIELD_STRING, "!", 0, 0, "folder of the corpus"},
    {"data.from", TSR_FIELD_STRINGS, "!", 0, 0, "modality folders the media come from"},
    {"data.train", TSR_FIELD_STRING, "train", 0, 0, "split to train on"},
    {"data.val", TSR_FIELD_STRING, "val", 0, 0, "split to judge on"},
    {"data.limit", TSR_FIELD_INT, "0", 0, 1e12, "train on the first samples only; 0: all"},
    {"data.cache_mib", TSR_FIELD_INT, "1024", 0, 1e6, "decoded media kept in memory, MiB"},
    {"augment.min_scale", TSR_FIELD_NUMBER, "1", 0.01, 1,
     "smallest area of a random crop; 1: none"},
    {"augment.flip", TSR_FIELD_BOOL, "false", 0, 0, "mirror half of the pictures"},
    {"augment.shift", TSR_FIELD_BOOL, "true", 0, 0, "sound: move windows in time"},
    {"train.steps", TSR_FIELD_INT, "1000", 1, 1e9, "optimizer steps"},
    {"train.batch", TSR_FIELD_INT, "32", 1, 65536, "samples a step"},
    {"train.loss", TSR_FIELD_STRING, NULL, 0, 0,
     "mse, l1, smooth_l1, cross_entropy; default: kind's"},
    {"train.lr", TSR_FIELD_NUMBER, "0.0005", 0, 10, "peak learning rate"},
    {"train.lr_end", TSR_FIELD_NUMBER, "0", 0, 10, "learning rate the cosine falls to"},
    {"train.schedule", TSR_FIELD_STRING, "cosine", 0, 0, "cosine or constant, after the warm-up"},
    {"train.warmup", TSR_FIELD_INT, "50", 0, 1e9, "steps of linear warm-up"},
    {"train.weight_decay", TSR_FIELD_NUMBER, "0.05", 0, 10, "decoupled weight decay"},
    {"train.beta1", TSR_FIELD_NUMBER, "0.9", 0, 0.99999, "AdamW's first moment"},
    {"train.beta2", TSR_FIELD_NUMBER, "0.99", 0, 0.99999, "AdamW's second moment"},
    {"train.clip", TSR_FIELD_NUMBER, "1", 0, 1e9, "largest norm of the gradient; 0: no clipping"},
    {"train.average", TSR_FIELD_NUMBER, "0", 0, 0.999999, "decay of averaged weights; 0: none"},
    {"train.dead_code_coef", TSR_FIELD_NUMBER, "32", 0, 1e9,
     "a code is revived when used less than 1/coef of its share; 0: the model's threshold"},
    {"train.quantize_after", TSR_FIELD_INT, "0", 0, 1e9,
     "first steps as a plain autoencoder, before the codebook starts (best with kmeans_init)"},
    {"train.init_patches", TSR_FIELD_INT, "0", 0, 1e8,
     "start from principal components and k-means of so many patches; 0: from random weights"},
    {"train.seed", TSR_FIELD_INT, "0", 0, 9e15, "seed of weights, order, crops and codebook"},
    {"train.precision", TSR_FIELD_STRING, "auto", 0, 0, "auto, fp32 or bf16 for matrix products"},
    {"train.log_every", TSR_FIELD_INT, "20", 1, 1e9, "steps between lines of metrics"},
    {"train.val_every", TSR_FIELD_INT, "0", 0, 1e9,
     "steps between validations; 0: only at the end"},
    {"train.val_samples", TSR_FIELD_INT, "64", 1, 1e9, "samples of a validation on the way"},
    {"train.checkpoint_every", TSR_FIELD_INT, "200", 1, 1e9, "steps between checkpoints"},
    {"eval.samples", TSR_FIELD_INT, "0", 0, 1e9, "samples judged at the end; 0: all of the split"},
    {"eval.baseline", TSR_FIELD_BOOL, "false", 0, 0,
     "judge k-means on raw patches of equal bits too"},
    {"eval.baseline_points", TSR_FIELD_INT, "20000", 1, 1e8, "patches the baseline is fitted on"},
    {"eval.baseline_rounds", TSR_FIELD_INT, "10", 1, 1000, "rounds of k-means"},
    {"output", TSR_FIELD_STRING, "!", 0, 0,
     "tokenizer file: NAME.safetensors, or NAME.json for text"},
};

const size_t tsr_traintok_n_fields = sizeof tsr_traintok_fields / sizeof tsr_traintok_fields[0];

static tsr_status name_files(tsr_trainrun *run)
{
    const char *ending = strcmp(run->kind, "text") == 0 ? ".json" : ".safetensors";
    run->output = tsr_recipe_string(run->recipe, "output", "");
    if (!tsr_ends_with(run->output, ending) || strlen(run->output) == strlen(ending))
        return tsr_recipe_fail(run->recipe, "output", "a tokenizer of kind \"%s\" is a file *%s",
                               run->kind, ending);
    int stem = (int)(strlen(run->output) - strlen(ending));
    TSR_TRY(tsr_format(&run->recipe_path, "%.*s.recipe.yaml", stem, run->output));
    TSR_TRY(tsr_format(&run->metrics_path, "%.*s.metrics.jsonl", stem, run->output));
    TSR_TRY(tsr_format(&run->report_path, "%.*s.report.json", stem, run->output));
    return tsr_format(&run->checkpoint_path, "%.*s.checkpoint", stem, run->output);
}

static tsr_status open_split(tsr_trainrun *run, const char *split_key, size_t limit,
                             tsr_dataset **out)
{
    const tsr_recipe *r = run->recipe;
    const json_t *from = tsr_recipe_get(r, "data.from"), *one = json_is_string(from) ? from : NULL;
    const char *folders[TSR_DATASET_FOLDERS];
    size_t n = one ? 1 : json_array_size(from);
    if (n == 0 || n > TSR_DATASET_FOLDERS)
        return tsr_recipe_fail(r, "data.from", "1 to %d folders are expected", TSR_DATASET_FOLDERS);
    for (size_t i = 0; i < n; i++)
        folders[i] = json_string_value(one ? one : json_array_get(from, i));
    const tsr_dataset_spec spec = {
        .root = tsr_recipe_string(r, "data.root", ""),
        .split = tsr_recipe_string(r, split_key, ""),
        .folders = folders,
        .n_folders = n,
        .limit = limit,
        .cache_bytes = (size_t)tsr_recipe_int(r, "data.cache_mib", 0) << 20,
        .read = tsr_kind_options(run->kind),
    };
    return tsr_dataset_open(&spec, out);
}

/* The report of a finished run of the same recipe, or NULL. The result of another recipe is only
 * replaced when asked for, or by a run that already was. */
static tsr_status earlier_report(const tsr_trainrun *run, json_t **out)
{
    char text[TSR_DIGEST_CHARS];
    json_t *v = NULL;
    tsr_digest_text(run->digest, text);
    *out = NULL;
    if (run->options->restart || !tsr_file_exists(run->report_path) ||
        !tsr_file_exists(run->output))
        return TSR_OK;
    tsr_status st = tsr_json_read(run->report_path, MAX_REPORT_BYTES, &v);
    if (st != TSR_OK)
        return tsr_context(tsr_of_own_file(st),
                           "the report of an earlier run cannot be used (--restart forgets it)");
    const char *of = json_string_value(json_object_get(v, "recipe"));
    int same = of && strcmp(of, text) == 0;
    if (same)
        *out = v;
    else
        json_decref(v);
    if (!same && !tsr_file_exists(run->checkpoint_path))
        TSR_FAIL(TSR_EMISMATCH,
                 "%s: is the result of another recipe; --restart replaces it, or name another "
                 "output",
                 run->output);
    return TSR_OK;
}

static tsr_status hash_recipe(tsr_trainrun *run)
{
    char *text;
    TSR_TRY(tsr_recipe_text(run->recipe, &text));
    run->digest = tsr_hash(text, strlen(text));
    tsr_free(text);
    return TSR_OK;
}

tsr_status tsr_trainrun_begin(const tsr_trainrun *run)
{
    char *text, *folder = NULL;
    TSR_TRY(tsr_recipe_text(run->recipe, &text));
    tsr_status st = TSR_OK;
    const char *name = tsr_path_name(run->output);
    if (name != run->output) {
        TSR_GO(tsr_strndup(&folder, run->output, (size_t)(name - run->output)));
        TSR_GO(tsr_make_folders(folder));
    }
    TSR_GO(tsr_file_write(run->recipe_path, text, strlen(text)));
out:
    tsr_free(folder);
    tsr_free(text);
    return st;
}

static void clear(tsr_trainrun *run)
{
    tsr_free(run->recipe_path);
    tsr_free(run->metrics_path);
    tsr_free(run->report_path);
    tsr_free(run->checkpoint_path);
    tsr_dataset_close(run->train);
    tsr_dataset_close(run->val);
}

static tsr_status finish(tsr_trainrun *run, json_t *report)
{
    char text[TSR_DIGEST_CHARS];
    tsr_digest_text(run->digest, text);
    TSR_TRY(tsr_json_set(report, "kind", json_string(run->kind)));
    TSR_TRY(tsr_json_set(report, "modality", json_string(run->modality)));
    if (run->options->dry_run)
        return TSR_OK;
    TSR_TRY(tsr_json_set(report, "output", json_string(run->output)));
    TSR_TRY(tsr_json_set(report, "recipe", json_string(text)));
    TSR_TRY(tsr_json_write(run->report_path, report, 2));
    /* The report says that the run is complete; only now may its checkpoint go. */
    unlink(run->checkpoint_path);
    return TSR_OK;
}

tsr_status tsr_traintok_run(const tsr_recipe *recipe, const tsr_traintok_options *options,
                            const tsr_job *job, json_t **report)
{
    tsr_trainrun run = {.recipe = recipe, .options = options, .job = job};
    json_t *result = NULL;
    tsr_status st = TSR_OK;
    run.kind = tsr_recipe_string(recipe, "tokenizer.kind", "");
    run.modality = tsr_recipe_string(recipe, "tokenizer.modality", "");
    TSR_GO(name_files(&run));
    TSR_GO(hash_recipe(&run));
    if (!options->dry_run)
        TSR_GO(earlier_report(&run, &result));
    if (!result) {
        if (options->restart && !options->dry_run)
            unlink(run.checkpoint_path);
        TSR_GO(open_split(&run, "data.train", (size_t)tsr_recipe_int(recipe, "data.limit", 0),
                          &run.train));
        TSR_GO(open_split(&run, "data.val", 0, &run.val));
        TSR_GO(strcmp(run.kind, "text") == 0 ? tsr_train_text(&run, &result)
                                             : tsr_train_network(&run, &result));
        TSR_GO(finish(&run, result));
    }
    *report = result;
    result = NULL;
out:
    json_decref(result);
    clear(&run);
    return st;
}

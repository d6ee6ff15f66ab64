/* SPDX-License-Identifier: Apache-2.0
 * tessera export: tokenizers, models and corpora as ml-4m reads them. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "pipeline/toolbox.h"
#include "tasks/export.h"
#include "tasks/publishfile.h"
#include "types/tokens.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *out;
    int layout, tar, partial, may_register, json, dry_run, progress;
    long long threads, tar_samples;
    tsr_option_list rename, modality, tokenizers;
} settings;

static const tsr_option options[] = {
    {"out", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "PATH",
     "a folder, or for a tokenizer or model NAME.safetensors"},
    {"layout", 0, TSR_OPT_CHOICE, offsetof(settings, layout), "4m", 0, 0, "4m|webdataset",
     "of a corpus: a folder for each modality, or tars with all of a sample's files together"},
    {"tar", 0, TSR_OPT_FLAG, offsetof(settings, tar), NULL, 0, 0, NULL,
     "of a corpus, layout 4m: tars in each modality's folder instead of single files"},
    {"tar-samples", 0, TSR_OPT_INT, offsetof(settings, tar_samples), "1000", 1, 1e6, "N",
     "samples of a tar; files: of a piece after which an interrupted export can go on"},
    {"modality", 'm', TSR_OPT_LIST, offsetof(settings, modality), NULL, 0, 0, "NAME",
     "only this modality of a corpus; repeat for more"},
    {"partial", 0, TSR_OPT_FLAG, offsetof(settings, partial), NULL, 0, 0, NULL,
     "also samples that lack a modality; ml-4m pairs files by their order and would mix them up"},
    TSR_OPTION_TOKENIZERS(settings),
    {"rename", 'r', TSR_OPT_LIST, offsetof(settings, rename), NULL, 0, 0, "NAME=OTHER",
     "call a modality by the name it has in ml-4m, as in rgb=tok_rgb@224; repeat for more"},
    {"register", 0, TSR_OPT_FLAG, offsetof(settings, may_register), NULL, 0, 0, NULL,
     "write what ml-4m's tables of modalities and networks lack as Python, instead of refusing"},
    TSR_OPTION_THREADS(settings),
    TSR_OPTION_DRY_RUN(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_PROGRESS(settings),
};

/* --- names ----------------------------------------------------------------------------------- */

typedef struct names {
    tsr_rename *items;
    char **texts; /* of the options, cut at '=' */
    size_t count;
} names;

static void clear_names(names *n)
{
    for (size_t i = 0; i < n->count; i++)
        tsr_free(n->texts[i]);
    tsr_free(n->texts);
    tsr_free(n->items);
}

static tsr_status read_names(const tsr_option_list *list, names *n)
{
    TSR_TRY(tsr_alloc(&n->items, list->count, sizeof *n->items));
    TSR_TRY(tsr_alloc(&n->texts, list->count, sizeof *n->texts));
    for (size_t i = 0; i < list->count; i++) {
        TSR_TRY(tsr_format(&n->texts[i], "%s", list->items[i]));
        n->count++;
        char *equals = strchr(n->texts[i], '=');
        if (equals)
            *equals = '\0';
        if (!equals || !tsr_modality_name_ok(n->texts[i]) || !tsr_modality_name_ok(equals + 1))
            TSR_FAIL(TSR_EARG, "--rename %s: expected two names of modalities, as rgb=tok_rgb@224",
                     list->items[i]);
        n->items[i] = (tsr_rename){n->texts[i], equals + 1};
        for (size_t j = 0; j < i; j++)
            if (strcmp(n->items[j].from, n->items[i].from) == 0)
                TSR_FAIL(TSR_EARG, "--rename: %s is renamed twice", n->items[i].from);
    }
    return TSR_OK;
}

/* --- one file -------------------------------------------------------------------------------- */

static void print_file(const json_t *o, int dry_run)
{
    size_t i;
    json_t *v;
    printf("%s: %s of %lld tensors, for ml-4m's class %s\n",
           json_string_value(json_object_get(o, "input")),
           json_string_value(json_object_get(o, "kind")),
           (long long)json_integer_value(json_object_get(o, "tensors")),
           json_string_value(json_object_get(o, "class")));
    json_array_foreach(json_object_get(o, "files"), i, v)
        printf("  %s%s\n", dry_run ? "would write " : "", json_string_value(v));
}

static tsr_status export_file(const settings *s, const char *input, const names *n)
{
    const tsr_publish_spec spec = {.input = input,
                                   .out = s->out,
                                   .may_register = s->may_register,
                                   .dry_run = s->dry_run,
                                   .names = {n->items, n->count}};
    json_t *summary = NULL, *v;
    size_t i;
    tsr_status st = tsr_publish_file(&spec, &summary);
    if (summary && s->json && tsr_print_json(summary, 1) != TSR_OK && st == TSR_OK)
        st = TSR_EIO;
    else if (st == TSR_OK && !s->json)
        print_file(summary, s->dry_run);
    json_array_foreach(json_object_get(summary, "reasons"), i, v)
        tsr_say("- %s", json_string_value(v));
    json_decref(summary);
    return st;
}

/* --- a corpus -------------------------------------------------------------------------------- */

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_corpus(const json_t *o, int dry_run)
{
    const char *name;
    json_t *m;
    size_t i;
    printf("%s: %lld samples as %s, %lld of %lld pieces %s\n",
           json_string_value(json_object_get(o, "out")), number(o, "samples"),
           json_string_value(json_object_get(o, "form")), number(o, "units_done"),
           number(o, "units"), dry_run ? "done before" : "done");
    json_object_foreach(json_object_get(o, "modalities"), name, m)
        printf("  %-16s %s, %s\n", name, json_string_value(json_object_get(m, "folder")),
               json_string_value(json_object_get(m, "holds")));
    json_object_foreach(json_object_get(o, "left_out"), name, m)
        printf("  %-16s left out: %s\n", name, json_string_value(m));
    if (number(o, "incomplete"))
        printf("  %lld samples lack some of these and are in none (--partial)\n",
               number(o, "incomplete"));
    json_array_foreach(json_object_get(o, "failures"), i, m)
        printf("  failed: %s: %s\n", json_string_value(json_object_get(m, "key")),
               json_string_value(json_object_get(m, "reason")));
    if (!dry_run)
        printf("  %.1f s\n", json_number_value(json_object_get(o, "seconds")));
}

static tsr_status export_corpus(const settings *s, const char *input, const names *n,
                                size_t *failed)
{
    tsr_meter meter;
    tsr_job job;
    json_t *summary = NULL;
    if (s->tar && s->layout == 1)
        TSR_FAIL(TSR_EARG, "export: --layout webdataset are tars already; --tar is for layout 4m");
    const tsr_export_spec spec = {.corpus = input,
                                  .out = s->out,
                                  .form = s->layout ? TSR_EXPORT_TOGETHER
                                          : s->tar  ? TSR_EXPORT_TARS
                                                    : TSR_EXPORT_FILES,
                                  .unit = (size_t)s->tar_samples,
                                  .modalities = s->modality.items,
                                  .n_modalities = s->modality.count,
                                  .names = {n->items, n->count},
                                  .tokenizers = s->tokenizers.items,
                                  .n_tokenizers = s->tokenizers.count,
                                  .partial = s->partial,
                                  .dry_run = s->dry_run,
                                  .job = &job};
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_status st = tsr_export_corpus(&spec, &summary);
    tsr_meter_finish(&meter);
    if (summary) {
        *failed = (size_t)number(summary, "failed");
        if (!s->json)
            print_corpus(summary, s->dry_run);
        else if (tsr_print_json(summary, 1) != TSR_OK && st == TSR_OK)
            st = TSR_EIO;
    }
    json_decref(summary);
    return st;
}

/* A folder with a manifest is a corpus. */
static int is_corpus(const char *path)
{
    char *manifest;
    if (tsr_path_join(&manifest, path, "manifest.json") != TSR_OK)
        return 0;
    int there = tsr_file_exists(manifest);
    tsr_free(manifest);
    return there;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    names n = {0};
    size_t failed = 0;
    tsr_status st;
    (void)n_operands;
    if (s->threads)
        tsr_par_set_threads((int)s->threads);
    if (!s->out)
        TSR_GOFAIL(TSR_EARG, "export: say where to with --out");
    TSR_GO(read_names(&s->rename, &n));
    TSR_GO(is_corpus(operands[0]) ? export_corpus(s, operands[0], &n, &failed)
                                  : export_file(s, operands[0], &n));
out:
    clear_names(&n);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_export = {
    .name = "export",
    .operands = "INPUT",
    .summary = "write tokenizers, models and corpora as ml-4m reads them",
    .details =
        "INPUT is a tokenizer or masked model, a safetensors file of ours or of 4M. The export has "
        "all tensors under the published names and ml-4m's options in its metadata, so that "
        "load_safetensors and the class that is printed take it as it is: FM for masked models, "
        "VQVAE, VQ (a tokenizer without decoder) or DiVAE. Values are not changed. What only this "
        "program knows stays in a tokenizer (keys \"tessera...\", which ml-4m passes over: the "
        "export of a tokenizer is used here like the original) and is left out of a model, whose "
        "loader takes no other keys.\n"
        "\n"
        "ml-4m finds a model's modalities by name in a table of its source (modality_info.py) and "
        "a tokenizer's networks among a few functions. What is not there is refused, everything "
        "at once, and nothing is written. --rename gives modalities the names they have there. "
        "With --register what is missing is written as Python: run that before loading. FSQ "
        "tokenizers and models of one shared vocabulary have no counterpart in ml-4m.\n"
        "\n"
        "INPUT may also be a corpus, a folder with manifest.json. Its tokens become what "
        "save_vq_tokens writes, OUT/[SPLIT/]MODALITY/FOLDER/NAME.npy with one row for each crop, "
        "the crops OUT/[SPLIT/]crop_settings/..., captions .txt, boxes, palettes and metadata the "
        ".json that ml-4m's transforms read. Samples that lack a modality are in none of the "
        "folders, because ml-4m pairs files by their order. The same command run again goes on "
        "after an interruption; what was written so far is noted in OUT/export.json. tessera "
        "tokenize reads such folders and tars again (\"tokens\" in its recipe).",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

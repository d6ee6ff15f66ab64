/* SPDX-License-Identifier: Apache-2.0
 * tessera export: tokenizers and models as ml-4m reads them. */
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "tasks/publishfile.h"
#include "types/tokens.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *out;
    int may_register, json, dry_run;
    tsr_option_list rename;
} settings;

static const tsr_option options[] = {
    {"out", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "PATH",
     "NAME.safetensors, or a folder for model.safetensors and config.json"},
    {"rename", 'r', TSR_OPT_LIST, offsetof(settings, rename), NULL, 0, 0, "NAME=OTHER",
     "call a modality by the name it has in ml-4m, as in rgb=tok_rgb@224; repeat for more"},
    {"register", 0, TSR_OPT_FLAG, offsetof(settings, may_register), NULL, 0, 0, NULL,
     "write what ml-4m's tables of modalities and networks lack as Python, instead of refusing"},
    TSR_OPTION_DRY_RUN(settings),
    TSR_OPTION_JSON(settings),
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

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    names n = {0};
    tsr_status st;
    (void)n_operands;
    if (!s->out)
        TSR_GOFAIL(TSR_EARG, "export: say where to with --out");
    TSR_GO(read_names(&s->rename, &n));
    TSR_GO(export_file(s, operands[0], &n));
out:
    clear_names(&n);
    return tsr_finish(st);
}

const tsr_command tsr_cmd_export = {
    .name = "export",
    .operands = "INPUT",
    .summary = "write tokenizers and models as ml-4m reads them",
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
        "tokenizers and models of one shared vocabulary have no counterpart in ml-4m.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

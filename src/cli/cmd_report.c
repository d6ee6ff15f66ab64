/* SPDX-License-Identifier: Apache-2.0
 * tessera report: one page of HTML about everything there is. */
#include "base/file.h"
#include "base/job.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "tasks/report.h"

typedef struct settings {
    int json;
    long long samples;
    const char *out, *title, *date, *run, *corpus, *tokenizers, *eval, *examples;
} settings;

static const tsr_option options[] = {
    {"out", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "FILE",
     "page to write; without it report.html in FOLDER, or here"},
    {"run", 0, TSR_OPT_STRING, offsetof(settings, run), NULL, 0, 0, "FOLDER",
     "output folder of a training run"},
    {"corpus", 0, TSR_OPT_STRING, offsetof(settings, corpus), NULL, 0, 0, "FOLDER",
     "corpus to count the codes of"},
    {"tokenizers", 't', TSR_OPT_STRING, offsetof(settings, tokenizers), NULL, 0, 0, "FOLDER",
     "folder of tokenizers with their *.report.json"},
    {"eval", 0, TSR_OPT_STRING, offsetof(settings, eval), NULL, 0, 0, "FILE",
     "result of an evaluation: tasks and matrix"},
    {"examples", 0, TSR_OPT_STRING, offsetof(settings, examples), NULL, 0, 0, "FOLDER",
     "examples that an evaluation left"},
    {"samples", 'n', TSR_OPT_INT, offsetof(settings, samples), "4", 0, 1000, "N",
     "examples to show of each task"},
    {"title", 0, TSR_OPT_STRING, offsetof(settings, title), NULL, 0, 0, "TEXT",
     "heading of the page"},
    {"date", 0, TSR_OPT_STRING, offsetof(settings, date), NULL, 0, 0, "TEXT",
     "date to print instead of the present one, so that the same data gives the same page"},
    TSR_OPTION_JSON(settings),
};

static tsr_status print_result(const settings *s, const char *path, json_t *summary)
{
    size_t i;
    json_t *v;
    TSR_TRY(tsr_json_set(summary, "output", json_string(path)));
    json_array_foreach(json_object_get(summary, "notes"), i, v) tsr_say("%s", json_string_value(v));
    if (s->json)
        return tsr_print_json(summary, 1);
    tsr_put_text(stdout, path);
    printf(": %.1f MB;", (double)json_integer_value(json_object_get(summary, "bytes")) / 1e6);
    json_array_foreach(json_object_get(summary, "sections"), i, v)
        printf("%s %s", i ? "," : "", json_string_value(v));
    putchar('\n');
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    const char *folder = n_operands ? operands[0] : NULL;
    tsr_report_spec spec = {.folder = folder,
                            .run = s->run,
                            .corpus = s->corpus,
                            .tokenizers = s->tokenizers,
                            .eval = s->eval,
                            .examples = s->examples,
                            .title = s->title,
                            .when = s->date,
                            .examples_shown = (size_t)s->samples};
    char *html = NULL, *path = NULL;
    size_t bytes;
    json_t *summary = NULL;
    tsr_status st;
    const tsr_job job = {.stop = tsr_stop_flag()}; /* a page that is being written is finished */
    TSR_GO(tsr_report_make(&spec, &html, &bytes, &summary));
    TSR_GO(tsr_job_check(&job));
    TSR_GO(s->out ? tsr_strdup(&path, s->out)
                  : tsr_path_join(&path, folder ? folder : ".", "report.html"));
    TSR_GO(tsr_file_write(path, html, bytes));
    TSR_GO(print_result(s, path, summary));
out:
    json_decref(summary);
    tsr_free(path);
    tsr_free(html);
    return tsr_finish(st);
}

const tsr_command tsr_cmd_report = {
    .name = "report",
    .operands = "[FOLDER]",
    .summary = "write one page of HTML about corpus, tokenizers, training and results",
    .details =
        "The page needs no network and no other file: pictures and sounds are inside. It shows "
        "whatever is there: quality of tokenizers, use of codes, curves of the training run, tasks "
        "with their companions and intervals, the matrix of information between modalities, "
        "samples "
        "to look at and listen to, and where all of it comes from.\n"
        "\n"
        "In FOLDER, laid out as the demo does, these are found by name:\n"
        "\n"
        "  report.json       figures of the whole: tokenizers, tasks, matrix, training\n"
        "  corpus/           the corpus\n"
        "  tokenizers/       NAME.report.json and NAME.recipe.yaml of each tokenizer\n"
        "  model/            output of the training run: metrics.jsonl, recipe.yaml\n"
        "  eval.json         result of the evaluation\n"
        "  examples/         examples.json and its files\n"
        "\n"
        "An option names a part that is elsewhere. What is there but cannot be read is told and "
        "left "
        "out; a part that was named must be readable.",
    .min_operands = 0,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

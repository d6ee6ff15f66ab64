/* SPDX-License-Identifier: Apache-2.0
 * tessera eval: how good a model is at its tasks, beside what it would give without their inputs.
 */
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preview.h"
#include "cli/progress.h"
#include "tasks/eval.h"

#include <stdio.h>
#include <string.h>

typedef struct settings {
    const char *corpus, *split, *files, *recipe, *out, *examples;
    tsr_option_list task, set, tokenizers;
    long long samples, matrix, candidates, example_count, batch, score_steps, seed, threads;
    int json, colour, progress, precision;
} settings;

static const tsr_option options[] = {
    {"corpus", 'c', TSR_OPT_STRING, offsetof(settings, corpus), NULL, 0, 0, "FOLDER",
     "corpus of tokens with samples the model was not trained on"},
    {"split", 0, TSR_OPT_STRING, offsetof(settings, split), "test", 0, 0, "NAME",
     "split of the corpus; its first samples are used"},
    {"files", 'f', TSR_OPT_STRING, offsetof(settings, files), NULL, 0, 0, "FOLDER",
     "files the corpus was made from: the truth; without them it is the decode of the true tokens"},
    {"task", 't', TSR_OPT_LIST, offsetof(settings, task), NULL, 0, 0, "FROM[+FROM]:TO[:METRIC]",
     "inputs, target and maybe metrics separated by commas; repeat for more tasks"},
    {"recipe", 'r', TSR_OPT_STRING, offsetof(settings, recipe), NULL, 0, 0, "FILE",
     "YAML with a list of tasks and their settings"},
    TSR_OPTION_SET(settings),
    {"samples", 'n', TSR_OPT_INT, offsetof(settings, samples), "256", 2, 1e9, "N",
     "samples of each task at most"},
    {"matrix", 0, TSR_OPT_INT, offsetof(settings, matrix), NULL, 0, 1e9, "N",
     "also what each modality tells of each other, in nats, over N samples"},
    {"candidates", 'k', TSR_OPT_INT, offsetof(settings, candidates), NULL, 0, 1e6, "K",
     "also rank the true target of each task among K candidates by likelihood"},
    {"score-steps", 0, TSR_OPT_INT, offsetof(settings, score_steps), "4", 1, 65536, "N",
     "steps of the chain rule over a grid, for the matrix and candidates"},
    {"tokenizers", 0, TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "PATH",
     "tokenizer file, or folder of them, besides those of the corpus; repeat for more"},
    {"examples", 'e', TSR_OPT_STRING, offsetof(settings, examples), NULL, 0, 0, "FOLDER",
     "write inputs, truth and predictions of the first samples there"},
    {"example-count", 0, TSR_OPT_INT, offsetof(settings, example_count), "8", 1, 1e6, "N",
     "samples of each task to write"},
    {"output", 'o', TSR_OPT_STRING, offsetof(settings, out), NULL, 0, 0, "FILE",
     "put the result into this JSON file; other members that it has stay"},
    {"batch", 'b', TSR_OPT_INT, offsetof(settings, batch), "32", 1, 4096, "N",
     "samples generated side by side; figures do not depend on it"},
    {"precision", 'p', TSR_OPT_CHOICE, offsetof(settings, precision), "auto", 0, 0,
     TSR_PRECISION_CHOICES, "numbers to compute with; auto: what this machine is fast at"},
    {"seed", 0, TSR_OPT_INT, offsetof(settings, seed), "0", 0, 9e15, "N",
     "of draws, wrong inputs, candidates and the bootstrap"},
    TSR_OPTION_COLOUR(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
    TSR_OPTION_PROGRESS(settings),
};

/* ---- the table --------------------------------------------------------------------------------*/

static double value(const json_t *o, const char *way, const char *member)
{
    return json_number_value(json_object_get(json_object_get(o, way), member));
}

/* "0.1234 [0.1201, 0.1260]" */
static void interval(const json_t *o, const char *way, char *text, size_t size)
{
    const json_t *i = json_object_get(o, way);
    if (json_is_object(i) && json_is_number(json_object_get(i, "value")))
        snprintf(text, size, "%.4g [%.4g, %.4g]", value(o, way, "value"), value(o, way, "low"),
                 value(o, way, "high"));
    else
        snprintf(text, size, "-");
}

static void joined(const json_t *list, char *text, size_t size)
{
    const json_t *s;
    size_t i, used = 0;
    json_array_foreach(list, i, s)
    {
        int n = snprintf(text + used, size - used, "%s%s", i ? "+" : "", json_string_value(s));
        used += n > 0 && (size_t)n < size - used ? (size_t)n : 0;
    }
}

/* Green where the inputs surely help, red where they surely harm. */
static const char *verdict(const json_t *o, const tsr_screen *screen, const char *against)
{
    double low = value(o, against, "low"), high = value(o, against, "high");
    if (screen->colour == TSR_COLOUR_NONE)
        return "";
    return low > 0 ? "\033[32m" : high < 0 ? "\033[31m" : "\033[33m";
}

static const char *mark(const json_t *o, const char *against)
{
    return value(o, against, "low") > 0 ? "+" : value(o, against, "high") < 0 ? "!" : "~";
}

static void print_task(const json_t *o, const tsr_screen *screen)
{
    static const char *const ways[] = {"model", "no_input", "wrong_input", "ceiling"};
    static const char *const against[] = {NULL, "better_than_no_input", "better_than_wrong_input",
                                          NULL};
    char from[128] = "", text[96];
    const char *plain = screen->colour == TSR_COLOUR_NONE ? "" : "\033[0m";
    joined(json_object_get(o, "from"), from, sizeof from);
    printf("%s to %s: %s, %s is better, %lld samples\n", from,
           json_string_value(json_object_get(o, "to")),
           json_string_value(json_object_get(o, "metric")),
           json_is_true(json_object_get(o, "higher_is_better")) ? "more" : "less",
           (long long)json_integer_value(json_object_get(o, "samples")));
    for (size_t i = 0; i < 4; i++) {
        interval(o, ways[i], text, sizeof text);
        printf("  %-12s %-34s", ways[i], text);
        if (against[i]) {
            char better[96];
            interval(o, against[i], better, sizeof better);
            printf(" %s%s model better by %s%s", verdict(o, screen, against[i]),
                   mark(o, against[i]), better, plain);
        }
        if (i == 1 && json_is_number(json_object_get(json_object_get(o, "of_no_input"), "value")))
            printf(", %.3g times", value(o, "of_no_input", "value"));
        putchar('\n');
    }
}

static void print_candidates(const json_t *list)
{
    const json_t *o;
    char from[128], text[96], rank[96];
    size_t i;
    json_array_foreach(list, i, o)
    {
        from[0] = '\0';
        joined(json_object_get(o, "from"), from, sizeof from);
        interval(o, "accuracy_gain", text, sizeof text);
        interval(o, "mean_rank_gain", rank, sizeof rank);
        printf("%s to %s: truth first of %lld by gained likelihood: %s (chance %.3g); mean rank %s "
               "(chance %.3g)\n",
               from, json_string_value(json_object_get(o, "to")),
               (long long)json_integer_value(json_object_get(o, "candidates")), text,
               json_number_value(json_object_get(o, "chance")), rank,
               json_number_value(json_object_get(o, "chance_rank")));
    }
}

/* Rows: what is given. Columns: of what it tells. */
static void print_matrix(const json_t *matrix, const tsr_screen *screen)
{
    const json_t *a, *b, *cell, *cells = json_object_get(matrix, "cells");
    size_t i, j, k;
    if (!matrix)
        return;
    printf("nats per sample that the row tells of the column\n%-14s", "");
    json_array_foreach(json_object_get(matrix, "to"), j, b)
        printf(" %10.10s", json_string_value(b));
    putchar('\n');
    json_array_foreach(json_object_get(matrix, "from"), i, a)
    {
        printf("%-14.14s", json_string_value(a));
        json_array_foreach(json_object_get(matrix, "to"), j, b)
        {
            const json_t *found = NULL;
            json_array_foreach(cells, k, cell) if (json_equal(json_object_get(cell, "from"), a) &&
                                                   json_equal(json_object_get(cell, "to"), b))
                found = cell;
            if (found)
                printf(" %s%10.4g%s", verdict(found, screen, "nats_per_sample"),
                       value(found, "nats_per_sample", "value"),
                       screen->colour == TSR_COLOUR_NONE ? "" : "\033[0m");
            else
                printf(" %10s", "-");
        }
        putchar('\n');
    }
}

static void print_table(const json_t *report, const tsr_screen *screen)
{
    const json_t *o;
    size_t i;
    json_array_foreach(json_object_get(report, "tasks"), i, o) print_task(o, screen);
    print_candidates(json_object_get(report, "candidates"));
    print_matrix(json_object_get(report, "matrix"), screen);
}

/* ---- the run ----------------------------------------------------------------------------------*/

static tsr_status read_tasks(const settings *s, tsr_eval_tasks *tasks)
{
    tsr_recipe *recipe;
    if (s->set.count && !s->recipe)
        TSR_FAIL(TSR_EARG, "--set changes a recipe; name one with --recipe FILE");
    for (size_t i = 0; i < s->task.count; i++)
        TSR_TRY(tsr_eval_tasks_add(tasks, s->task.items[i]));
    if (!s->recipe)
        return TSR_OK;
    TSR_TRY(tsr_recipe_open(s->recipe, s->set.items, s->set.count, tsr_eval_fields,
                            tsr_n_eval_fields, &recipe));
    tsr_status st = tsr_eval_tasks_read(tasks, recipe);
    tsr_recipe_close(recipe);
    return st;
}

static tsr_status evaluate(const settings *s, const char *model, json_t **report)
{
    tsr_eval_tasks tasks = {0};
    tsr_meter meter;
    tsr_job job;
    tsr_status st;
    if (!s->corpus)
        TSR_FAIL(TSR_EARG, "eval: name a corpus with --corpus FOLDER");
    TSR_GO(read_tasks(s, &tasks));
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    tsr_eval_spec spec = {.model = model,
                          .corpus = s->corpus,
                          .split = s->split,
                          .files = s->files,
                          .tokenizers = s->tokenizers.items,
                          .n_tokenizers = s->tokenizers.count,
                          .tasks = &tasks,
                          .samples = (size_t)s->samples,
                          .candidates = (size_t)s->candidates,
                          .matrix = (size_t)s->matrix,
                          .score_steps = (size_t)s->score_steps,
                          .examples = s->examples,
                          .n_examples = (size_t)s->example_count,
                          .batch = (size_t)s->batch,
                          .precision = tsr_precision_chosen(s->precision),
                          .seed = (uint64_t)s->seed,
                          .job = &job};
    st = tsr_eval_run(&spec, report);
    tsr_meter_finish(&meter);
out:
    tsr_eval_tasks_clear(&tasks);
    return st;
}

static tsr_status print(const settings *s, const json_t *report)
{
    tsr_screen screen;
    if (s->out)
        TSR_TRY(tsr_eval_merge(s->out, report));
    if (s->json)
        return tsr_print_json(report, 1);
    tsr_screen_init(&screen, (tsr_colour_mode)s->colour);
    print_table(report, &screen);
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    json_t *report = NULL;
    size_t failed = 0;
    (void)n_operands;
    tsr_par_set_threads((int)s->threads);
    tsr_status st = evaluate(s, operands[0], &report);
    if (st == TSR_OK) {
        failed =
            (size_t)json_integer_value(json_object_get(json_object_get(report, "eval"), "failed"));
        st = print(s, report);
    }
    json_decref(report);
    return tsr_finish_counted(st, failed);
}

const tsr_command tsr_cmd_eval = {
    .name = "eval",
    .operands = "MODEL",
    .summary = "judge a model on held-out samples, task by task",
    .details =
        "For each task the target is generated from its inputs for the first samples of a split "
        "that have all of them, decoded, and compared with the truth in the target's own units. "
        "Three companions say what the figure is worth: no_input, the same model given nothing; "
        "wrong_input, given another sample's inputs; and ceiling, the decode of the true tokens: "
        "what the "
        "tokens themselves allow. Every figure has its 95 % interval "
        "over samples; comparisons are paired.\n"
        "\n"
        "Evaluation wants one good estimate, not a varied one. Without settings in a recipe, "
        "sequences "
        "are written by their likeliest tokens (temperature 0), and normals, label maps and sounds "
        "are "
        "filled surest places first in 8 steps of a cosine schedule, likewise. Pictures and depth "
        "are "
        "drawn 9 times, all places at once at temperature 1 (scheme random, steps 1, variants 9), "
        "and "
        "the draws become one, the median of depth, the mean of pictures: the likeliest tokens "
        "together are a worse estimate of such values, and without input a far worse one, which "
        "would "
        "flatter the model.\n"
        "\n"
        "A recipe holds a list of tasks:\n"
        "\n"
        "  tasks:\n"
        "    - {from: rgb, to: depth}\n"
        "    - {from: [rgb, caption], to: label, metric: [miou, accuracy], steps: 4, samples: 64}\n"
        "\n"
        "\"preset: any\" in a task takes the settings published with 4M instead (tessera generate lists "
        "them).\n"
        "\n"
        "With --matrix the report says how many nats each modality, given alone, takes off the "
        "negative log-likelihood of each other one: log p(b | a) - log p(b), sequences by the "
        "chain "
        "rule over their tokens, grids over groups of places in a fixed order (--score-steps). "
        "With --candidates the true target competes with those of K - 1 other samples, by log "
        "p(target | inputs) (accuracy, mean_rank) and by what the inputs add to it, log p(target | "
        "inputs) - log p(target) (accuracy_gain, mean_rank_gain), which does not favour short or "
        "common targets.\n"
        "\n"
        "A sample whose files cannot be read is named and left out, and the exit code is then 4.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .keys = tsr_eval_fields,
    .n_keys = &tsr_n_eval_fields,
    .run = run,
};

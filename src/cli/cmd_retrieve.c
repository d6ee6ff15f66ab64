/* SPDX-License-Identifier: Apache-2.0
 * tessera retrieve: the samples of an index that are nearest to a query of any modality. */
#include "base/par.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/preview.h"
#include "cli/progress.h"
#include "tasks/retrieve.h"

#include <stdio.h>

typedef struct settings {
    const char *model, *corpus, *sample, *candidate, *sheet, *show, *files;
    tsr_option_list from, set, tokenizers;
    long long top, rerank, evaluate, variants, score_steps, seed, batch, threads;
    int json, colour, progress, precision, by, quiet;
} settings;

static const tsr_option options[] = {
    {"from", 'f', TSR_OPT_LIST, offsetof(settings, from), NULL, 0, 0, "MODALITY=FILE",
     "the query: MODALITY=FILE, MODALITY:=TEXT, row=KEY, or with --sample or --evaluate names of "
     "modalities; repeat for more"},
    {"top", 'k', TSR_OPT_INT, offsetof(settings, top), "10", 1, 1e6, "K", "results"},
    {"sample", 0, TSR_OPT_STRING, offsetof(settings, sample), NULL, 0, 0, "KEY",
     "ask with modalities of the sample of the corpus with this key or number"},
    {"model", 'M', TSR_OPT_STRING, offsetof(settings, model), NULL, 0, 0, "MODEL",
     "predicts the index's modality from the query; default: the model the index was made with"},
    {"corpus", 0, TSR_OPT_STRING, offsetof(settings, corpus), NULL, 0, 0, "FOLDER",
     "corpus the index was made of, if it lies elsewhere by now"},
    {"tokenizers", 0, TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "PATH",
     "tokenizer file, or folder of them, besides those of corpus and model; repeat for more"},
    {"set", 's', TSR_OPT_LIST, offsetof(settings, set), NULL, 0, 0, "KEY=VALUE,...",
     "how the modality is predicted, as in tessera generate"},
    {"variants", 'n', TSR_OPT_INT, offsetof(settings, variants), NULL, 1, 10000, "N",
     "predictions from the query; its vector is their mean; default: 1 of global features, else 4"},
    {"rerank", 'r', TSR_OPT_INT, offsetof(settings, rerank), NULL, 0, 1e6, "N",
     "order the best N anew by what the model thinks of them, given the query"},
    {"candidate", 0, TSR_OPT_STRING, offsetof(settings, candidate), NULL, 0, 0, "NAME",
     "modality of a candidate whose likelihood is computed; default: the index's"},
    {"by", 0, TSR_OPT_CHOICE, offsetof(settings, by), "gain", 0, 0, "gain|likelihood",
     "rerank by log p(candidate | query), less log p(candidate) for the gain"},
    {"score-steps", 0, TSR_OPT_INT, offsetof(settings, score_steps), "4", 1, 65536, "N",
     "steps of the chain rule over a grid, for likelihoods"},
    {"evaluate", 'e', TSR_OPT_INT, offsetof(settings, evaluate), NULL, 0, 1e9, "N",
     "ask with each of the first N rows and report how often it finds itself"},
    {"sheet", 0, TSR_OPT_STRING, offsetof(settings, sheet), NULL, 0, 0, "FILE",
     "write a picture of the results, best first"},
    {"show", 0, TSR_OPT_STRING, offsetof(settings, show), NULL, 0, 0, "NAME",
     "modality of the results to show; default: their pictures"},
    {"files", 0, TSR_OPT_STRING, offsetof(settings, files), NULL, 0, 0, "FOLDER",
     "files the corpus was made from: show these instead of decoded tokens"},
    {"batch", 'b', TSR_OPT_INT, offsetof(settings, batch), "32", 1, 4096, "N",
     "predictions and likelihoods side by side; results do not depend on it"},
    {"precision", 'p', TSR_OPT_CHOICE, offsetof(settings, precision), "auto", 0, 0,
     TSR_PRECISION_CHOICES, "numbers the model computes with; auto: what this machine is fast at"},
    {"seed", 0, TSR_OPT_INT, offsetof(settings, seed), "0", 0, 9007199254740992.0, "N",
     "of predictions, orders of places and the bootstrap"},
    {"quiet", 'q', TSR_OPT_FLAG, offsetof(settings, quiet), NULL, 0, 0, NULL,
     "no pictures in the terminal"},
    TSR_OPTION_COLOUR(settings),
    TSR_OPTION_JSON(settings),
    TSR_OPTION_THREADS(settings),
    TSR_OPTION_PROGRESS(settings),
};

/* Where the sheet is shown. */
typedef struct viewer {
    tsr_screen screen;
    tsr_status st;
} viewer;

static void show(void *ctx, const tsr_image *sheet)
{
    viewer *v = ctx;
    v->st = tsr_show_picture(&v->screen, sheet, v->screen.columns);
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void print_results(const json_t *results)
{
    const json_t *o;
    size_t i;
    json_array_foreach(results, i, o)
    {
        printf("%4lld  %7.4f", (long long)json_integer_value(json_object_get(o, "rank")),
               number(o, "score"));
        if (json_object_get(o, "gain"))
            printf("  %9.2f nats", number(o, "gain"));
        fputs("  ", stdout);
        tsr_put_text(stdout, json_string_value(json_object_get(o, "key")));
        putchar('\n');
    }
}

static void print_figure(const char *name, const json_t *o)
{
    printf("  %-12s %.4g [%.4g, %.4g], chance %.4g\n", name, number(o, "value"), number(o, "low"),
           number(o, "high"), number(o, "chance"));
}

static void print_figures(const json_t *o)
{
    const json_t *recall = json_object_get(o, "recall");
    print_figure("recall@1", json_object_get(recall, "1"));
    print_figure("recall@5", json_object_get(recall, "5"));
    print_figure("recall@10", json_object_get(recall, "10"));
    print_figure("median rank", json_object_get(o, "median_rank"));
}

static tsr_status print_record(const settings *s, const json_t *record)
{
    const json_t *e = json_object_get(record, "evaluation"), *seconds;
    if (s->json)
        return tsr_print_json(record, 1);
    if (e) {
        printf("%lld queries among %lld rows\n",
               (long long)json_integer_value(json_object_get(e, "queries")),
               (long long)json_integer_value(json_object_get(record, "rows")));
        print_figures(e);
    }
    if (json_object_get(e, "reranked")) {
        printf("the best %lld by %s\n", s->rerank, s->by ? "likelihood" : "gain");
        print_figures(json_object_get(e, "reranked"));
    }
    print_results(json_object_get(record, "results"));
    seconds = json_object_get(record, "seconds");
    tsr_say("query %.2f s, search %.4f s over %lld rows, rerank %.2f s", number(seconds, "query"),
            number(seconds, "search"),
            (long long)json_integer_value(json_object_get(record, "rows")),
            number(seconds, "rerank"));
    return TSR_OK;
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    viewer v = {.st = TSR_OK};
    json_t *record = NULL;
    tsr_meter meter;
    tsr_job job;
    (void)n_operands;
    tsr_screen_init(&v.screen, (tsr_colour_mode)s->colour);
    tsr_par_set_threads((int)s->threads);
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    int look = !s->quiet && !s->json && v.screen.colour != TSR_COLOUR_NONE;
    const tsr_retrieval r = {.index = operands[0],
                             .model = s->model,
                             .corpus = s->corpus,
                             .tokenizers = {s->tokenizers.items, s->tokenizers.count},
                             .from = {s->from.items, s->from.count},
                             .sample = s->sample,
                             .set = {s->set.items, s->set.count},
                             .variants = (size_t)s->variants,
                             .seed = (uint64_t)s->seed,
                             .batch = (size_t)s->batch,
                             .precision = tsr_precision_chosen(s->precision),
                             .top = (size_t)s->top,
                             .rerank = (size_t)s->rerank,
                             .candidate = s->candidate,
                             .by = (tsr_rerank_by)s->by,
                             .score_steps = (size_t)s->score_steps,
                             .evaluate = (size_t)s->evaluate,
                             .sheet = s->sheet,
                             .show = s->show,
                             .files = s->files,
                             .picture = look ? show : NULL,
                             .ctx = &v,
                             .job = &job};
    tsr_status st = tsr_retrieve(&r, &record);
    tsr_meter_finish(&meter);
    if (st == TSR_OK)
        st = v.st;
    if (st == TSR_OK)
        st = print_record(s, record);
    json_decref(record);
    return tsr_finish(st);
}

const tsr_command tsr_cmd_retrieve = {
    .name = "retrieve",
    .operands = "INDEX",
    .summary = "find the samples of an index that are nearest to a query of any modality",
    .details =
        "The query is a file or text of any modality (--from rgb=photo.jpg, "
        "--from caption:=\"a red ball\"), modalities of a sample of the corpus (--sample KEY "
        "--from caption,palette), or a row of the index (--from row=KEY: more like this). A query "
        "in the index's own modality is compared as it is; from others the model predicts the "
        "index's modality, and its vector is compared.\n"
        "\n"
        "The search is exact: the cosine with every row, ties in the order of rows. With --rerank "
        "the best are ordered anew by the model's likelihood of the candidate's tokens given the "
        "query, which is slower and sees more than a vector holds.\n"
        "\n"
        "With --evaluate each of the first N rows looks for itself by the modalities named: recall "
        "among the first 1, 5 and 10 and the median rank, with 95 % intervals by the bootstrap "
        "over queries, beside chance. Ties count half.\n"
        "\n"
        "Corpus, tokenizers and model must be those the index was made with; another one exits 3, "
        "as does an index that was changed since it was written.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .run = run,
};

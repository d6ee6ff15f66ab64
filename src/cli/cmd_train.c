/* SPDX-License-Identifier: Apache-2.0
 * tessera train: from a recipe and corpora to a masked any-to-any model. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "trainer/fmrun.h"

#include "base/par.h"

#include <sys/resource.h>

typedef struct settings {
    int json, progress, dry_run, restart, tensorboard;
    long long threads;
    tsr_option_list set;
} settings;

static const tsr_option options[] = {
    TSR_OPTION_SET(settings),
    TSR_OPTION_THREADS(settings),
    {"restart", 0, TSR_OPT_FLAG, offsetof(settings, restart), NULL, 0, 0, NULL,
     "forget the checkpoints or the result of an earlier run"},
    {"tensorboard", 0, TSR_OPT_FLAG, offsetof(settings, tensorboard), NULL, 0, 0, NULL,
     "write event files for TensorBoard to OUTPUT/events"},
    TSR_OPTION_DRY_RUN(settings),
    TSR_OPTION_PROGRESS(settings),
    TSR_OPTION_JSON(settings),
};

static double number(const json_t *v, const char *key)
{
    return json_number_value(json_object_get(v, key));
}

static void print_short(const char *label, double x, const char *unit)
{
    char text[16];
    tsr_short_number(x, text);
    printf("  %-22s %s%s%s\n", label, text, unit[0] ? " " : "", unit);
}

static void print_time(const char *label, double seconds)
{
    char text[16];
    tsr_short_time(seconds, text);
    printf("  %-22s %s\n", label, text);
}

static void print_parameters(const json_t *report)
{
    const json_t *p = json_object_get(report, "parameters");
    print_short("parameters in blocks", number(p, "blocks"), "");
    print_short("in embeddings", number(p, "embeddings"), "");
}

static void print_plan(const json_t *plan)
{
    const json_t *batch = json_object_get(plan, "batch");
    const char *name;
    json_t *m;
    json_object_foreach(json_object_get(plan, "modalities"), name, m)
    {
        printf("  %-22s %s%s%s, %.0f ids, %.0f tokens\n", name,
               json_string_value(json_object_get(m, "class")),
               json_is_true(json_object_get(m, "input")) ? " in" : "",
               json_is_true(json_object_get(m, "output")) ? " out" : "", number(m, "vocabulary"),
               number(m, "tokens"));
    }
    print_parameters(plan);
    printf("  %-22s %.0f samples of at most %.0f + %.0f tokens, in %.0f micro-batches\n", "a step",
           number(batch, "samples"), number(batch, "inputs"), number(batch, "targets"),
           number(batch, "accumulate"));
    print_short("tokens a step", number(plan, "tokens_per_step"), "");
    print_short("FLOP a token", number(plan, "flops_per_token"), "");
    print_short("FLOP a step", number(plan, "flops_per_step"), "");
    print_short("memory", number(plan, "memory_bytes"), "bytes");
    print_short("samples", number(plan, "samples"), "");
    print_short("steps", number(plan, "steps"), "");
    printf("  %-22s %.4g after %.0f steps of warm-up\n", "learning rate", number(plan, "lr"),
           number(plan, "warmup_steps"));
    printf("  %-22s %.3g s (%s)\n", "time of a step", number(plan, "seconds_per_step"),
           json_is_true(json_object_get(plan, "timed")) ? "measured"
                                                        : "guessed from the matrix rate");
    print_time("time in all", number(plan, "seconds"));
}

static void print_losses(const char *name, const json_t *v)
{
    const char *m;
    json_t *x;
    printf("%s: loss %.4f on %.0f samples\n", name, number(v, "loss"), number(v, "samples"));
    json_object_foreach(json_object_get(v, "nll"), m, x)
    {
        printf("  %-22s %.4f nats a token, %+.2f bits below unigrams\n", m, json_number_value(x),
               number(json_object_get(v, "bits_below_unigram"), m));
    }
}

static void print_report(const json_t *report)
{
    const char *name;
    json_t *v;
    printf("%s\n", json_string_value(json_object_get(report, "model")));
    print_parameters(report);
    print_short("steps", number(report, "steps"), "");
    print_short("tokens shown", number(report, "inputs"), "");
    print_short("tokens predicted", number(report, "targets"), "");
    print_time("time", number(report, "train_seconds"));
    print_short("tokens a second", number(report, "tokens_per_second"), "");
    json_object_foreach(json_object_get(report, "validation"), name, v)
    {
        print_losses(name, v);
    }
}

static tsr_status train(const settings *s, const char *path, size_t *bad)
{
    tsr_meter meter;
    tsr_job job;
    tsr_recipe *recipe = NULL;
    json_t *report = NULL;
    const tsr_fmrun_options o = {s->dry_run, s->restart, s->tensorboard};
    tsr_status st = TSR_OK;
    tsr_meter_init(&meter, (tsr_progress_style)s->progress, &job);
    TSR_GO(tsr_recipe_open(path, s->set.items, s->set.count, tsr_fmrun_fields, tsr_fmrun_n_fields,
                           &recipe));
    TSR_GO(tsr_fmrun(recipe, &o, &job, &report));
    tsr_meter_finish(&meter);
    *bad = (size_t)json_integer_value(json_object_get(report, "samples_bad"));
    if (s->json)
        TSR_GO(tsr_print_json(report, 1));
    else if (s->dry_run)
        print_plan(report);
    else
        print_report(report);
out:
    tsr_meter_finish(&meter);
    json_decref(report);
    tsr_recipe_close(recipe);
    return st;
}

/* Samples come from all shards in turn: let their files stay open. */
static void allow_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    (void)!setrlimit(RLIMIT_NOFILE, &r);
}

static int run(const void *settings_, int n_operands, char *const *operands)
{
    const settings *s = settings_;
    size_t bad = 0;
    (void)n_operands;
    tsr_par_set_threads((int)s->threads);
    allow_files();
    tsr_status st = train(s, operands[0], &bad);
    return tsr_finish_counted(st, bad);
}

const tsr_command tsr_cmd_train = {
    .name = "train",
    .operands = "RECIPE",
    .summary = "train a masked any-to-any model on corpora of tokens",
    .details =
        "Trains the model that RECIPE (YAML) describes on corpora made by tessera tokenize.\n"
        "\n"
        "The folder OUTPUT of the recipe then holds recipe.yaml, the merged recipe; metrics.jsonl, "
        "one "
        "object per logged step or validation; timing.jsonl, seconds and rates at the same steps; "
        "unigrams.json, entropies of the training tokens; checkpoints, the last ones; and, once "
        "the "
        "run is finished, model.safetensors and report.json, the figures printed at the end.\n"
        "\n"
        "A run that was stopped (Ctrl-C) or killed goes on from its last checkpoint when the same "
        "recipe is given again, and ends with the same bytes in metrics, checkpoints and model as "
        "an "
        "undisturbed one, whatever the number of threads. A finished run is not repeated.",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .settings_bytes = sizeof(settings),
    .keys = tsr_fmrun_fields,
    .n_keys = &tsr_fmrun_n_fields,
    .run = run,
};

/* SPDX-License-Identifier: Apache-2.0
 * Evaluation: what is asked, what metrics mean, and the whole run on a small corpus with a model
 * that knows nothing. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "codecs/codec.h"
#include "pipeline/tokenize.h"
#include "shards/corpus.h"
#include "tasks/eval.h"
#include "tasks/evalwork.h"
#include "tokenizers/text.h"

#include <math.h>

enum { SAMPLES = 14, SIDE = 16 };

/* ---- what is asked ----------------------------------------------------------------------------*/

static void reads_tasks(void **state)
{
    (void)state;
    tsr_eval_tasks t = {0};
    assert_ok(tsr_eval_tasks_add(&t, "rgb:depth"));
    assert_ok(tsr_eval_tasks_add(&t, "rgb+caption@2:label:miou,accuracy"));
    assert_int_equal(t.count, 2);
    assert_int_equal(t.items[0].n_from, 1);
    assert_int_equal(t.items[0].n_metrics, 0);
    assert_string_equal(t.items[1].from[1], "caption@2");
    assert_string_equal(t.items[1].to, "label");
    assert_string_equal(t.items[1].metrics[1], "accuracy");
    static const char *const bad[] = {"",           ":",          "rgb",
                                      "rgb:",       ":depth",     "rgb++a:depth",
                                      "rgb+:depth", "rgb:depth:", "rgb:depth:a,,b",
                                      "a::b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(TSR_EARG, tsr_eval_tasks_add(&t, bad[i]));
    assert_int_equal(t.count, 2);
    tsr_eval_tasks_clear(&t);
}

static tsr_status parse(const char *text, tsr_eval_tasks *t)
{
    tsr_recipe *r;
    TSR_TRY(tsr_recipe_parse(text, strlen(text), "test.yaml", NULL, 0, tsr_eval_fields,
                             tsr_n_eval_fields, &r));
    tsr_status st = tsr_eval_tasks_read(t, r);
    tsr_recipe_close(r);
    return st;
}

static void reads_recipes(void **state)
{
    (void)state;
    tsr_eval_tasks t = {0};
    assert_ok(parse("tasks:\n"
                    "  - {from: rgb, to: depth}\n"
                    "  - {from: [rgb, caption], to: label, metric: [miou], steps: 3, temperature: "
                    "0.5, variants: 4,\n"
                    "     scheme: random, tokens: linear, top_p: 0.8, max_tokens: 0, samples: 7}\n",
                    &t));
    assert_int_equal(t.count, 2);
    assert_int_equal(t.items[1].n_from, 2);
    assert_string_equal(t.items[0].from[0], "rgb");
    assert_true(t.items[0].samples == 0 && t.items[1].samples == 7);
    assert_string_equal(t.items[1].metrics[0], "miou");
    tsr_mods mods = {0};
    tsr_mod grid = {.name = "label",
                    .cls = TSR_CLASS_IMAGE,
                    .vocabulary = 8,
                    .places = 4,
                    .height = 2,
                    .width = 2};
    tsr_eval_method method;
    json_t *settings;
    const char need[TSR_MODALITIES] = {1};
    assert_ok(tsr_mods_add(&mods, &grid));
    assert_ok(tsr_eval_target(&mods, 0, "label", need, t.items[1].settings, &method));
    assert_int_equal(method.target.steps, 3);
    assert_int_equal(method.variants, 4);
    assert_int_equal(method.target.scheme, TSR_SCHEME_ROAR);
    assert_int_equal(method.target.tokens, TSR_TOKENS_LINEAR);
    assert_true(method.target.temperature == 0.5 && method.target.top_p == 0.8);
    assert_ok(tsr_eval_settings(&method, &settings));
    assert_string_equal(json_string_value(json_object_get(settings, "scheme")), "random");
    assert_string_equal(json_string_value(json_object_get(settings, "tokens")), "linear");
    assert_int_equal(json_integer_value(json_object_get(settings, "variants")), 4);
    json_decref(settings);
    assert_ok(tsr_eval_target(&mods, 0, "depth", need, NULL, &method));
    assert_true(method.target.temperature == 1 && method.variants > 1 &&
                !tsr_eval_is_fixed(&method));
    assert_ok(tsr_eval_target(&mods, 0, "audio", need, NULL, &method));
    assert_true(method.target.temperature == 0 && method.variants == 1 &&
                tsr_eval_is_fixed(&method));
    tsr_eval_tasks_clear(&t);

    assert_fails(TSR_ECONFIG, parse("tasks: [{from: rgb}]", &t));
    assert_fails(TSR_ECONFIG, parse("tasks: [{to: rgb}]", &t));
    assert_fails(TSR_ECONFIG, parse("tasks: [{from: a, to: b, samples: 1}]", &t));
    assert_fails(TSR_ECONFIG, parse("tasks: [{from: a, to: b, step: 3}]", &t));
    assert_fails(TSR_ECONFIG, parse("tasks: {from: a, to: b}", &t));
    assert_ok(parse(
        "tasks: [{from: a, to: b, preset: any, steps: 5}, {from: a, to: b, preset: no}]", &t));
    snprintf(mods.items[0].name, sizeof mods.items[0].name, "depth");
    assert_ok(tsr_eval_target(&mods, 0, "depth", need, t.items[0].settings, &method));
    assert_true(method.target.temperature == 3 && method.target.guidance == 2 &&
                method.target.cooling == TSR_TEMPERATURE_ONEX && method.target.steps == 5 &&
                method.variants == 1);
    assert_fails(TSR_ECONFIG,
                 tsr_eval_target(&mods, 0, "depth", need, t.items[1].settings, &method));
    tsr_eval_tasks_clear(&t);
    assert_ok(parse("tasks: [{from: a, to: b, scheme: diffusion}]", &t));
    assert_fails(TSR_ECONFIG,
                 tsr_eval_target(&mods, 0, "label", need, t.items[0].settings, &method));
    tsr_eval_tasks_clear(&t);
}

static void metrics_have_directions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int higher;
    } cases[] = {{"psnr_db", 1},       {"absrel", 0},  {"angle_deg", 0}, {"miou", 1},
                 {"mel_db", 0},        {"delta_e", 0}, {"exact", 1},     {"iou", 1},
                 {"caption_facts", 1}, {"words", 1}};
    int higher;
    double worst;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(tsr_eval_metric(cases[i].name, &higher, &worst));
        assert_int_equal(higher, cases[i].higher);
        assert_true(higher ? worst == 0 : worst > 0);
    }
    assert_fails(TSR_EARG, tsr_eval_metric("miuo", &higher, &worst));
    assert_non_null(strstr(tsr_error(), "\"miou\""));
}

static void nobody_gets_their_own(void **state)
{
    (void)state;
    for (size_t n = 2; n < 40; n++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            char taken[40] = {0};
            for (size_t i = 0; i < n; i++) {
                size_t w = tsr_eval_wrong(i, n, seed);
                assert_true(w < n && w != i && !taken[w]);
                taken[w] = 1;
            }
        }
}

/* ---- the whole run ----------------------------------------------------------------------------*/

static char root[512];

static char *path_of(const char *fmt, ...)
{
    static char paths[8][640];
    static int at;
    char *p = paths[at = (at + 1) % 8];
    va_list ap;
    int n = snprintf(p, sizeof paths[0], "%s/", root);
    va_start(ap, fmt);
    vsnprintf(p + n, sizeof paths[0] - (size_t)n, fmt, ap);
    va_end(ap);
    return p;
}

static const char *const colours[] = {"red", "blue", "green"};
static const char *const shapes[] = {"ball", "box"};

static void write_sample(int i)
{
    tsr_media picture = {.kind = TSR_MEDIA_IMAGE};
    char text[200];
    assert_ok(tsr_image_init(&picture.as.image, SIDE, SIDE, 3, TSR_PIXEL_U8));
    uint8_t *p = picture.as.image.data;
    for (int k = 0; k < SIDE * SIDE; k++)
        p[3 * k + i % 3] = (uint8_t)(200 - k / 8);
    assert_ok(
        tsr_media_write(path_of("files/test/rgb/%03d.png", i), &picture, &(tsr_write_options){0}));
    tsr_media_clear(&picture);
    int n = snprintf(text, sizeof text, "There is a %s %s on sand.", colours[i % 3], shapes[i % 2]);
    assert_ok(tsr_file_write(path_of("files/test/caption/%03d.txt", i), text, (size_t)n));
    n = snprintf(
        text, sizeof text,
        "{\"objects\": [{\"colour\": \"%s\", \"shape\": \"%s\", \"material\": \"glass\"}]}",
        colours[i % 3], i % 2 ? "box" : "sphere");
    assert_ok(tsr_file_write(path_of("files/test/metadata/%03d.json", i), text, (size_t)n));
}

static void write_vocabulary(void)
{
    const char *texts[] = {"There is a red ball on sand. blue green box", "there is a blue box"};
    size_t bytes[] = {strlen(texts[0]), strlen(texts[1])};
    tsr_text_train_spec spec;
    tsr_text *text;
    tsr_text_train_defaults(&spec);
    spec.vocabulary = 4000;
    spec.min_frequency = 1;
    spec.sentinels = 10;
    spec.values = 300;
    assert_ok(tsr_text_train(texts, bytes, 2, &spec, NULL, &text));
    assert_ok(tsr_text_write(text, path_of("text.json")));
    tsr_text_destroy(text);
}

static void write_corpus(void)
{
    char *recipe;
    tsr_recipe *r;
    json_t *summary;
    assert_ok(tsr_format(&recipe,
                         "source: {root: '%s', splits: [test], name: t}\noutput: '%s'\n"
                         "modalities:\n"
                         "  caption: {tokenizer: '%s'}\n"
                         "  palette: {kind: palette, from: rgb, text: '%s'}\n"
                         "  rgb@16: {kind: pixels, from: rgb, image_size: 16, patch_size: 8}\n",
                         path_of("files"), path_of("corpus"), path_of("text.json"),
                         path_of("text.json")));
    assert_ok(tsr_recipe_parse(recipe, strlen(recipe), "recipe", NULL, 0, tsr_tokenize_fields,
                               tsr_n_tokenize_fields, &r));
    assert_ok(tsr_tokenize(r, &(tsr_tokenize_options){0}, &summary));
    json_decref(summary);
    tsr_recipe_close(r);
    tsr_free(recipe);
}

/* A model of the corpus's modalities; `spoil`: one that was trained with another tokenizer. */
static void write_model(const char *path, int spoil)
{
    tsr_corpus *c;
    tsr_fm_config config;
    tsr_fm *m;
    assert_ok(tsr_corpus_open(path_of("corpus"), &c));
    assert_ok(tsr_fm_preset("tiny", &config));
    config.dim = 64;
    config.heads = 1;
    config.encoder_depth = config.decoder_depth = 1;
    config.mods = (tsr_mods){0};
    const tsr_manifest *manifest = tsr_corpus_manifest(c);
    for (size_t i = 0; i < manifest->n_modalities; i++) {
        tsr_mod mod;
        tsr_mod_of_space(&manifest->modalities[i].space, &mod);
        if (mod.cls == TSR_CLASS_SEQUENCE)
            mod.max_tokens = 24;
        mod.tokenizer.lo ^= spoil && strcmp(mod.name, "caption") == 0;
        assert_ok(tsr_mods_add(&config.mods, &mod));
    }
    assert_ok(tsr_fm_create(&config, 3, &m));
    assert_ok(tsr_fm_write(m, path, 0, NULL));
    tsr_fm_destroy(m);
    tsr_corpus_close(c);
}

static int make_all(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/test_eval.d", build_folder());
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (system(command) != 0)
        return 1;
    static const char *const folders[] = {"rgb", "caption", "metadata"};
    for (size_t i = 0; i < 3; i++)
        assert_ok(tsr_make_folders(path_of("files/test/%s", folders[i])));
    for (int i = 0; i < SAMPLES; i++)
        write_sample(i);
    write_vocabulary();
    write_corpus();
    write_model(path_of("model.safetensors"), 0);
    write_model(path_of("other.safetensors"), 1);
    return 0;
}

typedef struct shape {
    int threads;
    size_t batch;
    int files;
    const char *examples;
} shape;

static tsr_status evaluate(const char *model, const char *const *tasks, size_t n, const shape *how,
                           json_t **out)
{
    tsr_eval_tasks t = {0};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < n && st == TSR_OK; i++)
        st = tsr_eval_tasks_add(&t, tasks[i]);
    tsr_par_set_threads(how->threads);
    tsr_eval_spec spec = {.model = model,
                          .corpus = path_of("corpus"),
                          .split = "test",
                          .files = how->files ? path_of("files") : NULL,
                          .tasks = &t,
                          .samples = 12,
                          .candidates = 4,
                          .matrix = 5,
                          .score_steps = 2,
                          .examples = how->examples,
                          .n_examples = 2,
                          .batch = how->batch,
                          .precision = TSR_PRECISION_FP32,
                          .seed = 1};
    if (st == TSR_OK)
        st = tsr_eval_run(&spec, out);
    tsr_par_set_threads(0);
    tsr_eval_tasks_clear(&t);
    return st;
}

static double at(const json_t *o, const char *way, const char *member)
{
    const json_t *v = json_object_get(json_object_get(o, way), member);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void check_entry(const json_t *o, const char *metric, double ceiling, int higher)
{
    assert_string_equal(json_string_value(json_object_get(o, "metric")), metric);
    assert_int_equal(json_is_true(json_object_get(o, "higher_is_better")), higher);
    assert_int_equal(json_integer_value(json_object_get(o, "samples")), 12);
    static const char *const ways[] = {"model",
                                       "no_input",
                                       "wrong_input",
                                       "ceiling",
                                       "better_than_no_input",
                                       "better_than_wrong_input"};
    for (size_t i = 0; i < 6; i++)
        assert_true(at(o, ways[i], "low") <= at(o, ways[i], "value") &&
                    at(o, ways[i], "value") <= at(o, ways[i], "high"));
    assert_true(fabs(at(o, "ceiling", "value") - ceiling) < 1e-9);
    double gain = at(o, "model", "value") - at(o, "no_input", "value");
    assert_true(fabs(at(o, "better_than_no_input", "value") - (higher ? gain : -gain)) < 1e-9);
}

static void drop_seconds(json_t *report)
{
    json_t *o;
    size_t i;
    json_array_foreach(json_object_get(report, "tasks"), i, o) json_object_del(o, "seconds");
}

static const char *const both[] = {"rgb@16+palette:caption", "rgb@16:palette"};

/* The scene's record is the truth of captions: they name the object, never its material. */
static void figures_are_complete(void **state)
{
    (void)state;
    json_t *report, *again;
    assert_ok(evaluate(path_of("model.safetensors"), both, 2,
                       &(shape){1, 5, 1, path_of("examples")}, &report));
    const json_t *tasks = json_object_get(report, "tasks");
    assert_int_equal(json_array_size(tasks), 4);
    check_entry(json_array_get(tasks, 0), "caption_facts", 1, 1);
    check_entry(json_array_get(tasks, 1), "caption_count", 1, 1);
    check_entry(json_array_get(tasks, 2), "caption_material", 0, 1);
    check_entry(json_array_get(tasks, 3), "delta_e", 0, 0);
    const json_t *first = json_array_get(tasks, 0), *last = json_array_get(tasks, 3);
    assert_string_equal(json_string_value(json_object_get(first, "truth")), "record");
    assert_string_equal(json_string_value(json_object_get(last, "truth")), "files");
    assert_true(at(json_object_get(first, "figures"), "words", "ceiling") == 1);
    /* A model that knows nothing writes no palettes: the worst there is, and counted. */
    assert_true(at(last, "malformed", "model") > 0 && at(last, "model", "value") > 50);
    const json_t *matrix = json_object_get(report, "matrix");
    assert_int_equal(json_array_size(json_object_get(matrix, "cells")), 4);
    assert_int_equal(json_array_size(json_object_get(matrix, "given_nothing")), 2);
    const json_t *c = json_array_get(json_object_get(report, "candidates"), 0);
    assert_int_equal(json_integer_value(json_object_get(c, "candidates")), 4);
    assert_true(at(c, "mean_rank", "value") >= 1 && at(c, "mean_rank", "value") <= 4);
    assert_true(tsr_file_exists(path_of("examples/examples.json")));
    assert_true(tsr_file_exists(path_of("examples/rgb@16+palette-caption/001.model.txt")));
    assert_true(tsr_file_exists(path_of("examples/rgb@16-palette/000.input.rgb@16.png")));

    assert_ok(evaluate(path_of("model.safetensors"), both, 2, &(shape){2, 3, 1, NULL}, &again));
    drop_seconds(report);
    drop_seconds(again);
    assert_true(json_equal(report, again));

    assert_ok(tsr_file_write(path_of("report.json"), "{\"kept\": 1, \"tasks\": []}", 24));
    assert_ok(tsr_eval_merge(path_of("report.json"), report));
    json_decref(again);
    assert_ok(tsr_json_read(path_of("report.json"), 1 << 24, &again));
    assert_int_equal(json_integer_value(json_object_get(again, "kept")), 1);
    assert_int_equal(json_array_size(json_object_get(again, "tasks")), 4);
    assert_ok(tsr_file_write(path_of("report.json"), "[]", 2));
    assert_fails(TSR_EFORMAT, tsr_eval_merge(path_of("report.json"), report));
    json_decref(again);
    json_decref(report);
}

static void tokens_are_the_truth_without_files(void **state)
{
    (void)state;
    json_t *report;
    const char *one[] = {"rgb@16:caption:words,caption_facts"};
    assert_ok(evaluate(path_of("model.safetensors"), one, 1, &(shape){1, 8, 0, NULL}, &report));
    const json_t *o = json_array_get(json_object_get(report, "tasks"), 0);
    assert_string_equal(json_string_value(json_object_get(o, "metric")), "words");
    assert_string_equal(json_string_value(json_object_get(o, "truth")), "tokens");
    assert_true(json_is_null(json_object_get(o, "ceiling")));
    json_decref(report);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *task, *say;
    } cases[] = {{"rgb:caption", "no modality \"rgb\""},
                 {"palette:captoin", "did you mean \"caption\""},
                 {"caption:rgb@16", "never predicts"},
                 {"caption:caption", "named twice"},
                 {"palette:caption:miou", "caption_facts"}};
    json_t *report;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_fails(TSR_ECONFIG, evaluate(path_of("model.safetensors"), &cases[i].task, 1,
                                           &(shape){1, 8, 1, NULL}, &report));
        if (!strstr(tsr_error(), cases[i].say))
            fail_msg("\"%s\" does not say %s", tsr_error(), cases[i].say);
    }
    const char *unknown = "palette:caption:worsd";
    assert_fails(TSR_EARG, evaluate(path_of("model.safetensors"), &unknown, 1,
                                    &(shape){1, 8, 1, NULL}, &report));
    assert_fails(TSR_EMISMATCH,
                 evaluate(path_of("other.safetensors"), both, 2, &(shape){1, 8, 1, NULL}, &report));
    assert_non_null(strstr(tsr_error(), "caption"));
}

/* A file that was damaged since is one sample less, counted. */
static void broken_files_are_left_out(void **state)
{
    (void)state;
    json_t *report;
    const char *one[] = {"caption:palette"};
    assert_ok(tsr_file_write(path_of("files/test/rgb/003.png"), "no picture", 10));
    assert_ok(evaluate(path_of("model.safetensors"), one, 1, &(shape){2, 8, 1, NULL}, &report));
    const json_t *o = json_array_get(json_object_get(report, "tasks"), 0);
    assert_int_equal(json_integer_value(json_object_get(o, "samples")), 11);
    assert_int_equal(at(report, "eval", "failed"), 1);
    json_decref(report);
}

/* Two pictures made one: the mean of each value. */
static void variants_become_one(void **state)
{
    (void)state;
    tsr_fm *m;
    tsr_eval_set set;
    tsr_media mean, one, other;
    tsr_tokens v[2];
    char wanted[TSR_MODALITIES] = {0};
    assert_ok(tsr_fm_open(path_of("model.safetensors"), &m));
    const tsr_mods *mods = &tsr_fm_get_config(m)->mods;
    size_t at = (size_t)tsr_mods_find(mods, "rgb@16");
    wanted[at] = 1;
    tsr_eval_spec spec = {.corpus = path_of("corpus"), .split = "test"};
    assert_ok(tsr_eval_set_open(&spec, mods, wanted, &set));
    for (int k = 0; k < 2; k++) {
        assert_ok(tsr_tokens_init(&v[k], SIDE * SIDE * 3));
        for (uint32_t i = 0; i < SIDE * SIDE * 3; i++)
            v[k].ids[i] = k ? 40 : i % 200;
    }
    assert_ok(tsr_eval_estimate(&set, at, 0, v, 2, &mean));
    assert_ok(tsr_eval_estimate(&set, at, 0, v, 1, &one));
    assert_ok(tsr_eval_estimate(&set, at, 0, v + 1, 1, &other));
    const uint8_t *a = one.as.image.data, *b = other.as.image.data, *c = mean.as.image.data;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        assert_true(fabs((a[i] + b[i]) / 2.0 - c[i]) <= 0.5);
    v[1].count = 3; /* no picture */
    tsr_media_clear(&one);
    assert_fails(TSR_EFORMAT, tsr_eval_estimate(&set, at, 0, v, 2, &one));
    tsr_media_clear(&mean);
    tsr_media_clear(&other);
    tsr_tokens_clear(&v[0]);
    tsr_tokens_clear(&v[1]);
    tsr_eval_set_close(&set);
    tsr_fm_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tasks),
        cmocka_unit_test(reads_recipes),
        cmocka_unit_test(metrics_have_directions),
        cmocka_unit_test(nobody_gets_their_own),
        cmocka_unit_test(figures_are_complete),
        cmocka_unit_test(tokens_are_the_truth_without_files),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(variants_become_one),
        cmocka_unit_test(broken_files_are_left_out),
    };
    return cmocka_run_group_tests(tests, make_all, NULL);
}

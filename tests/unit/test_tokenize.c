/* SPDX-License-Identifier: Apache-2.0
 * The corpus job: alignment by name, missing and failed inputs, crops, resume, added and replaced
 * modalities, any number of threads. Kinds are those of testkinds.c. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/str.h"
#include "codecs/codec.h"
#include "pipeline/tokenize.h"
#include "shards/corpus.h"
#include "shards/verify.h"

#include <sys/stat.h>
#include <unistd.h>

static char root[512], output[600];

static void shell(const char *fmt, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static int fresh(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "%s/test_tokenize.d/src", build_folder());
    snprintf(output, sizeof output, "%s/test_tokenize.d/out", build_folder());
    shell("rm -rf '%s/test_tokenize.d' && mkdir -p '%s' && '%s/tokenize_tool' make '%s' 40",
          build_folder(), root, build_folder(), root);
    return 0;
}

#define RGB     "modalities: {rgb: {kind: test-means}"
#define CAPTION ", caption: {kind: test-bytes, from: caption, crops: false}"
#define SHARDS  "shard_samples: 16\n"

/* Run the job; `more` is the recipe without source and output. */
static tsr_status run(const char *more, const tsr_tokenize_options *o, json_t **summary)
{
    char *text;
    tsr_recipe *r;
    tsr_tokenize_options none = {0};
    TSR_TRY(tsr_format(&text, "source: {root: '%s', name: test}\noutput: '%s'\n%s\n", root, output,
                       more));
    tsr_status st = tsr_recipe_parse(text, strlen(text), "recipe", NULL, 0, tsr_tokenize_fields,
                                     tsr_n_tokenize_fields, &r);
    tsr_free(text);
    TSR_TRY(st);
    st = tsr_tokenize(r, o ? o : &none, summary);
    tsr_recipe_close(r);
    return st;
}

static long long number(const json_t *o, const char *key)
{
    assert_non_null(json_object_get(o, key));
    return (long long)json_integer_value(json_object_get(o, key));
}

static void good(void)
{
    tsr_verify_report r;
    assert_ok(tsr_verify(output, 0, NULL, &r));
    for (size_t i = 0; i < r.problems.count; i++)
        print_message("%s\n", r.problems.names[i]);
    assert_int_equal(r.problems.count, 0);
    tsr_verify_clear(&r);
}

static void counts_and_tokens(void **state)
{
    (void)state;
    json_t *s;
    tsr_corpus *c;
    tsr_tokens t;
    tsr_present p;
    uint64_t i;
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    assert_int_equal(number(s, "samples"), 40);
    assert_int_equal(number(s, "shards"), 3);
    assert_int_equal(number(s, "files_written"), 6);
    assert_int_equal(number(s, "missing"), 6);
    assert_int_equal(number(s, "failed"), 4);
    const json_t *f = json_array_get(json_object_get(s, "failures"), 0);
    assert_string_equal(json_string_value(json_object_get(f, "reason")),
                        "caption/0/s0027.txt: the text is bad");
    json_decref(s);
    good();
    assert_ok(tsr_corpus_open(output, &c));
    assert_ok(tsr_corpus_find(c, "1/s0004", &i));
    assert_ok(tsr_corpus_read(c, "caption", i, 0, &t, &p));
    assert_int_equal(t.count, 8);
    assert_int_equal(t.ids[7], '4');
    tsr_tokens_clear(&t);
    assert_ok(tsr_corpus_find(c, "1/s0007", &i));
    assert_ok(tsr_corpus_read(c, "caption", i, 0, &t, &p));
    assert_int_equal(p, TSR_MISSING);
    tsr_corpus_close(c);
}

/* All digests of the corpus, and the manifest itself. */
static void digest_all(tsr_digest *out)
{
    tsr_names names = {0};
    tsr_hasher *h;
    assert_ok(tsr_list_folder(output, &names));
    assert_ok(tsr_hasher_create(&h));
    for (size_t i = 0; i < names.count; i++) {
        char path[900];
        tsr_digest d;
        if (!tsr_ends_with(names.names[i], ".h5") && !tsr_ends_with(names.names[i], ".json"))
            continue;
        snprintf(path, sizeof path, "%s/%s", output, names.names[i]);
        assert_ok(tsr_hash_file(path, &d));
        tsr_hasher_add(h, names.names[i], strlen(names.names[i]));
        tsr_hasher_add(h, &d, sizeof d);
    }
    *out = tsr_hasher_finish(h);
    tsr_hasher_destroy(h);
    tsr_names_clear(&names);
}

static void any_number_of_threads(void **state)
{
    (void)state;
    tsr_digest first, d;
    json_t *s;
    for (int threads = 1; threads <= 4; threads++) {
        shell("rm -rf '%s'", output);
        tsr_par_set_threads(threads);
        assert_ok(run(RGB CAPTION "}\ncrops: {count: 3}\n" SHARDS, NULL, &s));
        json_decref(s);
        digest_all(&d);
        if (threads == 1)
            first = d;
        assert_true(tsr_digest_equal(first, d));
    }
    tsr_par_set_threads(0);
}

static void second_run_skips(void **state)
{
    (void)state;
    json_t *s;
    tsr_digest a, b;
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    json_decref(s);
    digest_all(&a);
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    assert_int_equal(number(s, "files_written"), 0);
    assert_int_equal(number(s, "files_skipped"), 6);
    assert_int_equal(number(s, "failed"), 4);
    json_decref(s);
    digest_all(&b);
    assert_true(tsr_digest_equal(a, b));
    /* A changed file is made again, and only its shard. */
    shell("printf 'something else' > '%s/caption/0/s0003.txt'", root);
    assert_ok(run(RGB CAPTION "}\n", NULL, &s));
    assert_int_equal(number(s, "files_written"), 1);
    json_decref(s);
    good();
    /* Deleted sources do not take their tokens with them. */
    shell("rm '%s'/*/0/s0003.*", root);
    assert_ok(run(RGB CAPTION "}\n", NULL, &s));
    assert_int_equal(number(s, "files_written"), 0);
    json_decref(s);
}

static int64_t changed_at(const char *name)
{
    char path[900];
    uint64_t bytes;
    int64_t mtime;
    snprintf(path, sizeof path, "%s/%s", output, name);
    assert_ok(tsr_file_stat(path, &bytes, &mtime));
    return mtime;
}

static void adding_and_replacing_leave_the_rest(void **state)
{
    (void)state;
    json_t *s;
    tsr_digest before, after;
    char path[900];
    assert_ok(run(RGB "}\n" SHARDS, NULL, &s));
    json_decref(s);
    int64_t keys = changed_at("keys-00001.h5"), rgb = changed_at("rgb-00001.h5");
    snprintf(path, sizeof path, "%s/rgb-00001.h5", output);
    assert_ok(tsr_hash_file(path, &before));
    /* added */
    assert_ok(run("modalities: {caption: {kind: test-bytes, crops: false}}", NULL, &s));
    assert_int_equal(number(s, "files_written"), 3);
    json_decref(s);
    good();
    int64_t caption = changed_at("caption-00001.h5");
    assert_int_equal(changed_at("keys-00001.h5"), keys);
    assert_int_equal(changed_at("rgb-00001.h5"), rgb);
    /* replaced: only on request */
    const char *other = "modalities: {caption: {kind: test-bytes, salt: 5, crops: false}}";
    tsr_tokenize_options replace = {.replace = 1};
    s = NULL;
    assert_fails(TSR_EMISMATCH, run(other, NULL, &s));
    assert_non_null(strstr(tsr_error(), "0000000000000005"));
    assert_int_equal(changed_at("caption-00001.h5"), caption);
    assert_ok(run(other, &replace, &s));
    assert_int_equal(number(s, "files_written"), 3);
    json_decref(s);
    good();
    assert_int_not_equal(changed_at("caption-00001.h5"), caption);
    assert_int_equal(changed_at("keys-00001.h5"), keys);
    assert_int_equal(changed_at("rgb-00001.h5"), rgb);
    assert_ok(tsr_hash_file(path, &after));
    assert_true(tsr_digest_equal(before, after));
}

static void new_samples_are_appended(void **state)
{
    (void)state;
    json_t *s;
    tsr_corpus *c;
    uint64_t i;
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    json_decref(s);
    int64_t first = changed_at("rgb-00000.h5");
    shell("printf new > '%s/caption/0/a-first.txt'", root);
    assert_ok(run(RGB CAPTION "}\n", NULL, &s));
    assert_int_equal(number(s, "files_written"), 2);
    assert_int_equal(number(s, "samples"), 41);
    json_decref(s);
    assert_int_equal(changed_at("rgb-00000.h5"), first);
    assert_ok(tsr_corpus_open(output, &c));
    assert_ok(tsr_corpus_find(c, "0/a-first", &i));
    assert_int_equal(i, 40);
    tsr_corpus_close(c);
    good();
}

static void crops_are_shared_and_recorded(void **state)
{
    (void)state;
    json_t *s;
    tsr_corpus *c;
    tsr_view v;
    int flips = 0;
    assert_ok(run("modalities: {rgb: {kind: test-means}, again: {kind: test-means, from: rgb}}\n"
                  "crops: {count: 4, min_scale: 0.3, seed: 3}\n" SHARDS,
                  NULL, &s));
    json_decref(s);
    assert_ok(tsr_corpus_open(output, &c));
    for (uint64_t i = 0; i < 40; i++) {
        for (uint32_t k = 0; k < 4; k++) {
            tsr_tokens a, b;
            tsr_present p;
            assert_ok(tsr_corpus_view(c, i, k, &v));
            tsr_crop centre = tsr_crop_centre(v.height, v.width);
            if (k == 0)
                assert_memory_equal(&v.crop, &centre, sizeof centre);
            flips += v.crop.flip;
            assert_true((double)v.crop.height * v.crop.width > 0.2 * v.height * v.width);
            assert_ok(tsr_corpus_read(c, "rgb", i, k, &a, &p));
            assert_ok(tsr_corpus_read(c, "again", i, k, &b, &p));
            assert_int_equal(a.count, 4);
            assert_memory_equal(a.ids, b.ids, 16);
            tsr_tokens_clear(&a);
            tsr_tokens_clear(&b);
        }
    }
    assert_in_range(flips, 30, 90);
    tsr_corpus_close(c);
    good();
    assert_fails(TSR_EMISMATCH, run(RGB "}\ncrops: {count: 2}", NULL, &s));
    assert_fails(TSR_EMISMATCH, run(RGB "}\ncrops: {seed: 4}", NULL, &s));
    assert_fails(TSR_EMISMATCH, run(RGB "}\nshard_samples: 17", NULL, &s));
}

static void splits_have_their_own_shards(void **state)
{
    (void)state;
    json_t *s;
    tsr_corpus *c;
    char *text;
    tsr_recipe *r;
    tsr_tokenize_options none = {0};
    shell("cd '%s' && mkdir train val && mv rgb caption train && mkdir -p val/rgb/0 && "
          "mv train/rgb/0/s0003.png val/rgb/0/",
          root);
    assert_ok(tsr_format(
        &text, "source: {root: '%s', splits: [train, val]}\noutput: '%s'\n" RGB CAPTION "}\n", root,
        output));
    assert_ok(tsr_recipe_parse(text, strlen(text), "recipe", NULL, 0, tsr_tokenize_fields,
                               tsr_n_tokenize_fields, &r));
    assert_ok(tsr_tokenize(r, &none, &s));
    json_decref(s);
    tsr_recipe_close(r);
    tsr_free(text);
    good();
    assert_ok(tsr_corpus_open(output, &c));
    assert_int_equal(tsr_corpus_split_count(c, "train"), 40);
    assert_int_equal(tsr_corpus_split_count(c, "val"), 1);
    tsr_corpus_close(c);
}

static void names_with_dots_do_not_collide(void **state)
{
    (void)state;
    json_t *s;
    shell("rm -r '%s' && mkdir -p '%s/caption/0' && cd '%s/caption/0' && printf 1 > a.b.txt && "
          "printf 2 > a.c.txt && printf 3 > a.txt && printf 4 > a.json",
          root, root, root);
    assert_ok(run("modalities: {caption: {kind: test-bytes}}", NULL, &s));
    assert_int_equal(number(s, "samples"), 3);
    /* a.json and a.txt are one sample and one modality: one of them cannot be used, and is named */
    assert_int_equal(json_array_size(json_object_get(s, "unusable")), 1);
    json_decref(s);
}

static void dry_runs_write_nothing(void **state)
{
    (void)state;
    json_t *s;
    tsr_tokenize_options dry = {.dry_run = 1};
    assert_ok(run(RGB CAPTION "}\n" SHARDS, &dry, &s));
    assert_int_equal(number(s, "samples"), 40);
    assert_int_equal(number(s, "files_written"), 6);
    json_decref(s);
    assert_false(tsr_file_exists(output));
}

static void stop_after(void *ctx, const tsr_progress *p)
{
    (void)p;
    *(volatile sig_atomic_t *)ctx += 1;
}

static void a_stopped_run_goes_on(void **state)
{
    (void)state;
    json_t *s = NULL;
    tsr_digest undisturbed, resumed;
    volatile sig_atomic_t stop = 0;
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    json_decref(s);
    digest_all(&undisturbed);
    shell("rm -rf '%s'", output);
    tsr_job job = {.report = stop_after, .ctx = (void *)&stop, .stop = &stop};
    tsr_tokenize_options o = {.job = &job};
    s = NULL;
    assert_fails(TSR_ECANCEL, run(RGB CAPTION "}\n" SHARDS, &o, &s));
    assert_true(json_is_true(json_object_get(s, "stopped")));
    assert_int_equal(number(s, "files_written"), 2);
    json_decref(s);
    assert_ok(run(RGB CAPTION "}\n" SHARDS, NULL, &s));
    assert_int_equal(number(s, "files_skipped"), 2);
    json_decref(s);
    digest_all(&resumed);
    assert_true(tsr_digest_equal(undisturbed, resumed));
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *recipe;
        tsr_status code;
        const char *says;
    } cases[] = {
        {"modalities: {rgb: {kind: nothing}}", TSR_EUNSUPPORTED, "no kind"},
        {"modalities: {rgb: {}}", TSR_ECONFIG, "either"},
        {"modalities: {rgb: {tokenizer: /nonexistent}}", TSR_ENOENT, "/nonexistent"},
        {"modalities: {rgb: {tokenizer: x, form: y}}", TSR_ECONFIG, "did you mean \"from\""},
        {"modalities: {rgb: {kind: test-means, from: rgbb}}", TSR_ENOENT, "no split has"},
        {"modalities: {rgb: {kind: test-means, from: [a, b, c, d, e]}}", TSR_ECONFIG, "5 folders"},
        {"modalities: {keys: {kind: test-means, from: rgb}}", TSR_ECONFIG, "no name"},
        {"modalities: {RGB: {kind: test-means}}", TSR_ECONFIG, "no name"},
        {"modalities: {rgb: {kind: test-means, crops: 3}}", TSR_ECONFIG, "true or false"},
        {"modalities: {}", TSR_ECONFIG, "no modality"},
        {"shard_sample: 3", TSR_ECONFIG, "did you mean \"shard_samples\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *s = NULL;
        tsr_status st = run(cases[i].recipe, NULL, &s);
        if (st != cases[i].code || !strstr(tsr_error(), cases[i].says))
            fail_msg("%s: %s \"%s\"", cases[i].recipe, tsr_status_name(st), tsr_error());
    }
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup(f, fresh)
    const struct CMUnitTest tests[] = {
        EACH(counts_and_tokens),
        EACH(any_number_of_threads),
        EACH(second_run_skips),
        EACH(adding_and_replacing_leave_the_rest),
        EACH(new_samples_are_appended),
        EACH(crops_are_shared_and_recorded),
        EACH(splits_have_their_own_shards),
        EACH(names_with_dots_do_not_collide),
        EACH(dry_runs_write_nothing),
        EACH(a_stopped_run_goes_on),
        EACH(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

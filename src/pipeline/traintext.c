/* SPDX-License-Identifier: Apache-2.0
 * Training a WordPiece vocabulary on the texts of a split. */
#include "base/mem.h"
#include "base/par.h"
#include "pipeline/tokeval.h"
#include "pipeline/trainrun.h"
#include "tokenizers/setting.h"
#include "tokenizers/text.h"

#include <string.h>

typedef struct texts {
    tsr_trainrun *run;
    char **text; /* [count]; NULL: cannot be read */
    size_t *bytes;
} texts;

static tsr_status read_text(void *ctx, size_t i, int lane)
{
    texts *t = ctx;
    tsr_sample s;
    (void)lane;
    tsr_status st = tsr_dataset_get(t->run->train, i, &s);
    if (st == TSR_OK && s.in.media[0]->kind == TSR_MEDIA_TEXT) {
        const tsr_media *m = s.in.media[0];
        t->bytes[i] = m->as.text.bytes;
        st = tsr_strndup(&t->text[i], m->as.text.s, m->as.text.bytes);
    } else if (st == TSR_OK) {
        st = tsr_fail_at(TSR_EFORMAT, __FILE__, __LINE__, "is no text");
    }
    if (st != TSR_OK && st != TSR_ENOMEM)
        tsr_job_warn(t->run->job, "%s: left out of training: %s", tsr_dataset_key(t->run->train, i),
                     tsr_error());
    tsr_sample_clear(&s);
    return st == TSR_ENOMEM ? st : TSR_OK;
}

/* Settings of the section "tokenizer". */
static tsr_status read_spec(const tsr_trainrun *run, tsr_text_train_spec *spec)
{
    static const char *const others[] = {"kind", "modality", NULL};
    json_t *kept = json_object();
    const tsr_settings s = {tsr_recipe_get(run->recipe, "tokenizer"), kept,
                            tsr_recipe_origin(run->recipe)};
    long long size, frequency, sentinels, values, alphabet;
    tsr_status st = TSR_OK;
    tsr_text_train_defaults(spec);
    TSR_GO(tsr_setting_int(&s, "size", spec->vocabulary, 16, 1 << 24, &size));
    TSR_GO(tsr_setting_int(&s, "min_frequency", spec->min_frequency, 1, 1 << 30, &frequency));
    TSR_GO(tsr_setting_int(&s, "sentinels", spec->sentinels, 0, 10000, &sentinels));
    TSR_GO(tsr_setting_int(&s, "values", spec->values, 0, 1000, &values));
    TSR_GO(tsr_setting_int(&s, "max_alphabet", spec->max_alphabet, 0, 1 << 20, &alphabet));
    TSR_GO(tsr_setting_bool(&s, "lowercase", spec->lowercase, &spec->lowercase));
    TSR_GO(tsr_settings_check(&s, others));
    spec->vocabulary = (uint32_t)size;
    spec->min_frequency = (uint32_t)frequency;
    spec->sentinels = (uint32_t)sentinels;
    spec->values = (uint32_t)values;
    spec->max_alphabet = (uint32_t)alphabet;
out:
    json_decref(kept);
    return st;
}

static tsr_status learn(texts *t, const tsr_text_train_spec *spec, size_t *read)
{
    tsr_trainrun *run = t->run;
    size_t count = tsr_dataset_count(run->train), n = 0;
    tsr_text *text = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_par_for(count, read_text, t));
    for (size_t i = 0; i < count; i++) {
        if (!t->text[i])
            continue;
        char *s = t->text[i];
        t->text[i] = NULL;
        t->text[n] = s;
        t->bytes[n++] = t->bytes[i];
    }
    TSR_GO(tsr_text_train((const char *const *)t->text, t->bytes, n, spec, run->job, &text));
    TSR_GO(tsr_text_write(text, run->output));
    *read = n;
out:
    tsr_text_destroy(text);
    return st;
}

/* Round trips of held-out texts. */
static tsr_status judge(tsr_trainrun *run, json_t **out)
{
    tsr_tokenizer *t;
    size_t limit = (size_t)tsr_recipe_int(run->recipe, "eval.samples", 0);
    TSR_TRY(tsr_tokenizer_open(run->output, run->modality, &t));
    tsr_status st = tsr_tokeval_run(t, run->val, limit, run->job, out);
    tsr_tokenizer_destroy(t);
    return st;
}

tsr_status tsr_train_text(tsr_trainrun *run, json_t **report)
{
    texts t = {.run = run};
    tsr_text_train_spec spec;
    size_t count = tsr_dataset_count(run->train), read = 0;
    json_t *result = NULL;
    tsr_status st = TSR_OK;
    double start = tsr_now_s();
    TSR_TRY(read_spec(run, &spec));
    if (run->options->dry_run) {
        *report = json_pack("{sI sI}", "samples", (json_int_t)count, "codebook_size",
                            (json_int_t)spec.vocabulary);
        return TSR_OK;
    }
    TSR_GO(tsr_trainrun_begin(run));
    TSR_GO(tsr_alloc(&t.text, count, sizeof *t.text));
    TSR_GO(tsr_alloc(&t.bytes, count, sizeof *t.bytes));
    TSR_GO(learn(&t, &spec, &read));
    double seconds = tsr_now_s() - start;
    TSR_GO(judge(run, &result));
    TSR_GO(tsr_json_set(result, "train_seconds", json_real(seconds)));
    TSR_GO(tsr_json_set(result, "train_samples", json_integer((json_int_t)count)));
    TSR_GO(tsr_json_set(result, "train_samples_bad", json_integer((json_int_t)(count - read))));
    *report = result;
    result = NULL;
out:
    json_decref(result);
    for (size_t i = 0; t.text && i < count; i++)
        tsr_free(t.text[i]);
    tsr_free(t.text);
    tsr_free(t.bytes);
    return st;
}

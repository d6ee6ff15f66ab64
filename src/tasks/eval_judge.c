/* SPDX-License-Identifier: Apache-2.0
 * Predictions against the truth, in the units of the target. */
#include "tasks/evalwork.h"

#include "base/mem.h"
#include "base/par.h"
#include "pipeline/onefile.h"

#include <math.h>
#include <string.h>

const char *tsr_eval_truth_name(tsr_eval_truth t)
{
    static const char *const names[] = {"tokens", "files", "record"};
    return names[t];
}

void tsr_eval_outcomes_free(tsr_eval_outcome *o, size_t n)
{
    for (size_t i = 0; o && i < n; i++) {
        json_decref(o[i].figures);
        tsr_free(o[i].why);
    }
    tsr_free(o);
}

tsr_status tsr_eval_interval_json(const tsr_interval *i, json_t **out)
{
    json_t *o = json_object();
    const struct {
        const char *key;
        double v;
    } members[] = {{"value", i->value}, {"low", i->low}, {"high", i->high}};
    tsr_status st = TSR_OK;
    for (size_t k = 0; k < 3; k++)
        TSR_GO(tsr_json_set(o, members[k].key,
                            isfinite(members[k].v) ? json_real(members[k].v) : json_null()));
    TSR_GO(tsr_json_set(o, "samples", json_integer((json_int_t)i->samples)));
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

/* ---- truth ------------------------------------------------------------------------------------*/

static tsr_status worker(tsr_eval_set *s, size_t m, int lane, tsr_tokenizer_work **out)
{
    tsr_tokenizer_work **w = &s->works[(size_t)lane * s->mods->count + m];
    if (!s->of[m].tool)
        TSR_FAIL(
            TSR_ECONFIG,
            "no tokenizer of modality %s was found in the corpus's folder \"tokenizers\"; name "
            "one with --tokenizers",
            s->mods->items[m].name);
    if (!*w)
        TSR_TRY(tsr_tokenizer_work_create(s->of[m].tool->tokenizer, w));
    *out = *w;
    return TSR_OK;
}

tsr_status tsr_eval_decode(tsr_eval_set *s, size_t m, int lane, const uint32_t *ids, size_t count,
                           tsr_media *out)
{
    tsr_tokens tokens = {.ids = (uint32_t *)(uintptr_t)ids, .count = count};
    tsr_tokenizer_work *w;
    TSR_TRY(worker(s, m, lane, &w));
    return tsr_tokenizer_decode(s->of[m].tool->tokenizer, w, &tokens, out);
}

tsr_status tsr_eval_decode_held(tsr_eval_set *s, const tsr_eval_item *it, size_t m, int lane,
                                tsr_media *out)
{
    const tsr_held *held = &it->held[m];
    tsr_tokens values = {0};
    if (!held->patches)
        return tsr_eval_decode(s, m, lane, held->ids, held->count, out);
    TSR_TRY(tsr_tokens_init(&values, (size_t)held->count * s->mods->items[m].patch_values));
    for (size_t i = 0; i < values.count; i++)
        values.ids[i] = held->patches[i];
    tsr_status st = tsr_eval_decode(s, m, lane, values.ids, values.count, out);
    tsr_tokens_clear(&values);
    return st;
}

/* ---- several variants as one ------------------------------------------------------------------*/

static void set_component(tsr_image *im, size_t i, double v)
{
    switch (im->pixel) {
    case TSR_PIXEL_U8:
        ((uint8_t *)im->data)[i] = (uint8_t)lrint(v);
        break;
    case TSR_PIXEL_U16:
        ((uint16_t *)im->data)[i] = (uint16_t)lrint(v);
        break;
    default:
        ((float *)im->data)[i] = (float)v;
    }
}

/* Ascending, in place. */
static void sort(double *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && v[j - 1] > v[j]; j--) {
            double keep = v[j];
            v[j] = v[j - 1];
            v[j - 1] = keep;
        }
}

static double mean(double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum / (double)n;
}

static double median(double *v, size_t n)
{
    sort(v, n);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Ties: the lowest. */
static double commonest(double *v, size_t n)
{
    size_t best = 0, run = 0;
    double label = v[0];
    sort(v, n);
    for (size_t i = 0; i < n; i++) {
        run = i > 0 && v[i] == v[i - 1] ? run + 1 : 1;
        if (run > best) {
            best = run;
            label = v[i];
        }
    }
    return label;
}

/* Every value of all pictures into the first. */
static tsr_status fold(tsr_media *all, size_t k, const char *kind)
{
    double v[TSR_EVAL_VARIANTS];
    double (*one)(double *, size_t) = strcmp(kind, "depth") == 0   ? median
                                      : strcmp(kind, "label") == 0 ? commonest
                                                                   : mean;
    tsr_image *to = &all[0].as.image;
    for (size_t i = 0; i < k; i++) {
        const tsr_image *im = &all[i].as.image;
        if (all[i].kind != TSR_MEDIA_IMAGE)
            TSR_FAIL(TSR_ECONFIG, "variants: only pictures can be made one, not %s",
                     tsr_media_name(all[i].kind));
        if (im->height != to->height || im->width != to->width || im->channels != to->channels ||
            im->pixel != to->pixel)
            TSR_FAIL(TSR_EMISMATCH, "variants of different sizes");
    }
    for (size_t p = 0; p < to->height * to->width * to->channels; p++) {
        for (size_t i = 0; i < k; i++)
            v[i] = tsr_image_component(&all[i].as.image, p);
        set_component(to, p, one(v, k));
    }
    return TSR_OK;
}

tsr_status tsr_eval_estimate(tsr_eval_set *s, size_t m, int lane, const tsr_tokens *variants,
                             size_t k, tsr_media *out)
{
    tsr_media all[TSR_EVAL_VARIANTS] = {{0}};
    tsr_status st = TSR_OK;
    for (size_t i = 0; i < k; i++)
        TSR_GO(tsr_eval_decode(s, m, lane, variants[i].ids, variants[i].count, &all[i]));
    if (k > 1)
        TSR_GO(fold(all, k, tsr_tokenizer_kind_name(s->of[m].tool->tokenizer)));
    *out = all[0];
    all[0] = (tsr_media){0};
out:
    for (size_t i = 0; i < k; i++)
        tsr_media_clear(&all[i]);
    return st;
}

/* ---- the original -----------------------------------------------------------------------------*/

/* The original as the tokenizer prepares it. */
static tsr_status target_of_files(tsr_eval_set *s, const tsr_eval_item *it, size_t m, int lane,
                                  tsr_media *out)
{
    const tsr_eval_mod *mod = &s->of[m];
    tsr_media media[TSR_EVAL_FOLDERS] = {{0}};
    tsr_inputs in = {.view = it->view.height ? &it->view : NULL,
                     .from = tsr_source_folder(s->source, mod->folders[0])};
    tsr_tokenizer_work *w;
    tsr_status st;
    TSR_GO(worker(s, m, lane, &w));
    tsr_read_options options = tsr_onefile_options(mod->tool->tokenizer);
    for (size_t i = 0; i < mod->n_folders; i++) {
        if (!tsr_source_path(s->source, it->row, mod->folders[i]))
            continue;
        TSR_GO(tsr_source_read(s->source, it->row, mod->folders[i], &options, &media[in.count]));
        in.media[in.count] = &media[in.count];
        in.count++;
    }
    TSR_GO(tsr_tokenizer_target(mod->tool->tokenizer, w, &in, out));
out:
    for (size_t i = 0; i < TSR_EVAL_FOLDERS; i++)
        tsr_media_clear(&media[i]);
    return st;
}

/* 1 when the scene's record could be read as facts. */
static int record_facts(tsr_eval_set *s, const tsr_eval_item *it, tsr_facts *facts)
{
    tsr_media media = {0};
    tsr_read_options options = {0};
    int found = 0;
    if (s->facts_folder == TSR_EVAL_NONE || it->row == TSR_EVAL_NONE ||
        !tsr_source_path(s->source, it->row, s->facts_folder))
        return 0;
    if (tsr_source_read(s->source, it->row, s->facts_folder, &options, &media) == TSR_OK &&
        media.kind == TSR_MEDIA_RECORD)
        found = tsr_facts_of_record(media.as.record, facts);
    tsr_media_clear(&media);
    return found;
}

tsr_status tsr_eval_truth_of(tsr_eval_set *s, const tsr_eval_item *it, size_t m, int lane,
                             tsr_media *media, tsr_facts *facts, tsr_eval_truth *truth)
{
    int filed = it->row != TSR_EVAL_NONE && s->of[m].n_folders > 0 &&
                tsr_source_path(s->source, it->row, s->of[m].folders[0]) != NULL;
    *truth = filed ? TSR_TRUTH_FILES : TSR_TRUTH_TOKENS;
    if (filed)
        TSR_TRY(target_of_files(s, it, m, lane, media));
    else
        TSR_TRY(tsr_eval_decode_held(s, it, m, lane, media));
    if (!facts || media->kind != TSR_MEDIA_TEXT)
        return TSR_OK;
    if (record_facts(s, it, facts))
        *truth = TSR_TRUTH_RECORD;
    else
        tsr_facts_of_text(media->as.text.s, media->as.text.bytes, facts);
    return TSR_OK;
}

/* ---- comparison -------------------------------------------------------------------------------*/

/* Captions: the facts they share, where the truth has any; and words. */
static tsr_status add_text(const tsr_media *truth, const tsr_facts *facts, const tsr_media *got,
                           json_t *into)
{
    tsr_facts said;
    tsr_fact_rates r;
    double words;
    tsr_facts_of_text(got->as.text.s, got->as.text.bytes, &said);
    tsr_facts_compare(facts, &said, &r);
    const struct {
        const char *name;
        double v;
    } rates[] = {{"caption_facts", r.facts},      {"caption_f1", r.f1},
                 {"caption_objects", r.objects},  {"caption_precision", r.precision},
                 {"caption_full", r.full},        {"caption_count", r.count},
                 {"caption_material", r.material}};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        if (!isnan(rates[i].v))
            TSR_TRY(tsr_json_set(into, rates[i].name, json_real(rates[i].v)));
    TSR_TRY(tsr_words_f1(truth->as.text.s, got->as.text.s, &words));
    return tsr_json_set(into, "words", json_real(words));
}

/* The worst of every figure that `like` has. */
static tsr_status worst(const json_t *like, json_t **out)
{
    const char *name;
    const json_t *v;
    json_t *o = json_object();
    tsr_status st = TSR_OK;
    json_object_foreach((json_t *)(uintptr_t)like, name, v)
    {
        int higher;
        double value;
        TSR_GO(tsr_eval_metric(name, &higher, &value));
        TSR_GO(tsr_json_set(o, name, json_real(value)));
    }
    *out = o;
    o = NULL;
out:
    json_decref(o);
    return st;
}

typedef struct judging {
    tsr_eval_set *s;
    size_t m;
    const size_t *list;
    tsr_eval_guess guess;
    const tsr_eval_outcome *names;
    const tsr_job *job;
    tsr_eval_outcome *outcomes;
    tsr_eval_truth *truths;
} judging;

static int stops(tsr_status st)
{
    return st == TSR_ENOMEM || st == TSR_ECONFIG || st == TSR_ECANCEL;
}

static tsr_status figures(const judging *j, const tsr_media *truth, const tsr_facts *facts,
                          const tsr_media *got, json_t **out)
{
    const tsr_tokenizer *t = j->s->of[j->m].tool->tokenizer;
    json_t *o = NULL;
    TSR_TRY(tsr_tokenizer_quality(t, truth, got, &o));
    tsr_status st = TSR_OK;
    if (truth->kind == TSR_MEDIA_TEXT)
        st = add_text(truth, facts, got, o);
    if (st == TSR_OK)
        *out = o;
    else
        json_decref(o);
    return st;
}

static tsr_status judge_one(const judging *j, size_t i, int lane)
{
    const tsr_eval_item *it = &j->s->items[j->list[i]];
    tsr_eval_outcome *o = &j->outcomes[i];
    tsr_media truth = {0}, got = {0};
    tsr_eval_truth kind;
    tsr_facts facts;
    tsr_status st;
    TSR_GO(tsr_eval_truth_of(j->s, it, j->m, lane, &truth, &facts, &kind));
    if (j->truths)
        j->truths[i] = kind;
    if (j->guess.ids)
        st = tsr_eval_estimate(j->s, j->m, lane, j->guess.ids + i * j->guess.variants,
                               j->guess.variants, &got);
    else
        st = tsr_eval_decode_held(j->s, it, j->m, lane, &got);
    if (st == TSR_OK)
        st = figures(j, &truth, &facts, &got, &o->figures);
    if (st != TSR_OK && !stops(st) && j->names) { /* the model's doing, not the sample's */
        o->malformed = 1;
        st = worst(j->names[i].figures, &o->figures);
    }
out:
    tsr_media_clear(&truth);
    tsr_media_clear(&got);
    return st;
}

static tsr_status body(void *ctx, size_t i, int lane)
{
    const judging *j = ctx;
    TSR_TRY(tsr_job_check(j->job));
    if (j->names && !j->names[i].figures)
        return TSR_OK; /* its truth could not be had before */
    tsr_status st = judge_one(j, i, lane);
    if (st == TSR_OK || stops(st))
        return st;
    return tsr_strdup(&j->outcomes[i].why, tsr_error());
}

tsr_status tsr_eval_judge(tsr_eval_set *s, size_t m, const size_t *list, size_t n,
                          tsr_eval_guess guess, const tsr_eval_outcome *names, const tsr_job *job,
                          tsr_eval_outcome *outcomes, tsr_eval_truth *truths)
{
    judging j = {.s = s,
                 .m = m,
                 .list = list,
                 .guess = guess,
                 .names = names,
                 .job = job,
                 .outcomes = outcomes,
                 .truths = truths};
    TSR_TRY(tsr_par_for(n, body, &j));
    for (size_t i = 0; i < n; i++)
        if (outcomes[i].why)
            tsr_job_warn(job, "%s of sample %s is left out: %s", s->mods->items[m].name,
                         s->items[list[i]].key, outcomes[i].why);
    return TSR_OK;
}

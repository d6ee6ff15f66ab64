/* SPDX-License-Identifier: Apache-2.0
 * Head and foot of the report: what this is, and where it comes from. */
#include "config.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"
#include "tasks/report_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_RECIPE ((size_t)1 << 20)

/* A small mosaic. */
static const char mark[] =
    "<svg class=\"mark\" viewBox=\"0 0 40 40\" aria-hidden=\"true\">"
    "<path class=\"t1\" d=\"M1 1h11v11H1z\"/><path class=\"t2\" d=\"M14 1h11v11H14z\"/>"
    "<path class=\"t3\" d=\"M27 1h11v11H27z\"/><path class=\"t4\" d=\"M14 14h11v11H14z\"/>"
    "<path class=\"t1\" d=\"M14 27h11v11H14z\"/></svg>";

static void fact(tsr_html *h, const char *name, const char *value, const char *more)
{
    tsr_html_f(h, "<div><dt>%s</dt><dd>%s", name, value);
    if (more && *more)
        tsr_html_f(h, "<small>%s</small>", more);
    tsr_html_raw(h, "</dd></div>");
}

static void number_fact(tsr_html *h, const char *name, double v, int digits, const char *more)
{
    char text[TSR_NUMBER_CHARS];
    if (isfinite(v))
        fact(h, name, tsr_number_text(v, digits, text), more);
}

/* "train 10,800 · val 600" */
static void split_text(const tsr_manifest *m, char *out, size_t bytes)
{
    size_t have = 0;
    out[0] = '\0';
    for (size_t i = 0; i < m->n_shards; i++) {
        uint64_t samples = 0;
        int before = 0;
        char number[TSR_NUMBER_CHARS];
        const char *split = m->shards[i].split;
        for (size_t k = 0; k < m->n_shards; k++) {
            before |= k < i && strcmp(m->shards[k].split, split) == 0;
            samples += strcmp(m->shards[k].split, split) == 0 ? m->shards[k].samples : 0;
        }
        if (before || have + 1 >= bytes)
            continue;
        int got = snprintf(out + have, bytes - have, "%s%s %s", have ? " · " : "",
                           *split ? split : "all", tsr_number_text((double)samples, 9, number));
        have += got > 0 ? (size_t)got : 0;
    }
}

static void corpus_facts(tsr_html *h, const tsr_report_data *d)
{
    char text[512], number[TSR_NUMBER_CHARS];
    if (!d->corpus) {
        number_fact(h, "Samples", tsr_report_number(d->figures, "tokenize.samples"), 9, NULL);
        number_fact(h, "Tokens", tsr_report_number(d->figures, "tokenize.tokens"), 3, NULL);
        return;
    }
    const tsr_manifest *m = tsr_corpus_manifest(d->corpus);
    split_text(m, text, sizeof text);
    number_fact(h, "Samples", (double)tsr_corpus_samples(d->corpus), 9, text);
    uint64_t tokens = 0;
    for (size_t i = 0; i < m->n_shards; i++)
        for (size_t k = 0; k < m->shards[i].n_files; k++) {
            const tsr_file_entry *file = &m->shards[i].files[k];
            const tsr_modality *of = tsr_manifest_modality(m, file->modality);
            tokens += of && of->space.layout != TSR_LAYOUT_PATCHES ? file->stats.tokens : 0;
        }
    snprintf(text, sizeof text, "vocabulary of %s ids",
             tsr_number_text(tsr_manifest_vocabulary(m), 9, number));
    number_fact(h, "Tokens", (double)tokens, 9, text);
    size_t have = 0;
    text[0] = '\0';
    for (size_t i = 0; i < m->n_modalities && have + 1 < sizeof text; i++) {
        int got = snprintf(text + have, sizeof text - have, "%s%s", i ? ", " : "",
                           m->modalities[i].space.modality);
        have += got > 0 ? (size_t)got : 0;
    }
    number_fact(h, "Modalities", (double)m->n_modalities, 9, text);
}

/* A setting of the model's file, which keeps them as text. */
static double model_number(const tsr_report_data *d, const char *name)
{
    const char *text = tsr_report_string(d->model, name);
    char *end;
    double v = text ? strtod(text, &end) : NAN;
    return text && *text && !*end ? v : NAN;
}

static void model_fact(tsr_html *h, const tsr_report_data *d)
{
    char text[256], a[TSR_NUMBER_CHARS], b[TSR_NUMBER_CHARS], c[TSR_NUMBER_CHARS];
    double parameters = tsr_report_number(d->training, "parameters.blocks") +
                        tsr_report_number(d->training, "parameters.embeddings");
    if (!isfinite(parameters))
        return;
    text[0] = '\0';
    if (isfinite(model_number(d, "dim")))
        snprintf(text, sizeof text, "width %s, %s encoder and %s decoder layers",
                 tsr_number_text(model_number(d, "dim"), 9, a),
                 tsr_number_text(model_number(d, "encoder_depth"), 9, b),
                 tsr_number_text(model_number(d, "decoder_depth"), 9, c));
    snprintf(a, sizeof a, "%s M", tsr_number_text(parameters / 1e6, 3, b));
    fact(h, "Parameters", a, text);
}

static void training_facts(tsr_html *h, const tsr_report_data *d)
{
    char text[256], number[TSR_NUMBER_CHARS], other[TSR_NUMBER_CHARS];
    double seconds = tsr_report_number(d->training, "train_seconds");
    double steps = tsr_report_number(d->training, "steps");
    double tokens =
        tsr_report_number(d->training, "inputs") + tsr_report_number(d->training, "targets");
    model_fact(h, d);
    if (!isfinite(seconds))
        return;
    text[0] = '\0';
    if (isfinite(steps) && isfinite(tokens))
        snprintf(text, sizeof text, "%s steps, %s M tokens shown and predicted",
                 tsr_number_text(steps, 9, number), tsr_number_text(tokens / 1e6, 3, other));
    fact(h, "Training", tsr_seconds_text(seconds, number), text);
}

int tsr_report_head(tsr_html *h, const tsr_report_data *d, const tsr_report_spec *spec)
{
    char when[32], text[TSR_NUMBER_CHARS];
    time_t now = time(NULL);
    struct tm at;
    const char *corpus = tsr_report_string(d->figures, "corpus");
    strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &at));
    tsr_html_raw(h, "<header>");
    tsr_html_raw(h, mark);
    if (spec->title)
        tsr_html_f(h, "<div><h1>%s</h1>", spec->title);
    else if (corpus)
        tsr_html_f(h, "<div><h1>Tessera on %s</h1>", corpus);
    else
        tsr_html_raw(h, "<div><h1>Tessera report</h1>");
    tsr_html_f(h, "<p class=\"when\">%s · tessera %s · %s</p></div></header>\n",
               spec->when ? spec->when : when, PACKAGE_VERSION, tsr_cpu_model());
    tsr_html_raw(h, "<dl class=\"facts\">");
    corpus_facts(h, d);
    training_facts(h, d);
    double seconds = tsr_report_number(d->figures, "seconds");
    if (isfinite(seconds))
        fact(h, "From nothing to here", tsr_seconds_text(seconds, text), NULL);
    tsr_html_raw(h, "</dl>\n");
    return 1;
}

/* --- provenance --- */

/* A text file, folded. One that is not there is passed over. */
static void fold_file(tsr_html *h, const char *folder, const char *name, const char *title)
{
    char *path = NULL, *text = NULL;
    size_t bytes;
    if (!folder || tsr_path_join(&path, folder, name) != TSR_OK)
        return;
    if (tsr_file_exists(path) && tsr_file_read(path, MAX_RECIPE, &text, &bytes) == TSR_OK)
        tsr_html_f(h, "<details><summary>%s</summary><pre>%s</pre></details>", title, text);
    tsr_free(text);
    tsr_free(path);
}

static void fold_tokenizer_recipes(tsr_html *h, const tsr_report_data *d)
{
    const char *name;
    json_t *v;
    char file[256], title[256];
    json_object_foreach(d->tokenizers, name, v)
    {
        /* Names from a file must not lead out of the folder. */
        if (strchr(name, '/') || strlen(name) > 100)
            continue;
        snprintf(file, sizeof file, "%s.recipe.yaml", name);
        snprintf(title, sizeof title, "Recipe of the tokenizer of %s", name);
        fold_file(h, d->tokenizer_folder, file, title);
    }
}

static void digest_row(tsr_html *h, const char *what, const char *name, const char *digest)
{
    if (digest)
        tsr_html_f(h, "<tr><th scope=\"row\">%s %s</th><td><code>%s</code></td></tr>", what, name,
                   digest);
}

static void digests(tsr_html *h, const tsr_report_data *d)
{
    char text[TSR_DIGEST_CHARS];
    const char *name;
    json_t *v;
    tsr_html_raw(h, "<div class=\"scroll\"><table class=\"plain\"><tbody>");
    if (d->corpus) {
        const tsr_manifest *m = tsr_corpus_manifest(d->corpus);
        tsr_digest_text(m->corpus, text);
        digest_row(h, "corpus", "", text);
        for (size_t i = 0; i < m->n_modalities; i++) {
            tsr_digest_text(m->modalities[i].space.tokenizer, text);
            digest_row(h, "tokenizer of", m->modalities[i].space.modality, text);
        }
    }
    json_object_foreach(d->tokenizers, name, v)
        digest_row(h, "recipe of tokenizer", name, tsr_report_string(v, "recipe"));
    digest_row(h, "model", "", tsr_report_string(d->model, "digest"));
    digest_row(h, "recipe of training", "", tsr_report_string(d->training, "recipe"));
    tsr_html_raw(h, "</tbody></table></div>");
}

int tsr_report_provenance(tsr_html *h, tsr_report_data *d)
{
    size_t i;
    json_t *note;
    tsr_section_open(h, "provenance", "Provenance", NULL);
    tsr_html_f(h,
               "<p>Made by tessera %s on %s. Digests are XXH3-128; two runs with the same recipes, "
               "seeds and build give the same ones.</p>",
               PACKAGE_VERSION, tsr_cpu_model());
    if (json_array_size(d->notes)) {
        tsr_html_raw(h, "<p>Left out because it could not be read:</p><ul>");
        json_array_foreach(d->notes, i, note) tsr_html_f(h, "<li>%s</li>", json_string_value(note));
        tsr_html_raw(h, "</ul>");
    }
    tsr_html_raw(h, "<details><summary>Digests</summary>");
    digests(h, d);
    tsr_html_raw(h, "</details>");
    fold_file(h, d->run, "recipe.yaml", "Recipe of the any-to-any model");
    fold_file(h, d->corpus_path, "recipe.yaml", "Recipe of the corpus");
    fold_tokenizer_recipes(h, d);
    tsr_section_close(h);
    return 1;
}

/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers as a table, and how often their codes are used as charts. */
#include "base/mem.h"
#include "tasks/report_parts.h"
#include "tasks/report_svg.h"
#include "tasks/usage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void cell(tsr_html *h, const char *label, const char *text, const char *more)
{
    tsr_html_f(h, "<td data-label=\"%s\"><span>%s", label, text);
    if (more && *more)
        tsr_html_f(h, "<small>%s</small>", more);
    tsr_html_raw(h, "</span></td>");
}

/* "▲ tokenizer better", told from the values and the direction of the metric. */
static const char *against(double value, double baseline, int higher)
{
    if (!isfinite(baseline))
        return "";
    if (value == baseline)
        return "= equal";
    return (value > baseline) == (higher != 0) ? "▲ tokenizer better" : "▼ tokenizer worse";
}

/* The other figures of quality, beside the main one. */
static void other_figures(const json_t *quality, const char *main, char *out, size_t bytes)
{
    size_t have = 0;
    const char *key;
    json_t *v;
    char text[64];
    tsr_metric_name other;
    out[0] = '\0';
    json_object_foreach((json_t *)quality, key, v)
    {
        if (!json_is_number(v) || (main && strcmp(key, main) == 0) || have + 1 >= bytes)
            continue;
        const tsr_metric_name *m = tsr_metric_find(key, &other);
        int got = snprintf(out + have, bytes - have, "%s%s %s", have ? ", " : "", m->label,
                           tsr_metric_text(m, json_number_value(v), text));
        have += got > 0 ? (size_t)got : 0;
    }
}

static void tokenizer_row(tsr_html *h, const char *name, const json_t *v)
{
    char text[64], more[256], number[TSR_NUMBER_CHARS], size[TSR_NUMBER_CHARS];
    tsr_metric_name other;
    const char *metric = tsr_report_string(v, "metric");
    const tsr_metric_name *m = tsr_metric_find(metric ? metric : "", &other);
    int higher = json_is_true(json_object_get(v, "higher_is_better"));
    double value = tsr_report_number(v, "value"), baseline = tsr_report_number(v, "baseline");
    double used = tsr_report_number(v, "codes_used"), codes = tsr_report_number(v, "codebook_size");
    tsr_html_f(h, "<tr><th scope=\"row\">%s<small>%s</small></th>", name,
               tsr_report_string(v, "kind"));
    snprintf(more, sizeof more, "%s", higher ? "higher is better" : "lower is better");
    cell(h, "metric", m->label, more);
    other_figures(json_object_get(v, "quality"), metric, more, sizeof more);
    cell(h, "value", tsr_metric_text(m, value, text), more);
    cell(h, "k-means", isfinite(baseline) ? tsr_metric_text(m, baseline, text) : "–",
         against(value, baseline, higher));
    snprintf(text, sizeof text, "%s of %s", tsr_number_text(used, 9, number),
             tsr_number_text(codes, 9, size));
    snprintf(more, sizeof more, "%s %%", tsr_number_text(100 * used / codes, 3, number));
    cell(h, "codes used", isfinite(used / codes) ? text : "–", isfinite(used / codes) ? more : "");
    cell(h, "perplexity", tsr_number_text(tsr_report_number(v, "perplexity"), 3, number), NULL);
    cell(h, "bits a sample",
         tsr_number_text(round(tsr_report_number(v, "bits_per_sample")), 9, number), NULL);
    cell(h, "trained", tsr_seconds_text(tsr_report_number(v, "train_seconds"), number), NULL);
    tsr_html_raw(h, "</tr>");
}

int tsr_report_tokenizers(tsr_html *h, tsr_report_data *d)
{
    const char *name;
    json_t *v;
    if (!json_object_size(d->tokenizers))
        return 0;
    tsr_section_open(
        h, "tokenizers", "Tokenizers",
        "Quality on held-out files after a round trip through tokens, beside k-means on "
        "patches with as many codes: what the learned network adds. Use of codes is that "
        "of the whole corpus where one was counted.");
    tsr_html_raw(h,
                 "<div class=\"scroll\"><table class=\"stack\"><thead><tr><th>tokenizer</th>"
                 "<th>metric</th><th>value</th><th>k-means</th><th>codes used</th>"
                 "<th>perplexity</th><th>bits a sample</th><th>trained</th></tr></thead><tbody>");
    json_object_foreach(d->tokenizers, name, v) tokenizer_row(h, name, v);
    tsr_html_raw(h, "</tbody></table></div>");
    tsr_section_close(h);
    return 1;
}

/* --- use of codes --- */

static int falling(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void draw_usage(tsr_html *h, const char *modality, const tsr_usage *u, double *x, double *y)
{
    char note[160], used[TSR_NUMBER_CHARS], size[TSR_NUMBER_CHARS], bits[TSR_NUMBER_CHARS];
    size_t n = u->used;
    qsort(u->counts, u->space.codebook_size, sizeof *u->counts, falling);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)i + 1;
        y[i] = 100 * (double)u->counts[i] / (double)u->tokens;
    }
    double ends[2] = {1, (double)n}, even[2] = {100.0 / (double)n, 100.0 / (double)n};
    tsr_series series[] = {
        {.name = "share of tokens", .x = x, .y = y, .n = n, .colour = 1},
        {.name = "all used alike",
         .x = ends,
         .y = even,
         .n = 2,
         .mark = TSR_MARK_DASHED,
         .colour = 4},
    };
    snprintf(note, sizeof note, "%s of %s codes used, entropy %s bits a token",
             tsr_number_text((double)n, 9, used),
             tsr_number_text((double)u->space.codebook_size, 9, size),
             tsr_number_text(u->entropy_bits, 3, bits));
    tsr_chart chart = {.title = modality,
                       .note = note,
                       .x_label = "rank of code",
                       .y_label = "share of tokens, %",
                       .log_y = 1,
                       .series = series,
                       .n_series = 2};
    tsr_chart_draw(h, &chart);
}

static tsr_status usage_of(tsr_html *h, tsr_report_data *d, const tsr_modality *m)
{
    tsr_usage u = {0};
    double *x = NULL, *y = NULL;
    tsr_status st;
    TSR_GO(tsr_usage_corpus(d->corpus, m, NULL, &u));
    TSR_GO(tsr_alloc(&x, u.used + 1, sizeof *x));
    TSR_GO(tsr_alloc(&y, u.used + 1, sizeof *y));
    if (u.used && u.tokens)
        draw_usage(h, m->space.modality, &u, x, y);
out:
    tsr_free(x);
    tsr_free(y);
    tsr_usage_clear(&u);
    return st;
}

int tsr_report_usage(tsr_html *h, tsr_report_data *d)
{
    if (!d->corpus || tsr_corpus_samples(d->corpus) == 0)
        return 0;
    const tsr_manifest *m = tsr_corpus_manifest(d->corpus);
    tsr_section_open(
        h, "codes", "Use of codes",
        "How often each code occurs in the corpus, commonest first. A flat curve carries "
        "the most information; a cliff at the right end means codes that are hardly "
        "used.");
    tsr_html_raw(h, "<div class=\"charts\">");
    for (size_t i = 0; i < m->n_modalities && h->status == TSR_OK; i++) {
        tsr_status st = m->modalities[i].space.layout != TSR_LAYOUT_PATCHES
                            ? usage_of(h, d, &m->modalities[i])
                            : TSR_OK;
        if (st != TSR_OK && st != TSR_ENOMEM)
            st = tsr_json_append(d->notes, json_string(tsr_error()));
        h->status = h->status == TSR_OK ? st : h->status;
    }
    tsr_html_raw(h, "</div>");
    tsr_section_close(h);
    return 1;
}

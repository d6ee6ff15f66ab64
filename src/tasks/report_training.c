/* SPDX-License-Identifier: Apache-2.0
 * Curves of the training run of the any-to-any model. */
#include "base/mem.h"
#include "tasks/report_parts.h"
#include "tasks/report_svg.h"

#include <math.h>
#include <stdio.h>

#define WINDOW   20 /* logged steps of the moving average */
#define MAX_NAME 96

/* One column of the log. */
typedef struct column {
    double *x, *y;
    size_t n;
} column;

static column read_column(const tsr_report_data *d, const char *name)
{
    column c;
    c.n = tsr_report_column(d->metrics, "step", name, &c.x, &c.y);
    return c;
}

static void free_column(column *c)
{
    tsr_free(c->x);
    tsr_free(c->y);
}

/* The smoothed line over the logged values, and validation beside it. */
static void draw_loss(tsr_html *h, const tsr_report_data *d, const char *title, const char *note,
                      const char *train, const char *val, double unigram)
{
    column t = read_column(d, train), v = read_column(d, val);
    double *smooth = NULL, ends[2] = {0, 0}, level[2] = {unigram, unigram};
    tsr_series series[4];
    size_t n = 0, window = t.n / 8 < WINDOW ? t.n / 8 + 1 : WINDOW;
    char name[64];
    if (t.n && tsr_alloc(&smooth, t.n, sizeof *smooth) != TSR_OK) {
        h->status = TSR_ENOMEM;
    } else if (t.n || v.n) {
        tsr_smooth(t.y, t.n, window, smooth);
        snprintf(name, sizeof name, "training, mean of %zu", window);
        if (t.n) {
            series[n++] = (tsr_series){"training", t.x, t.y, t.n, TSR_MARK_FAINT, 1};
            series[n++] = (tsr_series){name, t.x, smooth, t.n, TSR_MARK_LINE, 1};
        }
        if (v.n)
            series[n++] = (tsr_series){"validation", v.x, v.y, v.n, TSR_MARK_POINTS, 2};
        ends[0] = t.n ? t.x[0] : v.x[0];
        ends[1] = fmax(t.n ? t.x[t.n - 1] : 0, v.n ? v.x[v.n - 1] : 0);
        if (isfinite(unigram))
            series[n++] = (tsr_series){"unigram", ends, level, 2, TSR_MARK_DASHED, 4};
        tsr_chart c = {.title = title,
                       .note = note,
                       .x_label = "step",
                       .y_label = "nats a token",
                       .series = series,
                       .n_series = n};
        tsr_chart_draw(h, &c);
    }
    tsr_free(smooth);
    free_column(&t);
    free_column(&v);
}

static void draw_plain(tsr_html *h, const tsr_report_data *d, const char *title, const char *name,
                       const char *unit)
{
    column c = read_column(d, name);
    if (c.n > 1) {
        tsr_series s = {title, c.x, c.y, c.n, TSR_MARK_LINE, 1};
        tsr_chart chart = {.title = title,
                           .x_label = "step",
                           .y_label = unit,
                           .zero_y = 1,
                           .series = &s,
                           .n_series = 1};
        tsr_chart_draw(h, &chart);
    }
    free_column(&c);
}

/* The last object at `key` of the log: its keys are the modalities. */
static const json_t *last_object(const json_t *metrics, const char *key)
{
    for (size_t i = json_array_size(metrics); i > 0; i--) {
        const json_t *v = json_object_get(json_array_get(metrics, i - 1), key);
        if (json_is_object(v) && json_object_size(v))
            return v;
    }
    return NULL;
}

static double last_value(const tsr_report_data *d, const char *name)
{
    column c = read_column(d, name);
    double v = c.n ? c.y[c.n - 1] : NAN;
    free_column(&c);
    return v;
}

static void draw_modality(tsr_html *h, const tsr_report_data *d, const char *modality)
{
    char train[MAX_NAME], val[MAX_NAME], bits[MAX_NAME], note[160], a[TSR_NUMBER_CHARS];
    snprintf(train, sizeof train, "nats.%s", modality);
    snprintf(val, sizeof val, "val.nats.%s", modality);
    snprintf(bits, sizeof bits, "val.bits_below_unigram.%s", modality);
    double below = last_value(d, bits);
    double unigram = tsr_report_number(json_object_get(d->training, "unigram_nats"), modality);
    note[0] = '\0';
    if (isfinite(below))
        snprintf(note, sizeof note, "validation ends %s bits a token below the unigram entropy",
                 tsr_number_text(below, 3, a));
    draw_loss(h, d, modality, note[0] ? note : NULL, train, val, unigram);
}

int tsr_report_training(tsr_html *h, tsr_report_data *d)
{
    const char *modality;
    json_t *v;
    if (!json_array_size(d->metrics))
        return 0;
    tsr_section_open(
        h, "training", "Training",
        "The any-to-any model, as logged. Losses are nats a target token; the unigram line "
        "is the entropy of the modality's code frequencies, what a model without any "
        "context could reach. Smoothed lines are moving averages over the stated number "
        "of logged steps, backwards only.");
    tsr_html_raw(h, "<div class=\"charts\">");
    draw_loss(h, d, "all modalities", NULL, "loss", "val.loss", NAN);
    draw_plain(h, d, "learning rate", "lr", "");
    draw_plain(h, d, "speed", "tokens_per_second", "tokens a second");
    const json_t *modalities = last_object(d->metrics, "nats");
    if (modalities)
        tsr_html_raw(h, "<h3>each modality</h3>");
    json_object_foreach((json_t *)modalities, modality, v) draw_modality(h, d, modality);
    tsr_html_raw(h, "</div>");
    tsr_section_close(h);
    return 1;
}

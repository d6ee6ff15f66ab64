/* SPDX-License-Identifier: Apache-2.0
 * Curves of the training run of the any-to-any model. */
#include "base/mem.h"
#include "tasks/report_parts.h"
#include "tasks/report_svg.h"

#include <math.h>
#include <stdio.h>

#define WINDOW   20 /* logged lines of the moving average */
#define MAX_NAME 96
#define MAX_SETS 2 /* validation sets that are drawn */

/* One column of a log. */
typedef struct column {
    double *x, *y;
    size_t n;
} column;

static column read_column(const json_t *list, const char *name)
{
    column c;
    c.n = tsr_report_column(list, "step", name, &c.x, &c.y);
    return c;
}

static void free_column(column *c)
{
    tsr_free(c->x);
    tsr_free(c->y);
}

/* A chart of losses in the making. */
typedef struct losses {
    column train, val[MAX_SETS];
    double *smooth;
    char smooth_name[64];
    char val_name[MAX_SETS][MAX_NAME];
    double ends[2], level[2];
    tsr_series series[3 + MAX_SETS];
    size_t n;
} losses;

static void add(losses *l, const char *name, const column *c, const double *y, tsr_mark mark,
                int colour)
{
    if (c->n)
        l->series[l->n++] = (tsr_series){name, c->x, y, c->n, mark, colour};
}

/* Every value logged, the smoothed line, and validation beside them. */
static void gather(losses *l, const tsr_report_data *d, const char *name)
{
    size_t k = 0;
    const char *set;
    json_t *list;
    l->train = read_column(d->metrics, name);
    size_t n = l->train.n, window = n / 8 < WINDOW ? n / 8 + 1 : WINDOW;
    l->ends[0] = n ? l->train.x[0] : INFINITY;
    l->ends[1] = n ? l->train.x[n - 1] : 0;
    add(l, "training", &l->train, l->train.y, TSR_MARK_FAINT, 1);
    if (tsr_alloc(&l->smooth, n, sizeof *l->smooth) == TSR_OK && n) {
        tsr_smooth(l->train.y, n, window, l->smooth);
        snprintf(l->smooth_name, sizeof l->smooth_name, "training, mean of %zu", window);
        add(l, l->smooth_name, &l->train, l->smooth, TSR_MARK_LINE, 1);
    }
    json_object_foreach(d->validations, set, list)
    {
        if (k == MAX_SETS)
            break;
        column *c = &l->val[k];
        *c = read_column(list, name);
        snprintf(l->val_name[k], MAX_NAME, "validation%s%.80s",
                 json_object_size(d->validations) > 1 ? " " : "",
                 json_object_size(d->validations) > 1 ? set : "");
        add(l, l->val_name[k], c, c->y, TSR_MARK_POINTS, 2 + (int)k);
        l->ends[0] = c->n ? fmin(l->ends[0], c->x[0]) : l->ends[0];
        l->ends[1] = c->n ? fmax(l->ends[1], c->x[c->n - 1]) : l->ends[1];
        k++;
    }
}

static void draw_losses(tsr_html *h, const tsr_report_data *d, const char *title, const char *note,
                        const char *name, double unigram)
{
    losses l = {.n = 0};
    gather(&l, d, name);
    if (l.n && isfinite(unigram)) {
        l.level[0] = l.level[1] = unigram;
        l.series[l.n++] = (tsr_series){"unigram", l.ends, l.level, 2, TSR_MARK_DASHED, 4};
    }
    tsr_chart c = {.title = title,
                   .note = note,
                   .x_label = "step",
                   .y_label = "nats a token",
                   .series = l.series,
                   .n_series = l.n};
    if (l.n)
        tsr_chart_draw(h, &c);
    tsr_free(l.smooth);
    free_column(&l.train);
    for (size_t k = 0; k < MAX_SETS; k++)
        free_column(&l.val[k]);
}

static void draw_plain(tsr_html *h, const json_t *list, const char *title, const char *name,
                       const char *unit, int log)
{
    column c = read_column(list, name);
    tsr_series s = {title, c.x, c.y, c.n, TSR_MARK_LINE, 1};
    tsr_chart chart = {.title = title,
                       .x_label = "step",
                       .y_label = unit,
                       .zero_y = !log,
                       .log_y = log,
                       .series = &s,
                       .n_series = 1};
    if (c.n > 1)
        tsr_chart_draw(h, &chart);
    free_column(&c);
}

static double last_value(const json_t *list, const char *name)
{
    column c = read_column(list, name);
    double v = c.n ? c.y[c.n - 1] : NAN;
    free_column(&c);
    return v;
}

static void draw_modality(tsr_html *h, const tsr_report_data *d, const char *modality)
{
    char name[MAX_NAME], note[160], a[TSR_NUMBER_CHARS], b[TSR_NUMBER_CHARS];
    double unigram = tsr_report_number(json_object_get(d->unigrams, modality), "entropy_nats");
    const json_t *list = json_object_iter_value(json_object_iter(d->validations));
    snprintf(name, sizeof name, "bits_below_unigram.%s", modality);
    double below = last_value(list ? list : d->metrics, name);
    note[0] = '\0';
    if (isfinite(below) && isfinite(unigram))
        snprintf(note, sizeof note, "%s ends %s of %s bits a token below the unigram entropy",
                 list ? "validation" : "training", tsr_number_text(below, 3, a),
                 tsr_number_text(unigram / log(2), 3, b));
    snprintf(name, sizeof name, "nll.%s", modality);
    draw_losses(h, d, modality, note[0] ? note : NULL, name, unigram);
}

/* Modalities by the last line that has any. */
static const json_t *modalities_of(const tsr_report_data *d)
{
    const json_t *list = json_object_iter_value(json_object_iter(d->validations));
    list = json_array_size(list) ? list : d->metrics;
    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *v = json_object_get(json_array_get(list, i - 1), "nll");
        if (json_is_object(v) && json_object_size(v))
            return v;
    }
    return NULL;
}

int tsr_report_training(tsr_html *h, tsr_report_data *d)
{
    const char *modality;
    json_t *v;
    if (!json_array_size(d->metrics))
        return 0;
    tsr_section_open(
        h, "training", "Training",
        "The any-to-any model, as logged. Losses are nats a target token; the dashed "
        "line is the entropy of the modality's codes, what a model without any context "
        "could reach. Smoothed lines are moving averages over the stated number of "
        "logged lines, backwards only.");
    tsr_html_raw(h, "<div class=\"charts\">");
    draw_losses(h, d, "all modalities", "the loss that is minimised", "loss", NAN);
    draw_plain(h, d->metrics, "learning rate", "lr", "", 0);
    draw_plain(h, d->metrics, "norm of gradients", "grad_norm", "before clipping", 1);
    draw_plain(h, d->timing, "speed", "tokens_per_second", "tokens a second, shown and predicted",
               0);
    json_object_foreach((json_t *)modalities_of(d), modality, v) draw_modality(h, d, modality);
    tsr_html_raw(h, "</div>");
    tsr_section_close(h);
    return 1;
}

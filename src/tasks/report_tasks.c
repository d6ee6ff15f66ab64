/* SPDX-License-Identifier: Apache-2.0
 * What the model can do: a block for each task, and the matrix of information. */
#include "tasks/report_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The four measurements of a task, in the order they are shown. */
typedef enum companion { MODEL, NO_INPUT, WRONG_INPUT, CEILING, N_COMPANIONS } companion;

typedef struct measured {
    double value, low, high; /* NAN: not measured */
} measured;

static const struct {
    const char *key, *label;
} companions[N_COMPANIONS] = {
    {"model", "model"},
    {"no_input", "no input"},
    {"wrong_input", "wrong input"},
    {"ceiling", "ceiling"},
};

static measured read_measured(const json_t *task, const char *key)
{
    const json_t *v = json_object_get(task, key);
    if (json_is_number(v))
        return (measured){json_number_value(v), NAN, NAN};
    return (measured){tsr_report_number(v, "value"), tsr_report_number(v, "low"),
                      tsr_report_number(v, "high")};
}

void tsr_route_html(tsr_html *h, const json_t *task)
{
    const json_t *from = json_object_get(task, "from"), *one;
    size_t i;
    if (json_is_string(from))
        tsr_html_f(h, "%s", json_string_value(from));
    json_array_foreach((json_t *)from, i, one)
        tsr_html_f(h, "%s%s", i ? " + " : "", json_string_value(one));
    tsr_html_f(h, " <span class=\"arrow\">→</span> %s", tsr_report_string(task, "to"));
}

static int same_route(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "from"), json_object_get(b, "from")) &&
           json_equal(json_object_get(a, "to"), json_object_get(b, "to"));
}

/* 1 better, -1 worse, 0 not told apart: by intervals that do not overlap, where there are any. */
static int compare(measured a, measured b, int higher)
{
    double a_low = isfinite(a.low) ? a.low : a.value, a_high = isfinite(a.high) ? a.high : a.value;
    double b_low = isfinite(b.low) ? b.low : b.value, b_high = isfinite(b.high) ? b.high : b.value;
    if (a_low > b_high)
        return higher ? 1 : -1;
    if (a_high < b_low)
        return higher ? -1 : 1;
    return 0;
}

/* The same from the paired difference, which tells more apart; 2 when there is none. */
static int compare_paired(const json_t *difference)
{
    double low = tsr_report_number(difference, "low"), high = tsr_report_number(difference, "high");
    if (!isfinite(low) || !isfinite(high))
        return 2;
    return low > 0 ? 1 : high < 0 ? -1 : 0;
}

/* How the model compares with a companion, in words; `order` as compare() tells. */
static void put_verdict(tsr_html *h, measured model, measured other, const char *than, int order)
{
    static const char *const classes[] = {"worse", "unclear", "better"};
    static const char *const words[] = {"▼ worse", "", "▲ better"};
    char number[TSR_NUMBER_CHARS];
    if (!isfinite(model.value) || !isfinite(other.value))
        return;
    tsr_html_f(h, "<li class=\"%s\">", classes[order + 1]);
    if (order == 0)
        tsr_html_f(h, "≈ not told apart from %s", than);
    else if (other.value <= 0 || model.value < 0)
        tsr_html_f(h, "%s than with %s", words[order + 1], than);
    else if (model.value >= 2 * other.value)
        tsr_html_f(h, "%s: %s times that with %s", words[order + 1],
                   tsr_number_text(model.value / other.value, 2, number), than);
    else
        tsr_html_f(h, "%s: %s %% %s than with %s", words[order + 1],
                   tsr_number_text(fabs(100 * (model.value / other.value - 1)), 2, number),
                   model.value > other.value ? "higher" : "lower", than);
    tsr_html_raw(h, "</li>");
}

static void put_verdicts(tsr_html *h, const json_t *task, const measured *v, int higher)
{
    static const struct {
        companion c;
        const char *difference;
    } others[] = {{NO_INPUT, "better_than_no_input"}, {WRONG_INPUT, "better_than_wrong_input"}};
    for (int i = 0; i < 2; i++) {
        measured other = v[others[i].c];
        int order = compare_paired(json_object_get(task, others[i].difference));
        if (order == 2)
            order = compare(v[MODEL], other, higher);
        put_verdict(h, v[MODEL], other, companions[others[i].c].label, order);
    }
}

static void put_bar(tsr_html *h, const tsr_metric_name *m, companion c, measured v, double full)
{
    char value[64], low[64], high[64];
    if (!isfinite(v.value))
        return;
    tsr_html_f(h, "<div class=\"bar b%d\"><span class=\"name\">%s</span><span class=\"track\">",
               (int)c, companions[c].label);
    tsr_html_f(h, "<i style=\"width:%.2f%%\"></i>", 100 * fmax(v.value, 0) / full);
    if (isfinite(v.low) && isfinite(v.high))
        tsr_html_f(h, "<b style=\"left:%.2f%%;width:%.2f%%\"></b>", 100 * fmax(v.low, 0) / full,
                   100 * (fmax(v.high, 0) - fmax(v.low, 0)) / full);
    tsr_html_f(h, "</span><span class=\"value\">%s", tsr_metric_text(m, v.value, value));
    if (isfinite(v.low) && isfinite(v.high)) {
        tsr_number_text(m->share ? 100 * v.low : v.low, 3, low);
        tsr_number_text(m->share ? 100 * v.high : v.high, 3, high);
        tsr_html_f(h, "<small>%s to %s</small>", low, high);
    }
    tsr_html_raw(h, "</span></div>");
}

/* How far the model has come from no input to the ceiling. */
static void put_way(tsr_html *h, const measured *v)
{
    char number[TSR_NUMBER_CHARS];
    double whole = v[CEILING].value - v[NO_INPUT].value, part = v[MODEL].value - v[NO_INPUT].value;
    if (!isfinite(part / whole) || part / whole < 0 || part / whole > 1.5)
        return;
    tsr_html_f(h, "<li>%s %% of the way from no input to the ceiling</li>",
               tsr_number_text(round(100 * part / whole), 9, number));
}

static void put_malformed(tsr_html *h, const json_t *task)
{
    char number[TSR_NUMBER_CHARS];
    double bad = tsr_report_number(task, "malformed.model");
    if (bad > 0)
        tsr_html_f(h,
                   "<li>%s of the model's predictions were malformed and count as the worst</li>",
                   tsr_number_text(bad, 9, number));
}

static void put_metric(tsr_html *h, const json_t *task)
{
    tsr_metric_name other;
    measured v[N_COMPANIONS];
    char number[TSR_NUMBER_CHARS];
    const char *key = tsr_report_string(task, "metric");
    const tsr_metric_name *m = tsr_metric_find(key ? key : "", &other);
    int higher = json_is_true(json_object_get(task, "higher_is_better"));
    double full = 0;
    for (int c = 0; c < N_COMPANIONS; c++) {
        v[c] = read_measured(task, companions[c].key);
        full = fmax(full, fmax(v[c].value, v[c].high));
    }
    full = m->share && full <= 1 && full > 0.5 ? 1 : full * 1.02;
    if (!(full > 0))
        full = 1;
    tsr_html_f(h, "<div class=\"metric\"><h4>%s <small>%s%s", m->label,
               higher ? "↑ higher is better" : "↓ lower is better", "");
    if (isfinite(tsr_report_number(task, "samples")))
        tsr_html_f(h, ", %s samples",
                   tsr_number_text(tsr_report_number(task, "samples"), 9, number));
    tsr_html_raw(h, "</small></h4>");
    for (int c = 0; c < N_COMPANIONS; c++)
        put_bar(h, m, (companion)c, v[c], full);
    tsr_html_raw(h, "<ul class=\"verdict\">");
    put_verdicts(h, task, v, higher);
    put_way(h, v);
    put_malformed(h, task);
    tsr_html_raw(h, "</ul></div>");
}

/* Finding the truth among other samples' targets. */
static void put_candidates(tsr_html *h, const json_t *list)
{
    size_t i;
    const json_t *v;
    char a[64], b[64];
    const tsr_metric_name share = {"", "", "%", 1, 1};
    if (!json_array_size(list))
        return;
    tsr_html_raw(h,
                 "<h3>Choosing the truth among candidates</h3><p class=\"lead\">How often the true "
                 "target has the highest likelihood among other samples' targets, by the chain "
                 "rule; beside it the share that chance would give.</p><div class=\"scroll fit\">"
                 "<table><thead><tr><th>task</th><th>candidates</th><th>first</th><th>chance</th>"
                 "<th>first by gain over no input</th></tr></thead><tbody>");
    json_array_foreach((json_t *)list, i, v)
    {
        const measured first = read_measured(v, "accuracy"),
                       gain = read_measured(v, "accuracy_gain");
        if (!json_is_object(v) || !tsr_report_string(v, "to"))
            continue;
        tsr_html_raw(h, "<tr><th scope=\"row\">");
        tsr_route_html(h, v);
        tsr_html_f(h, "</th><td>%s</td>",
                   tsr_number_text(tsr_report_number(v, "candidates"), 9, a));
        tsr_html_f(h, "<td>%s<small>%s to %s</small></td>", tsr_metric_text(&share, first.value, a),
                   tsr_number_text(100 * first.low, 3, b),
                   tsr_number_text(100 * first.high, 3, (char[TSR_NUMBER_CHARS]){0}));
        tsr_html_f(h, "<td>%s</td>", tsr_metric_text(&share, tsr_report_number(v, "chance"), a));
        tsr_html_f(h, "<td>%s</td></tr>", tsr_metric_text(&share, gain.value, a));
    }
    tsr_html_raw(h, "</tbody></table></div>");
}

static void put_tasks(tsr_html *h, const json_t *tasks)
{
    size_t i;
    const json_t *task, *before = NULL;
    tsr_html_raw(h, "<div class=\"tasks\">");
    json_array_foreach((json_t *)tasks, i, task)
    {
        if (!json_is_object(task) || !tsr_report_string(task, "to"))
            continue;
        if (!before || !same_route(before, task)) {
            tsr_html_raw(h, before ? "</article><article class=\"task\"><h3>"
                                   : "<article class=\"task\"><h3>");
            tsr_route_html(h, task);
            tsr_html_raw(h, "</h3>");
        }
        put_metric(h, task);
        before = task;
    }
    tsr_html_raw(h, before ? "</article></div>" : "</div>");
}

int tsr_report_tasks(tsr_html *h, tsr_report_data *d)
{
    if (!json_array_size(d->tasks))
        return 0;
    tsr_section_open(
        h, "tasks", "From any to any: tasks",
        "Held-out samples, in the target's own units. No input: the same model, given "
        "nothing. Wrong input: given another sample's. Ceiling: the true tokens, decoded; "
        "no prediction of tokens can do better. Whiskers are 95 % intervals (bootstrap "
        "over samples); ▲ and ▼ are given where the interval of the difference, paired by "
        "sample, leaves out 0.");
    put_tasks(h, d->tasks);
    put_candidates(h, d->candidates);
    tsr_section_close(h);
    return 1;
}

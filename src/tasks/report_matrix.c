/* SPDX-License-Identifier: Apache-2.0
 * Information between modalities as a table of heat. */
#include "tasks/report_parts.h"

#include <math.h>
#include <string.h>

/* The entry of a list with these names; from NULL: any. */
static const json_t *entry(const json_t *list, const char *from, const char *to)
{
    size_t i;
    const json_t *v;
    json_array_foreach((json_t *)list, i, v)
    {
        const char *a = tsr_report_string(v, "from"), *b = tsr_report_string(v, "to");
        if (b && strcmp(b, to) == 0 && (!from || (a && strcmp(a, from) == 0)))
            return v;
    }
    return NULL;
}

static void put_cell(tsr_html *h, const json_t *cell, const json_t *nothing)
{
    char text[TSR_NUMBER_CHARS], more[TSR_NUMBER_CHARS], low[TSR_NUMBER_CHARS];
    double v = tsr_report_number(cell, "nats_per_sample.value");
    double from = tsr_report_number(cell, "nats_per_sample.low");
    double share = v / tsr_report_number(nothing, "nats_per_sample.value");
    if (!isfinite(v)) {
        tsr_html_raw(h, "<td class=\"empty\">·</td>");
        return;
    }
    share = isfinite(share) ? fmin(fmax(share, 0), 1) : 0;
    tsr_html_f(h,
               "<td class=\"%s\" style=\"--t:%.3f\" title=\"%s to %s nats a sample; %s a token\">",
               from > 0 ? "" : "weak", share, tsr_number_text(from, 3, low),
               tsr_number_text(tsr_report_number(cell, "nats_per_sample.high"), 3, text),
               tsr_number_text(tsr_report_number(cell, "nats_per_token.value"), 3, more));
    tsr_html_f(h, "%s<small>%s %%</small></td>", tsr_number_text(v, 3, text),
               tsr_number_text(100 * share, 2, more));
}

static void put_nothing(tsr_html *h, const json_t *to, const json_t *nothing)
{
    char text[TSR_NUMBER_CHARS];
    size_t c;
    const json_t *name;
    tsr_html_raw(h, "<tr class=\"foot\"><th scope=\"row\">to be known</th>");
    json_array_foreach((json_t *)to, c, name)
    {
        const json_t *v = entry(nothing, NULL, json_string_value(name));
        tsr_html_f(h, "<td class=\"empty\">%s</td>",
                   tsr_number_text(tsr_report_number(v, "nats_per_sample.value"), 3, text));
    }
    tsr_html_raw(h, "</tr>");
}

/* 1 for a list of at least one name and nothing else. */
static int are_names(const json_t *list)
{
    size_t i;
    const json_t *v;
    json_array_foreach((json_t *)list, i, v)
    {
        if (!json_is_string(v))
            return 0;
    }
    return json_array_size(list) > 0;
}

int tsr_report_matrix(tsr_html *h, tsr_report_data *d)
{
    const json_t *from = json_object_get(d->matrix, "from"), *to = json_object_get(d->matrix, "to");
    const json_t *cells = json_object_get(d->matrix, "cells"), *a, *b;
    const json_t *nothing = json_object_get(d->matrix, "given_nothing");
    size_t r, c;
    if (!are_names(from) || !are_names(to) || !json_array_size(cells))
        return 0;
    tsr_section_open(
        h, "matrix", "What modalities know of each other",
        "Information in nats a sample that the row's modality gives about the column's, "
        "as the model uses it: log-likelihood of the true tokens with the input, minus "
        "without, mean over held-out samples. Percent and shade: share of all there is "
        "to be known, the last row. In italics: the 95 % interval includes 0.");
    tsr_html_raw(
        h, "<div class=\"scroll fit\"><table class=\"matrix\"><thead><tr><th>from ↓ to →</th>");
    json_array_foreach((json_t *)to, c, b)
        tsr_html_f(h, "<th scope=\"col\">%s</th>", json_string_value(b));
    tsr_html_raw(h, "</tr></thead><tbody>");
    json_array_foreach((json_t *)from, r, a)
    {
        tsr_html_f(h, "<tr><th scope=\"row\">%s</th>", json_string_value(a));
        json_array_foreach((json_t *)to, c, b)
            put_cell(h, entry(cells, json_string_value(a), json_string_value(b)),
                     entry(nothing, NULL, json_string_value(b)));
        tsr_html_raw(h, "</tr>");
    }
    if (json_array_size(nothing))
        put_nothing(h, to, nothing);
    tsr_html_raw(h, "</tbody></table></div>");
    tsr_section_close(h);
    return 1;
}

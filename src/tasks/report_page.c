/* SPDX-License-Identifier: Apache-2.0
 * The page as a whole: its parts in order, and how they are announced. */
#include "tasks/report_parts.h"

#include "base/mem.h"

void tsr_section_open(tsr_html *h, const char *id, const char *title, const char *lead)
{
    tsr_html_f(h, "<section id=\"%s\"><h2>%s</h2>", id, title);
    if (lead)
        tsr_html_f(h, "<p class=\"lead\">%s</p>", lead);
}

void tsr_section_close(tsr_html *h)
{
    tsr_html_raw(h, "</section>\n");
}

static void page_open(tsr_html *h, const tsr_report_data *d, const tsr_report_spec *spec)
{
    const char *corpus = tsr_report_string(d->figures, "corpus");
    tsr_html_raw(h, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                    "<meta name=\"color-scheme\" content=\"light dark\">"
                    "<meta name=\"generator\" content=\"tessera report\">"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "img-src data:; media-src data:; style-src 'unsafe-inline'; "
                    "script-src 'unsafe-inline'\">");
    if (spec->title)
        tsr_html_f(h, "<title>%s</title>", spec->title);
    else
        tsr_html_f(h, "<title>Tessera: %s</title>", corpus ? corpus : "report");
    tsr_html_raw(h, "<link rel=\"icon\" href=\"data:,\"><style>");
    tsr_html_raw(h, tsr_report_style);
    tsr_html_raw(h, "</style></head><body><main>\n");
}

/* Links to the sections there are, put where the head ends. */
static void page_links(tsr_html *h, const char *const *ids, const char *const *names, size_t n)
{
    tsr_html_raw(h, "<nav>");
    for (size_t i = 0; i < n; i++)
        tsr_html_f(h, "<a href=\"#%s\">%s</a>", ids[i], names[i]);
    tsr_html_raw(h, "<button id=\"theme\" type=\"button\" hidden></button></nav>\n");
}

static void page_close(tsr_html *h)
{
    tsr_html_raw(h, "</main><script>");
    tsr_html_raw(h, tsr_report_script);
    tsr_html_raw(h, "</script></body></html>\n");
}

static const struct {
    const char *id, *name;
    int (*write)(tsr_html *h, tsr_report_data *d);
} parts[] = {
    {"tasks", "Tasks", tsr_report_tasks},
    {"matrix", "Matrix", tsr_report_matrix},
    {"examples", "Examples", tsr_report_examples},
    {"training", "Training", tsr_report_training},
    {"tokenizers", "Tokenizers", tsr_report_tokenizers},
    {"codes", "Codes", tsr_report_usage},
    {"provenance", "Provenance", tsr_report_provenance},
};

#define N_PARTS (sizeof parts / sizeof parts[0])

/* All sections into `body`; ids and names of those that came out. */
static size_t sections(tsr_html *body, tsr_report_data *d, const char **ids, const char **names)
{
    size_t n = 0;
    for (size_t i = 0; i < N_PARTS; i++)
        if (parts[i].write(body, d)) {
            ids[n] = parts[i].id;
            names[n++] = parts[i].name;
        }
    return n;
}

static tsr_status summarise(const tsr_report_data *d, const char *const *ids, size_t n,
                            size_t bytes, json_t **out)
{
    json_t *list = json_array();
    json_t *v = json_pack("{s:o, s:O, s:I}", "sections", list, "notes", d->notes, "bytes",
                          (json_int_t)bytes);
    if (!v)
        TSR_FAIL(TSR_ENOMEM, "no memory for a report");
    for (size_t i = 0; i < n; i++) {
        tsr_status st = tsr_json_append(list, json_string(ids[i]));
        if (st != TSR_OK) {
            json_decref(v);
            return st;
        }
    }
    *out = v;
    return TSR_OK;
}

tsr_status tsr_report_make(const tsr_report_spec *spec, char **html, size_t *bytes,
                           json_t **summary)
{
    const char *ids[N_PARTS], *names[N_PARTS];
    tsr_report_data d;
    tsr_html page = {0}, body = {0};
    tsr_status st;
    TSR_GO(tsr_report_data_read(spec, &d));
    size_t n = sections(&body, &d, ids, names);
    TSR_GO(body.status);
    page_open(&page, &d, spec);
    tsr_report_head(&page, &d, spec);
    page_links(&page, ids, names, n);
    tsr_html_raw(&page, body.text.s);
    page_close(&page);
    TSR_GO(page.status);
    if (summary)
        TSR_GO(summarise(&d, ids, n, page.text.len, summary));
    *html = page.text.s;
    *bytes = page.text.len;
    page.text = (tsr_str){0};
out:
    tsr_html_clear(&page);
    tsr_html_clear(&body);
    tsr_report_data_clear(&d);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Progress on stderr. */
#include "cli/progress.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/console.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_EVERY_S  0.1
#define LINE_EVERY_S 5.0
#define BAR_CELLS    24

void tsr_short_number(double x, char text[16])
{
    static const char units[] = " kMGT";
    int u = 0;
    for (; fabs(x) >= 9999.5 && u < 4; u++)
        x /= 1000;
    if (u == 0)
        snprintf(text, 16, fabs(x) < 100 && x != floor(x) ? "%.1f" : "%.0f", x);
    else
        snprintf(text, 16, fabs(x) < 100 ? "%.1f%c" : "%.0f%c", x, units[u]);
}

void tsr_short_time(double seconds, char text[16])
{
    unsigned s = seconds < 0 || seconds > 3.6e6 ? 3600000 : (unsigned)lround(seconds);
    if (s >= 3600)
        snprintf(text, 16, "%u:%02u:%02u", s / 3600 % 10000, s / 60 % 60, s % 60);
    else
        snprintf(text, 16, "%u:%02u", s / 60, s % 60);
}

/* Rate in items a second since the phase began; remaining seconds, or -1. */
static double rate_of(const tsr_meter *m, const tsr_progress *p, double *eta_s)
{
    double spent = tsr_now_s() - m->start_s;
    int64_t since = p->done - m->first;
    double rate = spent > 0 && since > 0 ? (double)since / spent : 0;
    *eta_s = rate > 0 && p->total >= p->done ? (double)(p->total - p->done) / rate : -1;
    return rate;
}

/* The part that bar and line share: "1200/4000 samples  310/s  eta 0:09  2 failed  note". */
static void describe(const tsr_meter *m, const tsr_progress *p, char *text, size_t cap)
{
    char rate_text[16], eta_text[16];
    double eta, rate = rate_of(m, p, &eta);
    size_t n = (size_t)snprintf(text, cap, "%lld", (long long)p->done);
    if (p->total >= 0 && n < cap)
        n += (size_t)snprintf(text + n, cap - n, "/%lld", (long long)p->total);
    if (p->unit && n < cap)
        n += (size_t)snprintf(text + n, cap - n, " %s", p->unit);
    tsr_short_number(rate, rate_text);
    if (rate > 0 && n < cap)
        n += (size_t)snprintf(text + n, cap - n, "  %s/s", rate_text);
    tsr_short_time(eta, eta_text);
    if (eta >= 0 && n < cap)
        n += (size_t)snprintf(text + n, cap - n, "  eta %s", eta_text);
    if (p->failed > 0 && n < cap)
        n += (size_t)snprintf(text + n, cap - n, "  %lld failed", (long long)p->failed);
    if (p->note && n < cap)
        snprintf(text + n, cap - n, "  %s", p->note);
}

static void show_bar(tsr_meter *m, const tsr_progress *p)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    char text[512], bar[BAR_CELLS * 3 + 8] = "";
    describe(m, p, text, sizeof text);
    fprintf(m->out, "\r\033[K%s ", m->phase);
    int width = (int)strlen(m->phase) + 1;
    if (p->total > 0) {
        double share = (double)p->done / (double)p->total;
        int filled = (int)((share < 0 ? 0 : share > 1 ? 1 : share) * BAR_CELLS * 8);
        for (int i = 0; i < filled / 8; i++)
            strcat(bar, "█");
        strcat(bar, eighths[filled % 8]);
        int cells = filled / 8 + (filled % 8 != 0);
        fprintf(m->out, m->colour ? "\033[36m%s\033[0m%*s│ " : "%s%*s│ ", bar, BAR_CELLS - cells,
                "");
        width += BAR_CELLS + 2;
    }
    int room = m->columns - width - 1;
    fprintf(m->out, "%.*s", room > 0 ? room : 0, text);
    fflush(m->out);
    m->bar_shown = 1;
}

static void show_json(tsr_meter *m, const tsr_progress *p)
{
    double eta, rate = rate_of(m, p, &eta);
    json_t *v = json_pack("{s:s, s:I, s:I, s:I, s:f, s:s*, s:s*}", "phase", m->phase, "done",
                          (json_int_t)p->done, "total", (json_int_t)p->total, "failed",
                          (json_int_t)p->failed, "rate", rate, "unit", p->unit, "note", p->note);
    if (v && eta >= 0)
        json_object_set_new(v, "eta_s", json_real(eta));
    char *text;
    if (v && tsr_json_text(v, 0, &text) == TSR_OK) {
        fprintf(m->out, "%s\n", text);
        tsr_free(text);
    }
    json_decref(v);
}

void tsr_meter_show(tsr_meter *m, const tsr_progress *p)
{
    char text[512];
    m->last_s = tsr_now_s();
    m->shown = p->done;
    if (m->style == TSR_PROGRESS_BAR)
        show_bar(m, p);
    if (m->style == TSR_PROGRESS_JSON)
        show_json(m, p);
    if (m->style != TSR_PROGRESS_LINE)
        return;
    describe(m, p, text, sizeof text);
    fprintf(m->out, "%s: %s\n", m->phase, text);
}

static void end_bar(tsr_meter *m)
{
    if (m->bar_shown)
        fputc('\n', m->out);
    m->bar_shown = 0;
}

static void begin_phase(tsr_meter *m, const tsr_progress *p)
{
    tsr_meter_finish(m);
    snprintf(m->phase, sizeof m->phase, "%s", p->phase ? p->phase : "work");
    m->start_s = tsr_now_s();
    m->last_s = m->style == TSR_PROGRESS_BAR ? 0 : m->start_s;
    m->first = p->done;
    m->shown = -1;
}

static void on_report(void *ctx, const tsr_progress *p)
{
    tsr_meter *m = ctx;
    if (m->style == TSR_PROGRESS_NONE)
        return;
    if (strcmp(m->phase, p->phase ? p->phase : "work") != 0)
        begin_phase(m, p);
    m->latest = *p;
    m->latest.phase = m->latest.unit = m->latest.note = NULL;
    double every = m->style == TSR_PROGRESS_BAR ? BAR_EVERY_S : LINE_EVERY_S;
    int last = p->total >= 0 && p->done >= p->total && m->shown != p->done;
    if (last || tsr_now_s() - m->last_s >= every)
        tsr_meter_show(m, p);
}

static void on_warning(void *ctx, const char *line)
{
    tsr_meter *m = ctx;
    if (m->bar_shown)
        fputs("\r\033[K", m->out);
    m->bar_shown = 0;
    fprintf(m->out, "tessera: %s\n", line);
}

void tsr_meter_finish(tsr_meter *m)
{
    if (m->phase[0] && m->shown != m->latest.done)
        tsr_meter_show(m, &m->latest);
    end_bar(m);
    m->phase[0] = '\0';
}

static int terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void tsr_meter_init(tsr_meter *m, tsr_progress_style style, tsr_job *job)
{
    const char *no_colour = getenv("NO_COLOR");
    *m = (tsr_meter){.out = stderr, .style = style, .columns = terminal_columns(STDERR_FILENO)};
    if (style == TSR_PROGRESS_AUTO)
        m->style = isatty(STDERR_FILENO) ? TSR_PROGRESS_BAR : TSR_PROGRESS_LINE;
    m->colour = isatty(STDERR_FILENO) && !(no_colour && *no_colour);
    *job = (tsr_job){.report = on_report, .warn = on_warning, .ctx = m, .stop = tsr_stop_flag()};
}

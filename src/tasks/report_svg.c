/* SPDX-License-Identifier: Apache-2.0
 * Charts of lines and points as inline SVG. */
#include "tasks/report_svg.h"

#include <math.h>
#include <stdio.h>

/* In SVG units, which are pixels when the figure is as wide as a phone. */
#define WIDTH      360.0
#define HEIGHT     220.0
#define LEFT       46.0
#define RIGHT      10.0
#define TOP        18.0
#define BOTTOM     36.0
#define MAX_POINTS 600
#define MAX_TICKS  16
#define HOVER      48

typedef struct frame {
    double x0, x1, y0, y1; /* of the data; y logarithmic when log_y */
    int log_y;
} frame;

size_t tsr_ticks(double low, double high, size_t max, double *ticks)
{
    static const double steps[] = {1, 2, 5, 10};
    double unit = pow(10, floor(log10((high - low) / (double)max)));
    double step = unit * 10;
    for (int i = 0; i < 4; i++)
        if (floor(high / (unit * steps[i])) - ceil(low / (unit * steps[i])) + 1 <= (double)max) {
            step = unit * steps[i];
            break;
        }
    size_t n = 0;
    for (double k = ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && n < max; k++)
        ticks[n++] = k == 0 ? 0 : k * step;
    return n;
}

/* Powers of ten; of narrow ranges 2 and 5 times them, too. */
static size_t log_ticks(double low, double high, double *ticks)
{
    double decades = log10(high / low);
    double every = ceil(decades / 6);
    size_t n = 0;
    for (double e = floor(log10(low)); e <= ceil(log10(high)) && n + 3 < MAX_TICKS; e += 1) {
        double v = pow(10, e);
        if (fmod(fabs(e), every < 1 ? 1 : every) == 0 && v >= low * 0.999 && v <= high * 1.001)
            ticks[n++] = v;
        if (decades < 2.2 && 2 * v >= low && 2 * v <= high)
            ticks[n++] = 2 * v;
        if (decades < 2.2 && 5 * v >= low && 5 * v <= high)
            ticks[n++] = 5 * v;
    }
    return n;
}

void tsr_smooth(const double *v, size_t n, size_t window, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        size_t count = 0;
        for (size_t k = i + 1 > window ? i + 1 - window : 0; k <= i; k++) {
            sum += isfinite(v[k]) ? v[k] : 0;
            count += isfinite(v[k]) != 0;
        }
        out[i] = count ? sum / (double)count : NAN;
    }
}

static int drawn(const frame *f, double x, double y)
{
    return isfinite(x) && isfinite(y) && (!f->log_y || y > 0);
}

/* Extent of all that can be drawn; 0 when there is nothing. */
static int measure(const tsr_chart *c, frame *f)
{
    *f = (frame){INFINITY, -INFINITY, INFINITY, -INFINITY, c->log_y};
    for (size_t s = 0; s < c->n_series; s++)
        for (size_t i = 0; i < c->series[s].n; i++) {
            double x = c->series[s].x[i], y = c->series[s].y[i];
            if (!drawn(f, x, y))
                continue;
            f->x0 = fmin(f->x0, x);
            f->x1 = fmax(f->x1, x);
            f->y0 = fmin(f->y0, y);
            f->y1 = fmax(f->y1, y);
        }
    if (!(f->x0 <= f->x1))
        return 0;
    if (f->x0 == f->x1)
        f->x1 = f->x0 + (f->x0 != 0 ? fabs(f->x0) : 1);
    if (c->zero_y && !c->log_y)
        f->y0 = fmin(f->y0, 0), f->y1 = fmax(f->y1, 0);
    if (f->y0 == f->y1) {
        double room = f->y0 != 0 ? fabs(f->y0) * 0.5 : 1;
        f->y0 -= c->zero_y && f->y0 == 0 ? 0 : room;
        f->y1 += room;
    }
    if (c->log_y) {
        f->y0 /= 1.3;
        f->y1 *= 1.3;
        return 1;
    }
    double room = (f->y1 - f->y0) * 0.05;
    f->y1 += room;
    f->y0 -= f->y0 == 0 ? 0 : room;
    return 1;
}

static double at_x(const frame *f, double x)
{
    return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const frame *f, double y)
{
    double t = f->log_y ? log(y / f->y0) / log(f->y1 / f->y0) : (y - f->y0) / (f->y1 - f->y0);
    return HEIGHT - BOTTOM - t * (HEIGHT - TOP - BOTTOM);
}

/* Ticks of one axis share their number of digits: enough to tell neighbours apart. */
static const char *tick_text(double v, double step, char text[TSR_NUMBER_CHARS])
{
    if (fabs(v) >= 1e6 && fmod(v, 1e5) == 0)
        snprintf(text, TSR_NUMBER_CHARS, "%g M", v / 1e6);
    else if (fabs(v) >= 10000 && fmod(v, 100) == 0)
        snprintf(text, TSR_NUMBER_CHARS, "%g k", v / 1e3);
    else if ((v != 0 && fabs(v) < 1e-3) || (step > 0 && step < 1e-4))
        snprintf(text, TSR_NUMBER_CHARS, "%.2g", v);
    else
        snprintf(text, TSR_NUMBER_CHARS, "%.*f",
                 step > 0 && step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0, v);
    return text;
}

/* Gap to the next tick; of logarithmic axes the value itself rules. */
static double gap(const double *ticks, size_t n, size_t i, int log)
{
    if (log)
        return pow(10, floor(log10(ticks[i])));
    return n > 1 ? ticks[1] - ticks[0] : fabs(ticks[0]);
}

static void draw_axes(tsr_html *h, const tsr_chart *c, const frame *f)
{
    double ticks[MAX_TICKS];
    char text[TSR_NUMBER_CHARS];
    size_t n = c->log_y ? log_ticks(f->y0, f->y1, ticks) : tsr_ticks(f->y0, f->y1, 6, ticks);
    tsr_html_raw(h, "<g class=\"axis\">");
    for (size_t i = 0; i < n; i++) {
        double y = at_y(f, ticks[i]);
        tsr_html_f(h, "<path d=\"M%g %.1fH%g\"/><text x=\"%g\" y=\"%.1f\" class=\"end\">%s</text>",
                   LEFT, y, WIDTH - RIGHT, LEFT - 5, y + 3.5,
                   tick_text(ticks[i], gap(ticks, n, i, c->log_y), text));
    }
    n = tsr_ticks(f->x0, f->x1, 6, ticks);
    for (size_t i = 0; i < n; i++) {
        double x = at_x(f, ticks[i]);
        tsr_html_f(h, "<path d=\"M%.1f %gv4\"/><text x=\"%.1f\" y=\"%g\" class=\"%s\">%s</text>", x,
                   HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 15, x > WIDTH - 24 ? "end" : "mid",
                   tick_text(ticks[i], gap(ticks, n, i, 0), text));
    }
    tsr_html_f(h,
               "<text x=\"2\" y=\"10\">%s</text>"
               "<text x=\"%g\" y=\"%g\" class=\"end\">%s</text></g>",
               c->y_label, WIDTH - RIGHT, HEIGHT - 4, c->x_label);
}

static void draw_series(tsr_html *h, const frame *f, const tsr_series *s)
{
    static const char *const classes[] = {"line", "faint", "points", "dashed"};
    size_t every = s->n > MAX_POINTS ? (s->n + MAX_POINTS - 1) / MAX_POINTS : 1;
    int open = 0;
    tsr_html_f(h, "<path class=\"%s c%d\" d=\"", classes[s->mark], s->colour);
    for (size_t i = 0; i < s->n; i++) {
        if (i % every && i + 1 != s->n)
            continue;
        int has = drawn(f, s->x[i], s->y[i]);
        if (has)
            tsr_html_f(h, open ? "L%.1f %.1f" : "M%.1f %.1fh0", at_x(f, s->x[i]),
                       at_y(f, s->y[i])); /* h0: a point alone is seen, too */
        open = has;
    }
    tsr_html_raw(h, "\"/>");
    for (size_t i = 0; s->mark == TSR_MARK_POINTS && i < s->n; i += every)
        if (drawn(f, s->x[i], s->y[i]))
            tsr_html_f(h, "<circle class=\"ring c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>",
                       s->colour, at_x(f, s->x[i]), at_y(f, s->y[i]));
}

/* Value of a series nearest to x, NAN when it has none. */
static double value_near(const tsr_series *s, double x)
{
    double best = INFINITY, value = NAN;
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->y[i]) && fabs(s->x[i] - x) < best) {
            best = fabs(s->x[i] - x);
            value = s->y[i];
        }
    return value;
}

/* Invisible strips whose tooltips tell the values. */
static void draw_hover(tsr_html *h, const tsr_chart *c, const frame *f)
{
    double wide = (WIDTH - LEFT - RIGHT) / HOVER;
    char text[TSR_NUMBER_CHARS];
    for (int k = 0; k < HOVER; k++) {
        double x = f->x0 + (k + 0.5) / HOVER * (f->x1 - f->x0);
        tsr_html_f(h,
                   "<rect class=\"hit\" x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"%g\"><title>",
                   LEFT + k * wide, TOP, wide, HEIGHT - TOP - BOTTOM);
        tsr_html_f(h, "%s %s", c->x_label, tsr_number_text(round(x), 4, text));
        for (size_t s = 0; s < c->n_series; s++)
            if (c->series[s].mark != TSR_MARK_FAINT)
                tsr_html_f(h, "\n%s: %s", c->series[s].name,
                           tsr_number_text(value_near(&c->series[s], x), 4, text));
        tsr_html_raw(h, "</title></rect>");
    }
}

static void draw_legend(tsr_html *h, const tsr_chart *c)
{
    static const char *const classes[] = {"line", "faint", "points", "dashed"};
    tsr_html_raw(h, "<p class=\"legend\">");
    for (size_t s = 0; s < c->n_series; s++) {
        tsr_html_f(
            h,
            "<span><svg viewBox=\"0 0 26 10\" width=\"26\" height=\"10\" aria-hidden=\"true\">"
            "<path class=\"%s c%d\" d=\"M1 5H25\"/>",
            classes[c->series[s].mark], c->series[s].colour);
        if (c->series[s].mark == TSR_MARK_POINTS)
            tsr_html_f(h, "<circle class=\"ring c%d\" cx=\"13\" cy=\"5\" r=\"2.6\"/>",
                       c->series[s].colour);
        tsr_html_f(h, "</svg>%s</span> ", c->series[s].name);
    }
    tsr_html_raw(h, "</p>");
}

void tsr_chart_draw(tsr_html *h, const tsr_chart *c)
{
    frame f;
    tsr_html_f(h, "<figure class=\"chart\"><figcaption>%s", c->title);
    if (c->note)
        tsr_html_f(h, "<small>%s</small>", c->note);
    tsr_html_raw(h, "</figcaption>");
    if (!measure(c, &f)) {
        tsr_html_raw(h, "<p class=\"none\">no values</p></figure>");
        return;
    }
    tsr_html_f(h, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s: %s over %s\">", WIDTH,
               HEIGHT, c->title, c->y_label, c->x_label);
    draw_axes(h, c, &f);
    for (size_t s = 0; s < c->n_series; s++)
        draw_series(h, &f, &c->series[s]);
    draw_hover(h, c, &f);
    tsr_html_raw(h, "</svg>");
    if (c->n_series > 1)
        draw_legend(h, c);
    tsr_html_raw(h, "</figure>\n");
}

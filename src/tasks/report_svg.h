/* SPDX-License-Identifier: Apache-2.0
 * Charts of lines and points as inline SVG: axes with units, round ticks, a legend. Colours are CSS
 * variables of the page, so that charts follow light and dark; every series differs from its
 * neighbours in shape, too. */
#ifndef TSR_TASKS_REPORT_SVG_H
#define TSR_TASKS_REPORT_SVG_H

#include "tasks/report_html.h"

typedef enum tsr_mark {
    TSR_MARK_LINE,   /* what matters */
    TSR_MARK_FAINT,  /* the values behind a smoothed line */
    TSR_MARK_POINTS, /* rare values: rings joined by a thin line */
    TSR_MARK_DASHED, /* references */
} tsr_mark;

/* Points with an x or y that is not finite (or not positive on a logarithmic axis) are left out and
 * interrupt the line. x rises. */
typedef struct tsr_series {
    const char *name;
    const double *x, *y; /* [n], borrowed */
    size_t n;
    tsr_mark mark;
    int colour; /* 1..4: --c1..--c4 */
} tsr_series;

typedef struct tsr_chart {
    const char *title;
    const char *note; /* below the title, or NULL */
    const char *x_label, *y_label;
    int log_y, zero_y; /* zero_y: the axis starts at 0 */
    const tsr_series *series;
    size_t n_series;
} tsr_chart;

/* The chart as a <figure>; series of more than 600 points are thinned evenly. Nothing finite to
 * draw: the figure says so. */
void tsr_chart_draw(tsr_html *h, const tsr_chart *c);

/* Round ticks that cover [low, high], at most `max` of them: multiples of 1, 2 or 5 times a power
 * of ten, within the range; returns how many. high > low, both finite. */
size_t tsr_ticks(double low, double high, size_t max, double *ticks);

/* Moving average over the last `window` values (those there are, at the beginning): out[i] = mean
 * of v[max(0, i - window + 1) .. i]. Values that are not finite are passed over. out may not be v.
 */
void tsr_smooth(const double *v, size_t n, size_t window, double *out);

#endif

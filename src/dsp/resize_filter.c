/* SPDX-License-Identifier: Apache-2.0
 * Filter functions and taps, computed in the order of operations Pillow uses. */
#include "dsp/resize_filter.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= 3.14159265358979323846;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct {
    const char *name;
    double support; /* half width at scale 1 */
    double (*value)(double x);
} filters[] = {
    [TSR_FILTER_NEAREST] = {"nearest", 0, NULL},
    [TSR_FILTER_BOX] = {"box", 0.5, box},
    [TSR_FILTER_BILINEAR] = {"bilinear", 1, bilinear},
    [TSR_FILTER_BICUBIC] = {"bicubic", 2, bicubic},
    [TSR_FILTER_LANCZOS] = {"lanczos", 3, lanczos},
};

#define N_FILTERS (sizeof filters / sizeof filters[0])

const char *tsr_filter_name(tsr_filter f)
{
    return (size_t)f < N_FILTERS ? filters[f].name : "unknown";
}

tsr_status tsr_filter_parse(const char *name, tsr_filter *out)
{
    const char *names[N_FILTERS];
    for (size_t i = 0; i < N_FILTERS; i++) {
        names[i] = filters[i].name;
        if (strcmp(name, names[i]) == 0) {
            *out = (tsr_filter)i;
            return TSR_OK;
        }
    }
    const char *near = tsr_suggest(name, names, N_FILTERS);
    TSR_FAIL(TSR_ECONFIG, "\"%.40s\" is no resize filter; %s%s", name,
             near ? "did you mean " : "there are nearest, box, bilinear, bicubic and lanczos",
             near ? near : "");
}

static int32_t fixed_point(double w)
{
    double scaled = w * (1 << TSR_TAP_BITS);
    return (int32_t)(w < 0 ? -0.5 + scaled : 0.5 + scaled);
}

static void fill_taps(tsr_taps *t, size_t in, size_t i, tsr_filter filter)
{
    double scale = (double)in / (double)t->outputs;
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = filters[filter].support * stretch;
    double inverse = 1.0 / stretch;
    double centre = ((double)i + 0.5) * scale;
    double lo = centre - support + 0.5;
    size_t first = lo < 0 ? 0 : (size_t)lo;
    size_t end = (size_t)(centre + support + 0.5);
    end = end > in ? in : end;
    double *w = t->weight + i * t->width;
    double sum = 0;
    size_t count = end - first;
    for (size_t j = 0; j < count; j++) {
        w[j] = filters[filter].value(((double)(j + first) - centre + 0.5) * inverse);
        sum += w[j];
    }
    for (size_t j = 0; j < count; j++) {
        if (sum != 0.0)
            w[j] /= sum;
        t->fixed[i * t->width + j] = fixed_point(w[j]);
    }
    t->first[i] = first;
    t->count[i] = count;
}

tsr_status tsr_taps_init(tsr_taps *t, size_t in, size_t out, tsr_filter filter)
{
    double scale = (double)in / (double)out;
    double support = filters[filter].support * (scale < 1.0 ? 1.0 : scale);
    tsr_taps fresh = {.outputs = out, .width = (size_t)ceil(support) * 2 + 1};
    tsr_status st = TSR_OK;
    size_t total;
    TSR_GO(tsr_mul_size(out, fresh.width, &total));
    TSR_GO(tsr_alloc(&fresh.first, out, sizeof *fresh.first));
    TSR_GO(tsr_alloc(&fresh.count, out, sizeof *fresh.count));
    TSR_GO(tsr_alloc(&fresh.weight, total, sizeof *fresh.weight));
    TSR_GO(tsr_alloc(&fresh.fixed, total, sizeof *fresh.fixed));
    for (size_t i = 0; i < out; i++)
        fill_taps(&fresh, in, i, filter);
    *t = fresh;
    return TSR_OK;
out:
    tsr_taps_clear(&fresh);
    return st;
}

void tsr_taps_clear(tsr_taps *t)
{
    tsr_free(t->first);
    tsr_free(t->count);
    tsr_free(t->weight);
    tsr_free(t->fixed);
    *t = (tsr_taps){0};
}

void tsr_nearest_index(size_t in, size_t out, size_t *index)
{
    /* A running sum, not a product: Pillow accumulates, and the two differ in the last bit. */
    double step = (double)in / (double)out;
    double at = step * 0.5;
    for (size_t i = 0; i < out; i++) {
        size_t k = (size_t)at;
        index[i] = k < in ? k : in - 1;
        at += step;
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * Depth along the optical axis: metres on a logarithmic scale, or 4M's standardised form. */
#include "tokenizers/grid.h"

#include "base/mem.h"
#include "dsp/crop.h"
#include "dsp/quality.h"
#include "tokenizers/pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How 16-bit values are resized where depth is standardised: as metres, or as some Pillow does it. */
enum { AS_METRES, PILLOW_9, PILLOW_10_3, PILLOW_11 };

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    static const char *const norms[] = {"log", "standardize", NULL};
    static const char *const ints[] = {"float", "pillow-9", "pillow-10.3", "pillow-11", NULL};
    g->channels = 1;
    TSR_TRY(tsr_setting_word(s, "normalisation", norms, 0, &g->depth.standardize));
    TSR_TRY(tsr_setting_number(s, "scale_m", 0.001, 1e-9, 1e6, &g->depth.scale_m));
    if (g->depth.standardize)
        return tsr_setting_word(s, "resize_16bit", ints, AS_METRES, &g->depth.ints);
    TSR_TRY(tsr_setting_number(s, "near_m", 0.5, 1e-6, 1e6, &g->depth.near_m));
    TSR_TRY(tsr_setting_number(s, "far_m", 50.0, 1e-6, 1e9, &g->depth.far_m));
    if (g->depth.far_m <= g->depth.near_m)
        TSR_FAIL(TSR_ECONFIG, "%s: \"far_m\" must be beyond \"near_m\"", s->origin);
    return TSR_OK;
}

/* One float plane: integers times `scale`, floats (metres already) as they are. */
static tsr_status plane_of(const tsr_image *im, double scale, tsr_image *out)
{
    size_t n = im->height * im->width;
    if (im->channels != 1)
        TSR_FAIL(TSR_EFORMAT, "depth needs 1 channel; the picture has %zu", im->channels);
    TSR_TRY(tsr_image_init(out, im->height, im->width, 1, TSR_PIXEL_F32));
    float *d = out->data;
    for (size_t p = 0; p < n; p++) {
        if (im->pixel == TSR_PIXEL_U8)
            d[p] = (float)(((const uint8_t *)im->data)[p] * scale);
        else if (im->pixel == TSR_PIXEL_U16)
            d[p] = (float)(((const uint16_t *)im->data)[p] * scale);
        else
            d[p] = ((const float *)im->data)[p];
    }
    return TSR_OK;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* (d - m) / sqrt(s2 + 1e-6), m and the unbiased s2 over the middle 80 % of the values.
 * Source   apple/ml-4m, depth transform: trimmed mean and variance of value / 65535. */
static tsr_status standardise(float *x, size_t n)
{
    float *sorted;
    size_t lo = (size_t)(0.1 * (double)n), hi = (size_t)((1 - 0.1) * (double)n);
    if (hi < lo + 2)
        TSR_FAIL(TSR_EFORMAT, "depth of %zu pixels is too small to standardise", n);
    TSR_TRY(tsr_alloc(&sorted, n, sizeof *sorted));
    for (size_t p = 0; p < n; p++)
        sorted[p] = x[p];
    qsort(sorted, n, sizeof *sorted, ascending);
    double sum = 0, squares = 0;
    for (size_t p = lo; p < hi; p++)
        sum += sorted[p];
    double mean = sum / (double)(hi - lo);
    for (size_t p = lo; p < hi; p++)
        squares += (sorted[p] - mean) * (sorted[p] - mean);
    tsr_free(sorted);
    double scale = 1.0 / sqrt(squares / (double)(hi - lo - 1) + 1e-6);
    for (size_t p = 0; p < n; p++)
        x[p] = (float)((x[p] - mean) * scale);
    return TSR_OK;
}

static void to_log(const tsr_grid *g, float *x, uint8_t *valid)
{
    float near = (float)g->depth.near_m, far = (float)g->depth.far_m, span = logf(far / near);
    for (size_t p = 0; p < g->height * g->width; p++) {
        float d = x[p];
        valid[p] = isfinite(d) && d > 0.0f;
        /* What was not measured is shown to the network as far away, and judged nowhere. */
        d = !valid[p] || d > far ? far : d < near ? near : d;
        x[p] = 2.0f * logf(d / near) / span - 1.0f;
    }
}

/* Pillow before 10.3 has 16-bit pictures as 32-bit integers and keeps what a filter overshoots. */
static tsr_status resize_wide(const tsr_grid *g, const tsr_image *cut, float *x)
{
    size_t n = cut->height * cut->width, m = g->height * g->width;
    int32_t *from = NULL, *to = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&from, n, sizeof *from));
    TSR_GO(tsr_alloc(&to, m, sizeof *to));
    for (size_t p = 0; p < n; p++)
        from[p] = ((const uint16_t *)cut->data)[p];
    TSR_GO(tsr_resize_i32(from, cut->height, cut->width, to, g->height, g->width, g->filter));
    for (size_t p = 0; p < m; p++)
        x[p] = (float)(to[p] / 65535.0);
out:
    tsr_free(from);
    tsr_free(to);
    return st;
}

static tsr_status resize_narrow(const tsr_grid *g, const tsr_image *cut, float *x)
{
    tsr_image small = {0};
    TSR_TRY(tsr_image_resize(cut, g->height, g->width, g->filter,
                             g->depth.ints == PILLOW_10_3 ? TSR_RESIZE16_NEAREST
                                                          : TSR_RESIZE16_BYTES,
                             &small));
    for (size_t p = 0; p < g->height * g->width; p++)
        x[p] = (float)(tsr_image_component(&small, p) / 65535.0);
    tsr_image_clear(&small);
    return TSR_OK;
}

/* Whole numbers cut and resized as such, then divided by 65535: 4M's order. */
static tsr_status cut_ints(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x)
{
    tsr_crop crop;
    tsr_image cut = {0};
    if (im->channels != 1)
        TSR_FAIL(TSR_EFORMAT, "depth needs 1 channel; the picture has %zu", im->channels);
    TSR_TRY(tsr_view_crop(view, im->height, im->width, &crop));
    TSR_TRY(tsr_image_crop(im, &crop, &cut));
    int wide = im->pixel == TSR_PIXEL_U16 && g->depth.ints == PILLOW_9;
    tsr_status st = wide ? resize_wide(g, &cut, x) : resize_narrow(g, &cut, x);
    tsr_image_clear(&cut);
    for (size_t y = 0; st == TSR_OK && crop.flip && y < g->height; y++) {
        float *row = x + y * g->width;
        for (size_t a = 0, b = g->width - 1; a < b; a++, b--) {
            float swap = row[a];
            row[a] = row[b];
            row[b] = swap;
        }
    }
    return st;
}

/* Metres, or what the standardised form is made from. */
static tsr_status cut_metres(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x)
{
    tsr_image metres = {0}, cut = {0};
    tsr_status st = TSR_OK;
    if (g->depth.standardize && g->depth.ints != AS_METRES && im->pixel != TSR_PIXEL_F32)
        return cut_ints(g, im, view, x);
    TSR_GO(plane_of(im, g->depth.standardize ? 1.0 / 65535 : g->depth.scale_m, &metres));
    TSR_GO(tsr_pixels_cut(&metres, view, g->height, g->width, g->filter, &cut));
    memcpy(x, cut.data, g->height * g->width * sizeof *x);
out:
    tsr_image_clear(&metres);
    tsr_image_clear(&cut);
    return st;
}

static tsr_status prepare(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid)
{
    size_t n = g->height * g->width, measured = 0;
    TSR_TRY(cut_metres(g, im, view, x));
    if (!g->depth.standardize) {
        to_log(g, x, valid);
    } else {
        for (size_t p = 0; p < n; p++)
            valid[p] = (uint8_t)(isfinite(x[p]) != 0);
        for (size_t p = 0; p < n; p++)
            if (!valid[p])
                TSR_FAIL(TSR_ENUMERIC, "depth is not finite, and standardising cannot skip it");
        TSR_TRY(standardise(x, n));
    }
    for (size_t p = 0; p < n; p++)
        measured += valid[p];
    if (measured == 0)
        TSR_FAIL(TSR_ENUMERIC, "depth has no measured pixel in the crop");
    return TSR_OK;
}

static tsr_status give(const tsr_grid *g, const float *y, const uint8_t *valid, tsr_media *out)
{
    TSR_TRY(tsr_image_init(&out->as.image, g->height, g->width, 1, TSR_PIXEL_F32));
    out->kind = TSR_MEDIA_IMAGE;
    float *d = out->as.image.data, near = (float)g->depth.near_m;
    for (size_t p = 0; p < g->height * g->width; p++) {
        if (g->depth.standardize) {
            d[p] = y[p];
            continue;
        }
        float t = y[p] < -1 ? 0 : y[p] > 1 ? 1 : 0.5f * (y[p] + 1);
        d[p] = valid && !valid[p] ? 0 : near * expf(t * logf((float)g->depth.far_m / near));
    }
    return TSR_OK;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    return give(g, y, NULL, out);
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    return give(g, x, valid, out);
}

static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    const tsr_image *t = &target->as.image, *y = &got->as.image;
    size_t n = t->height * t->width;
    if (t->height != y->height || t->width != y->width || t->pixel != TSR_PIXEL_F32 ||
        y->pixel != TSR_PIXEL_F32)
        TSR_FAIL(TSR_EARG, "depth pictures to compare must be metres of one size");
    if (g->depth.standardize) {
        double sum = 0;
        for (size_t p = 0; p < n; p++)
            sum += fabs((double)((const float *)t->data)[p] - ((const float *)y->data)[p]);
        return tsr_json_set(into, "l1", json_real(sum / (double)n));
    }
    double absrel, delta1;
    TSR_TRY(tsr_depth_error(t->data, y->data, NULL, n, &absrel, &delta1));
    TSR_TRY(tsr_json_set(into, "absrel", json_real(absrel)));
    return tsr_json_set(into, "delta1", json_real(delta1));
}

const tsr_grid_rules tsr_depth_rules = {
    .range = "metres d as 2 log(d / near) / log(far / near) - 1 in [-1, 1]; d <= 0 is invalid; or "
             "standardised as 4M does",
    .loss = TSR_VQ_SMOOTH_L1,
    .configure = configure,
    .prepare = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

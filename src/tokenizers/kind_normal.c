/* SPDX-License-Identifier: Apache-2.0
 * Surface normals: unit vectors in camera space, stored as 8-bit colours (n * 0.5 + 0.5) * 255. */
#include "tokenizers/grid.h"

#include "base/mem.h"
#include "dsp/quality.h"
#include "tokenizers/pixels.h"

#include <math.h>
#include <string.h>

/* A stored colour this far from unit length is no normal: sky, or a hole. Rounding to 8 bits moves
 * the length by less than 0.01. */
#define SHORTEST 0.5f

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    static const char *const forms[] = {"unit", "stored", NULL};
    g->channels = 3;
    return tsr_setting_word(s, "vectors", forms, 0, &g->normal.raw);
}

/* Unit vectors from planes; those too short become zero. */
static void normalise(float *x, size_t n, uint8_t *valid)
{
    for (size_t p = 0; p < n; p++) {
        float a = x[p], b = x[n + p], c = x[2 * n + p];
        float length = sqrtf(a * a + b * b + c * c);
        int good = length >= SHORTEST;
        for (size_t k = 0; k < 3; k++)
            x[k * n + p] = good ? x[k * n + p] / length : 0.0f;
        if (valid)
            valid[p] = (uint8_t)good;
    }
}

static tsr_status prepare(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid)
{
    tsr_image plain = {0}, cut = {0};
    tsr_status st = TSR_OK;
    size_t n = g->height * g->width;
    if (im->channels < 3)
        TSR_FAIL(TSR_EFORMAT, "surface normals need 3 channels; the picture has %zu", im->channels);
    TSR_GO(tsr_pixels_8bit(im, 3, &g->background, &plain));
    TSR_GO(tsr_pixels_cut(&plain, view, g->height, g->width, g->filter, &cut));
    /* Mirroring the picture mirrors the vectors' x. */
    for (size_t p = 0; view && view->crop.flip && p < n; p++)
        ((uint8_t *)cut.data)[3 * p] = (uint8_t)(255 - ((const uint8_t *)cut.data)[3 * p]);
    tsr_pixels_to_planes(&cut, x);
    if (g->normal.raw)
        memset(valid, 1, n);
    else
        normalise(x, n, valid);
out:
    tsr_image_clear(&plain);
    tsr_image_clear(&cut);
    return st;
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    (void)valid;
    TSR_TRY(tsr_pixels_from_planes(x, 3, g->height, g->width, &out->as.image));
    out->kind = TSR_MEDIA_IMAGE;
    return TSR_OK;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    size_t n = g->height * g->width;
    float *unit;
    if (g->normal.raw)
        return restore(g, y, NULL, out);
    TSR_TRY(tsr_alloc(&unit, 3 * n, sizeof *unit));
    for (size_t i = 0; i < 3 * n; i++)
        unit[i] = y[i];
    /* A decoder always answers with a direction, however short its vector. */
    for (size_t p = 0; p < n; p++) {
        float a = unit[p], b = unit[n + p], c = unit[2 * n + p];
        float length = sqrtf(a * a + b * b + c * c);
        for (size_t k = 0; k < 3 && length > 0; k++)
            unit[k * n + p] /= length;
    }
    tsr_status st = tsr_pixels_from_planes(unit, 3, g->height, g->width, &out->as.image);
    tsr_free(unit);
    if (st == TSR_OK)
        out->kind = TSR_MEDIA_IMAGE;
    return st;
}

/* [H, W, 3] vectors from a stored picture; what is no normal becomes zero. */
static tsr_status vectors(const tsr_image *im, float **out)
{
    size_t n = im->height * im->width;
    float *planes = NULL, *v = NULL;
    tsr_status st = TSR_OK;
    if (im->channels != 3 || im->pixel != TSR_PIXEL_U8)
        TSR_FAIL(TSR_EARG, "surface normals are 8-bit pictures of 3 channels");
    TSR_GO(tsr_alloc(&planes, 3 * n, sizeof *planes));
    TSR_GO(tsr_alloc(&v, 3 * n, sizeof *v));
    tsr_pixels_to_planes(im, planes);
    normalise(planes, n, NULL);
    for (size_t p = 0; p < n; p++)
        for (size_t k = 0; k < 3; k++)
            v[3 * p + k] = planes[k * n + p];
    *out = v;
    v = NULL;
out:
    tsr_free(planes);
    tsr_free(v);
    return st;
}

static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    (void)g;
    float *a = NULL, *b = NULL;
    double degrees;
    tsr_status st = TSR_OK;
    const tsr_image *t = &target->as.image, *y = &got->as.image;
    if (t->height != y->height || t->width != y->width)
        TSR_FAIL(TSR_EARG, "normals of %zu x %zu against %zu x %zu", t->width, t->height, y->width,
                 y->height);
    TSR_GO(vectors(t, &a));
    TSR_GO(vectors(y, &b));
    TSR_GO(tsr_angle_error(a, b, t->height * t->width, &degrees));
    TSR_GO(tsr_json_set(into, "angle_deg", json_real(degrees)));
out:
    tsr_free(a);
    tsr_free(b);
    return st;
}

const tsr_grid_rules tsr_normal_rules = {
    .range = "unit vectors in camera space, each component in [-1, 1]; mirrored pictures negate x; "
             "vectors shorter than 0.5 are invalid; or, as published files have it, "
             "(v / 255 - 0.5) / 0.5 of any length",
    .loss = TSR_VQ_MSE,
    .configure = configure,
    .prepare = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

/* SPDX-License-Identifier: Apache-2.0
 * Label maps: one class a pixel (semantic classes, masks). Never interpolated. */
#include "tokenizers/grid.h"

#include "base/mem.h"
#include "dsp/quality.h"
#include "tokenizers/pixels.h"

#include <string.h>

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    long long classes, shift;
    TSR_TRY(tsr_setting_int(s, "classes", 2, 2, 65535, &classes));
    TSR_TRY(tsr_setting_int(s, "shift", 0, 0, 1, &shift));
    TSR_TRY(tsr_setting_int(s, "ignore", -1, -1, 65535, &g->label.ignore));
    TSR_TRY(tsr_setting_bool(s, "binary", 0, &g->label.binary));
    g->channels = 1;
    g->classes = (size_t)classes;
    g->label.shift = (int)shift;
    g->filter = TSR_FILTER_NEAREST;
    return TSR_OK;
}

static unsigned stored(const tsr_image *im, size_t p)
{
    return im->pixel == TSR_PIXEL_U8 ? ((const uint8_t *)im->data)[p]
                                     : ((const uint16_t *)im->data)[p];
}

/* 1 for pixels of the picture, 0 for those that the crop has beyond it. */
static tsr_status cut_inside(const tsr_grid *g, const tsr_image *im, const tsr_view *view,
                             tsr_image *out)
{
    tsr_image whole = {0};
    TSR_TRY(tsr_image_init(&whole, im->height, im->width, 1, TSR_PIXEL_U8));
    memset(whole.data, 1, im->height * im->width);
    tsr_status st = tsr_pixels_cut(&whole, view, g->height, g->width, TSR_FILTER_NEAREST, out);
    tsr_image_clear(&whole);
    return st;
}

static tsr_status prepare(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid)
{
    tsr_image cut = {0}, inside = {0};
    tsr_status st = TSR_OK;
    unsigned wrap = im->pixel == TSR_PIXEL_U8 ? 256 : 65536;
    if (im->channels != 1 || im->pixel == TSR_PIXEL_F32)
        TSR_FAIL(TSR_EFORMAT, "a label map needs one channel of whole numbers; this picture has "
                              "%zu channels%s", im->channels,
                 im->pixel == TSR_PIXEL_F32 ? " of floats" : "");
    TSR_GO(tsr_pixels_cut(im, view, g->height, g->width, TSR_FILTER_NEAREST, &cut));
    if (g->label.shift)
        TSR_GO(cut_inside(g, im, view, &inside));
    for (size_t p = 0; p < g->height * g->width; p++) {
        unsigned v = stored(&cut, p);
        valid[p] = (long long)v != g->label.ignore;
        v = g->label.binary ? v != 0 : v;
        /* 4M: 255 (unlabelled) wraps to class 0 and all others move up by one, then it cuts: what
         * lies beyond the picture is class 0 as well. */
        v = !g->label.shift ? v : ((const uint8_t *)inside.data)[p] ? (v + 1) % wrap : 0;
        v = valid[p] ? v : 0;
        if (v >= g->classes)
            TSR_GOFAIL(TSR_EFORMAT, "label %u at pixel (%zu, %zu); there are %zu classes", v,
                       p % g->width, p / g->width, g->classes);
        x[p] = (float)v;
    }
out:
    tsr_image_clear(&cut);
    tsr_image_clear(&inside);
    return st;
}

/* A picture of class indices as files store them. */
static tsr_status give(const tsr_grid *g, const uint32_t *classes, tsr_media *out)
{
    unsigned top = g->label.shift ? 256 : (unsigned)g->classes;
    tsr_pixel pixel = top <= 256 ? TSR_PIXEL_U8 : TSR_PIXEL_U16;
    TSR_TRY(tsr_image_init(&out->as.image, g->height, g->width, 1, pixel));
    out->kind = TSR_MEDIA_IMAGE;
    for (size_t p = 0; p < g->height * g->width; p++) {
        uint32_t v = classes[p] - (uint32_t)g->label.shift;
        if (pixel == TSR_PIXEL_U8)
            ((uint8_t *)out->as.image.data)[p] = (uint8_t)v;
        else
            ((uint16_t *)out->as.image.data)[p] = (uint16_t)v;
    }
    return TSR_OK;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    size_t n = g->height * g->width;
    uint32_t *classes;
    TSR_TRY(tsr_alloc(&classes, n, sizeof *classes));
    for (size_t p = 0; p < n; p++)
        for (size_t k = 1; k < g->classes; k++)
            if (y[k * n + p] > y[classes[p] * n + p])
                classes[p] = (uint32_t)k;
    tsr_status st = give(g, classes, out);
    tsr_free(classes);
    return st;
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    size_t n = g->height * g->width;
    uint32_t *classes;
    (void)valid;
    TSR_TRY(tsr_alloc(&classes, n, sizeof *classes));
    for (size_t p = 0; p < n; p++)
        classes[p] = (uint32_t)x[p];
    tsr_status st = give(g, classes, out);
    tsr_free(classes);
    return st;
}

static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    const tsr_image *t = &target->as.image, *y = &got->as.image;
    size_t n = t->height * t->width;
    uint32_t *a = NULL, *b = NULL;
    double miou, accuracy;
    tsr_status st = TSR_OK;
    if (t->height != y->height || t->width != y->width || t->pixel != y->pixel)
        TSR_FAIL(TSR_EARG, "label maps to compare must have one size and depth");
    TSR_GO(tsr_alloc(&a, n, sizeof *a));
    TSR_GO(tsr_alloc(&b, n, sizeof *b));
    for (size_t p = 0; p < n; p++) {
        a[p] = stored(t, p);
        b[p] = stored(y, p);
    }
    TSR_GO(tsr_miou(a, b, n, g->label.shift ? 65536 : (uint32_t)g->classes, &miou, &accuracy));
    TSR_GO(tsr_json_set(into, "miou", json_real(miou)));
    TSR_GO(tsr_json_set(into, "accuracy", json_real(accuracy)));
out:
    tsr_free(a);
    tsr_free(b);
    return st;
}

const tsr_grid_rules tsr_label_rules = {
    .range = "class indices below \"classes\", resized by nearest neighbour, never interpolated",
    .loss = TSR_VQ_CROSS_ENTROPY,
    .configure = configure,
    .prepare = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

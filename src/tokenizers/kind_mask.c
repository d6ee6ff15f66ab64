/* SPDX-License-Identifier: Apache-2.0
 * Masks of single things, as 4M's "sam_mask": 1 on the thing and 0 beside it, resized by nearest
 * neighbour; a decoder's answers are cut in two. */
#include "tokenizers/grid.h"

#include "tokenizers/pixels.h"

#include <string.h>

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    static const char *const answers[] = {"shares", "logits", NULL};
    g->channels = 1;
    g->filter = TSR_FILTER_NEAREST;
    /* What the decoder was trained to say: 0..1, or as published x of 1 / (1 + exp(-x)). */
    return tsr_setting_word(s, "answers", answers, 0, &g->mask.logits);
}

static tsr_status prepare(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid)
{
    tsr_image cut = {0};
    if (im->channels != 1 || im->pixel == TSR_PIXEL_F32)
        TSR_FAIL(TSR_EFORMAT, "a mask has one channel of whole numbers; this picture has %zu%s",
                 im->channels, im->pixel == TSR_PIXEL_F32 ? ", of floats" : "");
    TSR_TRY(tsr_pixels_cut(im, view, g->height, g->width, TSR_FILTER_NEAREST, &cut));
    for (size_t p = 0; p < g->height * g->width; p++)
        x[p] = tsr_image_component(&cut, p) > 0;
    memset(valid, 1, g->height * g->width);
    tsr_image_clear(&cut);
    return TSR_OK;
}

static tsr_status give(const tsr_grid *g, const float *y, float middle, tsr_media *out)
{
    TSR_TRY(tsr_image_init(&out->as.image, g->height, g->width, 1, TSR_PIXEL_U8));
    out->kind = TSR_MEDIA_IMAGE;
    for (size_t p = 0; p < g->height * g->width; p++)
        ((uint8_t *)out->as.image.data)[p] = y[p] > middle ? 255 : 0;
    return TSR_OK;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    return give(g, y, g->mask.logits ? 0.0f : 0.5f, out);
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    (void)valid;
    return give(g, x, 0.5f, out);
}

/* iou: pixels that both have, of those that either has; 1 when both are empty. */
static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    const tsr_image *a = &target->as.image, *b = &got->as.image;
    size_t both = 0, either = 0;
    (void)g;
    if (a->height != b->height || a->width != b->width)
        TSR_FAIL(TSR_EARG, "masks to compare must have one size");
    for (size_t p = 0; p < a->height * a->width; p++) {
        int u = tsr_image_component(a, p) > 0, v = tsr_image_component(b, p) > 0;
        both += (size_t)(u && v);
        either += (size_t)(u || v);
    }
    return tsr_json_set(into, "iou", json_real(either ? (double)both / (double)either : 1));
}

const tsr_grid_rules tsr_mask_rules = {
    .range = "1 where the mask is not 0, else 0, resized by nearest neighbour",
    .loss = TSR_VQ_MSE,
    .configure = configure,
    .prepare = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

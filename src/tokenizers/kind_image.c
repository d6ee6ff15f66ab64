/* SPDX-License-Identifier: Apache-2.0
 * Pictures: 8-bit colour or grey, in [-1, 1] for the network. */
#include "tokenizers/grid.h"

#include "dsp/quality.h"
#include "tokenizers/pixels.h"

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    long long channels;
    TSR_TRY(tsr_setting_int(s, "channels", 3, 1, 3, &channels));
    if (channels == 2)
        TSR_FAIL(TSR_ECONFIG, "%s: \"channels\" of a picture is 1 or 3", s->origin);
    g->channels = (size_t)channels;
    return TSR_OK;
}

static tsr_status prepare(const tsr_grid *g, const tsr_image *im, const tsr_view *view, float *x,
                          uint8_t *valid)
{
    tsr_image plain = {0}, cut = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_pixels_8bit(im, g->channels, &g->background, &plain));
    TSR_GO(tsr_pixels_cut(&plain, view, g->height, g->width, g->filter, &cut));
    tsr_pixels_to_planes(&cut, x);
    for (size_t p = 0; p < g->height * g->width; p++)
        valid[p] = 1;
out:
    tsr_image_clear(&plain);
    tsr_image_clear(&cut);
    return st;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    TSR_TRY(tsr_pixels_from_planes(y, g->channels, g->height, g->width, &out->as.image));
    out->kind = TSR_MEDIA_IMAGE;
    return TSR_OK;
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    (void)valid;
    return finish(g, x, out);
}

static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    (void)g;
    double psnr, ssim;
    TSR_TRY(tsr_psnr(&target->as.image, &got->as.image, &psnr));
    TSR_TRY(tsr_ssim(&target->as.image, &got->as.image, &ssim));
    TSR_TRY(tsr_json_set(into, "psnr_db", json_real(psnr)));
    return tsr_json_set(into, "ssim", json_real(ssim));
}

const tsr_grid_rules tsr_image_rules = {
    .range = "8-bit values v as (v / 255 - 0.5) / 0.5 in [-1, 1]; alpha over the background, "
             "or dropped",
    .loss = TSR_VQ_MSE,
    .configure = configure,
    .prepare = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

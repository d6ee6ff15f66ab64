/* SPDX-License-Identifier: Apache-2.0
 * Random-resized crops. */
#include "pipeline/crops.h"

#include "codecs/codec.h"

#include <math.h>

#define TRIES 10

static const double narrowest = 3.0 / 4, widest = 4.0 / 3;

static tsr_crop fallback(size_t height, size_t width)
{
    double shape = (double)width / (double)height;
    size_t h = height, w = width;
    if (shape < narrowest)
        h = (size_t)lrint((double)width / narrowest);
    else if (shape > widest)
        w = (size_t)lrint((double)height * widest);
    h = h > height ? height : h < 1 ? 1 : h;
    w = w > width ? width : w < 1 ? 1 : w;
    return (tsr_crop){(int32_t)((height - h) / 2), (int32_t)((width - w) / 2), (int32_t)h,
                      (int32_t)w, 0};
}

static tsr_crop draw(size_t height, size_t width, double min_scale, tsr_rng *rng)
{
    double area = (double)height * (double)width;
    for (int i = 0; i < TRIES; i++) {
        double target = area * (min_scale + (1 - min_scale) * tsr_rng_double(rng));
        double shape = exp(log(narrowest) + (log(widest) - log(narrowest)) * tsr_rng_double(rng));
        long w = lrint(sqrt(target * shape)), h = lrint(sqrt(target / shape));
        if (w <= 0 || h <= 0 || (size_t)w > width || (size_t)h > height)
            continue;
        int32_t top = (int32_t)tsr_rng_below(rng, (uint32_t)(height - (size_t)h + 1));
        int32_t left = (int32_t)tsr_rng_below(rng, (uint32_t)(width - (size_t)w + 1));
        return (tsr_crop){top, left, (int32_t)h, (int32_t)w, 0};
    }
    return fallback(height, width);
}

tsr_crop tsr_crop_random(size_t height, size_t width, double min_scale, int flips, tsr_rng *rng)
{
    tsr_crop c = draw(height, width, min_scale, rng);
    c.flip = flips ? (int32_t)tsr_rng_below(rng, 2) : 0;
    return c;
}

/* ---- stored crops ----------------------------------------------------------------------------*/

static tsr_status row_of(const float *v, const char *origin, size_t row, tsr_crop *out)
{
    for (size_t k = 0; k < 5; k++)
        if (v[k] != floorf(v[k]) || fabsf(v[k]) > 1e6f)
            TSR_FAIL(TSR_EFORMAT, "%s: crop %zu: %g is no number of pixels", origin, row, v[k]);
    if (v[2] < 1 || v[3] < 1 || (v[4] != 0 && v[4] != 1))
        TSR_FAIL(
            TSR_EFORMAT,
            "%s: crop %zu is %g, %g, %g, %g, %g; expected top, left, height and width above 0, "
            "and 0 or 1 for mirrored",
            origin, row, v[0], v[1], v[2], v[3], v[4]);
    *out = (tsr_crop){(int32_t)v[0], (int32_t)v[1], (int32_t)v[2], (int32_t)v[3], (int32_t)v[4]};
    return TSR_OK;
}

tsr_status tsr_crops_of_array(const tsr_media *m, const char *origin, tsr_crop *crops, size_t *n)
{
    if (m->kind != TSR_MEDIA_VECTOR || m->as.vector.dims != 2 || m->as.vector.shape[1] != 5)
        TSR_FAIL(TSR_EFORMAT, "%s: is no array of crops [k, 5]", origin);
    size_t rows = m->as.vector.shape[0];
    if (rows > TSR_MAX_CROPS)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu crops; at most %d are read", origin, rows, TSR_MAX_CROPS);
    for (size_t i = 0; i < rows; i++)
        TSR_TRY(row_of(m->as.vector.data + 5 * i, origin, i, &crops[i]));
    *n = rows;
    return TSR_OK;
}

tsr_status tsr_crops_read(const char *path, tsr_crop *crops, size_t *n)
{
    const tsr_read_options options = {.as_vector = 1};
    tsr_media m;
    TSR_TRY(tsr_media_read(path, &options, &m));
    tsr_status st = tsr_crops_of_array(&m, path, crops, n);
    tsr_media_clear(&m);
    return st;
}

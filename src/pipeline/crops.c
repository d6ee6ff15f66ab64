/* SPDX-License-Identifier: Apache-2.0
 * Random-resized crops. */
#include "pipeline/crops.h"

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
        double shape =
            exp(log(narrowest) + (log(widest) - log(narrowest)) * tsr_rng_double(rng));
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

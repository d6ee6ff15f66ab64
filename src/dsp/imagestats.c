/* SPDX-License-Identifier: Apache-2.0
 * Measured fields of a picture, in one pass with exact integer sums. */
#include "dsp/imagestats.h"

#include <math.h>

/* Sums over the pixels; rg = R - G, yb2 = R + G - 2B. */
typedef struct sums {
    uint64_t histogram[256];
    uint64_t saturation_milli; /* 1000 times, rounded, so that the sum is exact */
    int64_t rg, rg_squares, yb2, yb2_squares;
} sums;

static int component(const tsr_image *im, size_t i)
{
    return im->pixel == TSR_PIXEL_U8 ? ((const uint8_t *)im->data)[i]
                                     : ((const uint16_t *)im->data)[i] >> 8;
}

static void add_pixel(sums *s, int r, int g, int b)
{
    /* Pillow's L: 16-bit fixed point, rounded. */
    s->histogram[(r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16]++;
    int max = r > g ? r : g, min = r < g ? r : g;
    max = b > max ? b : max;
    min = b < min ? b : min;
    if (max > 0)
        s->saturation_milli += (uint64_t)((255000 * (max - min) + max / 2) / max);
    int rg = r - g, yb2 = r + g - 2 * b;
    s->rg += rg;
    s->rg_squares += rg * rg;
    s->yb2 += yb2;
    s->yb2_squares += yb2 * yb2;
}

static double variance(double sum, double squares, double n)
{
    double v = squares / n - (sum / n) * (sum / n);
    return v > 0 ? v : 0;
}

static void luma_stats(const sums *s, double n, tsr_imagestats *out)
{
    double sum = 0, squares = 0, entropy = 0;
    for (int v = 0; v < 256; v++) {
        double c = (double)s->histogram[v];
        sum += c * v;
        squares += c * v * v;
        if (c > 0)
            entropy -= c / n * log2(c / n);
    }
    out->brightness = sum / n;
    out->contrast = sqrt(variance(sum, squares, n));
    out->entropy = entropy > 0 ? entropy : 0;
}

tsr_status tsr_image_measure(const tsr_image *im, tsr_imagestats *out)
{
    if (im->pixel == TSR_PIXEL_F32)
        TSR_FAIL(TSR_EARG, "brightness and colour are measured on 8- and 16-bit pictures only");
    sums s = {0};
    size_t n = im->height * im->width, ch = im->channels;
    int colour = ch >= 3;
    for (size_t i = 0; i < n; i++) {
        int r = component(im, i * ch);
        int g = colour ? component(im, i * ch + 1) : r;
        int b = colour ? component(im, i * ch + 2) : r;
        add_pixel(&s, r, g, b);
    }
    double m = (double)n;
    luma_stats(&s, m, out);
    out->saturation = (double)s.saturation_milli / 1000.0 / m;
    double rg = (double)s.rg / m, yb = (double)s.yb2 / 2 / m;
    double spread = variance((double)s.rg, (double)s.rg_squares, m) +
                    variance((double)s.yb2, (double)s.yb2_squares, m) / 4;
    out->colorfulness = sqrt(spread) + 0.3 * sqrt(rg * rg + yb * yb);
    return TSR_OK;
}

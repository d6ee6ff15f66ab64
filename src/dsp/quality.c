/* SPDX-License-Identifier: Apache-2.0
 * Figures of merit. */
#include "dsp/quality.h"

#include "base/mem.h"
#include "dsp/oklab.h"

#include <math.h>
#include <string.h>

#define PSNR_CEILING 100.0
#define SNR_CEILING  200.0

static tsr_status check_pair(const tsr_image *a, const tsr_image *b)
{
    if (a->height != b->height || a->width != b->width || a->channels != b->channels ||
        a->pixel != b->pixel)
        TSR_FAIL(TSR_EARG, "cannot compare a picture of %zux%zux%zu with one of %zux%zux%zu",
                 a->width, a->height, a->channels, b->width, b->height, b->channels);
    return TSR_OK;
}

static double item(const tsr_image *im, size_t i)
{
    if (im->pixel == TSR_PIXEL_U8)
        return ((const uint8_t *)im->data)[i];
    if (im->pixel == TSR_PIXEL_U16)
        return ((const uint16_t *)im->data)[i];
    return ((const float *)im->data)[i];
}

static double peak(const tsr_image *im)
{
    return im->pixel == TSR_PIXEL_U8 ? 255 : im->pixel == TSR_PIXEL_U16 ? 65535 : 1;
}

tsr_status tsr_psnr(const tsr_image *target, const tsr_image *got, double *db)
{
    TSR_TRY(check_pair(target, got));
    size_t n = target->height * target->width * target->channels;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = item(target, i) - item(got, i);
        sum += d * d;
    }
    if (!isfinite(sum))
        TSR_FAIL(TSR_ENUMERIC, "a picture holds a value that is not finite");
    double p = peak(target);
    double v = sum > 0 ? 10 * log10(p * p * (double)n / sum) : PSNR_CEILING;
    *db = v < PSNR_CEILING ? v : PSNR_CEILING;
    return TSR_OK;
}

/* ---- structural similarity --------------------------------------------------------------------*/

#define SSIM_WINDOW 11
#define SSIM_SIGMA  1.5

typedef struct ssim_window {
    size_t size;
    double weight[SSIM_WINDOW];
} ssim_window;

static ssim_window make_window(const tsr_image *im)
{
    size_t side = im->height < im->width ? im->height : im->width;
    ssim_window w = {.size = side >= SSIM_WINDOW ? SSIM_WINDOW : side - (side % 2 == 0)};
    double sum = 0, middle = (double)(w.size / 2);
    for (size_t i = 0; i < w.size; i++) {
        double d = ((double)i - middle) / SSIM_SIGMA;
        w.weight[i] = exp(-0.5 * d * d);
        sum += w.weight[i];
    }
    for (size_t i = 0; i < w.size; i++)
        w.weight[i] /= sum;
    return w;
}

/* Five moments of each place of a row of windows: means of x, y, xx, yy, xy. `columns`
 * [5, width] is scratch: the moments of window columns starting at row y. */
static void column_moments(const tsr_image *a, const tsr_image *b, size_t y, size_t channel,
                           const ssim_window *w, double *columns)
{
    size_t width = a->width, ch = a->channels;
    memset(columns, 0, 5 * width * sizeof *columns);
    for (size_t j = 0; j < w->size; j++)
        for (size_t x = 0; x < width; x++) {
            size_t at = ((y + j) * width + x) * ch + channel;
            double p = item(a, at), q = item(b, at), k = w->weight[j];
            columns[x] += k * p;
            columns[width + x] += k * q;
            columns[2 * width + x] += k * p * p;
            columns[3 * width + x] += k * q * q;
            columns[4 * width + x] += k * p * q;
        }
}

static double place_ssim(const double *columns, size_t width, size_t x, const ssim_window *w,
                         double range)
{
    double m[5] = {0};
    for (int k = 0; k < 5; k++)
        for (size_t j = 0; j < w->size; j++)
            m[k] += w->weight[j] * columns[(size_t)k * width + x + j];
    double c1 = 0.01 * range * 0.01 * range, c2 = 0.03 * range * 0.03 * range;
    double va = m[2] - m[0] * m[0], vb = m[3] - m[1] * m[1], cov = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + c1) * (2 * cov + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (va + vb + c2));
}

tsr_status tsr_ssim(const tsr_image *target, const tsr_image *got, double *ssim)
{
    TSR_TRY(check_pair(target, got));
    ssim_window w = make_window(target);
    double *columns = NULL, sum = 0;
    TSR_TRY(tsr_alloc(&columns, 5 * target->width, sizeof *columns));
    size_t rows = target->height - w.size + 1, across = target->width - w.size + 1;
    for (size_t c = 0; c < target->channels; c++)
        for (size_t y = 0; y < rows; y++) {
            double row = 0;
            column_moments(target, got, y, c, &w, columns);
            for (size_t x = 0; x < across; x++)
                row += place_ssim(columns, target->width, x, &w, peak(target));
            sum += row;
        }
    tsr_free(columns);
    if (!isfinite(sum))
        TSR_FAIL(TSR_ENUMERIC, "a picture holds a value that is not finite");
    *ssim = sum / (double)(rows * across * target->channels);
    return TSR_OK;
}

/* ---- depth, normals, labels -------------------------------------------------------------------*/

tsr_status tsr_depth_error(const float *target, const float *got, const uint8_t *valid, size_t n,
                           double *absrel, double *delta1)
{
    double sum = 0;
    size_t count = 0, close = 0;
    for (size_t i = 0; i < n; i++) {
        double t = target[i], d = got[i];
        if (valid ? !valid[i] : !(t > 0))
            continue;
        if (!(t > 0) || !isfinite(t) || !isfinite(d))
            TSR_FAIL(TSR_ENUMERIC, "depth %g against %g at place %zu", d, t, i);
        sum += fabs(d - t) / t;
        close += d > 0 && d < 1.25 * t && t < 1.25 * d;
        count++;
    }
    if (count == 0)
        TSR_FAIL(TSR_ENUMERIC, "no valid depth among %zu places", n);
    *absrel = sum / (double)count;
    *delta1 = (double)close / (double)count;
    return TSR_OK;
}

static double length3(const float *v)
{
    return sqrt((double)v[0] * v[0] + (double)v[1] * v[1] + (double)v[2] * v[2]);
}

static double angle(const float *a, const float *b, double size_a, double size_b)
{
    /* atan2 keeps its accuracy for small angles, where acos loses half the digits. */
    double x = (double)a[1] * b[2] - (double)a[2] * b[1];
    double y = (double)a[2] * b[0] - (double)a[0] * b[2];
    double z = (double)a[0] * b[1] - (double)a[1] * b[0];
    double dot = (double)a[0] * b[0] + (double)a[1] * b[1] + (double)a[2] * b[2];
    if (size_b <= 0 || size_a <= 0)
        return 90;
    return atan2(sqrt(x * x + y * y + z * z), dot) * 57.29577951308232;
}

tsr_status tsr_angle_error(const float *target, const float *got, size_t n, double *degrees)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        double t = length3(target + 3 * i), g = length3(got + 3 * i);
        if (!isfinite(t) || !isfinite(g))
            TSR_FAIL(TSR_ENUMERIC, "vector %zu is not finite", i);
        if (t <= 0)
            continue;
        sum += angle(target + 3 * i, got + 3 * i, t, g);
        count++;
    }
    if (count == 0)
        TSR_FAIL(TSR_ENUMERIC, "no vector to compare among %zu", n);
    *degrees = sum / (double)count;
    return TSR_OK;
}

tsr_status tsr_miou(const uint32_t *target, const uint32_t *got, size_t n, uint32_t classes,
                    double *miou, double *accuracy)
{
    if (n == 0 || classes == 0)
        TSR_FAIL(TSR_EARG, "%zu labels of %u classes cannot be compared", n, classes);
    uint64_t *counts = NULL; /* [classes, 3]: in both, in the target, in the result */
    TSR_TRY(tsr_alloc(&counts, (size_t)classes * 3, sizeof *counts));
    tsr_status st = TSR_OK;
    uint64_t same = 0;
    for (size_t i = 0; i < n; i++) {
        if (target[i] >= classes || got[i] >= classes)
            TSR_GOFAIL(TSR_EARG, "label %u against %u at place %zu; there are %u classes", got[i],
                       target[i], i, classes);
        counts[3 * (size_t)target[i] + 1]++;
        counts[3 * (size_t)got[i] + 2]++;
        if (target[i] == got[i]) {
            counts[3 * (size_t)target[i]]++;
            same++;
        }
    }
    double sum = 0;
    uint32_t present = 0;
    for (uint32_t c = 0; c < classes; c++) {
        const uint64_t *k = counts + 3 * (size_t)c;
        uint64_t either = k[1] + k[2] - k[0];
        if (either == 0)
            continue;
        sum += (double)k[0] / (double)either;
        present++;
    }
    *miou = sum / present;
    *accuracy = (double)same / (double)n;
out:
    tsr_free(counts);
    return st;
}

/* ---- sound and colour -------------------------------------------------------------------------*/

tsr_status tsr_mel_distance(const float *target, const float *got, size_t n, double *db)
{
    if (n == 0)
        TSR_FAIL(TSR_EARG, "no log-mel values to compare");
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)target[i] - got[i]);
    if (!isfinite(sum))
        TSR_FAIL(TSR_ENUMERIC, "a log-mel value is not finite");
    *db = 4.342944819032518 * sum / (double)n;
    return TSR_OK;
}

tsr_status tsr_mean_delta_e(const tsr_image *target, const tsr_image *got, double *delta_e)
{
    TSR_TRY(check_pair(target, got));
    if (target->pixel != TSR_PIXEL_U8)
        TSR_FAIL(TSR_EARG, "colour differences are measured on 8-bit pictures");
    size_t n = target->height * target->width, ch = target->channels;
    size_t g = ch >= 3 ? 1 : 0, b = ch >= 3 ? 2 : 0;
    const uint8_t *p = target->data, *q = got->data;
    double sum = 0;
    for (size_t i = 0; i < n; i++, p += ch, q += ch) {
        const uint8_t one[3] = {p[0], p[g], p[b]}, two[3] = {q[0], q[g], q[b]};
        if (memcmp(one, two, 3) != 0)
            sum += tsr_delta_e(one, two);
    }
    *delta_e = sum / (double)n;
    return TSR_OK;
}

tsr_status tsr_snr(const float *target, const float *got, size_t n, double *db)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)target[i] - got[i];
        signal += (double)target[i] * target[i];
        noise += d * d;
    }
    if (!isfinite(signal) || !isfinite(noise))
        TSR_FAIL(TSR_ENUMERIC, "a sample is not finite");
    if (!(signal > 0))
        TSR_FAIL(TSR_EARG, "the target of a signal to noise ratio is silent");
    double v = noise > 0 ? 10 * log10(signal / noise) : SNR_CEILING;
    *db = v < SNR_CEILING ? v : SNR_CEILING;
    return TSR_OK;
}

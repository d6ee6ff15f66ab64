/* SPDX-License-Identifier: Apache-2.0
 * Rate conversion by a windowed sinc, one row of taps for each of the `up` phases. */
#include "dsp/soundrate.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define CROSSINGS   64                /* zero crossings of the sinc a side */
#define KAISER_BETA 12.265            /* 0.1102 (120 dB - 8.7): Kaiser 1974 */
#define ROLL_OFF    0.938             /* middle of the transition, so that it ends at Nyquist */
#define MAX_TABLE   ((size_t)1 << 23) /* items; odd ratios compute each row when it is needed */
#define PI          3.14159265358979323846

typedef struct converter {
    uint64_t up, down; /* to / from in lowest terms */
    double cutoff;     /* of the sinc, share of the input's Nyquist frequency */
    double half;       /* half width of the taps, input samples */
    size_t taps;
    double *rows; /* [up, taps], or [1, taps] when that is too large */
    int whole;    /* rows holds all phases */
} converter;

static double bessel_i0(double x)
{
    double term = 1, sum = 1;
    for (int k = 1; k < 64 && term > sum * 1e-17; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

static double kernel(const converter *c, double t)
{
    double u = t / c->half;
    if (u <= -1 || u >= 1)
        return 0;
    double a = PI * c->cutoff * t;
    double sinc = fabs(a) < 1e-12 ? 1 : sin(a) / a;
    return sinc * bessel_i0(KAISER_BETA * sqrt(1 - u * u));
}

/* Taps of an output that lies phase / up input samples after the sample that tap `taps/2 - 1`
 * weighs; their sum is 1. */
static void fill_row(const converter *c, uint64_t phase, double *row)
{
    double offset = (double)phase / (double)c->up, sum = 0;
    for (size_t j = 0; j < c->taps; j++) {
        row[j] = kernel(c, (double)j - (double)(c->taps / 2 - 1) - offset);
        sum += row[j];
    }
    for (size_t j = 0; j < c->taps; j++)
        row[j] /= sum;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static tsr_status check_rate(double hz)
{
    if (!(hz >= 1 && hz <= 768000) || hz != floor(hz))
        TSR_FAIL(TSR_EARG, "a sampling rate of %g Hz cannot be converted (whole, 1..768000)", hz);
    return TSR_OK;
}

tsr_status tsr_soundrate_frames(size_t n, double from_hz, double to_hz, size_t *out)
{
    TSR_TRY(check_rate(from_hz));
    TSR_TRY(check_rate(to_hz));
    uint64_t from = (uint64_t)from_hz, to = (uint64_t)to_hz, g = divisor(from, to);
    size_t product;
    TSR_TRY(tsr_mul_size(n, (size_t)(to / g), &product));
    size_t down = (size_t)(from / g);
    *out = product / down + (product % down != 0);
    return TSR_OK;
}

static tsr_status converter_init(converter *c, uint64_t from, uint64_t to)
{
    uint64_t g = divisor(from, to);
    *c = (converter){.up = to / g, .down = from / g};
    c->cutoff = ROLL_OFF * (c->up < c->down ? (double)c->up / (double)c->down : 1.0);
    c->half = CROSSINGS / c->cutoff;
    c->taps = 2 * ((size_t)ceil(c->half) + 1);
    c->whole = c->up <= MAX_TABLE / c->taps;
    size_t rows = c->whole ? (size_t)c->up : 1;
    TSR_TRY(tsr_alloc(&c->rows, rows * c->taps, sizeof *c->rows));
    for (size_t p = 0; p < rows && c->whole; p++)
        fill_row(c, p, c->rows + p * c->taps);
    return TSR_OK;
}

/* Four running sums, so that the order of additions is fixed and still fast. */
static double weighted_sum(const double *w, const float *x, size_t n)
{
    double sum[4] = {0};
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += w[j + k] * x[j + k];
    for (; j < n; j++)
        sum[0] += w[j] * x[j];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static float one_sample(const converter *c, const float *x, size_t n, size_t i)
{
    /* i * down may not overflow: i < 2^63 / down for any sound that fits in memory. */
    uint64_t at = (uint64_t)i * c->down;
    uint64_t phase = at % c->up;
    int64_t first = (int64_t)(at / c->up) - (int64_t)(c->taps / 2 - 1);
    const double *row = c->rows + (c->whole ? phase * c->taps : 0);
    if (!c->whole)
        fill_row(c, phase, c->rows);
    size_t lo = first < 0 ? (size_t)-first : 0;
    size_t hi = c->taps;
    if (first + (int64_t)hi > (int64_t)n)
        hi = (int64_t)n > first ? (size_t)((int64_t)n - first) : 0;
    return (float)weighted_sum(row + lo, x + (first + (int64_t)lo), hi > lo ? hi - lo : 0);
}

tsr_status tsr_soundrate(const float *x, size_t n, double from_hz, double to_hz, float *y)
{
    size_t frames;
    TSR_TRY(tsr_soundrate_frames(n, from_hz, to_hz, &frames));
    if (n == 0)
        return TSR_OK;
    if (from_hz == to_hz) {
        memcpy(y, x, n * sizeof *x);
        return TSR_OK;
    }
    converter c;
    TSR_TRY(converter_init(&c, (uint64_t)from_hz, (uint64_t)to_hz));
    for (size_t i = 0; i < frames; i++)
        y[i] = one_sample(&c, x, n, i);
    tsr_free(c.rows);
    return TSR_OK;
}

void tsr_sound_mono(const tsr_sound *s, float *out)
{
    for (size_t f = 0; f < s->frames; f++) {
        double sum = 0;
        for (size_t c = 0; c < s->channels; c++)
            sum += s->data[f * s->channels + c];
        out[f] = (float)(sum / (double)s->channels);
    }
}

tsr_status tsr_sound_convert(const tsr_sound *s, double rate_hz, tsr_sound *out)
{
    tsr_sound fresh = {0};
    float *mono = NULL;
    size_t frames;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_soundrate_frames(s->frames, s->rate_hz, rate_hz, &frames));
    TSR_GO(tsr_alloc(&mono, s->frames, sizeof *mono));
    tsr_sound_mono(s, mono);
    TSR_GO(tsr_sound_init(&fresh, rate_hz, 1, frames));
    TSR_GO(tsr_soundrate(mono, s->frames, s->rate_hz, rate_hz, fresh.data));
    *out = fresh;
    fresh = (tsr_sound){0};
out:
    tsr_sound_clear(&fresh);
    tsr_free(mono);
    return st;
}

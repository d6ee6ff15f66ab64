/* SPDX-License-Identifier: Apache-2.0
 * Short-time Fourier transform. */
#include "dsp/stft.h"

#include "base/mem.h"
#include "dsp/fft.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MAX_FFT ((size_t)1 << 20)

struct tsr_stft {
    tsr_stft_spec spec;
    tsr_fft *fft;
    float *window; /* [fft] */
};

static tsr_status check_spec(const tsr_stft_spec *s)
{
    if (s->fft == 0 || s->fft > MAX_FFT)
        TSR_FAIL(TSR_EARG, "fft is %zu; it must be 1..%zu samples", s->fft, MAX_FFT);
    if (s->window == 0 || s->window > s->fft)
        TSR_FAIL(TSR_EARG, "window is %zu samples; it must be 1..fft (%zu)", s->window, s->fft);
    if (s->hop == 0 || s->hop > s->window)
        TSR_FAIL(TSR_EARG, "hop is %zu samples; it must be 1..window (%zu)", s->hop, s->window);
    return TSR_OK;
}

tsr_status tsr_stft_create(const tsr_stft_spec *spec, tsr_stft **out)
{
    TSR_TRY(check_spec(spec));
    tsr_stft *s = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&s, 1, sizeof *s));
    s->spec = *spec;
    TSR_GO(tsr_fft_create(spec->fft, &s->fft));
    TSR_GO(tsr_alloc(&s->window, spec->fft, sizeof *s->window));
    float *w = s->window + (spec->fft - spec->window) / 2;
    for (size_t i = 0; i < spec->window; i++)
        w[i] = (float)(0.5 - 0.5 * cos(6.283185307179586 * (double)i / (double)spec->window));
    if (spec->window == 1)
        w[0] = 1;
    *out = s;
    s = NULL;
out:
    tsr_stft_destroy(s);
    return st;
}

void tsr_stft_destroy(tsr_stft *s)
{
    if (!s)
        return;
    tsr_fft_destroy(s->fft);
    tsr_free(s->window);
    tsr_free(s);
}

size_t tsr_stft_frames(const tsr_stft_spec *spec, size_t n)
{
    return n == 0 ? 0 : 1 + (n - 1) / spec->hop;
}

size_t tsr_stft_bins(const tsr_stft_spec *spec)
{
    return spec->fft / 2 + 1;
}

const float *tsr_stft_window(const tsr_stft *s)
{
    return s->window;
}

void tsr_stft_frame(tsr_stft *s, const float *x, float complex *bins)
{
    float *time = tsr_fft_time(s->fft);
    for (size_t i = 0; i < s->spec.fft; i++)
        time[i] = x[i] * s->window[i];
    tsr_fft_forward(s->fft);
    memcpy(bins, tsr_fft_bins(s->fft), tsr_stft_bins(&s->spec) * sizeof *bins);
}

/* Samples [from, from + fft) of x[n], zero outside, windowed, into the transform's buffer. */
static void load_frame(tsr_stft *s, const float *x, size_t n, int64_t from)
{
    float *time = tsr_fft_time(s->fft);
    int64_t length = (int64_t)s->spec.fft;
    for (int64_t i = 0; i < length; i++) {
        int64_t at = from + i;
        float v = at >= 0 && at < (int64_t)n ? x[at] : 0.0f;
        time[i] = v * s->window[i];
    }
}

void tsr_stft_forward(tsr_stft *s, const float *x, size_t n, float complex *bins)
{
    size_t frames = tsr_stft_frames(&s->spec, n), width = tsr_stft_bins(&s->spec);
    int64_t half = (int64_t)(s->spec.fft / 2);
    for (size_t f = 0; f < frames; f++) {
        load_frame(s, x, n, (int64_t)(f * s->spec.hop) - half);
        tsr_fft_forward(s->fft);
        memcpy(bins + f * width, tsr_fft_bins(s->fft), width * sizeof *bins);
    }
}

/* Sum of squared windows over sample i, of frames [0, frames). */
static float window_energy(const tsr_stft *s, size_t frames, size_t i)
{
    size_t half = s->spec.fft / 2, hop = s->spec.hop;
    /* Frame f covers i when 0 <= i + half - f * hop < fft. */
    size_t last = (i + half) / hop;
    size_t first = i + half < s->spec.fft ? 0 : (i + half - s->spec.fft) / hop + 1;
    float sum = 0;
    for (size_t f = first; f <= last && f < frames; f++) {
        float w = s->window[i + half - f * hop];
        sum += w * w;
    }
    return sum;
}

void tsr_stft_inverse(tsr_stft *s, const float complex *bins, size_t frames, float *x, size_t n)
{
    size_t width = tsr_stft_bins(&s->spec), length = s->spec.fft;
    int64_t half = (int64_t)(length / 2);
    float scale = 1.0f / (float)length;
    memset(x, 0, n * sizeof *x);
    for (size_t f = 0; f < frames; f++) {
        memcpy(tsr_fft_bins(s->fft), bins + f * width, width * sizeof *bins);
        tsr_fft_inverse(s->fft);
        const float *time = tsr_fft_time(s->fft);
        int64_t from = (int64_t)(f * s->spec.hop) - half;
        size_t lo = from < 0 ? (size_t)-from : 0;
        for (size_t i = lo; i < length && from + (int64_t)i < (int64_t)n; i++)
            x[from + (int64_t)i] += time[i] * s->window[i] * scale;
    }
    for (size_t i = 0; i < n; i++) {
        float energy = window_energy(s, frames, i);
        x[i] = energy > 1e-8f ? x[i] / energy : 0.0f;
    }
}

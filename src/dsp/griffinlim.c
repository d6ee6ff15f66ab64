/* SPDX-License-Identifier: Apache-2.0
 * Fast Griffin-Lim. */
#include "dsp/griffinlim.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>

typedef struct spectra {
    float complex *guess;  /* t: extrapolated spectrogram */
    float complex *proper; /* c: a spectrogram that some sound has */
    float complex *before; /* c of the last round */
    size_t count;
} spectra;

static tsr_status spectra_init(spectra *s, size_t count)
{
    s->count = count;
    TSR_TRY(tsr_alloc(&s->guess, count, sizeof *s->guess));
    TSR_TRY(tsr_alloc(&s->proper, count, sizeof *s->proper));
    return tsr_alloc(&s->before, count, sizeof *s->before);
}

static void spectra_clear(spectra *s)
{
    tsr_free(s->guess);
    tsr_free(s->proper);
    tsr_free(s->before);
}

static void random_phases(spectra *s, const tsr_griffinlim_spec *spec)
{
    tsr_rng r;
    tsr_rng_init(&r, spec->seed, TSR_RNG_PHASE, spec->index);
    for (size_t i = 0; i < s->count; i++) {
        double angle = 6.283185307179586 * tsr_rng_float(&r);
        s->guess[i] = CMPLXF((float)cos(angle), (float)sin(angle));
    }
}

/* guess := magnitude with the phase of guess; a zero has phase 0. */
static void impose(spectra *s, const float *magnitude)
{
    for (size_t i = 0; i < s->count; i++) {
        float re = crealf(s->guess[i]), im = cimagf(s->guess[i]);
        float size = sqrtf(re * re + im * im);
        float gain = size > 1e-20f ? magnitude[i] / size : 0.0f;
        s->guess[i] = size > 1e-20f ? CMPLXF(re * gain, im * gain) : CMPLXF(magnitude[i], 0);
    }
}

/* guess := c + momentum (c - c of the round before) */
static void extrapolate(spectra *s, float momentum, int first)
{
    for (size_t i = 0; i < s->count; i++) {
        float re = crealf(s->proper[i]), im = cimagf(s->proper[i]);
        float old_re = first ? re : crealf(s->before[i]);
        float old_im = first ? im : cimagf(s->before[i]);
        s->guess[i] = CMPLXF(re + momentum * (re - old_re), im + momentum * (im - old_im));
    }
    float complex *swap = s->before;
    s->before = s->proper;
    s->proper = swap;
}

static tsr_status check(const tsr_griffinlim_spec *spec, const float *magnitude, size_t frames,
                        size_t n)
{
    if (spec->rounds < 0 || !(spec->momentum >= 0 && spec->momentum < 1))
        TSR_FAIL(TSR_EARG,
                 "Griffin-Lim: %d rounds with momentum %g; rounds >= 0, 0 <= momentum < 1",
                 spec->rounds, spec->momentum);
    if (frames != tsr_stft_frames(&spec->stft, n))
        TSR_FAIL(TSR_EARG, "Griffin-Lim: %zu frames for %zu samples, which have %zu", frames, n,
                 tsr_stft_frames(&spec->stft, n));
    size_t count = frames * tsr_stft_bins(&spec->stft);
    for (size_t i = 0; i < count; i++)
        if (!(magnitude[i] >= 0 && magnitude[i] <= 1e18f))
            TSR_FAIL(TSR_ENUMERIC, "Griffin-Lim: magnitude %g at %zu", (double)magnitude[i], i);
    return TSR_OK;
}

tsr_status tsr_griffinlim(const tsr_griffinlim_spec *spec, const float *magnitude, size_t frames,
                          float *x, size_t n)
{
    tsr_stft *stft = NULL;
    spectra s = {0};
    size_t count;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_stft_create(&spec->stft, &stft));
    TSR_GO(tsr_mul_size(frames, tsr_stft_bins(&spec->stft), &count));
    TSR_GO(check(spec, magnitude, frames, n));
    TSR_GO(spectra_init(&s, count));
    random_phases(&s, spec);
    for (int round = 0; round < spec->rounds; round++) {
        impose(&s, magnitude);
        tsr_stft_inverse(stft, s.guess, frames, x, n);
        tsr_stft_forward(stft, x, n, s.proper);
        extrapolate(&s, (float)spec->momentum, round == 0);
    }
    impose(&s, magnitude);
    tsr_stft_inverse(stft, s.guess, frames, x, n);
out:
    spectra_clear(&s);
    tsr_stft_destroy(stft);
    return st;
}

#define INVERT_ROUNDS 100 /* of tsr_mel_invert; more change the bands by less than 0.01 dB */

/* Magnitudes [frames, bins] of an un-normalised STFT from log-mel frames. */
static tsr_status magnitudes(const tsr_logmel_spec *spec, const float *logmel, size_t frames,
                             float *out)
{
    tsr_mel_spec filters = {spec->scale, spec->rate_hz, spec->stft.fft,
                            spec->bands, spec->low_hz,  spec->high_hz};
    tsr_mel *mel = NULL;
    float *bands = NULL;
    tsr_status st = TSR_OK;
    size_t bins = tsr_stft_bins(&spec->stft);
    /* The Hann window sums to half its length. */
    double gain = 0.5 * (double)spec->stft.window;
    TSR_GO(tsr_mel_create(&filters, &mel));
    TSR_GO(tsr_alloc(&bands, spec->bands, sizeof *bands));
    for (size_t f = 0; f < frames; f++) {
        for (size_t b = 0; b < spec->bands; b++) {
            float v = logmel[f * spec->bands + b];
            if (!(v >= -1000 && v <= 80))
                TSR_GOFAIL(TSR_ENUMERIC, "log-mel value %g in frame %zu", (double)v, f);
            bands[b] = expf(v);
        }
        float *spectrum = out + f * bins;
        TSR_GO(tsr_mel_invert(mel, bands, INVERT_ROUNDS, spectrum));
        for (size_t i = 0; i < bins; i++)
            spectrum[i] = (float)(gain * sqrt(spectrum[i]));
    }
out:
    tsr_free(bands);
    tsr_mel_destroy(mel);
    return st;
}

tsr_status tsr_logmel_invert(const tsr_logmel_spec *spec, const tsr_griffinlim_spec *phases,
                             const float *logmel, size_t frames, float *x, size_t n)
{
    float *magnitude = NULL;
    tsr_griffinlim_spec run = *phases;
    size_t count;
    tsr_status st = TSR_OK;
    run.stft = spec->stft;
    TSR_GO(tsr_mul_size(frames, tsr_stft_bins(&spec->stft), &count));
    TSR_GO(tsr_alloc(&magnitude, count, sizeof *magnitude));
    TSR_GO(magnitudes(spec, logmel, frames, magnitude));
    TSR_GO(tsr_griffinlim(&run, magnitude, frames, x, n));
out:
    tsr_free(magnitude);
    return st;
}

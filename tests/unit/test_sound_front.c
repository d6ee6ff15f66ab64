/* SPDX-License-Identifier: Apache-2.0
 * Sound: STFT and mel bands against librosa, streams against whole files, Griffin-Lim, rates. */
#include "testing.h"

#include "dsp_testing.h"
#include "dsp/fft.h"
#include "dsp/griffinlim.h"
#include "dsp/logmel.h"
#include "dsp/quality.h"
#include "dsp/soundrate.h"

#include <math.h>

#include "../data/dsp/sounds.h"

#define TAU 6.283185307179586

static void stft_agrees_with_librosa(void **state)
{
    (void)state;
    const tsr_stft_spec spec = {.window = 48, .fft = 64, .hop = 16};
    float x[150];
    uint32_t seed = 7;
    for (size_t i = 0; i < 150; i++)
        x[i] = (float)(noise(&seed) >> 8) / 8388608.0f - 1;
    tsr_stft *s;
    assert_ok(tsr_stft_create(&spec, &s));
    size_t frames = tsr_stft_frames(&spec, 150);
    assert_int_equal(frames, sizeof expected_stft / sizeof expected_stft[0]);
    float complex bins[10 * 33];
    tsr_stft_forward(s, x, 150, bins);
    for (size_t f = 0; f < frames; f++)
        for (size_t k = 0; k < 33; k++) {
            assert_float_equal(crealf(bins[f * 33 + k]), expected_stft[f][k][0], 1e-4);
            assert_float_equal(cimagf(bins[f * 33 + k]), expected_stft[f][k][1], 1e-4);
        }
    for (size_t i = 0; i < 48; i++)
        assert_float_equal(tsr_stft_window(s)[8 + i], expected_window[i], 1e-6);
    float back[150];
    double snr;
    tsr_stft_inverse(s, bins, frames, back, 150);
    assert_ok(tsr_snr(x, back, 150, &snr));
    assert_true(snr > 100);
    tsr_stft_destroy(s);
}

static void stft_refuses_bad_specs(void **state)
{
    (void)state;
    tsr_stft *s;
    assert_fails(TSR_EARG, tsr_stft_create(&(tsr_stft_spec){64, 32, 16}, &s));
    assert_fails(TSR_EARG, tsr_stft_create(&(tsr_stft_spec){64, 64, 0}, &s));
    assert_fails(TSR_EARG, tsr_stft_create(&(tsr_stft_spec){64, 64, 65}, &s));
    assert_fails(TSR_EARG, tsr_stft_create(&(tsr_stft_spec){0, 64, 1}, &s));
    tsr_fft *f;
    assert_fails(TSR_EARG, tsr_fft_create(0, &f));
    assert_fails(TSR_ELIMIT, tsr_fft_create((size_t)1 << 40, &f));
}

static void check_bank(tsr_mel_scale scale, const float expected[10][65])
{
    const tsr_mel_spec spec = {scale, 16000, 128, 10, 100, 7000};
    tsr_mel *m;
    float row[65];
    assert_ok(tsr_mel_create(&spec, &m));
    for (size_t b = 0; b < 10; b++) {
        tsr_mel_row(m, b, row);
        for (size_t k = 0; k < 65; k++)
            assert_true(fabsf(row[k] - expected[b][k]) <= 1e-6f + 1e-5f * expected[b][k]);
    }
    tsr_mel_destroy(m);
}

static void mel_banks_agree_with_librosa(void **state)
{
    (void)state;
    check_bank(TSR_MEL_HTK, expected_htk);
    check_bank(TSR_MEL_SLANEY, expected_slaney);
    for (double hz = 50; hz < 9000; hz *= 1.3)
        for (int s = 0; s < 2; s++) {
            double mel = tsr_mel_from_hz((tsr_mel_scale)s, hz);
            assert_true(fabs(tsr_mel_to_hz((tsr_mel_scale)s, mel) - hz) < 1e-9 * hz);
        }
}

static void mel_refuses_empty_bands(void **state)
{
    (void)state;
    tsr_mel *m;
    assert_fails(TSR_EARG,
                 tsr_mel_create(&(tsr_mel_spec){TSR_MEL_HTK, 16000, 64, 80, 0, 8000}, &m));
    assert_fails(TSR_EARG,
                 tsr_mel_create(&(tsr_mel_spec){TSR_MEL_HTK, 16000, 512, 20, 0, 9000}, &m));
    assert_fails(TSR_EARG, tsr_mel_create(&(tsr_mel_spec){TSR_MEL_HTK, NAN, 512, 20, 0, 8000}, &m));
}

/* A chord with a glide and a little noise, deterministic. */
static void make_sound(float *x, size_t n, double rate)
{
    uint32_t seed = 11;
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / rate;
        double v = 0.3 * sin(TAU * 220 * t) + 0.2 * sin(TAU * 660 * t + 1) +
                   0.2 * sin(TAU * (400 * t + 600 * t * t)) * exp(-2 * t);
        x[i] = (float)(v + 0.002 * ((noise(&seed) >> 8) / 8388608.0 - 1));
    }
}

static void a_stream_equals_the_whole_for_any_chunks(void **state)
{
    (void)state;
    enum { MOST = 9000, BANDS = 20 };
    static float x[MOST], whole[(MOST + 1) * BANDS], piece[(MOST + 1) * BANDS];
    static const size_t lengths[] = {0, 1, 100, 511, 512, 513, 5000, 9000};
    uint32_t seed = 2024;
    tsr_logmel_spec spec;
    tsr_logmel_defaults(&spec);
    spec.bands = BANDS;
    make_sound(x, MOST, spec.rate_hz);
    for (int trial = 0; trial < 60; trial++) {
        spec.stft = (tsr_stft_spec){.window = 400, .fft = trial % 2 ? 512 : 401, .hop = 160};
        size_t n = lengths[(size_t)trial % 8];
        size_t frames = tsr_stft_frames(&spec.stft, n), got = 0;
        tsr_logmel *a, *b;
        assert_ok(tsr_logmel_create(&spec, &a));
        assert_ok(tsr_logmel_create(&spec, &b));
        tsr_logmel_whole(a, x, n, whole);
        assert_ok(tsr_logmel_push(b, x, n > 7 ? 7 : n)); /* a sound given up half way */
        tsr_logmel_reset(b);
        for (size_t at = 0; at < n;) {
            size_t step = noise(&seed) % (trial % 3 == 0 ? 37 : 2000);
            step = step > n - at ? n - at : step;
            assert_ok(tsr_logmel_push(b, x + at, step));
            at += step;
            if (noise(&seed) % 3u)
                got += tsr_logmel_pull(b, piece + got * BANDS, noise(&seed) % 5);
        }
        tsr_logmel_finish(b);
        assert_fails(TSR_EARG, tsr_logmel_push(b, x, 1));
        for (size_t more; (more = tsr_logmel_pull(b, piece + got * BANDS, 3)) > 0;)
            got += more;
        assert_int_equal(got, frames);
        assert_memory_equal(piece, whole, frames * BANDS * sizeof *whole);
        tsr_logmel_destroy(a);
        tsr_logmel_destroy(b);
    }
}

static void a_frame_has_the_power_of_its_sine(void **state)
{
    (void)state;
    tsr_logmel_spec spec;
    tsr_logmel_defaults(&spec);
    spec.scale = TSR_MEL_HTK;
    static float x[8192], out[32 * 80];
    for (size_t i = 0; i < 8192; i++)
        x[i] = (float)sin(TAU * 1000 * (double)i / 16000);
    tsr_logmel *m;
    assert_ok(tsr_logmel_create(&spec, &m));
    tsr_logmel_whole(m, x, 8192, out);
    float top = -100;
    for (size_t b = 0; b < 80; b++)
        top = out[16 * 80 + b] > top ? out[16 * 80 + b] : top;
    /* A Hann line of a full-scale sine: 1/4 at the bin, 1/16 at both neighbours. */
    assert_true(top > log(0.15) && top < log(0.25 + 2 * 0.0625));
    static const float silence[2048];
    tsr_logmel_whole(m, silence, 2048, out);
    assert_float_equal(out[0], log(1e-10), 1e-5);
    tsr_logmel_destroy(m);
}

static double magnitude_snr(const tsr_stft_spec *spec, const float *x, size_t n, const float *want)
{
    tsr_stft *s;
    assert_ok(tsr_stft_create(spec, &s));
    size_t count = tsr_stft_frames(spec, n) * tsr_stft_bins(spec);
    float complex *bins = calloc(count, sizeof *bins);
    float *size = calloc(count, sizeof *size);
    double db;
    tsr_stft_forward(s, x, n, bins);
    for (size_t i = 0; i < count; i++)
        size[i] = cabsf(bins[i]);
    assert_ok(tsr_snr(want, size, count, &db));
    free(bins);
    free(size);
    tsr_stft_destroy(s);
    return db;
}

static void griffinlim_finds_consistent_phases(void **state)
{
    (void)state;
    enum { N = 8192 };
    static float x[N], y[N], z[N];
    tsr_griffinlim_spec spec = {
        .stft = {.window = 512, .fft = 512, .hop = 128}, .rounds = 60, .momentum = 0.99, .seed = 5};
    make_sound(x, N, 16000);
    size_t frames = tsr_stft_frames(&spec.stft, N), bins = tsr_stft_bins(&spec.stft);
    float complex *c = calloc(frames * bins, sizeof *c);
    float *size = calloc(frames * bins, sizeof *size);
    tsr_stft *s;
    assert_ok(tsr_stft_create(&spec.stft, &s));
    tsr_stft_forward(s, x, N, c);
    for (size_t i = 0; i < frames * bins; i++)
        size[i] = cabsf(c[i]);
    assert_ok(tsr_griffinlim(&spec, size, frames, y, N));
    double fast = magnitude_snr(&spec.stft, y, N, size);
    print_message("Griffin-Lim, 60 rounds: %.1f dB", fast);
    assert_true(fast > 22);
    spec.momentum = 0;
    assert_ok(tsr_griffinlim(&spec, size, frames, z, N));
    double plain = magnitude_snr(&spec.stft, z, N, size);
    print_message(" (without momentum %.1f dB)\n", plain);
    assert_true(fast > plain);
    assert_ok(tsr_griffinlim(&spec, size, frames, y, N));
    assert_memory_equal(y, z, sizeof y);
    assert_fails(TSR_EARG, tsr_griffinlim(&spec, size, frames + 1, y, N));
    size[3] = NAN;
    assert_fails(TSR_ENUMERIC, tsr_griffinlim(&spec, size, frames, y, N));
    tsr_stft_destroy(s);
    free(c);
    free(size);
}

static void logmel_comes_back_close(void **state)
{
    (void)state;
    enum { N = 16384 };
    static float x[N], y[N], a[64 * 80], b[64 * 80];
    tsr_logmel_spec spec;
    tsr_logmel_defaults(&spec);
    const tsr_griffinlim_spec phases = {.rounds = 60, .momentum = 0.99, .seed = 1};
    tsr_logmel *m;
    double db;
    make_sound(x, N, 16000);
    assert_ok(tsr_logmel_create(&spec, &m));
    assert_int_equal(tsr_stft_frames(&spec.stft, N), 64);
    tsr_logmel_whole(m, x, N, a);
    assert_ok(tsr_logmel_invert(&spec, &phases, a, 64, y, N));
    tsr_logmel_whole(m, y, N, b);
    assert_ok(tsr_mel_distance(a, b, 64 * 80, &db));
    print_message("log-mel round trip: %.2f dB\n", db);
    assert_true(db < 2.0);
    tsr_logmel_destroy(m);
}

/* A sine through a rate change against the sine itself, away from the ends. */
static double rate_snr(double from, double to, double hz)
{
    size_t n = (size_t)from, m;
    assert_ok(tsr_soundrate_frames(n, from, to, &m));
    assert_int_equal(m, (size_t)to);
    float *x = calloc(n, sizeof *x), *y = calloc(m, sizeof *y), *want = calloc(m, sizeof *want);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(0.5 * sin(TAU * hz * (double)i / from));
    for (size_t i = 0; i < m; i++)
        want[i] = (float)(0.5 * sin(TAU * hz * (double)i / to));
    assert_ok(tsr_soundrate(x, n, from, to, y));
    double db;
    size_t edge = m / 10;
    assert_ok(tsr_snr(want + edge, y + edge, m - 2 * edge, &db));
    free(x);
    free(y);
    free(want);
    return db;
}

static void rates_change_cleanly(void **state)
{
    (void)state;
    static const struct {
        double from, to, hz;
    } cases[] = {{44100, 16000, 997},  {44100, 16000, 6900}, {16000, 44100, 997},
                 {16000, 44100, 6900}, {48000, 16000, 440},  {8000, 16000, 3400},
                 {22050, 24000, 9000}, {16000, 15999, 6000}, {96000, 8000, 3000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double db = rate_snr(cases[i].from, cases[i].to, cases[i].hz);
        if (!(db > 100))
            fail_msg("%g to %g Hz at %g Hz: %.1f dB", cases[i].from, cases[i].to, cases[i].hz, db);
    }
}

/* Strongest line of the spectrum of y[4096], relative to full scale, in dB. */
static double strongest_line(const float *y)
{
    tsr_fft *f;
    double top = 1e-20;
    assert_ok(tsr_fft_create(4096, &f));
    for (size_t i = 0; i < 4096; i++)
        tsr_fft_time(f)[i] = y[i] * (float)(0.5 - 0.5 * cos(TAU * (double)i / 4096));
    tsr_fft_forward(f);
    for (size_t k = 0; k <= 2048; k++) {
        double p = cabsf(tsr_fft_bins(f)[k]) / 1024.0;
        top = p > top ? p : top;
    }
    tsr_fft_destroy(f);
    return 20 * log10(top);
}

static void nothing_folds_back(void **state)
{
    (void)state;
    enum { N = 44100 };
    static float x[N], y[16000];
    static const double hz[] = {8000, 8500, 10000, 15000, 20000};
    for (size_t k = 0; k < 5; k++) {
        for (size_t i = 0; i < N; i++)
            x[i] = (float)sin(TAU * hz[k] * (double)i / N);
        assert_ok(tsr_soundrate(x, N, 44100, 16000, y));
        double alias = strongest_line(y + 6000);
        if (!(alias < -110))
            fail_msg("%g Hz leaves %.1f dB", hz[k], alias);
    }
    double level;
    for (size_t i = 0; i < N; i++)
        x[i] = (float)sin(TAU * 1000 * (double)i / N);
    assert_ok(tsr_soundrate(x, N, 44100, 16000, y));
    level = strongest_line(y + 6000);
    assert_true(fabs(level) < 0.01);
}

static void sounds_convert_to_mono(void **state)
{
    (void)state;
    tsr_sound s, out;
    assert_ok(tsr_sound_init(&s, 32000, 2, 640));
    for (size_t i = 0; i < 640; i++) {
        s.data[2 * i] = 0.75f;
        s.data[2 * i + 1] = 0.25f;
    }
    assert_ok(tsr_sound_convert(&s, 16000, &out));
    assert_int_equal(out.frames, 320);
    assert_int_equal(out.channels, 1);
    assert_float_equal(out.data[160], 0.5, 1e-6);
    tsr_sound_clear(&out);
    assert_fails(TSR_EARG, tsr_sound_convert(&s, 16000.5, &out));
    assert_fails(TSR_EARG, tsr_sound_convert(&s, 0, &out));
    tsr_sound_clear(&s);
    assert_ok(tsr_sound_init(&s, 32000, 2, 0));
    assert_ok(tsr_sound_convert(&s, 16000, &out));
    assert_int_equal(out.frames, 0);
    tsr_sound_clear(&out);
    tsr_sound_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stft_agrees_with_librosa),
        cmocka_unit_test(stft_refuses_bad_specs),
        cmocka_unit_test(mel_banks_agree_with_librosa),
        cmocka_unit_test(mel_refuses_empty_bands),
        cmocka_unit_test(a_stream_equals_the_whole_for_any_chunks),
        cmocka_unit_test(a_frame_has_the_power_of_its_sine),
        cmocka_unit_test(griffinlim_finds_consistent_phases),
        cmocka_unit_test(logmel_comes_back_close),
        cmocka_unit_test(rates_change_cleanly),
        cmocka_unit_test(nothing_folds_back),
        cmocka_unit_test(sounds_convert_to_mono),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

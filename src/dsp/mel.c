/* SPDX-License-Identifier: Apache-2.0
 * Mel filter banks. */
#include "dsp/mel.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define MAX_BANDS 4096

struct tsr_mel {
    size_t bands, bins;
    size_t *first, *count; /* [bands]: bins of each triangle */
    float *weight;         /* [bands, widest] */
    size_t widest;
};

/* Slaney's scale: 3 mel per 200 Hz below 1 kHz, then 27 mel per factor of 6.4. */
#define SLANEY_HZ_PER_MEL (200.0 / 3.0)
#define SLANEY_KNEE_HZ    1000.0
#define SLANEY_KNEE_MEL   15.0
#define SLANEY_LOG_STEP   (log(6.4) / 27.0)

double tsr_mel_from_hz(tsr_mel_scale scale, double hz)
{
    if (scale == TSR_MEL_HTK)
        return 2595.0 * log10(1.0 + hz / 700.0);
    if (hz < SLANEY_KNEE_HZ)
        return hz / SLANEY_HZ_PER_MEL;
    return SLANEY_KNEE_MEL + log(hz / SLANEY_KNEE_HZ) / SLANEY_LOG_STEP;
}

double tsr_mel_to_hz(tsr_mel_scale scale, double mel)
{
    if (scale == TSR_MEL_HTK)
        return 700.0 * (pow(10.0, mel / 2595.0) - 1.0);
    if (mel < SLANEY_KNEE_MEL)
        return mel * SLANEY_HZ_PER_MEL;
    return SLANEY_KNEE_HZ * exp(SLANEY_LOG_STEP * (mel - SLANEY_KNEE_MEL));
}

static tsr_status check_spec(const tsr_mel_spec *s)
{
    if (!(s->rate_hz > 0) || !isfinite(s->rate_hz))
        TSR_FAIL(TSR_EARG, "rate is %g Hz", s->rate_hz);
    if (s->fft < 2)
        TSR_FAIL(TSR_EARG, "fft is %zu; a mel filter bank needs at least 2 samples", s->fft);
    if (s->bands == 0 || s->bands > MAX_BANDS)
        TSR_FAIL(TSR_EARG, "%zu mel bands; 1..%d are possible", s->bands, MAX_BANDS);
    if (!(s->low_hz >= 0 && s->low_hz < s->high_hz && s->high_hz <= s->rate_hz / 2))
        TSR_FAIL(TSR_EARG, "mel bands from %g to %g Hz do not fit 0..%g Hz", s->low_hz, s->high_hz,
                 s->rate_hz / 2);
    return TSR_OK;
}

/* Height at `hz` of the triangle over edges[0..2]. */
static double triangle(const double edges[3], double hz)
{
    double up = (hz - edges[0]) / (edges[1] - edges[0]);
    double down = (edges[2] - hz) / (edges[2] - edges[1]);
    double v = up < down ? up : down;
    return v > 0 ? v : 0;
}

static double edge_hz(const tsr_mel_spec *s, size_t i)
{
    double lo = tsr_mel_from_hz(s->scale, s->low_hz), hi = tsr_mel_from_hz(s->scale, s->high_hz);
    return tsr_mel_to_hz(s->scale, lo + (hi - lo) * (double)i / (double)(s->bands + 1));
}

/* Bins (first, count) strictly inside the triangle. */
static void covered(const double edges[3], double bin_hz, size_t bins, size_t *first, size_t *count)
{
    size_t lo = (size_t)floor(edges[0] / bin_hz) + 1;
    size_t end = (size_t)ceil(edges[2] / bin_hz);
    if (edges[0] == 0 && end == 0)
        end = 1;
    end = end > bins ? bins : end;
    *first = lo;
    *count = end > lo ? end - lo : 0;
}

tsr_status tsr_mel_create(const tsr_mel_spec *spec, tsr_mel **out)
{
    TSR_TRY(check_spec(spec));
    tsr_mel *m = NULL;
    tsr_status st = TSR_OK;
    double bin_hz = spec->rate_hz / (double)spec->fft;
    TSR_GO(tsr_alloc(&m, 1, sizeof *m));
    m->bands = spec->bands;
    m->bins = spec->fft / 2 + 1;
    TSR_GO(tsr_alloc(&m->first, m->bands, sizeof *m->first));
    TSR_GO(tsr_alloc(&m->count, m->bands, sizeof *m->count));
    for (size_t b = 0; b < m->bands; b++) {
        double edges[3] = {edge_hz(spec, b), edge_hz(spec, b + 1), edge_hz(spec, b + 2)};
        covered(edges, bin_hz, m->bins, &m->first[b], &m->count[b]);
        if (m->count[b] == 0)
            TSR_GOFAIL(TSR_EARG,
                       "mel band %zu (%.1f to %.1f Hz) covers no bin: fewer bands or a longer "
                       "transform than %zu are needed",
                       b, edges[0], edges[2], spec->fft);
        m->widest = m->count[b] > m->widest ? m->count[b] : m->widest;
    }
    TSR_GO(tsr_alloc(&m->weight, m->bands * m->widest, sizeof *m->weight));
    for (size_t b = 0; b < m->bands; b++) {
        double edges[3] = {edge_hz(spec, b), edge_hz(spec, b + 1), edge_hz(spec, b + 2)};
        double gain = spec->scale == TSR_MEL_SLANEY ? 2.0 / (edges[2] - edges[0]) : 1.0;
        for (size_t j = 0; j < m->count[b]; j++)
            m->weight[b * m->widest + j] =
                (float)(gain * triangle(edges, (double)(m->first[b] + j) * bin_hz));
    }
    *out = m;
    m = NULL;
out:
    tsr_mel_destroy(m);
    return st;
}

void tsr_mel_destroy(tsr_mel *m)
{
    if (!m)
        return;
    tsr_free(m->first);
    tsr_free(m->count);
    tsr_free(m->weight);
    tsr_free(m);
}

void tsr_mel_row(const tsr_mel *m, size_t b, float *row)
{
    memset(row, 0, m->bins * sizeof *row);
    memcpy(row + m->first[b], m->weight + b * m->widest, m->count[b] * sizeof *row);
}

void tsr_mel_apply(const tsr_mel *m, const float *spectrum, float *bands)
{
    for (size_t b = 0; b < m->bands; b++) {
        const float *w = m->weight + b * m->widest;
        const float *s = spectrum + m->first[b];
        double sum = 0;
        for (size_t j = 0; j < m->count[b]; j++)
            sum += (double)w[j] * s[j];
        bands[b] = (float)sum;
    }
}

/* spectrum = W^T bands */
static void apply_transposed(const tsr_mel *m, const float *bands, float *spectrum)
{
    memset(spectrum, 0, m->bins * sizeof *spectrum);
    for (size_t b = 0; b < m->bands; b++)
        for (size_t j = 0; j < m->count[b]; j++)
            spectrum[m->first[b] + j] += m->weight[b * m->widest + j] * bands[b];
}

tsr_status tsr_mel_invert(const tsr_mel *m, const float *bands, int rounds, float *spectrum)
{
    float *wanted = NULL, *got = NULL, *now = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&wanted, m->bins, sizeof *wanted));
    TSR_GO(tsr_alloc(&got, m->bins, sizeof *got));
    TSR_GO(tsr_alloc(&now, m->bands, sizeof *now));
    apply_transposed(m, bands, wanted);
    memcpy(spectrum, wanted, m->bins * sizeof *spectrum);
    for (int r = 0; r < rounds; r++) {
        tsr_mel_apply(m, spectrum, now);
        apply_transposed(m, now, got);
        for (size_t i = 0; i < m->bins; i++)
            spectrum[i] = got[i] > 0 ? spectrum[i] * (wanted[i] / got[i]) : 0;
    }
out:
    tsr_free(wanted);
    tsr_free(got);
    tsr_free(now);
    return st;
}

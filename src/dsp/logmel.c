/* SPDX-License-Identifier: Apache-2.0
 * Log-mel frames, whole and streamed: both end in the same function for one frame. */
#include "dsp/logmel.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

struct tsr_logmel {
    tsr_logmel_spec spec;
    tsr_stft *stft;
    tsr_mel *mel;
    float complex *bins; /* [fft/2 + 1] */
    float *power;        /* [fft/2 + 1] */
    float *frame;        /* [fft], gathered samples of one frame */
    float gain;          /* 1 / (sum of the window)^2 */
    /* stream: samples [start, start + have) of the sound are kept, from buffer[skip] on */
    float *buffer;
    size_t skip, have, cap;
    size_t start;
    size_t next; /* frame to be pulled next */
    int over;
};

void tsr_logmel_defaults(tsr_logmel_spec *spec)
{
    *spec = (tsr_logmel_spec){.stft = {.window = 1024, .fft = 1024, .hop = 256},
                              .scale = TSR_MEL_SLANEY,
                              .rate_hz = 16000,
                              .bands = 80,
                              .low_hz = 0,
                              .high_hz = 8000,
                              .floor = 1e-10f};
}

static tsr_mel_spec mel_spec(const tsr_logmel_spec *s)
{
    return (tsr_mel_spec){s->scale, s->rate_hz, s->stft.fft, s->bands, s->low_hz, s->high_hz};
}

tsr_status tsr_logmel_create(const tsr_logmel_spec *spec, tsr_logmel **out)
{
    tsr_logmel *m = NULL;
    tsr_status st = TSR_OK;
    tsr_mel_spec filters = mel_spec(spec);
    if (!(spec->floor > 0) || !isfinite(spec->floor))
        TSR_FAIL(TSR_EARG, "the floor of log-mel frames is %g; it must be above 0",
                 (double)spec->floor);
    TSR_GO(tsr_alloc(&m, 1, sizeof *m));
    m->spec = *spec;
    TSR_GO(tsr_stft_create(&spec->stft, &m->stft));
    TSR_GO(tsr_mel_create(&filters, &m->mel));
    size_t bins = tsr_stft_bins(&spec->stft);
    TSR_GO(tsr_alloc(&m->bins, bins, sizeof *m->bins));
    TSR_GO(tsr_alloc(&m->power, bins, sizeof *m->power));
    TSR_GO(tsr_alloc(&m->frame, spec->stft.fft, sizeof *m->frame));
    double sum = 0;
    for (size_t i = 0; i < spec->stft.fft; i++)
        sum += tsr_stft_window(m->stft)[i];
    m->gain = (float)(1.0 / (sum * sum));
    *out = m;
    m = NULL;
out:
    tsr_logmel_destroy(m);
    return st;
}

void tsr_logmel_destroy(tsr_logmel *m)
{
    if (!m)
        return;
    tsr_stft_destroy(m->stft);
    tsr_mel_destroy(m->mel);
    tsr_free(m->bins);
    tsr_free(m->power);
    tsr_free(m->frame);
    tsr_free(m->buffer);
    tsr_free(m);
}

/* Frame f of a sound of which samples [start, start + n) are x and the rest is zero. */
static void one_frame(tsr_logmel *m, const float *x, size_t start, size_t n, size_t f, float *out)
{
    size_t length = m->spec.stft.fft, bins = tsr_stft_bins(&m->spec.stft);
    size_t centre = f * m->spec.stft.hop, half = length / 2;
    for (size_t i = 0; i < length; i++) {
        size_t at = centre + i; /* sample index + half, which cannot be negative */
        int inside = at >= start + half && at < start + n + half;
        m->frame[i] = inside ? x[at - half - start] : 0.0f;
    }
    tsr_stft_frame(m->stft, m->frame, m->bins);
    for (size_t i = 0; i < bins; i++) {
        float re = crealf(m->bins[i]), im = cimagf(m->bins[i]);
        m->power[i] = (re * re + im * im) * m->gain;
    }
    tsr_mel_apply(m->mel, m->power, out);
    for (size_t b = 0; b < m->spec.bands; b++)
        out[b] = (float)log(out[b] > m->spec.floor ? out[b] : m->spec.floor);
}

void tsr_logmel_whole(tsr_logmel *m, const float *x, size_t n, float *frames)
{
    size_t count = tsr_stft_frames(&m->spec.stft, n);
    for (size_t f = 0; f < count; f++)
        one_frame(m, x, 0, n, f, frames + f * m->spec.bands);
}

/* ---- stream -----------------------------------------------------------------------------------*/

void tsr_logmel_reset(tsr_logmel *m)
{
    m->skip = m->have = m->start = m->next = 0;
    m->over = 0;
}

/* Move what is kept to the front of the buffer. */
static void compact(tsr_logmel *m)
{
    if (m->skip > 0 && m->have > 0)
        memmove(m->buffer, m->buffer + m->skip, m->have * sizeof *m->buffer);
    m->skip = 0;
}

tsr_status tsr_logmel_push(tsr_logmel *m, const float *x, size_t n)
{
    if (m->over)
        TSR_FAIL(TSR_EARG, "samples were pushed after the end of the sound");
    if (n == 0)
        return TSR_OK;
    size_t need;
    TSR_TRY(tsr_add_size(m->have, n, &need));
    if (m->skip > m->have || m->skip + need > m->cap)
        compact(m);
    if (m->skip + need > m->cap) {
        size_t cap = need + need / 2;
        TSR_TRY(tsr_grow(&m->buffer, m->have, cap, sizeof *m->buffer));
        m->cap = cap;
    }
    memcpy(m->buffer + m->skip + m->have, x, n * sizeof *x);
    m->have = need;
    return TSR_OK;
}

void tsr_logmel_finish(tsr_logmel *m)
{
    m->over = 1;
}

/* 1 when every sample of the next frame is known. */
static int frame_ready(const tsr_logmel *m)
{
    size_t known = m->start + m->have, length = m->spec.stft.fft;
    if (m->over)
        return m->next < tsr_stft_frames(&m->spec.stft, known);
    return m->next * m->spec.stft.hop + (length - length / 2) <= known;
}

/* Samples before the next frame's first are no longer needed. */
static void forget(tsr_logmel *m)
{
    size_t centre = m->next * m->spec.stft.hop, half = m->spec.stft.fft / 2;
    size_t keep_from = centre > half ? centre - half : 0;
    size_t drop = keep_from > m->start ? keep_from - m->start : 0;
    drop = drop > m->have ? m->have : drop;
    m->skip += drop;
    m->have -= drop;
    m->start += drop;
}

size_t tsr_logmel_pull(tsr_logmel *m, float *frames, size_t max)
{
    size_t done = 0;
    while (done < max && frame_ready(m)) {
        one_frame(m, m->buffer + m->skip, m->start, m->have, m->next,
                  frames + done * m->spec.bands);
        m->next++;
        done++;
        forget(m);
    }
    return done;
}

/* SPDX-License-Identifier: Apache-2.0
 * Mixing down to one channel, and another sample rate through libswresample. */
#include "codecs/av.h"
#include "codecs/format.h"

#include "base/mem.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>

#include <limits.h>
#include <math.h>

#define PIECE 16384 /* frames at a time */

/* Taps of the windowed sinc at the lower rate, and the share of its band that passes: stopband
 * below -90 dB and passband to 0.95 of Nyquist (test_sound measures it). */
#define TAPS   64
#define CUTOFF 0.95

/* Arithmetic mean of the channels, summed in double in channel order. */
static tsr_status mix_down(tsr_sound *s)
{
    if (s->channels == 1)
        return TSR_OK;
    tsr_sound mono;
    TSR_TRY(tsr_sound_init(&mono, s->rate_hz, 1, s->frames));
    for (size_t i = 0; i < s->frames; i++) {
        double sum = 0;
        for (size_t c = 0; c < s->channels; c++)
            sum += (double)s->data[i * s->channels + c];
        mono.data[i] = (float)(sum / (double)s->channels);
    }
    tsr_sound_clear(s);
    *s = mono;
    return TSR_OK;
}

static int open_swr(const tsr_sound *s, int rate, SwrContext **out)
{
    AVChannelLayout layout;
    av_channel_layout_default(&layout, (int)s->channels);
    int code = swr_alloc_set_opts2(out, &layout, AV_SAMPLE_FMT_FLT, rate, &layout,
                                   AV_SAMPLE_FMT_FLT, (int)s->rate_hz, 0, NULL);
    av_channel_layout_uninit(&layout);
    if (code < 0)
        return code;
    av_opt_set_int(*out, "filter_size", TAPS, 0);
    av_opt_set_double(*out, "cutoff", CUTOFF, 0);
    av_opt_set_int(*out, "exact_rational", 1, 0);
    return swr_init(*out);
}

/* All of `s` through the converter into `to`, which has room for exactly to->frames; what comes
 * beyond is dropped, what is missing stays silent. */
static int run_swr(SwrContext *swr, const tsr_sound *s, tsr_sound *to)
{
    size_t in = 0, done = 0;
    while (done < to->frames) {
        size_t n = s->frames - in < PIECE ? s->frames - in : PIECE;
        size_t room = to->frames - done < INT_MAX / 2 ? to->frames - done : INT_MAX / 2;
        const uint8_t *from = (const uint8_t *)(s->data + in * s->channels);
        uint8_t *into = (uint8_t *)(to->data + done * to->channels);
        int got = swr_convert(swr, &into, (int)room, n ? &from : NULL, (int)n);
        if (got < 0)
            return got;
        if (got == 0 && n == 0)
            break;
        in += n;
        done += (size_t)got;
    }
    return 0;
}

static tsr_status resample(tsr_sound *s, const char *name, const tsr_read_options *o)
{
    if (o->rate_hz == 0 || o->rate_hz == s->rate_hz)
        return TSR_OK;
    double frames = floor((double)s->frames * o->rate_hz / s->rate_hz + 0.5);
    if (frames < 1)
        frames = 1;
    if (frames * (double)s->channels > (double)o->max_samples)
        TSR_FAIL(TSR_ELIMIT, "%s: %.0f samples at %g Hz, more than the limit of %zu", name,
                 frames * (double)s->channels, o->rate_hz, o->max_samples);
    tsr_sound to;
    SwrContext *swr = NULL;
    tsr_av_begin();
    TSR_TRY(tsr_sound_init(&to, o->rate_hz, s->channels, (size_t)frames));
    int code = open_swr(s, (int)o->rate_hz, &swr);
    if (code >= 0)
        code = run_swr(swr, s, &to);
    swr_free(&swr);
    if (code < 0) {
        tsr_sound_clear(&to);
        return tsr_av_fail(code, name, "cannot be resampled");
    }
    tsr_sound_clear(s);
    *s = to;
    return TSR_OK;
}

tsr_status tsr_sound_as_asked(tsr_sound *s, const char *name, const tsr_read_options *o)
{
    if (o->mono)
        TSR_TRY(mix_down(s));
    return resample(s, name, o);
}

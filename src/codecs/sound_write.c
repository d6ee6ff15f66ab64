/* SPDX-License-Identifier: Apache-2.0
 * WAV and FLAC through libsndfile, into memory. */
#include "codecs/format.h"

#include "base/mem.h"
#include "base/str.h"

#include <sndfile.h>

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A file that grows in memory. */
typedef struct memory_file {
    tsr_str b; /* len: bytes that exist */
    size_t at;
    int failed;
} memory_file;

static sf_count_t vio_length(void *p)
{
    return (sf_count_t)((memory_file *)p)->b.len;
}

static sf_count_t vio_seek(sf_count_t offset, int whence, void *p)
{
    memory_file *m = p;
    sf_count_t base = whence == SEEK_CUR   ? (sf_count_t)m->at
                      : whence == SEEK_END ? (sf_count_t)m->b.len
                                           : 0;
    if (base + offset < 0 || (size_t)(base + offset) > m->b.len)
        return -1;
    m->at = (size_t)(base + offset);
    return base + offset;
}

static sf_count_t vio_read(void *into, sf_count_t n, void *p)
{
    memory_file *m = p;
    size_t left = m->b.len - m->at, k = (size_t)n < left ? (size_t)n : left;
    memcpy(into, m->b.s + m->at, k);
    m->at += k;
    return (sf_count_t)k;
}

static sf_count_t vio_write(const void *from, sf_count_t n, void *p)
{
    memory_file *m = p;
    size_t over = m->b.len - m->at, k = (size_t)n < over ? (size_t)n : over;
    if (k)
        memcpy(m->b.s + m->at, from, k);
    if ((size_t)n > k &&
        tsr_str_add_bytes(&m->b, (const char *)from + k, (size_t)n - k) != TSR_OK) {
        m->failed = 1;
        return 0;
    }
    m->at += (size_t)n;
    return n;
}

static sf_count_t vio_tell(void *p)
{
    return (sf_count_t)((memory_file *)p)->at;
}

static tsr_status check(const char *name, const tsr_media *m, const char *format)
{
    if (m->kind != TSR_MEDIA_SOUND)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a %s cannot hold %s", name, format,
                 tsr_media_name(m->kind));
    const tsr_sound *s = &m->as.sound;
    if (s->channels < 1 || s->channels > 8 || s->frames < 1)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: %zu channels and %zu frames, a %s holds 1 to 8 channels "
                 "and at least one frame",
                 name, s->channels, s->frames, format);
    if (!(s->rate_hz >= 1 && s->rate_hz <= 655350) || s->rate_hz != floor(s->rate_hz))
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: a sample rate of %g Hz, expected a whole number up to "
                 "655350",
                 name, s->rate_hz);
    if (s->frames > (size_t)INT_MAX / 4 / s->channels)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu frames are too many for a %s", name, s->frames, format);
    return TSR_OK;
}

/* Round to 16 bits, clipped: full scale 1.0 is 32768, as readers of 16 bits take it. */
static tsr_status to_16(const tsr_sound *s, short **out)
{
    size_t n = s->channels * s->frames;
    TSR_TRY(tsr_alloc(out, n, sizeof **out));
    for (size_t i = 0; i < n; i++) {
        float v = rintf(s->data[i] * 32768.0f);
        (*out)[i] = (short)(v >= 32767.0f    ? 32767
                            : v >= -32768.0f ? v
                            : v < -32768.0f  ? -32768
                                             : 0);
    }
    return TSR_OK;
}

static tsr_status write_sound(const char *name, const tsr_sound *s, int format, char **data,
                              size_t *bytes)
{
    tsr_status st = TSR_OK;
    memory_file m = {0};
    short *words = NULL;
    SNDFILE *f = NULL;
    int is_float = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_FLOAT;
    if (!is_float)
        TSR_GO(to_16(s, &words));
    SF_VIRTUAL_IO io = {vio_length, vio_seek, vio_read, vio_write, vio_tell};
    SF_INFO info = {.samplerate = (int)s->rate_hz, .channels = (int)s->channels, .format = format};
    f = sf_open_virtual(&io, SFM_WRITE, &info, &m);
    if (m.failed)
        TSR_GOFAIL(TSR_ENOMEM, "%s: no memory for the sound's bytes", name);
    if (!f)
        TSR_GOFAIL(TSR_EUNSUPPORTED,
                   "%s: libsndfile cannot write %zu channels at %g Hz in this "
                   "format",
                   name, s->channels, s->rate_hz);
    /* No PEAK chunk: it holds the time of writing. */
    sf_command(f, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
    sf_count_t n = (sf_count_t)s->frames;
    sf_count_t done = is_float ? sf_writef_float(f, s->data, n) : sf_writef_short(f, words, n);
    int closed = sf_close(f);
    f = NULL;
    if (m.failed)
        TSR_GOFAIL(TSR_ENOMEM, "%s: no memory for the sound's bytes", name);
    if (done != n || closed != 0)
        TSR_GOFAIL(TSR_EIO, "%s: only %lld of %lld frames were written", name, (long long)done,
                   (long long)n);
    *data = m.b.s;
    *bytes = m.b.len;
    m.b.s = NULL;
out:
    if (f)
        sf_close(f);
    tsr_free(m.b.s);
    tsr_free(words);
    return st;
}

tsr_status tsr_wav_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                         char **data, size_t *bytes)
{
    TSR_TRY(check(name, m, "WAV"));
    int coding = o->wav_float ? SF_FORMAT_FLOAT : SF_FORMAT_PCM_16;
    return write_sound(name, &m->as.sound, SF_FORMAT_WAV | coding, data, bytes);
}

tsr_status tsr_flac_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                          char **data, size_t *bytes)
{
    (void)o;
    TSR_TRY(check(name, m, "FLAC"));
    return write_sound(name, &m->as.sound, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, data, bytes);
}

/* SPDX-License-Identifier: Apache-2.0
 * Sounds through libsndfile; what it does not know goes on to FFmpeg. */
#include "codecs/format.h"

#include "base/mem.h"

#include <sndfile.h>

#include <stdio.h>
#include <string.h>

/* libsndfile's view of a source. */
typedef struct cursor {
    const tsr_blob *s;
    sf_count_t at;
} cursor;

static sf_count_t vio_length(void *p)
{
    return (sf_count_t)((cursor *)p)->s->bytes;
}

static sf_count_t vio_seek(sf_count_t offset, int whence, void *p)
{
    cursor *c = p;
    sf_count_t base = whence == SEEK_CUR ? c->at : whence == SEEK_END ? vio_length(p) : 0;
    if (base + offset < 0)
        return -1;
    c->at = base + offset;
    return c->at;
}

static sf_count_t vio_read(void *into, sf_count_t n, void *p)
{
    cursor *c = p;
    size_t got = 0;
    if (n <= 0 || tsr_blob_read(c->s, (uint64_t)c->at, into, (size_t)n, &got) != TSR_OK)
        return 0;
    c->at += (sf_count_t)got;
    return (sf_count_t)got;
}

static sf_count_t vio_write(const void *from, sf_count_t n, void *p)
{
    (void)from;
    (void)n;
    (void)p;
    return 0;
}

static sf_count_t vio_tell(void *p)
{
    return ((cursor *)p)->at;
}

static tsr_status read_frames(SNDFILE *f, const SF_INFO *info, const tsr_blob *s,
                              const tsr_read_options *o, tsr_sound *out)
{
    if (info->channels < 1 || info->samplerate < 1)
        TSR_FAIL(TSR_EFORMAT, "%s: a sound of %d channels at %d Hz", s->name, info->channels,
                 info->samplerate);
    if (info->frames < 1)
        TSR_FAIL(TSR_EFORMAT, "%s: holds no samples", s->name);
    if ((uint64_t)info->frames > o->max_samples / (size_t)info->channels)
        TSR_FAIL(TSR_ELIMIT, "%s: %lld samples of %d channels, more than the limit of %zu", s->name,
                 (long long)info->frames, info->channels, o->max_samples);
    tsr_sound sound;
    TSR_TRY(tsr_sound_init(&sound, info->samplerate, (size_t)info->channels, (size_t)info->frames));
    sf_count_t got = sf_readf_float(f, sound.data, info->frames);
    if (got == info->frames) {
        *out = sound;
        return TSR_OK;
    }
    tsr_sound_clear(&sound);
    TSR_FAIL(TSR_EFORMAT, "%s: sound is damaged or truncated: %lld of %lld samples could be read",
             s->name, (long long)got, (long long)info->frames);
}

/* *known is 0 when libsndfile does not know the format at all. */
static tsr_status read_sndfile(const tsr_blob *s, const tsr_read_options *o, tsr_sound *out,
                               int *known)
{
    SF_VIRTUAL_IO io = {vio_length, vio_seek, vio_read, vio_write, vio_tell};
    cursor c = {s, 0};
    SF_INFO info = {0};
    SNDFILE *f = sf_open_virtual(&io, SFM_READ, &info, &c);
    *known = f != NULL;
    if (!f)
        return TSR_OK;
    tsr_status st = read_frames(f, &info, s, o, out);
    sf_close(f);
    return st;
}

tsr_status tsr_sound_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                          tsr_media *out)
{
    tsr_status st = TSR_OK;
    tsr_sound sound = {0};
    int known = 0;
    TSR_TRY(tsr_sound_check(f, s));
    /* Not MP3: the decoder behind libsndfile prints on standard error. */
    if (strcmp(f->name, "MP3") != 0)
        TSR_GO(read_sndfile(s, o, &sound, &known));
    if (!known)
        TSR_GO(tsr_sound_read_av(s, o, &sound));
    for (size_t i = 0; i < sound.channels * sound.frames; i++)
        if (!(sound.data[i] - sound.data[i] == 0))
            TSR_GOFAIL(TSR_ENUMERIC, "%s: sample %zu is not a finite number", s->name, i);
    TSR_GO(tsr_sound_as_asked(&sound, s->name, o));
    *out = (tsr_media){.kind = TSR_MEDIA_SOUND, .as.sound = sound};
    sound = (tsr_sound){0};
out:
    tsr_sound_clear(&sound);
    return st;
}

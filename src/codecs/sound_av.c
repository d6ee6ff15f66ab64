/* SPDX-License-Identifier: Apache-2.0
 * The sound of anything FFmpeg can demux: MP3, M4A, Opus, the sound track of a video. */
#include "codecs/av.h"
#include "codecs/format.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libswresample/swresample.h>

#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES 32768

/* Containers that stand for themselves: none of these opens other files or network addresses. */
static const char containers[] = "mp3,mov,matroska,webm,ogg,flac,wav,w64,aac,ac3,eac3,dts,aiff,au,"
                                 "amr,asf,avi,flv,mpegts,mpeg,caf,tta,wv,ape";

typedef struct reader {
    const tsr_blob *s;
    uint64_t at;
    AVIOContext *io;
    AVFormatContext *format;
    AVCodecContext *codec;
    SwrContext *swr;
    AVPacket *packet;
    AVFrame *frame;
    int stream;
    tsr_sound sound; /* frames: how many are decoded */
    size_t cap;      /* frames there is room for */
    size_t max_samples;
} reader;

static int io_read(void *opaque, uint8_t *into, int n)
{
    reader *r = opaque;
    size_t got;
    if (tsr_blob_read(r->s, r->at, into, (size_t)n, &got) != TSR_OK)
        return AVERROR(EIO);
    r->at += got;
    return got ? (int)got : AVERROR_EOF;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence)
{
    reader *r = opaque;
    int64_t base = 0;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE)
        return (int64_t)r->s->bytes;
    if (whence == SEEK_CUR)
        base = (int64_t)r->at;
    else if (whence == SEEK_END)
        base = (int64_t)r->s->bytes;
    if (base + offset < 0)
        return AVERROR(EINVAL);
    r->at = (uint64_t)(base + offset);
    return base + offset;
}

/* Whatever a file asks to be opened beside itself is refused. */
static int refuse_open(AVFormatContext *f, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options)
{
    (void)f;
    (void)io;
    (void)url;
    (void)flags;
    (void)options;
    return AVERROR(EPERM);
}

static tsr_status out_of_memory(const reader *r)
{
    TSR_FAIL(TSR_ENOMEM, "%s: out of memory", r->s->name);
}

static tsr_status open_input(reader *r)
{
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    r->io = buffer ? avio_alloc_context(buffer, BUFFER_BYTES, 0, r, io_read, NULL, io_seek) : NULL;
    if (!r->io) {
        av_free(buffer);
        return out_of_memory(r);
    }
    r->format = avformat_alloc_context();
    if (!r->format)
        return out_of_memory(r);
    r->format->pb = r->io;
    r->format->io_open = refuse_open;
    AVDictionary *options = NULL;
    av_dict_set(&options, "format_whitelist", containers, 0);
    /* On failure this frees the context and sets it to NULL. */
    int code = avformat_open_input(&r->format, r->s->name, NULL, &options);
    av_dict_free(&options);
    if (code >= 0)
        code = avformat_find_stream_info(r->format, NULL);
    if (code < 0)
        return tsr_av_fail(code, r->s->name, "cannot be read as sound");
    return TSR_OK;
}

static tsr_status open_decoder(reader *r)
{
    const AVCodec *dec = NULL;
    r->stream = av_find_best_stream(r->format, AVMEDIA_TYPE_AUDIO, -1, -1, &dec, 0);
    if (r->stream < 0 || !dec)
        TSR_FAIL(r->stream == AVERROR_DECODER_NOT_FOUND ? TSR_EUNSUPPORTED : TSR_EFORMAT,
                 "%s: has no sound track that can be decoded", r->s->name);
    for (unsigned i = 0; i < r->format->nb_streams; i++)
        r->format->streams[i]->discard = (int)i == r->stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    r->codec = avcodec_alloc_context3(dec);
    r->packet = av_packet_alloc();
    r->frame = av_frame_alloc();
    if (!r->codec || !r->packet || !r->frame)
        return out_of_memory(r);
    const AVStream *stream = r->format->streams[r->stream];
    int code = avcodec_parameters_to_context(r->codec, stream->codecpar);
    r->codec->thread_count = 1;
    r->codec->pkt_timebase = stream->time_base; /* decoders trim encoder delay by it */
    if (code >= 0)
        code = avcodec_open2(r->codec, dec, NULL);
    return code < 0 ? tsr_av_fail(code, r->s->name, "cannot be decoded") : TSR_OK;
}

/* The first frame fixes rate and channels. */
static tsr_status first_frame(reader *r)
{
    AVFrame *f = r->frame;
    if (f->sample_rate < 1 || f->ch_layout.nb_channels < 1)
        TSR_FAIL(TSR_EFORMAT, "%s: a sound of %d channels at %d Hz", r->s->name,
                 f->ch_layout.nb_channels, f->sample_rate);
    r->sound.rate_hz = f->sample_rate;
    r->sound.channels = (size_t)f->ch_layout.nb_channels;
    int code = swr_alloc_set_opts2(&r->swr, &f->ch_layout, AV_SAMPLE_FMT_FLT, f->sample_rate,
                                   &f->ch_layout, f->format, f->sample_rate, 0, NULL);
    if (code >= 0)
        code = swr_init(r->swr);
    return code < 0 ? tsr_av_fail(code, r->s->name, "cannot be converted") : TSR_OK;
}

static tsr_status take_frame(reader *r)
{
    const AVFrame *f = r->frame;
    if (!r->swr)
        TSR_TRY(first_frame(r));
    tsr_sound *s = &r->sound;
    if (f->sample_rate != (int)s->rate_hz || (size_t)f->ch_layout.nb_channels != s->channels)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: sample rate or channels change within the sound",
                 r->s->name);
    size_t n = (size_t)f->nb_samples;
    if (s->frames + n > r->max_samples / s->channels)
        TSR_FAIL(TSR_ELIMIT, "%s: more than the limit of %zu samples", r->s->name, r->max_samples);
    if (s->frames + n > r->cap) {
        size_t cap = r->cap * 2 > s->frames + n ? r->cap * 2 : s->frames + n + 65536;
        TSR_TRY(tsr_grow(&s->data, s->frames * s->channels, cap * s->channels, sizeof *s->data));
        r->cap = cap;
    }
    uint8_t *to = (uint8_t *)(s->data + s->frames * s->channels);
    int code = swr_convert(r->swr, &to, (int)n, (const uint8_t **)f->extended_data, (int)n);
    if (code < 0)
        return tsr_av_fail(code, r->s->name, "cannot be converted");
    s->frames += (size_t)code;
    return TSR_OK;
}

/* packet NULL: the end. */
static tsr_status decode_packet(reader *r, const AVPacket *packet)
{
    int code = avcodec_send_packet(r->codec, packet);
    while (code >= 0) {
        code = avcodec_receive_frame(r->codec, r->frame);
        if (code >= 0)
            TSR_TRY(take_frame(r));
    }
    if (code != AVERROR(EAGAIN) && code != AVERROR_EOF)
        return tsr_av_fail(code, r->s->name, "sound is damaged");
    return TSR_OK;
}

static tsr_status decode_all(reader *r)
{
    int code;
    while ((code = av_read_frame(r->format, r->packet)) >= 0) {
        tsr_status st = TSR_OK;
        if (r->packet->stream_index == r->stream && r->packet->flags & AV_PKT_FLAG_CORRUPT)
            st = tsr_av_fail(AVERROR_INVALIDDATA, r->s->name, "sound is truncated or damaged");
        else if (r->packet->stream_index == r->stream)
            st = decode_packet(r, r->packet);
        av_packet_unref(r->packet);
        TSR_TRY(st);
    }
    if (code != AVERROR_EOF)
        return tsr_av_fail(code, r->s->name, "sound is truncated or damaged");
    TSR_TRY(decode_packet(r, NULL));
    if (strstr(tsr_av_line(), "prematurely")) /* Matroska goes on with what there is */
        return tsr_av_fail(AVERROR_INVALIDDATA, r->s->name, "sound is truncated");
    if (r->sound.frames == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: holds no samples", r->s->name);
    return TSR_OK;
}

tsr_status tsr_sound_read_av(tsr_blob *s, const tsr_read_options *o, tsr_sound *out)
{
    reader r = {.s = s, .max_samples = o->max_samples};
    tsr_status st = TSR_OK;
    tsr_av_begin();
    TSR_GO(open_input(&r));
    TSR_GO(open_decoder(&r));
    TSR_GO(decode_all(&r));
    *out = r.sound;
    r.sound = (tsr_sound){0};
out:
    tsr_sound_clear(&r.sound);
    av_frame_free(&r.frame);
    av_packet_free(&r.packet);
    swr_free(&r.swr);
    avcodec_free_context(&r.codec);
    avformat_close_input(&r.format);
    if (r.io)
        av_freep(&r.io->buffer);
    avio_context_free(&r.io);
    return st;
}

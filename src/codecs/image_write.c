/* SPDX-License-Identifier: Apache-2.0
 * PNG and JPEG through libavcodec. */
#include "codecs/av.h"
#include "codecs/depth.h"
#include "codecs/format.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>

#include <limits.h>
#include <string.h>

/* What an encoder needs besides the frame. */
typedef struct settings {
    enum AVCodecID codec;
    int compression; /* PNG: zlib level */
    int qscale;      /* JPEG: 1 (best) .. 31; 0: not JPEG */
} settings;

static tsr_status make_frame(const char *name, const tsr_image *im, enum AVPixelFormat format,
                             AVFrame **out)
{
    AVFrame *f = av_frame_alloc();
    if (!f)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", name);
    f->format = format;
    f->width = (int)im->width;
    f->height = (int)im->height;
    int code = av_frame_get_buffer(f, 0);
    if (code < 0) {
        av_frame_free(&f);
        return tsr_av_fail(code, name, "cannot be encoded");
    }
    *out = f;
    return TSR_OK;
}

static tsr_status open_encoder(const settings *s, const AVFrame *f, AVCodecContext **out)
{
    const AVCodec *enc = avcodec_find_encoder(s->codec);
    AVCodecContext *c = enc ? avcodec_alloc_context3(enc) : NULL;
    if (!c)
        TSR_FAIL(TSR_EUNSUPPORTED, "this FFmpeg has no %s encoder", avcodec_get_name(s->codec));
    c->thread_count = 1;
    c->width = f->width;
    c->height = f->height;
    c->pix_fmt = f->format;
    c->time_base = (AVRational){1, 25};
    c->compression_level = s->compression;
    if (s->qscale) {
        c->color_range = AVCOL_RANGE_JPEG;
        c->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
        c->global_quality = s->qscale * FF_QP2LAMBDA;
        c->qmin = 1;
    }
    *out = c;
    return TSR_OK;
}

static tsr_status encode(const char *name, const settings *s, AVFrame *f, char **data,
                         size_t *bytes)
{
    tsr_status st = TSR_OK;
    AVCodecContext *c = NULL;
    AVPacket *p = av_packet_alloc();
    if (!p)
        TSR_GOFAIL(TSR_ENOMEM, "%s: out of memory", name);
    TSR_GO(open_encoder(s, f, &c));
    f->quality = c->global_quality;
    int code = avcodec_open2(c, c->codec, NULL);
    if (code >= 0)
        code = avcodec_send_frame(c, f);
    if (code >= 0)
        code = avcodec_send_frame(c, NULL);
    if (code >= 0)
        code = avcodec_receive_packet(c, p);
    if (code < 0) {
        st = tsr_av_fail(code, name, "cannot be encoded");
        goto out;
    }
    TSR_GO(tsr_alloc(data, (size_t)p->size, 1));
    memcpy(*data, p->data, (size_t)p->size);
    *bytes = (size_t)p->size;
out:
    av_packet_free(&p);
    avcodec_free_context(&c);
    return st;
}

static tsr_status usable(const char *name, const tsr_media *m, const char *format)
{
    if (m->kind != TSR_MEDIA_IMAGE)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: a %s cannot hold %s", name, format,
                 tsr_media_name(m->kind));
    const tsr_image *im = &m->as.image;
    if (im->height > INT_MAX / 16 || im->width > INT_MAX / 16 / im->height)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu x %zu pixels are too many for a %s", name, im->width,
                 im->height, format);
    return TSR_OK;
}

/* ---- PNG ---- */

static void png_rows(const tsr_image *im, AVFrame *f)
{
    for (size_t y = 0; y < im->height; y++) {
        uint8_t *to = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        size_t n = im->width * im->channels;
        if (im->pixel == TSR_PIXEL_U8) {
            memcpy(to, tsr_image_row(im, y), n);
            continue;
        }
        const uint16_t *from = tsr_image_row(im, y);
        for (size_t i = 0; i < n; i++) {
            to[2 * i] = (uint8_t)(from[i] >> 8);
            to[2 * i + 1] = (uint8_t)from[i];
        }
    }
}

static tsr_status png_image(const char *name, const tsr_image *im, const tsr_write_options *o,
                            char **data, size_t *bytes)
{
    static const enum AVPixelFormat of8[] = {AV_PIX_FMT_GRAY8, AV_PIX_FMT_YA8, AV_PIX_FMT_RGB24,
                                             AV_PIX_FMT_RGBA};
    static const enum AVPixelFormat of16[] = {AV_PIX_FMT_GRAY16BE, AV_PIX_FMT_YA16BE,
                                              AV_PIX_FMT_RGB48BE, AV_PIX_FMT_RGBA64BE};
    const enum AVPixelFormat *of = im->pixel == TSR_PIXEL_U8 ? of8 : of16;
    const settings s = {AV_CODEC_ID_PNG, o->compression ? o->compression : 6, 0};
    AVFrame *f;
    tsr_av_begin();
    TSR_TRY(make_frame(name, im, of[im->channels - 1], &f));
    png_rows(im, f);
    tsr_status st = encode(name, &s, f, data, bytes);
    av_frame_free(&f);
    return st;
}

tsr_status tsr_png_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                         char **data, size_t *bytes)
{
    TSR_TRY(usable(name, m, "PNG"));
    if (m->as.image.pixel != TSR_PIXEL_F32)
        return png_image(name, &m->as.image, o, data, bytes);
    tsr_image words;
    TSR_TRY(tsr_depth_store(&m->as.image, name, &o->depth, &words));
    tsr_status st = png_image(name, &words, o, data, bytes);
    tsr_image_clear(&words);
    return st;
}

/* ---- JPEG: full range, chroma at full size (4:4:4) ---- */

static uint8_t level(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

/* Source: JFIF 1.02, conversion to and from RGB. */
static void jpeg_rows(const tsr_image *im, AVFrame *f)
{
    for (size_t y = 0; y < im->height; y++) {
        const uint8_t *p = tsr_image_row(im, y);
        uint8_t *to[3];
        for (int k = 0; k < 3; k++)
            to[k] = f->data[k] + (ptrdiff_t)y * f->linesize[k];
        for (size_t x = 0; x < im->width; x++, p += im->channels) {
            double r = p[0], g = im->channels == 3 ? p[1] : r, b = im->channels == 3 ? p[2] : r;
            to[0][x] = level(0.299 * r + 0.587 * g + 0.114 * b);
            to[1][x] = level(128 - 0.168735892 * r - 0.331264108 * g + 0.5 * b);
            to[2][x] = level(128 + 0.5 * r - 0.418687589 * g - 0.081312411 * b);
        }
    }
}

tsr_status tsr_jpeg_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                          char **data, size_t *bytes)
{
    TSR_TRY(usable(name, m, "JPEG"));
    const tsr_image *im = &m->as.image;
    if (im->pixel != TSR_PIXEL_U8 || (im->channels != 1 && im->channels != 3))
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: a JPEG holds 8-bit grey or RGB, not %zu channels of %d "
                 "bits",
                 name, im->channels, 8 * (int)im->pixel);
    int quality = o->quality ? o->quality : 92;
    const settings s = {AV_CODEC_ID_MJPEG, -1, 1 + (100 - quality) * 30 / 99};
    AVFrame *f;
    tsr_av_begin();
    TSR_TRY(make_frame(name, im, AV_PIX_FMT_YUVJ444P, &f));
    jpeg_rows(im, f);
    tsr_status st = encode(name, &s, f, data, bytes);
    av_frame_free(&f);
    return st;
}

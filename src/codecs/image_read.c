/* SPDX-License-Identifier: Apache-2.0
 * Still pictures through libavcodec: no container is probed, the decoder gets the file's bytes. */
#include "codecs/av.h"
#include "codecs/depth.h"
#include "codecs/format.h"
#include "codecs/still.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>

#include <limits.h>
#include <stdio.h>

static const struct {
    int codec;
    tsr_status (*prepare)(const tsr_blob *s, const tsr_read_options *o, tsr_still *out);
} preparers[] = {
    {AV_CODEC_ID_PNG, tsr_png_prepare},   {AV_CODEC_ID_MJPEG, tsr_jpeg_prepare},
    {AV_CODEC_ID_WEBP, tsr_webp_prepare}, {AV_CODEC_ID_GIF, tsr_gif_prepare},
    {AV_CODEC_ID_BMP, tsr_bmp_prepare},   {AV_CODEC_ID_TIFF, tsr_tiff_prepare},
    {AV_CODEC_ID_PPM, tsr_pnm_prepare},   {AV_CODEC_ID_PGM, tsr_pnm_prepare},
    {AV_CODEC_ID_PBM, tsr_pnm_prepare},   {AV_CODEC_ID_PAM, tsr_pnm_prepare},
};

static tsr_status prepare(int codec, const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    for (size_t i = 0; i < sizeof preparers / sizeof preparers[0]; i++)
        if (preparers[i].codec == codec)
            return preparers[i].prepare(s, o, out);
    TSR_FAIL(TSR_EUNSUPPORTED, "%s: no reader for codec %d", s->name, codec);
}

static void free_packet_data(void *opaque, uint8_t *data)
{
    (void)opaque;
    tsr_free(data);
}

/* The picture's bytes move into the packet. */
static tsr_status make_packet(tsr_still *st, const char *name, AVPacket **out)
{
    AVPacket *p = av_packet_alloc();
    if (!p)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", name);
    p->buf = av_buffer_create(st->data, st->bytes + AV_INPUT_BUFFER_PADDING_SIZE, free_packet_data,
                              NULL, AV_BUFFER_FLAG_READONLY);
    if (!p->buf) {
        av_packet_free(&p);
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", name);
    }
    p->data = st->data;
    p->size = (int)st->bytes;
    p->flags = AV_PKT_FLAG_KEY;
    st->data = NULL;
    *out = p;
    return TSR_OK;
}

static AVCodecContext *make_context(int codec, const tsr_read_options *o)
{
    const AVCodec *dec = avcodec_find_decoder((enum AVCodecID)codec);
    AVCodecContext *c = dec ? avcodec_alloc_context3(dec) : NULL;
    if (!c)
        return NULL;
    c->thread_count = 1;
    /* The decoder counts its padding too; the picture's own size is checked afterwards. */
    c->max_pixels = o->max_pixels < INT_MAX / 4 ? (int64_t)o->max_pixels * 2 + 65536 : INT_MAX;
    /* Every irregularity ends the decoding: half a picture is worse than none. Not so for TIFF,
     * where an unknown tag is one. */
    if (codec != AV_CODEC_ID_TIFF)
        c->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
    /* The inverse DCT of the JPEG group's own library, bit for bit. */
    c->idct_algo = FF_IDCT_INT;
    return c;
}

static tsr_status decode(const tsr_codec *f, tsr_still *still, const char *name,
                         const tsr_read_options *o, AVFrame *frame)
{
    tsr_status st = TSR_OK;
    char what[64];
    snprintf(what, sizeof what, "cannot be decoded as %s", f->name);
    AVPacket *packet = NULL;
    tsr_av_begin();
    AVCodecContext *c = make_context(f->av_codec, o);
    if (!c)
        TSR_GOFAIL(TSR_EUNSUPPORTED, "%s: this FFmpeg has no %s decoder", name, f->name);
    TSR_GO(make_packet(still, name, &packet));
    int code = avcodec_open2(c, c->codec, NULL);
    if (code >= 0)
        code = avcodec_send_packet(c, packet);
    if (code >= 0)
        code = avcodec_send_packet(c, NULL);
    if (code >= 0)
        code = avcodec_receive_frame(c, frame);
    if (code < 0)
        st = tsr_av_fail(code, name, what);
    else if (frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT)
        st = tsr_av_fail(AVERROR_INVALIDDATA, name, what);
out:
    av_packet_free(&packet);
    avcodec_free_context(&c);
    return st;
}

static tsr_status finish(tsr_image *im, const tsr_still *st, const char *name,
                         const tsr_read_options *o)
{
    if (!o->ignore_orientation)
        TSR_TRY(tsr_image_orient(im, st->orientation));
    if (o->flatten)
        TSR_TRY(tsr_image_flatten(im, o->background));
    return tsr_depth_read(im, name, &o->depth);
}

tsr_status tsr_image_read_av(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o,
                             tsr_media *out)
{
    tsr_status st = TSR_OK;
    tsr_still still = {.orientation = 1};
    tsr_image im = {0};
    AVFrame *frame = av_frame_alloc();
    if (!frame)
        TSR_GOFAIL(TSR_ENOMEM, "%s: out of memory", s->name);
    TSR_GO(prepare(f->av_codec, s, o, &still));
    TSR_GO(decode(f, &still, s->name, o, frame));
    TSR_GO(tsr_image_limits(s->name, (uint64_t)frame->height, (uint64_t)frame->width, o));
    TSR_GO(tsr_frame_image(frame, &still, s->name, o, &im));
    TSR_GO(finish(&im, &still, s->name, o));
    *out = (tsr_media){.kind = TSR_MEDIA_IMAGE, .as.image = im};
    im = (tsr_image){0};
out:
    tsr_image_clear(&im);
    tsr_free(still.data);
    av_frame_free(&frame);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Still pictures through libavcodec: no container is probed, the decoder gets the file's bytes. */
#include "codecs/av.h"
#include "codecs/format.h"
#include "codecs/still.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

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

/* Fresh pixels all hold the byte `opaque` points to, not what memory held before. */
static int filled_buffer(AVCodecContext *c, AVFrame *f, int flags)
{
    int code = avcodec_default_get_buffer2(c, f, flags);
    for (int i = 0; code >= 0 && i < AV_NUM_DATA_POINTERS && f->buf[i]; i++)
        memset(f->buf[i]->data, *(const uint8_t *)c->opaque, f->buf[i]->size);
    return code;
}

static AVCodecContext *make_context(int codec, const tsr_read_options *o, uint8_t *fill)
{
    const AVCodec *dec = avcodec_find_decoder((enum AVCodecID)codec);
    AVCodecContext *c = dec ? avcodec_alloc_context3(dec) : NULL;
    if (!c)
        return NULL;
    c->thread_count = 1;
    c->opaque = fill;
    c->get_buffer2 = filled_buffer;
    /* The decoder counts its padding too; the picture's own size is checked afterwards. */
    c->max_pixels = o->max_pixels < INT_MAX / 4 ? (int64_t)o->max_pixels * 2 + 65536 : INT_MAX;
    /* Every irregularity ends the decoding: half a picture is worse than none. Not so for TIFF,
     * where an unknown tag is one. */
    if (codec != AV_CODEC_ID_TIFF)
        c->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
    /* The integer inverse DCT of libjpeg's kind: closest to what other readers see. */
    c->idct_algo = FF_IDCT_INT;
    return c;
}

static tsr_status decode_once(const tsr_codec *f, AVPacket *packet, const char *name,
                              const tsr_read_options *o, uint8_t fill, AVFrame *frame)
{
    tsr_status st = TSR_OK;
    char what[64];
    snprintf(what, sizeof what, "cannot be decoded as %s", f->name);
    AVCodecContext *c = make_context(f->av_codec, o, &fill);
    if (!c)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: this FFmpeg has no %s decoder", name, f->name);
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
    avcodec_free_context(&c);
    return st;
}

static int row_is(const AVFrame *f, int y, uint8_t fill)
{
    int n = av_image_get_linesize(f->format, f->width, 0);
    const uint8_t *p = f->data[0] + (ptrdiff_t)y * f->linesize[0];
    for (int i = 0; i < n; i++)
        if (p[i] != fill)
            return 0;
    return n > 0;
}

/* One of the last two rows as it was before decoding: data that end early leave them so (two,
 * because an interlaced picture ends with its last odd row). */
static int may_lack_rows(const AVFrame *f, uint8_t fill)
{
    return row_is(f, f->height - 1, fill) || (f->height > 1 && row_is(f, f->height - 2, fill));
}

tsr_status tsr_still_decode(const tsr_codec *f, tsr_still *still, const char *name,
                            const tsr_read_options *o, AVFrame *frame)
{
    tsr_status st = TSR_OK;
    AVPacket *packet = NULL;
    const uint8_t first = 0xa5, second = 0x5a;
    tsr_av_begin();
    TSR_TRY(make_packet(still, name, &packet));
    TSR_GO(decode_once(f, packet, name, o, first, frame));
    if (!may_lack_rows(frame, first))
        goto out;
    /* A picture may well have that value; it cannot have the other one as well. */
    av_frame_unref(frame);
    TSR_GO(decode_once(f, packet, name, o, second, frame));
    if (may_lack_rows(frame, second))
        TSR_GOFAIL(TSR_EFORMAT, "%s: %s is truncated: its pixel data end before the last row", name,
                   f->name);
out:
    av_packet_free(&packet);
    return st;
}

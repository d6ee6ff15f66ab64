/* SPDX-License-Identifier: Apache-2.0
 * Still pictures: header checked, decoded, turned, composited, scaled to metres. */
#include "codecs/depth.h"
#include "codecs/format.h"
#include "codecs/still.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>

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
    TSR_GO(tsr_still_decode(f, &still, s->name, o, frame));
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

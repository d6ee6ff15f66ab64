/* SPDX-License-Identifier: Apache-2.0
 * A decoded frame to an image: grey, RGB, palette and CMYK layouts, exact where 8 or 16 bits are.
 */
#include "codecs/still.h"

#include "base/mem.h"

#include <libavutil/pixdesc.h>

#include <string.h>

/* Where component c of pixel x in a row is. */
typedef struct layout {
    const AVFrame *f;
    const AVPixFmtDescriptor *d;
    size_t channels;
    int bits;  /* of a component as stored */
    int whole; /* components are whole bytes or whole 16-bit words */
} layout;

static const uint8_t *row_at(const layout *l, size_t c, size_t y)
{
    const AVComponentDescriptor *k = &l->d->comp[c];
    return l->f->data[k->plane] + (ptrdiff_t)y * l->f->linesize[k->plane] + k->offset;
}

static void whole_row_u8(const layout *l, size_t y, uint8_t *to)
{
    for (size_t c = 0; c < l->channels; c++) {
        const uint8_t *from = row_at(l, c, y);
        size_t step = (size_t)l->d->comp[c].step;
        for (size_t x = 0; x < (size_t)l->f->width; x++)
            to[x * l->channels + c] = from[x * step];
    }
}

static void whole_row_u16(const layout *l, size_t y, uint16_t *to)
{
    int big = (l->d->flags & AV_PIX_FMT_FLAG_BE) != 0;
    for (size_t c = 0; c < l->channels; c++) {
        const uint8_t *from = row_at(l, c, y);
        size_t step = (size_t)l->d->comp[c].step;
        for (size_t x = 0; x < (size_t)l->f->width; x++, from += step)
            to[x * l->channels + c] = (uint16_t)(big ? tsr_be16(from) : tsr_le16(from));
    }
}

/* Components of odd width (1-bit masks, 5-6-5, 12 bits), scaled to the full range of 8 or 16. */
static void odd_row(const layout *l, size_t y, uint16_t *line, tsr_image *im)
{
    uint32_t full = im->pixel == TSR_PIXEL_U8 ? 255 : 65535;
    for (size_t c = 0; c < l->channels; c++) {
        uint32_t top = (1u << l->d->comp[c].depth) - 1;
        av_read_image_line2(line, (const uint8_t **)(uintptr_t)l->f->data, l->f->linesize, l->d, 0,
                            (int)y, (int)c, l->f->width, 0, sizeof *line);
        for (size_t x = 0; x < im->width; x++) {
            uint32_t v = (line[x] * full + top / 2) / top;
            if (l->f->format == AV_PIX_FMT_MONOWHITE)
                v = full - v;
            if (im->pixel == TSR_PIXEL_U8)
                ((uint8_t *)tsr_image_row(im, y))[x * l->channels + c] = (uint8_t)v;
            else
                ((uint16_t *)tsr_image_row(im, y))[x * l->channels + c] = (uint16_t)v;
        }
    }
}

static tsr_status direct(const layout *l, tsr_image *out)
{
    tsr_status st = TSR_OK;
    uint16_t *line = NULL;
    tsr_image im = {0};
    tsr_pixel pixel = l->bits <= 8 ? TSR_PIXEL_U8 : TSR_PIXEL_U16;
    TSR_GO(tsr_image_init(&im, (size_t)l->f->height, (size_t)l->f->width, l->channels, pixel));
    TSR_GO(tsr_alloc(&line, im.width, sizeof *line));
    for (size_t y = 0; y < im.height; y++) {
        if (!l->whole)
            odd_row(l, y, line, &im);
        else if (pixel == TSR_PIXEL_U8)
            whole_row_u8(l, y, tsr_image_row(&im, y));
        else
            whole_row_u16(l, y, tsr_image_row(&im, y));
    }
    *out = im;
    im = (tsr_image){0};
out:
    tsr_image_clear(&im);
    tsr_free(line);
    return st;
}

/* Do all pixels stand for the grey of their own index? */
static int is_ramp(const AVFrame *f, const uint32_t colours[256])
{
    for (int y = 0; y < f->height; y++) {
        const uint8_t *p = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        for (int x = 0; x < f->width; x++)
            if (colours[p[x]] != 0xff000000u + p[x] * 0x010101u)
                return 0;
    }
    return 1;
}

/* FFmpeg's palette: 256 native-endian words 0xAARRGGBB. */
static tsr_status palette(const AVFrame *f, const tsr_still *st, int indices, tsr_image *out)
{
    tsr_image im;
    uint32_t colours[256];
    memcpy(colours, f->data[1], sizeof colours);
    indices = indices || (st->loose && is_ramp(f, colours));
    TSR_TRY(
        tsr_image_init(&im, (size_t)f->height, (size_t)f->width, indices ? 1 : 4, TSR_PIXEL_U8));
    for (size_t y = 0; y < im.height; y++) {
        const uint8_t *from = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        uint8_t *to = tsr_image_row(&im, y);
        if (indices) {
            memcpy(to, from, im.width);
            continue;
        }
        for (size_t x = 0; x < im.width; x++, to += 4) {
            uint32_t c = colours[from[x]];
            to[0] = (uint8_t)(c >> 16);
            to[1] = (uint8_t)(c >> 8);
            to[2] = (uint8_t)c;
            to[3] = (uint8_t)(c >> 24);
        }
    }
    *out = im;
    return indices ? TSR_OK : tsr_image_drop_opaque(out);
}

static int bytes_or_words(const AVPixFmtDescriptor *d)
{
    for (int c = 0; c < d->nb_components; c++)
        if (d->comp[c].shift != 0 || d->comp[c].depth != d->comp[0].depth)
            return 0;
    return (d->comp[0].depth == 8 || d->comp[0].depth == 16) &&
           !(d->flags & AV_PIX_FMT_FLAG_BITSTREAM);
}

tsr_status tsr_frame_image(const AVFrame *f, const tsr_still *st, const char *name,
                           const tsr_read_options *o, tsr_image *out)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    if (f->format == AV_PIX_FMT_PAL8)
        return palette(f, st, o->palette_indices, out);
    if (st->ink != TSR_INK_NONE && f->format == AV_PIX_FMT_YUVA444P)
        return tsr_frame_cmyk(f, st->ink, out);
    if (tsr_frame_is_ycc(f)) {
        TSR_TRY(tsr_frame_ycc(f, name, out));
    } else {
        int grey = d && d->nb_components <= 2;
        if (!d || !(grey || d->flags & AV_PIX_FMT_FLAG_RGB) || d->flags & AV_PIX_FMT_FLAG_FLOAT ||
            d->comp[0].depth > 16)
            TSR_FAIL(TSR_EUNSUPPORTED, "%s: pixel format %s", name, d ? d->name : "unknown");
        layout l = {f, d, d->nb_components, d->comp[0].depth, bytes_or_words(d)};
        TSR_TRY(direct(&l, out));
    }
    return st->loose ? tsr_image_drop_opaque(out) : TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Luma and chroma planes to RGB, as libjpeg does it: chroma is brought to full size by a triangle
 * filter (halved sizes) or by repetition (others), then BT.601 in 16-bit fixed point.
 * Source   JFIF 1.02 (full range); ITU-R BT.601 (limited range, WebP); the filter is the "fancy
 *          upsampling" of libjpeg, with its alternating rounding, so that pixels agree. */
#include "codecs/still.h"

#include "base/mem.h"

#include <libavutil/pixdesc.h>

#include <string.h>

int tsr_frame_is_ycc(const AVFrame *f)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    return d && !(d->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) &&
           d->nb_components >= 3 && (d->flags & AV_PIX_FMT_FLAG_PLANAR) && d->comp[0].depth == 8 &&
           d->comp[0].step == 1 && d->comp[1].step == 1 && d->comp[1].plane == 1 &&
           d->comp[2].plane == 2;
}

typedef struct chroma {
    const AVFrame *f;
    int plane, log_x, log_y;
    int triangle_x, triangle_y; /* filter in this direction; otherwise repeat */
    size_t width, height;       /* of the plane */
    int *sums;                  /* [width] one row after the vertical step: times 4 if filtered */
} chroma;

static void vertical(const chroma *c, size_t y)
{
    size_t at = y >> c->log_y, near = at;
    const uint8_t *base = c->f->data[c->plane];
    ptrdiff_t pitch = c->f->linesize[c->plane];
    const uint8_t *row = base + (ptrdiff_t)at * pitch;
    if (!c->triangle_y) {
        for (size_t x = 0; x < c->width; x++)
            c->sums[x] = row[x];
        return;
    }
    if (y & 1)
        near = at + 1 < c->height ? at + 1 : at;
    else if (at > 0)
        near = at - 1;
    const uint8_t *other = base + (ptrdiff_t)near * pitch;
    for (size_t x = 0; x < c->width; x++)
        c->sums[x] = 3 * row[x] + other[x];
}

/* Triangle of a doubled row; the sums carry 0 or 2 fractional bits, and halves are rounded down on
 * even and up on odd places (libjpeg's way of not brightening). */
static void widen(const chroma *c, uint8_t *to, size_t n)
{
    const int *s = c->sums;
    int up = c->triangle_y, shift = up ? 4 : 2, even = up ? 8 : 1, odd = up ? 7 : 2;
    size_t last = c->width - 1;
    for (size_t x = 0; x < n; x++) {
        size_t i = x >> 1;
        if (x & 1)
            to[x] = (uint8_t)((3 * s[i] + s[i < last ? i + 1 : last] + odd) >> shift);
        else
            to[x] = (uint8_t)((3 * s[i] + s[i > 0 ? i - 1 : 0] + even) >> shift);
    }
}

static void chroma_row(const chroma *c, size_t y, uint8_t *to, size_t n)
{
    vertical(c, y);
    if (c->triangle_x) {
        widen(c, to, n);
        return;
    }
    int shift = c->triangle_y ? 2 : 0;
    int bias = !c->triangle_y ? 0 : (y & 1) ? 2 : 1;
    for (size_t x = 0; x < n; x++)
        to[x] = (uint8_t)((c->sums[x >> c->log_x] + bias) >> shift);
}

static uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Coefficients in 1/65536 and the offsets of luma. */
typedef struct matrix {
    int y_scale, y_zero, r_v, g_u, g_v, b_u;
} matrix;

static const matrix full_range = {65536, 0, 91881, -22554, -46802, 116130};
static const matrix limited_range = {76309, 16, 104597, -25675, -53279, 132201};

static void to_rgb(const matrix *m, const uint8_t *const planes[4], size_t n, size_t channels,
                   uint8_t *to)
{
    for (size_t x = 0; x < n; x++, to += channels) {
        int y = (planes[0][x] - m->y_zero) * m->y_scale;
        int u = planes[1][x] - 128, v = planes[2][x] - 128;
        to[0] = clip((y + m->r_v * v + 32768) >> 16);
        to[1] = clip((y + m->g_u * u + m->g_v * v + 32768) >> 16);
        to[2] = clip((y + m->b_u * u + 32768) >> 16);
        if (channels == 4)
            to[3] = planes[3][x];
    }
}

tsr_status tsr_frame_ycc(const AVFrame *f, const char *name, tsr_image *out)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    if (!d || d->log2_chroma_w > 2 || d->log2_chroma_h > 2)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: chroma subsampling of pixel format %s", name,
                 d ? d->name : "?");
    tsr_status st = TSR_OK;
    tsr_image im = {0};
    uint8_t *rows = NULL;
    int *sums = NULL;
    size_t w = (size_t)f->width, h = (size_t)f->height;
    size_t cw = (w + ((size_t)1 << d->log2_chroma_w) - 1) >> d->log2_chroma_w;
    size_t ch = (h + ((size_t)1 << d->log2_chroma_h) - 1) >> d->log2_chroma_h;
    size_t channels = d->nb_components == 4 ? 4 : 3;
    TSR_GO(tsr_image_init(&im, h, w, channels, TSR_PIXEL_U8));
    TSR_GO(tsr_alloc(&rows, 2, w));
    TSR_GO(tsr_alloc(&sums, cw, sizeof *sums));
    int log_x = d->log2_chroma_w, log_y = d->log2_chroma_h;
    /* libjpeg repeats where a row has no inner columns, and at ratios other than 2. */
    int filter_x = log_x == 1 && log_y <= 1 && cw > 2;
    int filter_y = log_y == 1 && (log_x == 0 || filter_x);
    chroma u = {f, 1, log_x, log_y, filter_x, filter_y, cw, ch, sums}, v = u;
    v.plane = 2;
    int jpeg = f->color_range == AVCOL_RANGE_JPEG || strncmp(d->name, "yuvj", 4) == 0;
    for (size_t y = 0; y < h; y++) {
        chroma_row(&u, y, rows, w);
        chroma_row(&v, y, rows + w, w);
        const uint8_t *luma = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        const uint8_t *alpha = channels == 4 ? f->data[3] + (ptrdiff_t)y * f->linesize[3] : NULL;
        const uint8_t *const planes[4] = {luma, rows, rows + w, alpha};
        to_rgb(jpeg ? &full_range : &limited_range, planes, w, channels, tsr_image_row(&im, y));
    }
    *out = im;
    im = (tsr_image){0};
out:
    tsr_image_clear(&im);
    tsr_free(rows);
    tsr_free(sums);
    return st;
}

tsr_status tsr_frame_cmyk(const AVFrame *f, tsr_ink ink, tsr_image *out)
{
    TSR_TRY(tsr_image_init(out, (size_t)f->height, (size_t)f->width, 3, TSR_PIXEL_U8));
    for (size_t y = 0; y < out->height; y++) {
        uint8_t *to = tsr_image_row(out, y);
        const uint8_t *p[4];
        for (int c = 0; c < 4; c++)
            p[c] = f->data[c] + (ptrdiff_t)y * f->linesize[c];
        if (ink == TSR_INK_YCCK)
            to_rgb(&full_range, p, out->width, 3, to);
        for (size_t x = 0; x < out->width; x++, to += 3) {
            unsigned black = p[3][x];
            for (int c = 0; c < 3; c++) {
                unsigned ink_c = ink == TSR_INK_YCCK ? to[c] : 255u - p[c][x];
                to[c] = (uint8_t)(black - (ink_c * black + 127) / 255);
            }
        }
    }
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * GIF, WebP, BMP, TIFF and PNM before decoding: sizes checked, first picture only.
 * Source   GIF89a; RFC 9649 (WebP); Microsoft's BITMAPINFOHEADER; TIFF 6.0; netpbm's ppm(5). */
#include "codecs/format.h"
#include "codecs/still.h"

#include "base/mem.h"

#include <libavcodec/avcodec.h>

#include <limits.h>
#include <string.h>

tsr_status tsr_still_room(tsr_still *st, size_t bytes)
{
    size_t room;
    TSR_TRY(tsr_add_size(bytes, AV_INPUT_BUFFER_PADDING_SIZE, &room));
    if (room > INT_MAX)
        TSR_FAIL(TSR_ELIMIT, "a picture of %zu bytes, FFmpeg takes at most %d", bytes, INT_MAX);
    return tsr_alloc(&st->data, room, 1);
}

void tsr_still_add(tsr_still *st, const uint8_t *data, size_t bytes)
{
    memcpy(st->data + st->bytes, data, bytes);
    st->bytes += bytes;
}

tsr_status tsr_image_limits(const char *name, uint64_t height, uint64_t width,
                            const tsr_read_options *o)
{
    if (height == 0 || width == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: a picture of %llu x %llu pixels is empty", name,
                 (unsigned long long)width, (unsigned long long)height);
    if (height > o->max_side || width > o->max_side)
        TSR_FAIL(TSR_ELIMIT, "%s: %llu x %llu pixels, a side may have %zu at most", name,
                 (unsigned long long)width, (unsigned long long)height, o->max_side);
    if (width > o->max_pixels / height)
        TSR_FAIL(TSR_ELIMIT, "%s: %llu x %llu pixels, more than the limit of %zu", name,
                 (unsigned long long)width, (unsigned long long)height, o->max_pixels);
    return TSR_OK;
}

static tsr_status copy_all(const tsr_blob *s, tsr_still *out)
{
    TSR_TRY(tsr_still_room(out, s->bytes));
    tsr_still_add(out, s->data, s->bytes);
    return TSR_OK;
}

/* Offset behind a chain of GIF sub-blocks, or 0 when the file ends in it. */
static size_t gif_blocks(const tsr_blob *s, size_t at)
{
    while (at < s->bytes && s->data[at] != 0)
        at += 1 + (size_t)s->data[at];
    return at < s->bytes ? at + 1 : 0;
}

static size_t gif_table_bytes(uint8_t flags)
{
    return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

/* Offset behind the first picture, or 0 when there is none that is whole. */
static size_t gif_first_end(const tsr_blob *s)
{
    size_t at = 13 + gif_table_bytes(s->data[10]);
    while (at != 0 && at + 1 < s->bytes) {
        if (s->data[at] == 0x21) {
            at = gif_blocks(s, at + 2);
            continue;
        }
        if (s->data[at] != 0x2c || at + 10 >= s->bytes)
            return 0;
        return gif_blocks(s, at + 11 + gif_table_bytes(s->data[at + 9]));
    }
    return 0;
}

tsr_status tsr_gif_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    if (s->bytes < 13)
        TSR_FAIL(TSR_EFORMAT, "%s: GIF is cut off in its header", s->name);
    TSR_TRY(tsr_image_limits(s->name, tsr_le16(s->data + 8), tsr_le16(s->data + 6), o));
    size_t end = gif_first_end(s);
    if (end == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: GIF is truncated before the end of its first picture", s->name);
    static const uint8_t trailer = 0x3b;
    TSR_TRY(tsr_still_room(out, end + 1));
    tsr_still_add(out, s->data, end);
    tsr_still_add(out, &trailer, 1);
    out->loose = 1;
    return TSR_OK;
}

/* The size a WebP chunk tells, into wh; 0 when the chunk tells none. */
static int webp_size(const uint8_t *type, const uint8_t *p, size_t n, uint32_t wh[2])
{
    if (memcmp(type, "VP8X", 4) == 0 && n >= 10) {
        wh[0] = 1 + (tsr_le16(p + 4) | (uint32_t)p[6] << 16);
        wh[1] = 1 + (tsr_le16(p + 7) | (uint32_t)p[9] << 16);
        return 1;
    }
    if (memcmp(type, "VP8L", 4) == 0 && n >= 5) {
        uint32_t bits = tsr_le32(p + 1);
        wh[0] = 1 + (bits & 0x3fff);
        wh[1] = 1 + (bits >> 14 & 0x3fff);
        return 1;
    }
    if (memcmp(type, "VP8 ", 4) == 0 && n >= 10) {
        wh[0] = tsr_le16(p + 6) & 0x3fff;
        wh[1] = tsr_le16(p + 8) & 0x3fff;
        return 1;
    }
    return 0;
}

tsr_status tsr_webp_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    uint64_t end = 8 + (uint64_t)tsr_le32(s->data + 4);
    if (end > s->bytes || end < 20)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: WebP is truncated: its header promises %llu bytes, there are "
                 "%llu",
                 s->name, (unsigned long long)end, (unsigned long long)s->bytes);
    int pixels = 0;
    for (size_t at = 12; at + 8 <= end;) {
        const uint8_t *type = s->data + at, *body = type + 8;
        size_t n = tsr_le32(type + 4);
        if (n > end - at - 8)
            TSR_FAIL(TSR_EFORMAT,
                     "%s: WebP chunk %.4s at offset %zu promises %zu bytes, %zu are "
                     "left",
                     s->name, (const char *)type, at, n, (size_t)end - at - 8);
        if (memcmp(type, "ANIM", 4) == 0)
            TSR_FAIL(TSR_EUNSUPPORTED, "%s: animated WebP", s->name);
        uint32_t wh[2];
        if (webp_size(type, body, n, wh)) {
            TSR_TRY(tsr_image_limits(s->name, wh[1], wh[0], o));
            pixels |= type[3] != 'X';
        }
        if (memcmp(type, "EXIF", 4) == 0) {
            int prefix = n > 6 && memcmp(body, "Exif\0\0", 6) == 0 ? 6 : 0;
            out->orientation = tsr_exif_orientation(body + prefix, n - (size_t)prefix);
        }
        at += 8 + n + (n & 1);
    }
    if (!pixels)
        TSR_FAIL(TSR_EFORMAT, "%s: WebP has no picture in it", s->name);
    out->loose = 1;
    return copy_all(s, out);
}

/* Bytes of uncompressed pixels: rows are padded to 32 bits. */
static uint64_t bmp_pixel_bytes(uint64_t w, uint64_t h, uint64_t bits)
{
    return (w * bits + 31) / 32 * 4 * h;
}

tsr_status tsr_bmp_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    const uint8_t *d = s->data;
    if (s->bytes < 54)
        TSR_FAIL(TSR_EFORMAT, "%s: BMP is cut off in its header or has no pixels", s->name);
    int os2 = tsr_le32(d + 14) == 12; /* OS/2's header has 16-bit sizes */
    uint32_t w = os2 ? tsr_le16(d + 18) : tsr_le32(d + 18);
    uint32_t h = os2 ? tsr_le16(d + 20) : tsr_le32(d + 22);
    uint32_t bits = os2 ? tsr_le16(d + 24) : tsr_le16(d + 28);
    uint32_t compression = os2 ? 0 : tsr_le32(d + 30);
    if (h > INT32_MAX) /* a negative height means rows from the top */
        h = 0u - h;
    TSR_TRY(tsr_image_limits(s->name, h, w, o));
    uint64_t need = tsr_le32(d + 10) + bmp_pixel_bytes(w, h, bits);
    if ((compression == 0 || compression == 3) && need > s->bytes)
        TSR_FAIL(TSR_EFORMAT, "%s: BMP is truncated: %llu bytes promised, %llu are there", s->name,
                 (unsigned long long)need, (unsigned long long)s->bytes);
    out->loose = 1;
    return copy_all(s, out);
}

tsr_status tsr_tiff_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    (void)o; /* the decoder knows the size first; max_pixels bounds it there */
    out->orientation = tsr_exif_orientation(s->data, s->bytes);
    return copy_all(s, out);
}

/* The next number of a netpbm header; *at moves behind it. UINT32_MAX at anything else. */
static uint32_t pnm_number(const tsr_blob *s, size_t *at)
{
    size_t i = *at;
    while (i < s->bytes && strchr(" \t\r\n#", s->data[i]) && s->data[i]) {
        if (s->data[i] == '#')
            while (i < s->bytes && s->data[i] != '\n')
                i++;
        else
            i++;
    }
    uint64_t v = 0;
    size_t from = i;
    for (; i < s->bytes && s->data[i] >= '0' && s->data[i] <= '9' && v < UINT32_MAX; i++)
        v = v * 10 + (uint64_t)(s->data[i] - '0');
    *at = i;
    return i == from || v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

tsr_status tsr_pnm_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    if (s->data[1] == '7') /* PAM's header has words; the decoder's own limit holds */
        return copy_all(s, out);
    size_t at = 2;
    uint32_t w = pnm_number(s, &at), h = pnm_number(s, &at);
    if (w == UINT32_MAX || h == UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: netpbm header without a size", s->name);
    TSR_TRY(tsr_image_limits(s->name, h, w, o));
    return copy_all(s, out);
}

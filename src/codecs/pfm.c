/* SPDX-License-Identifier: Apache-2.0
 * PFM: float pictures, bottom row first.
 * Source   Paul Debevec's description of the format; netpbm's pfm(5). */
#include "codecs/depth.h"
#include "codecs/format.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORD 32

/* The next word of the header and the one white space behind it. */
static tsr_status header_word(const tsr_blob *s, size_t *at, char word[WORD])
{
    size_t i = *at, n = 0;
    while (i < s->bytes && n < WORD - 1 && s->data[i] && !strchr(" \t\r\n", s->data[i]))
        word[n++] = (char)s->data[i++];
    word[n] = '\0';
    if (n == 0 || i >= s->bytes || !s->data[i] || !strchr(" \t\r\n", s->data[i]))
        TSR_FAIL(TSR_EFORMAT, "%s: PFM header is cut off or malformed at offset %zu", s->name, i);
    if (s->data[i] == '\r' && i + 1 < s->bytes && s->data[i + 1] == '\n')
        i++;
    *at = i + 1;
    return TSR_OK;
}

static tsr_status header_number(const tsr_blob *s, size_t *at, double *out)
{
    char word[WORD], *end;
    TSR_TRY(header_word(s, at, word));
    *out = strtod(word, &end);
    if (*end || !isfinite(*out))
        TSR_FAIL(TSR_EFORMAT, "%s: PFM header has \"%s\" where a number belongs", s->name, word);
    return TSR_OK;
}

static void copy_rows(const tsr_blob *s, size_t at, int little, tsr_image *im)
{
    size_t n = im->width * im->channels;
    for (size_t y = 0; y < im->height; y++) {
        const uint8_t *from = s->data + at + (im->height - 1 - y) * n * 4;
        float *to = tsr_image_row(im, y);
        for (size_t i = 0; i < n; i++, from += 4) {
            uint32_t bits = little ? tsr_le32(from) : tsr_be32(from);
            memcpy(to + i, &bits, sizeof bits);
        }
    }
}

tsr_status tsr_pfm_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o, tsr_media *out)
{
    (void)f;
    size_t at = 0;
    char mark[WORD];
    double w, h, scale;
    TSR_TRY(header_word(s, &at, mark));
    TSR_TRY(header_number(s, &at, &w));
    TSR_TRY(header_number(s, &at, &h));
    TSR_TRY(header_number(s, &at, &scale));
    if (w < 0 || h < 0 || w > 1e9 || h > 1e9 || w != floor(w) || h != floor(h))
        TSR_FAIL(TSR_EFORMAT, "%s: PFM of %g x %g pixels", s->name, w, h);
    if (scale == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: PFM scale is 0, its sign should tell the byte order", s->name);
    TSR_TRY(tsr_image_limits(s->name, (uint64_t)h, (uint64_t)w, o));
    size_t channels = mark[1] == 'F' ? 3 : 1, need;
    TSR_TRY(tsr_mul_size((size_t)w * (size_t)h, channels * 4, &need));
    if (need > s->bytes - at)
        TSR_FAIL(TSR_EFORMAT, "%s: PFM is truncated: %zu bytes of pixels promised, %zu are there",
                 s->name, need, (size_t)s->bytes - at);
    tsr_image im;
    TSR_TRY(tsr_image_init(&im, (size_t)h, (size_t)w, channels, TSR_PIXEL_F32));
    copy_rows(s, at, scale < 0, &im);
    tsr_status st = tsr_depth_read(&im, s->name, &o->depth);
    if (st != TSR_OK) {
        tsr_image_clear(&im);
        return st;
    }
    *out = (tsr_media){.kind = TSR_MEDIA_IMAGE, .as.image = im};
    return TSR_OK;
}

tsr_status tsr_pfm_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                         char **data, size_t *bytes)
{
    (void)o;
    const tsr_image *im = &m->as.image;
    if (m->kind != TSR_MEDIA_IMAGE || im->pixel != TSR_PIXEL_F32 ||
        (im->channels != 1 && im->channels != 3))
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: PFM holds float pictures of 1 or 3 channels only", name);
    tsr_str b = {0};
    tsr_status st = tsr_str_addf(&b, "P%c\n%zu %zu\n-1.0\n", im->channels == 3 ? 'F' : 'f',
                                 im->width, im->height);
    for (size_t y = im->height; st == TSR_OK && y-- > 0;) {
        const uint32_t *row = tsr_image_row(im, y);
        for (size_t i = 0; st == TSR_OK && i < im->width * im->channels; i++) {
            uint8_t le[4] = {(uint8_t)row[i], (uint8_t)(row[i] >> 8), (uint8_t)(row[i] >> 16),
                             (uint8_t)(row[i] >> 24)};
            st = tsr_str_add_bytes(&b, le, 4);
        }
    }
    if (st != TSR_OK) {
        tsr_str_clear(&b);
        return st;
    }
    *data = b.s;
    *bytes = b.len;
    return TSR_OK;
}

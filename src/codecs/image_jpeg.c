/* SPDX-License-Identifier: Apache-2.0
 * JPEG before decoding: segments walked to the end of the first picture, metadata left behind.
 * Source   ITU-T T.81, annex B; Adobe Technical Note 5116 for APP14. */
#include "codecs/format.h"
#include "codecs/still.h"

#include <string.h>

enum {
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    APP0 = 0xe0,
    APP1 = 0xe1,
    APP14 = 0xee,
    APP15 = 0xef,
    COM = 0xfe
};

/* FFmpeg guesses what four planes mean, by Adobe's mark and by components named "CMYK". With a mark
 * of transform 1, which says nothing for four planes, and components numbered from 1 it hands them
 * over as they are, and we look at the real mark. */
static const uint8_t raw_planes[16] = {0xff, APP14, 0,   14, 'A', 'd', 'o', 'b',
                                       'e',  0,     100, 0,  0,   0,   0,   1};

typedef struct walk {
    const tsr_blob *s;
    const tsr_read_options *o;
    tsr_still *out;
    size_t at;
    int frames, scans;
    int adobe;      /* Adobe's transform, -1: no such mark */
    uint8_t ids[4]; /* of the components, when there are four */
} walk;

static int is_frame(int marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static tsr_status truncated(const walk *w)
{
    TSR_FAIL(TSR_EFORMAT, "%s: JPEG is truncated: no end of image after %llu bytes", w->s->name,
             (unsigned long long)w->s->bytes);
}

/* Entropy-coded data up to the next marker that is neither stuffing nor a restart. */
static void skip_scan(walk *w)
{
    const uint8_t *d = w->s->data;
    size_t n = w->s->bytes, from = w->at;
    while (w->at < n) {
        const uint8_t *ff = memchr(d + w->at, 0xff, n - w->at);
        if (!ff || (size_t)(ff - d) + 1 >= n) {
            w->at = n;
            break;
        }
        w->at = (size_t)(ff - d);
        int next = ff[1];
        if (next != 0 && !(next >= 0xd0 && next <= 0xd7) && next != 0xff)
            break;
        w->at += next == 0xff ? 1 : 2;
    }
    tsr_still_add(w->out, d + from, w->at - from);
}

static tsr_status frame_header(walk *w, const uint8_t *body, size_t n)
{
    if (n < 6)
        TSR_FAIL(TSR_EFORMAT, "%s: JPEG frame header of %zu bytes", w->s->name, n);
    if (w->frames++)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: JPEG of several frames (hierarchical)", w->s->name);
    if (body[5] == 4) {
        if (n < 18)
            TSR_FAIL(TSR_EFORMAT, "%s: JPEG frame header of %zu bytes", w->s->name, n);
        for (int c = 0; c < 4; c++)
            w->ids[c] = body[6 + 3 * c];
        tsr_still_add(w->out, raw_planes, sizeof raw_planes);
        w->out->ink = w->adobe == 2 ? TSR_INK_YCCK : TSR_INK_CMYK;
    }
    return tsr_image_limits(w->s->name, tsr_be16(body + 1), tsr_be16(body + 3), w->o);
}

/* Number the components of a copied frame or scan header from 1. `step` bytes apart. */
static void renumber(const walk *w, uint8_t *ids, size_t count, size_t step)
{
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 4; c++)
            if (ids[i * step] == w->ids[c]) {
                ids[i * step] = (uint8_t)(c + 1);
                break;
            }
}

/* One marker segment with a length; w->at is behind the marker. */
static tsr_status segment(walk *w, int marker)
{
    const uint8_t *p = w->s->data + w->at;
    size_t left = w->s->bytes - w->at;
    if (left < 2 || tsr_be16(p) < 2 || tsr_be16(p) > left)
        return truncated(w);
    size_t n = tsr_be16(p) - 2;
    const uint8_t *body = p + 2;
    if (is_frame(marker))
        TSR_TRY(frame_header(w, body, n));
    if (marker == APP1 && n > 6 && memcmp(body, "Exif\0\0", 6) == 0)
        w->out->orientation = tsr_exif_orientation(body + 6, n - 6);
    int adobe = marker == APP14 && n >= 12 && memcmp(body, "Adobe", 5) == 0;
    if (adobe)
        w->adobe = body[11];
    w->at += n + 2;
    if (adobe || !((marker >= APP0 && marker <= APP15) || marker == COM)) {
        uint8_t mark[2] = {0xff, (uint8_t)marker};
        tsr_still_add(w->out, mark, 2);
        tsr_still_add(w->out, p, n + 2);
        uint8_t *copy = w->out->data + w->out->bytes - n;
        if (w->out->ink && is_frame(marker))
            renumber(w, copy + 6, 4, 3);
        if (w->out->ink && marker == SOS && n > 0 && n > 2 * (size_t)copy[0])
            renumber(w, copy + 1, copy[0], 2);
    }
    if (marker == SOS) {
        w->scans++;
        skip_scan(w);
    }
    return TSR_OK;
}

/* The marker at w->at, fill bytes skipped; w->at ends up behind it. */
static tsr_status next_marker(walk *w, int *marker)
{
    const uint8_t *d = w->s->data;
    if (w->at >= w->s->bytes)
        return truncated(w);
    if (d[w->at] != 0xff)
        TSR_FAIL(TSR_EFORMAT, "%s: JPEG has byte 0x%02x at offset %zu where a marker belongs",
                 w->s->name, d[w->at], w->at);
    while (w->at < w->s->bytes && d[w->at] == 0xff)
        w->at++;
    if (w->at >= w->s->bytes)
        return truncated(w);
    *marker = d[w->at++];
    return TSR_OK;
}

tsr_status tsr_jpeg_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    static const uint8_t begin[2] = {0xff, SOI}, end[2] = {0xff, EOI};
    TSR_TRY(tsr_still_room(out, s->bytes + 2 + sizeof raw_planes));
    walk w = {.s = s, .o = o, .out = out, .at = 2, .adobe = -1};
    tsr_still_add(out, begin, 2);
    for (int marker = 0; marker != EOI;) {
        TSR_TRY(next_marker(&w, &marker));
        if (marker == SOI || marker == 0 || marker == 1 || (marker >= 0xd0 && marker <= 0xd7))
            TSR_FAIL(TSR_EFORMAT, "%s: JPEG marker 0x%02x at offset %zu is out of place", s->name,
                     (unsigned)marker, w.at - 2);
        if (marker != EOI)
            TSR_TRY(segment(&w, marker));
    }
    if (!w.frames || !w.scans)
        TSR_FAIL(TSR_EFORMAT, "%s: JPEG has no picture in it", s->name);
    tsr_still_add(out, end, 2);
    return TSR_OK;
}

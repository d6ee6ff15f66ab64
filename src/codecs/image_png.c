/* SPDX-License-Identifier: Apache-2.0
 * PNG before decoding: chunks walked, metadata left behind (a compressed text chunk can be a bomb).
 * Source   W3C PNG specification, second edition, sections 5 and 11. */
#include "codecs/format.h"
#include "codecs/still.h"

#include <string.h>

#define SIGNATURE   8
#define CHUNK_FRAME 12 /* length, type and CRC around the data */

static int is_needed(const uint8_t *type)
{
    static const char *const needed[] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (memcmp(type, needed[i], 4) == 0)
            return 1;
    return 0;
}

static tsr_status check_header(const tsr_blob *s, const tsr_read_options *o)
{
    const uint8_t *p = s->data + SIGNATURE;
    if (s->bytes < SIGNATURE + CHUNK_FRAME + 13 || memcmp(p + 4, "IHDR", 4) != 0 ||
        tsr_be32(p) != 13)
        TSR_FAIL(TSR_EFORMAT, "%s: PNG is cut off in its header or does not begin with one",
                 s->name);
    return tsr_image_limits(s->name, tsr_be32(p + 12), tsr_be32(p + 8), o);
}

tsr_status tsr_png_prepare(const tsr_blob *s, const tsr_read_options *o, tsr_still *out)
{
    TSR_TRY(check_header(s, o));
    TSR_TRY(tsr_still_room(out, s->bytes));
    tsr_still_add(out, s->data, SIGNATURE);
    int pixels = 0;
    for (size_t at = SIGNATURE; s->bytes - at >= CHUNK_FRAME;) {
        const uint8_t *chunk = s->data + at, *type = chunk + 4;
        size_t n = tsr_be32(chunk);
        if (n > s->bytes - at - CHUNK_FRAME)
            TSR_FAIL(TSR_EFORMAT,
                     "%s: PNG is truncated: chunk %.4s at offset %zu promises %zu "
                     "bytes, %zu are left",
                     s->name, (const char *)type, at, n, (size_t)s->bytes - at - CHUNK_FRAME);
        if (is_needed(type))
            tsr_still_add(out, chunk, n + CHUNK_FRAME);
        if (memcmp(type, "eXIf", 4) == 0)
            out->orientation = tsr_exif_orientation(chunk + 8, n);
        pixels |= memcmp(type, "IDAT", 4) == 0;
        if (memcmp(type, "IEND", 4) == 0) {
            if (!pixels)
                TSR_FAIL(TSR_EFORMAT, "%s: PNG has no pixel data", s->name);
            return TSR_OK;
        }
        at += n + CHUNK_FRAME;
    }
    TSR_FAIL(TSR_EFORMAT, "%s: PNG is truncated: no IEND chunk after %llu bytes", s->name,
             (unsigned long long)s->bytes);
}

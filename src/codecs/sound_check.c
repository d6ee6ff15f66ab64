/* SPDX-License-Identifier: Apache-2.0
 * Sound files before decoding: is all of them there? libsndfile takes what is left of a file that
 * ends early, so WAV, AIFF and Ogg are walked first. */
#include "codecs/format.h"

#include "base/mem.h"

#include <string.h>

/* Source   RIFF: chunks of four letters, a little-endian length, data padded to even. */
static tsr_status check_wav(const tsr_blob *s)
{
    uint8_t h[12];
    size_t got;
    int data = 0;
    TSR_TRY(tsr_blob_read(s, 0, h, 12, &got));
    if (got < 12 || memcmp(h, "RIFF", 4) != 0)
        return TSR_OK; /* 64-bit and big-endian variants: libsndfile alone judges */
    for (uint64_t at = 12; !data;) {
        TSR_TRY(tsr_blob_read(s, at, h, 8, &got));
        if (got < 8)
            TSR_FAIL(TSR_EFORMAT,
                     "%s: WAV is cut off in its header: no data chunk within %llu "
                     "bytes",
                     s->name, (unsigned long long)s->bytes);
        uint32_t n = tsr_le32(h + 4);
        data = memcmp(h, "data", 4) == 0;
        /* Streams write 0 or about 2^31 or 2^32 when they cannot know. */
        int open_end = data && (n == 0 || n >= 0x7fff0000u);
        if (!open_end && n > s->bytes - at - 8)
            TSR_FAIL(TSR_EFORMAT,
                     "%s: WAV is truncated: chunk '%.4s' promises %u bytes, %llu are "
                     "left",
                     s->name, (const char *)h, n, (unsigned long long)(s->bytes - at - 8));
        at += 8 + (uint64_t)n + (n & 1);
    }
    return TSR_OK;
}

/* A big-endian length after FORM covers the whole file. */
static tsr_status check_aiff(const tsr_blob *s)
{
    uint8_t h[8];
    size_t got;
    TSR_TRY(tsr_blob_read(s, 0, h, 8, &got));
    if (got == 8 && tsr_be32(h + 4) > s->bytes - 8)
        TSR_FAIL(TSR_EFORMAT, "%s: AIFF is truncated: %u bytes promised, %llu are there", s->name,
                 tsr_be32(h + 4), (unsigned long long)(s->bytes - 8));
    return TSR_OK;
}

/* ---- Ogg ---- */

#define PAGE_HEADER 27
#define PAGE_BYTES  (PAGE_HEADER + 255 + 255 * 255)

/* CRC-32 of polynomial 0x04c11db7, highest bit first, starting from 0, four bits at a time. */
static uint32_t crc_add(uint32_t crc, const uint8_t *p, size_t n)
{
    static const uint32_t of4[16] = {0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9,
                                     0x130476dc, 0x17c56b6b, 0x1a864db2, 0x1e475005,
                                     0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61,
                                     0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd};
    for (size_t i = 0; i < n; i++) {
        crc = crc << 4 ^ of4[(crc >> 28 ^ p[i] >> 4) & 15];
        crc = crc << 4 ^ of4[(crc >> 28 ^ p[i]) & 15];
    }
    return crc;
}

/* Bytes of the page at the start of p[0..n), 0 when it is no whole page. */
static size_t page_bytes(const uint8_t *p, size_t n)
{
    if (n < PAGE_HEADER || memcmp(p, "OggS", 4) != 0)
        return 0;
    size_t size = PAGE_HEADER + (size_t)p[26];
    if (n < size)
        return 0;
    for (size_t i = 0; i < p[26]; i++)
        size += p[PAGE_HEADER + i];
    return n < size ? 0 : size;
}

/* Every page whole and with the right sum: a damaged header makes libsndfile lose memory.
 * Source   RFC 3533, section 6. */
static tsr_status check_ogg(const tsr_blob *s)
{
    uint8_t *page;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&page, PAGE_BYTES, 1));
    for (uint64_t at = 0; at < s->bytes;) {
        size_t got;
        TSR_GO(tsr_blob_read(s, at, page, PAGE_BYTES, &got));
        size_t size = page_bytes(page, got);
        if (size == 0)
            TSR_GOFAIL(TSR_EFORMAT, "%s: Ogg is truncated or damaged: no whole page at offset %llu",
                       s->name, (unsigned long long)at);
        uint32_t sum = tsr_le32(page + 22);
        memset(page + 22, 0, 4);
        if (crc_add(0, page, size) != sum)
            TSR_GOFAIL(TSR_EFORMAT, "%s: Ogg is damaged: wrong checksum of the page at offset %llu",
                       s->name, (unsigned long long)at);
        at += size;
    }
out:
    tsr_free(page);
    return st;
}

tsr_status tsr_sound_check(const tsr_codec *f, const tsr_blob *s)
{
    static const struct {
        const char *name;
        tsr_status (*check)(const tsr_blob *s);
    } checks[] = {{"WAV", check_wav}, {"AIFF", check_aiff}, {"Ogg", check_ogg}};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (strcmp(f->name, checks[i].name) == 0)
            return checks[i].check(s);
    return TSR_OK;
}

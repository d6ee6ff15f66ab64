/* SPDX-License-Identifier: Apache-2.0
 * XXH3-128 digests. */
#include "base/hash.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

struct tsr_hasher {
    XXH3_state_t *state;
};

tsr_digest tsr_hash(const void *data, size_t bytes)
{
    XXH128_hash_t h = XXH3_128bits(data, bytes);
    return (tsr_digest){h.high64, h.low64};
}

uint64_t tsr_hash_name(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

tsr_status tsr_hasher_create(tsr_hasher **out)
{
    tsr_hasher *h;
    TSR_TRY(tsr_alloc(&h, 1, sizeof *h));
    h->state = XXH3_createState();
    if (!h->state) {
        tsr_free(h);
        TSR_FAIL(TSR_ENOMEM, "out of memory for a digest");
    }
    XXH3_128bits_reset(h->state);
    *out = h;
    return TSR_OK;
}

void tsr_hasher_add(tsr_hasher *h, const void *data, size_t bytes)
{
    XXH3_128bits_update(h->state, data, bytes);
}

tsr_digest tsr_hasher_finish(const tsr_hasher *h)
{
    XXH128_hash_t d = XXH3_128bits_digest(h->state);
    return (tsr_digest){d.high64, d.low64};
}

void tsr_hasher_destroy(tsr_hasher *h)
{
    if (!h)
        return;
    XXH3_freeState(h->state);
    tsr_free(h);
}

tsr_status tsr_hash_file(const char *path, tsr_digest *out)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        TSR_FAIL(errno == ENOENT ? TSR_ENOENT : TSR_EIO, "%s: %s", path, strerror(errno));
    tsr_hasher *h = NULL;
    tsr_status st = TSR_OK;
    char *block = NULL;
    const size_t block_bytes = 1 << 20;
    TSR_GO(tsr_hasher_create(&h));
    TSR_GO(tsr_alloc(&block, block_bytes, 1));
    for (size_t n; (n = fread(block, 1, block_bytes, f)) > 0;)
        tsr_hasher_add(h, block, n);
    if (ferror(f))
        TSR_GOFAIL(TSR_EIO, "%s: reading failed: %s", path, strerror(errno));
    *out = tsr_hasher_finish(h);
out:
    tsr_free(block);
    tsr_hasher_destroy(h);
    fclose(f);
    return st;
}

void tsr_digest_text(tsr_digest d, char text[TSR_DIGEST_CHARS])
{
    snprintf(text, TSR_DIGEST_CHARS, "%016llx%016llx", (unsigned long long)d.hi,
             (unsigned long long)d.lo);
}

static int hex_half(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = s[i] ? strchr(digits, s[i]) : NULL;
        if (!at)
            return 0;
        v = v << 4 | (uint64_t)(at - digits);
    }
    *out = v;
    return 1;
}

tsr_status tsr_digest_parse(const char *text, tsr_digest *out)
{
    tsr_digest d;
    if (strlen(text) != 32 || !hex_half(text, &d.hi) || !hex_half(text + 16, &d.lo))
        TSR_FAIL(TSR_EFORMAT, "\"%.40s\" is not a digest of 32 hex digits", text);
    *out = d;
    return TSR_OK;
}

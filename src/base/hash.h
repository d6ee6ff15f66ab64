/* SPDX-License-Identifier: Apache-2.0
 * Digests (XXH3-128) of memory and files, and their text form. Not cryptographic. */
#ifndef TSR_BASE_HASH_H
#define TSR_BASE_HASH_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_DIGEST_CHARS 33 /* 32 hex digits and the end */

typedef struct tsr_digest {
    uint64_t hi, lo;
} tsr_digest;

/* Hash in progress; make it with create, feed, finish. */
typedef struct tsr_hasher tsr_hasher;

/* Digest of memory. */
tsr_digest tsr_hash(const void *data, size_t bytes);

/* 64-bit hash of a string, to key random streams by a name. */
uint64_t tsr_hash_name(const char *name);

/* Digest of pieces: create, add any number of times, finish (which may be asked again later). */
TSR_USE tsr_status tsr_hasher_create(tsr_hasher **out);
void tsr_hasher_add(tsr_hasher *h, const void *data, size_t bytes);
tsr_digest tsr_hasher_finish(const tsr_hasher *h);
void tsr_hasher_destroy(tsr_hasher *h);

/* Digest of a file's bytes. Errors: TSR_ENOENT, TSR_EIO. */
TSR_USE tsr_status tsr_hash_file(const char *path, tsr_digest *out);

/* 32 lower-case hex digits, high half first (the canonical form of `xxh128sum`). */
void tsr_digest_text(tsr_digest d, char text[TSR_DIGEST_CHARS]);

/* The inverse. TSR_EFORMAT when the text is not 32 hex digits. */
TSR_USE tsr_status tsr_digest_parse(const char *text, tsr_digest *out);

static inline int tsr_digest_equal(tsr_digest a, tsr_digest b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

#endif

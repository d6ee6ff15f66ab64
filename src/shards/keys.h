/* SPDX-License-Identifier: Apache-2.0
 * The keys file of a shard: which samples, and how their pictures were cut. */
#ifndef TSR_SHARDS_KEYS_H
#define TSR_SHARDS_KEYS_H

#include "base/hash.h"
#include "base/status.h"
#include "shards/shard.h"
#include "types/media.h"

#include <stdint.h>

#define TSR_KEY_MAX 1023 /* bytes of a key */

/* All of a keys file, in memory. */
typedef struct tsr_keys {
    uint32_t shard;
    char split[TSR_NAME_CHARS], source[TSR_NAME_CHARS];
    uint64_t samples;
    uint32_t crops;
    char **key;     /* [samples] */
    uint32_t *size; /* [samples, 2] height, width; 0, 0: no picture */
    tsr_crop *crop; /* [samples, crops] */
} tsr_keys;

/* Zeroed tables, keys NULL. Errors: TSR_EARG, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_keys_init(tsr_keys *k, uint64_t samples, uint32_t crops);
void tsr_keys_clear(tsr_keys *k);

/* The digest that proves alignment. */
TSR_USE tsr_status tsr_keys_digest(const tsr_keys *k, tsr_digest *out);

/* Crop c of a sample as tokenizers take it. */
tsr_view tsr_keys_view(const tsr_keys *k, uint64_t row, uint32_t c);

/* Write to a temporary name, sync, digest, rename. stats: bytes and digest; the rest 0. */
TSR_USE tsr_status tsr_keys_write(const tsr_keys *k, const char *path, tsr_shard_stats *stats);

/* Read and check: UTF-8, lengths, crops inside their pictures, the stored digest.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT, TSR_EMISMATCH (digest), TSR_ELIMIT. */
TSR_USE tsr_status tsr_keys_read(const char *path, tsr_keys *out);

/* 1 when a text may be a key. */
int tsr_key_ok(const char *key);

#endif

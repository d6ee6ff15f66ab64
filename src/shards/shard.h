/* SPDX-License-Identifier: Apache-2.0
 * One file of tokens: one modality of one shard. Format: man/tessera-shard.5. */
#ifndef TSR_SHARDS_SHARD_H
#define TSR_SHARDS_SHARD_H

#include "base/hash.h"
#include "base/status.h"
#include "types/tokens.h"

#include <stdint.h>

#define TSR_SHARD_VERSION   1
#define TSR_SHARD_MAX_ROWS  16777216u /* samples times crops of one file */
#define TSR_SHARD_MAX_CROPS 256u

typedef enum tsr_present {
    TSR_MISSING = 0, /* the source has no file for it */
    TSR_REAL = 1,
    TSR_FAILED = 2, /* there was a file, but no tokens could be made from it */
} tsr_present;

/* What one file says about itself. */
typedef struct tsr_shard_info {
    tsr_token_space space; /* base included */
    uint32_t shard;
    uint64_t samples; /* N */
    uint32_t crops;   /* k: rows of tokens a sample */
    tsr_digest keys;  /* keys_digest of the shard: proof of alignment */
} tsr_shard_info;

/* What was sealed. */
typedef struct tsr_shard_stats {
    uint64_t bytes;
    tsr_digest digest;
    uint64_t present, missing, failed, tokens;
} tsr_shard_stats;

/* "rgb-00003.h5"; release with tsr_free. */
TSR_USE tsr_status tsr_shard_name(const char *modality, uint32_t shard, char **out);

/* --- writing: collects rows in memory (or aside), then writes the file in one go --- */

typedef struct tsr_shard_writer tsr_shard_writer;

/* Every row begins as missing. Errors: TSR_EARG, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_shard_writer_create(const tsr_shard_info *info, tsr_shard_writer **out);

/* The same with the rows in a nameless file in `folder` instead of memory: for pictures, which are a
 * hundred times the size of tokens. Grids and patches only. The sealed bytes do not differ.
 * Errors   also TSR_EARG for sequences, TSR_EIO. */
TSR_USE tsr_status tsr_shard_writer_create_aside(const tsr_shard_info *info, const char *folder,
                                                 tsr_shard_writer **out);
void tsr_shard_writer_destroy(tsr_shard_writer *w);

/* Tokens of all crops of sample `row`, copied. Safe from several threads for different rows.
 * tokens  [info.crops]; grids, patches: count = height * width * levels each
 * Errors   TSR_EARG wrong count or an id that is not below the codebook size, TSR_ENOMEM, TSR_EIO
 *          when rows are spooled and the disk is full. */
TSR_USE tsr_status tsr_shard_writer_put(tsr_shard_writer *w, uint64_t row,
                                        const tsr_tokens *tokens);

/* Record that `row` failed, with the reason (kept up to 1,023 bytes). Thread-safe as put. */
TSR_USE tsr_status tsr_shard_writer_fail(tsr_shard_writer *w, uint64_t row, const char *reason);

/* Say which keys the rows belong to, when they were not known yet at create. */
void tsr_shard_writer_align(tsr_shard_writer *w, tsr_digest keys);

/* Reason of a failed row, NULL for others; borrowed until destroy. */
const char *tsr_shard_writer_reason(const tsr_shard_writer *w, uint64_t row);

/* Write to a temporary name, sync, digest, rename to `path`. The bytes depend only on info and
 * rows. Errors: TSR_EIO with HDF5's reason. */
TSR_USE tsr_status tsr_shard_writer_seal(tsr_shard_writer *w, const char *path,
                                         tsr_shard_stats *out);

/* --- reading --- */

typedef struct tsr_shard tsr_shard;

/* Open and check everything but the ids: attributes, types, shapes, offsets, present codes.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT, TSR_EUNSUPPORTED (newer version), TSR_ELIMIT. */
TSR_USE tsr_status tsr_shard_open(const char *path, tsr_shard **out);
void tsr_shard_close(tsr_shard *s);

/* Borrowed until close. */
const tsr_shard_info *tsr_shard_get_info(const tsr_shard *s);

/* row < samples. */
tsr_present tsr_shard_present(const tsr_shard *s, uint64_t row);

/* Number of ids (patches: bytes) of (row, crop), without reading them; 0 when not present. */
size_t tsr_shard_count(const tsr_shard *s, uint64_t row, uint32_t crop);

/* Read the ids of (row, crop) into ids[tsr_shard_count()]; checked against the codebook size.
 * crop is taken as 0 when the file has one crop. Thread-safe.
 * Errors   TSR_EARG row or crop out of range, TSR_EIO, TSR_EFORMAT an id too large. */
TSR_USE tsr_status tsr_shard_read(const tsr_shard *s, uint64_t row, uint32_t crop, uint32_t *ids);

/* Patches: read the values of (row, crop) as they are stored into bytes[tsr_shard_count()], in the
 * order patch (row-major), row in patch, column in patch, channel; nothing is written when the row
 * is not present. One pread, no conversion. Thread-safe.
 * Errors   TSR_EARG row or crop out of range, another layout; TSR_EIO. */
TSR_USE tsr_status tsr_shard_read_bytes(const tsr_shard *s, uint64_t row, uint32_t crop,
                                        uint8_t *bytes);

/* The same as tsr_shard_read into fresh storage (tsr_tokens_clear). */
TSR_USE tsr_status tsr_shard_take(const tsr_shard *s, uint64_t row, uint32_t crop, tsr_tokens *out);

/* A row that failed, and why. */
typedef struct tsr_failure {
    uint64_t row;
    char *reason;
} tsr_failure;

typedef struct tsr_failures {
    tsr_failure *items; /* ascending by row */
    size_t count;
} tsr_failures;

/* All failed rows with their reasons (tsr_failures_clear). Opens the file once more. Thread-safe.
 * Errors   TSR_EFORMAT when the list does not agree with the present codes. */
TSR_USE tsr_status tsr_shard_failures(const tsr_shard *s, tsr_failures *out);
void tsr_failures_clear(tsr_failures *f);

#endif

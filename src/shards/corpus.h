/* SPDX-License-Identifier: Apache-2.0
 * A corpus, opened for reading: any modality of any sample by index or key, from any thread. */
#ifndef TSR_SHARDS_CORPUS_H
#define TSR_SHARDS_CORPUS_H

#include "base/status.h"
#include "shards/keys.h"
#include "shards/manifest.h"
#include "shards/shard.h"

typedef struct tsr_corpus tsr_corpus;

/* Read the manifest of the folder `path`. Files are opened when they are first needed; a bounded
 * number stays open. Errors: those of tsr_manifest_read. */
TSR_USE tsr_status tsr_corpus_open(const char *path, tsr_corpus **out);
void tsr_corpus_close(tsr_corpus *c);

/* Vocabulary, modalities, shards. Borrowed until close. */
const tsr_manifest *tsr_corpus_manifest(const tsr_corpus *c);
const char *tsr_corpus_path(const tsr_corpus *c);

/* Samples of all shards; sample i counts over the shards in order. */
uint64_t tsr_corpus_samples(const tsr_corpus *c);

/* First sample and number of samples of the shards of a split are not contiguous in general: call
 * with n = 0, 1, … for the n-th sample of `split`. TSR_ENOENT beyond the last. */
TSR_USE tsr_status tsr_corpus_split_sample(const tsr_corpus *c, const char *split, uint64_t n,
                                           uint64_t *sample);
uint64_t tsr_corpus_split_count(const tsr_corpus *c, const char *split);

/* Tokens of one sample (tsr_tokens_clear). Not present, or the shard not tokenized yet: count 0,
 * and *present says which. Thread-safe.
 * Errors   TSR_ENOENT no such modality, TSR_EARG no such sample or crop, TSR_EMISMATCH a file that
 *          does not belong to this corpus, and those of tsr_shard_open. */
TSR_USE tsr_status tsr_corpus_read(tsr_corpus *c, const char *modality, uint64_t sample,
                                   uint32_t crop, tsr_tokens *out, tsr_present *present);

/* Patches of one sample as they are stored, without allocation or conversion: for training.
 * bytes  [size], size = height * width * levels of the modality; see tsr_shard_read_bytes for the
 *        order. Untouched unless *present is TSR_REAL.
 * Errors   those of tsr_corpus_read, TSR_EARG for another size or layout. Thread-safe. */
TSR_USE tsr_status tsr_corpus_read_patches(tsr_corpus *c, const char *modality, uint64_t sample,
                                           uint32_t crop, uint8_t *bytes, size_t size,
                                           tsr_present *present);

/* Key of a sample (tsr_free), and its crop (any pointer may be NULL). Thread-safe. */
TSR_USE tsr_status tsr_corpus_key(tsr_corpus *c, uint64_t sample, char **key);
TSR_USE tsr_status tsr_corpus_view(tsr_corpus *c, uint64_t sample, uint32_t crop, tsr_view *view);

/* The sample with this key, in any split; the first one when several splits have it. Reads the keys
 * files until it is found. TSR_ENOENT. */
TSR_USE tsr_status tsr_corpus_find(tsr_corpus *c, const char *key, uint64_t *sample);

/* The sample a user names: by its key, else by its number. TSR_ENOENT. */
TSR_USE tsr_status tsr_corpus_find_named(tsr_corpus *c, const char *name, uint64_t *sample);

/* An open shard file, to look at it row by row; release with tsr_corpus_put_shard. *out is NULL
 * when the corpus has no such file. Thread-safe. */
TSR_USE tsr_status tsr_corpus_get_shard(tsr_corpus *c, const char *modality, uint32_t shard,
                                        const tsr_shard **out);
void tsr_corpus_put_shard(tsr_corpus *c, const tsr_shard *s);

/* Write corpus.h5: virtual datasets and external links over all shards. One that was made from the
 * manifest as it is now stays. */
TSR_USE tsr_status tsr_corpus_link(const char *path);

#endif

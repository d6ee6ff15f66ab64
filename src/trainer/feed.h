/* SPDX-License-Identifier: Apache-2.0
 * One corpus of a mixture, as the loader reads it: the samples of a split by number, the model's
 * modalities matched with the corpus's. Private to the loader. */
#ifndef TSR_TRAINER_FEED_H
#define TSR_TRAINER_FEED_H

#include "base/status.h"
#include "shards/corpus.h"
#include "trainer/loader.h"

typedef struct tsr_feed_source tsr_feed_source;

/* Storage for the tokens of one sample, reused from sample to sample. Start with {0}. */
typedef struct tsr_feed_buffer {
    uint32_t *ids[TSR_MODALITIES];
    size_t ids_cap[TSR_MODALITIES];
    uint8_t *bytes[TSR_MODALITIES];
    size_t bytes_cap[TSR_MODALITIES];
} tsr_feed_buffer;
void tsr_feed_buffer_clear(tsr_feed_buffer *b);

/* Open the corpus of `feed` and match it with the model's modalities; samples beyond the first
 * `limit` (0: none) stay out. has[m] is set to 1 for each modality the corpus has.
 * Errors   TSR_EMISMATCH naming both sides for a tokenizer, grid or vocabulary that differs;
 *          TSR_ECONFIG a split without samples, a mapped name the corpus lacks; those of
 *          tsr_corpus_open. */
TSR_USE tsr_status tsr_feed_source_open(const tsr_mods *mods, const tsr_feed *feed, uint64_t limit,
                                        int has[TSR_MODALITIES], tsr_feed_source **out);
void tsr_feed_source_close(tsr_feed_source *s);

/* Samples of the split in use, at least 1; recorded crops of a sample. */
uint64_t tsr_feed_source_count(const tsr_feed_source *s);
uint32_t tsr_feed_source_crops(const tsr_feed_source *s);
tsr_corpus *tsr_feed_source_corpus(const tsr_feed_source *s);

/* Tokens of the n-th sample of the split into `b`. held: [mods], borrowed from b until it is used
 * again. *sample: its number in the corpus. Thread-safe with a buffer for each thread.
 * Errors   those of tsr_corpus_get_shard and tsr_shard_read. */
TSR_USE tsr_status tsr_feed_source_read(tsr_feed_source *s, uint64_t n, uint32_t crop,
                                        tsr_feed_buffer *b, tsr_held *held, uint64_t *sample);

#endif

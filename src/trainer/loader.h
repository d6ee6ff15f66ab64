/* SPDX-License-Identifier: Apache-2.0
 * From corpora to masked examples, in an order that is a function of (seed, step).
 *
 * Several corpora, each with a weight and its own set of modalities. Sample n of the run: a corpus is
 * chosen by weight from (seed, n), the shares being exact (to 1/4096) in each 4,096 samples; within it
 * samples follow a keyed permutation of the split that is new in each pass over it. The mask comes from
 * (seed, corpus, pass, sample). Nothing depends on threads, ranks or on where a run was resumed: batch
 * b is samples [b B, (b+1) B). */
#ifndef TSR_TRAINER_LOADER_H
#define TSR_TRAINER_LOADER_H

#include "base/status.h"
#include "shards/corpus.h"
#include "trainer/example.h"
#include "trainer/mask.h"

/* One corpus of the mixture. */
typedef struct tsr_feed {
    const char *path;         /* corpus folder */
    const char *split;        /* "train" */
    double weight;            /* share of samples; relative */
    const tsr_policy *policy; /* its masks; NULL: the loader's */
    const char *const *names; /* [mods] modality name in this corpus, NULL entry: same as the model's;
                                 "": it has none; or NULL: all the same */
    int random_crops;         /* 1: a crop drawn for each pass; 0: crop 0 */
} tsr_feed;

typedef struct tsr_loader_spec {
    const tsr_mods *mods; /* of the model */
    const tsr_feed *feeds;
    size_t n_feeds;
    const tsr_policy *policy;
    uint64_t seed;
    size_t batch;  /* samples of a batch */
    size_t ahead;  /* batches prepared ahead by a thread of the loader; 0: none, made when asked */
    uint64_t limit; /* samples of each split used, first ones; 0: all */
    int in_order;  /* 1: samples as they lie in the split, once, then TSR_ENOENT (validation) */
} tsr_loader_spec;

typedef struct tsr_loader tsr_loader;

/* Opens every corpus and compares vocabularies: a modality the corpus lacks counts as absent in all
 * its samples, but one that no feed has is an error, and so is a tokenizer, grid or vocabulary that
 * differs from the model's (the message names both hashes). What `spec` points at may go afterwards,
 * but for the policies.
 * Errors   TSR_EMISMATCH, TSR_ECONFIG, those of tsr_corpus_open. */
TSR_USE tsr_status tsr_loader_open(const tsr_loader_spec *spec, tsr_loader **out);
void tsr_loader_close(tsr_loader *l);

/* Samples of all splits together. */
uint64_t tsr_loader_samples(const tsr_loader *l);

/* Samples of one feed (0: no such feed), and its corpus (for keys; borrowed, NULL: no such feed). */
uint64_t tsr_loader_feed_samples(const tsr_loader *l, size_t feed);
tsr_corpus *tsr_loader_corpus(const tsr_loader *l, size_t feed);

/* Batch b: `batch` examples (fewer at the end of an in_order run; *count), borrowed until the next
 * call but one. Batches asked for in ascending order are ready ahead of time; any other b is fine.
 * Samples that cannot be read are replaced by the next of the order, counted and reported.
 * Errors   TSR_ENOENT beyond the last batch (in_order), TSR_EIO when nothing can be read. */
TSR_USE tsr_status tsr_loader_batch(tsr_loader *l, uint64_t b, const tsr_example *const **examples,
                                    size_t *count);

/* Samples of the batches handed out that could not be read, and the sentence of the last of them (""
 * if none). */
uint64_t tsr_loader_bad(const tsr_loader *l, const char **sentence);

/* The tokens of sample n of a feed's split, unmasked, crop 0: held [mods]. For generation and
 * evaluation. Release with tsr_held_clear. Safe while batches are prepared.
 * Errors   TSR_EARG no such feed or sample, those of tsr_corpus_read. */
typedef struct tsr_sample_held {
    tsr_held held[TSR_MODALITIES];
    void *storage;
} tsr_sample_held;
TSR_USE tsr_status tsr_loader_held(tsr_loader *l, size_t feed, uint64_t n, tsr_sample_held *out);
void tsr_held_clear(tsr_sample_held *h);

#endif

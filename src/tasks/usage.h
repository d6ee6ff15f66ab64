/* SPDX-License-Identifier: Apache-2.0
 * How a modality's codes are used: counts, entropy, lengths. Patches have no codes: of them only
 * samples and values are counted, without reading any. */
#ifndef TSR_TASKS_USAGE_H
#define TSR_TASKS_USAGE_H

#include "base/json.h"
#include "base/status.h"
#include "shards/corpus.h"

#define TSR_USAGE_LENGTHS 12 /* bins of the length histogram */

typedef struct tsr_usage {
    tsr_token_space space;
    uint32_t crops;
    uint64_t present, missing, failed;   /* samples */
    uint64_t damaged;                    /* shards that cannot be read: told and left out */
    uint64_t rows, tokens;               /* present samples times crops, and their ids or values */
    uint32_t codes;                      /* codebook_size; 0 for patches */
    uint64_t *counts;                    /* [codes] */
    uint32_t used;                       /* codes seen at least once */
    double entropy_bits, perplexity;     /* of the distribution of codes */
    uint64_t shortest, longest;          /* ids of a row */
    uint64_t lengths[TSR_USAGE_LENGTHS]; /* rows of length <= 1, 2, 4, 8, ...; the last: longer */
} tsr_usage;

/* Count one modality of a corpus, shards in parallel. Shards without the modality are passed over;
 * those that cannot be read are counted in `damaged` and told: `tell` (may be NULL) gets a sentence,
 * from any thread. Release with tsr_usage_clear. Errors: those of reading. */
TSR_USE tsr_status tsr_usage_corpus(tsr_corpus *c, const tsr_modality *m,
                                    void (*tell)(const char *what), tsr_usage *out);

/* Count one shard file. */
TSR_USE tsr_status tsr_usage_shard(const tsr_shard *s, tsr_usage *out);
void tsr_usage_clear(tsr_usage *u);

/* A code and how often it was seen. */
typedef struct tsr_code_count {
    uint32_t code;
    uint64_t count;
} tsr_code_count;

/* The n most frequent codes, commonest first, ties by code; returns how many there are (<= n). */
size_t tsr_usage_top(const tsr_usage *u, tsr_code_count *top, size_t n);

/* All of it as an object, with the `top` commonest codes. */
TSR_USE tsr_status tsr_usage_json(const tsr_usage *u, size_t top, json_t **out);

#endif

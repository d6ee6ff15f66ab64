/* SPDX-License-Identifier: Apache-2.0
 * Is a corpus what its manifest says? Everything is looked at; all problems are listed. */
#ifndef TSR_SHARDS_VERIFY_H
#define TSR_SHARDS_VERIFY_H

#include "base/file.h"
#include "base/job.h"
#include "base/status.h"

typedef struct tsr_verify_report {
    tsr_names
        problems;      /* one sentence each, naming the file: the corpus is not what it should be */
    tsr_names remarks; /* what is no error: leftovers of a killed writer, unfinished modalities */
    uint64_t files, samples, tokens, failed, bytes; /* tokens: without values of patches */
} tsr_verify_report;

/* Check digests, formats, alignment, offsets, ids, present codes, counts, unlisted files, and
 * corpus.h5. `path` may also be one shard file. A damaged corpus gives TSR_OK and problems.
 * quick  1: leave out what needs all bytes (digests and ids)
 * Errors   only what keeps it from looking at all: no manifest, TSR_ENOMEM, TSR_ECANCEL. */
TSR_USE tsr_status tsr_verify(const char *path, int quick, const tsr_job *job,
                              tsr_verify_report *out);
void tsr_verify_clear(tsr_verify_report *r);

#endif

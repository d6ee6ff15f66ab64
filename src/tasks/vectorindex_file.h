/* SPDX-License-Identifier: Apache-2.0
 * Inside of an index: the open file, shared by vectorindex.c (the file) and vectorscan.c (the
 * search). */
#ifndef TSR_TASKS_VECTORINDEX_FILE_H
#define TSR_TASKS_VECTORINDEX_FILE_H

#include "base/hash.h"
#include "tasks/vectorindex.h"

#define TSR_INDEX_BLOCK 256 /* rows that have a digest, and are searched, together */

struct tsr_index {
    tsr_safetensors *file;
    json_t *about;
    size_t rows, width;
    /* all in the map */
    const float *vectors;    /* [rows, width] */
    const char *keys;        /* NUL-terminated, one after the other */
    const uint64_t *offsets; /* [rows + 1] into keys */
    const uint64_t *samples; /* [rows] */
    const uint64_t *digests; /* [blocks, 2] high half first */
    const float *centre, *weights;
    const uint32_t *terms;
};

/* Digest of rows [block * TSR_INDEX_BLOCK, ...) of vectors [rows, width]. */
tsr_digest tsr_index_block_digest(const float *vectors, size_t rows, size_t width, size_t block);

/* The block is what was written. TSR_EMISMATCH. */
TSR_USE tsr_status tsr_index_check_block(const tsr_index *x, size_t block);

#endif

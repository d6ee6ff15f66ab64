/* SPDX-License-Identifier: Apache-2.0
 * Samples of one split for one tokenizer: listed once, decoded when asked for, kept in memory as far
 * as allowed. */
#ifndef TSR_PIPELINE_DATASET_H
#define TSR_PIPELINE_DATASET_H

#include "base/status.h"
#include "codecs/codec.h"
#include "tokenizers/tokenizer.h"

#include <stddef.h>

#define TSR_DATASET_FOLDERS 4

typedef struct tsr_dataset_spec {
    const char *root, *split;   /* as tsr_source_open() */
    const char *const *folders; /* modality folders a sample's media come from; 1..4 */
    size_t n_folders;
    size_t limit;       /* first samples only; 0: all */
    size_t cache_bytes; /* decoded media kept in memory at most */
    tsr_read_options read;
} tsr_dataset_spec;

typedef struct tsr_dataset tsr_dataset;

/* Samples that lack the first folder are left out.
 * Errors   of tsr_source_open(); TSR_ECONFIG when no sample is left. */
TSR_USE tsr_status tsr_dataset_open(const tsr_dataset_spec *spec, tsr_dataset **out);
void tsr_dataset_close(tsr_dataset *d);

/* Number of samples, and the key of sample i < count. Borrowed until close. */
size_t tsr_dataset_count(const tsr_dataset *d);
const char *tsr_dataset_key(const tsr_dataset *d, size_t i);

/* Media of one sample. Zeroed storage is empty. */
typedef struct tsr_sample {
    tsr_inputs in; /* view NULL; the caller may set it */
    tsr_media owned[TSR_DATASET_FOLDERS];
} tsr_sample;

/* Sample i < count, from memory or from its files. From any number of threads.
 * Errors   what the codecs say, with the path. */
TSR_USE tsr_status tsr_dataset_get(tsr_dataset *d, size_t i, tsr_sample *out);
void tsr_sample_clear(tsr_sample *s);

#endif

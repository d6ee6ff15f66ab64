/* SPDX-License-Identifier: Apache-2.0
 * A corpus on disk before it is tokenized: samples aligned by name over one folder per modality.
 *
 *   ROOT[/SPLIT]/MODALITY/FOLDER/NAME.EXT       4M's layout; any depth of folders, also none
 *   ROOT[/SPLIT]/MODALITY/SHARD.tar             the same in tars, members FOLDER/NAME.EXT
 *
 * A sample's key is its path below the modality without the extension: "0000/000123". The extension
 * is what follows the last dot (".json.gz" counts as one), so a.b.jpg and a.c.jpg are two samples.
 * In tars the key is the member's path below the tar's name without ".tar" ("00000/name"). */
#ifndef TSR_PIPELINE_SOURCE_H
#define TSR_PIPELINE_SOURCE_H

#include "base/hash.h"
#include "base/status.h"
#include "codecs/codec.h"
#include "types/media.h"

#include <stddef.h>

#define TSR_SOURCE_FOLDERS 64 /* modality folders of one source at most */

typedef struct tsr_source tsr_source;

/* List the samples: the union of the keys of all `folders` (at most TSR_SOURCE_FOLDERS), sorted
 * bytewise. `split` may be NULL or "". A folder that does not exist is an error; one without any
 * file is not.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT (a broken tar), TSR_ECONFIG (no folder, too many). */
TSR_USE tsr_status tsr_source_open(const char *root, const char *split,
                                   const char *const *folders, size_t n_folders, tsr_source **out);
void tsr_source_close(tsr_source *s);

/* Number of samples. */
size_t tsr_source_count(const tsr_source *s);

/* Name of folder f < n_folders, as it was given. Borrowed until close. */
const char *tsr_source_folder(const tsr_source *s, size_t f);

/* Key of sample i < count. Borrowed until close. */
const char *tsr_source_key(const tsr_source *s, size_t i);

/* 1 and its row when a sample has this key, else 0 (also for s NULL). */
int tsr_source_find(const tsr_source *s, const char *key, size_t *row);

/* Where sample i keeps its folder f: a path, or "shard.tar:member"; NULL when it has none. */
const char *tsr_source_path(const tsr_source *s, size_t i, size_t f);

/* Files that cannot be used because another file has the same key ("a.jpg" beside "a.png"): count,
 * and the path of each. They are reported, never silently dropped. */
size_t tsr_source_conflicts(const tsr_source *s);
const char *tsr_source_conflict(const tsr_source *s, size_t i);

/* Read sample i of folder f. Thread-safe.
 * Errors   TSR_ENOENT when the sample lacks it, else what the codec says, with the path. */
TSR_USE tsr_status tsr_source_read(const tsr_source *s, size_t i, size_t f,
                                   const tsr_read_options *options, tsr_media *out);

/* Feed what tells a change of sample i in folder f to a digest: name, size and modification time of
 * its file, or that there is none. */
TSR_USE tsr_status tsr_source_mark(const tsr_source *s, size_t i, size_t f, tsr_hasher *h);

/* Digest of what samples [first, first + count) are made of: keys, and name, size and modification
 * time of every file. Equal digests mean that a shard made from them need not be made again. */
TSR_USE tsr_status tsr_source_digest(const tsr_source *s, size_t first, size_t count,
                                     tsr_digest *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Corpora in tar files: one tar of all modalities (key.modality.ext) or one tar per modality
 * (key.ext), as 4M and WebDataset lay them out.
 *
 * The key of a member is its path up to the first dot of its last component. */
#ifndef TSR_CODECS_TAR_H
#define TSR_CODECS_TAR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* ---- in the order of the file ---- */

typedef struct tsr_tar tsr_tar;

/* One regular file inside. Strings and data are borrowed until the next call on the tar. */
typedef struct tsr_tar_member {
    const char *name; /* "a/b/0001.rgb.png" */
    const char *data;
    size_t bytes;
} tsr_tar_member;

/* Open a tar (plain, or compressed with gzip, bzip2, xz or zstd) whose members have at most
 * max_member_bytes each (0: 1 GiB).
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT, TSR_ELIMIT when decompression needs a window beyond
 *          32 MiB (xz -9, zstd --long). */
TSR_USE tsr_status tsr_tar_open(const char *path, size_t max_member_bytes, tsr_tar **out);

/* The next regular file; *more is 0 at the end. Folders and links are passed over.
 * Errors   TSR_EFORMAT truncated or malformed, TSR_ELIMIT a member over the limit. */
TSR_USE tsr_status tsr_tar_next(tsr_tar *t, tsr_tar_member *out, int *more);
void tsr_tar_close(tsr_tar *t);

/* Length of the key at the start of a member's name: up to the first dot of the last component. */
size_t tsr_tar_key_chars(const char *name);

/* ---- writing ---- */

typedef struct tsr_tar_writer tsr_tar_writer;

/* A plain tar under a temporary name (ustar with GNU's long names). The bytes depend on names and
 * data alone: no times, no owners. Errors: TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tar_create(const char *path, tsr_tar_writer **out);

/* Add a regular file. Errors: TSR_EIO. */
TSR_USE tsr_status tsr_tar_add(tsr_tar_writer *w, const char *name, const void *data, size_t bytes);

/* Finish, sync and rename to the path given to create. Errors: TSR_EIO; destroy is still due. */
TSR_USE tsr_status tsr_tar_seal(tsr_tar_writer *w);

/* Removes what was not sealed. */
void tsr_tar_destroy(tsr_tar_writer *w);

/* ---- any order: several tars as one table of samples ---- */

typedef struct tsr_tar_set tsr_tar_set;

/* One tar of a set. */
typedef struct tsr_tar_source {
    const char *path;
    const char *modality; /* of all its members; NULL: the part after the key names it */
} tsr_tar_source;

/* Read the headers of plain (not compressed) tars and align their members by key. Samples are
 * sorted by key, bytewise; a sample need not have every modality.
 * Errors   TSR_EFORMAT a member twice, or without a modality; TSR_EUNSUPPORTED a compressed tar;
 *          those of tsr_tar_open. */
TSR_USE tsr_status tsr_tar_set_open(const tsr_tar_source *sources, size_t n, tsr_tar_set **out);

/* Number of samples, and the key of sample i < count. Borrowed until close. */
size_t tsr_tar_set_count(const tsr_tar_set *s);
const char *tsr_tar_set_key(const tsr_tar_set *s, size_t i);

/* Member name of a sample's modality ("0001.png", to give to tsr_media_read_memory), or NULL when
 * the sample lacks it. Borrowed until close. */
const char *tsr_tar_set_name(const tsr_tar_set *s, size_t i, const char *modality);

/* Its bytes, at most max_bytes (0: 1 GiB); release with tsr_free. From any number of threads.
 * Errors   TSR_ENOENT when the sample lacks it, TSR_ELIMIT, TSR_EIO. */
TSR_USE tsr_status tsr_tar_set_read(const tsr_tar_set *s, size_t i, const char *modality,
                                    size_t max_bytes, char **data, size_t *bytes);
void tsr_tar_set_close(tsr_tar_set *s);

#endif

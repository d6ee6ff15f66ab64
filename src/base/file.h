/* SPDX-License-Identifier: Apache-2.0
 * Files and folders: whole-file reading, writing that a kill cannot tear, sorted listings. */
#ifndef TSR_BASE_FILE_H
#define TSR_BASE_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Read a whole regular file; *data is NUL-terminated beyond *bytes. Release with tsr_free.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT when it is not a regular file,
 *          TSR_ELIMIT when it is larger than max_bytes. */
TSR_USE tsr_status tsr_file_read(const char *path, size_t max_bytes, char **data, size_t *bytes);

/* Replace `path` by these bytes in one step: temporary file beside it, write, fsync, rename, fsync
 * of the folder. A kill leaves the old file or the new one. */
TSR_USE tsr_status tsr_file_write(const char *path, const void *data, size_t bytes);

/* The three steps apart, for files that another library writes. `temp` is released with tsr_free.
 * publish syncs and renames `temp` to `path`. */
TSR_USE tsr_status tsr_file_temp_name(const char *path, char **temp);
TSR_USE tsr_status tsr_file_publish(const char *temp, const char *path);

/* 1 when a name is that of a temporary file as above. */
int tsr_file_is_temp(const char *name);

/* Remove the temporary files of a folder, which killed writers left; whoever calls holds the lock
 * of the folder. No such folder: nothing to do. */
TSR_USE tsr_status tsr_remove_temporaries(const char *folder);

/* Lock a folder that exists by the file `name` in it: *fd holds the lock until it is closed or the
 * process ends. A file system that cannot lock is trusted.
 * Errors   TSR_EIO when the file cannot be written, or "FOLDER: busy" when another process has it.
 */
TSR_USE tsr_status tsr_lock_folder(const char *folder, const char *name, const char *busy, int *fd);

/* At the doors for files: what a file says wrongly is no mistake of whoever opens it. TSR_EARG and
 * TSR_ECONFIG become TSR_EMISMATCH; other codes, and the sentence, stay. */
static inline tsr_status tsr_of_file(tsr_status code)
{
    return code == TSR_EARG || code == TSR_ECONFIG ? TSR_EMISMATCH : code;
}

/* The same for what this program wrote for itself (checkpoints, reports): data that cannot be used
 * are not those that were written. All codes of the data become TSR_EMISMATCH, too. */
static inline tsr_status tsr_of_own_file(tsr_status code)
{
    return code >= TSR_EFORMAT ? TSR_EMISMATCH : tsr_of_file(code);
}

/* Everything written so far to the file system that holds the folder is on disk when this returns:
 * for many files at once. Errors: TSR_ENOENT, TSR_EIO. */
TSR_USE tsr_status tsr_folder_sync(const char *path);

/* mkdir -p. */
TSR_USE tsr_status tsr_make_folders(const char *path);

/* The same for the folder that a file is in. */
TSR_USE tsr_status tsr_make_parent(const char *path);

/* "a/b"; release with tsr_free. An absolute b or an empty a gives b. */
TSR_USE tsr_status tsr_path_join(char **out, const char *a, const char *b);

/* Last component (borrowed from path), and the part after its last '.' ("" if none, borrowed). */
const char *tsr_path_name(const char *path);
const char *tsr_path_extension(const char *path);

/* 1 or 0; 0 also when it cannot be told. */
int tsr_file_exists(const char *path);
int tsr_is_folder(const char *path);

/* The first `bytes` of a file, zeros behind its end. Returns how many there are, -1 when it cannot be
 * opened. */
int tsr_file_head(const char *path, char *head, int bytes);

/* Size and modification time (ns since 1970) of a regular file, symlinks followed. */
TSR_USE tsr_status tsr_file_stat(const char *path, uint64_t *bytes, int64_t *mtime_ns);

typedef struct tsr_names {
    char **names;
    size_t count, cap;
} tsr_names;

/* Entries of a folder, sorted bytewise, without those that start with '.'. */
TSR_USE tsr_status tsr_list_folder(const char *path, tsr_names *out);

/* Paths of all files below `root`, relative to it, sorted bytewise within each folder. Symlinked
 * folders are followed at most once each (a loop ends); max_depth levels at most. */
TSR_USE tsr_status tsr_walk_folder(const char *root, int max_depth, tsr_names *out);

/* The same, but folders whose name `is_leaf` accepts are listed and not entered, and so are folders
 * below the root that cannot be read: whoever opens them will say what is wrong. */
TSR_USE tsr_status tsr_walk_leaves(const char *root, int max_depth,
                                   int (*is_leaf)(const char *name), tsr_names *out);

/* Append a copy of `name`. */
TSR_USE tsr_status tsr_names_add(tsr_names *n, const char *name);
void tsr_names_clear(tsr_names *n);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * HDF5, and the only file that includes it: one lock, our error sentences, checked access.
 *
 * All functions but enter and leave are called between tsr_h5_enter() and tsr_h5_leave(). */
#ifndef TSR_SHARDS_H5_H
#define TSR_SHARDS_H5_H

#include "base/status.h"
#include "shards/shard.h"

#define H5_USE_110_API
#include <hdf5.h>
#include <stdint.h>

#define TSR_H5_DIMS 4

/* Take the lock and silence HDF5's error printing on this thread; leave restores both. */
void tsr_h5_enter(void);
void tsr_h5_leave(void);

/* A failure whose sentence ends in what HDF5's error stack says at its innermost place. */
tsr_status tsr_h5_fail(tsr_status code, const char *path, const char *what);

/* Open read-only. Errors: TSR_ENOENT, TSR_EIO (with a hint when locking failed), TSR_EFORMAT. */
TSR_USE tsr_status tsr_h5_open(const char *path, hid_t *out);

/* Make a file, replacing one of that name: no object times, data aligned to 4,096 bytes, formats of
 * 1.8 or older; `virtual_sets` 1 allows those of 1.10. */
TSR_USE tsr_status tsr_h5_create(const char *path, int virtual_sets, hid_t *out);

/* Close a file opened by either; reports what could not be written. */
TSR_USE tsr_status tsr_h5_close(hid_t file, const char *path);

/* A dataset creation list as this format wants it; H5Pclose. */
TSR_USE tsr_status tsr_h5_plan(const char *path, hid_t *out);

/* Make a group below `file` and close it. */
TSR_USE tsr_status tsr_h5_group(hid_t file, const char *name, const char *path);

/* Write a scalar attribute (text: fixed length, padded with zeros), or a list of u32. */
TSR_USE tsr_status tsr_h5_put_number(hid_t loc, const char *name, hid_t type, const void *value,
                                     const char *path);
TSR_USE tsr_status tsr_h5_put_u32(hid_t loc, const char *name, uint32_t v, const char *path);
TSR_USE tsr_status tsr_h5_put_text(hid_t loc, const char *name, const char *text, const char *path);
TSR_USE tsr_status tsr_h5_put_pair(hid_t loc, const char *name, uint32_t a, uint32_t b,
                                   const char *path);

/* Type of /tokens in the file: borrowed, H5T_STD_U8LE, U16LE or U32LE. */
hid_t tsr_h5_token_type(const tsr_token_space *s);

/* The attributes of /tokens. */
TSR_USE tsr_status tsr_h5_put_space(hid_t set, const tsr_token_space *s, const char *path);

/* Size and digest of the finished file `temp`, which is then renamed to `path`. To be called
 * outside the lock. */
TSR_USE tsr_status tsr_h5_publish(const char *temp, const char *path, tsr_shard_stats *stats);

/* Read an attribute that must be there, with exactly this shape and kind.
 * Errors   TSR_EFORMAT naming path and attribute. */
TSR_USE tsr_status tsr_h5_get_u64(hid_t loc, const char *name, const char *path, uint64_t *out);
TSR_USE tsr_status tsr_h5_get_u32(hid_t loc, const char *name, const char *path, uint32_t *out);
TSR_USE tsr_status tsr_h5_get_pair(hid_t loc, const char *name, const char *path, uint32_t out[2]);
/* At most cap - 1 bytes of valid UTF-8. */
TSR_USE tsr_status tsr_h5_get_text(hid_t loc, const char *name, const char *path, char *out,
                                   size_t cap);

/* What every file of a corpus says first: our format, a version we read, and this kind.
 * Errors   TSR_EFORMAT, TSR_EUNSUPPORTED (a later version). */
TSR_USE tsr_status tsr_h5_check_kind(hid_t file, const char *kind, const char *path);

/* Write a whole dataset; *set is open on success when asked for (H5Dclose), else closed. data NULL:
 * make it only, tsr_h5_put_rows fills it. */
TSR_USE tsr_status tsr_h5_put(hid_t file, const char *name, hid_t type, int ndim,
                              const uint64_t *dims, const void *data, const char *path, hid_t *set);

/* Write rows [start, start + count) of the first dimension of a dataset of this shape. */
TSR_USE tsr_status tsr_h5_put_rows(hid_t set, hid_t type, int ndim, const uint64_t *dims,
                                   const uint64_t range[2], const void *data, const char *path);

/* A dataset of unsigned or signed integers or fixed strings, checked: a hard link, data in this
 * file, no virtual storage. */
typedef struct tsr_h5_array {
    hid_t set;
    int ndim;
    uint64_t dims[TSR_H5_DIMS];
    uint64_t count;   /* product of dims */
    H5T_class_t kind; /* H5T_INTEGER or H5T_STRING */
    int is_signed;
    size_t item_bytes;
    int contiguous;       /* 1: items lie in the file as below, packed, little-endian */
    uint64_t file_offset; /* of the first item, when contiguous and count > 0 */
} tsr_h5_array;

/* file_bytes: size of the file, to check that contiguous data is inside. */
TSR_USE tsr_status tsr_h5_array_open(hid_t file, const char *name, const char *path,
                                     uint64_t file_bytes, tsr_h5_array *out);
void tsr_h5_array_close(tsr_h5_array *a);

/* All of it as `type` (native). */
TSR_USE tsr_status tsr_h5_array_read(const tsr_h5_array *a, const char *path, hid_t type,
                                     void *into);

/* Items [start, start + count) of a flat view: rows of the first dimension when ndim > 1. */
TSR_USE tsr_status tsr_h5_array_rows(const tsr_h5_array *a, const char *path, hid_t type,
                                     uint64_t start, uint64_t count, void *into);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * safetensors files: named arrays behind a JSON header, read through a map, written in one step.
 *
 * Bytes 0..7 are the length n of the header (u64, little-endian), then n bytes of JSON, then the
 * data. A file comes from strangers: lengths, types, shapes, offsets and overlaps are checked
 * before anything of it is used. */
#ifndef TSR_NN_SAFETENSORS_H
#define TSR_NN_SAFETENSORS_H

#include "base/json.h"
#include "base/status.h"
#include "nn/params.h"
#include "types/tensor.h"

#include <stddef.h>

#define TSR_SAFETENSORS_MAX_HEADER ((size_t)100 << 20) /* bytes; the limit of the official reader  \
                                                        */

/* One tensor of an open file. `data` points into the map (any alignment), valid until close. */
typedef struct tsr_stored {
    const char *name;
    tsr_dtype dtype;
    int ndim;
    size_t shape[TSR_MAX_DIMS];
    size_t count;
    const void *data;
} tsr_stored;

typedef struct tsr_safetensors tsr_safetensors;

/* Map a file and check all of its header.
 * Errors   TSR_ENOENT, TSR_EIO; TSR_EFORMAT for whatever is wrong with it; TSR_EUNSUPPORTED for
 *          element types or more dimensions than we know. Messages name the file and the tensor. */
TSR_USE tsr_status tsr_safetensors_open(const char *path, tsr_safetensors **out);
void tsr_safetensors_close(tsr_safetensors *f);

/* Tensors in the order of their data. */
size_t tsr_safetensors_count(const tsr_safetensors *f);
const tsr_stored *tsr_safetensors_at(const tsr_safetensors *f, size_t i);

/* By name, NULL when absent; get names the file: TSR_ENOENT. */
const tsr_stored *tsr_safetensors_find(const tsr_safetensors *f, const char *name);
TSR_USE tsr_status tsr_safetensors_get(const tsr_safetensors *f, const char *name,
                                       const tsr_stored **out);

/* "__metadata__": an object whose values are strings; empty when the file has none. Borrowed. */
const json_t *tsr_safetensors_metadata(const tsr_safetensors *f);

/* The path it was opened with. Borrowed. */
const char *tsr_safetensors_path(const tsr_safetensors *f);

/* Values of an F32, F64, F16 or BF16 tensor as float32 into out[t->count]; F64 is rounded to
 * nearest. Errors: TSR_EUNSUPPORTED for the other types. */
TSR_USE tsr_status tsr_stored_floats(const tsr_stored *t, float *out);

/* Fill every tensor of `ps` from the file. All that is missing, of another shape or not expected
 * is reported in one message: TSR_EMISMATCH, and nothing is changed. Names in the file that start
 * with one of `ignore` (NULL-terminated list, or NULL) may be there in addition. Shapes that
 * differ only by dimensions of 1 agree.
 * Errors   TSR_ENUMERIC when a value is not finite. */
TSR_USE tsr_status tsr_safetensors_load(const tsr_safetensors *f, tsr_params *ps,
                                        const char *const *ignore);

/* The first half of that, for tensors that are wanted later or never: names, shapes and types. */
TSR_USE tsr_status tsr_safetensors_check(const tsr_safetensors *f, const tsr_params *ps,
                                         const char *const *ignore);

/* What is wrong with the file for this store, of the header alone: *out is an object with the arrays
 * "missing", "misshapen" and "not_expected" (names, with what is wrong) where they are not empty, and
 * `ignore` as above. fail: the message about them with the first names of each, TSR_EMISMATCH; TSR_OK
 * where there are none. */
TSR_USE tsr_status tsr_safetensors_problems(const tsr_safetensors *f, const tsr_params *ps,
                                            const char *const *ignore, json_t **out);
TSR_USE tsr_status tsr_problems_fail(const json_t *problems, const char *path);

/* Let a deferred store (tsr_params_defer) read its values from the file, which passed check with it
 * and belongs to the store from now on, also on failure. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_safetensors_attach(tsr_safetensors *f, tsr_params *ps);

/* Write `count` tensors and metadata (object of strings, or NULL) by rename. Order in the file:
 * wider types first, then by name, as the official writer does, so that the same content gives the
 * same bytes. Errors: TSR_EARG for a name given twice or metadata that is not all strings. */
TSR_USE tsr_status tsr_safetensors_write(const char *path, const tsr_stored *tensors, size_t count,
                                         const json_t *metadata);

#endif

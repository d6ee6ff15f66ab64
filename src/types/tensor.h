/* SPDX-License-Identifier: Apache-2.0
 * Dense arrays: what layers hand to each other when the values have no meaning yet. */
#ifndef TSR_TYPES_TENSOR_H
#define TSR_TYPES_TENSOR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_MAX_DIMS 6

typedef enum tsr_dtype {
    TSR_F32,
    TSR_BF16,
    TSR_F16,
    TSR_F64,
    TSR_U8,
    TSR_I8,
    TSR_U16,
    TSR_I16,
    TSR_U32,
    TSR_I32,
    TSR_U64,
    TSR_I64,
    TSR_BOOL, /* one byte, 0 or 1 */
} tsr_dtype;

/* Row-major, packed. `owned` storage is released by tsr_tensor_clear; otherwise data is borrowed. */
typedef struct tsr_tensor {
    tsr_dtype dtype;
    int ndim;
    size_t shape[TSR_MAX_DIMS];
    void *data;
    int owned;
} tsr_tensor;

/* Bytes of one element. */
size_t tsr_dtype_bytes(tsr_dtype t);

/* safetensors' name of a type ("F32", "BF16"), and back (TSR_EUNSUPPORTED). */
const char *tsr_dtype_name(tsr_dtype t);
TSR_USE tsr_status tsr_dtype_parse(const char *name, tsr_dtype *out);

/* Zeroed storage. Errors: TSR_EARG when ndim is out of range, TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tensor_init(tsr_tensor *t, tsr_dtype dtype, int ndim, const size_t *shape);

/* Number of elements (the product was checked when the tensor was made). */
size_t tsr_tensor_count(const tsr_tensor *t);

/* Product of a shape, checked for overflow. */
TSR_USE tsr_status tsr_shape_count(int ndim, const size_t *shape, size_t *count);

void tsr_tensor_clear(tsr_tensor *t);

/* "[3, 224, 224]" into text[cap]; returns text. */
const char *tsr_shape_text(int ndim, const size_t *shape, char *text, size_t cap);

#endif

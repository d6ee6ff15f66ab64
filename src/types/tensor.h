/* SPDX-License-Identifier: Apache-2.0
 * Types and shapes of dense arrays. */
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

/* Bytes of one element. */
size_t tsr_dtype_bytes(tsr_dtype t);

/* safetensors' name of a type ("F32", "BF16"), and back (TSR_EUNSUPPORTED). */
const char *tsr_dtype_name(tsr_dtype t);
TSR_USE tsr_status tsr_dtype_parse(const char *name, tsr_dtype *out);

/* Product of a shape, checked for overflow. */
TSR_USE tsr_status tsr_shape_count(int ndim, const size_t *shape, size_t *count);

/* "[3, 224, 224]" into text[cap]; returns text. */
const char *tsr_shape_text(int ndim, const size_t *shape, char *text, size_t cap);

#endif

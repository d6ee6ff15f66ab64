/* SPDX-License-Identifier: Apache-2.0
 * Dense arrays. */
#include "types/tensor.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [TSR_F32] = {"F32", 4}, [TSR_BF16] = {"BF16", 2}, [TSR_F16] = {"F16", 2}, [TSR_F64] = {"F64", 8},
    [TSR_U8] = {"U8", 1},   [TSR_I8] = {"I8", 1},     [TSR_U16] = {"U16", 2}, [TSR_I16] = {"I16", 2},
    [TSR_U32] = {"U32", 4}, [TSR_I32] = {"I32", 4},   [TSR_U64] = {"U64", 8}, [TSR_I64] = {"I64", 8},
    [TSR_BOOL] = {"BOOL", 1},
};

size_t tsr_dtype_bytes(tsr_dtype t)
{
    return types[t].bytes;
}

const char *tsr_dtype_name(tsr_dtype t)
{
    return types[t].name;
}

tsr_status tsr_dtype_parse(const char *name, tsr_dtype *out)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            *out = (tsr_dtype)i;
            return TSR_OK;
        }
    }
    TSR_FAIL(TSR_EUNSUPPORTED, "element type \"%.16s\" is not known", name);
}

tsr_status tsr_shape_count(int ndim, const size_t *shape, size_t *count)
{
    size_t n = 1;
    for (int i = 0; i < ndim; i++)
        TSR_TRY(tsr_mul_size(n, shape[i], &n));
    *count = n;
    return TSR_OK;
}

const char *tsr_shape_text(int ndim, const size_t *shape, char *text, size_t cap)
{
    size_t at = 0;
    if (cap)
        text[0] = '\0';
    for (int i = 0; i < ndim && at < cap; i++)
        at += (size_t)snprintf(text + at, cap - at, "%s%zu", i ? ", " : "[", shape[i]);
    if (at < cap)
        snprintf(text + at, cap - at, "%s", ndim ? "]" : "[]");
    return text;
}

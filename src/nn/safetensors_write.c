/* SPDX-License-Identifier: Apache-2.0
 * Writing safetensors, always the same bytes for the same content, by rename. */
#include "nn/safetensors.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_type_and_name(const void *a, const void *b)
{
    const tsr_stored *x = *(const tsr_stored *const *)a, *y = *(const tsr_stored *const *)b;
    size_t m = tsr_dtype_bytes(x->dtype), n = tsr_dtype_bytes(y->dtype);
    if (m != n)
        return m > n ? -1 : 1;
    return strcmp(x->name, y->name);
}

static tsr_status entry_of(const tsr_stored *t, size_t begin, size_t end, json_t **out)
{
    tsr_status st = TSR_OK;
    json_t *entry = json_object(), *shape = json_array(), *at = json_array();
    if (!entry || !shape || !at)
        TSR_GOFAIL(TSR_ENOMEM, "out of memory");
    for (int i = 0; i < t->ndim; i++)
        TSR_GO(tsr_json_append(shape, json_integer((json_int_t)t->shape[i])));
    TSR_GO(tsr_json_append(at, json_integer((json_int_t)begin)));
    TSR_GO(tsr_json_append(at, json_integer((json_int_t)end)));
    TSR_GO(tsr_json_set(entry, "dtype", json_string(tsr_dtype_name(t->dtype))));
    TSR_GO(tsr_json_set(entry, "shape", json_incref(shape)));
    TSR_GO(tsr_json_set(entry, "data_offsets", json_incref(at)));
    *out = json_incref(entry);
out:
    json_decref(entry);
    json_decref(shape);
    json_decref(at);
    return st;
}

static tsr_status add_metadata(json_t *header, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        TSR_FAIL(TSR_EARG, "metadata of a safetensors file must be an object");
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            TSR_FAIL(TSR_EARG, "metadata \"%.200s\" of a safetensors file must be a string", key);
    }
    return tsr_json_set(header, "__metadata__", json_copy((json_t *)metadata));
}

/* Header text padded with spaces, so that the data start at a multiple of 8. */
static tsr_status make_header(const tsr_stored *const *order, size_t count, const json_t *metadata,
                              char **out, size_t *bytes)
{
    tsr_status st = TSR_OK;
    size_t at = 0;
    char *text = NULL;
    json_t *header = json_object(), *entry = NULL;
    if (!header)
        TSR_FAIL(TSR_ENOMEM, "out of memory");
    if (metadata && json_object_size(metadata))
        TSR_GO(add_metadata(header, metadata));
    for (size_t i = 0; i < count; i++) {
        size_t size;
        if (json_object_get(header, order[i]->name))
            TSR_GOFAIL(TSR_EARG, "tensor \"%.200s\" is given twice", order[i]->name);
        TSR_GO(tsr_mul_size(order[i]->count, tsr_dtype_bytes(order[i]->dtype), &size));
        TSR_GO(tsr_add_size(at, size, &size));
        TSR_GO(entry_of(order[i], at, size, &entry));
        TSR_GO(tsr_json_set(header, order[i]->name, entry));
        at = size;
    }
    TSR_GO(tsr_json_text(header, 0, &text));
    size_t n = strlen(text), padded = (n + 7) / 8 * 8;
    TSR_GO(tsr_grow(&text, n, padded + 1, 1));
    memset(text + n, ' ', padded - n);
    *out = text;
    *bytes = padded;
    text = NULL;
out:
    tsr_free(text);
    json_decref(header);
    return st;
}

static int put(FILE *f, const void *data, size_t bytes)
{
    return !bytes || fwrite(data, 1, bytes, f) == bytes;
}

static tsr_status write_to(const char *path, const char *header, size_t bytes,
                           const tsr_stored *const *order, size_t count)
{
    FILE *f = fopen(path, "wbe");
    if (!f)
        TSR_FAIL(TSR_EIO, "%s: cannot be created: %s", path, strerror(errno));
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)bytes >> 8 * i);
    int good = put(f, length, sizeof length) && put(f, header, bytes);
    for (size_t i = 0; i < count && good; i++)
        good = put(f, order[i]->data, order[i]->count * tsr_dtype_bytes(order[i]->dtype));
    int code = errno;
    if (fclose(f) != 0 && good) {
        good = 0;
        code = errno;
    }
    if (!good)
        TSR_FAIL(TSR_EIO, "%s: writing failed: %s", path, strerror(code));
    return TSR_OK;
}

tsr_status tsr_safetensors_write(const char *path, const tsr_stored *tensors, size_t count,
                                 const json_t *metadata)
{
    tsr_status st = TSR_OK;
    char *header = NULL, *temp = NULL;
    size_t bytes = 0;
    const tsr_stored **order = NULL;
    TSR_GO(tsr_alloc(&order, count, sizeof *order));
    for (size_t i = 0; i < count; i++)
        order[i] = &tensors[i];
    if (count)
        qsort(order, count, sizeof *order, by_type_and_name);
    TSR_GO(make_header(order, count, metadata, &header, &bytes));
    TSR_GO(tsr_file_temp_name(path, &temp));
    st = write_to(temp, header, bytes, order, count);
    if (st == TSR_OK)
        st = tsr_file_publish(temp, path);
    if (st != TSR_OK)
        unlink(temp);
out:
    tsr_free(temp);
    tsr_free(header);
    tsr_free(order);
    return st;
}

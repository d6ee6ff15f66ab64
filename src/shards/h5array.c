/* SPDX-License-Identifier: Apache-2.0
 * Checked access to the datasets of a file that may come from a stranger. */
#include "shards/h5.h"

#include "base/mem.h"

#include <string.h>

static int little_endian_host(void)
{
    const uint16_t one = 1;
    return *(const unsigned char *)&one == 1;
}

/* Every step of the way must be a hard link: others may leave the file. */
static tsr_status check_link(hid_t file, const char *name, const char *path)
{
    char prefix[128];
    H5L_info_t info;
    size_t n = strlen(name);
    for (size_t i = 1; i <= n; i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        memcpy(prefix, name, i);
        prefix[i] = '\0';
        if (H5Lexists(file, prefix, H5P_DEFAULT) <= 0)
            TSR_FAIL(TSR_EFORMAT, "%s: dataset \"%s\" is missing", path, name);
        if (H5Lget_info(file, prefix, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
            TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" is a link to another place, which is not allowed",
                     path, prefix);
    }
    return TSR_OK;
}

static tsr_status check_storage(tsr_h5_array *a, const char *name, const char *path,
                                uint64_t file_bytes)
{
    hid_t plan = H5Dget_create_plist(a->set);
    if (plan < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "a dataset's storage cannot be read");
    H5D_layout_t layout = H5Pget_layout(plan);
    int external = H5Pget_external_count(plan);
    H5Pclose(plan);
    if (layout == H5D_VIRTUAL || external != 0 || layout < 0)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: dataset \"%s\" keeps its data in other files, which is not "
                 "allowed",
                 path, name);
    a->contiguous = a->contiguous && layout == H5D_CONTIGUOUS;
    if (!a->contiguous || a->count == 0)
        return TSR_OK;
    haddr_t at = H5Dget_offset(a->set);
    uint64_t bytes, end;
    if (__builtin_mul_overflow(a->count, (uint64_t)a->item_bytes, &bytes) || at == HADDR_UNDEF ||
        __builtin_add_overflow((uint64_t)at, bytes, &end) || end > file_bytes)
        TSR_FAIL(TSR_EFORMAT, "%s: the data of \"%s\" is not all in the file: it is truncated",
                 path, name);
    a->file_offset = at;
    return TSR_OK;
}

static tsr_status check_type(tsr_h5_array *a, const char *name, const char *path)
{
    hid_t type = H5Dget_type(a->set);
    if (type < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "a dataset's type cannot be read");
    a->kind = H5Tget_class(type);
    a->item_bytes = H5Tget_size(type);
    int ok = (a->kind == H5T_INTEGER && a->item_bytes <= 8) ||
             (a->kind == H5T_STRING && H5Tis_variable_str(type) == 0 && a->item_bytes <= 65536);
    if (ok && a->kind == H5T_INTEGER) {
        a->is_signed = H5Tget_sign(type) != H5T_SGN_NONE;
        a->contiguous = little_endian_host() && H5Tget_order(type) != H5T_ORDER_BE &&
                        H5Tget_precision(type) == 8 * a->item_bytes;
    } else {
        a->contiguous = ok;
    }
    H5Tclose(type);
    if (!ok)
        TSR_FAIL(TSR_EFORMAT, "%s: dataset \"%s\" has neither integers nor fixed-length texts",
                 path, name);
    return TSR_OK;
}

static tsr_status check_shape(tsr_h5_array *a, const char *name, const char *path)
{
    hsize_t dims[TSR_H5_DIMS];
    hid_t space = H5Dget_space(a->set);
    int ndim = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    int ok =
        ndim >= 1 && ndim <= TSR_H5_DIMS && H5Sget_simple_extent_dims(space, dims, NULL) == ndim;
    if (space >= 0)
        H5Sclose(space);
    if (!ok)
        TSR_FAIL(TSR_EFORMAT, "%s: dataset \"%s\" should have 1 to %d dimensions", path, name,
                 TSR_H5_DIMS);
    a->ndim = ndim;
    a->count = 1;
    for (int i = 0; i < ndim; i++) {
        a->dims[i] = dims[i];
        if (__builtin_mul_overflow(a->count, a->dims[i], &a->count))
            TSR_FAIL(TSR_ELIMIT, "%s: the size of dataset \"%s\" does not fit in 64 bits", path,
                     name);
    }
    return TSR_OK;
}

tsr_status tsr_h5_array_open(hid_t file, const char *name, const char *path, uint64_t file_bytes,
                             tsr_h5_array *out)
{
    tsr_h5_array a = {.set = -1};
    TSR_TRY(check_link(file, name, path));
    a.set = H5Dopen2(file, name, H5P_DEFAULT);
    if (a.set < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "a dataset cannot be opened");
    tsr_status st = check_type(&a, name, path);
    if (st == TSR_OK)
        st = check_shape(&a, name, path);
    if (st == TSR_OK)
        st = check_storage(&a, name, path, file_bytes);
    if (st != TSR_OK) {
        H5Dclose(a.set);
        return st;
    }
    *out = a;
    return TSR_OK;
}

void tsr_h5_array_close(tsr_h5_array *a)
{
    if (a->set > 0)
        H5Dclose(a->set);
    a->set = -1;
}

tsr_status tsr_h5_array_read(const tsr_h5_array *a, const char *path, hid_t type, void *into)
{
    if (a->count && H5Dread(a->set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, into) < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "a dataset cannot be read");
    return TSR_OK;
}

tsr_status tsr_h5_array_rows(const tsr_h5_array *a, const char *path, hid_t type, uint64_t start,
                             uint64_t count, void *into)
{
    hsize_t from[TSR_H5_DIMS] = {0}, size[TSR_H5_DIMS];
    for (int i = 0; i < a->ndim; i++)
        size[i] = a->dims[i];
    from[0] = start;
    size[0] = count;
    hid_t space = H5Dget_space(a->set), mem = H5Screate_simple(a->ndim, size, NULL);
    int bad = space < 0 || mem < 0 ||
              H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, size, NULL) < 0 ||
              H5Dread(a->set, type, mem, space, H5P_DEFAULT, into) < 0;
    tsr_status st = bad ? tsr_h5_fail(TSR_EFORMAT, path, "rows cannot be read") : TSR_OK;
    if (space >= 0)
        H5Sclose(space);
    if (mem >= 0)
        H5Sclose(mem);
    return st;
}

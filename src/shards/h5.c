/* SPDX-License-Identifier: Apache-2.0
 * HDF5 behind one lock, with our sentences. */
#include "shards/h5.h"

#include "base/file.h"
#include "base/str.h"
#include "shards/layout.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static H5E_auto2_t saved_report; /* guarded by lock */
static void *saved_data;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* All files are closed explicitly. After a damaged one HDF5 1.10 may complain of itself when it is
 * torn down at exit. */
static void no_teardown(void)
{
    H5dont_atexit();
}

void tsr_h5_enter(void)
{
    pthread_once(&once, no_teardown);
    pthread_mutex_lock(&lock);
    H5Eget_auto2(H5E_DEFAULT, &saved_report, &saved_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void tsr_h5_leave(void)
{
    H5Eset_auto2(H5E_DEFAULT, saved_report, saved_data);
    pthread_mutex_unlock(&lock);
}

typedef struct reason {
    char text[256];
    int locking;
} reason;

static herr_t first_reason(unsigned n, const H5E_error2_t *e, void *ctx)
{
    reason *r = ctx;
    if (!e->desc)
        return 0;
    if (n == 0)
        snprintf(r->text, sizeof r->text, "%s", e->desc);
    if (strstr(e->desc, "lock file"))
        r->locking = 1;
    return 0;
}

tsr_status tsr_h5_fail(tsr_status code, const char *path, const char *what)
{
    reason r = {"", 0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, &r);
    H5Eclear2(H5E_DEFAULT);
    if (r.locking)
        TSR_FAIL(TSR_EIO,
                 "%s: %s: the file could not be locked; on a network file system set "
                 "HDF5_USE_FILE_LOCKING=FALSE in the environment",
                 path, what);
    if (r.text[0])
        TSR_FAIL(code, "%s: %s (HDF5: %s)", path, what, r.text);
    TSR_FAIL(code, "%s: %s", path, what);
}

/* Locks are off: a sealed file never changes and a temporary one has a single writer. */
static hid_t access_list(H5F_libver_t high)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list < 0)
        return list;
    if (H5Pset_libver_bounds(list, H5F_LIBVER_EARLIEST, high) < 0 ||
        H5Pset_alignment(list, 4096, 4096) < 0 || H5Pset_file_locking(list, 0, 1) < 0 ||
        H5Pset_fclose_degree(list, H5F_CLOSE_STRONG) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

tsr_status tsr_h5_open(const char *path, hid_t *out)
{
    uint64_t bytes;
    int64_t mtime;
    TSR_TRY(tsr_file_stat(path, &bytes, &mtime));
    hid_t list = access_list(H5F_LIBVER_LATEST);
    if (list < 0)
        return tsr_h5_fail(TSR_ENOMEM, path, "HDF5 has no memory");
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, list);
    H5Pclose(list);
    if (file < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "is not a readable HDF5 file");
    *out = file;
    return TSR_OK;
}

tsr_status tsr_h5_create(const char *path, int virtual_sets, hid_t *out)
{
    hid_t list = access_list(virtual_sets ? H5F_LIBVER_LATEST : H5F_LIBVER_V18);
    hid_t plan = H5Pcreate(H5P_FILE_CREATE), file = -1;
    if (list >= 0 && plan >= 0 && H5Pset_obj_track_times(plan, 0) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, plan, list);
    if (list >= 0)
        H5Pclose(list);
    if (plan >= 0)
        H5Pclose(plan);
    if (file < 0)
        return tsr_h5_fail(TSR_EIO, path, "cannot be created");
    *out = file;
    return TSR_OK;
}

tsr_status tsr_h5_close(hid_t file, const char *path)
{
    if (H5Fclose(file) < 0)
        return tsr_h5_fail(TSR_EIO, path, "could not be written completely");
    return TSR_OK;
}

tsr_status tsr_h5_plan(const char *path, hid_t *out)
{
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    if (plan < 0 || H5Pset_obj_track_times(plan, 0) < 0) {
        H5Pclose(plan);
        return tsr_h5_fail(TSR_ENOMEM, path, "HDF5 has no memory");
    }
    *out = plan;
    return TSR_OK;
}

tsr_status tsr_h5_group(hid_t file, const char *name, const char *path)
{
    hid_t plan = H5Pcreate(H5P_GROUP_CREATE), group = -1;
    if (plan >= 0 && H5Pset_obj_track_times(plan, 0) >= 0)
        group = H5Gcreate2(file, name, H5P_DEFAULT, plan, H5P_DEFAULT);
    H5Pclose(plan);
    if (group < 0)
        return tsr_h5_fail(TSR_EIO, path, "a group could not be made");
    H5Gclose(group);
    return TSR_OK;
}

/* Write an attribute whose type in the file is `stored` and in memory `type`. */
static tsr_status put(hid_t loc, const char *name, hid_t stored, hid_t type, hsize_t count,
                      const void *value, const char *path)
{
    hid_t space = count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR), attr = -1;
    int bad = space < 0;
    if (!bad)
        attr = H5Acreate2(loc, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    bad = bad || attr < 0 || H5Awrite(attr, type, value) < 0;
    tsr_status st = bad ? tsr_h5_fail(TSR_EIO, path, "an attribute could not be written") : TSR_OK;
    if (attr >= 0)
        H5Aclose(attr);
    if (space >= 0)
        H5Sclose(space);
    return st;
}

tsr_status tsr_h5_put_number(hid_t loc, const char *name, hid_t type, const void *value,
                             const char *path)
{
    hid_t stored = H5Tequal(type, H5T_NATIVE_UINT64) > 0 ? H5T_STD_U64LE : H5T_STD_U32LE;
    return put(loc, name, stored, type, 0, value, path);
}

tsr_status tsr_h5_put_u32(hid_t loc, const char *name, uint32_t v, const char *path)
{
    return tsr_h5_put_number(loc, name, H5T_NATIVE_UINT32, &v, path);
}

tsr_status tsr_h5_put_pair(hid_t loc, const char *name, uint32_t a, uint32_t b, const char *path)
{
    uint32_t pair[2] = {a, b};
    return put(loc, name, H5T_STD_U32LE, H5T_NATIVE_UINT32, 2, pair, path);
}

tsr_status tsr_h5_put_text(hid_t loc, const char *name, const char *text, const char *path)
{
    size_t n = strlen(text);
    hid_t type = H5Tcopy(H5T_C_S1);
    int bad = type < 0 || H5Tset_size(type, n ? n : 1) < 0 ||
              H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0;
    tsr_status st = bad ? tsr_h5_fail(TSR_EIO, path, "a text type could not be made")
                        : put(loc, name, type, type, 0, text, path);
    if (type >= 0)
        H5Tclose(type);
    return st;
}

/* Open an attribute and check its class and number of elements. */
static tsr_status get_open(hid_t loc, const char *name, const char *path, H5T_class_t kind,
                           hssize_t count, hid_t *attr, hid_t *type)
{
    hid_t a = -1, t = -1, space = -1;
    tsr_status st = TSR_OK;
    if (H5Aexists(loc, name) <= 0)
        TSR_FAIL(TSR_EFORMAT, "%s: attribute \"%s\" is missing", path, name);
    a = H5Aopen(loc, name, H5P_DEFAULT);
    if (a >= 0) {
        t = H5Aget_type(a);
        space = H5Aget_space(a);
    }
    if (a < 0 || t < 0 || space < 0)
        st = tsr_h5_fail(TSR_EFORMAT, path, "an attribute cannot be read");
    else if (H5Tget_class(t) != kind || H5Sget_simple_extent_npoints(space) != count)
        st = tsr_fail_at(TSR_EFORMAT, __FILE__, __LINE__,
                         "%s: attribute \"%s\" should be %lld %s, and is not", path, name,
                         (long long)count, kind == H5T_STRING ? "text" : "integer");
    if (space >= 0)
        H5Sclose(space);
    if (st != TSR_OK) {
        if (t >= 0)
            H5Tclose(t);
        if (a >= 0)
            H5Aclose(a);
        return st;
    }
    *attr = a;
    *type = t;
    return TSR_OK;
}

static tsr_status get_integers(hid_t loc, const char *name, const char *path, int count,
                               uint64_t *out)
{
    hid_t attr, type;
    TSR_TRY(get_open(loc, name, path, H5T_INTEGER, count, &attr, &type));
    int64_t signed_value[2] = {0, 0};
    int is_signed = H5Tget_sign(type) != H5T_SGN_NONE;
    tsr_status st = TSR_OK;
    herr_t done = is_signed ? H5Aread(attr, H5T_NATIVE_INT64, signed_value)
                            : H5Aread(attr, H5T_NATIVE_UINT64, out);
    H5Tclose(type);
    H5Aclose(attr);
    if (done < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "an attribute cannot be read");
    for (int i = 0; is_signed && st == TSR_OK && i < count; i++) {
        if (signed_value[i] < 0)
            TSR_FAIL(TSR_EFORMAT, "%s: attribute \"%s\" is negative", path, name);
        out[i] = (uint64_t)signed_value[i];
    }
    return st;
}

tsr_status tsr_h5_get_u64(hid_t loc, const char *name, const char *path, uint64_t *out)
{
    return get_integers(loc, name, path, 1, out);
}

tsr_status tsr_h5_get_u32(hid_t loc, const char *name, const char *path, uint32_t *out)
{
    uint64_t v;
    TSR_TRY(get_integers(loc, name, path, 1, &v));
    if (v > UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: attribute \"%s\" is %llu, beyond 32 bits", path, name,
                 (unsigned long long)v);
    *out = (uint32_t)v;
    return TSR_OK;
}

tsr_status tsr_h5_get_pair(hid_t loc, const char *name, const char *path, uint32_t out[2])
{
    uint64_t v[2];
    TSR_TRY(get_integers(loc, name, path, 2, v));
    if (v[0] > UINT32_MAX || v[1] > UINT32_MAX)
        TSR_FAIL(TSR_EFORMAT, "%s: attribute \"%s\" goes beyond 32 bits", path, name);
    out[0] = (uint32_t)v[0];
    out[1] = (uint32_t)v[1];
    return TSR_OK;
}

tsr_status tsr_h5_get_text(hid_t loc, const char *name, const char *path, char *out, size_t cap)
{
    hid_t attr, type;
    char text[256] = "";
    TSR_TRY(get_open(loc, name, path, H5T_STRING, 1, &attr, &type));
    size_t n = H5Tget_size(type);
    int fits = H5Tis_variable_str(type) == 0 && n < sizeof text;
    herr_t done = fits ? H5Aread(attr, type, text) : 0;
    H5Tclose(type);
    H5Aclose(attr);
    if (!fits || strlen(text) >= cap)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: attribute \"%s\" should be a fixed-length text of at most %zu "
                 "bytes",
                 path, name, cap - 1);
    if (done < 0)
        return tsr_h5_fail(TSR_EFORMAT, path, "an attribute cannot be read");
    if (tsr_utf8_valid(text, strlen(text)) != strlen(text))
        TSR_FAIL(TSR_EFORMAT, "%s: attribute \"%s\" is not UTF-8", path, name);
    snprintf(out, cap, "%s", text);
    return TSR_OK;
}

tsr_status tsr_h5_check_kind(hid_t file, const char *kind, const char *path)
{
    char text[TSR_NAME_CHARS];
    uint32_t version;
    TSR_TRY(tsr_h5_get_text(file, "format", path, text, sizeof text));
    if (strcmp(text, TSR_FORMAT_SHARD) != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: has format \"%s\", expected \"%s\"", path, text,
                 TSR_FORMAT_SHARD);
    TSR_TRY(tsr_h5_get_u32(file, "format_version", path, &version));
    if (version < 1 || version > TSR_SHARD_VERSION)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: has format version %u, this program reads up to %d", path,
                 version, TSR_SHARD_VERSION);
    TSR_TRY(tsr_h5_get_text(file, "kind", path, text, sizeof text));
    if (strcmp(text, kind) != 0)
        TSR_FAIL(TSR_EFORMAT, "%s: is of kind \"%s\", expected \"%s\"", path, text, kind);
    return TSR_OK;
}

tsr_status tsr_h5_put(hid_t file, const char *name, hid_t type, int ndim, const uint64_t *dims,
                      const void *data, const char *path, hid_t *set)
{
    hsize_t size[TSR_H5_DIMS];
    uint64_t count = 1;
    for (int i = 0; i < ndim; i++) {
        size[i] = dims[i];
        count *= dims[i];
    }
    hid_t plan, space = H5Screate_simple(ndim, size, NULL), made = -1;
    if (space < 0)
        return tsr_h5_fail(TSR_EIO, path, "a dataspace could not be made");
    tsr_status st = tsr_h5_plan(path, &plan);
    if (st == TSR_OK) {
        made = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
        H5Pclose(plan);
        if (made < 0 || (count && data && H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
            st = tsr_h5_fail(TSR_EIO, path, "a dataset could not be written");
    }
    H5Sclose(space);
    if (made >= 0 && (st != TSR_OK || !set))
        H5Dclose(made);
    else if (set)
        *set = made;
    return st;
}

tsr_status tsr_h5_put_rows(hid_t set, hid_t type, int ndim, const uint64_t *dims,
                           const uint64_t range[2], const void *data, const char *path)
{
    hsize_t from[TSR_H5_DIMS] = {range[0]}, size[TSR_H5_DIMS] = {range[1]};
    for (int i = 1; i < ndim; i++)
        size[i] = dims[i];
    hid_t space = H5Dget_space(set), mem = H5Screate_simple(ndim, size, NULL);
    int bad = space < 0 || mem < 0 ||
              H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, size, NULL) < 0 ||
              H5Dwrite(set, type, mem, space, H5P_DEFAULT, data) < 0;
    tsr_status st = bad ? tsr_h5_fail(TSR_EIO, path, "rows could not be written") : TSR_OK;
    if (space >= 0)
        H5Sclose(space);
    if (mem >= 0)
        H5Sclose(mem);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Reading safetensors: the map, the checks of the header, conversion to float32, strict loading. */
#include "nn/safetensors.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct tsr_safetensors {
    char *path;
    int fd; /* for reading without the map */
    void *map;
    size_t map_bytes;
    json_t *header;
    json_t *metadata;  /* owned: the header's, or an empty object */
    tsr_stored *items; /* by offset */
    const tsr_stored **by_name;
    size_t count;
};

static tsr_status map_file(tsr_safetensors *f)
{
    tsr_status st = TSR_OK;
    struct stat s;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        TSR_FAIL(errno == ENOENT ? TSR_ENOENT : TSR_EIO, "%s: cannot be opened: %s", f->path,
                 strerror(errno));
    if (fstat(fd, &s) != 0)
        TSR_GOFAIL(TSR_EIO, "%s: cannot be examined: %s", f->path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        TSR_GOFAIL(TSR_EFORMAT, "%s: is not a regular file", f->path);
    if (s.st_size < 10)
        TSR_GOFAIL(TSR_EFORMAT, "%s: %lld bytes are too few for a safetensors file", f->path,
                   (long long)s.st_size);
    void *map = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        TSR_GOFAIL(TSR_EIO, "%s: cannot be mapped: %s", f->path, strerror(errno));
    f->map = map;
    f->map_bytes = (size_t)s.st_size;
    f->fd = fd;
    return TSR_OK;
out:
    close(fd);
    return st;
}

static tsr_status header_length(const tsr_safetensors *f, size_t *out)
{
    const unsigned char *b = f->map;
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | b[i];
    if (n > TSR_SAFETENSORS_MAX_HEADER || n > f->map_bytes - 8)
        TSR_FAIL(TSR_EFORMAT,
                 "%s: is not a safetensors file: it announces a header of %llu bytes, the file has "
                 "%zu",
                 f->path, (unsigned long long)n, f->map_bytes);
    if (n < 2 || b[8] != '{')
        TSR_FAIL(TSR_EFORMAT, "%s: is not a safetensors file: the header is not a JSON object",
                 f->path);
    *out = (size_t)n;
    return TSR_OK;
}

/* A JSON integer >= 0 as size_t. */
static int whole(const json_t *j, size_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return 0;
    *out = (size_t)json_integer_value(j);
    return 1;
}

static tsr_status read_shape(const tsr_safetensors *f, const json_t *shape, tsr_stored *t)
{
    if (!json_is_array(shape))
        TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\" has no shape", f->path, t->name);
    if (json_array_size(shape) > TSR_MAX_DIMS)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: tensor \"%.200s\" has %zu dimensions, at most %d are read",
                 f->path, t->name, json_array_size(shape), TSR_MAX_DIMS);
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; i++)
        if (!whole(json_array_get(shape, (size_t)i), &t->shape[i]))
            TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\": dimension %d is not a size", f->path,
                     t->name, i);
    if (tsr_shape_count(t->ndim, t->shape, &t->count) != TSR_OK)
        TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\": the product of its shape is too large",
                 f->path, t->name);
    return TSR_OK;
}

/* One entry of the header; the data area is file bytes [start, map_bytes). */
static tsr_status read_entry(const tsr_safetensors *f, size_t start, const json_t *entry,
                             tsr_stored *t)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *at = json_object_get(entry, "data_offsets");
    size_t begin, end, bytes;
    if (!dtype)
        TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\" has no dtype", f->path, t->name);
    if (tsr_dtype_parse(dtype, &t->dtype) != TSR_OK)
        return tsr_context(TSR_EUNSUPPORTED, "%s: tensor \"%.200s\"", f->path, t->name);
    TSR_TRY(read_shape(f, json_object_get(entry, "shape"), t));
    if (json_array_size(at) != 2 || !whole(json_array_get(at, 0), &begin) ||
        !whole(json_array_get(at, 1), &end) || begin > end || end > f->map_bytes - start)
        TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\": its place lies outside the %zu data bytes",
                 f->path, t->name, f->map_bytes - start);
    if (tsr_mul_size(t->count, tsr_dtype_bytes(t->dtype), &bytes) != TSR_OK || bytes != end - begin)
        TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\": its shape does not need the %zu bytes given",
                 f->path, t->name, end - begin);
    t->data = (const char *)f->map + start + begin;
    return TSR_OK;
}

static int by_place(const void *a, const void *b)
{
    const tsr_stored *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if ((x->count == 0) != (y->count == 0))
        return x->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const tsr_stored *const *)a)->name, (*(const tsr_stored *const *)b)->name);
}

/* Tensors must tile the data area: no overlap, no hole, nothing behind the last. */
static tsr_status check_places(const tsr_safetensors *f, size_t start)
{
    const char *at = (const char *)f->map + start;
    for (size_t i = 0; i < f->count; i++) {
        const tsr_stored *t = &f->items[i];
        if ((const char *)t->data != at)
            TSR_FAIL(TSR_EFORMAT, "%s: tensor \"%.200s\" %s", f->path, t->name,
                     (const char *)t->data < at ? "overlaps another"
                                                : "has unnamed bytes before it");
        at += t->count * tsr_dtype_bytes(t->dtype);
    }
    size_t rest = (size_t)((const char *)f->map + f->map_bytes - at);
    if (rest)
        TSR_FAIL(TSR_EFORMAT, "%s: %zu bytes at the end belong to no tensor", f->path, rest);
    return TSR_OK;
}

static tsr_status read_metadata(tsr_safetensors *f, json_t *metadata)
{
    f->metadata = metadata ? json_incref(metadata) : json_object();
    if (!f->metadata)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", f->path);
    const char *key;
    json_t *value;
    if (!json_is_object(f->metadata))
        TSR_FAIL(TSR_EFORMAT, "%s: __metadata__ is not an object", f->path);
    json_object_foreach(f->metadata, key, value)
    {
        if (!json_is_string(value))
            TSR_FAIL(TSR_EFORMAT, "%s: __metadata__ \"%.200s\" is not a string", f->path, key);
    }
    return TSR_OK;
}

static tsr_status read_header(tsr_safetensors *f)
{
    size_t n;
    TSR_TRY(header_length(f, &n));
    TSR_TRY(tsr_json_parse((const char *)f->map + 8, n, f->path, &f->header));
    if (!json_is_object(f->header))
        TSR_FAIL(TSR_EFORMAT, "%s: the header is not a JSON object", f->path);
    TSR_TRY(read_metadata(f, json_object_get(f->header, "__metadata__")));
    TSR_TRY(tsr_alloc(&f->items, json_object_size(f->header), sizeof *f->items));
    TSR_TRY(tsr_alloc(&f->by_name, json_object_size(f->header), sizeof *f->by_name));
    const char *name;
    json_t *entry;
    json_object_foreach(f->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        f->items[f->count].name = name;
        TSR_TRY(read_entry(f, 8 + n, entry, &f->items[f->count]));
        f->count++;
    }
    if (!f->count)
        return check_places(f, 8 + n);
    qsort(f->items, f->count, sizeof *f->items, by_place);
    for (size_t i = 0; i < f->count; i++)
        f->by_name[i] = &f->items[i];
    qsort(f->by_name, f->count, sizeof *f->by_name, by_name);
    return check_places(f, 8 + n);
}

tsr_status tsr_safetensors_open(const char *path, tsr_safetensors **out)
{
    tsr_status st = TSR_OK;
    tsr_safetensors *f;
    TSR_TRY(tsr_alloc(&f, 1, sizeof *f));
    f->fd = -1;
    TSR_GO(tsr_strdup(&f->path, path));
    TSR_GO(map_file(f));
    TSR_GO(read_header(f));
    *out = f;
    f = NULL;
out:
    tsr_safetensors_close(f);
    return st;
}

void tsr_safetensors_close(tsr_safetensors *f)
{
    if (!f)
        return;
    json_decref(f->header);
    json_decref(f->metadata);
    if (f->map)
        munmap(f->map, f->map_bytes);
    if (f->fd >= 0)
        close(f->fd);
    tsr_free(f->by_name);
    tsr_free(f->items);
    tsr_free(f->path);
    tsr_free(f);
}

size_t tsr_safetensors_count(const tsr_safetensors *f)
{
    return f->count;
}

const tsr_stored *tsr_safetensors_at(const tsr_safetensors *f, size_t i)
{
    return &f->items[i];
}

const tsr_stored *tsr_safetensors_find(const tsr_safetensors *f, const char *name)
{
    if (!f->count)
        return NULL;
    const tsr_stored key = {.name = name}, *at = &key;
    const tsr_stored *const *hit = bsearch(&at, f->by_name, f->count, sizeof *f->by_name, by_name);
    return hit ? *hit : NULL;
}

tsr_status tsr_safetensors_get(const tsr_safetensors *f, const char *name, const tsr_stored **out)
{
    const tsr_stored *t = tsr_safetensors_find(f, name);
    if (!t)
        TSR_FAIL(TSR_ENOENT, "%s: has no tensor \"%s\"", f->path, name);
    *out = t;
    return TSR_OK;
}

const json_t *tsr_safetensors_metadata(const tsr_safetensors *f)
{
    return f->metadata;
}

const char *tsr_safetensors_path(const tsr_safetensors *f)
{
    return f->path;
}

static float from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE binary16: sign, 5 bits of exponent (bias 15), 10 of fraction. */
static float from_f16(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float x;
    if (exponent == 31)
        x = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        x = ldexpf((float)fraction, -24);
    else
        x = ldexpf((float)(fraction | 1024), exponent - 25);
    return h >> 15 ? -x : x;
}

static void widen_halves(const tsr_stored *t, float (*convert)(uint16_t), float *out)
{
    const char *from = t->data;
    for (size_t i = 0; i < t->count; i++) {
        uint16_t h;
        memcpy(&h, from + 2 * i, sizeof h);
        out[i] = convert(h);
    }
}

static void narrow_doubles(const tsr_stored *t, float *out)
{
    const char *from = t->data;
    for (size_t i = 0; i < t->count; i++) {
        double d;
        memcpy(&d, from + 8 * i, sizeof d);
        out[i] = (float)d;
    }
}

tsr_status tsr_stored_floats(const tsr_stored *t, float *out)
{
    if (t->dtype == TSR_F32 && t->count)
        memcpy(out, t->data, t->count * sizeof *out);
    else if (t->dtype == TSR_BF16)
        widen_halves(t, from_bf16, out);
    else if (t->dtype == TSR_F16)
        widen_halves(t, from_f16, out);
    else if (t->dtype == TSR_F64)
        narrow_doubles(t, out);
    else if (t->dtype != TSR_F32)
        TSR_FAIL(TSR_EUNSUPPORTED, "tensor \"%.200s\" is of type %s, not of a floating type",
                 t->name, tsr_dtype_name(t->dtype));
    return TSR_OK;
}

/* --- reading without the map: of a file that shrinks there is an error to report ------------- */

static tsr_status read_bytes(const tsr_safetensors *f, const char *at, void *out, size_t bytes)
{
    size_t place = (size_t)(at - (const char *)f->map);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(f->fd, (char *)out + done, bytes - done, (off_t)(place + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            TSR_FAIL(TSR_EIO, "%s: %s", f->path, strerror(errno));
        if (n == 0)
            TSR_FAIL(TSR_EIO, "%s: is shorter than when it was opened", f->path);
        done += (size_t)n;
    }
    return TSR_OK;
}

/* As tsr_param_source.read. */
static tsr_status read_values(void *ctx, const void *stored, size_t first, size_t count, float *out)
{
    const tsr_safetensors *f = ctx;
    const tsr_stored *t = stored;
    size_t each = tsr_dtype_bytes(t->dtype);
    double room[1024];
    const char *from = (const char *)t->data + first * each;
    if (t->dtype == TSR_F32)
        return read_bytes(f, from, out, count * each);
    tsr_stored piece = *t;
    piece.data = room;
    for (size_t at = 0; at < count; at += piece.count) {
        piece.count = count - at < sizeof room / each ? count - at : sizeof room / each;
        TSR_TRY(read_bytes(f, from + at * each, room, piece.count * each));
        TSR_TRY(tsr_stored_floats(&piece, out + at));
    }
    return TSR_OK;
}

static void close_source(void *ctx)
{
    tsr_safetensors_close(ctx);
}

tsr_status tsr_safetensors_attach(tsr_safetensors *f, tsr_params *ps)
{
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        p->stored = tsr_safetensors_find(f, p->name);
    }
    return tsr_params_attach(ps, (tsr_param_source){f->path, f, read_values, close_source});
}

/* --- strict loading ------------------------------------------------------------------------- */

static int same_shape(const tsr_stored *t, const tsr_param *p)
{
    int i = 0, j = 0;
    for (;; i++, j++) {
        while (i < t->ndim && t->shape[i] == 1)
            i++;
        while (j < p->file_ndim && p->file_shape[j] == 1)
            j++;
        if (i == t->ndim || j == p->file_ndim)
            return i == t->ndim && j == p->file_ndim;
        if (t->shape[i] != p->file_shape[j])
            return 0;
    }
}

static int ignored(const char *name, const char *const *prefixes)
{
    for (; prefixes && *prefixes; prefixes++)
        if (tsr_starts_with(name, *prefixes))
            return 1;
    return 0;
}

/* One of the lists of problems. */
static tsr_status note(json_t *into, const char *list, const char *name)
{
    return tsr_json_append(json_object_get(into, list), json_string(name));
}

static tsr_status note_shape(json_t *into, const tsr_stored *t, const tsr_param *p)
{
    char a[64], b[64], text[400];
    snprintf(text, sizeof text, "%.200s %s instead of %s", p->name,
             tsr_shape_text(t->ndim, t->shape, a, sizeof a),
             tsr_shape_text(p->file_ndim, p->file_shape, b, sizeof b));
    return note(into, "misshapen", text);
}

static tsr_status note_type(json_t *into, const tsr_stored *t)
{
    char text[300];
    snprintf(text, sizeof text, "%.200s is of type %s, not of a floating type", t->name,
             tsr_dtype_name(t->dtype));
    return note(into, "misshapen", text);
}

static tsr_status compare(const tsr_safetensors *f, const tsr_params *ps, const char *const *ignore,
                          json_t *into)
{
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_param *p = tsr_params_at(ps, i);
        const tsr_stored *t = tsr_safetensors_find(f, p->name);
        if (!t)
            TSR_TRY(note(into, "missing", p->name));
        else if (!same_shape(t, p))
            TSR_TRY(note_shape(into, t, p));
        else if (t->dtype > TSR_F64)
            TSR_TRY(note_type(into, t));
    }
    for (size_t i = 0; i < f->count; i++)
        if (!tsr_params_find(ps, f->items[i].name) && !ignored(f->items[i].name, ignore))
            TSR_TRY(note(into, "not_expected", f->items[i].name));
    return TSR_OK;
}

tsr_status tsr_safetensors_problems(const tsr_safetensors *f, const tsr_params *ps,
                                    const char *const *ignore, json_t **out)
{
    static const char *const lists[] = {"missing", "misshapen", "not_expected"};
    tsr_status st = TSR_OK;
    json_t *all = json_pack("{s[]s[]s[]}", lists[0], lists[1], lists[2]);
    if (!all)
        TSR_FAIL(TSR_ENOMEM, "%s: out of memory", f->path);
    TSR_GO(compare(f, ps, ignore, all));
    for (int i = 0; i < 3; i++)
        if (json_array_size(json_object_get(all, lists[i])) == 0)
            json_object_del(all, lists[i]);
    *out = all;
    all = NULL;
out:
    json_decref(all);
    return st;
}

#define NAMES_SHOWN 5 /* of each kind; a message holds 1 KiB */

/* "; missing: a, b and 7 more" */
static tsr_status add_names(tsr_str *text, const char *what, const json_t *list)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
        TSR_TRY(tsr_str_addf(text, "%s%.90s", i ? ", " : what,
                             json_string_value(json_array_get(list, i))));
    return n > NAMES_SHOWN ? tsr_str_addf(text, " and %zu more", n - NAMES_SHOWN) : TSR_OK;
}

tsr_status tsr_problems_fail(const json_t *problems, const char *path)
{
    const json_t *missing = json_object_get(problems, "missing");
    const json_t *shapes = json_object_get(problems, "misshapen");
    const json_t *extra = json_object_get(problems, "not_expected");
    tsr_str text = {0};
    tsr_status st;
    if (json_object_size(problems) == 0)
        return TSR_OK;
    TSR_GO(add_names(&text, "; missing: ", missing));
    TSR_GO(add_names(&text, "; wrong: ", shapes));
    TSR_GO(add_names(&text, "; not expected: ", extra));
    TSR_GOFAIL(TSR_EMISMATCH, "%s: %zu tensors missing, %zu of wrong shape or type, %zu not expected%s",
               path, json_array_size(missing), json_array_size(shapes), json_array_size(extra),
               text.s);
out:
    tsr_str_clear(&text);
    return st;
}

static int all_finite(const tsr_stored *t, float *scratch, size_t room)
{
    tsr_stored piece = *t;
    for (size_t at = 0; at < t->count; at += room) {
        piece.count = t->count - at < room ? t->count - at : room;
        piece.data = (const char *)t->data + at * tsr_dtype_bytes(t->dtype);
        if (tsr_stored_floats(&piece, scratch) != TSR_OK || !tsr_all_finite(scratch, piece.count))
            return 0;
    }
    return 1;
}

tsr_status tsr_safetensors_check(const tsr_safetensors *f, const tsr_params *ps,
                                 const char *const *ignore)
{
    json_t *problems;
    TSR_TRY(tsr_safetensors_problems(f, ps, ignore, &problems));
    tsr_status st = tsr_problems_fail(problems, f->path);
    json_decref(problems);
    return st;
}

/* All are looked at before the first is changed. */
static tsr_status fill(const tsr_safetensors *f, tsr_params *ps)
{
    float scratch[1024];
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        const tsr_stored *t = tsr_safetensors_find(f, tsr_params_at(ps, i)->name);
        if (!all_finite(t, scratch, sizeof scratch / sizeof scratch[0]))
            TSR_FAIL(TSR_ENUMERIC,
                     "%s: tensor \"%.200s\" holds a value that is not a finite number", f->path,
                     t->name);
    }
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        TSR_TRY(tsr_stored_floats(tsr_safetensors_find(f, p->name), p->value));
        tsr_param_touch(p);
    }
    return TSR_OK;
}

tsr_status tsr_safetensors_load(const tsr_safetensors *f, tsr_params *ps, const char *const *ignore)
{
    TSR_TRY(tsr_safetensors_check(f, ps, ignore));
    return fill(f, ps);
}

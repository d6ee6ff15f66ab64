/* SPDX-License-Identifier: Apache-2.0
 * NumPy's .npy: one array of numbers, versions 1 to 3, either byte order, C or Fortran order.
 * Source   NEP 1, "A simple file format for NumPy arrays". */
#include "codecs/depth.h"
#include "codecs/format.h"
#include "codecs/pickle.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER 65536
#define MAX_NDIM   TSR_VECTOR_DIMS

typedef struct array {
    char kind; /* 'u', 'i', 'f'; 'O': a pickle of objects */
    int bytes; /* of an item */
    int little, fortran, ndim;
    size_t shape[MAX_NDIM], count;
    const uint8_t *data;
} array;

/* ---- the header: a Python dict literal ---- */

/* Text after "'key':" and blanks, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    for (const char *quote = "'\""; *quote; quote++) {
        snprintf(quoted, sizeof quoted, "%c%s%c", *quote, key, *quote);
        const char *p = strstr(header, quoted);
        if (!p)
            continue;
        p += strlen(quoted);
        p += strspn(p, " ");
        if (*p != ':')
            return NULL;
        p++;
        return p + strspn(p, " ");
    }
    return NULL;
}

static tsr_status parse_type(const char *p, const char *name, array *a)
{
    static const char known[][3] = {"u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8"};
    if (!p || (*p != '\'' && *p != '"') || strlen(p) < 4)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: .npy header has no plain 'descr' (a structured type?)",
                 name);
    if (p && memcmp(p + 1, "|O", 2) == 0 && p[3] == *p) {
        a->kind = 'O';
        return TSR_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (memcmp(p + 2, known[i], 2) != 0 || !strchr("<>|", p[1]) || p[4] != *p)
            continue;
        a->little = p[1] != '>';
        a->kind = known[i][0];
        a->bytes = known[i][1] - '0';
        return TSR_OK;
    }
    const char *end = strchr(p + 1, *p);
    TSR_FAIL(TSR_EUNSUPPORTED, "%s: .npy of type %.*s; u1 u2 u4 i1 i2 i4 i8 f2 f4 f8 are read", name,
             end && end - p < 12 ? (int)(end - p) + 1 : 5, p);
}

static tsr_status parse_shape(const char *p, const char *name, array *a)
{
    if (!p || *p != '(')
        TSR_FAIL(TSR_EFORMAT, "%s: .npy header has no 'shape'", name);
    a->count = 1;
    for (p++; *(p += strspn(p, " ,")) != ')';) {
        char *end;
        if (*p < '0' || *p > '9')
            TSR_FAIL(TSR_EFORMAT, "%s: .npy shape is malformed at \"%.8s\"", name, p);
        unsigned long long n = strtoull(p, &end, 10);
        if (a->ndim == MAX_NDIM || n > SIZE_MAX / 16)
            TSR_FAIL(TSR_ELIMIT, "%s: .npy shape has more than %d dimensions or a side of %llu",
                     name, MAX_NDIM, n);
        a->shape[a->ndim++] = (size_t)n;
        TSR_TRY(tsr_mul_size(a->count, (size_t)n, &a->count));
        p = *end == 'L' ? end + 1 : end;
    }
    return TSR_OK;
}

static tsr_status parse_header(const char *text, const char *name, array *a)
{
    TSR_TRY(parse_type(value_of(text, "descr"), name, a));
    const char *order = value_of(text, "fortran_order");
    if (!order || (!tsr_starts_with(order, "True") && !tsr_starts_with(order, "False")))
        TSR_FAIL(TSR_EFORMAT, "%s: .npy header has no 'fortran_order'", name);
    a->fortran = order[0] == 'T';
    return parse_shape(value_of(text, "shape"), name, a);
}

static tsr_status open_array(const tsr_blob *s, array *a)
{
    if (s->bytes < 12)
        TSR_FAIL(TSR_EFORMAT, "%s: .npy is cut off in its header", s->name);
    int version = s->data[6];
    if (version < 1 || version > 3)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: .npy version %d, expected 1, 2 or 3", s->name, version);
    size_t at = version == 1 ? 10 : 12;
    size_t n = version == 1 ? tsr_le16(s->data + 8) : tsr_le32(s->data + 8);
    if (n > MAX_HEADER || n > s->bytes - at)
        TSR_FAIL(TSR_EFORMAT, "%s: .npy header of %zu bytes in a file of %llu", s->name, n,
                 (unsigned long long)s->bytes);
    char *text;
    TSR_TRY(tsr_strndup(&text, (const char *)s->data + at, n));
    tsr_status st = parse_header(text, s->name, a);
    tsr_free(text);
    TSR_TRY(st);
    size_t need;
    a->data = s->data + at + n;
    if (a->kind == 'O')
        return TSR_OK;
    TSR_TRY(tsr_mul_size(a->count, (size_t)a->bytes, &need));
    if (a->count == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: .npy holds no numbers", s->name);
    if (need > s->bytes - at - n)
        TSR_FAIL(TSR_EFORMAT, "%s: .npy is truncated: %zu bytes promised, %zu are there", s->name,
                 need, (size_t)s->bytes - at - n);
    return TSR_OK;
}

/* ---- numbers ---- */

/* IEEE 754 half precision: 1 sign, 5 exponent, 10 fraction bits. */
static double from_half(uint64_t bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023), sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == 31)
        return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static uint64_t item_bits(const array *a, size_t i)
{
    const uint8_t *p = a->data + i * (size_t)a->bytes;
    uint64_t v = 0;
    for (int b = 0; b < a->bytes; b++)
        v |= (uint64_t)p[a->little ? b : a->bytes - 1 - b] << (8 * b);
    return v;
}

/* Of kinds 'u' and 'i': the sign is extended from the item's width. */
static int64_t item_integer(const array *a, size_t i)
{
    uint64_t v = item_bits(a, i);
    int unused = 64 - 8 * a->bytes;
    return a->kind == 'u' ? (int64_t)v : (int64_t)(v << unused) >> unused;
}

static double item(const array *a, size_t i)
{
    uint64_t v = item_bits(a, i);
    if (a->kind == 'f' && a->bytes == 2)
        return from_half(v);
    if (a->kind == 'f' && a->bytes == 4) {
        uint32_t bits = (uint32_t)v;
        float f;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    if (a->kind == 'f') {
        double d;
        memcpy(&d, &v, sizeof d);
        return d;
    }
    return (double)item_integer(a, i);
}

/* As float32: floats are rounded, integers must be exact, finite numbers must stay finite. */
static tsr_status item_f32(const array *a, size_t i, const char *name, float *out)
{
    double v = item(a, i);
    float f = (float)v;
    if ((a->kind != 'f' && (double)f != v) || (isfinite(v) && !isfinite(f)) ||
        (a->bytes == 8 && a->kind == 'i' && fabs(v) > 16777216))
        TSR_FAIL(TSR_ENUMERIC, "%s: item %zu is %.17g, which float32 cannot hold", name, i, v);
    *out = f;
    return TSR_OK;
}

/* Strides in items of an array read as [H, W, C]. Three dimensions are [H, W, C] when the last is
 * at most 4, else [C, H, W] when the first is. */
typedef struct view {
    size_t height, width, channels;
    size_t dy, dx, dc;
} view;

static tsr_status as_picture(const array *a, const char *name, view *v)
{
    size_t stride[MAX_NDIM], step = 1;
    for (int k = 0; k < a->ndim; k++) {
        int d = a->fortran ? k : a->ndim - 1 - k;
        stride[d] = step;
        step *= a->shape[d];
    }
    const size_t *n = a->shape;
    if (a->ndim == 2)
        *v = (view){n[0], n[1], 1, stride[0], stride[1], 0};
    else if (a->ndim == 3 && n[2] <= 4)
        *v = (view){n[0], n[1], n[2], stride[0], stride[1], stride[2]};
    else if (a->ndim == 3 && n[0] <= 4)
        *v = (view){n[1], n[2], n[0], stride[1], stride[2], stride[0]};
    else
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: .npy of %d dimensions is no picture ([H,W], [H,W,C] or "
                 "[C,H,W] with at most 4 channels)",
                 name, a->ndim);
    return TSR_OK;
}

static tsr_status fill(const array *a, const view *v, const char *name, tsr_image *im)
{
    size_t i = 0;
    for (size_t y = 0; y < v->height; y++)
        for (size_t x = 0; x < v->width; x++)
            for (size_t c = 0; c < v->channels; c++, i++) {
                size_t from = y * v->dy + x * v->dx + c * v->dc;
                if (im->pixel == TSR_PIXEL_U8)
                    ((uint8_t *)im->data)[i] = a->data[from];
                else if (im->pixel == TSR_PIXEL_U16)
                    ((uint16_t *)im->data)[i] = (uint16_t)item(a, from);
                else
                    TSR_TRY(item_f32(a, from, name, (float *)im->data + i));
            }
    return TSR_OK;
}

static tsr_status read_picture(const array *a, const char *name, const tsr_read_options *o,
                               tsr_media *out)
{
    view v;
    tsr_image im = {0};
    tsr_status st = TSR_OK;
    TSR_TRY(as_picture(a, name, &v));
    TSR_TRY(tsr_image_limits(name, v.height, v.width, o));
    tsr_pixel pixel = TSR_PIXEL_F32;
    if (a->kind == 'u' && a->bytes <= 2)
        pixel = a->bytes == 1 ? TSR_PIXEL_U8 : TSR_PIXEL_U16;
    TSR_GO(tsr_image_init(&im, v.height, v.width, v.channels, pixel));
    TSR_GO(fill(a, &v, name, &im));
    TSR_GO(tsr_depth_read(&im, name, &o->depth));
    *out = (tsr_media){.kind = TSR_MEDIA_IMAGE, .as.image = im};
    im = (tsr_image){0};
out:
    tsr_image_clear(&im);
    return st;
}

/* Position in the file of item i of C order. */
static size_t c_order(const array *a, size_t i)
{
    if (!a->fortran)
        return i;
    size_t at = 0, step = a->count;
    for (int d = a->ndim - 1; d >= 0; d--) {
        step /= a->shape[d];
        at += i % a->shape[d] * step;
        i /= a->shape[d];
    }
    return at;
}

static tsr_status read_vector(const array *a, const char *name, const tsr_read_options *o,
                              tsr_media *out)
{
    if (a->count > o->max_samples)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu numbers, more than the limit of %zu", name, a->count,
                 o->max_samples);
    float *data;
    TSR_TRY(tsr_alloc(&data, a->count, sizeof *data));
    for (size_t i = 0; i < a->count; i++) {
        tsr_status st = item_f32(a, c_order(a, i), name, data + i);
        if (st != TSR_OK) {
            tsr_free(data);
            return st;
        }
    }
    *out = (tsr_media){.kind = TSR_MEDIA_VECTOR, .as.vector = {data, a->count, (size_t)a->ndim, {0}}};
    memcpy(out->as.vector.shape, a->shape, sizeof a->shape);
    return TSR_OK;
}

static tsr_status read_integers(const array *a, const char *name, const tsr_read_options *o,
                                tsr_media *out)
{
    tsr_integers v = {.count = a->count, .dims = (size_t)a->ndim};
    if (a->kind == 'f')
        TSR_FAIL(TSR_EFORMAT, "%s: .npy of type f%d where whole numbers are expected", name,
                 a->bytes);
    if (a->count > o->max_samples)
        TSR_FAIL(TSR_ELIMIT, "%s: %zu numbers, more than the limit of %zu", name, a->count,
                 o->max_samples);
    TSR_TRY(tsr_alloc(&v.data, a->count, sizeof *v.data));
    memcpy(v.shape, a->shape, sizeof v.shape);
    for (size_t i = 0; i < a->count; i++)
        v.data[i] = item_integer(a, c_order(a, i));
    *out = (tsr_media){.kind = TSR_MEDIA_INTEGERS, .as.integers = v};
    return TSR_OK;
}

tsr_status tsr_npy_read(const tsr_codec *f, tsr_blob *s, const tsr_read_options *o, tsr_media *out)
{
    (void)f;
    array a = {0};
    TSR_TRY(open_array(s, &a));
    if (a.kind == 'O') {
        json_t *record;
        TSR_TRY(tsr_pickle_read(s->name, a.data, (size_t)(s->data + s->bytes - a.data), &record));
        *out = (tsr_media){.kind = TSR_MEDIA_RECORD, .as.record = record};
        return TSR_OK;
    }
    if (o->as_integers)
        return read_integers(&a, s->name, o, out);
    if (a.ndim <= 1 || o->as_vector)
        return read_vector(&a, s->name, o, out);
    return read_picture(&a, s->name, o, out);
}

/* ---- writing: version 1, C order ---- */

/* "(3, 4)"; of fewer than two dimensions "(12,)". */
static void shape_text(size_t count, size_t dims, const size_t *sides, char shape[160])
{
    size_t at = 1;
    if (dims < 2)
        snprintf(shape, 160, "(%zu,)", count);
    for (size_t d = 0; d < dims && dims > 1; d++)
        at += (size_t)snprintf(shape + at, 160 - at, "%zu%s", sides[d], d + 1 < dims ? ", " : ")");
    shape[0] = '(';
}

static tsr_status check_integers(const char *name, const tsr_integers *v, int bytes)
{
    if (bytes != 2 && bytes != 4 && bytes != 8)
        TSR_FAIL(TSR_EARG, "%s: integers of %d bytes; 2, 4 and 8 are written", name, bytes);
    int64_t most = bytes == 8 ? INT64_MAX : ((int64_t)1 << (8 * bytes - 1)) - 1;
    for (size_t i = 0; i < v->count; i++)
        if (v->data[i] > most || v->data[i] < -most - 1)
            TSR_FAIL(TSR_EARG, "%s: %lld does not fit into %d bytes", name, (long long)v->data[i],
                     bytes);
    return TSR_OK;
}

static tsr_status describe(const char *name, const tsr_media *m, const char **type, char shape[160],
                           size_t *count)
{
    if (m->kind == TSR_MEDIA_VECTOR) {
        *type = "<f4";
        *count = m->as.vector.count;
        shape_text(*count, m->as.vector.dims, m->as.vector.shape, shape);
        return TSR_OK;
    }
    if (m->kind == TSR_MEDIA_INTEGERS) {
        *type = "<i8";
        *count = m->as.integers.count;
        shape_text(*count, m->as.integers.dims, m->as.integers.shape, shape);
        return TSR_OK;
    }
    if (m->kind != TSR_MEDIA_IMAGE)
        TSR_FAIL(TSR_EUNSUPPORTED, "%s: .npy cannot hold %s", name, tsr_media_name(m->kind));
    const tsr_image *im = &m->as.image;
    *type = im->pixel == TSR_PIXEL_U8 ? "|u1" : im->pixel == TSR_PIXEL_U16 ? "<u2" : "<f4";
    *count = im->height * im->width * im->channels;
    if (im->channels == 1)
        snprintf(shape, 160, "(%zu, %zu)", im->height, im->width);
    else
        snprintf(shape, 160, "(%zu, %zu, %zu)", im->height, im->width, im->channels);
    return TSR_OK;
}

/* Items of `held` bytes in memory, the lowest `size` of them written, little-endian. */
static tsr_status add_items(tsr_str *b, const void *data, size_t count, size_t held, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t le[8];
        uint64_t v = 0;
        if (held == 1)
            v = ((const uint8_t *)data)[i];
        else if (held == 2)
            v = ((const uint16_t *)data)[i];
        else if (held == 4)
            v = ((const uint32_t *)data)[i];
        else
            v = ((const uint64_t *)data)[i];
        for (size_t k = 0; k < size; k++)
            le[k] = (uint8_t)(v >> (8 * k));
        TSR_TRY(tsr_str_add_bytes(b, le, size));
    }
    return TSR_OK;
}

tsr_status tsr_npy_write(const char *name, const tsr_media *m, const tsr_write_options *o,
                         char **data, size_t *bytes)
{
    const char *type;
    char shape[160], dict[256];
    size_t count;
    TSR_TRY(describe(name, m, &type, shape, &count));
    size_t held = (size_t)(type[2] - '0'), size = held;
    if (m->kind == TSR_MEDIA_INTEGERS && o->integer_bytes)
        size = (size_t)o->integer_bytes;
    if (m->kind == TSR_MEDIA_INTEGERS)
        TSR_TRY(check_integers(name, &m->as.integers, (int)size));
    int n = snprintf(dict, sizeof dict,
                     "{'descr': '%.2s%zu', 'fortran_order': False, 'shape': %s, }", type, size,
                     shape);
    /* The data begin at a multiple of 64; the header ends in a line feed. */
    int padded = (n + 1 + 10 + 63) / 64 * 64 - 10;
    uint8_t mark[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)padded, (uint8_t)(padded >> 8)};
    const void *items = m->kind == TSR_MEDIA_VECTOR     ? m->as.vector.data
                        : m->kind == TSR_MEDIA_INTEGERS ? (const void *)m->as.integers.data
                                                        : m->as.image.data;
    tsr_str b = {0};
    tsr_status st = TSR_OK;
    TSR_GO(tsr_str_add_bytes(&b, mark, sizeof mark));
    TSR_GO(tsr_str_addf(&b, "%-*s\n", padded - 1, dict));
    TSR_GO(add_items(&b, items, count, held, size));
    *data = b.s;
    *bytes = b.len;
    b.s = NULL;
out:
    tsr_free(b.s);
    return st;
}

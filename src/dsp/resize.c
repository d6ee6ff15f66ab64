/* SPDX-License-Identifier: Apache-2.0
 * The two passes of a resize, for each type of pixel. */
#include "dsp/resize.h"

#include "base/mem.h"
#include "dsp/resize_filter.h"

#include <math.h>
#include <string.h>

#define MAX_SIDE 65535

/* A picture as the passes see it: rows of `width * channels` items of one type. */
typedef struct plane {
    size_t height, width, channels;
    void *data;
} plane;

/* One type of pixel: how a row is made by each pass. */
typedef struct pixel_ops {
    size_t size; /* bytes of an item */
    void (*across)(const void *src, void *dst, size_t channels, const tsr_taps *t);
    /* dst row y from rows of src; acc [items] is scratch */
    void (*down)(const plane *src, void *dst, size_t y, const tsr_taps *t, void *acc);
} pixel_ops;

/* ---- 8 bits -----------------------------------------------------------------------------------*/

static uint8_t clip8(int32_t sum)
{
    int32_t v = sum >> TSR_TAP_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void across_u8(const void *src, void *dst, size_t channels, const tsr_taps *t)
{
    const uint8_t *s = src;
    uint8_t *d = dst;
    for (size_t i = 0; i < t->outputs; i++) {
        const int32_t *k = t->fixed + i * t->width;
        const uint8_t *from = s + t->first[i] * channels;
        int32_t sum[4];
        for (size_t c = 0; c < channels; c++)
            sum[c] = 1 << (TSR_TAP_BITS - 1);
        for (size_t j = 0; j < t->count[i]; j++)
            for (size_t c = 0; c < channels; c++)
                sum[c] += k[j] * from[j * channels + c];
        for (size_t c = 0; c < channels; c++)
            d[i * channels + c] = clip8(sum[c]);
    }
}

static void down_u8(const plane *src, void *dst, size_t y, const tsr_taps *t, void *acc)
{
    size_t items = src->width * src->channels;
    int32_t *sum = acc;
    uint8_t *d = dst;
    for (size_t i = 0; i < items; i++)
        sum[i] = 1 << (TSR_TAP_BITS - 1);
    for (size_t j = 0; j < t->count[y]; j++) {
        const uint8_t *row = (const uint8_t *)src->data + (t->first[y] + j) * items;
        int32_t k = t->fixed[y * t->width + j];
        for (size_t i = 0; i < items; i++)
            sum[i] += k * row[i];
    }
    for (size_t i = 0; i < items; i++)
        d[i] = clip8(sum[i]);
}

/* ---- numbers summed in double: 32-bit integers, 16 bits stored bytewise, floats
 * ----------------*/

static int32_t round_away(double v)
{
    double r = v >= 0.0 ? floor(v + 0.5) : -floor(fabs(v) + 0.5);
    if (r >= 2147483647.0)
        return INT32_MAX;
    return r <= -2147483648.0 ? INT32_MIN : (int32_t)r;
}

static int32_t bytewise(double v)
{
    int32_t r = round_away(v);
    if (r < 0)
        return 0;
    return r > 0xFFFF ? 0xFF00 | (r & 0xFF) : r;
}

static float to_float(double v)
{
    return (float)v;
}

#define DOUBLE_PASSES(name, type, store)                                                           \
    static void across_##name(const void *src, void *dst, size_t channels, const tsr_taps *t)      \
    {                                                                                              \
        const type *s = src;                                                                       \
        type *d = dst;                                                                             \
        for (size_t i = 0; i < t->outputs; i++)                                                    \
            for (size_t c = 0; c < channels; c++) {                                                \
                double sum = 0;                                                                    \
                for (size_t j = 0; j < t->count[i]; j++)                                           \
                    sum += s[(t->first[i] + j) * channels + c] * t->weight[i * t->width + j];      \
                d[i * channels + c] = store(sum);                                                  \
            }                                                                                      \
    }                                                                                              \
    static void down_##name(const plane *src, void *dst, size_t y, const tsr_taps *t, void *acc)   \
    {                                                                                              \
        size_t items = src->width * src->channels;                                                 \
        double *sum = acc;                                                                         \
        type *d = dst;                                                                             \
        for (size_t i = 0; i < items; i++)                                                         \
            sum[i] = 0;                                                                            \
        for (size_t j = 0; j < t->count[y]; j++) {                                                 \
            const type *row = (const type *)src->data + (t->first[y] + j) * items;                 \
            double k = t->weight[y * t->width + j];                                                \
            for (size_t i = 0; i < items; i++)                                                     \
                sum[i] += row[i] * k;                                                              \
        }                                                                                          \
        for (size_t i = 0; i < items; i++)                                                         \
            d[i] = store(sum[i]);                                                                  \
    }

DOUBLE_PASSES(i32, int32_t, round_away)
DOUBLE_PASSES(bytes, int32_t, bytewise)
DOUBLE_PASSES(f32, float, to_float)

static const pixel_ops ops_u8 = {1, across_u8, down_u8};
static const pixel_ops ops_i32 = {4, across_i32, down_i32};
static const pixel_ops ops_bytes = {4, across_bytes, down_bytes};
static const pixel_ops ops_f32 = {4, across_f32, down_f32};

/* ---- the passes -------------------------------------------------------------------------------*/

static void *row_of(const plane *p, size_t y, size_t size)
{
    return (char *)p->data + y * p->width * p->channels * size;
}

/* src to dst [src->height, width] */
static tsr_status pass_across(const plane *src, plane *dst, const pixel_ops *ops, tsr_filter filter)
{
    tsr_taps t = {0};
    TSR_TRY(tsr_taps_init(&t, src->width, dst->width, filter));
    for (size_t y = 0; y < src->height; y++)
        ops->across(row_of(src, y, ops->size), row_of(dst, y, ops->size), src->channels, &t);
    tsr_taps_clear(&t);
    return TSR_OK;
}

static tsr_status pass_down(const plane *src, plane *dst, const pixel_ops *ops, tsr_filter filter)
{
    tsr_taps t = {0};
    double *acc = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_taps_init(&t, src->height, dst->height, filter));
    TSR_GO(tsr_alloc(&acc, src->width * src->channels, sizeof *acc));
    for (size_t y = 0; y < dst->height; y++)
        ops->down(src, row_of(dst, y, ops->size), y, &t, acc);
out:
    tsr_free(acc);
    tsr_taps_clear(&t);
    return st;
}

static tsr_status resize_nearest(const plane *src, plane *dst, size_t size)
{
    size_t *across = NULL, *down = NULL;
    tsr_status st = TSR_OK;
    size_t bytes = src->channels * size;
    TSR_GO(tsr_alloc(&across, dst->width, sizeof *across));
    TSR_GO(tsr_alloc(&down, dst->height, sizeof *down));
    tsr_nearest_index(src->width, dst->width, across);
    tsr_nearest_index(src->height, dst->height, down);
    for (size_t y = 0; y < dst->height; y++) {
        const char *from = row_of(src, down[y], size);
        char *to = row_of(dst, y, size);
        for (size_t x = 0; x < dst->width; x++)
            memcpy(to + x * bytes, from + across[x] * bytes, bytes);
    }
out:
    tsr_free(across);
    tsr_free(down);
    return st;
}

/* dst has its size and storage. */
static tsr_status resize_plane(const plane *src, plane *dst, const pixel_ops *ops,
                               tsr_filter filter)
{
    if (filter == TSR_FILTER_NEAREST)
        return resize_nearest(src, dst, ops->size);
    int across = src->width != dst->width, down = src->height != dst->height;
    if (!across && !down) {
        memcpy(dst->data, src->data, src->height * src->width * src->channels * ops->size);
        return TSR_OK;
    }
    if (!down)
        return pass_across(src, dst, ops, filter);
    if (!across)
        return pass_down(src, dst, ops, filter);
    plane middle = {src->height, dst->width, src->channels, NULL};
    size_t items;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_mul_size(middle.height, middle.width * middle.channels, &items));
    TSR_GO(tsr_alloc(&middle.data, items, ops->size));
    TSR_GO(pass_across(src, &middle, ops, filter));
    TSR_GO(pass_down(&middle, dst, ops, filter));
out:
    tsr_free(middle.data);
    return st;
}

static tsr_status check_size(size_t height, size_t width)
{
    if (height == 0 || width == 0)
        TSR_FAIL(TSR_EARG, "cannot resize to %zux%zu: a side is 0", width, height);
    if (height > MAX_SIDE || width > MAX_SIDE)
        TSR_FAIL(TSR_ELIMIT, "cannot resize to %zux%zu: sides go up to %d", width, height,
                 MAX_SIDE);
    return TSR_OK;
}

/* 16 bits by way of 32-bit integers. */
static tsr_status resize_u16(const tsr_image *src, tsr_filter filter, tsr_resize16 mode,
                             tsr_image *out)
{
    plane wide = {src->height, src->width, src->channels, NULL};
    plane small = {out->height, out->width, out->channels, NULL};
    size_t n = src->height * src->width * src->channels;
    size_t m = out->height * out->width * out->channels;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&wide.data, n, sizeof(int32_t)));
    TSR_GO(tsr_alloc(&small.data, m, sizeof(int32_t)));
    for (size_t i = 0; i < n; i++)
        ((int32_t *)wide.data)[i] = ((const uint16_t *)src->data)[i];
    TSR_GO(resize_plane(&wide, &small, mode == TSR_RESIZE16_BYTES ? &ops_bytes : &ops_i32, filter));
    for (size_t i = 0; i < m; i++) {
        int32_t v = ((const int32_t *)small.data)[i];
        ((uint16_t *)out->data)[i] = (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v);
    }
out:
    tsr_free(wide.data);
    tsr_free(small.data);
    return st;
}

tsr_status tsr_image_resize(const tsr_image *src, size_t height, size_t width, tsr_filter filter,
                            tsr_resize16 mode, tsr_image *out)
{
    TSR_TRY(check_size(height, width));
    tsr_image fresh;
    TSR_TRY(tsr_image_init(&fresh, height, width, src->channels, src->pixel));
    plane from = {src->height, src->width, src->channels, src->data};
    plane to = {height, width, src->channels, fresh.data};
    if (src->pixel == TSR_PIXEL_U16 && mode == TSR_RESIZE16_NEAREST)
        filter = TSR_FILTER_NEAREST;
    tsr_status st;
    if (filter == TSR_FILTER_NEAREST)
        st = resize_nearest(&from, &to, (size_t)src->pixel);
    else if (src->pixel == TSR_PIXEL_U16)
        st = resize_u16(src, filter, mode, &fresh);
    else
        st = resize_plane(&from, &to, src->pixel == TSR_PIXEL_U8 ? &ops_u8 : &ops_f32, filter);
    if (st != TSR_OK) {
        tsr_image_clear(&fresh);
        return st;
    }
    *out = fresh;
    return TSR_OK;
}

tsr_status tsr_resize_i32(const int32_t *src, size_t src_height, size_t src_width, int32_t *dst,
                          size_t height, size_t width, tsr_filter filter)
{
    TSR_TRY(check_size(src_height, src_width));
    TSR_TRY(check_size(height, width));
    /* The passes only read through `from`. */
    plane from = {src_height, src_width, 1, (void *)(uintptr_t)src};
    plane to = {height, width, 1, dst};
    return resize_plane(&from, &to, &ops_i32, filter);
}

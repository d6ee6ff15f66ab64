/* SPDX-License-Identifier: Apache-2.0
 * Feature maps of another network (CLIP, DINOv2, ImageBind): vectors on a grid, as .npy arrays.
 * They belong to the crop they were computed from, so that nothing is cut or mirrored here. */
#include "tokenizers/grid.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static tsr_status configure(tsr_grid *g, const tsr_settings *s)
{
    long long channels;
    TSR_TRY(tsr_setting_int(s, "channels", 512, 1, 65536, &channels));
    g->channels = (size_t)channels;
    return TSR_OK;
}

/* How an array lies in memory: value (c, p) is data[c * by_channel + p * by_place]. */
typedef struct layout {
    const float *data;
    size_t by_channel, by_place;
} layout;

/* The shape without sides of 1, and the values of one crop where the array has those of several. */
static tsr_status take_crop(const tsr_grid *g, const tsr_media *m, const tsr_inputs *in,
                            size_t shape[TSR_VECTOR_DIMS], size_t *dims, const float **data)
{
    size_t places = g->height * g->width, one = g->channels * places, n = 0;
    const size_t *full = m->as.vector.shape, count = m->as.vector.count;
    *data = m->as.vector.data;
    for (size_t d = 0; d < m->as.vector.dims; d++)
        if (full[d] != 1)
            shape[n++] = full[d];
    *dims = n;
    if (count == one && in->crop > 0)
        TSR_FAIL(TSR_EFORMAT, "features of one crop, and crop %zu is asked for", in->crop);
    if (count == one)
        return TSR_OK;
    if (n < 2 || count % one != 0 || shape[0] != count / one)
        TSR_FAIL(TSR_EFORMAT,
                 "an array of %zu numbers is no feature map of %zu channels on a grid of %zu x %zu",
                 count, g->channels, g->height, g->width);
    if (in->crop >= shape[0])
        TSR_FAIL(TSR_EFORMAT, "features of %zu crops, and crop %zu is asked for", shape[0],
                 in->crop);
    *data += in->crop * one;
    memmove(shape, shape + 1, --*dims * sizeof *shape);
    return TSR_OK;
}

/* [C, H, W] or [C, H W]; [H, W, C] or [H W, C] when the first side is not C. */
static tsr_status find_layout(const tsr_grid *g, const tsr_media *m, const tsr_inputs *in,
                              layout *out)
{
    size_t shape[TSR_VECTOR_DIMS] = {0}, dims, places = g->height * g->width, last, first;
    TSR_TRY(take_crop(g, m, in, shape, &dims, &out->data));
    last = dims ? shape[dims - 1] : 1;
    first = dims ? shape[0] : 1;
    int grid_last =
        dims == 3 ? shape[1] == g->height && last == g->width : dims < 2 || last == places;
    int grid_first = dims == 3 ? first == g->height && shape[1] == g->width : first == places;
    if (dims <= 3 && grid_last && (dims < 2 || first == g->channels))
        *out = (layout){out->data, places, 1};
    else if (dims <= 3 && grid_first && last == g->channels)
        *out = (layout){out->data, 1, g->channels};
    else
        TSR_FAIL(
            TSR_EFORMAT,
            "an array of another shape than [%zu, %zu, %zu]: channels, rows, columns (or rows, "
            "columns, channels)",
            g->channels, g->height, g->width);
    return TSR_OK;
}

static tsr_status prepare(const tsr_grid *g, const tsr_media *m, const tsr_inputs *in, float *x,
                          uint8_t *valid)
{
    size_t places = g->height * g->width;
    layout at = {0};
    TSR_TRY(find_layout(g, m, in, &at));
    for (size_t c = 0; c < g->channels; c++)
        for (size_t p = 0; p < places; p++) {
            float v = at.data[c * at.by_channel + p * at.by_place];
            if (!isfinite(v))
                TSR_FAIL(TSR_ENUMERIC, "feature %zu at place (%zu, %zu) is not finite", c,
                         p % g->width, p / g->width);
            x[c * places + p] = v;
        }
    memset(valid, 1, places);
    return TSR_OK;
}

static tsr_status finish(const tsr_grid *g, const float *y, tsr_media *out)
{
    size_t n = g->channels * g->height * g->width;
    float *data;
    TSR_TRY(tsr_alloc(&data, n, sizeof *data));
    memcpy(data, y, n * sizeof *data);
    *out = (tsr_media){.kind = TSR_MEDIA_VECTOR,
                       .as.vector = {data, n, 3, {g->channels, g->height, g->width}}};
    return TSR_OK;
}

static tsr_status restore(const tsr_grid *g, const float *x, const uint8_t *valid, tsr_media *out)
{
    (void)valid;
    return finish(g, x, out);
}

/* cosine: mean over places, of the angle between the two vectors (0 where one has no length); mse.
 */
static tsr_status quality(const tsr_grid *g, const tsr_media *target, const tsr_media *got,
                          json_t *into)
{
    size_t places = g->height * g->width, n = g->channels * places;
    const float *a = target->as.vector.data, *b = got->as.vector.data;
    double cosine = 0, square = 0;
    if (target->as.vector.count != n || got->as.vector.count != n)
        TSR_FAIL(TSR_EARG, "feature maps to compare must have %zu numbers", n);
    for (size_t p = 0; p < places; p++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t c = 0; c < g->channels; c++) {
            double u = a[c * places + p], v = b[c * places + p];
            ab += u * v;
            aa += u * u;
            bb += v * v;
            square += (u - v) * (u - v);
        }
        cosine += aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    }
    TSR_TRY(tsr_json_set(into, "cosine", json_real(cosine / (double)places)));
    return tsr_json_set(into, "mse", json_real(square / (double)n));
}

const tsr_grid_rules tsr_features_rules = {
    .range = "features as they are, all finite; of the crop, never cut or mirrored",
    .loss = TSR_VQ_SMOOTH_L1,
    .size_key = "grid",
    .configure = configure,
    .prepare_array = prepare,
    .finish = finish,
    .restore = restore,
    .quality = quality,
};

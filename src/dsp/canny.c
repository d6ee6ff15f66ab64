/* SPDX-License-Identifier: Apache-2.0
 * Canny's edges. */
#include "dsp/canny.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TAN_22_5 13573 /* tan(22.5 degrees) * 2^15, rounded; tan(67.5 degrees) is 2 more */

enum { NONE = 0, CANDIDATE = 1, EDGE = 255 };

/* Gradients and what becomes of them. `length` and `state` have a border of one pixel of zeros. */
typedef struct edges {
    size_t height, width;
    int32_t *gx, *gy;    /* [height, width] */
    int32_t *rows[3];    /* of width + 4: sums down columns, and the gradients of one channel */
    int64_t *length;     /* [height + 2, width + 2] */
    uint8_t *state;      /* the same */
    size_t *stack, tall; /* places in `state` of edges whose neighbours were not looked at */
} edges;

static size_t nearest_inside(ptrdiff_t i, size_t n)
{
    return i < 0 ? 0 : i >= (ptrdiff_t)n ? n - 1 : (size_t)i;
}

/* Sobel's kernels of 3 or 5 pixels: smooth one way, differ the other. */
static const int32_t smooth[2][5] = {{1, 2, 1}, {1, 4, 6, 4, 1}};
static const int32_t differ[2][5] = {{-1, 0, 1}, {-1, -2, 0, 2, 1}};

/* One row of sums down the columns, `half` columns wider on either side. */
static void columns(const tsr_image *im, size_t channel, size_t y, int side, const int32_t *weights,
                    int32_t *sums)
{
    size_t half = (size_t)side / 2, n = im->width;
    memset(sums, 0, (n + 2 * half) * sizeof *sums);
    for (int j = 0; j < side; j++) {
        size_t row = nearest_inside((ptrdiff_t)(y + (size_t)j) - (ptrdiff_t)half, im->height);
        const uint8_t *p = (const uint8_t *)tsr_image_row(im, row) + channel;
        for (size_t x = 0; x < n; x++)
            sums[half + x] += weights[j] * p[x * im->channels];
    }
    for (size_t x = 0; x < half; x++) {
        sums[x] = sums[half];
        sums[half + n + x] = sums[half + n - 1];
    }
}

static void along(const int32_t *sums, size_t n, int side, const int32_t *weights, int32_t *out)
{
    memset(out, 0, n * sizeof *out);
    for (int i = 0; i < side; i++)
        for (size_t x = 0; x < n; x++)
            out[x] += weights[i] * sums[x + (size_t)i];
}

static int64_t length_of(int64_t gx, int64_t gy, int l2)
{
    return l2 ? gx * gx + gy * gy : llabs(gx) + llabs(gy);
}

/* Keep the gradients of a row where they are longer than those of the channels before. */
static void keep_longest(edges *e, size_t y, int first, int l2)
{
    int64_t *length = &e->length[(y + 1) * (e->width + 2) + 1];
    int32_t *gx = e->gx + y * e->width, *gy = e->gy + y * e->width;
    for (size_t x = 0; x < e->width; x++) {
        int64_t here = length_of(e->rows[1][x], e->rows[2][x], l2);
        if (!first && here <= length[x])
            continue;
        length[x] = here;
        gx[x] = e->rows[1][x];
        gy[x] = e->rows[2][x];
    }
}

static void measure(const tsr_image *im, const tsr_canny_rule *rule, edges *e)
{
    int side = rule->aperture, k = side == 5;
    for (size_t y = 0; y < e->height; y++) {
        for (size_t c = 0; c < im->channels; c++) {
            columns(im, c, y, side, smooth[k], e->rows[0]);
            along(e->rows[0], e->width, side, differ[k], e->rows[1]);
            columns(im, c, y, side, differ[k], e->rows[0]);
            along(e->rows[0], e->width, side, smooth[k], e->rows[2]);
            keep_longest(e, y, c == 0, rule->l2);
        }
    }
}

/* Is the gradient here as long as any beside it in its direction? Ties go to the left, the upper
 * pixel; on the diagonals to neither. */
static int is_ridge(const edges *e, size_t y, size_t x)
{
    size_t row = e->width + 2;
    const int64_t *m = &e->length[(y + 1) * row + x + 1];
    int64_t gx = e->gx[y * e->width + x], gy = e->gy[y * e->width + x];
    int64_t across = llabs(gx) * TAN_22_5, down = llabs(gy) * 32768;
    if (down < across)
        return *m > m[-1] && *m >= m[1];
    if (down > across + llabs(gx) * 65536)
        return *m > *(m - row) && *m >= m[row];
    ptrdiff_t lean = (gx < 0) != (gy < 0) ? -1 : 1;
    return *m > *(m - row - lean) && *m > *(m + row + lean);
}

static void begin_edge(edges *e, size_t at)
{
    e->state[at] = EDGE;
    e->stack[e->tall++] = at;
}

static void mark(edges *e, int64_t low, int64_t high)
{
    for (size_t y = 0; y < e->height; y++) {
        for (size_t x = 0; x < e->width; x++) {
            size_t at = (y + 1) * (e->width + 2) + x + 1;
            if (e->length[at] <= low || !is_ridge(e, y, x))
                continue;
            if (e->length[at] > high)
                begin_edge(e, at);
            else
                e->state[at] = CANDIDATE;
        }
    }
}

/* Candidates that touch an edge are edges. */
static void follow(edges *e)
{
    ptrdiff_t row = (ptrdiff_t)e->width + 2;
    const ptrdiff_t around[8] = {-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1};
    while (e->tall > 0) {
        size_t from = e->stack[--e->tall];
        for (int k = 0; k < 8; k++) {
            size_t at = (size_t)((ptrdiff_t)from + around[k]);
            if (e->state[at] == CANDIDATE)
                begin_edge(e, at);
        }
    }
}

/* The longest gradient that is not beyond a threshold, as a whole number. */
static int64_t whole(double threshold, int l2)
{
    double t = l2 ? fmin(32767, threshold) : threshold;
    return (int64_t)floor(fmin(l2 ? t * t : t, 1e15));
}

static tsr_status check(const tsr_image *src, const tsr_canny_rule *rule)
{
    if (src->pixel != TSR_PIXEL_U8 || (src->channels != 1 && src->channels != 3))
        TSR_FAIL(TSR_EARG, "edges are found in 8-bit pictures of 1 or 3 channels, not %zu%s",
                 src->channels, src->pixel == TSR_PIXEL_U8 ? "" : " of more bits");
    if (rule->aperture != 3 && rule->aperture != 5)
        TSR_FAIL(TSR_EARG, "edges by kernels of %d pixels; 3 and 5 are known", rule->aperture);
    if (!(rule->low >= 0 && rule->high >= 0 && isfinite(rule->low) && isfinite(rule->high)))
        TSR_FAIL(TSR_EARG, "edges above %g and %g; thresholds are 0 or more", rule->low,
                 rule->high);
    return TSR_OK;
}

static tsr_status find(const tsr_image *src, const tsr_canny_rule *rule, edges *e, tsr_image *out)
{
    size_t n = src->height * src->width, framed;
    *e = (edges){.height = src->height, .width = src->width};
    TSR_TRY(tsr_mul_size(src->height + 2, src->width + 2, &framed));
    TSR_TRY(tsr_alloc(&e->gx, n, sizeof *e->gx));
    TSR_TRY(tsr_alloc(&e->gy, n, sizeof *e->gy));
    TSR_TRY(tsr_alloc(&e->length, framed, sizeof *e->length));
    TSR_TRY(tsr_alloc(&e->state, framed, 1));
    TSR_TRY(tsr_alloc(&e->stack, n, sizeof *e->stack));
    for (int k = 0; k < 3; k++)
        TSR_TRY(tsr_alloc(&e->rows[k], src->width + 4, sizeof *e->rows[k]));
    measure(src, rule, e);
    mark(e, whole(fmin(rule->low, rule->high), rule->l2),
         whole(fmax(rule->low, rule->high), rule->l2));
    follow(e);
    TSR_TRY(tsr_image_init(out, src->height, src->width, 1, TSR_PIXEL_U8));
    for (size_t y = 0; y < e->height; y++)
        for (size_t x = 0; x < e->width; x++) {
            uint8_t state = e->state[(y + 1) * (e->width + 2) + x + 1];
            ((uint8_t *)out->data)[y * e->width + x] = state == EDGE ? EDGE : NONE;
        }
    return TSR_OK;
}

tsr_status tsr_canny(const tsr_image *src, const tsr_canny_rule *rule, tsr_image *out)
{
    edges e;
    TSR_TRY(check(src, rule));
    tsr_status st = find(src, rule, &e, out);
    tsr_free(e.gx);
    tsr_free(e.gy);
    tsr_free(e.length);
    tsr_free(e.state);
    tsr_free(e.stack);
    for (int k = 0; k < 3; k++)
        tsr_free(e.rows[k]);
    return st;
}

tsr_status tsr_grey_opencv(const tsr_image *src, tsr_image *out)
{
    if (src->pixel != TSR_PIXEL_U8 || src->channels != 3)
        TSR_FAIL(TSR_EARG, "grey is made from 8-bit pictures of 3 channels, not %zu",
                 src->channels);
    TSR_TRY(tsr_image_init(out, src->height, src->width, 1, TSR_PIXEL_U8));
    const uint8_t *rgb = src->data;
    uint8_t *grey = out->data;
    for (size_t p = 0; p < src->height * src->width; p++, rgb += 3)
        grey[p] = (uint8_t)((rgb[0] * 9798u + rgb[1] * 19235u + rgb[2] * 3735u + 16384u) >> 15);
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Outlines. */
#include "dsp/polygon.h"

#include "base/mem.h"

#include <stdlib.h>

#define ONE ((int64_t)1 << 16) /* columns are counted in such parts of a pixel */

/* ---- lines ------------------------------------------------------------------------------------*/

typedef struct wide_point {
    int64_t x, y;
} wide_point;

/* Beside which borders a point lies: 1 left, 2 right, 4 above, 8 below. */
static int beyond(wide_point p, int64_t right, int64_t bottom)
{
    return (p.x < 0) + (p.x > right) * 2 + (p.y < 0) * 4 + (p.y > bottom) * 8;
}

/* Move `p` along the line to `q` to row y, or to column x. */
static void to_row(wide_point *p, wide_point q, int64_t y)
{
    p->x += (int64_t)((double)(y - p->y) * (double)(q.x - p->x) / (double)(q.y - p->y));
    p->y = y;
}

static void to_column(wide_point *p, wide_point q, int64_t x)
{
    p->y += (int64_t)((double)(x - p->x) * (double)(q.y - p->y) / (double)(q.x - p->x));
    p->x = x;
}

/* Cut a line to the mask, rows first; 0 when nothing is left of it. */
static int clip(const tsr_image *mask, wide_point *a, wide_point *b)
{
    int64_t right = (int64_t)mask->width - 1, bottom = (int64_t)mask->height - 1;
    int p = beyond(*a, right, bottom), q = beyond(*b, right, bottom);
    if ((p & q) || !(p | q))
        return !(p | q);
    if (p & 12)
        to_row(a, *b, p < 8 ? 0 : bottom);
    if (q & 12)
        to_row(b, *a, q < 8 ? 0 : bottom);
    p = beyond(*a, right, bottom) & 3;
    q = beyond(*b, right, bottom) & 3;
    if (p & q)
        return 0;
    if (p)
        to_column(a, *b, p == 1 ? 0 : right);
    if (q)
        to_column(b, *a, q == 1 ? 0 : right);
    return 1;
}

/* Bresenham's line from left to right; both ends are in the mask. */
static void draw(tsr_image *mask, wide_point a, wide_point b, uint8_t value)
{
    wide_point from = b.x < a.x ? b : a, to = b.x < a.x ? a : b;
    int64_t across = to.x - from.x, down = llabs(to.y - from.y), step = to.y < from.y ? -1 : 1;
    int steep = down > across;
    int64_t longer = steep ? down : across, shorter = steep ? across : down;
    int64_t error = longer - 2 * shorter;
    for (int64_t i = 0; i <= longer; i++) {
        int both = error < 0;
        *((uint8_t *)tsr_image_row(mask, (size_t)from.y) + from.x) = value;
        error += 2 * (both ? longer : 0) - 2 * shorter;
        from.x += !steep || both;
        from.y += steep || both ? step : 0;
    }
}

/* ---- filling ----------------------------------------------------------------------------------*/

/* An edge that crosses rows: column x (with fraction) in row `top`, `slope` a row, up to but not
 * `bottom`. */
typedef struct edge {
    int64_t top, bottom, x, slope;
} edge;

/* Draws the edge from a to b and returns its place among the rows; 0 for a level one. */
static int take_edge(tsr_image *mask, tsr_point a, tsr_point b, uint8_t value, edge *out)
{
    wide_point p = {a.x, a.y}, q = {b.x, b.y};
    if (clip(mask, &p, &q))
        draw(mask, p, q, value);
    if (a.y == b.y)
        return 0;
    tsr_point upper = a.y < b.y ? a : b, lower = a.y < b.y ? b : a;
    *out = (edge){.top = upper.y, .bottom = lower.y, .x = upper.x * ONE};
    out->slope = ((int64_t)lower.x - upper.x) * ONE / ((int64_t)lower.y - upper.y);
    return 1;
}

static int by_column(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void fill_row(tsr_image *mask, size_t y, const int64_t *columns, size_t n, uint8_t value)
{
    uint8_t *row = tsr_image_row(mask, y);
    for (size_t k = 0; k + 1 < n; k += 2) {
        int64_t from = (columns[k] + ONE - 1) >> 16, to = columns[k + 1] >> 16;
        to = to >= (int64_t)mask->width ? (int64_t)mask->width - 1 : to;
        for (int64_t x = from < 0 ? 0 : from; x <= to; x++)
            row[x] = value;
    }
}

static void fill_rows(tsr_image *mask, const edge *edges, size_t n, int64_t *columns, uint8_t value)
{
    for (size_t y = 0; y < mask->height; y++) {
        size_t crossed = 0;
        for (size_t i = 0; i < n; i++)
            if (edges[i].top <= (int64_t)y && (int64_t)y < edges[i].bottom)
                columns[crossed++] = edges[i].x + ((int64_t)y - edges[i].top) * edges[i].slope;
        if (crossed)
            qsort(columns, crossed, sizeof *columns, by_column);
        fill_row(mask, y, columns, crossed, value);
    }
}

static tsr_status check(const tsr_point *p, size_t n)
{
    if (n == 0)
        TSR_FAIL(TSR_EARG, "an outline without corners");
    for (size_t i = 0; i < n; i++)
        if (p[i].x < -TSR_POINT_MAX || p[i].x > TSR_POINT_MAX || p[i].y < -TSR_POINT_MAX ||
            p[i].y > TSR_POINT_MAX)
            TSR_FAIL(TSR_EARG, "corner %zu of an outline is (%d, %d), beyond %d", i, p[i].x, p[i].y,
                     TSR_POINT_MAX);
    return TSR_OK;
}

tsr_status tsr_polygon_fill(const tsr_point *p, size_t n, uint8_t value, tsr_image *mask)
{
    edge *edges = NULL;
    int64_t *columns = NULL;
    size_t count = 0;
    tsr_status st = TSR_OK;
    if (mask->pixel != TSR_PIXEL_U8 || mask->channels != 1)
        TSR_FAIL(TSR_EARG, "a mask to fill has one channel of 8 bits");
    TSR_TRY(check(p, n));
    TSR_GO(tsr_alloc(&edges, n, sizeof *edges));
    TSR_GO(tsr_alloc(&columns, n, sizeof *columns));
    for (size_t i = 0; i < n; i++)
        count += (size_t)take_edge(mask, p[i ? i - 1 : n - 1], p[i], value, &edges[count]);
    fill_rows(mask, edges, count, columns, value);
out:
    tsr_free(edges);
    tsr_free(columns);
    return st;
}

/* ---- sides ------------------------------------------------------------------------------------*/

static int64_t cross(int64_t ax, int64_t ay, int64_t bx, int64_t by)
{
    return ax * by - ay * bx;
}

static int between(int32_t v, int32_t a, int32_t b)
{
    return (a <= v && v <= b) || (b <= v && v <= a);
}

int tsr_polygon_side(const tsr_point *p, size_t n, tsr_point at)
{
    int inside = 0;
    for (size_t i = 0, j = n - 1; i < n; j = i++) {
        tsr_point a = p[j], b = p[i];
        int64_t turn =
            cross(b.x - (int64_t)a.x, b.y - (int64_t)a.y, at.x - (int64_t)a.x, at.y - (int64_t)a.y);
        if (turn == 0 && between(at.x, a.x, b.x) && between(at.y, a.y, b.y))
            return 0;
        if ((a.y > at.y) != (b.y > at.y))
            inside ^= (turn < 0) == (b.y < a.y);
    }
    return inside ? 1 : -1;
}

/* ---- cutting ----------------------------------------------------------------------------------*/

/* The corners of the rectangle in the order of its borders: top, right, bottom, left. */
static void corners_of(const tsr_crop *c, wide_point out[5])
{
    int64_t right = (int64_t)c->left + c->width, bottom = (int64_t)c->top + c->height;
    out[0] = out[4] = (wide_point){c->left, c->top};
    out[1] = (wide_point){right, c->top};
    out[2] = (wide_point){right, bottom};
    out[3] = (wide_point){c->left, bottom};
}

/* Where the edge a-b meets the border q-r, ends included; 0: nowhere, or they are parallel. */
static int meet(tsr_point a, tsr_point b, wide_point q, wide_point r, tsr_point *out)
{
    int64_t ex = (int64_t)b.x - a.x, ey = (int64_t)b.y - a.y, fx = r.x - q.x, fy = r.y - q.y;
    int64_t across = cross(ex, ey, fx, fy);
    if (across == 0)
        return 0;
    double t = (double)cross(q.x - a.x, q.y - a.y, fx, fy) / (double)across;
    double u = (double)cross(q.x - a.x, q.y - a.y, ex, ey) / (double)across;
    if (!(t >= 0 && t <= 1 && u >= 0 && u <= 1))
        return 0;
    *out = (tsr_point){(int32_t)(a.x + t * (double)ex), (int32_t)(a.y + t * (double)ey)};
    return 1;
}

/* The outline with corners where it meets the rectangle: at most 5 n. */
static size_t extend(const tsr_point *p, size_t n, const tsr_crop *crop, tsr_point *out)
{
    wide_point borders[5];
    size_t m = 0;
    corners_of(crop, borders);
    for (size_t i = 0; i < n; i++) {
        tsr_point b = p[i + 1 < n ? i + 1 : 0];
        out[m++] = p[i];
        for (int k = 0; k < 4; k++)
            m += (size_t)meet(p[i], b, borders[k], borders[k + 1], &out[m]);
    }
    return m;
}

static int is_within(tsr_point p, const tsr_crop *c)
{
    return p.x > c->left && p.x < c->left + c->width && p.y > c->top && p.y < c->top + c->height;
}

static int32_t nearest(int32_t v, int32_t low, int32_t size)
{
    return v < low ? low : v > low + size ? low + size : v;
}

static size_t keep_inside(const tsr_point *p, size_t n, const tsr_crop *c, tsr_point *out)
{
    size_t m = 0, within = 0;
    for (size_t i = 0; i < n; i++)
        within += (size_t)is_within(p[i], c);
    for (size_t i = 0; within && i < n; i++) {
        tsr_point at = {nearest(p[i].x, c->left, c->width), nearest(p[i].y, c->top, c->height)};
        if (tsr_polygon_side(p, n, at) >= 0)
            out[m++] = (tsr_point){at.x - c->left, at.y - c->top};
    }
    return m;
}

tsr_status tsr_polygon_crop(const tsr_point *p, size_t n, const tsr_crop *crop, tsr_point **out,
                            size_t *m)
{
    tsr_point *more = NULL, *kept = NULL;
    size_t most;
    tsr_status st = TSR_OK;
    const tsr_point ends[2] = {{crop->left, crop->top}, {crop->width, crop->height}};
    *out = NULL;
    *m = 0;
    TSR_TRY(check(p, n));
    TSR_TRY(check(ends, 2));
    TSR_TRY(tsr_mul_size(n, 5, &most));
    TSR_GO(tsr_alloc(&more, most, sizeof *more));
    TSR_GO(tsr_alloc(&kept, most, sizeof *kept));
    *m = keep_inside(more, extend(p, n, crop, more), crop, kept);
    if (*m) {
        *out = kept;
        kept = NULL;
    }
out:
    tsr_free(more);
    tsr_free(kept);
    return st;
}

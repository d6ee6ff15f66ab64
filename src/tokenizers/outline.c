/* SPDX-License-Identifier: Apache-2.0
 * Outlines. */
#include "tokenizers/outline.h"

#include "base/mem.h"

#include <math.h>

#define MAX_NESTED 6

/* ---- JSON -------------------------------------------------------------------------------------*/

/* How many lists stand around the first number; MAX_NESTED when there is none. */
static int nesting(const json_t *v)
{
    int depth = 0;
    while (json_is_array(v) && depth < MAX_NESTED) {
        v = json_array_get(v, 0);
        depth++;
    }
    return json_is_number(v) ? depth : MAX_NESTED;
}

/* [[[x, y]], [[x, y]], ...]: each corner in a list of its own. */
static int is_opencv(const json_t *v)
{
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n; i++)
        if (json_array_size(json_array_get(v, i)) != 1)
            return 0;
    return n > 1;
}

static int read_corner(const json_t *v, tsr_point *out)
{
    double c[2];
    if (json_array_size(v) == 1)
        v = json_array_get(v, 0);
    for (size_t k = 0; k < 2; k++) {
        c[k] = json_number_value(json_array_get(v, k));
        if (!json_is_number(json_array_get(v, k)) || !(fabs(c[k]) <= TSR_POINT_MAX))
            return 0;
    }
    *out = (tsr_point){(int32_t)c[0], (int32_t)c[1]};
    return json_array_size(v) == 2;
}

static void measure(tsr_outline *o)
{
    for (size_t i = 0; i < o->n; i++) {
        tsr_point p = o->p[i];
        o->low.x = i == 0 || p.x < o->low.x ? p.x : o->low.x;
        o->low.y = i == 0 || p.y < o->low.y ? p.y : o->low.y;
        o->high.x = i == 0 || p.x > o->high.x ? p.x : o->high.x;
        o->high.y = i == 0 || p.y > o->high.y ? p.y : o->high.y;
    }
}

tsr_status tsr_outline_read(const json_t *v, tsr_outline *out)
{
    tsr_outline o = {0};
    for (int depth = nesting(v); depth > 2 && depth < MAX_NESTED && !(depth == 3 && is_opencv(v));
         depth--)
        v = json_array_get(v, 0);
    size_t n = json_array_size(v);
    if (n > TSR_OUTLINE_MAX)
        TSR_FAIL(TSR_ELIMIT, "an outline of %zu corners; at most %d are read", n, TSR_OUTLINE_MAX);
    if (n == 0)
        TSR_FAIL(TSR_EFORMAT, "an outline is no list of corners [x, y]");
    TSR_TRY(tsr_alloc(&o.p, n, sizeof *o.p));
    for (; o.n < n; o.n++)
        if (!read_corner(json_array_get(v, o.n), &o.p[o.n])) {
            tsr_free(o.p);
            TSR_FAIL(TSR_EFORMAT, "corner %zu of an outline is no [x, y]", o.n + 1);
        }
    measure(&o);
    *out = o;
    return TSR_OK;
}

void tsr_outline_clear(tsr_outline *o)
{
    tsr_free(o->p);
    *o = (tsr_outline){0};
}

/* ---- crops ------------------------------------------------------------------------------------*/

tsr_status tsr_outline_place(tsr_outline *o, const tsr_crop *crop, int32_t side, double smallest,
                             int *kept)
{
    tsr_outline cut = {0};
    TSR_TRY(tsr_polygon_crop(o->p, o->n, crop, &cut.p, &cut.n));
    tsr_outline_clear(o);
    for (size_t i = 0; i < cut.n; i++) {
        cut.p[i].x = (int32_t)rint((double)cut.p[i].x * side / crop->width);
        cut.p[i].y = (int32_t)rint((double)cut.p[i].y * side / crop->height);
    }
    measure(&cut);
    double area = (double)(cut.high.x - cut.low.x) * (cut.high.y - cut.low.y);
    *kept = cut.n > 0 && area > 0 && !(area / ((double)side * side) < smallest);
    if (!*kept) {
        tsr_outline_clear(&cut);
        return TSR_OK;
    }
    for (size_t i = 0; crop->flip && i < cut.n; i++)
        cut.p[i].x = side - cut.p[i].x;
    measure(&cut);
    *o = cut;
    return TSR_OK;
}

tsr_status tsr_outline_mask(const tsr_outline *o, int32_t side, tsr_image *out)
{
    tsr_point *p;
    double wide = o->high.x - o->low.x, tall = o->high.y - o->low.y;
    TSR_TRY(tsr_alloc(&p, o->n, sizeof *p));
    for (size_t i = 0; i < o->n; i++)
        p[i] = (tsr_point){(int32_t)((o->p[i].x - o->low.x) / wide * side),
                           (int32_t)((o->p[i].y - o->low.y) / tall * side)};
    tsr_status st = tsr_image_init(out, (size_t)side, (size_t)side, 1, TSR_PIXEL_U8);
    if (st == TSR_OK)
        st = tsr_polygon_fill(p, o->n, 1, out);
    tsr_free(p);
    return st;
}

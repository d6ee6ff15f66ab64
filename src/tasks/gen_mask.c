/* SPDX-License-Identifier: Apache-2.0
 * Which places of a grid are given: a rectangle, a share of them, or what is white in a picture.
 *
 * A place counts as given only when all of its cell is. */
#include "base/mem.h"
#include "codecs/codec.h"
#include "dsp/crop.h"
#include "tasks/genwork.h"
#include "tokenizers/pixels.h"
#include "trainer/decodeplan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WHITE       128
#define MASK_TARGET 4096 /* of random numbers: beyond any chain */
#define CLOSE       1e-9 /* cells that a rectangle only touches */

/* The cells of a grid, and those that the mask's words name. */
typedef struct cells {
    size_t height, width;
    uint8_t *named; /* [height, width] */
    int whole;      /* only cells that are named wholly; else those that are touched */
} cells;

/* Numbers of a list with commas; 0 when it is none of at most 4. */
static size_t read_numbers(const char *text, double v[4])
{
    size_t n = 0;
    char *end;
    while (n < 4) {
        v[n] = strtod(text, &end);
        if (end == text || !isfinite(v[n]) || (*end && *end != ','))
            return 0;
        n++;
        if (!*end)
            return n;
        text = end + 1;
    }
    return 0;
}

/* First and last + 1 of n cells between the shares lo and hi of the whole. */
static void range(double lo, double hi, size_t n, int whole, size_t out[2])
{
    double a = lo * (double)n, b = hi * (double)n;
    a = whole ? ceil(a - CLOSE) : floor(a + CLOSE);
    b = whole ? floor(b + CLOSE) : ceil(b - CLOSE);
    out[0] = (size_t)a;
    out[1] = b > a ? (size_t)b : (size_t)a;
}

static tsr_status name_rectangle(const char *text, const double v[4], cells *c)
{
    size_t x[2], y[2];
    for (int i = 0; i < 4; i++)
        if (v[i] < 0.0 || v[i] > 1.0)
            TSR_FAIL(TSR_EARG,
                     "\"%s\": a rectangle is X0,Y0,X1,Y1 in shares of the picture, 0 to 1", text);
    if (v[0] >= v[2] || v[1] >= v[3])
        TSR_FAIL(TSR_EARG, "\"%s\": X0,Y0 is the upper left corner, X1,Y1 the lower right one",
                 text);
    range(v[0], v[2], c->width, c->whole, x);
    range(v[1], v[3], c->height, c->whole, y);
    for (size_t r = y[0]; r < y[1]; r++)
        memset(c->named + r * c->width + x[0], 1, x[1] - x[0]);
    return TSR_OK;
}

/* The same cells for every target and settings: a function of seed and sample. */
static tsr_status name_share(const char *text, double share, uint64_t seed, uint64_t key, cells *c)
{
    size_t n = c->height * c->width, most;
    uint32_t *order;
    if (share < 0.0 || share > 1.0)
        TSR_FAIL(TSR_EARG, "\"%s\": a share is a number from 0 to 1", text);
    most = (size_t)nearbyint(share * (double)n);
    TSR_TRY(tsr_alloc(&order, n, sizeof *order));
    tsr_decode_order(seed, key, MASK_TARGET, order, n);
    for (size_t i = 0; i < most; i++)
        c->named[order[i]] = 1;
    tsr_free(order);
    return TSR_OK;
}

/* White pixels of a cell that lies in the rectangle [x0, x1) x [y0, y1) of the picture. */
static int is_named(const tsr_image *im, const size_t x[2], const size_t y[2], int whole)
{
    size_t white = 0;
    for (size_t r = y[0]; r < y[1]; r++)
        for (size_t k = x[0]; k < x[1]; k++)
            white += ((const uint8_t *)im->data)[r * im->width + k] >= WHITE;
    return whole ? white == (x[1] - x[0]) * (y[1] - y[0]) : white > 0;
}

static tsr_status name_white(const tsr_image *im, int square, cells *c)
{
    tsr_crop crop = {0, 0, (int32_t)im->height, (int32_t)im->width, 0};
    if (square)
        TSR_TRY(tsr_view_crop(NULL, im->height, im->width, &crop));
    for (size_t r = 0; r < c->height; r++)
        for (size_t k = 0; k < c->width; k++) {
            size_t x[2], y[2], h = (size_t)crop.height, w = (size_t)crop.width;
            x[0] = (size_t)crop.left + k * w / c->width;
            y[0] = (size_t)crop.top + r * h / c->height;
            x[1] = (size_t)crop.left + ((k + 1) * w + c->width - 1) / c->width;
            y[1] = (size_t)crop.top + ((r + 1) * h + c->height - 1) / c->height;
            c->named[r * c->width + k] = (uint8_t)is_named(im, x, y, c->whole);
        }
    return TSR_OK;
}

static tsr_status name_picture(const char *path, int square, cells *c)
{
    static const tsr_background black = {{0}, 0};
    tsr_media media = {0};
    tsr_image grey = {0};
    tsr_status st;
    TSR_GO(tsr_media_read(path, NULL, &media));
    if (media.kind != TSR_MEDIA_IMAGE)
        TSR_GOFAIL(TSR_EARG, "%s: a mask is a picture", path);
    TSR_GO(tsr_pixels_8bit(&media.as.image, 1, &black, &grey));
    TSR_GO(name_white(&grey, square, c));
out:
    tsr_media_clear(&media);
    tsr_image_clear(&grey);
    return st;
}

static tsr_status name_cells(const tsr_gen_work *w, const tsr_gen_item *item, size_t m, cells *c)
{
    const char *text = w->masks[m].text;
    double v[4];
    switch (read_numbers(text, v)) {
    case 1:
        return name_share(text, v[0], w->spec->seed, tsr_gen_key(item, 0), c);
    case 4:
        return name_rectangle(text, v, c);
    case 2:
    case 3:
        TSR_FAIL(TSR_EARG, "\"%s\": expected a share, the four numbers X0,Y0,X1,Y1, or a picture", text);
    default:
        break;
    }
    const char *kind = w->tool[m] ? tsr_tokenizer_kind_name(w->tool[m]->tokenizer) : "";
    return name_picture(text, strcmp(kind, "audio") != 0, c);
}

/* The patches of the known places, one after the other. */
static tsr_status pack_patches(const tsr_mod *mod, tsr_gen_item *item, size_t m,
                               const uint8_t *known)
{
    const uint8_t *from = item->held[m].patches;
    size_t bytes = mod->patch_values, n = 0;
    uint8_t *packed;
    TSR_TRY(tsr_alloc(&packed, mod->places * bytes, 1));
    for (size_t p = 0; p < mod->places; p++)
        if (known[p])
            memcpy(packed + n++ * bytes, from + p * bytes, bytes);
    item->packed[m] = packed;
    item->held[m].patches = packed;
    return TSR_OK;
}

tsr_status tsr_gen_mask(const tsr_gen_work *w, tsr_gen_item *item, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    cells c = {.height = mod->height, .width = mod->width, .whole = !w->masks[m].hide};
    size_t n = c.height * c.width, levels = n ? mod->places / n : 0;
    uint8_t *known = NULL;
    tsr_status st;
    TSR_GO(tsr_alloc(&c.named, n, 1));
    TSR_GO(tsr_alloc(&known, mod->places, 1));
    st = name_cells(w, item, m, &c);
    if (st != TSR_OK)
        TSR_GO(tsr_context(st, "%s %s", w->masks[m].hide ? "--hide" : "--keep", mod->name));
    for (size_t p = 0; p < n * levels; p++)
        known[p] = c.named[p / levels] != (uint8_t)w->masks[m].hide;
    if (mod->cls == TSR_CLASS_PIXELS)
        TSR_GO(pack_patches(mod, item, m, known));
    item->held[m].known = item->known[m] = known;
    known = NULL;
out:
    tsr_free(c.named);
    tsr_free(known);
    return st;
}

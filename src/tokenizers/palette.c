/* SPDX-License-Identifier: Apache-2.0
 * Colour palettes: measured from pictures, as records, as swatches. */
#include "tokenizers/palette.h"

#include "base/mem.h"
#include "dsp/kmeans.h"
#include "dsp/oklab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BITS 5 /* colours are gathered in cells of 8 x 8 x 8 levels before clustering */
#define CELLS     (1u << (3 * CELL_BITS))

/* Sums over the pixels of a cell. */
typedef struct cell {
    double weight, rgb[3];
} cell;

/* The distinct colours of a picture, as points of Oklab with weights. */
typedef struct colours {
    float *lab, *weight;
    size_t count;
    double total;
} colours;

static void colours_clear(colours *c)
{
    tsr_free(c->lab);
    tsr_free(c->weight);
}

static uint8_t component(const tsr_image *im, size_t i)
{
    return im->pixel == TSR_PIXEL_U8 ? ((const uint8_t *)im->data)[i]
                                     : (uint8_t)(((const uint16_t *)im->data)[i] >> 8);
}

static void fill_cells(const tsr_image *im, cell *cells)
{
    size_t n = im->height * im->width, ch = im->channels;
    size_t g = ch >= 3 ? 1 : 0, b = ch >= 3 ? 2 : 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t rgb[3] = {component(im, i * ch), component(im, i * ch + g),
                                component(im, i * ch + b)};
        double w = ch % 2 == 0 ? component(im, i * ch + ch - 1) / 255.0 : 1.0;
        unsigned at = 0;
        for (int k = 0; k < 3; k++)
            at = at << CELL_BITS | rgb[k] >> (8 - CELL_BITS);
        cells[at].weight += w;
        for (int k = 0; k < 3; k++)
            cells[at].rgb[k] += w * rgb[k];
    }
}

/* Mean colour of each cell in use, in Oklab. */
static tsr_status gather(const tsr_image *im, colours *c)
{
    cell *cells = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&cells, CELLS, sizeof *cells));
    fill_cells(im, cells);
    size_t used = 0;
    for (size_t i = 0; i < CELLS; i++)
        used += cells[i].weight > 0;
    if (used == 0)
        TSR_GOFAIL(TSR_EFORMAT, "the picture is fully transparent: it has no colours");
    TSR_GO(tsr_alloc(&c->lab, 3 * used, sizeof *c->lab));
    TSR_GO(tsr_alloc(&c->weight, used, sizeof *c->weight));
    for (size_t i = 0; i < CELLS; i++) {
        double w = cells[i].weight, lin[3], lab[3];
        if (!(w > 0))
            continue;
        for (int k = 0; k < 3; k++)
            lin[k] = tsr_srgb_to_linear(cells[i].rgb[k] / w / 255.0);
        tsr_linear_to_oklab(lin, lab);
        for (int k = 0; k < 3; k++)
            c->lab[3 * c->count + (size_t)k] = (float)lab[k];
        c->weight[c->count++] = (float)w;
        c->total += (float)w;
    }
out:
    tsr_free(cells);
    return st;
}

typedef struct swatch {
    uint8_t rgb[3];
    double share;
} swatch;

static int by_share(const void *a, const void *b)
{
    const swatch *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return memcmp(x->rgb, y->rgb, 3);
}

/* Centres to colours: equal ones joined, commonest first. */
static void finish(const float *centres, const double *share, size_t k, tsr_palette *out)
{
    swatch s[TSR_PALETTE_MAX];
    size_t n = 0;
    for (size_t j = 0; j < k; j++) {
        const double lab[3] = {centres[3 * j], centres[3 * j + 1], centres[3 * j + 2]};
        swatch fresh = {{0}, share[j]};
        if (!(share[j] > 0))
            continue;
        tsr_oklab_to_rgb8(lab, fresh.rgb);
        size_t same = 0;
        while (same < n && memcmp(s[same].rgb, fresh.rgb, 3) != 0)
            same++;
        if (same < n)
            s[same].share += fresh.share;
        else
            s[n++] = fresh;
    }
    qsort(s, n, sizeof *s, by_share);
    *out = (tsr_palette){.count = n};
    for (size_t j = 0; j < n; j++) {
        memcpy(out->rgb[j], s[j].rgb, 3);
        out->share[j] = s[j].share;
    }
}

tsr_status tsr_palette_measure(const tsr_image *im, size_t least, size_t most, double tolerance,
                               tsr_palette *out)
{
    if (least < 1 || least > most || most > TSR_PALETTE_MAX || !(tolerance >= 0))
        TSR_FAIL(TSR_EARG, "a palette of %zu to %zu colours, tolerance %g", least, most, tolerance);
    if (im->pixel == TSR_PIXEL_F32)
        TSR_FAIL(TSR_EARG, "palettes are made from 8- and 16-bit pictures");
    colours c = {0};
    uint32_t *assign = NULL;
    float centres[3 * TSR_PALETTE_MAX];
    double error = 0, share[TSR_PALETTE_MAX] = {0};
    size_t k = least;
    tsr_status st = TSR_OK;
    TSR_GO(gather(im, &c));
    TSR_GO(tsr_alloc(&assign, c.count, sizeof *assign));
    const tsr_kmeans_data data = {c.lab, c.weight, c.count, 3};
    for (;; k++) {
        const tsr_kmeans_spec spec = {.k = k, .rounds = 100};
        TSR_GO(tsr_kmeans(&data, &spec, centres, assign, &error));
        if (k == most || sqrt(error) <= tolerance)
            break;
    }
    for (size_t i = 0; i < c.count; i++)
        share[assign[i]] += c.weight[i] / c.total;
    finish(centres, share, k, out);
out:
    tsr_free(assign);
    colours_clear(&c);
    return st;
}

/* ---- records ----------------------------------------------------------------------------------*/

tsr_status tsr_palette_to_record(const tsr_palette *p, json_t **out)
{
    json_t *list = json_array(), *record = json_object();
    tsr_status st = TSR_OK;
    if (!list || !record)
        TSR_GOFAIL(TSR_ENOMEM, "no memory for a palette");
    for (size_t j = 0; j < p->count; j++)
        TSR_GO(tsr_json_append(list, json_pack("[iii]", p->rgb[j][0], p->rgb[j][1], p->rgb[j][2])));
    TSR_GO(tsr_json_set(record, "colors", json_incref(list)));
    *out = record;
    record = NULL;
out:
    json_decref(list);
    json_decref(record);
    return st;
}

static tsr_status read_colour(const json_t *triple, size_t index, uint8_t rgb[3])
{
    if (json_array_size(triple) != 3)
        TSR_FAIL(TSR_EFORMAT, "colour %zu of a palette is not a list of three numbers", index + 1);
    for (size_t k = 0; k < 3; k++) {
        const json_t *v = json_array_get(triple, k);
        double x = json_is_number(v) ? rint(json_number_value(v)) : -1;
        if (!(x >= 0 && x <= 255))
            TSR_FAIL(TSR_EFORMAT, "colour %zu of a palette is not within 0..255", index + 1);
        rgb[k] = (uint8_t)x;
    }
    return TSR_OK;
}

/* The list of triples a record holds. */
static const json_t *find_list(const json_t *record, size_t most)
{
    if (json_is_object(record))
        return json_object_get(record, "colors");
    const json_t *first = json_array_get(record, 0);
    for (size_t k = most; k > 0; k--) {
        const char key[2] = {(char)('0' + k), '\0'};
        const json_t *list = json_object_get(first, key);
        if (list)
            return list;
    }
    return NULL;
}

tsr_status tsr_palette_from_record(const json_t *record, size_t most, tsr_palette *out)
{
    const json_t *list = find_list(record, most);
    size_t n = json_array_size(list);
    if (n < 1)
        TSR_FAIL(TSR_EFORMAT, "not a palette: expected {\"colors\": [[r, g, b], ...]}");
    tsr_palette p = {.count = n < most ? n : most};
    for (size_t j = 0; j < p.count; j++) {
        TSR_TRY(read_colour(json_array_get(list, j), j, p.rgb[j]));
        p.share[j] = 1.0 / (double)p.count;
    }
    *out = p;
    return TSR_OK;
}

tsr_status tsr_palette_picture(const tsr_palette *p, size_t height, size_t width, tsr_image *out)
{
    if (p->count < 1 || p->count > TSR_PALETTE_MAX || width < p->count)
        TSR_FAIL(TSR_EARG, "%zu swatches do not fit %zu columns", p->count, width);
    tsr_image im;
    TSR_TRY(tsr_image_init(&im, height, width, 3, TSR_PIXEL_U8));
    size_t from = 0;
    double sum = 0;
    for (size_t j = 0; j < p->count; j++) {
        sum += p->share[j];
        size_t to = (size_t)(sum * (double)width + 0.5), left = p->count - 1 - j;
        to = to <= from ? from + 1 : to;
        to = to > width - left || left == 0 ? width - left : to;
        for (size_t y = 0; y < height; y++)
            for (size_t x = from; x < to; x++)
                memcpy((uint8_t *)im.data + 3 * (y * width + x), p->rgb[j], 3);
        from = to;
    }
    *out = im;
    return TSR_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * Anything as an 8-bit RGB picture. */
#include "tasks/picture.h"

#include "base/mem.h"
#include "dsp/logmel.h"
#include "dsp/patches.h"
#include "dsp/resize.h"
#include "tasks/colours.h"

#include <math.h>
#include <string.h>

#define RANGE_DB    80.0
#define SHEET_GAP   4
#define SHEET_GREY  24
#define MAX_COLOURS 16

tsr_look tsr_look_of(const char *kind)
{
    if (strcmp(kind, "depth") == 0)
        return TSR_LOOK_DEPTH;
    if (strcmp(kind, "label") == 0 || strcmp(kind, "labels") == 0)
        return TSR_LOOK_LABELS;
    return TSR_LOOK_PLAIN;
}

static void put(uint8_t *rgb, tsr_colour c)
{
    rgb[0] = c.r;
    rgb[1] = c.g;
    rgb[2] = c.b;
}

static uint8_t byte_of(double v)
{
    return !(v > 0) ? 0 : v > 255 ? 255 : (uint8_t)lround(v);
}

/* Float pictures are taken as 0..1. */
static void plain_pixel(const tsr_image *im, size_t pixel, size_t y, size_t x, uint8_t *rgb)
{
    double scale = im->pixel == TSR_PIXEL_U8 ? 1 : im->pixel == TSR_PIXEL_U16 ? 1 / 257.0 : 255;
    size_t c = im->channels, colours = c < 3 ? 1 : 3;
    double alpha = c % 2 == 0 ? tsr_image_component(im, pixel * c + c - 1) * scale / 255 : 1;
    double ground = (x / 8 + y / 8) % 2 ? 102 : 153;
    for (size_t k = 0; k < 3; k++) {
        double v = tsr_image_component(im, pixel * c + (colours == 3 ? k : 0)) * scale;
        rgb[k] = byte_of(v * alpha + ground * (1 - alpha));
    }
}

static void extremes(const tsr_image *im, double *low, double *high)
{
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < im->height * im->width; i++) {
        double v = tsr_image_component(im, i * im->channels);
        if (!isfinite(v))
            continue;
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
    }
    *low = lo <= hi ? lo : 0;
    *high = lo <= hi ? hi : 0;
}

tsr_status tsr_picture_of_image(const tsr_image *in, tsr_look look, tsr_image *out, double *low,
                                double *high)
{
    double lo = 0, hi = 0;
    tsr_image rgb = {0};
    TSR_TRY(tsr_image_init(&rgb, in->height, in->width, 3, TSR_PIXEL_U8));
    if (look == TSR_LOOK_DEPTH)
        extremes(in, &lo, &hi);
    double span = hi > lo ? hi - lo : 1;
    for (size_t i = 0; i < in->height * in->width; i++) {
        uint8_t *p = (uint8_t *)rgb.data + 3 * i;
        double v = tsr_image_component(in, i * in->channels);
        if (look == TSR_LOOK_PLAIN)
            plain_pixel(in, i, i / in->width, i % in->width, p);
        else if (!isfinite(v))
            put(p, (tsr_colour){0, 0, 0});
        else if (look == TSR_LOOK_DEPTH)
            put(p, tsr_colour_ramp((v - lo) / span));
        else
            put(p, tsr_colour_of_label((uint32_t)(v < 0 ? 0 : v)));
    }
    if (low)
        *low = lo;
    if (high)
        *high = hi;
    *out = rgb;
    return TSR_OK;
}

static tsr_status mono_mix(const tsr_sound *in, float **out)
{
    float *x;
    TSR_TRY(tsr_alloc(&x, in->frames, sizeof *x));
    for (size_t i = 0; i < in->frames; i++) {
        float sum = 0;
        for (size_t c = 0; c < in->channels; c++)
            sum += in->data[i * in->channels + c];
        x[i] = sum / (float)in->channels;
    }
    *out = x;
    return TSR_OK;
}

/* frames [n, bands] in natural log of power -> picture, lowest band at the bottom. */
/* From RANGE_DB below a full-scale sine (power 1/4, see logmel.h) up to it, the same for every sound,
 * so that silence looks like silence and pictures can be compared. */
static void paint_spectrogram(const float *frames, size_t n, size_t bands, tsr_image *rgb)
{
    const float peak = logf(0.25f);
    for (size_t f = 0; f < n; f++)
        for (size_t b = 0; b < bands; b++) {
            double db = (double)(frames[f * bands + b] - peak) * 4.342944819;
            uint8_t *p = (uint8_t *)tsr_image_row(rgb, bands - 1 - b) + 3 * f;
            put(p, tsr_colour_ramp(1 + db / RANGE_DB));
        }
}

tsr_status tsr_picture_of_sound(const tsr_sound *in, size_t height, tsr_image *out)
{
    tsr_logmel_spec spec;
    tsr_logmel *m = NULL;
    float *x = NULL, *frames = NULL;
    tsr_image rgb = {0};
    tsr_status st;
    if (height < 4 || height > 80 || in->frames == 0)
        TSR_FAIL(TSR_EARG, "a spectrogram needs a sound and 4 to 80 bands, not %zu", height);
    tsr_logmel_defaults(&spec);
    spec.rate_hz = in->rate_hz;
    spec.bands = height;
    spec.high_hz = in->rate_hz / 2;
    size_t n = tsr_stft_frames(&spec.stft, in->frames);
    TSR_GO(mono_mix(in, &x));
    TSR_GO(tsr_logmel_create(&spec, &m));
    TSR_GO(tsr_alloc(&frames, n * height, sizeof *frames));
    TSR_GO(tsr_image_init(&rgb, height, n, 3, TSR_PIXEL_U8));
    tsr_logmel_whole(m, x, in->frames, frames);
    paint_spectrogram(frames, n, height, &rgb);
    *out = rgb;
out:
    tsr_logmel_destroy(m);
    tsr_free(frames);
    tsr_free(x);
    return st;
}

/* Patches are a picture already. */
static tsr_status picture_of_patches(const tsr_tokens *t, const tsr_token_space *space,
                                     tsr_image *out)
{
    uint32_t patch = tsr_space_patch(space);
    if (!patch || t->count != (size_t)space->height * space->width * space->levels)
        TSR_FAIL(TSR_EARG, "%s: %zu values are not its patches", space->modality, t->count);
    return tsr_patches_to_image(t->ids, space->height, space->width, patch, out);
}

tsr_status tsr_picture_of_tokens(const tsr_tokens *t, const tsr_token_space *space, size_t cell,
                                 tsr_image *out)
{
    if (space->layout == TSR_LAYOUT_PATCHES)
        return picture_of_patches(t, space, out);
    size_t levels = space->levels ? space->levels : 1, width = space->width,
           places = t->count / levels;
    tsr_image rgb = {0};
    if (places == 0 || cell < levels)
        TSR_FAIL(TSR_EARG, "%s: no token map of %zu tokens in cells of %zu pixels", space->modality,
                 t->count, cell);
    if (space->layout == TSR_LAYOUT_SEQUENCE)
        width = (size_t)ceil(sqrt((double)places));
    size_t height = (places + width - 1) / width;
    TSR_TRY(tsr_image_init(&rgb, height * cell, width * cell, 3, TSR_PIXEL_U8));
    for (size_t y = 0; y < rgb.height; y++)
        for (size_t x = 0; x < rgb.width; x++) {
            size_t place = y / cell * width + x / cell, level = x % cell * levels / cell;
            if (place < places)
                put((uint8_t *)tsr_image_row(&rgb, y) + 3 * x,
                    tsr_colour_of_id(t->ids[place * levels + level]));
        }
    *out = rgb;
    return TSR_OK;
}

/* Swatches side by side. */
static tsr_status picture_of_palette(const json_t *record, tsr_image *out)
{
    tsr_colour colours[MAX_COLOURS];
    size_t n = tsr_colours_of_record(record, colours, MAX_COLOURS);
    if (n == 0)
        TSR_FAIL(TSR_EFORMAT, "a palette without colours");
    TSR_TRY(tsr_image_init(out, 8 * n, 8 * n, 3, TSR_PIXEL_U8));
    for (size_t i = 0; i < 64 * n * n; i++)
        put((uint8_t *)out->data + 3 * i, colours[i % (8 * n) / 8]);
    return TSR_OK;
}

tsr_status tsr_picture_of_media(const tsr_media *m, const char *kind, tsr_image *out)
{
    if (m->kind == TSR_MEDIA_IMAGE)
        return tsr_picture_of_image(&m->as.image, tsr_look_of(kind), out, NULL, NULL);
    if (m->kind == TSR_MEDIA_SOUND)
        return tsr_picture_of_sound(&m->as.sound, 64, out);
    if (m->kind == TSR_MEDIA_RECORD && strcmp(kind, "palette") == 0)
        return picture_of_palette(m->as.record, out);
    TSR_FAIL(TSR_EUNSUPPORTED, "no picture can be made of %s", tsr_media_name(m->kind));
}

/* Copy `from` into the square at (top, left), fitted and centred. */
static tsr_status place(const tsr_image *from, size_t side, tsr_image *sheet, size_t top,
                        size_t left)
{
    size_t longest = from->height > from->width ? from->height : from->width;
    size_t h = from->height * side / longest, w = from->width * side / longest;
    tsr_image fitted = {0};
    h = h ? h : 1;
    w = w ? w : 1;
    tsr_filter filter = longest < side ? TSR_FILTER_NEAREST : TSR_FILTER_BOX;
    TSR_TRY(tsr_image_resize(from, h, w, filter, TSR_RESIZE16_I32, &fitted));
    for (size_t y = 0; y < h; y++)
        memcpy((uint8_t *)tsr_image_row(sheet, top + (side - h) / 2 + y) +
                   3 * (left + (side - w) / 2),
               tsr_image_row(&fitted, y), 3 * w);
    tsr_image_clear(&fitted);
    return TSR_OK;
}

tsr_status tsr_picture_sheet(const tsr_image *pictures, size_t rows, size_t columns, size_t side,
                             tsr_image *out)
{
    tsr_image sheet = {0};
    tsr_status st;
    size_t step = side + SHEET_GAP;
    TSR_GO(tsr_image_init(&sheet, rows * step + SHEET_GAP, columns * step + SHEET_GAP, 3,
                          TSR_PIXEL_U8));
    memset(sheet.data, SHEET_GREY, sheet.height * sheet.width * 3);
    for (size_t i = 0; i < rows * columns; i++)
        if (pictures[i].data)
            TSR_GO(place(&pictures[i], side, &sheet, SHEET_GAP + i / columns * step,
                         SHEET_GAP + i % columns * step));
    *out = sheet;
    sheet = (tsr_image){0};
out:
    tsr_image_clear(&sheet);
    return st;
}

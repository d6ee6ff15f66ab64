/* SPDX-License-Identifier: Apache-2.0
 * Media as HTML: pictures, sounds, text, boxes, palettes, fields. */
#include "base/mem.h"
#include "codecs/codec.h"
#include "dsp/resize.h"
#include "tasks/colours.h"
#include "tasks/picture.h"
#include "tasks/report_parts.h"

#include <math.h>
#include <string.h>

#define MAX_SIDE    384 /* pixels; larger pictures are made smaller */
#define MAX_COLOURS 16
#define MAX_BOXES   64
#define MAX_FIELDS  60
#define MAX_TEXT    4000 /* bytes */
#define MAX_SOUND_S 30
#define BANDS       64

static void missing(tsr_html *h, const char *why)
{
    tsr_html_f(h, "<p class=\"none\">%s</p>", why);
}

/* The bytes of a file as a data: URI; 0 when it could not be made, and nothing is written. */
static int put_file(tsr_html *h, const char *name, const char *type, const tsr_media *m)
{
    char *data;
    size_t bytes;
    tsr_status st = tsr_media_write_memory(name, m, NULL, &data, &bytes);
    if (st == TSR_ENOMEM)
        h->status = st;
    if (st != TSR_OK)
        return 0;
    tsr_html_data(h, type, data, bytes);
    tsr_free(data);
    return 1;
}

static int is_depth(const tsr_image *im, const char *kind)
{
    return im->channels == 1 && strcmp(kind, "depth") == 0;
}

void tsr_media_range(const tsr_media *m, const char *kind, double *near, double *far)
{
    *near = *far = 0;
    if (m->kind != TSR_MEDIA_IMAGE || !is_depth(&m->as.image, kind))
        return;
    for (size_t i = 0; i < m->as.image.height * m->as.image.width; i++) {
        double v = tsr_image_component(&m->as.image, i);
        if (!isfinite(v) || v <= 0)
            continue;
        *near = *near > 0 && *near < v ? *near : v;
        *far = *far > v ? *far : v;
    }
}

/* Shades go by 1 / depth, so that what is near is not lost beside a far horizon: dark is near. */
static tsr_status depth_picture(const tsr_image *in, double near, double far, tsr_image *out)
{
    TSR_TRY(tsr_image_init(out, in->height, in->width, 3, TSR_PIXEL_U8));
    double span = far > near ? 1 / near - 1 / far : 1;
    for (size_t i = 0; i < in->height * in->width; i++) {
        double v = tsr_image_component(in, i);
        uint8_t *p = (uint8_t *)out->data + 3 * i;
        if (!isfinite(v) || v <= 0)
            continue;
        tsr_colour c = tsr_colour_ramp((1 / near - 1 / v) / span);
        p[0] = c.r;
        p[1] = c.g;
        p[2] = c.b;
    }
    return TSR_OK;
}

/* Pictures in colours are shown as they are, whatever their kind. */
static tsr_status full_picture(const tsr_image *in, const tsr_media_view *v, tsr_image *out)
{
    tsr_media m = {.kind = TSR_MEDIA_IMAGE, .as.image = *in};
    double near = v->near, far = v->far;
    if (in->channels >= 3 || !is_depth(in, v->kind))
        return tsr_picture_of_image(in, in->channels >= 3 ? TSR_LOOK_PLAIN : tsr_look_of(v->kind),
                                    out, NULL, NULL);
    if (!(near > 0))
        tsr_media_range(&m, v->kind, &near, &far);
    return depth_picture(in, near > 0 ? near : 1, far, out);
}

/* RGB of an image, small enough. */
static tsr_status small_picture(const tsr_image *in, const tsr_media_view *v, tsr_image *out)
{
    tsr_image rgb;
    TSR_TRY(full_picture(in, v, &rgb));
    size_t side = rgb.height > rgb.width ? rgb.height : rgb.width;
    if (side <= MAX_SIDE) {
        *out = rgb;
        return TSR_OK;
    }
    size_t height = rgb.height * MAX_SIDE / side, width = rgb.width * MAX_SIDE / side;
    tsr_status st = tsr_image_resize(&rgb, height ? height : 1, width ? width : 1, TSR_FILTER_BOX,
                                     TSR_RESIZE16_I32, out);
    tsr_image_clear(&rgb);
    return st;
}

/* "data:..." of an image; nothing when it cannot be shown. */
static void put_image_data(tsr_html *h, const tsr_image *im, const tsr_media_view *v)
{
    tsr_media rgb = {.kind = TSR_MEDIA_IMAGE};
    if (small_picture(im, v, &rgb.as.image) != TSR_OK)
        return;
    put_file(h, "x.png", "image/png", &rgb);
    tsr_media_clear(&rgb);
}

static void put_image(tsr_html *h, const tsr_media *m, const tsr_media_view *v)
{
    char a[TSR_NUMBER_CHARS], b[TSR_NUMBER_CHARS];
    const tsr_image *im = &m->as.image;
    double near, far;
    tsr_html_f(h, "<img alt=\"%s\" width=\"%zu\" height=\"%zu\" src=\"", v->label, im->width,
               im->height);
    put_image_data(h, im, v);
    tsr_html_raw(h, "\">");
    tsr_media_range(m, v->kind, &near, &far);
    double metre = im->pixel == TSR_PIXEL_U16 ? 1000 : 1; /* 16 bit: millimetres */
    if (near > 0)
        tsr_html_f(h, "<small>%s to %s m</small>", tsr_number_text(near / metre, 2, a),
                   tsr_number_text(far / metre, 2, b));
}

static void put_sound(tsr_html *h, const tsr_media *m, const char *label)
{
    const tsr_sound *s = &m->as.sound;
    tsr_media picture = {.kind = TSR_MEDIA_IMAGE};
    double seconds = s->rate_hz > 0 ? (double)s->frames / s->rate_hz : 0;
    if (!s->frames || seconds > MAX_SOUND_S) {
        missing(h, s->frames ? "sound too long to show" : "empty sound");
        return;
    }
    if (tsr_picture_of_sound(s, BANDS, &picture.as.image) == TSR_OK) {
        tsr_html_f(h, "<img class=\"spectrogram\" alt=\"spectrogram: %s\" src=\"", label);
        put_file(h, "x.png", "image/png", &picture);
        tsr_html_raw(h, "\">");
    }
    tsr_media_clear(&picture);
    tsr_html_f(h, "<audio controls preload=\"metadata\" aria-label=\"%s\" src=\"", label);
    put_file(h, "x.wav", "audio/wav", m);
    tsr_html_f(h, "\"></audio>");
}

static void put_text(tsr_html *h, const tsr_media *m)
{
    char *cut;
    size_t n = m->as.text.bytes;
    if (n > MAX_TEXT)
        n = tsr_utf8_valid(m->as.text.s, MAX_TEXT);
    if (tsr_strndup(&cut, m->as.text.s, n) != TSR_OK) {
        h->status = TSR_ENOMEM;
        return;
    }
    tsr_html_f(h, "<blockquote>%s%s</blockquote>", cut, n < m->as.text.bytes ? " …" : "");
    tsr_free(cut);
}

static void put_palette(tsr_html *h, const json_t *record)
{
    tsr_colour colours[MAX_COLOURS];
    size_t n = tsr_colours_of_record(record, colours, MAX_COLOURS);
    if (!n) {
        missing(h, "no colours");
        return;
    }
    tsr_html_raw(h, "<div class=\"swatches\">");
    for (size_t i = 0; i < n; i++) {
        char name[8];
        snprintf(name, sizeof name, "#%02x%02x%02x", colours[i].r, colours[i].g, colours[i].b);
        tsr_html_f(h, "<span style=\"background:%s\" title=\"%s\"></span>", name, name);
    }
    tsr_html_raw(h, "</div>");
}

/* Boxes as rectangles in a square of 100, over a picture when there is one. */
static void put_boxes(tsr_html *h, const json_t *record, const tsr_media_view *view)
{
    const json_t *list = json_object_get(record, "instances"), *one;
    const tsr_media *under = view->under;
    const tsr_media_view plain = {.kind = "image"};
    double wide = 100, high = 100;
    size_t i;
    if (under)
        high = 100 * (double)under->as.image.height / (double)under->as.image.width;
    tsr_html_f(h, "<svg class=\"boxes\" viewBox=\"0 0 %g %.6g\" role=\"img\" aria-label=\"%s\">",
               wide, high, view->label);
    if (under) {
        tsr_html_f(h, "<image width=\"%g\" height=\"%.6g\" href=\"", wide, high);
        put_image_data(h, &under->as.image, &plain);
        tsr_html_raw(h, "\"/>");
    } else {
        tsr_html_f(h, "<rect class=\"ground\" width=\"%g\" height=\"%.6g\"/>", wide, high);
    }
    json_array_foreach((json_t *)list, i, one)
    {
        const json_t *c = json_object_get(one, "boxes");
        const char *name = tsr_report_string(one, "class_name");
        double v[4];
        for (size_t k = 0; k < 4; k++)
            v[k] = fmin(fmax(json_number_value(json_array_get(c, k)), 0), 1);
        if (json_array_size(c) != 4 || i >= MAX_BOXES)
            continue;
        tsr_html_f(h, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>", wide * v[0],
                   high * v[1], wide * fmax(v[2] - v[0], 0), high * fmax(v[3] - v[1], 0));
        tsr_html_f(h, "<text x=\"%.2f\" y=\"%.2f\">%s</text>", wide * v[0] + 1,
                   fmax(high * v[1] - 1.5, 6), name);
    }
    tsr_html_raw(h, "</svg>");
}

static void put_value(tsr_html *h, const json_t *v)
{
    char text[TSR_NUMBER_CHARS], *json;
    if (json_is_string(v)) {
        tsr_html_f(h, "%s", json_string_value(v));
    } else if (json_is_number(v)) {
        tsr_html_f(h, "%s",
                   tsr_number_text(json_number_value(v), json_is_integer(v) ? 9 : 3, text));
    } else if (h->status == TSR_OK && tsr_json_text(v, 0, &json) == TSR_OK) {
        tsr_html_f(h, "%s", json);
        tsr_free(json);
    }
}

static size_t put_fields(tsr_html *h, const json_t *record, const char *prefix, int depth,
                         size_t left)
{
    const char *key;
    json_t *v;
    char name[128];
    json_object_foreach((json_t *)record, key, v)
    {
        if (left == 0)
            break;
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(v) && depth < 4) {
            left = put_fields(h, v, name, depth + 1, left);
            continue;
        }
        tsr_html_f(h, "<tr><th scope=\"row\">%s</th><td>", name);
        put_value(h, v);
        tsr_html_raw(h, "</td></tr>");
        left--;
    }
    return left;
}

static void put_record(tsr_html *h, const json_t *record, const tsr_media_view *v)
{
    if (strcmp(v->kind, "palette") == 0 || json_object_get(record, "colors")) {
        put_palette(h, record);
    } else if (strcmp(v->kind, "boxes") == 0 ||
               json_is_array(json_object_get(record, "instances"))) {
        put_boxes(h, record, v);
    } else if (json_is_object(record)) {
        tsr_html_raw(h, "<div class=\"fields\"><table class=\"plain\"><tbody>");
        put_fields(h, record, "", 0, MAX_FIELDS);
        tsr_html_raw(h, "</tbody></table></div>");
    } else {
        put_value(h, record);
    }
}

/* 1 when an earlier record has the field, too. */
static int seen(const json_t *const *records, size_t r, const char *key)
{
    for (size_t i = 0; i < r; i++)
        if (json_object_get(records[i], key))
            return 1;
    return 0;
}

void tsr_records_html(tsr_html *h, const json_t *const *records, const char *const *labels,
                      size_t n, size_t truth)
{
    const char *key;
    json_t *v;
    size_t left = MAX_FIELDS;
    tsr_html_raw(h, "<div class=\"scroll\"><table class=\"records\"><thead><tr><th></th>");
    for (size_t r = 0; r < n; r++)
        if (records[r])
            tsr_html_f(h, "<th scope=\"col\">%s</th>", labels[r]);
    tsr_html_raw(h, "</tr></thead><tbody>");
    for (size_t r = 0; r < n; r++)
        json_object_foreach((json_t *)records[r], key, v)
        {
            if (seen(records, r, key) || left == 0)
                continue;
            left--;
            tsr_html_f(h, "<tr><th scope=\"row\">%s</th>", key);
            for (size_t k = 0; k < n; k++) {
                const json_t *other = json_object_get(records[k], key);
                int same =
                    k != truth && other && json_equal(other, json_object_get(records[truth], key));
                if (!records[k])
                    continue;
                tsr_html_raw(h, same ? "<td class=\"same\">" : "<td>");
                if (other)
                    put_value(h, other);
                tsr_html_raw(h, same ? " ✓</td>" : "</td>");
            }
            tsr_html_raw(h, "</tr>");
        }
    tsr_html_raw(h, "</tbody></table></div>");
}

void tsr_media_html(tsr_html *h, const tsr_media *m, const tsr_media_view *v)
{
    switch (m->kind) {
    case TSR_MEDIA_IMAGE:
        put_image(h, m, v);
        return;
    case TSR_MEDIA_SOUND:
        put_sound(h, m, v->label);
        return;
    case TSR_MEDIA_TEXT:
        put_text(h, m);
        return;
    case TSR_MEDIA_RECORD:
        put_record(h, m->as.record, v);
        return;
    default:
        missing(h, "nothing to show");
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * Media and tokens in a terminal. */
#include "cli/preview.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/console.h"
#include "dsp/resize.h"
#include "tasks/colours.h"
#include "tasks/picture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PICTURE_COLUMNS 48
#define LEGEND_LABELS   256
#define MAX_COLOURS     16

static tsr_colour_mode detect_colour(void)
{
    const char *none = getenv("NO_COLOR"), *depth = getenv("COLORTERM"), *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (none && *none) || !term || strcmp(term, "dumb") == 0)
        return TSR_COLOUR_NONE;
    if (depth && (strcmp(depth, "truecolor") == 0 || strcmp(depth, "24bit") == 0))
        return TSR_COLOUR_FULL;
    return TSR_COLOUR_256;
}

void tsr_screen_init(tsr_screen *s, tsr_colour_mode colour)
{
    struct winsize size;
    *s = (tsr_screen){.out = stdout, .columns = 80};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        s->columns = size.ws_col;
    s->colour = colour == TSR_COLOUR_AUTO ? detect_colour() : colour;
    s->graphics = isatty(STDOUT_FILENO) && s->colour != TSR_COLOUR_NONE;
}

static void set_colour(const tsr_screen *s, int ground, tsr_colour c)
{
    if (s->colour == TSR_COLOUR_FULL)
        fprintf(s->out, "\033[%d;2;%d;%d;%dm", ground ? 48 : 38, c.r, c.g, c.b);
    else if (s->colour == TSR_COLOUR_256)
        fprintf(s->out, "\033[%d;5;%dm", ground ? 48 : 38, tsr_colour_256(c));
}

static void reset_colour(const tsr_screen *s)
{
    if (s->colour != TSR_COLOUR_NONE)
        fputs("\033[0m", s->out);
}

static tsr_colour pixel(const tsr_image *rgb, size_t y, size_t x)
{
    const uint8_t *p = (const uint8_t *)tsr_image_row(rgb, y) + 3 * x;
    return (tsr_colour){p[0], p[1], p[2]};
}

/* Upper half-block: foreground is the upper pixel, background the lower. */
static void draw_blocks(const tsr_screen *s, const tsr_image *rgb)
{
    for (size_t y = 0; y < rgb->height; y += 2) {
        for (size_t x = 0; x < rgb->width; x++) {
            set_colour(s, 0, pixel(rgb, y, x));
            if (y + 1 < rgb->height)
                set_colour(s, 1, pixel(rgb, y + 1, x));
            fputs("▀", s->out);
        }
        reset_colour(s);
        fputc('\n', s->out);
    }
}

static void draw_shades(const tsr_screen *s, const tsr_image *rgb)
{
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"};
    for (size_t y = 0; y + 1 < rgb->height + rgb->height % 2; y += 2) {
        for (size_t x = 0; x < rgb->width; x++) {
            tsr_colour c = pixel(rgb, y, x);
            fputs(shades[(299 * c.r + 587 * c.g + 114 * c.b) / 1000 * 5 / 256], s->out);
        }
        fputc('\n', s->out);
    }
}

tsr_status tsr_show_picture(const tsr_screen *s, const tsr_image *rgb, int columns)
{
    size_t width = (size_t)(columns < s->columns ? columns : s->columns);
    size_t height = (rgb->height * width + rgb->width / 2) / rgb->width;
    tsr_image fitted = {0};
    height = height < 2 ? 2 : height > 2 * width ? 2 * width : height;
    if (s->graphics && tsr_chafa_draw(s->out, rgb, (int)width, (int)(height / 2)))
        return TSR_OK;
    TSR_TRY(tsr_image_resize(rgb, height, width, TSR_FILTER_BOX, TSR_RESIZE16_I32, &fitted));
    if (s->colour == TSR_COLOUR_NONE)
        draw_shades(s, &fitted);
    else
        draw_blocks(s, &fitted);
    tsr_image_clear(&fitted);
    return TSR_OK;
}

static void show_swatch(const tsr_screen *s, tsr_colour c, const char *text)
{
    set_colour(s, 1, c);
    fputs(s->colour == TSR_COLOUR_NONE ? "" : "    ", s->out);
    reset_colour(s);
    fprintf(s->out, " %s  ", text);
}

static void show_ramp_legend(const tsr_screen *s, double low, double high)
{
    fprintf(s->out, "%.4g ", low);
    for (int i = 0; i < 24 && s->colour != TSR_COLOUR_NONE; i++) {
        set_colour(s, 1, tsr_colour_ramp(i / 23.0));
        fputc(' ', s->out);
    }
    reset_colour(s);
    fprintf(s->out, " %.4g\n", high);
}

static void show_label_legend(const tsr_screen *s, const tsr_image *im)
{
    size_t counts[LEGEND_LABELS] = {0}, pixels = im->height * im->width;
    char text[48];
    for (size_t i = 0; i < pixels; i++) {
        size_t at = i * im->channels;
        unsigned v = im->pixel == TSR_PIXEL_U8    ? ((const uint8_t *)im->data)[at]
                     : im->pixel == TSR_PIXEL_U16 ? ((const uint16_t *)im->data)[at]
                                                  : LEGEND_LABELS;
        if (v < LEGEND_LABELS)
            counts[v]++;
    }
    for (uint32_t v = 0; v < LEGEND_LABELS; v++) {
        if (!counts[v])
            continue;
        snprintf(text, sizeof text, "%u (%.0f%%)", v, 100.0 * (double)counts[v] / (double)pixels);
        show_swatch(s, tsr_colour_of_label(v), text);
    }
    fputc('\n', s->out);
}

static tsr_status show_image(const tsr_screen *s, const tsr_image *im, const char *kind)
{
    tsr_look look = tsr_look_of(kind);
    double low, high;
    tsr_image rgb = {0};
    TSR_TRY(tsr_picture_of_image(im, look, &rgb, &low, &high));
    tsr_status st = tsr_show_picture(s, &rgb, PICTURE_COLUMNS);
    tsr_image_clear(&rgb);
    TSR_TRY(st);
    if (look == TSR_LOOK_DEPTH)
        show_ramp_legend(s, low, high);
    if (look == TSR_LOOK_LABELS)
        show_label_legend(s, im);
    return TSR_OK;
}

static tsr_status show_sound(const tsr_screen *s, const tsr_sound *sound)
{
    tsr_image rgb = {0}, flat = {0};
    tsr_status st;
    TSR_GO(tsr_picture_of_sound(sound, 24, &rgb));
    TSR_GO(tsr_image_resize(&rgb, 24, (size_t)(s->columns < 72 ? s->columns : 72), TSR_FILTER_BOX,
                            TSR_RESIZE16_I32, &flat));
    TSR_GO(tsr_show_picture(s, &flat, (int)flat.width));
    fprintf(s->out, "%.3g s, %.0f Hz, %zu channel%s\n", (double)sound->frames / sound->rate_hz,
            sound->rate_hz, sound->channels, sound->channels == 1 ? "" : "s");
out:
    tsr_image_clear(&rgb);
    tsr_image_clear(&flat);
    return st;
}

static void show_palette(const tsr_screen *s, const json_t *record)
{
    tsr_colour colours[MAX_COLOURS];
    size_t n = tsr_colours_of_record(record, colours, MAX_COLOURS);
    char text[16];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "#%02x%02x%02x", colours[i].r, colours[i].g, colours[i].b);
        show_swatch(s, colours[i], text);
    }
    fputc('\n', s->out);
}

static void show_field(const tsr_screen *s, const char *name, const char *value)
{
    int room = 24 - (int)strlen(name);
    fputs("  ", s->out);
    tsr_put_text(s->out, name);
    fprintf(s->out, "%*s = ", room > 0 ? room : 0, "");
    tsr_put_text(s->out, value);
    fputc('\n', s->out);
}

static tsr_status show_fields_below(const tsr_screen *s, const char *prefix, const json_t *object)
{
    const char *key;
    json_t *v;
    tsr_status st = TSR_OK;
    json_object_foreach((json_t *)object, key, v)
    {
        char *name = NULL, *text = NULL;
        st = tsr_format(&name, *prefix ? "%s.%s" : "%s%s", prefix, key);
        if (st == TSR_OK && json_is_object(v))
            st = show_fields_below(s, name, v);
        else if (st == TSR_OK)
            st = tsr_json_text(v, 0, &text);
        if (st == TSR_OK && text)
            show_field(s, name, json_is_string(v) ? json_string_value(v) : text);
        tsr_free(name);
        tsr_free(text);
        if (st != TSR_OK)
            break;
    }
    return st;
}

tsr_status tsr_show_fields(const tsr_screen *s, const json_t *object)
{
    return show_fields_below(s, "", object);
}

static tsr_status show_record(const tsr_screen *s, const json_t *record, const char *kind)
{
    char *text;
    if (strcmp(kind, "palette") == 0) {
        show_palette(s, record);
        return TSR_OK;
    }
    if (json_is_object(record))
        return tsr_show_fields(s, record);
    TSR_TRY(tsr_json_text(record, 0, &text));
    tsr_put_text(s->out, text);
    fputc('\n', s->out);
    tsr_free(text);
    return TSR_OK;
}

tsr_status tsr_show_media(const tsr_screen *s, const tsr_media *m, const char *kind)
{
    switch (m->kind) {
    case TSR_MEDIA_IMAGE:
        return show_image(s, &m->as.image, kind);
    case TSR_MEDIA_SOUND:
        return show_sound(s, &m->as.sound);
    case TSR_MEDIA_TEXT:
        fputs("  ", s->out);
        tsr_put_text(s->out, m->as.text.s);
        fputc('\n', s->out);
        return TSR_OK;
    case TSR_MEDIA_RECORD:
        return show_record(s, m->as.record, kind);
    case TSR_MEDIA_VECTOR:
        fprintf(s->out, "  %zu numbers:", m->as.vector.count);
        for (size_t i = 0; i < m->as.vector.count && i < 8; i++)
            fprintf(s->out, " %.4g", (double)m->as.vector.data[i]);
        fputs(m->as.vector.count > 8 ? " ...\n" : "\n", s->out);
        return TSR_OK;
    case TSR_MEDIA_INTEGERS: /* no tokenizer gives them back */
    case TSR_MEDIA_NONE:
        break;
    }
    return TSR_OK;
}

static int digits(uint32_t v)
{
    int n = 1;
    for (; v >= 10; v /= 10)
        n++;
    return n;
}

/* One id: right-aligned number in `width` columns, or an empty cell of two. */
static void show_id(const tsr_screen *s, uint32_t id, int width)
{
    tsr_colour c = tsr_colour_of_id(id);
    set_colour(s, 1, c);
    set_colour(s, 0, tsr_colour_on(c));
    if (width)
        fprintf(s->out, "%*u", width, id);
    else
        fputs("  ", s->out);
    reset_colour(s);
}

/* Values of pixels are looked at, not read: the picture they are. */
static tsr_status show_patches(const tsr_screen *s, const tsr_tokens *t,
                               const tsr_token_space *space)
{
    tsr_media media = {.kind = TSR_MEDIA_IMAGE};
    uint32_t patch = tsr_space_patch(space);
    TSR_TRY(tsr_picture_of_tokens(t, space, 1, &media.as.image));
    fprintf(s->out, "%u x %u patches of %u x %u pixels\n", space->height, space->width, patch,
            patch);
    tsr_status st = tsr_show_media(s, &media, "pixels");
    tsr_media_clear(&media);
    return st;
}

tsr_status tsr_show_tokens(const tsr_screen *s, const tsr_tokens *t, const tsr_token_space *space)
{
    if (space->layout == TSR_LAYOUT_PATCHES)
        return show_patches(s, t, space);
    size_t per_row = (size_t)space->width * (space->levels ? space->levels : 1);
    int width = digits(space->codebook_size ? space->codebook_size - 1 : 0) + 1;
    if (space->layout == TSR_LAYOUT_SEQUENCE)
        per_row = (size_t)(s->columns / width > 0 ? s->columns / width : 1);
    if (per_row == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: a token grid without columns", space->modality);
    if (per_row * (size_t)width > (size_t)s->columns && s->colour != TSR_COLOUR_NONE)
        width = 0;
    for (size_t i = 0; i < t->count; i++) {
        show_id(s, t->ids[i], width);
        if (i % per_row == per_row - 1 || i + 1 == t->count)
            fputc('\n', s->out);
    }
    return TSR_OK;
}

void tsr_show_pieces(const tsr_screen *s, const uint32_t *ids, const char *const *pieces,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tsr_colour c = tsr_colour_of_id(ids[i]);
        set_colour(s, 1, c);
        set_colour(s, 0, tsr_colour_on(c));
        if (!pieces || !pieces[i])
            fprintf(s->out, "<%u>", ids[i]);
        if (pieces && pieces[i])
            tsr_put_text(s->out, pieces[i]);
        reset_colour(s);
        fputs(i + 1 < count ? "|" : "\n", s->out);
    }
}

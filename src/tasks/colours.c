/* SPDX-License-Identifier: Apache-2.0
 * Colours with a meaning, chosen in Oklab. */
#include "tasks/colours.h"

#include "dsp/oklab.h"

#include <math.h>

#define TURN 6.283185307179586

/* Oklab in polar form; hue in turns. */
static tsr_colour from_polar(double lightness, double chroma, double hue)
{
    uint8_t rgb[3];
    double lab[3] = {lightness, chroma * cos(hue * TURN), chroma * sin(hue * TURN)};
    tsr_oklab_to_rgb8(lab, rgb);
    return (tsr_colour){rgb[0], rgb[1], rgb[2]};
}

tsr_colour tsr_colour_of_id(uint32_t id)
{
    /* Finaliser of MurmurHash3: every input bit reaches every output bit. */
    uint32_t h = id + 0x9E3779B9u;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    h ^= h >> 16;
    double hue = (h & 0xFFFF) / 65536.0, step = ((h >> 16) & 7) / 7.0;
    return from_polar(0.40 + 0.45 * step, 0.13, hue);
}

tsr_colour tsr_colour_of_label(uint32_t label)
{
    if (label == 0)
        return (tsr_colour){64, 64, 64};
    static const double lightness[] = {0.70, 0.55, 0.82};
    return from_polar(lightness[label % 3], 0.15, fmod(label * 0.3819660112501051, 1.0));
}

tsr_colour tsr_colour_ramp(double t)
{
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return from_polar(0.20 + 0.72 * t, 0.09 + 0.16 * t * (1 - t), 0.80 - 0.50 * t);
}

tsr_colour tsr_colour_on(tsr_colour c)
{
    int luma = (299 * c.r + 587 * c.g + 114 * c.b) / 1000;
    return luma > 127 ? (tsr_colour){0, 0, 0} : (tsr_colour){255, 255, 255};
}

static int cube_step(int v)
{
    return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
}

static int distance(tsr_colour c, int r, int g, int b)
{
    return (c.r - r) * (c.r - r) + (c.g - g) * (c.g - g) + (c.b - b) * (c.b - b);
}

int tsr_colour_256(tsr_colour c)
{
    static const int level[] = {0, 95, 135, 175, 215, 255};
    int r = cube_step(c.r), g = cube_step(c.g), b = cube_step(c.b);
    int grey = ((c.r + c.g + c.b) / 3 - 3) / 10;
    grey = grey < 0 ? 0 : grey > 23 ? 23 : grey;
    int shade = 8 + 10 * grey;
    if (distance(c, shade, shade, shade) < distance(c, level[r], level[g], level[b]))
        return 232 + grey;
    return 16 + 36 * r + 6 * g + b;
}

size_t tsr_colours_of_record(const json_t *record, tsr_colour *out, size_t max)
{
    const json_t *list = json_object_get(record, "colors");
    size_t n = json_array_size(list) < max ? json_array_size(list) : max;
    for (size_t i = 0; i < n; i++) {
        uint8_t rgb[3];
        for (size_t k = 0; k < 3; k++) {
            double v = json_number_value(json_array_get(json_array_get(list, i), k));
            rgb[k] = (uint8_t)(v > 0 ? v < 255 ? lround(v) : 255 : 0);
        }
        out[i] = (tsr_colour){rgb[0], rgb[1], rgb[2]};
    }
    return n;
}

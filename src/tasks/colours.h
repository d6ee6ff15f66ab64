/* SPDX-License-Identifier: Apache-2.0
 * Colours with a meaning: of token ids, of labels, and of a scale of values. */
#ifndef TSR_TASKS_COLOURS_H
#define TSR_TASKS_COLOURS_H

#include "base/json.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_colour {
    uint8_t r, g, b;
} tsr_colour;

/* Colour of a token: hue and lightness from a hash of the id, so that the same id has the same
 * colour in every picture and every run. */
tsr_colour tsr_colour_of_id(uint32_t id);

/* Colour of a class: neighbouring numbers get hues far apart (golden angle). 0 is dark grey. */
tsr_colour tsr_colour_of_label(uint32_t label);

/* Dark blue (t = 0) through green to light yellow (t = 1): equal steps of t are equal steps of
 * lightness in Oklab. t is clamped. */
tsr_colour tsr_colour_ramp(double t);

/* Black or white, whichever is easier to read on c. */
tsr_colour tsr_colour_on(tsr_colour c);

/* Nearest entry of the 256-colour terminal palette: the 6 x 6 x 6 cube or the grey ramp. */
int tsr_colour_256(tsr_colour c);

/* The colours of a palette record, {"colors": [[r, g, b], ...]}, components clamped to 0..255; how
 * many there are, at most `max`. 0 for anything else. */
size_t tsr_colours_of_record(const json_t *record, tsr_colour *out, size_t max);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Random places and random rectangles. */
#include "trainer/gridmask.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define LEAST_AREA 4      /* of a rectangle, in places of one level */
#define LOG_ASPECT 1.2040 /* log(1 / 0.3), Bao et al. 2022 */
#define TRIES      16     /* rectangles in a row that hide nothing new */

/* Mark `count` of the listed places, uniformly: the first steps of a Fisher-Yates shuffle. The list
 * is left with those at its front. */
static void mark_some(uint32_t *list, uint32_t n, uint32_t count, tsr_place as, tsr_rng *rng,
                      uint8_t *place)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = i + tsr_rng_below(rng, n - i), at = list[j];
        list[j] = list[i];
        list[i] = at;
        place[at] = (uint8_t)as;
    }
}

static void random_places(uint32_t n, uint32_t inputs, uint32_t targets, tsr_rng *rng,
                          uint8_t *place, uint32_t *order)
{
    memset(place, TSR_PLACE_UNUSED, n);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    mark_some(order, n, inputs, TSR_PLACE_INPUT, rng, place);
    mark_some(order + inputs, n - inputs, targets, TSR_PLACE_TARGET, rng, place);
}

/* One rectangle; at most `left` places become hidden. Returns how many did. */
static uint32_t hide_block(tsr_grid_shape s, uint32_t left, tsr_rng *rng, uint8_t *place)
{
    uint32_t most = (left + s.levels - 1) / s.levels, least = most < LEAST_AREA ? most : LEAST_AREA;
    double area = least + tsr_rng_below(rng, most - least + 1);
    double aspect = exp(LOG_ASPECT * (2 * tsr_rng_double(rng) - 1));
    uint32_t h = (uint32_t)fmin(s.height, fmax(1, round(sqrt(area * aspect))));
    uint32_t w = (uint32_t)fmin(s.width, fmax(1, round(area / h)));
    uint32_t top = tsr_rng_below(rng, s.height - h + 1), at = tsr_rng_below(rng, s.width - w + 1);
    uint32_t hidden = 0;
    for (uint32_t r = top; r < top + h; r++) {
        uint8_t *row = place + (r * s.width + at) * s.levels;
        for (uint32_t i = 0; i < w * s.levels && hidden < left; i++) {
            hidden += row[i] == TSR_PLACE_INPUT;
            row[i] = TSR_PLACE_UNUSED;
        }
    }
    return hidden;
}

/* Indices of the places marked `as`; their number. */
static uint32_t list_places(const uint8_t *place, uint32_t n, tsr_place as, uint32_t *list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (place[i] == (uint8_t)as)
            list[count++] = i;
    return count;
}

static void block_places(tsr_grid_shape s, uint32_t inputs, uint32_t targets, tsr_rng *rng,
                         uint8_t *place, uint32_t *order)
{
    uint32_t n = s.height * s.width * s.levels, left = n - inputs;
    memset(place, TSR_PLACE_INPUT, n);
    for (int tries = 0; left && tries < TRIES; tries++) {
        uint32_t hidden = hide_block(s, left, rng, place);
        tries = hidden ? -1 : tries;
        left -= hidden;
    }
    uint32_t shown = list_places(place, n, TSR_PLACE_INPUT, order);
    mark_some(order, shown, left, TSR_PLACE_UNUSED, rng, place);
    uint32_t unseen = list_places(place, n, TSR_PLACE_UNUSED, order);
    mark_some(order, unseen, targets, TSR_PLACE_TARGET, rng, place);
}

void tsr_grid_mask(tsr_grid_kind kind, tsr_grid_shape s, uint32_t inputs, uint32_t targets,
                   tsr_rng *rng, uint8_t *place, uint32_t *order)
{
    uint32_t n = s.height * s.width * s.levels;
    assert(inputs <= n && targets <= n - inputs);
    if (kind == TSR_GRID_BLOCK)
        block_places(s, inputs, targets, rng, place, order);
    else
        random_places(n, inputs, targets, rng, place, order);
}

/* SPDX-License-Identifier: Apache-2.0
 * Which places of a grid are shown and which are to be predicted. */
#ifndef TSR_TRAINER_GRIDMASK_H
#define TSR_TRAINER_GRIDMASK_H

#include "base/rng.h"

#include <stdint.h>

typedef enum tsr_grid_kind {
    TSR_GRID_RANDOM, /* places drawn uniformly: 4M */
    TSR_GRID_BLOCK,  /* what is hidden are rectangles; targets are drawn among the hidden */
    TSR_GRID_WHOLE,  /* the whole grid on one side, or none of it */
} tsr_grid_kind;

/* What becomes of a place. */
typedef enum tsr_place {
    TSR_PLACE_UNUSED,
    TSR_PLACE_INPUT,
    TSR_PLACE_TARGET,
} tsr_place;

typedef struct tsr_grid_shape {
    uint32_t height, width, levels; /* place index = (row * width + column) * levels + level */
} tsr_grid_shape;

/* Mark exactly `inputs` places as input and `targets` others as target; inputs + targets must not
 * exceed height * width * levels.
 *
 * Random (and whole, whose counts make it trivial): uniform. Block: rectangles of area between 4
 * places and what is still to hide, with aspects between 0.3 and 1 / 0.3, are hidden until as many
 * are hidden as are no inputs (the last rectangle is cut row by row); the targets are a uniform
 * choice of the hidden ones. Levels of one place are hidden together but for the last.
 *
 * place  [height * width * levels]                    out
 * order  [height * width * levels] scratch
 * Source   block: Bao et al. 2022, arXiv:2106.08254, algorithm 1 (there the count is not exact). */
void tsr_grid_mask(tsr_grid_kind kind, tsr_grid_shape shape, uint32_t inputs, uint32_t targets,
                   tsr_rng *rng, uint8_t *place, uint32_t *order);

#endif

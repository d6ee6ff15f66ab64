/* SPDX-License-Identifier: Apache-2.0
 * Learning rates over a run: warm-up, then constant, half a cosine or an inverse square root, then
 * perhaps a linear cool-down.
 *
 * Steps count from 0. With W warm-up steps, step i < W has peak * i / (W - 1): the very first step
 * has rate 0 (the weights do not move, the optimizer's moments do) and step W-1 has the peak, as
 * numpy.linspace(0, peak, W) gives; W = 1 is one step of rate 0. Then, with N = total - W and
 * j = i - W: floor + (peak - floor) (1 + cos(pi j / N)) / 2, which starts at the peak again and
 * stops one step before the floor. Steps beyond the total stay at the floor.
 *
 * inverse_sqrt: peak / sqrt((j + tau) / tau). Constant and inverse_sqrt may end in a cool-down of C
 * steps, the last ones: a straight line from the rate of the step before down to the floor, both
 * ends included. Source   apple/ml-4m, fourm/utils/scheduler.py, cosine_scheduler,
 * inverse_sqrt_scheduler. */
#ifndef TSR_NN_SCHEDULE_H
#define TSR_NN_SCHEDULE_H

#include "base/status.h"

#include <stdint.h>

typedef enum tsr_schedule_kind {
    TSR_SCHEDULE_CONSTANT,
    TSR_SCHEDULE_COSINE,
    TSR_SCHEDULE_INVERSE_SQRT,
} tsr_schedule_kind;

typedef struct tsr_schedule {
    tsr_schedule_kind kind;
    double peak, floor; /* floor: end of the cosine, of the cool-down */
    uint64_t warmup, total;
    uint64_t cooldown; /* constant, inverse_sqrt; 0: none */
    double tau;        /* inverse_sqrt, steps, > 0; the reference has 10,000 */
} tsr_schedule;

/* "constant", "cosine" or "inverse_sqrt"; TSR_ECONFIG for another word. */
TSR_USE tsr_status tsr_schedule_parse(const char *name, tsr_schedule_kind *out);

/* Rates are not negative and finite, warmup + cooldown <= total, tau > 0. TSR_ECONFIG. */
TSR_USE tsr_status tsr_schedule_check(const tsr_schedule *s);

/* Rate of step 0, 1, ...; steps beyond the total have the floor (cosine, cool-down), or go on as
 * the others do. */
double tsr_schedule_at(const tsr_schedule *s, uint64_t step);

#endif

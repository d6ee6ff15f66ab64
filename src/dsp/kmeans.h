/* SPDX-License-Identifier: Apache-2.0
 * k-means: palettes of pictures, first codebooks, and the raw-patch baseline. */
#ifndef TSR_DSP_KMEANS_H
#define TSR_DSP_KMEANS_H

#include "base/job.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* points  [n, dim], finite; n >= 1, dim >= 1
 * weights [n] >= 0 with a positive sum, or NULL for all 1 */
typedef struct tsr_kmeans_data {
    const float *points;
    const float *weights;
    size_t n, dim;
} tsr_kmeans_data;

typedef struct tsr_kmeans_spec {
    size_t k;      /* >= 1; may exceed the number of distinct points (surplus centres repeat) */
    int rounds;    /* most rounds of Lloyd's iteration */
    double settle; /* stop when the mean squared distance falls by less than this share; 0: run on */
    uint64_t seed; /* k-means++ draws: stream (seed, TSR_RNG_KMEANS, 0) */
    size_t sample; /* k-means++ looks at no more than this many points, evenly spaced; 0: all */
    const tsr_job *job; /* progress and stop, or NULL */
} tsr_kmeans_spec;

/* Centres of k clusters: k-means++ seeding (Arthur & Vassilvitskii 2007), Lloyd's rounds, an empty
 * cluster takes the point farthest from its centre. Same bytes for any number of threads and
 * every CPU level: distances in float32 added in component order, each centre the mean in double of
 * its points in order.
 *
 * centres [k, dim] out; assign [n] index of the nearest centre, or NULL; *error (may be NULL) the
 * weighted mean squared distance, all for the same final centres.
 *
 * Errors   TSR_EARG, TSR_ENUMERIC (a point or weight not finite, or weights without positive sum),
 *          TSR_ECANCEL, TSR_ENOMEM.
 * Cost     2 n k dim flop a round. */
TSR_USE tsr_status tsr_kmeans(const tsr_kmeans_data *data, const tsr_kmeans_spec *spec,
                              float *centres, uint32_t *assign, double *error);

/* Nearest centre of each point: argmin |x|^2 - 2xc + |c|^2 in float32, ties to the lowest index.
 * points [n, dim], centres [k, dim] in; assign [n] and distance [n] (squared, never negative; may be
 * NULL) out. Parallel over blocks of points. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_kmeans_assign(const float *points, size_t n, const float *centres, size_t k,
                                     size_t dim, uint32_t *assign, float *distance);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * What a generation knows while it runs, and what each pass of the model is shown of it. Shared by
 * generate.c, gengrid.c and gensequence.c only. */
#ifndef TSR_TRAINER_GENSTATE_H
#define TSR_TRAINER_GENSTATE_H

#include "trainer/fmcache.h"
#include "trainer/generate.h"
#include "trainer/sampling.h"
#include "trainer/showrows.h"

/* One target of one sample: predicted so far. What was given of it counts from the beginning. */
typedef struct tsr_gen_target {
    uint32_t *ids;   /* grids: [places]; sequences: what was written, [room] */
    uint8_t *filled; /* grids: [places] 1 where the id is known; sequences: NULL */
    uint32_t count;  /* grids: filled places; sequences: ids, [EOS] included if it was reached */
    uint32_t room;   /* sequences: ids that may be written */
    uint32_t holes;  /* sequences: sentinels of what was given; 1 when nothing was */
    const tsr_held *text; /* sequences: given with holes, borrowed during the run; or NULL */
    int done;             /* finished: shown as a condition from now on */
} tsr_gen_target;

/* One sample. */
typedef struct tsr_gen_sample {
    const tsr_held *given; /* [mods], borrowed during the run */
    uint64_t key;
    tsr_gen_target *targets; /* [n_chain] */
} tsr_gen_sample;

/* What a pass is shown of the guided conditions: one of them, or one of these. */
#define TSR_VIEW_NONE (-1) /* u */
#define TSR_VIEW_ALL  (-2) /* c of a joint condition */

/* The passes whose logits are combined for one sample and target: views[0] is u when there are
 * several, and w[i] belongs to views[i + 1]. */
typedef struct tsr_gen_views {
    size_t n;
    int views[TSR_MODALITIES + 1];
    double w[TSR_MODALITIES];
} tsr_gen_views;

/* One token to be drawn: logits of its sample's passes, in order of the views. */
typedef struct tsr_gen_row {
    size_t sample; /* index among g->samples */
    size_t step, place;
    double temperature;
    const float *logits[TSR_MODALITIES + 1];
    tsr_drawn drawn;
} tsr_gen_row;

struct tsr_generator {
    tsr_fm *model;
    const tsr_mods *mods;
    tsr_generator_spec spec; /* chain and weights: own copies */
    tsr_target *chain;
    double *weights;
    tsr_gen_sample *samples; /* [n_samples] of the last run */
    size_t n_samples;
    tsr_net_room room;  /* made larger as runs need it */
    tsr_fmcache *cache; /* the same for sequences */
    tsr_fmcache_spec cached;
    tsr_gen_views *views; /* [spec.samples] of the group at work */
    char *lanes;          /* work space of draws, lane_bytes for each thread */
    size_t n_lanes, lane_bytes;
    tsr_generator_cost cost;
};

/* Place in the chain of modality m, or -1. */
int tsr_gen_place(const tsr_generator *g, size_t m);

/* Most tokens of a sequence target. */
uint32_t tsr_gen_longest(const tsr_generator *g, size_t t);

/* Fill the input side of e (reset first) with what `view` sees of the sample. Errors: TSR_ELIMIT.
 */
TSR_USE tsr_status tsr_gen_inputs(const tsr_generator *g, const tsr_gen_sample *s, int view,
                                  tsr_example *e);

/* Before target t of the samples [first, first + n): views of each, examples for all passes, and a
 * net (sequences: a cache) that holds them with out_rows target rows each. *passes: their number.
 */
TSR_USE tsr_status tsr_gen_prepare(tsr_generator *g, size_t t, size_t first, size_t n,
                                   size_t out_rows, size_t *passes);

/* Draw the tokens of rows by target t's rule at their temperatures, on all threads.
 * Errors: TSR_ENUMERIC logits that are not finite. */
TSR_USE tsr_status tsr_gen_draw(tsr_generator *g, size_t t, size_t first, tsr_gen_row *rows,
                                size_t n_rows);

/* Storage of target t of a sample, with what was given of it. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_gen_begin_grid(const tsr_generator *g, tsr_gen_sample *s, size_t t);
TSR_USE tsr_status tsr_gen_begin_sequence(const tsr_generator *g, tsr_gen_sample *s, size_t t);

/* Predict target t of the samples [first, first + n), n <= spec.samples. */
TSR_USE tsr_status tsr_gen_grid(tsr_generator *g, size_t t, size_t first, size_t n,
                                const tsr_job *job);
TSR_USE tsr_status tsr_gen_sequence(tsr_generator *g, size_t t, size_t first, size_t n,
                                    const tsr_job *job);

#endif

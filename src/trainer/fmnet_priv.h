/* SPDX-License-Identifier: Apache-2.0
 * Inside of fmnet: fmnet.c builds and runs, fmnet_pack.c fills the inputs. Tests use the two halves
 * of a run. */
#ifndef TSR_TRAINER_FMNET_PRIV_H
#define TSR_TRAINER_FMNET_PRIV_H

#include "trainer/fmnet.h"

/* Rows of one modality on one side. */
typedef struct tsr_fm_part {
    size_t cap, rows;  /* at most, and in this run */
    int slot;          /* number among the modalities of this side that have room */
    int table;         /* number of its contents among the tables of this side */
    tsr_value patches; /* pixels: [rows, patch_values] float32 */
    tsr_value pick;    /* targets: [rows] int32, rows of the decoder */
    tsr_value labels;  /* [rows] int32 */
    tsr_value weights; /* [rows] float32 */
    tsr_value nll;     /* [rows] float32, result */
    tsr_value logits;  /* [rows, V] float32, result */
} tsr_fm_part;

/* Rows of all modalities on one side, sample by sample: inputs [rows] int32. */
typedef struct tsr_fm_rows {
    size_t cap, rows;
    tsr_value tables, ids;      /* content: table, and row in it */
    tsr_value slots, positions; /* address: slot of the modality (-1: none), and position */
    tsr_value samples;          /* [B + 1] first rows of the samples, and the end */
} tsr_fm_rows;

struct tsr_fmnet {
    tsr_fm *m;
    const tsr_fm_config *c;
    tsr_fmnet_spec spec;
    float weights[TSR_MODALITIES];
    tsr_graph *g;
    tsr_exec *x; /* made by the first run */
    tsr_fm_part in[TSR_MODALITIES], out[TSR_MODALITIES];
    tsr_fm_rows inputs, targets; /* registers included */
    tsr_value segments;          /* [segments + 1] decoder rows of one modality of one sample */
    tsr_value causal;            /* [segments] */
    tsr_value encoded, decoded; /* results, with keep_states */
    tsr_value *context_kv;      /* [decoder_depth] results in CONTEXT mode */
    double loss, flops;
};

/* Fill the inputs of the executor; the examples were not looked at before.
 * Errors   TSR_EARG. */
TSR_USE tsr_status tsr_fmnet_pack(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                                  double scale);

/* The two halves of tsr_fmnet_run. */
TSR_USE tsr_status tsr_fmnet_load(tsr_fmnet *n, const tsr_example *const *examples, size_t count,
                                  double scale);
TSR_USE tsr_status tsr_fmnet_execute(tsr_fmnet *n);

#endif

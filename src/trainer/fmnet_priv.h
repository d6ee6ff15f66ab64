/* SPDX-License-Identifier: Apache-2.0
 * Inside of fmnet: fmnet.c builds and runs, fmnet_pack.c fills the inputs. Tests use the two halves
 * of a run. */
#ifndef TSR_TRAINER_FMNET_PRIV_H
#define TSR_TRAINER_FMNET_PRIV_H

#include "trainer/fmnet.h"

/* Rows of one modality on one side: its inputs, and where it lies. */
typedef struct tsr_fm_part {
    size_t cap, rows;    /* at most, and in this run */
    size_t first;        /* row of the concatenation at which it begins in this run */
    tsr_value ids;       /* [rows] int32; pixels [rows, patch_values] float32 */
    tsr_value positions; /* [rows] int32 */
    tsr_value pick;      /* targets: [rows] int32, rows of the decoder */
    tsr_value labels;    /* [rows] int32 */
    tsr_value weights;   /* [rows] float32 */
    tsr_value nll;       /* [rows] float32, result */
    tsr_value logits;    /* [rows, V] float32, result */
} tsr_fm_part;

struct tsr_fmnet {
    tsr_fm *m;
    const tsr_fm_config *c;
    tsr_fmnet_spec spec;
    float weights[TSR_MODALITIES];
    tsr_graph *g;
    tsr_exec *x; /* made by the first run */
    tsr_fm_part in[TSR_MODALITIES], out[TSR_MODALITIES];
    tsr_value in_order;         /* [in_rows + B registers] rows of contents, sample by sample */
    tsr_value in_addresses;     /* the same of addresses, -1 for registers; or in_order */
    tsr_value in_segments;      /* [B + 1] rows of the encoder of each sample */
    tsr_value out_order;        /* [out_rows] */
    tsr_value out_segments;     /* [segments + 1] rows of the decoder: one modality of one sample */
    tsr_value out_causal;       /* [segments] */
    tsr_value out_samples;      /* [B + 1] rows of the decoder of each sample */
    tsr_value encoded, decoded; /* results, with keep_states */
    tsr_value *context_kv;      /* [decoder_depth] results in CONTEXT mode */
    size_t in_rows, out_rows;   /* of this run, registers included */
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

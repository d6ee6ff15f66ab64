/* SPDX-License-Identifier: Apache-2.0
 * Inside of the masked model, shared by fm.c, fmparams.c, fmfile.c and fmdescribe.c only. */
#ifndef TSR_TRAINER_FM_PRIV_H
#define TSR_TRAINER_FM_PRIV_H

#include "trainer/fm.h"

#define TSR_FM_NAME 192 /* bytes for the name of a tensor */

struct tsr_fm {
    tsr_fm_config config;
    tsr_params *ps;
    json_t *extra;    /* of the file read, or NULL */
    json_t *left_out; /* names of modalities of the file that are not handled, or NULL */
};

/* Two names in files for what is one parameter in training. The first is the parameter's. */
typedef struct tsr_tie {
    char name[TSR_FM_NAME], other[TSR_FM_NAME];
    int idle; /* `name` has no part in any computation once `other` is a parameter of its own */
} tsr_tie;

/* Tie number i of a configuration, 0 when there are no more. */
int tsr_fm_tie(const tsr_fm_config *c, size_t i, tsr_tie *out);

/* Add all tensors of the configuration to m->ps, in the order of the reference's files.
 * seed     fills them when `fill` is set
 * budget   values that may be added at most: what a file holds, or SIZE_MAX
 * untied   [ties] 1 where the second name is a parameter of its own, or NULL
 * Errors   TSR_EMISMATCH beyond the budget, TSR_ENOMEM. */
typedef struct tsr_fm_fill {
    uint64_t seed;
    int fill;
    size_t budget;
    const unsigned char *untied;
} tsr_fm_fill;
TSR_USE tsr_status tsr_fm_make_tensors(tsr_fm *m, const tsr_fm_fill *how);

/* Values of the tensors that belong to the blocks: products of encoder and decoder. */
int tsr_fm_is_block(const char *name);

#endif

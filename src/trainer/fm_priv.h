/* SPDX-License-Identifier: Apache-2.0
 * Inside of the masked model, shared by fm.c, fmparams.c, fmfile.c, fmpublish.c,
 * fmpublished.c and fmdescribe.c only. */
#ifndef TSR_TRAINER_FM_PRIV_H
#define TSR_TRAINER_FM_PRIV_H

#include "nn/safetensors.h"
#include "trainer/fm.h"

#define TSR_FM_NAME 192 /* bytes for the name of a tensor */

struct tsr_fm {
    tsr_fm_config config;
    tsr_params *ps;
    json_t *extra;    /* of the file read, or NULL */
    json_t *left_out; /* names of modalities of the file that are not handled, or NULL; their
                         tensors are in the store, untrained and read by nobody */
    json_t *problems; /* with tensors, of a file that is only looked at, or NULL */
};

/* Two names in files for what is one parameter in training. The first is the parameter's. */
typedef struct tsr_tie {
    char name[TSR_FM_NAME], other[TSR_FM_NAME];
    int idle; /* a table of a grid's decoder, which is never looked up: always tied */
} tsr_tie;

#define TSR_FM_TIES (2 * TSR_MODALITIES) /* at most */

/* Tie number i of a configuration, 0 when there are no more. */
int tsr_fm_tie(const tsr_fm_config *c, size_t i, tsr_tie *out);

/* Add all tensors of the configuration to m->ps, in the order of the reference's files.
 * seed     fills them when `fill` is set
 * deferred leaves the store without values (tsr_params_defer)
 * untied   [ties] 1 where the second name is a parameter of its own, or NULL
 * Errors   TSR_ENOMEM. */
typedef struct tsr_fm_fill {
    uint64_t seed;
    int fill, deferred;
    const unsigned char *untied;
} tsr_fm_fill;
TSR_USE tsr_status tsr_fm_make_tensors(tsr_fm *m, const tsr_fm_fill *how);

/* Modalities of a published file, from the names in its options (`config`, parsed) and the shapes of
 * its tensors, into m->config.mods; names of those that are not handled into m->left_out.
 * Errors   TSR_EFORMAT, TSR_EUNSUPPORTED, TSR_ELIMIT. */
TSR_USE tsr_status tsr_fm_published_mods(const tsr_safetensors *f, const json_t *config, tsr_fm *m);

/* The options of the reference for a configuration, with their types, into an object. TSR_ENOMEM. */
TSR_USE tsr_status tsr_fm_options(const tsr_fm_config *c, json_t *into);

/* Embedded sentences, which a model does not handle but its files keep: put their names among the
 * inputs of the reference's options. */
TSR_USE tsr_status tsr_fm_list_left_out(const tsr_fm *m, json_t *config);

/* 1 for products inside the blocks of encoder and decoder (and their biases). */
int tsr_fm_is_block(const char *name);

#endif

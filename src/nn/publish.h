/* SPDX-License-Identifier: Apache-2.0
 * What ml-4m's loader has to be told about a model: filled by whoever knows the model (vqvae/,
 * trainer/), written by tasks/publishfile.
 *
 * ml-4m keeps the options of a model in its file's metadata, as strings, and builds it from these
 * and from tables of its own. What neither has room for is a reason why a model cannot be exported;
 * all reasons are collected before any of them is a failure. What its tables can be made to hold is
 * said by a few lines of Python, to be run before loading. */
#ifndef TSR_NN_PUBLISH_H
#define TSR_NN_PUBLISH_H

#include "base/json.h"
#include "base/status.h"
#include "base/str.h"

#include <stddef.h>

/* Names of modalities, and what they are called outside. */
typedef struct tsr_rename {
    const char *from, *to;
} tsr_rename;

typedef struct tsr_renames {
    const tsr_rename *items;
    size_t count;
} tsr_renames;

/* The other name, or `name` itself. Borrowed. */
const char *tsr_renamed(const tsr_renames *r, const char *name);

/* Storage of the caller: set `may_register`, clear it in the end. */
typedef struct tsr_publish {
    int may_register;       /* 1: ml-4m may be told what its tables lack */
    const char *class_name; /* of ml-4m: "FM", "VQVAE", "VQ", "DiVAE" */
    json_t *config;         /* its options, with their types */
    json_t *reasons;        /* strings: why it cannot be loaded; NULL: none */
    tsr_str code;           /* Python lines that tell ml-4m; empty: nothing to tell */
} tsr_publish;

void tsr_publish_clear(tsr_publish *p);

/* One more reason. */
TSR_USE tsr_status tsr_publish_refuse(tsr_publish *p, const char *fmt, ...) TSR_PRINTF(2, 3);

#endif

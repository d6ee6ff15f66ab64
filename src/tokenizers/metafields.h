/* SPDX-License-Identifier: Apache-2.0
 * Metadata fields: what they are, where their value comes from, how it becomes a bin and back.
 * Private to tokenizers. */
#ifndef TSR_TOKENIZERS_METAFIELDS_H
#define TSR_TOKENIZERS_METAFIELDS_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>

typedef enum tsr_meta_type {
    TSR_META_INT,    /* bin = floor((v - low) / step), clamped; inverse: middle of the step */
    TSR_META_FLOAT,  /* bin = trunc((v - low) / (high - low) * (bins - 1)), clamped, as 4M does;
                        inverse: middle of the values that give the bin (the last bin: high) */
    TSR_META_BOOL,   /* 0, 1 */
    TSR_META_ENUM,   /* index into the list of values; others are an error */
    TSR_META_STEPS,  /* number of thresholds at or below v; inverse: middle between them */
} tsr_meta_type;

typedef enum tsr_meta_source {
    TSR_META_RECORD,
    TSR_META_IMAGE, /* measured when there is a picture, else from the record */
    TSR_META_TEXT,  /* measured when there is a text, else from the record */
} tsr_meta_source;

#define TSR_META_MAX_BINS 1000 /* value tokens v0=0 .. v0=999 */

typedef struct tsr_metafield {
    char *name;
    char *key; /* dotted path in the record */
    unsigned id; /* v1=<id> */
    tsr_meta_type type;
    tsr_meta_source source;
    double low, high, step;
    unsigned bins;
    int required;  /* 1: a sample without a value is an error, not one field shorter */
    char **values; /* ENUM */
    double *steps; /* STEPS: bins - 1 thresholds, rising */
} tsr_metafield;

typedef struct tsr_metafields {
    tsr_metafield *fields; /* by id */
    size_t count, cap;
} tsr_metafields;

/* Fill from a recipe section: "preset" ("4m21": the 21 fields of 4M-21; "none"; default "4m21"
 * unless there are "fields") and "fields", a list of
 *   {name, type: int|float|bool|enum|steps, key (default: name), id (default: the next),
 *    required (default: false), low, high, step, bins, values, thresholds}.
 * Errors   TSR_ECONFIG naming origin and field. */
TSR_USE tsr_status tsr_metafields_read(tsr_metafields *m, const json_t *config,
                                       const char *origin);
void tsr_metafields_clear(tsr_metafields *m);

/* The fields as a recipe's list that reads back the same. */
TSR_USE tsr_status tsr_metafields_to_json(const tsr_metafields *m, json_t **out);

/* Bin of a JSON value. TSR_EFORMAT naming the field when the value is of another type, or not in
 * the list of an enum; TSR_ENUMERIC when it is not finite. */
TSR_USE tsr_status tsr_metafield_bin(const tsr_metafield *f, const json_t *value, unsigned *bin);

/* The value a bin stands for (new reference). TSR_EFORMAT when the field has no such bin. */
TSR_USE tsr_status tsr_metafield_value(const tsr_metafield *f, unsigned bin, json_t **out);

/* The field with v1=<id>, or NULL. */
const tsr_metafield *tsr_metafields_find(const tsr_metafields *m, unsigned id);

#endif

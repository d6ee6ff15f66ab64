/* SPDX-License-Identifier: Apache-2.0
 * Recipes: YAML read through libyaml into a JSON tree, merged with -s overrides, checked against a
 * schema table. An unknown key is an error with a suggestion and a line number.
 *
 *   static const tsr_field fields[] = {
 *       {"tokenizer.name", TSR_FIELD_STRING, NULL, 0, 0, "name of the modality"},
 *       {"train.steps", TSR_FIELD_INT, "1000", 1, 1e9, "optimizer steps"},
 *       {"modalities.*.kind", TSR_FIELD_STRING, NULL, 0, 0, "..."},      * matches any one key
 *       {"extra", TSR_FIELD_ANY, NULL, 0, 0, "..."},                      whole subtree accepted
 *   };
 */
#ifndef TSR_BASE_RECIPE_H
#define TSR_BASE_RECIPE_H

#include "base/json.h"
#include "base/status.h"

typedef enum tsr_field_kind {
    TSR_FIELD_STRING,
    TSR_FIELD_INT,
    TSR_FIELD_NUMBER,
    TSR_FIELD_BOOL,
    TSR_FIELD_STRINGS, /* list of strings; one string is taken as a list of one */
    TSR_FIELD_NUMBERS,
    TSR_FIELD_ANY,
} tsr_field_kind;

typedef struct tsr_field {
    const char *path; /* dotted; a component "*" matches any key of a mapping or index of a list */
    tsr_field_kind kind;
    const char *fallback; /* default as YAML text; NULL: no default; "!" required. Not below "*". */
    double lo, hi;        /* range of numbers; both 0: any finite */
    const char *help;     /* one sentence; names the unit */
} tsr_field;

typedef struct tsr_recipe tsr_recipe;

/* What a key takes, as help shows it: "whole number", "list of strings". */
const char *tsr_field_kind_name(tsr_field_kind kind);

/* Parse YAML `path`, apply `overrides` ("a.b=c", value parsed as YAML; "a.b=" removes the key),
 * fill defaults, check kinds and ranges. YAML anchors, tags and duplicate keys are refused; files
 * over 1 MiB too. A null value counts as absent (except below TSR_FIELD_ANY); an integral float is
 * fine for TSR_FIELD_INT; keys must not hold a dot. Scalars follow YAML 1.2 core: true/false,
 * null/~, ints, floats; 1e-4 is a float. Errors   TSR_ECONFIG (path, line, key, suggestion),
 * TSR_ENOENT, TSR_EIO, TSR_ELIMIT (size). */
TSR_USE tsr_status tsr_recipe_open(const char *path, const char *const *overrides,
                                   size_t n_overrides, const tsr_field *fields, size_t n_fields,
                                   tsr_recipe **out);

/* The same from text; `origin` stands for the path in messages. */
TSR_USE tsr_status tsr_recipe_parse(const char *text, size_t bytes, const char *origin,
                                    const char *const *overrides, size_t n_overrides,
                                    const tsr_field *fields, size_t n_fields, tsr_recipe **out);
void tsr_recipe_close(tsr_recipe *r);

/* Values at a dotted path ("modalities.rgb.kind"). The schema has checked kind and range, so these
 * return the fallback given here only when the key is absent. Borrowed until close. */
const char *tsr_recipe_string(const tsr_recipe *r, const char *path, const char *fallback);
long long tsr_recipe_int(const tsr_recipe *r, const char *path, long long fallback);
double tsr_recipe_number(const tsr_recipe *r, const char *path, double fallback);
int tsr_recipe_bool(const tsr_recipe *r, const char *path, int fallback);

/* Subtree, or NULL. Mappings keep the order of the file. */
const json_t *tsr_recipe_get(const tsr_recipe *r, const char *path);

/* The path or origin it was read from. Borrowed. */
const char *tsr_recipe_origin(const tsr_recipe *r);

/* The merged recipe as YAML text, to be kept beside the output; release with tsr_free. */
TSR_USE tsr_status tsr_recipe_text(const tsr_recipe *r, char **out);

/* A TSR_ECONFIG failure that names the recipe's file and the line of `path`. */
tsr_status tsr_recipe_fail(const tsr_recipe *r, const char *path, const char *fmt, ...)
    TSR_PRINTF(3, 4);

#endif

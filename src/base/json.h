/* SPDX-License-Identifier: Apache-2.0
 * JSON through jansson (included here and nowhere else), with our errors and limits.
 * Values are jansson's json_t; use its json_object_get() and friends directly. */
#ifndef TSR_BASE_JSON_H
#define TSR_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>
#include <stddef.h>

/* Parse text[0..bytes); `origin` names it in messages ("manifest.json"). Duplicate keys are an
 * error; nesting is bounded by jansson (2,048). *out is owned: json_decref.
 * Errors   TSR_EFORMAT with line and column. */
TSR_USE tsr_status tsr_json_parse(const char *text, size_t bytes, const char *origin, json_t **out);

/* Parse a file of at most max_bytes. */
TSR_USE tsr_status tsr_json_read(const char *path, size_t max_bytes, json_t **out);

/* Write a file in one step (tsr_file_write). Keys in insertion order; indent 0 is one line,
 * floats in the fewest digits that read back the same. */
TSR_USE tsr_status tsr_json_write(const char *path, const json_t *value, int indent);

/* Text of a value; release with tsr_free. */
TSR_USE tsr_status tsr_json_text(const json_t *value, int indent, char **out);

/* Required members: TSR_EFORMAT naming `origin`, key and expected type when absent or of another
 * type. Strings are borrowed from `object`. Integers accept no fraction. */
TSR_USE tsr_status tsr_json_string(const json_t *object, const char *key, const char *origin,
                                   const char **out);
TSR_USE tsr_status tsr_json_int(const json_t *object, const char *key, const char *origin,
                                long long *out);
TSR_USE tsr_status tsr_json_number(const json_t *object, const char *key, const char *origin,
                                   double *out);
TSR_USE tsr_status tsr_json_member(const json_t *object, const char *key, const char *origin,
                                   json_type type, const json_t **out);

/* object[key] = value, taking the value; failure to allocate is TSR_ENOMEM. */
TSR_USE tsr_status tsr_json_set(json_t *object, const char *key, json_t *value);
TSR_USE tsr_status tsr_json_append(json_t *array, json_t *value);

#endif

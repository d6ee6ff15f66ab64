/* SPDX-License-Identifier: Apache-2.0
 * What NumPy stores as objects: a pickle of arrays, lists, dicts, texts and numbers, read as JSON.
 * Nothing is ever called or imported: names of Python are compared with those of NumPy's arrays,
 * others refused. */
#ifndef TSR_CODECS_PICKLE_H
#define TSR_CODECS_PICKLE_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Read data[0..n), protocols 2 to 5. Arrays become nested lists (a 0-dimensional one what it
 * holds), tuples lists, None null. `name` stands for the file in messages; *out is a new reference.
 * Errors   TSR_EFORMAT truncated or malformed, keys that are no text, numbers that are not finite;
 *          TSR_EUNSUPPORTED other objects of Python; TSR_ELIMIT nested too deep, or too many
 *          values. */
TSR_USE tsr_status tsr_pickle_read(const char *name, const uint8_t *data, size_t n, json_t **out);

#endif

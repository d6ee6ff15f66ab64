/* SPDX-License-Identifier: Apache-2.0
 * Configuration values as the strings that 4M keeps in safetensors metadata, and back.
 *
 * Writing is Python's str(): True, False, None, 448, 0.99, text as it is; arrays and objects are
 * written as JSON, which the reader's YAML understands.
 * Reading follows ml-4m: "None" is null, then YAML 1.1 rules for one plain scalar: yes/no/on/off
 * in the usual spellings are booleans, 16_384 and 0x10 integers, a float needs a dot (1e-4 stays
 * text). Where ml-4m replaces "None" inside longer words too, we do not. Values of more than 10,000
 * bytes, quoted ones, and whatever is not a scalar stay strings.
 * Source   apple/ml-4m, fourm/utils/checkpoint.py, load_safetensors. */
#ifndef TSR_NN_METATEXT_H
#define TSR_NN_METATEXT_H

#include "base/json.h"
#include "base/status.h"

/* Text of one value; release with tsr_free. */
TSR_USE tsr_status tsr_metatext_write(const json_t *value, char **out);

/* Value of one text; json_decref. */
TSR_USE tsr_status tsr_metatext_read(const char *text, json_t **out);

/* All members of an object: values to strings, strings to values. The result is a new object. */
TSR_USE tsr_status tsr_metatext_write_all(const json_t *config, json_t **out);
TSR_USE tsr_status tsr_metatext_read_all(const json_t *metadata, json_t **out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * YAML text to a JSON tree and back (libyaml is included here and nowhere else). */
#ifndef TSR_BASE_YAMLTREE_H
#define TSR_BASE_YAMLTREE_H

#include "base/json.h"
#include "base/status.h"

/* Parse one YAML document. Scalars follow YAML 1.2 core; an empty document gives null. `lines`, when
 * not NULL, is an object that receives the line (from 1) of every node by its dotted path.
 * *out is owned: json_decref.
 * Errors   TSR_ECONFIG with `origin` and line: syntax, anchors, aliases, tags, duplicate keys, keys
 *          that are empty or hold a dot, nesting over 64, infinite numbers, several documents. */
TSR_USE tsr_status tsr_yaml_parse(const char *text, size_t bytes, const char *origin,
                                  json_t *lines, json_t **out);

/* Text that tsr_yaml_parse reads back to the same tree; release with tsr_free. */
TSR_USE tsr_status tsr_yaml_text(const json_t *value, char **out);

/* path + "." + key, or key alone when path is empty; release with tsr_free. */
TSR_USE tsr_status tsr_yaml_path(char **out, const char *path, const char *key);

#endif

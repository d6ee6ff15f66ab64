/* SPDX-License-Identifier: Apache-2.0
 * What writer and reader of a token file must agree on: limits, names, shapes. Private to shards.
 */
#ifndef TSR_SHARDS_LAYOUT_H
#define TSR_SHARDS_LAYOUT_H

#include "base/status.h"
#include "shards/shard.h"

#define TSR_FORMAT_SHARD  "tessera-shard"
#define TSR_KIND_TOKENS   "tokens"
#define TSR_KIND_KEYS     "keys"
#define TSR_SHARD_MAX_ROW 268435456u /* ids of one row */

/* Everything about `info` that does not depend on the rows; `origin` names it in messages.
 * Errors   TSR_EFORMAT, TSR_ELIMIT. */
TSR_USE tsr_status tsr_shard_info_check(const tsr_shard_info *info, const char *origin);

/* Ids of one row of a grid, bytes of one of patches: height * width * levels. The info was checked.
 */
size_t tsr_grid_ids(const tsr_token_space *s);

/* Bytes of a stored id: 2 or 4, of a value of patches 1. */
size_t tsr_id_bytes(const tsr_token_space *s);

/* Shape of /tokens of a grid or of patches; returns the number of dimensions, 2 to 4. */
int tsr_grid_shape(const tsr_shard_info *info, uint64_t dims[4]);

#endif

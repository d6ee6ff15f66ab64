/* SPDX-License-Identifier: Apache-2.0
 * Training state in one safetensors file: values, optimizer moments, averages, step, and whatever
 * JSON the trainer adds. Written by rename, so that a kill leaves the old file or the new one.
 *
 * A run that is saved, killed and restored continues with the same bytes as one that was not. */
#ifndef TSR_NN_CHECKPOINT_H
#define TSR_NN_CHECKPOINT_H

#include "base/json.h"
#include "base/status.h"
#include "nn/params.h"

#include <stdint.h>

/* Tensors: values by their names, and with the prefixes "moment1.", "moment2.", "average.".
 * Metadata: "tessera.checkpoint" (format, step) and "tessera.state" (`state` as JSON; NULL: none).
 * Gradients are not kept: save between steps. */
TSR_USE tsr_status tsr_checkpoint_save(const tsr_params *ps, const char *path, uint64_t step,
                                       const json_t *state);

/* Into a store made the same way as the saved one. *state (may be NULL when not wanted) is a new
 * reference, JSON null when none was saved.
 * Errors   TSR_EMISMATCH naming what is missing, misshapen or too much; nothing has changed then.
 */
TSR_USE tsr_status tsr_checkpoint_restore(tsr_params *ps, const char *path, uint64_t *step,
                                          json_t **state);

#endif

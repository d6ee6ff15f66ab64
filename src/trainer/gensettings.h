/* SPDX-License-Identifier: Apache-2.0
 * How a target is generated, in words: settings of a chain as text and as JSON.
 *
 *   scheme       maskgit | random | autoregressive
 *   steps        of grids, 1 or more
 *   tokens       cosine | linear: how many a step (random: always linear)
 *   temperature  0: the likeliest
 *   cooling      constant | linear | onex, with cool_to and power
 *   top_k, top_p filters, 0: off
 *   guidance     1: none
 *   max_tokens   of sequences */
#ifndef TSR_TRAINER_GENSETTINGS_H
#define TSR_TRAINER_GENSETTINGS_H

#include "base/json.h"
#include "trainer/generate.h"

/* Set one of them. Errors: TSR_ECONFIG naming the keys, words or range there are. */
TSR_USE tsr_status tsr_target_set(tsr_target *t, const char *key, const char *value);

/* The ones that matter for the target's scheme. Object; json_decref. */
TSR_USE tsr_status tsr_target_to_json(const tsr_target *t, json_t **out);

/* "cosine", "linear". */
const char *tsr_token_schedule_name(tsr_token_schedule s);

#endif

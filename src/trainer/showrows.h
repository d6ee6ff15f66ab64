/* SPDX-License-Identifier: Apache-2.0
 * Tokens that are held, as rows of an example; and a net that grows with what it has to hold.
 * Shared by generation and scoring. */
#ifndef TSR_TRAINER_SHOWROWS_H
#define TSR_TRAINER_SHOWROWS_H

#include "trainer/fmnet.h"

/* h fits the modality. `sample` is for messages.
 * Errors   TSR_EARG no tokens, or a mask where there can be none; TSR_EFORMAT a grid of a wrong
 * size or an id outside the vocabulary. */
TSR_USE tsr_status tsr_show_check(const tsr_mod *mod, const tsr_held *h, size_t sample);

/* Ids of a sequence that count: up to and including [EOS], at most the longest of the modality. */
uint32_t tsr_show_count(const tsr_mod *mod, const tsr_held *h);

/* Input rows of modality m: a sequence of n ids; places of a grid of which `count` are filled
 * (filled NULL: the first `count`); everything that is held; the one token [S_1].
 * Errors   TSR_ELIMIT. */
TSR_USE tsr_status tsr_show_sequence(tsr_example *e, size_t m, const uint32_t *ids, uint32_t n);
TSR_USE tsr_status tsr_show_places(tsr_example *e, size_t m, const uint32_t *ids,
                                   const uint8_t *filled, uint32_t count);
TSR_USE tsr_status tsr_show_held(tsr_example *e, const tsr_mods *mods, size_t m, const tsr_held *h);
TSR_USE tsr_status tsr_show_sentinel(tsr_example *e, size_t m);

/* A net with room for the largest batch so far, and examples for it. Zero it, set `model` and the
 * mode and precision of `have`. */
typedef struct tsr_net_room {
    tsr_fm *model;
    tsr_fmnet *net;
    tsr_fmnet_spec have;
    tsr_example *examples;    /* [n_examples] of `rows` rows each */
    const tsr_example **list; /* [n_examples] the same */
    size_t n_examples, rows;
} tsr_net_room;

/* *have = max(*have, need); 1 when that changed it. */
int tsr_grow_to(size_t *have, size_t need);

/* Nets want room for at least one row of input: make it so where nothing is given. */
void tsr_least_room(const tsr_mods *mods, size_t *in_rows, size_t *in_of);

/* Make sure that the net holds `need`, or the examples n of this many rows. A larger one replaces
 * what there was. Errors: those of tsr_fmnet_create, TSR_ENOMEM. */
TSR_USE tsr_status tsr_net_room_net(tsr_net_room *r, const tsr_fmnet_spec *need);
TSR_USE tsr_status tsr_net_room_examples(tsr_net_room *r, size_t n, size_t rows);
void tsr_net_room_clear(tsr_net_room *r);

#endif

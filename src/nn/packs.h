/* SPDX-License-Identifier: Apache-2.0
 * Weights in the layout of the product library: one copy of each for all graphs of a store.
 *
 * A packed weight is filled when it first runs and again when its values changed. Where values are
 * still in a file they are read piece by piece on the way, so that no other copy is ever whole. */
#ifndef TSR_NN_PACKS_H
#define TSR_NN_PACKS_H

#include "nn/params.h"

#include <pthread.h>

struct tsr_pack;         /* nn/gemm.h */
struct tsr_pack_request; /* nn/op.h */

/* One weight in one form. Life: from the first graph that takes it to the last that drops it; in a
 * store with a source, whose values would have to be read again, to the end of the store. */
typedef struct tsr_packed {
    struct tsr_pack_request *req;
    struct tsr_pack **blocks; /* [req->blocks]; NULL before the first refresh */
    uint64_t version;         /* of the weight when they were filled; 0: never */
    size_t users;
} tsr_packed;

/* All of a store. */
typedef struct tsr_packs {
    pthread_mutex_t lock;
    tsr_packed **items;
    size_t count, cap;
} tsr_packs;

/* An empty list, as part of a store. */
void tsr_packs_init(tsr_packs *k);
void tsr_packs_clear(tsr_packs *k);

/* The packed weight of this request, for one more user; it is drop()ped as often. Errors:
 * TSR_ENOMEM. */
TSR_USE tsr_status tsr_packs_take(tsr_params *ps, const struct tsr_pack_request *req,
                                  tsr_packed **out);
void tsr_packs_drop(tsr_params *ps, tsr_packed *p);

/* Bring these up to date, in parallel; from any thread.
 * Errors   those of tsr_param_read(), TSR_ENOMEM. */
TSR_USE tsr_status tsr_packs_refresh(tsr_params *ps, tsr_packed *const *list, size_t n);

#endif

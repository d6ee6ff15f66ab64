/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops. The one place where threads are started. */
#ifndef TSR_BASE_PAR_H
#define TSR_BASE_PAR_H

#include "base/status.h"

#include <stddef.h>

/* Body of a loop: does item i. `lane` in [0, threads) names the worker, for per-worker scratch;
 * results must not depend on it. */
typedef tsr_status (*tsr_par_body)(void *ctx, size_t i, int lane);

/* The same without a way to fail, for kernels. */
typedef void (*tsr_par_kernel)(void *ctx, size_t i, int lane);

/* Number of threads loops use: tsr_par_set_threads(), else TESSERA_THREADS, else the cores this
 * process may run on. At least 1. */
int tsr_par_threads(void);

/* n >= 1 sets it; 0 returns to the default. */
void tsr_par_set_threads(int n);

/* Number of threads a loop of many items started here would use: 1 inside a loop. Lanes are below
 * it. */
int tsr_par_team(void);

/* Run body(ctx, i, lane) for i in [0, n), items handed out one at a time in order. After a failure
 * no new item starts; the failure with the lowest i is reported, with its sentence, whatever the
 * threads did. A loop inside a loop runs on the calling thread. */
TSR_USE tsr_status tsr_par_for(size_t n, tsr_par_body body, void *ctx);

/* Run kernel(ctx, i, lane) for i in [0, n). */
void tsr_par_kernels(size_t n, tsr_par_kernel kernel, void *ctx);

#endif

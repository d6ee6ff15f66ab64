/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops over OpenMP. */
#include "base/par.h"

#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int chosen;

static int default_threads(void)
{
    const char *env = getenv("TESSERA_THREADS");
    int n = env ? atoi(env) : 0;
    return n >= 1 ? n : omp_get_num_procs();
}

int tsr_par_threads(void)
{
    return chosen >= 1 ? chosen : default_threads();
}

void tsr_par_set_threads(int n)
{
    chosen = n;
}

int tsr_par_team(void)
{
    return omp_in_parallel() ? 1 : tsr_par_threads();
}

static int team_size(size_t n)
{
    int threads = tsr_par_team();
    return n < (size_t)threads ? (int)n : threads;
}

tsr_status tsr_par_for(size_t n, tsr_par_body body, void *ctx)
{
    size_t next = 0, failed_at = SIZE_MAX;
    tsr_status failed = TSR_OK;
    char sentence[1024] = "";
    if (n == 0)
        return TSR_OK;
#pragma omp parallel num_threads(team_size(n))
    {
        int lane = omp_in_parallel() ? omp_get_thread_num() : 0;
        for (;;) {
            size_t i, stop_at;
#pragma omp atomic capture
            i = next++;
#pragma omp atomic read
            stop_at = failed_at;
            /* Items below a failure still run: the lowest failure must be the one reported. */
            if (i >= n || i > stop_at)
                break;
            tsr_status st = body(ctx, i, lane);
            if (st == TSR_OK)
                continue;
#pragma omp critical(tsr_par_failure)
            if (i < failed_at) {
                failed = st;
                snprintf(sentence, sizeof sentence, "%s", tsr_error());
#pragma omp atomic write
                failed_at = i;
            }
        }
    }
    if (failed != TSR_OK)
        TSR_FAIL(failed, "%s", sentence);
    return TSR_OK;
}

void tsr_par_kernels(size_t n, tsr_par_kernel kernel, void *ctx)
{
    int team = team_size(n);
    if (team <= 1) {
        for (size_t i = 0; i < n; i++)
            kernel(ctx, i, 0);
        return;
    }
    size_t next = 0;
#pragma omp parallel num_threads(team)
    {
        int lane = omp_get_thread_num();
        for (;;) {
            size_t i;
#pragma omp atomic capture
            i = next++;
            if (i >= n)
                break;
            kernel(ctx, i, lane);
        }
    }
}

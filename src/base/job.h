/* SPDX-License-Identifier: Apache-2.0
 * What long work gets from its caller: a place to report progress and a flag that asks it to stop. */
#ifndef TSR_BASE_JOB_H
#define TSR_BASE_JOB_H

#include "base/status.h"

#include <signal.h>
#include <stdint.h>

/* One report. Unknown numbers are negative (total) or NULL (text). */
typedef struct tsr_progress {
    const char *phase; /* "train rgb", "tokenize" */
    int64_t done, total;
    int64_t failed;
    const char *unit; /* "samples", "steps" */
    const char *note; /* short extra text: "loss 0.0123  psnr 24.1  codes 912/1024" */
} tsr_progress;

typedef struct tsr_job {
    /* Called from the thread that runs the work, often; the receiver limits its own rate. NULL: no
     * reports. */
    void (*report)(void *ctx, const tsr_progress *p);
    /* A line that must not be lost (a failed sample, a warning). NULL: dropped. */
    void (*warn)(void *ctx, const char *line);
    void *ctx;
    /* Nonzero: seal or checkpoint what is finished, then return TSR_ECANCEL. May be NULL. */
    const volatile sig_atomic_t *stop;
} tsr_job;

/* Pass a report, or a line that must not be lost, to the receiver. j may be NULL. */
void tsr_job_report(const tsr_job *j, const tsr_progress *p);
void tsr_job_warn(const tsr_job *j, const char *fmt, ...) TSR_PRINTF(2, 3);

/* TSR_ECANCEL once a stop was requested. j may be NULL. */
TSR_USE tsr_status tsr_job_check(const tsr_job *j);

/* Seconds since an arbitrary start, monotonic. */
double tsr_now_s(void);

#endif

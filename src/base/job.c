/* SPDX-License-Identifier: Apache-2.0
 * Progress reports and stop requests. */
#include "base/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void tsr_job_report(const tsr_job *j, const tsr_progress *p)
{
    if (j && j->report)
        j->report(j->ctx, p);
}

void tsr_job_warn(const tsr_job *j, const char *fmt, ...)
{
    if (!j || !j->warn)
        return;
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    j->warn(j->ctx, line);
}

tsr_status tsr_job_check(const tsr_job *j)
{
    if (j && j->stop && *j->stop)
        TSR_FAIL(TSR_ECANCEL, "stopped on request");
    return TSR_OK;
}

double tsr_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

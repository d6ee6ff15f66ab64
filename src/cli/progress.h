/* SPDX-License-Identifier: Apache-2.0
 * Progress of long work on stderr: a bar, lines, JSON lines, or nothing. */
#ifndef TSR_CLI_PROGRESS_H
#define TSR_CLI_PROGRESS_H

#include "base/job.h"

#include <stdio.h>

/* In the order of the words of TSR_OPTION_PROGRESS. */
typedef enum tsr_progress_style {
    TSR_PROGRESS_AUTO, /* bar when stderr is a terminal, else lines */
    TSR_PROGRESS_BAR,
    TSR_PROGRESS_LINE,
    TSR_PROGRESS_JSON, /* {"phase","done","total","failed","rate","eta_s","note"} */
    TSR_PROGRESS_NONE,
} tsr_progress_style;

typedef struct tsr_meter {
    FILE *out;
    tsr_progress_style style;
    int colour, columns;
    int bar_shown;
    char phase[64];
    double start_s, last_s; /* of this phase */
    int64_t first, shown;   /* done at the first report of the phase, and in the last line shown */
    tsr_progress latest;    /* text members are not kept */
} tsr_meter;

/* Prepare a meter on stderr and a job that reports to it and stops on SIGINT and SIGTERM. The job
 * borrows the meter. */
void tsr_meter_init(tsr_meter *m, tsr_progress_style style, tsr_job *job);

/* Show a report now, whatever the time since the last one. For tests and last reports. */
void tsr_meter_show(tsr_meter *m, const tsr_progress *p);

/* Shows the last report if it was held back, and ends the bar's line. */
void tsr_meter_finish(tsr_meter *m);

/* "1.2k", "3.4M": a number in at most five characters. */
void tsr_short_number(double x, char text[16]);

/* "4:05", "1:02:03". */
void tsr_short_time(double seconds, char text[16]);

#endif

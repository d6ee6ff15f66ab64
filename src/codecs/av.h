/* SPDX-License-Identifier: Apache-2.0
 * FFmpeg's log and error codes, turned into our sentences. Inside codecs/ only. */
#ifndef TSR_CODECS_AV_H
#define TSR_CODECS_AV_H

#include "base/status.h"

/* Before every use of FFmpeg: takes over its log (once in the process) and forgets the lines kept
 * for this thread. */
void tsr_av_begin(void);

/* The last line FFmpeg logged as an error on this thread since tsr_av_begin, without its line end;
 * "" if none. Borrowed until the next one. */
const char *tsr_av_line(void);

/* A failure "NAME: WHAT: reason" from an FFmpeg error code and the line above. Out of memory gives
 * TSR_ENOMEM, an oversized picture TSR_ELIMIT, a missing decoder TSR_EUNSUPPORTED, else
 * TSR_EFORMAT. */
tsr_status tsr_av_fail(int code, const char *name, const char *what);

#endif

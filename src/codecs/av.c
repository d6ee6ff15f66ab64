/* SPDX-License-Identifier: Apache-2.0
 * FFmpeg's log goes into a line per thread, its errors into our sentences. */
#include "codecs/av.h"

#include <libavutil/error.h>
#include <libavutil/log.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char line[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void keep_line(void *who, int level, const char *fmt, va_list ap)
{
    (void)who;
    if (level > AV_LOG_ERROR)
        return;
    char fresh[sizeof line];
    vsnprintf(fresh, sizeof fresh, fmt, ap);
    fresh[strcspn(fresh, "\r\n")] = '\0';
    if (fresh[0])
        memcpy(line, fresh, sizeof line);
}

static void take_log(void)
{
    av_log_set_callback(keep_line);
}

void tsr_av_begin(void)
{
    pthread_once(&once, take_log);
    line[0] = '\0';
}

const char *tsr_av_line(void)
{
    return line;
}

tsr_status tsr_av_fail(int code, const char *name, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    if (code == AVERROR(ENOMEM))
        TSR_FAIL(TSR_ENOMEM, "%s: %s: out of memory", name, what);
    tsr_status kind = TSR_EFORMAT;
    if (code == AVERROR_DECODER_NOT_FOUND || code == AVERROR_PATCHWELCOME)
        kind = TSR_EUNSUPPORTED;
    if (strstr(line, "Picture size"))
        kind = TSR_ELIMIT;
    if (line[0])
        TSR_FAIL(kind, "%s: %s: %s (%s)", name, what, line, text);
    TSR_FAIL(kind, "%s: %s: %s", name, what, text);
}

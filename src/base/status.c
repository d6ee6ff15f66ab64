/* SPDX-License-Identifier: Apache-2.0
 * The per-thread error sentence. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_BYTES 1024

static _Thread_local char sentence[SENTENCE_BYTES];
static _Thread_local char where[96];

static const struct {
    tsr_status code;
    const char *name;
} names[] = {
    {TSR_OK, "OK"},
    {TSR_EARG, "EARG"},
    {TSR_ECONFIG, "ECONFIG"},
    {TSR_ENOMEM, "ENOMEM"},
    {TSR_EIO, "EIO"},
    {TSR_ENOENT, "ENOENT"},
    {TSR_ECANCEL, "ECANCEL"},
    {TSR_EFORMAT, "EFORMAT"},
    {TSR_EUNSUPPORTED, "EUNSUPPORTED"},
    {TSR_EMISMATCH, "EMISMATCH"},
    {TSR_ENUMERIC, "ENUMERIC"},
    {TSR_ELIMIT, "ELIMIT"},
};

const char *tsr_status_name(tsr_status code)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == code)
            return names[i].name;
    return "E?";
}

const char *tsr_error(void)
{
    return sentence;
}

const char *tsr_error_where(void)
{
    return where;
}

tsr_status tsr_fail_at(tsr_status code, const char *file, int line, const char *fmt, ...)
{
    /* The arguments may point into the current sentence, so format aside first. */
    char fresh[SENTENCE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    memcpy(sentence, fresh, sizeof sentence);
    snprintf(where, sizeof where, "%s:%d", file, line);
    return code;
}

tsr_status tsr_context(tsr_status code, const char *fmt, ...)
{
    char fresh[SENTENCE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof fresh)
        return code;
    strncat(fresh, ": ", sizeof fresh - 1 - (size_t)n);
    strncat(fresh, sentence, sizeof fresh - 1 - strlen(fresh));
    memcpy(sentence, fresh, sizeof sentence);
    return code;
}

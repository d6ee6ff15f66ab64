/* SPDX-License-Identifier: Apache-2.0
 * What ml-4m's loader has to be told: names and reasons. */
#include "nn/publish.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tsr_renamed(const tsr_renames *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->items[i].from, name) == 0)
            return r->items[i].to;
    return name;
}

void tsr_publish_clear(tsr_publish *p)
{
    json_decref(p->config);
    json_decref(p->reasons);
    tsr_str_clear(&p->code);
    *p = (tsr_publish){0};
}

tsr_status tsr_publish_refuse(tsr_publish *p, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!p->reasons)
        p->reasons = json_array();
    return tsr_json_append(p->reasons, json_string(text));
}

/* SPDX-License-Identifier: Apache-2.0
 * Names of files that are made from keys. */
#include "pipeline/outname.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define MAX_STEM 180 /* file systems take 255 bytes for the whole name */

tsr_status tsr_out_name(const char *folder, const char *key, const char *middle,
                        const char *extension, char **out)
{
    char *stem = NULL, *name = NULL;
    tsr_status st;
    key += strspn(key, "./");
    const char *ending = tsr_path_extension(key);
    size_t n = *ending ? strlen(key) - strlen(ending) - 1 : strlen(key);
    if (n > MAX_STEM) {
        key += n - MAX_STEM;
        n = MAX_STEM;
    }
    TSR_GO(tsr_strndup(&stem, n ? key : "unnamed", n ? n : 7));
    for (char *p = stem; *p; p++)
        if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7F)
            *p = '_';
    TSR_GO(tsr_format(&name, "%s.%s.%s", stem, middle, extension));
    TSR_GO(tsr_path_join(out, folder, name));
out:
    tsr_free(stem);
    tsr_free(name);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Crops from the command line. */
#include "cli/cropping.h"

#include <stdlib.h>
#include <string.h>

/* "0,80,480,480,1" */
static tsr_status parse(const char *value, tsr_crop *out)
{
    long v[5] = {0};
    const char *p = value;
    size_t n = 0;
    for (;; p++) {
        char *end;
        long x = strtol(p, &end, 10);
        if (end == p || n == 5 || x < -1000000 || x > 1000000)
            break;
        v[n++] = x;
        p = end;
        if (*p != ',')
            break;
    }
    if (*p || n < 4 || v[2] < 1 || v[3] < 1 || v[4] < 0 || v[4] > 1)
        TSR_FAIL(TSR_EARG,
                 "--crop %s: expected TOP,LEFT,HEIGHT,WIDTH[,FLIP] with a height and width above 0 "
                 "and FLIP 0 or 1, or a .npy file",
                 value);
    *out = (tsr_crop){(int32_t)v[0], (int32_t)v[1], (int32_t)v[2], (int32_t)v[3], (int32_t)v[4]};
    return TSR_OK;
}

tsr_status tsr_cropping_read(const char *value, tsr_cropping *out)
{
    tsr_crop crops[TSR_MAX_CROPS];
    size_t n = 0;
    out->count = 0;
    out->stored = value && strspn(value, "-0123456789, ") != strlen(value);
    if (!value)
        return TSR_OK;
    if (out->stored) {
        TSR_TRY(tsr_crops_read(value, crops, &n));
    } else {
        TSR_TRY(parse(value, &crops[0]));
        n = 1;
    }
    for (size_t i = 0; i < n; i++)
        out->views[i] = (tsr_view){.crop = crops[i]};
    out->count = n;
    return TSR_OK;
}

tsr_inputs tsr_cropping_inputs(const tsr_cropping *c, size_t i, const char *from)
{
    return (tsr_inputs){.view = c->count ? &c->views[i] : NULL, .from = from, .crop = i};
}

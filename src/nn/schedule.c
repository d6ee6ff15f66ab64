/* SPDX-License-Identifier: Apache-2.0
 * Learning rates. */
#include "nn/schedule.h"

#include <math.h>
#include <string.h>

tsr_status tsr_schedule_parse(const char *name, tsr_schedule_kind *out)
{
    if (strcmp(name, "constant") == 0)
        *out = TSR_SCHEDULE_CONSTANT;
    else if (strcmp(name, "cosine") == 0)
        *out = TSR_SCHEDULE_COSINE;
    else
        TSR_FAIL(TSR_ECONFIG, "schedule \"%.64s\" is not known: constant, cosine", name);
    return TSR_OK;
}

tsr_status tsr_schedule_check(const tsr_schedule *s)
{
    if (!(s->peak >= 0 && s->floor >= 0) || !isfinite(s->peak) || !isfinite(s->floor))
        TSR_FAIL(TSR_ECONFIG, "learning rates %g and %g must be finite and not negative", s->peak,
                 s->floor);
    if (s->warmup > s->total)
        TSR_FAIL(TSR_ECONFIG, "warm-up of %llu steps is longer than the run of %llu",
                 (unsigned long long)s->warmup, (unsigned long long)s->total);
    return TSR_OK;
}

double tsr_schedule_at(const tsr_schedule *s, uint64_t step)
{
    if (step < s->warmup)
        return s->warmup > 1 ? s->peak * (double)step / (double)(s->warmup - 1) : 0;
    if (s->kind == TSR_SCHEDULE_CONSTANT)
        return s->peak;
    if (step >= s->total)
        return s->floor;
    double at = (double)(step - s->warmup) / (double)(s->total - s->warmup);
    return s->floor + (s->peak - s->floor) * (1 + cos(3.14159265358979323846 * at)) / 2;
}

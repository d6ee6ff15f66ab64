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
    else if (strcmp(name, "inverse_sqrt") == 0)
        *out = TSR_SCHEDULE_INVERSE_SQRT;
    else
        TSR_FAIL(TSR_ECONFIG, "schedule \"%.64s\" is not known: constant, cosine, inverse_sqrt",
                 name);
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
    if (s->cooldown > s->total - s->warmup)
        TSR_FAIL(TSR_ECONFIG, "warm-up and cool-down of %llu and %llu steps in a run of %llu",
                 (unsigned long long)s->warmup, (unsigned long long)s->cooldown,
                 (unsigned long long)s->total);
    if (s->cooldown && s->kind == TSR_SCHEDULE_COSINE)
        TSR_FAIL(TSR_ECONFIG, "a cosine has no cool-down: it ends at the floor itself");
    if (s->kind == TSR_SCHEDULE_INVERSE_SQRT && !(s->tau > 0 && isfinite(s->tau)))
        TSR_FAIL(TSR_ECONFIG, "inverse_sqrt: tau %g is not above 0", s->tau);
    return TSR_OK;
}

/* Without the cool-down. */
static double plain_rate(const tsr_schedule *s, uint64_t step)
{
    if (step < s->warmup)
        return s->warmup > 1 ? s->peak * (double)step / (double)(s->warmup - 1) : 0;
    if (s->kind == TSR_SCHEDULE_INVERSE_SQRT)
        return s->peak / sqrt(((double)(step - s->warmup) + s->tau) / s->tau);
    return s->peak;
}

double tsr_schedule_at(const tsr_schedule *s, uint64_t step)
{
    uint64_t steps = s->kind == TSR_SCHEDULE_COSINE ? 0 : s->cooldown;
    if (steps && step >= s->total)
        return s->floor;
    if (steps && step >= s->total - steps) {
        uint64_t first = s->total - steps;
        double from = plain_rate(s, first ? first - 1 : 0);
        double at = steps > 1 ? (double)(step - first) / (double)(steps - 1) : 1;
        return from + (s->floor - from) * at;
    }
    if (s->kind != TSR_SCHEDULE_COSINE || step < s->warmup)
        return plain_rate(s, step);
    if (step >= s->total)
        return s->floor;
    double at = (double)(step - s->warmup) / (double)(s->total - s->warmup);
    return s->floor + (s->peak - s->floor) * (1 + cos(3.14159265358979323846 * at)) / 2;
}

/* SPDX-License-Identifier: Apache-2.0
 * What must hold of a policy and its model before anything is masked. */
#include "trainer/policy.h"

static const char *const side_names[] = {"inputs", "targets"};

static tsr_status check_mod(const tsr_policy *p, size_t m, const char *origin)
{
    const tsr_mod *mod = &p->mods.items[m];
    uint64_t cells = (uint64_t)mod->height * mod->width;
    if (mod->cls == TSR_CLASS_SEQUENCE) {
        if (!mod->max_tokens || mod->max_tokens > TSR_BUDGET_MOST || !mod->positions)
            TSR_FAIL(TSR_ECONFIG, "%s: the longest '%s' has %u tokens, expected 1 to %u", origin,
                     mod->name, mod->max_tokens, TSR_BUDGET_MOST);
        if (mod->vocabulary < TSR_ID_SENTINEL + TSR_ID_SENTINELS)
            TSR_FAIL(TSR_ECONFIG,
                     "%s: the vocabulary of '%s' has %u entries, which leaves no room "
                     "for the %d sentinels",
                     origin, mod->name, mod->vocabulary, TSR_ID_SENTINELS);
        return TSR_OK;
    }
    if (!cells || !mod->places || mod->places % cells || mod->places > TSR_BUDGET_MOST)
        TSR_FAIL(TSR_ECONFIG, "%s: '%s' has %u places on a grid of %u x %u", origin, mod->name,
                 mod->places, mod->height, mod->width);
    if (mod->cls == TSR_CLASS_PIXELS && (!mod->patch_values || mod->patch_values > TSR_BUDGET_MOST))
        TSR_FAIL(TSR_ECONFIG, "%s: patches of '%s' have %u values", origin, mod->name,
                 mod->patch_values);
    return TSR_OK;
}

/* Somebody must be a target; that nobody is an input may be wanted. */
static tsr_status check_targets(const tsr_policy *p, size_t k, const char *origin)
{
    for (size_t m = 0; m < p->mods.count; m++)
        if (p->components[k].alpha[TSR_SIDE_OUT][m] > 0)
            return TSR_OK;
    TSR_FAIL(TSR_ECONFIG, "%s: mask.components.%zu: no modality of the model can be a target",
             origin, k);
}

static tsr_status check_side(const tsr_policy *p, const tsr_component *c, int side,
                             const char *origin)
{
    uint64_t floors = 0;
    int rest = side == TSR_SIDE_OUT && c->rest;
    for (size_t m = 0; m < p->mods.count; m++) {
        const tsr_mod *mod = &p->mods.items[m];
        if (c->alpha[side][m] <= 0)
            continue;
        if (!p->compat && p->grid[m] == TSR_GRID_WHOLE && mod->places > c->most[side] && !rest)
            TSR_FAIL(TSR_ECONFIG,
                     "%s: '%s' is masked as a whole and has %u places, but there are at "
                     "most %u %s; give it concentration 0 there or raise mask.totals",
                     origin, mod->name, mod->places, c->most[side], side_names[side]);
        floors += p->floor[side][m];
    }
    if (floors > c->least[side] && !rest)
        TSR_FAIL(TSR_ECONFIG,
                 "%s: the floors of mask.limits.%s sum to %llu, but mask.totals go down "
                 "to %u",
                 origin, side_names[side], (unsigned long long)floors, c->least[side]);
    return TSR_OK;
}

/* What the reference has not cannot be compatible with it. */
static tsr_status check_compat(const tsr_policy *p, const char *origin)
{
    for (size_t m = 0; m < p->mods.count; m++)
        for (int side = 0; side < TSR_SIDES; side++)
            if (p->floor[side][m] || p->cap[side][m] != UINT32_MAX || p->grid[m] == TSR_GRID_WHOLE)
                TSR_FAIL(TSR_ECONFIG, "%s: mask.compat excludes mask.limits and whole grids ('%s')",
                         origin, p->mods.items[m].name);
    for (size_t k = 0; k < p->n_components; k++)
        if (p->components[k].subset_most[TSR_SIDE_IN] || p->components[k].subset_most[TSR_SIDE_OUT])
            TSR_FAIL(TSR_ECONFIG, "%s: mask.compat excludes mask.subset", origin);
    return TSR_OK;
}

tsr_status tsr_policy_check(const tsr_policy *p, const char *origin)
{
    if (!p->mods.count)
        TSR_FAIL(TSR_ECONFIG, "%s: the model has no modalities to mask", origin);
    for (size_t m = 0; m < p->mods.count; m++)
        TSR_TRY(check_mod(p, m, origin));
    for (size_t k = 0; k < p->n_components; k++) {
        TSR_TRY(check_targets(p, k, origin));
        for (int side = 0; side < TSR_SIDES; side++)
            TSR_TRY(check_side(p, &p->components[k], side, origin));
    }
    return p->compat ? check_compat(p, origin) : TSR_OK;
}

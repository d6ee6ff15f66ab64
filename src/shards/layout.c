/* SPDX-License-Identifier: Apache-2.0
 * Limits, names and shapes of token files. */
#include "shards/layout.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* Patches have values, not codes: no range, and nothing of them is free but grid and patch size. */
static tsr_status check_patches(const tsr_token_space *s, const char *origin)
{
    if (tsr_space_patch(s) == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: %u levels are not the bytes of a square RGB patch (P x P x %u)",
                 origin, s->levels, TSR_PATCH_CHANNELS);
    if (s->codebook_size != TSR_PATCH_VALUES || s->base != 0 || s->vocabulary[0])
        TSR_FAIL(TSR_EFORMAT,
                 "%s: patches have codebook size %u, base 0 and no vocabulary; here are %u, %u and "
                 "\"%s\"",
                 origin, TSR_PATCH_VALUES, s->codebook_size, s->base, s->vocabulary);
    return TSR_OK;
}

tsr_status tsr_shard_info_check(const tsr_shard_info *info, const char *origin)
{
    const tsr_token_space *s = &info->space;
    size_t ids;
    if (!tsr_modality_name_ok(s->modality) || strcmp(s->modality, "keys") == 0)
        TSR_FAIL(TSR_EFORMAT, "%s: \"%s\" cannot be the name of a modality", origin, s->modality);
    if (info->samples < 1 || info->samples > TSR_SHARD_MAX_ROWS || info->crops < 1 ||
        info->crops > TSR_SHARD_MAX_CROPS || info->samples * info->crops > TSR_SHARD_MAX_ROWS)
        TSR_FAIL(TSR_ELIMIT,
                 "%s: %llu samples of %u crops; 1 to %u rows and at most %u crops are "
                 "allowed",
                 origin, (unsigned long long)info->samples, info->crops, TSR_SHARD_MAX_ROWS,
                 TSR_SHARD_MAX_CROPS);
    if (s->codebook_size < 1 || s->base > UINT32_MAX - s->codebook_size)
        TSR_FAIL(TSR_EFORMAT, "%s: %u codes from base %u do not fit in 32 bits", origin,
                 s->codebook_size, s->base);
    if (s->layout == TSR_LAYOUT_SEQUENCE && (s->height != 1 || s->width != 1 || s->levels != 1))
        TSR_FAIL(TSR_EFORMAT, "%s: a sequence has grid 1, 1 and one level", origin);
    if (s->layout == TSR_LAYOUT_PATCHES)
        TSR_TRY(check_patches(s, origin));
    TSR_TRY(tsr_mul_size(s->height, s->width, &ids));
    TSR_TRY(tsr_mul_size(ids, s->levels, &ids));
    if (ids < 1 || ids > TSR_SHARD_MAX_ROW)
        TSR_FAIL(TSR_ELIMIT, "%s: a grid of %u x %u places and %u levels; 1 to %u ids are allowed",
                 origin, s->height, s->width, s->levels, TSR_SHARD_MAX_ROW);
    return TSR_OK;
}

size_t tsr_grid_ids(const tsr_token_space *s)
{
    return (size_t)s->height * s->width * s->levels;
}

size_t tsr_id_bytes(const tsr_token_space *s)
{
    if (s->layout == TSR_LAYOUT_PATCHES)
        return 1;
    return s->codebook_size <= 65536 ? 2 : 4;
}

int tsr_grid_shape(const tsr_shard_info *info, uint64_t dims[4])
{
    int n = 0;
    dims[n++] = info->samples;
    if (info->crops > 1)
        dims[n++] = info->crops;
    dims[n++] = (uint64_t)info->space.height * info->space.width;
    if (info->space.levels > 1)
        dims[n++] = info->space.levels;
    return n;
}

tsr_status tsr_shard_name(const char *modality, uint32_t shard, char **out)
{
    return tsr_format(out, "%s-%05u.h5", modality, shard);
}

/* SPDX-License-Identifier: Apache-2.0
 * Tokens and crops that another program left in files: checked as what comes from strangers. */
#include "pipeline/crops.h"
#include "pipeline/tokenize_plan.h"

#include <string.h>

/* --- crops ----------------------------------------------------------------------------------- */

static int all_zero(const tsr_media *m)
{
    for (size_t i = 0; m->kind == TSR_MEDIA_VECTOR && i < m->as.vector.count; i++)
        if (m->as.vector.data[i] != 0)
            return 0;
    return m->kind == TSR_MEDIA_VECTOR;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The smallest picture that crop 0 is the centred square of, if it is one, and that holds all. */
static void size_around(const tsr_crop *crop, size_t n, uint32_t size[2])
{
    int square = crop->height == crop->width && (crop->top == 0 || crop->left == 0);
    size_t h = square ? 2 * (size_t)crop->top + (size_t)crop->height : 0;
    size_t w = square ? 2 * (size_t)crop->left + (size_t)crop->width : 0;
    for (size_t c = 0; c < n; c++) {
        h = larger(h, (size_t)crop[c].top + (size_t)crop[c].height);
        w = larger(w, (size_t)crop[c].left + (size_t)crop[c].width);
    }
    size[0] = (uint32_t)h;
    size[1] = (uint32_t)w;
}

tsr_status tsr_stored_crops(const tsr_media *m, const char *origin, size_t count, tsr_crop *crop,
                            uint32_t size[2])
{
    tsr_crop rows[TSR_MAX_CROPS];
    size_t n;
    if (all_zero(m) && m->as.vector.dims == 2 && m->as.vector.shape[0] >= count) {
        memset(crop, 0, count * sizeof *crop);
        size[0] = size[1] = 0;
        return TSR_OK;
    }
    TSR_TRY(tsr_crops_of_array(m, origin, rows, &n));
    if (n < count)
        TSR_FAIL(TSR_EFORMAT, "%s: has %zu crops, the corpus has %zu of each sample", origin, n,
                 count);
    for (size_t c = 0; c < count; c++) {
        size_t h = (size_t)rows[c].top + (size_t)rows[c].height;
        size_t w = (size_t)rows[c].left + (size_t)rows[c].width;
        if (rows[c].top < 0 || rows[c].left < 0 || (size[0] && (h > size[0] || w > size[1])))
            TSR_FAIL(TSR_EFORMAT, "%s: crop %zu is not inside its picture", origin, c);
    }
    memcpy(crop, rows, count * sizeof *crop);
    if (!size[0])
        size_around(crop, count, size);
    return TSR_OK;
}

/* --- tokens ---------------------------------------------------------------------------------- */

static tsr_status check_shape(const tsr_integers *v, const tsr_token_space *s, uint32_t crops,
                              const char *origin)
{
    size_t tokens = (size_t)s->height * s->width * s->levels;
    size_t rows = v->dims > 1 ? v->shape[0] : 1;
    if (rows < crops)
        TSR_FAIL(TSR_EFORMAT, "%s: has tokens of %zu crops, expected %u", origin, rows, crops);
    if (v->count != rows * tokens)
        TSR_FAIL(TSR_EFORMAT, "%s: has %zu tokens of a crop, its tokenizer makes %zu", origin,
                 v->count / rows, tokens);
    return TSR_OK;
}

/* One crop. Files have the codes of one codebook together, we those of one place. */
static tsr_status take_crop(const int64_t *v, const tsr_token_space *s, const char *origin,
                            uint32_t crop, uint32_t *ids)
{
    size_t places = (size_t)s->height * s->width;
    for (size_t i = 0; i < places * s->levels; i++) {
        if (v[i] < 0 || v[i] >= (int64_t)s->codebook_size)
            TSR_FAIL(TSR_EFORMAT, "%s: token %zu of crop %u is %lld, expected 0 to %u%s", origin, i,
                     crop, (long long)v[i], s->codebook_size - 1,
                     v[i] < 0 && s->codebook_size > 32768 ? " (written with too few bits)" : "");
        ids[i % places * s->levels + i / places] = (uint32_t)v[i];
    }
    return TSR_OK;
}

tsr_status tsr_stored_tokens(const tsr_media *m, const char *origin, const tsr_token_space *s,
                             uint32_t crops, tsr_tokens *out)
{
    size_t tokens = (size_t)s->height * s->width * s->levels;
    if (m->kind != TSR_MEDIA_INTEGERS)
        TSR_FAIL(TSR_EFORMAT, "%s: tokens are read from .npy files of whole numbers, not from %s",
                 origin, tsr_media_name(m->kind));
    TSR_TRY(check_shape(&m->as.integers, s, crops, origin));
    for (uint32_t c = 0; c < crops; c++) {
        TSR_TRY(tsr_tokens_init(&out[c], tokens));
        TSR_TRY(take_crop(m->as.integers.data + c * tokens, s, origin, c, out[c].ids));
    }
    return TSR_OK;
}

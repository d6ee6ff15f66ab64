/* SPDX-License-Identifier: Apache-2.0
 * The table of quantizers. */
#include "vqvae/quantizer.h"

#include "base/mem.h"
#include "vqvae/quant_kinds.h"

#include <string.h>

static const tsr_quantizer_kind *const kinds[] = {
    &tsr_quant_ema,
    &tsr_quant_memcodes,
    &tsr_quant_fsq,
};

tsr_status tsr_quantizer_find(const char *quant_type, const tsr_quantizer_kind **out)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i]->name, quant_type) == 0) {
            *out = kinds[i];
            return TSR_OK;
        }
    }
    TSR_FAIL(TSR_EUNSUPPORTED, "quant_type \"%.64s\" is not known: lucid, memcodes, fsq",
             quant_type);
}

tsr_status tsr_quantizer_create(const tsr_vqvae_config *c, const tsr_params *ps,
                                tsr_quantizer **out)
{
    tsr_status st = TSR_OK;
    tsr_quantizer *q;
    TSR_TRY(tsr_alloc(&q, 1, sizeof *q));
    q->config = *c;
    TSR_GO(tsr_quantizer_find(c->quant_type, &q->kind));
    TSR_GO(q->kind->bind(q, ps));
    TSR_GO(q->kind->refresh(q));
    *out = q;
    q = NULL;
out:
    tsr_quantizer_destroy(q);
    return st;
}

void tsr_quantizer_destroy(tsr_quantizer *q)
{
    if (!q)
        return;
    if (q->kind)
        q->kind->unbind(q);
    tsr_free(q);
}

tsr_status tsr_quantizer_check_ids(const tsr_quantizer *q, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= q->codes)
            TSR_FAIL(TSR_EFORMAT, "code %d at position %zu is not in a codebook of %zu", ids[i], i,
                     q->codes);
    return TSR_OK;
}

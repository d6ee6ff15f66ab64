/* SPDX-License-Identifier: Apache-2.0
 * Storage of examples. */
#include "trainer/example.h"

#include "base/mem.h"

#include <string.h>

tsr_status tsr_example_init(tsr_example *e, const tsr_mods *mods, size_t rows, size_t patch_bytes)
{
    tsr_status st;
    *e = (tsr_example){.modalities = mods->count, .bytes_cap = patch_bytes};
    TSR_GO(tsr_mul_size(rows, 3, &e->pool_cap));
    TSR_GO(tsr_alloc(&e->in, mods->count, sizeof *e->in));
    TSR_GO(tsr_alloc(&e->out, mods->count, sizeof *e->out));
    TSR_GO(tsr_alloc(&e->pool, e->pool_cap, sizeof *e->pool));
    TSR_GO(tsr_alloc(&e->bytes, patch_bytes, 1));
    return TSR_OK;
out:
    tsr_example_clear(e);
    return st;
}

void tsr_example_clear(tsr_example *e)
{
    if (!e)
        return;
    tsr_free(e->in);
    tsr_free(e->out);
    tsr_free(e->pool);
    tsr_free(e->bytes);
    *e = (tsr_example){0};
}

void tsr_example_reset(tsr_example *e)
{
    memset(e->in, 0, e->modalities * sizeof *e->in);
    memset(e->out, 0, e->modalities * sizeof *e->out);
    e->pool_used = e->bytes_used = 0;
}

tsr_status tsr_example_rows(tsr_example *e, tsr_rows *r, uint32_t count)
{
    size_t need = 3 * (size_t)count;
    if (need > e->pool_cap - e->pool_used)
        TSR_FAIL(TSR_ELIMIT, "%u more rows do not fit an example of %zu", count, e->pool_cap / 3);
    r->count = count;
    r->ids = e->pool + e->pool_used;
    r->positions = r->ids + count;
    r->labels = r->positions + count;
    e->pool_used += need;
    return TSR_OK;
}

static size_t total(const tsr_rows *rows, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += rows[i].count;
    return sum;
}

size_t tsr_example_inputs(const tsr_example *e)
{
    return total(e->in, e->modalities);
}

size_t tsr_example_targets(const tsr_example *e)
{
    return total(e->out, e->modalities);
}

/* SPDX-License-Identifier: Apache-2.0
 * Open addressing with linear probing; never more than half full. */
#include "tokenizers/textmap.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

typedef struct tsr_textmap_slot slot;

/* The slot of a key, or the free one where it belongs. */
static slot *probe(const tsr_textmap *m, const char *key, size_t bytes, uint64_t hash)
{
    size_t i = (size_t)hash & (m->cap - 1);
    for (;; i = (i + 1) & (m->cap - 1)) {
        slot *s = &m->slots[i];
        if (!s->key)
            return s;
        if (s->hash == hash && s->bytes == bytes && memcmp(s->key, key, bytes) == 0)
            return s;
    }
}

uint32_t *tsr_textmap_get(const tsr_textmap *m, const char *key, size_t bytes)
{
    if (m->cap == 0)
        return NULL;
    slot *s = probe(m, key, bytes, tsr_hash(key, bytes).lo);
    return s->key ? &s->value : NULL;
}

static tsr_status enlarge(tsr_textmap *m)
{
    tsr_textmap big = {.cap = m->cap ? m->cap * 2 : 64, .count = m->count};
    TSR_TRY(tsr_alloc(&big.slots, big.cap, sizeof *big.slots));
    for (size_t i = 0; i < m->cap; i++) {
        const slot *s = &m->slots[i];
        if (s->key)
            *probe(&big, s->key, s->bytes, s->hash) = *s;
    }
    tsr_free(m->slots);
    *m = big;
    return TSR_OK;
}

tsr_status tsr_textmap_put(tsr_textmap *m, const char *key, size_t bytes, uint32_t value)
{
    if (bytes > UINT32_MAX)
        TSR_FAIL(TSR_ELIMIT, "a word of %zu bytes", bytes);
    if (2 * (m->count + 1) > m->cap)
        TSR_TRY(enlarge(m));
    uint64_t hash = tsr_hash(key, bytes).lo;
    slot *s = probe(m, key, bytes, hash);
    m->count += s->key == NULL;
    *s = (slot){key, (uint32_t)bytes, value, hash};
    return TSR_OK;
}

void tsr_textmap_clear(tsr_textmap *m)
{
    tsr_free(m->slots);
    *m = (tsr_textmap){0};
}

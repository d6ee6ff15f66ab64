/* SPDX-License-Identifier: Apache-2.0
 * A hash map from byte strings to 32-bit numbers. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_TEXTMAP_H
#define TSR_TOKENIZERS_TEXTMAP_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Keys are borrowed and must live as long as the map. Start with {0}. */
typedef struct tsr_textmap {
    struct tsr_textmap_slot {
        const char *key; /* NULL: free */
        uint32_t bytes, value;
        uint64_t hash;
    } *slots;
    size_t count, cap; /* cap: a power of two, or 0 */
} tsr_textmap;

/* Value of a key, or NULL; valid until the next put. */
uint32_t *tsr_textmap_get(const tsr_textmap *m, const char *key, size_t bytes);

/* Set the value of a key that is new or not. */
TSR_USE tsr_status tsr_textmap_put(tsr_textmap *m, const char *key, size_t bytes, uint32_t value);

void tsr_textmap_clear(tsr_textmap *m);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tokenizer.json. What loads must encode and decode. */
#include "fuzz.h"

#include "base/mem.h"
#include "tokenizers/text.h"

#include <stdlib.h>

#define NAME "fuzz.json"

static void use(const tsr_text *t)
{
    static const char text[] = "A photo, <m> [UNK] ab abab a\xCC\x81 \xE4\xB8\xAD 123's  \r\n x";
    tsr_tokens ids = {0};
    char *back = NULL;
    tsr_status st = tsr_text_encode(t, text, sizeof text - 1, &ids);
    fuzz_need_sentence(st, "");
    if (st == TSR_OK) {
        for (size_t i = 0; i < ids.count; i++)
            if (ids.ids[i] >= tsr_text_size(t))
                abort();
        fuzz_need_sentence(tsr_text_decode(t, ids.ids, ids.count, &back, NULL), "");
    }
    tsr_free(back);
    tsr_tokens_clear(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL;
    tsr_text *t = NULL;
    tsr_status st = tsr_json_parse((const char *)data, size, NAME, &value);
    if (st == TSR_OK)
        st = tsr_text_from_json(value, NAME, &t);
    fuzz_need_sentence(st, NAME);
    if (st == TSR_OK)
        use(t);
    tsr_text_destroy(t);
    json_decref(value);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    return fuzz_change_text(data, size, max, &x);
}

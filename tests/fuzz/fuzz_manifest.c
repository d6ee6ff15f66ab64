/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: manifest.json of a corpus. What opens is written again and opens once more. */
#include "fuzz.h"

#include "base/json.h"
#include "shards/manifest.h"

#include <stdlib.h>

#define NAME "fuzz/manifest.json"

static tsr_status read(const json_t *value, tsr_manifest *m)
{
    tsr_status st = tsr_manifest_from_json(value, NAME, m);
    fuzz_need_sentence(st, NAME);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *again = NULL;
    tsr_manifest m = {0}, back = {0};
    tsr_status st = tsr_json_parse((const char *)data, size, NAME, &value);
    fuzz_need_sentence(st, NAME);
    if (st == TSR_OK && read(value, &m) == TSR_OK) {
        fuzz_need_sentence(tsr_manifest_to_json(&m, &again), "");
        if (again && read(again, &back) != TSR_OK)
            abort();
    }
    tsr_manifest_clear(&m);
    tsr_manifest_clear(&back);
    json_decref(value);
    json_decref(again);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    return fuzz_change_text(data, size, max, &x);
}

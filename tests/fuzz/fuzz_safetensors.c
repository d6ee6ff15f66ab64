/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: safetensors files. Every value of what opens is read. */
#include "fuzz.h"

#include "nn/safetensors.h"

static volatile unsigned sink;

static void read_all(const tsr_safetensors *f)
{
    for (size_t i = 0; i < tsr_safetensors_count(f); i++) {
        const tsr_stored *t = tsr_safetensors_at(f, i);
        const unsigned char *p = t->data;
        for (size_t k = 0; k < t->count * tsr_dtype_bytes(t->dtype); k++)
            sink += p[k];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsr_safetensors *f = NULL;
    const char *name = fuzz_file(data, size, "safetensors");
    tsr_status st = tsr_safetensors_open(name, &f);
    fuzz_need_sentence(st, name);
    if (st == TSR_OK)
        read_all(f);
    tsr_safetensors_close(f);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return fuzz_change_safetensors(data, size, max, seed);
}

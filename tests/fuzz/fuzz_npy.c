/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: .npy files, read as pictures, as depth and as vectors. */
#include "fuzz.h"

#include "codecs/codec.h"

#define NAME "fuzz.npy"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const tsr_read_options ways[] = {{0}, {.as_vector = 1}, {.depth = {.scale_m = 0.001}}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        tsr_media m = {0};
        tsr_status st = tsr_media_read_memory(NAME, data, size, &ways[i], &m);
        fuzz_need_sentence(st, NAME);
        if (st == TSR_OK)
            tsr_media_clear(&m);
    }
    return 0;
}

/* The header is changed and its length told again. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    int wide = size > 12 && data[6] > 1;
    size_t at = wide ? 12 : 10, n;
    if (size < 12 || fuzz_below(&x, 8) == 0)
        return fuzz_change_bytes(data, size, max, &x);
    n = data[8] | (size_t)data[9] << 8;
    if (n > size - at)
        return fuzz_change_bytes(data, size, max, &x);
    size_t now = fuzz_change_inside(data, size, max, at, n, &x);
    n += now - size;
    fuzz_put(data + 8, n, wide ? 4 : 2, 0);
    return now;
}

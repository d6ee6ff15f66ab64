/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: safetensors files. Every value of what opens is read. */
#include "fuzz.h"

#include "nn/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    char name[64];
    tsr_safetensors *f = NULL;
    snprintf(name, sizeof name, "/tmp/tessera-fuzz-%ld", (long)getpid());
    FILE *file = fopen(name, "wb");
    if (!file)
        return 0;
    fwrite(data, 1, size, file);
    fclose(file);
    tsr_status st = tsr_safetensors_open(name, &f);
    if (st == TSR_OK)
        read_all(f);
    else if (tsr_error()[0] == '\0')
        abort();
    tsr_safetensors_close(f);
    remove(name);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: files of tokenizers and of masked models, whose sizes come from tensors and whose
 * settings from metadata. What opens must be able to describe itself. */
#include "fuzz.h"

#include "trainer/fm.h"
#include "vqvae/vqvae.h"

static void open_masked(const char *name)
{
    tsr_fm *m = NULL;
    json_t *about = NULL;
    tsr_status st = tsr_fm_open(name, &m);
    fuzz_need_sentence(st, name);
    if (st == TSR_OK)
        fuzz_need_sentence(tsr_fm_describe(m, &about), "");
    json_decref(about);
    tsr_fm_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsr_vqvae *m = NULL;
    const char *name = fuzz_file(data, size, "safetensors");
    tsr_status st = tsr_vqvae_open(name, 0, &m);
    fuzz_need_sentence(st, name);
    if (st == TSR_OK)
        (void)tsr_vqvae_info_of(m);
    tsr_vqvae_destroy(m);
    open_masked(name);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return fuzz_change_safetensors(data, size, max, seed);
}

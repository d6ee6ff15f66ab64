/* SPDX-License-Identifier: Apache-2.0
 * Entropy of single tokens: what a model that only knows how often each id comes would lose. */
#ifndef TSR_TRAINER_UNIGRAM_H
#define TSR_TRAINER_UNIGRAM_H

#include "base/json.h"
#include "base/status.h"
#include "trainer/loader.h"

typedef struct tsr_unigrams {
    double entropy[TSR_MODALITIES]; /* nats a token; 0 where nothing was seen, and of pixels */
    uint64_t tokens[TSR_MODALITIES];
    uint64_t codes[TSR_MODALITIES]; /* distinct ids seen */
} tsr_unigrams;

/* Count the tokens of at most `most` samples (0: all) of each feed of the loader, evenly spread
 * over it. Samples that cannot be read are left out. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_unigrams_count(tsr_loader *l, const tsr_mods *mods, uint64_t most,
                                      tsr_unigrams *out);

/* {MODALITY: {entropy_nats, entropy_bits, tokens, codes}, ...}, and back (TSR_EFORMAT). */
TSR_USE tsr_status tsr_unigrams_to_json(const tsr_unigrams *u, const tsr_mods *mods, json_t **out);
TSR_USE tsr_status tsr_unigrams_from_json(const json_t *v, const char *origin, const tsr_mods *mods,
                                          tsr_unigrams *out);

#endif

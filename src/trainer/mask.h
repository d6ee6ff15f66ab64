/* SPDX-License-Identifier: Apache-2.0
 * Masking: which tokens of a sample are shown and which are to be predicted.
 *
 * A mask is a function of (policy, tokens held, random stream) and of nothing else. The caller
 * makes the stream from (seed, TSR_RNG_MASK, epoch and sample). */
#ifndef TSR_TRAINER_MASK_H
#define TSR_TRAINER_MASK_H

#include "base/rng.h"
#include "base/status.h"
#include "trainer/example.h"

typedef struct tsr_policy tsr_policy;       /* immutable, shared by threads; see policy.h */
typedef struct tsr_mask_work tsr_mask_work; /* scratch of one thread */

/* Scratch for one thread. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_mask_work_create(const tsr_policy *p, tsr_mask_work **out);
void tsr_mask_work_destroy(tsr_mask_work *w);

/* Largest number of rows (both sides together), and of bytes of pixels, an example of this policy
 * can have: sizes for tsr_example_init. */
size_t tsr_policy_rows(const tsr_policy *p);
size_t tsr_policy_patch_bytes(const tsr_policy *p);

/* Largest number of input (target) rows of one example, in all and of modality m. */
size_t tsr_policy_inputs(const tsr_policy *p);
size_t tsr_policy_targets(const tsr_policy *p);
size_t tsr_policy_inputs_of(const tsr_policy *p, size_t m);
size_t tsr_policy_targets_of(const tsr_policy *p, size_t m);

/* Mask one sample. held: [modalities of the policy]. `out` is reset first.
 * Errors   TSR_EFORMAT for a grid with a wrong number of tokens or an id outside its vocabulary. */
TSR_USE tsr_status tsr_mask_sample(const tsr_policy *p, const tsr_held *held, tsr_rng *rng,
                                   tsr_mask_work *w, tsr_example *out);

#endif

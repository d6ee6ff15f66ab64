/* SPDX-License-Identifier: Apache-2.0
 * Diffusion decoders at work: from code vectors and noise to pictures, step by step. Inside of vqvae.h,
 * which says what the settings are (tsr_vqvae_decoding). */
#ifndef TSR_VQVAE_DIFFDECODE_H
#define TSR_VQVAE_DIFFDECODE_H

#include "vqvae/vqvae_model.h"

typedef struct tsr_diffuser tsr_diffuser;
typedef struct tsr_diffuse_work tsr_diffuse_work;

/* What a plan needs: sizes are checked, the schedule is made. The network is put together when it is
 * first used, so that those who only encode do not pay for it. m must outlive it.
 * Errors   TSR_EARG for a size the network cannot have, TSR_EUNSUPPORTED for settings that are not
 *          known. */
TSR_USE tsr_status tsr_diffuser_create(const tsr_vqvae *m, const tsr_vqvae_sizes *sizes,
                                       tsr_precision precision, tsr_diffuser **out);
void tsr_diffuser_destroy(tsr_diffuser *d);

/* What one thread decodes with; cheap until the first use. */
TSR_USE tsr_status tsr_diffuse_work_create(tsr_diffuser *d, tsr_diffuse_work **out);
void tsr_diffuse_work_destroy(tsr_diffuse_work *w);

/* picture [C, H, W] from code vectors [rows * columns, Z]. */
TSR_USE tsr_status tsr_diffuse(tsr_diffuse_work *w, const float *vectors,
                               const tsr_vqvae_decoding *how, float *picture);

/* One call of the network: what it answers to `noisy` at step t. All but `out` as tsr_diffuse.
 * dropped: NULL, or [rows * columns], 1 where it is not told the code. */
TSR_USE tsr_status tsr_diffuse_once(tsr_diffuse_work *w, const float *vectors,
                                    const uint8_t *dropped, const float *noisy, size_t t,
                                    float *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Noise of diffusion decoders: how much of it a step of the forward process leaves.
 *
 *   x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e,   e ~ N(0, 1),   t = 0 .. T-1
 *
 * Source   Ho et al. 2020, arXiv:2006.11239; Nichol and Dhariwal 2021, arXiv:2102.09672 (cosine);
 *          Lin et al. 2023, arXiv:2305.08891 (zero terminal SNR); Hoogeboom et al. 2023,
 *          arXiv:2301.11093 (shifted cosine). Numbers as apple/ml-4m and diffusers compute them. */
#ifndef TSR_VQVAE_DIFFNOISE_H
#define TSR_VQVAE_DIFFNOISE_H

#include "base/status.h"

#include <stddef.h>

/* What a network's output means. */
typedef enum tsr_prediction {
    TSR_PREDICT_SAMPLE,  /* x_0 */
    TSR_PREDICT_EPSILON, /* e */
    TSR_PREDICT_V,       /* sqrt(abar) e - sqrt(1 - abar) x_0 */
} tsr_prediction;

typedef struct tsr_noise {
    size_t steps;              /* T, 1 .. 100000 */
    float *abar;               /* [T] */
    tsr_prediction prediction;
    int clip;                  /* estimates of x_0 are cut to [-1, 1] */
} tsr_noise;

/* `schedule`: "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "shifted_cosine:S" (S > 0,
 * always without signal at the end). zero_terminal: rescale, so that abar of the last step is 0.
 * `prediction`: "sample", "epsilon", "v_prediction" (also with "-epsilon_loss" behind it).
 * Fills *out; tsr_noise_clear.
 * Errors   TSR_EUNSUPPORTED for a name that is not known or steps out of range, TSR_ENOMEM. */
TSR_USE tsr_status tsr_noise_init(tsr_noise *out, size_t steps, const char *schedule,
                                  int zero_terminal, const char *prediction);
void tsr_noise_clear(tsr_noise *n);

/* What the networks are told of step t: [cos(t f_0), ..., sin(t f_0), ...] of `width` values, an even
 * number; f_k = 10000^(-2k / width). */
void tsr_noise_embedding(size_t t, size_t width, float *out);

#endif

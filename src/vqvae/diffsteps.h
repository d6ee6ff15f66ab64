/* SPDX-License-Identifier: Apache-2.0
 * The way back from noise: which steps a sampler visits, and what it does at each.
 *
 *   tsr_sampler_create(&noise, &spec, n, &s);
 *   x = noise;
 *   for (size_t i = 0; i < tsr_sampler_count(s); i++) {
 *       out = network(x, tsr_sampler_time(s, i));
 *       tsr_sampler_step(s, i, out, x, rng, NULL);
 *   }
 * Everything is float32.
 * Source   DDIM: Song et al. 2021, arXiv:2010.02502, eq. 12. DDPM: Ho et al. 2020, eq. 7. PNDM: Liu et
 *          al. 2022, arXiv:2202.09778, eq. 9-13. Order of steps as diffusers 0.20 and ml-4m have it. */
#ifndef TSR_VQVAE_DIFFSTEPS_H
#define TSR_VQVAE_DIFFSTEPS_H

#include "base/rng.h"
#include "vqvae/diffnoise.h"

typedef enum tsr_sampler_kind {
    TSR_SAMPLER_DDIM,
    TSR_SAMPLER_DDPM,
    TSR_SAMPLER_PNDM,     /* a Runge-Kutta start of 12 calls, then four steps behind */
    TSR_SAMPLER_PNDM_PLMS, /* without that start */
} tsr_sampler_kind;

/* Which of T steps n visits use, r = T / n rounded down. */
typedef enum tsr_spacing {
    TSR_SPACING_TRAILING, /* T-1, T-1-r, ...: begins at the last step, noise without signal. When n
                           * does not divide T the reference visits more than n; here they are n,
                           * round(T - i T / n) - 1, unless `compatible` is set */
    TSR_SPACING_LINSPACE, /* from T-1 to 0, rounded */
    TSR_SPACING_LEADING,  /* (n-1) r, ..., r, 0; DDPM's only one in the reference */
} tsr_spacing;

typedef struct tsr_sampler_spec {
    tsr_sampler_kind kind;
    tsr_spacing spacing;
    size_t steps;   /* n: 1 .. T; PNDM at least 4 */
    float eta;      /* DDIM: noise added, 0 none .. 1 as much as DDPM */
    int compatible; /* do what the reference does where it does it wrong */
} tsr_sampler_spec;

typedef struct tsr_sampler tsr_sampler;

/* For pictures of `values` values. `noise` is borrowed.
 * Errors   TSR_EARG for a number of steps or an eta that cannot be; TSR_EUNSUPPORTED for PNDM on a
 *          schedule that ends without signal, where its formula has no value; TSR_ENOMEM. */
TSR_USE tsr_status tsr_sampler_create(const tsr_noise *noise, const tsr_sampler_spec *spec,
                                      size_t values, tsr_sampler **out);
void tsr_sampler_destroy(tsr_sampler *s);

/* Calls of the network, and the step each of them is told (i < count). */
size_t tsr_sampler_count(const tsr_sampler *s);
size_t tsr_sampler_time(const tsr_sampler *s, size_t i);

/* x [values]: what call i was given, becomes what call i + 1 is; out [values]: what the network gave.
 * In order of i, each once; 0 starts anew. Samplers that add noise draw it from rng, unless it is
 * given: added [values], or NULL. */
void tsr_sampler_step(tsr_sampler *s, size_t i, const float *out, float *x, tsr_rng *rng,
                      const float *added);

/* DDPM's step from t to `prev` (-1: the picture) as x_prev = x0 c[0] + x c[1] + N(0, c[2]). */
void tsr_ddpm_coefficients(const tsr_noise *noise, size_t t, long long prev, float c[3]);

/* The sampler of a name: "ddim", "ddpm", "pndm", "plms"; TSR_EARG lists them. */
TSR_USE tsr_status tsr_sampler_named(const char *name, tsr_sampler_kind *out);

#endif

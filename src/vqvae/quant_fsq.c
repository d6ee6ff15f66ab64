/* SPDX-License-Identifier: Apache-2.0
 * Finite scalar quantization: bound each dimension, round it, and count the roundings in mixed
 * radix.
 *
 *   h_i = (L_i - 1)(1 + 1e-3) / 2      o_i = 1/2 for even L_i, else 0      s_i = atanh(o_i / h_i)
 *   b_i = h_i tanh(z_i + s_i) - o_i    digit_i = round(b_i) + floor(L_i / 2)
 *   id  = sum_i digit_i prod_{j<i} L_j           code_i = (digit_i - floor(L_i / 2)) / floor(L_i /
 * 2)
 *
 * Digits are whole numbers up to 65,534 and exact in float32 (bfloat16 would lose them), so that
 * encode, ids, decode gives the code vector again, bit by bit.
 * Source   Mentzer et al. 2023, arXiv:2309.15505, section 3 and appendix A. */
#include "vqvae/quant_kinds.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct fsq_state {
    size_t levels[TSR_FSQ_MAX], n;
    float height[TSR_FSQ_MAX], offset[TSR_FSQ_MAX], shift[TSR_FSQ_MAX], half[TSR_FSQ_MAX];
} fsq_state;

static tsr_status fsq_settle(tsr_vqvae_config *c)
{
    size_t levels[TSR_FSQ_MAX], n, product = 1;
    TSR_TRY(tsr_vqvae_levels(c->levels, levels, &n));
    for (size_t i = 0; i < n; i++)
        product *= levels[i];
    c->codebook_size = product;
    c->latent_dim = n;
    c->num_codebooks = 1;
    return TSR_OK;
}

static tsr_status fsq_declare(const tsr_vqvae_config *c, tsr_params *ps)
{
    (void)c;
    (void)ps;
    return TSR_OK;
}

static tsr_status fsq_init(const tsr_vqvae_config *c, tsr_params *ps, uint64_t seed)
{
    (void)c;
    (void)ps;
    (void)seed;
    return TSR_OK;
}

static tsr_status fsq_bind(tsr_quantizer *q, const tsr_params *ps)
{
    (void)ps;
    fsq_state *s;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    q->state = s;
    TSR_TRY(tsr_vqvae_levels(q->config.levels, s->levels, &s->n));
    for (size_t i = 0; i < s->n; i++) {
        double h = (double)(s->levels[i] - 1) * (1 + 1e-3) / 2;
        double o = s->levels[i] % 2 ? 0 : 0.5;
        s->height[i] = (float)h;
        s->offset[i] = (float)o;
        s->shift[i] = (float)atanh(o / h);
        s->half[i] = (float)(s->levels[i] / 2);
    }
    q->heads = 1;
    q->codes = q->config.codebook_size;
    q->width = s->n;
    return TSR_OK;
}

static void fsq_unbind(tsr_quantizer *q)
{
    tsr_free(q->state);
}

static tsr_status fsq_refresh(tsr_quantizer *q)
{
    (void)q;
    return TSR_OK;
}

static tsr_status fsq_encode(const tsr_quantizer *q, const float *z, size_t rows, float *scratch,
                             int32_t *ids)
{
    (void)scratch;
    const fsq_state *s = q->state;
    for (size_t r = 0; r < rows; r++) {
        int64_t id = 0, unit = 1;
        for (size_t i = 0; i < s->n; i++) {
            float b = s->height[i] * tanhf(z[r * s->n + i] + s->shift[i]) - s->offset[i];
            int64_t digit = (int64_t)rintf(b) + (int64_t)(s->levels[i] / 2);
            int64_t top = (int64_t)s->levels[i] - 1;
            digit = digit < 0 ? 0 : digit > top ? top : digit;
            id += digit * unit;
            unit *= (int64_t)s->levels[i];
        }
        ids[r] = (int32_t)id;
    }
    return TSR_OK;
}

static void fsq_decode(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out)
{
    const fsq_state *s = q->state;
    for (size_t r = 0; r < rows; r++) {
        size_t id = (size_t)ids[r];
        for (size_t i = 0; i < s->n; i++) {
            out[r * s->n + i] = ((float)(id % s->levels[i]) - s->half[i]) / s->half[i];
            id /= s->levels[i];
        }
    }
}

static tsr_status fsq_forward(tsr_quantizer *q, tsr_quant_step *s)
{
    TSR_TRY(fsq_encode(q, s->z, s->rows, s->scratch, s->ids));
    fsq_decode(q, s->ids, s->rows, s->out);
    s->commitment = 0;
    return TSR_OK;
}

/* Rounding passes gradients, the bound has its own: code = b / half, db/dz = h (1 - tanh^2). */
static tsr_status fsq_backward(tsr_quantizer *q, tsr_quant_step *s)
{
    const fsq_state *f = q->state;
    for (size_t r = 0; r < s->rows; r++) {
        for (size_t i = 0; i < f->n; i++) {
            float t = tanhf(s->z[r * f->n + i] + f->shift[i]);
            s->dz[r * f->n + i] = s->dout[r * f->n + i] / f->half[i] * f->height[i] * (1 - t * t);
        }
    }
    return TSR_OK;
}

static tsr_status fsq_update(tsr_quantizer *q, tsr_quant_step *s)
{
    (void)q;
    s->revived = 0;
    return TSR_OK;
}

const tsr_quantizer_kind tsr_quant_fsq = {
    .name = "fsq",
    .settle = fsq_settle,
    .declare = fsq_declare,
    .init = fsq_init,
    .bind = fsq_bind,
    .unbind = fsq_unbind,
    .refresh = fsq_refresh,
    .encode = fsq_encode,
    .decode = fsq_decode,
    .forward = fsq_forward,
    .backward = fsq_backward,
    .update = fsq_update,
};

/* SPDX-License-Identifier: Apache-2.0
 * Codebook by moving averages, in use: search, lookup, straight-through gradient, commitment.
 *
 *   id = argmax_k  x^.e^_k  (cosine, hats are normalised)   or   -((|x|^2 - 2 x.e_k) + |e_k|^2)
 *   out = embed[id], not normalised
 *   commitment = w mean (out - x)^2 over valid rows           d/dx = d/dout + 2 w (x - out) / n
 *
 * Source   van den Oord et al. 2017, arXiv:1711.00937; cosine codes: Yu et al. 2021,
 *          arXiv:2110.04627; conventions of apple/ml-4m, fourm/vq/quantizers. */
#include "vqvae/quant_ema.h"

#include "base/mem.h"
#include "nn/layers.h"
#include "vqvae/quant_kinds.h"

#include <math.h>
#include <string.h>

#define CODEBOOK "quantize._codebook."

static tsr_status ema_settle(tsr_vqvae_config *c)
{
    (void)c;
    return TSR_OK;
}

static tsr_status ema_declare(const tsr_vqvae_config *c, tsr_params *ps)
{
    const size_t one[] = {1}, codes[] = {c->codebook_size, c->latent_dim};
    TSR_TRY(tsr_params_add(ps, CODEBOOK "initted", TSR_PARAM_BUFFER, 1, one, NULL));
    TSR_TRY(tsr_params_add(ps, CODEBOOK "cluster_size", TSR_PARAM_BUFFER, 1, codes, NULL));
    if (!c->norm_codes)
        TSR_TRY(tsr_params_add(ps, CODEBOOK "embed_avg", TSR_PARAM_BUFFER, 2, codes, NULL));
    return tsr_params_add(ps, CODEBOOK "embed", TSR_PARAM_BUFFER, 2, codes, NULL);
}

static tsr_status ema_init(const tsr_vqvae_config *c, tsr_params *ps, uint64_t seed)
{
    tsr_param *embed, *avg, *initted;
    if (c->kmeans_init)
        return TSR_OK;
    TSR_TRY(tsr_params_get(ps, CODEBOOK "embed", &embed));
    TSR_TRY(tsr_params_get(ps, CODEBOOK "initted", &initted));
    tsr_param_init(embed, TSR_INIT_KAIMING, 0, seed);
    tsr_param_init(initted, TSR_INIT_CONST, 1, seed);
    if (c->norm_codes) {
        tsr_ema_normalize(embed->value, c->codebook_size, c->latent_dim, embed->value);
        return TSR_OK;
    }
    TSR_TRY(tsr_params_get(ps, CODEBOOK "embed_avg", &avg));
    memcpy(avg->value, embed->value, embed->count * sizeof *embed->value);
    return TSR_OK;
}

static tsr_status ema_bind(tsr_quantizer *q, const tsr_params *ps)
{
    ema_state *s;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    q->state = s;
    TSR_TRY(tsr_params_get(ps, CODEBOOK "initted", &s->initted));
    TSR_TRY(tsr_params_get(ps, CODEBOOK "cluster_size", &s->cluster_size));
    TSR_TRY(tsr_params_get(ps, CODEBOOK "embed", &s->embed));
    s->cosine = q->config.norm_codes;
    if (!s->cosine)
        TSR_TRY(tsr_params_get(ps, CODEBOOK "embed_avg", &s->embed_avg));
    q->heads = 1;
    q->codes = q->config.codebook_size;
    q->width = q->config.latent_dim;
    return TSR_OK;
}

static void ema_unbind(tsr_quantizer *q)
{
    tsr_free(q->state);
}

static tsr_status ema_refresh(tsr_quantizer *q)
{
    (void)q;
    return TSR_OK;
}

static float length_of(const float *x, size_t width)
{
    float s = 0;
    for (size_t d = 0; d < width; d++)
        s += x[d] * x[d];
    return fmaxf(sqrtf(s), 1e-12f);
}

void tsr_ema_normalize(const float *x, size_t rows, size_t width, float *into)
{
    for (size_t r = 0; r < rows; r++) {
        float length = length_of(x + r * width, width);
        for (size_t d = 0; d < width; d++)
            into[r * width + d] = x[r * width + d] / length;
    }
}

tsr_status tsr_ema_assign(const tsr_quantizer *q, const float *x, size_t rows, int32_t *ids)
{
    const ema_state *s = q->state;
    return tsr_nearest_codes(
        &(tsr_nearest_block){.x = x,
                             .codes = s->embed->value,
                             .rows = rows,
                             .width = q->width,
                             .k = q->codes,
                             .metric = s->cosine ? TSR_METRIC_COSINE : TSR_METRIC_EUCLID,
                             .ids = ids});
}

/* The rows that are compared with codes: latents, normalised into scratch when the settings say. */
static const float *compared(const tsr_quantizer *q, const float *z, size_t rows, float *scratch)
{
    if (!q->config.norm_latents)
        return z;
    tsr_ema_normalize(z, rows, q->width, scratch);
    return scratch;
}

static tsr_status ema_encode(const tsr_quantizer *q, const float *z, size_t rows, float *scratch,
                             int32_t *ids)
{
    return tsr_ema_assign(q, compared(q, z, rows, scratch), rows, ids);
}

static void ema_decode(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out)
{
    const ema_state *s = q->state;
    for (size_t r = 0; r < rows; r++)
        memcpy(out + r * q->width, s->embed->value + (size_t)ids[r] * q->width,
               q->width * sizeof *out);
}

static size_t count_valid(const tsr_quant_step *s)
{
    size_t n = 0;
    for (size_t r = 0; r < s->rows; r++)
        n += !s->valid || s->valid[r];
    return n;
}

static tsr_status ema_forward(tsr_quantizer *q, tsr_quant_step *s)
{
    const ema_state *e = q->state;
    const float *x = compared(q, s->z, s->rows, s->scratch);
    size_t n = count_valid(s);
    if (s->bypass) {
        memcpy(s->out, x, s->rows * q->width * sizeof *s->out);
        s->commitment = 0;
        return TSR_OK;
    }
    if (e->initted->value[0] == 0 && n)
        TSR_TRY(tsr_ema_kmeans(q, s, x));
    TSR_TRY(tsr_ema_assign(q, x, s->rows, s->ids));
    ema_decode(q, s->ids, s->rows, s->out);
    double sum = 0;
    for (size_t r = 0; r < s->rows; r++) {
        for (size_t i = r * q->width; i < (r + 1) * q->width && (!s->valid || s->valid[r]); i++) {
            double d = (double)s->out[i] - (double)x[i];
            sum += d * d;
        }
    }
    s->commitment = n ? q->config.commitment_weight * sum / (double)(n * q->width) : 0;
    return TSR_OK;
}

/* Through x = z / |z|: dz = (dx - x (x.dx)) / |z|. */
static void through_normalize(const float *z, size_t rows, size_t width, float *dz)
{
    for (size_t r = 0; r < rows; r++, z += width, dz += width) {
        float length = length_of(z, width), along = 0;
        for (size_t d = 0; d < width; d++)
            along += z[d] / length * dz[d];
        for (size_t d = 0; d < width; d++)
            dz[d] = (dz[d] - z[d] / length * along) / length;
    }
}

static tsr_status ema_backward(tsr_quantizer *q, tsr_quant_step *s)
{
    const float *x = compared(q, s->z, s->rows, s->scratch);
    size_t n = count_valid(s);
    float scale = n ? (float)(2 * q->config.commitment_weight / (double)(n * q->width)) : 0;
    for (size_t r = 0; r < s->rows; r++) {
        float f = !s->valid || s->valid[r] ? scale : 0;
        for (size_t i = r * q->width; i < (r + 1) * q->width; i++)
            s->dz[i] = s->dout[i] + f * (x[i] - s->out[i]);
    }
    if (q->config.norm_latents)
        through_normalize(s->z, s->rows, q->width, s->dz);
    return TSR_OK;
}

const tsr_quantizer_kind tsr_quant_ema = {
    .name = "lucid",
    .can_bypass = 1,
    .settle = ema_settle,
    .declare = ema_declare,
    .init = ema_init,
    .bind = ema_bind,
    .unbind = ema_unbind,
    .refresh = ema_refresh,
    .encode = ema_encode,
    .decode = ema_decode,
    .forward = ema_forward,
    .backward = ema_backward,
    .update = tsr_ema_update,
};

/* SPDX-License-Identifier: Apache-2.0
 * Codebook by moving averages, in use: search, lookup, straight-through gradient, commitment.
 *
 *   id = argmax_k  x^.e^_k  (cosine, hats are normalised)   or   -((|x|^2 - 2 x.e_k) + |e_k|^2)
 *   out = embed[id], not normalised
 *   commitment = w mean (out - x)^2 over valid rows           d/dx = d/dout + 2 w (x - out) / n
 *
 * Several heads (files that have them; they are not trained here): x = in(z) is cut into n vectors, each
 * gets its own id from the one codebook, and out = out(embed[id_1] .. embed[id_n]). The reference's
 * decoding of such ids leaves out() out and fails; its training has it.
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
#define INTO     "quantize.project_in."
#define OUT_OF   "quantize.project_out."

static tsr_status ema_settle(tsr_vqvae_config *c)
{
    (void)c;
    return TSR_OK;
}

static tsr_status declare_heads(const tsr_vqvae_config *c, tsr_params *ps)
{
    size_t z = c->latent_dim, all;
    TSR_TRY(tsr_mul_size(z, c->num_codebooks, &all));
    const size_t into[] = {all, z}, out[] = {z, all};
    TSR_TRY(tsr_params_add(ps, INTO "weight", TSR_PARAM_BUFFER, 2, into, NULL));
    TSR_TRY(tsr_params_add(ps, INTO "bias", TSR_PARAM_BUFFER, 1, into, NULL));
    TSR_TRY(tsr_params_add(ps, OUT_OF "weight", TSR_PARAM_BUFFER, 2, out, NULL));
    return tsr_params_add(ps, OUT_OF "bias", TSR_PARAM_BUFFER, 1, out, NULL);
}

static tsr_status ema_declare(const tsr_vqvae_config *c, tsr_params *ps)
{
    if (c->num_codebooks > 1)
        TSR_TRY(declare_heads(c, ps));
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
    if (c->num_codebooks > 1)
        TSR_FAIL(TSR_ECONFIG, "a new lucid quantizer has one head, not %zu", c->num_codebooks);
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

static tsr_status bind_heads(ema_state *s, const tsr_params *ps)
{
    TSR_TRY(tsr_params_get(ps, INTO "weight", &s->in_weight));
    TSR_TRY(tsr_params_get(ps, INTO "bias", &s->in_bias));
    TSR_TRY(tsr_params_get(ps, OUT_OF "weight", &s->out_weight));
    return tsr_params_get(ps, OUT_OF "bias", &s->out_bias);
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
    q->heads = q->config.num_codebooks;
    if (q->heads > 1)
        TSR_TRY(bind_heads(s, ps));
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

/* into[i] = bias[i] + sum_d weight[i, d] x[d] */
static void project(const tsr_param *weight, const tsr_param *bias, const float *x, float *into)
{
    size_t width = weight->count / bias->count;
    for (size_t i = 0; i < bias->count; i++) {
        float sum = bias->value[i];
        for (size_t d = 0; d < width; d++)
            sum += weight->value[i * width + d] * x[d];
        into[i] = sum;
    }
}

/* ids [heads, rows]; one row at a time, so that no more is needed than a row. */
static tsr_status encode_heads(const tsr_quantizer *q, const float *x, size_t rows, int32_t *ids)
{
    const ema_state *s = q->state;
    float *row;
    int32_t *own;
    tsr_status st = TSR_OK;
    TSR_TRY(tsr_alloc(&row, s->in_bias->count, sizeof *row));
    TSR_GO(tsr_alloc(&own, q->heads, sizeof *own));
    for (size_t r = 0; r < rows && st == TSR_OK; r++) {
        project(s->in_weight, s->in_bias, x + r * q->width, row);
        st = tsr_ema_assign(q, row, q->heads, own);
        for (size_t h = 0; h < q->heads; h++)
            ids[h * rows + r] = own[h];
    }
    tsr_free(own);
out:
    tsr_free(row);
    return st;
}

static void decode_heads(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out)
{
    const ema_state *s = q->state;
    size_t z = q->width, all = z * q->heads;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < z; i++) {
            const float *weight = s->out_weight->value + i * all;
            float sum = s->out_bias->value[i];
            for (size_t h = 0; h < q->heads; h++) {
                const float *code = s->embed->value + (size_t)ids[h * rows + r] * z;
                for (size_t d = 0; d < z; d++)
                    sum += weight[h * z + d] * code[d];
            }
            out[r * z + i] = sum;
        }
}

static tsr_status ema_encode(const tsr_quantizer *q, const float *z, size_t rows, float *scratch,
                             int32_t *ids)
{
    const float *x = compared(q, z, rows, scratch);
    return q->heads > 1 ? encode_heads(q, x, rows, ids) : tsr_ema_assign(q, x, rows, ids);
}

static void ema_decode(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out)
{
    const ema_state *s = q->state;
    if (q->heads > 1) {
        decode_heads(q, ids, rows, out);
        return;
    }
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
    if (q->heads > 1)
        TSR_FAIL(TSR_EUNSUPPORTED, "lucid quantizers with %zu heads can be used, not trained", q->heads);
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

/* SPDX-License-Identifier: Apache-2.0
 * Product codes: the latent is cut into n heads of d = Z / n numbers, each with K codes that pass
 * through a key map and a value map.
 *
 *   k_h = codes_h to_k_h      v_h = codes_h to_v_h                        [K, d] each
 *   id_h = argmax_m  (x_h d^-1/2) . k_h[m]        out_h = v_h[id_h]
 *
 * Training draws ids from noisy scores and passes gradients through the softmax of those (Jang et
 * al. 2017, arXiv:1611.01144, straight-through, temperature 1): y = softmax(l + G)    forward
 * one-hot(argmax y)    backward as if y had been used
 *
 * Source   apple/ml-4m, fourm/vq/quantizers, class Memcodes; Kumar et al. 2021, arXiv:2105.00992.
 */
#include "vqvae/quant_kinds.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "nn/layers.h"

#include <math.h>
#include <string.h>

typedef struct mem_state {
    tsr_param *codes;       /* [n, K, d] */
    tsr_param *to_k, *to_v; /* [n, d, d] */
    float *keys, *values;   /* [n, K, d], recomputed by refresh */
    size_t d;
    uint64_t seen[3]; /* versions of the tensors that keys and values came from */
} mem_state;

static tsr_status mem_settle(tsr_vqvae_config *c)
{
    if (c->latent_dim % c->num_codebooks)
        TSR_FAIL(TSR_ECONFIG, "memcodes: latent_dim %zu is no multiple of num_codebooks %zu",
                 c->latent_dim, c->num_codebooks);
    return TSR_OK;
}

static tsr_status mem_declare(const tsr_vqvae_config *c, tsr_params *ps)
{
    const unsigned flags = TSR_PARAM_TRAIN | TSR_PARAM_DECAY;
    size_t n = c->num_codebooks, d = c->latent_dim / n;
    const size_t codes[] = {n, c->codebook_size, d}, map[] = {n, d, d};
    TSR_TRY(tsr_params_add(ps, "quantize.codes", flags, 3, codes, NULL));
    TSR_TRY(tsr_params_add(ps, "quantize.to_k.weight", flags, 3, map, NULL));
    return tsr_params_add(ps, "quantize.to_v.weight", flags, 3, map, NULL);
}

static tsr_status mem_init(const tsr_vqvae_config *c, tsr_params *ps, uint64_t seed)
{
    tsr_param *codes, *to_k, *to_v;
    float bound = sqrtf(3 / (float)(c->latent_dim / c->num_codebooks));
    TSR_TRY(tsr_params_get(ps, "quantize.codes", &codes));
    TSR_TRY(tsr_params_get(ps, "quantize.to_k.weight", &to_k));
    TSR_TRY(tsr_params_get(ps, "quantize.to_v.weight", &to_v));
    tsr_param_init(codes, TSR_INIT_NORMAL, 1, seed);
    tsr_param_init(to_k, TSR_INIT_UNIFORM, bound, seed);
    tsr_param_init(to_v, TSR_INIT_UNIFORM, bound, seed);
    return TSR_OK;
}

static tsr_status mem_bind(tsr_quantizer *q, const tsr_params *ps)
{
    mem_state *s;
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    q->state = s;
    q->heads = q->config.num_codebooks;
    q->codes = q->config.codebook_size;
    q->width = q->config.latent_dim;
    s->d = q->width / q->heads;
    TSR_TRY(tsr_params_get(ps, "quantize.codes", &s->codes));
    TSR_TRY(tsr_params_get(ps, "quantize.to_k.weight", &s->to_k));
    TSR_TRY(tsr_params_get(ps, "quantize.to_v.weight", &s->to_v));
    TSR_TRY(tsr_alloc(&s->keys, s->codes->count, sizeof *s->keys));
    return tsr_alloc(&s->values, s->codes->count, sizeof *s->values);
}

static void mem_unbind(tsr_quantizer *q)
{
    mem_state *s = q->state;
    if (!s)
        return;
    tsr_free(s->keys);
    tsr_free(s->values);
    tsr_free(s);
}

/* --- small products, on one thread; the loops above them are the parallel ones ------------------
 */

/* out[n] (+)= sum_j a[j] m[j * n + i]: a row times a matrix. */
static void row_times(const float *a, const float *m, size_t rows, size_t n, float *restrict out)
{
    memset(out, 0, n * sizeof *out);
    for (size_t j = 0; j < rows; j++)
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            out[i] += a[j] * m[j * n + i];
}

static float dot(const float *a, const float *b, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static void axpy(float *restrict y, float c, const float *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += c * x[i];
}

#define CODES_PIECE 256

typedef struct refresh_job {
    const tsr_quantizer *q;
    mem_state *s;
    size_t pieces; /* of one head */
} refresh_job;

static void map_codes(void *ctx, size_t item, int lane)
{
    (void)lane;
    const refresh_job *j = ctx;
    const mem_state *s = j->s;
    size_t h = item / j->pieces, at = item % j->pieces * CODES_PIECE, d = s->d;
    size_t end = at + CODES_PIECE < j->q->codes ? at + CODES_PIECE : j->q->codes;
    for (size_t k = h * j->q->codes + at; k < h * j->q->codes + end; k++) {
        const float *code = s->codes->value + k * d;
        row_times(code, s->to_k->value + h * d * d, d, d, s->keys + k * d);
        row_times(code, s->to_v->value + h * d * d, d, d, s->values + k * d);
    }
}

static tsr_status mem_refresh(tsr_quantizer *q)
{
    mem_state *s = q->state;
    const uint64_t now[3] = {s->codes->version, s->to_k->version, s->to_v->version};
    if (memcmp(now, s->seen, sizeof now) == 0)
        return TSR_OK;
    refresh_job job = {q, s, (q->codes + CODES_PIECE - 1) / CODES_PIECE};
    tsr_par_kernels(q->heads * job.pieces, map_codes, &job);
    memcpy(s->seen, now, sizeof now);
    return TSR_OK;
}

/* Head h of all rows, scaled, as [rows, d]. */
static void take_head(const tsr_quantizer *q, const float *z, size_t rows, size_t h, float *into)
{
    const mem_state *s = q->state;
    float scale = 1 / sqrtf((float)s->d);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < s->d; i++)
            into[r * s->d + i] = z[r * q->width + h * s->d + i] * scale;
}

static tsr_status mem_encode(const tsr_quantizer *q, const float *z, size_t rows, float *scratch,
                             int32_t *ids)
{
    const mem_state *s = q->state;
    for (size_t h = 0; h < q->heads; h++) {
        take_head(q, z, rows, h, scratch);
        TSR_TRY(tsr_nearest_codes(&(tsr_nearest_block){.x = scratch,
                                                       .codes = s->keys + h * q->codes * s->d,
                                                       .rows = rows,
                                                       .width = s->d,
                                                       .k = q->codes,
                                                       .metric = TSR_METRIC_DOT,
                                                       .ids = ids + h * rows}));
    }
    return TSR_OK;
}

static void mem_decode(const tsr_quantizer *q, const int32_t *ids, size_t rows, float *out)
{
    const mem_state *s = q->state;
    for (size_t h = 0; h < q->heads; h++)
        for (size_t r = 0; r < rows; r++)
            memcpy(out + r * q->width + h * s->d,
                   s->values + (h * q->codes + (size_t)ids[h * rows + r]) * s->d,
                   s->d * sizeof *out);
}

/* --- training ----------------------------------------------------------------------------------
 */

/* Scores of one row and head with their noise, which depends on (seed, step, row, head) only. */
static void noisy_scores(const tsr_quantizer *q, const tsr_quant_step *t, size_t h, size_t r,
                         const float *x, float *scores)
{
    const mem_state *s = q->state;
    tsr_rng rng;
    tsr_rng_init(&rng, t->seed, TSR_RNG_CODEBOOK, t->step << 32 | (uint32_t)(r * q->heads + h));
    for (size_t k = 0; k < q->codes; k++) {
        float u = tsr_rng_float(&rng) + 0x1p-25f;
        scores[k] = dot(x, s->keys + (h * q->codes + k) * s->d, s->d) - logf(-logf(u));
    }
}

static int32_t best_of(const float *scores, size_t n)
{
    size_t best = 0;
    for (size_t k = 1; k < n; k++)
        if (scores[k] > scores[best])
            best = k;
    return (int32_t)best;
}

typedef struct head_job {
    tsr_quantizer *q;
    tsr_quant_step *t;
    float *scores;          /* [heads, K] */
    float *heads;           /* [heads, rows, d] scaled rows */
    float *dkeys, *dvalues; /* [heads, K, d] */
} head_job;

static void forward_head(void *ctx, size_t h, int lane)
{
    (void)lane;
    const head_job *j = ctx;
    const mem_state *s = j->q->state;
    float *x = j->heads + h * j->t->rows * s->d, *scores = j->scores + h * j->q->codes;
    take_head(j->q, j->t->z, j->t->rows, h, x);
    for (size_t r = 0; r < j->t->rows; r++) {
        noisy_scores(j->q, j->t, h, r, x + r * s->d, scores);
        j->t->ids[h * j->t->rows + r] = best_of(scores, j->q->codes);
    }
}

static void job_clear(head_job *j)
{
    tsr_free(j->scores);
    tsr_free(j->heads);
    tsr_free(j->dkeys);
    tsr_free(j->dvalues);
}

static tsr_status job_init(head_job *j)
{
    TSR_TRY(tsr_alloc(&j->scores, j->q->heads * j->q->codes, sizeof *j->scores));
    return tsr_alloc(&j->heads, j->t->rows * j->q->width, sizeof *j->heads);
}

static tsr_status mem_forward(tsr_quantizer *q, tsr_quant_step *s)
{
    head_job job = {.q = q, .t = s};
    TSR_TRY(mem_refresh(q));
    tsr_status st = job_init(&job);
    if (st == TSR_OK) {
        tsr_par_kernels(q->heads, forward_head, &job);
        mem_decode(q, s->ids, s->rows, s->out);
        s->commitment = 0;
    }
    job_clear(&job);
    return st;
}

/* scores become d loss / d scores: y (dy - sum y dy), y = softmax(scores), dy_k = do . v_k. */
static void through_softmax(const head_job *j, size_t h, const float *go, float *scores)
{
    const mem_state *s = j->q->state;
    const float *values = s->values + h * j->q->codes * s->d;
    float top = scores[best_of(scores, j->q->codes)];
    double total = 0, mean = 0;
    for (size_t k = 0; k < j->q->codes; k++) {
        scores[k] = expf(scores[k] - top);
        total += (double)scores[k];
        mean += (double)scores[k] * (double)dot(go, values + k * s->d, s->d);
    }
    for (size_t k = 0; k < j->q->codes; k++)
        scores[k] = (float)((double)scores[k] / total *
                            ((double)dot(go, values + k * s->d, s->d) - mean / total));
}

static void backward_row(const head_job *j, size_t h, size_t r)
{
    const mem_state *s = j->q->state;
    size_t d = s->d, codes = j->q->codes;
    const float *go = j->t->dout + r * j->q->width + h * d;
    const float *x = j->heads + (h * j->t->rows + r) * d;
    float *gz = j->t->dz + r * j->q->width + h * d, *scores = j->scores + h * codes;
    float scale = 1 / sqrtf((float)d);
    noisy_scores(j->q, j->t, h, r, x, scores);
    through_softmax(j, h, go, scores);
    memset(gz, 0, d * sizeof *gz);
    for (size_t k = 0; k < codes; k++) {
        axpy(gz, scores[k] * scale, s->keys + (h * codes + k) * d, d);
        axpy(j->dkeys + (h * codes + k) * d, scores[k], x, d);
    }
    axpy(j->dvalues + (h * codes + (size_t)j->t->ids[h * j->t->rows + r]) * d, 1, go, d);
}

/* From gradients of mapped codes to those of codes and map: dc += dm map^T, dmap += c^T dm. */
static void through_map(const mem_state *s, size_t h, size_t codes, const float *dm,
                        const tsr_param *map)
{
    size_t d = s->d;
    for (size_t k = h * codes; k < (h + 1) * codes; k++) {
        const float *code = s->codes->value + k * d;
        float *dcode = s->codes->grad + k * d;
        for (size_t j = 0; j < d; j++) {
            dcode[j] += dot(dm + k * d, map->value + (h * d + j) * d, d);
            axpy(map->grad + (h * d + j) * d, code[j], dm + k * d, d);
        }
    }
}

static void backward_head(void *ctx, size_t h, int lane)
{
    (void)lane;
    const head_job *j = ctx;
    const mem_state *s = j->q->state;
    take_head(j->q, j->t->z, j->t->rows, h, j->heads + h * j->t->rows * s->d);
    for (size_t r = 0; r < j->t->rows; r++)
        backward_row(j, h, r);
    through_map(s, h, j->q->codes, j->dkeys, s->to_k);
    through_map(s, h, j->q->codes, j->dvalues, s->to_v);
}

static tsr_status mem_backward(tsr_quantizer *q, tsr_quant_step *s)
{
    tsr_status st = TSR_OK;
    mem_state *m = q->state;
    head_job job = {.q = q, .t = s};
    if (!m->codes->grad || !m->to_k->grad || !m->to_v->grad)
        TSR_FAIL(TSR_EARG, "memcodes: the parameters have no gradients yet");
    TSR_GO(job_init(&job));
    TSR_GO(tsr_alloc(&job.dkeys, m->codes->count, sizeof *job.dkeys));
    TSR_GO(tsr_alloc(&job.dvalues, m->codes->count, sizeof *job.dvalues));
    tsr_par_kernels(q->heads, backward_head, &job);
out:
    job_clear(&job);
    return st;
}

static tsr_status mem_update(tsr_quantizer *q, tsr_quant_step *s)
{
    (void)q;
    s->revived = 0;
    return TSR_OK;
}

const tsr_quantizer_kind tsr_quant_memcodes = {
    .name = "memcodes",
    .settle = mem_settle,
    .declare = mem_declare,
    .init = mem_init,
    .bind = mem_bind,
    .unbind = mem_unbind,
    .refresh = mem_refresh,
    .encode = mem_encode,
    .decode = mem_decode,
    .forward = mem_forward,
    .backward = mem_backward,
    .update = mem_update,
};

/* SPDX-License-Identifier: Apache-2.0
 * Starting a model from principal components and k-means. */
#include "vqvae/vqstart.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "dsp/kmeans.h"
#include "dsp/pca.h"
#include "nn/params.h"
#include "vqvae/vqvae_model.h"

#include <math.h>
#include <string.h>

#define CERTAIN 6.0f /* logit of a class that is sure */
#define ROUNDS  10   /* of k-means */

typedef struct start {
    tsr_vqvae *m;
    size_t dim, width; /* of a patch; Z */
    float *mean, *p;   /* [dim], [Z, dim] principal components */
    float scale;       /* s */
    uint64_t seed;
} start;

static tsr_status weight(const start *s, const char *name, tsr_param **out)
{
    return tsr_params_get(s->m->ps, name, out);
}

/* Orthonormal directions of width `d`: first those of the positional table `name` [1, d, h, w], then
 * `more` random ones beside them. *n_table is the rank of the table. */
static tsr_status directions(const start *s, const char *name, size_t more, float **out,
                             size_t *n_table)
{
    tsr_param *table;
    float *q = NULL;
    size_t rank, cells, d;
    tsr_rng rng;
    tsr_status st = TSR_OK;
    TSR_TRY(weight(s, name, &table));
    d = table->shape[1];
    cells = table->shape[2] * table->shape[3];
    TSR_GO(tsr_alloc(&q, (cells + more) * d, sizeof *q));
    for (size_t t = 0; t < cells; t++)
        for (size_t i = 0; i < d; i++)
            q[t * d + i] = table->value[i * cells + t];
    tsr_orthonormalise(q, cells, d, NULL, 0, &rank);
    size_t kept = 0;
    for (size_t t = 0; t < cells; t++) {
        int zero = 1;
        for (size_t i = 0; i < d; i++)
            zero = zero && q[t * d + i] == 0;
        if (!zero)
            memmove(q + kept++ * d, q + t * d, d * sizeof *q);
    }
    if (rank + more > d)
        TSR_GOFAIL(TSR_ECONFIG,
                   "a width of %zu is too small to start from principal components: the positional "
                   "table takes %zu directions and the latents %zu", d, rank, more);
    tsr_rng_init(&rng, s->seed, TSR_RNG_INIT, tsr_hash_name(name));
    for (size_t i = 0; i < more * d; i++)
        q[rank * d + i] = tsr_rng_normal(&rng);
    tsr_orthonormalise(q + rank * d, more, d, q, rank, NULL);
    *out = q;
    *n_table = rank;
    q = NULL;
out:
    tsr_free(q);
    return st;
}

static int ends_block(const char *name)
{
    return tsr_ends_with(name, ".attn.proj.weight") || tsr_ends_with(name, "mlp.fc2.weight");
}

/* Blocks add nothing at first. */
static void silence_blocks(tsr_params *ps)
{
    for (size_t i = 0; i < tsr_params_count(ps); i++) {
        tsr_param *p = tsr_params_at(ps, i);
        if (!ends_block(p->name))
            continue;
        memset(p->value, 0, p->count * sizeof *p->value);
        tsr_param_touch(p);
    }
}

/* Row z of P as a map from what the encoder reads: for label models from embedded classes, the
 * shortest u with E u = w for each pixel. */
static tsr_status label_map(const start *s, float **out)
{
    const tsr_vqvae_info *info = tsr_vqvae_info_of(s->m);
    size_t v = info->labels, area = info->patch * info->patch;
    tsr_param *table;
    TSR_TRY(weight(s, "cls_emb.weight", &table));
    size_t c = table->shape[1];
    float *basis = NULL, *lower = NULL, *map = NULL;
    tsr_status st = TSR_OK;
    if (c < v)
        TSR_FAIL(TSR_ECONFIG, "to start from principal components a label model needs as many "
                              "embedding channels (n_channels %zu) as classes (%zu)", c, v);
    /* E = L Q with orthonormal rows Q: E u = w has the solution u = Q^T y with L y = w. */
    TSR_GO(tsr_alloc(&basis, v * c, sizeof *basis));
    TSR_GO(tsr_alloc(&lower, v * v, sizeof *lower));
    TSR_GO(tsr_alloc(&map, s->width * c * area, sizeof *map));
    memcpy(basis, table->value, v * c * sizeof *basis);
    tsr_orthonormalise(basis, v, c, NULL, 0, NULL);
    for (size_t i = 0; i < v; i++)
        for (size_t j = 0; j <= i; j++)
            for (size_t k = 0; k < c; k++)
                lower[i * v + j] += table->value[i * c + k] * basis[j * c + k];
    for (size_t z = 0; z < s->width; z++) {
        for (size_t a = 0; a < area; a++) {
            double y[1024];
            for (size_t i = 0; i < v && i < 1024; i++) {
                y[i] = s->p[z * s->dim + i * area + a];
                for (size_t j = 0; j < i; j++)
                    y[i] -= lower[i * v + j] * y[j];
                y[i] /= lower[i * v + i];
                for (size_t k = 0; k < c; k++)
                    map[(z * c + k) * area + a] += (float)y[i] * basis[i * c + k];
            }
        }
    }
    *out = map;
    map = NULL;
out:
    tsr_free(basis);
    tsr_free(lower);
    tsr_free(map);
    return st;
}

static tsr_status set_encoder(const start *s)
{
    tsr_param *proj, *bias, *quant, *quant_bias;
    float *q = NULL, *map = NULL;
    size_t table, inputs, d;
    tsr_status st = TSR_OK;
    TSR_TRY(weight(s, "encoder.proj.weight", &proj));
    TSR_TRY(weight(s, "encoder.proj.bias", &bias));
    TSR_TRY(weight(s, "quant_proj.weight", &quant));
    TSR_TRY(weight(s, "quant_proj.bias", &quant_bias));
    d = proj->shape[0];
    inputs = proj->count / d;
    TSR_GO(directions(s, "encoder.pos_emb", s->width, &q, &table));
    const float *u = q + table * d, *rows = s->p;
    if (s->m->info.labels) {
        TSR_GO(label_map(s, &map));
        rows = map;
    }
    memset(bias->value, 0, d * sizeof *bias->value);
    /* Random weights stay in the directions that the latents do not use. */
    for (size_t z = 0; z < s->width; z++) {
        float centre = 0;
        for (size_t j = 0; j < s->dim; j++)
            centre += s->p[z * s->dim + j] * s->mean[j];
        for (size_t j = 0; j < inputs; j++) {
            float along = 0;
            for (size_t i = 0; i < d; i++)
                along += u[z * d + i] * proj->value[i * inputs + j];
            for (size_t i = 0; i < d; i++)
                proj->value[i * inputs + j] +=
                    u[z * d + i] * (s->scale * rows[z * inputs + j] - along);
        }
        for (size_t i = 0; i < d; i++)
            bias->value[i] -= u[z * d + i] * s->scale * centre;
    }
    memcpy(quant->value, u, s->width * d * sizeof *u);
    memset(quant_bias->value, 0, quant_bias->count * sizeof *quant_bias->value);
    tsr_param_touch(proj);
    tsr_param_touch(bias);
    tsr_param_touch(quant);
    tsr_param_touch(quant_bias);
out:
    tsr_free(q);
    tsr_free(map);
    return st;
}

static tsr_status set_decoder(const start *s)
{
    tsr_param *post, *post_bias, *out, *out_bias;
    float *q = NULL, gain = s->m->info.labels ? CERTAIN : 1;
    size_t table, d;
    tsr_status st = TSR_OK;
    TSR_TRY(weight(s, "post_quant_proj.weight", &post));
    TSR_TRY(weight(s, "post_quant_proj.bias", &post_bias));
    TSR_TRY(weight(s, "decoder.out_proj.weight", &out));
    TSR_TRY(weight(s, "decoder.out_proj.bias", &out_bias));
    d = post->shape[0];
    TSR_GO(directions(s, "decoder.pos_emb", s->width, &q, &table));
    const float *v = q + table * d;
    for (size_t i = 0; i < d; i++)
        for (size_t z = 0; z < s->width; z++)
            post->value[i * s->width + z] = v[z * d + i];
    memset(post_bias->value, 0, d * sizeof *post_bias->value);
    /* Neither the table nor the latents may be heard through the random weights. */
    for (size_t j = 0; j < s->dim; j++) {
        float *row = out->value + j * d;
        for (size_t t = 0; t < table + s->width; t++) {
            float along = 0;
            for (size_t i = 0; i < d; i++)
                along += row[i] * q[t * d + i];
            float want = t < table ? 0 : gain * s->p[(t - table) * s->dim + j] / s->scale;
            for (size_t i = 0; i < d; i++)
                row[i] += (want - along) * q[t * d + i];
        }
        out_bias->value[j] = gain * s->mean[j];
    }
    tsr_param_touch(post);
    tsr_param_touch(post_bias);
    tsr_param_touch(out);
    tsr_param_touch(out_bias);
out:
    tsr_free(q);
    return st;
}

static void normalise_rows(float *x, size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++) {
        double length = 0;
        for (size_t i = 0; i < width; i++)
            length += (double)x[r * width + i] * x[r * width + i];
        length = fmax(sqrt(length), 1e-12);
        for (size_t i = 0; i < width; i++)
            x[r * width + i] = (float)(x[r * width + i] / length);
    }
}

/* Means of the latents in each code become its moving averages. */
static tsr_status set_codes(const start *s, const float *patches, size_t n, size_t per_step,
                            const tsr_job *job)
{
    size_t k = s->m->info.codes;
    tsr_param *embed, *sizes, *initted, *avg;
    float *z = NULL;
    uint32_t *assign = NULL;
    tsr_status st = TSR_OK;
    TSR_TRY(weight(s, "quantize._codebook.embed", &embed));
    TSR_TRY(weight(s, "quantize._codebook.cluster_size", &sizes));
    TSR_TRY(weight(s, "quantize._codebook.initted", &initted));
    avg = tsr_params_find(s->m->ps, "quantize._codebook.embed_avg");
    TSR_GO(tsr_alloc(&z, n * s->width, sizeof *z));
    TSR_GO(tsr_alloc(&assign, n, sizeof *assign));
    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; w < s->width; w++) {
            float sum = 0;
            for (size_t j = 0; j < s->dim; j++)
                sum += (patches[i * s->dim + j] - s->mean[j]) * s->p[w * s->dim + j];
            z[i * s->width + w] = s->scale * sum;
        }
    if (s->m->config.norm_codes || s->m->config.norm_latents)
        normalise_rows(z, n, s->width);
    const tsr_kmeans_data data = {z, NULL, n, s->width};
    const tsr_kmeans_spec how = {.k = k, .rounds = ROUNDS, .settle = 1e-4, .seed = s->seed,
                                 .sample = 4 * k, .job = job};
    TSR_GO(tsr_kmeans(&data, &how, embed->value, assign, NULL));
    memset(sizes->value, 0, k * sizeof *sizes->value);
    for (size_t i = 0; i < n; i++)
        sizes->value[assign[i]] += (float)per_step / (float)n;
    for (size_t i = 0; avg && i < k * s->width; i++)
        avg->value[i] = embed->value[i] * sizes->value[i / s->width];
    initted->value[0] = 1;
    tsr_param_touch(embed);
    tsr_param_touch(sizes);
    tsr_param_touch(initted);
    if (avg)
        tsr_param_touch(avg);
out:
    tsr_free(z);
    tsr_free(assign);
    return st;
}

static tsr_status check(const tsr_vqvae *m, size_t n)
{
    const tsr_vqvae_info *info = &m->info;
    if (info->is_vector || !m->config.patch_proj || strcmp(info->quantizer, "lucid") != 0 ||
        !info->has_decoder || info->patch != info->patch_dec)
        TSR_FAIL(TSR_ECONFIG, "only a ViT with patches of one size and an EMA codebook can start from "
                              "principal components");
    if (info->labels > 1024)
        TSR_FAIL(TSR_ECONFIG, "%zu classes are too many to start from principal components",
                 info->labels);
    if (n < info->code_width)
        TSR_FAIL(TSR_EARG, "%zu patches for latents of %zu numbers; there must be more", n,
                 info->code_width);
    return TSR_OK;
}

tsr_status tsr_vqvae_start(tsr_vqvae *m, const float *patches, size_t n, size_t latents_per_step,
                           uint64_t seed, const tsr_job *job)
{
    const tsr_vqvae_info *info = &m->info;
    start s = {.m = m, .width = info->code_width, .seed = seed};
    float *variances = NULL;
    double total = 0;
    tsr_status st = TSR_OK;
    TSR_TRY(check(m, n));
    s.dim = info->out_channels * info->patch * info->patch;
    if (s.width > s.dim)
        TSR_FAIL(TSR_ECONFIG, "latents of %zu numbers for patches of %zu", s.width, s.dim);
    TSR_GO(tsr_alloc(&s.mean, s.dim, sizeof *s.mean));
    TSR_GO(tsr_alloc(&s.p, s.width * s.dim, sizeof *s.p));
    TSR_GO(tsr_alloc(&variances, s.width, sizeof *variances));
    TSR_GO(tsr_pca(patches, n, s.dim, s.width, seed, s.mean, s.p, variances));
    for (size_t z = 0; z < s.width; z++)
        total += variances[z];
    s.scale = total > 0 ? (float)sqrt((double)s.width / total) : 1;
    silence_blocks(m->ps);
    TSR_GO(set_encoder(&s));
    TSR_GO(set_decoder(&s));
    TSR_GO(set_codes(&s, patches, n, latents_per_step, job));
    TSR_GO(tsr_vqvae_refresh(m));
out:
    tsr_free(s.mean);
    tsr_free(s.p);
    tsr_free(variances);
    return st;
}

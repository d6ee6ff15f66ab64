/* SPDX-License-Identifier: Apache-2.0
 * Codebook by moving averages, learning: update, revival of dead codes, k-means at the start.
 *
 *   n_k, S_k: number and sum of the valid rows with id k; cosine sums normalised rows.
 *   cluster_size = d cluster_size + (1-d) n
 *   cosine       m_k = S_k / n_k, normalised (no rows: the code, normalised)
 *                embed = d embed + (1-d) m
 *   euclidean    embed_avg = d embed_avg + (1-d) S
 *                embed = embed_avg / ((cluster_size + 1e-5) / (C + K 1e-5) C),  C = sum
 * cluster_size
 *
 * Where we differ from 4M: a revived code gets a cluster size (and sum) of its own, so that the
 * next update neither replaces it again nor pulls it back; rows for a Euclidean codebook are not
 * normalised; k-means sets sums, not means, beside its counts. */
#include "vqvae/quant_ema.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define KMEANS_ROUNDS 10
#define REVIVED_SHARE 2  /* cluster size of a revived code, in thresholds */
#define CODES_PIECE   64 /* codes of one piece of a parallel loop */

/* The valid rows, sorted by id, in order within an id. */
typedef struct members {
    const float *x;
    size_t width, codes;
    size_t *first; /* [codes + 1] */
    size_t *rows;  /* row numbers */
    size_t count;
} members;

static void members_clear(members *m)
{
    tsr_free(m->first);
    tsr_free(m->rows);
}

/* Counting sort; afterwards rows of code k are [first[k], first[k + 1]). */
static tsr_status group(members *m, const tsr_quant_step *s, const int32_t *ids)
{
    TSR_TRY(tsr_alloc(&m->first, m->codes + 1, sizeof *m->first));
    TSR_TRY(tsr_alloc(&m->rows, s->rows, sizeof *m->rows));
    for (size_t r = 0; r < s->rows; r++)
        if (!s->valid || s->valid[r])
            m->first[ids[r]]++;
    size_t at = 0;
    for (size_t k = 0; k <= m->codes; k++) {
        size_t n = k < m->codes ? m->first[k] : 0;
        at += n;
        m->first[k] = at; /* the end, until the loop below counts down to the start */
    }
    m->count = at;
    for (size_t r = s->rows; r-- > 0;)
        if (!s->valid || s->valid[r])
            m->rows[--m->first[ids[r]]] = r;
    return TSR_OK;
}

static size_t size_of(const members *m, size_t k)
{
    return m->first[k + 1] - m->first[k];
}

static void sum_of(const members *m, size_t k, float *sum)
{
    memset(sum, 0, m->width * sizeof *sum);
    for (size_t i = m->first[k]; i < m->first[k + 1]; i++) {
        const float *x = m->x + m->rows[i] * m->width;
        for (size_t d = 0; d < m->width; d++)
            sum[d] += x[d];
    }
}

/* --- update ------------------------------------------------------------------------------------
 */

typedef struct update_job {
    const members *m;
    const ema_state *e;
    float *sums; /* [K, Z] */
    float decay;
    float total; /* euclidean: sum of cluster sizes */
} update_job;

static void size_piece(void *ctx, size_t piece, int lane)
{
    (void)lane;
    const update_job *j = ctx;
    size_t end = (piece + 1) * CODES_PIECE;
    end = end < j->m->codes ? end : j->m->codes;
    for (size_t k = piece * CODES_PIECE; k < end; k++) {
        float *size = j->e->cluster_size->value + k;
        *size = j->decay * *size + (1 - j->decay) * (float)size_of(j->m, k);
        sum_of(j->m, k, j->sums + k * j->m->width);
    }
}

static void cosine_code(const update_job *j, size_t k)
{
    size_t width = j->m->width, n = size_of(j->m, k);
    float *mean = j->sums + k * width, *code = j->e->embed->value + k * width;
    for (size_t d = 0; d < width; d++)
        mean[d] = n ? mean[d] / (float)n : code[d];
    tsr_ema_normalize(mean, 1, width, mean);
    for (size_t d = 0; d < width; d++)
        code[d] = j->decay * code[d] + (1 - j->decay) * mean[d];
}

static void euclid_code(const update_job *j, size_t k)
{
    size_t width = j->m->width;
    float *avg = j->e->embed_avg->value + k * width, *code = j->e->embed->value + k * width;
    const float *sum = j->sums + k * width, eps = 1e-5f;
    float size =
        (j->e->cluster_size->value[k] + eps) / (j->total + (float)j->m->codes * eps) * j->total;
    for (size_t d = 0; d < width; d++) {
        avg[d] = j->decay * avg[d] + (1 - j->decay) * sum[d];
        code[d] = avg[d] / size;
    }
}

static void code_piece(void *ctx, size_t piece, int lane)
{
    (void)lane;
    const update_job *j = ctx;
    size_t end = (piece + 1) * CODES_PIECE;
    end = end < j->m->codes ? end : j->m->codes;
    for (size_t k = piece * CODES_PIECE; k < end; k++) {
        if (j->e->cosine)
            cosine_code(j, k);
        else
            euclid_code(j, k);
    }
}

/* --- dead codes --------------------------------------------------------------------------------
 */

/* Code k starts again at row x: cluster size and sum too, or the next update would undo it. */
static void revive(const ema_state *e, size_t k, const float *x, size_t width, double threshold)
{
    float size = (float)(REVIVED_SHARE * threshold);
    float *code = e->embed->value + k * width;
    if (e->cosine)
        tsr_ema_normalize(x, 1, width, code);
    else
        memcpy(code, x, width * sizeof *code);
    e->cluster_size->value[k] = size;
    for (size_t d = 0; d < width && !e->cosine; d++)
        e->embed_avg->value[k * width + d] = code[d] * size;
}

/* The i-th of a random order of the valid rows; the order begins again when they run out. m->rows
 * holds each valid row once. */
static size_t random_row(const members *m, size_t i, const tsr_quant_step *s)
{
    return m->rows[tsr_rng_permute(i % m->count, m->count, s->seed, TSR_RNG_CODEBOOK, s->step)];
}

static size_t revive_dead(const ema_state *e, const members *m, const tsr_quant_step *s)
{
    size_t n = 0;
    for (size_t k = 0; k < m->codes && s->dead_below > 0 && m->count; k++) {
        if (e->cluster_size->value[k] < (float)s->dead_below) {
            revive(e, k, m->x + random_row(m, n, s) * m->width, m->width, s->dead_below);
            n++;
        }
    }
    return n;
}

static float total_size(const ema_state *e)
{
    double sum = 0;
    for (size_t k = 0; k < e->cluster_size->count; k++)
        sum += (double)e->cluster_size->value[k];
    return (float)sum;
}

static void touch_all(const ema_state *e)
{
    tsr_param_touch(e->initted);
    tsr_param_touch(e->cluster_size);
    tsr_param_touch(e->embed);
    if (e->embed_avg)
        tsr_param_touch(e->embed_avg);
}

tsr_status tsr_ema_update(tsr_quantizer *q, tsr_quant_step *s)
{
    tsr_status st = TSR_OK;
    const ema_state *e = q->state;
    members m = {.x = s->z, .width = q->width, .codes = q->codes};
    update_job job = {.m = &m, .e = e, .decay = (float)q->config.ema_decay};
    size_t pieces = (q->codes + CODES_PIECE - 1) / CODES_PIECE;
    s->revived = 0;
    if (e->cosine || q->config.norm_latents) {
        tsr_ema_normalize(s->z, s->rows, q->width, s->scratch);
        m.x = s->scratch;
    }
    TSR_GO(group(&m, s, s->ids));
    if (!m.count)
        goto out; /* nothing was seen: averages over nothing would only forget */
    TSR_GO(tsr_alloc(&job.sums, q->codes * q->width, sizeof *job.sums));
    tsr_par_kernels(pieces, size_piece, &job);
    job.total = total_size(e);
    tsr_par_kernels(pieces, code_piece, &job);
    s->revived = revive_dead(e, &m, s);
    touch_all(e);
out:
    tsr_free(job.sums);
    members_clear(&m);
    return st;
}

/* --- k-means -----------------------------------------------------------------------------------
 */

/* Means of one assignment become the codes; an empty cluster keeps its code. */
static void means_to_codes(const members *m, const ema_state *e, float *sum)
{
    for (size_t k = 0; k < m->codes; k++) {
        float *code = e->embed->value + k * m->width;
        size_t n = size_of(m, k);
        if (!n)
            continue;
        sum_of(m, k, sum);
        for (size_t d = 0; d < m->width; d++)
            code[d] = sum[d] / (float)n;
        if (e->cosine)
            tsr_ema_normalize(code, 1, m->width, code);
    }
}

static void seed_codes(const members *m, const ema_state *e, const tsr_quant_step *s)
{
    for (size_t k = 0; k < m->codes; k++) {
        const float *x = m->x + random_row(m, k, s) * m->width;
        memcpy(e->embed->value + k * m->width, x, m->width * sizeof *x);
    }
}

static void sizes_from(const members *m, const ema_state *e)
{
    for (size_t k = 0; k < m->codes; k++) {
        float n = (float)size_of(m, k);
        e->cluster_size->value[k] = n;
        for (size_t d = k * m->width; d < (k + 1) * m->width && e->embed_avg; d++)
            e->embed_avg->value[d] = e->embed->value[d] * n;
    }
}

tsr_status tsr_ema_kmeans(tsr_quantizer *q, const tsr_quant_step *s, const float *x)
{
    tsr_status st = TSR_OK;
    const ema_state *e = q->state;
    members m = {.x = x, .width = q->width, .codes = q->codes};
    float *hats = NULL, *sum = NULL;
    int32_t *ids = NULL;
    TSR_GO(tsr_alloc(&ids, s->rows, sizeof *ids));
    TSR_GO(tsr_alloc(&sum, q->width, sizeof *sum));
    if (e->cosine) {
        TSR_GO(tsr_alloc(&hats, s->rows * q->width, sizeof *hats));
        tsr_ema_normalize(x, s->rows, q->width, hats);
        m.x = hats;
    }
    TSR_GO(group(&m, s, ids)); /* all in one group: the list of valid rows */
    seed_codes(&m, e, s);
    for (int round = 0; round < KMEANS_ROUNDS; round++) {
        members_clear(&m);
        m.first = m.rows = NULL;
        TSR_GO(tsr_ema_assign(q, m.x, s->rows, ids));
        TSR_GO(group(&m, s, ids));
        means_to_codes(&m, e, sum);
    }
    sizes_from(&m, e);
    e->initted->value[0] = 1;
    touch_all(e);
out:
    members_clear(&m);
    tsr_free(hats);
    tsr_free(sum);
    tsr_free(ids);
    return st;
}

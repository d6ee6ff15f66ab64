/* SPDX-License-Identifier: Apache-2.0
 * k-means: seeding, assignment, update. */
#include "dsp/kmeans.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "dsp/nearest_kernel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 512 /* points of one work item */

/* ---- assignment -------------------------------------------------------------------------------*/

typedef struct search {
    const float *points;
    size_t n, dim, n_panels;
    float *panels, *squares;
    uint32_t *assign;
    float *distance;
    tsr_nearest_kernel *kernel;
} search;

static tsr_nearest_kernel *const kernels[] = {
    [TSR_CPU_REF] = tsr_nearest_ref,
#ifdef TSR_X86_KERNELS
    [TSR_CPU_AVX2] = tsr_nearest_avx2,
    [TSR_CPU_AVX512] = tsr_nearest_avx512,
#endif
};

static tsr_nearest_kernel *choose_kernel(void)
{
    size_t level = (size_t)tsr_cpu(), last = sizeof kernels / sizeof kernels[0] - 1;
    return kernels[level < last ? level : last];
}

static double square_sum(const float *x, size_t dim)
{
    double sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += (double)x[d] * x[d];
    return sum;
}

/* Centres in panels, their squares; padding can never win. */
static void pack(search *s, const float *centres, size_t k)
{
    size_t dim = s->dim;
    for (size_t j = 0; j < s->n_panels * TSR_PANEL; j++) {
        float *panel = s->panels + j / TSR_PANEL * dim * TSR_PANEL + j % TSR_PANEL;
        for (size_t d = 0; d < dim; d++)
            panel[d * TSR_PANEL] = j < k ? centres[j * dim + d] : 0;
        s->squares[j] = j < k ? (float)square_sum(centres + j * dim, dim) : INFINITY;
    }
}

static tsr_status search_init(search *s, const float *points, size_t n, size_t k, size_t dim)
{
    *s = (search){.points = points, .n = n, .dim = dim, .kernel = choose_kernel()};
    s->n_panels = (k + TSR_PANEL - 1) / TSR_PANEL;
    size_t items;
    TSR_TRY(tsr_mul_size(s->n_panels * TSR_PANEL, dim, &items));
    TSR_TRY(tsr_alloc(&s->panels, items, sizeof *s->panels));
    return tsr_alloc(&s->squares, s->n_panels * TSR_PANEL, sizeof *s->squares);
}

static void search_clear(search *s)
{
    tsr_free(s->panels);
    tsr_free(s->squares);
}

/* Fewer points than a kernel does at once: copied into a full group. */
static tsr_status search_few(search *s, float *best)
{
    enum { GROUP = 8 };
    float *padded = NULL, score[GROUP];
    uint32_t index[GROUP];
    TSR_TRY(tsr_alloc(&padded, GROUP * s->dim, sizeof *padded));
    memcpy(padded, s->points, s->n * s->dim * sizeof *padded);
    s->kernel(padded, GROUP, s->dim, s->panels, s->squares, s->n_panels, score, index);
    memcpy(best, score, s->n * sizeof *best);
    memcpy(s->assign, index, s->n * sizeof *index);
    tsr_free(padded);
    return TSR_OK;
}

static void search_block(void *ctx, size_t i, int lane)
{
    search *s = ctx;
    (void)lane;
    /* The last block takes the remainder, so that every block has at least BLOCK points. */
    size_t blocks = s->n / BLOCK ? s->n / BLOCK : 1;
    size_t from = i * BLOCK, to = i + 1 == blocks ? s->n : from + BLOCK;
    s->kernel(s->points + from * s->dim, to - from, s->dim, s->panels, s->squares, s->n_panels,
              s->distance + from, s->assign + from);
    for (size_t p = from; p < to; p++) {
        float d = s->distance[p] + (float)square_sum(s->points + p * s->dim, s->dim);
        s->distance[p] = d > 0 ? d : 0;
    }
}

/* Fills s->assign and s->distance (both needed). */
static tsr_status search_run(search *s, const float *centres, size_t k)
{
    pack(s, centres, k);
    if (s->n < 8) {
        TSR_TRY(search_few(s, s->distance));
        for (size_t p = 0; p < s->n; p++) {
            float d = s->distance[p] + (float)square_sum(s->points + p * s->dim, s->dim);
            s->distance[p] = d > 0 ? d : 0;
        }
        return TSR_OK;
    }
    tsr_par_kernels(s->n / BLOCK ? s->n / BLOCK : 1, search_block, s);
    return TSR_OK;
}

tsr_status tsr_kmeans_assign(const float *points, size_t n, const float *centres, size_t k,
                             size_t dim, uint32_t *assign, float *distance)
{
    search s = {0};
    float *own = NULL;
    tsr_status st = TSR_OK;
    if (k == 0 || dim == 0 || k > UINT32_MAX - TSR_PANEL)
        TSR_FAIL(TSR_EARG, "nearest of %zu centres of %zu components", k, dim);
    if (n == 0)
        return TSR_OK;
    TSR_GO(search_init(&s, points, n, k, dim));
    if (!distance)
        TSR_GO(tsr_alloc(&own, n, sizeof *own));
    s.assign = assign;
    s.distance = distance ? distance : own;
    TSR_GO(search_run(&s, centres, k));
out:
    tsr_free(own);
    search_clear(&s);
    return st;
}

/* ---- seeding ----------------------------------------------------------------------------------*/

typedef struct seeding {
    const tsr_kmeans_data *data;
    const float *centre; /* the newest */
    double *distance;    /* [m] to the nearest centre so far */
    size_t m;            /* samples, evenly spaced over the points */
} seeding;

static size_t sample_point(const seeding *s, size_t p)
{
    /* m <= n < 2^53 in practice; the product of two sizes may not fit, so divide first. */
    size_t n = s->data->n, whole = n / s->m, rest = n % s->m;
    return p * whole + (size_t)((double)p * (double)rest / (double)s->m);
}

static double weight_of(const tsr_kmeans_data *data, size_t i)
{
    return data->weights ? data->weights[i] : 1.0;
}

static void nearer(void *ctx, size_t i, int lane)
{
    seeding *s = ctx;
    (void)lane;
    size_t to = (i + 1) * BLOCK < s->m ? (i + 1) * BLOCK : s->m, dim = s->data->dim;
    for (size_t p = i * BLOCK; p < to; p++) {
        const float *x = s->data->points + sample_point(s, p) * dim;
        float lanes[8] = {0};
        size_t d = 0;
        for (; d + 8 <= dim; d += 8)
            for (size_t l = 0; l < 8; l++) {
                float e = x[d + l] - s->centre[d + l];
                lanes[l] += e * e;
            }
        for (; d < dim; d++)
            lanes[0] += (x[d] - s->centre[d]) * (x[d] - s->centre[d]);
        float sum = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
                    ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
        s->distance[p] = sum < s->distance[p] ? sum : s->distance[p];
    }
}

/* A sample with probability in proportion to weight * distance (to weight alone when every
 * distance is 0 or none is known yet). */
static size_t draw(const seeding *s, tsr_rng *r, int by_distance)
{
    double total = 0;
    for (size_t p = 0; p < s->m; p++)
        total += weight_of(s->data, sample_point(s, p)) * (by_distance ? s->distance[p] : 1);
    if (!(total > 0))
        return by_distance ? draw(s, r, 0) : 0;
    double at = tsr_rng_double(r) * total, sum = 0;
    size_t last = 0;
    for (size_t p = 0; p < s->m; p++) {
        double w = weight_of(s->data, sample_point(s, p)) * (by_distance ? s->distance[p] : 1);
        if (!(w > 0))
            continue;
        last = p;
        sum += w;
        if (sum > at)
            break;
    }
    return last;
}

static tsr_status seed_centres(const tsr_kmeans_data *data, const tsr_kmeans_spec *spec,
                               float *centres)
{
    seeding s = {.data = data, .m = data->n};
    if (spec->sample > 0 && spec->sample < data->n)
        s.m = spec->sample;
    tsr_rng r;
    tsr_rng_init(&r, spec->seed, TSR_RNG_KMEANS, 0);
    TSR_TRY(tsr_alloc(&s.distance, s.m, sizeof *s.distance));
    for (size_t p = 0; p < s.m; p++)
        s.distance[p] = INFINITY;
    tsr_status st = TSR_OK;
    for (size_t j = 0; j < spec->k; j++) {
        size_t p = draw(&s, &r, j > 0);
        memcpy(centres + j * data->dim, data->points + sample_point(&s, p) * data->dim,
               data->dim * sizeof *centres);
        s.centre = centres + j * data->dim;
        tsr_par_kernels((s.m + BLOCK - 1) / BLOCK, nearer, &s);
        TSR_GO(tsr_job_check(spec->job));
    }
out:
    tsr_free(s.distance);
    return st;
}

/* ---- update -----------------------------------------------------------------------------------*/

typedef struct update {
    const tsr_kmeans_data *data;
    uint32_t *order; /* points grouped by cluster, ascending inside each */
    size_t *start;   /* [k + 1] */
    float *centres;
    double *sums; /* [threads, dim] */
} update;

static void mean_of_cluster(void *ctx, size_t j, int lane)
{
    update *u = ctx;
    size_t dim = u->data->dim;
    double *sum = u->sums + (size_t)lane * dim, total = 0;
    memset(sum, 0, dim * sizeof *sum);
    for (size_t i = u->start[j]; i < u->start[j + 1]; i++) {
        const float *x = u->data->points + (size_t)u->order[i] * dim;
        double w = weight_of(u->data, u->order[i]);
        total += w;
        for (size_t d = 0; d < dim; d++)
            sum[d] += w * x[d];
    }
    if (!(total > 0))
        return;
    for (size_t d = 0; d < dim; d++)
        u->centres[j * dim + d] = (float)(sum[d] / total);
}

/* Counting sort of the points by cluster. */
static void group_points(const uint32_t *assign, size_t n, size_t k, uint32_t *order, size_t *start)
{
    memset(start, 0, (k + 1) * sizeof *start);
    for (size_t i = 0; i < n; i++)
        start[assign[i] + 1]++;
    for (size_t j = 0; j < k; j++)
        start[j + 1] += start[j];
    for (size_t i = 0; i < n; i++)
        order[start[assign[i]]++] = (uint32_t)i;
    for (size_t j = k; j > 0; j--)
        start[j] = start[j - 1];
    start[0] = 0;
}

/* Empty clusters move to the points that are worst off, farthest first. */
static void refill_empty(const update *u, size_t k, float *distance)
{
    const tsr_kmeans_data *data = u->data;
    for (size_t j = 0; j < k; j++) {
        if (u->start[j] != u->start[j + 1])
            continue;
        size_t far = 0;
        double worst = 0;
        for (size_t i = 0; i < data->n; i++) {
            double cost = weight_of(data, i) * distance[i];
            far = cost > worst ? i : far;
            worst = cost > worst ? cost : worst;
        }
        if (!(worst > 0))
            return;
        memcpy(u->centres + j * data->dim, data->points + far * data->dim,
               data->dim * sizeof *u->centres);
        distance[far] = 0;
    }
}

/* ---- the whole --------------------------------------------------------------------------------*/

static tsr_status check(const tsr_kmeans_data *data, const tsr_kmeans_spec *spec, double *weight)
{
    if (data->n == 0 || data->dim == 0 || spec->k == 0 || spec->rounds < 0)
        TSR_FAIL(TSR_EARG, "k-means: %zu points of %zu components into %zu clusters in %d rounds",
                 data->n, data->dim, spec->k, spec->rounds);
    if (data->n > UINT32_MAX || spec->k > UINT32_MAX / 2)
        TSR_FAIL(TSR_ELIMIT, "k-means: %zu points, %zu clusters; the limit is 2^32 and 2^31",
                 data->n, spec->k);
    size_t items;
    TSR_TRY(tsr_mul_size(data->n, data->dim, &items));
    for (size_t i = 0; i < items; i++)
        if (!isfinite(data->points[i]))
            TSR_FAIL(TSR_ENUMERIC, "k-means: component %zu of point %zu is not finite",
                     i % data->dim, i / data->dim);
    double sum = 0;
    for (size_t i = 0; i < data->n; i++) {
        double w = weight_of(data, i);
        if (!(w >= 0) || !isfinite(w))
            TSR_FAIL(TSR_ENUMERIC, "k-means: weight %g of point %zu", w, i);
        sum += w;
    }
    if (!(sum > 0))
        TSR_FAIL(TSR_ENUMERIC, "k-means: the weights add up to 0");
    *weight = sum;
    return TSR_OK;
}

static double mean_distance(const tsr_kmeans_data *data, const float *distance, double weight)
{
    double sum = 0;
    for (size_t i = 0; i < data->n; i++)
        sum += weight_of(data, i) * distance[i];
    return sum / weight;
}

static tsr_status report(const tsr_kmeans_spec *spec, int round, double error)
{
    char note[64];
    snprintf(note, sizeof note, "error %.6g", error);
    tsr_progress p = {"k-means", round, spec->rounds, 0, "rounds", note};
    tsr_job_report(spec->job, &p);
    return tsr_job_check(spec->job);
}

/* Lloyd's rounds; s holds assign and distance of the final centres afterwards. */
static tsr_status lloyd(search *s, update *u, const tsr_kmeans_spec *spec, double weight,
                        double *error)
{
    double before = INFINITY;
    for (int round = 0;; round++) {
        TSR_TRY(search_run(s, u->centres, spec->k));
        *error = mean_distance(u->data, s->distance, weight);
        TSR_TRY(report(spec, round, *error));
        int settled = !(before - *error > spec->settle * before) && spec->settle > 0;
        if (round == spec->rounds || settled || *error == 0 || *error == before)
            return TSR_OK;
        before = *error;
        group_points(s->assign, u->data->n, spec->k, u->order, u->start);
        tsr_par_kernels(spec->k, mean_of_cluster, u);
        refill_empty(u, spec->k, s->distance);
    }
}

tsr_status tsr_kmeans(const tsr_kmeans_data *data, const tsr_kmeans_spec *spec, float *centres,
                      uint32_t *assign, double *error)
{
    search s = {0};
    uint32_t *order = NULL;
    size_t *start = NULL;
    double *sums = NULL, weight = 0, mean = 0;
    tsr_status st = TSR_OK;
    TSR_TRY(check(data, spec, &weight));
    TSR_GO(search_init(&s, data->points, data->n, spec->k, data->dim));
    TSR_GO(tsr_alloc(&s.assign, data->n, sizeof *s.assign));
    TSR_GO(tsr_alloc(&s.distance, data->n, sizeof *s.distance));
    TSR_GO(tsr_alloc(&order, data->n, sizeof *order));
    TSR_GO(tsr_alloc(&start, spec->k + 1, sizeof *start));
    TSR_GO(tsr_alloc(&sums, (size_t)tsr_par_threads() * data->dim, sizeof *sums));
    TSR_GO(seed_centres(data, spec, centres));
    update u = {data, order, start, centres, sums};
    TSR_GO(lloyd(&s, &u, spec, weight, &mean));
    if (assign)
        memcpy(assign, s.assign, data->n * sizeof *assign);
    if (error)
        *error = mean;
out:
    tsr_free(s.assign);
    tsr_free(s.distance);
    tsr_free(order);
    tsr_free(start);
    tsr_free(sums);
    search_clear(&s);
    return st;
}

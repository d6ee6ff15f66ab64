/* SPDX-License-Identifier: Apache-2.0
 * Running diffusion decoders. */
#include "vqvae/diffdecode.h"

#include "base/job.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/ops.h"
#include "vqvae/diffsteps.h"

#include <pthread.h>
#include <string.h>

struct tsr_diffuser {
    const tsr_vqvae *m;
    tsr_precision precision;
    tsr_noise noise;
    tsr_diffnet_io io;
    pthread_mutex_t lock; /* of making the graph */
    tsr_graph *g;
};

struct tsr_diffuse_work {
    tsr_diffuser *d;
    tsr_exec *x;
    float *out, *free; /* [C, H, W]: what the network answers, told the codes and not told */
    uint8_t *nothing;  /* [rows * columns] of 1 */
};

/* --- made once ---------------------------------------------------------------------------------- */

tsr_status tsr_diffuser_create(const tsr_vqvae *m, const tsr_vqvae_sizes *sizes,
                               tsr_precision precision, tsr_diffuser **out)
{
    tsr_status st = TSR_OK;
    const tsr_vqvae_config *c = &m->config;
    size_t multiple = tsr_diffnet_multiple(&m->diff);
    tsr_diffuser *d;
    if (sizes->height % multiple || sizes->width % multiple)
        TSR_FAIL(TSR_EARG, "a picture of %zux%zu pixels: the diffusion decoder takes multiples of %zu",
                 sizes->height, sizes->width, multiple);
    TSR_TRY(tsr_alloc(&d, 1, sizeof *d));
    pthread_mutex_init(&d->lock, NULL);
    d->m = m;
    d->precision = precision;
    d->io = (tsr_diffnet_io){.height = sizes->height, .width = sizes->width,
                             .rows = sizes->grid_height, .columns = sizes->grid_width};
    TSR_GO(tsr_noise_init(&d->noise, c->num_train_timesteps, c->beta_schedule, c->zero_terminal_snr,
                          c->prediction_type));
    /* "Dynamic thresholding" of the published settings has a largest value of 1: it is a cut too. */
    d->noise.clip = c->thresholding || c->clip_sample;
    *out = d;
    d = NULL;
out:
    tsr_diffuser_destroy(d);
    return st;
}

void tsr_diffuser_destroy(tsr_diffuser *d)
{
    if (!d)
        return;
    tsr_graph_destroy(d->g);
    tsr_noise_clear(&d->noise);
    pthread_mutex_destroy(&d->lock);
    tsr_free(d);
}

static tsr_status make_graph(tsr_diffuser *d)
{
    tsr_status st = TSR_OK;
    tsr_graph *g = NULL;
    tsr_plan plan;
    TSR_GO(tsr_graph_create(d->m->ps, d->precision, &g));
    tsr_diffnet_graph(g, &d->m->diff, &d->io);
    TSR_GO(tsr_graph_plan(g, &plan));
    d->g = g;
    g = NULL;
out:
    tsr_graph_destroy(g);
    return st;
}

static tsr_status need_graph(tsr_diffuser *d)
{
    tsr_status st = TSR_OK;
    pthread_mutex_lock(&d->lock);
    if (!d->g)
        st = make_graph(d);
    pthread_mutex_unlock(&d->lock);
    return st;
}

/* --- of a thread -------------------------------------------------------------------------------- */

static size_t pixels_of(const tsr_diffuser *d)
{
    return d->m->diff.channels * d->io.height * d->io.width;
}

tsr_status tsr_diffuse_work_create(tsr_diffuser *d, tsr_diffuse_work **out)
{
    tsr_diffuse_work *w;
    TSR_TRY(tsr_alloc(&w, 1, sizeof *w));
    w->d = d;
    *out = w;
    return TSR_OK;
}

void tsr_diffuse_work_destroy(tsr_diffuse_work *w)
{
    if (!w)
        return;
    tsr_exec_destroy(w->x);
    tsr_free(w->out);
    tsr_free(w->free);
    tsr_free(w->nothing);
    tsr_free(w);
}

static tsr_status need_exec(tsr_diffuse_work *w)
{
    size_t codes = w->d->io.rows * w->d->io.columns;
    TSR_TRY(need_graph(w->d));
    if (!w->out)
        TSR_TRY(tsr_alloc(&w->out, pixels_of(w->d), sizeof *w->out));
    if (!w->free)
        TSR_TRY(tsr_alloc(&w->free, pixels_of(w->d), sizeof *w->free));
    if (!w->nothing)
        TSR_TRY(tsr_alloc(&w->nothing, codes, 1));
    memset(w->nothing, 1, codes);
    return w->x ? TSR_OK : tsr_exec_create(w->d->g, &w->x);
}

/* Tell the network the codes, but for those dropped. */
static void tell(tsr_diffuse_work *w, const uint8_t *dropped)
{
    const tsr_diffnet_io *io = &w->d->io;
    int32_t spans[4];
    int crosses = io->spans[0] >= 0;
    tsr_diffnet_place(&w->d->m->diff, io, dropped, tsr_exec_input(w->x, io->places),
                      crosses ? spans : NULL);
    for (size_t i = 0, at = 0; crosses && i < 3; at += i++ ? 1 : 2)
        memcpy(tsr_exec_input(w->x, io->spans[i]), spans + at, (i ? 1 : 2) * sizeof *spans);
}

tsr_status tsr_diffuse_once(tsr_diffuse_work *w, const float *vectors, const uint8_t *dropped,
                            const float *noisy, size_t t, float *out)
{
    TSR_TRY(need_exec(w));
    const tsr_diffnet_io *io = &w->d->io;
    size_t bytes = pixels_of(w->d) * sizeof(float);
    memcpy(tsr_exec_input(w->x, io->vectors), vectors,
           io->rows * io->columns * w->d->m->diff.cond * sizeof *vectors);
    tell(w, dropped);
    memcpy(tsr_exec_input(w->x, io->picture), noisy, bytes);
    tsr_noise_embedding(t, w->d->m->diff.base, tsr_exec_input(w->x, io->time));
    TSR_TRY(tsr_exec_run(w->x));
    memcpy(out, tsr_exec_value(w->x, io->out), bytes);
    return TSR_OK;
}

/* --- all steps ---------------------------------------------------------------------------------- */

/* The network's answer; with guidance u + g (c - u), u without codes and c with them.
 * Source   Ho and Salimans 2022, arXiv:2207.12598, eq. 6, in the form of the published code. */
static tsr_status guided(tsr_diffuse_work *w, const float *vectors, const float *x, size_t t,
                         float guidance)
{
    TSR_TRY(tsr_diffuse_once(w, vectors, NULL, x, t, w->out));
    if (guidance == 1.0f)
        return TSR_OK;
    TSR_TRY(tsr_diffuse_once(w, vectors, w->nothing, x, t, w->free));
    for (size_t i = 0, n = pixels_of(w->d); i < n; i++)
        w->out[i] = w->free[i] + guidance * (w->out[i] - w->free[i]);
    return TSR_OK;
}

static tsr_status all_steps(tsr_diffuse_work *w, tsr_sampler *s, const float *vectors,
                            const tsr_vqvae_decoding *how, float *picture)
{
    tsr_rng rng;
    size_t n = pixels_of(w->d), count = tsr_sampler_count(s);
    float guidance = how->guidance == 0.0f ? 1.0f : how->guidance;
    if (how->added && how->n_added < count)
        TSR_FAIL(TSR_EARG, "noise is given for %zu calls of the network, there are %zu", how->n_added,
                 count);
    tsr_rng_init(&rng, how->seed, TSR_RNG_DIFFUSION, how->sample);
    for (size_t i = 0; i < n; i++)
        picture[i] = how->start ? how->start[i] : tsr_rng_normal(&rng);
    for (size_t i = 0; i < count; i++) {
        TSR_TRY(tsr_job_check(how->job));
        TSR_TRY(guided(w, vectors, picture, tsr_sampler_time(s, i), guidance));
        tsr_sampler_step(s, i, w->out, picture, &rng, how->added ? how->added + i * n : NULL);
        tsr_job_report(how->job, &(tsr_progress){.phase = "decode", .done = (int64_t)i + 1,
                                                 .total = (int64_t)count, .unit = "steps"});
    }
    if (!tsr_all_finite(picture, n))
        TSR_FAIL(TSR_ENUMERIC, "the diffusion decoder gives values that are not finite");
    return TSR_OK;
}

tsr_status tsr_diffuse(tsr_diffuse_work *w, const float *vectors, const tsr_vqvae_decoding *how,
                       float *picture)
{
    tsr_sampler *s;
    tsr_sampler_spec spec = {.kind = TSR_SAMPLER_DDIM, .steps = how->steps, .eta = how->eta,
                             .compatible = how->compatible};
    if (how->sampler)
        TSR_TRY(tsr_sampler_named(how->sampler, &spec.kind));
    if (!spec.steps)
        spec.steps = w->d->m->info.steps;
    /* PNDM cannot begin without signal, and the reference's DDPM never does. */
    int pndm = spec.kind == TSR_SAMPLER_PNDM || spec.kind == TSR_SAMPLER_PNDM_PLMS;
    if (pndm || (spec.kind == TSR_SAMPLER_DDPM && how->compatible))
        spec.spacing = TSR_SPACING_LEADING;
    if (!(how->guidance >= 0 && how->guidance <= 1000))
        TSR_FAIL(TSR_EARG, "a guidance of %g is not in [0, 1000]", (double)how->guidance);
    TSR_TRY(need_exec(w));
    TSR_TRY(tsr_sampler_create(&w->d->noise, &spec, pixels_of(w->d), &s));
    tsr_exec_watch(w->x, how->job); /* a step of a large picture takes seconds */
    tsr_status st = all_steps(w, s, vectors, how, picture);
    tsr_exec_watch(w->x, NULL);
    tsr_sampler_destroy(s);
    return st;
}

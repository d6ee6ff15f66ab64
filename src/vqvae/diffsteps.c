/* SPDX-License-Identifier: Apache-2.0
 * Samplers of diffusion decoders. */
#include "vqvae/diffsteps.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

struct tsr_sampler {
    const tsr_noise *noise;
    tsr_sampler_spec spec;
    size_t values, count, stride; /* stride: T / n */
    size_t start;                 /* calls of the Runge-Kutta phase */
    long long *times;             /* [count] */
    float *kept;                  /* PNDM: sample kept [values], sum [values], outputs [4][values] */
    size_t stored;                /* outputs there are, newest at stored - 1 (mod 4) */
};

tsr_status tsr_sampler_named(const char *name, tsr_sampler_kind *out)
{
    static const char *const names[] = {"ddim", "ddpm", "pndm", "plms"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *out = (tsr_sampler_kind)i;
        return TSR_OK;
    }
    TSR_FAIL(TSR_EARG, "sampler \"%.40s\" is not known: ddim, ddpm, pndm, plms", name);
}

/* --- steps -------------------------------------------------------------------------------------- */

/* Steps as the reference counts them when n does not divide T: T-1, T-1-r, ... */
static size_t stride_times(size_t t, size_t r, long long *times)
{
    size_t n = 0;
    for (size_t at = t; at > 0; at = at > r ? at - r : 0)
        times[n++] = (long long)at - 1;
    return n;
}

/* Descending. Room for T times. */
static size_t plain_times(const tsr_sampler *s, long long *times)
{
    size_t t = s->noise->steps, n = s->spec.steps;
    if (s->spec.spacing == TSR_SPACING_TRAILING && (s->spec.compatible || t % n == 0))
        return stride_times(t, s->stride, times);
    for (size_t i = 0; i < n; i++) {
        double at = (double)(n - 1 - i) * (double)s->stride;
        if (s->spec.spacing == TSR_SPACING_TRAILING)
            at = nearbyint((double)t - (double)i * (double)t / (double)n) - 1;
        if (s->spec.spacing == TSR_SPACING_LINSPACE)
            at = n == 1 ? (double)t - 1
                        : nearbyint((double)t - (double)i * ((double)t - 1) / ((double)n - 1)) - 1;
        times[i] = (long long)at;
    }
    return n;
}

/* PNDM counts differently: trailing with a real stride, linspace down to 0. */
static void pndm_grid(const tsr_sampler *s, long long *up)
{
    size_t t = s->noise->steps, n = s->spec.steps;
    for (size_t i = 0; i < n; i++) {
        double at = (double)i * (double)s->stride;
        if (s->spec.spacing == TSR_SPACING_TRAILING)
            at = nearbyint((double)t - (double)(n - 1 - i) * (double)t / (double)n) - 1;
        if (s->spec.spacing == TSR_SPACING_LINSPACE)
            at = nearbyint((double)i * ((double)t - 1) / ((double)n - 1));
        up[i] = (long long)at;
    }
}

static size_t pndm_times(tsr_sampler *s, const long long *up, long long *times)
{
    size_t n = s->spec.steps, at = 0;
    if (s->spec.kind == TSR_SAMPLER_PNDM_PLMS) {
        times[at++] = up[n - 1];
        times[at++] = up[n - 2];
        for (size_t i = n - 1; i-- > 0;)
            times[at++] = up[i];
        return at;
    }
    /* The last four, each with its half step above, but the last; every one twice but the ends. */
    long long half = (long long)(s->stride / 2), pairs[7];
    for (size_t i = 0; i < 7; i++)
        pairs[i] = up[n - 4 + i / 2] + (i % 2 ? half : 0);
    for (size_t i = 7; i-- > 0;) {
        times[at++] = pairs[i];
        if (i > 0 && i < 6)
            times[at++] = pairs[i];
    }
    s->start = at;
    for (size_t i = n - 3; i-- > 0;)
        times[at++] = up[i];
    return at;
}

static int is_pndm(const tsr_sampler *s)
{
    return s->spec.kind == TSR_SAMPLER_PNDM || s->spec.kind == TSR_SAMPLER_PNDM_PLMS;
}

static tsr_status find_times(tsr_sampler *s)
{
    long long *up = NULL;
    TSR_TRY(tsr_alloc(&s->times, s->noise->steps + 16, sizeof *s->times));
    if (!is_pndm(s)) {
        s->count = plain_times(s, s->times);
        return TSR_OK;
    }
    TSR_TRY(tsr_alloc(&up, s->spec.steps, sizeof *up));
    pndm_grid(s, up);
    s->count = pndm_times(s, up, s->times);
    tsr_free(up);
    for (size_t i = 0; i < s->count; i++)
        if (s->times[i] >= (long long)s->noise->steps || s->noise->abar[s->times[i]] <= 0)
            TSR_FAIL(TSR_EUNSUPPORTED, "PNDM cannot begin at step %lld, which holds no signal; take "
                                       "another sampler or leading steps", s->times[i]);
    return TSR_OK;
}

static tsr_status check(const tsr_noise *noise, const tsr_sampler_spec *spec)
{
    int pndm = spec->kind == TSR_SAMPLER_PNDM || spec->kind == TSR_SAMPLER_PNDM_PLMS;
    size_t least = spec->kind == TSR_SAMPLER_PNDM ? 4 : pndm ? 2 : 1;
    if (spec->steps < least || spec->steps > noise->steps)
        TSR_FAIL(TSR_EARG, "%zu steps: from %zu to %zu are possible", spec->steps, least,
                 noise->steps);
    if (!(spec->eta >= 0 && spec->eta <= 1))
        TSR_FAIL(TSR_EARG, "eta %g is not in [0, 1]", (double)spec->eta);
    return TSR_OK;
}

tsr_status tsr_sampler_create(const tsr_noise *noise, const tsr_sampler_spec *spec, size_t values,
                              tsr_sampler **out)
{
    tsr_status st = TSR_OK;
    tsr_sampler *s;
    TSR_TRY(check(noise, spec));
    TSR_TRY(tsr_alloc(&s, 1, sizeof *s));
    s->noise = noise;
    s->spec = *spec;
    s->values = values;
    s->stride = noise->steps / spec->steps;
    TSR_GO(find_times(s));
    if (is_pndm(s)) {
        size_t all;
        TSR_GO(tsr_mul_size(values, 6, &all));
        TSR_GO(tsr_alloc(&s->kept, all, sizeof *s->kept));
    }
    *out = s;
    s = NULL;
out:
    tsr_sampler_destroy(s);
    return st;
}

void tsr_sampler_destroy(tsr_sampler *s)
{
    if (!s)
        return;
    tsr_free(s->times);
    tsr_free(s->kept);
    tsr_free(s);
}

size_t tsr_sampler_count(const tsr_sampler *s)
{
    return s->count;
}

size_t tsr_sampler_time(const tsr_sampler *s, size_t i)
{
    return (size_t)s->times[i];
}

/* --- DDIM, DDPM --------------------------------------------------------------------------------- */

/* Where step i leads: a stride down, as the reference has it, or where evenly spaced steps are not,
 * the next time; below 0 is the picture. */
static long long time_after(const tsr_sampler *s, size_t i)
{
    int even = s->noise->steps % s->spec.steps == 0 && s->spec.spacing != TSR_SPACING_LINSPACE;
    if (even || s->spec.compatible)
        return s->times[i] - (long long)s->stride;
    return i + 1 < s->count ? s->times[i + 1] : -1;
}

static float abar_at(const tsr_noise *n, long long t)
{
    return t < 0 ? 1.0f : n->abar[t];
}

static float estimate(const tsr_noise *n, float root, float rest, float x, float out)
{
    if (n->prediction == TSR_PREDICT_SAMPLE)
        return out;
    if (n->prediction == TSR_PREDICT_EPSILON)
        return (x - rest * out) / root;
    return root * x - rest * out;
}

static float clipped(const tsr_noise *n, float x0)
{
    return !n->clip ? x0 : x0 < -1.0f ? -1.0f : x0 > 1.0f ? 1.0f : x0;
}

/* What a step adds: noise that is given, or drawn. */
typedef struct step_noise {
    const float *given; /* [values] or NULL */
    tsr_rng *rng;
} step_noise;

static float noise_of(const step_noise *from, size_t k)
{
    return from->given ? from->given[k] : tsr_rng_normal(from->rng);
}

static void ddim_step(const tsr_sampler *s, size_t i, const float *out, float *x,
                      const step_noise *from)
{
    const tsr_noise *n = s->noise;
    float now = n->abar[s->times[i]], then = abar_at(n, time_after(s, i));
    float root = sqrtf(now), rest = sqrtf(1.0f - now);
    float variance = (1.0f - then) / (1.0f - now) * (1.0f - now / then);
    float sigma = s->spec.eta > 0 && now < then ? s->spec.eta * sqrtf(variance) : 0.0f;
    float keep = sqrtf(then), turn = sqrtf(1.0f - then - sigma * sigma);
    for (size_t k = 0; k < s->values; k++) {
        float x0 = estimate(n, root, rest, x[k], out[k]), e = out[k];
        if (n->prediction == TSR_PREDICT_SAMPLE)
            e = (x[k] - root * x0) / rest;
        if (n->prediction == TSR_PREDICT_V)
            e = root * out[k] + rest * x[k];
        x[k] = keep * clipped(n, x0) + turn * e;
        if (sigma > 0)
            x[k] += sigma * noise_of(from, k);
    }
}

void tsr_ddpm_coefficients(const tsr_noise *noise, size_t t, long long prev, float c[3])
{
    float now = noise->abar[t], then = abar_at(noise, prev), a = now / then, b = 1.0f - a;
    c[0] = sqrtf(then) * b / (1.0f - now);
    c[1] = sqrtf(a) * (1.0f - then) / (1.0f - now);
    c[2] = fmaxf((1.0f - then) / (1.0f - now) * b, 1e-20f);
}

static void ddpm_step(const tsr_sampler *s, size_t i, const float *out, float *x,
                      const step_noise *from)
{
    const tsr_noise *n = s->noise;
    float now = n->abar[s->times[i]], root = sqrtf(now), rest = sqrtf(1.0f - now), c[3];
    long long then = time_after(s, i);
    tsr_ddpm_coefficients(n, (size_t)s->times[i], then, c);
    float sigma = s->times[i] > 0 ? sqrtf(c[2]) : 0.0f;
    for (size_t k = 0; k < s->values; k++) {
        float x0 = clipped(n, estimate(n, root, rest, x[k], out[k]));
        x[k] = c[0] * x0 + c[1] * x[k];
        if (sigma > 0)
            x[k] += sigma * noise_of(from, k);
    }
}

/* --- PNDM --------------------------------------------------------------------------------------- */

/* x at step p from x at step t along direction e, which is of the network's kind; x may be `from`. In
 * PNDM a step below 0 holds as much signal as step 0. */
static void move(const tsr_sampler *s, const float *from, const float *e, long long t, long long p,
                 float *x)
{
    const tsr_noise *n = s->noise;
    float now = n->abar[t], then = n->abar[p < 0 ? 0 : p];
    float root = sqrtf(now), rest = sqrtf(1.0f - now), keep = sqrtf(then / now);
    float turn = (then - now) / (now * sqrtf(1.0f - then) + sqrtf(now * (1.0f - now) * then));
    for (size_t k = 0; k < s->values; k++) {
        float d = e[k];
        if (n->prediction == TSR_PREDICT_SAMPLE)
            d = (from[k] - root * d) / rest;
        if (n->prediction == TSR_PREDICT_V)
            d = root * d + rest * from[k];
        x[k] = keep * from[k] - turn * d;
    }
}

static float *stored(const tsr_sampler *s, size_t back)
{
    return s->kept + (2 + (s->stored - back) % 4) * s->values;
}

static void store(tsr_sampler *s, const float *out)
{
    s->stored++;
    memcpy(stored(s, 1), out, s->values * sizeof *out);
}

/* Four calls make one step of the classical method. */
static void runge_kutta(tsr_sampler *s, size_t i, const float *out, float *x)
{
    static const float weights[] = {1.0f / 6, 1.0f / 3, 1.0f / 3, 1.0f / 6};
    float *sample = s->kept, *sum = s->kept + s->values;
    long long t = s->times[i], p = i % 2 ? t : t - (long long)(s->stride / 2);
    if (i % 4 == 0) {
        memset(sum, 0, s->values * sizeof *sum);
        memcpy(sample, x, s->values * sizeof *x);
        store(s, out);
    }
    for (size_t k = 0; k < s->values; k++)
        sum[k] += weights[i % 4] * out[k];
    move(s, sample, i % 4 == 3 ? sum : out, s->times[i / 4 * 4], p, x);
}

/* A linear combination of the outputs so far, newest first; c ends with 0. */
static void combine(const tsr_sampler *s, const float *c, float *to)
{
    memset(to, 0, s->values * sizeof *to);
    for (size_t j = 0; j < 4 && c[j] != 0.0f; j++) {
        const float *e = stored(s, j + 1);
        for (size_t k = 0; k < s->values; k++)
            to[k] += c[j] * e[k];
    }
}

static void multistep(tsr_sampler *s, size_t i, const float *out, float *x)
{
    static const float rules[][4] = {{1.0f}, {1.5f, -0.5f}, {23.0f / 12, -16.0f / 12, 5.0f / 12},
                                     {55.0f / 24, -59.0f / 24, 37.0f / 24, -9.0f / 24}};
    float *sample = s->kept, *sum = s->kept + s->values;
    long long t = s->times[i], stride = (long long)s->stride;
    if (i == 1) { /* the first step once more, by the mean of its ends */
        for (size_t k = 0; k < s->values; k++)
            sum[k] = 0.5f * (out[k] + stored(s, 1)[k]);
        move(s, sample, sum, t + stride, t, x);
        return;
    }
    store(s, out);
    combine(s, rules[s->stored < 4 ? s->stored - 1 : 3], sum);
    if (i == 0)
        memcpy(sample, x, s->values * sizeof *x);
    move(s, x, sum, t, t - stride, x);
}

void tsr_sampler_step(tsr_sampler *s, size_t i, const float *out, float *x, tsr_rng *rng,
                      const float *added)
{
    const step_noise from = {added, rng};
    if (i == 0)
        s->stored = 0;
    if (s->spec.kind == TSR_SAMPLER_DDIM)
        ddim_step(s, i, out, x, &from);
    else if (s->spec.kind == TSR_SAMPLER_DDPM)
        ddpm_step(s, i, out, x, &from);
    else if (i < s->start)
        runge_kutta(s, i, out, x);
    else
        multistep(s, i, out, x);
}

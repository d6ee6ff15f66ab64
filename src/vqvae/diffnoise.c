/* SPDX-License-Identifier: Apache-2.0
 * Noise schedules of diffusion decoders. */
#include "vqvae/diffnoise.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846
#define MAX_STEPS 100000
#define BETA_FIRST 1e-4f
#define BETA_LAST 0.02f

/* PyTorch's linspace: from both ends towards the middle, in float32. */
static float line(float first, float last, size_t i, size_t n)
{
    float step = n > 1 ? (last - first) / (float)(n - 1) : 0.0f;
    return i < n / 2 ? first + step * (float)i : last - step * (float)(n - 1 - i);
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static double cosine_bar(double u)
{
    double c = cos((u + 0.008) / 1.008 * PI / 2);
    return c * c;
}

typedef float (*beta_rule)(size_t i, size_t n);

static float linear_beta(size_t i, size_t n)
{
    return line(BETA_FIRST, BETA_LAST, i, n);
}

static float scaled_linear_beta(size_t i, size_t n)
{
    float root = line((float)sqrt(1e-4), (float)sqrt(0.02), i, n);
    return root * root;
}

static float cosine_beta(size_t i, size_t n)
{
    double beta = 1 - cosine_bar((double)(i + 1) / (double)n) / cosine_bar((double)i / (double)n);
    return (float)(beta < 0.999 ? beta : 0.999);
}

static float sigmoid_beta(size_t i, size_t n)
{
    return sigmoid(line(-6.0f, 6.0f, i, n)) * (BETA_LAST - BETA_FIRST) + BETA_FIRST;
}

static const struct {
    const char *name;
    beta_rule beta;
} rules[] = {
    {"linear", linear_beta},
    {"scaled_linear", scaled_linear_beta},
    {"squaredcos_cap_v2", cosine_beta},
    {"sigmoid", sigmoid_beta},
};

/* abar_i = product of 1 - beta up to i, in double, each rounded once. beta and abar may be one. */
static void accumulate(const float *beta, size_t n, float *abar)
{
    double product = 1;
    for (size_t i = 0; i < n; i++) {
        product *= (double)(1.0f - beta[i]);
        abar[i] = (float)product;
    }
}

/* Lin et al. 2023, algorithm 1, on betas in place. `abar`: work space. */
static void rescale(float *beta, float *abar, size_t n)
{
    accumulate(beta, n, abar);
    float first = sqrtf(abar[0]), last = sqrtf(abar[n - 1]);
    for (size_t i = 0; i < n; i++) {
        float s = (sqrtf(abar[i]) - last) * (first / (first - last));
        abar[i] = s * s;
    }
    for (size_t i = n - 1; i > 0; i--)
        beta[i] = 1.0f - abar[i] / abar[i - 1];
    beta[0] = 1.0f - abar[0];
}

static tsr_status shifted_cosine(const char *text, size_t n, float *abar)
{
    char *end;
    double shift = strtod(text, &end);
    if (end == text || *end || !(shift > 0) || !isfinite(shift))
        TSR_FAIL(TSR_EUNSUPPORTED, "beta_schedule shifted_cosine:%.40s: a number above 0 must follow",
                 text);
    for (size_t i = 0; i < n; i++) {
        double u = (double)line(0.0f, 1.0f, i, n);
        double snr = -2 * (log(tan(PI * u / 2)) + log(shift));
        abar[i] = sigmoid((float)(snr > 15 ? 15 : snr < -15 ? -15 : snr));
    }
    abar[n - 1] = 0;
    return TSR_OK;
}

static tsr_status fill(tsr_noise *out, const char *schedule, int zero_terminal)
{
    static const char shifted[] = "shifted_cosine:";
    beta_rule beta = NULL;
    float *betas;
    if (tsr_starts_with(schedule, shifted))
        return shifted_cosine(schedule + strlen(shifted), out->steps, out->abar);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(rules[i].name, schedule) == 0)
            beta = rules[i].beta;
    if (!beta)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "beta_schedule \"%.60s\" is not known: linear, scaled_linear, squaredcos_cap_v2, "
                 "sigmoid, shifted_cosine:S",
                 schedule);
    TSR_TRY(tsr_alloc(&betas, out->steps, sizeof *betas));
    for (size_t i = 0; i < out->steps; i++)
        betas[i] = beta(i, out->steps);
    if (zero_terminal && out->steps > 1)
        rescale(betas, out->abar, out->steps);
    accumulate(betas, out->steps, out->abar);
    tsr_free(betas);
    return TSR_OK;
}

static tsr_status read_prediction(const char *text, tsr_prediction *out)
{
    if (strcmp(text, "sample") == 0)
        *out = TSR_PREDICT_SAMPLE;
    else if (strcmp(text, "epsilon") == 0)
        *out = TSR_PREDICT_EPSILON;
    else if (strcmp(text, "v_prediction") == 0 || strcmp(text, "v_prediction-epsilon_loss") == 0)
        *out = TSR_PREDICT_V;
    else
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "prediction_type \"%.60s\" is not known: sample, epsilon, v_prediction", text);
    return TSR_OK;
}

tsr_status tsr_noise_init(tsr_noise *out, size_t steps, const char *schedule, int zero_terminal,
                          const char *prediction)
{
    *out = (tsr_noise){.steps = steps};
    if (steps < 1 || steps > MAX_STEPS)
        TSR_FAIL(TSR_EUNSUPPORTED, "num_train_timesteps %zu: 1 to %d are handled", steps, MAX_STEPS);
    TSR_TRY(read_prediction(prediction, &out->prediction));
    TSR_TRY(tsr_alloc(&out->abar, steps, sizeof *out->abar));
    tsr_status st = fill(out, schedule, zero_terminal);
    if (st != TSR_OK)
        tsr_noise_clear(out);
    return st;
}

void tsr_noise_clear(tsr_noise *n)
{
    tsr_free(n->abar);
    *n = (tsr_noise){0};
}

void tsr_noise_embedding(size_t t, size_t width, float *out)
{
    size_t half = width / 2;
    for (size_t k = 0; k < half; k++) {
        float f = expf(-(float)log(10000.0) * (float)k / (float)half), angle = (float)t * f;
        out[k] = cosf(angle);
        out[half + k] = sinf(angle);
    }
}

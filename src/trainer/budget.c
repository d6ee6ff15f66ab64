/* SPDX-License-Identifier: Apache-2.0
 * Dirichlet draws in log space, and whole budgets made of them. */
#include "trainer/budget.h"

#include <assert.h>
#include <math.h>

#define MOST 64

/* Uniform in (0, 1]: its logarithm is finite. */
static double unit(tsr_rng *rng)
{
    return 1.0 - tsr_rng_double(rng);
}

double tsr_log_gamma(double alpha, tsr_rng *rng)
{
    /* Marsaglia and Tsang 2000, section 3: d (1 + c x)^3 accepted against exp(-x^2/2). */
    double boost = alpha < 1 ? log(unit(rng)) / alpha : 0;
    double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = tsr_rng_normal(rng), t = 1 + c * x, u = unit(rng);
        if (t <= 0)
            continue;
        double v = t * t * t;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

void tsr_log_gammas(const double *alpha, size_t n, tsr_rng *rng, double *log_g)
{
    for (size_t i = 0; i < n; i++)
        log_g[i] = alpha[i] > 0 ? tsr_log_gamma(fmax(alpha[i], TSR_ALPHA_LEAST), rng) : -INFINITY;
}

static double largest(const double *x, size_t n)
{
    double top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

void tsr_proportions(const double *log_g, size_t n, double *p)
{
    double top = largest(log_g, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        p[i] = log_g[i] > -INFINITY ? exp(log_g[i] - top) : 0;
        sum += p[i];
    }
    for (size_t i = 0; i < n && sum > 0; i++)
        p[i] /= sum;
}

/* Share `rest` among those with open[i] (log gammas; -infinity: closed) and fill whoever's share
 * reaches its room. 1 when somebody was filled: the others' shares must be made anew. */
static int fill_full(double *open, const uint32_t *room, size_t n, uint32_t *rest, uint32_t *b,
                     double *p)
{
    uint32_t whole = *rest;
    int filled = 0;
    tsr_proportions(open, n, p);
    for (size_t i = 0; i < n; i++) {
        if (open[i] == -INFINITY || p[i] * whole < room[i])
            continue;
        /* Rounding of the proportions may let two rooms together exceed the rest by one. */
        uint32_t give = room[i] < *rest ? room[i] : *rest;
        b[i] += give;
        *rest -= give;
        open[i] = -INFINITY;
        filled = 1;
    }
    return filled;
}

/* Whole numbers from proportions by systematic sampling; no share reaches its room, so neither does
 * the share rounded up. */
static void round_shares(const double *p, size_t n, uint32_t rest, tsr_rng *rng, uint32_t *b)
{
    double u = tsr_rng_double(rng), sum = 0;
    uint32_t given = 0;
    size_t last = 0;
    for (size_t i = 0; i < n; i++)
        last = p[i] > 0 ? i : last;
    for (size_t i = 0; i <= last; i++) {
        sum += p[i] * rest;
        /* The running sum may end an ulp beside the total, which it stands for. */
        double upto = i == last ? rest : fmin(floor(sum + u), rest);
        uint32_t goal = (uint32_t)upto;
        b[i] += goal - given;
        given = goal;
    }
}

uint32_t tsr_budget_share(const double *log_g, const uint32_t *low, const uint32_t *high, size_t n,
                          uint32_t total, tsr_rng *rng, uint32_t *b)
{
    double open[MOST], p[MOST];
    uint32_t room[MOST], rest = total, sum = 0;
    assert(n <= MOST);
    for (size_t i = 0; i < n; i++) {
        uint32_t most = log_g[i] > -INFINITY ? high[i] : 0, least = low ? low[i] : 0;
        least = least < most ? least : most;
        b[i] = least < rest ? least : rest;
        rest -= b[i];
        room[i] = most - b[i];
        open[i] = room[i] ? log_g[i] : -INFINITY;
    }
    while (rest && fill_full(open, room, n, &rest, b, p))
        continue;
    if (rest && largest(open, n) > -INFINITY)
        round_shares(p, n, rest, rng, b);
    for (size_t i = 0; i < n; i++)
        sum += b[i];
    return sum;
}

static size_t argmax(const double *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        at = x[i] > x[at] ? i : at;
    return at;
}

uint32_t tsr_budget_published(const double *alpha, const uint32_t *cap, size_t n, uint32_t total,
                              tsr_rng *rng, uint32_t *b)
{
    double a[MOST] = {0}, log_g[MOST] = {0}, p[MOST];
    uint32_t given = 0, sum = 0;
    assert(n <= MOST);
    for (size_t i = 0; i < n; i++)
        a[i] = fmax(alpha[i], TSR_ALPHA_LEAST);
    tsr_log_gammas(a, n, rng, log_g);
    tsr_proportions(log_g, n, p);
    for (size_t i = 0; i < n; i++) {
        /* The reference's draw never reaches 1. */
        float share = fminf((float)p[i], 0x1.fffffep-1f) * (float)total;
        b[i] = (uint32_t)share;
        if (b[i] > total - given)
            b[i] = total - given;
        given += b[i];
    }
    for (; given < total && n; given++) {
        tsr_log_gammas(a, n, rng, log_g);
        b[argmax(log_g, n)]++;
    }
    for (size_t i = 0; i < n; i++) {
        b[i] = b[i] < cap[i] ? b[i] : cap[i];
        sum += b[i];
    }
    return sum;
}

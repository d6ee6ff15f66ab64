/* SPDX-License-Identifier: Apache-2.0
 * Body of tsr_nearest_<level>. The including file defines NEAREST (its name) and ROWS (points done
 * together, so that sums stay in registers). */
#include "dsp/nearest_kernel.h"

#include <math.h>

/* Dot products of `ROWS` points with the 16 centres of a panel, each summed over d upwards. */
static inline void dots(const float *restrict x, size_t dim, const float *restrict panel,
                        float out[ROWS][TSR_PANEL])
{
    float sum[ROWS][TSR_PANEL];
    for (int r = 0; r < ROWS; r++)
        for (int l = 0; l < TSR_PANEL; l++)
            sum[r][l] = 0;
    for (size_t d = 0; d < dim; d++) {
        const float *restrict c = panel + d * TSR_PANEL;
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            float v = x[(size_t)r * dim + d];
#pragma omp simd
            for (int l = 0; l < TSR_PANEL; l++)
                sum[r][l] += v * c[l];
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int l = 0; l < TSR_PANEL; l++)
            out[r][l] = sum[r][l];
}

typedef struct winners {
    float score[ROWS][TSR_PANEL];
    uint32_t panel[ROWS][TSR_PANEL];
} winners;

/* Lanes keep their own best; panels come in ascending order, so "less" keeps the lowest index. */
static inline void challenge(winners *w, float score[ROWS][TSR_PANEL], const float *squares,
                             uint32_t panel)
{
    for (int r = 0; r < ROWS; r++) {
#pragma omp simd
        for (int l = 0; l < TSR_PANEL; l++) {
            float s = squares[l] - 2.0f * score[r][l];
            int less = s < w->score[r][l];
            w->score[r][l] = less ? s : w->score[r][l];
            w->panel[r][l] = less ? panel : w->panel[r][l];
        }
    }
}

static void declare(const winners *w, int r, float *best, uint32_t *index)
{
    float score = INFINITY;
    uint32_t at = 0;
    for (uint32_t l = 0; l < TSR_PANEL; l++) {
        uint32_t i = w->panel[r][l] * TSR_PANEL + l;
        int wins = w->score[r][l] < score || (w->score[r][l] == score && i < at);
        score = wins ? w->score[r][l] : score;
        at = wins ? i : at;
    }
    *best = score;
    *index = at;
}

static void group(const float *points, size_t dim, const float *panels, const float *squares,
                  size_t n_panels, winners *w)
{
    for (int r = 0; r < ROWS; r++)
        for (int l = 0; l < TSR_PANEL; l++) {
            w->score[r][l] = INFINITY;
            w->panel[r][l] = 0;
        }
    for (size_t p = 0; p < n_panels; p++) {
        float score[ROWS][TSR_PANEL];
        dots(points, dim, panels + p * dim * TSR_PANEL, score);
        challenge(w, score, squares + p * TSR_PANEL, (uint32_t)p);
    }
}

void NEAREST(const float *points, size_t rows, size_t dim, const float *panels,
             const float *squares, size_t n_panels, float *best, uint32_t *index)
{
    winners w;
    for (size_t i = 0; i < rows; i += ROWS) {
        /* The last group steps back to be full; a point done twice gets the same answer. */
        size_t at = i + ROWS <= rows ? i : rows - ROWS;
        group(points + at * dim, dim, panels, squares, n_panels, &w);
        for (int r = 0; r < ROWS; r++)
            declare(&w, r, &best[at + (size_t)r], &index[at + (size_t)r]);
    }
}

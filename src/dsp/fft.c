/* SPDX-License-Identifier: Apache-2.0
 * FFTW plans with their buffers. */
#include "dsp/fft.h"

#include "base/mem.h"

#include <fftw3.h>
#include <pthread.h>

#define MAX_LENGTH ((size_t)1 << 26)

struct tsr_fft {
    size_t n;
    float *time;
    float complex *bins;
    fftwf_plan forward, inverse;
};

/* FFTW's planner has global state; running plans is safe anywhere. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

tsr_status tsr_fft_create(size_t n, tsr_fft **out)
{
    if (n == 0)
        TSR_FAIL(TSR_EARG, "a Fourier transform of length 0 was asked for");
    if (n > MAX_LENGTH)
        TSR_FAIL(TSR_ELIMIT, "a Fourier transform of length %zu was asked for (at most %zu)", n,
                 MAX_LENGTH);
    tsr_fft *f = NULL;
    tsr_status st = TSR_OK;
    TSR_GO(tsr_alloc(&f, 1, sizeof *f));
    f->n = n;
    TSR_GO(tsr_alloc(&f->time, n, sizeof *f->time));
    TSR_GO(tsr_alloc(&f->bins, n / 2 + 1, sizeof *f->bins));
    pthread_mutex_lock(&planner);
    f->forward = fftwf_plan_dft_r2c_1d((int)n, f->time, f->bins, FFTW_ESTIMATE);
    f->inverse = fftwf_plan_dft_c2r_1d((int)n, f->bins, f->time, FFTW_ESTIMATE);
    pthread_mutex_unlock(&planner);
    if (!f->forward || !f->inverse)
        TSR_GOFAIL(TSR_ENOMEM, "FFTW cannot plan a transform of length %zu", n);
    *out = f;
    f = NULL;
out:
    tsr_fft_destroy(f);
    return st;
}

void tsr_fft_destroy(tsr_fft *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&planner);
    if (f->forward)
        fftwf_destroy_plan(f->forward);
    if (f->inverse)
        fftwf_destroy_plan(f->inverse);
    pthread_mutex_unlock(&planner);
    tsr_free(f->time);
    tsr_free(f->bins);
    tsr_free(f);
}

float *tsr_fft_time(tsr_fft *f)
{
    return f->time;
}

float complex *tsr_fft_bins(tsr_fft *f)
{
    return f->bins;
}

void tsr_fft_forward(tsr_fft *f)
{
    fftwf_execute(f->forward);
}

void tsr_fft_inverse(tsr_fft *f)
{
    fftwf_execute(f->inverse);
}

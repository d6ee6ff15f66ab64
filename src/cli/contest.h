/* SPDX-License-Identifier: Apache-2.0
 * Work of the engine in turns with a plain product of the matrix library. */
#ifndef TSR_CLI_CONTEST_H
#define TSR_CLI_CONTEST_H

#include "base/options.h"
#include "base/status.h"
#include "nn/bench.h"

/* Options of `tessera bench`. */
typedef struct tsr_bench_settings {
    int json, precision;
    long long threads, rounds, width, depth, image, batch;
    double seconds;
    tsr_option_list sizes;
} tsr_bench_settings;

/* One comparison: work is done by `once`, which returns its floating-point operations. */
typedef struct tsr_contest {
    const char *name;
    double (*once)(void *ctx, tsr_status *st);
    void *ctx;
    double units;         /* what one call makes: products, pictures, tokens */
    const char *unit;     /* "images", "tokens" */
    double ours, library; /* FLOP/s, the mean over all turns */
    double per_second;    /* units a second */
} tsr_contest;

/* Turns of both sides, then one line (or JSON) of the result. */
TSR_USE tsr_status tsr_contest_hold(tsr_contest *c, const tsr_bench_settings *s,
                                    tsr_precision precision, tsr_bench_product *product);

/* Training steps of the masked model "tiny" with the modalities and vocabularies of 4M-7. */
TSR_USE tsr_status tsr_bench_train(const tsr_bench_settings *s);

#endif

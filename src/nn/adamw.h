/* SPDX-License-Identifier: Apache-2.0
 * AdamW with decoupled weight decay, clipping by the global norm, moving averages of weights.
 *
 *   m = b1 m + (1-b1) g           v = b2 v + (1-b2) g^2
 *   p = p (1 - lr wd)             wd only where TSR_PARAM_DECAY is set
 *   p = p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * Work is cut into pieces of a fixed size and reductions are added in a fixed order: results do not
 * depend on the number of threads.
 * Source   Loshchilov and Hutter 2019, arXiv:1711.05101; order of operations as PyTorch's. */
#ifndef TSR_NN_ADAMW_H
#define TSR_NN_ADAMW_H

#include "base/status.h"
#include "nn/params.h"

#include <stdint.h>

typedef struct tsr_adamw {
    double lr;           /* of this step */
    double beta1, beta2; /* in [0, 1) */
    double eps;
    double weight_decay;
    int clear_grads; /* 1: leaves the gradients zero, which saves a pass over memory */
} tsr_adamw;

/* lr 0, betas 0.9 and 0.99, eps 1e-8, weight decay 0.05: the settings of every 4M tokenizer. */
tsr_adamw tsr_adamw_defaults(void);

/* L2 norm of all gradients together, in double.
 * Errors   TSR_ENUMERIC, naming the first tensor whose gradient is not finite. */
TSR_USE tsr_status tsr_grad_norm(const tsr_params *ps, double *norm);

/* min(1, max_norm / (norm + 1e-6)); 1 when max_norm <= 0 (no clipping). */
double tsr_clip_factor(double norm, double max_norm);

/* One step on all trained tensors with gradients times `scale` (clipping, 1 / accumulated batches).
 * `step` counts from 1. Gradients are left as they are unless clear_grads is set.
 * Errors   TSR_EARG for values out of range, TSR_ENOMEM when the moments are made (the first
 *          time). */
TSR_USE tsr_status tsr_adamw_step(tsr_params *ps, const tsr_adamw *opt, uint64_t step,
                                  double scale);

/* average = decay * average + (1 - decay) * value for every tensor, buffers too; no correction of
 * the start. Made as copies of the values when called first. */
TSR_USE tsr_status tsr_params_average(tsr_params *ps, double decay);

#endif

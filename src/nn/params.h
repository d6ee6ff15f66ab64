/* SPDX-License-Identifier: Apache-2.0
 * Named float32 tensors: what a model knows, with gradients and the optimizer's memory beside them.
 *
 * A store keeps tensors in the order they were added; files, optimizers and reductions follow that
 * order. Tensors do not move: a tsr_param pointer is good until the store is destroyed. */
#ifndef TSR_NN_PARAMS_H
#define TSR_NN_PARAMS_H

#include "base/status.h"
#include "types/tensor.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tsr_param_flags {
    TSR_PARAM_TRAIN = 1,  /* the optimizer changes it; backward gives it a gradient */
    TSR_PARAM_DECAY = 2,  /* weight decay applies (see tsr_param_decays) */
    TSR_PARAM_BUFFER = 4, /* changed by other rules (codebooks by EMA), stored, never trained */
} tsr_param_flags;

/* Where the values of a store lie that are not in memory: an open file.
 * name    for messages, the path
 * read    values [first, first + count) of a tensor as float32, from any thread. Errors: TSR_EIO
 * close   when the store needs it no more */
typedef struct tsr_param_source {
    const char *name;
    void *ctx;
    tsr_status (*read)(void *ctx, const void *stored, size_t first, size_t count, float *out);
    void (*close)(void *ctx);
} tsr_param_source;

typedef struct tsr_param {
    char *name;
    unsigned flags;
    int ndim;
    size_t shape[TSR_MAX_DIMS];
    size_t count;   /* product of shape */
    float *value;   /* [count], row-major; NULL while the values are in the store's source only */
    float *grad;    /* [count] or NULL before tsr_params_need_grads; trained tensors only */
    float *moment1; /* [count] or NULL before the first optimizer is made */
    float *moment2;
    float *average;   /* [count] exponential moving average of value, or NULL */
    uint64_t version; /* grows with every change of value; caches of packed weights compare it */
    int file_ndim;    /* shape in model files, where tsr_param_file_shape() gave another one */
    size_t file_shape[TSR_MAX_DIMS];
    const tsr_param_source *source; /* of the store, or NULL */
    const void *stored;             /* the tensor there */
    atomic_int broken;              /* tsr_status of the first failure of tsr_param_read, or 0 */
} tsr_param;

typedef struct tsr_params tsr_params;

/* An empty store. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_params_create(tsr_params **out);
void tsr_params_destroy(tsr_params *ps);

/* Tensors added from now on have no values until they are held: what a model is can then be asked
 * of its file's header, and what runs reads what it needs, once, in the form it needs it in. */
void tsr_params_defer(tsr_params *ps);

/* The source of all values that are not in memory, taken over also on failure; `stored` of each
 * tensor says where it is there. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_params_attach(tsr_params *ps, tsr_param_source source);

/* Read values that are not in memory, so that p->value is there: of one tensor, or of all whose name
 * starts with `prefix` (in parallel). From any thread, any number of times.
 * Errors   TSR_EIO; TSR_ENUMERIC when a value is not finite; TSR_ENOMEM. */
TSR_USE tsr_status tsr_param_hold(tsr_params *ps, tsr_param *p);
TSR_USE tsr_status tsr_params_hold(tsr_params *ps, const char *prefix);

/* Hold all, and let go of the source: an ordinary store. */
TSR_USE tsr_status tsr_params_hold_all(tsr_params *ps);

/* 1 while a source is attached. */
int tsr_params_deferred(const tsr_params *ps);

/* Values [first, first + count) from memory or from the source; within p->count. From any thread.
 * Errors   TSR_EIO, TSR_ENUMERIC as above; the first one is remembered in p->broken. */
TSR_USE tsr_status tsr_param_read(const tsr_param *p, size_t first, size_t count, float *out);

/* 1 when all n values are finite numbers. */
int tsr_all_finite(const float *x, size_t n);

/* Packed forms of the weights, kept beside them for all graphs (nn/packs.h). */
struct tsr_packs *tsr_params_packs(tsr_params *ps);

/* Add a zeroed tensor; *out (may be NULL) is borrowed. ndim 0 is one scalar.
 * Errors   TSR_EARG when the name is taken or empty, or ndim > TSR_MAX_DIMS;
 *          TSR_ELIMIT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_params_add(tsr_params *ps, const char *name, unsigned flags, int ndim,
                                  const size_t *shape, tsr_param **out);

/* Give the tensor another shape of equal count in model files (a projection that is a 1x1
 * convolution there). TSR_EARG when the counts differ. */
TSR_USE tsr_status tsr_param_file_shape(tsr_param *p, int ndim, const size_t *shape);

/* Number of tensors. */
size_t tsr_params_count(const tsr_params *ps);

/* The i-th tensor in order of insertion; i < count. */
tsr_param *tsr_params_at(const tsr_params *ps, size_t i);

/* The tensor of this name, or NULL. O(1). */
tsr_param *tsr_params_find(const tsr_params *ps, const char *name);

/* The same, with an error that names it (and a similar name, if there is one): TSR_ENOENT. */
TSR_USE tsr_status tsr_params_get(const tsr_params *ps, const char *name, tsr_param **out);

/* Total number of values, of all tensors or of those with any of `flags` (0: all). */
size_t tsr_params_values(const tsr_params *ps, unsigned flags);

/* These three need all values in memory: TSR_EARG for a store with a source.
 * Gradients for all trained tensors, zeroed; moments and averages likewise, zeroed / a copy of the
 * values (averages also of buffers). Calling again keeps what is there. */
TSR_USE tsr_status tsr_params_need_grads(tsr_params *ps);
TSR_USE tsr_status tsr_params_need_moments(tsr_params *ps);
TSR_USE tsr_status tsr_params_need_averages(tsr_params *ps);

/* Set the gradients there are to zero. */
void tsr_params_zero_grads(tsr_params *ps);

/* Tell caches that p->value changed. */
void tsr_param_touch(tsr_param *p);

/* 1 when the 4M rule lets weight decay act on a tensor of this name: not if it contains "norm." or
 * ".norm", nor if it ends in ".bias", ".gamma" or ".lookup_table_weight".
 * Source   apple/ml-4m, fourm/utils/optim_factory.py, get_parameter_groups. */
int tsr_param_decays(const char *name);

/* How a new tensor is filled. fan_in = product of all dimensions but the first, rows = the first.*/
typedef enum tsr_init {
    TSR_INIT_ZERO,
    TSR_INIT_CONST,   /* arg */
    TSR_INIT_UNIFORM, /* U(-arg, arg) */
    TSR_INIT_NORMAL,  /* N(0, arg^2) */
    TSR_INIT_TRUNC,   /* N(0, arg^2) drawn again until within 2 arg of 0 */
    TSR_INIT_XAVIER,  /* U(+-sqrt(6 / (rows + fan_in))) */
    TSR_INIT_QKV,    /* the same with rows / arg, for arg matrices stacked in one (qkv: 3, kv: 2) */
    TSR_INIT_FAN_IN, /* U(+-1 / sqrt(fan_in)), arg 0; a bias takes arg = fan_in of its weight */
    TSR_INIT_KAIMING, /* U(+-sqrt(6 / fan_in)) */
} tsr_init;

/* Fill p->value. The stream is (seed, TSR_RNG_INIT, hash of the name): it depends neither on the
 * order of tensors nor on what else a model holds. Touches p. */
void tsr_param_init(tsr_param *p, tsr_init rule, float arg, uint64_t seed);

#endif

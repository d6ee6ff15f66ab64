/* SPDX-License-Identifier: Apache-2.0
 * The body of all kernels: included once by each kernel_<level>.c, which names the table. */
#include "base/vec.h"
#include "nn/kernels.h"

#include <math.h>
#include <string.h>

/* Rows and vectors of the register tile of a product. */
#if defined(__AVX512F__)
#define TILE_ROWS 8
#define TILE_VECTORS 2
#else
#define TILE_ROWS 4
#define TILE_VECTORS 1
#endif

#include "nn/kernel_math_body.h"
#include "nn/kernel_rows_body.h"
#include "nn/kernel_map_body.h"
#include "nn/kernel_product_body.h"
#include "nn/kernel_attention_body.h"
#ifdef TSR_KERNELS_TILES
#include "nn/kernel_tiles_body.h"
#include "nn/kernel_tiles_grad_body.h"
#include "nn/kernel_tiles_layer_body.h"
#endif
#include "nn/kernel_nearest_body.h"

const tsr_kernels TSR_KERNELS = {
    .name = TSR_KERNELS_NAME,
    .map = map,
    .map_grad = map_grad,
    .map_sums = map_sums,
    .map_slopes = map_slopes,
    .gate = gate,
    .gate_grad = gate_grad,
    .norm = norm,
    .norm_grad = norm_grad,
    .log_sum_exp = log_sum_exp,
    .exp_shift = exp_shift,
    .exp_shift_to_half = exp_shift_to_half,
    .log_sum_exp_half = log_sum_exp_half,
    .exp_shift_half = exp_shift_half,
    .dot = dot,
    .axpy = axpy,
    .product = product,
    .attend = attend,
    .attend_scratch = attend_scratch,
    .attend_grad = attend_grad,
    .attend_grad_scratch = attend_grad_scratch,
#ifdef TSR_KERNELS_TILES
    .layer_pack = layer_pack,
    .layer = layer,
    .layer_part = layer_part,
    .weight_grad_pack = weight_grad_pack,
    .weight_grad = weight_grad,
    .weight_grad_scratch = weight_grad_scratch,
#endif
    .nearest = nearest,
    .nearest_scratch = nearest_scratch,
};

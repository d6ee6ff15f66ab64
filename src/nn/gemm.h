/* SPDX-License-Identifier: Apache-2.0
 * Matrix products of one fixed shape each, on the product library (oneDNN, named in one file only).
 *
 *   C[m,n] (+)= A[m,k] * B[k,n] (+ bias[n])
 *
 * A product is compiled once per description and cached for the life of the process. Running it uses
 * the calling thread alone, whatever surrounds it: callers own the parallel loop and hand out
 * products of fixed size, which makes results independent of the number of threads. Rows of C depend
 * on the same row of A only, and on nothing else. */
#ifndef TSR_NN_GEMM_H
#define TSR_NN_GEMM_H

#include "base/status.h"
#include "types/tensor.h"

#include <stddef.h>

/* Operand types: A and B both TSR_F32, or both TSR_BF16 with float32 accumulation. */
typedef struct tsr_gemm_spec {
    size_t m, n, k;
    tsr_dtype ab;           /* TSR_F32 or TSR_BF16 */
    tsr_dtype c;            /* TSR_F32, or TSR_BF16 when ab is TSR_BF16 */
    size_t a_row, a_col;    /* strides of A in elements; one of them is 1 */
    size_t b_row, b_col;    /* strides of B; both 0: B is packed (tsr_pack) */
    size_t c_row;           /* stride of a row of C; columns are adjacent */
    int accumulate;         /* add to C (float32 C only) */
    int bias;               /* add bias[n], float32 */
    int tiles;              /* only a shape to pack B for, as tsr_kernels.layer takes it: bf16;
                               there is nothing to run */
} tsr_gemm_spec;

typedef struct tsr_gemm tsr_gemm;

/* The compiled product. Borrowed, never released; safe from any thread.
 * Errors   TSR_EARG for a size of 0 or types that do not go together, TSR_ENOMEM,
 *          TSR_EUNSUPPORTED when the library has no such product. */
TSR_USE tsr_status tsr_gemm_get(const tsr_gemm_spec *spec, const tsr_gemm **out);

/* What it was asked for. Borrowed. */
const tsr_gemm_spec *tsr_gemm_spec_of(const tsr_gemm *p);

/* Bytes of work space one run needs (0 is common). */
size_t tsr_gemm_scratch(const tsr_gemm *p);

/* One run. b: matrix, or NULL when B is packed and `pack` is given. bias NULL unless spec.bias.
 * scratch: tsr_gemm_scratch() bytes aligned to 64. Operands may not overlap. Cannot fail: C is filled
 * with NaN in the event that the library refuses. */
typedef struct tsr_pack tsr_pack;
void tsr_gemm_run(const tsr_gemm *p, const void *a, const void *b, const tsr_pack *pack,
                  const float *bias, void *c, void *scratch);

/* A tsr_pack is B in the library's own layout, for products that use it often.
 * Room for the packed B of this product. Life: as the owner states; tsr_pack_destroy. */
TSR_USE tsr_status tsr_pack_create(const tsr_gemm *p, tsr_pack **out);
void tsr_pack_destroy(tsr_pack *k);
size_t tsr_pack_bytes(const tsr_gemm *p);

/* What was filled in, for a product with `tiles`. */
const void *tsr_pack_data(const tsr_pack *k);

/* The product it was made for. */
const tsr_gemm *tsr_pack_gemm(const tsr_pack *k);

/* Read B[k,n] = src[k * row + n * col], float32, converting to the product's type (nearest, ties to
 * even). Runs on the calling thread. */
TSR_USE tsr_status tsr_pack_fill(tsr_pack *k, const float *src, size_t row, size_t col);

/* Version and thread settings of the library, for provenance ("oneDNN 2.6.3"). Borrowed. */
const char *tsr_gemm_library(void);

#endif

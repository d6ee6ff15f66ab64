/* SPDX-License-Identifier: Apache-2.0
 * Tokens as vectors that can be compared by cosine. */
#ifndef TSR_TASKS_VECTORSPACE_H
#define TSR_TASKS_VECTORSPACE_H

#include "base/status.h"
#include "tokenizers/tokenizer.h"
#include "types/tokens.h"

#include <stddef.h>
#include <stdint.h>

/* What a sample's vector is.
 *   decoded   what the modality's tokenizer decodes its tokens to: a vector (global features)
 *   codes     grids: the mean of the code vectors in each cell of a raster of cells x cells
 *   counts    sqrt(how often) * ln(rows / rows that have it), for each id that at least two rows
 *             have: the TSR_VECTOR_TERMS commonest, in ascending order
 *   features  numbers from elsewhere; tokens do not give them
 * Source of counts   tf-idf: Spaerck Jones 1972, "A statistical interpretation of term
 * specificity"; square roots of counts compare as the Hellinger distance does. */
typedef enum tsr_vector_kind {
    TSR_VECTORS_DECODED,
    TSR_VECTORS_CODES,
    TSR_VECTORS_COUNTS,
    TSR_VECTORS_FEATURES,
} tsr_vector_kind;

#define TSR_VECTOR_TERMS 4096
#define TSR_VECTOR_CELLS 64 /* a side at most */

/* "decoded", "codes", "counts", "features", and back: TSR_ECONFIG naming `origin`. */
const char *tsr_vector_kind_name(tsr_vector_kind k);
TSR_USE tsr_status tsr_vector_kind_parse(const char *name, const char *origin,
                                         tsr_vector_kind *out);

/* The kind that suits a modality: decoded where the tokenizer (NULL: there is none) gives vectors,
 * codes where it has one code a place, else counts. */
tsr_vector_kind tsr_vector_kind_of(const tsr_token_space *space, tsr_tokenizer *t);

/* All borrowed for the life of the maker. */
typedef struct tsr_vectors_spec {
    tsr_vector_kind kind;
    const tsr_token_space *space;
    tsr_tokenizer *tokenizer; /* decoded, codes */
    size_t cells;             /* codes: 1..TSR_VECTOR_CELLS */
    const uint32_t *terms;    /* counts: [n_terms] ascending, with their weights */
    const float *weights;
    size_t n_terms;
    int lanes; /* threads that will make vectors */
} tsr_vectors_spec;

typedef struct tsr_vectors tsr_vectors;

/* Errors   TSR_ECONFIG a kind that the modality cannot have, TSR_ENOMEM, those of decoding. */
TSR_USE tsr_status tsr_vectors_create(const tsr_vectors_spec *spec, tsr_vectors **out);
void tsr_vectors_destroy(tsr_vectors *v);

/* Numbers of a vector. */
size_t tsr_vectors_width(const tsr_vectors *v);

/* The vector of one sample's tokens, of any length: out [width]. Thread-safe for different lanes.
 * Errors   TSR_EFORMAT a number of tokens or an id that the modality cannot have. */
TSR_USE tsr_status tsr_vectors_make(tsr_vectors *v, int lane, const uint32_t *ids, size_t count,
                                    float *out);

#endif

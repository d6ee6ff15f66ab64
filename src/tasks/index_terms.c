/* SPDX-License-Identifier: Apache-2.0
 * Which ids tell samples apart, and how much: rows that have each. */
#include "base/mem.h"
#include "tasks/index_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that have an id. */
typedef struct term {
    uint32_t id;
    uint64_t rows;
} term;

static int commonest_first(const void *a, const void *b)
{
    const term *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int by_id(const void *a, const void *b)
{
    const term *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* found [codebook] rows that have each id; `last` the row that counted it last, from 1. */
static tsr_status count_row(const tsr_index_work *w, size_t row, uint64_t *found, uint64_t *last,
                            uint64_t *rows)
{
    tsr_tokens t = {0};
    tsr_present present;
    TSR_TRY(tsr_corpus_read(w->corpus, w->space.modality, w->samples[row], 0, &t, &present));
    *rows += present == TSR_REAL;
    for (size_t i = 0; present == TSR_REAL && i < t.count; i++) {
        found[t.ids[i]] += last[t.ids[i]] != row + 1;
        last[t.ids[i]] = row + 1;
    }
    tsr_tokens_clear(&t);
    return TSR_OK;
}

static tsr_status choose(tsr_index_work *w, const uint64_t *found, uint64_t rows)
{
    size_t codes = w->space.codebook_size, n = 0;
    term *terms;
    tsr_status st;
    TSR_TRY(tsr_alloc(&terms, codes, sizeof *terms));
    for (size_t id = 0; id < codes; id++)
        if (found[id] >= 2 && found[id] < rows)
            terms[n++] = (term){(uint32_t)id, found[id]};
    qsort(terms, n, sizeof *terms, commonest_first);
    n = n < TSR_VECTOR_TERMS ? n : TSR_VECTOR_TERMS;
    qsort(terms, n, sizeof *terms, by_id);
    TSR_GO(tsr_alloc(&w->terms, n, sizeof *w->terms));
    TSR_GO(tsr_alloc(&w->weights, n, sizeof *w->weights));
    for (size_t i = 0; i < n; i++) {
        w->terms[i] = terms[i].id;
        w->weights[i] = (float)log((double)rows / (double)terms[i].rows);
    }
    w->n_terms = n;
out:
    tsr_free(terms);
    return st;
}

tsr_status tsr_index_fit_terms(tsr_index_work *w)
{
    const tsr_modality *there =
        tsr_manifest_modality(tsr_corpus_manifest(w->corpus), w->space.modality);
    uint64_t *found = NULL, *last = NULL, rows = 0;
    tsr_status st;
    if (!there || there->space.codebook_size != w->space.codebook_size)
        TSR_FAIL(
            TSR_ECONFIG,
            "%s: counts are weighed by how rare each id of %s is in the corpus, which does not "
            "have it",
            w->spec->corpus, w->space.modality);
    TSR_GO(tsr_alloc(&found, w->space.codebook_size, sizeof *found));
    TSR_GO(tsr_alloc(&last, w->space.codebook_size, sizeof *last));
    for (size_t i = 0; i < w->rows; i++)
        TSR_GO(count_row(w, i, found, last, &rows));
    st = choose(w, found, rows);
out:
    tsr_free(found);
    tsr_free(last);
    return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * What the parts of a search share. Private to retrieve*.c. */
#ifndef TSR_TASKS_RETRIEVE_WORK_H
#define TSR_TASKS_RETRIEVE_WORK_H

#include "tasks/index_work.h"
#include "tasks/retrieve.h"

/* Where the vector of a query comes from. */
typedef enum tsr_query_way {
    TSR_QUERY_ROW,       /* a row of the index */
    TSR_QUERY_DIRECT,    /* the index's own modality */
    TSR_QUERY_PREDICTED, /* the model predicts it */
} tsr_query_way;

typedef struct tsr_retrieve_work {
    const tsr_retrieval *spec;
    tsr_index *index;
    const char *modality; /* of the index */
    tsr_vector_kind kind;
    size_t cells;
    tsr_token_space space; /* of its tokens; not of features */
    tsr_query_way way;
    const char *row;                /* TSR_QUERY_ROW: its key */
    const char *value;              /* TSR_QUERY_DIRECT: a file or text; NULL: a sample's */
    int literal;                    /* it is text */
    tsr_corpus *corpus;             /* NULL: not needed */
    char *corpus_path, *model_path; /* NULL: neither named nor known */
    tsr_toolbox tools;
    const tsr_tool *tool; /* of the index's modality, or NULL */
    tsr_predictor predictor;
    tsr_vectors *maker;
    double query_s, search_s, rerank_s;
} tsr_retrieve_work;

/* Open all that the query needs and check that it fits together (retrieve_open.c). */
TSR_USE tsr_status tsr_retrieve_open(tsr_retrieve_work *w);
void tsr_retrieve_close(tsr_retrieve_work *w);

/* A failure with what only a preview needs becomes a warning, and there is no corpus; memory that
 * runs out stays a failure (retrieve_open.c). */
TSR_USE tsr_status tsr_retrieve_excuse(tsr_retrieve_work *w, tsr_status st);

/* The vector of one query, adapted to the index: out [width] (retrieve_query.c). Conditions are
 * kept in `item` (zeroed; tsr_gen_item_clear) where there are any. sample: of the corpus, or NULL.
 */
TSR_USE tsr_status tsr_retrieve_vector(tsr_retrieve_work *w, const uint64_t *sample,
                                       tsr_gen_item *item, float *out);

/* The same for n samples of the corpus: out [n, width], items [n]. A sample that lacks a condition
 * is TSR_ENOENT. */
TSR_USE tsr_status tsr_retrieve_vectors(tsr_retrieve_work *w, const uint64_t *samples, size_t n,
                                        tsr_gen_item *items, float *out);

/* Scores of candidates (retrieve_rank.c). */
typedef struct tsr_ranker tsr_ranker;
TSR_USE tsr_status tsr_ranker_create(tsr_retrieve_work *w, tsr_ranker **out);
void tsr_ranker_destroy(tsr_ranker *r);

/* likelihood and gain [n] of the rows of hits, in nats, given the item's conditions; hits are put
 * in the order asked for, with them. Rows without the modality come last: NAN. */
TSR_USE tsr_status tsr_ranker_order(tsr_ranker *r, const tsr_gen_item *item, tsr_hit *hits,
                                    size_t n, double *likelihood, double *gain);

/* "evaluation" of the record (retrieve_eval.c). */
TSR_USE tsr_status tsr_retrieve_evaluate(tsr_retrieve_work *w, json_t *record);

/* A sheet of the results, if pictures of them can be had (retrieve_sheet.c). */
TSR_USE tsr_status tsr_retrieve_sheet(tsr_retrieve_work *w, const tsr_hit *hits, size_t n);

#endif

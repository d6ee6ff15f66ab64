/* SPDX-License-Identifier: Apache-2.0
 * What the parts of an evaluation share. Private to eval_*.c. */
#ifndef TSR_TASKS_EVALWORK_H
#define TSR_TASKS_EVALWORK_H

#include "pipeline/source.h"
#include "pipeline/toolbox.h"
#include "shards/corpus.h"
#include "tasks/eval.h"
#include "tasks/facts.h"
#include "tasks/interval.h"
#include "trainer/generate.h"

#define TSR_EVAL_FOLDERS 4
#define TSR_EVAL_NONE    SIZE_MAX

#define TSR_EVAL_VARIANTS 64 /* at most */

/* How a target is estimated: generated so many times, and the results made one. */
typedef struct tsr_eval_method {
    tsr_target target;
    size_t variants; /* 1..TSR_EVAL_VARIANTS */
} tsr_eval_method;

/* A task's settings over the defaults of evaluation for modality m, whose tokenizer is of `kind`
 * ("depth", ...; NULL: unknown), or over those of the preset they name. `need` [mods]: 1 for what
 * the task is about. Where nothing is drawn one variant is all there is. Errors: TSR_ECONFIG. */
TSR_USE tsr_status tsr_eval_target(const tsr_mods *mods, size_t m, const char *kind,
                                   const char *need, const json_t *settings, tsr_eval_method *out);

/* 1 when no random number decides anything: the result depends on the inputs alone. */
int tsr_eval_is_fixed(const tsr_eval_method *m);

/* The settings as an object, as they are reported. */
TSR_USE tsr_status tsr_eval_settings(const tsr_eval_method *t, json_t **out);

/* ---- samples (eval_set.c) ---- */

/* One sample: its tokens of all wanted modalities, and where its files are. */
typedef struct tsr_eval_item {
    uint64_t sample; /* of the corpus */
    char *key;
    tsr_view view; /* height 0: none */
    size_t row;    /* of the files, or TSR_EVAL_NONE */
    tsr_held held[TSR_MODALITIES];
    void *owned[TSR_MODALITIES]; /* storage behind held */
} tsr_eval_item;

/* What is known of a modality of the model. */
typedef struct tsr_eval_mod {
    const tsr_token_space *space;                /* in the corpus; NULL: it has none */
    const tsr_tool *tool;                        /* NULL: no tokenizer was found */
    size_t folders[TSR_EVAL_FOLDERS], n_folders; /* of the files; 0: the truth is in the tokens */
} tsr_eval_mod;

typedef struct tsr_eval_set {
    const tsr_mods *mods;
    tsr_corpus *corpus;
    tsr_toolbox tools;
    tsr_source *source;  /* NULL: no files */
    size_t facts_folder; /* of the source: records of scenes; or TSR_EVAL_NONE */
    tsr_eval_mod of[TSR_MODALITIES];
    tsr_eval_item *items; /* the first samples that any task can use */
    size_t count, cap;
    tsr_tokenizer_work **works; /* [lanes, mods] */
    int lanes;
} tsr_eval_set;

/* Open corpus, tokenizers and files, and compare them with the model. `wanted` [mods]: 1 for
 * modalities that tasks name, 2 for those that are used where the corpus has them. Errors:
 * TSR_ECONFIG, TSR_EMISMATCH naming both digests, TSR_ENOENT. */
TSR_USE tsr_status tsr_eval_set_open(const tsr_eval_spec *spec, const tsr_mods *mods,
                                     const char *wanted, tsr_eval_set *out);
void tsr_eval_set_close(tsr_eval_set *s);

/* One list of samples to find: those that have all of `need` (ascending). */
typedef struct tsr_eval_list {
    const char *need; /* [mods] 1: must be there */
    size_t limit;
    size_t *items; /* [count] indices into the set; tsr_free */
    size_t count, cap;
} tsr_eval_list;

/* Read the split from its beginning until every list is full. A list that stays below 2 samples is
 * TSR_ECONFIG, told by its number in *empty. */
TSR_USE tsr_status tsr_eval_set_fill(tsr_eval_set *s, const char *split, const char *wanted,
                                     tsr_eval_list *lists, size_t n, const tsr_job *job,
                                     size_t *empty);

/* ---- comparison (eval_judge.c) ---- */

typedef enum tsr_eval_truth {
    TSR_TRUTH_TOKENS, /* the decode of the true tokens */
    TSR_TRUTH_FILES,
    TSR_TRUTH_RECORD, /* captions: the record of the scene */
} tsr_eval_truth;

/* "tokens", "files", "record". */
const char *tsr_eval_truth_name(tsr_eval_truth t);

/* What one prediction gave. */
typedef struct tsr_eval_outcome {
    json_t *figures; /* name: number; NULL: the sample's truth cannot be had */
    int malformed;   /* no valid target: figures are the worst there are */
    char *why;       /* the truth cannot be had; else NULL */
} tsr_eval_outcome;

/* Release n outcomes and their array; NULL is fine. */
void tsr_eval_outcomes_free(tsr_eval_outcome *o, size_t n);

/* The true target of a sample as media, and as facts where it is text. facts may be NULL.
 * Errors: those of files and tokenizers. */
TSR_USE tsr_status tsr_eval_truth_of(tsr_eval_set *s, const tsr_eval_item *item, size_t m, int lane,
                                     tsr_media *media, tsr_facts *facts, tsr_eval_truth *truth);

/* Media from ids of modality m. */
TSR_USE tsr_status tsr_eval_decode(tsr_eval_set *s, size_t m, int lane, const uint32_t *ids,
                                   size_t count, tsr_media *out);

/* Media from the true tokens of a sample, patches included. */
TSR_USE tsr_status tsr_eval_decode_held(tsr_eval_set *s, const tsr_eval_item *item, size_t m,
                                        int lane, tsr_media *out);

/* One result of k variants of modality m, decoded: the median of each value of depth, the commonest
 * label, the mean of each value of other pictures; one variant is taken as it is.
 * Errors   TSR_ECONFIG when k > 1 and what is decoded is no picture; those of decoding. */
TSR_USE tsr_status tsr_eval_estimate(tsr_eval_set *s, size_t m, int lane,
                                     const tsr_tokens *variants, size_t k, tsr_media *out);

/* Predictions of n samples: ids [n, variants]; ids NULL: the true tokens. */
typedef struct tsr_eval_guess {
    const tsr_tokens *ids;
    size_t variants;
} tsr_eval_guess;

/* Compare predictions of modality m for the samples list[0..n) with their truths, in parallel.
 * outcomes [n] zeroed. A truth that cannot be had leaves figures NULL and is told to the job;
 * `names`: outcomes of the true tokens, which say what figures a malformed prediction has; NULL for
 * those themselves. truths [n] or NULL.
 * Errors: TSR_ENOMEM, TSR_ECANCEL, TSR_ECONFIG. */
TSR_USE tsr_status tsr_eval_judge(tsr_eval_set *s, size_t m, const size_t *list, size_t n,
                                  tsr_eval_guess guess, const tsr_eval_outcome *names,
                                  const tsr_job *job, tsr_eval_outcome *outcomes,
                                  tsr_eval_truth *truths);

/* {"value", "low", "high", "samples"}; numbers that are not finite are null. */
TSR_USE tsr_status tsr_eval_interval_json(const tsr_interval *i, json_t **out);

/* ---- likelihoods (eval_rank.c) ---- */

/* Rank the truth among K candidates of a task: one entry of "candidates". */
TSR_USE tsr_status tsr_eval_rank(tsr_fm *fm, const tsr_eval_set *s, const tsr_eval_spec *spec,
                                 const char *need, size_t to, const size_t *list, size_t n,
                                 json_t **out);

/* The matrix of information over the samples of `list`: the report's member "matrix". */
TSR_USE tsr_status tsr_eval_matrix(tsr_fm *fm, const tsr_eval_set *s, const tsr_eval_spec *spec,
                                   const size_t *list, size_t n, json_t **out);

/* ---- pictures (eval_examples.c) ---- */

/* Names of the four predictions in reports. */
enum { TSR_EVAL_MODEL, TSR_EVAL_NO_INPUT, TSR_EVAL_WRONG, TSR_EVAL_CEILING, TSR_EVAL_WAYS };
extern const char *const tsr_eval_ways[TSR_EVAL_WAYS];

/* Everything about the predictions of a task. */
typedef struct tsr_eval_results {
    const tsr_eval_task *task;
    size_t to;
    const size_t *list;
    size_t n;
    tsr_eval_guess guess[TSR_EVAL_WAYS];
    const tsr_eval_outcome *outcomes[TSR_EVAL_WAYS]; /* [n] each */
    const char *metric;
} tsr_eval_results;

/* Write inputs, truth and predictions of the first `n_examples` samples below spec->examples, and
 * append what was written to `index`. */
TSR_USE tsr_status tsr_eval_examples(tsr_eval_set *s, const tsr_eval_spec *spec,
                                     const tsr_eval_results *r, json_t *index);

#endif

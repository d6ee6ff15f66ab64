/* SPDX-License-Identifier: Apache-2.0
 * What the parts of a generation share, and tasks that predict for samples of their own choosing
 * (predict.c). Private to tasks. */
#ifndef TSR_TASKS_GENWORK_H
#define TSR_TASKS_GENWORK_H

#include "shards/corpus.h"
#include "tasks/generation.h"
#include "trainer/fm.h"
#include "trainer/generate.h"

#define TSR_GEN_FILES 4

/* Where a modality's condition comes from. */
typedef enum tsr_gen_origin {
    TSR_GEN_ABSENT,
    TSR_GEN_FILE,
    TSR_GEN_LITERAL,
    TSR_GEN_SAMPLE, /* of the corpus */
} tsr_gen_origin;

typedef struct tsr_gen_condition {
    tsr_gen_origin origin;
    const char *values[TSR_GEN_FILES]; /* paths, or the text */
    size_t n;
} tsr_gen_condition;

/* Which places of a grid are given. */
typedef struct tsr_gen_mask_words {
    const char *text; /* share, rectangle or picture (gen_mask.c); NULL: all */
    int hide;         /* it names those that are not given */
} tsr_gen_mask_words;

/* One sample: its conditions as tokens. */
typedef struct tsr_gen_item {
    char *key;
    tsr_held held[TSR_MODALITIES];
    void *owned[TSR_MODALITIES]; /* storage behind held */
    uint8_t *known[TSR_MODALITIES], *packed[TSR_MODALITIES]; /* the same of masks */
} tsr_gen_item;

/* One result under way: a variant of an item, and where its targets are recorded. */
typedef struct tsr_gen_result {
    const tsr_gen_item *item;
    size_t variant;
    json_t *targets; /* borrowed */
} tsr_gen_result;

/* The work of one model. */
typedef struct tsr_gen_work {
    const tsr_generation *spec;
    const char *path; /* of the model */
    int walks;        /* samples of the corpus are named one by one, by tsr_gen_fill */
    tsr_fm *model;
    tsr_generator *generator;
    struct tsr_gen_work *larger; /* that of the second model, or NULL */
    int second;                  /* this is the second model's: */
    int sources[TSR_MODALITIES]; /* modality of the first, or -1 */
    const tsr_mods *mods;
    tsr_corpus *corpus; /* or NULL; second model: borrowed */
    tsr_toolbox tools;
    tsr_token_space spaces[TSR_MODALITIES];
    const tsr_tool *tool[TSR_MODALITIES]; /* NULL: none was found */
    tsr_gen_condition conditions[TSR_MODALITIES];
    tsr_gen_mask_words masks[TSR_MODALITIES];
    tsr_target chain[TSR_MODALITIES];
    size_t n_chain;
    int grow;
    size_t decoder_steps;
    double weights[TSR_MODALITIES];
    tsr_gen_item *items;
    size_t n_items;
    size_t failed;
    json_t *results; /* array */
    double seconds;  /* of generation alone */
    double target_seconds[TSR_MODALITIES]; /* and of each target of the chain */
    uint64_t tokens;
} tsr_gen_work;

/* Open models and corpus, read what is asked for and find the tokenizers (gen_run.c). The spec is
 * borrowed. Errors: those of tsr_generation_run. */
TSR_USE tsr_status tsr_gen_open(const tsr_generation *g, int walks, tsr_gen_work **out);
void tsr_gen_close(tsr_gen_work *w);

/* Make w->generator, that of the chain (gen_run.c). */
TSR_USE tsr_status tsr_gen_generator(tsr_gen_work *w);

/* Read conditions, targets and settings against the model's modalities (gen_plan.c). */
TSR_USE tsr_status tsr_gen_plan(tsr_gen_work *w);

/* Settings of the chain: [MODALITY.]KEY=VALUE[,KEY=VALUE...]. Errors: TSR_EARG, TSR_ECONFIG. */
TSR_USE tsr_status tsr_gen_set(tsr_gen_work *w, const char *text);

/* Tokenizers of the modalities that are needed (gen_tools.c). */
TSR_USE tsr_status tsr_gen_tools(tsr_gen_work *w);

/* Place of modality m in the chain, or -1 (gen_plan.c). */
int tsr_gen_target_of(const tsr_gen_work *w, size_t m);

/* 1 when a text marks something that is missing: [MASK], [S_1], ... (gen_given.c). */
int tsr_gen_has_holes(const char *text);

/* Give the item's grid m only in the places that its mask leaves (gen_mask.c). Errors: TSR_EARG,
 * those of reading pictures. */
TSR_USE tsr_status tsr_gen_mask(const tsr_gen_work *w, tsr_gen_item *item, size_t m);

/* Conditions of one sample (NULL: none, all are files and texts) into the zeroed `item`; those from
 * files are those of `first` where there is one, borrowed from it. Clear it in either case.
 * Errors: TSR_ENOENT when the sample lacks a modality, and those of files. */
TSR_USE tsr_status tsr_gen_fill(tsr_gen_work *w, const uint64_t *sample, const tsr_gen_item *first,
                                tsr_gen_item *item);
void tsr_gen_item_clear(tsr_gen_item *item);

/* Tokens of text as it stands, or of JSON for what is made of records. */
TSR_USE tsr_status tsr_gen_literal(const tsr_tool *tool, const char *name, const char *text,
                                   tsr_tokens *out);

/* Tokens of all conditions (gen_given.c). */
TSR_USE tsr_status tsr_gen_given(tsr_gen_work *w);

/* What identifies a sample and variant: the same for one sample alone and among others
 * (gen_run.c). */
uint64_t tsr_gen_key(const tsr_gen_item *item, size_t variant);

/* Seed of a work's draws (gen_run.c). */
uint64_t tsr_gen_seed(const tsr_gen_work *w);

/* Generate n results and write them (gen_run.c). */
TSR_USE tsr_status tsr_gen_run(tsr_gen_work *w, const tsr_held *const *given, const uint64_t *keys,
                               const tsr_gen_result *results, size_t n);
TSR_USE tsr_status tsr_gen_record_chain(const tsr_gen_work *w, json_t *into);

/* Decode, write and record the targets of one result, number `at` of the last run (gen_write.c). */
TSR_USE tsr_status tsr_gen_write(tsr_gen_work *w, size_t at, const tsr_gen_result *result);

/* The second model (gen_larger.c); nothing is done without one. Opened before the plan is made, and
 * planned after that of the first; run on the results that the first has just made.
 * Errors   TSR_EMISMATCH the models differ in a modality of the same name, TSR_ECONFIG nothing to
 * do, those of tsr_fm_open. */
TSR_USE tsr_status tsr_gen_larger_open(tsr_gen_work *w);
TSR_USE tsr_status tsr_gen_larger_plan(tsr_gen_work *w);
TSR_USE tsr_status tsr_gen_larger_run(tsr_gen_work *w, const tsr_gen_result *results, size_t n);
TSR_USE tsr_status tsr_gen_larger_record(const tsr_gen_work *w, json_t *into);

#endif

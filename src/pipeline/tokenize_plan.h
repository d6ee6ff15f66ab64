/* SPDX-License-Identifier: Apache-2.0
 * What a tokenize run is going to do. Private to the job (tokenize*.c). */
#ifndef TSR_PIPELINE_TOKENIZE_PLAN_H
#define TSR_PIPELINE_TOKENIZE_PLAN_H

#include "base/file.h"
#include "pipeline/source.h"
#include "pipeline/tokenize.h"
#include "shards/manifest.h"
#include "tokenizers/tokenizer.h"

#define TSR_TOKENIZE_INPUTS 4
#define TSR_NO_ROW          SIZE_MAX

/* How a file is read: as seen, as indices of palette pictures, as an array, as tokens. */
typedef enum tsr_task_form {
    TSR_FORM_SEEN,
    TSR_FORM_INDICES,
    TSR_FORM_ARRAY,
    TSR_FORM_TOKENS,
    TSR_FORMS
} tsr_task_form;

/* One modality of the recipe. */
typedef struct tsr_task_modality {
    char name[TSR_NAME_CHARS];
    tsr_tokenizer *tokenizer;
    const char *file; /* its path, or NULL; borrowed from the recipe */
    size_t folders[TSR_TOKENIZE_INPUTS], n_folders;
    uint32_t crops;
    int cut; /* its tokens depend on the crop */
    tsr_task_form form; /* TOKENS: not encoded here; folders are the tokens', then the crops' */
} tsr_task_modality;

/* One split: its samples, and which of the job's folders it has. */
typedef struct tsr_task_split {
    char name[TSR_NAME_CHARS];
    char *base;                        /* ROOT/SPLIT, cut off reasons */
    tsr_source *source;                /* NULL: has none of the folders */
    size_t folder[TSR_SOURCE_FOLDERS]; /* of the source, or TSR_NO_ROW */
} tsr_task_split;

/* One shard to look at; rows of the source, TSR_NO_ROW where the sample is gone. */
typedef struct tsr_task_shard {
    uint32_t number;
    size_t split, samples;
    size_t *rows;
    int is_new;
} tsr_task_shard;

typedef struct tsr_task {
    const tsr_recipe *recipe;
    const char *root, *output;
    char source[TSR_NAME_CHARS];
    tsr_names folders; /* of all modalities */
    size_t reference;  /* index of the crops' folder in folders, or TSR_NO_ROW */
    size_t crops_from; /* the same of stored crops; TSR_NO_ROW: they are drawn */
    size_t settings;   /* of the folder of crops that tokens came with, or TSR_NO_ROW */
    tsr_task_modality *modalities;
    size_t n_modalities;
    tsr_task_split *splits;
    size_t n_splits;
    tsr_task_shard *shards;
    size_t n_shards, cap_shards;
    tsr_names unusable; /* one sentence each: files that could not become samples */
    tsr_manifest manifest;
    int is_new; /* the corpus does not exist yet */
    uint64_t samples;
} tsr_task;

/* Read recipe, sources, tokenizers and the corpus that exists; decide on the shards.
 * `replace`: as tsr_tokenize_options. */
TSR_USE tsr_status tsr_task_open(const tsr_recipe *recipe, int replace, tsr_task *out);
void tsr_task_clear(tsr_task *t);

/* Path of sample `row` in job folder f, or NULL. */
const char *tsr_task_path(const tsr_task *t, size_t split, size_t row, size_t f);

/* Digest of what a modality of a shard is made from. */
TSR_USE tsr_status tsr_task_inputs(const tsr_task *t, const tsr_task_shard *s,
                                   const tsr_task_modality *m, tsr_digest *out);

/* 1 when the file is sealed with this tokenizer and these inputs, or has to stay because samples
 * are gone from the source. */
TSR_USE tsr_status tsr_task_sealed(const tsr_task *t, const tsr_task_shard *s,
                                   const tsr_task_modality *m, int *sealed);

/* Write the merged recipe and copies of the tokenizers into the corpus folder. */
TSR_USE tsr_status tsr_task_keep(const tsr_task *t);

/* Scratch that outlives a shard: one of each modality for each worker, made when first used. */
typedef struct tsr_task_lanes {
    tsr_tokenizer_work **works; /* [n_lanes, n_modalities] */
    size_t n_lanes;
} tsr_task_lanes;

/* Empty table for every worker there is. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_task_lanes_init(const tsr_task *t, tsr_task_lanes *l);
void tsr_task_lanes_clear(const tsr_task *t, tsr_task_lanes *l);

/* Crops out of a sample's file of crop settings ([k, 5], the first `count` of them; all zero: there is
 * no picture).
 * size  height and width of the picture; 0, 0 where it is not known: then the smallest that fits
 * Errors   TSR_EFORMAT (a bad sample), TSR_ELIMIT. `origin` names the file. */
TSR_USE tsr_status tsr_stored_crops(const tsr_media *m, const char *origin, size_t count,
                                    tsr_crop *crop, uint32_t size[2]);

/* Tokens of the first crops out of a sample's file of them: [k, T] or, of one crop, [T]; T may be
 * spread over several dimensions. out [crops] is cleared by the caller, also after a failure.
 * Errors   TSR_EFORMAT (a bad sample), TSR_ENOMEM. */
TSR_USE tsr_status tsr_stored_tokens(const tsr_media *m, const char *origin,
                                     const tsr_token_space *s, uint32_t crops, tsr_tokens *out);

/* Progress of the run, for reports. */
typedef struct tsr_task_meter {
    const tsr_job *job;
    uint64_t done, failed; /* samples; failures of any modality */
    uint64_t files_written, files_skipped;
} tsr_task_meter;

/* Tokenize what a shard lacks, seal it, update t->manifest and write it.
 * Errors   TSR_ECANCEL on a stop request: nothing of this shard is kept. */
TSR_USE tsr_status tsr_task_shard_run(tsr_task *t, const tsr_task_shard *s,
                                      const tsr_task_lanes *lanes, tsr_task_meter *meter);

#endif

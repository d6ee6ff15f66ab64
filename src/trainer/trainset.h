/* SPDX-License-Identifier: Apache-2.0
 * What a training run reads: the corpora, masks and validation sets of a recipe, and the modalities
 * they give a model.
 *
 *   data:
 *     scenes: {corpus: demo/scenes/corpus, split: train, weight: 1, random_crops: true,
 *              names: {tok_rgb: rgb}, mask: {...}}
 *   mask: {...}                       of all corpora without their own; see policy.h
 *   validation:
 *     val: {split: val, samples: 256, mask: {...}}    corpus: all of data, unless given
 */
#ifndef TSR_TRAINER_TRAINSET_H
#define TSR_TRAINER_TRAINSET_H

#include "base/recipe.h"
#include "base/status.h"
#include "trainer/loader.h"
#include "trainer/policy.h"

/* One validation set: the same samples with the same masks at every evaluation. */
typedef struct tsr_valset {
    const char *name; /* borrowed from the recipe */
    tsr_feed *feeds;
    size_t n_feeds;
    tsr_policy *policy;
    uint64_t samples; /* used, of all its corpora together; 0: all */
} tsr_valset;

typedef struct tsr_trainset {
    const tsr_recipe *recipe; /* borrowed; strings of the feeds too */
    tsr_mods mods;
    tsr_feed *feeds;
    size_t n_feeds;
    tsr_policy **policies; /* owned: the recipe's first, then those of single corpora */
    size_t n_policies;
    tsr_valset *vals;
    size_t n_vals;
    const char **names; /* storage of all feeds' names */
} tsr_trainset;

/* The modalities that the corpora of `data` hold, as model.inputs, model.outputs and
 * model.max_tokens choose among them.
 * Errors   TSR_ECONFIG naming the key: no corpus, a modality that none has; those of
 *          tsr_manifest_read. */
TSR_USE tsr_status tsr_trainset_mods(const tsr_recipe *r, tsr_mods *out);

/* Feeds, masks and validation sets for a model with these modalities.
 * Errors   TSR_ECONFIG naming the key; those of tsr_policy_create. */
TSR_USE tsr_status tsr_trainset_open(const tsr_recipe *r, const tsr_mods *mods, tsr_trainset *out);
void tsr_trainset_close(tsr_trainset *s);

/* Largest number of rows of one example over all masks: in all and of each modality. */
typedef struct tsr_capacity {
    size_t in_rows, out_rows, in_of[TSR_MODALITIES], out_of[TSR_MODALITIES];
} tsr_capacity;
void tsr_trainset_capacity(const tsr_trainset *s, tsr_capacity *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Masking policies: what a recipe says under `mask:`. tessera-mask(5) is the reference for users.
 *
 *   mask:
 *     totals: {inputs: [64, 128], targets: 128}  tokens of a sample, uniform in the range; or
 *                                                targets: rest, which is all that is hidden
 *     components:                                one is drawn for each sample
 *       - weight: 2
 *         inputs: {default: 0.5, rgb: 5}         Dirichlet concentrations; 0: never
 *         targets: {default: 0.5, "*@448": 2}
 *         keep: {default: random, caption: all}  sequences: random, all, binary
 *         subset: {inputs: [1, 2]}               so many modalities are drawn first
 *     grids: {default: random, depth: block}     random, block, whole
 *     chunks: {det: v0, metadata: v1}            sequences kept or dropped in chunks
 *     limits: {inputs: {rgb: [16, 64]}}          floor and cap of a modality's tokens
 *     drop: {caption: 0.1}                       chance of being treated as absent
 *     compat: false                              budgets exactly as the 4M reference makes them
 *
 * Instead of components: `preset: 4m-7` (4m-7-mix, 4m-21, t2i, sr), or `alphas: FILE` of the 4M
 * repository with `names: {model's: file's}` where names differ.
 *
 * Budgets count rows of the model. What a modality cannot use (it is short, its keep scheme hides
 * it, its places are inputs already) goes to the others that have room, in proportion to their
 * concentrations: see budget.h. Sequences can end below their budgets, as span masking wants; then
 * grids get the rest. With `compat` nothing is handed on, and a target sequence of b tokens has
 * b - 1 rows. */
#ifndef TSR_TRAINER_POLICY_H
#define TSR_TRAINER_POLICY_H

#include "base/json.h"
#include "base/status.h"
#include "trainer/gridmask.h"
#include "trainer/mask.h"

/* Sides of a model, as indices. */
enum { TSR_SIDE_IN, TSR_SIDE_OUT, TSR_SIDES };

#define TSR_BUDGET_MOST (1u << 20) /* tokens of one side of one sample */

typedef enum tsr_keep {
    TSR_KEEP_RANDOM, /* uniform in [0, 1) */
    TSR_KEEP_ALL,
    TSR_KEEP_BINARY, /* all or nothing, each with probability 1/2 */
} tsr_keep;

/* How a sequence falls into chunks; all zero: every token is one. */
typedef struct tsr_chunks {
    uint32_t low, high;    /* ids in [low, high] begin a chunk, when high > 0 */
    uint32_t every, after; /* or: first `after` tokens, then pieces of `every`, when every > 0 */
} tsr_chunks;

typedef struct tsr_component {
    double weight;                           /* > 0, relative */
    double alpha[TSR_SIDES][TSR_MODALITIES]; /* 0: never */
    tsr_keep keep[TSR_MODALITIES];
    uint32_t least[TSR_SIDES], most[TSR_SIDES]; /* total, inclusive */
    int rest;                                   /* targets are all that is hidden; no total */
    uint32_t subset_least[TSR_SIDES], subset_most[TSR_SIDES]; /* most 0: all modalities */
} tsr_component;

struct tsr_policy {
    tsr_mods mods;
    tsr_component *components;
    size_t n_components;
    double weights; /* sum */
    tsr_grid_kind grid[TSR_MODALITIES];
    tsr_chunks chunks[TSR_MODALITIES];
    double drop[TSR_MODALITIES];
    uint32_t floor[TSR_SIDES][TSR_MODALITIES];
    uint32_t cap[TSR_SIDES][TSR_MODALITIES]; /* UINT32_MAX: none */
    int compat;
};

/* Read a policy; `origin` names the recipe in messages. NULL or null: one component, all
 * concentrations 1, 128 inputs and 128 targets.
 * Errors   TSR_ECONFIG naming the key, with a suggestion: unknown keys and modalities, values out
 *          of range, concentrations for a side a modality has not, floors beyond the total, a
 *          `whole` grid that never fits; TSR_ENOENT, TSR_EIO for the file of `alphas`. */
TSR_USE tsr_status tsr_policy_create(const json_t *value, const char *origin, const tsr_mods *mods,
                                     tsr_policy **out);
void tsr_policy_destroy(tsr_policy *p);

/* What must hold between a policy, its totals and its modalities (tsr_policy_create calls it).
 * Errors   TSR_ECONFIG, as above. */
TSR_USE tsr_status tsr_policy_check(const tsr_policy *p, const char *origin);

/* Components as JSON, [{weight, inputs, targets, keep}, ...], from a published alphas file: a map
 * modality -> {input_alphas, target_alphas, keep} of lists, or that under `alphas_mixture` beside
 * `sampling_weights`. *out: json_decref.
 * Errors   TSR_EFORMAT naming file and modality; those of reading. */
TSR_USE tsr_status tsr_policy_read_alphas(const char *path, json_t **out);

/* Components as JSON of a published mixture by name (keys: totals, components).
 * Errors   TSR_ECONFIG with a suggestion. */
TSR_USE tsr_status tsr_policy_preset(const char *name, json_t **out);

#endif

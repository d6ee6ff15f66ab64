/* SPDX-License-Identifier: Apache-2.0
 * The batch job behind `tessera tokenize`: a folder tree becomes a corpus of token shards. */
#ifndef TSR_PIPELINE_TOKENIZE_H
#define TSR_PIPELINE_TOKENIZE_H

#include "base/job.h"
#include "base/json.h"
#include "base/recipe.h"
#include "base/status.h"

/* Schema of its recipe:
 *
 *   source:
 *     root: data/scenes            ROOT[/SPLIT]/FOLDER/.../NAME.EXT, see pipeline/source.h
 *     splits: [train, val]
 *   output: corpora/scenes
 *   modalities:
 *     rgb: {tokenizer: tok/rgb.safetensors}              reads folder "rgb"
 *     palette: {kind: palette, from: rgb}                a kind that needs no file
 *     metadata: {kind: metadata, from: [rgb, metadata]}
 *     tok_depth: {tokenizer: tok/depth.safetensors, tokens: tok_depth}   made elsewhere, .npy
 *   crops: {count: 1, min_scale: 0.8, flips: true, seed: 0, reference: rgb}
 *   shard_samples: 8192
 */
extern const tsr_field tsr_tokenize_fields[];
extern const size_t tsr_n_tokenize_fields;

typedef struct tsr_tokenize_options {
    int dry_run; /* plan only: nothing is written */
    int replace; /* 1: a modality that the corpus has from another tokenizer is made anew */
    const tsr_job *job;
} tsr_tokenize_options;

/* Tokenize what the recipe names and the corpus does not have yet. A sample is the union of the
 * modalities by name; what a sample lacks is recorded as missing, what cannot be tokenized as
 * failed with its reason, and the run goes on. Files whose tokenizer and inputs are unchanged are
 * skipped. The result does not depend on the number of threads or on where earlier runs were
 * stopped.
 *
 * summary  object: corpus, samples, shards, files_written, files_skipped, tokens, values (of
 *          patches; absent where there are none), failed, missing, unusable (paths that could not become samples), modalities, failures (the first 100),
 *          seconds, samples_per_second. Also set, with "stopped": true, when TSR_ECANCEL is
 * returned. Errors   TSR_ECONFIG; TSR_EMISMATCH a corpus made by other tokenizers or crops;
 * TSR_ECANCEL after everything finished was sealed; TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokenize(const tsr_recipe *recipe, const tsr_tokenize_options *options,
                                json_t **summary);

#endif

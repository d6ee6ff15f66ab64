/* SPDX-License-Identifier: Apache-2.0
 * From files to files through a masked model: the job behind `tessera generate`.
 *
 * Conditions are files (encoded on the spot), literal text, or samples of a corpus; targets are
 * predicted one after the other, each seeing those before it; results are decoded and written, and
 * a record of everything that decided them is kept. */
#ifndef TSR_TASKS_GENERATION_H
#define TSR_TASKS_GENERATION_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/graph.h"
#include "pipeline/toolbox.h"
#include "types/media.h"
#include "types/tokens.h"

typedef struct tsr_words {
    const char *const *items;
    size_t count;
} tsr_words;

/* One result, as it is made. Borrowed during the call. */
typedef struct tsr_generated {
    const char *key; /* of the sample; "" for conditions from files */
    size_t variant;  /* from 0 */
    const char *modality;
    const tsr_token_space *space;
    const tsr_tokens *tokens;
    const tsr_media *media; /* NULL: no tokenizer was found, or the tokens mean nothing to it */
    const char *kind;       /* of the tokenizer; "" without */
    const char *path;       /* written file, or NULL */
    const char *why;        /* there is no media, or NULL */
    const tsr_toolbox *tools;
} tsr_generated;

typedef struct tsr_generation {
    const char *model;    /* file */
    const char *super_resolution; /* file of a second model, or NULL: it sees what was given and
                                     generated, as far as it knows the names, and generates the same
                                     larger: by the preset (NULL: "any") and seed + 1 */
    tsr_words tokenizers; /* files or folders, looked at first; then tokenizers/ of the corpus, of
                             the model's folder, of its parent and of a corpus/ there */
    const char *corpus;   /* folder, or NULL */
    tsr_words samples;    /* keys or numbers in the corpus; none: one sample, from files */
    /* Conditions:
     *   MODALITY=FILE    a file; again for further files of one sample (a record beside a picture)
     *   MODALITY:=TEXT   text as it stands; JSON for boxes, palettes, metadata
     *   NAME[,NAME...]   modalities of the corpus's samples
     * None: from nothing. What is given in part may be a target, too, and then what is missing is
     * generated: texts with [MASK] (or [S_1], [S_2] ...), grids with one of these: */
    tsr_words from;
    tsr_words keep, hide; /* MODALITY=WHAT is (is not) given: SHARE of the places, X0,Y0,X1,Y1 in
                             shares of the picture, or a picture that is white there */
    tsr_words to;      /* NAME[,NAME...] in order of the chain, or "all": every output that is not
                          given, grids first. Names that only the second model has are its targets;
                          without any: what the preset has, of what is known smaller */
    tsr_words set;     /* [MODALITY.]KEY=VALUE[,KEY=VALUE...] of gensettings.h; without modality for
                          all targets that have the key */
    tsr_words weights; /* MODALITY=WEIGHT: several weighted conditions instead of one */
    const char *preset;   /* of genpresets.h: settings, whether to grow, and without `to` the
                             targets; or NULL. What is asked for besides goes before it */
    const char *guidance; /* of all targets that --set does not give another; NULL: the preset's, or
                             none (1) */
    int grow, no_grow, no_sentinel; /* as tsr_generator_spec; neither: the preset's, or not */
    size_t decoder_steps; /* of diffusion decoders; 0: the preset's, or the tokenizer's own */
    size_t variants;       /* of each sample, >= 1 */
    uint64_t seed;
    size_t batch; /* results side by side; 0: 16 */
    tsr_precision precision;
    const char *out; /* folder for results and generate.json, or NULL */
    void (*show)(void *ctx, const tsr_generated *g); /* or NULL */
    void *ctx;
    const tsr_job *job;
} tsr_generation;

/* *record, also OUT/generate.json: {model, seed, variants, preset, grow, decoder_steps,
 *   given: {NAME: file, text or "sample"}, chain: [{target, scheme, ...}],
 *   super_resolution: {model, seed, grow, chain}, results: [{key, variant, targets: {NAME: {tokens, file}}}],
 *   failed, seconds, tokens_per_second, samples_per_second}. Files are
 * OUT/[KEY.]NAME[.VARIANT].EXT. A result that its tokenizer cannot decode (a palette with half a
 * colour) is named, counted in "failed" and left out. A result is a function of model, conditions,
 * settings, seed, key and variant: not of batch, threads or the other samples. Errors   TSR_EARG a
 * malformed condition, TSR_ECONFIG a modality the model has not or a wrong setting, TSR_EMISMATCH a
 * corpus or tokenizer that is not the model's, TSR_ENOENT no tokenizer for a file, those of reading
 * files, TSR_ECANCEL. */
TSR_USE tsr_status tsr_generation_run(const tsr_generation *g, json_t **record);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * The masked any-to-any model: an encoder-decoder over tokens of many modalities.
 *
 * Names and shapes of its tensors are those of the published 4M checkpoints, so that files go both
 * ways. Tensors that are tied in training (decoder token_emb and to_logits; mod_emb of both sides)
 * are one parameter here and are stored under both names. A file in which they differ is opened
 * with two parameters and stays so.
 *
 * With a shared vocabulary one table (encoder_embeddings.token_emb.weight) and one head
 * (decoder_embeddings.to_logits.weight, also stored as .token_emb.weight) hold all global ids; a
 * prediction is then a softmax over all of them.
 *
 * Source   Mizrahi et al. 2023, arXiv:2312.06647; Bachmann et al. 2024, arXiv:2406.09406. */
#ifndef TSR_TRAINER_FM_H
#define TSR_TRAINER_FM_H

#include "base/json.h"
#include "base/status.h"
#include "nn/params.h"
#include "nn/publish.h"
#include "nn/safetensors.h"
#include "trainer/modality.h"

typedef struct tsr_fm_config {
    size_t dim, encoder_depth, decoder_depth, heads; /* head width = dim / heads, published: 64 */
    double mlp_ratio; /* hidden width: trunc(dim ratio), gated trunc(2 trunc(dim ratio) / 3) */
    int gated_mlp;    /* SiLU gate without, or plain GELU with biases, as published */
    int gelu;         /* activation GELU instead of SiLU */
    int qkv_bias, proj_bias, mlp_bias, norm_bias, qk_norm;
    size_t registers;      /* learned tokens in front of every input */
    int shared_vocabulary; /* one embedding and one head over all global ids, instead of one each */
    int image_size, patch_size; /* kept for the published metadata */
    tsr_mods mods;
} tsr_fm_config;

/* Sizes by name: tiny, small, base, large, xlarge, or a published family name such as
 * "fm_base_12e_12d_swiglu_nobias"; modalities are left alone. Errors: TSR_ECONFIG with the names
 * there are. */
TSR_USE tsr_status tsr_fm_preset(const char *name, tsr_fm_config *c);

/* Hidden width of the MLPs. */
size_t tsr_fm_hidden(const tsr_fm_config *c);

/* Size of the shared vocabulary: the largest base + V of its modalities. */
size_t tsr_fm_vocabulary(const tsr_fm_config *c);

/* Sizes fit together. Errors: TSR_ECONFIG naming the setting. */
TSR_USE tsr_status tsr_fm_config_check(const tsr_fm_config *c);

typedef struct tsr_fm tsr_fm;

/* A new model, initialised as published (N(0, 0.02^2) tables, Xavier linears, heads
 * U(+-sqrt(6 / (V + D)))), but with smaller heads where that would start far above ln V
 * (fmparams.c). Errors: those of the check, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fm_create(const tsr_fm_config *c, uint64_t seed, tsr_fm **out);
void tsr_fm_destroy(tsr_fm *m);

/* 1 when the open file looks like a masked model. */
int tsr_fm_is_file(const tsr_safetensors *f);

/* Read a model file: one of ours, or a published one (options from its metadata, modalities from
 * their names and shapes). Values may be F32, F16 or BF16. All tensors that are missing, misshapen or
 * too much are named in one message. Embedded sentences (t5_caption) of published models are
 * no input here; their tensors are kept, and written again.
 * Errors   TSR_ENOENT, TSR_EIO, TSR_EFORMAT, TSR_EMISMATCH, TSR_EUNSUPPORTED, TSR_ENUMERIC. */
TSR_USE tsr_status tsr_fm_open(const char *path, tsr_fm **out);

/* What a file is opened for. */
typedef enum tsr_fm_use {
    TSR_FM_TRAIN, /* all values are in memory: tsr_fm_open */
    TSR_FM_RUN,   /* values stay in the file, which stays open, until a graph needs them, and then
                     go straight into the form it needs: products hold each weight once, tables
                     are read row by row. What the reference ties is two parameters. */
    TSR_FM_LOOK,  /* to describe the model: of values only small tables that may be tied are read,
                     larger ones are taken to be. Wrong tensors are no failure but part of the
                     description. */
} tsr_fm_use;

/* The same for a purpose. Errors of values (TSR_ENUMERIC) come from the first run that reads them. */
TSR_USE tsr_status tsr_fm_open_for(const char *path, tsr_fm_use use, tsr_fm **out);

/* TSR_OK, or for a file that was looked at the message that opening it for another use would give:
 * TSR_EMISMATCH. */
TSR_USE tsr_status tsr_fm_problems(const tsr_fm *m, const char *path);

/* Take over what `from` keeps of modalities that are not handled. Errors: TSR_EARG names taken,
 * TSR_ENOMEM. */
TSR_USE tsr_status tsr_fm_keep_left_out(const tsr_fm *from, tsr_fm *to);

/* Write by rename. `averaged`: the moving average of the weights where there is one. `extra`: JSON
 * object kept in the metadata (vocabulary, provenance); NULL: that of the file read, if any.
 * Errors: TSR_EARG, TSR_EIO, TSR_ENOMEM. */
TSR_USE tsr_status tsr_fm_write(const tsr_fm *m, const char *path, int averaged,
                                const json_t *extra);

/* The model file `path` as ml-4m loads it: every tensor under every name, its options and no others in
 * the metadata, into the file `out` by rename. Modalities are called as `names` says. p gets what
 * ml-4m has to be told, or why it cannot be; with reasons, or out NULL, nothing is written.
 * Values and their types stay as they are.
 * Errors   those of opening and writing. */
TSR_USE tsr_status tsr_fm_publish(const char *path, const tsr_renames *names, tsr_publish *p,
                                  const char *out);

/* Borrowed until destroy. */
const tsr_fm_config *tsr_fm_get_config(const tsr_fm *m);
tsr_params *tsr_fm_params(const tsr_fm *m);

/* Everything a user asks: sizes, parameters (blocks, embeddings), modalities, and under "provenance"
 * the `extra` of the file it was read from, if any. Object; json_decref. */
TSR_USE tsr_status tsr_fm_describe(const tsr_fm *m, json_t **out);

#endif

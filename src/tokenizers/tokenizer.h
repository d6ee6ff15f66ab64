/* SPDX-License-Identifier: Apache-2.0
 * One interface for every tokenizer: from what a file held to tokens, and back.
 *
 * A tokenizer is preprocessing + model + place in the vocabulary for one modality. It is stored in
 * one file (safetensors; text: tokenizer.json) that says everything needed to use it. Kinds are
 * listed in one table (kinds.c); a new kind is one file and one line there. */
#ifndef TSR_TOKENIZERS_TOKENIZER_H
#define TSR_TOKENIZERS_TOKENIZER_H

#include "base/json.h"
#include "base/status.h"
#include "types/media.h"
#include "types/tensor.h"
#include "types/tokens.h"

struct tsr_job; /* base/job.h */
typedef struct tsr_tokenizer tsr_tokenizer;

/* Scratch of one worker (network activations, FFT plans). One per thread; life: as long as its
 * tokenizer. */
typedef struct tsr_tokenizer_work tsr_tokenizer_work;

/* The name of what a published modality's tokens are of: "rgb@224" for "tok_rgb@224", as published
 * models call them; other names are their own. Borrowed. */
const char *tsr_modality_plain(const char *name);

/* Read a tokenizer file. The kind is found in its metadata (key "tessera"), or guessed for
 * published 4M files (which have none) with `hint`, the modality's name, with "tok_" before it or
 * not, NULL if unknown.
 * Errors   TSR_ENOENT, TSR_EFORMAT, TSR_EUNSUPPORTED, TSR_EMISMATCH (tensors of wrong shape, settings
 *          that cannot be), TSR_EARG (hint is not a name). */
TSR_USE tsr_status tsr_tokenizer_open(const char *path, const char *hint, tsr_tokenizer **out);

/* The same to describe it only, from the header: of a file above 64 MiB the digest is not computed and
 * stays 0 ("hash": null). */
TSR_USE tsr_status tsr_tokenizer_look(const char *path, const char *hint, tsr_tokenizer **out);

/* Make one that needs no training (palette, metadata, bytes) from its recipe section, a JSON
 * object with at least "kind" and "modality". `origin` names the recipe in messages. */
TSR_USE tsr_status tsr_tokenizer_create(const json_t *config, const char *origin,
                                        tsr_tokenizer **out);
TSR_USE tsr_status tsr_tokenizer_write(const tsr_tokenizer *t, const char *path);
void tsr_tokenizer_destroy(tsr_tokenizer *t);

/* Borrowed until destroy. `base` in it is 0 until the corpus assigns one. */
const tsr_token_space *tsr_tokenizer_space(const tsr_tokenizer *t);

/* Kind ("image", "depth", "palette", ...). Borrowed. */
const char *tsr_tokenizer_kind_name(const tsr_tokenizer *t);

/* Everything a user asks before trusting it: kind, modality, media, tokens and grid per sample,
 * input range and normalisation, resize rule, quantizer, codebook sizes, encoder/decoder present,
 * bits per sample, parameters, hash. Object; json_decref. */
TSR_USE tsr_status tsr_tokenizer_describe(const tsr_tokenizer *t, json_t **out);

/* Scratch for one thread; it must not outlive t. Errors: TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokenizer_work_create(const tsr_tokenizer *t, tsr_tokenizer_work **out);
void tsr_tokenizer_work_destroy(tsr_tokenizer_work *w);

/* What goes in: the media a sample has for this modality, in any order; a kind takes those it
 * knows by their media kind (metadata: the picture and the record) and refuses the rest. */
typedef struct tsr_inputs {
    const tsr_media *media[4];
    size_t count;
    const tsr_view *view; /* crop shared by all modalities; NULL: the centred square */
    const char *from;     /* modality the media are of, "rgb"; NULL: the tokenizer's own. Tokenizers
                           * that can make their own from it do so (setting "derive") */
    size_t crop;          /* number of the view among the sample's crops: files that hold something
                           * for each crop give what is there */
} tsr_inputs;

/* Tokens of one sample. They depend on the sample and the tokenizer only: not on threads, batch or
 * neighbours. *out is filled on success; release with tsr_tokens_clear.
 * Errors   TSR_EFORMAT / TSR_ENUMERIC (this sample is bad: the caller records it and goes on),
 *          TSR_EARG (inputs of the wrong media kind), TSR_ENOMEM. */
TSR_USE tsr_status tsr_tokenizer_encode(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                        const tsr_inputs *in, tsr_tokens *out);

/* Tokens of a sequence kind as its vocabulary writes them ("v1=3 v0=255 a tree [S_1]"), closed by
 * the end token; appended to *out. Errors: TSR_EUNSUPPORTED for other kinds, those of
 * tsr_text_encode. */
TSR_USE tsr_status tsr_tokenizer_spell(const tsr_tokenizer *t, const char *text, size_t bytes,
                                       tsr_tokens *out);

/* Media from tokens. Errors: TSR_EFORMAT for ids outside the codebook or an impossible count. */
TSR_USE tsr_status tsr_tokenizer_decode(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                        const tsr_tokens *tokens, tsr_media *out);

/* How decoders that draw noise work (diffusion, see tsr_vqvae_decoding); others look at none of it. 0
 * and NULL everywhere: the tokenizer's usual way, which is that of tsr_tokenizer_decode. */
typedef struct tsr_decoding {
    size_t steps;          /* calls of the network, about; 0: as describe says */
    uint64_t seed, sample; /* which noise */
    const char *sampler;   /* "ddim", "ddpm", "pndm", "plms"; NULL: ddim */
    float eta;             /* DDIM: 0 .. 1 */
    float guidance;        /* 0 or 1: none */
    int compatible;        /* visit the steps that the 4M reference visits, miscounted ones too */
    const struct tsr_job *job; /* is told of each step and may stop the work */
} tsr_decoding;

/* The same with settings. Errors: also TSR_EARG for settings that cannot be, TSR_EUNSUPPORTED for a
 * sampler that the tokenizer's noise does not allow, TSR_ENUMERIC, TSR_ECANCEL. */
TSR_USE tsr_status tsr_tokenizer_decode_with(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                             const tsr_tokens *tokens, const tsr_decoding *how,
                                             tsr_media *out);

/* What the decoder should have returned: the input after crop, resize and conversion, in the form
 * decode gives (an 8-bit picture, depth in metres, mono sound, normalised text). */
TSR_USE tsr_status tsr_tokenizer_target(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                        const tsr_inputs *in, tsr_media *out);

/* Quality of `got` against `target` in the field's units, as an object of numbers: psnr_db, ssim;
 * absrel, delta1; angle_deg; miou; mel_db; delta_e; exact. The first member is the main one. */
TSR_USE tsr_status tsr_tokenizer_quality(const tsr_tokenizer *t, const tsr_media *target,
                                         const tsr_media *got, json_t **out);

/* Bits one sample costs: count * log2(codebook size); < 0 when the length is free. */
double tsr_tokenizer_bits(const tsr_tokenizer *t);

#endif

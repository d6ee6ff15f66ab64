/* SPDX-License-Identifier: Apache-2.0
 * What one kind of tokenizer is: the table behind tokenizer.h. Private to this layer; a new kind is
 * one file that fills a tsr_kind, and one line in kinds.c. */
#ifndef TSR_TOKENIZERS_KIND_H
#define TSR_TOKENIZERS_KIND_H

#include "tokenizers/tokenizer.h"

typedef struct tsr_kind tsr_kind;

/* The public handle. `space` is complete when open or create return (base 0); `state` belongs to
 * the kind and is immutable from then on, so that any number of threads may share it. */
struct tsr_tokenizer {
    const tsr_kind *kind;
    tsr_token_space space;
    void *state;
};

/* Scratch of one worker; `state` belongs to the kind and is NULL where it needs none. */
struct tsr_tokenizer_work {
    const tsr_tokenizer *tokenizer;
    void *state;
};

/* A tokenizer file as far as tokenizer.c looks into it. All borrowed for the call.
 * settings   JSON files: the whole value. safetensors: the parsed value of the metadata key
 *            "tessera", NULL where the file has none (published 4M files).
 * metadata   safetensors: the object "__metadata__" (strings), NULL if absent or a JSON file. */
typedef struct tsr_kind_file {
    const char *path;
    const char *hint; /* modality's name, or NULL */
    const json_t *settings;
    const json_t *metadata;
    int is_json;
    int quick; /* leave out what takes reading all of a large file: the digest */
} tsr_kind_file;

struct tsr_kind {
    const char *name;    /* "image", "depth", "palette" */
    const char *summary; /* one line for listings */

    /* 1 when a file without our settings is of this kind (published 4M and Hugging Face files).
     * NULL: never. The first kind of the table that claims a file gets it. */
    int (*claims)(const tsr_kind_file *file);

    /* Fill t->space and t->state from a file; t->kind is set. On failure the dispatcher calls
     * destroy, which must take a half-built state. */
    tsr_status (*open)(tsr_tokenizer *t, const tsr_kind_file *file);

    /* The same from a recipe section. NULL: a kind that must be trained. */
    tsr_status (*create)(tsr_tokenizer *t, const json_t *config, const char *origin);

    tsr_status (*write)(const tsr_tokenizer *t, const char *path);
    void (*destroy)(tsr_tokenizer *t); /* releases t->state only; state may be NULL */

    /* Add members to an object that holds what the dispatcher knows (kind, modality, layout, grid,
     * codebook size, bits, hash). */
    tsr_status (*describe)(const tsr_tokenizer *t, json_t *into);

    /* Scratch; both NULL where there is none. destroy takes half-built scratch. */
    tsr_status (*work_create)(const tsr_tokenizer *t, tsr_tokenizer_work *w);
    void (*work_destroy)(tsr_tokenizer_work *w);

    /* As in tokenizer.h; `out` is zeroed storage, published by the dispatcher on success and
     * cleared by it on failure. Ids given to decode are already known to be in the codebook, and a
     * grid's count to be right. */
    tsr_status (*encode)(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out);
    tsr_status (*decode)(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out);
    /* Kinds whose decoder may draw noise: instead of decode. Else NULL. */
    tsr_status (*decode_with)(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                              const tsr_decoding *how, tsr_media *out);
    tsr_status (*target)(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out);
    tsr_status (*quality)(const tsr_tokenizer *t, const tsr_media *target, const tsr_media *got,
                          json_t *into);

    const struct tsr_trainable *train; /* kinds with a network; else NULL */
    const void *rules;                 /* where several kinds share these functions: how they differ */
};

/* All kinds, ended by NULL. */
extern const tsr_kind *const tsr_kinds[];

/* The kind of that name, or TSR_EUNSUPPORTED with the list of names; `origin` names the input. */
TSR_USE tsr_status tsr_kind_find(const char *name, const char *origin, const tsr_kind **out);

/* The only input of media kind `kind`, or NULL. */
const tsr_media *tsr_inputs_find(const tsr_inputs *in, tsr_media_kind kind);

/* The same; TSR_EARG naming the modality and what was given when there is none. */
TSR_USE tsr_status tsr_inputs_need(const tsr_tokenizer *t, const tsr_inputs *in,
                                   tsr_media_kind kind, const tsr_media **out);

/* Fill the name, layout and vocabulary of t->space from a recipe section: "modality" (required,
 * checked) and "vocabulary" (default: `vocabulary`, or the modality's name when that is NULL).
 * Errors   TSR_ECONFIG naming `origin`. */
TSR_USE tsr_status tsr_kind_name_space(tsr_tokenizer *t, const json_t *config, const char *origin,
                                       const char *vocabulary);

#endif

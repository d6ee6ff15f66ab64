/* SPDX-License-Identifier: Apache-2.0
 * What the sequence kinds (text, palette, metadata, boxes) share: the text vocabulary that gives
 * them ids, their JSON file, [EOS]. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_SEQKIND_H
#define TSR_TOKENIZERS_SEQKIND_H

#include "base/str.h"
#include "tokenizers/kind.h"
#include "tokenizers/text.h"

/* The state of a sequence kind. */
typedef struct tsr_seq {
    tsr_text *text;
    char *text_path;  /* as it was opened */
    tsr_tokenizer *codes; /* makes the codes of poses and masks (seqwords.h), or NULL */
    char *codes_path;
    json_t *settings; /* everything that decides tokens, defaults filled in; no paths */
    uint32_t eos;
    void *own;        /* the kind's parsed settings, released by own_destroy */
    void (*own_destroy)(void *own);
} tsr_seq;

static inline tsr_seq *tsr_seq_of(const tsr_tokenizer *t)
{
    return t->state;
}

/* Start: names the space, opens the vocabulary named by config["text"] (relative paths: to the
 * folder of `file`, and if it is not there, beside `file`; `file` NULL: to the working folder) and
 * checks config["text_hash"] if present. `keys` lists what the kind knows besides kind, modality,
 * vocabulary, text, text_hash; other keys are errors.
 * Errors   TSR_ECONFIG, TSR_EMISMATCH (another vocabulary), those of tsr_text_open. */
TSR_USE tsr_status tsr_seq_init(tsr_tokenizer *t, const json_t *config, const char *origin,
                                const char *file, const char *const *keys, size_t n_keys);

/* The same around a vocabulary that is open already (taken). */
TSR_USE tsr_status tsr_seq_init_text(tsr_tokenizer *t, tsr_text *text, const char *path);

/* Where a file named in `file` is: relative to its folder, else beside it; `file` NULL: to the working
 * folder. Release with tsr_free. */
TSR_USE tsr_status tsr_seq_find(const char *name, const char *file, char **out);

/* End: takes the settings and computes the tokenizer's hash from kind, settings, vocabulary. */
TSR_USE tsr_status tsr_seq_seal(tsr_tokenizer *t, json_t *settings);

/* kind.h's write, destroy and the common part of describe. The file is JSON: the settings, and the
 * paths of the vocabulary and of the tokenizer of codes (relative when they lie beside the file) with
 * their hashes. */
TSR_USE tsr_status tsr_seq_write(const tsr_tokenizer *t, const char *path);
void tsr_seq_destroy(tsr_tokenizer *t);
TSR_USE tsr_status tsr_seq_describe(const tsr_tokenizer *t, json_t *into);

/* Add one id, one value token, the end. Room grows as needed. */
TSR_USE tsr_status tsr_seq_add(tsr_tokens *out, uint32_t id);
TSR_USE tsr_status tsr_seq_add_value(const tsr_tokenizer *t, tsr_tokens *out, unsigned line,
                                     unsigned value);
TSR_USE tsr_status tsr_seq_end(const tsr_tokenizer *t, tsr_tokens *out);

/* Tokens before [EOS] (all when there is none). */
size_t tsr_seq_length(const tsr_tokenizer *t, const tsr_tokens *tokens);

/* Numbers from a section, with a default and a range. TSR_ECONFIG naming the key. */
TSR_USE tsr_status tsr_seq_number(const json_t *config, const char *origin, const char *key,
                                  double fallback, const double range[2], double *out);

/* TSR_ECONFIG with a suggestion for the first member of `object` not among the keys. */
TSR_USE tsr_status tsr_seq_check_keys(const json_t *object, const char *origin,
                                      const char *const *keys, size_t n_keys);

#endif

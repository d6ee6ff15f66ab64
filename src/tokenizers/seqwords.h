/* SPDX-License-Identifier: Apache-2.0
 * What the sequence kinds that are written as words (poses, instances) share: words to tokens and
 * back, numbers of nested JSON lists, codes that another tokenizer makes. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_SEQWORDS_H
#define TSR_TOKENIZERS_SEQWORDS_H

#include "base/rng.h"
#include "tokenizers/seqkind.h"

/* ---- words ---- */

/* Tokens of a text of words, then [EOS]. */
TSR_USE tsr_status tsr_seq_say(const tsr_tokenizer *t, const char *text, tsr_tokens *out);

/* A word of decoded tokens: v<line>=<value>, or anything else with line -1. */
typedef struct tsr_word {
    const char *s; /* borrowed from the list */
    int line;
    unsigned value;
} tsr_word;

typedef struct tsr_words {
    tsr_word *list;
    size_t count, cap;
    char *text;
} tsr_words;

/* The words of tokens up to [EOS]. */
TSR_USE tsr_status tsr_seq_words(const tsr_tokenizer *t, const tsr_tokens *tokens, tsr_words *out);

void tsr_words_clear(tsr_words *w);

/* 1 when there is a word i and it is s. */
int tsr_word_is(const tsr_words *w, size_t i, const char *s);

/* 1 when words [at, at + n) are v<line>=<value> each; their values. */
int tsr_words_values(const tsr_words *w, size_t at, size_t n, int line, unsigned *values);

/* kind.h's quality of words: exact, the share of places where two texts have the same word, of the longer
 * one, 1 when both are empty; count_error, by how many things of `count` there are others in `got`. */
TSR_USE tsr_status tsr_words_quality(const char *want, size_t count, const char *got, size_t got_count,
                                     json_t *into);

/* ---- codes: v0=<id>, from 512 on v1=<id - 512> ---- */

#define TSR_CODES_MAX 1024

/* Add " v0=7". */
TSR_USE tsr_status tsr_seq_say_code(tsr_str *b, unsigned code);

/* 1 when words [at, at + n) are codes. */
int tsr_words_codes(const tsr_words *w, size_t at, size_t n, unsigned *codes);

/* A tokenizer that makes the codes where a record has none. Setting "codes", its file (relative: as
 * "text"); absent: NULL. The dispatcher's seal, write and destroy know of it.
 * Errors   TSR_EMISMATCH when it does not make `count` codes below TSR_CODES_MAX; those of opening.
 */
TSR_USE tsr_status tsr_seq_codes_open(tsr_tokenizer *t, const json_t *config, const char *origin,
                                      const char *file, const char *hint, size_t count);

/* kind.h's work_create and work_destroy: the scratch of that tokenizer, NULL without. */
TSR_USE tsr_status tsr_seq_codes_work(const tsr_tokenizer *t, tsr_tokenizer_work *w);
void tsr_seq_codes_end(tsr_tokenizer_work *w);

/* The codes of one thing. TSR_EFORMAT when there is no tokenizer to make them: `what` is missing.
 */
TSR_USE tsr_status tsr_seq_codes_make(const tsr_tokenizer *t, tsr_tokenizer_work *w,
                                      const tsr_inputs *in, const char *what, unsigned *codes);

/* ---- numbers and order ---- */

/* Exactly n numbers of nested lists, in order. 0 when there are fewer, more, or other things. */
int tsr_json_numbers(const json_t *v, double *out, size_t n);

/* Setting "order": "fixed" or "shuffle", and "seed". */
typedef struct tsr_seq_order {
    int shuffle;
    double seed;
} tsr_seq_order;
TSR_USE tsr_status tsr_seq_order_read(const json_t *config, const char *origin, tsr_seq_order *out);

/* Random numbers for a record and its crop: they depend on what the record says, not on its place.
 */
TSR_USE tsr_status tsr_seq_stream(const tsr_seq_order *o, const json_t *record, size_t crop,
                                  tsr_rng *out);

/* 0..n-1 in order, or shuffled. */
void tsr_seq_permute(const tsr_seq_order *o, tsr_rng *r, size_t *places, size_t n);

#endif

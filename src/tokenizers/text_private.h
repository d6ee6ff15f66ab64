/* SPDX-License-Identifier: Apache-2.0
 * What the files of the text tokenizer share. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_TEXT_PRIVATE_H
#define TSR_TOKENIZERS_TEXT_PRIVATE_H

#include "tokenizers/text.h"
#include "tokenizers/textchar.h"
#include "tokenizers/textmap.h"
#include "tokenizers/textstep.h"

#define TSR_TEXT_MAX_ID (1u << 22) /* ids of a file stay below this */

/* An added token: cut out of the text before words are looked at. */
typedef struct tsr_special {
    uint32_t id;
    int single_word;    /* only where no word character touches it */
    int lstrip, rstrip; /* takes the blanks before, after it with it */
    int normalized;     /* looked for in the normalised text, not in the raw text */
    int special;        /* the file's word for it; no effect on ids */
    char *shown;        /* its text when decoded; NULL: the token as it is. Owned by tsr_text */
} tsr_special;

/* Tree over the bytes of some special strings; node 0 is the root. */
typedef struct tsr_texttree {
    struct tsr_texttree_node {
        uint32_t child, sibling; /* 0: none */
        uint32_t entry;          /* index into specials + 1 where a string ends, else 0 */
        unsigned char byte;
    } * nodes;
    size_t count, cap;
    uint32_t first[256]; /* the child of the root for each byte, or 0 */
} tsr_texttree;

/* Let the string s[0..bytes) end in `entry`; *taken is 1 and nothing changed when one ends there.
 */
TSR_USE tsr_status tsr_texttree_add(tsr_texttree *t, const char *s, size_t bytes, uint32_t entry,
                                    int *taken);
void tsr_texttree_clear(tsr_texttree *t);

/* Longest string of the tree that starts at text[at]: its entry (index + 1) and end, or 0. */
uint32_t tsr_texttree_longest(const tsr_texttree *t, const char *text, size_t bytes, size_t at,
                              size_t *end);

/* What a model needs of one call: ids so far, and scratch. Start with {0}. */
typedef struct tsr_textwork {
    uint32_t *ids;
    size_t count, cap;
    tsr_str piece;
    struct tsr_bpework *bpe; /* text_bpe.c's */
} tsr_textwork;

/* Append an id. */
TSR_USE tsr_status tsr_textwork_emit(tsr_textwork *w, uint32_t id);
void tsr_textwork_clear(tsr_textwork *w);

/* A kind of model: one file, one row of the table in textfile.c. `t->model` is its own. */
typedef struct tsr_textmodel {
    const char *type;
    /* The members of "model" but for vocab, which t has already. */
    tsr_status (*read)(tsr_text *t, const json_t *model, const char *origin);
    /* Canonical "model", into which the caller puts vocab; then what follows vocab, or NULL. */
    tsr_status (*write)(const tsr_text *t, json_t *model);
    tsr_status (*write_rest)(const tsr_text *t, json_t *model);
    /* Ids of a word, appended to w->ids. */
    tsr_status (*word)(const tsr_text *t, const char *word, size_t bytes, tsr_textwork *w);
    /* What the model puts after a word's last piece ("</w>"), or "". */
    const char *(*suffix)(const tsr_text *t);
    void (*destroy)(void *model);
    void (*clear_work)(tsr_textwork *w);
} tsr_textmodel;

extern const tsr_textmodel tsr_textmodel_wordpiece, tsr_textmodel_bpe;

/* WordPiece's settings: t->model of tsr_textmodel_wordpiece. */
typedef struct tsr_wordpiece {
    char *prefix; /* of continuing pieces: "##" */
    uint32_t unknown;
    size_t max_word_chars;
} tsr_wordpiece;

/* Gives t the model WordPiece; `unknown` is the id that [UNK] has or will have. */
TSR_USE tsr_status tsr_wordpiece_create(tsr_text *t, const char *prefix, uint32_t unknown,
                                        size_t max_word_chars);

struct tsr_text {
    char **token;         /* [size], NULL where unused */
    unsigned char *added; /* [size], 1: an added token that the model does not know */
    uint32_t size;
    size_t n_vocab; /* tokens the model knows */
    tsr_textmap ids;
    size_t longest; /* bytes of the longest token */
    tsr_special *specials;
    size_t n_specials, cap_specials;
    int has_shown; /* one of them has a `shown` */
    tsr_texttree raw, normal;
    tsr_textsteps normalizer, words, decoder;
    json_t *processor; /* post_processor, as it was in the file, or null */
    const tsr_textmodel *kind;
    void *model;
    tsr_digest digest;
};

/* Id of a token the model knows, or TSR_TEXT_NONE. */
uint32_t tsr_text_model_id(const tsr_text *t, const char *token, size_t bytes);

/* What text falls into: words (special == TSR_TEXT_NONE) and special tokens. */
typedef tsr_status (*tsr_word_sink)(void *ctx, const char *word, size_t bytes, uint32_t special);

/* Everything before the model: calls `sink` for each word and special token in order. */
TSR_USE tsr_status tsr_text_split(const tsr_text *t, const char *text, size_t bytes,
                                  tsr_word_sink sink, void *ctx);

/* Building. All strings are copied. create makes an empty one without steps or model. */
TSR_USE tsr_status tsr_text_create(tsr_text **out);

/* Errors: TSR_EFORMAT when the text or the id is taken, TSR_ELIMIT. */
TSR_USE tsr_status tsr_text_add_token(tsr_text *t, uint32_t id, const char *token, int added);

/* After the normalizer and the token itself; s->shown is filled in here. Errors: TSR_EFORMAT when
 * it is empty or like another one once normalised. */
TSR_USE tsr_status tsr_text_add_special(tsr_text *t, const tsr_special *s);

/* An empty WordPiece tokenizer with the BERT rules of the published 4M file. Its [UNK] has the id
 * TSR_TEXT_UNK, once the caller has added it. */
TSR_USE tsr_status tsr_text_create_bert(int lowercase, tsr_text **out);

/* After the last token: computes the digest. */
TSR_USE tsr_status tsr_text_seal(tsr_text *t);

#endif

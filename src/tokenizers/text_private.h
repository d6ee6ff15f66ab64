/* SPDX-License-Identifier: Apache-2.0
 * What the files of the text tokenizer share. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_TEXT_PRIVATE_H
#define TSR_TOKENIZERS_TEXT_PRIVATE_H

#include "tokenizers/text.h"
#include "tokenizers/textmap.h"
#include "tokenizers/textnormal.h"

#define TSR_TEXT_MAX_ID (1u << 22) /* ids of a file stay below this */

/* A special token: cut out of the text before words are looked at. */
typedef struct tsr_special {
    uint32_t id;
    int single_word; /* only where no word character touches it */
    int normalized;  /* looked for in the normalised text, not in the raw text */
    int special;     /* the file's word for it; no effect on ids */
} tsr_special;

/* Tree over the bytes of some special strings; node 0 is the root. */
typedef struct tsr_texttree {
    struct tsr_texttree_node {
        uint32_t child, sibling; /* 0: none */
        uint32_t entry;          /* index into specials + 1 where a string ends, else 0 */
        unsigned char byte;
    } *nodes;
    size_t count, cap;
} tsr_texttree;

/* Let the string s[0..bytes) end in `entry`. */
TSR_USE tsr_status tsr_texttree_add(tsr_texttree *t, const char *s, size_t bytes, uint32_t entry);
void tsr_texttree_clear(tsr_texttree *t);

/* Longest string of the tree that starts at text[at]: its entry (index + 1) and end, or 0. */
uint32_t tsr_texttree_longest(const tsr_texttree *t, const char *text, size_t bytes, size_t at,
                              size_t *end);

struct tsr_text {
    char **token; /* [size], NULL where unused */
    uint32_t size;
    tsr_textmap ids;
    tsr_special *specials;
    size_t n_specials, cap_specials;
    tsr_texttree raw, normal;
    tsr_normal_rules rules;
    uint32_t unknown;
    size_t max_word_chars;
    size_t longest; /* bytes of the longest token */
    tsr_digest digest;
};

/* What text falls into: words (special == TSR_TEXT_NONE) and special tokens. */
typedef tsr_status (*tsr_word_sink)(void *ctx, const char *word, size_t bytes, uint32_t special);

/* Steps 1 to 4 of encoding: calls `sink` for each word and special token in order. */
TSR_USE tsr_status tsr_text_split(const tsr_text *t, const char *text, size_t bytes,
                                  tsr_word_sink sink, void *ctx);

/* Building. All strings are copied. create makes an empty one with the BERT rules. */
TSR_USE tsr_status tsr_text_create(tsr_text **out);
TSR_USE tsr_status tsr_text_add_token(tsr_text *t, uint32_t id, const char *token);
TSR_USE tsr_status tsr_text_add_special(tsr_text *t, const tsr_special *s);

/* After the last token: finds [UNK] and computes the digest. */
TSR_USE tsr_status tsr_text_seal(tsr_text *t, const char *unknown, const char *origin);

#endif

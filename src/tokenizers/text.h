/* SPDX-License-Identifier: Apache-2.0
 * Text to ids of the shared text vocabulary, and back: tokenizer.json files of the Hugging Face
 * library (WordPiece and byte-pair encoding), and training of WordPiece.
 *
 * Encoding has five steps: added tokens are cut out of the raw text; the rest is normalised; added
 * tokens that are looked for in normalised text are cut out of that; the pre-tokenizer cuts words;
 * the model gives each word its ids. Ids are those of the library's
 * encode(text, add_special_tokens=False), decoded text that of decode(ids,
 * skip_special_tokens=False): a post_processor is kept in the file, but the tokens it would put
 * around a text are not ours to add (the kinds do that). Text that is not UTF-8, which the library
 * cannot be given, is refused.
 *
 * A sequence modality's stored tokens end with [EOS] and hold no padding (the masked model appends
 * [EOS] before it truncates, so storing it changes nothing and marks a sequence as complete). The
 * functions here add nothing; the kinds (text, palette, metadata, boxes) append it. */
#ifndef TSR_TOKENIZERS_TEXT_H
#define TSR_TOKENIZERS_TEXT_H

#include "base/hash.h"
#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "types/tokens.h"

#include <stddef.h>
#include <stdint.h>

#define TSR_TEXT_PAD   0u
#define TSR_TEXT_UNK   1u
#define TSR_TEXT_SOS   2u
#define TSR_TEXT_EOS   3u
#define TSR_TEXT_NONE  UINT32_MAX         /* no such token */
#define TSR_TEXT_LINES 4                  /* value tokens v0= .. v3= */
#define TSR_TEXT_MAX   ((size_t)16 << 20) /* bytes of one text */

/* Immutable once made; shared by threads. */
typedef struct tsr_text tsr_text;

/* Read or parse a Hugging Face tokenizer.json. Handled are
 * models          WordPiece, BPE (without dropout)
 * normalizers     BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace,
 *                 Prepend, ByteLevel, Sequence
 * pre-tokenizers  BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits,
 *                 CharDelimiterSplit, ByteLevel, Split, Metaspace (but "first"), Sequence
 * decoders        WordPiece, ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder,
 *                 Sequence
 * post-processors TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence
 * with the regular expressions of textregex.h. Whatever else a file asks for (truncation and
 * padding, too) is refused rather than ignored; so is a file whose added tokens have other ids than
 * the library would give them.
 * Errors   TSR_ENOENT, TSR_EFORMAT, TSR_EUNSUPPORTED (naming the part), TSR_ELIMIT. */
TSR_USE tsr_status tsr_text_open(const char *path, tsr_text **out);
TSR_USE tsr_status tsr_text_from_json(const json_t *value, const char *origin, tsr_text **out);

/* tokenizer.json that the Hugging Face library reads: same ids. */
TSR_USE tsr_status tsr_text_to_json(const tsr_text *t, json_t **out);
TSR_USE tsr_status tsr_text_write(const tsr_text *t, const char *path);
void tsr_text_destroy(tsr_text *t);

/* Ids run below this (files may leave ids unused). */
uint32_t tsr_text_size(const tsr_text *t);

/* Digest of the canonical tokenizer.json: equal for equal tokenizers, whatever the file looked
 * like. */
tsr_digest tsr_text_digest(const tsr_text *t);

/* Id of a token's exact text ("[EOS]", "v0=17", "##ing"), or TSR_TEXT_NONE. */
uint32_t tsr_text_id(const tsr_text *t, const char *token);

/* Text of an id, or NULL for an unused one. Borrowed until destroy. */
const char *tsr_text_token(const tsr_text *t, uint32_t id);

/* Ids of text[0..bytes), appended to out->ids. Nothing is added at the ends.
 * Errors   TSR_EFORMAT when it is not UTF-8, TSR_ELIMIT beyond TSR_TEXT_MAX or when a regular
 *          expression of the file takes too many steps, TSR_ENOMEM. */
TSR_USE tsr_status tsr_text_encode(const tsr_text *t, const char *text, size_t bytes,
                                   tsr_tokens *out);

/* Text of ids, special tokens kept; release with tsr_free. Unused ids are left out. Bytes that are
 * not UTF-8 become U+FFFD; *bytes (or NULL) is the length, as a text may hold NUL.
 * Errors   TSR_EFORMAT for an id at or above tsr_text_size(). */
TSR_USE tsr_status tsr_text_decode(const tsr_text *t, const uint32_t *ids, size_t count, char **out,
                                   size_t *bytes);

/* What decoding should return when nothing is lost: the normalised words of the text, joined and
 * cleaned as decode does it. Release with tsr_free; *bytes (or NULL) is its length. */
TSR_USE tsr_status tsr_text_normal(const tsr_text *t, const char *text, size_t length, char **out,
                                   size_t *bytes);

/* Value token v<line>=<value>. Errors: TSR_EARG for line > 3; TSR_EMISMATCH when the vocabulary has
 * no such token. */
TSR_USE tsr_status tsr_text_value(const tsr_text *t, unsigned line, unsigned value, uint32_t *id);

/* The inverse: 1 and line, value when the id is a value token, else 0. */
int tsr_text_is_value(const tsr_text *t, uint32_t id, unsigned *line, unsigned *value);

/* How a vocabulary is laid out and learnt. */
typedef struct tsr_text_train_spec {
    uint32_t vocabulary;        /* size aimed at, specials included */
    uint32_t min_frequency;     /* pairs seen less often are not merged */
    uint32_t sentinels;         /* [S_0] .. */
    uint32_t values;            /* v0=0 .. v3=<values-1>; at most 1000 */
    const char *const *classes; /* object class names, one token each; may be NULL */
    size_t n_classes;
    uint32_t max_alphabet; /* most characters kept, commonest first; 0: all */
    int lowercase;
} tsr_text_train_spec;

/* 30000 entries, frequency 2, 200 sentinels, 1000 values, no classes, all characters, lower case.
 */
void tsr_text_train_defaults(tsr_text_train_spec *spec);

/* Learn a vocabulary from texts (UTF-8).
 *
 * Layout: [PAD] [UNK] [SOS] [EOS], sentinels, values v0..v3, classes, characters (by code point),
 * continuations ##c (likewise), then pieces in the order they were merged. The pair merged next is
 * the one seen most often (the rule of the Hugging Face WordPieceTrainer, which is byte-pair
 * encoding with ## pieces), ties to the pair whose left piece, then right piece, comes first
 * bytewise. Deterministic; special strings inside the texts are left out of the counts.
 *
 * texts [n], lengths bytes[n]. Errors: TSR_EFORMAT (a text is not UTF-8), TSR_EARG (a vocabulary
 * smaller than its specials and characters), TSR_ECANCEL, TSR_ENOMEM. */
TSR_USE tsr_status tsr_text_train(const char *const *texts, const size_t *bytes, size_t n,
                                  const tsr_text_train_spec *spec, const tsr_job *job,
                                  tsr_text **out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * The parts of a tokenizer.json that are lists of steps: normalizer, pre_tokenizer, decoder. One
 * row of a table a step; a Sequence is a list of them. Private to tokenizers. */
#ifndef TSR_TOKENIZERS_TEXTSTEP_H
#define TSR_TOKENIZERS_TEXTSTEP_H

#include "base/json.h"
#include "base/status.h"
#include "base/str.h"
#include "tokenizers/textregex.h"

#include <stddef.h>
#include <stdint.h>

/* What happens to the text a pattern finds: SplitDelimiterBehavior of the library. */
typedef enum tsr_textcut {
    TSR_CUT_REMOVED,
    TSR_CUT_ISOLATED,
    TSR_CUT_PREVIOUS, /* stays at the end of the piece before it */
    TSR_CUT_NEXT,
    TSR_CUT_TOGETHER, /* neighbouring finds are one piece */
} tsr_textcut;

/* One step with its settings; which of them count depends on the kind. */
typedef struct tsr_textstep {
    const struct tsr_textkind *kind;
    tsr_regex *regex; /* a pattern that is a regular expression */
    char *pattern;    /* a pattern that is a string; a prefix; a suffix */
    char *content;    /* what takes its place */
    int flags[4];
    size_t limits[2];
    tsr_textcut cut;
} tsr_textstep;

/* Pieces of a text: [start, end) in bytes. */
typedef struct tsr_textpiece {
    uint32_t start, end;
} tsr_textpiece;

/* What cutting needs, one for each step of a call. Start with {0}. */
typedef struct tsr_cutwork {
    tsr_textpiece *pieces; /* of `text` */
    size_t count, cap;
    const char *text; /* the input or one of the two below */
    tsr_str changed, bytes;
    tsr_regex_work regex;
    int first; /* nothing of the input came before this text */
} tsr_cutwork;

void tsr_cutwork_clear(tsr_cutwork *w);

/* A row of strings in one block, for decoding. Start with {0}. */
typedef struct tsr_texts {
    tsr_str all;
    size_t *ends;
    size_t count, cap;
} tsr_texts;

/* Append a string, or end the one whose bytes were added to t->all. */
TSR_USE tsr_status tsr_texts_add(tsr_texts *t, const char *s, size_t bytes);
TSR_USE tsr_status tsr_texts_end(tsr_texts *t);
void tsr_texts_clear(tsr_texts *t);

/* A kind of step. Of the last three one is set, that of its part. */
typedef struct tsr_textkind {
    const char *type;
    /* Reads the settings of `part` into s and gives them back in canonical form, defaults filled
     * in; fails with TSR_EFORMAT or TSR_EUNSUPPORTED naming `origin`. */
    tsr_status (*read)(const json_t *part, const char *origin, tsr_textstep *s, json_t **canonical);
    /* Normalizers: appends the new text[0..bytes) to `out`. */
    tsr_status (*normalize)(const tsr_textstep *s, const char *text, size_t bytes, tsr_str *out);
    /* Pre-tokenizers: fills w->text and w->pieces; empty pieces do not matter. */
    tsr_status (*cut)(const tsr_textstep *s, const char *text, size_t bytes, tsr_cutwork *w);
    /* Decoders: appends the new strings to `out`. */
    tsr_status (*decode)(const tsr_textstep *s, const tsr_texts *in, tsr_texts *out);
} tsr_textkind;

/* A part: its key in the file, the key of a Sequence's list, and the kinds it may hold. */
typedef struct tsr_textpart {
    const char *key, *list;
    const tsr_textkind *kinds;
    size_t n_kinds;
} tsr_textpart;

extern const tsr_textpart tsr_textpart_normal, tsr_textpart_words, tsr_textpart_decoder;

/* The steps of one part. Start with {0}. */
typedef struct tsr_textsteps {
    tsr_textstep *steps;
    size_t count, cap;
    json_t *json; /* canonical: null, the one step, or a Sequence */
} tsr_textsteps;

/* Read a part (NULL and null: no steps). Errors as of tsr_textkind.read, naming unknown types. */
TSR_USE tsr_status tsr_textsteps_read(tsr_textsteps *list, const tsr_textpart *part,
                                      const json_t *value, const char *origin);
void tsr_textsteps_clear(tsr_textsteps *list);

/* All steps of a normalizer: the text appended to `out`. `scratch` is cleared first. */
TSR_USE tsr_status tsr_textsteps_normalize(const tsr_textsteps *list, const char *text,
                                           size_t bytes, tsr_str *scratch, tsr_str *out);

/* All steps of a decoder, and what is left joined into `out`; with no decoder, blanks between the
 * strings. `t` is used up. */
TSR_USE tsr_status tsr_textsteps_decode(const tsr_textsteps *list, tsr_texts *t, tsr_str *out);

/* For the readers of kinds: a flag, with a fallback when it is absent or null. */
TSR_USE tsr_status tsr_textstep_flag(const json_t *part, const char *key, int fallback,
                                     const char *origin, int *out);

/* "pattern": {"String": ..} or {"Regex": ..}, into s->pattern or s->regex. */
TSR_USE tsr_status tsr_textstep_pattern(const json_t *part, const char *origin, tsr_textstep *s);

/* A required string of one character or more, copied. */
TSR_USE tsr_status tsr_textstep_string(const json_t *part, const char *key, const char *origin,
                                       char **out);

/* The reader of kinds without settings. */
TSR_USE tsr_status tsr_textstep_plain(const json_t *part, const char *origin, tsr_textstep *s,
                                      json_t **canonical);

/* Next place of s->pattern or s->regex in text[from..bytes): *start is SIZE_MAX when there is
 * none. */
TSR_USE tsr_status tsr_textstep_find(const tsr_textstep *s, tsr_regex_work *w, const char *text,
                                     size_t bytes, size_t from, size_t *start, size_t *end);

/* text with every place of the pattern replaced by `content`, appended to `out`. */
TSR_USE tsr_status tsr_textstep_replace(const tsr_textstep *s, const char *content,
                                        const char *text, size_t bytes, tsr_str *out);

/* "Replace" is both a normalizer and a decoder: the reader of both. */
TSR_USE tsr_status tsr_textstep_read_replace(const json_t *part, const char *origin,
                                             tsr_textstep *s, json_t **canonical);

/* "ByteLevel" and "Metaspace" are both pre-tokenizers and decoders: their readers. ByteLevel:
 * flags add_prefix_space, use_regex. Metaspace: flags[0] prepends always, flags[1] first only,
 * flags[2] splits. */
TSR_USE tsr_status tsr_textstep_read_bytes(const json_t *part, const char *origin, tsr_textstep *s,
                                           json_t **canonical);
TSR_USE tsr_status tsr_textstep_read_meta(const json_t *part, const char *origin, tsr_textstep *s,
                                          json_t **canonical);

/* The printable character that stands for a byte in byte-level vocabularies (GPT-2's table), as
 * UTF-8; and the byte of a character, or -1. */
TSR_USE tsr_status tsr_text_put_byte(tsr_str *out, unsigned char byte);
int tsr_text_byte_of(int32_t c);

#endif

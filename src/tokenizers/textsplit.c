/* SPDX-License-Identifier: Apache-2.0
 * Text to words: added tokens are cut out of the raw text, the rest is normalised, added tokens are
 * cut out of that, and the pre-tokenizer cuts what is left.
 *
 * Source   behaviour of Hugging Face tokenizers 0.23, AddedVocabulary::extract_and_normalize. */
#include "base/mem.h"
#include "tokenizers/text_private.h"

#include <string.h>

typedef struct splitter {
    const tsr_text *text;
    tsr_word_sink sink;
    void *ctx;
    tsr_str normal, scratch;
    tsr_cutwork *work; /* [steps of the pre-tokenizer] */
} splitter;

typedef tsr_status (*rest_fn)(splitter *s, const char *text, size_t bytes);

/* Steps of the pre-tokenizer from `step` on. */
static tsr_status cut(splitter *s, size_t step, const char *text, size_t bytes)
{
    const tsr_textsteps *words = &s->text->words;
    if (bytes == 0)
        return TSR_OK;
    if (step == words->count)
        return s->sink(s->ctx, text, bytes, TSR_TEXT_NONE);
    tsr_cutwork *w = &s->work[step];
    w->count = 0;
    w->text = text;
    TSR_TRY(words->steps[step].kind->cut(&words->steps[step], text, bytes, w));
    for (size_t i = 0; i < w->count; i++)
        TSR_TRY(
            cut(s, step + 1, w->text + w->pieces[i].start, w->pieces[i].end - w->pieces[i].start));
    return TSR_OK;
}

static tsr_status cut_all(splitter *s, const char *text, size_t bytes)
{
    return cut(s, 0, text, bytes);
}

static int is_single(const char *text, size_t bytes, size_t start, size_t end)
{
    size_t used;
    if (start > 0 && tsr_char_is_word(tsr_text_char_before(text, start)))
        return 0;
    return end == bytes || !tsr_char_is_word(tsr_text_char(text + end, bytes - end, &used));
}

/* Where the blanks that end at `end` start, and where those that start at `at` end. */
static size_t blanks_before(const char *text, size_t end)
{
    while (end > 0 && tsr_char_is_space(tsr_text_char_before(text, end)))
        do
            end--;
        while (((unsigned char)text[end] & 0xC0) == 0x80);
    return end;
}

static size_t blanks_after(const char *text, size_t bytes, size_t at)
{
    size_t used;
    while (at < bytes && tsr_char_is_space(tsr_text_char(text + at, bytes - at, &used)))
        at += used;
    return at;
}

/* Cuts the added tokens of a tree out of a text; `rest` gets what is between them. A find that is
 * not a word of its own is jumped over as a whole; one may lie in the blanks that the one before it
 * took along: what of it lies behind that start counts all the same. */
static tsr_status cut_specials(splitter *s, const tsr_texttree *tree, const char *text,
                               size_t bytes, rest_fn rest)
{
    size_t done = 0, end;
    for (size_t at = 0; at < bytes;) {
        uint32_t entry = tsr_texttree_longest(tree, text, bytes, at, &end);
        if (!entry) {
            at++;
            continue;
        }
        const tsr_special *sp = &s->text->specials[entry - 1];
        size_t start = at;
        at = end;
        if (sp->single_word && !is_single(text, bytes, start, end))
            continue;
        if (sp->lstrip) {
            size_t left = blanks_before(text, start);
            start = left > done ? left : done;
        }
        if (sp->rstrip)
            end = blanks_after(text, bytes, end);
        if (start > done)
            TSR_TRY(rest(s, text + done, start - done));
        if (end > start)
            TSR_TRY(s->sink(s->ctx, text + start, end - start, sp->id));
        done = end;
    }
    return done < bytes ? rest(s, text + done, bytes - done) : TSR_OK;
}

/* Text between raw added tokens. */
static tsr_status split_plain(splitter *s, const char *text, size_t bytes)
{
    s->normal.len = 0;
    TSR_TRY(tsr_textsteps_normalize(&s->text->normalizer, text, bytes, &s->scratch, &s->normal));
    return cut_specials(s, &s->text->normal, s->normal.s, s->normal.len, cut_all);
}

tsr_status tsr_text_split(const tsr_text *t, const char *text, size_t bytes, tsr_word_sink sink,
                          void *ctx)
{
    splitter s = {.text = t, .sink = sink, .ctx = ctx};
    tsr_status st = TSR_OK;
    if (bytes > TSR_TEXT_MAX)
        TSR_FAIL(TSR_ELIMIT, "a text of %zu bytes; the limit is %zu", bytes, TSR_TEXT_MAX);
    size_t valid = tsr_utf8_valid(text, bytes);
    if (valid != bytes)
        TSR_FAIL(TSR_EFORMAT, "text is not UTF-8 at byte %zu", valid);
    TSR_TRY(tsr_alloc(&s.work, t->words.count, sizeof *s.work));
    TSR_GO(cut_specials(&s, &t->raw, text, bytes, split_plain));
out:
    for (size_t i = 0; i < t->words.count; i++)
        tsr_cutwork_clear(&s.work[i]);
    tsr_free(s.work);
    tsr_str_clear(&s.normal);
    tsr_str_clear(&s.scratch);
    return st;
}

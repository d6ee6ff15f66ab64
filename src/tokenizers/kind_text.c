/* SPDX-License-Identifier: Apache-2.0
 * Kind "text": captions and other free text as WordPiece or byte-pair ids, closed by an end
 * token. Its file is the tokenizer.json itself, which has no place for a modality's name: it comes
 * from the hint. */
#include "tokenizers/seqkind.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static int claims(const tsr_kind_file *file)
{
    const json_t *model = json_object_get(file->settings, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    return file->is_json && type && (strcmp(type, "WordPiece") == 0 || strcmp(type, "BPE") == 0);
}

static tsr_status open_file(tsr_tokenizer *t, const tsr_kind_file *file)
{
    tsr_text *text;
    const char *name = file->hint ? file->hint : "text";
    snprintf(t->space.modality, sizeof t->space.modality, "%s", name);
    snprintf(t->space.vocabulary, sizeof t->space.vocabulary, "text");
    TSR_TRY(tsr_text_from_json(file->settings, file->path, &text));
    TSR_TRY(tsr_seq_init_text(t, text, file->path));
    return tsr_seq_seal(t, json_object());
}

static tsr_status create(tsr_tokenizer *t, const json_t *config, const char *origin)
{
    TSR_TRY(tsr_seq_init(t, config, origin, NULL, NULL, 0));
    return tsr_seq_seal(t, json_object());
}

static tsr_status write_file(const tsr_tokenizer *t, const char *path)
{
    return tsr_text_write(tsr_seq_of(t)->text, path);
}

static tsr_status describe(const tsr_tokenizer *t, json_t *into)
{
    TSR_TRY(tsr_json_set(into, "media", json_string("text")));
    TSR_TRY(tsr_json_set(into, "input", json_string("UTF-8")));
    return tsr_seq_describe(t, into);
}

static tsr_status encode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_tokens *out)
{
    const tsr_media *m;
    (void)w;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_TEXT, &m));
    TSR_TRY(tsr_text_encode(tsr_seq_of(t)->text, m->as.text.s, m->as.text.bytes, out));
    return tsr_seq_end(t, out);
}

/* Takes fresh text into media. */
static tsr_status take(char *text, size_t bytes, tsr_media *out)
{
    tsr_status st = tsr_text_init(out, text, bytes);
    tsr_free(text);
    return st;
}

static tsr_status decode(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_tokens *tokens,
                         tsr_media *out)
{
    char *text;
    size_t bytes;
    (void)w;
    TSR_TRY(tsr_text_decode(tsr_seq_of(t)->text, tokens->ids, tsr_seq_length(t, tokens), &text,
                            &bytes));
    return take(text, bytes, out);
}

static tsr_status target(const tsr_tokenizer *t, tsr_tokenizer_work *w, const tsr_inputs *in,
                         tsr_media *out)
{
    const tsr_media *m;
    char *text;
    size_t bytes;
    (void)w;
    TSR_TRY(tsr_inputs_need(t, in, TSR_MEDIA_TEXT, &m));
    TSR_TRY(tsr_text_normal(tsr_seq_of(t)->text, m->as.text.s, m->as.text.bytes, &text, &bytes));
    return take(text, bytes, out);
}

/* Next word of *s (blanks around it skipped), its length in *n; 0 at the end. */
static int next_word(const char **s, size_t *n)
{
    *s += strspn(*s, " ");
    *n = strcspn(*s, " ");
    return *n > 0;
}

/* Share of words that differ, place by place, of the longer text's words. */
static double word_errors(const char *a, const char *b)
{
    size_t n, m, words = 0, wrong = 0;
    for (;;) {
        int more_a = next_word(&a, &n), more_b = next_word(&b, &m);
        if (!more_a && !more_b)
            break;
        words++;
        wrong += !more_a || !more_b || n != m || memcmp(a, b, n) != 0;
        a += n;
        b += m;
    }
    return words ? (double)wrong / (double)words : 0;
}

static tsr_status quality(const tsr_tokenizer *t, const tsr_media *want, const tsr_media *got,
                          json_t *into)
{
    (void)t;
    int exact = strcmp(want->as.text.s, got->as.text.s) == 0;
    TSR_TRY(tsr_json_set(into, "exact", json_real(exact)));
    return tsr_json_set(into, "word_errors",
                        json_real(word_errors(want->as.text.s, got->as.text.s)));
}

const tsr_kind tsr_kind_text = {
    .name = "text",
    .summary = "text as WordPiece or byte-pair ids",
    .claims = claims,
    .open = open_file,
    .create = create,
    .write = write_file,
    .destroy = tsr_seq_destroy,
    .describe = describe,
    .encode = encode,
    .decode = decode,
    .target = target,
    .quality = quality,
};

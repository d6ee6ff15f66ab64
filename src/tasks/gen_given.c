/* SPDX-License-Identifier: Apache-2.0
 * Conditions as tokens: from files, text, and samples of a corpus. */
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/onefile.h"
#include "tasks/genwork.h"

#include <string.h>

/* Give item i these tokens of modality m; patches become bytes. Takes them. */
static tsr_status hold(tsr_gen_work *w, tsr_gen_item *item, size_t m, tsr_tokens *tokens)
{
    const tsr_mod *mod = &w->mods->items[m];
    tsr_held *h = &item->held[m];
    uint8_t *bytes;
    if (mod->cls != TSR_CLASS_PIXELS) {
        if (tokens->count > UINT32_MAX)
            TSR_FAIL(TSR_ELIMIT, "%s: %zu tokens", mod->name, tokens->count);
        *h = (tsr_held){.present = 1, .count = (uint32_t)tokens->count, .ids = tokens->ids};
        item->owned[m] = tokens->ids;
        *tokens = (tsr_tokens){0};
        return TSR_OK;
    }
    if (tokens->count != (size_t)mod->places * mod->patch_values)
        TSR_FAIL(TSR_EMISMATCH, "%s: %zu values of pixels, the model reads %u patches of %u",
                 mod->name, tokens->count, mod->places, mod->patch_values);
    TSR_TRY(tsr_alloc(&bytes, tokens->count, 1));
    for (size_t i = 0; i < tokens->count; i++)
        bytes[i] = (uint8_t)tokens->ids[i];
    *h = (tsr_held){.present = 1, .count = mod->places, .patches = bytes};
    item->owned[m] = bytes;
    tsr_tokens_clear(tokens);
    return TSR_OK;
}

/* Text as it stands, or JSON for what is made of records. */
static tsr_status encode_literal(const tsr_tool *tool, const char *name, const char *text,
                                 tsr_tokens *out)
{
    tsr_media media = {0};
    tsr_inputs in = {.media = {&media}, .count = 1};
    int is_text = strcmp(tsr_tokenizer_kind_name(tool->tokenizer), "text") == 0;
    if (is_text) {
        TSR_TRY(tsr_text_init(&media, text, strlen(text)));
    } else {
        TSR_TRY(tsr_json_parse(text, strlen(text), name, &media.as.record));
        media.kind = TSR_MEDIA_RECORD;
    }
    tsr_status st = tsr_tokenizer_encode(tool->tokenizer, tool->work, &in, out);
    tsr_media_clear(&media);
    return st == TSR_OK ? st : tsr_context(st, "%s:=", name);
}

static tsr_status encode(tsr_gen_work *w, size_t m, tsr_tokens *out)
{
    const tsr_gen_condition *c = &w->conditions[m];
    const tsr_tool *tool = w->tool[m];
    if (c->origin == TSR_GEN_LITERAL)
        return encode_literal(tool, w->mods->items[m].name, c->values[0], out);
    tsr_status st = tsr_onefile_encode(tool->tokenizer, tool->work, c->values, c->n, NULL, out);
    if (st == TSR_ENOENT && w->mods->items[m].cls == TSR_CLASS_SEQUENCE)
        TSR_FAIL(TSR_ENOENT, "%s: no such file; for words as they stand write %s:=WORDS",
                 c->values[0], w->mods->items[m].name);
    return st;
}

/* --- samples of a corpus --- */

/* The corpus's tokens mean the same as the model's. */
static tsr_status check_corpus(const tsr_gen_work *w, size_t m)
{
    const tsr_mod *mod = &w->mods->items[m];
    const tsr_modality *there = tsr_manifest_modality(tsr_corpus_manifest(w->corpus), mod->name);
    char a[TSR_DIGEST_CHARS], b[TSR_DIGEST_CHARS];
    if (!there)
        TSR_FAIL(TSR_ECONFIG, "%s has no modality %s", tsr_corpus_path(w->corpus), mod->name);
    if (tsr_digest_equal(mod->tokenizer, (tsr_digest){0, 0}) ||
        tsr_digest_equal(mod->tokenizer, there->space.tokenizer))
        return TSR_OK;
    tsr_digest_text(there->space.tokenizer, a);
    tsr_digest_text(mod->tokenizer, b);
    TSR_FAIL(TSR_EMISMATCH, "%s: its %s was made by tokenizer %s, the model reads that of %s",
             tsr_corpus_path(w->corpus), mod->name, a, b);
}

static tsr_status read_sample(tsr_gen_work *w, tsr_gen_item *item, uint64_t sample, size_t m)
{
    tsr_tokens tokens = {0};
    tsr_present present;
    TSR_TRY(check_corpus(w, m));
    TSR_TRY(tsr_corpus_read(w->corpus, w->mods->items[m].name, sample, 0, &tokens, &present));
    tsr_status st = TSR_OK;
    if (present != TSR_REAL)
        st = tsr_fail_at(TSR_ENOENT, __FILE__, __LINE__, "sample %s of %s has no %s", item->key,
                         tsr_corpus_path(w->corpus), w->mods->items[m].name);
    if (st == TSR_OK)
        st = hold(w, item, m, &tokens);
    tsr_tokens_clear(&tokens);
    return st;
}

/* --- all items --- */

static tsr_status fill_item(tsr_gen_work *w, size_t i)
{
    tsr_gen_item *item = &w->items[i];
    uint64_t sample = 0;
    if (w->spec->samples.count) {
        TSR_TRY(tsr_corpus_find_named(w->corpus, w->spec->samples.items[i], &sample));
        TSR_TRY(tsr_corpus_key(w->corpus, sample, &item->key));
    } else {
        TSR_TRY(tsr_strdup(&item->key, ""));
    }
    for (size_t m = 0; m < w->mods->count; m++) {
        tsr_gen_origin origin = w->conditions[m].origin;
        if (origin == TSR_GEN_SAMPLE)
            TSR_TRY(read_sample(w, item, sample, m));
        else if (origin != TSR_GEN_ABSENT && i > 0)
            item->held[m] = w->items[0].held[m]; /* one file for all samples */
        else if (origin != TSR_GEN_ABSENT) {
            tsr_tokens tokens = {0};
            TSR_TRY(encode(w, m, &tokens));
            tsr_status st = hold(w, item, m, &tokens);
            tsr_tokens_clear(&tokens);
            TSR_TRY(st);
        }
    }
    return TSR_OK;
}

tsr_status tsr_gen_given(tsr_gen_work *w)
{
    size_t n = w->spec->samples.count ? w->spec->samples.count : 1;
    TSR_TRY(tsr_alloc(&w->items, n, sizeof *w->items));
    w->n_items = n;
    for (size_t i = 0; i < n; i++)
        TSR_TRY(fill_item(w, i));
    return TSR_OK;
}

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

/* --- text --- */

#define MASK_WORD "[MASK]"

int tsr_gen_has_holes(const char *text)
{
    return strstr(text, MASK_WORD) || strstr(text, "[S_");
}

/* Records as their tokens are written: "v1=3 v0=255 [MASK]". */
static int is_spelled(const char *text)
{
    return (text[0] == 'v' && text[1] && text[2] == '=') || tsr_gen_has_holes(text);
}

/* Every [MASK] as [S_1]: the holes get their numbers later. */
static tsr_status with_sentinels(const char *text, tsr_str *out)
{
    for (const char *mask; (mask = strstr(text, MASK_WORD)) != NULL;) {
        TSR_TRY(tsr_str_addf(out, "%.*s[S_1]", (int)(mask - text), text));
        text = mask + strlen(MASK_WORD);
    }
    return tsr_str_addf(out, "%s", text);
}

/* Number the holes from 1. */
static tsr_status number_holes(const char *name, tsr_tokens *t)
{
    uint32_t holes = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (t->ids[i] - TSR_ID_SENTINEL >= TSR_ID_SENTINELS)
            continue;
        if (++holes == TSR_ID_SENTINELS - 1)
            TSR_FAIL(TSR_EARG, "%s: more than %d holes", name, TSR_ID_SENTINELS - 2);
        t->ids[i] = TSR_ID_SENTINEL + holes;
    }
    if (holes == 0)
        TSR_FAIL(TSR_EUNSUPPORTED,
                 "%s: its vocabulary has no [S_1]: nothing can be marked as missing", name);
    return TSR_OK;
}

static tsr_status encode_spelled(const tsr_tool *tool, const char *name, const char *text,
                                 tsr_tokens *out)
{
    tsr_str s = {0};
    tsr_status st;
    if (strlen(text) > TSR_TEXT_MAX)
        TSR_FAIL(TSR_ELIMIT, "%s: a text of %zu bytes", name, strlen(text));
    TSR_GO(with_sentinels(text, &s));
    TSR_GO(tsr_tokenizer_spell(tool->tokenizer, s.s, s.len, out));
    if (tsr_gen_has_holes(text))
        TSR_GO(number_holes(name, out));
out:
    tsr_str_clear(&s);
    return st;
}

tsr_status tsr_gen_literal(const tsr_tool *tool, const char *name, const char *text,
                           tsr_tokens *out)
{
    tsr_media media = {0};
    tsr_inputs in = {.media = {&media}, .count = 1};
    int is_text = strcmp(tsr_tokenizer_kind_name(tool->tokenizer), "text") == 0;
    if (is_text ? tsr_gen_has_holes(text) : is_spelled(text))
        return encode_spelled(tool, name, text, out);
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
        return tsr_gen_literal(tool, w->mods->items[m].name, c->values[0], out);
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

static tsr_status mask_item(const tsr_gen_work *w, tsr_gen_item *item)
{
    for (size_t m = 0; m < w->mods->count; m++)
        if (w->masks[m].text)
            TSR_TRY(tsr_gen_mask(w, item, m));
    return TSR_OK;
}

/* What an item held before it was masked. */
static tsr_held unmasked(const tsr_gen_item *item, size_t m)
{
    tsr_held h = item->held[m];
    if (item->packed[m])
        h.patches = item->owned[m];
    h.known = NULL;
    return h;
}

tsr_status tsr_gen_fill(tsr_gen_work *w, const uint64_t *sample, const tsr_gen_item *first,
                        tsr_gen_item *item)
{
    if (sample)
        TSR_TRY(tsr_corpus_key(w->corpus, *sample, &item->key));
    else
        TSR_TRY(tsr_strdup(&item->key, ""));
    for (size_t m = 0; m < w->mods->count; m++) {
        tsr_gen_origin origin = w->conditions[m].origin;
        if (origin == TSR_GEN_SAMPLE)
            TSR_TRY(read_sample(w, item, *sample, m));
        else if (origin != TSR_GEN_ABSENT && first)
            item->held[m] = unmasked(first, m);
        else if (origin != TSR_GEN_ABSENT) {
            tsr_tokens tokens = {0};
            TSR_TRY(encode(w, m, &tokens));
            tsr_status st = hold(w, item, m, &tokens);
            tsr_tokens_clear(&tokens);
            TSR_TRY(st);
        }
    }
    return mask_item(w, item);
}

void tsr_gen_item_clear(tsr_gen_item *item)
{
    tsr_free(item->key);
    for (size_t m = 0; m < TSR_MODALITIES; m++)
        tsr_free(item->owned[m]);
    for (size_t m = 0; m < TSR_MODALITIES; m++)
        tsr_free(item->known[m]);
    for (size_t m = 0; m < TSR_MODALITIES; m++)
        tsr_free(item->packed[m]);
    *item = (tsr_gen_item){0};
}

tsr_status tsr_gen_given(tsr_gen_work *w)
{
    size_t n = w->spec->samples.count ? w->spec->samples.count : 1;
    TSR_TRY(tsr_alloc(&w->items, n, sizeof *w->items));
    w->n_items = n;
    for (size_t i = 0; i < n; i++) {
        int named = w->spec->samples.count > 0;
        uint64_t sample = 0;
        if (named)
            TSR_TRY(tsr_corpus_find_named(w->corpus, w->spec->samples.items[i], &sample));
        TSR_TRY(tsr_gen_fill(w, named ? &sample : NULL, i ? &w->items[0] : NULL, &w->items[i]));
    }
    return TSR_OK;
}

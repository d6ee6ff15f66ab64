/* SPDX-License-Identifier: Apache-2.0
 * Tokens and vocabulary ranges. */
#include "types/tokens.h"

#include "base/mem.h"

#include <string.h>

#define MAX_PATCH 4096u

static const char *const layouts[] = {
    [TSR_LAYOUT_GRID] = "grid",
    [TSR_LAYOUT_SEQUENCE] = "sequence",
    [TSR_LAYOUT_PATCHES] = "patches",
};

const char *tsr_layout_name(tsr_layout l)
{
    return layouts[l];
}

tsr_status tsr_layout_parse(const char *name, const char *origin, tsr_layout *out)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (strcmp(layouts[i], name) == 0) {
            *out = (tsr_layout)i;
            return TSR_OK;
        }
    }
    TSR_FAIL(TSR_EFORMAT,
             "%s: has layout \"%.40s\", this program knows \"grid\", \"sequence\" and \"patches\"",
             origin, name);
}

int tsr_space_has_codes(const tsr_token_space *s)
{
    return s->layout != TSR_LAYOUT_PATCHES;
}

uint32_t tsr_space_patch(const tsr_token_space *s)
{
    uint32_t p = 1;
    if (s->layout != TSR_LAYOUT_PATCHES)
        return 0;
    while (p < MAX_PATCH && p * p * TSR_PATCH_CHANNELS < s->levels)
        p++;
    return p * p * TSR_PATCH_CHANNELS == s->levels ? p : 0;
}

void tsr_space_set_patches(tsr_token_space *s, uint32_t height, uint32_t width, uint32_t patch)
{
    s->layout = TSR_LAYOUT_PATCHES;
    s->height = height;
    s->width = width;
    s->levels = patch <= MAX_PATCH ? patch * patch * TSR_PATCH_CHANNELS : 0;
    s->codebook_size = TSR_PATCH_VALUES;
    s->base = 0;
    s->vocabulary[0] = '\0';
}

tsr_status tsr_tokens_init(tsr_tokens *t, size_t count)
{
    tsr_tokens fresh = {NULL, count};
    TSR_TRY(tsr_alloc(&fresh.ids, count, sizeof *fresh.ids));
    *t = fresh;
    return TSR_OK;
}

void tsr_tokens_clear(tsr_tokens *t)
{
    tsr_free(t->ids);
    *t = (tsr_tokens){0};
}

int tsr_modality_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= TSR_NAME_CHARS || name[0] < 'a' || name[0] > 'z')
        return 0;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_@-") == n;
}

/* An earlier space with the same vocabulary, or NULL. */
static const tsr_token_space *sharer(const tsr_token_space *spaces, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (tsr_space_has_codes(&spaces[j]) &&
            strcmp(spaces[j].vocabulary, spaces[i].vocabulary) == 0)
            return &spaces[j];
    return NULL;
}

static tsr_status assign(tsr_token_space *spaces, size_t i, uint32_t *next)
{
    const tsr_token_space *s = sharer(spaces, i);
    if (!tsr_space_has_codes(&spaces[i])) {
        spaces[i].base = 0;
        return TSR_OK;
    }
    if (s && s->codebook_size != spaces[i].codebook_size)
        TSR_FAIL(TSR_EMISMATCH,
                 "modalities %s and %s share vocabulary \"%s\" but have %u and %u codes",
                 s->modality, spaces[i].modality, s->vocabulary, s->codebook_size,
                 spaces[i].codebook_size);
    spaces[i].base = s ? s->base : *next;
    if (!s && __builtin_add_overflow(*next, spaces[i].codebook_size, next))
        TSR_FAIL(TSR_ELIMIT, "the vocabulary does not fit in 32-bit ids at modality %s",
                 spaces[i].modality);
    return TSR_OK;
}

tsr_status tsr_vocabulary_assign(tsr_token_space *spaces, size_t n, uint32_t *total)
{
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(spaces[i].modality, spaces[j].modality) == 0)
                TSR_FAIL(TSR_EARG, "modality %s is named twice", spaces[i].modality);
    for (int text = 1; text >= 0; text--)
        for (size_t i = 0; i < n; i++)
            if ((strcmp(spaces[i].vocabulary, "text") == 0) == text)
                TSR_TRY(assign(spaces, i, &next));
    *total = next;
    return TSR_OK;
}

static tsr_status codes_json(const tsr_token_space *s, json_t *into)
{
    if (s->layout == TSR_LAYOUT_GRID)
        TSR_TRY(tsr_json_set(into, "levels", json_integer(s->levels)));
    TSR_TRY(tsr_json_set(into, "codebook_size", json_integer(s->codebook_size)));
    TSR_TRY(tsr_json_set(into, "base", json_integer(s->base)));
    return tsr_json_set(into, "vocabulary", json_string(s->vocabulary));
}

tsr_status tsr_space_json(const tsr_token_space *s, json_t *into)
{
    char digest[TSR_DIGEST_CHARS];
    tsr_digest_text(s->tokenizer, digest);
    TSR_TRY(tsr_json_set(into, "modality", json_string(s->modality)));
    TSR_TRY(tsr_json_set(into, "layout", json_string(tsr_layout_name(s->layout))));
    if (s->layout != TSR_LAYOUT_SEQUENCE)
        TSR_TRY(tsr_json_set(into, "grid", json_pack("[I,I]", (json_int_t)s->height,
                                                     (json_int_t)s->width)));
    TSR_TRY(tsr_space_has_codes(s)
                ? codes_json(s, into)
                : tsr_json_set(into, "patch_size", json_integer(tsr_space_patch(s))));
    return tsr_json_set(into, "tokenizer", json_string(digest));
}

/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: YAML recipes against a table of fields. The text of what opens opens once more. */
#include "fuzz.h"

#include "base/mem.h"
#include "base/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "fuzz.yaml"

static const tsr_field fields[] = {
    {"corpus", TSR_FIELD_STRING, "!", 0, 0, "where it goes"},
    {"train.steps", TSR_FIELD_INT, "1000", 1, 1e9, "steps"},
    {"train.rate", TSR_FIELD_NUMBER, "1e-3", 0, 1, "learning rate"},
    {"train.betas", TSR_FIELD_NUMBERS, NULL, 0, 1, "decay"},
    {"modalities.*.kind", TSR_FIELD_STRING, NULL, 0, 0, "kind"},
    {"modalities.*.flip", TSR_FIELD_BOOL, NULL, 0, 0, "flip"},
    {"modalities.*.files", TSR_FIELD_STRINGS, NULL, 0, 0, "patterns"},
    {"extra", TSR_FIELD_ANY, NULL, 0, 0, "anything"},
};

static tsr_status parse(const char *text, size_t bytes, tsr_recipe **r)
{
    static const char *const overrides[] = {"train.steps=5"};
    tsr_status st = tsr_recipe_parse(text, bytes, NAME, overrides, 1, fields,
                                     sizeof fields / sizeof fields[0], r);
    fuzz_need_sentence(st, NAME);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsr_recipe *r = NULL, *back = NULL;
    char *text = NULL;
    if (parse((const char *)data, size, &r) == TSR_OK) {
        fuzz_need_sentence(tsr_recipe_text(r, &text), "");
        if (text && parse(text, strlen(text), &back) != TSR_OK) {
            fprintf(stderr, "%s", text);
            abort();
        }
    }
    tsr_free(text);
    tsr_recipe_close(r);
    tsr_recipe_close(back);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    uint32_t x = seed;
    return fuzz_change_text(data, size, max, &x);
}

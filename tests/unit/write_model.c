/* SPDX-License-Identifier: Apache-2.0
 * Writes a small untrained model for given tokenizers: write_model MODEL NAME=TOKENIZER... Used by
 * the tests of generation. Modalities named tok_..., det, color_palette and rgb@224 do not know who
 * made their tokens, as in published models. */
#include "tokenizers/tokenizer.h"
#include "trainer/fm.h"

#include <stdio.h>
#include <string.h>

static int is_published(const char *name)
{
    return strncmp(name, "tok_", 4) == 0 || strcmp(name, "det") == 0 ||
           strcmp(name, "color_palette") == 0 || strcmp(name, "rgb@224") == 0;
}

static tsr_status add(tsr_mods *mods, char *argument)
{
    char *path = strchr(argument, '=');
    tsr_tokenizer *t;
    tsr_mod mod;
    if (!path)
        TSR_FAIL(TSR_EARG, "%s: expected NAME=TOKENIZER", argument);
    *path++ = '\0';
    int tok = strncmp(argument, "tok_", 4) == 0;
    TSR_TRY(tsr_tokenizer_open(path, argument + (tok ? 4 : 0), &t));
    tsr_mod_of_space(tsr_tokenizer_space(t), &mod);
    if (is_published(argument))
        mod.tokenizer = (tsr_digest){0, 0};
    tsr_tokenizer_destroy(t);
    snprintf(mod.name, sizeof mod.name, "%s", argument);
    if (mod.cls == TSR_CLASS_SEQUENCE)
        mod.max_tokens = 24;
    return tsr_mods_add(mods, &mod);
}

static tsr_status write_model(int argc, char **argv)
{
    tsr_fm_config c = {.dim = 32,
                       .encoder_depth = 1,
                       .decoder_depth = 1,
                       .heads = 2,
                       .mlp_ratio = 4.0,
                       .gated_mlp = 1,
                       .image_size = 32,
                       .patch_size = 16};
    tsr_fm *m;
    if (argc < 3)
        TSR_FAIL(TSR_EARG, "write_model MODEL NAME=TOKENIZER...");
    for (int i = 2; i < argc; i++)
        TSR_TRY(add(&c.mods, argv[i]));
    TSR_TRY(tsr_fm_create(&c, 1, &m));
    tsr_status st = tsr_fm_write(m, argv[1], 0, NULL);
    tsr_fm_destroy(m);
    return st;
}

int main(int argc, char **argv)
{
    if (write_model(argc, argv) == TSR_OK)
        return 0;
    fprintf(stderr, "write_model: %s\n", tsr_error());
    return 1;
}

/* SPDX-License-Identifier: Apache-2.0
 * The tokenizers some work needs: opened from files or folders, found by digest. */
#ifndef TSR_PIPELINE_TOOLBOX_H
#define TSR_PIPELINE_TOOLBOX_H

#include "base/options.h"
#include "base/status.h"
#include "shards/manifest.h"
#include "tokenizers/text.h"
#include "tokenizers/tokenizer.h"

#define TSR_OPTION_TOKENIZERS(settings)                                                            \
    {                                                                                              \
        "tokenizers", 't', TSR_OPT_LIST, offsetof(settings, tokenizers), NULL, 0, 0, "PATH",       \
            "tokenizer file, or folder of them, to decode with; repeat for more"                   \
    }

/* One tokenizer and scratch for the main thread. */
typedef struct tsr_tool {
    tsr_tokenizer *tokenizer;
    tsr_tokenizer_work *work;
    char *path;
} tsr_tool;

typedef struct tsr_toolbox {
    tsr_tool *tools;
    size_t count, cap;
    tsr_text *text; /* names the ids of the shared text range; NULL: none was found */
} tsr_toolbox;

/* Add a tokenizer file, or what a folder holds of them (*.safetensors, *.json; files there that are
 * no tokenizers are passed over). hint: as tsr_tokenizer_open.
 * Errors   those of opening a file that was named. */
TSR_USE tsr_status tsr_toolbox_add(tsr_toolbox *b, const char *path, const char *hint);
void tsr_toolbox_clear(tsr_toolbox *b);

/* Add a tokenizer that needs no file. config, origin: as tsr_tokenizer_create; the origin is
 * its path.
 * Errors   those of creating it. */
TSR_USE tsr_status tsr_toolbox_create(tsr_toolbox *b, const json_t *config, const char *origin);

/* Add `path` for a corpus: modalities whose tokenizer is not there yet are tried as the hint, for
 * published files that do not say what they are. Errors: TSR_ENOENT, TSR_ENOMEM. */
TSR_USE tsr_status tsr_toolbox_add_for(tsr_toolbox *b, const char *path, const tsr_manifest *m);

/* Add the file of `path`, a file or folder, that is for the modality of `want` though it does not say so
 * (published files): the one that makes tokens of its grid and codebook. Of several the one whose name
 * says so; *found 0: none. `option` is how a file is named for a modality, in messages.
 * Errors   TSR_EMISMATCH naming two files that fit alike; those of opening the one. */
TSR_USE tsr_status tsr_toolbox_add_published(tsr_toolbox *b, const char *path,
                                             const tsr_token_space *want, const char *option,
                                             int *found);

/* The tool whose tokenizer makes tokens of this space, grids of this size, or NULL. */
const tsr_tool *tsr_toolbox_find(const tsr_toolbox *b, const tsr_token_space *space);

/* Texts of ids of the text range into pieces[count], borrowed; entries are NULL where unknown. */
void tsr_toolbox_pieces(const tsr_toolbox *b, const tsr_token_space *space, const uint32_t *ids,
                        size_t count, const char **pieces);

#endif

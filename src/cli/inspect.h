/* SPDX-License-Identifier: Apache-2.0
 * The parts of `tessera inspect`. */
#ifndef TSR_CLI_INSPECT_H
#define TSR_CLI_INSPECT_H

#include "cli/preview.h"
#include "pipeline/toolbox.h"
#include "shards/corpus.h"

/* One sample of a corpus: every modality's tokens, and what they decode to where the toolbox has
 * the tokenizer. `name` is a key or, when no sample has that key, a number.
 * json: NULL prints to the screen; else receives an object.
 * Errors   TSR_ENOENT, those of reading. */
TSR_USE tsr_status tsr_inspect_sample(tsr_corpus *c, const tsr_toolbox *tools, const char *name,
                                      const tsr_screen *screen, json_t **json);

/* Contact sheets folder/MODALITY.png: a row a sample, columns original (when `source`, a folder
 * tree of the corpus' layout, has it), reconstruction (when the toolbox has the tokenizer), token
 * map; of patches the original and the pixels themselves. The first `samples` samples that have the
 * modality. `written` receives the paths. */
TSR_USE tsr_status tsr_inspect_sheets(tsr_corpus *c, const tsr_toolbox *tools, const char *source,
                                      const char *folder, size_t samples, json_t *written);

/* JSON lines of `tessera encode` from `in`, shown as they arrive. Malformed lines are an error that
 * names the line. */
TSR_USE tsr_status tsr_inspect_stream(FILE *in, const tsr_toolbox *tools, const tsr_screen *screen);

/* Tokens and, where possible, their decoded form on the screen. */
TSR_USE tsr_status tsr_inspect_tokens(const tsr_screen *screen, const tsr_toolbox *tools,
                                      const tsr_token_space *space, const tsr_tokens *tokens);

#endif

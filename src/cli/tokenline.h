/* SPDX-License-Identifier: Apache-2.0
 * One sample's tokens as a line of JSON: what `encode` writes and `decode` and `inspect -` read.
 *
 *   {"key": "a.png", "modality": "rgb", "layout": "grid", "grid": [8, 8], "levels": 1,
 *    "codebook_size": 1024, "base": 5000, "vocabulary": "rgb", "tokenizer": "<32 hex digits>",
 *    "ids": [...], "global": [...]}
 *
 * Sequences have no "grid" and no "levels". Patches have "patch_size" and "values" instead of all
 * that belongs to codes:
 *
 *   {"key": "a.png", "modality": "rgb@128", "layout": "patches", "grid": [8, 8], "patch_size": 16,
 *    "tokenizer": "<32 hex digits>", "values": [...]} */
#ifndef TSR_CLI_TOKENLINE_H
#define TSR_CLI_TOKENLINE_H

#include "base/json.h"
#include "base/status.h"
#include "types/tokens.h"

typedef struct tsr_token_line {
    char *key; /* name of the file it came from */
    tsr_token_space space;
    tsr_tokens tokens;
} tsr_token_line;

/* Parse and check: counts agree with the grid, ids are below the codebook size, the modality's name
 * is one. `global` is not looked at. Release with tsr_token_line_clear.
 * Errors   TSR_EFORMAT naming `origin`, TSR_ELIMIT. */
TSR_USE tsr_status tsr_token_line_parse(const char *text, size_t bytes, const char *origin,
                                        tsr_token_line *out);
void tsr_token_line_clear(tsr_token_line *l);

/* Add a row's ids as "ids", or the values of patches as "values". */
TSR_USE tsr_status tsr_ids_json(const tsr_token_space *space, const tsr_tokens *tokens,
                                json_t *into);

/* The object of a line. */
TSR_USE tsr_status tsr_token_line_json(const char *key, const tsr_token_space *space,
                                       const tsr_tokens *tokens, json_t **out);

#endif

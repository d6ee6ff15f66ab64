/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers and models as files that ml-4m loads. */
#ifndef TSR_TASKS_PUBLISHFILE_H
#define TSR_TASKS_PUBLISHFILE_H

#include "base/json.h"
#include "base/status.h"
#include "nn/publish.h"

typedef struct tsr_publish_spec {
    const char *input; /* tokenizer or masked model, a safetensors file of ours or of 4M */
    const char *out;   /* NAME.safetensors; else a folder for model.safetensors and config.json, the
                        * form of 4M's hub repositories */
    int may_register;  /* 1: write what ml-4m's tables lack as Python beside it, NAME.py or
                        * register.py, instead of refusing */
    int dry_run;       /* 1: only say what would be written */
    tsr_renames names; /* of modalities; models only */
} tsr_publish_spec;

/* Export one file.
 * summary  object: input, kind ("tokenizer", "masked model"), class (of ml-4m), files (paths),
 *          tensors; with reasons instead, an array of strings, when ml-4m has no room for it: then
 *          TSR_EUNSUPPORTED is returned, and nothing was written. json_decref.
 * Errors   TSR_EUNSUPPORTED for other files, with what to do with them; TSR_EARG out is the input;
 *          TSR_ENOENT, TSR_EFORMAT, TSR_EMISMATCH of reading; TSR_EIO. */
TSR_USE tsr_status tsr_publish_file(const tsr_publish_spec *spec, json_t **summary);

#endif

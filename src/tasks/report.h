/* SPDX-License-Identifier: Apache-2.0
 * The report: one self-contained page of HTML about a corpus, its tokenizers, a training run and
 * what the model can do. Every part is there if its data is, and absent otherwise.
 *
 * What is read, with the paths below a demo's folder that are looked at when none is given:
 *
 *   report.json                 keys seconds, tokenize, tokenizers, tasks, matrix, training
 *   corpus/                     a corpus: sizes, digests, use of codes
 *   tokenizers/NAME.report.json quality of a tokenizer, with NAME.metrics.jsonl, NAME.recipe.yaml
 *   model/                      a training run: metrics.jsonl, recipe.yaml
 *   eval.json                   what tessera eval wrote: tasks, matrix
 *   examples/examples.json      what tessera eval --examples wrote
 *
 * examples.json is {"examples": [EXAMPLE...]}; paths are relative to its folder and stay below it:
 *
 *   {"key": "0000/000017", "from": ["rgb"], "to": "depth", "inputs": {"rgb": "a/rgb.png"},
 *    "truth": "a/truth.npy", "model": "a/model.npy", "no_input": ..., "wrong_input": ...,
 *    "ceiling": ..., "metric": "absrel", "figures": {"model": 0.07, ...}}
 *
 * Kinds (image, depth, label, ...) are those the corpus tells, or "kinds": {MODALITY: KIND}; files
 * are whatever tsr_media_read reads; a value that is no string is a record as it stands. All but
 * "to" is optional. */
#ifndef TSR_TASKS_REPORT_H
#define TSR_TASKS_REPORT_H

#include "base/json.h"
#include "base/status.h"

#include <stddef.h>

typedef struct tsr_report_spec {
    const char *folder; /* of a demo, or NULL; the rest, where NULL, is looked for below it */
    const char *run, *corpus, *tokenizers, *eval, *examples;
    const char *title;     /* NULL: one made of the corpus' name */
    const char *when;      /* date to print, NULL: now (UTC) */
    size_t examples_shown; /* of each task at most; 0: none */
} tsr_report_spec;

/* Make the page. *html is NUL-terminated, tsr_free. `summary` (may be NULL) receives
 * {"sections": [...], "notes": [...], "bytes": n}: the parts there are, and what was found but
 * could not be read, each a sentence; json_decref. Errors   TSR_ENOENT when there is nothing to
 * report on; a part named in the spec that cannot be read gives its own error; TSR_ENOMEM. */
TSR_USE tsr_status tsr_report_make(const tsr_report_spec *spec, char **html, size_t *bytes,
                                   json_t **summary);

#endif

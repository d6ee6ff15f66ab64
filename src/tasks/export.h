/* SPDX-License-Identifier: Apache-2.0
 * A corpus as the folders or tars that 4M's programs read: pre-computed tokens, crops and texts.
 *
 *   OUT/[SPLIT/]MODALITY/FOLDER/NAME.npy|txt|json      files: what save_vq_tokens writes
 *   OUT/[SPLIT/]MODALITY/shard-00000.tar               tars, members FOLDER/NAME.EXT
 *   OUT/[SPLIT/]shard-00000.tar                        together: members FOLDER/NAME.MODALITY.EXT
 *   OUT/export.json                                    what this is, and how far it got
 *
 * MODALITY crop_settings holds the crops. See tessera-export(1) for what the files hold. */
#ifndef TSR_TASKS_EXPORT_H
#define TSR_TASKS_EXPORT_H

#include "base/job.h"
#include "base/json.h"
#include "base/status.h"
#include "nn/publish.h"

#include <stddef.h>

typedef enum tsr_export_form {
    TSR_EXPORT_FILES,
    TSR_EXPORT_TARS,
    TSR_EXPORT_TOGETHER
} tsr_export_form;

typedef struct tsr_export_spec {
    const char *corpus, *out; /* folders */
    tsr_export_form form;
    size_t unit;                           /* samples of a tar; of files: between two notes in
                                            * export.json; >= 1 */
    const char *const *modalities;         /* NULL: all that 4M can read */
    size_t n_modalities;
    tsr_renames names;                     /* of modalities, outside */
    const char *const *tokenizers;         /* files and folders, beside the corpus' own */
    size_t n_tokenizers;
    int partial; /* 1: also samples that lack some of the modalities */
    int dry_run; /* 1: count only */
    const tsr_job *job;
} tsr_export_spec;

/* Export, or go on where an earlier run of the same export stopped. A sample that lacks a modality
 * is left out of all, because ml-4m pairs files by their order, unless `partial`; so is one that
 * cannot be written, with its reason. The bytes do not depend on threads or interruptions.
 * summary  object: out, form, samples, units, units_done, incomplete, failed, modalities (name to
 *          folder and what files hold), left_out (name to reason), failures (the first 100: key,
 *          reason), seconds, stopped, dry_run. json_decref. Set, with stopped true, also when
 *          TSR_ECANCEL is returned.
 * Errors   TSR_ENOENT, TSR_EARG (no such modality, two of one name), TSR_EMISMATCH (out holds
 *          something else), TSR_ECANCEL, TSR_EIO (also when another export writes there), those of
 *          opening a corpus. */
TSR_USE tsr_status tsr_export_corpus(const tsr_export_spec *spec, json_t **summary);

#endif

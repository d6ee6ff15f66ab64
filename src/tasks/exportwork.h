/* SPDX-License-Identifier: Apache-2.0
 * Inside of the export of a corpus: export_plan.c, export_row.c, export_run.c. */
#ifndef TSR_TASKS_EXPORTWORK_H
#define TSR_TASKS_EXPORTWORK_H

#include "pipeline/toolbox.h"
#include "shards/corpus.h"
#include "tasks/export.h"

#define TSR_EXPORT_LISTED 100 /* failures in the summary */

/* A modality that is written. */
typedef struct tsr_export_mod {
    const tsr_modality *mod;        /* of the manifest */
    const char *folder;             /* its name outside */
    const tsr_tokenizer *tokenizer; /* sequences: what turns ids into text or records; else NULL */
    size_t bytes;                   /* of an id in .npy files */
} tsr_export_mod;

/* Samples of one split that are written, in the order of the corpus. */
typedef struct tsr_export_split {
    const char *name; /* of the manifest */
    uint64_t *samples;
    size_t count, cap;
} tsr_export_split;

typedef struct tsr_export_work {
    const tsr_export_spec *spec;
    tsr_corpus *corpus;
    const tsr_manifest *manifest;
    tsr_export_mod *mods;
    size_t n_mods;
    tsr_toolbox tools;
    tsr_export_split *splits;
    size_t n_splits;
    size_t samples, units; /* of all splits */
    uint64_t incomplete;   /* samples left out because they lack something */
    json_t *left_out;      /* modality to reason */
    json_t *failures;      /* the first ones */
    uint64_t failed;
} tsr_export_work;

/* Open the corpus and decide on modalities and samples. tsr_export_close also after a failure. */
TSR_USE tsr_status tsr_export_open(const tsr_export_spec *spec, tsr_export_work *w);
void tsr_export_close(tsr_export_work *w);

/* One file of a sample: column m is modality m, column n_mods the crops. */
typedef struct tsr_export_file {
    char *data; /* NULL: the sample lacks it */
    size_t bytes;
    const char *extension; /* "npy", "txt", "json" */
} tsr_export_file;

/* All files of a sample into files[n_mods + 1], and its name: the key, fit to be a path of a folder
 * and a name. Released by the caller also after a failure (tsr_free each). works [n_mods]: scratch of
 * this thread.
 * Errors   TSR_EFORMAT and the like: this sample cannot be written. */
TSR_USE tsr_status tsr_export_row(tsr_export_work *w, uint64_t sample, tsr_tokenizer_work **works,
                                  tsr_export_file *files, char **name);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * What there is to report on, found and read; and small questions to JSON from outside. Used by the
 * sections of the report. */
#ifndef TSR_TASKS_REPORT_DATA_H
#define TSR_TASKS_REPORT_DATA_H

#include "shards/corpus.h"
#include "tasks/report.h"

/* Everything may be NULL but `figures`, `tokenizers` and `notes`. All owned. */
typedef struct tsr_report_data {
    char *run, *corpus_path, *tokenizer_folder, *eval, *example_folder; /* paths that are there */
    json_t *figures;                                                    /* report.json, or {} */
    json_t *tokenizers;                                                 /* {name: its report} */
    json_t *tasks;                                                      /* list */
    json_t *matrix;
    json_t *candidates; /* list */
    json_t *evaluation; /* what eval wrote besides, or NULL */
    /* of the training run */
    json_t *training;    /* object: its figures */
    json_t *metrics;     /* list: lines of metrics.jsonl about steps */
    json_t *validations; /* {name of a validation set: list of its lines} */
    json_t *timing;      /* list: lines of timing.jsonl */
    json_t *unigrams;    /* {modality: {"entropy_nats", ...}} */
    json_t *model;       /* metadata of the model's file, with its "digest" */
    json_t *examples;    /* list */
    tsr_corpus *corpus;
    size_t examples_shown;
    json_t *notes; /* list of sentences: what is there but could not be read */
} tsr_report_data;

/* Find and read. Release with tsr_report_data_clear, also after a failure.
 * Errors: as tsr_report_make. */
TSR_USE tsr_status tsr_report_data_read(const tsr_report_spec *spec, tsr_report_data *out);
void tsr_report_data_clear(tsr_report_data *d);

/* The part of it that is about the training run: files below spec->run, or `model` in the folder.
 */
TSR_USE tsr_status tsr_report_run_read(tsr_report_data *d, const tsr_report_spec *spec);

/* `given`, else folder/name if it is there; *out stays NULL where neither is. tsr_free. */
TSR_USE tsr_status tsr_report_place(const char *given, const char *folder, const char *name,
                                    char **out);

/* A failure with a part that was asked for is one of the whole; else it becomes a note and is
 * forgotten. Memory that runs out stays a failure. */
TSR_USE tsr_status tsr_report_excuse(tsr_report_data *d, int asked, tsr_status st);

/* Read a JSON file that must hold an object. */
TSR_USE tsr_status tsr_report_read_object(const char *path, json_t **out);

/* *into = object[key] (a new reference) where it is of that type and *into is NULL. */
void tsr_report_adopt(json_t **into, const json_t *object, const char *key, json_type type);

/* Lines of a .jsonl file as a list; lines that are no objects (a torn last one) are passed over and
 * counted in *bad. Errors: TSR_ENOENT, TSR_EIO, TSR_ELIMIT above 256 MiB, TSR_ENOMEM. */
TSR_USE tsr_status tsr_report_lines(const char *path, json_t **list, size_t *bad);

/* A number of an object, or NAN. A string, or NULL. NULL objects have neither. Names of two parts,
 * "a.b", look into the object at a. */
double tsr_report_number(const json_t *object, const char *name);
const char *tsr_report_string(const json_t *object, const char *name);

/* Column `name` of a list of objects: values of those that have it, with column `x` beside them.
 * Returns how many; *xs and *ys are tsr_free'd. 0 when memory runs out. */
size_t tsr_report_column(const json_t *list, const char *x, const char *name, double **xs,
                         double **ys);

/* How a metric is written: "PSNR", "dB", ... */
typedef struct tsr_metric_name {
    const char *key, *label, *unit;
    int higher; /* is better */
    int share;  /* 0..1, shown in percent */
} tsr_metric_name;

/* The entry of a metric; for one that is not known `key` itself without unit, in `other`. */
const tsr_metric_name *tsr_metric_find(const char *key, tsr_metric_name *other);

/* A value of a metric with its unit: "27.9 dB", "86.1 %". Returns `text`. */
const char *tsr_metric_text(const tsr_metric_name *m, double v, char text[64]);

#endif

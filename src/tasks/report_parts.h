/* SPDX-License-Identifier: Apache-2.0
 * The sections of the report, each in its own file. A section writes nothing and returns 0 when it
 * has no data; failures stay in h->status. */
#ifndef TSR_TASKS_REPORT_PARTS_H
#define TSR_TASKS_REPORT_PARTS_H

#include "tasks/report_data.h"
#include "tasks/report_html.h"

/* Style sheet and script, literals without </style> or </script>. */
extern const char tsr_report_style[];
extern const char tsr_report_script[];

/* What this is: title, date, and the sizes of all there is. */
int tsr_report_head(tsr_html *h, const tsr_report_data *d, const tsr_report_spec *spec);

/* Quality of tokenizers beside their baseline. */
int tsr_report_tokenizers(tsr_html *h, tsr_report_data *d);

/* How often codes are used, a chart for each modality of the corpus. */
int tsr_report_usage(tsr_html *h, tsr_report_data *d);

/* Curves of the training run. */
int tsr_report_training(tsr_html *h, tsr_report_data *d);

/* Tasks: the model beside no input, wrong input and ceiling. */
int tsr_report_tasks(tsr_html *h, tsr_report_data *d);

/* Information between modalities as a table of heat. */
int tsr_report_matrix(tsr_html *h, tsr_report_data *d);

/* Inputs, predictions and truth of samples; at most d->examples_shown of each task. */
int tsr_report_examples(tsr_html *h, tsr_report_data *d);

/* Recipes, digests, versions. */
int tsr_report_provenance(tsr_html *h, tsr_report_data *d);

/* <section> with a heading and, when not NULL, a paragraph below it. */
void tsr_section_open(tsr_html *h, const char *id, const char *title, const char *lead);
void tsr_section_close(tsr_html *h);

/* "rgb + caption → depth" of an object with "from" (a name or a list of them) and "to". */
void tsr_route_html(tsr_html *h, const json_t *task);

/* How a medium is shown. */
typedef struct tsr_media_view {
    const char *kind;       /* of its tokenizer: image, depth, label, ... */
    const char *label;      /* names it for those who do not see it */
    const tsr_media *under; /* picture that boxes are drawn on, or NULL */
    double near, far;       /* depth maps: range of the shades; 0: their own */
} tsr_media_view;

/* A medium as HTML: picture, sound with its spectrogram, text, swatches, table. What cannot be
 * shown is said in its place. */
void tsr_media_html(tsr_html *h, const tsr_media *m, const tsr_media_view *v);

/* Records of one truth side by side: a row for each field of any of them, flat ones; a tick where
 * it is equal to that of the record at `truth`. records, labels  [n], n <= 8; a NULL record is left
 * out */
void tsr_records_html(tsr_html *h, const json_t *const *records, const char *const *labels,
                      size_t n, size_t truth);

/* Nearest and farthest value above 0 of a depth map; 0 and 0 for anything else. */
void tsr_media_range(const tsr_media *m, const char *kind, double *near, double *far);

#endif

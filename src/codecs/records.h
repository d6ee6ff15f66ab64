/* SPDX-License-Identifier: Apache-2.0
 * Files of many records: JSON lines, CSV and TSV, indexed once and read in any order. */
#ifndef TSR_CODECS_RECORDS_H
#define TSR_CODECS_RECORDS_H

#include "base/status.h"
#include "codecs/codec.h"

typedef struct tsr_records tsr_records;

/* Index a .jsonl, .csv or .tsv file (at most opt->max_bytes). CSV: RFC 4180 with a header line;
 * line ends LF or CRLF; empty lines are skipped. Reading records from several threads is fine.
 * Errors   TSR_EFORMAT for text that is not UTF-8, an unfinished quote, a header with an empty or
 *          repeated name; TSR_EUNSUPPORTED for another extension; those of tsr_media_read. */
TSR_USE tsr_status tsr_records_open(const char *path, const tsr_read_options *opt,
                                    tsr_records **out);

/* The same from memory, which is copied. */
TSR_USE tsr_status tsr_records_open_memory(const char *name, const void *data, size_t bytes,
                                           tsr_records **out);

/* Number of records; the header line of a CSV is not one. */
size_t tsr_records_count(const tsr_records *r);

/* Record i as media of kind TSR_MEDIA_RECORD.
 * Errors   TSR_ENOENT when i is beyond the last, TSR_EFORMAT naming file and line. */
TSR_USE tsr_status tsr_records_read(const tsr_records *r, size_t i, tsr_media *out);

void tsr_records_close(tsr_records *r);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * A page of HTML in the making: text that is escaped wherever it comes from outside, data: URIs,
 * and numbers and times as people read them. */
#ifndef TSR_TASKS_REPORT_HTML_H
#define TSR_TASKS_REPORT_HTML_H

#include "base/status.h"
#include "base/str.h"

#include <stddef.h>

/* Start with {0}. The first failure stays in `status` and everything after it is ignored, so that a
 * section is written without looking at every step; its sentence is tsr_error() if the caller asks
 * before anything else fails. */
typedef struct tsr_html {
    tsr_str text;
    tsr_status status;
} tsr_html;

/* Markup as it is: literals of this program only. */
void tsr_html_raw(tsr_html *h, const char *markup);

/* printf of markup where every %s is escaped, for content and for double-quoted attributes:
 * & < > " ' become references, control characters but tab and newline and bytes that are not UTF-8
 * become U+FFFD; NULL is "". The other conversions are %%, %c, %d, %zu, and %f and %g with a
 * precision of one digit or none; anything else is TSR_EARG. The format is a literal. */
void tsr_html_f(tsr_html *h, const char *format, ...) TSR_PRINTF(2, 3);

/* data:TYPE;base64,... of these bytes. */
void tsr_html_data(tsr_html *h, const char *type, const void *data, size_t bytes);

void tsr_html_clear(tsr_html *h);

/* Base64 with padding of `bytes` bytes appended to `out` (RFC 4648, section 4). */
TSR_USE tsr_status tsr_base64(const void *data, size_t bytes, tsr_str *out);

#define TSR_NUMBER_CHARS 40

/* A number to `digits` significant digits (9: counts, whole ones as they are): thousands set apart
 * by commas, exponents only below 1e-4 and from 1e15 on; "–" for what is not finite. Returns
 * `text`. */
const char *tsr_number_text(double v, int digits, char text[TSR_NUMBER_CHARS]);

/* "41 s", "8 min 27 s", "2 h 5 min". Returns `text`. */
const char *tsr_seconds_text(double seconds, char text[TSR_NUMBER_CHARS]);

/* "840 bytes", "12.3 kB", "1.2 GB" (powers of 1,000). Returns `text`. */
const char *tsr_bytes_text(double bytes, char text[TSR_NUMBER_CHARS]);

#endif

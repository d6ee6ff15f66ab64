/* SPDX-License-Identifier: Apache-2.0
 * Documents made from the command table: man pages and shell completion. */
#ifndef TSR_CLI_MANUAL_H
#define TSR_CLI_MANUAL_H

#include "base/options.h"

#include <stdio.h>

/* The list of commands, as `tessera help` prints it. */
void tsr_manual_overview(FILE *out);

/* roff source of a command's page up to and with its options; NULL: the page of the program. Parts
 * written by hand (EXAMPLES) are appended by the build. */
void tsr_manual_page(const tsr_command *c, FILE *out);

/* Completion for bash. */
void tsr_manual_completion(FILE *out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Command lines from tables: parser, --help, man page synopsis, completion and provenance all read
 * the same array. Long options take "--name value" or "--name=value"; "--" ends options; short
 * letters may be joined. Options may stand before or after operands. */
#ifndef TSR_BASE_OPTIONS_H
#define TSR_BASE_OPTIONS_H

#include "base/json.h"
#include "base/status.h"

#include <stdio.h>

typedef enum tsr_option_kind {
    TSR_OPT_FLAG,   /* int: 0 or 1 */
    TSR_OPT_INT,    /* long long within [lo, hi]; suffix K M G (1,000) or Ki Mi Gi (1,024) */
    TSR_OPT_NUMBER, /* double within [lo, hi] */
    TSR_OPT_STRING, /* const char *, borrowed from argv */
    TSR_OPT_CHOICE, /* int: index into the '|'-separated words of `argument` */
    TSR_OPT_LIST,   /* tsr_option_list: every use adds one string */
} tsr_option_kind;

typedef struct tsr_option_list {
    const char **items; /* storage released by tsr_options_clear */
    size_t count, cap;
} tsr_option_list;

typedef struct tsr_option {
    const char *name;     /* long name without dashes */
    char letter;          /* short letter or 0 */
    tsr_option_kind kind;
    size_t offset;        /* of the field in the command's settings struct */
    const char *fallback; /* default as text; NULL: 0 / NULL / none */
    double lo, hi;        /* range of numbers; both 0: any */
    const char *argument; /* word in the help ("N", "FILE"), or the choices "auto|bar|none" */
    const char *help;     /* one sentence, no full stop */
} tsr_option;

typedef struct tsr_command {
    const char *name;     /* "tokenize" */
    const char *operands; /* "RECIPE", "FILE..." or "" */
    const char *summary;  /* one line */
    const char *details;  /* for --help and the man page, or NULL: one line a paragraph (it is
                             filled), an empty line between them; lines starting with a space are
                             kept as they are */
    int min_operands, max_operands; /* max -1: any number */
    const tsr_option *options;
    size_t n_options;
    size_t settings_bytes; /* size of the settings struct */
    const struct tsr_field *keys; /* of the recipe it reads (recipe.h), shown by help; or NULL */
    const size_t *n_keys;
    int (*run)(const void *settings, int n_operands, char *const *operands);
} tsr_command;

/* Parse argv[1..argc) into `settings` (zeroed storage of settings_bytes), defaults first; operands
 * are moved to argv[0..*n_operands). --help and -h are recognised by every command: *help = 1, and
 * the number of operands is then not checked.
 * Errors   TSR_EARG: unknown option (with suggestion), missing or malformed value, out of range,
 *          wrong number of operands. */
TSR_USE tsr_status tsr_options_parse(const tsr_command *c, int argc, char **argv, void *settings,
                                     int *n_operands, int *help);
void tsr_options_clear(const tsr_command *c, void *settings);

/* Text of `PROGRAM COMMAND --help`. */
void tsr_options_help(const tsr_command *c, const char *program, FILE *out);

/* The command as JSON (name, summary, operands, options with defaults): what the man pages and the
 * completion are generated from and checked against. */
TSR_USE tsr_status tsr_options_json(const tsr_command *c, json_t **out);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * How commands talk: exit codes, messages on stderr, results on stdout, signals, shared options. */
#ifndef TSR_CLI_CONSOLE_H
#define TSR_CLI_CONSOLE_H

#include "base/json.h"
#include "base/options.h"
#include "base/status.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

typedef enum tsr_exit {
    TSR_EXIT_DONE = 0,
    TSR_EXIT_FAILURE = 1,
    TSR_EXIT_USAGE = 2,
    TSR_EXIT_MISMATCH = 3,  /* verification failed, or data that must agree does not */
    TSR_EXIT_PARTIAL = 4,   /* finished, but some inputs failed */
    TSR_EXIT_STOPPED = 130, /* interrupted, after a clean stop */
} tsr_exit;

/* The one place where a status becomes an exit code. */
int tsr_exit_code(tsr_status st);

/* What every command returns at its end: prints the sentence of a failure, flushes standard output
 * and gives the exit code. Output nobody reads any more (a closed pipe) is no failure. */
int tsr_finish(tsr_status st);

/* The same for commands that go on after a bad input: TSR_EXIT_PARTIAL when failed > 0. */
int tsr_finish_counted(tsr_status st, size_t failed);

/* Text from outside with control characters made visible (line ends as an arrow), so that it cannot
 * command the terminal. */
void tsr_put_text(FILE *out, const char *s);

/* "tessera: ..." on stderr. Control characters are made visible. */
void tsr_say(const char *fmt, ...) TSR_PRINTF(1, 2);

/* A value on stdout: indented for `pretty`, else one line, flushed so that readers see it arrive.
 */
TSR_USE tsr_status tsr_print_json(const json_t *value, int pretty);

/* Flush stdout: 0 once nobody can read it, so that a long producer can stop early. */
int tsr_output_open(void);

/* From now on SIGINT and SIGTERM set the flag returned here (to be handed to a tsr_job); a second
 * one ends the process at once with TSR_EXIT_STOPPED. Commands that never call this keep the
 * default action. */
const volatile sig_atomic_t *tsr_stop_flag(void);

/* Entries that several option tables share. The member is named as the option. */
#define TSR_OPTION_THREADS(settings)                                                               \
    {                                                                                              \
        "threads", 'j', TSR_OPT_INT, offsetof(settings, threads), NULL, 1, 4096, "N",              \
            "worker threads; without it TESSERA_THREADS or the cores at hand"                      \
    }
#define TSR_OPTION_PROGRESS(settings)                                                              \
    {                                                                                              \
        "progress", 0, TSR_OPT_CHOICE, offsetof(settings, progress), "auto", 0, 0,                 \
            "auto|bar|line|json|none",                                                             \
            "how to show progress on stderr: bar on a terminal, else a line every few seconds"     \
    }
#define TSR_OPTION_JSON(settings)                                                                  \
    {                                                                                              \
        "json", 0, TSR_OPT_FLAG, offsetof(settings, json), NULL, 0, 0, NULL,                       \
            "write the result as JSON"                                                             \
    }
#define TSR_OPTION_DRY_RUN(settings)                                                               \
    {                                                                                              \
        "dry-run", 'n', TSR_OPT_FLAG, offsetof(settings, dry_run), NULL, 0, 0, NULL,               \
            "say what would be done, do nothing"                                                   \
    }
#define TSR_OPTION_SET(settings)                                                                   \
    {                                                                                              \
        "set", 's', TSR_OPT_LIST, offsetof(settings, set), NULL, 0, 0, "KEY.SUB=VALUE",            \
            "override a value of the recipe; repeat for more"                                      \
    }
#define TSR_OPTION_COLOUR(settings)                                                                \
    {                                                                                              \
        "colour", 0, TSR_OPT_CHOICE, offsetof(settings, colour), "auto", 0, 0,                     \
            "auto|none|256|full",                                                                  \
            "colours on stdout; auto follows NO_COLOR, COLORTERM and the terminal"                 \
    }

#endif

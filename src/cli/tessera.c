/* SPDX-License-Identifier: Apache-2.0
 * The program: finds the command, reads its options, runs it. */
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/manual.h"
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int print_version(void)
{
    printf("tessera %s\n", PACKAGE_VERSION);
    return tsr_finish(TSR_OK);
}

static int unknown_command(const char *name)
{
    const char *close = tsr_command_suggest(name);
    if (close)
        tsr_say("no command \"%s\"; did you mean \"tessera %s\"?", name, close);
    else
        tsr_say("no command \"%s\"; \"tessera help\" lists them", name);
    return TSR_EXIT_USAGE;
}

static int wrong_usage(const tsr_command *c, tsr_status st)
{
    tsr_say("%s", tsr_error());
    tsr_say("\"tessera %s --help\" tells the options", c->name);
    return tsr_exit_code(st);
}

static int run_command(const tsr_command *c, int argc, char **argv)
{
    void *settings = NULL;
    int n, help, code;
    tsr_status st = tsr_alloc(&settings, 1, c->settings_bytes + 1);
    if (st == TSR_OK)
        st = tsr_options_parse(c, argc, argv, settings, &n, &help);
    if (st != TSR_OK) {
        code = wrong_usage(c, st);
    } else if (help) {
        tsr_options_help(c, "tessera", stdout);
        code = tsr_finish(TSR_OK);
    } else {
        code = c->run(settings, n, argv);
    }
    if (settings)
        tsr_options_clear(c, settings);
    tsr_free(settings);
    return code;
}

int main(int argc, char **argv)
{
    /* A closed pipe is noticed where output is written, so that work in hand is finished. */
    signal(SIGPIPE, SIG_IGN);
    /* A limit of file sizes becomes a failure of the write, which says where. */
    signal(SIGXFSZ, SIG_IGN);
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word) {
        tsr_manual_overview(stderr);
        return TSR_EXIT_USAGE;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_version();
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    const tsr_command *c = tsr_command_find(word);
    return c ? run_command(c, argc - 1, argv + 1) : unknown_command(word);
}
